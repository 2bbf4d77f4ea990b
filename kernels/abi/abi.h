// The argument structs of the kernels, one per operation, named as in package gpu, which says what each operation means.
// The CPU kernels take a pointer to one, the CUDA kernels the struct itself. Pointers are float32 or int32 in the memory of
// the device; absent arguments are null. Nothing is checked here. abi.go mirrors this file field by field.
#pragma once
#ifndef __CUDACC_RTC__
#include <stdint.h>
#endif
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
typedef struct { tw_mat q, k, v, out, lse; const int32_t *qptr, *ptr; int64_t sequences, longest_q, longest, heads; double scale, p; uint64_t seed;
                 uint32_t step, stream; tw_mat dout, dq, dk, dv, tq, tk, tv, tout; } tw_attention_args;
typedef struct { tw_mat x, y; const float *mult; double total; const float *gamma, *beta; float *mean, *rstd; double eps;
                 int relu, frozen, accumulate; tw_mat dy, dx; float *dgamma, *dbeta; tw_mat tx, ty; const float *tgamma, *tbeta; } tw_norm_args;
typedef struct { float *run_mean, *run_var; const float *mean, *rstd; int64_t n; double momentum, total, eps; } tw_running_args;
typedef struct { tw_mat y, x, z; int act, accumulate; double s, p; uint64_t seed; uint32_t step, stream; float *v; } tw_element_args;
typedef struct { tw_mat x, dx, b, db; const int32_t *target; const float *t, *w; int mse; double scale, eps; float *loss; } tw_loss_args;
typedef struct { float *y; const float *x, *z; float *v; const float *s; int64_t n; double c; int accumulate; } tw_vector_args;
/* x: k of at most TW_MAX_VECTORS vectors of n; s: k factors. */
#define TW_MAX_VECTORS 16
typedef struct { const float *x[16]; int k, accumulate; float *y; const float *z, *s; float *v; int64_t n; double c; } tw_vectors_args;
typedef struct { int rule; int64_t n; float *p; const float *g; float *m, *v, *jac; const float *scale;
                 double lr, c1, c2, momentum, beta1, beta2, eps, decay; } tw_update_args;
typedef struct { tw_mat p, g, m, v; const int32_t *row; int32_t *last; const float *rates, *scale; int64_t rows; int rule, until;
                 double momentum, beta1, beta2, eps, decay; } tw_update_rows_args;
typedef struct { tw_mat x, y; const float *bias; int tanh, accumulate; tw_mat dy, dx; float *dbias; tw_mat tx, ty; const float *tbias; } tw_gelu_args;
typedef struct { tw_mat x, r, z, y; const float *bias; double p; uint64_t seed; uint32_t step, stream; const float *gamma, *beta; float *mean, *rstd;
                 double eps; int accumulate; tw_mat dy, dx, dr; float *dbias, *dgamma, *dbeta; tw_mat tx, tr, ty;
                 const float *tbias, *tgamma, *tbeta; } tw_add_norm_args;
typedef struct { tw_mat x, w; const float *bias; const int32_t *target; double scale; float *lse, *loss; const float *up; tw_mat dx, dw; int accumulate;
                 float *dbias; tw_mat tx, tw; const float *tbias; double c; float *out; } tw_linear_ce_args;
typedef struct { tw_mat dst, src; const int32_t *row; tw_csr csr; } tw_scatter_args;
typedef struct { tw_mat x, y; const int32_t *xrow, *yrow; int64_t xfirst, yfirst; const float *s; float *v; double c; } tw_rows_args;
#ifdef __cplusplus
}
#endif
