"""A report with every figure, small enough to read, and text that would like to be more than text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.criteria.evidence import Evidence, Threshold
from reports.criteria.policy import ExpectedCell
from reports.criteria.verdict import CellResult, Verdict, VerdictName
from reports.pack import captions
from reports.pack.render import ReportHeader, report_json

HOSTILE = '</title></style><script>window.broken = 1</script><img src=x onerror="window.broken=1">\'"&{{7*7}}`|[x](javascript:alert(1))'
FLOOR = Threshold("s3.shard_net_t", ">=", -1.65, "t of the mean daily net return", 1.0)
LEVEL = Threshold("s3.net_sharpe", ">", 0.0, "annualised net Sharpe out of sample", 0.5)
DATES = ["2020-01-03", "2020-01-10", "2020-01-17", "2020-04-03"]
MULTIPLIERS = {"1": 1.0, "1.5": 1.5, "2": 2.0}


def sample_report(name: VerdictName, owner: str = "olga", text: str = "") -> dict[str, Any]:
    """A report of s3 that passes, fails or did not come back; `text` stands in every note, message and root cause."""
    wanted = [ExpectedCell("s3.shard_net_t", "hard", "n", f"wf-{number}", 1.5, (FLOOR,), None, "") for number in (1, 2)]
    level = ExpectedCell("s3.net_sharpe", "hard", "n", None, None, (LEVEL,), None, "")
    last = {"PASS": ("passed", 0.9), "FAIL": ("failed", -0.4), "INCOMPLETE": ("missing", None)}[name]
    cells = (
        CellResult(wanted[0], "passed", (Evidence(FLOOR, 1.25, 252, text),), ""),
        CellResult(wanted[1], "passed", (Evidence(FLOOR, -0.5, 252, text),), ""),
        CellResult(
            level, last[0], () if last[1] is None else (Evidence(LEVEL, last[1], 504, text, (-0.9, 1.5)),), text
        ),  # type: ignore[arg-type]
    )
    incomplete = (f"worker gw1 did not come back {text}",) if name == "INCOMPLETE" else ()
    header = ReportHeader(
        stage="s3",
        decision_tag="2026-11-momentum",
        run_id="run-1",
        candidate=f"momentum {text}",
        family="momentum",
        owner=owner,
        official=False,
        official_reasons=(f"1 core, the profile asks for 8 {text}",),
        started_utc="2026-11-23T17:05:09Z",
        finished_utc="2026-11-23T17:06:09Z",
        inputs={"cost_multipliers": [1.0, 1.5, 2.0], "root_cause": text},
        freeze={"sha256": "sha256:1", "data_sha256": "sha256:2", "git_commit": "git:3"},
        registry={"seq": 7, "prev_hash": "0" * 64},
        notes=(text,) if text else (),
    )
    files = [{"path": f"gate_results/p/returns{text.replace('/', '')}.csv", "sha256": "sha256:4"}]
    return report_json(header, Verdict(name, cells, incomplete, ()), files, figures=sample_figures(text))


def sample_figures(text: str = "") -> dict[str, Any]:
    """Every figure of an s3 report, with the captions of the real ones."""
    figures: dict[str, Any] = {
        "growth": growth(),
        "windows": {"confidence": 0.95, "windows": windows(("mean", 0.02), ("low", -0.01), ("high", 0.05), ("n_dates", 60))},
        "cost_heat": {"shards": ["wf-1", "wf-2"], "multipliers": list(MULTIPLIERS.values()), "net_t": [[1.9, 1.2, 0.4], [-0.3, -1.1, None]], "bound": -1.65},
        "cost_curve": {"multipliers": [0.0, 1.0, 2.0], "net_return_per_year": [0.1, 0.05, 0.0], "net_sharpe": [2.0, 1.0, 0.0], "break_even_multiplier": 2.0},
        "exposure": {"beta": 0.1, "bound": 0.5, "size_correlation": None, "industry_coverage": 0.9, "turnover_overlap": 0.4, "max_drawdown": 0.1, "windows": windows(("beta", 0.1), ("annual_turnover", 12.0))},
        "universe": {"dates": ["2020-01-31", "2020-02-28"], "names": [90, 95], "rejected": {"price": [3, 2]}, "stressed_names": [60, 61], "stressed_rejected": {"price": [30, 31]}},
        "trials": {"n_trials": 3, "tags": ["a"], "registry_seq": 4, "own_net_sharpe": 1.1, "best_of_worthless_sharpe": 0.6, "trials": [{"tag": f"a{text}", "variant": "x=1", "own": True, "p_value": 0.01, "net_sharpe": 1.2}, {"tag": "b", "variant": "x=2", "own": False, "p_value": None, "net_sharpe": None}]},
        "data_quality": {"rows": 1000, "symbols": 10, "dates": 100, "first": "2019-01-02", "last": "2020-04-03", "as_of": "2020-04-03", "missing_member_ratio": None, "findings": [{"finding": "rows after as_of", "count": 2}, {"finding": "infinite numbers", "count": 0}], "examples": [{"finding": "after_as_of", "row": 9, "date": "2020-05-01", "symbol": f"AAA{text}", "column": "", "value": text}]},
    }  # fmt: skip
    told = {name: getattr(captions, name) for name in figures}
    return {
        name: {"caption": told[name](figure["windows"] if name == "windows" else figure), **figure}
        for name, figure in figures.items()
    }


def growth() -> dict[str, Any]:
    """Four points of growth at three multipliers, with a sealed window behind them."""
    return {
        "dates": DATES,
        "gross": [0.01, 0.02, 0.015, 0.04],
        "market": [0.0, 0.01, None, 0.02],
        "net": {name: [0.01 / cost, 0.01, None, 0.03 / cost] for name, cost in MULTIPLIERS.items()},
        "drawdown": {key: [0.0, -0.01, -0.02, 0.0] for key in MULTIPLIERS},
        "net_sharpe": dict.fromkeys(MULTIPLIERS, 1.25),
        "deepest": {key: {"depth": -0.02, "peak": "2020-01-03", "bottom": "2020-01-17"} for key in MULTIPLIERS},
        "first": "2020-01-02",
        "last": "2020-04-03",
        "days": 64,
        "sealed_holdout": {"first": "2020-04-06", "last": "2020-06-30"},
    }


def windows(*values: tuple[str, float]) -> list[dict[str, Any]]:
    """Two windows in two shards with the given figures."""
    spans: Sequence[tuple[str, str]] = (("2020-01-02", "2020-02-14"), ("2020-02-17", "2020-04-03"))
    return [
        {"window": number, "shard": f"wf-{number + 1}", "first": first, "last": last, **dict(values)}
        for number, (first, last) in enumerate(spans)
    ]
