// Which work runs next.
#include <algorithm>

#include "driver.h"

namespace emu::api {

constexpr size_t kMaxPending = 1 << 14;  // beyond, the oldest work runs though nobody waits for it

std::shared_ptr<Op> Scheduler::submit(Context &c, Work work, Ops before, const std::string &call) {
  driver().journal.count(work);
  auto op = std::make_shared<Op>();
  op->number = ++last_;
  op->context = &c;
  op->work = std::move(work);
  op->call = call;
  std::sort(before.begin(), before.end());
  before.erase(std::unique(before.begin(), before.end()), before.end());
  for (auto &b : before) {
    if (!b || b->done) continue;
    op->before.push_back(b);
    b->after.push_back(op);
  }
  op->waiting = op->before.size();
  pending_[op->number] = op;
  if (!op->waiting) ready_[op->number] = op;
  return op;
}

void Scheduler::settle() {
  const Options &o = driver().settings.run;
  if (!seeded_) random_.seed(o.seed), seeded_ = true;
  if (!o.async_late) {
    while (!ready_.empty()) step();
  } else if (o.schedule == Schedule::Random && random_() % 4 == 0 && !ready_.empty()) {
    step();
  }
  while (pending_.size() > kMaxPending && !ready_.empty()) run(ready_.begin()->second);
}

// step runs one op that may run.
void Scheduler::step() {
  auto it = ready_.begin();
  switch (driver().settings.run.schedule) {
    case Schedule::Forward: break;
    case Schedule::Reverse: it = std::prev(ready_.end()); break;
    case Schedule::Random: std::advance(it, random_() % ready_.size()); break;
  }
  run(it->second);
}

void Scheduler::run(const std::shared_ptr<Op> &ready) {
  std::shared_ptr<Op> op = ready;
  Driver &d = driver();
  ready_.erase(op->number);
  op->running = true;
  if (op->context->sticky == SUCCESS) {
    if (auto fault = perform(*op->context, op->work)) {
      op->context->sticky = fault->code;
      d.journal.fault(fault->text + " (queued by " + op->call + ")");
    }
  }
  op->running = false;
  op->done = true;
  op->when = std::chrono::steady_clock::now();
  op->before.clear();
  pending_.erase(op->number);
  for (auto &next : op->after)
    if (!--next->waiting) ready_[next->number] = next;
  op->after.clear();
  d.finished.notify_all();
}

// needed is what has to run for op to be done, oldest first: an order in which it can.
static Ops needed(const std::shared_ptr<Op> &op) {
  std::map<uint64_t, std::shared_ptr<Op>> found;
  Ops open{op};
  while (!open.empty()) {
    auto o = open.back();
    open.pop_back();
    if (o->done || !found.emplace(o->number, o).second) continue;
    open.insert(open.end(), o->before.begin(), o->before.end());
  }
  Ops sorted;
  for (auto &[number, o] : found) sorted.push_back(o);
  return sorted;
}

void Scheduler::wait(const std::shared_ptr<Op> &op) {
  Driver &d = driver();
  Ops list;
  if (d.settings.run.schedule == Schedule::Forward) list = needed(op);
  for (auto &o : list)
    if (!o->done && !o->running && !o->waiting) run(o);
  while (!op->done) {
    if (ready_.empty()) d.finished.wait(d.mutex);  // a host function runs in another thread
    else step();
  }
}

void Scheduler::nudge(const std::shared_ptr<Op> &op) {
  if (op->done) return;
  for (auto &o : needed(op)) {
    if (!o->running && !o->waiting) return run(o);
  }
}

void Scheduler::drain(Context &c) {
  for (;;) {
    auto mine = std::find_if(pending_.begin(), pending_.end(), [&](auto &p) { return p.second->context == &c; });
    if (mine == pending_.end()) return;
    wait(std::shared_ptr<Op>(mine->second));
  }
}

std::shared_ptr<Op> Scheduler::user(const Range &r) const {
  for (auto &[number, op] : pending_) {
    if (!r.device && std::holds_alternative<Kernel>(op->work)) continue;  // kernels see no host memory
    for (const Range &t : touched(op->work))
      if (t.overlaps(r)) return op;
  }
  return nullptr;
}

}  // namespace emu::api
