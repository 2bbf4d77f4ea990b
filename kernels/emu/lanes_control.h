// Guards, control flow and the few instructions without operands.

const Inst *guarded(Warp &w, const Inst &i) {
  const uint32_t p = pred(w, i.guard);
  const uint32_t m = w.mask & (i.negate ? ~p : p);
  if (!m) return &i + 1;
  const Inst *next = &i + 1;
  with_lanes(w, m, [&] { next = i.op(w, i); });
  return next;
}

// --- control flow. A warp runs one entry of its stack at a time. A divergent branch leaves behind an entry for the lanes' meeting
// point and one for the side that runs later; who reaches the meeting point takes the next entry from the stack.

inline const Inst *pop(Warp &w) {
  while (!w.stack.empty()) {
    const Entry e = w.stack.back();
    w.stack.pop_back();
    const uint32_t m = e.mask & w.live;
    if (!m) continue;
    w.activate(m);
    w.join = e.join;
    return e.pc;
  }
  w.activate(0);
  w.resume = nullptr;
  return nullptr;
}

const Inst *enter(Warp &w, const Inst &i) {
  if (i.joins && w.join == &i) {
    const Inst *next = pop(w);
    if (next != &i) return next;
  }
  Worker &k = *w.worker;
  k.entered[i.block]++;
  k.entered_lanes[i.block] += __builtin_popcount(w.mask);
  if (++w.steps > k.options->max_steps)
    fault(w, (&i)[1], first_lane(w.mask), kLaunchTimeout, "timeout", "still running after " + std::to_string(w.steps - 1) + " basic blocks");
  return &i + 1;
}

// diverge sends the lanes of `first` to one place now and the others to another later.
inline const Inst *diverge(Warp &w, const Inst &i, uint32_t first, const Inst *now, const Inst *later) {
  w.worker->counters.divergent_branches++;
  const uint32_t rest = w.mask & ~first;
  const Inst *join = i.join < 0 ? nullptr : w.program->code.data() + i.join;
  // A loop that lanes leave one by one: those who left wait in the entry below already.
  if (join && join != w.join) {
    w.stack.push_back({join, w.join, w.mask});
    w.join = join;
  }
  if (join && later == join) {
    w.activate(first);
    return now;
  }
  if (join && now == join) {
    w.activate(rest);
    return later;
  }
  w.stack.push_back({later, w.join, rest});
  w.activate(first);
  return now;
}

const Inst *branch(Warp &w, const Inst &i) {
  const uint32_t p = pred(w, i.guard);
  const uint32_t taken = w.mask & (i.negate ? ~p : p);
  const Inst *target = w.program->code.data() + i.target;
  if (taken == w.mask) return target;
  if (!taken) return &i + 1;
  if (i.exits_first) return diverge(w, i, taken, target, &i + 1);
  return diverge(w, i, w.mask & ~taken, &i + 1, target);
}

const Inst *branch_always(Warp &w, const Inst &i) { return w.program->code.data() + i.target; }

// brx.idx: the lanes that go where the first one goes now; the others come back to this instruction.
const Inst *branch_indexed(Warp &w, const Inst &i) {
  const auto *index = reg<uint32_t>(w, i.a);
  const int lane = first_lane(w.mask);
  const uint32_t k = index[lane];
  if (k >= static_cast<uint64_t>(i.imm))
    fault(w, i, lane, kLaunchFailed, "trap", "branch index " + std::to_string(k) + " of " + std::to_string(i.imm) + " targets");
  const Inst *target = w.program->code.data() + w.program->lists[i.list + k];
  const uint32_t same = w.mask & bits([&](int l) { return index[l] == k; });
  if (same == w.mask) return target;
  return diverge(w, i, same, target, &i);
}

const Inst *exit_lanes(Warp &w, const Inst &i) {
  uint32_t m = w.mask;
  if (i.has_guard) m &= i.negate ? ~pred(w, i.guard) : pred(w, i.guard);
  w.live &= ~m;
  if (m == w.mask) return pop(w);
  w.activate(w.mask & ~m);
  return &i + 1;
}

template <bool Assert>
const Inst *trap(Warp &w, const Inst &i) {
  fault(w, i, first_lane(w.mask), kLaunchFailed, "trap", Assert ? "an assertion failed" : "trap");
}

const Inst *nothing(Warp &, const Inst &i) { return &i + 1; }

Handler select_control(const Key &k) {
  switch (k.op) {
    case Op::Bra: return k.guarded ? branch : branch_always;
    case Op::Brx: return branch_indexed;
    case Op::Exit: return exit_lanes;
    case Op::Trap: return k.mode == Mode::Assert ? trap<true> : trap<false>;
    case Op::Fence: return nothing;
    case Op::Enter: return enter;
    case Op::Guarded: return guarded;
    default: return nullptr;
  }
}
