// The compact program that a function becomes: instructions with a handler each, operands as byte offsets into the register file
// of a warp, immediates as registers that never change, branch targets as indices.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "emu.h"
#include "ptx.h"

namespace emu {

struct Warp;
struct Inst;

// A handler executes one instruction for the active lanes of a warp and returns the next; null suspends the warp (barrier, exit).
using Handler = const Inst *(*)(Warp &, const Inst &);

enum class Op : uint8_t {
  Abs, Activemask, Add, And, Atom, Bar, BarWarp, Bfe, Bfi, Bfind, Bra, Brev, Brx, Call, Clz, Cnot, Copysign, Cos, CpAsync, CpCommit,
  CpWait, Cvt, Cvta, Div, Dp4a, Enter, Ex2, Exit, Fence, Fma, Guarded, Isspacep, Ld, Ldmatrix, Lg2, Lop3, Mad, Match, Max, Min, Mma, Mov, Mul,
  Nanosleep, Neg, Not, Or, Popc, Prefetch, Prmt, Rcp, Red, Redux, Rem, Resize, Ret, Rsqrt, Sad, Selp, Set, Setp, Shf, Shfl, Shl, Shr, Sin,
  Slct, Sqrt, St, Sub, Tanh, Testp, Trap, Vote, Xor
};

enum class Round : uint8_t { None, Rn, Rz, Rm, Rp, Rni, Rzi, Rmi, Rpi, Rna };
enum class Cmp : uint8_t { None, Eq, Ne, Lt, Le, Gt, Ge, Equ, Neu, Ltu, Leu, Gtu, Geu, Num, Nan };
enum class Bool : uint8_t { None, And, Or, Xor };
enum class Part : uint8_t { None, Lo, Hi, Wide };

// Mode is the one further word that some instructions take: shuffle and vote modes, atomic operations, prmt modes, mma shapes.
enum class Mode : uint8_t {
  None, Up, Down, Bfly, Idx, All, Any, Uni, Ballot, Add, Min, Max, Inc, Dec, Exch, Cas, And, Or, Xor, Popc, Sync, Arrive, Red,
  F4e, B4e, Rc8, Ecl, Ecr, Rc16, L, R, Clamp, Wrap, M16n8k4, M16n8k8, M16n8k16, X1, X2, X4, Finite, Infinite, Number, Notanumber,
  Normal, Subnormal, Shiftamt, To, GroupN, GroupAll, Pack,
  Unpack, Clock, Clock64, Timer, Assert
};

enum Flag : uint32_t {
  kFtz = 1, kSat = 2, kApprox = 4, kFull = 8, kNanProp = 16, kTrans = 32, kWidths = 64, kUni = 128, kNegateC = 256, kSignExtend = 512,
};

// Inst::imm of setp: a Bool and these.
constexpr int64_t kCombineNegateC = 4, kCombineNegateResult = 8;

// Key is an opcode with its qualifiers, understood.
struct Key {
  Op op{};
  Type type = Type::None;    // of the operation (of the destination for cvt)
  Type from = Type::None;    // of the source for cvt, set, mma's A and B
  Round round = Round::None;
  Cmp cmp = Cmp::None;
  Bool boolean = Bool::None;
  Part part = Part::None;
  Space space = Space::Generic;
  Mode mode = Mode::None, mode2 = Mode::None;
  uint8_t vec = 1;
  uint32_t flags = 0;
  uint8_t dst_bytes = 0, src_bytes = 0;  // ld, st, resize: sizes of the registers, which may be wider than the type
  bool guarded = false;                  // Bra: under a predicate
  bool has(Flag f) const { return flags & f; }
};

// read_opcode understands `fma.rn.ftz.f32`; every qualifier must be one that the instruction has.
Key read_opcode(std::string_view opcode, uint32_t line);

struct Inst {
  Handler fn = nullptr;         // what the loop calls
  Handler op = nullptr;         // under a guard: what fn calls in turn
  int32_t d = 0, a = 0, b = 0, c = 0;  // operands: byte offsets into the register file
  int32_t guard = 0;            // predicate, when fn is guarded
  int32_t list = 0;             // first of further operands in Program::lists
  int64_t imm = 0;              // address offset, look-up table, ...
  int32_t target = 0, join = 0; // branch: instruction indices; join -1: the lanes do not meet again before they exit
  int32_t block = 0;            // of Enter: the basic block
  uint32_t number = 0;          // of memory instructions: index of the extent cache
  Source source;
  uint8_t count = 1;            // vector elements
  bool negate = false;          // guard is @!p
  bool joins = false;           // of Enter: some branch's lanes meet here
  bool exits_first = false;     // of Bra: the target only exits, so let those lanes go at once
  bool a_wide = true;           // the address in a is 64-bit
  bool has_guard = false;
};

// What one entry to a basic block executes, per warp and per lane.
struct BlockCost {
  Counters warp, lane;
};

struct Constant {
  int32_t at;      // offset into the register file
  uint8_t bytes;   // of a lane
  uint64_t value;
};

// Special registers that a warp finds in its register file when it starts.
struct SpecialUse {
  int32_t at;
  uint8_t bytes;
  std::string_view name;  // static storage
};

struct Program {
  std::string name;
  std::vector<Inst> code;
  std::vector<int32_t> lists;
  std::vector<BlockCost> blocks;
  std::vector<Constant> constants;
  std::vector<SpecialUse> specials;
  std::vector<std::string> files;       // by .file number
  uint32_t frame_bytes = 0, local_bytes = 0, static_shared = 0, param_bytes = 0, memory_ops = 0;
};

// The program before registers have their places. Operands are numbers of values.
struct Value {
  Type type = Type::None;
  bool constant = false;
  uint64_t bits = 0;
  std::string_view special;  // a special register
};

struct Ir {
  Inst inst;
  Key key;
  std::vector<int> defs, uses, list;
  int d = -1, a = -1, b = -1, c = -1, guard = -1;
  std::string_view opcode;     // for messages
  int label_id = -1;           // of a branch
  std::vector<int> label_ids;  // of brx
  int marks = -1;              // >= 0: not an instruction but the place of this label
  uint32_t line = 0;
};

struct Flow {                      // control flow of a list of instructions
  struct Block {
    int first, last;               // [first, last)
    std::vector<int> next;
    int join = -1;                 // immediate post-dominator; -1: the exit
  };
  std::vector<Block> blocks;
  std::vector<int> block_of;       // by instruction
};
Flow control_flow(const std::vector<Ir> &code, const std::vector<int> &label_at);

// place_registers gives every value its offset; values whose lifetimes do not overlap share. Returns the size of the file.
uint32_t place_registers(const std::vector<Ir> &code, const Flow &flow, const std::vector<Value> &values, std::vector<int> &offset,
                         uint32_t *registers);

// select_handler finds the handler of an instruction for this machine's instruction set; null when there is none.
Handler select_handler(const Key &k);
extern bool narrow_lanes;  // for tests: the handlers of AVX2 on a machine that has more

// lower turns an entry point into a program. symbols gives the addresses of module variables.
struct Symbols {
  const PtxModule *module;
  std::map<std::string_view, uint64_t> address;        // .global and .const
  std::map<std::string_view, uint64_t> shared;         // module-level .shared: offsets
  std::map<std::string_view, uint32_t> dynamic;        // extern .shared: alignment
  uint32_t shared_bytes = 0;
};
std::shared_ptr<Program> lower(const Body &entry, const Symbols &symbols, Function *function);

// Windows of the generic address space (PTX ISA "Generic Addressing"): state space offset = address - window.
constexpr uint64_t kSharedWindow = 0x7e0000000000, kLocalWindow = 0x7e0100000000, kParamWindow = 0x7e0200000000, kWindow = uint64_t{1} << 32;

}  // namespace emu
