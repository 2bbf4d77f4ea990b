"""Writes golden.json: scores by scikit-learn (1.9.1) of 200 predictions on 4 tasks with ties and missing labels.

    pip install scikit-learn && python make_golden.py
"""

import json
import pathlib

import numpy as np
from sklearn.metrics import mean_absolute_error, mean_squared_error, roc_auc_score

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
}.items():
    golden[name] = [float(score(labels[~missing[:, j], j], predicted[~missing[:, j], j])) for j in range(tasks)]
pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
