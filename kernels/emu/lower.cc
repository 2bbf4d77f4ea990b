// From the syntax tree to a program: operands become values, symbols become addresses, calls are expanded in place, labels become
// indices.
//
// Calls are always inlined: a callee's parameters are bytes of local memory that caller and callee name, as the ABI has it, and
// its `ret` is a branch to behind the call, so divergence inside needs nothing special. Recursion is refused.
#include "lower.h"

namespace emu {

constexpr int kMaxDepth = 64;

std::shared_ptr<Program> Lowering::run(Function *f) {
  std::map<std::string_view, uint64_t> bound;
  for (size_t i = 0; i < layout_.size(); i++) bound[entry_.params[i].name] = layout_[i].offset;
  body(entry_, bound, -1, 0);
  Ir end;
  end.key.op = Op::Exit;
  end.line = entry_.line;
  code_.push_back(end);

  auto p = std::make_shared<Program>();
  p->name = entry_.name;
  p->static_shared = round_up(shared_, std::max<uint32_t>(16, dynamic_align_));  // where dynamic shared memory begins
  for (auto &[v, at] : dynamic_) values_[v].bits = p->static_shared + at;
  p->local_bytes = round_up(local_, 16);
  p->param_bytes = params_;
  for (auto &[i, name] : symbols_.module->files) {
    if (p->files.size() <= i) p->files.resize(i + 1);
    p->files[i] = name;
  }
  emit(*p, f);
  f->name = p->name;
  f->params = layout_;
  f->param_bytes = params_;
  f->static_shared = p->static_shared;
  f->local_bytes = p->local_bytes;
  if (entry_.max_threads) f->max_threads = entry_.max_threads;
  f->program = p;
  return p;
}

int Lowering::special(std::string_view name, Type want) {
  static constexpr std::string_view k32[] = {
      "%tid.x", "%tid.y", "%tid.z", "%ntid.x", "%ntid.y", "%ntid.z", "%ctaid.x", "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y",
      "%nctaid.z", "%laneid", "%warpid", "%nwarpid", "%smid", "%nsmid", "%lanemask_eq", "%lanemask_le", "%lanemask_lt", "%lanemask_ge",
      "%lanemask_gt", "%dynamic_smem_size", "%total_smem_size",
  };
  const auto it = std::find(std::begin(k32), std::end(k32), name);
  if (it == std::end(k32)) fail("special register `" + std::string(name) + "` is not known");
  if (size_of(want) != 4) fail("special register `" + std::string(name) + "` is 32-bit");
  if (auto old = specials_.find(name); old != specials_.end()) return old->second;
  const int v = fresh(Type::B32);
  values_[v].special = *it;
  return specials_[name] = v;
}

Lowering::Place Lowering::place(const Operand &o) {
  if (o.var >= 0) {
    const Var &v = scope_->body->vars[o.var];
    if (v.external) return dynamic_place(v.align);
    return {v.space == Space::Param ? Space::Local : v.space, scope_->vars[o.var], false};
  }
  if (auto it = scope_->params.find(o.name); it != scope_->params.end()) return {scope_->after < 0 ? Space::Param : Space::Local, it->second};
  if (auto it = symbols_.shared.find(o.name); it != symbols_.shared.end()) return {Space::Shared, it->second};
  if (auto it = symbols_.dynamic.find(o.name); it != symbols_.dynamic.end()) return dynamic_place(it->second);
  if (auto it = symbols_.address.find(o.name); it != symbols_.address.end()) return {Space::Global, it->second};
  fail("`" + std::string(o.name) + "` is not declared");
}

int Lowering::address_value(const Place &p, int64_t offset, Type t) {
  if (!p.dynamic) return constant(t, p.at + offset);
  for (auto &[v, at] : dynamic_)  // known when all static shared memory is placed
    if (at == static_cast<uint64_t>(offset) && size_of(values_[v].type) == size_of(t)) return v;
  const int v = fresh(t);
  values_[v].constant = true;
  dynamic_.push_back({v, static_cast<uint64_t>(offset)});
  return v;
}

int Lowering::source(const Operand &o, Type t, bool relaxed) {
  switch (o.kind) {
    case Operand::Reg: {
      const Type have = scope_->body->regs[o.reg];
      const bool ok = (have == Type::Pred) == (t == Type::Pred) && (relaxed ? size_of(have) >= size_of(t) : size_of(have) == size_of(t));
      if (!ok) fail("an operand has the wrong size");
      return scope_->base + o.reg;
    }
    case Operand::Special:
      return special(o.name, t);
    case Operand::Int:
      if (t == Type::Pred) return constant(t, o.bits ? ~0u : 0);
      if (is_float(t)) fail("an integer where a float is expected");
      return constant(t, o.bits);
    case Operand::Float: {
      uint64_t bits = o.bits;
      if (size_of(t) == 4 && o.is_double) {
        double d;
        std::memcpy(&d, &bits, 8);
        const float f = static_cast<float>(d);
        uint32_t u;
        std::memcpy(&u, &f, 4);
        bits = u;
      } else if ((size_of(t) == 8) != o.is_double) {
        fail("a float constant of the wrong size");
      }
      return constant(t, bits);
    }
    case Operand::Symbol: {
      if (size_of(t) < 4) fail("an address in a small operand");
      const Place p = place(o);
      // Parameters have no addresses of their own in registers: theirs are generic, see ld.param with a register.
      if (p.space == Space::Param) return constant(t, kParamWindow + p.at + o.offset);
      if (p.space == Space::Local && o.var < 0) return constant(t, kLocalWindow + p.at + o.offset);
      return address_value(p, o.offset, t);
    }
    default:
      fail("an operand of the wrong kind");
  }
}

void Lowering::body(const Body &b, const std::map<std::string_view, uint64_t> &params, int after, int depth) {
  if (depth > kMaxDepth) throw PtxError(b.line, "recursive call of `" + std::string(b.name) + "`");
  Scope scope{&b, static_cast<int>(values_.size()), {}, {}, params, {}, after};
  for (Type t : b.regs) fresh(t);
  for (const Var &v : b.vars) {
    uint64_t at = 0;
    if (v.space == Space::Local || v.space == Space::Param) {
      at = local_ = round_up(local_, v.align);
      local_ += v.bytes;
    } else if (v.space == Space::Shared && !v.external) {
      auto [it, first] = shared_vars_.try_emplace(&v, 0);  // one per function, however often it is inlined
      if (first) {
        it->second = shared_ = round_up(shared_, v.align);
        shared_ += v.bytes;
      }
      at = it->second;
    } else if (v.space != Space::Shared) {
      throw PtxError(b.line, "variable `" + std::string(v.name) + "` of a function in an unexpected space");
    }
    scope.vars.push_back(at);
  }
  Scope *outer = scope_;
  scope_ = &scope;
  for (const Statement &s : b.code) {
    line_ = s.line;
    source_ = s.source;
    opcode_ = s.opcode;
    if (!s.label.empty()) {
      mark(label(s.label));
      continue;
    }
    const size_t first = code_.size();
    statement(s, depth);
    if (s.guard >= 0)
      for (size_t i = first; i < code_.size(); i++) {
        if (code_[i].marks >= 0) fail("a guarded call");
        code_[i].guard = scope.base + s.guard;
        code_[i].inst.negate = s.guard_negate;
      }
  }
  for (auto &[name, id] : scope.labels)
    if (label_at_[id] < 0) throw PtxError(label_line_[id].first, "label `" + std::string(name) + "` is not defined");
  scope_ = outer;
}

void Lowering::jump(const Statement &s, Key k) {
  Ir ir = start(k);
  if (k.op == Op::Bra) {
    count(s, 1, 1);
    if (s.args[0].kind != Operand::Symbol) fail("the target is not a label");
    ir.label_id = label(s.args[0].name);
  } else {
    count(s, 2, 2);
    if (s.guard >= 0) fail("a guard");
    use(ir, ir.a, source(s.args[0], Type::U32));
    auto table = scope_->body->tables.find(s.args[1].name);
    if (table == scope_->body->tables.end()) fail("no such branch table");
    for (std::string_view l : table->second) ir.label_ids.push_back(label(l));
  }
  put(std::move(ir));
}

void Lowering::call(const Statement &s, int depth) {
  size_t i = 0;
  std::vector<Operand> returns, args;
  if (i < s.args.size() && s.args[i].kind == Operand::Vector) returns = s.args[i++].parts;
  if (i >= s.args.size() || s.args[i].kind != Operand::Symbol) fail("an indirect call");
  const std::string_view name = s.args[i++].name;
  if (i < s.args.size() && s.args[i].kind == Operand::Vector) args = s.args[i++].parts;
  if (i != s.args.size()) fail("the number of operands is wrong");
  if (name == "__assertfail") {
    Key k;
    k.op = Op::Trap;
    k.mode = Mode::Assert;
    put(start(k));
    return;
  }
  const Body *callee = symbols_.module->body(name);
  if (!callee || !callee->defined || callee->entry) fail("function `" + std::string(name) + "` is not defined");
  if (args.size() != callee->params.size() || returns.size() != callee->returns.size()) fail("the number of arguments is wrong");
  std::map<std::string_view, uint64_t> bound;
  auto bind = [&](const std::vector<Var> &formal, const std::vector<Operand> &actual) {
    for (size_t j = 0; j < formal.size(); j++) {
      if (actual[j].kind != Operand::Symbol || actual[j].var < 0) fail("an argument that is not a .param variable");
      if (scope_->body->vars[actual[j].var].bytes != formal[j].bytes) fail("an argument of the wrong size");
      bound[formal[j].name] = scope_->vars[actual[j].var];
    }
  };
  bind(callee->params, args);
  bind(callee->returns, returns);
  const auto opcode = opcode_;
  const auto line = line_;
  const auto source = source_;
  const int after = new_label();
  body(*callee, bound, after, depth + 1);
  opcode_ = opcode, line_ = line, source_ = source;
  mark(after);
}

void Lowering::statement(const Statement &s, int depth) {
  Key k = read_opcode(s.opcode, s.line);
  switch (k.op) {
    case Op::Mov: return mov(s, k);
    case Op::Ld: case Op::St: return load_store(s, k);
    case Op::Atom: case Op::Red: return atomic(s, k);
    case Op::Shfl: case Op::Vote: case Op::Match: case Op::Redux: case Op::BarWarp: case Op::Activemask: return warp_op(s, k);
    case Op::Bar: return barrier(s, k);
    case Op::Ldmatrix: case Op::Mma: return matrix(s, k);
    case Op::CpAsync: case Op::CpCommit: case Op::CpWait: return copy_async(s, k);
    case Op::Cvta: case Op::Isspacep: return convert_address(s, k);
    case Op::Bra: case Op::Brx: return jump(s, k);
    case Op::Call: return call(s, depth);
    case Op::Ret:
      if (scope_->after >= 0) {
        k.op = Op::Bra;
        Ir ir = start(k);
        ir.label_id = scope_->after;
        return put(std::move(ir));
      }
      k.op = Op::Exit;
      return put(start(k));
    case Op::Exit: case Op::Trap: case Op::Fence:
      count(s, 0, 0);
      return put(start(k));
    case Op::Nanosleep: case Op::Prefetch:  // hints
      return;
    case Op::Cvt: {
      if (k.type == Type::BF16x2 || k.type == Type::F16x2) {  // two floats into halves, the first into the upper
        count(s, 3, 3);
        Ir ir = start(k);
        def(ir, ir.d, dest(s.args[0], Type::B32));
        use(ir, ir.a, source(s.args[1], k.from));
        use(ir, ir.b, source(s.args[2], k.from));
        return put(std::move(ir));
      }
      count(s, 2, 2);
      return convert(s, k);
    }
    case Op::Setp: {
      count(s, k.boolean == Bool::None ? 3 : 4, k.boolean == Bool::None ? 3 : 4);
      const bool two = s.args[0].kind == Operand::Pair;
      for (int i = 0; i < (two ? 2 : 1); i++) {  // p|q: q has the comparison's opposite
        Ir ir = start(k);
        ir.inst.imm = static_cast<int>(k.boolean) | (i == 1 ? kCombineNegateResult : 0);
        def(ir, ir.d, dest(two ? s.args[0].parts[i] : s.args[0], Type::Pred));
        use(ir, ir.a, source(s.args[1], k.type));
        use(ir, ir.b, source(s.args[2], k.type));
        use(ir, ir.c, s.args.size() > 3 ? source(s.args[3], Type::Pred) : constant(Type::Pred, 0));
        if (s.args.size() > 3 && s.args[3].negate) ir.inst.imm |= kCombineNegateC;
        put(std::move(ir));
      }
      return;
    }
    case Op::Lop3: {
      count(s, 5, 5);
      Ir ir = start(k);
      def(ir, ir.d, dest(s.args[0], k.type));
      use(ir, ir.a, source(s.args[1], k.type));
      use(ir, ir.b, source(s.args[2], k.type));
      use(ir, ir.c, source(s.args[3], k.type));
      if (s.args[4].kind != Operand::Int || s.args[4].bits > 255) fail("the table is not a constant");
      ir.inst.imm = static_cast<int64_t>(s.args[4].bits);
      return put(std::move(ir));
    }
    default:
      return alu(s, k);
  }
}

std::shared_ptr<Program> lower(const Body &entry, const Symbols &symbols, Function *function) { return Lowering(entry, symbols).run(function); }

}  // namespace emu
