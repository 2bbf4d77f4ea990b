//go:build cuda

#include "driver.h"

#include <dlfcn.h>

// The few calls of cuBLAS, as its header declares them.
static struct {
  int (*create)(void **handle);
  int (*destroy)(void *handle);
  int (*set_stream)(void *handle, CUstream s);
  int (*set_workspace)(void *handle, void *workspace, size_t bytes);
  int (*property)(int which, int *value);
  int (*gemm)(void *handle, int transa, int transb, int m, int n, int k, const void *alpha, const void *a, int atype, int lda,
              const void *b, int btype, int ldb, const void *beta, void *c, int ctype, int ldc, int compute, int algorithm);
} blas;

enum { FLOAT32 = 0, COMPUTE_32F = 68, DEFAULT_ALGORITHM = -1 };  // CUDA_R_32F, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT

const char *tw_cublas_open(const char *file) {
  void *h = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!h) return dlerror();
  const struct {
    void *to;
    const char *name;
  } calls[] = {{&blas.create, "cublasCreate_v2"},         {&blas.destroy, "cublasDestroy_v2"},
               {&blas.set_stream, "cublasSetStream_v2"},  {&blas.set_workspace, "cublasSetWorkspace_v2"},
               {&blas.property, "cublasGetProperty"},     {&blas.gemm, "cublasGemmEx"}};
  for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
    *(void **)calls[i].to = dlsym(h, calls[i].name);
    if (!*(void **)calls[i].to) return calls[i].name;
  }
  return 0;
}

int tw_cublas_version(void) {
  int v[3] = {0, 0, 0};
  for (int i = 0; i < 3; i++) blas.property(i, &v[i]);
  return v[0] * 10000 + v[1] * 100 + v[2];
}

int tw_cublas_create(void **handle, CUstream s, CUdeviceptr workspace, size_t bytes) {
  int r = blas.create(handle);
  if (!r) r = blas.set_stream(*handle, s);
  if (!r) r = blas.set_workspace(*handle, (void *)workspace, bytes);  // a workspace of ours keeps products in graphs repeatable
  return r;
}

int tw_cublas_destroy(void *handle) { return blas.destroy(handle); }

tw_refusal tw_cu_submit(const tw_launch *l, int n, const char *params, CUstream s, void *handle) {
  for (int i = 0; i < n; i++, l++) {
    const char *args = params + l->offset;
    int r;
    if (l->f) {
      void *p[] = {(void *)args, (void *)(args + l->size)};
      r = cuLaunchKernel((CUfunction)l->f, l->grid[0], l->grid[1], l->grid[2], l->block[0], l->block[1], l->block[2], l->shared, s, p, 0);
    } else {
      const tw_product *g = (const tw_product *)args;
      const float one = 1;
      r = -blas.gemm(handle, g->transa, g->transb, g->m, g->n, g->k, &one, (void *)g->a, FLOAT32, g->lda, (void *)g->b, FLOAT32, g->ldb,
                     &g->beta, (void *)g->c, FLOAT32, g->ldc, COMPUTE_32F, DEFAULT_ALGORITHM);
    }
    if (r) return (tw_refusal){r, i};
  }
  return (tw_refusal){0, n};
}

CUresult tw_cu_load(CUmodule *m, const void *image, char *log, unsigned bytes) {
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, (void *)(size_t)bytes};
  return cuModuleLoadDataEx(m, image, 2, options, values);
}

CUresult tw_cu_update(CUgraphExec e, CUgraph g) {
  CUgraphExecUpdateResultInfo info;
  return cuGraphExecUpdate(e, g, &info);
}
