// A program that runs PTX for the tests. It reads commands from standard input, one a line, and answers each with a line:
//
//   module FILE                          ok | error MESSAGE
//   option NAME VALUE                    ok
//   buffer NAME BYTES [HEX]              ok          HEX are its first bytes; the others count as unwritten
//   launch KERNEL gx gy gz bx by bz SHARED ARG...    ok SECONDS | fault CODE KIND TEXT
//                                        ARG: &BUFFER, &BUFFER+BYTES, or hex digits, lowest byte first
//   read NAME                            hex
//   free NAME                            ok
//   symbol NAME                          address bytes | none
//   function NAME                        params param_bytes shared local max_threads registers | none
//   counters                             NAME=VALUE ...   since the last time
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "../../program.h"

namespace {

std::vector<uint8_t> from_hex(const std::string &s) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i + 1 < s.size(); i += 2) out.push_back(static_cast<uint8_t>(std::stoul(s.substr(i, 2), nullptr, 16)));
  return out;
}

struct Runner {
  emu::Memory memory;
  std::unique_ptr<emu::Module> module;
  emu::Options options;
  emu::Counters counters;
  std::map<std::string, std::pair<uint64_t, size_t>> buffers;

  std::string command(std::istringstream &in) {
    std::string verb, name;
    in >> verb >> name;
    if (verb == "module") return load(name);
    if (verb == "option") return option(name, in);
    if (verb == "buffer") return buffer(name, in);
    if (verb == "launch") return launch(name, in);
    if (verb == "read") {
      static const char *digits = "0123456789abcdef";
      const auto [at, bytes] = buffers.at(name);
      const uint8_t *p = memory.host(at);
      std::string s;
      for (size_t i = 0; i < bytes; i++) s += digits[p[i] >> 4], s += digits[p[i] & 15];
      return s;
    }
    if (verb == "free") return memory.release(buffers.at(name).first) ? "ok" : "error";
    if (verb == "symbol") {
      const emu::Variable *v = module->variable(name);
      return v ? std::to_string(v->address) + " " + std::to_string(v->bytes) : "none";
    }
    if (verb == "function") {
      const emu::Function *f = module->find(name);
      if (!f) return "none";
      std::ostringstream out;
      out << f->params.size() << ' ' << f->param_bytes << ' ' << f->static_shared << ' ' << f->local_bytes << ' ' << f->max_threads << ' ' << f->registers;
      return out.str();
    }
    if (verb == "counters") {
      std::ostringstream out;
#define SHOW(f) out << #f "=" << counters.f << ' ';
      EMU_COUNTERS(SHOW)
      counters = {};
      return out.str();
    }
    return "error unknown command " + verb;
  }

  std::string load(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    std::string error;
    module.reset();
    module = emu::Module::parse(text.str(), memory, &error);
    return module ? "ok" : "error " + error;
  }

  std::string option(const std::string &name, std::istringstream &in) {
    std::string value;
    in >> value;
    if (name == "schedule") options.schedule = value == "reverse" ? emu::Schedule::Reverse : value == "random" ? emu::Schedule::Random : emu::Schedule::Forward;
    else if (name == "seed") options.seed = std::stoull(value);
    else if (name == "async") options.async_late = value == "late";
    else if (name == "uninitialised") options.check_uninitialised = value == "1";
    else if (name == "races") options.check_races = value == "1";
    else if (name == "threads") options.threads = std::stoi(value);
    else if (name == "cache") options.cache = std::stoull(value);
    else if (name == "max_steps") options.max_steps = std::stoull(value);
    else if (name == "isa") emu::narrow_lanes = value == "avx2";
    else return "error unknown option " + name;
    return "ok";
  }

  std::string buffer(const std::string &name, std::istringstream &in) {
    size_t bytes = 0;
    std::string hex;
    in >> bytes >> hex;
    const uint64_t at = memory.allocate(bytes);
    if (!at) return "error out of memory";
    const std::vector<uint8_t> data = from_hex(hex);
    std::copy(data.begin(), data.end(), memory.host(at));
    if (!data.empty()) memory.mark_written(at, data.size());
    buffers[name] = {at, bytes};
    return "ok";
  }

  std::string launch(const std::string &name, std::istringstream &in) {
    emu::Launch l;
    l.function = module ? module->find(name) : nullptr;
    if (!l.function) return "error no function " + name;
    in >> l.grid.x >> l.grid.y >> l.grid.z >> l.block.x >> l.block.y >> l.block.z >> l.dynamic_shared;
    std::string arg;
    for (size_t i = 0; in >> arg; i++) {
      if (i >= l.function->params.size()) return "error too many arguments";
      l.params.resize(l.function->params[i].offset);
      std::vector<uint8_t> bytes;
      if (arg[0] == '&') {
        const size_t plus = arg.find('+');
        const uint64_t at = buffers.at(arg.substr(1, plus - 1)).first + (plus == std::string::npos ? 0 : std::stoull(arg.substr(plus + 1)));
        for (int b = 0; b < 8; b++) bytes.push_back(static_cast<uint8_t>(at >> (8 * b)));
      } else {
        bytes = from_hex(arg);
      }
      l.params.insert(l.params.end(), bytes.begin(), bytes.end());
    }
    const auto start = std::chrono::steady_clock::now();
    const std::optional<emu::Fault> f = emu::run(l, memory, options, &counters);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return f ? "fault " + std::to_string(f->code) + " " + f->kind + " " + f->text : "ok " + std::to_string(seconds);
  }
};

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  Runner runner;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string answer;
    try {
      answer = runner.command(in);
    } catch (const std::exception &e) {
      answer = std::string("error ") + e.what();
    }
    std::cout << answer << std::endl;
  }
}
