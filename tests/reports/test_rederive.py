"""Re-deriving: the figures that follow from stored returns, and that evidence which was not measured on them is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.statistics import student_t_of_mean
from reports.criteria.evidence import Evidence, Threshold
from reports.criteria.policy import ExpectedCell
from reports.criteria.verdict import CellResult, Verdict
from reports.pack.stored_returns import daily_ic_csv
from reports.record.durable import dump_json, write_new
from reports.record.errors import RecordError
from reports.run.rederive import contradictions, measure
from tests.reports.frozen_candidate import lay_out

HORIZON_DAYS = 21


@pytest.fixture
def daily_ic() -> np.ndarray:
    """Daily ICs of 600 dates of which the first 30 have none."""
    values = np.random.default_rng(7).normal(0.03, 0.1, 600)
    values[:30] = np.nan
    return values


@pytest.fixture
def pack(tmp_path: Path, daily_ic: np.ndarray) -> Path:
    folder = tmp_path / "pack"
    dates = np.datetime64("2014-01-02") + np.arange(daily_ic.size)
    write_new(folder / "freeze.json", dump_json(lay_out(tmp_path / "frozen").record()))
    write_new(folder / "baseline_ic.csv", daily_ic_csv(daily_ic, dates))
    return folder


def test_figures_follow_from_the_stored_series_to_the_bit(pack, daily_ic):
    known = daily_ic[~np.isnan(daily_ic)]
    found = measure(pack)
    assert found["s1.ic_mean [-]"] == known.mean()
    assert found["s1.ic_t [-]"] == student_t_of_mean(known[::HORIZON_DAYS]).t_stat
    assert found.keys() == {"s1.ic_mean [-]", "s1.ic_t [-]"}


def test_a_pack_without_series_has_no_figures(pack):
    (pack / "baseline_ic.csv").unlink()
    assert measure(pack) == {}


def test_one_changed_digit_changes_the_figure(pack):
    before = measure(pack)["s1.ic_mean [-]"]
    path = pack / "baseline_ic.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    target = next(number for number, line in enumerate(lines[1:], 1) if "0." in line)
    lines[target] = lines[target].replace("0.", "0.9", 1)
    path.write_text("".join(lines), encoding="utf-8")
    assert measure(pack)["s1.ic_mean [-]"] != before


@pytest.mark.parametrize("damage", ["", "no,such,columns\n1,2,3\n", "date,ic\n2014-01-02,zero\n"])
def test_a_damaged_series_is_a_record_error(pack, damage):
    (pack / "baseline_ic.csv").write_text(damage, encoding="utf-8")
    with pytest.raises(RecordError, match="cannot be read"):
        measure(pack)


def test_a_missing_freeze_is_a_record_error(pack):
    (pack / "freeze.json").unlink()
    with pytest.raises(RecordError, match=r"freeze\.json"):
        measure(pack)


MEAN = Threshold("s1.ic_mean", ">", 0.0, "mean daily rank IC", 0.01)
CELL = ExpectedCell("s1.ic_mean", "hard", "gates/s1/test_signal.py::test_x", None, None, (MEAN,), None, "")


def said(value: float | None) -> Verdict:
    return Verdict("PASS", (CellResult(CELL, "passed", (Evidence(MEAN, value, 9),), ""),), (), ())


def test_evidence_that_was_measured_on_the_stored_series_stands():
    assert contradictions(said(0.03), {"s1.ic_mean [-]": 0.03}) == ()


def test_evidence_that_differs_by_one_bit_is_named_with_both_figures():
    off = float(np.nextafter(0.03, 1.0))
    (found,) = contradictions(said(off), {"s1.ic_mean [-]": 0.03})
    assert repr(off) in found
    assert "the stored returns give 0.03" in found


def test_what_could_not_be_measured_agrees_with_a_figure_that_is_none():
    assert contradictions(said(None), {"s1.ic_mean [-]": float("nan")}) == ()
    assert contradictions(said(None), {"s1.ic_mean [-]": 0.03}) != ()


def test_figures_of_other_cells_are_not_compared():
    other = replace(said(0.9), cells=(replace(said(0.9).cells[0], cell=replace(CELL, shard="wf-1")),))
    assert contradictions(other, {"s1.ic_mean [-]": 0.03}) == ()
