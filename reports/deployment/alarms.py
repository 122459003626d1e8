"""How a trigger behaves before it is needed: how often it cries in a year in which nothing changed, and how long it takes when something did.

Years are resampled from the out-of-sample record, whole days at a time, so that returns, costs, turnover and ICs of a day stay together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.drift import resampled_days
from engines.monitoring import Book, Metric, Reference
from engines.statistics.rates import Rate, rate
from reports.deployment.triggers import Trigger, evaluate

N_YEARS: Final = 400
N_CHANGED: Final = 100
CHANGED_DAYS: Final = 2 * TRADING_DAYS_PER_YEAR


@dataclass(frozen=True, slots=True)
class Change:
    """Something that goes wrong, and the book on which it has."""

    name: str
    of: Callable[[Book, Reference], Book]


def _edge(share: float) -> Callable[[Book, Reference], Book]:
    return lambda book, reference: replace(book, net=book.net - (1.0 - share) * reference.mean)


def _volatile(book: Book, reference: Reference) -> Book:
    return replace(book, net=reference.mean + 2.0 * (book.net - reference.mean))


def _crash(book: Book, reference: Reference) -> Book:
    return replace(book, net=np.concatenate([[-10.0 * reference.std], book.net[1:]]))


def _costly(book: Book, _: Reference) -> Book:
    return book if book.cost is None else replace(book, net=book.net - 2.0 * book.cost, cost=3.0 * book.cost)


def _busy(book: Book, _: Reference) -> Book:
    return book if book.turnover is None else replace(book, turnover=3.0 * book.turnover)


def _market_bet(book: Book, _: Reference) -> Book:
    return book if book.market is None else replace(book, net=book.net + book.market)


def _blind(book: Book, reference: Reference) -> Book:
    known = reference.book.ic
    return book if book.ic is None or known is None else replace(book, ic=book.ic - 2.0 * float(np.nanmean(known)))


def _levered(book: Book, _: Reference) -> Book:
    if book.gross_exposure is None:
        return book
    return replace(book, gross_exposure=1.5 * book.gross_exposure, net_exposure=0.5 * book.gross_exposure)


GONE: Final = Change("the edge is gone", _edge(0.0))
REVERSED: Final = Change("the edge is reversed", _edge(-1.0))
TWICE_VOLATILE: Final = Change("volatility doubles", _volatile)
LEVERED: Final = Change("exposure is half as large again, on one side", _levered)
CHANGES: Final[dict[Metric, Change]] = {
    "daily_loss": Change("a day loses ten standard deviations", _crash),
    "drawdown": REVERSED,
    "rolling_mean_net": REVERSED,
    "rolling_net_sharpe": REVERSED,
    "rolling_volatility": TWICE_VOLATILE,
    "net_sharpe_p": GONE,
    "lost_edge": GONE,
    "rolling_ic": Change("the signal is turned round", _blind),
    "turnover_ratio": Change("turnover trebles", _busy),
    "cost_ratio": Change("costs treble", _costly),
    "beta_abs": Change("the market is held besides", _market_bet),
    "gross_exposure": LEVERED,
    "net_exposure_abs": LEVERED,
}
"""Metric -> the change that it is there to notice."""


@dataclass(frozen=True, slots=True)
class AlarmRate:
    """How a trigger behaves on resampled years.

    false_alarms: share of years without a change in which it fires. change: what goes wrong. n_detected of n_changed stretches of two years
    in which it does are noticed; median_days until then, None when fewer than half are.
    """

    false_alarms: Rate
    change: str
    n_changed: int
    n_detected: int
    median_days: int | None

    def describe(self) -> str:
        """`fires in 1.5 % of years without cause (95 %: 0.6 .. 3.2), after 156 days in the median when the edge is gone`."""
        quiet = self.false_alarms
        often = f"fires in {100 * quiet.share:.1f} % of years without cause (95 %: {100 * quiet.lower:.1f} .. {100 * quiet.upper:.1f})"
        if self.median_days is None:
            return f"{often}; when {self.change}, in {self.n_detected} of {self.n_changed} stretches of two years"
        return f"{often}; when {self.change}, after {self.median_days} days in the median"


def alarm_rate(trigger: Trigger, reference: Reference, n_years: int = N_YEARS, n_changed: int = N_CHANGED) -> AlarmRate:
    """Simulate years with and without the change that the trigger is there to notice. The reference's seed decides the draws."""
    quiet = [_first_day(trigger, year, reference) for year in resampled_years(reference, n_years)]
    change = CHANGES[trigger.metric]
    changed = _stretches(reference, CHANGED_DAYS, n_changed)
    noticed = [_first_day(trigger, change.of(stretch, reference), reference) for stretch in changed]
    found = sorted(day for day in noticed if day is not None)
    middle = (n_changed - 1) // 2
    return AlarmRate(
        false_alarms=rate(sum(day is not None for day in quiet), n_years),
        change=change.name,
        n_changed=n_changed,
        n_detected=len(found),
        median_days=found[middle] if len(found) > middle else None,
    )


def resampled_years(reference: Reference, n_years: int = N_YEARS) -> list[Book]:
    """Years resampled from the out-of-sample record."""
    return _stretches(reference, TRADING_DAYS_PER_YEAR, n_years)


def _stretches(reference: Reference, n_days: int, n_paths: int) -> list[Book]:
    days = resampled_days(reference.book.n_days, n_days, n_paths, reference.horizon_days, reference.seed)
    return [reference.book.take(path) for path in days]


def _first_day(trigger: Trigger, book: Book, reference: Reference) -> int | None:
    """Days until the trigger fires; None when it does not."""
    reading = evaluate(trigger, book, reference)
    return None if reading is None or reading.first is None else reading.first + 1
