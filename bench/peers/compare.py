"""Runs ours and the PyTorch variants interleaved on one machine and writes tables of medians and ratios.

usage: compare.py TAPWEIGHT DIR REPORT.md [--rounds 7] [--slow-rounds 3] [--only iteration,small,embed] [--pool FILE]

REPORT.md has a section per machine; the one of this machine is replaced. DIR receives the exported batches.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SIZE = ["--preset", "paper", "--optimizer", "sgd", "--pretrain-lr", "0.05", "--finetune-lr", "0.01", "--gamma", "0.001",
        "--valid-batch", "64", "--objectives", "cluster-100,cluster-1000,cluster-10000,mask-atom,contrast"]
# glibc keeps freed memory instead of returning and faulting it in again: what "tuned allocator" means here.
TUNED = {"MALLOC_TRIM_THRESHOLD_": str(1 << 36), "MALLOC_MMAP_THRESHOLD_": str(1 << 36), "MALLOC_TOP_PAD_": str(1 << 28)}
REFERENCE = ("reference (PyG, finite differences, default allocator)", "reference", {})
BETTY = ("reference through betty-ml 0.2.1 (hand-written aggregation, tuned allocator)", "betty", TUNED)
STRONG = ("strongest (hand-written aggregation, exact dot/hybrid, tuned allocator)", "strong", TUNED)
PLAIN = ("plain weighted steps (hand-written aggregation, tuned allocator)", "plain", TUNED)
TITLE = "# Tapweight and PyTorch on one machine\n\nWritten by `make bench-peers`; what is compared is described in `bench/peers/README.md`. A section per machine.\n"


class Table:
    """Samples of several variants that take turns."""

    def __init__(self, base):
        self.base, self.values, self.peak, self.losses, self.h = base, {}, {}, {}, {}

    def add(self, name, value, peak=0, losses=None, h=None):
        self.values.setdefault(name, []).append(value)
        self.peak[name] = max(self.peak.get(name, 0), peak)
        self.losses.setdefault(name, losses)
        self.h.setdefault(name, h)
        print(f"  {name}: {value:.0f}", file=sys.stderr, flush=True)

    def median(self, name):
        return statistics.median(self.values[name])

    def apart(self):
        """The largest relative difference of a loss from ours, on the same weights."""
        ours = self.losses[self.base]
        return max(abs(ours[k] - v) / abs(v) for n, l in self.losses.items() if l and n != self.base for k, v in l.items() if v is not None)

    def lines(self, head, unit, scale, inverse=False):
        base, mem = self.median(self.base), self.peak[self.base]
        out = [f"| {head} | {unit}, median (range) | rounds | ours is … times faster | peak memory, GiB | times ours |", "|---|---|---|---|---|---|"]
        for name, v in self.values.items():
            low, mid, high = (f"{x / scale:.{3 if scale == 1000 and base < 1000 else 2 if scale > 1 else 0}f}" for x in (min(v), statistics.median(v), max(v)))
            ratio = base / self.median(name) if inverse else self.median(name) / base
            memory = f"{self.peak[name] / 2**30:.2f} | {self.peak[name] / mem:.2f}" if self.peak[name] else " | "
            out.append(f"| {name} | {mid} ({low}–{high}) | {len(v)} | {ratio:.2f} | {memory} |")
        return out


def run(*command, env=None):
    out = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **(env or {})})
    return [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]


def ours(binary, *extra):
    return run(binary, "bench", *extra, "--json")[0]


def peer(variant, batch, env, rounds):
    return run(sys.executable, "-W", "ignore", os.path.join(HERE, "molecules.py"), batch, "--variant", variant, "--rounds", str(rounds), env=env)


def iterations(a, extra, inner):
    """Iterations of the three levels: in every round each variant starts afresh, warms up once and times `inner` iterations."""
    folder = os.path.join(a.folder, "-".join(["batch", *extra]).replace("--", ""))
    run(a.binary, "bench", "export-batch", "--out", folder, *SIZE, *extra)
    batch = os.path.join(folder, "batch.safetensors")
    t = Table("tapweight")
    about = {}
    for r in range(a.rounds):
        print(f"round {r + 1} of {a.rounds}", file=sys.stderr, flush=True)
        slow = r * a.slow_rounds // a.rounds != (r - 1) * a.slow_rounds // a.rounds  # spread over the rounds
        for name, flags in (("tapweight", ()), ("tapweight --compress=false", ("--compress=false",))):
            if flags and not slow:
                continue
            o = ours(a.binary, "iteration", "--rounds", str(inner + 1), *SIZE, *extra, *flags)
            t.add(name, o["ms"]["total"], o["peak_bytes"], o["losses"], o["h"])
            t.add(name + ", plain steps", o["ms"]["plain"])
            about.update(o)
        for name, variant, env in (STRONG, PLAIN, BETTY, REFERENCE):
            if variant in ("betty", "reference") and not slow:
                continue
            p = peer(variant, batch, env, inner)
            t.add(name, statistics.median(x["ms"]["total"] for x in p[1:]), p[-1]["peak_bytes"], p[0]["losses"], p[0]["h"])
            about["torch"] = p[-1]["torch"]
    mine, theirs = t.h["tapweight"], dict(zip(["cluster-100", "cluster-1000", "cluster-10000", "mask-atom", "contrast"], t.h[STRONG[0]]))
    norm = sum(v * v for v in mine.values()) ** 0.5
    off = sum((mine[k] - theirs[k]) ** 2 for k in mine) ** 0.5 / norm
    text = t.lines("what", "seconds", 1000)
    text += ["", f"Losses on the same weights and batches agree within {t.apart():.0e} relative, the hypergradient with the strongest PyTorch's within "
             f"{off:.0e} of its norm (of which the finite differences there are a part). Iteration against our own plain weighted steps: "
             f"{t.median('tapweight') / t.median('tapweight, plain steps'):.3f}."]
    return text, about


def embedding(a):
    flags = ["--preset", "paper", "--pool", a.pool, "--pool-limit", "50000"]
    ours(a.binary, "embed", "--rounds", "1", "--out", a.folder, *flags)
    t, about = Table("tapweight embed"), {}
    for r in range(a.slow_rounds):
        print(f"round {r + 1} of {a.slow_rounds}", file=sys.stderr, flush=True)
        o = ours(a.binary, "embed", "--rounds", "3", *flags)
        t.add("tapweight embed", o["rate"], o["peak_bytes"])
        p = peer("embed", os.path.join(a.folder, "embed.safetensors"), TUNED, 1)[-1]
        t.add("PyG (tuned allocator)", p["rate"], p["peak_bytes"])
        about = {**o, **p, **{k: o[k] for k in ("molecules", "atoms")}}
    return t.lines("what", "molecules per second", 1, inverse=True) + [
        "", f"{about['molecules']} molecules, {about['atoms']} atoms, GIN 5×300 in evaluation mode; featurised beforehand on both sides, making batches counts on "
        f"both. PyG's best batch size of 64, 128, 256 and 512 is {about['batch']}. The rows agree within {about['error']:.0e}."]


def products(a):
    o = run(a.binary, "bench", "ops", "--rounds", "9", "--json", *SIZE)[0]
    gemm = next(x for x in o["ops"] if x["op"] == "Gemm")
    return f"Matrix products are {100 * gemm['ms'] / o['ms']:.0f} % of the operations' time, at {gemm['gflops']:.0f} GFLOP/s: {100 * gemm['gflops'] / o['peak_gflops']:.0f} % " \
           f"of the {o['peak_gflops']:.0f} GFLOP/s that fused multiply-adds reach on all threads (`tapweight bench ops`), on rows actually computed."


def write(path, title, body):
    """Replaces the section of this machine, keeps the others."""
    sections = {}
    if os.path.exists(path):
        for part in open(path).read().split("\n## ")[1:]:
            sections[part.split("\n", 1)[0]] = part.split("\n", 1)[1].strip("\n")
    sections = {title: body, **{k: v for k, v in sections.items() if k != title}}
    with open(path, "w") as f:
        f.write(TITLE + "".join(f"\n## {k}\n\n{v}\n" for k, v in sections.items()))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("binary")
    p.add_argument("folder")
    p.add_argument("report")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--slow-rounds", type=int, default=3, help="rounds of the variants that take longest")
    p.add_argument("--only", default="iteration,small,embed")
    p.add_argument("--pool", default="demo", help="molecules to embed")
    a = p.parse_args()
    a.slow_rounds = min(a.slow_rounds, a.rounds)
    load = [os.getloadavg()[0]]
    body, about = [], {}
    if "iteration" in a.only:
        text, about = iterations(a, [], 1)
        body += ["### One iteration", "", "GIN 5×300, 1 024 pool molecules in four views, 64 + 64 task molecules, five objectives (cluster-100, -1000, -10000, "
                 "mask-atom, contrast), SGD.", "", *text, "", products(a), ""]
    if "small" in a.only:
        text, about = iterations(a, ["--pretrain-batch", "64"], 5)
        body += ["### Small batches", "", "The same with 64 pool molecules.", "", *text, ""]
    if "embed" in a.only:
        body += ["### A whole set", "", *embedding(a), ""]
        about = about or ours(a.binary, "iteration", "--rounds", "1", "--preset", "nano")
    head = f"PyTorch {about['torch']}. " if "torch" in about else ""
    head += "Variants take turns; in every round each starts afresh and warms up once. The two slowest and the uncompressed form take turns in fewer rounds, as listed."
    load.append(os.getloadavg()[0])
    head += f" Load average of the machine before and after: {load[0]:.1f} and {load[1]:.1f}."
    write(a.report, f"{about['device']}, {about['isa']}, {about['threads']} threads", "\n".join([head, "", *body]).strip("\n"))


main()
