// Package cpu holds the kernels of the default backend: C++ vectorised for AVX2 and AVX-512, chosen at run time, threaded by
// OpenMP. Their arguments are those of package abi; gpu/cpu fills them.
package cpu

/*
#cgo CXXFLAGS: -std=c++17 -O3 -fopenmp
#cgo LDFLAGS: -lgomp
#cgo noescape tw_gemm
#cgo nocallback tw_gemm
#cgo noescape tw_colsum
#cgo nocallback tw_colsum
#cgo noescape tw_aggregate
#cgo nocallback tw_aggregate
#cgo noescape tw_edge_grad
#cgo nocallback tw_edge_grad
#cgo noescape tw_embedding
#cgo nocallback tw_embedding
#cgo noescape tw_embedding_grad
#cgo nocallback tw_embedding_grad
#cgo noescape tw_segment_max
#cgo nocallback tw_segment_max
#cgo noescape tw_segment_max_grad
#cgo nocallback tw_segment_max_grad
#cgo noescape tw_segment_max_tangent
#cgo nocallback tw_segment_max_tangent
#cgo noescape tw_gat
#cgo nocallback tw_gat
#cgo noescape tw_gat_grad
#cgo nocallback tw_gat_grad
#cgo noescape tw_gat_tangent
#cgo nocallback tw_gat_tangent
#cgo noescape tw_attention
#cgo nocallback tw_attention
#cgo noescape tw_attention_grad
#cgo nocallback tw_attention_grad
#cgo noescape tw_attention_tangent
#cgo nocallback tw_attention_tangent
#cgo noescape tw_batch_norm
#cgo nocallback tw_batch_norm
#cgo noescape tw_batch_norm_grad
#cgo nocallback tw_batch_norm_grad
#cgo noescape tw_batch_norm_tangent
#cgo nocallback tw_batch_norm_tangent
#cgo noescape tw_layer_norm
#cgo nocallback tw_layer_norm
#cgo noescape tw_layer_norm_grad
#cgo nocallback tw_layer_norm_grad
#cgo noescape tw_layer_norm_tangent
#cgo nocallback tw_layer_norm_tangent
#cgo noescape tw_running
#cgo nocallback tw_running
#cgo noescape tw_activate
#cgo nocallback tw_activate
#cgo noescape tw_activate_grad
#cgo nocallback tw_activate_grad
#cgo noescape tw_dropout
#cgo nocallback tw_dropout
#cgo noescape tw_add_scaled
#cgo nocallback tw_add_scaled
#cgo noescape tw_copy_mat
#cgo nocallback tw_copy_mat
#cgo noescape tw_scale_mat
#cgo nocallback tw_scale_mat
#cgo noescape tw_row_dot
#cgo nocallback tw_row_dot
#cgo noescape tw_row_scale
#cgo nocallback tw_row_scale
#cgo noescape tw_row_normalize
#cgo nocallback tw_row_normalize
#cgo noescape tw_row_normalize_jac
#cgo nocallback tw_row_normalize_jac
#cgo noescape tw_dot_mat
#cgo nocallback tw_dot_mat
#cgo noescape tw_softmax_ce
#cgo nocallback tw_softmax_ce
#cgo noescape tw_element_loss
#cgo nocallback tw_element_loss
#cgo noescape tw_ntxent
#cgo nocallback tw_ntxent
#cgo noescape tw_pair_distance
#cgo nocallback tw_pair_distance
#cgo noescape tw_fill
#cgo nocallback tw_fill
#cgo noescape tw_copy
#cgo nocallback tw_copy
#cgo noescape tw_scale
#cgo nocallback tw_scale
#cgo noescape tw_axpy
#cgo nocallback tw_axpy
#cgo noescape tw_perturb
#cgo nocallback tw_perturb
#cgo noescape tw_mul
#cgo nocallback tw_mul
#cgo noescape tw_dot
#cgo nocallback tw_dot
#cgo noescape tw_combine
#cgo nocallback tw_combine
#cgo noescape tw_dots
#cgo nocallback tw_dots
#cgo noescape tw_gram
#cgo nocallback tw_gram
#cgo noescape tw_prox
#cgo nocallback tw_prox
#cgo noescape tw_rstd_of
#cgo nocallback tw_rstd_of
#cgo noescape tw_update
#cgo nocallback tw_update
#cgo noescape tw_update_rows
#cgo nocallback tw_update_rows
#include "tw.h"
*/
import "C"

import (
	"unsafe"

	"tapweight/kernels/abi"
)

// Init chooses the instruction set (0 the best there is, 1 AVX2) and the number of threads. It returns 2 for AVX-512, 1 for
// AVX2 and 0 when the CPU has neither. The choice is the process's.
func Init(want, threads int) int { return int(C.tw_init(C.int(want), C.int(threads))) }

// Peak measures GFLOP/s of independent fused multiply-adds on all threads.
func Peak() float64 { return float64(C.tw_peak()) }

// CopyRate measures GB/s, read plus write, of a large copy.
func CopyRate() float64 { return float64(C.tw_copy_rate()) }

// Gemm calls tw_gemm.
func Gemm(a *abi.GemmArgs) { C.tw_gemm((*C.tw_gemm_args)(unsafe.Pointer(a))) }

// ColSum calls tw_colsum.
func ColSum(a *abi.ColSumArgs) { C.tw_colsum((*C.tw_colsum_args)(unsafe.Pointer(a))) }

// Aggregate calls tw_aggregate.
func Aggregate(a *abi.AggregateArgs) { C.tw_aggregate((*C.tw_aggregate_args)(unsafe.Pointer(a))) }

// EdgeGrad calls tw_edge_grad.
func EdgeGrad(a *abi.EdgeGradArgs) { C.tw_edge_grad((*C.tw_edge_grad_args)(unsafe.Pointer(a))) }

// Embedding calls tw_embedding.
func Embedding(a *abi.EmbeddingArgs) { C.tw_embedding((*C.tw_embedding_args)(unsafe.Pointer(a))) }

// EmbeddingGrad calls tw_embedding_grad.
func EmbeddingGrad(a *abi.EmbeddingArgs) {
	C.tw_embedding_grad((*C.tw_embedding_args)(unsafe.Pointer(a)))
}

// SegmentMax calls tw_segment_max.
func SegmentMax(a *abi.SegmentMaxArgs) { C.tw_segment_max((*C.tw_segment_max_args)(unsafe.Pointer(a))) }

// SegmentMaxGrad calls tw_segment_max_grad.
func SegmentMaxGrad(a *abi.SegmentMaxArgs) {
	C.tw_segment_max_grad((*C.tw_segment_max_args)(unsafe.Pointer(a)))
}

// SegmentMaxTangent calls tw_segment_max_tangent.
func SegmentMaxTangent(a *abi.SegmentMaxArgs) {
	C.tw_segment_max_tangent((*C.tw_segment_max_args)(unsafe.Pointer(a)))
}

// GAT calls tw_gat.
func GAT(a *abi.GATArgs) { C.tw_gat((*C.tw_gat_args)(unsafe.Pointer(a))) }

// GATGrad calls tw_gat_grad.
func GATGrad(a *abi.GATArgs) { C.tw_gat_grad((*C.tw_gat_args)(unsafe.Pointer(a))) }

// GATTangent calls tw_gat_tangent.
func GATTangent(a *abi.GATArgs) { C.tw_gat_tangent((*C.tw_gat_args)(unsafe.Pointer(a))) }

// Attention calls tw_attention.
func Attention(a *abi.AttentionArgs) { C.tw_attention((*C.tw_attention_args)(unsafe.Pointer(a))) }

// AttentionGrad calls tw_attention_grad.
func AttentionGrad(a *abi.AttentionArgs) {
	C.tw_attention_grad((*C.tw_attention_args)(unsafe.Pointer(a)))
}

// AttentionTangent calls tw_attention_tangent.
func AttentionTangent(a *abi.AttentionArgs) {
	C.tw_attention_tangent((*C.tw_attention_args)(unsafe.Pointer(a)))
}

// BatchNorm calls tw_batch_norm.
func BatchNorm(a *abi.NormArgs) { C.tw_batch_norm((*C.tw_norm_args)(unsafe.Pointer(a))) }

// BatchNormGrad calls tw_batch_norm_grad.
func BatchNormGrad(a *abi.NormArgs) { C.tw_batch_norm_grad((*C.tw_norm_args)(unsafe.Pointer(a))) }

// BatchNormTangent calls tw_batch_norm_tangent.
func BatchNormTangent(a *abi.NormArgs) { C.tw_batch_norm_tangent((*C.tw_norm_args)(unsafe.Pointer(a))) }

// LayerNorm calls tw_layer_norm.
func LayerNorm(a *abi.NormArgs) { C.tw_layer_norm((*C.tw_norm_args)(unsafe.Pointer(a))) }

// LayerNormGrad calls tw_layer_norm_grad.
func LayerNormGrad(a *abi.NormArgs) { C.tw_layer_norm_grad((*C.tw_norm_args)(unsafe.Pointer(a))) }

// LayerNormTangent calls tw_layer_norm_tangent.
func LayerNormTangent(a *abi.NormArgs) { C.tw_layer_norm_tangent((*C.tw_norm_args)(unsafe.Pointer(a))) }

// Running calls tw_running.
func Running(a *abi.RunningArgs) { C.tw_running((*C.tw_running_args)(unsafe.Pointer(a))) }

// Activate calls tw_activate.
func Activate(a *abi.ElementArgs) { C.tw_activate((*C.tw_element_args)(unsafe.Pointer(a))) }

// ActivateGrad calls tw_activate_grad.
func ActivateGrad(a *abi.ElementArgs) { C.tw_activate_grad((*C.tw_element_args)(unsafe.Pointer(a))) }

// Dropout calls tw_dropout.
func Dropout(a *abi.ElementArgs) { C.tw_dropout((*C.tw_element_args)(unsafe.Pointer(a))) }

// AddScaled calls tw_add_scaled.
func AddScaled(a *abi.ElementArgs) { C.tw_add_scaled((*C.tw_element_args)(unsafe.Pointer(a))) }

// CopyMat calls tw_copy_mat.
func CopyMat(a *abi.ElementArgs) { C.tw_copy_mat((*C.tw_element_args)(unsafe.Pointer(a))) }

// ScaleMat calls tw_scale_mat.
func ScaleMat(a *abi.ElementArgs) { C.tw_scale_mat((*C.tw_element_args)(unsafe.Pointer(a))) }

// RowDot calls tw_row_dot.
func RowDot(a *abi.ElementArgs) { C.tw_row_dot((*C.tw_element_args)(unsafe.Pointer(a))) }

// RowScale calls tw_row_scale.
func RowScale(a *abi.ElementArgs) { C.tw_row_scale((*C.tw_element_args)(unsafe.Pointer(a))) }

// RowNormalize calls tw_row_normalize.
func RowNormalize(a *abi.ElementArgs) { C.tw_row_normalize((*C.tw_element_args)(unsafe.Pointer(a))) }

// RowNormalizeJac calls tw_row_normalize_jac.
func RowNormalizeJac(a *abi.ElementArgs) {
	C.tw_row_normalize_jac((*C.tw_element_args)(unsafe.Pointer(a)))
}

// DotMat calls tw_dot_mat.
func DotMat(a *abi.ElementArgs) { C.tw_dot_mat((*C.tw_element_args)(unsafe.Pointer(a))) }

// SoftmaxCE calls tw_softmax_ce.
func SoftmaxCE(a *abi.LossArgs) { C.tw_softmax_ce((*C.tw_loss_args)(unsafe.Pointer(a))) }

// ElementLoss calls tw_element_loss.
func ElementLoss(a *abi.LossArgs) { C.tw_element_loss((*C.tw_loss_args)(unsafe.Pointer(a))) }

// NTXent calls tw_ntxent.
func NTXent(a *abi.LossArgs) { C.tw_ntxent((*C.tw_loss_args)(unsafe.Pointer(a))) }

// PairDistance calls tw_pair_distance.
func PairDistance(a *abi.LossArgs) { C.tw_pair_distance((*C.tw_loss_args)(unsafe.Pointer(a))) }

// Fill calls tw_fill.
func Fill(a *abi.VectorArgs) { C.tw_fill((*C.tw_vector_args)(unsafe.Pointer(a))) }

// Copy calls tw_copy.
func Copy(a *abi.VectorArgs) { C.tw_copy((*C.tw_vector_args)(unsafe.Pointer(a))) }

// Scale calls tw_scale.
func Scale(a *abi.VectorArgs) { C.tw_scale((*C.tw_vector_args)(unsafe.Pointer(a))) }

// Axpy calls tw_axpy.
func Axpy(a *abi.VectorArgs) { C.tw_axpy((*C.tw_vector_args)(unsafe.Pointer(a))) }

// Perturb calls tw_perturb.
func Perturb(a *abi.VectorArgs) { C.tw_perturb((*C.tw_vector_args)(unsafe.Pointer(a))) }

// Mul calls tw_mul.
func Mul(a *abi.VectorArgs) { C.tw_mul((*C.tw_vector_args)(unsafe.Pointer(a))) }

// Dot calls tw_dot.
func Dot(a *abi.VectorArgs) { C.tw_dot((*C.tw_vector_args)(unsafe.Pointer(a))) }

// Combine calls tw_combine.
func Combine(a *abi.VectorsArgs) { C.tw_combine((*C.tw_vectors_args)(unsafe.Pointer(a))) }

// Dots calls tw_dots.
func Dots(a *abi.VectorsArgs) { C.tw_dots((*C.tw_vectors_args)(unsafe.Pointer(a))) }

// Gram calls tw_gram.
func Gram(a *abi.VectorsArgs) { C.tw_gram((*C.tw_vectors_args)(unsafe.Pointer(a))) }

// Prox calls tw_prox.
func Prox(a *abi.VectorArgs) { C.tw_prox((*C.tw_vector_args)(unsafe.Pointer(a))) }

// RstdOf calls tw_rstd_of.
func RstdOf(a *abi.VectorArgs) { C.tw_rstd_of((*C.tw_vector_args)(unsafe.Pointer(a))) }

// Update calls tw_update.
func Update(a *abi.UpdateArgs) { C.tw_update((*C.tw_update_args)(unsafe.Pointer(a))) }

// UpdateRows calls tw_update_rows.
func UpdateRows(a *abi.UpdateRowsArgs) { C.tw_update_rows((*C.tw_update_rows_args)(unsafe.Pointer(a))) }
