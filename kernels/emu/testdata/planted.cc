// planted FOLDER CASE good|bad runs one case and checks its results: exit 0 right, 1 wrong, 3 a call failed. The bad twin has one
// mistake in it, in the kernel or in the calls around it.
#include "host.h"

static Gpu *gpu;
static bool bad;

static Handle twin(const char *module, const char *name) { return gpu->function(module, std::string(name) + (bad ? "_bad" : "_good")); }

template <class T>
static bool same(const Buffer<T> &got, const std::vector<T> &want) {
  return got.get() == want;
}

static std::vector<float> scaled(std::vector<float> v, float a) {
  for (float &x : v) x *= a;
  return v;
}
static std::vector<float> reversed(const std::vector<float> &v) { return {v.rbegin(), v.rend()}; }

// Kernels: memory.

static bool off_by_one() {
  auto x = ramp(200);
  Buffer<float> in(x), out(x.size());
  launch(twin("memory", "off_by_one"), {2, 128}, out.at, in.at, 200);
  return same(out, scaled(x, 2));
}

static bool unaligned_load() {
  auto x = ramp(132);
  Buffer<float> in(x), out(128);
  launch(twin("memory", "unaligned_load"), {1, 32}, out.at, in.at, 128);
  return same(out, std::vector<float>(x.begin() + 4, x.end()));
}

static bool vector_tail() {
  Buffer<float> out(126);
  launch(twin("memory", "vector_tail"), {1, 32}, out.at, 126);
  return same(out, std::vector<float>(126, 3));
}

static bool unsigned_wrap() {
  Buffer<float> in(ramp(100)), out(100);
  launch(twin("memory", "unsigned_wrap"), {1, 128}, out.at, in.at, 100u);
  return same(out, std::vector<float>(100, 1));
}

static bool uninitialised_global() {
  auto x = ramp(100);
  Buffer<float> in(x), out(100);
  launch(twin("memory", "uninitialised_global"), {1, 128}, out.at, in.at, 100);
  return same(out, ramp(100, 1, 2));
}

static bool grid_stride() {
  Buffer<int> out(300);
  launch(twin("memory", "grid_stride"), {2, 64}, out.at, 300);
  std::vector<int> want(300);
  for (int i = 0; i < 300; i++) want[i] = i;
  return same(out, want);
}

static bool in_place_shift() {
  auto x = ramp(256);
  Buffer<float> in(x), out(x.size());
  launch(twin("memory", "in_place_shift"), {4, 64}, out.at, in.at, 256);
  x.erase(x.begin());
  x.push_back(0);
  return same(bad ? in : out, x);
}

static bool row_end() {
  Buffer<int> rowptr({0, 2, 2, 5, 9});
  Buffer<float> out(4);
  launch(twin("memory", "row_end"), {1, 32}, out.at, rowptr.at, 4);
  return same(out, {2, 0, 3, 4});
}

// Kernels: threads of a block.

static bool reversing(const char *name) {
  auto x = ramp(128);
  Buffer<float> in(x), out(128);
  launch(twin("block", name), {1, 128}, out.at, in.at);
  return same(out, reversed(x));
}

static bool missing_barrier() { return reversing("missing_barrier"); }

static std::vector<float> tile_sums(const std::vector<float> &x, int width) {
  std::vector<float> sum(width);
  for (size_t i = 0; i < x.size(); i++) sum[i % width] += x[i];
  return sum;
}

static bool missing_second_barrier() {
  auto x = ramp(128 * 3);
  Buffer<float> in(x), out(128);
  launch(twin("block", "missing_second_barrier"), {1, 128}, out.at, in.at, 3);
  return same(out, reversed(tile_sums(x, 128)));
}

static bool shared_race() {
  std::vector<int> x(128), want(16);
  for (int i = 0; i < 128; i++) want[(x[i] = i * i) & 15]++;
  Buffer<int> in(x), out(16);
  launch(twin("block", "shared_race"), {1, 128}, out.at, in.at);
  return same(out, want);
}

static bool divergent_barrier() {
  auto x = ramp(100);
  Buffer<float> in(x), out(100);
  launch(twin("block", "divergent_barrier"), {1, 128}, out.at, in.at, 100);
  return same(out, reversed(x));
}

static bool missing_syncwarp() {
  auto x = ramp(128), want = x;
  for (int i = 0; i < 128; i++) want[i] = x[i ^ 31];
  Buffer<float> in(x), out(128);
  launch(twin("block", "missing_syncwarp"), {1, 128}, out.at, in.at);
  return same(out, want);
}

static bool tree_sum() {
  Buffer<float> in(ramp(128)), out(1);
  launch(twin("block", "tree_sum"), {1, 128}, out.at, in.at);
  return same(out, {128 * 129 / 2});
}

static bool uninitialised_shared() {
  auto x = ramp(128);
  Buffer<float> in(x), out(128);
  launch(twin("block", "uninitialised_shared"), {1, 128}, out.at, in.at, 100);
  std::fill(x.begin() + 100, x.end(), 0.f);
  return same(out, x);
}

static bool inactive_lane() {
  auto x = ramp(128);
  Buffer<float> in(x), out(4);
  launch(twin("block", "inactive_lane"), {1, 128}, out.at, in.at);
  std::vector<float> want(4);
  for (int i = 0; i < 128; i++) want[i / 32] += x[i];
  return same(out, want);
}

static bool dynamic_shared() {
  auto x = ramp(128);
  Buffer<float> in(x), out(128);
  launch(twin("block", "dynamic_shared"), {1, 128, bad ? 500u : 512u}, out.at, in.at);
  return same(out, reversed(x));
}

static bool last_block() {
  auto x = ramp(128 * 8);
  Buffer<float> in(x), partial(8), out(1);
  Buffer<unsigned> ticket(std::vector<unsigned>{0});
  launch(twin("block", "last_block"), {8, 128}, out.at, partial.at, ticket.at, in.at);
  return same(out, {1024 * 1025 / 2});
}

// Kernels: tensor cores and asynchronous copies.

static uint16_t bf16(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return uint16_t(bits >> 16);  // of small integers: exact
}

// product runs a kernel C (16,8) = A (16,16) B (16,8) on small integers, with B stored as B[k * ks + n * ns].
static bool product(const char *name, int ks, int ns) {
  std::vector<uint16_t> a(256), b(128);
  std::vector<float> want(128);
  auto A = [](int m, int k) { return float((m * 5 + k * 3) % 11 - 5); };
  auto B = [](int k, int n) { return float((k * 7 + n * 2) % 13 - 6); };
  for (int k = 0; k < 16; k++) {
    for (int m = 0; m < 16; m++) a[m * 16 + k] = bf16(A(m, k));
    for (int n = 0; n < 8; n++) b[k * ks + n * ns] = bf16(B(k, n));
    for (int m = 0; m < 16; m++)
      for (int n = 0; n < 8; n++) want[m * 8 + n] += A(m, k) * B(k, n);
  }
  Buffer<uint16_t> da(a), db(b);
  Buffer<float> c(128);
  launch(twin("tensor", name), {1, 32}, c.at, da.at, db.at);
  return same(c, want);
}
static bool swapped_fragment() { return product("swapped_fragment", 1, 16); }
static bool transposed_operand() { return product("transposed_operand", 8, 1); }

static bool pipeline(const char *planted) {
  auto x = ramp(512 * 4);
  Buffer<float> in(x), out(512);
  launch(gpu->function("tensor", bad ? planted : "pipeline_good"), {1, 128}, out.at, in.at, 4);
  auto sums = tile_sums(x, 512), want = sums;
  for (int i = 0; i < 512; i++) want[i] = sums[(127 - i / 4) * 4 + i % 4];
  return same(out, want);
}
static bool wrong_wait() { return pipeline("wrong_wait_bad"); }
static bool stale_buffer() { return pipeline("stale_buffer_bad"); }

// Calls.

struct Streams {
  Handle a = 0, b = 0, event = 0;
  Streams() {
    CU(cuStreamCreate(&a, 1));
    CU(cuStreamCreate(&b, 1));
    CU(cuEventCreate(&event, 2));
  }
  ~Streams() {
    cuStreamSynchronize(a);
    cuStreamSynchronize(b);
    cuEventDestroy_v2(event);
    cuStreamDestroy_v2(a);
    cuStreamDestroy_v2(b);
  }
};

// Two batches through one pinned buffer. Planted: the second is written before the first has been copied.
static bool pinned_reuse() {
  Streams s;
  Pinned<float> host(100);
  Buffer<float> first(100), second(100);
  for (int i = 0; i < 100; i++) host[i] = 1;
  CU(cuMemcpyHtoDAsync_v2(first.at, host.p, 400, s.a));
  CU(cuEventRecord(s.event, s.a));
  if (!bad) CU(cuEventSynchronize(s.event));
  for (int i = 0; i < 100; i++) host[i] = 2;
  CU(cuMemcpyHtoDAsync_v2(second.at, host.p, 400, s.a));
  CU(cuStreamSynchronize(s.a));
  return same(first, std::vector<float>(100, 1)) && same(second, std::vector<float>(100, 2));
}

// Upload on one stream, kernel on another. Planted: no wait between them.
static bool missing_wait() {
  Streams s;
  Pinned<float> host(100);
  Buffer<float> in(std::vector<float>(100, 9)), out(100);
  for (int i = 0; i < 100; i++) host[i] = 1;
  CU(cuMemcpyHtoDAsync_v2(in.at, host.p, 400, s.a));
  CU(cuEventRecord(s.event, s.a));
  if (!bad) CU(cuStreamWaitEvent(s.b, s.event, 0));
  launch(gpu->function("stream", "scale"), {1, 128, 0, s.b}, out.at, in.at, 2.f, 100);
  CU(cuStreamSynchronize(s.b));
  CU(cuStreamSynchronize(s.a));
  return same(out, std::vector<float>(100, 2));
}

// Planted: the event is recorded before the copy that it stands for.
static bool early_record() {
  Streams s;
  Pinned<float> host(100);
  Buffer<float> in(std::vector<float>(100, 9)), out(100);
  for (int i = 0; i < 100; i++) host[i] = 1;
  if (bad) CU(cuEventRecord(s.event, s.a));
  CU(cuMemcpyHtoDAsync_v2(in.at, host.p, 400, s.a));
  if (!bad) CU(cuEventRecord(s.event, s.a));
  CU(cuStreamWaitEvent(s.b, s.event, 0));
  launch(gpu->function("stream", "scale"), {1, 128, 0, s.b}, out.at, in.at, 2.f, 100);
  CU(cuStreamSynchronize(s.b));
  CU(cuStreamSynchronize(s.a));
  return same(out, std::vector<float>(100, 2));
}

// Planted: a non-blocking stream is taken to wait for the default stream.
static bool non_blocking() {
  Handle s = 0;
  CU(cuStreamCreate(&s, bad ? 1 : 0));
  Pinned<float> host(100);
  Buffer<float> in(std::vector<float>(100, 9)), out(100);
  for (int i = 0; i < 100; i++) host[i] = 1;
  CU(cuMemcpyHtoDAsync_v2(in.at, host.p, 400, 0));
  launch(gpu->function("stream", "scale"), {1, 128, 0, s}, out.at, in.at, 2.f, 100);
  CU(cuStreamSynchronize(s));
  bool right = same(out, std::vector<float>(100, 2));
  CU(cuStreamDestroy_v2(s));
  return right;
}

// Planted: the next upload overwrites what the other stream's kernel has not read yet.
static bool overwritten_input() {
  Streams s;
  Pinned<float> host(200);
  Buffer<float> in(100), out(100);
  for (int i = 0; i < 200; i++) host[i] = i < 100 ? 1 : 5;
  CU(cuMemcpyHtoDAsync_v2(in.at, host.p, 400, s.a));
  CU(cuStreamSynchronize(s.a));
  launch(gpu->function("stream", "scale"), {1, 128, 0, s.b}, out.at, in.at, 2.f, 100);
  CU(cuEventRecord(s.event, s.b));
  if (!bad) CU(cuStreamWaitEvent(s.a, s.event, 0));
  CU(cuMemcpyHtoDAsync_v2(in.at, host.p + 100, 400, s.a));
  CU(cuStreamSynchronize(s.b));
  CU(cuStreamSynchronize(s.a));
  return same(out, std::vector<float>(100, 2));
}

// Planted: the result is read before the copy is done.
static bool read_too_early() {
  Streams s;
  auto x = ramp(100);
  Pinned<float> host(100);
  Buffer<float> in(x), out(100);
  for (int i = 0; i < 100; i++) host[i] = 0;
  launch(gpu->function("stream", "scale"), {1, 128, 0, s.a}, out.at, in.at, 2.f, 100);
  CU(cuMemcpyDtoHAsync_v2(host.p, out.at, 400, s.a));
  CU(cuStreamSynchronize(bad ? s.b : s.a));
  std::vector<float> got(host.p, host.p + 100);
  CU(cuStreamSynchronize(s.a));
  return got == scaled(x, 2);
}

static bool leak() {
  Buffer<float> b(ramp(100));
  bool right = same(b, ramp(100));
  if (bad) b.at = 0;  // never freed
  return right;
}

static bool leaked_event() {
  Handle event = 0;
  CU(cuEventCreate(&event, 2));
  CU(cuEventRecord(event, 0));
  CU(cuEventSynchronize(event));
  if (!bad) CU(cuEventDestroy_v2(event));
  return true;
}

static bool use_after_free() {
  auto x = ramp(100);
  Buffer<float> in(x), out(100);
  if (bad) CU(cuMemFree_v2(in.at));
  launch(gpu->function("stream", "scale"), {1, 128}, out.at, in.at, 2.f, 100);
  CU(cuCtxSynchronize());
  return same(out, scaled(x, 2));
}

static bool double_free() {
  Buffer<float> b(ramp(100));
  if (bad) cuMemFree_v2(b.at);
  return true;
}

// Planted: memory is freed while a kernel that uses it is queued.
static bool free_in_use() {
  Streams s;
  auto x = ramp(100);
  Buffer<float> in(x), out(100);
  launch(gpu->function("stream", "scale"), {1, 128, 0, s.a}, out.at, in.at, 2.f, 100);
  if (!bad) CU(cuStreamSynchronize(s.a));
  CU(cuMemFree_v2(in.at));
  in.at = 0;
  CU(cuStreamSynchronize(s.a));
  return same(out, scaled(x, 2));
}

// Planted: more than 48 KiB of dynamic shared memory without asking for it.
static bool no_opt_in() {
  auto x = ramp(15000);
  Buffer<float> in(x), out(x.size());
  Handle f = gpu->function("stream", "through_shared");
  if (!bad) CU(cuFuncSetAttribute(f, kMaxDynamicShared, 60000));
  launch(f, {1, 256, 60000}, out.at, in.at, 15000);
  return same(out, x);
}

static bool too_many_threads() {
  Buffer<int> out(256);
  launch(gpu->function("stream", "iota"), {bad ? 1u : 2u, bad ? 256u : 128u}, out.at, 256);
  std::vector<int> want(256);
  for (int i = 0; i < 256; i++) want[i] = i;
  return same(out, want);
}

static bool destroyed_stream() {
  auto x = ramp(100);
  Buffer<float> in(x), out(100);
  Handle s = 0;
  CU(cuStreamCreate(&s, 0));
  if (bad) CU(cuStreamDestroy_v2(s));
  launch(gpu->function("stream", "scale"), {1, 128, 0, s}, out.at, in.at, 2.f, 100);
  bool right = same(out, scaled(x, 2));
  CU(cuStreamDestroy_v2(s));
  return right;
}

// A kernel captured and replayed on other memory. Planted: the graph still has the old, freed address.
static bool stale_graph() {
  Handle s = 0, graph = 0, exec = 0, node = 0;
  size_t nodes = 1;
  CU(cuStreamCreate(&s, 1));
  auto x = ramp(100);
  Address in = 0;
  Buffer<float> out(100);
  CU(cuMemAlloc_v2(&in, 400));
  Handle f = gpu->function("stream", "scale");
  CU(cuStreamBeginCapture_v2(s, kCaptureGlobal));
  launch(f, {1, 128, 0, s}, out.at, in, 2.f, 100);
  CU(cuStreamEndCapture(s, &graph));
  CU(cuGraphInstantiateWithFlags(&exec, graph, 0));
  CU(cuGraphGetNodes(graph, &node, &nodes));
  CU(cuMemFree_v2(in));
  Buffer<float> moved(x);
  if (!bad) {
    float a = 2;
    int n = 100;
    void *params[] = {&out.at, &moved.at, &a, &n};
    KernelNodeParams p{f, {1, 1, 1}, {128, 1, 1}, 0, params, nullptr, 0, 0};
    CU(cuGraphExecKernelNodeSetParams_v2(exec, node, &p));
  }
  CU(cuGraphLaunch(exec, s));
  CU(cuStreamSynchronize(s));
  bool right = same(out, scaled(x, 2));
  CU(cuGraphExecDestroy(exec));
  CU(cuGraphDestroy(graph));
  CU(cuStreamDestroy_v2(s));
  return right;
}

#define CASE(name) {#name, name}
static const std::map<std::string, bool (*)()> cases = {
    CASE(off_by_one), CASE(unaligned_load), CASE(vector_tail), CASE(unsigned_wrap), CASE(uninitialised_global), CASE(grid_stride),
    CASE(in_place_shift), CASE(row_end), CASE(missing_barrier), CASE(missing_second_barrier), CASE(shared_race), CASE(divergent_barrier),
    CASE(missing_syncwarp), CASE(tree_sum), CASE(uninitialised_shared), CASE(inactive_lane), CASE(dynamic_shared), CASE(last_block),
    CASE(swapped_fragment), CASE(transposed_operand), CASE(wrong_wait), CASE(stale_buffer), CASE(pinned_reuse), CASE(missing_wait),
    CASE(early_record), CASE(non_blocking), CASE(overwritten_input), CASE(read_too_early), CASE(leak), CASE(leaked_event),
    CASE(use_after_free), CASE(double_free), CASE(free_in_use), CASE(no_opt_in), CASE(too_many_threads), CASE(destroyed_stream),
    CASE(stale_graph)};

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "list")) {
    for (auto &[name, run] : cases) puts(name.c_str());
    return 0;
  }
  if (argc != 4 || !cases.count(argv[2])) return 2;
  bad = !strcmp(argv[3], "bad");
  Gpu context(argv[1]);
  gpu = &context;
  return cases.at(argv[2])() ? kRight : kWrong;
}
