// The finished program: what blocks cost, where registers and blocks lie, which handler each instruction has.
#include "lower.h"

namespace emu {

void Lowering::cost(const Ir &ir, BlockCost &c) const {
  auto one = [&](uint64_t Counters::*field) { c.warp.*field += 1; };
  c.warp.instructions++;
  c.lane.thread_instructions++;
  const Key &k = ir.key;
  switch (k.op) {
    case Op::Ld: case Op::St: case Op::Ldmatrix: one(&Counters::memory); break;
    case Op::Atom: case Op::Red: one(&Counters::atomics); break;
    case Op::CpAsync: one(&Counters::async_copies); break;
    case Op::CpCommit: case Op::CpWait: case Op::Fence: one(&Counters::other); break;
    case Op::Bar: one(&Counters::barriers); break;
    case Op::Shfl: case Op::Vote: case Op::Match: case Op::Redux: case Op::BarWarp: case Op::Activemask: one(&Counters::warp_ops); break;
    case Op::Bra: case Op::Brx: case Op::Exit: case Op::Trap: one(&Counters::control); break;
    case Op::Cvt: case Op::Resize: one(&Counters::convert); break;
    case Op::Mma: {
      one(&Counters::mma);
      const int depth = k.mode == Mode::M16n8k16 ? 16 : k.mode == Mode::M16n8k8 ? 8 : 4;
      c.warp.flops += 2 * 16 * 8 * depth;
      break;
    }
    case Op::Ex2: case Op::Lg2: case Op::Sin: case Op::Cos: case Op::Tanh: case Op::Rcp: case Op::Rsqrt: case Op::Sqrt:
      one(&Counters::special);
      c.lane.thread_special++;
      break;
    case Op::Div:
      one(is_float(k.type) ? &Counters::special : &Counters::alu);
      if (is_float(k.type)) c.lane.thread_special++, c.lane.flops++;
      break;
    case Op::Add: case Op::Sub: case Op::Mul: case Op::Fma: case Op::Mad:
      if (k.type == Type::F32 || k.type == Type::F64) {
        const bool twice = k.op == Op::Fma || k.op == Op::Mad;
        one(k.type == Type::F32 ? &Counters::fma : &Counters::fp64);
        (k.type == Type::F32 ? c.lane.thread_fma : c.lane.thread_fp64)++;
        c.lane.flops += twice ? 2 : 1;
        break;
      }
      [[fallthrough]];
    default:
      one(&Counters::alu);
  }
}

void Lowering::emit(Program &p, Function *f) {
  const Flow flow = control_flow(code_, label_at_);
  std::vector<int> offset;
  p.frame_bytes = place_registers(code_, flow, values_, offset, &f->registers);
  Key head_key, guard_key;
  head_key.op = Op::Enter, guard_key.op = Op::Guarded;
  const Handler enter_handler = select_handler(head_key), guarded = select_handler(guard_key);

  std::vector<bool> joins(flow.blocks.size(), false), exits(flow.blocks.size(), false);
  for (size_t b = 0; b < flow.blocks.size(); b++) {
    const auto &block = flow.blocks[b];
    if (block.next.size() > 1 && block.join >= 0) joins[block.join] = true;
    int i = block.first;
    while (i < block.last && code_[i].marks >= 0) i++;
    exits[b] = i < block.last && code_[i].key.op == Op::Exit && code_[i].guard < 0;
  }
  std::vector<int> enter(flow.blocks.size());  // index of each block's first instruction
  int at = 0;
  for (size_t b = 0; b < flow.blocks.size(); b++) {
    enter[b] = at++;
    for (int i = flow.blocks[b].first; i < flow.blocks[b].last; i++) at += code_[i].marks < 0;
  }
  p.blocks.resize(flow.blocks.size());
  auto place = [&](int v) { return v < 0 ? 0 : offset[v]; };
  for (size_t b = 0; b < flow.blocks.size(); b++) {
    const auto &block = flow.blocks[b];
    Inst head;
    head.fn = enter_handler;
    head.block = static_cast<int>(b);
    head.joins = joins[b];
    p.code.push_back(head);
    for (int i = block.first; i < block.last; i++) {
      Ir &ir = code_[i];
      if (ir.marks >= 0) continue;
      cost(ir, p.blocks[b]);
      Inst inst = ir.inst;
      inst.d = place(ir.d), inst.a = place(ir.a), inst.b = place(ir.b), inst.c = place(ir.c);
      inst.guard = place(ir.guard);
      inst.has_guard = ir.guard >= 0;
      inst.list = static_cast<int>(p.lists.size());
      for (int v : ir.list) p.lists.push_back(place(v));
      inst.number = p.memory_ops;
      // Lanes that only exit need no meeting point: let them go as soon as they get there.
      const int join = block.join >= 0 && !exits[block.join] ? enter[block.join] : -1;
      switch (ir.key.op) {
        case Op::Bra: {
          const int target = flow.block_of[label_at_[ir.label_id]];
          inst.target = enter[target];
          inst.exits_first = exits[target];
          inst.join = join;
          ir.key.guarded = inst.has_guard;
          inst.fn = select_handler(ir.key);
          break;
        }
        case Op::Brx:
          inst.join = join;
          inst.count = 0;
          inst.imm = static_cast<int64_t>(ir.label_ids.size());
          for (int id : ir.label_ids) p.lists.push_back(enter[flow.block_of[label_at_[id]]]);
          inst.fn = select_handler(ir.key);
          break;
        case Op::Exit:
          inst.fn = select_handler(ir.key);
          break;
        case Op::Ld: case Op::St: case Op::Atom: case Op::Red: case Op::CpAsync: case Op::Ldmatrix:
          p.memory_ops++;
          [[fallthrough]];
        default:
          inst.fn = select_handler(ir.key);
          if (inst.fn && inst.has_guard) inst.op = inst.fn, inst.fn = guarded;
      }
      if (!inst.fn) throw PtxError(ir.line, "instruction `" + std::string(ir.opcode) + "` is not known");
      p.code.push_back(inst);
    }
  }
  for (size_t v = 0; v < values_.size(); v++) {
    if (offset[v] < 0) continue;
    const uint8_t bytes = size_of(values_[v].type);
    if (values_[v].constant) p.constants.push_back({offset[v], bytes, values_[v].bits});
    else if (!values_[v].special.empty()) p.specials.push_back({offset[v], bytes, values_[v].special});
  }
}

}  // namespace emu
