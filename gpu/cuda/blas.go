//go:build cuda

package cuda

// #include "driver.h"
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"math"
	"os"
	"unsafe"

	"gorgonia.org/cu"

	"tapweight/kernels/abi"
)

// blasWorkspace is what NVIDIA recommends for cards of capability 9.0.
const blasWorkspace = 32 << 20

// openBLAS binds cuBLAS where there is one: TAPWEIGHT_CUBLAS names its file, or is 0 for none. It returns the file and the version,
// or why it is not used; the products are ours then. A stand-in driver has no cuBLAS unless one is named.
func openBLAS() (file string, version int, why string) {
	files := []string{"libcublas.so.13", "libcublas.so.12"}
	switch named := os.Getenv("TAPWEIGHT_CUBLAS"); {
	case named == "0":
		return "", 0, "switched off by TAPWEIGHT_CUBLAS=0"
	case named != "":
		files = []string{named}
	case os.Getenv("TAPWEIGHT_LIBCUDA") != "":
		return "", 0, "not used with TAPWEIGHT_LIBCUDA"
	}
	for _, f := range files {
		s := C.CString(f)
		missing := C.tw_cublas_open(s)
		C.free(unsafe.Pointer(s))
		if missing == nil {
			return f, int(C.tw_cublas_version()), ""
		}
		why = C.GoString(missing)
	}
	return "", 0, why
}

// blasError is a status of cuBLAS.
func blasError(call string, code int) error {
	if code == 0 {
		return nil
	}
	return &Error{Call: call, Code: code, Name: "CUBLAS_STATUS"}
}

// createBLAS makes the handle that products on the compute stream go through.
func (o *owner) createBLAS(*job) error {
	p, err := cu.MemAlloc(blasWorkspace)
	if err != nil {
		return during(failed("cuMemAlloc", err), o.name, "the workspace of cuBLAS")
	}
	o.memory[uintptr(p)] = blasWorkspace
	return during(blasError("cublasCreate", int(C.tw_cublas_create(&o.blas, stream(o.compute), C.CUdeviceptr(p), blasWorkspace))), o.name, "cuBLAS")
}

func (o *owner) destroyBLAS() error {
	if o.blas == nil {
		return nil
	}
	h := o.blas
	o.blas = nil
	return blasError("cublasDestroy", int(C.tw_cublas_destroy(h)))
}

// product queues a product for cuBLAS and says whether it is one: sizes fit 32 bits and there is nothing to fuse behind it, which
// our kernels do on the way.
func (b *Backend) product(a *abi.GemmArgs) bool {
	k := a.A.Cols
	if a.TransA != 0 {
		k = a.A.Rows
	}
	largest := max(a.C.Rows, a.C.Cols, k, a.A.LD, a.B.LD, a.C.LD)
	if b.blas == nil || a.Bias != 0 || a.ReLU != 0 || a.C.Rows == 0 || a.C.Cols == 0 || k == 0 || largest > math.MaxInt32 {
		return false
	}
	// Row-major C = A·B is column-major Cᵀ = Bᵀ·Aᵀ.
	p := &b.args.product
	*p = C.tw_product{a: C.uintptr_t(a.B.P), b: C.uintptr_t(a.A.P), c: C.uintptr_t(a.C.P), transa: C.int(a.TransB), transb: C.int(a.TransA),
		m: C.int(a.C.Cols), n: C.int(a.C.Rows), k: C.int(k), lda: C.int(a.B.LD), ldb: C.int(a.A.LD), ldc: C.int(a.C.LD), beta: C.float(a.Accumulate)}
	b.stats.Launches++
	b.work.Kernels++
	b.list.add(b.blas, [3]uint32{}, [3]uint32{}, 0, unsafe.Pointer(p), int(unsafe.Sizeof(*p)), 0)
	return true
}

// BLAS says which library computes products, for people.
func blasText() string {
	file, version, why := openBLAS()
	if why != "" {
		return why
	}
	return fmt.Sprintf("%s, %d.%d.%d", file, version/10000, version/100%100, version%100)
}
