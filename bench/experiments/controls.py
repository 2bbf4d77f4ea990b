"""Runs the controls over five seeds and fills the tables of bench/results/controls.md.

usage: python controls.py TAPWEIGHT RUNS_DIR OUT.md
"""
import math
import os
import statistics
import sys

from report import fill, run, search, seeds, summary, table

NAMES = ["noise", "oracle", "mask-atom"]
BASE = ["--pool", "task", "--objectives", ",".join(NAMES), "--preset", "nano", "--finetune-batch", "128", "--max-iterations", "1500",
        "--retrain-steps", "1", "--seeds", "5", "--threads", "1"]
# Table → what a row is called and the flags in which it differs from BASE and the defaults.
TABLES = {
    "pull": {g: ["--gamma", g] for g in ("0.1", "1", "3", "10", "30", "100")},
}


def t_value(values):
    return statistics.fmean(values) / (statistics.stdev(values) / math.sqrt(len(values)))


def t_values(folder):
    """Per objective: the mean over iterations of dL_val/dλ_i less the mean over the objectives, over its standard error."""
    apart = {n: [] for n in NAMES}
    for line in search(folder)[1:]:  # Adam's first step has no Jacobian worth the name: |update| = lr whatever the gradient
        h = {n: line["hypergradient"][n] / line["lambda"][n] for n in NAMES}  # less Σ λ_j h_j, the same for all
        mean = statistics.fmean(h.values())
        for n in NAMES:
            apart[n].append(h[n] - mean)
    return {n: t_value(v) for n, v in apart.items()}


def cells(ends):
    """Mean final weights, the oracle's range, and in how many seeds the order is right."""
    oracle = [e["oracle"] for e in ends]
    return [*(f"{statistics.fmean(e[n] for e in ends):.3f}" for n in NAMES), f"{min(oracle):.2f}–{max(oracle):.2f}",
            f"{sum(min(e, key=e.get) == 'noise' for e in ends)} of {len(ends)}", f"{sum(max(e, key=e.get) == 'oracle' for e in ends)} of {len(ends)}"]


def main():
    binary, runs, report = sys.argv[1:4]
    parts = {}
    for name, settings in TABLES.items():
        rows = []
        for label, flags in settings.items():
            folder = os.path.join(runs, "-".join([name, label]).replace(" ", "-"))
            run(binary, folder, BASE + flags)
            ends = [summary(f)["lambda"] for f in seeds(folder)]
            t = [t_values(f) for f in seeds(folder)]
            early = [search(f)[300]["lambda"] for f in seeds(folder)]
            rows.append([label, *cells(ends), *(f"{statistics.fmean(x[n] for x in t):+.1f}" for n in NAMES), *cells(early)])
        parts[name] = table([], rows)
    fill(report, parts)


main()
