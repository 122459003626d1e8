"""Every refusal of a recorded run says which rule, what was expected, what was found, where and how to mend it."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest

from reports.record.errors import RequestRefused
from reports.run.terminal import Canvas, refusal_lines

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = (
    "run/request.py",
    "run/entry.py",
    "run/ground.py",
    "criteria/codetree.py",
    "criteria/startup.py",
    "record/workspace.py",
)
PASSED_THROUGH = ("what", "where", "remedy", "objection")
"""Names under which a refusal hands on what its caller wrote."""


def refusals() -> dict[str, ast.Call]:
    """Every call that makes a refusal of a recorded run, by file and line."""
    found = {}
    for name in RUN:
        for node in ast.walk(ast.parse((REPOSITORY / "reports" / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("RequestRefused", "refuse"):
                found[f"{name}:{node.lineno}"] = node
    return found


def part(call: ast.Call, name: str, position: int | None) -> str:
    """The source of an argument, by keyword or position; empty when it is not given."""
    by_name = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in by_name:
        return ast.unparse(by_name[name])
    return ast.unparse(call.args[position]) if position is not None and len(call.args) > position else ""


def faults(call: ast.Call) -> list[str]:
    """What a refusal lacks."""
    what = part(call, "what", 0)
    if what in PASSED_THROUGH:
        return []
    lacking = [word for word in ("expected", "found") if word not in what]
    remedy = part(call, "remedy", 1 if call.func.id == "refuse" else None)
    return lacking + ([] if len(remedy.strip("'\"")) > 3 else ["remedy"])


REFUSALS = refusals()


def test_every_refusal_is_looked_at():
    assert len(REFUSALS) >= 40


@pytest.mark.parametrize("place", REFUSALS)
def test_a_refusal_names_expected_found_and_remedy(place):
    assert faults(REFUSALS[place]) == [], ast.unparse(REFUSALS[place])


def test_the_check_finds_a_refusal_that_says_less():
    (bare,) = (node.value for node in ast.parse("RequestRefused('it cannot be')").body)
    assert faults(bare) == ["expected", "found", "remedy"]


def test_the_terminal_shows_all_of_it():
    refusal = RequestRefused("no: expected a, found b", where="there", remedy="do c")
    shown = "\n".join(refusal_lines(Canvas.of(io.StringIO()), "s1", refusal))
    for text in ("REFUSED s1", "expected a, found b", "there", "do c", "nothing was written"):
        assert text in shown
