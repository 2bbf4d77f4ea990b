// Register placement. A warp's file has 32 lanes of every register; PTX names thousands of them, of which few live at once, so
// those whose lifetimes do not overlap share a place and the file stays in the first-level cache.
//
// Lifetimes are those of one thread. Sharing is right under divergence too: instructions write only the active lanes.
#include <algorithm>
#include <functional>

#include "program.h"

namespace emu {
namespace {

// Elementwise instructions may write over their operands; others read lanes or elements after they have begun to write.
bool elementwise(const Ir &ir) {
  switch (ir.key.op) {
    case Op::Ld: case Op::Ldmatrix: case Op::Mma: case Op::Shfl: case Op::Vote: case Op::Match: case Op::Redux: case Op::Atom:
    case Op::Bar:
      return false;
    case Op::Mov:
      return ir.key.mode != Mode::Pack && ir.key.mode != Mode::Unpack;
    default:
      return ir.defs.size() == 1;
  }
}

int stride(Type t) {
  switch (size_of(t)) {
    case 0: return 4;
    case 1: case 2: return 64;
    case 4: return 128;
    default: return 256;
  }
}

struct Interval {
  int value, from, to;
};

using Bits = std::vector<uint64_t>;
bool test(const Bits &b, int i) { return b[i >> 6] >> (i & 63) & 1; }
void set(Bits &b, int i) { b[i >> 6] |= uint64_t{1} << (i & 63); }

std::vector<Interval> intervals(const std::vector<Ir> &code, const Flow &flow, size_t values) {
  const size_t words = (values + 63) / 64, n = flow.blocks.size();
  std::vector<Bits> use(n, Bits(words)), def(n, Bits(words)), in(n, Bits(words)), out(n, Bits(words));
  for (size_t b = 0; b < n; b++)
    for (int i = flow.blocks[b].first; i < flow.blocks[b].last; i++) {
      for (int v : code[i].uses)
        if (!test(def[b], v)) set(use[b], v);
      if (code[i].guard >= 0 && !test(def[b], code[i].guard)) set(use[b], code[i].guard);
      for (int v : code[i].defs)  // a guarded write leaves the old value in some lanes
        if (code[i].guard < 0) set(def[b], v);
        else if (!test(def[b], v)) set(use[b], v);
    }
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t b = n; b-- > 0;) {
      for (int s : flow.blocks[b].next)
        for (size_t w = 0; w < words; w++) out[b][w] |= in[s][w];
      for (size_t w = 0; w < words; w++) {
        const uint64_t live = use[b][w] | (out[b][w] & ~def[b][w]);
        if (live != in[b][w]) in[b][w] = live, changed = true;
      }
    }
  }
  std::vector<Interval> all(values);
  for (size_t v = 0; v < values; v++) all[v] = {static_cast<int>(v), INT32_MAX, -1};
  auto touch = [&](int v, int at) {
    all[v].from = std::min(all[v].from, at);
    all[v].to = std::max(all[v].to, at);
  };
  for (size_t b = 0; b < n; b++) {
    for (size_t v = 0; v < values; v++) {
      if (test(in[b], v)) touch(v, 2 * flow.blocks[b].first);
      if (test(out[b], v)) touch(v, 2 * flow.blocks[b].last);
    }
    for (int i = flow.blocks[b].first; i < flow.blocks[b].last; i++) {
      const Ir &ir = code[i];
      const bool over = elementwise(ir);
      for (int v : ir.uses) touch(v, 2 * i);
      if (ir.guard >= 0) touch(ir.guard, 2 * i + 1);
      for (int v : ir.defs) touch(v, over ? 2 * i + 1 : 2 * i), touch(v, 2 * i + 1);
    }
  }
  return all;
}

}  // namespace

uint32_t place_registers(const std::vector<Ir> &code, const Flow &flow, const std::vector<Value> &values, std::vector<int> &offset,
                         uint32_t *registers) {
  std::vector<Interval> all = intervals(code, flow, values.size());
  std::erase_if(all, [](const Interval &i) { return i.to < 0; });
  std::sort(all.begin(), all.end(), [](const Interval &a, const Interval &b) { return a.from < b.from; });

  constexpr int kStrides[] = {256, 128, 64, 4};
  offset.assign(values.size(), -1);
  int base = 0;
  uint32_t words = 0;
  for (int s : kStrides) {
    base = (base + 63) / 64 * 64;
    int top = base;
    for (const Interval &i : all) {  // what never changes, first
      const Value &v = values[i.value];
      if (stride(v.type) == s && (v.constant || !v.special.empty())) offset[i.value] = top, top += s;
    }
    const int fixed = top;
    std::vector<int> free;
    std::vector<std::pair<int, int>> active;  // (end, offset), a heap with the earliest end on top
    for (const Interval &i : all) {
      const Value &v = values[i.value];
      if (stride(v.type) != s || v.constant || !v.special.empty()) continue;
      while (!active.empty() && active.front().first < i.from) {
        free.push_back(active.front().second);
        std::pop_heap(active.begin(), active.end(), std::greater<>());
        active.pop_back();
      }
      int at = top;
      if (free.empty()) top += s;
      else at = free.back(), free.pop_back();
      offset[i.value] = at;
      active.push_back({i.to, at});
      std::push_heap(active.begin(), active.end(), std::greater<>());
    }
    if (s != 4) words += (top - fixed) / std::min(s, 128);
    base = top;
  }
  *registers = words;
  return (base + 63) / 64 * 64;
}

}  // namespace emu
