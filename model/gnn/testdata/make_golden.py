"""Writes golden_NAME.json: parameters, outputs, loss and gradients of the networks of Hu et al. 2020 in float64, by PyTorch
Geometric's MessagePassing. usage: python make_golden.py (torch 2.15.0, torch_geometric 2.8.1)"""
import json
import os

import torch
import torch.nn.functional as F
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import softmax

torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
C, L, HEADS = 6, 3, 2

# Benzene, methanol, one atom, acetamide: element row = atomic number - 1, chirality; bonds (a, b, type), direction 0.
MOLECULES = [
    ([5] * 6, [(i, (i + 1) % 6, 3) for i in range(6)]),
    ([5, 7], [(0, 1, 0)]),
    ([8], []),
    ([5, 5, 7, 6], [(0, 1, 0), (1, 2, 1), (1, 3, 0)]),
]


class Conv(MessagePassing):
    def __init__(self, kind):
        super().__init__(aggr="add", node_dim=0)
        self.kind = kind
        wide = HEADS * C if kind == "gat" else C
        self.bond = torch.nn.Parameter(torch.randn(9, wide) * 0.3)
        if kind == "gin":
            self.mlp0, self.mlp2 = torch.nn.Linear(C, 2 * C), torch.nn.Linear(2 * C, C)
        else:
            self.linear = torch.nn.Linear(C, wide)
        if kind == "gat":
            self.att, self.bias = torch.nn.Parameter(torch.randn(HEADS, 2 * C) * 0.3), torch.nn.Parameter(torch.randn(C) * 0.1)
        self.norm = None

    def forward(self, x, index, bond):
        e = self.bond[bond].sum(1)
        n = len(x)
        if self.kind == "gin":
            return self.mlp2(F.relu(self.mlp0(self.propagate(index, x=x, e=e, w=torch.ones(len(e), 1), size=(n, n)))))
        h = self.linear(x)
        degree = torch.zeros(n).index_add_(0, index[1], torch.ones(len(e)))
        if self.kind == "gat":
            m = (h[index[0]] + e).view(-1, HEADS, C)
            own = h[index[1]].view(-1, HEADS, C)
            score = F.leaky_relu((torch.cat([own, m], -1) * self.att).sum(-1), 0.2)
            alpha = softmax(score, index[1], num_nodes=n)
            out = torch.zeros(n, HEADS, C).index_add_(0, index[1], m * alpha[:, :, None])
            return out.mean(1) + self.bias
        w = (degree[index[0]] * degree[index[1]]).rsqrt() if self.kind == "gcn" else 1 / degree[index[1]]
        out = self.propagate(index, x=h, e=e, w=w[:, None], size=(n, n))
        if self.kind == "sage":
            out = out / (out.pow(2).sum(1, keepdim=True) + 1e-12).sqrt()
        return out

    def message(self, x_j, e, w):
        return w * (x_j + e)


def golden(kind, norm, readout):
    torch.manual_seed(7)
    atoms, index, bond, graph = [], [[], []], [], []
    for g, (elements, bonds) in enumerate(MOLECULES):
        base = len(atoms)
        atoms += elements
        graph += [g] * len(elements)
        for a, b, t in bonds:
            for x, y in ((a, b), (b, a)):
                index[0].append(base + x)
                index[1].append(base + y)
                bond.append([t, 6])
    n = len(atoms)
    index = torch.tensor([index[0] + list(range(n)), index[1] + list(range(n))])
    bond = torch.tensor(bond + [[4, 6]] * n)
    table = torch.nn.Parameter(torch.randn(124, C) * 0.3)
    convs = [Conv(kind) for _ in range(L)]
    norms = [torch.nn.BatchNorm1d(C) if norm == "batch" else torch.nn.LayerNorm(C) for _ in range(L)]
    for m in norms:
        torch.nn.init.normal_(m.weight, 1, 0.2)
        torch.nn.init.normal_(m.bias, 0, 0.2)
    head = torch.nn.Linear(C, 2)
    h = table[torch.tensor(atoms)] + table[120]
    for i in range(L):
        h = norms[i](convs[i](h, index, bond))
        if i < L - 1:
            h = F.relu(h)
    graph = torch.tensor(graph)
    count = torch.bincount(graph).double()[:, None]
    pooled = torch.zeros(len(MOLECULES), C).index_add_(0, graph, h)
    if readout == "mean":
        pooled = pooled / count
    elif readout == "max":
        pooled = torch.stack([h[graph == g].max(0).values for g in range(len(MOLECULES))])
    logits = head(pooled)
    target = torch.tensor([[0.5, -1], [1, 0], [-0.3, 2], [0, 0.7]])
    weight = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1.0]])
    loss = (weight * (logits - target) ** 2).sum() / weight.sum()
    params = {"encoder.atom.weight": table, "head.weight": head.weight, "head.bias": head.bias}
    for i, c in enumerate(convs):
        at = f"encoder.layers.{i}."
        params[at + "bond.weight"] = c.bond
        if kind == "gin":
            params |= {at + "mlp.0.weight": c.mlp0.weight, at + "mlp.0.bias": c.mlp0.bias, at + "mlp.2.weight": c.mlp2.weight, at + "mlp.2.bias": c.mlp2.bias}
        else:
            params |= {at + "linear.weight": c.linear.weight, at + "linear.bias": c.linear.bias}
        if kind == "gat":
            params |= {at + "att": c.att, at + "bias": c.bias}
        params |= {at + "norm.weight": norms[i].weight, at + "norm.bias": norms[i].bias}
    grads = torch.autograd.grad(loss, list(params.values()))
    flat = lambda t: [float(f"{v:.17g}") for v in t.detach().reshape(-1).tolist()]
    out = {"conv": kind, "norm": norm, "readout": readout, "width": C, "layers": L, "pooled": flat(pooled), "logits": flat(logits), "loss": loss.item(),
           "target": flat(target), "weight": flat(weight), "params": {k: flat(v) for k, v in params.items()}, "grads": {k: flat(g) for k, g in zip(params, grads)},
           "running_mean": [flat(m.running_mean) for m in norms] if norm == "batch" else [], "running_var": [flat(m.running_var) for m in norms] if norm == "batch" else []}
    # Rows of the atom table that no atom uses are left out: their gradient is 0 and their values do not matter.
    used = sorted(set(atoms) | {120})
    for key in ("params", "grads"):
        v = out[key]["encoder.atom.weight"]
        out[key]["encoder.atom.weight"] = {str(r): v[r * C : (r + 1) * C] for r in used}
    with open(os.path.join(HERE, f"golden_{kind}_{norm}_{readout}.json"), "w") as f:
        json.dump(out, f)


for case in (("gin", "batch", "mean"), ("gcn", "batch", "mean"), ("sage", "batch", "sum"), ("gat", "batch", "max"), ("gin", "layer", "mean")):
    golden(*case)
