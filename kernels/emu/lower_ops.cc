// What each kind of instruction takes: operands, sizes, state spaces.
#include "lower.h"

namespace emu {

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

}  // namespace emu
