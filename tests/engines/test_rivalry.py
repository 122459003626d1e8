"""Two series on their common days: the figures, either-or as one number, and what cannot be compared."""

from __future__ import annotations

import numpy as np
import pytest

from engines.errors import StatisticsError
from engines.rivalry import rivalry
from engines.statistics import ledoit_wolf_sharpe_difference_hac, sharpe_ratio

DAYS = np.busday_offset("2018-01-01", np.arange(800))


def noise(seed: int, mean: float = 5e-4) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 6e-3, DAYS.size)


def test_the_figures_are_those_of_the_common_days() -> None:
    ours, theirs = noise(1), noise(2)
    found = rivalry(DAYS[100:], ours[100:], DAYS[:700], theirs[:700])
    first, second = ours[100:700], theirs[100:700]
    assert (found.n_days, found.first_day, found.last_day) == (600, str(DAYS[100]), str(DAYS[699]))
    assert found.challenger == sharpe_ratio(first, periods_per_year=252)
    assert found.champion == sharpe_ratio(second, periods_per_year=252)
    assert found.p_two_sided == ledoit_wolf_sharpe_difference_hac(first, second).p_two_sided
    assert found.correlation == pytest.approx(np.corrcoef(first, second)[0, 1])
    blended = first / first.std(ddof=1) + second / second.std(ddof=1)
    assert found.blend == pytest.approx(sharpe_ratio(blended, periods_per_year=252))
    assert "600 common days" in found.describe()


def test_different_is_enough() -> None:
    found = rivalry(DAYS, noise(1, -1e-3), DAYS, noise(2, 2e-3))
    assert found.allowance == pytest.approx(found.correlation / 0.5)
    assert found.allowance < 1


def test_the_same_again_is_not() -> None:
    series = noise(1)
    for same in (series, 2 * series):
        found = rivalry(DAYS, same, DAYS, series)
        assert (found.p_better, found.allowance) == (1.0, pytest.approx(2.0))


def test_better_is_enough_and_worse_is_not_however_small_p_is() -> None:
    theirs = noise(1)
    better, worse = theirs + 1e-3 + 0.1 * noise(3), theirs - 1e-3 + 0.1 * noise(3)
    up, down = rivalry(DAYS, better, DAYS, theirs), rivalry(DAYS, worse, DAYS, theirs)
    assert up.correlation > 0.9
    assert up.allowance < 1
    assert down.p_two_sided < 0.01
    assert down.allowance > 1


def test_an_opposite_diversifies() -> None:
    assert rivalry(DAYS, -noise(1), DAYS, noise(1)).allowance < 0


@pytest.mark.parametrize(
    ("dates", "fault"),
    [
        (DAYS[-100:], "100 common days, 126 are needed"),
        (DAYS[::2], "another calendar"),
        (np.arange(DAYS[0], DAYS[-1] + 1), "another calendar"),
    ],
)
def test_what_shares_too_few_days_is_not_compared(dates: np.ndarray, fault: str) -> None:
    with pytest.raises(StatisticsError, match=fault):
        rivalry(DAYS, noise(1), dates, np.random.default_rng(1).normal(0, 1e-2, dates.size))


def test_a_series_that_stands_still_is_not_compared() -> None:
    with pytest.raises(StatisticsError, match="does not move"):
        rivalry(DAYS, noise(1), DAYS, np.zeros(DAYS.size))
