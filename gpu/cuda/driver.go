//go:build cuda

package cuda

// #cgo LDFLAGS: -lcuda -ldl
// #include "driver.h"
// #include <stdlib.h>
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
	captured  = C.CUgraph
	product   = C.tw_product
)

// sharedOptin is the most shared memory that a block can be given on request.
const sharedOptin = cu.DeviceAttribute(C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)

// library returns the path of the bound driver, or why none is bound.
func library() (text string, bound bool) {
	return C.GoString(C.tw_cu_library()), C.tw_cu_bound() != 0
}

// driverVersion returns the newest CUDA version that the driver supports, 12090 for 12.9.
func driverVersion() (int, error) {
	var v C.int
	err := status("cuDriverGetVersion", C.cuDriverGetVersion(&v))
	return int(v), err
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
	err = status("cuModuleLoadDataEx", C.tw_cu_load((*C.CUmodule)(unsafe.Pointer(&m)), text, log, bytes))
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
	return launch{f: C.uintptr_t(uintptr(unsafe.Pointer(handle(f)))), grid: dim(grid), block: dim(block), shared: C.uint(shared), offset: C.uint(offset), size: C.uint(size)}
}

// submit queues launches and products on a stream and returns the index of the one that was refused.
func submit(l []launch, params []byte, s cu.Stream, blas unsafe.Pointer) (int, error) {
	r := C.tw_cu_submit(&l[0], C.int(len(l)), (*C.char)(unsafe.Pointer(&params[0])), stream(s), blas)
	if r.status < 0 {
		return int(r.at), blasError("cublasGemmEx", int(-r.status))
	}
	return int(r.at), status("cuLaunchKernel", C.CUresult(r.status))
}

func beginCapture(s cu.Stream) error {
	return status("cuStreamBeginCapture", C.cuStreamBeginCapture(stream(s), C.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
}

// endCapture leaves the captured graph in o.captured.
func (o *owner) endCapture() error {
	o.captured = nil
	return status("cuStreamEndCapture", C.cuStreamEndCapture(stream(o.compute), &o.captured))
}

func instantiate(g captured) (e graphExec, err error) {
	return e, status("cuGraphInstantiateWithFlags", C.cuGraphInstantiate(&e, g, 0))
}

// update gives an executable graph the parameters of g; ok is false where the two differ in more than parameters.
func update(e graphExec, g captured) (ok bool, err error) {
	r := C.tw_cu_update(e, g)
	if r == C.CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE {
		return false, nil
	}
	return r == C.CUDA_SUCCESS, status("cuGraphExecUpdate", r)
}

func launchGraph(e graphExec, s cu.Stream) error {
	return status("cuGraphLaunch", C.cuGraphLaunch(e, stream(s)))
}

func (o *owner) destroyCaptured() error {
	if o.captured == nil {
		return nil
	}
	g := o.captured
	o.captured = nil
	return status("cuGraphDestroy", C.cuGraphDestroy(g))
}

func destroyExec(e graphExec) error { return status("cuGraphExecDestroy", C.cuGraphExecDestroy(e)) }
