// Modules, functions, launches and occupancy.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

#include "card.h"
#include "driver.h"

namespace emu::api {

// Options of cuModuleLoadDataEx that take the log.
struct JitLog {
  char *text = nullptr;
  size_t bytes = 0;
  void **used = nullptr;  // its entry in the values, which becomes the bytes written

  void write(const std::string &s) const {
    if (!text || !bytes) return;
    size_t n = std::min(s.size(), bytes - 1);
    memcpy(text, s.data(), n);
    text[n] = 0;
    if (used) *used = reinterpret_cast<void *>(n + 1);
  }
};

static JitLog jit_log(unsigned n, const int *options, void **values) {
  JitLog log;
  for (unsigned i = 0; i < n; i++) {
    if (options[i] == kErrorLog) log.text = static_cast<char *>(values[i]);
    if (options[i] == kErrorLogBytes) {
      log.bytes = reinterpret_cast<size_t>(values[i]) & 0xffffffff;
      log.used = &values[i];
    }
  }
  return log;
}

// target is NN of the module's `.target sm_NN`.
static int target(const char *ptx) {
  const char *t = strstr(ptx, ".target");
  t = t ? strstr(t, "sm_") : nullptr;
  return t ? atoi(t + 3) : 0;
}

static int load(const Entry &e, Handle *out, const char *image, const JitLog &log) {
  if (!out || !image) return ERROR_INVALID_VALUE;
  auto fail = [&](int status, const std::string &why) {
    log.write(why);
    if (driver().settings.verbose) fprintf(stderr, "emu: %s: %s\n", e.call().c_str(), why.c_str());
    return status;
  };
  uint32_t magic;
  memcpy(&magic, image, 4);
  if (magic == 0x464c457f || magic == 0xba55ed50)  // ELF, fat binary
    return fail(ERROR_NO_BINARY_FOR_GPU, "the stand-in driver interprets PTX; it cannot run machine code");
  if (!strstr(image, ".version")) return fail(ERROR_INVALID_IMAGE, "neither PTX nor a binary");
  if (int sm = target(image); sm > card().sm)
    return fail(ERROR_NO_BINARY_FOR_GPU, "PTX for sm_" + std::to_string(sm) + " on an sm_" + std::to_string(card().sm));
  std::string error;
  bool out_of_memory = false;
  std::unique_ptr<Module> parsed = Module::parse(image, *e.context().memory, &error, &out_of_memory);
  if (!parsed) return fail(out_of_memory ? ERROR_OUT_OF_MEMORY : ERROR_INVALID_PTX, error);
  auto m = std::make_unique<ModuleObject>();
  m->context = &e.context();
  m->made = e.call();
  m->module = std::move(parsed);
  *out = driver().modules.add(std::move(m))->handle;
  return SUCCESS;
}

static ModuleObject *find_module(const Entry &e, Handle h) {
  Driver &d = driver();
  if (ModuleObject *m = d.modules.find(h)) return m;
  d.journal.fault(e.call() + (d.modules.stale(h) ? ": the module is unloaded" : ": not a module"));
  return nullptr;
}

static FunctionObject *find_function(const Entry &e, Handle h) {
  Driver &d = driver();
  if (FunctionObject *f = d.functions.find(h)) return f;
  d.journal.fault(e.call() + (d.functions.stale(h) ? ": the function's module is unloaded" : ": not a function"));
  return nullptr;
}

static std::vector<uint8_t> pack(const Function &f, void **params) {
  std::vector<uint8_t> packed(f.param_bytes);
  for (size_t i = 0; i < f.params.size(); i++) memcpy(&packed[f.params[i].offset], params[i], f.params[i].size);
  return packed;
}

// from_extra reads CU_LAUNCH_PARAM_BUFFER_POINTER (1), _BUFFER_SIZE (2) up to _END (0).
static bool from_extra(const Function &f, void **extra, std::vector<uint8_t> *packed) {
  const uint8_t *buffer = nullptr;
  size_t bytes = 0;
  for (; *extra; extra += 2) {
    if (extra[0] == reinterpret_cast<void *>(1)) buffer = static_cast<const uint8_t *>(extra[1]);
    else if (extra[0] == reinterpret_cast<void *>(2)) bytes = *static_cast<size_t *>(extra[1]);
    else return false;
  }
  if (bytes < f.param_bytes || (f.param_bytes && !buffer)) return false;
  packed->assign(buffer, buffer + f.param_bytes);
  return true;
}

int kernel_work(const Entry &e, const KernelNodeParams &p, Work *out) {
  FunctionObject *o = find_function(e, p.function);
  if (!o) return ERROR_INVALID_HANDLE;
  if (o->context != &e.context()) return ERROR_INVALID_CONTEXT;
  const Function &f = *o->function;
  auto refuse = [&](int status, const std::string &why) {
    driver().journal.fault(e.call() + ": kernel " + f.name + ": " + why);
    return status;
  };
  Kernel k;
  k.memory = e.context().memory;
  k.module = o->module->module;
  k.function = p.function;
  k.launch.function = &f;
  k.launch.grid = {p.grid[0], p.grid[1], p.grid[2]};
  k.launch.block = {p.block[0], p.block[1], p.block[2]};
  k.launch.dynamic_shared = p.shared;
  uint64_t threads = k.launch.block.count();
  if (!k.launch.grid.count() || !threads) return refuse(ERROR_INVALID_VALUE, "a grid or block of nothing");
  if (p.grid[0] > 0x7fffffff || p.grid[1] > 65535 || p.grid[2] > 65535) return refuse(ERROR_INVALID_VALUE, "grid too large");
  if (p.block[0] > 1024 || p.block[1] > 1024 || p.block[2] > 64 || threads > 1024)
    return refuse(ERROR_INVALID_VALUE, std::to_string(threads) + " threads in a block");
  if (threads > f.max_threads)
    return refuse(ERROR_LAUNCH_OUT_OF_RESOURCES,
                  std::to_string(threads) + " threads in a block, made for at most " + std::to_string(f.max_threads));
  if (p.shared > o->max_dynamic)
    return refuse(ERROR_INVALID_VALUE, std::to_string(p.shared) + " bytes of dynamic shared memory, allowed " + std::to_string(o->max_dynamic));
  if (p.extra) {
    if (!from_extra(f, p.extra, &k.launch.params)) return refuse(ERROR_INVALID_VALUE, "a bad buffer of arguments");
  } else if (!f.params.empty() && !p.params) {
    return refuse(ERROR_INVALID_VALUE, "no arguments");
  } else {
    k.launch.params = pack(f, p.params);
  }
  *out = std::move(k);
  return SUCCESS;
}

static int occupancy(const char *call, int *out, Handle function, int threads, size_t dynamic) {
  return in_context(call, [&](Entry &e) {
    FunctionObject *f = find_function(e, function);
    if (!f) return ERROR_INVALID_HANDLE;
    if (!out || threads < 1) return ERROR_INVALID_VALUE;
    bool fits = unsigned(threads) <= f->function->max_threads;
    *out = fits ? resident(card(), threads, int(f->function->registers), f->function->static_shared + dynamic) : 0;
    return SUCCESS;
  });
}

static int best_block(const char *call, int *grid, int *block, Handle function, OccupancySize shared, size_t dynamic, int limit) {
  return in_context(call, [&](Entry &e) {
    FunctionObject *f = find_function(e, function);
    if (!f) return ERROR_INVALID_HANDLE;
    if (!grid || !block || limit < 0) return ERROR_INVALID_VALUE;
    int most = int(f->function->max_threads), best = 0;
    if (limit) most = std::min(most, limit);
    for (int threads = 32; threads <= most; threads += 32) {
      size_t bytes = f->function->static_shared + (shared ? shared(threads) : dynamic);
      int blocks = resident(card(), threads, int(f->function->registers), bytes);
      if (blocks * threads < best) continue;
      best = blocks * threads;
      *block = threads;
      *grid = blocks * kMultiprocessors;
    }
    return best ? SUCCESS : ERROR_INVALID_VALUE;
  });
}

}  // namespace emu::api

using namespace emu;
using namespace emu::api;

API cuModuleLoadData(Handle *out, const void *image) {
  return in_context(__func__, [&](Entry &e) { return load(e, out, static_cast<const char *>(image), {}); }, Entry::kUnsafe);
}

API cuModuleLoadDataEx(Handle *out, const void *image, unsigned n, int *options, void **values) {
  return in_context(__func__, [&](Entry &e) {
    return load(e, out, static_cast<const char *>(image), jit_log(n, options, values));
  }, Entry::kUnsafe);
}

API cuModuleLoadFatBinary(Handle *out, const void *image) {
  return in_context(__func__, [&](Entry &e) { return load(e, out, static_cast<const char *>(image), {}); }, Entry::kUnsafe);
}

API cuModuleLoad(Handle *out, const char *path) {
  return in_context(__func__, [&](Entry &e) -> int {
    if (!path) return ERROR_INVALID_VALUE;
    std::ifstream file(path, std::ios::binary);
    if (!file) return ERROR_FILE_NOT_FOUND;
    std::stringstream text;
    text << file.rdbuf();
    return load(e, out, text.str().c_str(), {});
  }, Entry::kUnsafe);
}

API cuModuleUnload(Handle h) {
  return in_context(__func__, [&](Entry &e) {
    Driver &d = driver();
    ModuleObject *m = find_module(e, h);
    if (!m) return ERROR_INVALID_HANDLE;
    for (auto &[number, op] : d.scheduler.pending()) {
      auto *k = std::get_if<Kernel>(&op->work);
      if (!k || k->module != m->module) continue;
      d.journal.fault(e.call() + " unloads a module whose " + describe(op->work) + " is queued (by " + op->call + ")");
      d.scheduler.drain(e.context());
      break;
    }
    for (auto &[name, f] : m->functions) d.functions.remove(f);
    d.modules.remove(h);
    return SUCCESS;
  }, Entry::kRelease);
}

API cuModuleGetFunction(Handle *out, Handle module, const char *name) {
  return in_context(__func__, [&](Entry &e) {
    ModuleObject *m = find_module(e, module);
    if (!m) return ERROR_INVALID_HANDLE;
    if (!out || !name) return ERROR_INVALID_VALUE;
    const Function *f = m->module->find(name);
    if (!f) return ERROR_NOT_FOUND;
    Handle &h = m->functions[name];
    if (!h) {
      auto o = std::make_unique<FunctionObject>();
      o->context = &e.context();
      o->made = e.call();
      o->module = m;
      o->function = f;
      o->max_dynamic = kDefaultShared - std::min<uint32_t>(kDefaultShared, f->static_shared);
      h = driver().functions.add(std::move(o))->handle;
    }
    *out = h;
    return SUCCESS;
  });
}

API cuModuleGetGlobal_v2(Address *address, size_t *bytes, Handle module, const char *name) {
  return in_context(__func__, [&](Entry &e) {
    ModuleObject *m = find_module(e, module);
    if (!m) return ERROR_INVALID_HANDLE;
    if (!name) return ERROR_INVALID_VALUE;
    const Variable *v = m->module->variable(name);
    if (!v) return ERROR_NOT_FOUND;
    if (address) *address = v->address;
    if (bytes) *bytes = v->bytes;
    return SUCCESS;
  });
}

API cuFuncGetModule(Handle *out, Handle function) {
  return in_context(__func__, [&](Entry &e) {
    FunctionObject *f = find_function(e, function);
    if (!f) return ERROR_INVALID_HANDLE;
    if (!out) return ERROR_INVALID_VALUE;
    *out = f->module->handle;
    return SUCCESS;
  });
}

API cuFuncGetAttribute(int *out, int which, Handle function) {
  return in_context(__func__, [&](Entry &e) {
    FunctionObject *f = find_function(e, function);
    if (!f) return ERROR_INVALID_HANDLE;
    if (!out) return ERROR_INVALID_VALUE;
    switch (which) {
      case kMaxThreadsPerBlock: *out = int(f->function->max_threads); break;
      case kSharedBytes: *out = int(f->function->static_shared); break;
      case kLocalBytes: *out = int(f->function->local_bytes); break;
      case kRegisters: *out = int(f->function->registers); break;
      case kConstBytes: case kCacheMode: *out = 0; break;
      case kPtxVersion: case kBinaryVersion: *out = card().sm; break;
      case kMaxDynamicShared: *out = int(f->max_dynamic); break;
      case kCarveout: *out = f->carveout; break;
      default: return ERROR_INVALID_VALUE;
    }
    return SUCCESS;
  });
}

API cuFuncSetAttribute(Handle function, int which, int value) {
  return in_context(__func__, [&](Entry &e) {
    FunctionObject *f = find_function(e, function);
    if (!f) return ERROR_INVALID_HANDLE;
    if (which == kMaxDynamicShared && value >= 0 && value + f->function->static_shared <= unsigned(card().shared_optin)) f->max_dynamic = value;
    else if (which == kCarveout && value >= -1 && value <= 100) f->carveout = value;
    else return ERROR_INVALID_VALUE;
    return SUCCESS;
  });
}

API cuLaunchKernel(Handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, Handle stream,
                   void **params, void **extra) {
  return in_context(__func__, [&](Entry &e) -> int {
    Stream *s = find_stream(e, stream);
    if (!s) return ERROR_INVALID_HANDLE;
    Work work;
    KernelNodeParams p{function, {gx, gy, gz}, {bx, by, bz}, shared, params, extra, 0, 0};
    if (int status = kernel_work(e, p, &work)) return status;
    return put(e, *s, std::move(work));
  });
}

API cuOccupancyMaxActiveBlocksPerMultiprocessor(int *out, Handle function, int threads, size_t dynamic) {
  return occupancy(__func__, out, function, threads, dynamic);
}
API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *out, Handle function, int threads, size_t dynamic, unsigned) {
  return occupancy(__func__, out, function, threads, dynamic);
}
API cuOccupancyMaxPotentialBlockSize(int *grid, int *block, Handle function, OccupancySize shared, size_t dynamic, int limit) {
  return best_block(__func__, grid, block, function, shared, dynamic, limit);
}
API cuOccupancyMaxPotentialBlockSizeWithFlags(int *grid, int *block, Handle function, OccupancySize shared, size_t dynamic, int limit, unsigned) {
  return best_block(__func__, grid, block, function, shared, dynamic, limit);
}
API cuOccupancyAvailableDynamicSMemPerBlock(size_t *out, Handle function, int blocks, int threads) {
  return in_context(__func__, [&](Entry &e) {
    FunctionObject *f = find_function(e, function);
    if (!f) return ERROR_INVALID_HANDLE;
    if (!out || blocks < 1 || threads < 1) return ERROR_INVALID_VALUE;
    int64_t free = card().shared_per_sm / blocks - kReservedShared - int64_t(f->function->static_shared);
    *out = size_t(std::clamp<int64_t>(free, 0, card().shared_optin - int64_t(f->function->static_shared)));
    return SUCCESS;
  });
}
