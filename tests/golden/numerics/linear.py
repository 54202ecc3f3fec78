"""Writes linear.json: a table with dense, one-hot and badly scaled columns, and scikit-learn's coefficients.

    pip install scikit-learn==1.9.1 numpy==2.4.6 && python linear.py

LogisticRegression minimises C * sum(loss) + |w|^2 / 2, so its C is 1 / l2; Ridge minimises
|y - Xw|^2 + alpha |w|^2, so its alpha is l2. Both leave the intercept free. Features are float32, as in the tests.
newton-cg and tol=1e-12 put scikit-learn's own error below 1e-8, so the tests may ask for 1e-6.
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression, Ridge

rng = np.random.default_rng(7)
n = 400
kind = rng.choice(5, n, p=[0.5, 0.3, 0.1, 0.07, 0.03])
dense = rng.normal(size=(n, 3)) * [1, 10, 0.1] + [0, 50, 1]
x = np.column_stack([dense, np.eye(5)[kind], rng.random(n) < 0.05]).astype(np.float32).round(4).astype(np.float32)
signal = x[:, 0] - 0.08 * (x[:, 1] - 50) + 3 * (x[:, 2] - 1) + 0.8 * (kind == 1) - 1.2 * (kind == 4)
binary = (rng.random(n) < 1 / (1 + np.exp(-signal))).astype(int)
three = np.digitize(signal + rng.normal(0, 1, n), [-0.8, 0.9])
value = 5 + 2 * signal + rng.normal(0, 0.5, n)
wide = x.astype(np.float64)


def logistic(y, l2):
    fit = LogisticRegression(C=1 / l2, solver="newton-cg", tol=1e-12, max_iter=10000).fit(wide, y)
    intercept = fit.intercept_ - (fit.intercept_.mean() if len(fit.intercept_) > 1 else 0)
    return {"l2": l2, "intercepts": intercept.tolist(), "coefficients": fit.coef_.ravel().tolist()}


def ridge(y, l2):
    fit = Ridge(alpha=l2, solver="cholesky").fit(wide, y)
    return {"l2": l2, "intercepts": [float(fit.intercept_)], "coefficients": fit.coef_.tolist()}


pathlib.Path(__file__).with_suffix(".json").write_text(
    json.dumps(
        {
            "madeWith": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
            "rows": n,
            "columns": x.shape[1],
            "values": [float(str(v)) for v in x.T.ravel()],
            "labels": {"binary": binary.tolist(), "multiclass": three.tolist(), "regression": value.tolist()},
            "fits": {
                "binary": [logistic(binary, l2) for l2 in (0.1, 1.0, 20.0)],
                "multiclass": [logistic(three, l2) for l2 in (0.1, 1.0, 20.0)],
                "regression": [ridge(value, l2) for l2 in (0.1, 1.0, 20.0)],
            },
        }
    )
    + "\n"
)
