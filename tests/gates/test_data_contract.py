"""What monitoring asks of new data is what the gates of S1 measure, figure by figure."""

from __future__ import annotations

from engines.candidate import load_candidate
from engines.study import open_study
from reports.criteria.policy import POLICY_FILE, load_policy
from reports.deployment.monitor import DATA_CONTRACT
from tests.gates.harness import REPOSITORY

NOT_ASKED_OF_NEW_DATA = {"s1.dq.required_columns", "s1.dq.min_rows", "s1.dq.calendar.order"}
"""The reader refuses a file without its columns; the file has only grown; rows after the last live day are no fault of it."""


def test_monitoring_measures_what_s1_measures(honest, bench):
    quality = open_study(load_candidate(bench.honest), bench.cache).quality
    run = honest.run("s1")
    found = {entry.threshold.id: entry.value for result in run.verdict.cells for entry in result.evidence}
    assert {name: measure(quality) for name, measure in DATA_CONTRACT.items()} == {
        name: found[name] for name in DATA_CONTRACT
    }


def test_every_hard_data_threshold_is_asked_or_left_out_with_a_reason():
    rows = load_policy(REPOSITORY / POLICY_FILE).gate
    hard = {line.id for row in rows for line in row.thresholds if row.key.startswith("s1.dq.") and row.level == "hard"}
    assert hard == DATA_CONTRACT.keys() | NOT_ASKED_OF_NEW_DATA
