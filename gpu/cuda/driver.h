// What gpu/cuda asks of the driver and of cuBLAS in C.
#pragma once
#include <cuda.h>
#include <stdint.h>

// Which library the driver was bound from, or why none was; see lazy/bind.c.
const char *tw_cu_library(void);
int tw_cu_bound(void);

// An element of a list: a launch, whose argument struct lies at params + offset with the scratch pointer behind it, or, with f 0,
// a product for cuBLAS, whose tw_product lies there.
typedef struct {
  uintptr_t f;  // CUfunction, as a number: Go's collector has no business with it
  unsigned grid[3], block[3];
  unsigned shared, offset, size;
} tw_launch;

// C = alpha op(A) op(B) + beta C, column-major as cuBLAS has it.
typedef struct {
  uintptr_t a, b, c;
  int transa, transb, m, n, k, lda, ldb, ldc;
  float beta;
} tw_product;

// tw_cu_submit queues n elements on a stream, up to the first that is refused. A status of cuBLAS is negative.
typedef struct {
  int status, at;
} tw_refusal;
tw_refusal tw_cu_submit(const tw_launch *l, int n, const char *params, CUstream s, void *blas);

// tw_cu_load loads a module; log receives what the driver's compiler says about PTX.
CUresult tw_cu_load(CUmodule *m, const void *image, char *log, unsigned bytes);

// tw_cu_update gives an executable graph the parameters of another graph.
CUresult tw_cu_update(CUgraphExec e, CUgraph g);

// tw_cublas_open binds cuBLAS from a file; it returns what is missing, or 0.
const char *tw_cublas_open(const char *file);
int tw_cublas_version(void);  // 120901 for 12.9.1
int tw_cublas_create(void **handle, CUstream s, CUdeviceptr workspace, size_t bytes);
int tw_cublas_destroy(void *handle);
