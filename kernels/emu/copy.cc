// Copies and memsets. Who waits for whom follows "API synchronization behavior" of the driver API manual.
#include <cstring>

#include "driver.h"

namespace emu::api {

// check_range refuses what the driver refuses at the call: device memory outside a live allocation.
int check_range(const Entry &e, const Place &p, size_t width, size_t height, size_t depth) {
  if (!p.at) return ERROR_INVALID_VALUE;
  if (!p.device) return SUCCESS;
  size_t bytes = p.offset(height - 1, depth - 1) - p.at + width;
  if (p.memory->valid(p.at, bytes)) return SUCCESS;
  driver().journal.fault(e.call() + ": " + std::to_string(bytes) + " bytes at a device address whose end is " +
                         p.memory->describe(p.at + bytes - 1));
  return ERROR_INVALID_VALUE;
}

int copy_work(const Entry &e, Copy c, Work *out) {
  if (!c.bytes()) {
    *out = std::monostate{};
    return SUCCESS;
  }
  for (Place *p : {&c.src, &c.dst}) {
    if (!p->memory) p->memory = e.context().memory;
    if (!p->pitch) p->pitch = c.width;
    if (!p->rows) p->rows = c.height;
    if (p->pitch < c.width || p->rows < c.height) return ERROR_INVALID_VALUE;
    if (int status = check_range(e, *p, c.width, c.height, c.depth)) return status;
  }
  *out = std::move(c);
  return SUCCESS;
}

int copy_work(const Entry &e, const Copy3D &p, Work *out) {
  auto place = [&](int type, const void *host, Address device, size_t pitch, size_t rows, size_t x, size_t y, size_t z) {
    Place r;
    r.device = type == kMemoryDevice || (type == kMemoryUnified && e.context().memory->host(device));
    r.pitch = pitch ? pitch : p.width;
    r.rows = rows ? rows : p.height;
    r.at = (type == kMemoryHost ? Address(host) : device) + (z * r.rows + y) * r.pitch + x;
    return r;
  };
  for (int type : {p.src_type, p.dst_type})
    if (type != kMemoryHost && type != kMemoryDevice && type != kMemoryUnified) return ERROR_NOT_SUPPORTED;  // arrays
  Copy c;
  c.src = place(p.src_type, p.src_host, p.src_device, p.src_pitch, p.src_height, p.src_x, p.src_y, p.src_z);
  c.dst = place(p.dst_type, p.dst_host, p.dst_device, p.dst_pitch, p.dst_height, p.dst_x, p.dst_y, p.dst_z);
  c.width = p.width;
  c.height = p.height;
  c.depth = p.depth;
  return copy_work(e, std::move(c), out);
}

static bool pinned(const Entry &e, const Copy &c, const Place &p) {
  return e.context().pinned(p.at, p.offset(c.height - 1, c.depth - 1) - p.at + c.width);
}

static std::shared_ptr<std::vector<uint8_t>> stage(const Copy &c) {
  auto bytes = std::make_shared<std::vector<uint8_t>>();
  bytes->reserve(c.bytes());
  for (size_t z = 0; z < c.depth; z++)
    for (size_t y = 0; y < c.height; y++) {
      const uint8_t *row = c.src.pointer(y, z);
      bytes->insert(bytes->end(), row, row + c.width);
    }
  return bytes;
}

// poison fills a pinned destination that is not yet written, so that who reads it too early sees. Not when work that comes first
// may still look at it.
static void poison(const Copy &c) {
  Scheduler &s = driver().scheduler;
  if (!driver().settings.run.async_late || s.user({false, c.dst.at, c.dst.offset(c.height - 1, c.depth - 1) - c.dst.at + c.width})) return;
  for (auto &[number, op] : s.pending())
    if (std::holds_alternative<HostNodeParams>(op->work)) return;
  for (size_t z = 0; z < c.depth; z++)
    for (size_t y = 0; y < c.height; y++) memset(c.dst.pointer(y, z), 0xFF, c.width);
}

// async queues a copy. Pageable memory is read before the call returns and written before it returns; pinned memory when the
// stream gets there.
static int async(const Entry &e, Work work, Handle stream) {
  Stream *s = find_stream(e, stream);
  if (!s) return ERROR_INVALID_HANDLE;
  Copy *c = std::get_if<Copy>(&work);
  if (!c) return SUCCESS;
  bool reads = !c->src.device && !pinned(e, *c, c->src), writes = !c->dst.device && !pinned(e, *c, c->dst);
  if (s->capture && (reads || writes)) {
    s->capture->invalid = true;
    return ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  if (reads) c->staged = stage(*c);
  if (!s->capture && !c->dst.device && !writes) poison(*c);
  int status = put(e, *s, std::move(work));
  return status || !writes ? status : sync(e, s->tail);
}

// blocking queues a copy on the legacy stream; the host waits unless both ends are on the device.
static int blocking(const Entry &e, Work work) {
  Copy *c = std::get_if<Copy>(&work);
  if (!c) return SUCCESS;
  bool wait = !c->src.device || !c->dst.device;
  Stream *s = find_stream(e, 0);
  if (!s) return ERROR_INVALID_CONTEXT;
  int status = put(e, *s, std::move(work));
  return status || !wait ? status : sync(e, s->tail);
}

enum Ends { kUp, kDown, kAcross, kAny };  // host to device, device to host, device to device, as the addresses say

// linear is a copy of consecutive bytes, on a stream when there is one.
static int linear(const char *call, Ends ends, Address dst, Address src, size_t bytes, const Handle *stream) {
  return in_context(call, [&](Entry &e) -> int {
    Copy c;
    c.src.device = ends == kAny ? e.context().memory->host(src) != nullptr : ends != kUp;
    c.dst.device = ends == kAny ? e.context().memory->host(dst) != nullptr : ends != kDown;
    c.src.at = src;
    c.dst.at = dst;
    c.width = bytes;
    Work work;
    if (int status = copy_work(e, std::move(c), &work)) return status;
    return stream ? async(e, std::move(work), *stream) : blocking(e, std::move(work));
  }, stream ? 0u : Entry::kUnsafe);
}

static int peer(const char *call, Address dst, Handle to, Address src, Handle from, size_t bytes, const Handle *stream) {
  return in_context(call, [&](Entry &e) -> int {
    Context *a = driver().contexts.find(from), *b = driver().contexts.find(to);
    if (!a || !b) return ERROR_INVALID_CONTEXT;
    Copy c;
    c.src.device = c.dst.device = true;
    c.src.memory = a->memory;
    c.dst.memory = b->memory;
    c.src.at = src;
    c.dst.at = dst;
    c.width = bytes;
    Work work;
    if (int status = copy_work(e, std::move(c), &work)) return status;
    return stream ? async(e, std::move(work), *stream) : blocking(e, std::move(work));
  }, stream ? 0u : Entry::kUnsafe);
}

static int boxed(const char *call, const Copy3D *p, const Handle *stream) {
  return in_context(call, [&](Entry &e) -> int {
    if (!p) return ERROR_INVALID_VALUE;
    Work work;
    if (int status = copy_work(e, *p, &work)) return status;
    return stream ? async(e, std::move(work), *stream) : blocking(e, std::move(work));
  }, stream ? 0u : Entry::kUnsafe);
}

static int flat(const char *call, const Copy2D *p, const Handle *stream) {
  if (!p) return boxed(call, nullptr, stream);
  Copy3D q{};
  q.src_x = p->src_x, q.src_y = p->src_y, q.src_type = p->src_type, q.src_host = p->src_host, q.src_device = p->src_device;
  q.dst_x = p->dst_x, q.dst_y = p->dst_y, q.dst_type = p->dst_type, q.dst_host = p->dst_host, q.dst_device = p->dst_device;
  q.src_pitch = p->src_pitch, q.dst_pitch = p->dst_pitch, q.width = p->width, q.height = p->height, q.depth = 1;
  return boxed(call, &q, stream);
}

// fill sets width elements in each of height rows. No memset makes the host wait.
static int fill(const char *call, Address dst, size_t pitch, unsigned value, unsigned element, size_t width, size_t height, Handle stream) {
  return in_context(call, [&](Entry &e) -> int {
    Stream *s = find_stream(e, stream);
    if (!s) return ERROR_INVALID_HANDLE;
    if (dst % element || (height > 1 && pitch < width * element)) return ERROR_INVALID_VALUE;
    if (!width || !height) return SUCCESS;
    Place p;
    p.device = true;
    p.at = dst;
    p.pitch = pitch;
    p.memory = e.context().memory;
    if (int status = check_range(e, p, width * element, height, 1)) return status;
    return put(e, *s, Memset{e.context().memory, {dst, pitch, value, element, width, height}});
  });
}

}  // namespace emu::api

using namespace emu;
using namespace emu::api;

API cuMemcpy(Address dst, Address src, size_t n) { return linear(__func__, kAny, dst, src, n, nullptr); }
API cuMemcpyAsync(Address dst, Address src, size_t n, Handle s) { return linear(__func__, kAny, dst, src, n, &s); }
API cuMemcpyHtoD_v2(Address dst, const void *src, size_t n) { return linear(__func__, kUp, dst, Address(src), n, nullptr); }
API cuMemcpyHtoDAsync_v2(Address dst, const void *src, size_t n, Handle s) { return linear(__func__, kUp, dst, Address(src), n, &s); }
API cuMemcpyDtoH_v2(void *dst, Address src, size_t n) { return linear(__func__, kDown, Address(dst), src, n, nullptr); }
API cuMemcpyDtoHAsync_v2(void *dst, Address src, size_t n, Handle s) { return linear(__func__, kDown, Address(dst), src, n, &s); }
API cuMemcpyDtoD_v2(Address dst, Address src, size_t n) { return linear(__func__, kAcross, dst, src, n, nullptr); }
API cuMemcpyDtoDAsync_v2(Address dst, Address src, size_t n, Handle s) { return linear(__func__, kAcross, dst, src, n, &s); }

API cuMemcpyPeer(Address dst, Handle to, Address src, Handle from, size_t n) { return peer(__func__, dst, to, src, from, n, nullptr); }
API cuMemcpyPeerAsync(Address dst, Handle to, Address src, Handle from, size_t n, Handle s) {
  return peer(__func__, dst, to, src, from, n, &s);
}

API cuMemcpy2D_v2(const Copy2D *p) { return flat(__func__, p, nullptr); }
API cuMemcpy2DUnaligned_v2(const Copy2D *p) { return flat(__func__, p, nullptr); }
API cuMemcpy2DAsync_v2(const Copy2D *p, Handle s) { return flat(__func__, p, &s); }
API cuMemcpy3D_v2(const Copy3D *p) { return boxed(__func__, p, nullptr); }
API cuMemcpy3DAsync_v2(const Copy3D *p, Handle s) { return boxed(__func__, p, &s); }

API cuMemsetD8_v2(Address d, unsigned char v, size_t n) { return fill(__func__, d, n, v, 1, n, 1, 0); }
API cuMemsetD16_v2(Address d, unsigned short v, size_t n) { return fill(__func__, d, 2 * n, v, 2, n, 1, 0); }
API cuMemsetD32_v2(Address d, unsigned v, size_t n) { return fill(__func__, d, 4 * n, v, 4, n, 1, 0); }
API cuMemsetD8Async(Address d, unsigned char v, size_t n, Handle s) { return fill(__func__, d, n, v, 1, n, 1, s); }
API cuMemsetD16Async(Address d, unsigned short v, size_t n, Handle s) { return fill(__func__, d, 2 * n, v, 2, n, 1, s); }
API cuMemsetD32Async(Address d, unsigned v, size_t n, Handle s) { return fill(__func__, d, 4 * n, v, 4, n, 1, s); }
API cuMemsetD2D8_v2(Address d, size_t pitch, unsigned char v, size_t w, size_t h) { return fill(__func__, d, pitch, v, 1, w, h, 0); }
API cuMemsetD2D16_v2(Address d, size_t pitch, unsigned short v, size_t w, size_t h) { return fill(__func__, d, pitch, v, 2, w, h, 0); }
API cuMemsetD2D32_v2(Address d, size_t pitch, unsigned v, size_t w, size_t h) { return fill(__func__, d, pitch, v, 4, w, h, 0); }
API cuMemsetD2D8Async(Address d, size_t pitch, unsigned char v, size_t w, size_t h, Handle s) { return fill(__func__, d, pitch, v, 1, w, h, s); }
API cuMemsetD2D16Async(Address d, size_t pitch, unsigned short v, size_t w, size_t h, Handle s) { return fill(__func__, d, pitch, v, 2, w, h, s); }
API cuMemsetD2D32Async(Address d, size_t pitch, unsigned v, size_t w, size_t h, Handle s) { return fill(__func__, d, pitch, v, 4, w, h, s); }
