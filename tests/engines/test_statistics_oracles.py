"""The oracle file agrees, and the command that runs it says so by its exit status."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engines import statistics
from tests.oracles.comparison import Outcome, read_cases, run_case
from tests.oracles.statistics_under_test import COMPUTED

REPOSITORY = Path(__file__).resolve().parents[2]
PUBLIC_FILE = REPOSITORY.parent / "shared" / "oracles_public.json"
PUBLIC_CASES = read_cases(PUBLIC_FILE) if PUBLIC_FILE.is_file() else []

needs_public_file = pytest.mark.skipif(not PUBLIC_CASES, reason=f"{PUBLIC_FILE.name} is not beside the repository")


@needs_public_file
@pytest.mark.parametrize("case", PUBLIC_CASES, ids=lambda case: f"{case['id']}-{case['statistic']}")
def test_public_case(case: dict[str, Any]) -> None:
    result = run_case(case)
    assert result.outcome is Outcome.PASSED, result.line()


@needs_public_file
def test_every_keyword_the_file_can_use_is_understood() -> None:
    interface = json.loads(PUBLIC_FILE.read_text(encoding="utf-8"))["interface"]
    for statistic, keywords in interface.items():
        understood = set(COMPUTED[statistic].__code__.co_varnames)
        assert set(keywords) <= understood, statistic


def case(statistic: str, expected: Any, tolerance: Any = 1e-9, **inputs: Any) -> dict[str, Any]:
    return {
        "id": "x-1",
        "statistic": statistic,
        "inputs": inputs,
        "expected": expected,
        "tolerance": tolerance,
        "tolerance_kind": "absolute",
    }


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (case("max_drawdown", -0.1, returns=[0.0, -0.1]), Outcome.PASSED),
        (case("max_drawdown", -0.11, returns=[0.0, -0.1]), Outcome.FAILED),
        (case("max_drawdown", -0.1, 0.02, returns=[0.0, -0.11]), Outcome.PASSED),
        (case("max_drawdown", None, returns=[]), Outcome.PASSED),
        (case("max_drawdown", 0.0, returns=[]), Outcome.FAILED),
        (case("max_drawdown", -0.1, returns=[0.0, -0.1], ddof=1), Outcome.SKIPPED),
        (case("max_drawdown", -0.1), Outcome.FAILED),
        (case("moon_phase", 0.5, day=3), Outcome.SKIPPED),
        (case("min_track_record_length", math.inf, sr=-0.1), Outcome.PASSED),
        (case("min_track_record_length", 40.0, sr=-0.1), Outcome.FAILED),
        (case("holm", {"sorted_adjusted_first2": [0.02, 0.03]}, p=[0.5, 0.01, 0.015]), Outcome.FAILED),
        (case("holm", {"sorted_adjusted_first2": [0.03, 0.03]}, p=[0.5, 0.01, 0.015]), Outcome.PASSED),
        (case("holm", {"n_reject": 2, "moon": 1}, p=[0.5, 0.01, 0.015]), Outcome.SKIPPED),
        (case("holm", {"n_reject": 1, "moon": 1}, p=[0.5, 0.01, 0.015]), Outcome.FAILED),
        (case("walk_forward_splits", [], n=5, train_size=4, test_size=2), Outcome.PASSED),
        (case("walk_forward_splits", [[[0, 1], [2]]], n=2, train_size=2, test_size=1), Outcome.FAILED),
        (case("holm", {"n_reject": 2}, p=[0.5, 0.01, 1.5]), Outcome.FAILED),
        (case("cvar_historical", -0.2, returns=[None, -0.2, 0.1, float("nan")], cutoff=0.25), Outcome.PASSED),
        (case("var_historical", [-0.2, 0.1], returns=[-0.2], cutoff=[0.1, 0.2]), Outcome.FAILED),
        (case("alpha_beta", {"beta": 1.0, "alpha": 5.0}, {"beta": 1e-9, "alpha": 9.0}, returns=[0.1, 0.2], benchmark=[0.1, 0.2]), Outcome.PASSED),
        (case("deflated_sharpe_ratio", 0.5, n=100, sr=0.1, sr_annual=2.0, trial_sr_std=0.1, n_trials=5), Outcome.FAILED),
    ],
)  # fmt: skip
def test_a_case_passes_only_when_everything_it_states_agrees(given: dict[str, Any], outcome: Outcome) -> None:
    assert run_case(given).outcome is outcome, run_case(given).line()


@pytest.mark.parametrize(
    ("cases", "status", "last_line"),
    [
        ([case("max_drawdown", -0.1, returns=[-0.1])], 0, "1 passed, 0 failed, 0 skipped"),
        ([case("max_drawdown", -0.2, returns=[-0.1]), case("moon_phase", 1)], 1, "0 passed, 1 failed, 1 skipped"),
    ],
)
def test_command_line(tmp_path: Path, cases: list[dict[str, Any]], status: int, last_line: str) -> None:
    oracle_file = tmp_path / "oracles.json"
    oracle_file.write_text(json.dumps({"cases": cases}), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "tests.oracles", str(oracle_file)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout.splitlines()[-1]) == (status, last_line)


def test_importing_statistics_loads_no_heavy_library() -> None:
    probe = "import sys, engines.statistics; print([m for m in sys.modules if m in HEAVY])"
    heavy = {"pandas", "scipy.stats", "statsmodels", "arch", "bidask", "pandera", "pyarrow"}
    run = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {heavy!r}; {probe}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"


def test_every_public_name_says_how_it_treats_absent_values_and_what_it_raises() -> None:
    functions = [getattr(statistics, name) for name in statistics.__all__ if name[0].islower()]
    assert len(functions) > 50
    for function in functions:
        text = function.__doc__
        assert text.splitlines()[0].endswith("?"), function.__name__
        assert "Returns:" in text, function.__name__
        assert "NaN" in text or "Raises:" in text, function.__name__


def test_every_public_function_is_documented() -> None:
    page = (REPOSITORY / "docs" / "statistics.md").read_text(encoding="utf-8")
    missing = [name for name in statistics.__all__ if name[0].islower() and f"`{name}`" not in page]
    assert not missing
