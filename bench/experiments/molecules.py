"""Runs learned weights beside uniform, random and none on MoleculeNet tasks and fills the tables of bench/results/molecules.md.

usage: TAPWEIGHT_DATA=DIR python molecules.py TAPWEIGHT RUNS_DIR OUT.md
"""
import os
import shutil
import statistics
import sys

from report import fill, run, seeds, spread, summary, table

TASKS = ["esol", "clintox", "tox21"]
WEIGHTS = ["learned", "uniform", "random", "none"]
PULLS = [10, 30]
PULL_TASKS = ["freesolv", "bbbp"]
SIZE = ["--preset", "nano", "--pool-limit", "50000", "--seeds", "5"]


def flags(task):
    return ["--dataset", task, "--pool", os.path.join(os.environ["TAPWEIGHT_DATA"], "zinc_200k.smi.gz"), *SIZE]


def compare(binary, runs, report, task):
    """One task: scores by weighting, differences paired by seed, the weights that were learned, their picture."""
    folder = os.path.join(runs, task)
    run(binary, folder, flags(task) + ["--max-iterations", "600", "--weights", ",".join(WEIGHTS)])
    by = {w: [summary(f) for f in seeds(folder, w)] for w in WEIGHTS}
    test = {w: [s["test"]["value"] for s in by[w]] for w in WEIGHTS}
    first = by["learned"][0]
    higher = first["test"]["metric"] == "roc-auc"
    rows = []
    for w in WEIGHTS:
        row = [w, spread([s["valid"]["value"] for s in by[w]]), spread(test[w]), " ".join(f"{v:.3f}" for v in test[w]), "", ""]
        if w != "learned":
            apart = [a - b for a, b in zip(test[w], test["learned"])]
            row[4:] = [f"{statistics.fmean(apart):+.3f} ± {statistics.stdev(apart):.3f}", f"{sum((d < 0) == higher for d in apart)} of {len(apart)}"]
        rows.append(row)
    text = f"{first['test']['metric']}, {'higher' if higher else 'lower'} is better; scaffold split {first['split_hash']}.\n\n"
    text += table(["weights", "valid", "test", "test by seed", "against learned", "learned better"], rows)
    lambdas = {n: [s["lambda"][n] for s in by["learned"]] for n in first["lambda"]}
    text += "\n\nLearned λ at the end, mean ± std over seeds: " + ", ".join(
        f"{n} {spread(v, 2)}" for n, v in sorted(lambdas.items(), key=lambda x: -statistics.fmean(x[1]))) + ".\n\n"
    shutil.copy(os.path.join(folder, "lambda.png"), os.path.join(os.path.dirname(report), f"lambda-{task}.png"))
    return text + f"![λ over iterations, seed {first['seed']}](lambda-{task}.png)"


def pulls(binary, runs):
    """Scores of learned weights by γ."""
    rows = []
    for task in PULL_TASKS:
        for gamma in PULLS:
            folder = os.path.join(runs, f"{task}-gamma-{gamma}")
            run(binary, folder, flags(task) + ["--gamma", str(gamma)])
            found = [summary(f) for f in seeds(folder)]
            rows.append([f"{task} ({found[0]['test']['metric']})", gamma, spread([s["valid"]["value"] for s in found]), spread([s["test"]["value"] for s in found])])
    return table(["task", "γ", "valid", "test"], rows)


def main():
    binary, runs, report = sys.argv[1:4]
    parts = {task: compare(binary, runs, report, task) for task in TASKS}
    fill(report, {**parts, "pull": pulls(binary, runs)})


main()
