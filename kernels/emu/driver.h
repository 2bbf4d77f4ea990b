// The state of the stand-in driver: devices, contexts and the objects behind handles, the work that is queued and what may run
// next, and the journal of calls and faults. Everything is guarded by Driver::mutex, which every exported call holds.
#pragma once
#include <array>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <variant>

#include "api.h"
#include "emu.h"

namespace emu::api {

struct Context;
struct Stream;
struct Event;
struct GraphObject;
struct Op;

// Settings are the environment, read once by cuInit; driver.cc lists the variables.
struct Settings {
  Options run;
  size_t memory = size_t{8} << 30;
  int sm = 90, version = 12090, devices = 1, fail_code = ERROR_UNKNOWN;
  std::map<std::string, uint64_t> fail;  // call without its version suffix -> which of its calls fails
  bool verbose = false;
  std::string report;

  static Settings from_environment();
};

// Object is what a handle stands for.
struct Object {
  Handle handle = 0;
  Context *context = nullptr;
  std::string made;  // the call that made it: "cuEventCreate #3"
};

// Table gives handles to objects and never the same one twice, so that a stale handle is recognised. Handles are no valid
// addresses: who follows one crashes at once.
template <class T>
class Table {
 public:
  explicit Table(int kind) : base_(Handle(kind) << 56) {}
  T *add(std::unique_ptr<T> object) {
    object->handle = base_ + (++last_ << 4);
    return (live_[object->handle] = std::move(object)).get();
  }
  T *find(Handle h) const {
    auto it = live_.find(h);
    return it == live_.end() ? nullptr : it->second.get();
  }
  bool stale(Handle h) const { return h > base_ && h <= base_ + (last_ << 4) && !live_.count(h); }
  void remove(Handle h) { live_.erase(h); }
  const std::map<Handle, std::unique_ptr<T>> &live() const { return live_; }

 private:
  Handle base_, last_ = 0;
  std::map<Handle, std::unique_ptr<T>> live_;
};

// The kinds of work. Kernels hold on to their module, events to their last record: a handle may be destroyed while it is in use.
struct Kernel {
  Memory *memory = nullptr;
  std::shared_ptr<Module> module;
  Handle function = 0;
  Launch launch;
};
// Place is one end of a copy: a host pointer or a device address, the bytes from row to row and the rows from plane to plane.
struct Place {
  bool device = false;
  Address at = 0;
  size_t pitch = 0, rows = 0;
  Memory *memory = nullptr;
  uint8_t *pointer(size_t y, size_t z) const;
  Address offset(size_t y, size_t z) const { return at + (z * rows + y) * pitch; }
};
struct Copy {
  Place src, dst;
  size_t width = 0, height = 1, depth = 1;
  std::shared_ptr<std::vector<uint8_t>> staged;  // pageable host memory as it was at the call
  size_t bytes() const { return width * height * depth; }
};
struct Memset {
  Memory *memory = nullptr;
  MemsetNodeParams what;
};
struct Free {
  Address at;
};
struct Record {
  Handle event;
};
struct Wait {
  Handle event;
};
struct Child {
  std::shared_ptr<GraphObject> graph;
};
using Work = std::variant<std::monostate, Kernel, Copy, Memset, HostNodeParams, Child, Record, Wait, Free>;

// Range is memory that work touches.
struct Range {
  bool device;
  Address at;
  size_t bytes;
  bool overlaps(const Range &o) const { return device == o.device && at < o.at + o.bytes && o.at < at + bytes; }
};
std::vector<Range> touched(const Work &);
std::string describe(const Work &);
std::optional<Fault> perform(Context &, const Work &);  // does it now

// Op is work that was queued. It may run when everything it waits for is done; nothing else orders it.
struct Op {
  uint64_t number = 0;  // in order of submission: what an op waits for has a smaller one
  Context *context = nullptr;
  Work work;
  std::string call;
  std::vector<std::shared_ptr<Op>> before, after;  // those of before that are not done
  size_t waiting = 0;
  bool running = false, done = false;
  std::chrono::steady_clock::time_point when;
};
using Ops = std::vector<std::shared_ptr<Op>>;

// Scheduler runs ops in orders that the API allows. Late (the default), nothing runs until a call has to wait for it, and then,
// going forward, only what that call needs, so that a result read without waiting for it is not there; in reverse the newest op
// that may run runs first, at random any. Early, ops run as they are submitted.
class Scheduler {
 public:
  std::shared_ptr<Op> submit(Context &, Work, Ops before, const std::string &call);
  void settle();                            // after a call has submitted all it has to
  void wait(const std::shared_ptr<Op> &);   // run until it is done
  void nudge(const std::shared_ptr<Op> &);  // a step towards it: a program that polls gets there
  void drain(Context &);                    // run all work of a context
  const std::map<uint64_t, std::shared_ptr<Op>> &pending() const { return pending_; }
  // user is the first op that touches the range, or null.
  std::shared_ptr<Op> user(const Range &) const;

 private:
  void step();
  void run(const std::shared_ptr<Op> &);
  std::map<uint64_t, std::shared_ptr<Op>> pending_, ready_;
  uint64_t last_ = 0;
  std::mt19937_64 random_;
  bool seeded_ = false;
};

struct Node;
// Capture turns what is put on its streams into nodes of a graph.
struct Capture {
  std::shared_ptr<GraphObject> graph;
  Stream *origin = nullptr;
  int mode = kCaptureGlobal;
  std::thread::id thread;
  bool invalid = false;
  std::set<Stream *> streams;
};

struct Stream : Object {
  unsigned flags = 0;
  int priority = 0;
  bool legacy = false;
  std::shared_ptr<Op> tail;
  std::shared_ptr<Capture> capture;
  std::vector<Node *> tip;  // what the next captured node depends on
  bool blocking() const { return !legacy && !(flags & kStreamNonBlocking); }
};

struct Event : Object {
  unsigned flags = 0;
  std::shared_ptr<Op> record;
  std::shared_ptr<Capture> capture;  // of the last record, when that was captured
  std::vector<Node *> tip;
};

struct ModuleObject : Object {
  std::shared_ptr<Module> module;
  std::map<std::string, Handle> functions;
};

struct FunctionObject : Object {
  ModuleObject *module = nullptr;
  const Function *function = nullptr;
  uint32_t max_dynamic = 0;
  int carveout = -1;
};

struct Node : Object {
  GraphObject *graph = nullptr;
  Work work;
  std::vector<Node *> before;
};

struct GraphObject : Object {
  std::vector<Node *> nodes;  // owned by Driver::nodes
  ~GraphObject();
};
struct GraphHandle : Object {
  std::shared_ptr<GraphObject> graph;
};

// ExecObject is a graph ready to launch: its nodes sorted, child graphs spelled out.
struct ExecObject : Object {
  struct Step {
    Handle node;
    Work work;
    std::vector<size_t> before;
  };
  std::vector<Step> steps;
  std::shared_ptr<Op> last;  // launches of one graph follow each other
};

struct Allocation : Object {
  size_t bytes = 0;
  bool registered = false;  // host memory of the program's, pinned by cuMemHostRegister
};

struct Context : Object {
  Device device = 0;
  bool primary = false;
  unsigned flags = 0;
  int sticky = SUCCESS;  // the fault after which the context answers nothing else
  Memory *memory = nullptr;
  Stream legacy;
  std::map<std::thread::id, std::unique_ptr<Stream>> per_thread;
  std::map<Address, Allocation> device_memory, host_memory;
  std::map<int, size_t> limits;
  bool pinned(Address at, size_t bytes) const;
};

struct DeviceState {
  std::unique_ptr<Memory> memory;
  Context *primary = nullptr;
  int retained = 0;
  unsigned flags = 0;
};

// Journal is what the report tells.
struct Journal {
  struct Traffic {
    uint64_t count = 0, bytes = 0;
  };
  struct PerKernel {
    uint64_t launches = 0;
    Counters counters;
  };
  std::map<std::string, uint64_t> calls;
  std::map<std::string, Traffic> transfers;  // host-to-device device-to-host device-to-device host-to-host memset
  std::map<std::string, PerKernel> kernels;
  uint64_t waits = 0;                        // calls in which the host waited for the device
  std::vector<std::string> faults, leaks;    // of contexts that are gone

  void fault(const std::string &line);
  void leak(const std::string &line);
  void count(const Work &);
};

struct Driver {
  std::recursive_mutex mutex;
  std::condition_variable_any finished;  // an op that ran without the mutex (a host function)
  bool initialised = false;
  Settings settings;
  std::vector<DeviceState> devices;
  Table<Context> contexts{1};
  Table<Stream> streams{2};
  Table<Event> events{3};
  Table<ModuleObject> modules{4};
  Table<FunctionObject> functions{5};
  Table<GraphHandle> graphs{6};
  Table<Node> nodes{7};
  Table<ExecObject> execs{8};
  Scheduler scheduler;
  Journal journal;
  std::set<Capture *> captures;
};
Driver &driver();

// Entry is one call of the API, from the lock to the status it returns.
class Entry {
 public:
  enum : unsigned {
    kContext = 1,       // needs a current context that has not failed
    kRelease = 2,       // gives something back: done even when the call returns an error
    kUnsafe = 4,        // may not be called while a stream is captured (in the capture's mode)
    kUninitialised = 8  // may be called before cuInit
  };
  Entry(const char *name, unsigned flags);
  template <class F>
  int run(F &&body) {
    if (status_ != SUCCESS && !(flags_ & kRelease && proceed_)) return leave(status_);
    int status;
    try {
      status = body(*this);
    } catch (const std::bad_alloc &) {
      status = ERROR_OUT_OF_MEMORY;
    }
    return leave(status_ != SUCCESS ? status_ : status);
  }
  Context &context() const { return *context_; }
  const std::string &call() const { return call_; }  // "cuMemAlloc_v2 #3"
  int failed() const { return status_; }             // what a call that only gives back will return

 private:
  int leave(int status);
  std::lock_guard<std::recursive_mutex> lock_;
  unsigned flags_;
  std::string call_;
  Context *context_ = nullptr;
  int status_ = SUCCESS;
  bool proceed_ = false;
};

// The body of every exported call. `f` gets the Entry and returns a status.
template <class F>
int in_driver(const char *name, F &&f, unsigned flags = 0) {
  return Entry(name, flags).run(f);
}
template <class F>
int in_context(const char *name, F &&f, unsigned flags = 0) {
  return Entry(name, flags | Entry::kContext).run(f);
}

// current is the calling thread's context, or null.
Context *current();
void destroy(Context &);  // with everything it owns; what was not given back is a leak
std::string leaked(const Object &, const char *kind);
void write_report(const char *path);

// find_stream is the stream behind a handle, 0, 1 (legacy) and 2 (per thread) included; null, with a fault noted, for others.
Stream *find_stream(const Entry &, Handle);
// put queues work on a stream, or adds it to the graph for which the stream is captured.
int put(const Entry &, Stream &, Work);
Ops order(Stream &);                                      // what the next op of a stream waits for
Node *add_node(const std::shared_ptr<GraphObject> &, Work, std::vector<Node *> before, const Entry &);
int sync(const Entry &, const std::shared_ptr<Op> &);     // the host waits; null is done already

// kernel_work checks a launch and packs its arguments.
int kernel_work(const Entry &, const KernelNodeParams &, Work *);
int copy_work(const Entry &, Copy, Work *);
int copy_work(const Entry &, const Copy3D &, Work *);
int check_range(const Entry &, const Place &, size_t width, size_t height, size_t depth);

struct Card;
const Card &card();

}  // namespace emu::api
