"""Windows as rows a person can check, the choice made in training, and the series it leaves out of sample."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engines.backtest import run_backtest
from engines.errors import CandidateError, StatisticsError
from engines.signals import momentum
from engines.walk_forward import VariantRun, choose_variant, out_of_sample, plan_windows
from tests.engines.panels import make_candidate, random_panel

N_DATES = 200


def spec(**walk_forward):
    return make_candidate(walk_forward=walk_forward)


def test_the_first_test_starts_a_train_and_a_gap_after_the_first_rebalance():
    windows = plan_windows(first_rebalance=10, n_dates_before_holdout=120, candidate=spec())
    # gap = max(5 + 1, 5) = 6; first test 10 + 40 + 6 = 56; tests of 20 rows; the last 4 rows join their neighbour
    assert [window.train for window in windows] == [(10, 50), (30, 70), (50, 90)]
    assert [window.test for window in windows] == [(56, 76), (76, 96), (96, 120)]
    assert [window.shard_id for window in windows] == ["wf-1", "wf-1", "wf-2"]


def test_half_a_test_window_stands_on_its_own():
    windows = plan_windows(10, 126, spec())
    assert [window.test for window in windows] == [(56, 76), (76, 96), (96, 116), (116, 126)]


def test_a_long_embargo_widens_the_gap():
    windows = plan_windows(10, 120, spec(embargo_days=9))
    assert {window.gap_days for window in windows} == {9}


def test_shards_take_what_does_not_divide_from_the_front():
    windows = plan_windows(0, 46 + 20 * 7, spec(shards=3))
    assert [window.shard for window in windows] == [1, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(("n_dates", "missing"), [(60, 26), (40, 46), (85, 1)])
def test_too_short_a_file_is_told_how_many_dates_are_missing(n_dates, missing):
    with pytest.raises(CandidateError, match=rf"\b{missing} more than the file has"):
        plan_windows(10, n_dates, spec())
    assert len(plan_windows(10, n_dates + missing, spec())) == 2


@settings(max_examples=100)
@given(
    first=st.integers(0, 50),
    n_dates=st.integers(50, 600),
    train_days=st.integers(5, 100),
    test_days=st.integers(2, 60),
    embargo_days=st.integers(0, 30),
    shards=st.integers(1, 5),
)
def test_windows_tile_what_is_left_and_never_leak(first, n_dates, train_days, test_days, embargo_days, shards):
    candidate = spec(train_days=train_days, test_days=test_days, embargo_days=embargo_days, shards=shards)
    try:
        windows = plan_windows(first, n_dates, candidate)
    except CandidateError:
        assume(False)
    assert windows[0].train[0] == first
    assert windows[-1].test[1] == n_dates
    assert all(before.test[1] == after.test[0] for before, after in pairwise(windows))
    for window in windows:
        assert window.train[1] - window.train[0] == train_days
        assert window.gap_days == max(6, embargo_days)
        assert window.test[1] - window.test[0] >= test_days / 2
    assert sorted({window.shard for window in windows}) == list(range(1, shards + 1))
    assert [window.shard for window in windows] == sorted(window.shard for window in windows)


@pytest.fixture(scope="module")
def judged():
    """Two variants over one market, and their out-of-sample series."""
    panel = random_panel(1, n_dates=N_DATES)
    candidate = make_candidate(walk_forward={"shards": 3})
    mask = np.ones(panel.close.shape, dtype=bool)
    rng = np.random.default_rng(1)
    runs = []
    for lookback in (10, 20):
        backtest = run_backtest(
            panel, momentum(panel, lookback, 1), mask, candidate.portfolio, candidate.costs, 5, first_rebalance=10
        )
        ic = np.where(np.arange(N_DATES) < N_DATES - 6, rng.normal(0.02, 0.1, N_DATES), np.nan)
        runs.append(
            VariantRun(f"lookback_days={lookback}", backtest, ic, np.stack([ic - 0.01 * m for m in (1.0, 1.5, 2.0)]))
        )
    windows = plan_windows(10, N_DATES, candidate)
    market = rng.normal(0, 0.01, N_DATES)
    return candidate, runs, windows, out_of_sample(windows, runs, panel, market, candidate)


def test_the_choice_is_the_best_mean_net_return_in_training(judged):
    _, runs, windows, found = judged
    for window, label in zip(windows, found.chosen, strict=True):
        means = {
            run.label: run.backtest.net_returns(1.0)[
                slice(*(max(0, row - run.backtest.start) for row in window.train))
            ].mean()
            for run in runs
        }
        assert label == max(means, key=means.get)
    assert len(set(found.chosen)) == 2


def test_the_series_is_the_chosen_variants_own_on_the_test_rows(judged):
    _, runs, windows, found = judged
    by_label = {run.label: run for run in runs}
    for number, (window, label) in enumerate(zip(windows, found.chosen, strict=True)):
        rows, backtest = np.arange(*window.test), by_label[label].backtest
        days = found.window_of_day == number
        np.testing.assert_array_equal(found.rows[days], rows)
        np.testing.assert_array_equal(found.net_returns(1.5)[days], backtest.net_returns(1.5)[rows - backtest.start])
        np.testing.assert_array_equal(found.daily_net_ic(2.0)[days], by_label[label].net_ics[2][rows])


def test_shards_together_are_the_whole(judged):
    _, _, _, found = judged
    parts = [found.shard(f"wf-{number}") for number in (1, 2, 3)]
    np.testing.assert_array_equal(np.concatenate([part.net_returns(2.0) for part in parts]), found.net_returns(2.0))
    np.testing.assert_array_equal(np.concatenate([part.window_ic for part in parts]), found.window_ic)
    assert sum(part.n_windows for part in parts) == found.n_windows
    with pytest.raises(StatisticsError, match=r"wf-1 \.\. wf-3"):
        found.shard("wf-4")


def test_window_means_leave_out_what_is_not_there(judged):
    _, _, windows, found = judged
    last = found.window_of_day == len(windows) - 1
    assert np.isnan(found.daily_ic[last]).sum() == 6
    assert found.window_ic[-1] == pytest.approx(np.nanmean(found.daily_ic[last]))
    assert found.ic.size == found.n_days - 6
    assert found.window_net_ic(1.0) == pytest.approx(found.window_ic - 0.01)


def test_spaced_ics_share_no_label(judged):
    _, _, _, found = judged
    np.testing.assert_array_equal(found.spaced_ic, found.daily_ic[::5][np.isfinite(found.daily_ic[::5])])


def test_the_purge_leaves_no_training_label_in_a_test(judged):
    _, _, _, found = judged
    assert found.smallest_gap == 6
    assert found.label_overlap(6) == 0
    assert (
        found.label_overlap(7) == found.n_windows
    )  # the last label of each training window would end on its first test row


def test_break_even_is_where_the_net_profit_is_zero(judged):
    _, _, _, found = judged
    assert found.net_returns(found.break_even_multiplier).mean() == pytest.approx(0.0, abs=1e-15)


def test_a_net_ic_is_known_for_declared_multipliers_only(judged):
    _, _, _, found = judged
    with pytest.raises(StatisticsError, match="no net IC at multiplier 3"):
        found.net_ic(3.0)


def test_a_variant_without_training_returns_is_not_chosen(judged):
    _, runs, _, _ = judged
    early = (0, runs[0].backtest.start + 2)
    assert runs[1].backtest.start > early[1]
    assert choose_variant([runs[1].backtest, runs[0].backtest], early) == 1
    assert choose_variant([run.backtest for run in runs], (0, 5)) == 0


def test_long_only_is_judged_over_the_market(judged):
    _, _, _, found = judged
    long_only = replace(found, long_only=True)
    np.testing.assert_array_equal(long_only.judged_returns(1.0), found.net_returns(1.0) - found.market)
    np.testing.assert_array_equal(found.judged_returns(1.0), found.net_returns(1.0))
