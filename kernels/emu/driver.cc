// The stand-in driver: initialisation, devices and contexts. Environment, read by cuInit:
//   TAPWEIGHT_EMU_SCHEDULE   forward (default), reverse, random: order of blocks and warps in a kernel, and of queued work
//   TAPWEIGHT_EMU_SEED       of the random schedule
//   TAPWEIGHT_EMU_ASYNC      late (default): queued work runs when a call waits for it, cp.async delivers at its wait; early: at once
//   TAPWEIGHT_EMU_CHECK      0 looks for no uninitialised reads and no races
//   TAPWEIGHT_EMU_THREADS    host threads that run the blocks of a kernel (default: all)
//   TAPWEIGHT_EMU_CACHE      bytes of a modelled cache, behind which traffic with memory is counted (default 0: it is not); one host thread
//   TAPWEIGHT_EMU_MEMORY     bytes of device memory (default 8 GiB)
//   TAPWEIGHT_EMU_SM         compute capability shown: 80 86 89 90 (default) 100 120
//   TAPWEIGHT_EMU_VERSION    CUDA version that the driver supports (default 12090)
//   TAPWEIGHT_EMU_DEVICES    how many devices (default 1; 0 is a driver without a device)
//   TAPWEIGHT_EMU_FAIL       call:k[,call:k...]: the k-th call of that name fails, with
//   TAPWEIGHT_EMU_FAIL_CODE  this code (default 999); codes that real contexts do not survive (214 700 702 710 714-719) last
//   TAPWEIGHT_EMU_REPORT     file for the report (JSON), written at the end of the process and when the last context goes
//   TAPWEIGHT_EMU_VERBOSE    every call that returns an error, on stderr
#include "driver.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>

#include "card.h"

namespace emu::api {

Driver &driver() {
  static Driver *d = new Driver;  // outlives everything that may call it while the process ends
  return *d;
}

static thread_local std::vector<Handle> stack;  // contexts made current by this thread

Context *current() {
  while (!stack.empty() && stack.back() && !driver().contexts.find(stack.back())) stack.pop_back();
  return stack.empty() ? nullptr : driver().contexts.find(stack.back());
}

static DeviceState *device(Device n) {
  auto &all = driver().devices;
  return n >= 0 && size_t(n) < all.size() ? &all[n] : nullptr;
}

static Context *make_context(const Entry &e, Device n, unsigned flags, bool primary) {
  auto c = std::make_unique<Context>();
  c->made = e.call();
  c->device = n;
  c->flags = flags;
  c->primary = primary;
  c->memory = device(n)->memory.get();
  c->legacy.legacy = true;
  Context *made = driver().contexts.add(std::move(c));
  made->context = made->legacy.context = made;
  return made;
}

// take_all removes what belongs to a context from a table.
template <class T>
static void take_all(Table<T> &table, Context &c, const char *kind) {
  std::vector<Handle> mine;
  for (auto &[handle, object] : table.live())
    if (object->context == &c) mine.push_back(handle);
  for (Handle h : mine) {
    if (kind) driver().journal.leak(leaked(*table.find(h), kind));
    table.remove(h);
  }
}

void destroy(Context &c) {
  Driver &d = driver();
  d.scheduler.drain(c);
  take_all(d.execs, c, "executable graph");
  take_all(d.events, c, "event");
  take_all(d.streams, c, "stream");
  take_all(d.functions, c, nullptr);
  take_all(d.modules, c, "module");
  for (auto &[at, a] : c.device_memory) {
    d.journal.leak(leaked(a, (std::to_string(a.bytes) + " device bytes").c_str()));
    c.memory->release(at);
  }
  for (auto &[at, a] : c.host_memory) {
    d.journal.leak(leaked(a, (std::to_string(a.bytes) + " pinned bytes").c_str()));
    if (!a.registered) free(reinterpret_cast<void *>(at));
  }
  if (c.primary) d.devices[c.device].primary = nullptr;
  d.contexts.remove(c.handle);
  if (d.contexts.live().empty() && !d.settings.report.empty()) write_report(d.settings.report.c_str());
}

}  // namespace emu::api

using namespace emu;
using namespace emu::api;

API cuInit(unsigned flags) {
  return in_driver(__func__, [&](Entry &) {
    Driver &d = driver();
    if (flags) return ERROR_INVALID_VALUE;
    if (d.initialised) return SUCCESS;
    d.settings = Settings::from_environment();
    // A failure of this first call was asked for in an environment that nobody had read yet.
    if (auto it = d.settings.fail.find("cuInit"); it != d.settings.fail.end() && it->second == d.journal.calls["cuInit"])
      return Status(d.settings.fail_code);
    if (d.settings.devices == 0) return ERROR_NO_DEVICE;
    d.devices.resize(d.settings.devices);
    for (auto &device : d.devices) device.memory = std::make_unique<Memory>(d.settings.memory);
    d.initialised = true;
    return SUCCESS;
  }, Entry::kUninitialised);
}

API cuDriverGetVersion(int *version) {
  return in_driver(__func__, [&](Entry &) {
    if (!version) return ERROR_INVALID_VALUE;
    *version = driver().settings.version;
    return SUCCESS;
  }, Entry::kUninitialised);
}

static const char *status_text(int status, bool name) {
  switch (status) {
#define X(value, id, text) case value: return name ? "CUDA_" #id : text;
    EMU_STATUS(X)
#undef X
  }
  return nullptr;
}

API cuGetErrorName(int status, const char **out) {
  if (!out) return ERROR_INVALID_VALUE;
  *out = status_text(status, true);
  return *out ? SUCCESS : ERROR_INVALID_VALUE;
}

API cuGetErrorString(int status, const char **out) {
  if (!out) return ERROR_INVALID_VALUE;
  *out = status_text(status, false);
  return *out ? SUCCESS : ERROR_INVALID_VALUE;
}

API cuDeviceGetCount(int *count) {
  return in_driver(__func__, [&](Entry &) {
    if (!count) return ERROR_INVALID_VALUE;
    *count = int(driver().devices.size());
    return SUCCESS;
  });
}

API cuDeviceGet(Device *out, int ordinal) {
  return in_driver(__func__, [&](Entry &) {
    if (!out) return ERROR_INVALID_VALUE;
    if (!device(ordinal)) return ERROR_INVALID_DEVICE;
    *out = ordinal;
    return SUCCESS;
  });
}

API cuDeviceGetName(char *name, int bytes, Device n) {
  return in_driver(__func__, [&](Entry &) {
    if (!name || bytes < 1) return ERROR_INVALID_VALUE;
    if (!device(n)) return ERROR_INVALID_DEVICE;
    snprintf(name, bytes, "tapweight emulated GPU (sm_%d)", card().sm);
    return SUCCESS;
  });
}

static int uuid(const char *call, unsigned char *out, Device n) {
  return in_driver(call, [&](Entry &) {
    if (!out) return ERROR_INVALID_VALUE;
    if (!device(n)) return ERROR_INVALID_DEVICE;
    memcpy(out, "tapweight-emu-00", 16);
    out[15] = static_cast<unsigned char>('0' + n);
    return SUCCESS;
  });
}
API cuDeviceGetUuid(unsigned char *out, Device n) { return uuid(__func__, out, n); }
API cuDeviceGetUuid_v2(unsigned char *out, Device n) { return uuid(__func__, out, n); }

API cuDeviceTotalMem_v2(size_t *bytes, Device n) {
  return in_driver(__func__, [&](Entry &) {
    if (!bytes) return ERROR_INVALID_VALUE;
    if (!device(n)) return ERROR_INVALID_DEVICE;
    *bytes = device(n)->memory->limit();
    return SUCCESS;
  });
}

API cuDeviceGetAttribute(int *value, int which, Device n) {
  return in_driver(__func__, [&](Entry &) {
    if (!device(n)) return ERROR_INVALID_DEVICE;
    int v = attribute(card(), which, n);
    if (!value || v < 0) return ERROR_INVALID_VALUE;
    *value = v;
    return SUCCESS;
  });
}

API cuDeviceCanAccessPeer(int *can, Device a, Device b) {
  return in_driver(__func__, [&](Entry &) {
    if (!can) return ERROR_INVALID_VALUE;
    if (!device(a) || !device(b)) return ERROR_INVALID_DEVICE;
    *can = 0;
    return SUCCESS;
  });
}

// Primary contexts.

API cuDevicePrimaryCtxRetain(Handle *out, Device n) {
  return in_driver(__func__, [&](Entry &e) {
    if (!out) return ERROR_INVALID_VALUE;
    DeviceState *d = device(n);
    if (!d) return ERROR_INVALID_DEVICE;
    if (!d->primary) d->primary = make_context(e, n, d->flags, true);
    d->retained++;
    *out = d->primary->handle;
    return SUCCESS;
  });
}

API cuDevicePrimaryCtxRelease_v2(Device n) {
  return in_driver(__func__, [&](Entry &e) {
    DeviceState *d = device(n);
    if (!d) return ERROR_INVALID_DEVICE;
    if (!d->primary) {
      driver().journal.fault(e.call() + ": the primary context is not retained");
      return ERROR_INVALID_CONTEXT;
    }
    if (--d->retained == 0) destroy(*d->primary);
    return SUCCESS;
  }, Entry::kRelease);
}

API cuDevicePrimaryCtxReset_v2(Device n) {
  return in_driver(__func__, [&](Entry &) {
    DeviceState *d = device(n);
    if (!d) return ERROR_INVALID_DEVICE;
    if (d->primary) destroy(*d->primary);
    d->retained = 0;
    return SUCCESS;
  }, Entry::kRelease);
}

API cuDevicePrimaryCtxGetState(Device n, unsigned *flags, int *active) {
  return in_driver(__func__, [&](Entry &) {
    DeviceState *d = device(n);
    if (!d) return ERROR_INVALID_DEVICE;
    if (flags) *flags = d->flags;
    if (active) *active = d->primary != nullptr;
    return SUCCESS;
  });
}

API cuDevicePrimaryCtxSetFlags_v2(Device n, unsigned flags) {
  return in_driver(__func__, [&](Entry &) {
    DeviceState *d = device(n);
    if (!d) return ERROR_INVALID_DEVICE;
    d->flags = flags;
    if (d->primary) d->primary->flags = flags;
    return SUCCESS;
  });
}

// Contexts.

API cuCtxCreate_v2(Handle *out, unsigned flags, Device n) {
  return in_driver(__func__, [&](Entry &e) {
    if (!out) return ERROR_INVALID_VALUE;
    if (!device(n)) return ERROR_INVALID_DEVICE;
    *out = make_context(e, n, flags, false)->handle;
    stack.push_back(*out);
    return SUCCESS;
  });
}

API cuCtxDestroy_v2(Handle h) {
  return in_driver(__func__, [&](Entry &e) {
    Context *c = driver().contexts.find(h);
    if (!c || c->primary) {
      driver().journal.fault(e.call() + ": not a context made by cuCtxCreate");
      return ERROR_INVALID_CONTEXT;
    }
    if (!stack.empty() && stack.back() == h) stack.pop_back();
    destroy(*c);
    return SUCCESS;
  }, Entry::kRelease);
}

API cuCtxSetCurrent(Handle h) {
  return in_driver(__func__, [&](Entry &) {
    if (h && !driver().contexts.find(h)) return ERROR_INVALID_CONTEXT;
    if (!stack.empty()) stack.pop_back();
    if (h) stack.push_back(h);
    return SUCCESS;
  });
}

API cuCtxPushCurrent_v2(Handle h) {
  return in_driver(__func__, [&](Entry &) {
    if (!driver().contexts.find(h)) return ERROR_INVALID_CONTEXT;
    stack.push_back(h);
    return SUCCESS;
  });
}

API cuCtxPopCurrent_v2(Handle *out) {
  return in_driver(__func__, [&](Entry &) {
    Context *c = current();
    if (!c) return ERROR_INVALID_CONTEXT;
    if (out) *out = c->handle;
    stack.pop_back();
    return SUCCESS;
  });
}

API cuCtxGetCurrent(Handle *out) {
  return in_driver(__func__, [&](Entry &) {
    if (!out) return ERROR_INVALID_VALUE;
    Context *c = current();
    *out = c ? c->handle : 0;
    return SUCCESS;
  });
}

API cuCtxGetDevice(Device *out) {
  return in_driver(__func__, [&](Entry &) {
    if (!out) return ERROR_INVALID_VALUE;
    if (!current()) return ERROR_INVALID_CONTEXT;
    *out = current()->device;
    return SUCCESS;
  });
}

API cuCtxGetFlags(unsigned *out) {
  return in_context(__func__, [&](Entry &e) {
    if (!out) return ERROR_INVALID_VALUE;
    *out = e.context().flags;
    return SUCCESS;
  });
}

API cuCtxGetApiVersion(Handle h, unsigned *out) {
  return in_driver(__func__, [&](Entry &) {
    if (!out) return ERROR_INVALID_VALUE;
    if (h ? !driver().contexts.find(h) : !current()) return ERROR_INVALID_CONTEXT;
    *out = 3020;  // of cuCtxCreate_v2
    return SUCCESS;
  });
}

API cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  return in_context(__func__, [&](Entry &) {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return SUCCESS;
  });
}

API cuCtxGetLimit(size_t *out, int which) {
  return in_context(__func__, [&](Entry &e) {
    if (!out) return ERROR_INVALID_VALUE;
    static const size_t normal[] = {1 << 10, 1 << 20, 8 << 20, 2, 2048, 0, 0};  // stack, printf, heap, ...
    if (which < 0 || which > 6) return ERROR_UNSUPPORTED_LIMIT;
    auto it = e.context().limits.find(which);
    *out = it == e.context().limits.end() ? normal[which] : it->second;
    return SUCCESS;
  });
}

API cuCtxSetLimit(int which, size_t value) {
  return in_context(__func__, [&](Entry &e) {
    if (which < 0 || which > 6) return ERROR_UNSUPPORTED_LIMIT;
    e.context().limits[which] = value;
    return SUCCESS;
  });
}

// Preferences that change no result: kept by nobody, answered with what a recent card answers.
static int preference(const char *call, int *out, int value) {
  return in_context(call, [&](Entry &) {
    if (!out) return ERROR_INVALID_VALUE;
    *out = value;
    return SUCCESS;
  });
}
static int accept(const char *call) {
  return in_context(call, [&](Entry &) { return SUCCESS; });
}
API cuCtxGetCacheConfig(int *out) { return preference(__func__, out, 0); }
API cuCtxSetCacheConfig(int) { return accept(__func__); }
API cuCtxGetSharedMemConfig(int *out) { return preference(__func__, out, 1); }
API cuCtxSetSharedMemConfig(int) { return accept(__func__); }
API cuCtxResetPersistingL2Cache() { return accept(__func__); }
API cuFuncSetCacheConfig(Handle, int) { return accept(__func__); }
API cuFuncSetSharedMemConfig(Handle, int) { return accept(__func__); }
API cuProfilerStart() { return accept(__func__); }
API cuProfilerStop() { return accept(__func__); }

API cuCtxSynchronize() {
  return in_context(__func__, [&](Entry &e) {
    driver().journal.waits++;
    driver().scheduler.drain(e.context());
    return SUCCESS;
  }, Entry::kUnsafe);
}

// find_symbol is the newest form of a call that this library has, as cuda.h of CUDA 12 means the name.
static void *find_symbol(const char *name) {
  static void *self = [] {
    Dl_info info;
    dladdr(reinterpret_cast<void *>(&cuInit), &info);
    return dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  }();
  if (!strncmp(name, "tw_", 3)) return nullptr;
  if (!strcmp(name, "cuGraphInstantiate")) name = "cuGraphInstantiateWithFlags";
  for (const char *version : {"_v3", "_v2", ""})
    if (void *f = dlsym(self, (std::string(name) + version).c_str())) return f;
  return nullptr;
}

API cuGetProcAddress(const char *name, void **out, int, uint64_t) {
  return in_driver(__func__, [&](Entry &) {
    if (!name || !out) return ERROR_INVALID_VALUE;
    *out = find_symbol(name);
    return *out ? SUCCESS : ERROR_NOT_FOUND;
  }, Entry::kUninitialised);
}

API cuGetProcAddress_v2(const char *name, void **out, int, uint64_t, int *found) {
  return in_driver(__func__, [&](Entry &) {
    if (!name || !out) return ERROR_INVALID_VALUE;
    *out = find_symbol(name);
    if (found) *found = *out ? 0 : 1;
    return *out ? SUCCESS : ERROR_NOT_FOUND;
  }, Entry::kUninitialised);
}
