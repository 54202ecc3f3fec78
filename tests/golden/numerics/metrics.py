"""Writes metrics.json: inputs and what scikit-learn says of them.

    pip install scikit-learn==1.9.1 numpy==2.4.6 && python metrics.py

Every number is written in full, so the tests may ask for 1e-9: only the order of additions differs.
Calibration error is not in scikit-learn; `ece` below is its definition in numpy.
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn import metrics as m

rng = np.random.default_rng(20160701)
CLIP = 1e-15  # ours; scikit-learn clips at the float64 epsilon, so we clip first


def ece(y, p, bins=10):
    b = np.minimum((p * bins).astype(int), bins - 1)
    return float(sum(np.mean(b == k) * abs(p[b == k].mean() - y[b == k].mean()) for k in np.unique(b)))


def binary(name, y, p, threshold):
    said = (p >= threshold).astype(int)
    tn, fp, fn, tp = m.confusion_matrix(y, said, labels=[0, 1]).ravel().tolist()
    return {
        "name": name,
        "labels": y.tolist(),
        "probabilities": p.tolist(),
        "threshold": threshold,
        "expected": {
            "auc": float(m.roc_auc_score(y, p)),
            "averagePrecision": float(m.average_precision_score(y, p)),
            "logLoss": float(m.log_loss(y, np.clip(p, CLIP, 1 - CLIP))),
            "brier": float(m.brier_score_loss(y, p)),
            "calibrationError": ece(y, p),
            "accuracy": float(m.accuracy_score(y, said)),
            "f1": float(m.f1_score(y, said)),
            "confusion": {"truePositive": tp, "falsePositive": fp, "trueNegative": tn, "falseNegative": fn},
            "positiveRate": float(np.mean(y)),
        },
    }


def multiclass(name, y, p):
    k = p.shape[1]
    said = p.argmax(axis=1)
    return {
        "name": name,
        "labels": y.tolist(),
        "probabilities": p.T.tolist(),
        "expected": {
            "accuracy": float(m.accuracy_score(y, said)),
            "macroF1": float(m.f1_score(y, said, average="macro")),
            "logLoss": float(m.log_loss(y, np.clip(p, CLIP, 1 - CLIP), labels=list(range(k)))),
            "confusion": m.confusion_matrix(y, said, labels=list(range(k))).tolist(),
        },
    }


def regression(name, y, p):
    return {
        "name": name,
        "labels": y.tolist(),
        "predictions": p.tolist(),
        "expected": {
            "rmse": float(m.root_mean_squared_error(y, p)),
            "mae": float(m.mean_absolute_error(y, p)),
            "r2": float(m.r2_score(y, p)),
        },
    }


def labels_for(p):
    return (rng.random(len(p)) < p).astype(int)


p1 = rng.random(300)
p2 = np.round(rng.random(200), 1)  # many ties
p3 = rng.beta(0.5, 20, 400)  # rare positives
p4 = rng.choice([0.0, 1.0, 0.5, 1e-17, 1 - 1e-16], 100)  # sure, and sometimes wrong
y4 = rng.integers(0, 2, 100)
logits = rng.normal(size=(250, 4))
soft = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
classes = np.array([rng.choice(4, p=row) for row in soft])
never = np.where(classes == 3, 0, classes)  # class 3 is said at times but never true
absent = soft.copy()
absent[:, 3] = 0.0  # and here it is neither
absent /= absent.sum(axis=1, keepdims=True)
y = rng.normal(100, 20, 300)

cases = {
    "madeWith": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
    "binary": [
        binary("spread out", labels_for(p1), p1, 0.5),
        binary("with ties", labels_for(p2), p2, 0.3),
        binary("rare positives", labels_for(p3), p3, 0.1),
        binary("probabilities of 0 and 1", y4, p4, 0.5),
        binary("nobody called positive", labels_for(p1), p1, 1.5),
        binary("two rows", np.array([0, 1]), np.array([0.4, 0.4]), 0.4),
    ],
    "multiclass": [
        multiclass("four classes", classes, soft),
        multiclass("a class that never occurs", never, soft),
        multiclass("a class neither true nor said", never, absent),
    ],
    "regression": [
        regression("close", y, y + rng.normal(0, 5, 300)),
        regression("worse than the mean", y, rng.normal(0, 5, 300)),
        regression("large offset", y + 1e6, y + 1e6 + rng.normal(0, 5, 300)),
    ],
}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
