"""Attempts by the record: rows, packs, freezes and data edited between runs, and second tries."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engines.digest import sha256_bytes, sha256_file
from reports.record.chain import COLUMNS, link, read_chain
from tests.end_to_end.desk import OWNER, rewrite
from tests.faults.attempts.preparing import FAIL, PASS, REFUSED, losing, nothing
from tests.faults.attempts.signals import s0_then_s1
from tests.faults.tiny_suite import TAG, Attempt, Ground


def registry_of(ground: Ground) -> Path:
    return ground.desk.workspace / "gate_results" / "gate_registry.csv"


def edited_lines(edit: Callable[[list[bytes]], list[bytes]]) -> Callable[[Ground], None]:
    """The registry with its lines edited."""

    def prepare(ground: Ground) -> None:
        path = registry_of(ground)
        path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))

    return prepare


def relinked(edit: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> Callable[[Ground], None]:
    """The registry with its rows edited and the whole chain rebuilt, every hash right."""

    def prepare(ground: Ground) -> None:
        path = registry_of(ground)
        header = path.read_bytes().split(b"\n")[0]
        previous, lines = sha256_bytes(header), [header + b"\n"]
        for seq, cells in enumerate(edit([dict(row) for row in read_chain(path.read_bytes()).rows]), 1):
            row = link({**dict.fromkeys(COLUMNS, ""), **cells}, seq, previous)
            previous = row.row_hash
            lines.append(row.raw if row.raw.endswith(b"\n") else row.raw + b"\n")
        path.write_bytes(b"".join(lines))

    return prepare


def forged_pass(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """A STARTED and a FINISHED PASS of s1 for which no run was made, written by hand."""
    started, finished = ({**row, "stage": "s1", "run_id": "20260101T000000Z-00000000"} for row in rows[:2])
    return [*rows, started, {**finished, "report": rows[1]["report"]}]


def forged_with_pack(ground: Ground) -> None:
    """The same with a pack: the one of s0 under the name of s1."""
    source = ground.desk.pack("s0")
    target = source.with_name(source.name.replace("scope_freeze", "baseline_validation"))
    shutil.copytree(source, target)
    for suffix in ("json", "md"):
        (target / f"scope_freeze_report.{suffix}").rename(target / f"baseline_validation_report.{suffix}")
    report = f"gate_results/{target.name}/baseline_validation_report.json"
    relinked(lambda rows: [*rows, {**rows[0], "stage": "s1"}, {**rows[1], "stage": "s1", "report": report}])(ground)


def mended_report(ground: Ground) -> None:
    """A failed S1 whose report and MANIFEST are rewritten as a pass."""
    pack = ground.desk.pack("s0")
    path = pack / "scope_freeze_report.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"owner": "otto"}), encoding="utf-8")
    names = sorted(
        each.relative_to(pack).as_posix() for each in pack.rglob("*") if each.is_file() and each.name != "MANIFEST"
    )
    (pack / "MANIFEST").write_text("".join(f"{sha256_file(pack / name)}  {name}\n" for name in names), encoding="utf-8")


def changed_freeze(ground: Ground) -> None:
    """A frozen bound made looser."""
    rewrite(ground.desk.workspace / "runs" / "freeze" / f"{TAG}.freeze.json", '"s1.ic_mean"', '"s1.ic_mean" ')


def changed_data(ground: Ground) -> None:
    """One byte of the prices."""
    path = ground.desk.candidate.parent / "market" / "prices.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def changed_policy(ground: Ground) -> None:
    """A looser policy, committed after the freeze."""
    rewrite(ground.repository / "gates" / "policy.toml", 'relation = ">", bound = 0.0', 'relation = ">", bound = -9.0')
    ground.commit()


def failed_once(ground: Ground) -> None:
    """Fail s0, then mend the gate by a commit."""
    losing(ground)
    assert ground.run("s0") == 1
    rewrite(ground.gate, "EDGE = -0.5", "EDGE = 0.5")
    ground.commit()


def forgotten(ground: Ground) -> None:
    """The same with registry and freeze removed: the memory of the registry's head stands."""
    failed_once(ground)
    registry_of(ground).unlink()
    shutil.rmtree(ground.desk.workspace / "runs" / "freeze")


def failed_and_unmended(ground: Ground) -> None:
    """Fail s0 and change nothing."""
    losing(ground)
    assert ground.run("s0") == 1


def next_tag(*options: str, tag: str = "attempt-2") -> Callable[[Ground], int]:
    """Run s0 of another tag."""

    def run(ground: Ground) -> int:
        if "/" not in tag and tag.isprintable() and tag.strip():
            ground.desk.write_packet(tag, "s0")
        arguments = (*ground.desk.stage_arguments(tag, "s0"), "-n", ground.workers, *options)
        return ground.warm.pytest(ground.desk, *arguments).status

    return run


CAUSE: Final = ("--supersedes", TAG, "--root-cause")
AGAIN: Final = {
    "without a word": (failed_once, ()),
    "without a root cause": (failed_once, CAUSE[:2]),
    "with a root cause and no tag": (failed_once, ("--root-cause", "code: the edge had the wrong sign")),
    "with a root cause of no class": (failed_once, (*CAUSE, "the edge had the wrong sign")),
    "with an empty root cause": (failed_once, (*CAUSE, "code: ")),
    "with a tag that never was": (failed_once, ("--supersedes", "attempt-0", "--root-cause", "code: sign")),
    "without a difference": (failed_and_unmended, (*CAUSE, "code: the edge had the wrong sign")),
}  # fmt: skip
TAGS: Final = (
    "Attempt-1",
    "\u0430ttempt-1",
    "attempt-1 ",
    "../attempt-1",
    "=attempt",
    "attempt\n1",
    "",
    "-n",
)
"""Another case, a look-alike letter, a blank, a path, a formula, a newline, nothing, and an option."""


def made_diagnostic(ground: Ground) -> None:
    """A hard gate that no longer decides, committed after the freeze."""
    rewrite(
        ground.repository / "gates" / "policy.toml", 'key = "s1.ic_mean"', 'key = "s1.ic_mean"\nlevel = "diagnostic"'
    )
    ground.commit()


def moved_clock(ground: Ground) -> None:
    """A record whose last row was written in years to come, and nobody who remembers another."""
    relinked(lambda rows: [{**row, "utc": "2099-01-01T00:00:00Z"} for row in rows])(ground)
    shutil.rmtree(ground.desk.workspace / ".state")


def shortened_freeze(ground: Ground) -> None:
    """A freeze without the cell that would fail, and rows that carry its hash."""
    path = ground.desk.workspace / "runs" / "freeze" / f"{TAG}.freeze.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["expected"] = [cell for cell in record["expected"] if cell["gate"] != "s1.ic_mean"]
    path.write_text(json.dumps(record), encoding="utf-8")
    relinked(lambda rows: [{**row, "freeze_sha256": f"sha256:{sha256_file(path)}"} for row in rows])(ground)
    shutil.rmtree(ground.desk.workspace / ".state")


def lying_baseline(ground: Ground) -> None:
    """A gate that makes its figure up, in a repository of its own from s0 on."""
    rewrite(ground.repository / "gates" / "s1" / "test_baseline.py", "baseline.ic.mean()", "0.9")
    ground.commit()


def lying_everywhere(ground: Ground) -> None:
    """Hooks that replace the figure wherever it is reported, so that every witness agrees."""
    with (ground.repository / "conftest.py").open("a", encoding="utf-8") as file:
        file.write(
            "\n\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_logreport(report):\n    for _, entry in report.user_properties:\n        entry['value'] = 0.9\n"
        )
    ground.commit()


def patched(source: str) -> Callable[[Ground], None]:
    """A gate module that changes what is measured where the gates run."""

    def prepare(ground: Ground) -> None:
        path = ground.repository / "gates" / "s1" / "test_baseline.py"
        path.write_text(path.read_text(encoding="utf-8") + "\n\n" + source, encoding="utf-8")
        ground.commit()

    return prepare


EDITED: Final = {
    "a deleted row": edited_lines(lambda lines: [*lines[:1], *lines[2:]]),
    "an edited row": edited_lines(lambda lines: [line.replace(OWNER.encode(), b"otto") for line in lines]),
    "an inserted row": edited_lines(lambda lines: [*lines[:2], lines[1], *lines[2:]]),
    "the last row dropped": edited_lines(lambda lines: lines[:-1]),
    "no registry": lambda ground: registry_of(ground).unlink(),
    "a rebuilt chain": relinked(lambda rows: [{**row, "owner": "otto"} for row in rows]),
    "an edited report and MANIFEST": mended_report,
    "an edited freeze": changed_freeze,
    "edited data": changed_data,
    "a loosened policy": changed_policy,
    "another package": lambda ground: rewrite(
        ground.desk.workspace / "runs" / "freeze" / f"{TAG}.freeze.json", '"packages_sha256": "', '"packages_sha256": "0'
    ),
}  # fmt: skip

LIES: Final = {
    "in a gate": lying_baseline,
    "in every report": lying_everywhere,
    "by a patched study": patched("from engines.study import Study\nStudy.baseline = property(lambda self: type('Baseline', (), {'ic': __import__('numpy').full(9, 0.9)})())\n"),
    "by a patched engine": patched("import numpy\nfrom engines.measurements import Measurements\nhonest = Measurements.ics\nMeasurements.ics = lambda self, *rest: numpy.abs(honest(self, *rest))\n"),
    "by a patched numpy": patched("import numpy\nfrom engines import study\nstudy.np = type('Numpy', (), {'__getattr__': lambda self, name: getattr(numpy, name), 'isfinite': staticmethod(lambda values: values > 0)})()\n"),
}  # fmt: skip

RECORD: Final = (
    *(Attempt(f"{name} before s1", prepare, "s1", "s0", allowed=REFUSED) for name, prepare in EDITED.items()),
    Attempt("a pass written by hand", relinked(forged_pass), "s2", "s0", allowed=REFUSED),
    Attempt("a pass written by hand, with a pack", forged_with_pack, "s2", "s0", allowed=REFUSED),
    Attempt("a stage left out", nothing, "s2", "s0", allowed=REFUSED),
    Attempt("the same tag again", failed_once, allowed=REFUSED),
    Attempt("the same tag again, registry removed", forgotten, allowed=REFUSED),
    *(
        Attempt(f"another tag {name}", prepare, run=next_tag(*options), allowed=REFUSED)
        for name, (prepare, options) in AGAIN.items()
    ),
    *(Attempt(f"a tag {tag!r}", nothing, "s0", "s0", run=next_tag(tag=tag), allowed=REFUSED) for tag in TAGS),
    Attempt("a gate made diagnostic before s1", made_diagnostic, "s1", "s0", allowed=REFUSED),
    Attempt("a clock that was moved", moved_clock, "s1", "s0", allowed=REFUSED),
    Attempt("a shortened freeze, every hash right", shortened_freeze, "s1", "s0", allowed=REFUSED),
    *(
        Attempt(f"a figure made up {name}", prepare, "s1", run=s0_then_s1, allowed=FAIL)
        for name, prepare in LIES.items()
    ),
)
HONEST_TAGS: Final = tuple(
    Attempt(f"a winner under tag {tag}", nothing, "s0", "s0", run=next_tag(tag=tag), allowed=PASS)
    for tag in ("00123", "NA", "1e5", "con")
)
"""Tags that a table reader would take for numbers or for nothing, and one that is a device elsewhere: all of them are text here."""

HONEST_AGAIN: Final = Attempt(
    "another tag with a root cause and a difference",
    failed_once,
    run=next_tag(*CAUSE, "code: the edge had the wrong sign"),
    allowed=PASS,
)
