// Opcodes and their qualifiers. A qualifier that an instruction does not have is an error, never ignored.
#include <algorithm>
#include <map>

#include "program.h"

namespace emu {
namespace {

// What an instruction may carry.
enum Allow : uint32_t {
  aType = 1 << 0, aFrom = 1 << 1, aRound = 1 << 2, aCmp = 1 << 3, aBool = 1 << 4, aPart = 1 << 5, aSpace = 1 << 6, aVec = 1 << 7,
  aFtz = 1 << 8, aSat = 1 << 9, aApprox = 1 << 10, aFull = 1 << 11, aNan = 1 << 12, aMemory = 1 << 13, aSync = 1 << 14, aMode = 1 << 15,
  aUni = 1 << 16,
};

struct Known {
  Op op;
  uint32_t allow;
};

const std::map<std::string_view, Known> kOps = {
    {"abs", {Op::Abs, aType | aFtz}},
    {"activemask", {Op::Activemask, aType}},
    {"add", {Op::Add, aType | aRound | aFtz | aSat}},
    {"and", {Op::And, aType}},
    {"atom", {Op::Atom, aType | aSpace | aMemory | aMode}},
    {"bar", {Op::Bar, aSync | aMode | aType}},
    {"barrier", {Op::Bar, aSync | aMode | aType}},
    {"bfe", {Op::Bfe, aType}},
    {"bfi", {Op::Bfi, aType}},
    {"bfind", {Op::Bfind, aType | aMode}},
    {"bra", {Op::Bra, aUni}},
    {"brev", {Op::Brev, aType}},
    {"brx", {Op::Brx, aMode | aUni}},
    {"call", {Op::Call, aUni}},
    {"clz", {Op::Clz, aType}},
    {"cnot", {Op::Cnot, aType}},
    {"copysign", {Op::Copysign, aType}},
    {"cos", {Op::Cos, aType | aApprox | aFtz}},
    {"cvt", {Op::Cvt, aType | aFrom | aRound | aFtz | aSat}},
    {"cvta", {Op::Cvta, aType | aSpace | aMode}},
    {"div", {Op::Div, aType | aRound | aFtz | aApprox | aFull}},
    {"dp4a", {Op::Dp4a, aType | aFrom}},
    {"ex2", {Op::Ex2, aType | aApprox | aFtz}},
    {"exit", {Op::Exit, 0}},
    {"fence", {Op::Fence, aMemory}},
    {"fma", {Op::Fma, aType | aRound | aFtz | aSat}},
    {"isspacep", {Op::Isspacep, aSpace}},
    {"ld", {Op::Ld, aType | aSpace | aMemory | aVec}},
    {"ldu", {Op::Ld, aType | aSpace | aMemory | aVec}},
    {"ldmatrix", {Op::Ldmatrix, aType | aSpace | aMode | aSync}},
    {"lg2", {Op::Lg2, aType | aApprox | aFtz}},
    {"lop3", {Op::Lop3, aType}},
    {"mad", {Op::Mad, aType | aPart | aRound | aFtz | aSat}},
    {"match", {Op::Match, aType | aSync | aMode}},
    {"max", {Op::Max, aType | aFtz | aNan}},
    {"membar", {Op::Fence, aMemory}},
    {"min", {Op::Min, aType | aFtz | aNan}},
    {"mma", {Op::Mma, aSync | aMode}},
    {"mov", {Op::Mov, aType}},
    {"mul", {Op::Mul, aType | aPart | aRound | aFtz | aSat}},
    {"nanosleep", {Op::Nanosleep, aType}},
    {"neg", {Op::Neg, aType | aFtz}},
    {"not", {Op::Not, aType}},
    {"or", {Op::Or, aType}},
    {"popc", {Op::Popc, aType}},
    {"prefetch", {Op::Prefetch, aSpace | aMemory}},
    {"prmt", {Op::Prmt, aType | aMode}},
    {"rcp", {Op::Rcp, aType | aRound | aApprox | aFtz}},
    {"red", {Op::Red, aType | aSpace | aMemory | aMode}},
    {"redux", {Op::Redux, aType | aSync | aMode}},
    {"rem", {Op::Rem, aType}},
    {"ret", {Op::Ret, aUni}},
    {"rsqrt", {Op::Rsqrt, aType | aApprox | aFtz}},
    {"sad", {Op::Sad, aType}},
    {"selp", {Op::Selp, aType}},
    {"set", {Op::Set, aType | aFrom | aCmp | aFtz}},
    {"setp", {Op::Setp, aType | aCmp | aBool | aFtz}},
    {"shf", {Op::Shf, aType | aMode}},
    {"shfl", {Op::Shfl, aType | aSync | aMode}},
    {"shl", {Op::Shl, aType}},
    {"shr", {Op::Shr, aType}},
    {"sin", {Op::Sin, aType | aApprox | aFtz}},
    {"slct", {Op::Slct, aType | aFrom | aFtz}},
    {"sqrt", {Op::Sqrt, aType | aRound | aApprox | aFtz}},
    {"st", {Op::St, aType | aSpace | aMemory | aVec}},
    {"sub", {Op::Sub, aType | aRound | aFtz | aSat}},
    {"tanh", {Op::Tanh, aType | aApprox}},
    {"testp", {Op::Testp, aType | aMode}},
    {"trap", {Op::Trap, 0}},
    {"vote", {Op::Vote, aType | aSync | aMode}},
    {"xor", {Op::Xor, aType}},
};

const std::map<std::string_view, Round> kRounds = {
    {"rn", Round::Rn},   {"rz", Round::Rz},   {"rm", Round::Rm},   {"rp", Round::Rp},   {"rni", Round::Rni},
    {"rzi", Round::Rzi}, {"rmi", Round::Rmi}, {"rpi", Round::Rpi}, {"rna", Round::Rna},
};
const std::map<std::string_view, Cmp> kCmps = {
    {"eq", Cmp::Eq},   {"ne", Cmp::Ne},   {"lt", Cmp::Lt},   {"le", Cmp::Le},   {"gt", Cmp::Gt},   {"ge", Cmp::Ge},
    {"lo", Cmp::Lt},   {"ls", Cmp::Le},   {"hi", Cmp::Gt},   {"hs", Cmp::Ge},   {"equ", Cmp::Equ}, {"neu", Cmp::Neu},
    {"ltu", Cmp::Ltu}, {"leu", Cmp::Leu}, {"gtu", Cmp::Gtu}, {"geu", Cmp::Geu}, {"num", Cmp::Num}, {"nan", Cmp::Nan},
};
const std::map<std::string_view, Bool> kBools = {{"and", Bool::And}, {"or", Bool::Or}, {"xor", Bool::Xor}};
const std::map<std::string_view, Part> kParts = {{"lo", Part::Lo}, {"hi", Part::Hi}, {"wide", Part::Wide}};
const std::map<std::string_view, Space> kSpaces = {
    {"global", Space::Global}, {"shared", Space::Shared}, {"shared::cta", Space::Shared}, {"local", Space::Local},
    {"param", Space::Param},   {"const", Space::Const},
};
// Which memory order, scope and cache policy an access asks for changes nothing here: accesses happen one by one, in order.
constexpr std::string_view kMemory[] = {
    "nc", "volatile", "weak", "relaxed", "acquire", "release", "acq_rel", "sc", "cta", "gpu", "sys", "gl", "cluster",
    "ca", "cg", "cs", "lu", "cv", "wb", "wt", "L1", "L2", "L1::evict_normal", "L1::evict_unchanged", "L1::evict_first",
    "L1::evict_last", "L1::no_allocate", "L2::64B", "L2::128B", "L2::256B",
};
const std::map<std::pair<Op, std::string_view>, Mode> kModes = {
    {{Op::Atom, "add"}, Mode::Add},   {{Op::Atom, "min"}, Mode::Min},   {{Op::Atom, "max"}, Mode::Max},   {{Op::Atom, "inc"}, Mode::Inc},
    {{Op::Atom, "dec"}, Mode::Dec},   {{Op::Atom, "exch"}, Mode::Exch}, {{Op::Atom, "cas"}, Mode::Cas},   {{Op::Atom, "and"}, Mode::And},
    {{Op::Atom, "or"}, Mode::Or},     {{Op::Atom, "xor"}, Mode::Xor},
    {{Op::Red, "add"}, Mode::Add},    {{Op::Red, "min"}, Mode::Min},    {{Op::Red, "max"}, Mode::Max},    {{Op::Red, "inc"}, Mode::Inc},
    {{Op::Red, "dec"}, Mode::Dec},    {{Op::Red, "and"}, Mode::And},    {{Op::Red, "or"}, Mode::Or},      {{Op::Red, "xor"}, Mode::Xor},
    {{Op::Redux, "add"}, Mode::Add},  {{Op::Redux, "min"}, Mode::Min},  {{Op::Redux, "max"}, Mode::Max},  {{Op::Redux, "and"}, Mode::And},
    {{Op::Redux, "or"}, Mode::Or},    {{Op::Redux, "xor"}, Mode::Xor},
    {{Op::Bar, "arrive"}, Mode::Arrive}, {{Op::Bar, "red"}, Mode::Red}, {{Op::Bar, "and"}, Mode::And},    {{Op::Bar, "or"}, Mode::Or},
    {{Op::Bar, "popc"}, Mode::Popc},
    {{Op::Shfl, "up"}, Mode::Up},     {{Op::Shfl, "down"}, Mode::Down}, {{Op::Shfl, "bfly"}, Mode::Bfly}, {{Op::Shfl, "idx"}, Mode::Idx},
    {{Op::Vote, "all"}, Mode::All},   {{Op::Vote, "any"}, Mode::Any},   {{Op::Vote, "uni"}, Mode::Uni},   {{Op::Vote, "ballot"}, Mode::Ballot},
    {{Op::Match, "any"}, Mode::Any},  {{Op::Match, "all"}, Mode::All},
    {{Op::Prmt, "f4e"}, Mode::F4e},   {{Op::Prmt, "b4e"}, Mode::B4e},   {{Op::Prmt, "rc8"}, Mode::Rc8},   {{Op::Prmt, "ecl"}, Mode::Ecl},
    {{Op::Prmt, "ecr"}, Mode::Ecr},   {{Op::Prmt, "rc16"}, Mode::Rc16},
    {{Op::Shf, "l"}, Mode::L},        {{Op::Shf, "r"}, Mode::R},        {{Op::Shf, "clamp"}, Mode::Clamp}, {{Op::Shf, "wrap"}, Mode::Wrap},
    {{Op::Ldmatrix, "x1"}, Mode::X1}, {{Op::Ldmatrix, "x2"}, Mode::X2}, {{Op::Ldmatrix, "x4"}, Mode::X4},
    {{Op::Testp, "finite"}, Mode::Finite}, {{Op::Testp, "infinite"}, Mode::Infinite}, {{Op::Testp, "number"}, Mode::Number},
    {{Op::Testp, "notanumber"}, Mode::Notanumber}, {{Op::Testp, "normal"}, Mode::Normal}, {{Op::Testp, "subnormal"}, Mode::Subnormal},
    {{Op::Bfind, "shiftamt"}, Mode::Shiftamt}, {{Op::Cvta, "to"}, Mode::To}, {{Op::Brx, "idx"}, Mode::Idx},
};

template <class M>
auto look(const M &m, const typename M::key_type &k) -> const typename M::mapped_type * {
  auto it = m.find(k);
  return it == m.end() ? nullptr : &it->second;
}

[[noreturn]] void unknown(std::string_view opcode, uint32_t line) {
  throw PtxError(line, "instruction `" + std::string(opcode) + "` is not known");
}

std::vector<std::string_view> split(std::string_view s) {
  std::vector<std::string_view> out;
  for (size_t at = 0; at <= s.size();) {
    const size_t dot = std::min(s.find('.', at), s.size());
    out.push_back(s.substr(at, dot - at));
    at = dot + 1;
  }
  return out;
}

// cp.async.{ca,cg}.shared{::cta}.global{.L2::...}, cp.async.commit_group, .wait_group, .wait_all
Key read_cp(const std::vector<std::string_view> &p, std::string_view opcode, uint32_t line) {
  Key k;
  if (p.size() < 3 || p[1] != "async") unknown(opcode, line);
  if (p.size() == 3 && p[2] == "commit_group") {
    k.op = Op::CpCommit;
  } else if (p.size() == 3 && p[2] == "wait_group") {
    k.op = Op::CpWait;
    k.mode = Mode::GroupN;
  } else if (p.size() == 3 && p[2] == "wait_all") {
    k.op = Op::CpWait;
    k.mode = Mode::GroupAll;
  } else {
    k.op = Op::CpAsync;
    if (p.size() < 5 || (p[2] != "ca" && p[2] != "cg") || (p[3] != "shared" && p[3] != "shared::cta") || p[4] != "global") unknown(opcode, line);
    for (size_t i = 5; i < p.size(); i++)
      if (p[i] != "L2::64B" && p[i] != "L2::128B" && p[i] != "L2::256B") unknown(opcode, line);
    k.mode = p[2] == "cg" ? Mode::X4 : Mode::None;  // .cg copies 16 bytes only
  }
  return k;
}

// mma.sync.aligned.SHAPE.row.col.f32.A.B.f32
Key read_mma(const std::vector<std::string_view> &p, std::string_view opcode, uint32_t line) {
  Key k;
  k.op = Op::Mma;
  if (p.size() != 10 || p[1] != "sync" || p[2] != "aligned" || p[4] != "row" || p[5] != "col" || p[6] != "f32" || p[9] != "f32" || p[7] != p[8])
    unknown(opcode, line);
  k.type = Type::F32;
  k.from = type_named(p[7]);
  k.mode = p[3] == "m16n8k4" ? Mode::M16n8k4 : p[3] == "m16n8k8" ? Mode::M16n8k8 : p[3] == "m16n8k16" ? Mode::M16n8k16 : Mode::None;
  const bool half = k.from == Type::F16 || k.from == Type::BF16;
  const bool ok = k.from == Type::TF32 ? k.mode == Mode::M16n8k4 || k.mode == Mode::M16n8k8 : half && (k.mode == Mode::M16n8k8 || k.mode == Mode::M16n8k16);
  if (!ok) unknown(opcode, line);
  return k;
}

}  // namespace

Key read_opcode(std::string_view opcode, uint32_t line) {
  const std::vector<std::string_view> p = split(opcode);
  if (p[0] == "cp") return read_cp(p, opcode, line);
  if (p[0] == "mma") return read_mma(p, opcode, line);
  const Known *known = look(kOps, p[0]);
  if (!known) unknown(opcode, line);
  Key k;
  k.op = known->op;
  const uint32_t allow = known->allow;
  if (k.op == Op::Bar && p.size() > 1 && p[1] == "warp") {
    if (p.size() != 3 || p[2] != "sync") unknown(opcode, line);
    k.op = Op::BarWarp;
    return k;
  }
  bool took_cmp = false, took_vec = false, sync = false;
  for (size_t i = 1; i < p.size(); i++) {
    const std::string_view q = p[i];
    if (const Type t = type_named(q); t != Type::None && (allow & aType) && !(k.from != Type::None)) {
      if (k.type == Type::None) k.type = t;
      else if (allow & aFrom) k.from = t;
      else unknown(opcode, line);
    } else if (const Cmp *c = look(kCmps, q); c && (allow & aCmp) && !took_cmp) {
      k.cmp = *c;
      took_cmp = true;
    } else if (const Bool *b = look(kBools, q); b && (allow & aBool) && k.boolean == Bool::None) {
      k.boolean = *b;
    } else if (const Round *r = look(kRounds, q); r && (allow & aRound) && k.round == Round::None) {
      k.round = *r;
    } else if (const Part *w = look(kParts, q); w && (allow & aPart) && k.part == Part::None) {
      k.part = *w;
    } else if (const Space *s = look(kSpaces, q); s && (allow & aSpace) && k.space == Space::Generic) {
      k.space = *s;
    } else if ((allow & aVec) && (q == "v2" || q == "v4") && !took_vec) {
      k.vec = q[1] - '0';
      took_vec = true;
    } else if (const Mode *m = look(kModes, {k.op, q}); m && (allow & aMode) && k.mode2 == Mode::None) {
      (k.mode == Mode::None ? k.mode : k.mode2) = *m;
    } else if (q == "ftz" && (allow & aFtz)) {
      k.flags |= kFtz;
    } else if (q == "sat" && (allow & aSat)) {
      k.flags |= kSat;
    } else if (q == "approx" && (allow & aApprox)) {
      k.flags |= kApprox;
    } else if (q == "full" && (allow & aFull)) {
      k.flags |= kFull;
    } else if (q == "NaN" && (allow & aNan)) {
      k.flags |= kNanProp;
    } else if ((q == "uni" && (allow & aUni))) {
      k.flags |= kUni;
    } else if ((q == "sync" || q == "aligned" || q == "cta") && (allow & aSync)) {
      sync |= q == "sync";
    } else if (k.op == Op::Ldmatrix && (q == "m8n8" || q == "trans")) {
      if (q == "trans") k.flags |= kTrans;
    } else if ((allow & aMemory) && std::find(std::begin(kMemory), std::end(kMemory), q) != std::end(kMemory)) {
    } else {
      unknown(opcode, line);
    }
  }
  const bool warp_wide = k.op == Op::Shfl || k.op == Op::Vote || k.op == Op::Match || k.op == Op::Redux || k.op == Op::Ldmatrix;
  if (warp_wide && !sync) throw PtxError(line, "`" + std::string(opcode) + "` is not a .sync instruction");
  if (k.op == Op::Bar && k.mode == Mode::None) {
    if (!sync) unknown(opcode, line);
    k.mode = Mode::Sync;
  }
  if ((allow & aType) && k.type == Type::None && k.op != Op::Bar) unknown(opcode, line);
  if ((k.op == Op::Cvt || k.op == Op::Set) && k.from == Type::None) unknown(opcode, line);
  return k;
}

void check_opcode(std::string_view opcode, uint32_t line) { read_opcode(opcode, line); }

}  // namespace emu
