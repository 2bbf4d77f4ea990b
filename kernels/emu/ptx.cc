#include "ptx.h"

#include <algorithm>
#include <cstring>
#include <cstdlib>

namespace emu {
namespace {

struct TypeName {
  const char *name;
  Type type;
  int size;
};
constexpr TypeName kTypes[] = {
    {"pred", Type::Pred, 0},  {"b8", Type::B8, 1},     {"u8", Type::U8, 1},     {"s8", Type::S8, 1},
    {"b16", Type::B16, 2},    {"u16", Type::U16, 2},   {"s16", Type::S16, 2},   {"f16", Type::F16, 2},
    {"bf16", Type::BF16, 2},  {"b32", Type::B32, 4},   {"u32", Type::U32, 4},   {"s32", Type::S32, 4},
    {"f32", Type::F32, 4},    {"tf32", Type::TF32, 4}, {"f16x2", Type::F16x2, 4}, {"bf16x2", Type::BF16x2, 4},
    {"b64", Type::B64, 8},    {"u64", Type::U64, 8},   {"s64", Type::S64, 8},   {"f64", Type::F64, 8},
    {"b128", Type::B128, 16},
};

bool ident_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '%'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool ident_char(char c) { return ident_start(c) || digit(c); }

struct Number {
  bool is_float = false, is_double = false;
  uint64_t bits = 0;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text.substr(0, text.find('\0'))) {}

  PtxModule run() {
    scopes_.emplace_back();
    for (skip(); pos_ < text_.size(); skip()) directive();
    return std::move(module_);
  }

 private:
  // --- characters and tokens
  [[noreturn]] void fail(const std::string &what) const { throw PtxError(line_, what); }

  void skip() {
    while (pos_ < text_.size()) {
      const char c = text_[pos_];
      if (c == '\n') {
        line_++, pos_++;
      } else if (c == ' ' || c == '\t' || c == '\r') {
        pos_++;
      } else if (text_.substr(pos_, 2) == "//") {
        while (pos_ < text_.size() && text_[pos_] != '\n') pos_++;
      } else if (text_.substr(pos_, 2) == "/*") {
        const size_t end = text_.find("*/", pos_ + 2);
        if (end == std::string_view::npos) fail("a comment does not end");
        line_ += std::count(text_.begin() + pos_, text_.begin() + end, '\n');
        pos_ = end + 2;
      } else {
        return;
      }
    }
  }

  char peek() {
    skip();
    return pos_ < text_.size() ? text_[pos_] : '\0';
  }

  bool accept(char c) {
    if (peek() != c) return false;
    pos_++;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail(std::string("expected `") + c + "` before `" + std::string(rest()) + "`");
  }

  std::string_view rest() const {  // for messages: what comes, to the end of its line
    const size_t end = std::min(text_.find('\n', pos_), pos_ + 40);
    return text_.substr(pos_, end == std::string_view::npos ? 40 : end - pos_);
  }

  std::string_view word() {  // identifier; empty when none comes
    peek();
    const size_t start = pos_;
    if (pos_ < text_.size() && ident_start(text_[pos_]))
      while (pos_ < text_.size() && ident_char(text_[pos_])) pos_++;
    return text_.substr(start, pos_ - start);
  }

  std::string_view name() {
    const std::string_view w = word();
    if (w.empty()) fail("expected a name before `" + std::string(rest()) + "`");
    return w;
  }

  std::string_view dotted() {  // .word, without the dot; empty when none comes
    if (peek() != '.') return {};
    const size_t start = ++pos_;
    while (pos_ < text_.size() && (ident_char(text_[pos_]) || text_[pos_] == ':')) pos_++;
    return text_.substr(start, pos_ - start);
  }

  std::string_view string() {
    expect('"');
    const size_t end = text_.find('"', pos_);
    if (end == std::string_view::npos) fail("a string does not end");
    const std::string_view s = text_.substr(pos_, end - pos_);
    pos_ = end + 1;
    return s;
  }

  Number number() {
    const bool minus = accept('-');
    peek();
    Number n;
    const std::string s(text_.substr(pos_, 40));
    char *end = nullptr;
    if (s.size() > 1 && s[0] == '0' && (s[1] == 'f' || s[1] == 'F')) {
      n.is_float = true;
      n.bits = std::strtoull(s.substr(2, 8).c_str(), nullptr, 16);
      if (minus) n.bits ^= uint64_t{1} << 31;
      pos_ += 10;
      return n;
    }
    if (s.size() > 1 && s[0] == '0' && (s[1] == 'd' || s[1] == 'D')) {
      n.is_float = n.is_double = true;
      n.bits = std::strtoull(s.substr(2, 16).c_str(), nullptr, 16);
      if (minus) n.bits ^= uint64_t{1} << 63;
      pos_ += 18;
      return n;
    }
    if (s.empty() || !digit(s[0])) fail("expected a number before `" + std::string(rest()) + "`");
    size_t digits = 0;
    while (digits < s.size() && digit(s[digits])) digits++;
    if (digits < s.size() && (s[digits] == '.' || s[digits] == 'e') && !(s[0] == '0' && digits == 1 && s[1] == 'x')) {
      double v = std::strtod(s.c_str(), &end);
      if (minus) v = -v;
      n.is_float = n.is_double = true;
      std::memcpy(&n.bits, &v, 8);
    } else {
      const bool binary = s.size() > 1 && s[0] == '0' && (s[1] == 'b' || s[1] == 'B');
      n.bits = binary ? std::strtoull(s.c_str() + 2, &end, 2) : std::strtoull(s.c_str(), &end, 0);
      if (*end == 'U') end++;
      if (minus) n.bits = -n.bits;
    }
    pos_ += end - s.c_str();
    return n;
  }

  uint64_t integer() {
    const Number n = number();
    if (n.is_float) fail("expected an integer");
    return n.bits;
  }

  // --- module level
  void directive() {
    std::string_view d = dotted();
    if (d.empty()) fail("expected a directive before `" + std::string(rest()) + "`");
    if (d == "version") {
      number();
    } else if (d == "target") {
      do word();
      while (accept(','));
    } else if (d == "address_size") {
      if (integer() != 64) fail("only 64-bit addresses are supported");
    } else if (d == "file") {
      const uint64_t index = integer();
      module_.files[index] = string();
      while (accept(',')) integer();
    } else if (d == "section") {  // debug information
      dotted();
      expect('{');
      skip_braces();
    } else if (d == "alias" || d == "pragma") {
      fail("directive .alias is not known");
    } else {
      bool external = false;
      while (d == "extern" || d == "visible" || d == "weak" || d == "common") {
        external |= d == "extern";
        d = dotted();
      }
      if (d == "entry" || d == "func") {
        function(d == "entry");
      } else {
        variable(d, external, module_.vars);
      }
    }
  }

  void skip_braces() {
    for (int depth = 1; depth; pos_++) {
      if (pos_ >= text_.size()) fail("a brace is not closed");
      if (text_[pos_] == '\n') line_++;
      depth += text_[pos_] == '{' ? 1 : text_[pos_] == '}' ? -1 : 0;
    }
  }

  static bool space_named(std::string_view s, Space *out) {
    if (s == "global") *out = Space::Global;
    else if (s == "shared") *out = Space::Shared;
    else if (s == "local") *out = Space::Local;
    else if (s == "param") *out = Space::Param;
    else if (s == "const") *out = Space::Const;
    else return false;
    return true;
  }

  // variable parses the rest of `.space .align n .type name[k] = {...}, ...;` after the space.
  void variable(std::string_view space, bool external, std::vector<Var> &into) {
    Var v;
    v.external = external;
    if (!space_named(space, &v.space)) fail("directive ." + std::string(space) + " is not known");
    const Type type = declared_type(v);
    do {
      Var one = v;
      declarator(type, one);
      if (body_) scopes_.back()[std::string(one.name)] = ~static_cast<int>(into.size());
      into.push_back(std::move(one));
    } while (accept(','));
    expect(';');
  }

  Type declared_type(Var &v) {
    uint32_t align = 0, vec = 1;
    for (;;) {
      const std::string_view d = dotted();
      if (d.empty()) fail("a variable without a type");
      if (d == "align") {
        align = integer();
      } else if (d == "v2" || d == "v4") {
        vec = d[1] - '0';
      } else if (d == "attribute") {
        fail("variable attributes are not known");
      } else {
        const Type t = type_named(d);
        if (t == Type::None) fail("type ." + std::string(d) + " is not known");
        v.bytes = size_of(t) * vec;
        v.align = std::max<uint32_t>(align, v.bytes);
        if (align) v.align = align;
        return t;
      }
    }
  }

  void declarator(Type type, Var &v) {
    v.name = name();
    const uint32_t unit = size_of(type);
    bool open = false;
    while (accept('[')) {
      if (accept(']')) {
        open = true;
        continue;
      }
      v.bytes *= integer();
      expect(']');
    }
    if (accept('=')) {
      initialiser(unit, v);
      if (open) v.bytes = v.init.size();
    }
    if (open && v.init.empty()) v.bytes = 0;
    if (!v.init.empty()) v.init.resize(v.bytes);
  }

  void initialiser(uint32_t unit, Var &v) {
    if (accept('{')) {
      if (accept('}')) return;
      do initialiser(unit, v);
      while (accept(','));
      expect('}');
      return;
    }
    uint64_t bits = 0;
    if (ident_start(peek())) {
      std::string_view symbol = name();
      const bool generic = symbol == "generic";
      if (generic) {
        expect('(');
        symbol = name();
        expect(')');
      }
      Var::Fixup f{v.init.size(), symbol, 0};
      if (accept('+')) f.offset = integer();
      if (unit != 8) fail("an address in an initialiser of " + std::to_string(unit) + "-byte elements");
      v.fixups.push_back(f);
    } else {
      const Number n = number();
      bits = n.bits;
      if (n.is_double && unit == 4) bits = single(bits);
    }
    for (uint32_t i = 0; i < unit; i++) v.init.push_back(bits >> (8 * i));
  }

  static uint64_t single(uint64_t bits) {
    double d;
    std::memcpy(&d, &bits, 8);
    const float f = static_cast<float>(d);
    uint32_t u;
    std::memcpy(&u, &f, 4);
    return u;
  }

  // --- functions
  std::vector<Var> parameters() {
    std::vector<Var> out;
    expect('(');
    if (accept(')')) return out;
    do {
      const std::string_view d = dotted();
      Var v;
      v.space = Space::Param;
      if (d == "reg") fail("parameters in registers are not known");
      if (d != "param") fail("expected .param");
      Type type = Type::None;
      uint32_t align = 0;
      for (std::string_view q = dotted(); !q.empty(); q = dotted()) {
        if (q == "align") {
          align = integer();
          if (type == Type::None) v.align = align;  // after .ptr it speaks of what the pointer points to
          else align = 0;
        } else if (type == Type::None) {
          type = type_named(q);
          if (type == Type::None) fail("type ." + std::string(q) + " is not known");
          v.bytes = size_of(type);
          if (!align) v.align = v.bytes;
        } else if (q != "ptr" && q != "global" && q != "shared" && q != "const" && q != "local") {
          fail("parameter attribute ." + std::string(q) + " is not known");
        }
      }
      declarator(type, v);
      out.push_back(std::move(v));
    } while (accept(','));
    expect(')');
    return out;
  }

  void function(bool entry) {
    Body b;
    b.entry = entry;
    b.line = line_;
    if (!entry && peek() == '(') b.returns = parameters();
    b.name = name();
    if (peek() == '(') b.params = parameters();
    for (std::string_view d = dotted(); !d.empty(); d = dotted()) {
      if (d == "maxntid" || d == "reqntid") {
        b.max_threads = integer();
        while (accept(',')) b.max_threads *= integer();
      } else if (d == "minnctapersm" || d == "maxnreg" || d == "maxnctapersm") {
        integer();
      } else if (d != "noreturn" && d != "unique") {
        fail("function directive ." + std::string(d) + " is not known");
      }
    }
    if (accept(';')) {
      module_.bodies.push_back(std::move(b));
      return;
    }
    expect('{');
    b.defined = true;
    body_ = &b;
    source_ = {};
    scopes_.emplace_back();
    statements();
    scopes_.pop_back();
    body_ = nullptr;
    for (Body &old : module_.bodies)
      if (old.name == b.name && !old.defined) {
        old = std::move(b);
        return;
      }
    module_.bodies.push_back(std::move(b));
  }

  void statements() {  // up to the closing brace
    while (!accept('}')) {
      const char c = peek();
      if (c == '\0') fail("a function is not closed");
      if (c == '{') {
        pos_++;
        scopes_.emplace_back();
        statements();
        scopes_.pop_back();
      } else if (c == ';') {
        pos_++;
      } else if (c == '.') {
        body_directive();
      } else {
        instruction();
      }
    }
  }

  void body_directive() {
    const std::string_view d = dotted();
    if (d == "loc") {
      const uint32_t file = integer(), line = integer();
      integer();
      Source at{file, line, 0, 0};
      if (accept(',')) {  // function_name LABEL, inlined_at FILE LINE COLUMN
        word(), word();
        if (accept('+')) integer();
        expect(',');
        word();
        at.at_file = integer(), at.at_line = integer();
        integer();
      }
      if (line) source_ = at;  // line 0: the compiler's own code, as good as the line before
    } else if (d == "reg") {
      registers();
    } else if (d == "pragma") {
      string();
      expect(';');
    } else if (d == "maxntid") {
      fail(".maxntid after the body began");
    } else {
      variable(d, false, body_->vars);
    }
  }

  void registers() {
    const std::string_view q = dotted();
    const Type type = type_named(q);
    if (type == Type::None || type == Type::B128) fail("registers of type ." + std::string(q) + " are not known");
    do {
      const std::string_view n = name();
      if (accept('<')) {
        const uint64_t count = integer();
        expect('>');
        if (count > 1000000) fail("too many registers");
        for (uint64_t i = 0; i < count; i++) declare(std::string(n) + std::to_string(i), type);
      } else {
        declare(std::string(n), type);
      }
    } while (accept(','));
    expect(';');
  }

  void declare(std::string n, Type type) {
    scopes_.back()[std::move(n)] = static_cast<int>(body_->regs.size());
    body_->regs.push_back(type);
  }

  static constexpr int kUnknown = INT32_MIN;
  int lookup(std::string_view n) const {  // a register's number, ~ a variable's, or kUnknown
    const std::string key(n);
    for (auto s = scopes_.rbegin(); s != scopes_.rend(); ++s)
      if (auto it = s->find(key); it != s->end()) return it->second;
    return kUnknown;
  }

  void instruction() {
    Statement s;
    peek();
    s.line = line_;
    s.source = source_;
    if (accept('@')) {
      s.guard_negate = accept('!');
      const std::string_view n = name();
      s.guard = lookup(n);
      if (s.guard < 0 || body_->regs[s.guard] != Type::Pred) fail("guard `" + std::string(n) + "` is not a predicate");
    }
    peek();
    const size_t start = pos_;
    while (pos_ < text_.size() && (ident_char(text_[pos_]) || text_[pos_] == '.' || text_[pos_] == ':')) {
      if (text_[pos_] == ':' && text_.substr(pos_, 2) != "::") break;
      pos_ += text_[pos_] == ':' ? 2 : 1;
    }
    s.opcode = text_.substr(start, pos_ - start);
    if (s.opcode.empty()) fail("expected an instruction before `" + std::string(rest()) + "`");
    if (s.guard < 0 && accept(':')) {
      s.label = s.opcode;
      s.opcode = {};
      if (peek() == '.') {  // name: .branchtargets a, b;
        const size_t at = pos_;
        if (dotted() == "branchtargets") {
          auto &table = body_->tables[s.label];
          do table.push_back(name());
          while (accept(','));
          expect(';');
          return;
        }
        pos_ = at;
      }
      body_->code.push_back(std::move(s));
      return;
    }
    check_opcode(s.opcode, s.line);
    while (!accept(';')) {
      s.args.push_back(operand());
      if (peek() != ';') expect(',');
    }
    body_->code.push_back(std::move(s));
  }

  Operand operand() {
    Operand o = simple();
    if (accept('|')) {
      Operand pair;
      pair.kind = Operand::Pair;
      pair.parts.push_back(std::move(o));
      pair.parts.push_back(simple());
      return pair;
    }
    return o;
  }

  Operand simple() {
    Operand o;
    const char c = peek();
    if (c == '{' || c == '(') {
      pos_++;
      o.kind = Operand::Vector;
      const char close = c == '{' ? '}' : ')';
      if (accept(close)) return o;
      do o.parts.push_back(simple());
      while (accept(','));
      expect(close);
    } else if (c == '[') {
      pos_++;
      o.kind = Operand::Address;
      o.parts.push_back(simple());
      if (accept('+')) o.offset = static_cast<int64_t>(integer());
      else if (peek() == '-') o.offset = static_cast<int64_t>(integer());
      expect(']');
    } else if (c == '!') {
      pos_++;
      o = simple();
      o.negate = true;
    } else if (c == '-' || digit(c)) {
      const Number n = number();
      o.kind = n.is_float ? Operand::Float : Operand::Int;
      o.is_double = n.is_double;
      o.bits = n.bits;
    } else {
      std::string_view n = name();
      if (n == "_") {
        o.kind = Operand::Sink;
      } else if (const int found = lookup(n); found >= 0) {
        o.kind = Operand::Reg;
        o.reg = found;
      } else if (n[0] == '%') {
        if (pos_ + 1 < text_.size() && text_[pos_] == '.' && text_[pos_ + 1] >= 'w' && text_[pos_ + 1] <= 'z') {
          pos_ += 2;
          n = std::string_view(n.data(), n.size() + 2);
        }
        o.kind = Operand::Special;
        o.name = n;
      } else {
        o.kind = Operand::Symbol;
        o.name = n;
        if (found != kUnknown) o.var = ~found;
        if (peek() == '+') {  // mov.u64 %rd1, symbol+8
          pos_++;
          o.offset = static_cast<int64_t>(integer());
        }
      }
    }
    return o;
  }

  std::string_view text_;
  size_t pos_ = 0;
  uint32_t line_ = 1;
  PtxModule module_;
  Body *body_ = nullptr;
  Source source_;
  std::vector<std::map<std::string, int>> scopes_;
};

}  // namespace

Type type_named(std::string_view name) {
  for (const TypeName &t : kTypes)
    if (name == t.name) return t.type;
  return Type::None;
}

int size_of(Type type) {
  for (const TypeName &t : kTypes)
    if (type == t.type) return t.size;
  return 0;
}

const Body *PtxModule::body(std::string_view name) const {
  for (const Body &b : bodies)
    if (b.name == name) return &b;
  return nullptr;
}

PtxModule parse_ptx(std::string_view text) { return Parser(text).run(); }

}  // namespace emu
