"""Runs ours and the PyTorch variants interleaved on one machine and writes tables of medians and ratios.

usage: compare.py molecules|text TAPWEIGHT DIR REPORT.md [--rounds 7] [--slow-rounds 3] [--only SECTION,…] [--pool FILE] [--model FOLDER]

Sections of molecules are iteration, small and embed; of texts minilm, minilm-512, base and, if asked for, base-512. REPORT.md has a section per machine; the one of this machine is replaced. DIR receives the exported batches.
"""
import argparse
import collections
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# glibc keeps freed memory instead of returning and faulting it in again: what "tuned allocator" means here.
TUNED = {"MALLOC_TRIM_THRESHOLD_": str(1 << 36), "MALLOC_MMAP_THRESHOLD_": str(1 << 36), "MALLOC_TOP_PAD_": str(1 << 28)}
Variant = collections.namedtuple("Variant", "label name env slow flags", defaults=[()])
# A domain: the PyTorch half, settings of ours, objectives, the strongest variant and the others, in the order of their turns.
Domain = collections.namedtuple("Domain", "script flags objectives strong others slow_flags")
MOLECULES = Domain(
    "molecules.py", ["--preset", "paper", "--optimizer", "sgd", "--pretrain-lr", "0.05", "--finetune-lr", "0.01", "--gamma", "0.001",
                     "--valid-batch", "64", "--objectives", "cluster-100,cluster-1000,cluster-10000,mask-atom,contrast"],
    ["cluster-100", "cluster-1000", "cluster-10000", "mask-atom", "contrast"],
    Variant("strongest (hand-written aggregation, exact dot/hybrid, tuned allocator)", "strong", TUNED, False),
    [Variant("plain weighted steps (hand-written aggregation, tuned allocator)", "plain", TUNED, False),
     Variant("reference through betty-ml 0.2.1 (hand-written aggregation, tuned allocator)", "betty", TUNED, True),
     Variant("reference (PyG, finite differences, default allocator)", "reference", {}, True)],
    ["--compress=false"])
TEXTS = Domain(
    "text.py", ["--dataset", "sst-2", "--optimizer", "adamw", "--pretrain-lr", "5e-5", "--finetune-lr", "5e-5", "--weight-decay", "0.01", "--gamma", "0.001"],
    ["mlm", "simcse", "sop"],
    Variant("strongest (no padding but in attention, head at masked positions, exact dot, fused AdamW, tuned allocator)", "strong", TUNED, False),
    [Variant("plain weighted steps of the strongest", "plain", TUNED, False),
     Variant("sorted (transformers, padded in buckets of similar length, head at masked positions, exact dot, fused AdamW, tuned allocator)", "sorted", TUNED, False),
     Variant("reference (transformers, padded to the longest, finite differences, tuned allocator)", "reference", TUNED, True)],
    None)
PADDED = Variant("reference (transformers, padded to 512, finite differences, tuned allocator)", "reference", TUNED, True, ("--pad-to", "512"))
TITLE = "# Tapweight and PyTorch on one machine{}\n\nWritten by `make {}`; what is compared is described in `bench/peers/README.md`. A section per machine.\n"


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

    def agreement(self, domain, start, what, remark=""):
        mine, theirs = self.h[self.base], dict(zip(domain.objectives, self.h[domain.strong.label]))
        off = sum((mine[k] - theirs[k]) ** 2 for k in mine) ** 0.5 / sum(v * v for v in mine.values()) ** 0.5
        return f"{start} on the same weights and batches agree within {self.apart():.0e} relative, {what} with the strongest PyTorch's within {off:.0e} of its norm{remark}."

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
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
    return [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]


def ours(a, *extra):
    return run(a.binary, "bench", *extra, "--threads", str(a.threads), "--json")[0]


def peer(a, domain, variant, batch, rounds, *extra):
    return run(sys.executable, "-W", "ignore", os.path.join(HERE, domain.script), batch, "--variant", variant.name, "--rounds", str(rounds),
               "--threads", str(a.threads), *variant.flags, *extra, env=variant.env)


def export(a, domain, name, extra):
    folder = os.path.join(a.folder, name)
    run(a.binary, "bench", "export-batch", "--out", folder, *domain.flags, *extra)
    return os.path.join(folder, "batch.safetensors")


def iterations(a, domain, name, extra, inner, rounds, slow_rounds):
    """Iterations of the three levels: in every round each variant starts afresh, warms up once and times `inner` iterations."""
    batch = export(a, domain, name, extra)
    t = Table("tapweight")
    about = {}
    for r in range(rounds):
        print(f"round {r + 1} of {rounds}", file=sys.stderr, flush=True)
        slow = r * slow_rounds // rounds != (r - 1) * slow_rounds // rounds  # spread over the rounds
        for flags in ([], domain.slow_flags) if slow and domain.slow_flags else ([],):
            o = ours(a, "iteration", "--rounds", str(inner + 1), *domain.flags, *extra, *flags)
            name = " ".join(["tapweight", *flags])
            t.add(name, o["ms"]["total"], o["peak_bytes"], o["losses"], o["h"])
            t.add(name + ", plain steps", o["ms"]["plain"])
            about.update(o)
        for v in (domain.strong, *domain.others):
            if v.slow and not slow:
                continue
            p = peer(a, domain, v, batch, inner)
            t.add(v.label, statistics.median(x["ms"]["total"] for x in p[1:]), p[-1]["peak_bytes"], p[0]["losses"], p[0]["h"])
            about["torch"] = p[-1]["torch"]
    text = t.lines("what", "seconds", 1000)
    if domain is TEXTS:  # the timed iterations drop at random
        check = Table("tapweight")
        o = ours(a, "iteration", "--rounds", "1", "--dropout", "0", "--jacobian", "identity", *domain.flags, *extra)
        check.add("tapweight", o["ms"]["total"], 0, o["losses"], o["h"])
        for v in (domain.strong, *domain.others):
            p = peer(a, domain, v, batch, 1, "--dropout", "0", "--warmup", "0")[0]
            check.add(v.label, p["ms"]["total"], 0, p["losses"], p["h"])
        agree = check.agreement(domain, "With dropout off, losses", "the hypergradient (in the paper's form, which is the strongest variant's)")
    else:
        agree = t.agreement(domain, "Losses", "the hypergradient", " (of which the finite differences there are a part)")
    text += ["", f"{agree} Iteration against our own plain weighted steps: {t.median('tapweight') / t.median('tapweight, plain steps'):.3f}."]
    return text, about


def padded(a, extra):
    """One iteration of the reference padded to 512, without warming up, and ours with the same sentences."""
    batch = export(a, TEXTS, "padded", extra)
    t = Table("tapweight")
    o = ours(a, "iteration", "--rounds", "5", *TEXTS.flags, *extra)
    t.add("tapweight", o["ms"]["total"], o["peak_bytes"])
    p = peer(a, TEXTS, PADDED, batch, 1, "--warmup", "0")[0]
    t.add(PADDED.label, p["ms"]["total"], p["peak_bytes"])
    return t.lines("what", "seconds", 1000), {**o, "torch": p["torch"]}


def embedding(a):
    flags = ["--preset", "paper", "--pool", a.pool, "--pool-limit", "50000"]
    ours(a, "embed", "--rounds", "1", "--out", a.folder, *flags)
    t, about = Table("tapweight embed"), {}
    for r in range(a.slow_rounds):
        print(f"round {r + 1} of {a.slow_rounds}", file=sys.stderr, flush=True)
        o = ours(a, "embed", "--rounds", "3", *flags)
        t.add("tapweight embed", o["rate"], o["peak_bytes"])
        p = peer(a, MOLECULES, Variant("", "embed", TUNED, True), os.path.join(a.folder, "embed.safetensors"), 1)[-1]
        t.add("PyG (tuned allocator)", p["rate"], p["peak_bytes"])
        about = {**o, **p, **{k: o[k] for k in ("molecules", "atoms")}}
    return t.lines("what", "molecules per second", 1, inverse=True) + [
        "", f"{about['molecules']} molecules, {about['atoms']} atoms, GIN 5×300 in evaluation mode; featurised beforehand on both sides, making batches counts on "
        f"both. PyG's best batch size of 64, 128, 256 and 512 is {about['batch']}. The rows agree within {about['error']:.0e}."]


def products(a, domain, extra, rounds):
    o = ours(a, "ops", "--rounds", str(rounds), *domain.flags, *extra)
    gemm = next(x for x in o["ops"] if x["op"] == "Gemm")
    return f"Matrix products are {100 * gemm['ms'] / o['ms']:.0f} % of the operations' time, at {gemm['gflops']:.0f} GFLOP/s: {100 * gemm['gflops'] / o['peak_gflops']:.0f} % " \
           f"of the {o['peak_gflops']:.0f} GFLOP/s that fused multiply-adds reach on all threads (`tapweight bench ops`), on rows actually computed."


def write(path, intro, title, body):
    """Replaces the section of this machine, keeps the others."""
    sections = {}
    if os.path.exists(path):
        for part in open(path).read().split("\n## ")[1:]:
            sections[part.split("\n", 1)[0]] = part.split("\n", 1)[1].strip("\n")
    sections = {title: body, **{k: v for k, v in sections.items() if k != title}}
    with open(path, "w") as f:
        f.write(intro + "".join(f"\n## {k}\n\n{v}\n" for k, v in sections.items()))


def molecules(a, only):
    body, about = [], {}
    if "iteration" in only:
        text, about = iterations(a, MOLECULES, "batch", [], 1, a.rounds, a.slow_rounds)
        body += ["### One iteration", "", "GIN 5×300, 1 024 pool molecules in four views, 64 + 64 task molecules, five objectives (cluster-100, -1000, -10000, "
                 "mask-atom, contrast), SGD.", "", *text, "", products(a, MOLECULES, [], 9), ""]
    if "small" in only:
        text, about = iterations(a, MOLECULES, "batch-small", ["--pretrain-batch", "64"], 5, a.rounds, a.slow_rounds)
        body += ["### Small batches", "", "The same with 64 pool molecules.", "", *text, ""]
    if "embed" in only:
        body += ["### A whole set", "", *embedding(a), ""]
        about = about or ours(a, "iteration", "--rounds", "1", "--preset", "nano")
    return body, about


def texts(a, only):
    body, about = [], {}
    for size, title, flags, inner, rounds, slow in (
        ("minilm", "MiniLM", ["--model", a.model], 3, a.rounds, a.slow_rounds),
        ("base", "BERT-base", ["--model", "base", "--tokenizer", a.model], 1, a.slow_rounds, 1),
    ):
        if size in only:
            text, about = iterations(a, TEXTS, size, flags, inner, rounds, slow)
            body += [f"### {title}", "", "32 sentences of SST-2 for each of mlm, simcse and sop, 32 + 32 of the task, dropout 0.1, AdamW.", "", *text, "",
                     products(a, TEXTS, flags, 2 * inner), ""]
        if size + "-512" in only:
            text, about = padded(a, flags + ["--pretrain-batch", "8", "--finetune-batch", "8", "--valid-batch", "8"])
            body += [f"### {title}, padded to 512", "", "The same with 8 sentences. The reference ran once, without warming up.", "", *text, ""]
    return body, about


def main():
    p = argparse.ArgumentParser()
    p.add_argument("domain", choices=["molecules", "text"])
    p.add_argument("binary")
    p.add_argument("folder")
    p.add_argument("report")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--slow-rounds", type=int, default=3, help="rounds of the variants that take longest, and of BERT-base")
    p.add_argument("--only", help="sections (default: all but base-512)")
    p.add_argument("--pool", default="demo", help="molecules to embed")
    p.add_argument("--model", default="build/minilm", help="folder of MiniLM")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="of ours and of PyTorch")
    a = p.parse_args()
    a.slow_rounds = min(a.slow_rounds, a.rounds)
    sections, known, name, target = ((molecules, ["iteration", "small", "embed"], "", "bench-peers") if a.domain == "molecules" else
                                     (texts, ["minilm", "minilm-512", "base", "base-512"], ": texts", "bench-peers-text"))
    only = a.only.split(",") if a.only else known[:3]
    if not set(only) <= set(known):
        p.error(f"--only {a.only}: sections are {', '.join(known)}")
    load = [os.getloadavg()[0]]
    body, about = sections(a, only)
    head = f"PyTorch {about['torch']}. " if "torch" in about else ""
    head += "Variants take turns; in every round each starts afresh and warms up once. The slowest take turns in fewer rounds, as listed."
    load.append(os.getloadavg()[0])
    head += f" Load average of the machine before and after: {load[0]:.1f} and {load[1]:.1f}."
    write(a.report, TITLE.format(name, target), f"{about['device']}, {about['isa']}, {about['threads']} threads", "\n".join([head, "", *body]).strip("\n"))


main()
