"""The deployment files of S4 as they are handed to a person: figures filled in where the record has them, judgement left open.

    docs/production_research/<tag>/deployment_notes.md
    docs/production_research/<tag>/watchlist.toml
    docs/production_research/<tag>/rollback_triggers.toml

Bounds are proposed from what was measured; owners and actions are left empty, and the gates of S4 refuse the files until a person has filled them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from reports.pack.packet import check_stage, packet_template, write_once
from reports.record.chain import Row
from reports.record.durable import load_json, read_regular
from reports.record.errors import RecordError, RequestRefused
from reports.record.registry import Registry
from reports.record.workspace import Workspace, check_tag
from reports.verification.report_check import contradictions

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
_YEAR_DAYS: Final = 252


@dataclass(frozen=True, slots=True)
class Figures:
    """What the reports of S2 and S3 measured out of sample; NaN where a report has no such figure.

    wf_ic: mean daily rank IC. net_sharpe: annualised, multiplier 1. max_drawdown: share of capital. annual_volatility: decimal a year.
    cost_drag_bps: bp a day that doubling the costs takes, hence the cost itself. turnover_overlap: share of the top leg kept at a rebalance.
    """

    wf_ic: float = math.nan
    net_sharpe: float = math.nan
    max_drawdown: float = math.nan
    annual_volatility: float = math.nan
    cost_drag_bps: float = math.nan
    turnover_overlap: float = math.nan


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
    expected = [f"| {name} | {_shown(getattr(figures, name))} |" for name in (field.name for field in fields(Figures))]
    table = ["| expected out of sample | measured |", "|---|---|", *expected]
    asked = [f"## {heading}\n\n<!-- {prompt} -->\n" for heading, prompt in NOTE_PROMPTS.items()]
    frozen = f"## {FREEZE_HEADING}\n\n`{freeze_sha256 or 'sha256: the hash of the freeze'}`\n"
    return "\n".join([f"# {tag} deployment notes\n", frozen, "\n".join(table) + "\n", *asked])


def watchlist_template(figures: Figures) -> str:
    """watchlist.toml with proposed bounds and no owners."""
    sharpe = _or(figures.net_sharpe, 0.0) - 2 * math.sqrt(_YEAR_DAYS / SHARPE_WINDOW_DAYS)
    entries = (
        ("rolling_net_sharpe", "book of record, daily net returns of 126 days", "daily", ">=", sharpe, "annualised"),
        (
            "drawdown",
            "book of record, daily net returns",
            "daily",
            "<=",
            _or(1.5 * figures.max_drawdown, 0.1),
            "share of capital",
        ),
        (
            "realised_cost_ratio",
            "broker fills against the declared cost model",
            "weekly",
            "<=",
            1.5,
            "realised / modelled cost",
        ),
        ("rank_ic", "signal store against forward returns, last 12 rebalances", "monthly", ">=", 0.0, "mean rank IC"),
    )
    lines = [
        "# What is watched while money is on it. A metric is in order while `value relation bound` holds.",
        f"# Measured out of sample: net Sharpe {_shown(figures.net_sharpe)}; drawdown {_shown(figures.max_drawdown)}; "
        f"cost in bp a day {_shown(figures.cost_drag_bps)}; mean IC {_shown(figures.wf_ic)}.",
        "# Proposed: Sharpe two standard errors below, drawdown 1.5 times, costs at the multiplier that s3 stressed;",
        "# where nothing was measured, a guess to replace. Name an owner for each.",
        "schema = 1",
    ]
    for name, source, frequency, relation, bound, unit in entries:
        lines += ["", "[[metric]]", f'name = "{name}"', f'source = "{source}"', f'frequency = "{frequency}"']
        lines += [f'relation = "{relation}"', f"bound = {_toml(bound)}", f'unit = "{unit}"', 'owner = ""']
    return "\n".join(lines) + "\n"


def rollback_template(figures: Figures) -> str:
    """rollback_triggers.toml with proposed bounds and no actions."""
    daily_sigma = _or(figures.annual_volatility / math.sqrt(_YEAR_DAYS), 0.01)
    entries = (
        ("drawdown stop", "drawdown", ">", _or(1.5 * figures.max_drawdown, 0.1), "hard", 0),
        ("crash day", "daily_loss", ">", 8 * daily_sigma, "hard", 0),
        (
            "decay",
            "rolling_net_sharpe",
            "<",
            -4 * math.sqrt(_YEAR_DAYS / SHARPE_WINDOW_DAYS),
            "soft",
            SHARPE_WINDOW_DAYS,
        ),
    )
    lines = [
        "# What takes the book down. A trigger fires on a day when `metric relation bound` holds on the daily net returns so far.",
        "# Metrics: daily_loss, drawdown (shares of capital, positive); rolling_mean_net, rolling_net_sharpe, rolling_volatility (window_days).",
        "# Each must have stayed quiet out of sample and fires on a planted breach. Write for each what is done, by whom, how fast.",
        "schema = 1",
    ]
    for name, metric, relation, bound, severity, window_days in entries:
        lines += ["", "[[trigger]]", f'name = "{name}"', f'metric = "{metric}"']
        lines += [f"window_days = {window_days}"] if window_days else []
        lines += [f'relation = "{relation}"', f"bound = {_toml(bound)}", f'severity = "{severity}"', 'action = ""']
    return "\n".join(lines) + "\n"


def figures_of(workspace: Workspace, rows: tuple[Row, ...], tag: str) -> Figures:
    """The figures that the tag's official reports of s2 and s3 hold; a report that is missing or unreadable has none."""
    measured: dict[str, float] = {}
    for row in rows:
        if (row["decision_tag"], row["event"], row["official"]) == (tag, "FINISHED", "true"):
            measured |= _measured(workspace.root / row["report"])
    drawdown = measured.get("s2.risk.drawdown_level", math.nan)
    in_volatilities = measured.get("s2.risk.max_drawdown", math.nan)
    return Figures(
        wf_ic=measured.get("s2.wf_ic_mean", math.nan),
        net_sharpe=measured.get("s3.net_sharpe.level", math.nan),
        max_drawdown=drawdown,
        annual_volatility=drawdown / in_volatilities if in_volatilities > 0 else math.nan,
        cost_drag_bps=measured.get("s3.cost_drag_bps", math.nan),
        turnover_overlap=measured.get("s2.risk.turnover_overlap", math.nan),
    )


def _measured(report_path: Path) -> dict[str, float]:
    """Threshold -> first measurement of a report, which at a gate with cost cells is that of multiplier 1."""
    try:
        report = load_json(read_regular(report_path), report_path.name)
    except RecordError:
        return {}
    if any(contradictions(report)):
        return {}
    found: dict[str, float] = {}
    for key, gate in report["gates"].items():
        for cell in gate["cells"]:
            for threshold, measured in _conditions(key, cell):
                if isinstance(measured, int | float):
                    found.setdefault(threshold, float(measured))
    return found


def _conditions(gate: str, cell: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """(threshold, measured) of every condition of a cell; a cell that lists none has one, named as its gate."""
    listed = cell.get("evidence")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    for entry in entries or [{"threshold": gate, "measured": cell["measured"]}]:
        yield str(entry.get("threshold")), entry.get("measured")


def _or(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise


def _shown(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "not measured"


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
