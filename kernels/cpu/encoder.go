package cpu

/*
#cgo noescape tw_gelu
#cgo nocallback tw_gelu
#cgo noescape tw_gelu_grad
#cgo nocallback tw_gelu_grad
#cgo noescape tw_gelu_tangent
#cgo nocallback tw_gelu_tangent
#cgo noescape tw_add_norm
#cgo nocallback tw_add_norm
#cgo noescape tw_add_norm_grad
#cgo nocallback tw_add_norm_grad
#cgo noescape tw_add_norm_tangent
#cgo nocallback tw_add_norm_tangent
#cgo noescape tw_linear_ce
#cgo nocallback tw_linear_ce
#cgo noescape tw_linear_ce_grad
#cgo nocallback tw_linear_ce_grad
#cgo noescape tw_linear_ce_tangent
#cgo nocallback tw_linear_ce_tangent
#cgo noescape tw_scatter_rows
#cgo nocallback tw_scatter_rows
#cgo noescape tw_add_rows
#cgo nocallback tw_add_rows
#cgo noescape tw_dot_rows
#cgo nocallback tw_dot_rows
#include "tw.h"
*/
import "C"

import (
	"unsafe"

	"tapweight/kernels/abi"
)

// GELU calls tw_gelu.
func GELU(a *abi.GELUArgs) { C.tw_gelu((*C.tw_gelu_args)(unsafe.Pointer(a))) }

// GELUGrad calls tw_gelu_grad.
func GELUGrad(a *abi.GELUArgs) { C.tw_gelu_grad((*C.tw_gelu_args)(unsafe.Pointer(a))) }

// GELUTangent calls tw_gelu_tangent.
func GELUTangent(a *abi.GELUArgs) { C.tw_gelu_tangent((*C.tw_gelu_args)(unsafe.Pointer(a))) }

// AddNorm calls tw_add_norm.
func AddNorm(a *abi.AddNormArgs) { C.tw_add_norm((*C.tw_add_norm_args)(unsafe.Pointer(a))) }

// AddNormGrad calls tw_add_norm_grad.
func AddNormGrad(a *abi.AddNormArgs) { C.tw_add_norm_grad((*C.tw_add_norm_args)(unsafe.Pointer(a))) }

// AddNormTangent calls tw_add_norm_tangent.
func AddNormTangent(a *abi.AddNormArgs) {
	C.tw_add_norm_tangent((*C.tw_add_norm_args)(unsafe.Pointer(a)))
}

// LinearCE calls tw_linear_ce.
func LinearCE(a *abi.LinearCEArgs) { C.tw_linear_ce((*C.tw_linear_ce_args)(unsafe.Pointer(a))) }

// LinearCEGrad calls tw_linear_ce_grad.
func LinearCEGrad(a *abi.LinearCEArgs) {
	C.tw_linear_ce_grad((*C.tw_linear_ce_args)(unsafe.Pointer(a)))
}

// LinearCETangent calls tw_linear_ce_tangent.
func LinearCETangent(a *abi.LinearCEArgs) {
	C.tw_linear_ce_tangent((*C.tw_linear_ce_args)(unsafe.Pointer(a)))
}

// ScatterRows calls tw_scatter_rows.
func ScatterRows(a *abi.ScatterArgs) { C.tw_scatter_rows((*C.tw_scatter_args)(unsafe.Pointer(a))) }

// AddRows calls tw_add_rows.
func AddRows(a *abi.RowsArgs) { C.tw_add_rows((*C.tw_rows_args)(unsafe.Pointer(a))) }

// DotRows calls tw_dot_rows.
func DotRows(a *abi.RowsArgs) { C.tw_dot_rows((*C.tw_rows_args)(unsafe.Pointer(a))) }
