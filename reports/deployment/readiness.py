"""Deployment readiness: are the notes written, is enough watched, and do the rollback triggers work?

Readers are total: whatever lies on disk, the answer is a list of faults, never an exception. The files' templates are in
reports.deployment.templates, the triggers' arithmetic in reports.deployment.triggers.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from engines.candidate_errors import nearest, refusal
from engines.monitoring import Metric, Reference
from reports.deployment.alarms import alarm_rate
from reports.deployment.templates import FREEZE_HEADING, NOTE_PROMPTS, NOTES, ROLLBACK, WATCHLIST, write_rehearsal_files
from reports.deployment.triggers import (
    Reading,
    Text,
    Trigger,
    WindowDays,
    condition_text,
    contradiction,
    evaluate,
    planted_breach,
)
from reports.pack.packet import placeholder, sections, title, why_unwritten
from reports.record.durable import read_regular
from reports.record.errors import RecordError
from reports.record.workspace import Workspace

SCHEMA: Final = 1
FILE_BYTES_LIMIT: Final = 2**20
FEWEST_RETURNS: Final = 2

_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)


class WatchedMetric(BaseModel):
    """One [[metric]] of watchlist.toml: in order while `value relation bound` holds.

    With `metric` (a figure of engines.monitoring) `stagegate monitor` reads it; without, a person does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: Text
    source: Text
    frequency: Literal["intraday", "daily", "weekly", "monthly", "quarterly"]
    relation: Literal[">", ">=", "<", "<="]
    bound: float
    unit: str = ""
    owner: Text
    metric: Metric | None = None
    window_days: WindowDays | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.metric is None and self.window_days is not None:
            raise ValueError("window_days belongs to a metric that is read from live data")
        fault = contradiction(self.metric, self.window_days, self.relation, bad=False) if self.metric else ""
        if fault:
            raise ValueError(fault)
        return self

    @property
    def condition(self) -> str:
        """What must hold, as people read it."""
        if self.metric is None:
            return f"{self.name} {self.relation} {self.bound:g}"
        return condition_text(self.metric, self.window_days, self.relation, self.bound)


@dataclass(frozen=True, slots=True)
class Watchlist:
    """The metrics of watchlist.toml that are whole, and what is wrong with the rest."""

    metrics: tuple[WatchedMetric, ...]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rollback:
    """The triggers of rollback_triggers.toml: how many there are, how many hard ones work, and what is wrong.

    readings: (trigger, reading on the out-of-sample record, reading on the planted breach) of every trigger that could be asked.
    """

    n_triggers: int
    n_hard: int
    faults: tuple[str, ...]
    readings: tuple[tuple[Trigger, Reading, Reading], ...] = ()

    def behaviour(self, reference: Reference) -> str:
        """One line for a report: how far each trigger stayed from its bound, how often it fires without cause and how long it takes, simulated."""
        return "; ".join(
            f"{trigger.name}: worst {quiet.worst:.3g} of {trigger.bound:.3g} out of sample, {alarm_rate(trigger, reference).describe()}"
            for trigger, quiet, _ in self.readings
        )


def deployment_note_faults(workspace: Workspace, tag: str, freeze_sha256: str) -> tuple[str, ...]:
    """What the deployment notes lack; empty when they are written and name exactly the freeze (bare hex or prefixed)."""
    text, faults = _read_text(workspace.packet_dir(tag) / NOTES)
    return faults or tuple(_note_faults(text, tag, f"sha256:{freeze_sha256.removeprefix('sha256:')}"))


def _note_faults(text: str, tag: str, freeze_sha256: str) -> Iterator[str]:
    if title(text) != f"{tag} deployment notes":
        yield f"the first heading is {title(text)!r}, expected '# {tag} deployment notes'"
    found = sections(text)
    count = Counter(heading for heading, _ in found)
    bodies = dict(found)
    for heading in (FREEZE_HEADING, *NOTE_PROMPTS):
        if count[heading] != 1:
            yield f"'## {heading}' stands there {count[heading]} times, expected once"
    named = set(_SHA256.findall(_COMMENT.sub(" ", bodies.get(FREEZE_HEADING, ""))))
    if named != {freeze_sha256}:
        yield f"'## {FREEZE_HEADING}' names {', '.join(sorted(named)) or 'no freeze'}, expected {freeze_sha256}"
    for heading, prompt in NOTE_PROMPTS.items():
        why = why_unwritten(bodies[heading], prompt) if heading in bodies else ""
        if why:
            yield f"'## {heading}' {why}"


def read_watchlist(folder: Path) -> Watchlist:
    """watchlist.toml of a folder, every entry checked."""
    metrics, faults = _read_entries(folder / WATCHLIST, "metric", WatchedMetric)
    whole: list[WatchedMetric] = []
    for number, metric in metrics:
        unwritten = _unwritten(metric, ("name", "source", "owner"))
        faults += [f"metric {number} ({metric.name}): {fault}" for fault in unwritten]
        whole += [] if unwritten else [metric]
    return Watchlist(tuple(whole), (*faults, *_repeated("metric", [metric.name for _, metric in metrics])))


def read_triggers(folder: Path) -> tuple[tuple[Trigger, ...], tuple[str, ...]]:
    """The triggers of a folder's rollback_triggers.toml that are whole, and what is wrong with the file and the rest."""
    entries, faults = _read_entries(folder / ROLLBACK, "trigger", Trigger)
    whole: list[Trigger] = []
    for number, trigger in entries:
        unwritten = _unwritten(trigger, ("name",))
        unwritten += [f"action {why}" for why in (why_unwritten(trigger.action),) if why]
        faults += [f"trigger {number} ({trigger.name}): {fault}" for fault in unwritten]
        whole += [] if unwritten else [trigger]
    return tuple(whole), (*faults, *_repeated("trigger", [trigger.name for _, trigger in entries]))


def judge_rollback(folder: Path, reference: Reference) -> Rollback:
    """The triggers of a folder's rollback_triggers.toml, each asked on the out-of-sample book and on a planted breach behind it.

    A trigger is at fault when it is malformed, has no action, has no value on any day, was breached out of sample, or stays silent on the
    planted breach.
    """
    triggers, faults = read_triggers(folder)
    series = reference.book.net
    strange = int(np.count_nonzero(~np.isfinite(series)))
    if series.size < FEWEST_RETURNS or strange:
        found = f"the out-of-sample returns are {series.size} days, {strange} of them not finite"
        return Rollback(len(triggers), 0, (*faults, found))
    asked = [
        (trigger, quiet, planted)
        for trigger in triggers
        if (quiet := evaluate(trigger, reference.book, reference)) and (planted := _on_planted(trigger, reference))
    ]
    wrong = {trigger.name: list(_silent_or_early(trigger, quiet, planted)) for trigger, quiet, planted in asked}
    return Rollback(
        n_triggers=len(triggers),
        n_hard=sum(trigger.severity == "hard" and not wrong[trigger.name] for trigger, _, _ in asked),
        faults=(*faults, *(f"trigger {name}: {fault}" for name, found in wrong.items() for fault in found)),
        readings=tuple(asked),
    )


def _on_planted(trigger: Trigger, reference: Reference) -> Reading | None:
    return evaluate(trigger, planted_breach(reference.book, trigger.window_days or 0), reference)


def unwritten_files(workspace: Workspace, tag: str, freeze_sha256: str) -> tuple[str, ...]:
    """What a person has still to write of the three deployment files, each fault with its file; empty when S4 may judge them."""
    notes = deployment_note_faults(workspace, tag, freeze_sha256)
    folder = workspace.packet_dir(tag)
    watched, (_, triggers) = read_watchlist(folder).faults, read_triggers(folder)
    return tuple(
        f"{name}: {fault}"
        for name, faults in ((NOTES, notes), (WATCHLIST, watched), (ROLLBACK, triggers))
        for fault in faults
    )


def _silent_or_early(trigger: Trigger, quiet: Reading, planted: Reading) -> Iterator[str]:
    condition = trigger.condition
    if not quiet.n_days:
        yield f"has no value on the out-of-sample returns: window_days {trigger.window_days} is longer than they are"
    elif quiet.breached:
        yield f"{condition} was breached out of sample already, on {quiet.n_breaches} days (worst {quiet.worst:.4g})"
    if not planted.breached:
        yield f"{condition} is silent on the planted breach (worst {planted.worst:.4g})"


def _unwritten(entry: BaseModel, names: Sequence[str]) -> list[str]:
    found = {name: placeholder(getattr(entry, name)) for name in names}
    return [f"{name} {why}" for name, why in found.items() if why]


def _repeated(kind: str, names: Sequence[str]) -> list[str]:
    counts = Counter(name.casefold() for name in names)
    return [f"{kind} {name!r} stands there {number} times" for name, number in counts.items() if number > 1]


Entry = TypeVar("Entry", bound=BaseModel)


def _read_entries(path: Path, key: str, model: type[Entry]) -> tuple[list[tuple[int, Entry]], list[str]]:
    """(number from 1, entry) of every well-formed [[key]] table, and the faults of the file and of the other entries."""
    table, faults = _read_toml(path)
    if faults:
        return [], list(faults)
    found = [f"{name} is no known key{nearest(name, ('schema', key))}" for name in table if name not in ("schema", key)]
    if type(table.get("schema")) is not int or table["schema"] != SCHEMA:
        found.append(f"schema is {table.get('schema')!r}, expected {SCHEMA}")
    listed = table.get(key, [])
    if not isinstance(listed, list):
        return [], [*found, f"{key} is no list of tables: write [[{key}]] above each"]
    entries = []
    for number, fields in enumerate(listed, 1):
        try:
            entries.append((number, model.model_validate(fields)))
        except ValidationError as error:
            found.append(f"{key} {number}: {refusal(error, model, str(path)).what}")
    return entries, found


def _read_toml(path: Path) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    text, faults = _read_text(path)
    if faults:
        return {}, faults
    try:
        return tomllib.loads(text), ()
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return {}, (f"is not TOML: {error}",)


def _read_text(path: Path) -> tuple[str, tuple[str, ...]]:
    try:
        return read_regular(path, FILE_BYTES_LIMIT).decode(), ()
    except RecordError as error:
        return "", (error.what,)
    except UnicodeDecodeError as error:
        return "", (f"is not UTF-8: {error}",)


__all__ = [
    "Rollback",
    "WatchedMetric",
    "Watchlist",
    "deployment_note_faults",
    "judge_rollback",
    "read_triggers",
    "read_watchlist",
    "unwritten_files",
    "write_rehearsal_files",
]
