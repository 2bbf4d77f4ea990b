// From the syntax tree to a program: operands become values, symbols become addresses, calls are expanded in place, labels become
// indices.
//
// Calls are always inlined: a callee's parameters are bytes of local memory that caller and callee name, as the ABI has it, and
// its `ret` is a branch to behind the call, so divergence inside needs nothing special. Recursion is refused.
#include <algorithm>
#include <cstring>
#include <map>

#include "program.h"

namespace emu {
namespace {

constexpr int kMaxDepth = 64;

bool is_float(Type t) { return t == Type::F32 || t == Type::F64 || t == Type::F16 || t == Type::BF16 || t == Type::TF32; }

class Lowering {
 public:
  Lowering(const Body &entry, const Symbols &symbols) : entry_(entry), symbols_(symbols), shared_(symbols.shared_bytes) {
    for (const Var &p : entry.params) {
      params_ = round_up(params_, p.align);
      layout_.push_back({params_, static_cast<uint32_t>(p.bytes), p.align});
      params_ += p.bytes;
    }
  }

  std::shared_ptr<Program> run(Function *f) {
    std::map<std::string_view, uint64_t> bound;
    for (size_t i = 0; i < layout_.size(); i++) bound[entry_.params[i].name] = layout_[i].offset;
    body(entry_, bound, -1, 0);
    Ir end;
    end.key.op = Op::Exit;
    end.line = entry_.line;
    code_.push_back(end);

    auto p = std::make_shared<Program>();
    p->name = entry_.name;
    p->static_shared = round_up(shared_, 16);
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

 private:
  static uint32_t round_up(uint64_t n, uint64_t to) { return to ? (n + to - 1) / to * to : n; }

  [[noreturn]] void fail(const std::string &what) const { throw PtxError(line_, what + " in `" + std::string(opcode_) + "`"); }

  // --- values
  int fresh(Type t) {
    values_.push_back({t, false, 0, {}});
    return static_cast<int>(values_.size()) - 1;
  }

  int constant(Type t, uint64_t bits) {
    const int bytes = size_of(t);
    if (bytes && bytes < 8) bits &= (uint64_t{1} << (8 * bytes)) - 1;
    const auto key = std::make_pair(bytes, bits);
    if (auto it = constants_.find(key); it != constants_.end()) return it->second;
    const int v = fresh(t);
    values_[v].constant = true;
    values_[v].bits = bits;
    return constants_[key] = v;
  }

  int special(std::string_view name, Type want) {
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

  // Context of the function instance being lowered.
  struct Scope {
    const Body *body;
    int base;                                          // value of the first register
    std::vector<uint64_t> vars;                        // offset of each of Body::vars in its space
    std::vector<int> dynamic;                          // and whether it is dynamic shared memory
    std::map<std::string_view, uint64_t> params;       // entry: offset of the parameter; else its place in local memory
    std::map<std::string_view, int> labels;
    int after = -1;                                    // label behind the call; -1 in the entry
  };

  // place finds a symbol: which space, which offset or address.
  struct Place {
    Space space;
    uint64_t at;
    bool dynamic = false;
  };
  Place place(const Operand &o) {
    if (o.var >= 0) {
      const Var &v = scope_->body->vars[o.var];
      if (v.external) return {Space::Shared, 0, true};
      return {v.space == Space::Param ? Space::Local : v.space, scope_->vars[o.var], false};
    }
    if (auto it = scope_->params.find(o.name); it != scope_->params.end()) return {scope_->after < 0 ? Space::Param : Space::Local, it->second};
    if (auto it = symbols_.shared.find(o.name); it != symbols_.shared.end()) return {Space::Shared, it->second};
    if (std::find(symbols_.dynamic.begin(), symbols_.dynamic.end(), o.name) != symbols_.dynamic.end()) return {Space::Shared, 0, true};
    if (auto it = symbols_.address.find(o.name); it != symbols_.address.end()) return {Space::Global, it->second};
    fail("`" + std::string(o.name) + "` is not declared");
  }

  int address_value(const Place &p, int64_t offset, Type t) {
    if (!p.dynamic) return constant(t, p.at + offset);
    for (auto &[v, at] : dynamic_)  // known when all static shared memory is placed
      if (at == static_cast<uint64_t>(offset) && size_of(values_[v].type) == size_of(t)) return v;
    const int v = fresh(t);
    values_[v].constant = true;
    dynamic_.push_back({v, static_cast<uint64_t>(offset)});
    return v;
  }

  // source is the value of an operand that an instruction reads as type t. relaxed: the register may be wider.
  int source(const Operand &o, Type t, bool relaxed = false) {
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

  int dest(const Operand &o, Type t, bool relaxed = false) {
    if (o.kind == Operand::Sink) return fresh(t);
    if (o.kind != Operand::Reg) fail("the destination is not a register");
    return source(o, t, relaxed);
  }

  int width(const Operand &o, Type t) const {  // bytes of the register, or of t where there is none
    return o.kind == Operand::Reg ? size_of(scope_->body->regs[o.reg]) : size_of(t);
  }

  // --- emission
  Ir start(const Key &k) {
    Ir ir;
    ir.key = k;
    ir.inst.source = source_;
    ir.line = line_;
    ir.opcode = opcode_;
    return ir;
  }
  void def(Ir &ir, int &slot, int v) { slot = v, ir.defs.push_back(v); }
  void use(Ir &ir, int &slot, int v) { slot = v, ir.uses.push_back(v); }
  void list_def(Ir &ir, int v) { ir.list.push_back(v), ir.defs.push_back(v); }
  void list_use(Ir &ir, int v) { ir.list.push_back(v), ir.uses.push_back(v); }
  void put(Ir ir) { code_.push_back(std::move(ir)); }

  void move(int d, int a, Type t) {
    Key k;
    k.op = Op::Mov;
    k.type = t;
    Ir ir = start(k);
    def(ir, ir.d, d);
    use(ir, ir.a, a);
    put(std::move(ir));
  }

  int label(std::string_view name) {
    auto [it, fresh] = scope_->labels.try_emplace(name, static_cast<int>(label_at_.size()));
    if (fresh) label_at_.push_back(-1), label_line_.push_back({line_, name});
    return it->second;
  }
  int new_label() {
    label_at_.push_back(-1);
    label_line_.push_back({line_, "return"});
    return static_cast<int>(label_at_.size()) - 1;
  }
  void mark(int id) {
    if (label_at_[id] >= 0) throw PtxError(line_, "label `" + std::string(label_line_[id].second) + "` is defined twice");
    label_at_[id] = static_cast<int>(code_.size());
    Ir ir;
    ir.marks = id;
    ir.key.op = Op::Nanosleep;
    put(std::move(ir));
  }

  void body(const Body &b, const std::map<std::string_view, uint64_t> &params, int after, int depth) {
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

  void count(const Statement &s, size_t low, size_t high) const {
    if (s.args.size() < low || s.args.size() > high) fail("the number of operands is wrong");
  }

  void statement(const Statement &s, int depth);
  void alu(const Statement &s, Key k);
  void mov(const Statement &s, Key k);
  void load_store(const Statement &s, Key k);
  void atomic(const Statement &s, Key k);
  void warp_op(const Statement &s, Key k);
  void barrier(const Statement &s, Key k);
  void matrix(const Statement &s, Key k);
  void copy_async(const Statement &s, Key k);
  void convert(const Statement &s, Key k);
  void convert_address(const Statement &s, Key k);
  void jump(const Statement &s, Key k);
  void call(const Statement &s, int depth);
  void set_address(Ir &ir, int &slot, const Operand &o, Key &k, bool *wide);
  void emit(Program &p, Function *f);
  void cost(const Ir &ir, BlockCost &c) const;

  const Body &entry_;
  const Symbols &symbols_;
  std::vector<Param> layout_;
  std::vector<Value> values_;
  std::vector<Ir> code_;
  std::map<std::pair<int, uint64_t>, int> constants_;
  std::map<std::string_view, int> specials_;
  std::vector<std::pair<int, uint64_t>> dynamic_;
  std::map<const Var *, uint64_t> shared_vars_;
  std::vector<int> label_at_;
  std::vector<std::pair<uint32_t, std::string_view>> label_line_;
  Scope *scope_ = nullptr;
  uint64_t shared_ = 0, local_ = 0;
  uint32_t params_ = 0, line_ = 0;
  Source source_;
  std::string_view opcode_;
};

// Operand lists of the arithmetic instructions: T the instruction's type, W twice its size, F the second type, U 32-bit unsigned,
// P predicate, S 16-bit. The first is the destination.
struct Shape {
  Op op;
  const char *operands;
};
constexpr Shape kShapes[] = {
    {Op::Abs, "TT"}, {Op::Add, "TTT"}, {Op::And, "TTT"}, {Op::Bfe, "TTUU"}, {Op::Bfi, "TTTUU"}, {Op::Bfind, "UT"}, {Op::Brev, "TT"},
    {Op::Clz, "UT"}, {Op::Cnot, "TT"}, {Op::Copysign, "TTT"}, {Op::Cos, "TT"}, {Op::Div, "TTT"}, {Op::Dp4a, "UUUU"}, {Op::Ex2, "TT"},
    {Op::Fma, "TTTT"}, {Op::Lg2, "TT"}, {Op::Mad, "TTTT"}, {Op::Max, "TTT"}, {Op::Min, "TTT"}, {Op::Mul, "TTT"}, {Op::Neg, "TT"},
    {Op::Not, "TT"}, {Op::Or, "TTT"}, {Op::Popc, "UT"}, {Op::Prmt, "TTTT"}, {Op::Rcp, "TT"}, {Op::Rem, "TTT"}, {Op::Rsqrt, "TT"},
    {Op::Sad, "TTTT"}, {Op::Selp, "TTTP"}, {Op::Set, "TFF"}, {Op::Shf, "TTTU"}, {Op::Shl, "TTU"}, {Op::Shr, "TTU"}, {Op::Sin, "TT"},
    {Op::Slct, "TTTF"}, {Op::Sqrt, "TT"}, {Op::Sub, "TTT"}, {Op::Tanh, "TT"}, {Op::Testp, "PT"}, {Op::Xor, "TTT"},
};

Type doubled(Type t) { return size_of(t) == 2 ? Type::B32 : Type::B64; }

void Lowering::alu(const Statement &s, Key k) {
  const Shape *shape = std::find_if(std::begin(kShapes), std::end(kShapes), [&](const Shape &x) { return x.op == k.op; });
  if (shape == std::end(kShapes)) fail("no operands are known");
  std::string operands = shape->operands;
  if (k.part == Part::Wide) operands = k.op == Op::Mad ? "WTTW" : "WTT";
  count(s, operands.size(), operands.size());
  Ir ir = start(k);
  for (size_t i = 0; i < operands.size(); i++) {
    const Operand &o = s.args[i];
    Type t = k.type;
    switch (operands[i]) {
      case 'W': t = doubled(k.type); break;
      case 'F': t = k.from; break;
      case 'U': t = Type::U32; break;
      case 'P': t = Type::Pred; break;
    }
    if (i == 0) {
      def(ir, ir.d, dest(o, t));
      continue;
    }
    const int v = source(o, t);
    if (o.negate) {
      if (t != Type::Pred || i != operands.size() - 1) fail("`!` before an operand that is not a predicate");
      ir.key.flags |= kNegateC;
    }
    if (i == 1) use(ir, ir.a, v);
    else if (i == 2) use(ir, ir.b, v);
    else if (i == 3) use(ir, ir.c, v);
    else list_use(ir, v);
  }
  put(std::move(ir));
}

void Lowering::mov(const Statement &s, Key k) {
  count(s, 2, 2);
  const Operand &d = s.args[0], &a = s.args[1];
  const bool packs = a.kind == Operand::Vector, unpacks = d.kind == Operand::Vector;
  if (packs || unpacks) {
    const auto &parts = packs ? a.parts : d.parts;
    if (packs && unpacks) fail("vectors on both sides");
    if (parts.size() != 2 && parts.size() != 4) fail("a vector of a wrong length");
    const int bytes = size_of(k.type) / static_cast<int>(parts.size());
    const Type part = bytes == 1 ? Type::B8 : bytes == 2 ? Type::B16 : bytes == 4 ? Type::B32 : Type::None;
    if (part == Type::None) fail("a vector of a wrong size");
    k.mode = packs ? Mode::Pack : Mode::Unpack;
    k.vec = parts.size();
    Ir ir = start(k);
    ir.inst.count = k.vec;
    if (packs) {
      def(ir, ir.d, dest(d, k.type));
      for (const Operand &p : parts) list_use(ir, source(p, part));
    } else {
      use(ir, ir.a, source(a, k.type));
      for (const Operand &p : parts) list_def(ir, dest(p, part));
    }
    put(std::move(ir));
    return;
  }
  if (a.kind == Operand::Special) {
    const bool wide = a.name == "%clock64" || a.name == "%globaltimer";
    if (wide || a.name == "%clock" || a.name == "%clock_hi" || a.name == "%globaltimer_lo") {
      if (size_of(k.type) != (wide ? 8 : 4)) fail("a clock of the wrong size");
      k.mode = wide ? Mode::Clock64 : Mode::Clock;
      Ir ir = start(k);
      def(ir, ir.d, dest(d, k.type));
      put(std::move(ir));
      return;
    }
  }
  const int v = source(a, k.type);
  move(dest(d, k.type), v, k.type);
}

// set_address reads [base + offset]; the space of a symbol decides where the instruction left it open.
void Lowering::set_address(Ir &ir, int &slot, const Operand &o, Key &k, bool *wide) {
  if (o.kind != Operand::Address) fail("expected an address");
  const Operand &base = o.parts[0];
  ir.inst.imm = o.offset;
  *wide = true;
  if (base.kind == Operand::Symbol) {
    const Place p = place(base);
    const bool param = k.space == Space::Param;
    if (param && p.space != Space::Param && p.space != Space::Local) fail("`" + std::string(base.name) + "` is not a parameter");
    if (!param && k.space == Space::Generic && p.space == Space::Shared) k.space = Space::Shared;
    else if (!param && k.space == Space::Generic && p.space == Space::Local) k.space = Space::Local;
    else if (param) k.space = p.space;
    ir.inst.imm += base.offset;
    use(ir, slot, address_value(p, 0, Type::B64));
  } else if (base.kind == Operand::Int) {
    use(ir, slot, constant(Type::B64, base.bits));
  } else if (base.kind == Operand::Reg) {
    const int bytes = size_of(scope_->body->regs[base.reg]);
    if (bytes != 4 && bytes != 8) fail("an address of the wrong size");
    *wide = bytes == 8;
    if (!*wide && k.space != Space::Shared && k.space != Space::Local) fail("a 32-bit address");
    if (k.space == Space::Param) k.space = Space::Generic;
    use(ir, slot, scope_->base + base.reg);
  } else {
    fail("an address that is neither a register nor a symbol");
  }
}

void Lowering::load_store(const Statement &s, Key k) {
  count(s, 2, 2);
  const bool store = k.op == Op::St;
  const Operand &data = s.args[store ? 1 : 0], &address = s.args[store ? 0 : 1];
  std::vector<Operand> parts = data.kind == Operand::Vector ? data.parts : std::vector<Operand>{data};
  if (parts.size() != k.vec) fail("the vector has the wrong length");
  Ir ir = start(k);
  int bytes = size_of(k.type);
  if (bytes == 0 || bytes > 8) fail("a type that memory does not hold");
  for (const Operand &p : parts) bytes = std::max(bytes, width(p, k.type));
  for (const Operand &p : parts) {
    if (p.kind == Operand::Reg && width(p, k.type) != bytes) fail("vector elements of different sizes");
    if (store) list_use(ir, source(p, p.kind == Operand::Reg ? scope_->body->regs[p.reg] : k.type));
    else if (p.kind == Operand::Sink) list_def(ir, fresh(bytes == 8 ? Type::B64 : bytes == 4 ? Type::B32 : Type::B16));
    else list_def(ir, dest(p, k.type, true));
  }
  // An immediate stored as one byte sits in 16-bit lanes like every small value.
  k.dst_bytes = k.src_bytes = bytes == 1 ? 2 : bytes;
  set_address(ir, ir.a, address, k, &ir.inst.a_wide);
  ir.key = k;
  ir.inst.count = k.vec;
  put(std::move(ir));
}

void Lowering::atomic(const Statement &s, Key k) {
  const bool returns = k.op == Op::Atom;
  const size_t operands = (returns ? 1 : 0) + 2 + (k.mode == Mode::Cas ? 1 : 0);
  count(s, operands, operands);
  if (k.mode == Mode::None) fail("which operation is not said");
  Ir ir = start(k);
  size_t i = 0;
  if (returns) def(ir, ir.d, dest(s.args[i++], k.type));
  set_address(ir, ir.a, s.args[i++], k, &ir.inst.a_wide);
  use(ir, ir.b, source(s.args[i++], k.type));
  if (k.mode == Mode::Cas) use(ir, ir.c, source(s.args[i++], k.type));
  ir.key = k;
  put(std::move(ir));
}

void Lowering::warp_op(const Statement &s, Key k) {
  Ir ir = start(k);
  auto pair = [&](const Operand &o, Type t) {  // d or d|p
    if (o.kind != Operand::Pair) {
      def(ir, ir.d, dest(o, t));
      return fresh(Type::Pred);
    }
    def(ir, ir.d, dest(o.parts[0], t));
    return dest(o.parts[1], Type::Pred);
  };
  switch (k.op) {
    case Op::Shfl: {
      count(s, 5, 5);
      const int p = pair(s.args[0], k.type);
      use(ir, ir.a, source(s.args[1], k.type));
      use(ir, ir.b, source(s.args[2], Type::U32));
      use(ir, ir.c, source(s.args[3], Type::U32));
      list_use(ir, source(s.args[4], Type::U32));
      list_def(ir, p);
      break;
    }
    case Op::Vote:
      count(s, 3, 3);
      def(ir, ir.d, dest(s.args[0], k.type));
      use(ir, ir.a, source(s.args[1], Type::Pred));
      if (s.args[1].negate) ir.key.flags |= kNegateC;
      list_use(ir, source(s.args[2], Type::U32));
      break;
    case Op::Match: {
      count(s, 3, 3);
      const int p = pair(s.args[0], Type::U32);
      use(ir, ir.a, source(s.args[1], k.type));
      list_use(ir, source(s.args[2], Type::U32));
      list_def(ir, p);
      break;
    }
    case Op::Redux:
      count(s, 3, 3);
      def(ir, ir.d, dest(s.args[0], k.type));
      use(ir, ir.a, source(s.args[1], k.type));
      list_use(ir, source(s.args[2], Type::U32));
      break;
    case Op::BarWarp:
      count(s, 1, 1);
      list_use(ir, source(s.args[0], Type::U32));
      break;
    case Op::Activemask:
      count(s, 1, 1);
      def(ir, ir.d, dest(s.args[0], Type::U32));
      break;
    default:
      fail("not a warp operation");
  }
  put(std::move(ir));
}

// bar.sync a{, b}; bar.arrive a, b; bar.red.op d, a{, b}, {!}c. In the list: barrier, threads (0: all).
void Lowering::barrier(const Statement &s, Key k) {
  Ir ir = start(k);
  size_t i = 0, n = s.args.size();
  if (k.mode == Mode::Red) {
    count(s, 3, 4);
    def(ir, ir.d, dest(s.args[i++], k.mode2 == Mode::Popc ? Type::U32 : Type::Pred));
    const Operand &c = s.args[--n];
    use(ir, ir.a, source(c, Type::Pred));
    if (c.negate) ir.key.flags |= kNegateC;
  } else {
    count(s, k.mode == Mode::Arrive ? 2 : 1, 2);
  }
  list_use(ir, source(s.args[i++], Type::U32));
  list_use(ir, i < n ? source(s.args[i], Type::U32) : constant(Type::U32, 0));
  put(std::move(ir));
}

void Lowering::matrix(const Statement &s, Key k) {
  Ir ir = start(k);
  if (k.op == Op::Ldmatrix) {
    count(s, 2, 2);
    const size_t n = k.mode == Mode::X4 ? 4 : k.mode == Mode::X2 ? 2 : 1;
    const std::vector<Operand> parts = s.args[0].kind == Operand::Vector ? s.args[0].parts : std::vector<Operand>{s.args[0]};
    if (parts.size() != n) fail("the vector has the wrong length");
    for (const Operand &p : parts) list_def(ir, dest(p, Type::B32));
    set_address(ir, ir.a, s.args[1], k, &ir.inst.a_wide);
    if (k.space != Space::Shared && k.space != Space::Generic) fail("the matrix is not in shared memory");
    ir.key = k;
    ir.inst.count = n;
  } else {
    count(s, 4, 4);
    const size_t a = k.mode == Mode::M16n8k16 ? 4 : k.from == Type::TF32 && k.mode == Mode::M16n8k8 ? 4 : 2;
    const size_t want[] = {4, a, a / 2, 4};
    for (int i = 0; i < 4; i++) {
      const std::vector<Operand> parts = s.args[i].kind == Operand::Vector ? s.args[i].parts : std::vector<Operand>{s.args[i]};
      if (parts.size() != want[i]) fail("a fragment has the wrong length");
      for (const Operand &p : parts)
        if (i == 0) list_def(ir, dest(p, Type::F32));
        else list_use(ir, source(p, i == 3 ? Type::F32 : Type::B32));
    }
  }
  put(std::move(ir));
}

// cp.async [dst], [src], n {, src-size}: the list holds src and its size.
void Lowering::copy_async(const Statement &s, Key k) {
  Ir ir = start(k);
  if (k.op == Op::CpCommit) {
    count(s, 0, 0);
  } else if (k.op == Op::CpWait) {
    count(s, k.mode == Mode::GroupN ? 1 : 0, k.mode == Mode::GroupN ? 1 : 0);
    if (k.mode == Mode::GroupN) {
      if (s.args[0].kind != Operand::Int) fail("the number of groups is not a constant");
      ir.inst.imm = static_cast<int64_t>(s.args[0].bits);
    }
  } else {
    count(s, 3, 4);
    if (s.args[2].kind != Operand::Int) fail("the size is not a constant");
    const uint64_t n = s.args[2].bits;
    if (k.mode == Mode::X4 ? n != 16 : n != 4 && n != 8 && n != 16) fail("a size that cp.async does not have");
    Key from;
    from.space = Space::Global;
    bool wide = true;
    set_address(ir, ir.b, s.args[1], from, &wide);
    if (ir.inst.imm) {  // one offset is all an instruction has room for: the destination's
      Key add;
      add.op = Op::Add;
      add.type = Type::U64;
      Ir sum = start(add);
      def(sum, sum.d, fresh(Type::B64));
      use(sum, sum.a, ir.b);
      use(sum, sum.b, constant(Type::B64, static_cast<uint64_t>(ir.inst.imm)));
      ir.b = sum.d;
      ir.uses.assign(1, ir.b);
      put(std::move(sum));
    }
    k.space = Space::Shared;
    set_address(ir, ir.a, s.args[0], k, &ir.inst.a_wide);
    use(ir, ir.c, s.args.size() > 3 ? source(s.args[3], Type::U32) : constant(Type::U32, n));
    ir.inst.count = n;
    ir.key = k;
  }
  put(std::move(ir));
}

void Lowering::convert_address(const Statement &s, Key k) {
  count(s, 2, 2);
  if (k.op == Op::Isspacep) {
    Ir ir = start(k);
    def(ir, ir.d, dest(s.args[0], Type::Pred));
    use(ir, ir.a, source(s.args[1], Type::U64));
    put(std::move(ir));
    return;
  }
  if (size_of(k.type) != 8) fail("a 32-bit address");
  const int a = source(s.args[1], Type::U64), d = dest(s.args[0], Type::U64);
  const uint64_t window = k.space == Space::Shared ? kSharedWindow : k.space == Space::Local ? kLocalWindow : 0;
  if (!window) {
    move(d, a, Type::B64);
    return;
  }
  Key add;
  add.op = k.mode == Mode::To ? Op::Sub : Op::Add;
  add.type = Type::U64;
  Ir ir = start(add);
  def(ir, ir.d, d);
  use(ir, ir.a, a);
  use(ir, ir.b, constant(Type::U64, window));
  put(std::move(ir));
}

// cvt reads the low part of a wider register and extends its result to one (PTX ISA "Operand Size Exceeding Instruction-Type Size").
void Lowering::convert(const Statement &s, Key k) {
  const Operand &d = s.args[0], &a = s.args[1];
  auto sgn = [](Type t) { return t == Type::S8 || t == Type::S16 || t == Type::S32 || t == Type::S64; };
  auto lane = [](Type t) { return std::max(2, size_of(t)); };
  auto natural = [&](Type t) { return lane(t) == 8 ? Type::B64 : lane(t) == 4 ? Type::B32 : Type::B16; };
  auto resize = [&](int to, int to_bytes, int from, int from_bytes, bool extend) {
    Key r;
    r.op = Op::Resize;
    r.dst_bytes = to_bytes, r.src_bytes = from_bytes;
    if (extend) r.flags = kSignExtend;
    Ir ir = start(r);
    def(ir, ir.d, to);
    use(ir, ir.a, from);
    put(std::move(ir));
  };
  const int wide_d = std::max(2, width(d, k.type)), wide_a = std::max(2, width(a, k.from));
  int from = source(a, k.from, true);
  if (wide_a > lane(k.from)) {
    const int low = fresh(natural(k.from));
    resize(low, lane(k.from), from, wide_a, false);
    from = low;
  }
  const int to = dest(d, k.type, true);
  const bool widens = wide_d > lane(k.type);
  Ir ir = start(k);
  def(ir, ir.d, widens ? fresh(natural(k.type)) : to);
  use(ir, ir.a, from);
  const int made = ir.d;
  put(std::move(ir));
  if (widens) resize(to, wide_d, made, lane(k.type), sgn(k.type));
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

// --- costs
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

// --- the program
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

}  // namespace

std::shared_ptr<Program> lower(const Body &entry, const Symbols &symbols, Function *function) { return Lowering(entry, symbols).run(function); }

}  // namespace emu
