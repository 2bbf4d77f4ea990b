// Basic blocks and where the lanes of a divergent branch meet again: the immediate post-dominator of the branch's block.
// Dominators by Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001), on the reversed graph.
#include <algorithm>

#include "program.h"

namespace emu {
namespace {

bool ends_block(const Ir &ir) {
  return ir.key.op == Op::Bra || ir.key.op == Op::Brx || ir.key.op == Op::Exit || ir.key.op == Op::Trap;
}

void post_dominators(Flow &flow) {
  const int n = static_cast<int>(flow.blocks.size()), exit = n;
  std::vector<std::vector<int>> before(n + 1);  // predecessors; the exit's are the blocks without successors
  for (int b = 0; b < n; b++) {
    for (int s : flow.blocks[b].next) before[s].push_back(b);
    if (flow.blocks[b].next.empty()) before[exit].push_back(b);
  }
  // Post-order of the reversed graph from the exit, without recursion.
  std::vector<int> order(n + 1, -1), sequence;
  std::vector<std::pair<int, size_t>> stack{{exit, 0}};
  std::vector<bool> seen(n + 1, false);
  seen[exit] = true;
  while (!stack.empty()) {
    auto &[v, i] = stack.back();
    if (i < before[v].size()) {
      const int p = before[v][i++];
      if (!seen[p]) {
        seen[p] = true;
        stack.push_back({p, 0});
      }
    } else {
      order[v] = static_cast<int>(sequence.size());
      sequence.push_back(v);
      stack.pop_back();
    }
  }
  std::vector<int> idom(n + 1, -1);
  idom[exit] = exit;
  auto meet = [&](int a, int b) {
    while (a != b) {
      while (order[a] < order[b]) a = idom[a];
      while (order[b] < order[a]) b = idom[b];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (auto it = sequence.rbegin(); it != sequence.rend(); ++it) {
      const int b = *it;
      if (b == exit) continue;
      int d = -1;
      auto take = [&](int s) {
        if (order[s] >= 0 && idom[s] >= 0) d = d < 0 ? s : meet(d, s);
      };
      for (int s : flow.blocks[b].next) take(s);
      if (flow.blocks[b].next.empty()) take(exit);
      if (d != idom[b]) idom[b] = d, changed = true;
    }
  }
  for (int b = 0; b < n; b++) flow.blocks[b].join = idom[b] == exit ? -1 : idom[b];
}

}  // namespace

Flow control_flow(const std::vector<Ir> &code, const std::vector<int> &label_at) {
  const int n = static_cast<int>(code.size());
  std::vector<bool> leads(n + 1, false);
  leads[0] = true;
  for (int i = 0; i < n; i++) {
    const Ir &ir = code[i];
    if (ends_block(ir)) leads[i + 1] = true;
    if (ir.key.op == Op::Bra && ir.marks < 0) leads[label_at[ir.label_id]] = true;
    for (int l : ir.label_ids) leads[label_at[l]] = true;
  }
  Flow flow;
  flow.block_of.resize(n);
  for (int i = 0; i < n; i++) {
    if (leads[i]) flow.blocks.push_back({i, i, {}, -1});
    flow.blocks.back().last = i + 1;
    flow.block_of[i] = static_cast<int>(flow.blocks.size()) - 1;
  }
  for (size_t b = 0; b < flow.blocks.size(); b++) {
    auto &block = flow.blocks[b];
    const Ir &last = code[block.last - 1];
    const bool jumps = ends_block(last) && last.marks < 0;
    if (jumps && last.key.op == Op::Bra) block.next.push_back(flow.block_of[label_at[last.label_id]]);
    if (jumps && last.key.op == Op::Brx)
      for (int l : last.label_ids) block.next.push_back(flow.block_of[label_at[l]]);
    const bool falls = !jumps || (last.guard >= 0 && last.key.op != Op::Brx);
    if (falls && b + 1 < flow.blocks.size()) block.next.push_back(static_cast<int>(b) + 1);
    std::sort(block.next.begin(), block.next.end());
    block.next.erase(std::unique(block.next.begin(), block.next.end()), block.next.end());
  }
  post_dominators(flow);
  return flow;
}

}  // namespace emu
