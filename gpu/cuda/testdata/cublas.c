// Six calls of cuBLAS on the host, with its signatures and its column-major meaning, for tests on the stand-in driver.
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

typedef uint64_t address;
static int (*down)(void *, address, size_t), (*up)(address, const void *, size_t), (*wait_for)(void *);
static void *stream;

int cublasCreate_v2(void **handle) {
  down = (int (*)(void *, address, size_t))dlsym(RTLD_DEFAULT, "cuMemcpyDtoH_v2");
  up = (int (*)(address, const void *, size_t))dlsym(RTLD_DEFAULT, "cuMemcpyHtoD_v2");
  wait_for = (int (*)(void *))dlsym(RTLD_DEFAULT, "cuStreamSynchronize");
  *handle = &stream;
  return down && up && wait_for ? 0 : 1;
}
int cublasDestroy_v2(void *handle) { return handle == &stream ? 0 : 1; }
int cublasSetStream_v2(void *handle, void *s) {
  stream = s;
  return handle == &stream ? 0 : 1;
}
int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes) { return handle == &stream && workspace && bytes ? 0 : 1; }
int cublasGetProperty(int which, int *value) {
  *value = 12 - which;
  return 0;
}

static float *fetch(const void *p, int rows, int cols, int ld, size_t *bytes) {
  *bytes = ((size_t)(cols - 1) * ld + rows) * sizeof(float);
  float *host = malloc(*bytes);
  if (down(host, (address)p, *bytes)) abort();
  return host;
}

int cublasGemmEx(void *handle, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int atype, int lda, const void *b,
                 int btype, int ldb, const void *beta, void *c, int ctype, int ldc, int compute, int algorithm) {
  if (handle != &stream || atype || btype || ctype || compute != 68 || algorithm != -1 || ldc < m) return 7;
  if (lda < (ta ? k : m) || ldb < (tb ? n : k)) return 7;
  size_t na, nb, nc;
  if (wait_for(stream)) return 14;
  float *x = fetch(a, ta ? k : m, ta ? m : k, lda, &na), *y = fetch(b, tb ? n : k, tb ? k : n, ldb, &nb), *z = fetch(c, m, n, ldc, &nc);
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      double s = 0;
      for (int l = 0; l < k; l++) s += (double)x[ta ? (size_t)i * lda + l : (size_t)l * lda + i] * y[tb ? (size_t)l * ldb + j : (size_t)j * ldb + l];
      float *out = &z[(size_t)j * ldc + i];
      *out = *(const float *)alpha * s + (*(const float *)beta ? *(const float *)beta * *out : 0);
    }
  int r = up((address)c, z, nc);
  free(x), free(y), free(z);
  return r ? 14 : 0;
}
