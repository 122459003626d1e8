"""docs/gates.md, made from gates/policy.toml and the gates' own docstrings, so that the page cannot say what the gates do not do.

    python -m reports.desk.gate_reference > docs/gates.md

The question of a section is its module's docstring, the formula of a gate its test's. Gate modules are parsed, never imported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from reports.criteria.policy import POLICY_FILE, GateRow, ThresholdRow, load_policy
from reports.criteria.remedies import remedy_of
from reports.pack.markdown import markdown_table
from reports.pack.render import number
from reports.record.errors import RecordError
from reports.record.workspace import STAGES

REPOSITORY: Final = Path(__file__).resolve().parents[2]

STAGE_TITLES: Final = {stage: f"{stage.upper()} {name.replace('_', ' ')}" for stage, name in STAGES.items()}

INTRODUCTION: Final = """\
# Gates

Made by `python -m reports.desk.gate_reference > docs/gates.md`; a test fails when it is stale. Bounds are defaults: a candidate may tighten
a threshold under `[policy]`, never loosen one. Why the statistical bounds are what they are: [statistics.md](statistics.md).

- **hard** gates decide; **diagnostic** ones are measured and shown and never decide.
- Cells: *once*, per *shard* (a group of walk-forward windows), per *cost multiplier* over all test windows together, or per shard and
  multiplier. A gate passes when every cell does.
- Missing, NaN or infinite: not passed. A relation is meant to the letter: `> 0` does not admit 0.
- A step is the distance from the bound that makes margins of different gates comparable ("weakest gate"); it decides nothing."""

CELL_WORDS: Final = {
    "-": "once",
    "shard": "per shard",
    "cost": "per cost multiplier",
    "shard x cost": "per shard and cost multiplier",
}

REFERENCES: Final = {
    "s1.observations": "Bailey and Lopez de Prado (2012), minimum track record length",
    "s1.ic_t": "Harvey, Liu and Zhu (2016), for 3.0; Student (1908); Newey and West (1987) beside it",
    "s1.ic_mean": "Grinold and Kahn (2000), ch. 6 and 10",
    "s1.placebo": "permutation test; Lehmann and Romano (2005), ch. 15",
    "s1.dq.universe_bias": "Elton, Gruber and Blake (1996), on survivorship",
    "s1.cost_assumptions": "Almgren, Thum, Hauptmann and Li (2005), for impact",
    "s2.purge": "Lopez de Prado (2018), ch. 7",
    "s2.shard_net_t": "Newey and West (1987)",
    "s2.perturbation": "Pardo (2008)",
    "s2.oos_loss_probability": "Bailey, Borwein, Lopez de Prado and Zhu (2017), CSCV",
    "s2.pbo": "Bailey, Borwein, Lopez de Prado and Zhu (2017), CSCV",
    "s2.risk.cvar99": "Rockafellar and Uryasev (2000)",
    "s2.risk.weight_hhi": "Herfindahl (1950)",
    "s3.shard_net_t": "Newey and West (1987)",
    "s3.net_sharpe": "Sharpe (1994)",
    "s3.cost_gate": "Novy-Marx and Velikov (2016), on anomalies after costs",
    "s3.break_even_multiplier": "Novy-Marx and Velikov (2016), on anomalies after costs",
    "s3.stat_gate_factor_pass": "Benjamini and Hochberg (1995)",
    "s3.deflated_sharpe": "Bailey and Lopez de Prado (2014)",
    "s3.min_backtest_length": "Bailey, Borwein, Lopez de Prado and Zhu (2014)",
    "s3.participation": "Almgren, Thum, Hauptmann and Li (2005)",
    "s3.capacity": "Almgren, Thum, Hauptmann and Li (2005); Toth et al. (2011), the square-root law",
    "s4.champion": "Ledoit and Wolf (2008)",
    "s4.haircut_sharpe": "Harvey and Liu (2015)",
}
"""Start of a gate's key -> where its formula comes from; the longest start counts."""


def gate_reference(repository: Path) -> str:
    """The whole page. RecordError when a gate's test or a docstring is missing."""
    policy = load_policy(repository / POLICY_FILE)
    parts = [INTRODUCTION]
    for stage, rows in groupby(policy.gate, key=lambda row: row.stage):
        parts.append(f"## {STAGE_TITLES[stage]}")
        for module, gates in groupby(rows, key=lambda row: row.test.partition("::")[0]):
            question, formulas = docstrings(repository / "gates" / module)
            parts.append(f"**{question}** (`gates/{module}`)")
            parts.extend(part for gate in gates for part in _gate(gate, formulas))
    return "\n\n".join(parts) + "\n"


def docstrings(module: Path) -> tuple[str, dict[str, str]]:
    """(question, test name -> formula) of a gate module. RecordError when a docstring is missing."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    tests = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    question = _docstring(tree, module.name)
    return question, {test.name: _docstring(test, f"{module.name}::{test.name}") for test in tests}


def _docstring(node: ast.Module | ast.FunctionDef, name: str) -> str:
    found = ast.get_docstring(node)
    if not found:
        raise RecordError(f"{name} has no docstring", where="gates", remedy="say what it asks or how it is computed")
    return " ".join(found.split())


def _gate(row: GateRow, formulas: dict[str, str]) -> Iterator[str]:
    """The section of one gate: heading, formula, thresholds, and where to look."""
    test = row.test.partition("::")[2]
    if test not in formulas:
        raise RecordError(f"{row.test} does not exist", where=row.key, remedy="write the test, or correct the row")
    yield f"### {row.key}"
    yield formulas[test]
    yield markdown_table(("threshold", "passes when", "unit", "step"), [_threshold(line) for line in row.thresholds])
    yield "\n".join(f"- {line}" for line in _facts(row))


def _threshold(row: ThresholdRow) -> tuple[str, str, str, str]:
    softer = row.preregistered_bound
    first = "" if softer is None else f" ({number(softer)} for a preregistered single variant, first tag of its family)"
    return row.id, f"{row.relation} {number(row.bound)}{first}", row.unit, number(row.scale)


def _facts(row: GateRow) -> Iterator[str]:
    yield f"{row.level}, {CELL_WORDS[row.cells]}"
    if row.needs:
        yield f"needs `[data.reference] {row.needs}`; without it the gate fails, declared under `[data.absent]` its cells are absent"
    if row.min_variants > 1:
        yield f"asked of candidates with at least {row.min_variants} variants"
    if row.min_numeric_parameters:
        yield f"asked of candidates with at least {row.min_numeric_parameters} numeric parameter of the signal that is not 0"
    reference = longest_start(REFERENCES, row.key)
    if reference:
        yield f"reference: {reference}"
    remedy = remedy_of(row.key)
    if remedy is not None:
        yield f"usually fails because {remedy.cause}; look closer: `{remedy.look}`"
        yield f"a rerun names a root cause of class {remedy.root_cause} and changes something: {remedy.change}"


def longest_start(table: dict[str, str], key: str) -> str:
    """The entry of the longest name that `key` starts with; empty when there is none."""
    starts = [start for start in table if key.startswith(start)]
    return table[max(starts, key=len)] if starts else ""


if __name__ == "__main__":
    sys.stdout.write(gate_reference(REPOSITORY))
