"""Writes golden.json: scores by scikit-learn (1.9.1) and scipy (1.17.1) of 200 predictions with ties, on 4 tasks with missing labels
and on one task of 2, 3 and 5 classes.

    pip install scikit-learn && python make_golden.py
"""

import json
import pathlib
import warnings

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, mean_absolute_error, mean_squared_error, roc_auc_score

warnings.simplefilter("ignore")  # of scores that are 0 by definition
rng = np.random.default_rng(7)
rows, tasks = 200, 4
predicted = np.round(rng.normal(size=(rows, tasks)), 1)  # one decimal, so that scores tie
labels = (rng.random((rows, tasks)) < [0.5, 0.1, 0.9, 0.3]).astype(float)
missing = rng.random((rows, tasks)) < 0.2

golden = {"predicted": predicted.tolist(), "labels": np.where(missing, -1, labels).astype(int).tolist()}
for name, score in {
    "roc-auc": roc_auc_score,
    "rmse": lambda y, p: mean_squared_error(y, p) ** 0.5,
    "mae": mean_absolute_error,
    "accuracy": lambda y, p: accuracy_score(y, p > 0),
    "f1": lambda y, p: f1_score(y, p > 0),
    "matthews": lambda y, p: matthews_corrcoef(y, p > 0),
    "pearson": lambda y, p: pearsonr(p, y)[0],
    "spearman": lambda y, p: spearmanr(p, y)[0],
}.items():
    golden[name] = [float(score(labels[~missing[:, j], j], predicted[~missing[:, j], j])) for j in range(tasks)]

# Similarity: values from 0 to 5 in quarters, predictions that follow them.
y = np.round(rng.uniform(0, 5, rows) * 4) / 4
p = np.round(y + rng.normal(size=rows), 1)
golden["similarity"] = {"predicted": p.tolist(), "labels": y.tolist(), "pearson": float(pearsonr(p, y)[0]), "spearman": float(spearmanr(p, y)[0])}


def classes(logits, labels):
    k, guess = logits.shape[1], logits.argmax(1)
    return {
        "predicted": logits.tolist(),
        "labels": labels.tolist(),
        "accuracy": float(accuracy_score(labels, guess)),
        "f1": float(f1_score(labels, guess, average="binary" if k == 2 else "macro")),
        "matthews": float(matthews_corrcoef(labels, guess)),
    }


golden["classes"] = []
for k in 2, 3, 5:
    labels = np.minimum(rng.poisson(1, rows), k - 1)
    logits = np.round(rng.normal(size=(rows, k)) + np.eye(k)[labels], 1)
    golden["classes"].append(classes(logits, labels))
zeros, ones, mixed = np.zeros(4, int), np.ones(4, int), np.array([0, 1, 1, 0])
for labels, guess, k in (mixed, zeros, 2), (mixed, ones, 2), (zeros, zeros, 2), (ones, zeros, 2), (zeros, mixed, 2), (mixed, ones * 2, 4), (zeros, ones, 4):
    golden["classes"].append(classes(np.eye(k)[guess], labels))
pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
