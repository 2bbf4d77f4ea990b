// What queued work does when its turn comes, and which memory it touches.
#include <cstring>

#include "driver.h"

namespace emu::api {

void host_function(const HostNodeParams &);

static std::string hex(Address a) {
  char s[24];
  snprintf(s, sizeof s, "0x%llx", (unsigned long long)a);
  return s;
}

uint8_t *Place::pointer(size_t y, size_t z) const {
  return device ? memory->host(offset(y, z)) : reinterpret_cast<uint8_t *>(offset(y, z));
}

static Range extent(const Place &p, size_t width, size_t height, size_t depth) {
  if (!width || !height || !depth) return {p.device, p.at, 0};
  return {p.device, p.at, size_t(p.offset(height - 1, depth - 1) - p.at + width)};
}

static Range extent(const Memset &m) {
  return {true, m.what.dst, m.what.height ? (m.what.height - 1) * m.what.pitch + m.what.width * m.what.element : 0};
}

std::vector<Range> touched(const Work &w) {
  std::vector<Range> r;
  if (auto *k = std::get_if<Kernel>(&w)) {
    // Arguments are opaque: every aligned word that is an address in device memory counts.
    const std::vector<uint8_t> &p = k->launch.params;
    for (size_t i = 0; i + 8 <= p.size(); i += 8) {
      Address a;
      memcpy(&a, &p[i], 8);
      Memory::Extent e = k->memory->find(a);
      if (e.lo != e.hi) r.push_back({true, e.lo, size_t(e.hi - e.lo)});
    }
  } else if (auto *c = std::get_if<Copy>(&w)) {
    if (!c->staged) r.push_back(extent(c->src, c->width, c->height, c->depth));
    r.push_back(extent(c->dst, c->width, c->height, c->depth));
  } else if (auto *m = std::get_if<Memset>(&w)) {
    r.push_back(extent(*m));
  }
  return r;
}

std::string describe(const Work &w) {
  if (auto *k = std::get_if<Kernel>(&w)) return "kernel " + k->launch.function->name;
  if (auto *c = std::get_if<Copy>(&w))
    return "copy of " + std::to_string(c->bytes()) + " bytes from " + (c->src.device ? "device " : "host ") + hex(c->src.at) + " to " +
           (c->dst.device ? "device " : "host ") + hex(c->dst.at);
  if (auto *m = std::get_if<Memset>(&w)) return "memset of " + std::to_string(extent(*m).bytes) + " bytes at " + hex(m->what.dst);
  if (std::holds_alternative<HostNodeParams>(w)) return "host function";
  return "work";
}

static Fault illegal(const Work &w, const Memory &m, Address at) {
  Fault f;
  f.code = ERROR_ILLEGAL_ADDRESS;
  f.kind = "out-of-bounds";
  f.address = at;
  f.text = describe(w) + ": " + hex(at) + " is " + m.describe(at);
  return f;
}

static std::optional<Fault> copy(const Work &w, const Copy &c) {
  size_t row = 0;
  for (size_t z = 0; z < c.depth; z++) {
    for (size_t y = 0; y < c.height; y++, row++) {
      for (const Place *p : {&c.src, &c.dst})
        if (p->device && !p->memory->valid(p->offset(y, z), c.width)) return illegal(w, *p->memory, p->offset(y, z));
      const uint8_t *from = c.staged ? c.staged->data() + row * c.width : c.src.pointer(y, z);
      memmove(c.dst.pointer(y, z), from, c.width);
      if (!c.dst.device) continue;
      if (c.src.device) Memory::copy_written(*c.dst.memory, c.dst.offset(y, z), *c.src.memory, c.src.offset(y, z), c.width);
      else c.dst.memory->mark_written(c.dst.offset(y, z), c.width);
    }
  }
  return {};
}

static std::optional<Fault> fill(const Work &w, const Memset &m) {
  const MemsetNodeParams &p = m.what;
  for (size_t y = 0; y < p.height; y++) {
    Address row = p.dst + y * p.pitch;
    if (!m.memory->valid(row, p.width * p.element)) return illegal(w, *m.memory, row);
    uint8_t *to = m.memory->host(row);
    for (size_t x = 0; x < p.width; x++) memcpy(to + x * p.element, &p.value, p.element);  // little end first
    m.memory->mark_written(row, p.width * p.element);
  }
  return {};
}

std::optional<Fault> perform(Context &c, const Work &w) {
  Driver &d = driver();
  if (auto *k = std::get_if<Kernel>(&w))
    return run(k->launch, *k->memory, d.settings.run, &d.journal.kernels[k->launch.function->name].counters);
  if (auto *x = std::get_if<Copy>(&w)) return copy(w, *x);
  if (auto *m = std::get_if<Memset>(&w)) return fill(w, *m);
  if (auto *h = std::get_if<HostNodeParams>(&w)) {
    d.mutex.unlock();  // it may wait for another thread that calls the driver
    host_function(*h);
    d.mutex.lock();
  }
  if (auto *f = std::get_if<Free>(&w)) {
    c.memory->release(f->at);
    c.device_memory.erase(f->at);
  }
  return {};
}

}  // namespace emu::api
