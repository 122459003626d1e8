"""What a rerun owes: a difference that decides something, computed from two freezes, and a warning where the cause does not explain it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from reports.criteria.rerun import DIFFERENCE_PARTS, changes, difference, rerun_warnings, root_cause_class
from tests.reports.frozen_candidate import NO_HISTORY, Frozen, lay_out


@pytest.fixture
def frozen(tmp_path) -> Frozen:
    return lay_out(tmp_path)


def altered(record: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of a freeze with one value changed; `path` is dotted."""
    copied = copy.deepcopy(record)
    *parents, last = path.split(".")
    table = copied
    for name in parents:
        table = table[name]
    table[last] = value
    return copied


CHANGED = {
    "data": ("data.sha256", "x"),
    "code": ("code.tree_sha256", "x"),
    "parameter": ("candidate.config.costs.half_spread_bps", 99.0),
    "environment": ("packages_sha256", "x"),
    "policy": ("policy_sha256", "x"),
}


def test_every_class_of_root_cause_shows_in_its_own_part(frozen):
    old = frozen.record()
    assert difference(old, frozen.record()) == ()
    assert changes(old, frozen.record()) == ()
    assert CHANGED.keys() == DIFFERENCE_PARTS.keys()
    for part, (path, value) in CHANGED.items():
        new = altered(old, path, value)
        assert difference(old, new) == (part,)
        assert {change.part for change in changes(old, new)} == {part}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("candidate.config.name", "another-name"),
        ("candidate.config.hypothesis", "The same in other words."),
        ("candidate.config.universe_constraints", "The same in other words."),
        ("candidate.config.protocol_version", "2"),
        ("candidate.config.data.path", "moved/prices.csv"),
        ("candidate.config.costs.source", "another broker"),
    ],
)
def test_other_words_for_the_same_thing_are_no_difference(frozen, path, value):
    assert difference(frozen.record(), altered(frozen.record(), path, value)) == ()


@pytest.mark.parametrize(
    ("path", "was"), [("candidate.config.hypothesis", "tbd"), ("candidate.config.costs.source", " "), ("owner", "TBD")]
)
def test_what_was_a_placeholder_and_is_written_now_differs(frozen, path, was):
    old, new = altered(frozen.record(), path, was), frozen.record()
    assert difference(old, new) == ("parameter",)
    assert [(change.old, change.new) for change in changes(old, new)] == [("not written", "written")]


def test_a_change_names_the_setting_and_both_values(frozen):
    old = frozen.record()
    new = altered(old, "candidate.config.costs.half_spread_bps", 7.5)
    before = old["candidate"]["config"]["costs"]["half_spread_bps"]
    assert [str(change) for change in changes(old, new)] == [f"parameter: costs.half_spread_bps: {before} -> 7.5"]


def test_a_changed_bound_is_named_beside_the_policy(frozen):
    old = frozen.record()
    new = altered(old, "policy_sha256", "f" * 64)
    new["expected"][0]["thresholds"][0]["bound"] = 9.0
    named = [change.what for change in changes(old, new)]
    assert named == [old["expected"][0]["thresholds"][0]["id"], "policy.toml"]


def history(root_cause: str | None, *differs_in: str, must_differ: bool = True) -> dict[str, Any]:
    superseded = "first" if root_cause else None
    return {**NO_HISTORY, "supersedes": superseded, "root_cause": root_cause, "must_differ": must_differ} | {
        "differs_in": list(differs_in)
    }


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (history("data:a bad cell", "data"), []),
        (history(None), []),
        (history("environment:power", must_differ=False), []),
        (history("data:a bad cell", "data", "parameter"), ["of class data, and parameter differs from first too"]),
        (
            history("data:a bad cell", "parameter"),
            ["of class data, and its data is the same as that of first", "of class data, and parameter differs"],
        ),
        (history("external:exchange closed", "data"), ["of class external, and data differs from first too"]),
    ],
)
def test_a_difference_outside_the_named_class_is_a_warning(record, expected):
    warned = rerun_warnings(record)
    assert len(warned) == len(expected)
    assert all(words in warning for words, warning in zip(expected, warned, strict=True))


@pytest.mark.parametrize(
    ("spelled", "found"),
    [("data:x", "data"), ("external: late", "external"), ("data:", ""), ("vibes:x", ""), ("data", ""), ("", "")],
)
def test_a_root_cause_is_a_class_and_words(spelled, found):
    assert root_cause_class(spelled) == found
