"""Runs learned weights beside uniform, single objectives and none on GLUE tasks from real weights and fills bench/results/glue.md.

usage: TAPWEIGHT_DATA=DIR python glue.py TAPWEIGHT MODEL_DIR RUNS_DIR OUT.md [TASK …]
"""
import os
import statistics
import sys

from report import fill, run, seeds, spread, summary, table

WEIGHTS = ["learned", "uniform", "only=mlm", "only=simcse", "only=sop", "none"]
SETTINGS = ["--weights", ",".join(WEIGHTS), "--seeds", "3", "--max-iterations", "20", "--validate-every", "50", "--log-every", "10"]
# Rates and batches at which a task learns within so few steps; pairs of sentences are long, so their batches are small.
PAIRS = ["--finetune-lr", "1e-4", "--pretrain-batch", "16", "--finetune-batch", "16", "--valid-batch", "16", "--retrain-steps", "100"]
TASKS = {
    "cola": ["--finetune-lr", "2e-4", "--max-tokens", "48", "--retrain-steps", "250"],
    "rte": [*PAIRS, "--max-tokens", "128"],
    "mrpc": [*PAIRS, "--max-tokens", "96"],
    "sts-b": [*PAIRS, "--max-tokens", "64"],
}


def compare(binary, model, runs, task):
    """One task: scores by weighting, differences paired by seed, the weights that were learned."""
    folder = os.path.join(runs, task)
    run(binary, folder, ["--dataset", task, "--model", model, *SETTINGS, *TASKS[task]])
    by = {w: [summary(f) for f in seeds(folder, w.replace("=", "-"))] for w in WEIGHTS}
    test = {w: [s["test"]["value"] for s in by[w]] for w in WEIGHTS}
    first = by["learned"][0]
    rows = []
    for w in WEIGHTS:
        also = "; ".join(f"{n} {spread([s['test']['also'][n] for s in by[w]])}" for n in first["test"].get("also", {}))
        row = [w, spread([s["valid"]["value"] for s in by[w]]), spread(test[w]), " ".join(f"{v:.3f}" for v in test[w]), also, ""]
        if w != "learned":
            apart = [a - b for a, b in zip(test[w], test["learned"])]
            row[5] = f"{statistics.fmean(apart):+.3f} ± {statistics.stdev(apart):.3f}"
        rows.append(row)
    text = table(["weights", "valid", f"dev {first['test']['metric']}", "by seed", "also", "against learned"], rows)
    lambdas = {n: [s["lambda"][n] for s in by["learned"]] for n in first["lambda"]}
    return text + "\n\nLearned λ at the end, mean ± std over seeds: " + ", ".join(
        f"{n} {spread(v, 2)}" for n, v in sorted(lambdas.items(), key=lambda x: -statistics.fmean(x[1]))) + "."


def main():
    binary, model, runs, report = sys.argv[1:5]
    for task in sys.argv[5:] or TASKS:
        fill(report, {task: compare(binary, model, runs, task)})


main()
