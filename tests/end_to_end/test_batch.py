"""A batch from a person's command line to the record: an honest candidate beside a loser and one whose signal dies, each judged by itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines.digest import sha256_file
from reports.pack.packet import PROMPTS
from tests.end_to_end.conftest import Road
from tests.end_to_end.desk import CANDIDATE, OWNER, SECTIONS, SOURCE, Desk, Ended, clean_environment
from tests.end_to_end.warm import WarmInterpreter

AUDITOR = SOURCE.parent / "shared" / "audit_check.py"
PREFIX = "b1"
SINGLE_VARIANT = "grid = { lookback_days = [63, 84] }\n"
DYING = '''"""Momentum that takes its process down when it is shown less than the whole file."""

import os
import signal

import numpy as np


def score(panel, lookback_days):
    if panel.close.shape[0] < 600:
        os.kill(os.getpid(), signal.SIGKILL)
    scores = np.full(panel.close.shape, np.nan)
    scores[lookback_days:] = panel.close[lookback_days:] / panel.close[:-lookback_days] - 1.0
    return scores
'''


class Batch:
    """A desk with several candidates and one pattern that names them."""

    def __init__(self, desk: Desk, warm: WarmInterpreter) -> None:
        self.desk, self.warm = desk, warm
        self.folder = desk.candidate.parent
        self.pattern = str(self.folder / "*.toml")
        self.s1 = Ended(-1, "")

    def add(self, file: str, name: str, changes: dict[str, str]) -> None:
        """Put another candidate there, of a family of its own."""
        text = CANDIDATE.replace('"small-momentum"', f'"{name}"')
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (self.folder / file).write_text(text, encoding="utf-8")

    def options(self, stage: str) -> tuple[str, ...]:
        owner = ("--owner", OWNER) if stage == "s0" else ()
        return (f"gates/{stage}", "--candidates", self.pattern, "--decision-tag-prefix", PREFIX, *owner)

    def write_packets(self, stage: str) -> Ended:
        """Ask for the text, write it once, and have it spread."""
        words = ("packet", PREFIX, stage, "--candidates", self.pattern)
        asked = self.warm.stagegate(self.desk, *words)
        assert asked.status == 0, asked.output
        text = self.desk.workspace / "docs" / "production_research" / "batches" / PREFIX / f"{stage}.md"
        refused = self.warm.stagegate(self.desk, *words)
        assert (refused.status, "text of the batch is not written" in refused.output) == (4, True)
        human = "".join(f"## {heading}\n\n{SECTIONS[heading]}\n\n" for heading in PROMPTS)
        text.write_text(f"# {PREFIX} {stage}\n\n{human}## Evidence\n\n## Outcome\n", encoding="utf-8")
        return self.warm.stagegate(self.desk, *words)

    def run(self, stage: str, *more: str) -> Ended:
        return self.warm.pytest(self.desk, *self.options(stage), *more)

    def verdicts(self, stage: str) -> dict[str, str]:
        """Tag -> verdict of its FINISHED row."""
        return {
            row["decision_tag"]: row["verdict"]
            for row in self.desk.rows()
            if (row["event"], row["stage"]) == ("FINISHED", stage)
        }

    def pack(self, tag: str, stage: str) -> Path:
        (report,) = [
            row["report"]
            for row in self.desk.rows()
            if (row["event"], row["stage"], row["decision_tag"]) == ("FINISHED", stage, tag)
        ]
        return (self.desk.workspace / report).parent


@pytest.fixture(scope="module")
def batch(road: Road, warm: WarmInterpreter, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Three candidates through s0 without workers and s1 on two."""
    batch = Batch(road.fresh(tmp_path_factory.mktemp("batch")), warm)
    momentum = "{ lookback_days = 63, skip_days = 1 }"
    fewer = {SINGLE_VARIANT: "", momentum: "{ lookback_days = 63 }"}
    batch.add("loser.toml", "loser", {**fewer, 'function = "momentum"': 'function = "reversal"'})
    batch.add("dying.toml", "dying", {**fewer, 'function = "momentum"': 'function = "dying.py:score"'})
    (batch.folder / "dying.py").write_text(DYING, encoding="utf-8")
    assert batch.write_packets("s0").status == 0
    ended = batch.run("s0")
    assert ended.status == 0, ended.output
    assert batch.write_packets("s1").status == 0
    batch.s1 = batch.run("s1", "-n", "2")
    return batch


def test_each_candidate_has_its_own_verdict_and_the_worst_is_the_exit_status(batch):
    found = batch.verdicts("s1")
    assert found.pop("b1-dying") in ("FAIL", "INCOMPLETE")
    assert found == {"b1-small-momentum": "PASS", "b1-loser": "FAIL"}, batch.s1.output
    assert batch.s1.status == {"FAIL": 1, "INCOMPLETE": 2}[batch.verdicts("s1")["b1-dying"]]
    assert "batch of 3: 1 PASS" in batch.s1.output


def test_the_evidence_is_that_of_a_run_of_its_own_to_the_byte(batch, road):
    for stage in ("s0", "s1"):
        alone = (road.after(stage).pack(stage) / "evidence.json").read_bytes()
        assert (batch.pack("b1-small-momentum", stage) / "evidence.json").read_bytes() == alone


def test_every_pack_holds_its_share_and_names_the_whole(batch):
    tags = list(batch.verdicts("s1"))
    for tag in tags:
        pack = batch.pack(tag, "s1")
        record = json.loads((pack / "batch.json").read_text(encoding="utf-8"))
        assert (record["name"], record["tags"]) == (tag.removeprefix("b1-"), tags)
        assert record["taken_from"].keys() == {"evidence_stream.jsonl", "pytest_report.json", "run.log"}
        for kept in record["taken_from"].values():
            assert kept["sha256"] == f"sha256:{sha256_file(batch.desk.workspace / kept['path'])}"
        tests = json.loads((pack / "pytest_report.json").read_text(encoding="utf-8"))["tests"]
        assert tests
        assert not any(other in test["nodeid"] for test in tests for other in ("loser", "dying", "small"))


def test_the_packets_say_that_one_text_was_written_for_all(batch):
    for tag in batch.verdicts("s1"):
        text = batch.desk.packet(tag, "s1").read_text(encoding="utf-8")
        assert text.startswith(f"# {tag} s1\n")
        assert "Written once for all candidates of a batch" in text
        assert SECTIONS["Why"] in text
        assert "## Outcome\n\nPASS" in text or "FAIL." in text or "INCOMPLETE." in text


def test_the_record_holds(batch):
    verified = batch.warm.stagegate(batch.desk, "verify")
    assert verified.status == 0, verified.output
    if not AUDITOR.is_file():
        pytest.skip("the auditor's script is not here")
    done = subprocess.run(
        [sys.executable, str(AUDITOR), str(batch.desk.workspace)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_one_that_may_not_start_stops_all_and_nothing_is_written(batch):
    before = batch.desk.listing()
    ended = batch.run("s2", "-n", "2")
    assert ended.status == 4
    assert "1 of 1 candidates may not start, so none does" in ended.output
    assert "the explainability packet is not written" in ended.output
    assert batch.desk.listing() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--candidates", "*.toml", "--decision-tag", "one"), "found one of them"),
        (("--decision-tag-prefix", "b2"), "found one of them"),
        (("--candidates", "none*.toml", "--decision-tag-prefix", "b2"), "no file matches"),
        (("--candidates", "a.toml", "b.toml", "--decision-tag-prefix", "b2"), "quote it"),
    ],
)
def test_a_batch_that_is_not_asked_for_whole_is_refused(batch, options, said):
    before = batch.desk.listing()
    ended = batch.warm.pytest(batch.desk, "gates/s0", "--owner", OWNER, *options)
    assert (ended.status, said in ended.output) == (4, True), ended.output
    assert batch.desk.listing() == before


def test_who_did_not_pass_is_left_out_and_an_interrupted_batch_is_closed(batch):
    spread = batch.write_packets("s2")
    assert "b1-small-momentum/s2.md" in spread.output
    assert "b1-loser" not in spread.output
    process = subprocess.Popen(
        batch.desk.command(*batch.options("s2")),
        cwd=batch.desk.repository,
        env=clean_environment(batch.desk.workspace.parent),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    logs = batch.desk.workspace / "runs" / "batches"
    known = set(logs.glob("*/run.log"))
    deadline = time.monotonic() + 120
    while not set(logs.glob("*/run.log")) - known and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert "LEFT OUT b1-loser: it ended as FAIL" in said
    assert batch.verdicts("s2") == {"b1-small-momentum": "INCOMPLETE"}
    assert batch.warm.stagegate(batch.desk, "verify").status == 0


def test_a_rehearsed_batch_shows_a_table_each_and_a_summary(batch):
    ended = batch.warm.pytest(batch.desk, "gates/s0", "-q", "-n", "2", "--candidates", batch.pattern)
    assert ended.status == 0, ended.output
    for name in ("small-momentum", "loser", "dying"):
        assert f"rehearsal of {name}: nothing was recorded" in ended.output
    tables, _, summary = ended.output.partition("hard cells not passed")
    assert (tables.count("would pass"), summary.count("would pass")) == (3, 3), ended.output
