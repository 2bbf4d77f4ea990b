// What the test programs share: a context, buffers, launches, and an end at the first call that fails.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "cu.h"  // the driver's exported calls, listed from its sources by the test that builds this

using namespace emu::api;

enum Exit { kRight = 0, kWrong = 1, kCallFailed = 3 };

#define CU(call)                                                                   \
  do {                                                                             \
    if (int status_ = (call)) {                                                    \
      const char *name_ = "?";                                                     \
      cuGetErrorName(status_, &name_);                                             \
      printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, name_);                 \
      exit(kCallFailed);                                                           \
    }                                                                              \
  } while (0)

inline std::string read_file(const std::string &path) {
  std::ifstream f(path, std::ios::binary);
  std::stringstream s;
  s << f.rdbuf();
  if (!f) {
    printf("cannot read %s\n", path.c_str());
    exit(kCallFailed);
  }
  return s.str();
}

// Gpu is the primary context of device 0 and the modules loaded into it.
struct Gpu {
  Handle context = 0;
  std::map<std::string, Handle> modules;
  std::string folder;  // of the PTX

  explicit Gpu(std::string folder) : folder(std::move(folder)) {
    CU(cuInit(0));
    CU(cuDevicePrimaryCtxRetain(&context, 0));
    CU(cuCtxSetCurrent(context));
  }
  ~Gpu() {
    for (auto &[name, m] : modules) cuModuleUnload(m);
    cuDevicePrimaryCtxRelease_v2(0);
  }
  Handle function(const std::string &module, const std::string &name) {
    Handle &m = modules[module];
    if (!m) CU(cuModuleLoadData(&m, read_file(folder + "/" + module + ".ptx").c_str()));
    Handle f = 0;
    CU(cuModuleGetFunction(&f, m, name.c_str()));
    return f;
  }
};

template <class T>
struct Buffer {
  Address at = 0;
  size_t n;
  explicit Buffer(size_t n) : n(n) { CU(cuMemAlloc_v2(&at, n * sizeof(T))); }
  explicit Buffer(const std::vector<T> &v) : Buffer(v.size()) { CU(cuMemcpyHtoD_v2(at, v.data(), n * sizeof(T))); }
  Buffer(const Buffer &) = delete;
  ~Buffer() {
    if (at) cuMemFree_v2(at);
  }
  std::vector<T> get() const {
    std::vector<T> v(n);
    CU(cuMemcpyDtoH_v2(v.data(), at, n * sizeof(T)));
    return v;
  }
};

template <class T>
struct Pinned {
  T *p = nullptr;
  explicit Pinned(size_t n) { CU(cuMemHostAlloc(reinterpret_cast<void **>(&p), n * sizeof(T), 0)); }
  Pinned(const Pinned &) = delete;
  ~Pinned() {
    if (p) cuMemFreeHost(p);
  }
  T &operator[](size_t i) { return p[i]; }
};

struct Shape {
  unsigned grid = 1, block = 128, shared = 0;
  Handle stream = 0;
};
template <class... A>
int try_launch(Handle f, Shape s, A... args) {
  void *params[] = {&args..., nullptr};
  return cuLaunchKernel(f, s.grid, 1, 1, s.block, 1, 1, s.shared, s.stream, params, nullptr);
}
template <class... A>
void launch(Handle f, Shape s, A... args) {
  CU(try_launch(f, s, args...));
}

inline std::vector<float> ramp(size_t n, float step = 1, float first = 1) {
  std::vector<float> v(n);
  for (size_t i = 0; i < n; i++) v[i] = first + step * float(i);
  return v;
}
