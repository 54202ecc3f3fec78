"""Writes psi.json: PSI as Evidently has it.

    pip install evidently==0.7.23 pandas==2.3.3 numpy==2.4.6 && python psi.py

Evidently's caller drops missing values before the test, and so do we here. Only the order of additions differs.
"""

import json
import math
import pathlib

import evidently
import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests.psi import _psi
from evidently.legacy.core import ColumnType

rng = np.random.default_rng(7)


def of(name, kind, reference, current):
    sides = [pd.Series([v for v in side if v is not None and not (isinstance(v, float) and math.isnan(v))]) for side in (reference, current)]
    column = ColumnType.Numerical if kind == "numbers" else ColumnType.Categorical
    return {
        "name": name,
        "kind": kind,
        "reference": [None if v is None or v != v else v for v in reference],
        "current": [None if v is None or v != v else v for v in current],
        "psi": float(_psi(*sides, column, 0.1)[0]),
    }


def counts(name, reference, current):
    rows = [np.repeat([f"v{i}" for i in range(len(side))], side).tolist() for side in (reference, current)]
    return {**of(name, "categories", *rows), "kind": "counts", "reference": reference, "current": current}


def normal(n, mean=0.0, sd=1.0):
    return np.round(rng.normal(mean, sd, n), 4).tolist()


pathlib.Path(__file__).with_suffix(".json").write_text(
    json.dumps(
        {
            "madeWith": {"evidently": evidently.__version__, "numpy": np.__version__},
            "cases": [
                of("numbers that moved", "numbers", normal(300), normal(200, 0.4, 1.3)),
                of("numbers that did not", "numbers", normal(256), normal(256)),
                of("numbers with missing ones", "numbers", normal(100) + [math.nan] * 40, [math.nan] + normal(50, 1)),
                of("numbers far outside the reference", "numbers", normal(150), normal(30, 40)),
                of("whole numbers on the edges", "numbers", [float(v) for v in rng.integers(0, 64, 500)], [float(v) for v in rng.integers(10, 65, 524)]),
                of("20 distinct numbers", "numbers", [float(v) for v in range(20)] * 3, [float(v) for v in rng.integers(0, 30, 90)]),
                of("21 distinct numbers", "numbers", [float(v) for v in range(21)] * 3, [float(v) for v in rng.integers(0, 30, 90)]),
                of("one distinct number", "numbers", [3.0] * 40, [3.0] * 10 + [4.0] * 30),
                of("categories", "categories", ["a"] * 50 + ["b"] * 30 + ["c"] * 5 + [None] * 9, ["a"] * 20 + ["b"] * 30 + ["d"] * 5 + [None]),
                counts("rare levels on both sides", [19999, 1, 0, 300], [15000, 0, 1, 2]),
                counts("a share of exactly 0.0001", [9999, 1, 0], [5000, 4000, 1000]),
            ],
        }
    )
    + "\n"
)
