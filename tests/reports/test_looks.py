"""The budget of looks: every run that started counts, as of its own start, and a renewed file is told from the same one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from reports.criteria.looks import KIND_OF_STAGE, looks

FREEZE = SimpleNamespace(
    tag="mine-2", record={"candidate": {"config": {"family": "momentum"}}, "data": {"sha256": "aa"}}
)


def row(event: str, stage: str, tag: str, family: str = "momentum", data: str = "aa") -> dict[str, str]:
    return {
        "event": event,
        "stage": stage,
        "decision_tag": tag,
        "family": family,
        "data_sha256": f"sha256:{data}",
    }


ROWS = [
    row("STARTED", "s2", "mine-1"),
    row("FINISHED", "s2", "mine-1"),
    row("STARTED", "s3", "mine-1"),
    row("ABANDONED", "s3", "mine-1"),
    row("STARTED", "s1", "mine-3"),
    row("STARTED", "s2", "old-1", data="bb"),
    row("STARTED", "s2", "theirs", family="value"),
    row("STARTED", "s4", "theirs", family="value"),
    row("STARTED", "s4", "mine-0"),
    row("STARTED", "s4", "old-1", data="bb"),
    row("STARTED", "s2", "mine-2"),
    row("FINISHED", "s2", "mine-2"),
]


@pytest.mark.parametrize(
    ("windows", "stage", "counted"), [("walk-forward", "s3", (1, 2, 1, 1)), ("sealed", "s4", (0, 1, 1, 1))]
)
def test_every_started_run_is_a_look(windows, stage, counted) -> None:  # type: ignore[no-untyped-def]
    found = looks(ROWS, FREEZE, windows, stage)
    assert (found.own, found.family, found.others, found.family_elsewhere) == counted
    assert f"{found.family} by its family and {found.others} by other families" in found.note


def test_the_count_is_that_of_the_runs_own_start_whatever_came_later() -> None:
    started = [*ROWS, row("STARTED", "s3", "mine-2")]
    later = [row("STARTED", "s3", "mine-9"), row("STARTED", "s2", "mine-9")]
    before = looks(ROWS, FREEZE, "walk-forward", "s3")
    assert looks(started, FREEZE, "walk-forward", "s3") == before
    assert looks(started + later, FREEZE, "walk-forward", "s3") == before
    assert looks(ROWS + later, FREEZE, "walk-forward", "s3").family == before.family + 2


def test_only_stages_that_see_a_window_look() -> None:
    assert set(KIND_OF_STAGE) == {"s2", "s3", "s4"}
    assert looks([], FREEZE, "sealed", "s4").family == 0
