"""Writes sequential.json: bands, e-values, sample ratios and bounds, each computed in another way than ours.

    pip install scipy==1.17.1 numpy==2.4.6 && python sequential.py

* radius, two-sided: where the mixture  integral exp(lambda S - lambda^2 n / 2) dN(lambda; 0, r^2)  reaches 1 / alpha, by
  quadrature and root finding (Robbins; the closed form that we use is its solution). One-sided: the mixture over the
  half-normal; the closed form of arXiv 2103.06476 lies a little above it, so both are written.
* band: from rows, by the definition, without sums by cell.
* e-value: the likelihood ratio of each unit's Bernoulli, multiplied up by scipy.stats.
* sample ratio: the ratio of scipy's Dirichlet-multinomial to its multinomial.
* Clopper-Pearson: scipy.stats.binomtest.
"""

import json
import math
import pathlib

import numpy as np
import scipy
from scipy import integrate, optimize, stats

rng = np.random.default_rng(2103)
LEAST_BLOCKS = 10


def parameter(n_star, alpha):
    t = -2 * np.log(alpha)
    return float(np.sqrt((t + np.log1p(t)) / max(16, n_star)))


def boundary(n, r, alpha, half):
    def log_mixture(s):
        # The integrand is a normal density around s / precision, scaled by exp(top).
        precision = n + 1 / r**2
        peak, width = s / precision, 1 / math.sqrt(precision)
        top = s * s / (2 * precision)

        def integrand(x):
            return math.exp(x * s - x * x * precision / 2 - top) / (r * math.sqrt(2 * math.pi)) * (2 if half else 1)

        low = max(0, peak - 12 * width) if half else peak - 12 * width
        return top + math.log(integrate.quad(integrand, low, peak + 12 * width, epsabs=0, epsrel=1e-13, points=[peak])[0])

    return optimize.brentq(lambda s: log_mixture(s) + math.log(alpha), 1e-9, 50 * math.sqrt(n) + 50, xtol=1e-12, rtol=1e-14)


def radius(n, alpha, n_star):
    r = parameter(n_star, alpha)
    grown = n * r * r + 1
    return {
        "n": n,
        "alpha": alpha,
        "nStar": n_star,
        "r": r,
        "twoSided": boundary(n, r, alpha, False) / n,
        "oneSidedExact": boundary(n, r, alpha, True) / n,
        "oneSided": math.sqrt(2 * grown / (n * r) ** 2 * math.log(1 + math.sqrt(grown) / (2 * alpha))),
    }


def band(shares, weeks, rows_of, alpha, r):
    rows = [
        (h, b, float(round(d, 6)))
        for b in range(weeks)
        for h, upto in enumerate(rows_of)
        if b < upto[0]
        for d in rng.normal(0.02, 0.3, int(rng.integers(1, upto[1]))) + rng.normal(0, 0.1)
    ]
    shares = np.array(shares)
    seen = [h for h in range(len(shares)) if len({b for g, b, _ in rows if g == h}) >= LEAST_BLOCKS]
    w = {h: shares[h] / shares[seen].sum() for h in seen}
    values = {h: np.array([d for g, _, d in rows if g == h]) for h in seen}
    mean = sum(w[h] * values[h].mean() for h in seen)
    used = sorted({b for h, b, _ in rows if h in seen})
    n = len(used)
    psi = [sum(w[h] / len(values[h]) * (d - values[h].mean()) for h, c, d in rows if c == b and h in seen) for b in used]
    s = math.sqrt(n**2 * sum(p * p for p in psi) / (n - 1))
    grown = n * r * r + 1
    two = s * math.sqrt(2 * grown / (n * r) ** 2 * math.log(math.sqrt(grown) / alpha))
    iid = sum(w[h] ** 2 * values[h].var(ddof=1) / len(values[h]) for h in seen)
    return {
        "rows": rows,
        "shares": shares.tolist(),
        "alpha": alpha,
        "r": r,
        "expected": {
            "mean": mean,
            "lower": mean - two,
            "upper": mean + two,
            "blocks": n,
            "s": s,
            "unseenShare": 1 - shares[seen].sum() / shares.sum(),
            "designEffect": s * s / n / iid,
        },
    }


def e_value(blocks):
    log_e, a, b, steps = 0.0, [], [], []
    for na, ya, nb, yb in blocks:
        ta = (0.5 + sum(a)) / (1 + len(a))
        tb = max(ta, (0.5 + sum(b)) / (1 + len(b)))
        t0 = (na * ta + nb * tb) / (na + nb)
        outcomes_a, outcomes_b = [1] * ya + [0] * (na - ya), [1] * yb + [0] * (nb - yb)
        for y in outcomes_a:
            log_e += stats.bernoulli.logpmf(y, ta) - stats.bernoulli.logpmf(y, t0)
        for y in outcomes_b:
            log_e += stats.bernoulli.logpmf(y, tb) - stats.bernoulli.logpmf(y, t0)
        a, b = a + outcomes_a, b + outcomes_b
        steps.append(float(log_e))
    return {"blocks": blocks, "logE": steps}


def ratio(p, counts, k=100):
    p, counts = np.array(p), np.array(counts)
    n = counts.sum()
    odds = stats.dirichlet_multinomial.logpmf(counts, k * p, n) - stats.multinomial.logpmf(counts, n, p)
    return {"planned": p.tolist(), "counts": counts.tolist(), "k": k, "logOdds": float(odds)}


def bounds(hits, trials, alpha):
    upper = stats.binomtest(hits, trials, alternative="less").proportion_ci(1 - alpha, "exact").high
    lower = stats.binomtest(hits, trials, alternative="greater").proportion_ci(1 - alpha, "exact").low
    return {"hits": hits, "trials": trials, "alpha": alpha, "lower": float(lower), "upper": float(upper)}


random_blocks = [[int(na), int(rng.binomial(na, 0.03)), int(nb), int(rng.binomial(nb, 0.2))] for na, nb in zip(rng.integers(1, 40, 60), rng.integers(0, 4, 60))]
pathlib.Path(__file__).with_suffix(".json").write_text(
    json.dumps(
        {
            "madeWith": {"scipy": scipy.__version__, "numpy": np.__version__},
            "radius": [radius(n, a, m) for n in (1, 8, 26, 104) for a, m in ((0.05, 10), (0.05, 26), (0.01, 52), (0.2, 16))],
            "band": [
                band([1], 12, [(12, 40)], 0.05, 0.5),
                band([0.25, 0.25, 0.25, 0.25], 16, [(16, 30), (14, 30), (10, 20), (9, 10)], 0.05, 0.55),
                band([400, 100, 0, 37], 30, [(30, 8), (11, 60), (0, 0), (10, 3)], 0.01, 0.4),
            ],
            "eValue": [e_value([[19, 0, 1, 0], [19, 0, 1, 1], [19, 1, 1, 1], [19, 0, 1, 0]]), e_value(random_blocks)],
            "sampleRatio": [ratio([0.5, 0.5], [60, 40]), ratio([0.95, 0.05], [9421, 579]), ratio([0.2, 0.3, 0.5], [2, 0, 1]), ratio([0.99, 0.01], [987654, 12345], 7.5)],
            "clopperPearson": [bounds(*b) for b in ((0, 10, 0.025), (10, 10, 0.025), (6, 100, 0.025), (6, 100, 0.05), (1, 1, 0.05), (57, 1000, 0.05), (1200, 60000, 0.005))],
        }
    )
    + "\n"
)
