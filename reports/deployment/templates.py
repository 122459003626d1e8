"""The deployment files of S4 as they are handed to a person: figures filled in where the record has them, judgement left open.

    docs/production_research/<tag>/deployment_notes.md
    docs/production_research/<tag>/watchlist.toml
    docs/production_research/<tag>/rollback_triggers.toml

Bounds are proposed from what was measured; owners and actions are left empty, and the gates of S4 refuse the files until a person has filled them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.drift import cusum_bound
from engines.expectations import Expected, expectations
from engines.monitoring import METRICS, Metric, Reference, out_of_sample_book
from engines.statistics import max_drawdown
from reports.deployment.alarms import alarm_rate, resampled_years
from reports.deployment.stored_record import stored_series
from reports.deployment.triggers import Trigger
from reports.pack.packet import check_stage, packet_template, write_once
from reports.record.chain import Row
from reports.record.errors import RequestRefused
from reports.record.registry import Registry, official_pass
from reports.record.workspace import Workspace, check_tag

NOTES: Final = "deployment_notes.md"
WATCHLIST: Final = "watchlist.toml"
ROLLBACK: Final = "rollback_triggers.toml"

NOTE_PROMPTS: Final[Mapping[str, str]] = {
    "What is deployed": "Strategy, universe, accounts and venues; which variant and which parameters.",
    "Capital and ramp": "Starting capital, the steps to the target, and what must hold before each step.",
    "Execution": "Who trades, when, with which algorithm; what happens when an order does not fill.",
    "Data and operations": "Feeds and their fallbacks, who is called when one is late, who restarts what.",
    "Rollback": "How the book is taken down, how long that takes, and who decides.",
}
"""Sections of the deployment notes that a person writes -> what the template asks."""

FREEZE_HEADING: Final = "Freeze"
SHARPE_WINDOW_DAYS: Final = 126
COST_WINDOW_DAYS: Final = 63
FALSE_ALARM_A_YEAR: Final = 0.02
"""Probability of a false alarm in a first year that the bound of the proposed CUSUM is computed for."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the record says a deployed candidate should do: its out-of-sample figures with their intervals, and what they are held against.

    reference None and no expectations: the tag has no passed s3, and the templates hold guesses to replace.
    """

    expected: tuple[Expected, ...] = ()
    reference: Reference | None = None

    def interval(self, name: str) -> Expected:
        """The expectation of this name; NaN throughout when it was not measured."""
        unknown = Expected(name, math.nan, math.nan, math.nan, "")
        return next((each for each in self.expected if each.name == name), unknown)

    @property
    def max_drawdown(self) -> float:
        """Deepest loss from a peak over the whole out-of-sample record, positive; NaN without one."""
        return math.nan if self.reference is None else -max_drawdown(self.reference.book.net)


def write_stage_files(workspace: Workspace, tag: str, stage: str) -> tuple[Path, ...]:
    """Write the packet's template of a stage, for s4 the deployment files too; returns the paths written.

    What exists is left as it is. RequestRefused when everything exists, and for a tag or stage that is none.
    """
    texts = {f"{check_stage(stage)}.md": packet_template(check_tag(tag), stage)}
    if stage == "s4":
        rows = Registry(workspace.root).rows()
        texts |= templates(tag, _freeze_of(rows, tag), figures_of(workspace, rows, tag))
    missing = {name: text for name, text in texts.items() if not (workspace.packet_dir(tag) / name).exists()}
    if not missing:
        raise RequestRefused(
            f"{', '.join(texts)} exist already and are left as they are",
            where=str(workspace.packet_dir(tag)),
            remedy="edit them",
        )
    return tuple(write_once(workspace, tag, name, text) for name, text in missing.items())


def _freeze_of(rows: tuple[Row, ...], tag: str) -> str:
    """The freeze hash that the tag's rows carry, prefixed; empty for a tag without rows."""
    return next(
        (row["freeze_sha256"] for row in reversed(rows) if row["decision_tag"] == tag and row["freeze_sha256"]), ""
    )


def templates(tag: str, freeze_sha256: str, figures: Figures) -> dict[str, str]:
    """File name -> template of the three deployment files."""
    return {
        NOTES: notes_template(tag, freeze_sha256, figures),
        WATCHLIST: watchlist_template(figures),
        ROLLBACK: rollback_template(figures),
    }


def notes_template(tag: str, freeze_sha256: str, figures: Figures) -> str:
    """deployment_notes.md, unwritten."""
    expected = [
        f"| {each.name} | {each.value:.4g} | {each.lower:.4g} .. {each.upper:.4g} | {each.unit} |"
        for each in figures.expected
    ] or ["| nothing: s3 has not passed | - | - | - |"]
    table = ["| expected, from the out-of-sample record | measured | 95 % | unit |", "|---|---|---|---|", *expected]
    asked = [f"## {heading}\n\n<!-- {prompt} -->\n" for heading, prompt in NOTE_PROMPTS.items()]
    frozen = f"## {FREEZE_HEADING}\n\n`{freeze_sha256 or 'sha256: the hash of the freeze'}`\n"
    return "\n".join([f"# {tag} deployment notes\n", frozen, "\n".join(table) + "\n", *asked])


def watchlist_template(figures: Figures) -> str:
    """watchlist.toml with proposed bounds and no owners."""
    gross = 2.0 if figures.reference is None else float(_first(figures.reference.book.gross_exposure))
    net = 0.0 if figures.reference is None else float(_first(figures.reference.book.net_exposure))
    drawdown = max(_or(figures.max_drawdown, 0.05), _or(figures.interval("drawdown of a year").upper, 0.05))
    returns, fills, book = "book of record", "broker fills", "book of record, positions"
    entries: tuple[tuple[str, Metric, int, str, str, str, float, str], ...] = (
        (
            "net Sharpe",
            "net_sharpe_p",
            SHARPE_WINDOW_DAYS,
            returns,
            "daily",
            ">=",
            0.05,
            "share of stretches no better",
        ),
        ("drawdown", "drawdown", 0, returns, "daily", "<=", drawdown, "share of capital"),
        ("turnover", "turnover_ratio", COST_WINDOW_DAYS, fills, "weekly", "<=", 1.5, "of the out-of-sample mean"),
        ("cost", "cost_ratio", COST_WINDOW_DAYS, fills, "weekly", "<=", 1.5, "realised / modelled cost"),
        ("beta", "beta_abs", SHARPE_WINDOW_DAYS, returns, "weekly", "<=", 0.5, "abs(beta)"),
        ("rank IC", "rolling_ic", SHARPE_WINDOW_DAYS, "signal store, price file", "monthly", ">=", 0.0, "mean rank IC"),
        ("gross exposure", "gross_exposure", 0, book, "daily", "<=", 1.1 * gross, "of capital"),
        ("net exposure", "net_exposure_abs", 0, book, "daily", "<=", abs(net) + 0.1, "of capital"),
    )
    lines = [
        "# What is watched while money is on it. A metric is in order while `value relation bound` holds.",
        "# `stagegate monitor` reads what has a `metric`; a person reads the rest. Proposed: where the out-of-sample record, resampled, or the",
        "# gates end; where nothing was measured, a guess to replace. Name an owner for each.",
        *_expected_comments(figures),
        "schema = 1",
    ]
    for name, metric, window_days, source, frequency, relation, bound, unit in entries:
        lines += ["", "[[metric]]", f'name = "{name}"', f'metric = "{metric}"']
        lines += [f"window_days = {window_days}"] if window_days else []
        lines += [f'source = "{source}"', f'frequency = "{frequency}"', f'relation = "{relation}"']
        lines += [f"bound = {_toml(bound)}", f'unit = "{unit}"', 'owner = ""']
    return "\n".join(lines) + "\n"


def rollback_template(figures: Figures) -> str:
    """rollback_triggers.toml with proposed bounds, how each behaves on resampled years, and no actions."""
    lines = [
        "# What takes the book down. A trigger fires on a day when `metric relation bound` holds on the days so far.",
        "# Metrics: docs/production_research/README.md. Each must have stayed quiet out of sample and fire on a planted breach.",
        "# Write for each what is done, by whom, how fast.",
        *_expected_comments(figures),
        "schema = 1",
    ]
    for trigger in proposed_triggers(figures.reference):
        behaviour = [] if figures.reference is None else [f"# {alarm_rate(trigger, figures.reference).describe()}"]
        lines += ["", "[[trigger]]", *behaviour, f'name = "{trigger.name}"', f'metric = "{trigger.metric}"']
        lines += [f"window_days = {trigger.window_days}"] if trigger.window_days else []
        lines += [f'relation = "{trigger.relation}"', f"bound = {_toml(trigger.bound)}"]
        lines += [f'severity = "{trigger.severity}"', 'action = ""']
    return "\n".join(lines) + "\n"


def proposed_triggers(reference: Reference | None) -> tuple[Trigger, ...]:
    """Triggers that a person may start from, each quiet on the out-of-sample record; guesses without one.

    drawdown stop: 1.5 times the deepest drawdown. crash day: 8 standard deviations. lost edge: the CUSUM whose false alarm in a first year has
    probability 2 %, or half a nat above the record's own largest value if that is more. low Sharpe: below every rolling ratio of 99 % of resampled years, and of the record.
    """
    if reference is None:
        drawdown, sigma, evidence, sharpe = 0.1, 0.01, 5.0, -2.0
    else:
        drawdown, sigma = 1.5 * -max_drawdown(reference.book.net), reference.std
        evidence = max(
            _or(cusum_bound(reference.edge, TRADING_DAYS_PER_YEAR, FALSE_ALARM_A_YEAR), 5.0),
            0.5 + float(np.nanmax(METRICS["lost_edge"].of(reference.book, reference, None), initial=0.0)),
        )
        sharpe = _sharpe_floor(reference)
    rows: tuple[tuple[str, Metric, int | None, Literal["<", ">"], float, Literal["hard", "soft"]], ...] = (
        ("drawdown stop", "drawdown", None, ">", drawdown, "hard"),
        ("crash day", "daily_loss", None, ">", 8.0 * sigma, "hard"),
        ("lost edge", "lost_edge", None, ">", evidence, "hard"),
        ("low Sharpe", "rolling_net_sharpe", SHARPE_WINDOW_DAYS, "<", sharpe, "soft"),
    )
    return tuple(
        Trigger(
            name=name,
            metric=metric,
            window_days=window_days,
            relation=relation,
            bound=float(_toml(bound)),
            severity=severity,
            action="to be written by a person",
        )
        for name, metric, window_days, relation, bound, severity in rows
    )


def _sharpe_floor(reference: Reference) -> float:
    """Half below the worst rolling Sharpe ratio of the record, or what 99 % of resampled years stay above if that is less."""
    measure = METRICS["rolling_net_sharpe"]
    worst = [
        float(np.nanmin(values))
        for book in (reference.book, *resampled_years(reference))
        if np.isfinite(values := measure.of(book, reference, SHARPE_WINDOW_DAYS)).any()
    ]
    return min(worst[0] - 0.5, float(np.quantile(worst[1:], 0.01))) if worst else -2.0


def _first(series: NDArray[np.float64] | None) -> float:
    return math.nan if series is None or not series.size else float(series[0])


def _expected_comments(figures: Figures) -> list[str]:
    return [
        f"# Expected: {each.name} {each.value:.4g} ({each.lower:.4g} .. {each.upper:.4g}), {each.unit}."
        for each in figures.expected
    ]


def figures_of(workspace: Workspace, rows: tuple[Row, ...], tag: str) -> Figures:
    """The figures of the tag's passed s3; none for a tag that has not passed it. RecordError when its pack does not hold."""
    s3 = official_pass(rows, tag, "s3")
    if s3 is None:
        return Figures()
    series, freeze = stored_series(workspace, s3)
    reference = Reference(out_of_sample_book(series), series.horizon_days, freeze.seed)
    return Figures(expectations(series, freeze.seed), reference)


def _or(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise


def _toml(value: float) -> str:
    return repr(float(f"{value:.3g}"))


def write_rehearsal_files(workspace: Workspace, tag: str, freeze_sha256: str) -> None:
    """Deployment files that pass on any candidate, for the throw-away workspace of a rehearsal. `freeze_sha256` is bare hex or prefixed."""
    frozen = f"sha256:{freeze_sha256.removeprefix('sha256:')}"
    notes = notes_template(tag, frozen, Figures())
    for heading, prompt in NOTE_PROMPTS.items():
        notes = notes.replace(
            f"<!-- {prompt} -->", f"Generated for a rehearsal: {heading.lower()} is for a person to write."
        )
    rollback = [
        *("schema = 1", "[[trigger]]", 'name = "rehearsed stop"', 'metric = "rolling_net_sharpe"', "window_days = 63"),
        *(
            'relation = "<"',
            "bound = -10.0",
            'severity = "hard"',
            'action = "generated for a rehearsal; nothing is traded"',
        ),
    ]
    watched = watchlist_template(Figures()).replace('owner = ""', 'owner = "rehearsal"')
    for name, text in {NOTES: notes, WATCHLIST: watched, ROLLBACK: "\n".join(rollback) + "\n"}.items():
        write_once(workspace, tag, name, text)
