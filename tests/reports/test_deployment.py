"""Deployment files: templates are refused until a person has written them, and a trigger must be quiet, then fire."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.expectations import Expected
from engines.monitoring import METRICS, Book, Reference, Returns
from reports.deployment import readiness
from reports.deployment.alarms import CHANGES, alarm_rate
from reports.deployment.templates import (
    NOTE_PROMPTS,
    NOTES,
    ROLLBACK,
    WATCHLIST,
    Figures,
    figures_of,
    proposed_triggers,
    templates,
    write_stage_files,
)
from reports.deployment.triggers import Trigger, evaluate, planted_breach
from reports.record.errors import RequestRefused
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from tests.reports.recorded_tag import HASH, new_workspace, record_passes

TAG = "mom-2026-01"
FREEZE = f"sha256:{HASH}"


def market(n_days: int = 756, seed: int = 2) -> Returns:
    """Daily net returns of a quiet strategy: 10 % volatility, Sharpe near 3."""
    return np.random.default_rng(seed).normal(0.0012, 0.0063, n_days)


def reference(net: Returns) -> Reference:
    """A record of these returns with everything else that is known of one."""
    rng, n_days = np.random.default_rng(8), net.size
    book = Book(
        dates=np.busday_offset("2020-01-01", np.arange(n_days), roll="forward"),
        net=net,
        market=rng.normal(3e-4, 1e-2, n_days),
        cost=rng.uniform(5e-5, 1e-4, n_days),
        turnover=rng.uniform(0.03, 0.05, n_days),
        ic=rng.normal(0.03, 0.1, n_days),
        gross_exposure=np.full(n_days, 2.0),
        net_exposure=np.zeros(n_days),
    )
    return Reference(book, 21, 7)


REFERENCE = reference(market())
FIGURES = Figures((Expected("net Sharpe ratio", 1.25, 0.1, 2.4, "annualised"),), REFERENCE)


UNWRITTEN = templates(TAG, FREEZE, FIGURES)


def written(name: str) -> str:
    """A deployment file as a person would leave it."""
    text = UNWRITTEN[name]
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
    watchlist = readiness.read_watchlist(desk.packet_dir(TAG))
    assert (len(watchlist.metrics), watchlist.faults) == (8, ())
    rollback = readiness.judge_rollback(desk.packet_dir(TAG), REFERENCE)
    assert (rollback.n_triggers, rollback.n_hard, rollback.faults) == (4, 3, ())
    assert rollback.behaviour(REFERENCE).count("% of years without cause") == 4
    assert readiness.unwritten_files(desk, TAG, FREEZE) == ()


def test_templates_are_refused_until_they_are_written(desk: Workspace) -> None:
    for name, text in UNWRITTEN.items():
        put(desk, name, text)
    assert readiness.deployment_note_faults(desk, TAG, HASH) == tuple(
        f"'## {heading}' is not written" for heading in NOTE_PROMPTS
    )
    assert readiness.read_watchlist(desk.packet_dir(TAG)).metrics == ()
    assert all("owner" in fault for fault in readiness.read_watchlist(desk.packet_dir(TAG)).faults)
    rollback = readiness.judge_rollback(desk.packet_dir(TAG), REFERENCE)
    assert rollback.n_hard == 0
    assert all("action" in fault for fault in rollback.faults)
    assert {fault.partition(":")[0] for fault in readiness.unwritten_files(desk, TAG, FREEZE)} == {
        NOTES,
        WATCHLIST,
        ROLLBACK,
    }


@pytest.mark.parametrize("figures", [FIGURES, Figures()])
def test_templates_are_toml_with_bounds_from_the_record(figures: Figures) -> None:
    texts = UNWRITTEN if figures is FIGURES else templates(TAG, FREEZE, figures)
    bounds = {entry["name"]: entry["bound"] for entry in tomllib.loads(texts[ROLLBACK])["trigger"]}
    deepest = evaluate(trigger(bound=1.0), REFERENCE.book, REFERENCE).worst
    assert bounds["drawdown stop"] == pytest.approx(1.5 * deepest if figures is FIGURES else 0.1, rel=0.01)
    assert bounds["crash day"] == pytest.approx(8 * market().std(ddof=1) if figures is FIGURES else 0.08, rel=0.01)
    assert len(tomllib.loads(texts[WATCHLIST])["metric"]) == 8
    assert FREEZE in texts[NOTES]
    for text in texts.values():
        assert ("net Sharpe ratio" in text) is (figures is FIGURES)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", [0.2, 3.0])
def test_proposed_triggers_are_quiet_on_the_record_and_fire_on_a_breach(scale: float, seed: int) -> None:
    known = reference(scale * market(seed=seed))
    for proposed in proposed_triggers(known):
        assert not evaluate(proposed, known.book, known).breached, proposed.name
        assert evaluate(proposed, planted_breach(known.book, proposed.window_days or 0), known).breached, proposed.name


def test_rehearsal_files_pass_on_any_candidate(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    readiness.write_rehearsal_files(workspace, TAG, HASH)
    assert readiness.unwritten_files(workspace, TAG, HASH) == ()
    for seed in range(3):
        for scale in (0.1, 1.0, 5.0):
            rollback = readiness.judge_rollback(workspace.packet_dir(TAG), reference(scale * market(seed=seed)))
            assert (rollback.n_hard, rollback.faults) == (1, ())


def test_s4_brings_the_deployment_files(tmp_path: Path) -> None:
    """Before s3 has passed they hold guesses, and say so; what exists is left as it is."""
    workspace = new_workspace(tmp_path)
    record_passes(workspace, TAG, ("s0", "s1"))
    assert figures_of(workspace, Registry(workspace.root).rows(), TAG) == Figures()
    paths = write_stage_files(workspace, TAG, "s4")
    assert [path.name for path in paths] == ["s4.md", NOTES, WATCHLIST, ROLLBACK]
    notes = (workspace.packet_dir(TAG) / NOTES).read_text(encoding="utf-8")
    assert FREEZE in notes
    assert "s3 has not passed" in notes
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
        ("bound = 0.05", 'bound = "low"', "bound"),
        ("bound = 0.05", "bound = nan", "bound"),
        ("bound = 0.05", "bound = 0.05\nbound = 0.2", "not TOML"),
        ('name = "rank IC"', 'name = "Drawdown"', "'drawdown' stands there 2 times"),
        ('metric = "drawdown"', 'metric = "drawdwn"', "metric is 'drawdwn'"),
        ('metric = "drawdown"', 'metric = "drawdown"\nwindow_days = 20', "takes no window_days"),
        ("window_days = 126", "", "needs window_days"),
        ('relation = "<="', 'relation = ">="', "turn the relation"),
        ('metric = "net_sharpe_p"', "", "belongs to a metric that is read from live data"),
        ('relation = "<="', 'relation = "under"', "relation"),
    ],
)
def test_a_malformed_watchlist_names_its_fault(desk: Workspace, old: str, new: str, fault: str) -> None:
    change(desk, WATCHLIST, old, new)
    watchlist = readiness.read_watchlist(desk.packet_dir(TAG))
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
    assert readiness.read_watchlist(desk.packet_dir(TAG)).faults
    assert readiness.judge_rollback(desk.packet_dir(TAG), REFERENCE).faults


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


def read(asked: Trigger, net: Returns) -> Any:
    return evaluate(asked, Book(np.arange(net.size).astype("datetime64[D]"), net), REFERENCE)


def test_a_first_loss_is_a_drawdown() -> None:
    assert read(trigger(bound=0.05), np.array([-0.06, 0.01])).breached


def test_a_reading_counts_days_and_keeps_the_worst() -> None:
    reading = read(trigger(metric="daily_loss", bound=0.02), np.array([0.01, -0.03, -0.02, -0.04, 0.01]))
    assert (reading.n_days, reading.worst, reading.n_breaches) == (5, pytest.approx(0.04), 2)
    assert (reading.first, reading.last, reading.last_breached) == (1, -0.01, False)
    assert read(trigger(metric="daily_loss", relation=">=", bound=0.04), np.array([0.0, -0.04])).last_breached


def test_a_window_longer_than_the_series_reads_nothing() -> None:
    reading = read(trigger(metric="rolling_net_sharpe", relation="<", window_days=30, bound=0.0), market(20))
    assert (reading.n_days, reading.breached) == (0, False)


def test_a_book_that_lacks_the_input_is_not_read() -> None:
    assert read(trigger(metric="cost_ratio", window_days=20), market(30)) is None


BREACHES: dict[str, dict[str, Any]] = {
    "daily_loss": {"bound": 0.04},
    "drawdown": {"bound": 0.25},
    "rolling_mean_net": {"window_days": 126, "relation": "<", "bound": -0.001},
    "rolling_net_sharpe": {"window_days": 126, "relation": "<", "bound": -2.5},
    "rolling_volatility": {"window_days": 21, "bound": 0.2},
    "net_sharpe_p": {"window_days": 126, "relation": "<", "bound": 0.001},
    "lost_edge": {"bound": 5.0},
    "rolling_ic": {"window_days": 63, "relation": "<", "bound": -0.02},
    "turnover_ratio": {"window_days": 63, "bound": 1.5},
    "cost_ratio": {"window_days": 63, "bound": 1.5},
    "beta_abs": {"window_days": 63, "bound": 0.5},
    "gross_exposure": {"bound": 2.2},
    "net_exposure_abs": {"bound": 0.2},
}


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_quiet_on_the_record_and_fires_on_the_planted_breach(metric: str) -> None:
    asked = trigger(**{"metric": metric, **BREACHES[metric]})
    assert not evaluate(asked, REFERENCE.book, REFERENCE).breached
    assert evaluate(asked, planted_breach(REFERENCE.book, asked.window_days or 0), REFERENCE).breached


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_notices_the_change_it_is_there_for(metric: str) -> None:
    """A short simulation: false alarms within what the record's own quiet promises, most changes seen within two years."""
    found = alarm_rate(trigger(**{"metric": metric, **BREACHES[metric]}), REFERENCE, n_years=60, n_changed=15)
    assert CHANGES[metric].name == found.change
    assert found.false_alarms.lower <= 0.05
    assert found.median_days is not None, found.describe()
    assert found.median_days < 2 * 252


@settings(max_examples=50)
@given(st.integers(2, 300), st.integers(0, 2**32 - 1), st.floats(1e-4, 0.2), st.integers(0, 200))
def test_a_planted_breach_keeps_the_past_and_wealth_above_nothing(
    n_days: int, seed: int, largest: float, window_days: int
) -> None:
    returns = np.random.default_rng(seed).uniform(-largest, largest, n_days)
    planted = planted_breach(reference(returns).book, window_days)
    np.testing.assert_array_equal(planted.net[: returns.size], returns)
    assert np.isfinite(planted.net).all()
    assert planted.net.min() > -1.0
    assert planted.n_days >= returns.size + 3 * window_days
    assert (np.diff(planted.dates).astype(int) > 0).all()
    assert all(getattr(planted, name).size == planted.n_days for name in ("market", "cost", "ic", "gross_exposure"))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('relation = ">"\nbound = 0.1', 'relation = ">"\nbound = 0.00', "was breached out of sample already"),
        ('relation = ">"\nbound = 0.', 'relation = ">"\nbound = 0.999', "silent on the planted breach"),
        ("window_days = 126", "window_days = 750", "longer than they are"),
        ("window_days = 126", "", "needs window_days"),
        (
            'action = "halve the book at the next open, then call otto"',
            'action = "TBD"',
            "action holds the placeholder",
        ),
        ('action = "halve the book at the next open, then call otto"', 'action = "sell"', "action says only 'sell'"),
        ('metric = "drawdown"', 'metric = "drawdwn"', "metric"),
        ('name = "lost edge"', 'name = "crash day"', "'crash day' stands there 2 times"),
    ],
)
def test_a_trigger_that_does_not_work_is_a_fault(desk: Workspace, old: str, new: str, fault: str) -> None:
    change(desk, ROLLBACK, old, new)
    rollback = readiness.judge_rollback(desk.packet_dir(TAG), reference(market(500)))
    assert any(fault in found for found in rollback.faults), rollback.faults


def test_a_broken_hard_trigger_does_not_count(desk: Workspace) -> None:
    change(desk, ROLLBACK, 'relation = ">"\nbound = 0.', 'relation = ">"\nbound = 0.999')
    assert readiness.judge_rollback(desk.packet_dir(TAG), REFERENCE).n_hard == 2


@pytest.mark.parametrize("returns", [np.array([]), np.array([0.01]), np.array([0.01, np.nan, 0.02])])
def test_returns_that_cannot_be_judged_are_a_fault(desk: Workspace, returns: Returns) -> None:
    rollback = readiness.judge_rollback(desk.packet_dir(TAG), reference(returns))
    assert rollback.n_hard == 0
    assert "the out-of-sample returns are" in rollback.faults[-1]
