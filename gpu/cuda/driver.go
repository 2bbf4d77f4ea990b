//go:build cuda

package cuda

/*
#cgo LDFLAGS: -lcuda -ldl
#include <cuda.h>
#include <stdlib.h>

const char *tw_cu_library(void);
int tw_cu_bound(void);

// A launch of a queue: the kernel's argument struct lies at params + offset, the scratch pointer behind it.
typedef struct {
  CUfunction f;
  unsigned grid[3], block[3];
  unsigned shared, offset, size;
} tw_launch;

// tw_submit queues n launches on a stream; at becomes the index of the one that was refused.
static CUresult tw_submit(const tw_launch *l, int n, char *params, CUstream s, int *at) {
  for (int i = 0; i < n; i++, l++) {
    void *p[] = {params + l->offset, params + l->offset + l->size};
    CUresult r = cuLaunchKernel(l->f, l->grid[0], l->grid[1], l->grid[2], l->block[0], l->block[1], l->block[2], l->shared, s, p, 0);
    if (r != CUDA_SUCCESS) {
      *at = i;
      return r;
    }
  }
  return CUDA_SUCCESS;
}

// tw_load loads a module; log receives what the driver's compiler says about PTX.
static CUresult tw_load(CUmodule *m, const void *image, char *log, unsigned bytes) {
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, (void *)(size_t)bytes};
  return cuModuleLoadDataEx(m, image, 2, options, values);
}

static CUresult tw_update(CUgraphExec e, CUgraph g) {
  CUgraphExecUpdateResultInfo info;
  return cuGraphExecUpdate(e, g, &info);
}
*/
import "C"

import (
	"strings"
	"unsafe"

	"gorgonia.org/cu"
)

// What gorgonia.org/cu lacks: pinned memory, dynamic shared memory over 48 KB, launches with argument structs, stream capture
// and executable graphs.

type (
	launch    = C.tw_launch
	graphExec = C.CUgraphExec
)

// sharedOptin is the most shared memory that a block can be given on request.
const sharedOptin = cu.DeviceAttribute(C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)

// library returns the path of the bound driver, or why none is bound.
func library() (text string, bound bool) {
	return C.GoString(C.tw_cu_library()), C.tw_cu_bound() != 0
}

// status turns a result of the driver into an error.
func status(call string, r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return &Error{Call: call, Code: int(r), Name: codeName(int(r))}
}

// codeName returns CUDA's name of a code.
func codeName(code int) string {
	var s *C.char
	if C.cuGetErrorName(C.CUresult(code), &s) != C.CUDA_SUCCESS || s == nil {
		return "unknown code"
	}
	return C.GoString(s)
}

func handle(f cu.Function) C.CUfunction { return *(*C.CUfunction)(unsafe.Pointer(&f)) }

func stream(s cu.Stream) C.CUstream { return *(*C.CUstream)(unsafe.Pointer(&s)) }

// hostAlloc returns page-locked memory, which the device copies from and to without the host's help.
func hostAlloc(bytes int) (unsafe.Pointer, error) {
	var p unsafe.Pointer
	return p, status("cuMemHostAlloc", C.cuMemHostAlloc(&p, C.size_t(bytes), 0))
}

// load loads a module: machine code, or PTX that the driver compiles.
func load(image []byte) (m cu.Module, err error) {
	const bytes = 4096
	text := C.CBytes(append(image[:len(image):len(image)], 0)) // PTX ends with a zero
	log := (*C.char)(C.calloc(bytes, 1))
	defer C.free(text)
	defer C.free(unsafe.Pointer(log))
	err = status("cuModuleLoadDataEx", C.tw_load((*C.CUmodule)(unsafe.Pointer(&m)), text, log, bytes))
	if e, ok := err.(*Error); ok {
		e.Detail = strings.TrimSpace(C.GoString(log))
	}
	return m, err
}

// refused says whether the driver does not take an image, so that another may do.
func refused(err error) bool {
	e, ok := err.(*Error)
	return ok && (e.Code == C.CUDA_ERROR_NO_BINARY_FOR_GPU || e.Code == C.CUDA_ERROR_INVALID_IMAGE || e.Code == C.CUDA_ERROR_UNSUPPORTED_PTX_VERSION)
}

func allowShared(f cu.Function, bytes int) error {
	return status("cuFuncSetAttribute", C.cuFuncSetAttribute(handle(f), C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(bytes)))
}

func newLaunch(f cu.Function, grid, block [3]uint32, shared, offset, size int) launch {
	dim := func(d [3]uint32) [3]C.uint { return [3]C.uint{C.uint(d[0]), C.uint(d[1]), C.uint(d[2])} }
	return launch{f: handle(f), grid: dim(grid), block: dim(block), shared: C.uint(shared), offset: C.uint(offset), size: C.uint(size)}
}

// submit queues launches on a stream and returns the index of the one that was refused.
func submit(l []launch, params []byte, s cu.Stream) (int, error) {
	var at C.int
	r := C.tw_submit(&l[0], C.int(len(l)), (*C.char)(unsafe.Pointer(&params[0])), stream(s), &at)
	return int(at), status("cuLaunchKernel", r)
}

func beginCapture(s cu.Stream) error {
	return status("cuStreamBeginCapture", C.cuStreamBeginCapture(stream(s), C.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
}

func endCapture(s cu.Stream) (g C.CUgraph, err error) {
	return g, status("cuStreamEndCapture", C.cuStreamEndCapture(stream(s), &g))
}

func instantiate(g C.CUgraph) (e graphExec, err error) {
	return e, status("cuGraphInstantiate", C.cuGraphInstantiate(&e, g, 0))
}

// update gives an executable graph the parameters of g; ok is false where the two differ in more than parameters.
func update(e graphExec, g C.CUgraph) (ok bool, err error) {
	r := C.tw_update(e, g)
	if r == C.CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE {
		return false, nil
	}
	return r == C.CUDA_SUCCESS, status("cuGraphExecUpdate", r)
}

func launchGraph(e graphExec, s cu.Stream) error {
	return status("cuGraphLaunch", C.cuGraphLaunch(e, stream(s)))
}

func destroyGraph(g C.CUgraph) error { return status("cuGraphDestroy", C.cuGraphDestroy(g)) }

func destroyExec(e graphExec) error { return status("cuGraphExecDestroy", C.cuGraphExecDestroy(e)) }
