"""S4: nobody signed, nothing is written down, nobody watches, no trigger works, and the sealed window says no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from engines.study import Study
from engines.walk_forward import OutOfSample
from reports.deployment.templates import NOTES, ROLLBACK, WATCHLIST
from tests.gates.case import Case, these
from tests.gates.champions import (
    AFTER_THE_CHAMPION,
    CHAMPION,
    as_it_is,
    richer,
    with_champion,
    with_touched_champion,
)
from tests.gates.harness import Rehearsed, planted


def without_signatures(kept: int) -> Callable[[Rehearsed], None]:
    """Only the first `kept` signatures still lie in their folder."""

    def remove(rehearsed: Rehearsed) -> None:
        folder = rehearsed.workspace.packet_dir("rehearsal") / "signatures"
        statements = sorted(folder.glob("*.json"))
        assert len(statements) == 2
        for statement in statements[kept:]:
            for path in folder.glob(f"{statement.stem}*"):
                path.unlink()

    return remove


def edited(name: str, change: Callable[[str], str]) -> Callable[[Rehearsed], None]:
    """A deployment file with its text changed."""

    def edit(rehearsed: Rehearsed) -> None:
        path = rehearsed.workspace.packet_dir("rehearsal") / name
        before = path.read_text(encoding="utf-8")
        after = change(before)
        assert after != before
        path.write_text(after, encoding="utf-8")

    return edit


def two_metrics(text: str) -> str:
    return "[[metric]]".join(text.split("[[metric]]")[:3])


def with_trigger(**fields: object) -> Callable[[str], str]:
    """One more soft trigger."""
    given = {"name": "planted", "relation": ">", "severity": "soft", "action": "Cut the book by half.", **fields}
    lines = [f"{key} = {value}" if isinstance(value, float) else f'{key} = "{value}"' for key, value in given.items()]
    return lambda text: "\n".join([text, "[[trigger]]", *lines, ""])


def net(part: OutOfSample, mean_bps: float) -> OutOfSample:
    """A net return of `mean_bps` a day, swinging by ten."""
    swing = np.where(np.arange(part.n_days) // 21 % 2, 1e-3, -1e-3)
    return replace(part, gross=part.cost + 1e-4 * mean_bps + swing - swing.mean())


def on_holdout(mean_bps: float) -> Callable[[Study], Study]:
    """A sealed window with this net return."""
    return lambda study: planted(study, holdout=net(study.holdout, mean_bps))


def record_case(name: str, gate: str, threshold: str, words: str, record: Callable[[Rehearsed], None]) -> Case:
    """A defect of the record that breaks one threshold."""
    return Case(name=name, stage="s4", fails=these(threshold), mentions={gate: words}, record=record)


CASES: Final = (
    record_case("nobody signed", "s4.sign_off", "s4.sign_off", "0 of 2 required: nobody", without_signatures(0)),
    record_case("one of two signed", "s4.sign_off", "s4.sign_off", "1 of 2 required", without_signatures(1)),
    record_case(
        "the notes name another freeze",
        "s4.deployment_notes",
        "s4.deployment_notes",
        "names sha256:" + "0" * 64,
        edited(NOTES, lambda text: text.replace(text[(at := text.index("sha256:") + 7) : at + 64], "0" * 64)),
    ),
    record_case(
        "a part of the notes is not written",
        "s4.deployment_notes",
        "s4.deployment_notes",
        "'## ",
        edited(
            NOTES, lambda text: text.replace("Generated for a rehearsal", "TODO", 1).replace("TODO: ", "TODO # ", 1)
        ),
    ),
    record_case("two metrics are watched", "s4.watchlist", "s4.watchlist.metrics", "", edited(WATCHLIST, two_metrics)),
    record_case(
        "a fourth metric has no owner",
        "s4.watchlist",
        "s4.watchlist.faults",
        "owner",
        edited(WATCHLIST, lambda text: text.replace('owner = "rehearsal"', 'owner = ""', 1)),
    ),
    record_case(
        "no trigger is hard",
        "s4.rollback_triggers",
        "s4.rollback_triggers.hard",
        "",
        edited(ROLLBACK, lambda text: text.replace('severity = "hard"', 'severity = "soft"')),
    ),
    record_case(
        "a trigger is silent on a breach",
        "s4.rollback_triggers",
        "s4.rollback_triggers.faults",
        "daily_loss > 0.995 is silent on the planted breach",
        edited(ROLLBACK, with_trigger(metric="daily_loss", bound=0.995)),
    ),
    record_case(
        "a trigger was breached already",
        "s4.rollback_triggers",
        "s4.rollback_triggers.faults",
        "drawdown > 1e-06 was breached out of sample already",
        edited(ROLLBACK, with_trigger(metric="drawdown", bound=1e-6)),
    ),
    record_case(
        "a trigger watches nothing that is known",
        "s4.rollback_triggers",
        "s4.rollback_triggers.faults",
        "metric",
        edited(ROLLBACK, with_trigger(metric="mood", bound=1.0)),
    ),
    Case(
        name="the champion's book over again",
        stage="s4",
        fails=these("s4.champion.allowance"),
        mentions={"s4.champion": "correlation 1.00"},
        record=with_champion(as_it_is),
        registry_seq=AFTER_THE_CHAMPION,
    ),
    Case(
        name="clearly worse than the champion",
        stage="s4",
        fails=these("s4.champion.allowance"),
        mentions={"s4.champion": f"champion {CHAMPION}"},
        record=with_champion(richer),
        registry_seq=AFTER_THE_CHAMPION,
    ),
    Case(
        name="the champion's pack was touched",
        stage="s4",
        fails=these("s4.champion.uncompared"),
        mentions={"s4.champion": "returns.csv was changed"},
        record=with_touched_champion,
        registry_seq=AFTER_THE_CHAMPION,
    ),
    Case(
        name="the sealed window loses",
        stage="s4",
        fails=these("s4.holdout"),
        shows=these("s4.holdout_decay"),
        study=on_holdout(-1.0),
    ),
    Case(
        name="the sealed window earns far less",
        stage="s4",
        shows=these("s4.holdout_decay"),
        verdict="PASS",
        study=on_holdout(0.3),
    ),
    Case(
        name="a walk-forward that its haircut takes",
        stage="s4",
        shows=these("s4.haircut_sharpe"),
        verdict="PASS",
        study=lambda study: planted(study, walk_forward=net(study.walk_forward, 0.2)),
    ),
)
