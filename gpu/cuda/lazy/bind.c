/* Included behind the enum and the names of the symbols; see make.sh. */
#include <stdio.h>

void *tw_cu_table[COUNT];

static char library[512];
static int usable;

/* Which library was bound, or why none was. */
const char *tw_cu_library(void) { return library; }
int tw_cu_bound(void) { return usable; }

static int no_device(void) { return 100; } /* CUDA_ERROR_NO_DEVICE */
static int too_old(void) { return 34; }    /* CUDA_ERROR_STUB_LIBRARY: the driver lacks this call */
static int ok(void) { return 0; }
static int none(int *n) {
  if (n) *n = 0;
  return 0;
}

__attribute__((constructor)) static void bind(void) {
  const char *path = getenv("TAPWEIGHT_LIBCUDA");
  if (!path || !*path) path = "libcuda.so.1";
  void *h = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  int (*init)(unsigned) = h ? (int (*)(unsigned))dlsym(h, "cuInit") : 0;
  int (*name)(int, const char **) = h ? (int (*)(int, const char **))dlsym(h, "cuGetErrorName") : 0;
  int status = init ? init(0) : -1;
  usable = status == 0;
  if (!h) {
    snprintf(library, sizeof library, "%s", dlerror());
  } else if (!init || !name) {
    snprintf(library, sizeof library, "%s is not a CUDA driver", path);
  } else if (!usable) {
    const char *text = "unknown error";
    name(status, &text);
    snprintf(library, sizeof library, "%s: cuInit: %s", path, text);
  } else {
    snprintf(library, sizeof library, "%s", path);
  }
  for (int i = 0; i < COUNT; i++) {
    void *f = usable ? dlsym(h, names[i]) : 0;
    tw_cu_table[i] = f ? f : usable ? (void *)too_old : (void *)no_device;
  }
  tw_cu_table[AT_cuInit] = (void *)ok; /* it was called above */
  if (!usable) {
    tw_cu_table[AT_cuDeviceGetCount] = (void *)none;
    tw_cu_table[AT_cuDriverGetVersion] = (void *)none;
  }
}
