"""Runs the controls over five seeds and fills the table of bench/results/controls.md.

usage: python controls.py TAPWEIGHT RUNS_DIR OUT.md
"""
import math
import os
import statistics
import sys

from report import fill, run, search, seeds, summary, table

NAMES = ["noise", "oracle", "mask-atom"]
BASE = ["--pool", "task", "--objectives", ",".join(NAMES), "--preset", "nano", "--max-iterations", "1500", "--retrain-steps", "1",
        "--seeds", "5", "--threads", "1"]
EARLY = 300  # iterations of the run's beginning that are reported too
SETTINGS = [{"gamma": 10}, {"gamma": 30}, {"gamma": 10, "valid-batch": 64}, {"gamma": 30, "valid-batch": 64},
            *({"gamma": g, "finetune-batch": 128} for g in (0.1, 1, 3, 10, 30)),
            *({"gamma": g, "finetune-batch": 128, "reweight-lr": 0.005} for g in (0.1, 10))]


def t_value(values):
    return statistics.fmean(values) / (statistics.stdev(values) / math.sqrt(len(values)))


def t_values(lines):
    """Per objective: the mean over iterations of dL_val/dλ_i less the mean over the objectives, over its standard error."""
    apart = {n: [] for n in NAMES}
    for line in lines[1:]:  # Adam's first step has the length of its learning rate whatever the gradient: no derivative there
        h = {n: line["hypergradient"][n] / line["lambda"][n] for n in NAMES}  # dL_val/dλ_i less Σ λ_j dL_val/dλ_j
        mean = statistics.fmean(h.values())
        for n in NAMES:
            apart[n].append(h[n] - mean)
    return {n: t_value(v) for n, v in apart.items()}


def order(ends):
    """In how many seeds noise is the least and the oracle the most."""
    return [f"{sum(min(e, key=e.get) == 'noise' for e in ends)} of {len(ends)}", f"{sum(max(e, key=e.get) == 'oracle' for e in ends)} of {len(ends)}"]


def main():
    binary, runs, report = sys.argv[1:4]
    rows = []
    for setting in SETTINGS:
        folder = os.path.join(runs, "-".join(f"{k}-{v}" for k, v in setting.items()))
        run(binary, folder, BASE + [flag for k, v in setting.items() for flag in (f"--{k}", str(v))])
        folders = seeds(folder)
        ends, lines = [summary(f)["lambda"] for f in folders], [search(f) for f in folders]
        t = [t_values(x) for x in lines]
        oracle = [e["oracle"] for e in ends]
        rows.append([" ".join(f"{k} {v}" for k, v in setting.items()), *(f"{statistics.fmean(e[n] for e in ends):.3f}" for n in NAMES),
                     f"{min(oracle):.2f}–{max(oracle):.2f}", *order(ends), *order([x[EARLY]["lambda"] for x in lines]),
                     *(f"{statistics.fmean(x[n] for x in t):+.1f}" for n in NAMES)])
    head = ["setting", *(f"λ {n}" for n in NAMES), "oracle's range", "noise least", "oracle most", f"noise least at {EARLY}",
            f"oracle most at {EARLY}", *(f"t {n}" for n in NAMES)]
    fill(report, {"controls": table(head, rows)})


main()
