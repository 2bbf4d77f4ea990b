// Lowering turns a function's syntax tree into a program. Its methods are in lower.cc (bodies, operands, calls), lower_ops.cc (what
// each instruction needs) and emit.cc (the finished program).
#pragma once
#include <algorithm>
#include <cstring>
#include <map>

#include "program.h"

namespace emu {

inline bool is_float(Type t) { return t == Type::F32 || t == Type::F64 || t == Type::F16 || t == Type::BF16 || t == Type::TF32; }

class Lowering {
 public:
  Lowering(const Body &entry, const Symbols &symbols) : entry_(entry), symbols_(symbols), shared_(symbols.shared_bytes) {
    for (const Var &p : entry.params) {
      params_ = round_up(params_, p.align);
      layout_.push_back({params_, static_cast<uint32_t>(p.bytes), p.align});
      params_ += p.bytes;
    }
  }

  std::shared_ptr<Program> run(Function *f);

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

  int special(std::string_view name, Type want);

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
  Place dynamic_place(uint32_t align) {
    dynamic_align_ = std::max(dynamic_align_, align);
    return {Space::Shared, 0, true};
  }
  Place place(const Operand &o);

  int address_value(const Place &p, int64_t offset, Type t);

  // source is the value of an operand that an instruction reads as type t. relaxed: the register may be wider.
  int source(const Operand &o, Type t, bool relaxed = false);

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

  void body(const Body &b, const std::map<std::string_view, uint64_t> &params, int after, int depth);

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
  uint32_t params_ = 0, line_ = 0, dynamic_align_ = 0;
  Source source_;
  std::string_view opcode_;
};

}  // namespace emu
