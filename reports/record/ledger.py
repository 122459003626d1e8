"""What may follow what in the registry: the rules of the record as one state machine, asked when a row is written
and verified.

1. A run is STARTED once. Official starts of one stage of one tag: one, ever.
2. A STARTED run is closed once, FINISHED or ABANDONED, under the stage, tag and officialness it was started with.
3. Only FINISHED has a verdict, and overall_pass is true exactly when that verdict is PASS. It names its report and
   its manifest's hash.
4. SIGNED needs an official FINISHED PASS of s3 of its tag; REVOKED needs a row of its tag.
5. Time does not run backwards by more than clocks of one desk differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final

from reports.record.workspace import STAGES, TAG_PATTERN

TRUE: Final = "true"
EVENTS: Final = ("STARTED", "FINISHED", "ABANDONED", "SIGNED", "REVOKED")
VERDICTS: Final = ("PASS", "FAIL", "INCOMPLETE")
IDENTITY: Final = ("stage", "decision_tag", "official")
"""Columns that the row which closes a run shares with its STARTED row."""

CLOCK_TOLERANCE_SECONDS: Final = 300
RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

_DIGEST: Final = re.compile(r"(sha256:[0-9a-f]{64})?")
_COMMIT: Final = re.compile(r"(git:[0-9a-f]{7,64})?")
_UTC: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_DIGESTS: Final = ("config_sha256", "data_sha256", "freeze_sha256", "manifest_sha256")


@dataclass(slots=True)
class Ledger:
    """Which runs are open and which tag stages are spent after the rows admitted so far."""

    started: dict[str, Mapping[str, str]] = field(default_factory=dict)
    closed: dict[str, Mapping[str, str]] = field(default_factory=dict)
    spent: dict[tuple[str, str], str] = field(default_factory=dict)
    passed_s3: set[str] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)
    last_utc: datetime | None = None

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, str]]) -> Ledger:
        """The ledger after `rows`, which are taken as they stand."""
        ledger = cls()
        for row in rows:
            ledger.admit(row)
        return ledger

    @property
    def open_runs(self) -> tuple[Mapping[str, str], ...]:
        """STARTED rows that no row closes, in their order."""
        return tuple(row for run_id, row in self.started.items() if run_id not in self.closed)

    def objection(self, row: Mapping[str, str]) -> str:
        """Why `row` may not come next; empty when it may."""
        return malformed(row) or self._out_of_sequence(row)

    def backwards(self, row: Mapping[str, str]) -> str:
        """How far `row` goes back in time, when by more than the clocks of one desk differ; else empty."""
        moment = parse_utc(row["utc"])
        if moment is None or self.last_utc is None:
            return ""
        seconds = (self.last_utc - moment).total_seconds()
        return (
            f"utc {row['utc']} lies {seconds:.0f} s before an earlier row: a clock was moved"
            if seconds > CLOCK_TOLERANCE_SECONDS
            else ""
        )

    def admit(self, row: Mapping[str, str]) -> None:
        """Take `row` as the next one."""
        event, tag, run_id = row["event"], row["decision_tag"], row["run_id"]
        self.tags.add(tag)
        if event == "STARTED":
            self.started.setdefault(run_id, row)
            if row["official"] == "true":
                self.spent.setdefault((tag, row["stage"]), run_id)
        elif event in ("FINISHED", "ABANDONED"):
            self.closed.setdefault(run_id, row)
            if (row["stage"], row["official"], row["verdict"]) == ("s3", "true", "PASS"):
                self.passed_s3.add(tag)
        moment = parse_utc(row["utc"])
        if moment is not None:
            self.last_utc = max(moment, self.last_utc or moment)

    def _out_of_sequence(self, row: Mapping[str, str]) -> str:
        event, tag, run_id = row["event"], row["decision_tag"], row["run_id"]
        if event == "STARTED":
            if run_id in self.started:
                return f"run {run_id} was started before"
            winner = self.spent.get((tag, row["stage"])) if row["official"] == "true" else None
            return f"{row['stage']} of tag {tag} is spent by run {winner}" if winner else ""
        if event == "SIGNED":
            return "" if tag in self.passed_s3 else f"tag {tag} has no official PASS of s3 to sign"
        if event == "REVOKED":
            return "" if tag in self.tags else f"tag {tag} has no row to revoke"
        return self._cannot_close(row)

    def _cannot_close(self, row: Mapping[str, str]) -> str:
        run_id = row["run_id"]
        if run_id not in self.started:
            return f"run {run_id} is {row['event']} and was never STARTED"
        if run_id in self.closed:
            return f"run {run_id} was closed before, as {self.closed[run_id]['event']}"
        start = self.started[run_id]
        differing = [name for name in IDENTITY if row[name] != start[name]]
        return "".join(
            f"run {run_id} was started with {name} {start[name]}, found {row[name]}" for name in differing[:1]
        )


def malformed(row: Mapping[str, str]) -> str:
    """Which cell of `row` is not of its column's form; empty when all are."""
    for column, holds in _FORMS.items():
        if not holds(row[column]):
            return f"{column} is {row[column]!r}"
    return _contradictory(row)


def _contradictory(row: Mapping[str, str]) -> str:
    """Where verdict, overall_pass, report and manifest do not fit the event."""
    if row["event"] != "FINISHED":
        return (
            f"{row['event']} with overall_pass true or a verdict"
            if row["verdict"] or row["overall_pass"] == TRUE
            else ""
        )
    if row["verdict"] not in VERDICTS:
        return f"verdict is {row['verdict']!r}, expected one of {', '.join(VERDICTS)}"
    if (row["overall_pass"] == TRUE) is not (row["verdict"] == "PASS"):
        return f"overall_pass is {row['overall_pass']} beside verdict {row['verdict']}"
    if not row["manifest_sha256"] or not is_plain_path(row["report"]):
        return (
            f"FINISHED without a manifest_sha256 or a plain report path: {row['manifest_sha256']!r}, {row['report']!r}"
        )
    return ""


def is_plain_path(path: str) -> bool:
    """Whether `path` is relative, in its normal form and stays below where it starts."""
    pure = PurePosixPath(path)
    return (
        bool(pure.parts)
        and not pure.is_absolute()
        and ".." not in pure.parts
        and str(pure) == path
        and "\\" not in path
    )


def parse_utc(text: str) -> datetime | None:
    """The moment of a utc cell, None when it is not one."""
    if not _UTC.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


_FORMS: Final[dict[str, Callable[[str], bool]]] = {
    "event": EVENTS.__contains__,
    "stage": STAGES.__contains__,
    "decision_tag": lambda tag: bool(TAG_PATTERN.fullmatch(tag)) and ".." not in tag and not tag.endswith("."),
    "run_id": lambda run_id: bool(RUN_ID.fullmatch(run_id)),
    "official": ("true", "false").__contains__,
    "overall_pass": ("true", "false").__contains__,
    "utc": lambda text: parse_utc(text) is not None,
    **{column: lambda text: bool(_DIGEST.fullmatch(text)) for column in _DIGESTS},
    "git_commit": lambda text: bool(_COMMIT.fullmatch(text)),
}
