"""One TapWeight iteration in PyTorch on the batch that `tapweight bench export-batch` wrote.

Variants
  reference  as the published code runs it: PyTorch Geometric layers, both finite-difference pairs of betty's darts
  strong     hand-written aggregation, exact per-objective dot products; the objectives that share the clean graph by one
             no-grad forward pair along the direction (cheaper than three backward passes)
  betty      the reference's iteration as three problems of betty-ml with its darts, hand-written aggregation
  plain      the weighted pretraining and the finetuning step without level III, hand-written aggregation
  embed      a row per molecule of the whole set that `tapweight bench embed --out` wrote, PyTorch Geometric, in evaluation mode
Prints one JSON object per round on standard output.
"""
import json

import torch
import torch.nn.functional as F
from torch_geometric.nn import MessagePassing

from common import Levels, add_gradients, arguments, load, now, parse, peak, report


class View:
    """A batch of graphs with a row per atom; self loops (bond type 4, direction 0) added, edges sorted by receiver."""

    def __init__(self, t, name):
        self.atom = t[name + ".atom"]
        n = self.atom.shape[0]
        src, dst, bond = t[name + ".from"], t[name + ".to"], t[name + ".bond"]
        loop = torch.arange(n)
        src, dst = torch.cat([src, loop]), torch.cat([dst, loop])
        bond = torch.cat([bond, torch.tensor([[4, 6]]).expand(n, 2)])
        order = torch.argsort(dst, stable=True)
        self.src, self.dst, self.bond = src[order], dst[order], bond[order]
        self.code = self.bond[:, 0] * 9 + self.bond[:, 1]
        ptr = t[name + ".ptr"]
        self.size = ptr[1:] - ptr[:-1]
        self.graph = torch.repeat_interleave(torch.arange(len(self.size)), self.size)
        ones = torch.ones(len(self.src))
        # The adjacency as CSR, and its transpose for the backward pass.
        self.adj = torch.sparse_coo_tensor(torch.stack([self.dst, self.src]), ones, (n, n)).coalesce().to_sparse_csr()
        self.adj_t = torch.sparse_coo_tensor(torch.stack([self.src, self.dst]), ones, (n, n)).coalesce().to_sparse_csr()
        # How often each bond code enters each atom: the edge part of the sum is one small product.
        self.count = torch.zeros(n, 81).index_put_((self.dst, self.code), ones, accumulate=True)
        self.codes = torch.stack([torch.arange(81) // 9, torch.arange(81) % 9], 1).clamp(max=8)


class Spmm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, adj, adj_t, h):
        ctx.adj_t = adj_t
        return adj @ h

    @staticmethod
    def backward(ctx, g):
        return None, None, ctx.adj_t @ g


class Sum(MessagePassing):
    """The GIN sum as a user of PyTorch Geometric writes it."""

    def __init__(self):
        super().__init__(aggr="add")

    def forward(self, h, edge_index, e):
        return self.propagate(edge_index, x=h, edge_attr=e)

    def message(self, x_j, edge_attr):
        return x_j + edge_attr


class Encoder(torch.nn.Module):
    def __init__(self, layers, width, pyg):
        super().__init__()
        self.pyg = pyg
        self.atom = torch.nn.Embedding(124, width)
        self.bond = torch.nn.ModuleList(torch.nn.Embedding(9, width) for _ in range(layers))
        self.lin0 = torch.nn.ModuleList(torch.nn.Linear(width, 2 * width) for _ in range(layers))
        self.lin1 = torch.nn.ModuleList(torch.nn.Linear(2 * width, width) for _ in range(layers))
        self.norm = torch.nn.ModuleList(torch.nn.BatchNorm1d(width) for _ in range(layers))
        if pyg:
            self.sum = Sum()

    def forward(self, v):
        h = self.atom(v.atom).sum(1)
        last = len(self.norm) - 1
        for i in range(last + 1):
            if self.pyg:
                s = self.sum(h, torch.stack([v.src, v.dst]), self.bond[i](v.bond).sum(1))
            else:
                s = Spmm.apply(v.adj, v.adj_t, h) + v.count @ self.bond[i](v.codes).sum(1)
            h = self.norm[i](self.lin1[i](F.relu(self.lin0[i](s))))
            if i < last:
                h = F.relu(h)
        return h

    def pool(self, v, h):
        out = torch.zeros(len(v.size), h.shape[1]).index_add_(0, v.graph, h)
        return out / v.size[:, None]


def fill(encoder, t, prefix):
    """Copies our parameters into the encoder; returns its parameters in our order of names."""
    def put(p, name):
        with torch.no_grad():
            p.copy_(t[prefix + name])
    put(encoder.atom.weight, "encoder.atom.weight")
    for i in range(len(encoder.norm)):
        at = f"encoder.layers.{i}."
        put(encoder.bond[i].weight, at + "bond.weight")
        put(encoder.lin0[i].weight, at + "mlp.0.weight")
        put(encoder.lin0[i].bias, at + "mlp.0.bias")
        put(encoder.lin1[i].weight, at + "mlp.2.weight")
        put(encoder.lin1[i].bias, at + "mlp.2.bias")
        put(encoder.norm[i].weight, at + "norm.weight")
        put(encoder.norm[i].bias, at + "norm.bias")


class Iteration(Levels):
    clusters = ["cluster-100", "cluster-1000", "cluster-10000"]

    def __init__(self, path, pyg, gamma):
        t = load(path)
        self.t, self.gamma = t, gamma
        layers = sum(1 for n in t if n.startswith("theta/encoder.layers.") and n.endswith("norm.weight"))
        width = t["theta/encoder.atom.weight"].shape[1]
        self.views = {n: View(t, "view." + n) for n in ["clean", "masked-atoms", "augmented-a", "augmented-b", "finetune", "validation"]}
        self.pretrained, self.finetuned = Encoder(layers, width, pyg), Encoder(layers, width, pyg)
        fill(self.pretrained, t, "theta/")
        fill(self.finetuned, t, "omega/")
        self.theta, self.omega = list(self.pretrained.parameters()), list(self.finetuned.parameters())
        grad = lambda n: t[n].clone().requires_grad_()
        self.heads = {n: [grad(f"theta/heads.{n}.weight"), grad(f"theta/heads.{n}.bias")] for n in self.clusters + ["mask-atom"]}
        self.proj = [grad(f"theta/heads.contrast.{i}.{p}") for i in (0, 2) for p in ("weight", "bias")]
        self.head = [grad("omega/head.weight"), grad("omega/head.bias")]
        self.names = self.clusters + ["mask-atom", "contrast"]
        self.logits = torch.zeros(5)
        self.opt_theta = torch.optim.SGD(self.theta_params(), lr=0.05, momentum=0.9)
        self.opt_omega = torch.optim.SGD(self.omega + self.head, lr=0.01, momentum=0.9)

    def theta_params(self):
        return self.theta + [p for h in self.heads.values() for p in h] + self.proj

    def clean(self):
        v = self.views["clean"]
        z = self.pretrained.pool(v, self.pretrained(v))
        return [F.cross_entropy(F.linear(z, *self.heads[n]), self.t["target." + n]) for n in self.clusters]

    def mask(self):
        v = self.views["masked-atoms"]
        h = self.pretrained(v)[self.t["mask.atom"]]
        return [F.cross_entropy(F.linear(h, *self.heads["mask-atom"]), self.t["mask.element"])]

    def contrast(self):
        z = torch.cat([self.pretrained.pool(self.views[n], self.pretrained(self.views[n])) for n in ("augmented-a", "augmented-b")])
        z = F.linear(F.relu(F.linear(z, self.proj[0], self.proj[1])), self.proj[2], self.proj[3])
        z = z / (z.pow(2).sum(1, keepdim=True) + 1e-12).sqrt()
        s = (z @ z.T / 0.1).fill_diagonal_(float("-inf"))
        n = len(s)
        return [F.cross_entropy(s, (torch.arange(n) + n // 2) % n)]

    def losses(self):
        return self.clean() + self.mask() + self.contrast()

    def task(self, name):
        v = self.views[name]
        return F.mse_loss(F.linear(self.finetuned.pool(v, self.finetuned(v)), *self.head)[:, 0], self.t["target." + name])

    def evaluate(self, on):
        self.freeze(self.finetuned, on)

    def freeze(self, encoder, on):
        """Normalises with the batch's own statistics, which then do not enter the running ones."""
        for m in encoder.norm:
            m.momentum = 0.0 if on else 0.1

    def run_strong(self):
        lam = torch.softmax(self.logits, 0)
        t0 = now()
        enc = self.theta
        self.opt_theta.zero_grad(set_to_none=True)
        before = [p.detach().clone() for p in enc]
        # The clean graph: one weighted backward pass; its derivatives come from a forward pair later.
        clean = self.clean()
        sum(l * w for l, w in zip(clean, lam)).backward()
        # The others stand alone: their encoder gradients are kept apart.
        apart, rest = [], []
        for i, group in ((3, self.mask), (4, self.contrast)):
            loss = group()[0]
            heads = self.heads["mask-atom"] if i == 3 else self.proj
            g = torch.autograd.grad(loss, enc + heads)
            add_gradients(enc + heads, g, lam[i])
            apart.append(g[: len(enc)])
            rest.append(loss)
        self.opt_theta.step()
        t1 = now()
        ft = self.finetune()
        t2 = now()
        val, v = self.validation()
        t3 = now()
        # w: derivative with respect to theta's gradient; SGD's factors are -lr each.
        w = [-2 * self.gamma * 0.01 * 0.05 * x for x in v]
        h = [0.0] * 3 + [sum((a * b).sum() for a, b in zip(g, w)).item() for g in apart]
        eps = 0.01 / torch.cat([x.reshape(-1) for x in w]).norm()
        after = [p.detach().clone() for p in enc]
        values = []
        with torch.no_grad():
            self.freeze(self.pretrained, True)
            for side in (1, -1):
                for p, b, d in zip(enc, before, w):
                    p.copy_(b + side * eps * d)
                values.append([l.item() for l in self.clean()])
            self.freeze(self.pretrained, False)
            for p, a in zip(enc, after):
                p.copy_(a)
        for i in range(3):
            h[i] = ((values[0][i] - values[1][i]) / (2 * eps)).item()
        self.finish(torch.tensor(h), lam)
        t4 = now()
        losses = [l.item() for l in clean] + [l.item() for l in rest]
        return dict(pretrain=t1 - t0, finetune=t2 - t1, validation=t3 - t2, hypergradient=t4 - t3), losses, ft, val, h


def betty_steps(it):
    """Yields what Levels.run_plain returns, of one iteration after another."""
    import logging

    from betty.configs import Config, EngineConfig
    from betty.engine import Engine
    from betty.problems import ImplicitProblem

    logging.disable(logging.INFO)
    seen = {}

    class Weights(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = torch.nn.Parameter(torch.zeros(len(it.names)))

    class Theta(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = it.pretrained
            self.rest = torch.nn.ParameterList([p for h in it.heads.values() for p in h] + it.proj)

    class Omega(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = it.finetuned
            self.head = torch.nn.ParameterList(it.head)

    class Step(ImplicitProblem):
        def get_batch(self):
            return ()  # the same graphs in every iteration, as in the other variants

    class Pretrain(Step):
        def training_step(self, batch):
            losses = it.losses()
            seen.setdefault("pretrain", [l.item() for l in losses])
            return (torch.stack(losses) * torch.softmax(self.reweight.module.logits, 0)).sum()

    class Finetune(Step):
        def training_step(self, batch):
            loss = it.task("finetune")
            seen.setdefault("finetune", loss.item())
            return loss + it.prox(it.theta)

    class Reweight(Step):
        def training_step(self, batch):
            it.evaluate(True)
            loss = it.task("validation")
            it.evaluate(False)
            seen.setdefault("validation", loss.item())
            return loss

    # betty registers what it is given: the leaves become parameters of modules, the same tensors stay in `it`.
    theta, omega, weights = Theta(), Omega(), Weights()
    it.heads = dict(zip(it.heads, zip(*[iter(theta.rest[: 2 * len(it.heads)])] * 2)))
    it.proj, it.head = list(theta.rest[2 * len(it.heads) :]), list(omega.head)
    darts = Config(type="darts", first_order=True, retain_graph=True)
    pretrain = Pretrain("pretrain", darts, theta, torch.optim.SGD(theta.parameters(), lr=0.05, momentum=0.9))
    finetune = Finetune("finetune", darts, omega, torch.optim.SGD(omega.parameters(), lr=0.01, momentum=0.9))
    reweight = Reweight("reweight", darts, weights, torch.optim.SGD(weights.parameters(), lr=1.0))
    engine = Engine([pretrain, finetune, reweight], EngineConfig(strategy="cpu", logger_type="none"),
                    {"u2l": {reweight: [pretrain]}, "l2u": {pretrain: [finetune], finetune: [reweight]}})
    engine.train()
    while True:
        seen.clear()
        before = weights.logits.detach().clone()
        start = now()
        engine.train_step()
        took = now() - start
        yield dict(iteration=took), seen["pretrain"], seen["finetune"], seen["validation"], (before - weights.logits.detach()).tolist()


def embed(path, rounds):
    """Embeds the set with the best of several batch sizes; collating graphs into batches counts, as it does for us."""
    from torch_geometric.data import Data
    from torch_geometric.loader import DataLoader
    from torch_geometric.nn import global_mean_pool

    t = load(path)
    ptr, width = t["view.set.ptr"], t["embedding"].shape[1]
    layers = sum(1 for n in t if n.startswith("omega/encoder.layers.") and n.endswith("norm.weight"))
    enc = Encoder(layers, width, True)
    fill(enc, t, "omega/")
    enc.eval()
    atom, src, dst, bond = (t["view.set." + n] for n in ("atom", "from", "to", "bond"))
    edge = torch.searchsorted(dst, ptr)
    graphs = []
    for i in range(len(ptr) - 1):
        a, b, e, f = ptr[i], ptr[i + 1], edge[i], edge[i + 1]
        loop = torch.arange(b - a)
        index = torch.cat([torch.stack([src[e:f], dst[e:f]]) - a, torch.stack([loop, loop])], 1)
        graphs.append(Data(x=atom[a:b], edge_index=index, edge_attr=torch.cat([bond[e:f], torch.tensor([[4, 6]]).expand(len(loop), 2)])))

    def run(graphs, size):
        rows = []
        with torch.no_grad():
            for b in DataLoader(graphs, batch_size=size):
                h = enc.atom(b.x).sum(1)
                for i in range(layers):
                    h = enc.norm[i](enc.lin1[i](F.relu(enc.lin0[i](enc.sum(h, b.edge_index, enc.bond[i](b.edge_attr).sum(1))))))
                    if i < layers - 1:
                        h = F.relu(h)
                rows.append(global_mean_pool(h, b.batch))
        return torch.cat(rows)

    def seconds(graphs, size):
        start = now()
        run(graphs, size)
        return now() - start

    few = graphs[:4096]
    error = (run(few, 128) - t["embedding"][: len(few)]).abs().max().item()
    best = min((64, 128, 256, 512), key=lambda size: seconds(few, size))
    for r in range(rounds):
        took = seconds(graphs, best)
        print(json.dumps(dict(variant="embed", batch=best, molecules=len(graphs), rate=len(graphs) / took, error=error, torch=torch.__version__,
                              peak_bytes=peak())), flush=True)


def main():
    a = parse(arguments(["reference", "betty", "strong", "plain", "embed"]))
    if a.variant == "embed":
        return embed(a.batch, a.rounds)
    it = Iteration(a.batch, a.variant == "reference", a.gamma)
    report(a, it.names, betty_steps(it).__next__ if a.variant == "betty" else getattr(it, "run_" + a.variant))


main()
