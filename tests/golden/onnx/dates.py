"""Writes dates.json: date parts by Python's datetime, for tests/onnx/dates.test.ts. Run: python3 dates.py"""
import datetime as dt
import json
import pathlib
import random

random.seed(7)
edges = ["1899-12-31", "1900-01-01", "1900-02-28", "1900-03-01", "1969-12-31", "1970-01-01", "1999-12-31", "2000-02-29",
         "2000-03-01", "2000-12-31", "2016-02-29", "2016-12-31", "2100-02-28", "2100-03-01", "2199-12-31", "2200-12-31"]
first, last = dt.date(1900, 1, 1).toordinal(), dt.date(2200, 12, 31).toordinal()
dates = [dt.date.fromisoformat(e) for e in edges]
dates += [dt.date.fromordinal(random.randint(first, last)) for _ in range(200)]
rows = [{"date": d.isoformat(), "days": d.toordinal() - dt.date(1970, 1, 1).toordinal(), "year": d.year, "month": d.month,
         "day": d.day, "weekday": d.isoweekday(), "dayofyear": d.timetuple().tm_yday} for d in dates]
(pathlib.Path(__file__).parent / "dates.json").write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
