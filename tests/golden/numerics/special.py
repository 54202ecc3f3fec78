"""Writes special.json: special functions as SciPy has them.

    pip install scipy==1.17.1 && python special.py

SciPy's incomplete beta and its inverse are Boost's, its gammaln Cephes', its normal quantile Cephes' ndtri: all good to
some 1e-14 of the value, so the tests may ask for 1e-12 of max(1, |value|), and of the value itself where it is small.
"""

import json
import pathlib

import numpy as np
import scipy
from scipy import special

gammas = [1e-8, 0.001, 0.1, 0.18, 0.5, 0.999999, 1.0, 1.5, 1.9999, 2.0, 3.7, 10.0, 14.999, 15.0, 15.001, 16.5, 95.0, 171.5, 1e3, 12345.678, 1e5 + 5, 1e6, 1e9]
betas = [
    (x, a, b)
    for a, b in [(0.18, 0.18), (0.5, 0.5), (1, 1), (1, 20), (2, 3), (5, 1), (7.5, 0.3), (30, 70), (101, 4900), (1000, 1000), (20001, 980000)]
    for x in [1e-9, 0.001, 0.02, 0.0205, 0.3, 0.5, 0.77, 0.999]
]
inverses = [
    (p, a, b)
    for a, b in [(0.5, 0.5), (1, 1), (1, 100), (2, 99), (6, 95), (100, 1), (51, 950), (1200, 58801)]
    for p in [1e-6, 0.005, 0.025, 0.05, 0.5, 0.95, 0.975]
]
quantiles = [1e-300, 1e-16, 1e-10, 1e-5, 0.001, 0.025, 0.05, 0.074, 0.076, 0.2, 0.5, 0.7, 0.95, 0.975, 0.999, 1 - 1e-10]

pathlib.Path(__file__).with_suffix(".json").write_text(
    json.dumps(
        {
            "madeWith": {"scipy": scipy.__version__, "numpy": np.__version__},
            "lnGamma": [[x, float(special.gammaln(x))] for x in gammas],
            "incompleteBeta": [[x, a, b, float(special.betainc(a, b, x))] for x, a, b in betas],
            "inverseIncompleteBeta": [[p, a, b, float(special.betaincinv(a, b, p))] for p, a, b in inverses],
            "normalQuantile": [[p, float(special.ndtri(p))] for p in quantiles],
        }
    )
    + "\n"
)
