// Streams, events and stream capture.
#include <algorithm>

#include "driver.h"

namespace emu::api {

Stream *find_stream(const Entry &e, Handle h) {
  Driver &d = driver();
  Context &c = e.context();
  if (h == 0 || h == kLegacyStream) return &c.legacy;
  if (h == kPerThreadStream) {
    auto &s = c.per_thread[std::this_thread::get_id()];
    if (!s) {
      s = std::make_unique<Stream>();
      s->context = &c;
    }
    return s.get();
  }
  Stream *s = d.streams.find(h);
  if (s && s->context == &c) return s;
  d.journal.fault(e.call() + (s ? ": the stream belongs to another context" : d.streams.stale(h) ? ": the stream is destroyed" : ": not a stream"));
  return nullptr;
}

static Event *find_event(const Entry &e, Handle h) {
  Driver &d = driver();
  if (Event *event = d.events.find(h)) return event;
  d.journal.fault(e.call() + (d.events.stale(h) ? ": the event is destroyed" : ": not an event"));
  return nullptr;
}

// each_stream visits the streams of a context, but for the legacy one.
template <class F>
static void each_stream(Context &c, F f) {
  for (auto &[handle, s] : driver().streams.live())
    if (s->context == &c) f(*s);
  for (auto &[thread, s] : c.per_thread) f(*s);
}

Ops order(Stream &s) {
  Ops before{s.tail};
  if (s.legacy)
    each_stream(*s.context, [&](Stream &o) {
      if (o.blocking()) before.push_back(o.tail);
    });
  else if (s.blocking())
    before.push_back(s.context->legacy.tail);
  return before;
}



// implicit is an error when work on the legacy stream would have to wait for a stream that is captured.
static int implicit(Stream &s) {
  if (!s.legacy) return SUCCESS;
  int status = SUCCESS;
  each_stream(*s.context, [&](Stream &o) {
    if (!o.blocking() || !o.capture) return;
    o.capture->invalid = true;
    status = ERROR_STREAM_CAPTURE_IMPLICIT;
  });
  return status;
}

int put(const Entry &e, Stream &s, Work work) {
  if (s.capture) {
    if (s.capture->invalid) return ERROR_STREAM_CAPTURE_INVALIDATED;
    s.tip = {add_node(s.capture->graph, std::move(work), s.tip, e)};
    return SUCCESS;
  }
  if (int status = implicit(s)) return status;
  Scheduler &scheduler = driver().scheduler;
  s.tail = scheduler.submit(*s.context, std::move(work), order(s), e.call());
  scheduler.settle();
  return SUCCESS;
}

int sync(const Entry &e, const std::shared_ptr<Op> &op) {
  driver().journal.waits++;
  if (op) driver().scheduler.wait(std::shared_ptr<Op>(op));
  return e.context().sticky;
}

// captured refuses a call that no stream under capture allows, and ends the capture.
static int captured(Stream &s) {
  if (!s.capture) return SUCCESS;
  s.capture->invalid = true;
  return ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

static bool active(const std::shared_ptr<Capture> &c) { return driver().captures.count(c.get()); }

static int join_capture(Stream &s, const std::shared_ptr<Capture> &c, const std::vector<Node *> &tip) {
  if (s.capture && s.capture != c) {
    s.capture->invalid = c->invalid = true;
    return ERROR_STREAM_CAPTURE_MERGE;
  }
  if (s.legacy) {
    c->invalid = true;
    return ERROR_STREAM_CAPTURE_IMPLICIT;
  }
  s.capture = c;
  c->streams.insert(&s);
  for (Node *n : tip)
    if (std::find(s.tip.begin(), s.tip.end(), n) == s.tip.end()) s.tip.push_back(n);
  return SUCCESS;
}

static void end(const std::shared_ptr<Capture> &c) {
  for (Stream *s : c->streams) {
    s->tip.clear();
    s->capture = nullptr;
  }
  driver().captures.erase(c.get());
}

// unjoined says that some stream's work does not lead to the origin.
static bool unjoined(const Capture &c) {
  std::set<const Node *> seen;
  std::vector<Node *> open = c.origin->tip;
  while (!open.empty()) {
    Node *n = open.back();
    open.pop_back();
    if (seen.insert(n).second) open.insert(open.end(), n->before.begin(), n->before.end());
  }
  for (Stream *s : c.streams)
    for (Node *n : s->tip)
      if (!seen.count(n)) return true;
  return false;
}

static int create(const char *call, Handle *out, unsigned flags, int priority) {
  return in_context(call, [&](Entry &e) {
    if (!out || flags & ~kStreamNonBlocking) return ERROR_INVALID_VALUE;
    auto s = std::make_unique<Stream>();
    s->context = &e.context();
    s->made = e.call();
    s->flags = flags;
    s->priority = std::clamp(priority, -5, 0);
    *out = driver().streams.add(std::move(s))->handle;
    return SUCCESS;
  });
}

// with_stream is a call about one stream.
template <class F>
static int with_stream(const char *call, Handle h, F f, unsigned flags = 0) {
  return in_context(call, [&](Entry &e) -> int {
    Stream *s = find_stream(e, h);
    return s ? int(f(e, *s)) : int(ERROR_INVALID_HANDLE);
  }, flags);
}

template <class F>
static int with_event(const char *call, Handle h, F f, unsigned flags = 0) {
  return in_context(call, [&](Entry &e) -> int {
    Event *event = find_event(e, h);
    return event ? int(f(e, *event)) : int(ERROR_INVALID_HANDLE);
  }, flags);
}

static int record(const char *call, Handle event, Handle stream, bool external) {
  return with_event(call, event, [&](Entry &e, Event &v) -> int {
    Stream *s = find_stream(e, stream);
    if (!s) return ERROR_INVALID_HANDLE;
    if (v.context != s->context) return ERROR_INVALID_HANDLE;
    if (s->capture && external) return put(e, *s, Record{event});
    if (s->capture) {
      if (s->capture->invalid) return ERROR_STREAM_CAPTURE_INVALIDATED;
      v.capture = s->capture;
      v.tip = s->tip;
      return SUCCESS;
    }
    int status = put(e, *s, Record{event});
    if (status) return status;
    v.record = s->tail;
    v.capture = nullptr;
    v.tip.clear();
    return SUCCESS;
  });
}

static int elapsed(const char *call, float *ms, Handle from, Handle to) {
  return in_context(call, [&](Entry &e) {
    if (!ms) return ERROR_INVALID_VALUE;
    Event *a = find_event(e, from), *b = find_event(e, to);
    if (!a || !b || !a->record || !b->record || (a->flags | b->flags) & kEventDisableTiming) return ERROR_INVALID_HANDLE;
    if (!a->record->done || !b->record->done) return ERROR_NOT_READY;
    *ms = std::chrono::duration<float, std::milli>(b->record->when - a->record->when).count();
    return SUCCESS;
  });
}

}  // namespace emu::api

using namespace emu;
using namespace emu::api;

API cuStreamCreate(Handle *out, unsigned flags) { return create(__func__, out, flags, 0); }
API cuStreamCreateWithPriority(Handle *out, unsigned flags, int priority) { return create(__func__, out, flags, priority); }

API cuStreamDestroy_v2(Handle h) {
  return in_context(__func__, [&](Entry &e) {
    Stream *s = h == kLegacyStream || h == kPerThreadStream || !h ? nullptr : find_stream(e, h);
    if (!s) return ERROR_INVALID_HANDLE;
    if (auto c = s->capture) {
      c->streams.erase(s);
      c->invalid = true;
      if (c->origin == s) end(c);
    }
    driver().streams.remove(h);
    return SUCCESS;
  }, Entry::kRelease);
}

API cuStreamGetFlags(Handle h, unsigned *out) {
  return with_stream(__func__, h, [&](Entry &, Stream &s) {
    if (!out) return ERROR_INVALID_VALUE;
    *out = s.flags;
    return SUCCESS;
  });
}

API cuStreamGetPriority(Handle h, int *out) {
  return with_stream(__func__, h, [&](Entry &, Stream &s) {
    if (!out) return ERROR_INVALID_VALUE;
    *out = s.priority;
    return SUCCESS;
  });
}

API cuStreamGetCtx(Handle h, Handle *out) {
  return with_stream(__func__, h, [&](Entry &, Stream &s) {
    if (!out) return ERROR_INVALID_VALUE;
    *out = s.context->handle;
    return SUCCESS;
  });
}

API cuStreamSynchronize(Handle h) {
  return with_stream(__func__, h, [&](Entry &e, Stream &s) {
    if (int status = captured(s)) return status;
    if (int status = implicit(s)) return status;
    if (s.legacy)  // waits for what the next op of the legacy stream would wait for
      for (auto &op : order(s))
        if (op) driver().scheduler.wait(op);
    return sync(e, s.tail);
  });
}

API cuStreamQuery(Handle h) {
  return with_stream(__func__, h, [&](Entry &, Stream &s) -> int {
    if (int status = captured(s)) return status;
    for (auto &op : order(s)) {
      if (!op || op->done || (op != s.tail && !s.legacy)) continue;
      driver().scheduler.nudge(op);
      if (!op->done) return ERROR_NOT_READY;
    }
    return SUCCESS;
  });
}

API cuStreamWaitEvent(Handle h, Handle event, unsigned flags) {
  return with_event(__func__, event, [&](Entry &e, Event &v) -> int {
    Stream *s = find_stream(e, h);
    if (!s) return ERROR_INVALID_HANDLE;
    if (v.capture) return active(v.capture) ? join_capture(*s, v.capture, v.tip) : int(ERROR_CAPTURED_EVENT);
    if (s->capture && flags & kWaitExternal) return put(e, *s, Wait{event});
    if (s->capture) {
      s->capture->invalid = true;
      return ERROR_STREAM_CAPTURE_ISOLATION;
    }
    if (!v.record || v.record->done) return SUCCESS;
    Ops before = order(*s);
    before.push_back(v.record);
    s->tail = driver().scheduler.submit(*s->context, {}, before, e.call());
    driver().scheduler.settle();
    return SUCCESS;
  });
}

API cuLaunchHostFunc(Handle h, HostFunction function, void *data) {
  return with_stream(__func__, h, [&](Entry &e, Stream &s) {
    if (!function) return int(ERROR_INVALID_VALUE);
    return put(e, s, HostNodeParams{function, data});
  });
}

API cuEventCreate(Handle *out, unsigned flags) {
  return in_context(__func__, [&](Entry &e) {
    if (!out || flags > 7) return ERROR_INVALID_VALUE;
    auto v = std::make_unique<Event>();
    v->context = &e.context();
    v->made = e.call();
    v->flags = flags;
    *out = driver().events.add(std::move(v))->handle;
    return SUCCESS;
  });
}

API cuEventDestroy_v2(Handle h) {
  return with_event(__func__, h, [&](Entry &, Event &) {
    driver().events.remove(h);
    return SUCCESS;
  }, Entry::kRelease);
}

API cuEventRecord(Handle event, Handle stream) { return record(__func__, event, stream, false); }
API cuEventRecordWithFlags(Handle event, Handle stream, unsigned flags) { return record(__func__, event, stream, flags & kRecordExternal); }

API cuEventQuery(Handle h) {
  return with_event(__func__, h, [&](Entry &, Event &v) {
    if (v.capture) return ERROR_CAPTURED_EVENT;
    if (!v.record) return SUCCESS;
    auto op = v.record;
    driver().scheduler.nudge(op);
    return op->done ? SUCCESS : ERROR_NOT_READY;
  }, Entry::kUnsafe);
}

API cuEventSynchronize(Handle h) {
  return with_event(__func__, h, [&](Entry &e, Event &v) { return v.capture ? int(ERROR_CAPTURED_EVENT) : sync(e, v.record); });
}

API cuEventElapsedTime(float *ms, Handle from, Handle to) { return elapsed(__func__, ms, from, to); }
API cuEventElapsedTime_v2(float *ms, Handle from, Handle to) { return elapsed(__func__, ms, from, to); }

API cuStreamBeginCapture_v2(Handle h, int mode) {
  return with_stream(__func__, h, [&](Entry &e, Stream &s) {
    if (mode < kCaptureGlobal || mode > kCaptureRelaxed) return ERROR_INVALID_VALUE;
    if (s.legacy) return ERROR_STREAM_CAPTURE_IMPLICIT;
    if (s.capture) return ERROR_ILLEGAL_STATE;
    auto c = std::make_shared<Capture>();
    c->graph = std::make_shared<GraphObject>();
    c->graph->made = e.call();
    c->origin = &s;
    c->mode = mode;
    c->thread = std::this_thread::get_id();
    c->streams.insert(&s);
    s.capture = c;
    driver().captures.insert(c.get());
    return SUCCESS;
  });
}

API cuStreamEndCapture(Handle h, Handle *out) {
  return with_stream(__func__, h, [&](Entry &e, Stream &s) -> int {
    auto c = s.capture;
    if (!out) return ERROR_INVALID_VALUE;
    *out = 0;
    if (!c) return ERROR_ILLEGAL_STATE;
    if (c->origin != &s) {
      c->invalid = true;
      return ERROR_STREAM_CAPTURE_UNMATCHED;
    }
    if (c->mode != kCaptureRelaxed && c->thread != std::this_thread::get_id()) return ERROR_STREAM_CAPTURE_WRONG_THREAD;
    int status = e.failed() ? e.failed() : c->invalid ? ERROR_STREAM_CAPTURE_INVALIDATED : unjoined(*c) ? ERROR_STREAM_CAPTURE_UNJOINED : SUCCESS;
    end(c);
    if (status) return status;
    auto g = std::make_unique<GraphHandle>();
    g->made = e.call();
    g->graph = c->graph;
    *out = driver().graphs.add(std::move(g))->handle;
    return SUCCESS;
  }, Entry::kRelease);
}

API cuStreamIsCapturing(Handle h, int *out) {
  return with_stream(__func__, h, [&](Entry &, Stream &s) {
    if (!out) return ERROR_INVALID_VALUE;
    *out = !s.capture ? kCaptureNone : s.capture->invalid ? kCaptureInvalidated : kCaptureActive;
    return SUCCESS;
  });
}
