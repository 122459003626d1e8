"""Rank IC including forward returns, against a bare sort of the two matrices and against the field's libraries.

All are asked the same question: the Spearman correlation, each day, of a momentum score with the return from the next open to the open 21 days later.
The libraries fill gaps and delistings each in a way of its own, so they are compared on a market that has none, to 1e-12; our own timing beside np.sort
is on the market as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.frame import Bar, Row, Run, alternate, must_agree, peer_module, timed_row, with_peer
from benchmarks.market import FloatArray, draw_panel
from engines.forward import forward_returns
from engines.ic import rank_ic
from engines.panel import Panel

WORK: Final = "rank IC incl. forward returns"
DELAY_DAYS: Final = 1
HORIZON_DAYS: Final = 21
MIN_NAMES: Final = 50
TOLERANCE: Final = 1e-12
SORT_BARS: Final = {"large": Bar("<=", 2.8, stretch=1.5)}
ALPHALENS_BARS: Final = {"small": Bar(">=", 80.0), "large": Bar(">=", 40.0)}


@dataclass(frozen=True, slots=True)
class Task:
    """What each side is given: prices and scores."""

    panel: Panel
    signal: FloatArray

    @property
    def mask(self) -> Any:
        """Names with a close."""
        return np.isfinite(self.panel.close)

    def labels(self) -> FloatArray:
        """What each name earned, as we compute it."""
        return forward_returns(self.panel, DELAY_DAYS, HORIZON_DAYS, "open")

    def ours(self) -> FloatArray:
        """Labels and IC."""
        return rank_ic(self.signal, self.labels(), self.mask, MIN_NAMES)

    def entry_prices(self) -> FloatArray:
        """The price at which a score of each date is traded, as a library is given it: the next date's open."""
        return np.vstack([self.panel.open[DELAY_DAYS:], np.full((DELAY_DAYS, self.panel.n_symbols), np.nan)])


def measure(run: Run) -> Iterator[Row]:
    """One row a peer."""
    panel = draw_panel(run.size)
    task = Task(panel, momentum(panel))
    labels = task.labels()
    timing = alternate(task.ours, lambda: (np.sort(task.signal, axis=1), np.sort(labels, axis=1)), rounds=run.rounds)
    yield timed_row(WORK, run, "np.sort of both matrices", timing, relation="<=", bar=SORT_BARS.get(run.size.name))
    whole = draw_panel(run.size, whole=True)
    task = Task(whole, momentum(whole))
    for peer, make in PEERS.items():
        bar = ALPHALENS_BARS.get(run.size.name) if peer == "alphalens-reloaded, clean factor + IC" else None
        yield from with_peer(
            run, WORK, peer, bar, lambda peer=peer, make=make, bar=bar: _row(run, task, peer, make, bar)
        )


def _row(
    run: Run, task: Task, peer: str, make: Callable[[Task], Callable[[], FloatArray]], bar: Bar | None
) -> list[Row]:
    theirs = make(task)
    differs = must_agree(f"daily IC, {peer}", task.ours(), theirs(), TOLERANCE)
    timing = alternate(task.ours, theirs, rounds=run.rounds)
    return [timed_row(WORK, run, peer, timing, bar=bar, largest_difference=differs)]


def momentum(panel: Panel, lookback_days: int = 252, skip_days: int = 21) -> FloatArray:
    """Past return of each name, (T, N): the signal that every benchmark uses."""
    scores = np.full(panel.close.shape, np.nan)
    past = panel.close[: panel.n_dates - lookback_days]
    scores[lookback_days:] = panel.close[lookback_days - skip_days : panel.n_dates - skip_days] / past - 1.0
    return scores


# ----------------------------------------------------------------------------------------------------------------- peers


def _numpy(task: Task) -> Callable[[], FloatArray]:
    """Two argsorts a matrix, without ties."""

    def ranks(values: FloatArray) -> FloatArray:
        order = np.argsort(np.argsort(values, axis=1), axis=1).astype(float)
        order[np.isnan(values)] = np.nan
        return order

    def ic() -> FloatArray:
        prices = task.entry_prices()
        labels = np.full(prices.shape, np.nan)
        labels[:-HORIZON_DAYS] = prices[HORIZON_DAYS:] / prices[:-HORIZON_DAYS] - 1.0
        absent = np.isnan(task.signal) | np.isnan(labels)
        one, other = ranks(np.where(absent, np.nan, task.signal)), ranks(np.where(absent, np.nan, labels))
        count = (~absent).sum(axis=1)
        middle = (0.5 * (count - 1))[:, None]
        one, other = np.where(absent, 0.0, one - middle), np.where(absent, 0.0, other - middle)
        products = (one * other).sum(axis=1), (one**2).sum(axis=1), (other**2).sum(axis=1)
        enough = count >= MIN_NAMES
        return np.where(enough, products[0] / np.sqrt(np.where(enough, products[1] * products[2], 1.0)), np.nan)

    return ic


def _pandas(task: Task) -> Callable[[], FloatArray]:
    """Wide frames: rank each row, correlate the rows."""
    frame = peer_module("pandas").DataFrame
    signal, prices = frame(task.signal), frame(task.entry_prices())

    def ic() -> FloatArray:
        labels = prices.shift(-HORIZON_DAYS) / prices - 1.0
        both = signal.notna() & labels.notna()
        one, other = signal.where(both).rank(axis=1), labels.where(both).rank(axis=1)
        found: FloatArray = one.corrwith(other, axis=1).where(both.sum(axis=1) >= MIN_NAMES).to_numpy()
        return found

    return ic


def _polars(task: Task) -> Callable[[], FloatArray]:
    """A long frame sorted by name and date: shift within names, rank and correlate within dates."""
    polars = peer_module("polars")
    n_dates, n_symbols = task.signal.shape
    long = polars.DataFrame(
        {
            "date": np.tile(np.arange(n_dates, dtype=np.int32), n_symbols),
            "symbol": np.repeat(np.arange(n_symbols, dtype=np.int32), n_dates),
            "signal": task.signal.T.ravel(),
            "price": task.entry_prices().T.ravel(),
        }
    ).fill_nan(None)
    label = polars.col("price").shift(-HORIZON_DAYS).over("symbol") / polars.col("price") - 1.0
    ranked = [polars.col(name).rank("average").over("date").alias(name) for name in ("signal", "label")]

    def ic() -> FloatArray:
        pairs = long.lazy().select("date", "signal", label.alias("label")).drop_nulls()
        daily = (
            pairs.with_columns(ranked)
            .group_by("date")
            .agg(polars.corr("signal", "label").alias("ic"), polars.len().alias("n"))
        )
        found = daily.filter(polars.col("n") >= MIN_NAMES).collect()
        result = np.full(n_dates, np.nan)
        result[found["date"].to_numpy()] = found["ic"].to_numpy()
        return result

    return ic


def _qlib(task: Task) -> Callable[[], FloatArray]:
    """qlib's calc_ic on stacked series, labels by pandas."""
    pandas = peer_module("pandas")
    calc_ic = peer_module("qlib.contrib.eva.alpha").calc_ic
    signal = pandas.DataFrame(task.signal).rename_axis(index="datetime", columns="instrument")
    prices = pandas.DataFrame(task.entry_prices()).rename_axis(index="datetime", columns="instrument")
    scores = signal.stack()

    def ic() -> FloatArray:
        labels = (prices.shift(-HORIZON_DAYS) / prices - 1.0).stack()
        _, found = calc_ic(scores, labels)
        return np.asarray(found.reindex(range(len(signal))).to_numpy(dtype=float))

    return ic


def _alphalens(task: Task) -> Callable[[], FloatArray]:
    """What a user of alphalens types; outliers are kept, and no day may be dropped for what it loses."""
    pandas = peer_module("pandas")
    alphalens = peer_module("alphalens")
    days = pandas.DatetimeIndex(task.panel.dates)
    names = task.panel.symbols.tolist()
    known = slice(None, -DELAY_DAYS)  # alphalens would carry the last price into a row that has none
    prices = pandas.DataFrame(task.entry_prices()[known], index=days[known], columns=names)
    factor = pandas.DataFrame(task.signal, index=days, columns=names).stack().rename_axis(["date", "asset"])

    def ic() -> FloatArray:
        clean = alphalens.utils.get_clean_factor_and_forward_returns(
            factor, prices, periods=(HORIZON_DAYS,), filter_zscore=None, max_loss=1.0
        )
        found = alphalens.performance.factor_information_coefficient(clean)
        return np.asarray(found.iloc[:, 0].reindex(days).to_numpy(dtype=float))

    return ic


PEERS: Final[dict[str, Callable[[Task], Callable[[], FloatArray]]]] = {
    "numpy, two argsorts": _numpy,
    "polars, long frame": _polars,
    "pandas, wide ranks": _pandas,
    "qlib calc_ic": _qlib,
    "alphalens-reloaded, clean factor + IC": _alphalens,
}
"""Name of the peer -> what prepares its run; preparing is not timed."""
