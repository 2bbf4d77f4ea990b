// The text of a PTX module as a syntax tree. Registers are numbered and scopes resolved; what instructions mean is lower.cc's.
#pragma once
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace emu {

// PtxError is thrown by everything that reads PTX.
struct PtxError : std::runtime_error {
  PtxError(uint32_t line, const std::string &what) : std::runtime_error("line " + std::to_string(line) + ": " + what) {}
};

// Types, PTX ISA "Fundamental Types", "Alternate Floating-Point Data Formats", "Packed Data Types".
enum class Type : uint8_t {
  None, Pred, B8, U8, S8, B16, U16, S16, F16, BF16, B32, U32, S32, F32, TF32, F16x2, BF16x2, B64, U64, S64, F64, B128
};
Type type_named(std::string_view name);  // None when there is no such type
int size_of(Type t);                     // in bytes; 0 for Pred and None

enum class Space : uint8_t { Generic, Global, Shared, Local, Param, Const, Reg };

struct Operand {
  enum Kind : uint8_t { None, Reg, Special, Int, Float, Symbol, Vector, Pair, Address, Sink } kind = None;
  bool negate = false;          // !%p
  bool is_double = false;       // Float written as 0d or decimal
  int reg = -1;                 // Reg: index into Body::regs
  int var = -1;                 // Symbol: index into Body::vars when it is one of the function's own
  uint64_t bits = 0;            // Int, Float: the value (Float: bits of float or double)
  int64_t offset = 0;           // Address: added to parts[0]
  std::string_view name;        // Special, Symbol
  std::vector<Operand> parts;   // Vector {a,b}; Pair a|b; Address: the base (Reg, Symbol or Int)
};

// Source is where an instruction came from (.loc): file and line, and where its function was inlined, if it was.
struct Source {
  uint32_t file = 0, line = 0, at_file = 0, at_line = 0;
};

struct Statement {
  uint32_t line = 0;            // in the PTX
  Source source;
  std::string_view label;       // not empty: a label and nothing else
  std::string_view opcode;      // with all its qualifiers
  int guard = -1;               // register of @p
  bool guard_negate = false;
  std::vector<Operand> args;
};

// Var is a declared variable of a state space, or a parameter.
struct Var {
  std::string_view name;
  Space space = Space::Global;
  uint64_t bytes = 0;
  uint32_t align = 1;
  bool external = false;                       // .extern: dynamic shared memory, or undefined
  std::vector<uint8_t> init;                   // empty: none
  struct Fixup { uint64_t at; std::string_view symbol; int64_t offset; };
  std::vector<Fixup> fixups;                   // addresses of other variables in the initialiser
};

struct Body {
  std::string_view name;
  uint32_t line = 0;
  bool entry = false, defined = false;
  std::vector<Var> params, returns, vars;      // vars: .shared .local .param inside the braces
  std::vector<Type> regs;
  std::vector<Statement> code;
  std::map<std::string_view, std::vector<std::string_view>> tables;  // .branchtargets
  uint32_t max_threads = 0;
};

struct PtxModule {
  std::vector<Var> vars;
  std::vector<Body> bodies;
  std::map<uint32_t, std::string_view> files;  // .file
  const Body *body(std::string_view name) const;
};

// check_opcode throws unless the instruction is known (opcode.cc).
void check_opcode(std::string_view opcode, uint32_t line);

// parse_ptx keeps views into text.
PtxModule parse_ptx(std::string_view text);

}  // namespace emu
