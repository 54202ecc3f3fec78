"""LightGBM's figures for the quality tests, written to lightgbm.json beside this file.

    python -m venv <somewhere outside the repository>
    pip install lightgbm==4.7.0 duckdb==2.0.1 pandas==3.1.1 scikit-learn==1.9.1 numpy==2.4.6 pyyaml==6.0.4
    python tests/golden/quality/lightgbm_reference.py

Each project is read as Gauntlet reads it: the same rows.sql over the same Parquet file, the same split in order of
maturing, the same settings, fitted on what a model at asOf could know. Nothing of Gauntlet is run. Strings become
codes in order of frequency, rarest first, missing as a code of its own or filled with the most frequent, as the
input's `impute` says; unknown is -1. Numbers are filled with the median or left missing.

Each figure is given for SEEDS seeds of the row sampling and their mean: one seed moves AUC by about .001.
"""

import json
import pathlib
import re

import duckdb
import lightgbm
import numpy as np
import pandas as pd
import yaml
from sklearn.metrics import log_loss, roc_auc_score

ROOT = pathlib.Path(__file__).resolve().parents[3]
SEEDS = [7, 8, 9]

# Derived columns, as SQL. weekday: Monday is 1.
DERIVED = {
    "month(arrival_date)": "month(arrival_date)",
    "weekday(arrival_date)": "isodow(arrival_date)",
    "dayofyear(arrival_date)": "dayofyear(arrival_date)",
    "spend_ever / purchases_ever": "spend_ever / purchases_ever",
    "if(spend_90d > 0, spend_30d / spend_90d, 0)": "case when spend_90d > 0 then spend_30d / spend_90d else 0 end",
}
MATURES = {
    "arrival_date + 14 days": "cast(arrival_date as timestamp) + interval 14 days",
    "predicted_at + 30 days": "cast(predicted_at as timestamp) + interval 30 days",
    "predicted_at": "cast(predicted_at as timestamp)",
}
PROJECTS = {
    "hotel-cancellations": ("examples/hotel-cancellations", "examples/hotel-cancellations/hotel_bookings.parquet"),
    "online-shoppers": ("examples/online-shoppers", "examples/online-shoppers/online_shoppers.parquet"),
    "weekly-churn": ("examples/weekly-churn", "examples/weekly-churn/online_retail.parquet"),
    "booking-outcomes": ("tests/quality/projects/booking-outcomes", "examples/hotel-cancellations/hotel_bookings.parquet"),
    "room-rates": ("tests/quality/projects/room-rates", "examples/hotel-cancellations/hotel_bookings.parquet"),
}


def read(folder, data):
    spec = yaml.load((ROOT / folder / "model.yaml").read_text(), Loader=yaml.BaseLoader)
    sql = (ROOT / folder / spec["rows"].get("sql", "rows.sql")).read_text()
    connection = duckdb.connect(config={"threads": 1})
    source = next(iter(spec["sources"]))
    connection.execute(f"create view {source} as select * from read_parquet('{ROOT / data}')")
    matures = MATURES[spec.get("label", {}).get("maturesAt", "predicted_at")]
    derived = "".join(f", {DERIVED[e]} as {n}" for n, e in spec.get("derived", {}).items())
    where = spec.get("backtest", {}).get("where", "true")
    frame = connection.execute(
        f"""select *, {matures} as matures_at, ({where}) as in_backtest{derived},
              cast(predicted_at as timestamp) as p_at,
              -- a date is over at the next midnight
              case when typeof(known_at) = 'DATE' then cast(known_at as timestamp) + interval 1 day else cast(known_at as timestamp) end as k_at
            from ({sql}) order by matures_at, predicted_at, entity"""
    ).df()
    return spec, frame


def seconds(text):
    amount, unit = text.split(" ")
    return pd.Timedelta(float(amount), unit={"d": "D", "h": "h", "m": "m", "s": "s", "w": "W"}[unit[0]])


def split(spec, frame):
    options = spec.get("split", {})
    as_of = pd.Timestamp(options["asOf"]) if "asOf" in options else pd.Timestamp("2030-01-01")
    matured = frame[(frame.matures_at < as_of) & (frame.k_at <= as_of)]
    matured = matured.reset_index(drop=True)
    n = len(matured)
    stamps = matured.matures_at.to_numpy()

    def after_ties(at):
        while 0 < at < n and stamps[at] == stamps[at - 1]:
            at += 1
        return at

    first_valid = after_ties(round(n * (1 - 0.1 - 0.2)))
    first_test = after_ties(max(first_valid, round(n * (1 - 0.2))))
    train, valid, test = matured[:first_valid], matured[first_valid:first_test], matured[first_test:]
    if "gap" in options:
        train = train[train.matures_at <= valid.p_at.min() - seconds(options["gap"])]
    backtest = None
    if "backtest" in spec:
        until = pd.Timestamp(spec["backtest"]["until"])
        backtest = frame[(frame.p_at >= as_of) & (frame.p_at < until) & frame.in_backtest]
    return matured, train, valid, test, backtest


def encoder(spec, train):
    """Fitted on training rows only; gives the matrix of any rows."""
    columns = []
    for name, given in spec["inputs"].items():
        if given["type"] in ("date", "timestamp") or given.get("feature") == "false":
            continue
        if given["type"] == "string":
            counts = train[name].dropna().value_counts().to_dict()
            frequent = sorted(counts, key=lambda v: (-counts[v], v))
            fill = frequent[0] if given.get("impute") != "none" else ""
            counts[fill] = counts.get(fill, 0) + int(train[name].isna().sum())
            order = sorted((v for v in counts if counts[v] > 0), key=lambda v: (-counts[v], v))
            codes = {value: i for i, value in enumerate(reversed(order))}
            columns.append((name, lambda s, c=codes, f=fill: s.astype(object).where(s.notna(), f).map(c).fillna(-1).astype(float)))
        elif given["type"] == "boolean":
            columns.append((name, lambda s: s.astype(float)))
        else:
            fill = np.nan if given.get("impute") == "none" else train[name].astype(float).median()
            columns.append((name, lambda s, f=fill: s.astype(float).fillna(f)))
    for name in spec.get("derived", {}):
        columns.append((name, lambda s: s.astype(float)))
    return lambda frame: np.column_stack([convert(frame[name]).to_numpy() for name, convert in columns])


def parameters(spec, seed, classes):
    given = {"trees": 500, "maxDepth": 6, "learningRate": 0.05, "subsample": 0.8, "minChildRows": 20, "l2": 1, "earlyStoppingRounds": 20}
    given.update({k: float(v) for k, v in spec.get("training", {}).items() if re.fullmatch(r"[\d.]+", v)})
    depth = int(given["maxDepth"])
    objective = {
        "binary": {"objective": "binary", "metric": "binary_logloss"},
        "multiclass": {"objective": "multiclass", "metric": "multi_logloss", "num_class": classes},
        "regression": {"objective": "regression", "metric": "rmse"},
    }[spec["task"]]
    return int(given["trees"]), int(given["earlyStoppingRounds"]), {
        **objective,
        "max_depth": depth,
        "num_leaves": 2**depth,
        "learning_rate": given["learningRate"],
        "bagging_fraction": given["subsample"],
        "bagging_freq": 1,
        "min_child_samples": int(given["minChildRows"]),
        "min_sum_hessian_in_leaf": 1.0,
        "lambda_l2": given["l2"],
        "max_bin": 255,
        "seed": seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def figures(task, labels, scores):
    if task == "regression":
        return {"rmse": float(np.sqrt(np.mean((labels - scores) ** 2)))}
    if task == "multiclass":
        return {"logLoss": float(log_loss(labels, scores, labels=range(scores.shape[1])))}
    return {"auc": float(roc_auc_score(labels, scores)), "logLoss": float(log_loss(labels, scores))}


def run(name, folder, data):
    spec, frame = read(folder, data)
    task = spec["task"]
    matured, train, valid, test, backtest = split(spec, frame)
    classes = sorted(matured.label.unique()) if task == "multiclass" else None
    label = (lambda f: f.label.map({c: i for i, c in enumerate(classes)}).to_numpy()) if classes else (lambda f: f.label.astype(float).to_numpy())
    result = {"task": task, "rows": {"all": len(frame), "matured": len(matured), "train": len(train), "valid": len(valid), "test": len(test)}, "seeds": []}
    if backtest is not None:
        result["rows"]["backtest"] = len(backtest)
    for seed in SEEDS:
        trees, patience, settings = parameters(spec, seed, len(classes) if classes else None)
        encode = encoder(spec, train)
        fitted = lightgbm.train(
            settings,
            lightgbm.Dataset(encode(train), label(train)),
            trees,
            valid_sets=[lightgbm.Dataset(encode(valid), label(valid))],
            callbacks=[lightgbm.early_stopping(patience, verbose=False)],
        )
        rounds = fitted.best_iteration or trees
        one = {"seed": seed, "trees": rounds, "test": figures(task, label(test), fitted.predict(encode(test), num_iteration=rounds))}
        if backtest is not None:
            # What serves is fitted again, on all that had matured, with the number of trees that was found.
            encode = encoder(spec, matured)
            served = lightgbm.train(settings, lightgbm.Dataset(encode(matured), label(matured)), rounds)
            one["backtest"] = figures(task, label(backtest), served.predict(encode(backtest)))
        result["seeds"].append(one)
    for part in ("test", "backtest"):
        if part in result["seeds"][0]:
            keys = result["seeds"][0][part]
            result[part] = {k: round(float(np.mean([s[part][k] for s in result["seeds"]])), 6) for k in keys}
    return result


if __name__ == "__main__":
    out = {"lightgbm": lightgbm.__version__}
    for name, (folder, data) in PROJECTS.items():
        out[name] = run(name, folder, data)
        print(name, json.dumps({k: v for k, v in out[name].items() if k != "seeds"}), [s["trees"] for s in out[name]["seeds"]])
    (pathlib.Path(__file__).parent / "lightgbm.json").write_text(json.dumps(out, indent=2) + "\n")
