// Device memory, pinned host memory and what is known about pointers.
#include <cstdlib>
#include <cstring>

#include "driver.h"

namespace emu::api {

bool Context::pinned(Address at, size_t bytes) const {
  auto it = host_memory.upper_bound(at);
  if (it == host_memory.begin()) return false;
  --it;
  return at + bytes <= it->first + it->second.bytes;
}

static int allocate(const Entry &e, Address *out, size_t bytes) {
  Context &c = e.context();
  if (!out || !bytes) return ERROR_INVALID_VALUE;
  Address at = c.memory->allocate(bytes);
  if (!at) return ERROR_OUT_OF_MEMORY;
  Allocation &a = c.device_memory[at];
  a.made = e.call();
  a.bytes = bytes;
  *out = at;
  return SUCCESS;
}

// give_back lets the work run that still uses memory about to be freed, which the program should have waited for.
static void give_back(const Entry &e, const Range &r) {
  Scheduler &s = driver().scheduler;
  if (auto op = s.user(r))
    driver().journal.fault(e.call() + " frees memory that queued work uses: " + describe(op->work) + " (queued by " + op->call + ")");
  while (auto op = s.user(r)) s.wait(op);
}

// owned finds the allocation that starts at an address and notes the fault when there is none.
static Allocation *owned(const Entry &e, Address at) {
  Context &c = e.context();
  auto it = c.device_memory.find(at);
  if (it != c.device_memory.end()) return &it->second;
  driver().journal.fault(e.call() + ": frees an address that is " + c.memory->describe(at));
  return nullptr;
}

static int pin(const Entry &e, void **out, size_t bytes) {
  if (!out || !bytes) return ERROR_INVALID_VALUE;
  void *p = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!p) return ERROR_OUT_OF_MEMORY;
  memset(p, 0xFF, bytes);
  Allocation &a = e.context().host_memory[Address(p)];
  a.made = e.call();
  a.bytes = bytes;
  *out = p;
  return SUCCESS;
}

}  // namespace emu::api

using namespace emu;
using namespace emu::api;

API cuMemGetInfo_v2(size_t *free, size_t *total) {
  return in_context(__func__, [&](Entry &e) {
    if (!free || !total) return ERROR_INVALID_VALUE;
    const Memory &m = *e.context().memory;
    *total = m.limit();
    *free = m.limit() - m.used();
    return SUCCESS;
  });
}

API cuMemAlloc_v2(Address *out, size_t bytes) {
  return in_context(__func__, [&](Entry &e) { return allocate(e, out, bytes); }, Entry::kUnsafe);
}

API cuMemAllocPitch_v2(Address *out, size_t *pitch, size_t width, size_t height, unsigned) {
  return in_context(__func__, [&](Entry &e) -> int {
    if (!pitch || !width || !height) return ERROR_INVALID_VALUE;
    *pitch = (width + 511) / 512 * 512;
    return allocate(e, out, *pitch * height);
  }, Entry::kUnsafe);
}

API cuMemFree_v2(Address at) {
  return in_context(__func__, [&](Entry &e) {
    if (!at) return SUCCESS;
    Allocation *a = owned(e, at);
    if (!a) return ERROR_INVALID_VALUE;
    if (e.context().sticky == SUCCESS) give_back(e, {true, at, a->bytes});
    e.context().memory->release(at);
    e.context().device_memory.erase(at);
    return SUCCESS;
  }, Entry::kUnsafe | Entry::kRelease);
}

API cuMemAllocAsync(Address *out, size_t bytes, Handle stream) {
  return in_context(__func__, [&](Entry &e) -> int {
    Stream *s = find_stream(e, stream);
    if (!s) return ERROR_INVALID_HANDLE;
    if (s->capture) return ERROR_NOT_SUPPORTED;
    return allocate(e, out, bytes);
  });
}

API cuMemFreeAsync(Address at, Handle stream) {
  return in_context(__func__, [&](Entry &e) -> int {
    Stream *s = find_stream(e, stream);
    if (!s) return ERROR_INVALID_HANDLE;
    if (s->capture) return ERROR_NOT_SUPPORTED;
    if (!owned(e, at)) return ERROR_INVALID_VALUE;
    return put(e, *s, Free{at});
  }, Entry::kRelease);
}

API cuMemGetAddressRange_v2(Address *base, size_t *bytes, Address at) {
  return in_context(__func__, [&](Entry &e) {
    Memory::Extent x = e.context().memory->find(at);
    if (x.lo == x.hi) return ERROR_NOT_FOUND;
    if (base) *base = x.lo;
    if (bytes) *bytes = x.hi - x.lo;
    return SUCCESS;
  });
}

API cuMemHostAlloc(void **out, size_t bytes, unsigned) {
  return in_context(__func__, [&](Entry &e) { return pin(e, out, bytes); }, Entry::kUnsafe);
}

API cuMemAllocHost_v2(void **out, size_t bytes) {
  return in_context(__func__, [&](Entry &e) { return pin(e, out, bytes); }, Entry::kUnsafe);
}

API cuMemFreeHost(void *p) {
  return in_context(__func__, [&](Entry &e) {
    auto &all = e.context().host_memory;
    auto it = all.find(Address(p));
    if (it == all.end() || it->second.registered) {
      driver().journal.fault(e.call() + ": not pinned memory of this context");
      return ERROR_INVALID_VALUE;
    }
    if (e.context().sticky == SUCCESS) give_back(e, {false, it->first, it->second.bytes});
    all.erase(it);
    free(p);
    return SUCCESS;
  }, Entry::kUnsafe | Entry::kRelease);
}

API cuMemHostRegister_v2(void *p, size_t bytes, unsigned) {
  return in_context(__func__, [&](Entry &e) {
    if (!p || !bytes) return ERROR_INVALID_VALUE;
    for (auto &[at, a] : e.context().host_memory)
      if (Range{false, at, a.bytes}.overlaps({false, Address(p), bytes})) return ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    Allocation &a = e.context().host_memory[Address(p)];
    a.made = e.call();
    a.bytes = bytes;
    a.registered = true;
    return SUCCESS;
  }, Entry::kUnsafe);
}

API cuMemHostUnregister(void *p) {
  return in_context(__func__, [&](Entry &e) {
    auto &all = e.context().host_memory;
    auto it = all.find(Address(p));
    if (it == all.end() || !it->second.registered) return ERROR_HOST_MEMORY_NOT_REGISTERED;
    if (e.context().sticky == SUCCESS) give_back(e, {false, it->first, it->second.bytes});
    all.erase(it);
    return SUCCESS;
  }, Entry::kUnsafe | Entry::kRelease);
}

API cuMemHostGetFlags(unsigned *flags, void *p) {
  return in_context(__func__, [&](Entry &e) {
    if (!flags || !e.context().pinned(Address(p), 1)) return ERROR_INVALID_VALUE;
    *flags = 0;
    return SUCCESS;
  });
}

API cuPointerGetAttribute(void *out, int which, Address at) {
  return in_context(__func__, [&](Entry &e) {
    Context &c = e.context();
    Memory::Extent x = c.memory->find(at);
    bool device = x.lo != x.hi;
    if (!out || (!device && !c.pinned(at, 1))) return ERROR_INVALID_VALUE;
    auto answer = [&](auto value) {
      memcpy(out, &value, sizeof value);
      return SUCCESS;
    };
    switch (which) {
      case 1: return answer(c.handle);
      case 2: return answer(device ? kMemoryDevice : kMemoryHost);
      case 3: return device ? answer(at) : ERROR_INVALID_VALUE;
      case 4: return device ? ERROR_INVALID_VALUE : answer(at);
      case 8: return answer(false);                                  // managed
      case 9: return answer(c.device);
      case 11: return device ? answer(x.lo) : ERROR_INVALID_VALUE;   // start and size of its allocation
      case 12: return device ? answer(size_t(x.hi - x.lo)) : ERROR_INVALID_VALUE;
    }
    return ERROR_NOT_SUPPORTED;
  });
}
