"""Writes boosting.json: how well LightGBM does on the tables of boosting-table.ts at the tests' settings.

    pip install lightgbm==4.7.0 scikit-learn==1.9.1 numpy==2.4.6 && python boosting.py

The tables are made of integer hashes and exact arithmetic, so both languages make the same ones;
`sumOfLabels` lets the tests make sure. num_leaves=64 lets depth alone limit the trees, as in ours.
"""

import json
import pathlib

import lightgbm as lgb
import numpy as np
from sklearn import metrics as m

TRAIN, VALID, TEST = (0, 8000), (8000, 10000), (10000, 15000)


def uniform(row, column):
    with np.errstate(over="ignore"):
        h = row.astype(np.uint32) * np.uint32(0x9E3779B1)
        h = h + np.uint32((column * 0x85EBCA77 + 0x27D4EB2F) % 2**32)
        h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
        h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
        return (h ^ (h >> np.uint32(16))).astype(np.float64) / 2**32


def table(task, start, stop):
    row = np.arange(start, stop)
    u = lambda column: uniform(row, column)
    x = [u(0), u(1), np.floor(u(2) * 12), u(3) * u(3) * u(3), u(4), u(5), np.floor(u(6) * 300), u(7)]
    missing = [0, 0, 0, 0, 0.2, 0.05, 0, 0]
    absent = [u(20 + c) < missing[c] for c in range(8)]
    features = np.column_stack([np.where(a, np.nan, v) for a, v in zip(absent, x)]).astype(np.float32)
    four = np.where(absent[4], 1.5, x[4])
    z = 4 * (x[0] - 0.5) + 6 * (x[1] - 0.5) * (four - 0.5) + (x[2] % 3) - 1
    z = z + np.where(x[3] > 0.1, 1.5, -0.5)
    z = z + (2 * np.abs(x[5] - 0.5) - np.where(x[6] % 7 < 2, 1, 0))
    noise = u(40) + u(41) + u(42) + u(43) - 2
    if task == "regression":
        return features, 10 + 3 * z + 2 * noise
    if task == "binary":
        return features, (u(44) < 0.5 * (1 + z / (1 + np.abs(z)))).astype(int)
    return features, np.digitize(z + 2 * noise, [-1, 0.5, 2])


SETTINGS = {"trees": 300, "maxDepth": 6, "learningRate": 0.05, "subsample": 0.8, "columnSample": 1,
            "minChildWeight": 1, "minChildRows": 20, "l2": 1, "maxBins": 255, "earlyStoppingRounds": 20, "seed": 7}


def fit(task):
    (x, y), (xv, yv), (xt, yt) = (table(task, *part) for part in (TRAIN, VALID, TEST))
    params = {"objective": {"multiclass": "multiclass"}.get(task, task), "max_depth": 6, "num_leaves": 64,
              "learning_rate": 0.05, "bagging_fraction": 0.8, "bagging_freq": 1, "min_sum_hessian_in_leaf": 1,
              "min_data_in_leaf": 20, "lambda_l2": 1, "max_bin": 255, "verbosity": -1, "deterministic": True,
              "num_threads": 1}
    if task == "multiclass":
        params["num_class"] = 4
    found = []
    for seed in (7, 8, 9):  # the mean, since one draw of rows is luck
        train = lgb.Dataset(x, y)
        model = lgb.train({**params, "seed": seed}, train, 300, valid_sets=[lgb.Dataset(xv, yv, reference=train)],
                          callbacks=[lgb.early_stopping(20, verbose=False)])
        p = model.predict(xt)
        if task == "binary":
            found.append({"auc": m.roc_auc_score(yt, p), "logLoss": m.log_loss(yt, p)})
        elif task == "multiclass":
            found.append({"logLoss": m.log_loss(yt, p), "accuracy": m.accuracy_score(yt, p.argmax(axis=1))})
        else:
            found.append({"rmse": m.root_mean_squared_error(yt, p)})
        found[-1]["rounds"] = model.best_iteration
    return {"sumOfLabels": float(sum(y.tolist())), **{k: float(np.mean([f[k] for f in found])) for k in found[0]}}


pathlib.Path(__file__).with_suffix(".json").write_text(
    json.dumps({"madeWith": {"lightgbm": lgb.__version__}, "parts": {"train": TRAIN, "valid": VALID, "test": TEST},
                "settings": SETTINGS, **{task: fit(task) for task in ("binary", "multiclass", "regression")}}, indent=2) + "\n"
)
