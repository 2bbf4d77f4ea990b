// Modules: parse, give the variables their memory, lower every entry point.
#include <cstring>

#include "program.h"

namespace emu {

// Loader fills a Module.
struct Loader {
  Module &m;
  const PtxModule &ptx;
  Symbols symbols;

  bool place_variables() {
    for (const Var &v : ptx.vars) {
      if (v.space == Space::Shared) {
        if (v.external) {
          symbols.dynamic[v.name] = v.align;
          continue;
        }
        symbols.shared_bytes = (symbols.shared_bytes + v.align - 1) / v.align * v.align;
        symbols.shared[v.name] = symbols.shared_bytes;
        symbols.shared_bytes += v.bytes;
        continue;
      }
      if (v.external) throw PtxError(1, "variable `" + std::string(v.name) + "` is not defined");
      const uint64_t at = m.memory_->allocate(v.bytes ? v.bytes : 1);
      if (!at) return false;
      m.variables_.push_back({std::string(v.name), at, v.bytes});
      symbols.address[v.name] = at;
      // Variables without an initialiser are zero.
      std::memset(m.memory_->host(at), 0, v.bytes);
      if (!v.init.empty()) std::memcpy(m.memory_->host(at), v.init.data(), v.bytes);
      m.memory_->mark_written(at, v.bytes);
    }
    for (const Var &v : ptx.vars)
      for (const Var::Fixup &f : v.fixups) {
        auto it = symbols.address.find(f.symbol);
        if (it == symbols.address.end()) throw PtxError(1, "`" + std::string(f.symbol) + "` in the initialiser of `" + std::string(v.name) + "` is not a variable");
        const uint64_t value = it->second + f.offset;
        std::memcpy(m.memory_->host(symbols.address[v.name]) + f.at, &value, 8);
      }
    return true;
  }

  bool load() {
    symbols.module = &ptx;
    if (!place_variables()) return false;
    for (const Body &b : ptx.bodies) {
      if (!b.entry || !b.defined) continue;
      Function f;
      lower(b, symbols, &f);
      m.functions_.push_back(std::move(f));
    }
    return true;
  }

  static std::unique_ptr<Module> parse(std::string_view text, Memory &memory, std::string *error, bool *out_of_memory) {
    std::unique_ptr<Module> m(new Module());
    m->memory_ = &memory;
    try {
      const PtxModule ptx = parse_ptx(text);
      Loader l{*m, ptx, {}};
      if (l.load()) return m;
      if (out_of_memory) *out_of_memory = true;
      if (error) *error = "out of memory for the module's variables";
    } catch (const PtxError &e) {
      if (error) *error = e.what();
    }
    return nullptr;
  }
};

std::unique_ptr<Module> Module::parse(std::string_view ptx, Memory &memory, std::string *error, bool *out_of_memory) {
  if (out_of_memory) *out_of_memory = false;
  return Loader::parse(ptx, memory, error, out_of_memory);
}

Module::~Module() {
  for (const Variable &v : variables_) memory_->release(v.address);
}

const Function *Module::find(std::string_view name) const {
  for (const Function &f : functions_)
    if (f.name == name) return &f;
  return nullptr;
}

const Variable *Module::variable(std::string_view name) const {
  for (const Variable &v : variables_)
    if (v.name == name) return &v;
  return nullptr;
}

}  // namespace emu
