"""The out-of-sample series of a pack: written so that reading them back gives the same bits, and read back by whoever re-derives a verdict."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.ic import non_overlapping
from engines.walk_forward import OutOfSample, Window
from reports.record.errors import RecordError

DAILY: Final = ("gross", "spread_cost", "impact_cost", "borrow_cost", "turnover", "market")
RETURNS_HEAD: Final = ("date", "row", "window", "shard", *DAILY, "ic")
WINDOWS_HEAD: Final = (
    "window",
    "shard",
    "variant",
    "train_first",
    "train_last",
    "test_first",
    "test_last",
    "train_start",
    "train_stop",
    "test_start",
    "test_stop",
)


def csv_bytes(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """A csv with LF endings; floats by repr, so that reading them back gives the same bits; NaN is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_spell(value) for value in row] for row in rows])
    return text.getvalue().encode()


def _spell(value: object) -> object:
    if isinstance(value, float):
        return "" if np.isnan(value) else repr(float(value))
    return value


def returns_csv(series: OutOfSample) -> bytes:
    """returns.csv: one line a test day with everything that a net return at any multiplier and an IC are made of."""
    daily = [getattr(series, name).tolist() for name in DAILY]
    net_ics = [f"net_ic_x{multiplier:g}" for multiplier in series.multipliers]
    shards = [series.windows[number].shard_id for number in series.window_of_day]
    columns = [
        series.dates.astype(str).tolist(),
        series.rows.tolist(),
        series.window_of_day.tolist(),
        shards,
        *daily,
        series.daily_ic.tolist(),
    ]
    columns += [row.tolist() for row in series.daily_net_ics]
    return csv_bytes((*RETURNS_HEAD, *net_ics), list(zip(*columns, strict=True)))


def windows_csv(series: OutOfSample, calendar: NDArray[np.datetime64]) -> bytes:
    """windows.csv: literal dates of each window, first and last inclusive, its variant, and the panel rows (half-open) they stand for."""
    rows = []
    for number, (window, variant) in enumerate(zip(series.windows, series.chosen, strict=True)):
        days = [
            str(calendar[row]) for row in (window.train[0], window.train[1] - 1, window.test[0], window.test[1] - 1)
        ]
        rows.append((number, window.shard_id, variant, *days, *window.train, *window.test))
    return csv_bytes(WINDOWS_HEAD, rows)


def read_out_of_sample(returns: Path, windows: Path, config: Mapping[str, Any]) -> OutOfSample:
    """The series of a pack, from its two files and the frozen configuration. RecordError when they are not what this module writes."""
    try:
        return _rebuild(_columns(returns), _columns(windows), config)
    except (OSError, UnicodeDecodeError, KeyError, ValueError, IndexError) as error:
        raise RecordError(
            f"the stored returns cannot be read: {error}",
            where=str(returns.parent),
            remedy="restore the pack from a backup; `stagegate verify` names the file",
        ) from error


def _columns(path: Path) -> dict[str, list[str]]:
    header, *rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    return {name: [row[position] for row in rows] for position, name in enumerate(header)}


def _floats(texts: Sequence[str]) -> NDArray[np.float64]:
    return np.array([float(text) if text else np.nan for text in texts])


def _rebuild(
    daily: Mapping[str, list[str]], windows: Mapping[str, list[str]], config: Mapping[str, Any]
) -> OutOfSample:
    spans = [tuple(map(int, windows[name])) for name in ("train_start", "train_stop", "test_start", "test_stop")]
    shards = [int(name.removeprefix("wf-")) for name in windows["shard"]]
    multipliers = tuple(float(name.removeprefix("net_ic_x")) for name in daily if name.startswith("net_ic_x"))
    return OutOfSample(
        windows=tuple(
            Window(number, shard, (train_start, train_stop), (test_start, test_stop))
            for number, (shard, train_start, train_stop, test_start, test_stop) in enumerate(
                zip(shards, *spans, strict=True)
            )
        ),
        chosen=tuple(windows["variant"]),
        rows=np.array(daily["row"], dtype=np.int64),
        dates=np.array(daily["date"], dtype="datetime64[D]"),
        window_of_day=np.array(daily["window"], dtype=np.int64),
        daily_ic=_floats(daily["ic"]),
        daily_net_ics=np.array([_floats(daily[f"net_ic_x{multiplier:g}"]) for multiplier in multipliers]),
        multipliers=multipliers,
        horizon_days=int(config["portfolio"]["horizon_days"]),
        long_only=float(config["portfolio"]["short_fraction"]) == 0.0,
        universe_note="",
        **{name: _floats(daily[name]) for name in DAILY},
    )


def daily_ic_csv(daily_ic: NDArray[np.float64], calendar: NDArray[np.datetime64]) -> bytes:
    """baseline_ic.csv: the baseline rank IC of each date of the sealed panel; empty where there is none."""
    return csv_bytes(("date", "ic"), list(zip(calendar.astype(str).tolist(), daily_ic.tolist(), strict=True)))


def read_daily_ic(path: Path, horizon_days: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(all ICs that exist, every h-th of them) of a baseline_ic.csv. RecordError when it is not what this module writes."""
    try:
        daily = _floats(_columns(path)["ic"])
    except (OSError, UnicodeDecodeError, KeyError, ValueError, IndexError) as error:
        raise RecordError(
            f"the stored ICs cannot be read: {error}", where=str(path), remedy="restore the pack from a backup"
        ) from error
    return daily[np.isfinite(daily)], non_overlapping(daily, horizon_days)
