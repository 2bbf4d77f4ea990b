// C interface of the CPU kernels: one function per operation, each with its struct of arguments from abi.h.
#pragma once
#include "../abi/abi.h"
#ifdef __cplusplus
extern "C" {
#endif

#define TW_OPS(X)                                                                                                     \
  X(gemm, tw_gemm_args) X(colsum, tw_colsum_args) X(aggregate, tw_aggregate_args) X(edge_grad, tw_edge_grad_args)       \
  X(embedding, tw_embedding_args) X(embedding_grad, tw_embedding_args)                                                 \
  X(segment_max, tw_segment_max_args) X(segment_max_grad, tw_segment_max_args) X(segment_max_tangent, tw_segment_max_args) \
  X(gat, tw_gat_args) X(gat_grad, tw_gat_args) X(gat_tangent, tw_gat_args)                                             \
  X(attention, tw_attention_args) X(attention_grad, tw_attention_args) X(attention_tangent, tw_attention_args)         \
  X(batch_norm, tw_norm_args) X(batch_norm_grad, tw_norm_args) X(batch_norm_tangent, tw_norm_args)                     \
  X(layer_norm, tw_norm_args) X(layer_norm_grad, tw_norm_args) X(layer_norm_tangent, tw_norm_args)                     \
  X(running, tw_running_args)                                                                                         \
  X(activate, tw_element_args) X(activate_grad, tw_element_args) X(dropout, tw_element_args) X(add_scaled, tw_element_args) \
  X(copy_mat, tw_element_args) X(scale_mat, tw_element_args) X(row_dot, tw_element_args) X(row_scale, tw_element_args) \
  X(row_normalize, tw_element_args) X(row_normalize_jac, tw_element_args) X(dot_mat, tw_element_args)                  \
  X(softmax_ce, tw_loss_args) X(element_loss, tw_loss_args) X(ntxent, tw_loss_args) X(pair_distance, tw_loss_args)     \
  X(fill, tw_vector_args) X(copy, tw_vector_args) X(scale, tw_vector_args) X(axpy, tw_vector_args)                     \
  X(perturb, tw_vector_args) X(mul, tw_vector_args) X(dot, tw_vector_args) X(combine, tw_vectors_args) X(dots, tw_vectors_args) \
  X(gram, tw_vectors_args) X(prox, tw_vector_args) X(rstd_of, tw_vector_args) \
  X(update, tw_update_args) X(update_rows, tw_update_rows_args)                                                        \
  X(gelu, tw_gelu_args) X(gelu_grad, tw_gelu_args) X(gelu_tangent, tw_gelu_args)                                       \
  X(add_norm, tw_add_norm_args) X(add_norm_grad, tw_add_norm_args) X(add_norm_tangent, tw_add_norm_args)               \
  X(linear_ce, tw_linear_ce_args) X(linear_ce_grad, tw_linear_ce_args) X(linear_ce_tangent, tw_linear_ce_args)         \
  X(scatter_rows, tw_scatter_args) X(add_rows, tw_rows_args) X(dot_rows, tw_rows_args)

#define TW_DECLARE(name, args) void tw_##name(const args *a);
TW_OPS(TW_DECLARE)
#undef TW_DECLARE

// tw_init chooses the instruction set: want 0 = the best there is, 1 = AVX2. Returns 2 for AVX-512, 1 for AVX2, 0 when the
// CPU has neither. threads is the number of threads from then on.
int tw_init(int want, int threads);
// tw_peak returns GFLOP/s of independent fused multiply-adds on all threads; tw_copy GB/s (read + write) of a large copy.
double tw_peak(void);
double tw_copy_rate(void);
#ifdef __cplusplus
}
#endif
