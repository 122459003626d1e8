"""Deployment files: templates are refused until a person has written them, and a trigger must be quiet, then fire."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.deployment import readiness
from reports.deployment.templates import (
    NOTE_PROMPTS,
    NOTES,
    ROLLBACK,
    WATCHLIST,
    Figures,
    figures_of,
    templates,
    write_stage_files,
)
from reports.deployment.triggers import METRICS, Returns, Trigger, evaluate, planted_breach
from reports.record.errors import RequestRefused
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from tests.reports.recorded_tag import HASH, cell, gate, new_workspace, record_passes, record_stage

TAG = "mom-2026-01"
FREEZE = f"sha256:{HASH}"
FIGURES = Figures(
    wf_ic=0.03, net_sharpe=1.25, max_drawdown=0.12, annual_volatility=0.1, cost_drag_bps=0.8, turnover_overlap=0.7
)


def market(n_days: int = 756, seed: int = 2) -> Returns:
    """Daily net returns of a quiet strategy: 10 % volatility, Sharpe near 1."""
    return np.random.default_rng(seed).normal(0.0004, 0.0063, n_days)


def written(name: str) -> str:
    """A deployment file as a person would leave it."""
    text = templates(TAG, FREEZE, FIGURES)[name]
    for prompt in NOTE_PROMPTS.values():
        text = text.replace(f"<!-- {prompt} -->", "The desk runs it on the usual account and venues.")
    return text.replace('owner = ""', 'owner = "otto"').replace(
        'action = ""', 'action = "halve the book at the next open, then call otto"'
    )


@pytest.fixture
def desk(tmp_path: Path) -> Workspace:
    """A workspace with the three files written."""
    workspace = Workspace(tmp_path)
    workspace.packet_dir(TAG).mkdir(parents=True)
    for name in (NOTES, WATCHLIST, ROLLBACK):
        put(workspace, name, written(name))
    return workspace


def put(workspace: Workspace, name: str, text: str) -> None:
    (workspace.packet_dir(TAG) / name).write_text(text, encoding="utf-8")


def change(workspace: Workspace, name: str, old: str, new: str) -> None:
    text = (workspace.packet_dir(TAG) / name).read_text(encoding="utf-8")
    assert old in text
    put(workspace, name, text.replace(old, new, 1))


# ------------------------------------------------------------------------------------------------ templates


def test_written_files_hold(desk: Workspace) -> None:
    assert readiness.deployment_note_faults(desk, TAG, HASH) == ()
    watchlist = readiness.read_watchlist(desk, TAG)
    assert (len(watchlist.metrics), watchlist.faults) == (4, ())
    rollback = readiness.judge_rollback(desk, TAG, market())
    assert (rollback.n_triggers, rollback.n_hard, rollback.faults) == (3, 2, ())
    assert readiness.unwritten_files(desk, TAG, FREEZE) == ()


def test_templates_are_refused_until_they_are_written(desk: Workspace) -> None:
    for name, text in templates(TAG, FREEZE, FIGURES).items():
        put(desk, name, text)
    assert readiness.deployment_note_faults(desk, TAG, HASH) == tuple(
        f"'## {heading}' is not written" for heading in NOTE_PROMPTS
    )
    assert readiness.read_watchlist(desk, TAG).metrics == ()
    assert all("owner" in fault for fault in readiness.read_watchlist(desk, TAG).faults)
    rollback = readiness.judge_rollback(desk, TAG, market())
    assert rollback.n_hard == 0
    assert all("action" in fault for fault in rollback.faults)
    assert {fault.partition(":")[0] for fault in readiness.unwritten_files(desk, TAG, FREEZE)} == {
        NOTES,
        WATCHLIST,
        ROLLBACK,
    }


@pytest.mark.parametrize("figures", [FIGURES, Figures()])
def test_templates_are_toml_with_bounds_from_the_record(figures: Figures) -> None:
    texts = templates(TAG, FREEZE, figures)
    bounds = {entry["name"]: entry["bound"] for entry in tomllib.loads(texts[WATCHLIST])["metric"]}
    assert bounds["drawdown"] == pytest.approx(0.18 if figures is FIGURES else 0.1)
    assert bounds["rolling_net_sharpe"] == pytest.approx(
        (1.25 if figures is FIGURES else 0.0) - 2 * math.sqrt(2), abs=0.005
    )
    assert len(tomllib.loads(texts[ROLLBACK])["trigger"]) == 3
    assert FREEZE in texts[NOTES]


def test_rehearsal_files_pass_on_any_candidate(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    readiness.write_rehearsal_files(workspace, TAG, HASH)
    assert readiness.unwritten_files(workspace, TAG, HASH) == ()
    for seed in range(3):
        for scale in (0.1, 1.0, 5.0):
            rollback = readiness.judge_rollback(workspace, TAG, scale * market(seed=seed))
            assert (rollback.n_hard, rollback.faults) == (1, ())


def test_s4_brings_the_deployment_files_with_the_measured_figures(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path)
    record_passes(workspace, TAG, ("s0", "s1"))
    level = gate(cell(0.12, 0.2, relation="<="), level="diagnostic")
    record_stage(
        workspace,
        TAG,
        "s2",
        gates={"s2.risk.max_drawdown": gate(cell(1.2, 2.5, relation="<=")), "s2.risk.drawdown_level": level},
    )
    record_stage(workspace, TAG, "s3", gates={"s3.net_sharpe.level": gate(cell(1.25), cell(0.9))})
    figures = figures_of(workspace, Registry(workspace.root).rows(), TAG)
    assert (figures.net_sharpe, figures.max_drawdown, figures.annual_volatility) == (1.25, 0.12, pytest.approx(0.1))
    assert math.isnan(figures.wf_ic)
    paths = write_stage_files(workspace, TAG, "s4")
    assert [path.name for path in paths] == ["s4.md", NOTES, WATCHLIST, ROLLBACK]
    assert FREEZE in (workspace.packet_dir(TAG) / NOTES).read_text(encoding="utf-8")
    (workspace.packet_dir(TAG) / WATCHLIST).unlink()
    assert [path.name for path in write_stage_files(workspace, TAG, "s4")] == [WATCHLIST]
    with pytest.raises(RequestRefused, match="exist already"):
        write_stage_files(workspace, TAG, "s4")


# ------------------------------------------------------------------------------------------------ notes


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (FREEZE, f"sha256:{'0' * 64}", "'## Freeze' names sha256:000"),
        (FREEZE, "the usual one", "names no freeze"),
        (FREEZE, f"{FREEZE} or sha256:{'0' * 64}", "'## Freeze' names"),
        (f"`{FREEZE}`", f"<!-- {FREEZE} -->", "names no freeze"),
        ("## Execution", "## Trading", "'## Execution' stands there 0 times"),
        ("## Rollback", "## Execution", "'## Execution' stands there 2 times"),
        (f"# {TAG} deployment", "# other deployment", "the first heading"),
        (
            "The desk runs it on the usual account and venues.",
            "TBD",
            "'## What is deployed' holds the placeholder 'TBD'",
        ),
    ],
)
def test_notes_are_written_and_name_exactly_the_freeze(desk: Workspace, old: str, new: str, fault: str) -> None:
    change(desk, NOTES, old, new)
    assert any(fault in found for found in readiness.deployment_note_faults(desk, TAG, HASH))


# ------------------------------------------------------------------------------------------------ toml files


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("schema = 1", "schema = 2", "schema is 2, expected 1"),
        ("schema = 1", "schema = true", "schema is True"),
        ("[[metric]]", "[[metrics]]", "did you mean 'metric'"),
        ('owner = "otto"', 'owner = "TBD"', "owner holds the placeholder"),
        ('owner = "otto"', "", "owner is missing"),
        ('owner = "otto"', 'ower = "otto"', "did you mean 'owner'"),
        ('frequency = "daily"', 'frequency = "sometimes"', "frequency"),
        ("bound = 0.18", 'bound = "low"', "bound"),
        ("bound = 0.18", "bound = nan", "bound"),
        ("bound = 0.18", "bound = 0.18\nbound = 0.2", "not TOML"),
        ('name = "rank_ic"', 'name = "Drawdown"', "'drawdown' stands there 2 times"),
        ('relation = "<="', 'relation = "under"', "relation"),
    ],
)
def test_a_malformed_watchlist_names_its_fault(desk: Workspace, old: str, new: str, fault: str) -> None:
    change(desk, WATCHLIST, old, new)
    watchlist = readiness.read_watchlist(desk, TAG)
    assert any(fault in found for found in watchlist.faults), watchlist.faults


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"metric = 3\nschema = 1\n", b"[" * 5000, b"", "link"])
def test_every_file_has_an_answer(desk: Workspace, content: Any) -> None:
    for name in (NOTES, WATCHLIST, ROLLBACK):
        path = desk.packet_dir(TAG) / name
        path.unlink()
        if content == "link":
            path.symlink_to("/etc/hostname")
        elif content is not None:
            path.write_bytes(content)
    assert readiness.deployment_note_faults(desk, TAG, HASH)
    assert readiness.read_watchlist(desk, TAG).faults
    assert readiness.judge_rollback(desk, TAG, market()).faults


# ------------------------------------------------------------------------------------------------ triggers


def trigger(**changes: Any) -> Trigger:
    fields = {
        "name": "stop",
        "metric": "drawdown",
        "relation": ">",
        "bound": 0.15,
        "severity": "hard",
        "action": "flatten the book",
    }
    return Trigger.model_validate(fields | changes)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"metric": "rolling_net_sharpe", "relation": "<"}, "needs window_days"),
        ({"window_days": 21}, "takes no window_days"),
        ({"relation": "<"}, "turn the relation"),
        ({"metric": "rolling_mean_net", "window_days": 21}, "turn the relation"),
        ({"metric": "draw_down"}, "Input should be"),
        ({"bound": math.inf}, "finite"),
        ({"severity": "harsh"}, "hard"),
        ({"window_days": 3, "metric": "rolling_volatility"}, "greater than or equal to 5"),
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        trigger(**changes)


def test_metrics_by_hand() -> None:
    returns = np.array([0.10, -0.50, 0.20, -0.10, 0.0])
    np.testing.assert_allclose(METRICS["daily_loss"](returns, 1), [-0.10, 0.50, -0.20, 0.10, 0.0])
    np.testing.assert_allclose(METRICS["drawdown"](returns, 1), [0.0, 0.5, 0.4, 0.46, 0.46], atol=1e-12)
    np.testing.assert_allclose(METRICS["rolling_mean_net"](returns, 5), [np.nan] * 4 + [-0.06])
    deviation = float(np.std(returns, ddof=1))
    np.testing.assert_allclose(METRICS["rolling_volatility"](returns, 5)[-1], deviation * math.sqrt(252))
    np.testing.assert_allclose(METRICS["rolling_net_sharpe"](returns, 5)[-1], -0.06 / deviation * math.sqrt(252))


def test_a_first_loss_is_a_drawdown() -> None:
    assert evaluate(trigger(bound=0.05), np.array([-0.06, 0.01])).breached


def test_a_reading_counts_days_and_keeps_the_worst() -> None:
    reading = evaluate(trigger(metric="daily_loss", bound=0.02), np.array([0.01, -0.03, -0.02, -0.04]))
    assert (reading.n_days, reading.worst, reading.n_breaches) == (4, pytest.approx(0.04), 2)
    assert evaluate(trigger(metric="daily_loss", relation=">=", bound=0.04), np.array([-0.04, 0.0])).breached


def test_a_window_longer_than_the_series_reads_nothing() -> None:
    reading = evaluate(trigger(metric="rolling_net_sharpe", relation="<", window_days=30, bound=0.0), market(20))
    assert (reading.n_days, reading.breached) == (0, False)


@pytest.mark.parametrize("scale", [0.05, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_sensible_triggers_fire_on_the_planted_breach_only(scale: float, seed: int) -> None:
    returns = scale * market(seed=seed)
    sigma = float(returns.std(ddof=1))
    sensible = [
        trigger(metric="daily_loss", bound=6 * sigma),
        trigger(metric="drawdown", bound=1.5 * -evaluate_worst(returns)),
        trigger(metric="rolling_mean_net", relation="<", window_days=63, bound=-0.6 * sigma),
        trigger(metric="rolling_net_sharpe", relation="<", window_days=63, bound=-9.0),
        trigger(metric="rolling_volatility", window_days=21, bound=2 * sigma * math.sqrt(252)),
    ]
    for entry in sensible:
        assert not evaluate(entry, returns).breached
        assert evaluate(entry, planted_breach(returns, entry.window_days or 0)).breached


def evaluate_worst(returns: Returns) -> float:
    return -evaluate(trigger(bound=1.0), returns).worst


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=300), st.integers(0, 200))
def test_a_planted_breach_keeps_the_past_and_wealth_above_nothing(values: list[float], window_days: int) -> None:
    returns = np.array(values)
    planted = planted_breach(returns, window_days)
    np.testing.assert_array_equal(planted[: returns.size], returns)
    assert np.isfinite(planted).all()
    assert planted.min() > -1.0
    assert planted.size >= returns.size + 2 * window_days


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("bound = 0.18", "bound = 0.001", "was breached out of sample already"),
        ("bound = 0.18", "bound = 0.999", "silent on the planted breach"),
        ("window_days = 126", "window_days = 750", "longer than they are"),
        ("window_days = 126", "", "needs window_days"),
        (
            'action = "halve the book at the next open, then call otto"',
            'action = "TBD"',
            "action holds the placeholder",
        ),
        ('action = "halve the book at the next open, then call otto"', 'action = "sell"', "action says only 'sell'"),
        ('metric = "drawdown"', 'metric = "drawdwn"', "metric"),
        ('name = "decay"', 'name = "crash day"', "'crash day' stands there 2 times"),
    ],
)
def test_a_trigger_that_does_not_work_is_a_fault(desk: Workspace, old: str, new: str, fault: str) -> None:
    change(desk, ROLLBACK, old, new)
    rollback = readiness.judge_rollback(desk, TAG, market(500))
    assert any(fault in found for found in rollback.faults), rollback.faults


def test_a_broken_hard_trigger_does_not_count(desk: Workspace) -> None:
    change(desk, ROLLBACK, "bound = 0.18", "bound = 0.999")
    assert readiness.judge_rollback(desk, TAG, market()).n_hard == 1


@pytest.mark.parametrize("returns", [np.array([]), np.array([0.01]), np.array([0.01, np.nan, 0.02])])
def test_returns_that_cannot_be_judged_are_a_fault(desk: Workspace, returns: Returns) -> None:
    rollback = readiness.judge_rollback(desk, TAG, returns)
    assert rollback.n_hard == 0
    assert "the out-of-sample returns are" in rollback.faults[-1]
