"""How long does the desk wait for an answer? Every overview of stagegate on a made-up registry of 1,000 or 10,000 rows.

    python -m benchmarks.desk_commands [--rows 1000 10000] [--runs 3] [--json out.json]

Each command is a process of its own, as a person types it; the fastest of its warm runs counts, beside the processor time it took. The bar is one second
at 1,000 rows; exit status 1 when a command misses it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from engines.digest import sha256_bytes
from reports.record.chain import HEADER, Row, link
from reports.record.clock import iso
from reports.record.durable import dump_json
from reports.record.workspace import STAGES, Workspace

BAR_SECONDS: Final = 1.0
BAR_ROWS: Final = 1_000
REPOSITORY: Final = Path(__file__).resolve().parents[1]
ENDS: Final = ("s1", "s1", "s1", "s2", "s2", "s3", "s3!", "s4", "waiting", "running")
"""How the tags end, in turn: at which stage they fail (! incomplete), promoted, waiting for signatures, under way."""

SHARDS: Final = tuple(f"wf-{number}" for number in range(1, 5))
MULTIPLIERS: Final = (1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True)
class Timing:
    """A command on one registry: seconds on the clock and of processor time, fastest of the warm runs."""

    command: str
    rows: int
    seconds: float
    cpu_seconds: float


class Desk:
    """A workspace that is written row by row, with packs as large as those of a real candidate."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.workspace.gate_results.mkdir(parents=True)
        self.workspace.freeze("x").parent.mkdir(parents=True)
        (root / "stagegate.toml").write_text(f"[registry]\nstate_dir = '{root / 'state'}'\n", encoding="utf-8")
        self.rows: list[Row] = []
        self.moment = datetime(2020, 1, 1, tzinfo=UTC)

    def fill(self, rows: int) -> None:
        """Write tags until there are `rows` rows, then the registry."""
        number = 0
        while len(self.rows) < rows:
            self._tag(number)
            number += 1
        lines = (HEADER, *(row.raw for row in self.rows[:rows]))
        self.workspace.registry.write_bytes(b"".join(line + b"\n" for line in lines))

    def _tag(self, number: int) -> None:
        tag, end = f"tag-{number:05d}", ENDS[number % len(ENDS)]
        freeze = dump_json({"schema": 1, "decision_tag": tag})
        self.workspace.freeze(tag).write_bytes(freeze)
        identity = {
            "decision_tag": tag,
            "candidate": f"candidate-{number // 3}",
            "family": f"family-{number // 20}",
            "owner": "dora",
            "official": "true",
            "freeze_sha256": f"sha256:{sha256_bytes(freeze)}",
            "supersedes": f"tag-{number - 1:05d}" if number % len(ENDS) in (1, 4) else "",
            "root_cause": 'data:"a bad delivery"' if number % len(ENDS) in (1, 4) else "",
        }
        last = {"waiting": "s3", "running": "s2"}.get(end, end.rstrip("!"))
        for stage in list(STAGES)[: list(STAGES).index(last) + 1]:
            failing = stage == last and end[:2] in ("s1", "s2", "s3")
            verdict = "PASS" if not failing else "INCOMPLETE" if end.endswith("!") else "FAIL"
            self._run({**identity, "stage": stage, "run_id": f"run-{tag}-{stage}"}, verdict)

    def _run(self, identity: dict[str, str], verdict: str) -> None:
        started = self._append("STARTED", identity)
        folder = self.workspace.gate_results / f"{STAGES[identity['stage']]}_{self.moment:%Y%m%dT%H%M%SZ}"
        folder.mkdir()
        stem = f"{STAGES[identity['stage']]}_report.json"
        data = dump_json(report(started, verdict))
        (folder / stem).write_bytes(data)
        manifest = f"{sha256_bytes(data)}  {stem}\n".encode()
        (folder / "MANIFEST").write_bytes(manifest)
        finished = {
            "verdict": verdict,
            "overall_pass": str(verdict == "PASS").lower(),
            "manifest_sha256": f"sha256:{sha256_bytes(manifest)}",
            "report": self.workspace.relative(folder / stem),
            "weakest_gate": "s3.net_sharpe",
            "weakest_margin": repr(0.01 * (len(self.rows) % 97) - 0.3),
        }
        self._append("FINISHED", {**identity, **finished})

    def _append(self, event: str, cells: dict[str, str]) -> Row:
        self.moment += timedelta(minutes=1)
        head = self.rows[-1].row_hash if self.rows else sha256_bytes(HEADER)
        row = link({**cells, "event": event, "utc": iso(self.moment)}, len(self.rows) + 1, head)
        self.rows.append(row)
        return row


def report(started: Row, verdict: str) -> dict[str, Any]:
    """A report of the size of a real one: 17 gates, one per shard and multiplier."""
    stage = started["stage"]
    places = [("-", None, None)] * 16 + [
        (f"{shard} x{times:g}", shard, times) for shard in SHARDS for times in MULTIPLIERS
    ]
    gates: dict[str, Any] = {}
    for number, (cell, shard, times) in enumerate(places):
        failed = verdict == "FAIL" and number % 16 == started.seq % 16
        gate = f"{stage}.gate_{min(number, 16)}"
        gates.setdefault(gate, {"level": "hard", "passed": not failed, "measured_worst": 1.0, "cells": []})
        gates[gate]["cells"].append(cell_of(gate, cell, shard, times, failed))
    failing = [(gate, cell) for gate, entry in gates.items() for cell in entry["cells"] if cell["outcome"] == "failed"]
    messages = [
        {"gate": gate, "cell": cell["id"], "message": f"{gate}.level [{cell['id']}]: measured {cell['measured']}"}
        for gate, cell in failing
    ]
    lost = [{"gate": "", "cell": "", "message": f"worker gw{started.seq % 8} did not come back"}]
    columns = ("stage", "decision_tag", "run_id", "candidate", "family", "owner")
    return {
        "schema": 1,
        **{column: started[column] for column in columns},
        "official": True,
        "official_reasons": [],
        "overall_pass": verdict == "PASS",
        "verdict": verdict,
        "started_utc": started["utc"],
        "finished_utc": started["utc"],
        "inputs": {},
        "freeze": {"sha256": started["freeze_sha256"]},
        "gates": gates,
        "weakest": None,
        "notes": [],
        "windows": [],
        "failures": lost if verdict == "INCOMPLETE" else messages,
        "artifacts": [{"path": f"gate_results/x/{number}", "sha256": "sha256:" + 64 * "0"} for number in range(20)],
        "registry": {"seq": started.seq, "prev_hash": started["prev_hash"]},
        "remediation": [],
    }


def cell_of(gate: str, cell: str, shard: str | None, times: float | None, failed: bool) -> dict[str, Any]:
    """A cell with two conditions."""
    figures = {
        "measured": -0.4141592653589793 if failed else 1.4142135623730951,
        "relation": ">",
        "bound": 0.0,
        "margin": -0.4141592653589793 if failed else 1.4142135623730951,
        "unit": "annualised net Sharpe out of sample",
        "n_obs": 1618,
        "note": "",
        "interval": [-0.7149, 0.5872],
    }
    place = {"id": cell, "shard": shard, "cost_multiplier": times, "outcome": "failed" if failed else "passed"}
    evidence = [{"threshold": f"{gate}.{name}", "holds": not failed, **figures} for name in ("level", "windows")]
    return {**place, **figures, "evidence": evidence}


def commands(desk: Desk) -> Iterator[tuple[str, ...]]:
    """Every overview of the desk."""
    yield from (("status",), ("leaderboard",), ("failures",), ("handoff",), ("explain", desk.rows[0]["decision_tag"]))


def timed(arguments: Sequence[str], workspace: Path, runs: int) -> tuple[float, float]:
    """(seconds, processor seconds) of the fastest of `runs` warm runs; CalledProcessError when one fails."""
    command = [sys.executable, "-m", "reports.desk.cli", *arguments, "--json", "--workspace", str(workspace)]
    found = []
    for _ in range(runs + 1):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))
        after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
        found.append((seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime))
    return min(found[1:])


def main() -> int:
    """Build the desks, time the commands, print a table; 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    timings: list[Timing] = []
    print(f"{'rows':>6}  {'command':<12} {'seconds':>8} {'cpu':>8}")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory(prefix="stagegate-desk-") as folder:
            desk = Desk(Path(folder, "desk"))
            desk.fill(rows)
            for command in commands(desk):
                timing = Timing(command[0], rows, *timed(command, desk.workspace.root, arguments.runs))
                timings.append(timing)
                print(f"{rows:>6}  {timing.command:<12} {timing.seconds:>8.2f} {timing.cpu_seconds:>8.2f}", flush=True)
    if arguments.json:
        arguments.json.write_bytes(dump_json([asdict(timing) for timing in timings]))
    return int(any(timing.rows <= BAR_ROWS and timing.seconds >= BAR_SECONDS for timing in timings))


if __name__ == "__main__":
    sys.exit(main())
