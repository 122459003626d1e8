"""A recorded run beside its re-execution: which figures and files are not the same?

Expected is what the frozen code produced again, found is what the record says. Pure but for reading the two folders, and total: whatever the record
holds in place of a number is a mismatch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engines.digest import sha256_bytes
from reports.pack.audit import MANIFEST, report_stem
from reports.record.chain import Row
from reports.record.durable import load_json, read_regular
from reports.record.errors import RecordError
from reports.record.json_difference import differences, shown
from reports.reexecution.reconstruction import RecordedRun

RESTORED_STAGE: Final = "s4"
"""The stage whose files people write: its pack holds what its gates judged, and a reconstruction takes them from there."""

JUDGED: Final = ("verdict", "overall_pass", "weakest")
"""Parts of a report that follow from all of its cells together."""

OF_ITS_MOMENT: Final = frozenset(
    {
        "command.sh",
        "environment.json",
        "run.log",
        "pytest_report.json",
        "evidence_stream.jsonl",
        "packet.md",
        "evidence.json",
        MANIFEST,
    }
)
"""Files of a pack that hold times, places and people's words, or are compared figure by figure."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A recorded figure or file that does not come out again, or a run that cannot be executed again."""

    run: str
    subject: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"mismatch: {self.run}: {self.subject}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Uncompared:
    """Something of a run that was not compared, and why."""

    run: str
    subject: str
    why: str

    def __str__(self) -> str:
        return f"not compared: {self.run}: {self.subject}: {self.why}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the record says of a run."""

    name: str
    stage: str
    row: Row
    pack: Path
    report: Mapping[str, Any]
    evidence: Any
    pins: Mapping[str, str]

    @property
    def report_name(self) -> str:
        return f"{report_stem(self.stage)}.json"

    @property
    def own_failure(self) -> str:
        """Why the run failed besides its cells, as when a file was touched under it; empty when it did not."""
        failures = self.report.get("failures")
        entries = [entry for entry in failures if isinstance(entry, dict)] if isinstance(failures, list) else []
        return next((str(entry.get("message")) for entry in entries if not entry.get("gate")), "")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the re-execution of a run left. files: name -> where it lies."""

    evidence: list[dict[str, Any]]
    report: Mapping[str, Any]
    columns: Mapping[str, str]
    packages_sha256: str
    incomplete: tuple[str, ...]
    files: Mapping[str, Path]


def read_recorded(run: RecordedRun, name: str) -> Recorded:
    """What the pack and the row of a run say. RecordError when report or evidence are no JSON of record."""
    report_name = f"{report_stem(run.stage)}.json"
    report = load_json(read_regular(run.pack / report_name), report_name)
    if not isinstance(report, dict):
        raise RecordError("the report is no JSON object", where=report_name, remedy="restore the pack from a backup")
    evidence = load_json(read_regular(run.pack / "evidence.json"), "evidence.json")
    frozen = run.freeze.record
    pins = {
        "freeze.json": run.freeze.sha256,
        "policy.toml": frozen["policy_sha256"],
        "candidate.toml": frozen["candidate"]["sha256"],
    }
    return Recorded(name, run.stage, run.finished, run.pack, report, evidence, pins)


Finding = Mismatch | Uncompared


def compare(recorded: Recorded, replayed: Replayed, unlike: Mapping[str, str]) -> Iterator[Finding]:
    """Every mismatch of a run. `unlike` maps gates whose surroundings could not be reconstructed to the reason."""
    for gate, why in unlike.items():
        yield Uncompared(recorded.name, gate, why)
    if replayed.incomplete:
        yield Mismatch(recorded.name, "the run", "that every cell comes back", replayed.incomplete[0])
        return
    yield from _cells(recorded, "evidence.json", recorded.evidence, replayed.evidence, unlike)
    yield from _gates(recorded, replayed, unlike)
    yield from _judgement(recorded, replayed, unlike)
    yield from _figures(recorded, replayed)
    yield from _files(recorded, replayed)


def _cells(recorded: Recorded, file: str, found: Any, expected: Any, unlike: Mapping[str, str]) -> Iterator[Mismatch]:
    """Cells that differ. Both are lists of cells, each naming its gate."""
    one, other = _by_name(found, unlike), _by_name(expected, unlike)
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() & other.keys():
            if not all(
                isinstance(cells[name], dict) and cells[name].get("outcome") == "passed" for cells in (one, other)
            ):
                one[name], other[name] = _without_notes(one[name]), _without_notes(other[name])
    for place, mine, theirs in differences("", one, other):
        yield Mismatch(recorded.name, f"{file}: {place}", theirs, mine)


def _by_name(cells: Any, unlike: Mapping[str, str]) -> Any:
    """`gate [cell]` -> cell, without the gates in `unlike`; the value itself when it is no list of differently named cells."""
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        return cells
    kept = [cell for cell in cells if str(cell.get("gate")) not in unlike]
    named = {f"{cell.get('gate')} [{cell.get('id')}]": cell for cell in kept}
    return named if len(named) == len(kept) else cells


def _without_notes(value: Any) -> Any:
    """A cell without its notes: where a cell did not pass they may tell of paths and addresses of the process that failed."""
    if isinstance(value, dict):
        return {key: _without_notes(part) for key, part in value.items() if key != "note"}
    return [_without_notes(part) for part in value] if isinstance(value, list) else value


def _gates(recorded: Recorded, replayed: Replayed, unlike: Mapping[str, str]) -> Iterator[Mismatch]:
    """What the report json says of its gates."""
    file, found, expected = recorded.report_name, recorded.report.get("gates"), replayed.report["gates"]
    yield from _cells(recorded, file, _flat(found), _flat(expected), unlike)
    for place, mine, theirs in differences("gates", _heads(found, unlike), _heads(expected, unlike)):
        yield Mismatch(recorded.name, f"{file}: {place}", theirs, mine)


def _flat(gates: Any) -> Any:
    """The cells of all gates in one list; the value itself when it is no such thing."""
    if not isinstance(gates, dict) or not all(isinstance(gate, dict) for gate in gates.values()):
        return gates
    listed = [(key, gate.get("cells")) for key, gate in gates.items()]
    if not all(isinstance(cells, list) and all(isinstance(cell, dict) for cell in cells) for _, cells in listed):
        return gates
    return [{**cell, "gate": key} for key, cells in listed for cell in cells]


def _heads(gates: Any, unlike: Mapping[str, str]) -> Any:
    """Each gate without its cells."""
    if not isinstance(gates, dict):
        return gates
    kept = {key: gate for key, gate in gates.items() if key not in unlike}
    return {
        key: {name: value for name, value in gate.items() if name != "cells"} if isinstance(gate, dict) else gate
        for key, gate in kept.items()
    }


def _judgement(recorded: Recorded, replayed: Replayed, unlike: Mapping[str, str]) -> Iterator[Finding]:
    """What follows from all cells together: verdict, weakest gate, and the columns of the row."""
    left_out = dict.fromkeys(JUDGED, "a gate was not compared") if unlike else {}
    if recorded.own_failure:
        left_out |= dict.fromkeys(
            ("verdict", "overall_pass"), f"the run failed for a reason of its moment: {recorded.own_failure}"
        )
    for key in (*JUDGED, "absent"):
        if key in left_out:
            yield Uncompared(recorded.name, f"{recorded.report_name}: {key}", left_out[key])
            continue
        for place, mine, theirs in differences(key, recorded.report.get(key), replayed.report[key]):
            yield Mismatch(recorded.name, f"{recorded.report_name}: {place}", theirs, mine)
    for column, text in replayed.columns.items():
        skipped = "weakest" in left_out and column.startswith("weakest_")
        if not skipped and _number(recorded.row[column]) != _number(text):
            yield Mismatch(recorded.name, f"registry: {column}", text, recorded.row[column])


def _figures(recorded: Recorded, replayed: Replayed) -> Iterator[Finding]:
    """The numbers that the report draws; code from before figures gives none, and its reports hold none."""
    found, expected = recorded.report.get("figures"), replayed.report.get("figures")
    if recorded.own_failure and not found and expected:
        yield _absentee(recorded, f"{recorded.report_name}: figures")
        return
    for place, mine, theirs in differences("figures", found, expected):
        yield Mismatch(recorded.name, f"{recorded.report_name}: {place}", theirs, mine)


def _number(text: str) -> str:
    """A cell of the registry in one spelling; empty for a number that is not finite, which the registry leaves out."""
    try:
        number = float(text)
    except ValueError:
        return text
    return repr(number) if math.isfinite(number) else ""


def _files(recorded: Recorded, replayed: Replayed) -> Iterator[Finding]:
    """Files that differ, are missing, or that no stage leaves."""
    for name in compared_files(recorded.stage, replayed):
        yield from _file(recorded, name, read_regular(replayed.files[name]))
    for name, digest in recorded.pins.items():
        yield from _pinned(recorded, name, digest)
    known = {*replayed.files, *recorded.pins, *OF_ITS_MOMENT, recorded.report_name, f"{report_stem(recorded.stage)}.md"}
    there = {path.relative_to(recorded.pack).as_posix() for path in recorded.pack.rglob("*") if not path.is_dir()}
    for name in sorted(there - known):
        yield Mismatch(recorded.name, name, "no such file: the stage does not leave it", "a file")
    if f"{report_stem(recorded.stage)}.md" not in replayed.files:
        yield Mismatch(recorded.name, recorded.report_name, "a report that can be rendered", "one that cannot")
    if recorded.stage == RESTORED_STAGE:
        yield Uncompared(
            recorded.name,
            "deployment files and signatures",
            "people write them; the gates judged them as the pack holds them",
        )


def compared_files(stage: str, replayed: Replayed) -> tuple[str, ...]:
    """Files that were derived again, rather than restored for the gates to judge."""
    rendered = tuple(f"{report_stem(stage)}{suffix}" for suffix in (".md", ".html"))
    return tuple(name for name in replayed.files if stage != RESTORED_STAGE or name in rendered)


def _file(recorded: Recorded, name: str, expected: bytes) -> Iterator[Finding]:
    found = _read(recorded, name)
    if found is None:
        yield _absentee(recorded, name)
        return
    if found != expected:
        number, mine, theirs = _first_line(found, expected)
        yield Mismatch(recorded.name, f"{name}: line {number}", shown(theirs), shown(mine))


def _pinned(recorded: Recorded, name: str, sha256: str) -> Iterator[Finding]:
    found = _read(recorded, name)
    if found is None:
        yield _absentee(recorded, name)
    elif sha256_bytes(found) != sha256:
        yield Mismatch(recorded.name, name, f"sha256:{sha256}, as frozen", f"sha256:{sha256_bytes(found)}")


def _read(recorded: Recorded, name: str) -> bytes | None:
    """The bytes of a file of the pack; None when it is no regular file there."""
    path = recorded.pack / name
    return read_regular(path) if path.is_file() and not path.is_symlink() else None


def _absentee(recorded: Recorded, name: str) -> Finding:
    if recorded.own_failure:
        return Uncompared(
            recorded.name, name, f"it is not there; the run failed for a reason of its moment: {recorded.own_failure}"
        )
    return Mismatch(recorded.name, name, "a file of the pack", "none")


def _first_line(found: bytes, expected: bytes) -> tuple[int, str, str]:
    """The first line in which two texts differ: its number from 1, and both."""
    one, other = (text.decode(errors="replace").split("\n") for text in (found, expected))
    number = next(
        (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )
    mine, theirs = (lines[number] if number < len(lines) else "(the end)" for lines in (one, other))
    return number + 1, repr(mine), repr(theirs)
