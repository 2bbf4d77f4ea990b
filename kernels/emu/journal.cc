// The environment, the entry and exit of every call, and the report.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "card.h"
#include "driver.h"

namespace emu::api {

static const char *variable(const char *name) {
  const char *v = getenv(name);
  return v && *v ? v : nullptr;
}

static uint64_t number(const char *name, uint64_t otherwise) {
  const char *v = variable(name);
  if (!v) return otherwise;
  char *end;
  uint64_t n = strtoull(v, &end, 10);
  if (*end) {
    fprintf(stderr, "emu: %s=%s is not a number\n", name, v);
    exit(2);
  }
  return n;
}

static bool word(const char *name, std::initializer_list<const char *> allowed, const char **value) {
  *value = variable(name);
  if (!*value) return false;
  for (const char *a : allowed)
    if (!strcmp(a, *value)) return true;
  fprintf(stderr, "emu: %s=%s is not known\n", name, *value);
  exit(2);
}

// plain is a call's name without its version.
static std::string plain(std::string name) {
  size_t n = name.size();
  if (n > 3 && name[n - 3] == '_' && name[n - 2] == 'v') name.resize(n - 3);
  return name;
}

Settings Settings::from_environment() {
  Settings s;
  const char *v;
  if (word("TAPWEIGHT_EMU_SCHEDULE", {"forward", "reverse", "random"}, &v))
    s.run.schedule = *v == 'f' ? Schedule::Forward : v[1] == 'e' ? Schedule::Reverse : Schedule::Random;
  s.run.seed = number("TAPWEIGHT_EMU_SEED", 0);
  s.run.async_late = true;
  if (word("TAPWEIGHT_EMU_ASYNC", {"early", "late"}, &v)) s.run.async_late = *v == 'l';
  if (word("TAPWEIGHT_EMU_CHECK", {"0", "1"}, &v)) s.run.check_uninitialised = s.run.check_races = *v == '1';
  s.run.threads = int(number("TAPWEIGHT_EMU_THREADS", std::max(1u, std::thread::hardware_concurrency())));
  s.run.cache = number("TAPWEIGHT_EMU_CACHE", 0);
  s.memory = number("TAPWEIGHT_EMU_MEMORY", s.memory);
  s.sm = int(number("TAPWEIGHT_EMU_SM", s.sm));
  if (!find_card(s.sm)) {
    fprintf(stderr, "emu: TAPWEIGHT_EMU_SM=%d is not known\n", s.sm);
    exit(2);
  }
  s.version = int(number("TAPWEIGHT_EMU_VERSION", s.version));
  s.devices = int(number("TAPWEIGHT_EMU_DEVICES", 1));
  s.fail_code = int(number("TAPWEIGHT_EMU_FAIL_CODE", ERROR_UNKNOWN));
  s.verbose = variable("TAPWEIGHT_EMU_VERBOSE");
  if ((v = variable("TAPWEIGHT_EMU_REPORT"))) s.report = v;
  if ((v = variable("TAPWEIGHT_EMU_FAIL"))) {
    std::string list = std::string(v) + ",";
    for (size_t i = 0, j; (j = list.find(',', i)) != std::string::npos; i = j + 1) {
      size_t colon = list.rfind(':', j);
      if (colon == std::string::npos || colon < i) {
        fprintf(stderr, "emu: TAPWEIGHT_EMU_FAIL=%s: want call:k\n", v);
        exit(2);
      }
      s.fail[plain(list.substr(i, colon - i))] = strtoull(&list[colon + 1], nullptr, 10);
    }
  }
  return s;
}

const Card &card() { return *find_card(driver().settings.sm); }

// Errors that a context does not get over.
static bool lasting(int status) {
  switch (status) {
    case ERROR_ECC_UNCORRECTABLE: case ERROR_NVLINK_UNCORRECTABLE: case ERROR_ILLEGAL_ADDRESS: case ERROR_LAUNCH_TIMEOUT:
    case ERROR_ASSERT: case ERROR_HARDWARE_STACK_ERROR: case ERROR_ILLEGAL_INSTRUCTION: case ERROR_MISALIGNED_ADDRESS:
    case ERROR_INVALID_ADDRESS_SPACE: case ERROR_INVALID_PC: case ERROR_LAUNCH_FAILED:
      return true;
  }
  return false;
}

static thread_local bool inside_host_function;
void host_function(const HostNodeParams &h) {
  inside_host_function = true;
  h.function(h.data);
  inside_host_function = false;
}

// unsafe says that a capture forbids what this thread does, and ends the capture.
static bool unsafe() {
  bool found = false;
  for (Capture *c : driver().captures)
    if (c->mode == kCaptureGlobal || (c->mode == kCaptureThreadLocal && c->thread == std::this_thread::get_id()))
      c->invalid = found = true;
  return found;
}

Entry::Entry(const char *name, unsigned flags) : lock_(driver().mutex), flags_(flags) {
  Driver &d = driver();
  std::string call = plain(name);
  uint64_t k = ++d.journal.calls[call];
  call_ = std::string(name) + " #" + std::to_string(k);
  if (inside_host_function) {
    d.journal.fault(call_ + ": host functions may not call the driver");
    status_ = ERROR_NOT_PERMITTED;
    return;
  }
  if (!d.initialised && !(flags & kUninitialised)) {
    status_ = ERROR_NOT_INITIALIZED;
    return;
  }
  if (flags & kContext) {
    context_ = current();
    if (!context_) {
      status_ = ERROR_INVALID_CONTEXT;
      return;
    }
    proceed_ = true;
    status_ = context_->sticky;
  }
  proceed_ = true;
  if (status_ == SUCCESS && flags & kUnsafe && unsafe()) {
    status_ = ERROR_STREAM_CAPTURE_UNSUPPORTED;
    proceed_ = false;
  }
  if (auto it = d.settings.fail.find(call); it != d.settings.fail.end() && it->second == k) {
    status_ = d.settings.fail_code;
    if (lasting(status_) && (context_ || (context_ = current()))) context_->sticky = status_;
  }
}

int Entry::leave(int status) {
  Driver &d = driver();
  if (status == SUCCESS && flags_ & kContext) status = context_->sticky;
  if (status != SUCCESS && status != ERROR_NOT_READY && d.settings.verbose)
    fprintf(stderr, "emu: %s returns %d\n", call_.c_str(), status);
  return status;
}

void Journal::fault(const std::string &line) {
  faults.push_back(line);
  fprintf(stderr, "emu: %s\n", line.c_str());
}

void Journal::leak(const std::string &line) {
  leaks.push_back(line);
  fprintf(stderr, "emu: leak: %s\n", line.c_str());
}

void Journal::count(const Work &w) {
  if (auto *k = std::get_if<Kernel>(&w)) {
    kernels[k->launch.function->name].launches++;
  } else if (auto *c = std::get_if<Copy>(&w)) {
    Traffic &t = transfers[std::string(c->src.device ? "device" : "host") + (c->dst.device ? "-to-device" : "-to-host")];
    t.count++;
    t.bytes += c->bytes();
  } else if (auto *m = std::get_if<Memset>(&w)) {
    Traffic &t = transfers["memset"];
    t.count++;
    t.bytes += m->what.width * m->what.height * m->what.element;
  }
}

std::string leaked(const Object &o, const char *kind) { return std::string(kind) + " made by " + o.made; }

static std::string quoted(const std::string &s) {
  std::string out = "\"";
  for (unsigned char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (c < 0x20) {
      char hex[8];
      snprintf(hex, sizeof hex, "\\u%04x", c);
      out += hex;
    } else {
      out += char(c);
    }
  }
  return out + '"';
}

// still_held is what leaks if the process ends now.
static std::vector<std::string> still_held() {
  Driver &d = driver();
  std::vector<std::string> lines;
  auto add = [&](const auto &table, const char *kind) {
    for (auto &[handle, object] : table.live()) lines.push_back(leaked(*object, kind));
  };
  add(d.contexts, "context");
  add(d.streams, "stream");
  add(d.events, "event");
  add(d.modules, "module");
  add(d.graphs, "graph");
  add(d.execs, "executable graph");
  for (auto &[handle, c] : d.contexts.live()) {
    for (auto &[at, a] : c->device_memory) lines.push_back(leaked(a, (std::to_string(a.bytes) + " device bytes").c_str()));
    for (auto &[at, a] : c->host_memory) lines.push_back(leaked(a, (std::to_string(a.bytes) + " pinned bytes").c_str()));
  }
  return lines;
}

void write_report(const char *path) {
  Driver &d = driver();
  Journal &j = d.journal;
  // Written beside and renamed: a reader never sees half a report.
  std::string partial = std::string(path) + "." + std::to_string(getpid());
  FILE *f = fopen(partial.c_str(), "w");
  if (!f) {
    fprintf(stderr, "emu: cannot write the report %s: %s\n", path, strerror(errno));
    return;
  }
  const char *comma = "";
  auto list = [&](const char *name, const std::vector<std::string> &lines) {
    fprintf(f, ",\n \"%s\": [", name);
    comma = "";
    for (auto &l : lines) fprintf(f, "%s\n  %s", comma, quoted(l).c_str()), comma = ",";
    fprintf(f, "]");
  };
  fprintf(f, "{\"sm\": %d, \"waits\": %llu,\n \"calls\": {", d.settings.sm, (unsigned long long)j.waits);
  for (auto &[name, n] : j.calls) fprintf(f, "%s\n  %s: %llu", comma, quoted(name).c_str(), (unsigned long long)n), comma = ",";
  fprintf(f, "},\n \"transfers\": {");
  comma = "";
  for (auto &[name, t] : j.transfers) {
    fprintf(f, "%s\n  %s: {\"count\": %llu, \"bytes\": %llu}", comma, quoted(name).c_str(), (unsigned long long)t.count,
            (unsigned long long)t.bytes);
    comma = ",";
  }
  fprintf(f, "},\n \"kernels\": {");
  comma = "";
  for (auto &[name, k] : j.kernels) {
    fprintf(f, "%s\n  %s: {\"launches\": %llu", comma, quoted(name).c_str(), (unsigned long long)k.launches);
#define EMU_COUNTER(name) fprintf(f, ", \"" #name "\": %llu", (unsigned long long)k.counters.name);
    EMU_COUNTERS(EMU_COUNTER)
#undef EMU_COUNTER
    fprintf(f, "}");
    comma = ",";
  }
  fprintf(f, "}");
  list("faults", j.faults);
  std::vector<std::string> leaks = j.leaks, held = still_held();
  leaks.insert(leaks.end(), held.begin(), held.end());
  list("leaks", leaks);
  fprintf(f, "}\n");
  if (fclose(f) || rename(partial.c_str(), path)) fprintf(stderr, "emu: cannot write the report %s: %s\n", path, strerror(errno));
}

// At the end of the process. Go programs leave without it: for them the report is also written when the last context goes.
static struct AtExit {
  ~AtExit() {
    Driver &d = driver();
    if (!d.initialised) return;
    for (auto &line : still_held()) fprintf(stderr, "emu: leak: %s\n", line.c_str());
    if (!d.settings.report.empty()) write_report(d.settings.report.c_str());
  }
} at_exit;

}  // namespace emu::api

using namespace emu;
using namespace emu::api;

// tw_emu_report writes the report as it stands now. What is in use is listed among the leaks.
API tw_emu_report(const char *path) {
  std::lock_guard<std::recursive_mutex> lock(driver().mutex);
  write_report(path);
  return SUCCESS;
}
