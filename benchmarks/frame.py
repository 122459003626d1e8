"""What every benchmark measures with: sizes, alternating timings, and the row that the json output is made of.

A benchmark is a module with `measure(run: Run) -> Iterable[Row]`, listed in benchmarks/__main__.py. It checks first that both sides give the same
numbers, then times them in turn, in one process on one thread unless its rows say otherwise.
"""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

import numpy as np

from engines.errors import StageGateError

SMALL_BUDGET_S: Final = 20.0
ROUNDS: Final = 9
FEWEST_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Size:
    """How large a market is measured on."""

    name: Literal["small", "large"]
    n_symbols: int
    n_dates: int


SIZES: Final = {"small": Size("small", 500, 1260), "large": Size("large", 3000, 2520)}


@dataclass(frozen=True, slots=True)
class Run:
    """What a benchmark is asked: the size, a folder of its own for files, and whether a peer may be absent."""

    size: Size
    folder: Path
    allow_missing: bool = False
    rounds: int = ROUNDS


Relation = Literal[">=", "<="]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a ratio must reach. ">=": how many times the peer's time is ours; "<=": how many times our time is the peer's."""

    relation: Relation
    ratio: float
    stretch: float | None = None

    def met_by(self, ratio: float) -> bool:
        """Whether a measured ratio reaches the bar."""
        return ratio >= self.ratio if self.relation == ">=" else ratio <= self.ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the output.

    ours_s, peer_s   median seconds; None where the row is about memory or growth, whose figures stand in `more`
    ratio            peer / ours where `relation` is ">=", ours / peer where it is "<="
    spread           interquartile range of the rounds' ratios / their median
    bar, met         None where there is no bar at this size
    more             further figures, each with its unit in its name
    """

    work: str
    size: str
    threads: int
    peer: str
    ours_s: float | None = None
    peer_s: float | None = None
    ratio: float | None
    spread: float | None = None
    bar: float | None = None
    met: bool | None = None
    relation: Relation = ">="
    stretch: float | None = None
    rounds: int = 1
    more: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of both sides, one entry a round."""

    ours_s: tuple[float, ...]
    peer_s: tuple[float, ...]


class MissingPeerError(StageGateError):
    """A peer is not installed."""


class DisagreementError(StageGateError):
    """Both sides were asked the same and answered differently: no timing counts."""


def peer_module(name: str) -> ModuleType:
    """Import a peer. Raises MissingPeerError when it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingPeerError(
            f"{error.name} is not installed",
            where="benchmarks",
            remedy="pip install -e .[bench], or pass --allow-missing and have its rows left unmeasured",
        ) from error


def must_agree(what: str, ours: Any, theirs: Any, tolerance: float) -> float:
    """The largest difference of two arrays, NaN where both are NaN. Raises DisagreementError beyond `tolerance` or where only one is NaN."""
    one, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
        raise DisagreementError(f"{what}: shapes or gaps differ", where="benchmarks", remedy="compare like with like")
    largest = float(np.nanmax(np.abs(one - other), initial=0.0))
    if not largest <= tolerance:
        raise DisagreementError(
            f"{what}: largest difference {largest:.3g}, at most {tolerance:.3g} expected",
            where="benchmarks",
            remedy="one of the two is wrong, or they were asked different questions",
        )
    return largest


def alternate(
    ours: Callable[[], Any], theirs: Callable[[], Any], *, rounds: int = ROUNDS, budget_s: float = SMALL_BUDGET_S
) -> Timing:
    """Time both sides in turn, each once unmeasured first. Stops early, after three rounds at the soonest, when the budget is spent."""
    ours()
    theirs()
    measured: list[tuple[float, float]] = []
    began = time.perf_counter()
    while len(measured) < rounds:
        measured.append((seconds(ours), seconds(theirs)))
        if len(measured) >= FEWEST_ROUNDS and time.perf_counter() - began > budget_s:
            break
    return Timing(*(tuple(side) for side in zip(*measured, strict=True)))


def seconds(work: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call, with the garbage collector at rest."""
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    finally:
        gc.enable()


def timed_row(
    work: str,
    run: Run,
    peer: str,
    timing: Timing,
    *,
    relation: Relation = ">=",
    bar: Bar | None = None,
    threads: int = 1,
    **more: Any,
) -> Row:
    """The row of a timing: medians, the ratio as the bar (or, without one, `relation`) words it, and the spread of the rounds' ratios."""
    ours, theirs = np.array(timing.ours_s), np.array(timing.peer_s)
    judged = _judged(bar, relation)
    ratios = ours / theirs if judged["relation"] == "<=" else theirs / ours
    lower, ratio, upper = np.quantile(ratios, [0.25, 0.5, 0.75]).tolist()
    return Row(
        work=work,
        size=run.size.name,
        threads=threads,
        peer=peer,
        ours_s=float(np.median(ours)),
        peer_s=float(np.median(theirs)),
        ratio=ratio,
        spread=(upper - lower) / ratio,
        rounds=ours.size,
        more=more or None,
        **_met(judged, bar, ratio),
    )


def figure_row(
    work: str,
    run: Run,
    peer: str,
    ratio: float,
    *,
    relation: Relation = "<=",
    bar: Bar | None = None,
    threads: int = 1,
    spread: float | None = None,
    rounds: int = 1,
    **more: Any,
) -> Row:
    """The row of a ratio that is no quotient of two timings: memory, growth, a size on its own."""
    return Row(
        work=work,
        size=run.size.name,
        threads=threads,
        peer=peer,
        ratio=ratio,
        spread=spread,
        rounds=rounds,
        more=more or None,
        **_met(_judged(bar, relation), bar, ratio),
    )


def missing_row(work: str, run: Run, peer: str, bar: Bar | None = None) -> Row:
    """The row of a peer that is absent: nothing measured, and a bar not met."""
    judged = _judged(bar, ">=") | ({} if bar is None else {"met": False})
    return Row(
        work=work, size=run.size.name, threads=1, peer=peer, ratio=None, rounds=0, more={"absent": True}, **judged
    )


def with_peer(run: Run, work: str, peer: str, bar: Bar | None, measured: Callable[[], Sequence[Row]]) -> Sequence[Row]:
    """What `measured` gives; the row of an absent peer where one is allowed to be absent."""
    try:
        return measured()
    except MissingPeerError:
        if not run.allow_missing:
            raise
        return [missing_row(work, run, peer, bar)]


def _judged(bar: Bar | None, relation: Relation) -> dict[str, Any]:
    if bar is None:
        return {"relation": relation}
    return {"bar": bar.ratio, "relation": bar.relation, "stretch": bar.stretch}


def _met(judged: dict[str, Any], bar: Bar | None, ratio: float) -> dict[str, Any]:
    return judged if bar is None else {**judged, "met": bar.met_by(ratio)}
