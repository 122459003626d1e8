"""Does the book still do what it was promoted for? The watchlist and the rollback triggers of a promoted tag, read on live files.

Triggers and watchlist are those of the s4 pack, the reference is the out-of-sample record of the s3 pack, the functions are those that s3
and s4 judged with. Nothing is recorded.

| exit | state | when |
|---|---|---|
| 0 | in bounds | every condition that could be read holds |
| 10 | watch | a watched metric is out of its bound today, a soft trigger fired on any day, or the new data break their contract |
| 11 | roll back | a hard trigger fired on any day |
| 2 | incomplete | no hard trigger fired, and a trigger could not be read, or the feed has stopped |
| 4 | refused | the record does not hold, the tag is not promoted, or a live file is not what it must be |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final, Literal

import numpy as np

from engines.candidate import Candidate
from engines.monitoring import METRICS, Book, Metric, Reference
from engines.quality import DataQuality
from reports.criteria.freeze import Places
from reports.deployment.live import LiveFiles, demand_calendar, known_symbols, read_book, read_data, with_positions
from reports.deployment.promotion import Promotion, promotion_of, verified_rows
from reports.deployment.readiness import WatchedMetric
from reports.deployment.triggers import Reading, Trigger, evaluate, read_condition

State = Literal["in bounds", "watch", "roll back", "incomplete", "waiting", "by hand", "not read"]
EXIT_STATUS: Final[dict[State, int]] = {"roll back": 11, "incomplete": 2, "watch": 10, "in bounds": 0}
"""State of a monitoring -> exit status, the gravest first: what could not be read may be a rollback, so it counts for more than a watch."""

STALE_DAYS: Final = 7
"""As s1.dq.freshness: a feed whose last day is older says nothing of today."""

INPUTS: Final = {
    "market": "column market of --live",
    "cost": "column cost of --live",
    "turnover": "column turnover of --live",
    "ic": "--positions with a column signal, and --data",
    "gross_exposure": "--positions",
    "net_exposure": "--positions",
}
"""Field of a live book -> where it would come from."""

DATA_CONTRACT: Final[dict[str, Callable[[DataQuality], float]]] = {
    "s1.dq.missing_ratio": lambda quality: max(map(quality.missing_ratio, quality.missing)),
    "s1.dq.duplicate_ratio.keys": lambda quality: quality.duplicate_ratio,
    "s1.dq.duplicate_ratio.conflicting": lambda quality: quality.duplicate_conflicting,
    "s1.dq.numeric_integrity": lambda quality: quality.numeric_fault_count,
    "s1.dq.freshness": lambda quality: quality.days_to_as_of,
    "s1.dq.ohlc_consistency": lambda quality: quality.ohlc_consistent_ratio,
    "s1.dq.extreme_returns": lambda quality: quality.extreme_return_ratio,
    "s1.dq.distinct_series": lambda quality: len(quality.identical_series),
    "s1.dq.calendar.gaps": lambda quality: quality.interior_gap_ratio,
}
"""Threshold of s1 that new data are held against, under its frozen bound -> what it measures of a file."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition as read today.

    kind: trigger, watch, data or feed. value: as of the last day it has one; worst and first_breach: over all live days. NaN and empty where
    there is none. who: whose it is (owner of a watched metric, action of a trigger).
    """

    kind: Literal["trigger", "watch", "data", "feed"]
    name: str
    condition: str
    state: State
    severity: str
    value: float
    worst: float
    n_days: int
    first_breach: str
    who: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Monitoring:
    """What a monitoring found, and what it stands on."""

    tag: str
    candidate: str
    owner: str
    as_of: str
    first_day: str
    last_day: str
    n_days: int
    files: dict[str, dict[str, str] | None]
    freeze_sha256: str
    s3_manifest_sha256: str
    s4_manifest_sha256: str
    registry_seq: int
    registry_head: str
    findings: tuple[Finding, ...]

    @property
    def state(self) -> State:
        """The gravest state of any finding that decides."""
        found = {finding.state for finding in self.findings}
        return next(state for state in EXIT_STATUS if state in found or state == "in bounds")

    @property
    def exit_status(self) -> int:
        """0, 2, 10 or 11."""
        return EXIT_STATUS[self.state]

    def to_json(self) -> dict[str, Any]:
        """The answer with built-in types only; a number that there is not is null."""
        findings = [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in asdict(each).items()
            }
            for each in self.findings
        ]
        return {"schema": 1, **asdict(self), "state": self.state, "exit_status": self.exit_status, "findings": findings}


def monitor(places: Places, tag: str, files: LiveFiles, as_of: date, today: date) -> Monitoring:
    """Read every condition of a promoted tag on its live files, as of a date. StageGateError when anything is not what it must be."""
    rows = verified_rows(places.workspace)
    promotion = promotion_of(places.workspace, rows, tag)
    candidate, reference = promotion.freeze.candidate(places), promotion.reference
    book, quality = _live_book(files, candidate, reference, min(as_of, today))
    found = (
        *_feed(book, as_of),
        *(_trigger_finding(trigger, book, reference) for trigger in promotion.triggers),
        *(_watch_finding(metric, book, reference) for metric in promotion.watchlist.metrics),
        *_data_findings(promotion, quality),
    )
    return Monitoring(
        tag=tag,
        candidate=candidate.name,
        owner=promotion.freeze.owner,
        as_of=as_of.isoformat(),
        first_day=str(book.dates[0]),
        last_day=str(book.dates[-1]),
        n_days=book.n_days,
        files=files.hashes(),
        freeze_sha256=f"sha256:{promotion.freeze.sha256}",
        s3_manifest_sha256=promotion.s3["manifest_sha256"],
        s4_manifest_sha256=promotion.s4["manifest_sha256"],
        registry_seq=rows[-1].seq,
        registry_head=rows[-1]["row_hash"],
        findings=found,
    )


def _live_book(
    files: LiveFiles, candidate: Candidate, reference: Reference, latest: date
) -> tuple[Book, DataQuality | None]:
    book = read_book(files.returns, candidate, reference, latest)
    new = None if files.data is None else read_data(files.data, candidate, book.dates[-1])
    if new is not None:
        demand_calendar(book, new.panel, files.returns)
    if files.positions is not None:
        prices = None if new is None else new.panel
        known = known_symbols(candidate) if prices is None else prices.symbols
        book = with_positions(book, files.positions, known, candidate, prices, reference)
    return book, None if new is None else new.quality


def _feed(book: Book, as_of: date) -> Iterator[Finding]:
    """Is there a recent day at all? A feed that stopped is never in bounds."""
    age = int((np.datetime64(as_of) - book.dates[-1]).astype(int))
    state: State = "in bounds" if age <= STALE_DAYS else "incomplete"
    note = "" if age <= STALE_DAYS else f"the last live day is {book.dates[-1]}: bring the file up to date"
    condition = f"days to {as_of} <= {STALE_DAYS}"
    yield Finding("feed", "live returns", condition, state, "", age, age, book.n_days, "", "", note)


def _trigger_finding(trigger: Trigger, book: Book, reference: Reference) -> Finding:
    reading = evaluate(trigger, book, reference)
    grave: State = "roll back" if trigger.severity == "hard" else "watch"
    state: State = grave if reading is not None and reading.breached else "incomplete"
    note = f"needs {INPUTS[METRICS[trigger.metric].needs]}" if reading is None else ""
    if reading is not None and not reading.breached:
        state, note = _quiet(reading, trigger.metric, trigger.window_days, book, "incomplete")
    return _finding(
        "trigger", trigger.name, trigger.condition, state, trigger.severity, reading, book, trigger.action, note
    )


def _watch_finding(watched: WatchedMetric, book: Book, reference: Reference) -> Finding:
    """A watched metric is judged by its last value; one that a person reads, or whose input was not handed over, decides nothing here."""
    if watched.metric is None:
        return _finding(
            "watch", watched.name, watched.condition, "by hand", "", None, book, watched.owner, watched.source
        )
    out_of_order = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}[watched.relation]
    reading = read_condition(watched.metric, watched.window_days, out_of_order, watched.bound, book, reference)
    if reading is None:
        state: State = "not read"
        note = f"needs {INPUTS[METRICS[watched.metric].needs]}"
    else:
        state, note = _quiet(reading, watched.metric, watched.window_days, book, "not read")
        state = "watch" if reading.last_breached else state
    return _finding("watch", watched.name, watched.condition, state, "", reading, book, watched.owner, note)


def _quiet(
    reading: Reading, metric: Metric, window_days: int | None, book: Book, otherwise: State
) -> tuple[State, str]:
    """What a condition says that did not fire: in bounds, waiting until there are days enough, or `otherwise` when they say nothing."""
    if reading.n_days:
        return "in bounds", ""
    series = getattr(book, METRICS[metric].needs)
    n_known = int(np.count_nonzero(np.isfinite(series)))
    if window_days and n_known < window_days:
        return "waiting", f"{n_known} of {window_days} days"
    return otherwise, "has no value on any live day"


def _finding(
    kind: Literal["trigger", "watch"],
    name: str,
    condition: str,
    state: State,
    severity: str,
    reading: Reading | None,
    book: Book,
    who: str,
    note: str,
) -> Finding:
    if reading is None:
        return Finding(kind, name, condition, state, severity, math.nan, math.nan, 0, "", who, note)
    first = "" if reading.first is None else str(book.dates[reading.first])
    return Finding(
        kind, name, condition, state, severity, reading.last, reading.worst, reading.n_days, first, who, note
    )


def _data_findings(promotion: Promotion, quality: DataQuality | None) -> Iterator[Finding]:
    """The hard data thresholds of s1, under their frozen bounds, on the price file as it has grown."""
    if quality is None:
        return
    for cell in promotion.freeze.expected("s1"):
        for threshold in cell.thresholds:
            if cell.level == "hard" and threshold.id in DATA_CONTRACT:
                value = float(DATA_CONTRACT[threshold.id](quality))
                state: State = "in bounds" if threshold.holds(value) else "watch"
                condition = f"{threshold.relation} {threshold.bound:g}"
                owner = promotion.freeze.owner
                yield Finding("data", threshold.id, condition, state, "", value, value, quality.n_rows, "", owner)
