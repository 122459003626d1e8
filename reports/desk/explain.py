"""Why did a tag end as it did? What failed, where, by how much, what changed since the tag it supersedes, what would have to be true to pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.criteria.rerun import Change, changes
from reports.desk.account import StageAccount, account_of, entries, number, read_report
from reports.desk.book import CLOSED, Book, state_of
from reports.record.chain import Row
from reports.record.durable import is_there, load_json, read_regular
from reports.record.errors import RecordError
from reports.record.workspace import Workspace, check_tag
from reports.verification.verify import dead_runs


@dataclass(frozen=True, slots=True)
class Moved:
    """A hard cell that did not pass under the superseded tag, and what it measures now; None where it has not been measured (again)."""

    gate: str
    cell: str
    before: float | None
    now: float | None
    outcome: str


@dataclass(frozen=True, slots=True)
class Succession:
    """What stands between a tag and the one it supersedes. fault: why it could not be computed; empty when it was."""

    supersedes: str
    ended: str
    root_cause: str
    changes: tuple[Change, ...]
    moved: tuple[Moved, ...]
    fault: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """One tag, for one page."""

    tag: str
    candidate: str
    family: str
    owner: str
    runs: tuple[StageAccount, ...]
    succession: Succession | None
    superseded_by: str
    revoked: str


def explain(workspace: Workspace, rows: Sequence[Row], tag: str) -> Explanation:
    """Every run of a tag in the order of the registry, and what came before it. RecordError when the registry has no such tag."""
    book = Book.of(rows)
    if tag not in book.tags:
        raise RecordError(
            f"tag {tag} has no row", where=str(workspace.registry), remedy="name a tag that `stagegate status` lists"
        )
    dead = dead_runs(workspace, rows)
    runs = tuple(account_of(workspace, row, dead) for row in last_rows(book.tags[tag]))
    first = book.tags[tag][0]
    revoked = book.revoked.get(tag)
    return Explanation(
        tag=tag,
        candidate=first["candidate"],
        family=first["family"],
        owner=first["owner"],
        runs=runs,
        succession=_succession(workspace, book, tag, dead) if first["supersedes"] else None,
        superseded_by=book.heirs.get(tag, ""),
        revoked=revoked["detail"] if revoked else "",
    )


def last_rows(rows: Sequence[Row]) -> list[Row]:
    """The last row of each run of a tag: what closed it, or its STARTED row."""
    closed = {row["run_id"]: row for row in rows if row["event"] in CLOSED}
    return [closed.get(row["run_id"], row) for row in rows if row["event"] == "STARTED"]


def _succession(workspace: Workspace, book: Book, tag: str, dead: frozenset[str]) -> Succession:
    first = book.tags[tag][0]
    old = first["supersedes"]
    if old not in book.tags:
        return Succession(old, "", first["root_cause"], (), (), f"tag {old} has no row")
    found, fault = _changes(workspace, book, old, tag)
    moved = tuple(_moved(workspace, book, old, tag))
    return Succession(old, state_of(book.last(old), dead), first["root_cause"], found, moved, fault)


def _changes(workspace: Workspace, book: Book, old: str, new: str) -> tuple[tuple[Change, ...], str]:
    """What differs between the freezes of two tags, package by package where their packs are there."""
    try:
        before, after = (_freeze(workspace, tag) for tag in (old, new))
        found = changes(before, after)
    except RecordError as error:
        return (), error.what
    except (KeyError, TypeError) as error:
        return (), f"a freeze is not what s0 writes: {error}"
    packages = tuple(_package_changes(*(_packages(workspace, book.last(tag)) for tag in (old, new))))
    return (*found, *packages), ""


def _freeze(workspace: Workspace, tag: str) -> Mapping[str, Any]:
    path = workspace.freeze(check_tag(tag))
    record = load_json(read_regular(path), workspace.relative(path))
    if not isinstance(record, dict):
        raise RecordError(f"the freeze of {tag} is no JSON object", where=workspace.relative(path))
    return record


def _packages(workspace: Workspace, row: Row) -> Mapping[str, str]:
    """What was installed when a run finished; empty where its pack does not say."""
    path = (workspace.root / row["report"]).parent / "environment.json"
    if not row["report"] or not is_there(path):
        return {}
    try:
        record = load_json(read_regular(path), str(path))
    except RecordError:
        return {}
    packages = record.get("packages") if isinstance(record, dict) else None
    return packages if isinstance(packages, dict) else {}


def _package_changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted({*before, *after}) if before and after else ():
        if before.get(name) != after.get(name):
            yield Change("environment", name, before.get(name, "absent"), after.get(name, "absent"))


def _moved(workspace: Workspace, book: Book, old: str, new: str) -> Iterator[Moved]:
    """The cells that stopped the old tag, by what the new tag measures."""
    now = {key: cell for row in last_rows(book.tags[new]) for key, cell in _cells(workspace, row)}
    for key, cell in _cells(workspace, book.last(old), failing=True):
        again = now.get(key, {})
        yield Moved(*key, number(cell.get("measured")), number(again.get("measured")), str(again.get("outcome", "")))


def _cells(
    workspace: Workspace, row: Row, *, failing: bool = False
) -> Iterator[tuple[tuple[str, str], Mapping[str, Any]]]:
    """(gate, cell id) -> cell of a run's hard gates."""
    gates = read_report(workspace, row)[0].get("gates")
    for key, gate in gates.items() if isinstance(gates, dict) else ():
        for cell in entries(gate, "cells") if isinstance(gate, dict) and gate.get("level") == "hard" else ():
            if not failing or cell.get("outcome") in ("failed", "missing"):
                yield (key, str(cell.get("id", "-"))), cell
