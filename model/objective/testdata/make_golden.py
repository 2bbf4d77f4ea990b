"""Writes golden.json: the objectives' losses in float64 by PyTorch, from the rows, parameters and choices in inputs.json.
usage: python make_golden.py (torch 2.15.0)"""
import json
import os

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "inputs.json")) as f:
    I = json.load(f)


def array(a):
    return torch.tensor(a["Values"] or [], dtype=torch.float64).reshape(a["Shape"])


nodes, pooled, params, M = ({k: array(v) for k, v in I[name].items()} for name in ("Nodes", "Pooled", "Params", "Matrices"))
ptr = I["Ptr"]
atoms, molecules = ptr[-1], len(ptr) - 1
molecule = torch.tensor([g for g in range(molecules) for _ in range(ptr[g], ptr[g + 1])])


def head(name, x):
    return F.linear(x, params[f"heads.{name}.weight"], params[f"heads.{name}.bias"][0])


def classify(name):
    return F.cross_entropy(head(name, pooled["clean"]), torch.tensor(I["Classes"][name]))


def bce(score, target):
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, target), reduction="sum")


def context():
    center, around = M["centers"] @ nodes["clean"], M["anchors"] @ M["ring"]
    return (bce((center * around).sum(1), 1) + bce((center * around.roll(-1, 0)).sum(1), 0)) / len(center)


def edge():
    a, b = M["edge.a"], M["edge.b"]
    bonded = torch.zeros(atoms, atoms)
    for x, y in I["Bonds"]:
        bonded[x, y] = 1
    target = torch.einsum("ix,xy,iy->i", a, bonded, b)
    score = ((a @ nodes["clean"]) * (b @ nodes["clean"])).sum(1)
    return F.binary_cross_entropy_with_logits(score, target, reduction="sum") / target.sum()


def contrast():
    z = torch.cat([pooled["augmented-a"], pooled["augmented-b"]])
    z = F.normalize(head("contrast.2", F.relu(head("contrast.0", z))))
    similarity = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
    return F.cross_entropy(similarity, torch.arange(2 * molecules).roll(molecules))


def infomax():
    mean = torch.zeros(molecules, nodes["clean"].shape[1]).index_add_(0, molecule, nodes["clean"])
    mean = mean / torch.bincount(molecule)[:, None]
    summary = torch.sigmoid(mean) @ params["heads.infomax.weight"].T
    own, other = summary[molecule], summary[(molecule + 1) % molecules]
    return (bce((nodes["clean"] * own).sum(1), 1) + bce((nodes["clean"] * other).sum(1), 0)) / atoms


def oracle():
    out = head("oracle", pooled["clean"]).flatten()
    known = [i for i, y in enumerate(I["Task"]) if y is not None]
    return F.mse_loss(out[known], torch.tensor([I["Task"][i] for i in known]))


losses = {
    "cluster-100": classify("cluster-100"),
    "mask-atom": F.cross_entropy(head("mask-atom", nodes["masked-atoms"][I["Masked"]]), torch.tensor(I["Elements"])),
    "context": context(),
    "edge": edge(),
    "contrast": contrast(),
    "masked-contrast": ((pooled["clean"] - pooled["masked-subgraph"]).pow(2).sum(1) + 1e-8).sqrt().mean(),
    "motif": F.binary_cross_entropy_with_logits(head("motif", pooled["clean"]), M["motifs"]),
    "infomax": infomax(),
    "noise": classify("noise"),
    "oracle": oracle(),
}
with open(os.path.join(HERE, "golden.json"), "w") as f:
    json.dump({k: v.item() for k, v in losses.items()}, f, indent=1)
    f.write("\n")
