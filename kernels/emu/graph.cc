// Graphs: built node by node or by capture, instantiated, updated, launched.
#include <algorithm>
#include <functional>

#include "driver.h"

namespace emu::api {

GraphObject::~GraphObject() {
  for (Node *n : nodes) driver().nodes.remove(n->handle);
}

Node *add_node(const std::shared_ptr<GraphObject> &g, Work work, std::vector<Node *> before, const Entry &e) {
  auto n = std::make_unique<Node>();
  n->made = e.call();
  n->graph = g.get();
  n->work = std::move(work);
  n->before = std::move(before);
  g->nodes.push_back(driver().nodes.add(std::move(n)));
  return g->nodes.back();
}

static std::shared_ptr<GraphObject> find_graph(const Entry &e, Handle h) {
  Driver &d = driver();
  if (GraphHandle *g = d.graphs.find(h)) return g->graph;
  d.journal.fault(e.call() + (d.graphs.stale(h) ? ": the graph is destroyed" : ": not a graph"));
  return nullptr;
}

static ExecObject *find_exec(const Entry &e, Handle h) {
  Driver &d = driver();
  if (ExecObject *x = d.execs.find(h)) return x;
  d.journal.fault(e.call() + (d.execs.stale(h) ? ": the executable graph is destroyed" : ": not an executable graph"));
  return nullptr;
}

static std::shared_ptr<GraphObject> copy_graph(const GraphObject &g, const Entry &e) {
  auto out = std::make_shared<GraphObject>();
  out->made = e.call();
  std::map<const Node *, Node *> twin;
  for (Node *n : g.nodes) twin[n] = add_node(out, n->work, {}, e);
  for (Node *n : g.nodes)
    for (Node *b : n->before) twin[n]->before.push_back(twin[b]);
  return out;
}

// sorted is the nodes of a graph, each after those it depends on; empty when they go round in a circle.
static std::vector<Node *> sorted(const GraphObject &g) {
  std::vector<Node *> out;
  std::map<const Node *, int> state;  // 1 open, 2 placed
  std::function<bool(Node *)> place = [&](Node *n) {
    if (state[n]) return state[n] == 2;
    state[n] = 1;
    for (Node *b : n->before)
      if (!place(b)) return false;
    state[n] = 2;
    out.push_back(n);
    return true;
  };
  for (Node *n : g.nodes)
    if (!place(n)) return {};
  return out;
}

// spell appends the steps of a graph, whose first ones follow the steps in `before`, and returns its last ones.
static bool spell(const GraphObject &g, const std::vector<size_t> &before, std::vector<ExecObject::Step> *steps, std::vector<size_t> *last) {
  std::vector<Node *> nodes = sorted(g);
  if (nodes.size() != g.nodes.size()) return false;
  std::map<const Node *, std::vector<size_t>> ends;  // of a child graph there may be several
  std::set<const Node *> followed;
  for (Node *n : nodes) {
    std::vector<size_t> after = n->before.empty() ? before : std::vector<size_t>{};
    for (Node *b : n->before) {
      after.insert(after.end(), ends[b].begin(), ends[b].end());
      followed.insert(b);
    }
    if (auto *child = std::get_if<Child>(&n->work)) {
      if (!spell(*child->graph, after, steps, &ends[n])) return false;
      if (ends[n].empty()) ends[n] = after;
      continue;
    }
    ends[n] = {steps->size()};
    steps->push_back({n->handle, n->work, after});
  }
  for (Node *n : nodes)
    if (!followed.count(n)) last->insert(last->end(), ends[n].begin(), ends[n].end());
  return true;
}

static int spell(const GraphObject &g, std::vector<ExecObject::Step> *steps) {
  std::vector<size_t> last;
  return spell(g, {}, steps, &last) ? SUCCESS : ERROR_INVALID_VALUE;
}

static int instantiate(const char *call, Handle *out, Handle graph) {
  return in_context(call, [&](Entry &e) -> int {
    auto g = find_graph(e, graph);
    if (!out || !g) return ERROR_INVALID_VALUE;
    auto x = std::make_unique<ExecObject>();
    x->context = &e.context();
    x->made = e.call();
    if (int status = spell(*g, &x->steps)) return status;
    *out = driver().execs.add(std::move(x))->handle;
    return SUCCESS;
  }, Entry::kUnsafe);
}

// update gives an executable graph the parameters of a graph of the same shape.
static int update(const char *call, Handle exec, Handle graph, UpdateResult *result) {
  return in_context(call, [&](Entry &e) -> int {
    ExecObject *x = find_exec(e, exec);
    auto g = find_graph(e, graph);
    if (!x || !g || !result) return ERROR_INVALID_VALUE;
    std::vector<ExecObject::Step> steps;
    *result = {kUpdateError, 0, 0};
    if (spell(*g, &steps)) return ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    result->result = kTopologyChanged;
    if (steps.size() != x->steps.size()) return ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    for (size_t i = 0; i < steps.size(); i++) {
      result->node = steps[i].node;
      result->result = kTopologyChanged;
      if (steps[i].before != x->steps[i].before) return ERROR_GRAPH_EXEC_UPDATE_FAILURE;
      result->result = kNodeKindChanged;
      if (steps[i].work.index() != x->steps[i].work.index()) return ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    }
    *result = {kUpdated, 0, 0};
    x->steps = std::move(steps);
    return SUCCESS;
  });
}

static int launch(const Entry &e, ExecObject &x, Stream &s) {
  Driver &d = driver();
  Ops first = order(s), made;
  first.push_back(x.last);
  for (const auto &step : x.steps) {
    Ops before = step.before.empty() ? first : Ops{};
    for (size_t b : step.before) before.push_back(made[b]);
    auto *wait = std::get_if<Wait>(&step.work);
    if (Event *v = wait ? d.events.find(wait->event) : nullptr; v && v->record) before.push_back(v->record);
    made.push_back(d.scheduler.submit(*s.context, step.work, before, e.call()));
    auto *record = std::get_if<Record>(&step.work);
    if (Event *v = record ? d.events.find(record->event) : nullptr) v->record = made.back();
  }
  first.insert(first.end(), made.begin(), made.end());
  s.tail = x.last = d.scheduler.submit(*s.context, {}, first, e.call());
  d.scheduler.settle();
  return SUCCESS;
}

static bool find_nodes(const GraphObject &g, const Handle *handles, size_t n, std::vector<Node *> *out) {
  if (n && !handles) return false;
  for (size_t i = 0; i < n; i++) {
    Node *node = driver().nodes.find(handles[i]);
    if (!node || node->graph != &g) return false;
    out->push_back(node);
  }
  return true;
}

// add is the body of all calls that add a node: `make` fills its work.
template <class F>
static int add(const char *call, Handle *out, Handle graph, const Handle *before, size_t n, F make) {
  return in_context(call, [&](Entry &e) -> int {
    auto g = find_graph(e, graph);
    std::vector<Node *> nodes;
    if (!out || !g || !find_nodes(*g, before, n, &nodes)) return ERROR_INVALID_VALUE;
    Work work;
    if (int status = make(e, &work)) return status;
    *out = add_node(g, std::move(work), std::move(nodes), e)->handle;
    return SUCCESS;
  });
}

static int memset_work(const Entry &e, const MemsetNodeParams *p, Work *out) {
  if (!p || (p->element != 1 && p->element != 2 && p->element != 4) || !p->width || !p->height) return ERROR_INVALID_VALUE;
  Place at;
  at.device = true;
  at.at = p->dst;
  at.pitch = p->pitch;
  at.memory = e.context().memory;
  if (int status = check_range(e, at, p->width * p->element, p->height, 1)) return status;
  *out = Memset{e.context().memory, *p};
  return SUCCESS;
}

static int add_kernel(const char *call, Handle *out, Handle graph, const Handle *before, size_t n, const KernelNodeParams *p) {
  return add(call, out, graph, before, n, [&](Entry &e, Work *w) { return p ? kernel_work(e, *p, w) : int(ERROR_INVALID_VALUE); });
}

// set replaces the work of a node in an executable graph.
template <class F>
static int set(const char *call, Handle exec, Handle node, F make) {
  return in_context(call, [&](Entry &e) -> int {
    ExecObject *x = find_exec(e, exec);
    if (!x) return ERROR_INVALID_VALUE;
    auto step = std::find_if(x->steps.begin(), x->steps.end(), [&](auto &s) { return s.node == node; });
    Work work;
    if (step == x->steps.end()) return ERROR_INVALID_VALUE;
    if (int status = make(e, &work)) return status;
    if (work.index() != step->work.index()) return ERROR_INVALID_VALUE;
    step->work = std::move(work);
    return SUCCESS;
  });
}

static int set_kernel(const char *call, Handle exec, Handle node, const KernelNodeParams *p) {
  return set(call, exec, node, [&](Entry &e, Work *w) { return p ? kernel_work(e, *p, w) : int(ERROR_INVALID_VALUE); });
}

static int node_kernel(const char *call, Handle node, const KernelNodeParams *p) {
  return in_context(call, [&](Entry &e) -> int {
    Node *n = driver().nodes.find(node);
    if (!n || !p || !std::holds_alternative<Kernel>(n->work)) return ERROR_INVALID_VALUE;
    return kernel_work(e, *p, &n->work);
  });
}

// list writes up to *n handles, or only their number when there is no room; entries beyond the last are 0.
static int list(const std::vector<Handle> &all, Handle *out, size_t *n) {
  if (!n) return ERROR_INVALID_VALUE;
  for (size_t i = 0; out && i < *n; i++) out[i] = i < all.size() ? all[i] : 0;
  if (!out || *n > all.size()) *n = all.size();
  return SUCCESS;
}

}  // namespace emu::api

using namespace emu;
using namespace emu::api;

API cuGraphCreate(Handle *out, unsigned flags) {
  return in_driver(__func__, [&](Entry &e) {
    if (!out || flags) return ERROR_INVALID_VALUE;
    auto g = std::make_unique<GraphHandle>();
    g->made = e.call();
    g->graph = std::make_shared<GraphObject>();
    g->graph->made = e.call();
    *out = driver().graphs.add(std::move(g))->handle;
    return SUCCESS;
  });
}

API cuGraphDestroy(Handle h) {
  return in_driver(__func__, [&](Entry &e) {
    if (!find_graph(e, h)) return ERROR_INVALID_VALUE;
    driver().graphs.remove(h);
    return SUCCESS;
  }, Entry::kRelease);
}

API cuGraphClone(Handle *out, Handle h) {
  return in_driver(__func__, [&](Entry &e) {
    auto g = find_graph(e, h);
    if (!out || !g) return ERROR_INVALID_VALUE;
    auto copy = std::make_unique<GraphHandle>();
    copy->made = e.call();
    copy->graph = copy_graph(*g, e);
    *out = driver().graphs.add(std::move(copy))->handle;
    return SUCCESS;
  });
}

API cuGraphAddKernelNode(Handle *out, Handle g, const Handle *before, size_t n, const KernelNodeParams *p) {
  return add_kernel(__func__, out, g, before, n, p);
}
API cuGraphAddKernelNode_v2(Handle *out, Handle g, const Handle *before, size_t n, const KernelNodeParams *p) {
  return add_kernel(__func__, out, g, before, n, p);
}

API cuGraphAddMemcpyNode(Handle *out, Handle g, const Handle *before, size_t n, const Copy3D *p, Handle) {
  return add(__func__, out, g, before, n, [&](Entry &e, Work *w) { return p ? copy_work(e, *p, w) : int(ERROR_INVALID_VALUE); });
}

API cuGraphAddMemsetNode(Handle *out, Handle g, const Handle *before, size_t n, const MemsetNodeParams *p, Handle) {
  return add(__func__, out, g, before, n, [&](Entry &e, Work *w) { return memset_work(e, p, w); });
}

API cuGraphAddHostNode(Handle *out, Handle g, const Handle *before, size_t n, const HostNodeParams *p) {
  return add(__func__, out, g, before, n, [&](Entry &, Work *w) {
    if (!p || !p->function) return ERROR_INVALID_VALUE;
    *w = *p;
    return SUCCESS;
  });
}

API cuGraphAddChildGraphNode(Handle *out, Handle g, const Handle *before, size_t n, Handle child) {
  return add(__func__, out, g, before, n, [&](Entry &e, Work *w) {
    auto c = find_graph(e, child);
    if (!c) return ERROR_INVALID_VALUE;
    *w = Child{copy_graph(*c, e)};
    return SUCCESS;
  });
}

API cuGraphAddEmptyNode(Handle *out, Handle g, const Handle *before, size_t n) {
  return add(__func__, out, g, before, n, [&](Entry &, Work *) { return SUCCESS; });
}

API cuGraphAddDependencies(Handle graph, const Handle *from, const Handle *to, size_t n) {
  return in_driver(__func__, [&](Entry &e) {
    auto g = find_graph(e, graph);
    std::vector<Node *> a, b;
    if (!g || !find_nodes(*g, from, n, &a) || !find_nodes(*g, to, n, &b)) return ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
      if (std::find(b[i]->before.begin(), b[i]->before.end(), a[i]) != b[i]->before.end()) return ERROR_INVALID_VALUE;
      b[i]->before.push_back(a[i]);
    }
    return SUCCESS;
  });
}

API cuGraphDestroyNode(Handle h) {
  return in_driver(__func__, [&](Entry &) {
    Node *n = driver().nodes.find(h);
    if (!n) return ERROR_INVALID_VALUE;
    auto &all = n->graph->nodes;
    all.erase(std::find(all.begin(), all.end(), n));
    for (Node *o : all) o->before.erase(std::remove(o->before.begin(), o->before.end(), n), o->before.end());
    driver().nodes.remove(h);
    return SUCCESS;
  }, Entry::kRelease);
}

API cuGraphGetNodes(Handle graph, Handle *out, size_t *n) {
  return in_driver(__func__, [&](Entry &e) -> int {
    auto g = find_graph(e, graph);
    if (!g) return ERROR_INVALID_VALUE;
    std::vector<Handle> all;
    for (Node *node : g->nodes) all.push_back(node->handle);
    return list(all, out, n);
  });
}

API cuGraphGetRootNodes(Handle graph, Handle *out, size_t *n) {
  return in_driver(__func__, [&](Entry &e) -> int {
    auto g = find_graph(e, graph);
    if (!g) return ERROR_INVALID_VALUE;
    std::vector<Handle> all;
    for (Node *node : g->nodes)
      if (node->before.empty()) all.push_back(node->handle);
    return list(all, out, n);
  });
}

API cuGraphGetEdges(Handle graph, Handle *from, Handle *to, size_t *n) {
  return in_driver(__func__, [&](Entry &e) -> int {
    auto g = find_graph(e, graph);
    if (!g || !n) return ERROR_INVALID_VALUE;
    std::vector<Handle> a, b;
    for (Node *node : g->nodes)
      for (Node *before : node->before) a.push_back(before->handle), b.push_back(node->handle);
    size_t room = *n;
    int status = list(a, from, n);
    return status ? status : list(b, to, &room);
  });
}

API cuGraphNodeGetType(Handle h, int *out) {
  return in_driver(__func__, [&](Entry &) {
    static const int kinds[] = {kEmptyNode, kKernelNode, kCopyNode, kMemsetNode, kHostNode, kGraphNode, kRecordNode, kWaitNode};
    Node *n = driver().nodes.find(h);
    if (!n || !out) return ERROR_INVALID_VALUE;
    *out = kinds[n->work.index()];
    return SUCCESS;
  });
}

API cuGraphKernelNodeSetParams(Handle node, const KernelNodeParams *p) { return node_kernel(__func__, node, p); }
API cuGraphKernelNodeSetParams_v2(Handle node, const KernelNodeParams *p) { return node_kernel(__func__, node, p); }

API cuGraphInstantiate(Handle *out, Handle graph, Handle *, char *, size_t) { return instantiate(__func__, out, graph); }
API cuGraphInstantiate_v2(Handle *out, Handle graph, Handle *, char *, size_t) { return instantiate(__func__, out, graph); }
API cuGraphInstantiateWithFlags(Handle *out, Handle graph, unsigned long long) { return instantiate(__func__, out, graph); }

API cuGraphExecUpdate(Handle exec, Handle graph, Handle *node, int *result) {
  UpdateResult r{};
  int status = update(__func__, exec, graph, result ? &r : nullptr);
  if (node) *node = r.node;
  if (result) *result = r.result;
  return status;
}
API cuGraphExecUpdate_v2(Handle exec, Handle graph, UpdateResult *result) { return update(__func__, exec, graph, result); }

API cuGraphExecKernelNodeSetParams(Handle exec, Handle node, const KernelNodeParams *p) { return set_kernel(__func__, exec, node, p); }
API cuGraphExecKernelNodeSetParams_v2(Handle exec, Handle node, const KernelNodeParams *p) { return set_kernel(__func__, exec, node, p); }

API cuGraphExecMemcpyNodeSetParams(Handle exec, Handle node, const Copy3D *p, Handle) {
  return set(__func__, exec, node, [&](Entry &e, Work *w) { return p ? copy_work(e, *p, w) : int(ERROR_INVALID_VALUE); });
}
API cuGraphExecMemsetNodeSetParams(Handle exec, Handle node, const MemsetNodeParams *p, Handle) {
  return set(__func__, exec, node, [&](Entry &e, Work *w) { return memset_work(e, p, w); });
}

API cuGraphUpload(Handle exec, Handle stream) {
  return in_context(__func__, [&](Entry &e) { return find_exec(e, exec) && find_stream(e, stream) ? SUCCESS : ERROR_INVALID_VALUE; });
}

API cuGraphLaunch(Handle exec, Handle stream) {
  return in_context(__func__, [&](Entry &e) -> int {
    ExecObject *x = find_exec(e, exec);
    Stream *s = find_stream(e, stream);
    if (!x || !s) return ERROR_INVALID_HANDLE;
    if (x->context != s->context) return ERROR_INVALID_CONTEXT;
    if (s->capture) return ERROR_NOT_SUPPORTED;
    return launch(e, *x, *s);
  });
}

API cuGraphExecDestroy(Handle exec) {
  return in_context(__func__, [&](Entry &e) {
    if (!find_exec(e, exec)) return ERROR_INVALID_VALUE;
    driver().execs.remove(exec);
    return SUCCESS;
  }, Entry::kRelease);
}
