// C interface of the CPU kernels: one struct of arguments per operation, named as in package gpu, which says what each
// operation means. Pointers are float32 or int32; absent arguments are null. Nothing is checked here.
#pragma once
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct { float *p; int64_t rows, cols, ld; } tw_mat;
typedef struct { int64_t rows, cols, nnz; const int32_t *ptr, *col, *code; const float *w; } tw_csr;

typedef struct { tw_mat a, b, c; int transa, transb, accumulate, relu; const float *bias; } tw_gemm_args;
typedef struct { float *dst; tw_mat src; int accumulate; } tw_colsum_args;
typedef struct { tw_csr csr; tw_mat h, e, out; int accumulate; } tw_aggregate_args;
typedef struct { tw_csr csr; tw_mat dout, de; } tw_edge_grad_args;
typedef struct { tw_mat out, table; const int32_t *idx; int64_t fields; } tw_embedding_args;
typedef struct { tw_mat out, h; int32_t *arg; tw_csr csr; } tw_segment_max_args;
typedef struct { tw_csr csr, t, tself; const int32_t *self; int64_t heads; tw_mat x, e, att, out, alpha, score;
                 tw_mat dout, dx, de, datt, dscore; tw_mat tx, te, tatt, tout; } tw_gat_args;
typedef struct { tw_mat x, y; const float *mult; double total; const float *gamma, *beta; float *mean, *rstd; double eps;
                 int relu, frozen, accumulate; tw_mat dy, dx; float *dgamma, *dbeta; tw_mat tx, ty; const float *tgamma, *tbeta; } tw_norm_args;
typedef struct { float *run_mean, *run_var; const float *mean, *rstd; int64_t n; double momentum, total, eps; } tw_running_args;
typedef struct { tw_mat y, x, z; int act, accumulate; double s, p; uint64_t seed; uint32_t step, stream; float *v; } tw_element_args;
typedef struct { tw_mat x, dx, b, db; const int32_t *target; const float *t, *w; int mse; double scale, eps; float *loss; } tw_loss_args;
typedef struct { float *y; const float *x, *z; float *v; const float *s; int64_t n; double c; int accumulate; } tw_vector_args;
typedef struct { int rule; int64_t n; float *p; const float *g; float *m, *v, *jac; const float *rates, *scale;
                 double momentum, beta1, beta2, eps, decay; } tw_update_args;

#define TW_OPS(X)                                                                                                     \
  X(gemm, tw_gemm_args) X(colsum, tw_colsum_args) X(aggregate, tw_aggregate_args) X(edge_grad, tw_edge_grad_args)       \
  X(embedding, tw_embedding_args) X(embedding_grad, tw_embedding_args)                                                 \
  X(segment_max, tw_segment_max_args) X(segment_max_grad, tw_segment_max_args) X(segment_max_tangent, tw_segment_max_args) \
  X(gat, tw_gat_args) X(gat_grad, tw_gat_args) X(gat_tangent, tw_gat_args)                                             \
  X(batch_norm, tw_norm_args) X(batch_norm_grad, tw_norm_args) X(batch_norm_tangent, tw_norm_args)                     \
  X(layer_norm, tw_norm_args) X(layer_norm_grad, tw_norm_args) X(layer_norm_tangent, tw_norm_args)                     \
  X(running, tw_running_args)                                                                                         \
  X(activate, tw_element_args) X(activate_grad, tw_element_args) X(dropout, tw_element_args) X(add_scaled, tw_element_args) \
  X(copy_mat, tw_element_args) X(row_dot, tw_element_args) X(row_scale, tw_element_args)                               \
  X(row_normalize, tw_element_args) X(row_normalize_jac, tw_element_args) X(dot_mat, tw_element_args)                  \
  X(softmax_ce, tw_loss_args) X(element_loss, tw_loss_args) X(ntxent, tw_loss_args) X(pair_distance, tw_loss_args)     \
  X(fill, tw_vector_args) X(copy, tw_vector_args) X(scale, tw_vector_args) X(axpy, tw_vector_args)                     \
  X(perturb, tw_vector_args) X(mul, tw_vector_args) X(dot, tw_vector_args) X(prox, tw_vector_args) X(rstd_of, tw_vector_args) \
  X(update, tw_update_args)

#define TW_DECLARE(name, args) void tw_##name(const args *a);
TW_OPS(TW_DECLARE)
#undef TW_DECLARE

// tw_init chooses the instruction set: want 0 = the best there is, 1 = AVX2. Returns 2 for AVX-512, 1 for AVX2, 0 when the
// CPU has neither. threads is the number of threads from then on.
int tw_init(int want, int threads);
const char *tw_onednn_version(void);
// tw_peak returns GFLOP/s of independent fused multiply-adds on all threads; tw_copy GB/s (read + write) of a large copy.
double tw_peak(void);
double tw_copy_rate(void);
#ifdef __cplusplus
}
#endif
