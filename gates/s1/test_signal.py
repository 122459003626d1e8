"""S1 baseline: does the signal, as declared and before any stress, rank the names at all?"""

from engines.statistics import (
    newey_west_lags,
    newey_west_tstat_of_mean,
    observations_for_t,
    share_interval,
    stationary_bootstrap_interval,
    student_t_of_mean,
)


def test_signal_covers_the_universe(baseline, evidence):
    """Most names of the universe have a signal, and enough names do on every judged date."""
    wide = evidence("s1.coverage.ratio", baseline.coverage_ratio, n_obs=baseline.n_dates)
    deep = evidence("s1.coverage.names", baseline.fewest_names, n_obs=baseline.n_dates)
    assert wide
    assert deep


def test_there_are_enough_rebalances(baseline, evidence):
    """Enough rebalances for the baseline's own Sharpe ratio to be told from zero (minimum track record length, gross)."""
    enough = evidence("s1.observations.rebalances", baseline.n_rebalances, n_obs=baseline.n_rebalances)
    needed = baseline.n_rebalances / baseline.track_record_ratio if baseline.track_record_ratio > 0.0 else float("inf")
    told = evidence(
        "s1.observations.track_record",
        baseline.track_record_ratio,
        n_obs=baseline.n_rebalances,
        note=f"{needed:.0f} rebalances would tell it from zero",
    )
    assert enough
    assert told


def test_baseline_ic_is_positive(baseline, seed, evidence):
    """Mean daily rank IC of the declared signal, over every date whose label ends before the sealed holdout."""
    ic = baseline.ic
    interval = stationary_bootstrap_interval(ic, "mean", block_length=baseline.horizon_days, seed=seed)
    assert evidence("s1.ic_mean", ic.mean(), n_obs=ic.size, interval=interval.bounds())


def test_baseline_ic_is_no_accident(baseline, evidence):
    """Student t of the mean IC over every h-th date; the Newey-West t of all dates stands beside it and does not decide."""
    ic, spaced = baseline.ic, baseline.spaced_ic
    lags = newey_west_lags(max(1, ic.size), baseline.horizon_days)
    t_stat = student_t_of_mean(spaced).t_stat
    note = (
        f"Newey-West t of all dates {newey_west_tstat_of_mean(ic, lags):.3f}; at this mean and spread "
        f"{observations_for_t(t_stat, spaced.size, 2.0):.0f} dates reach a t of 2, {observations_for_t(t_stat, spaced.size, 3.0):.0f} one of 3"
    )
    assert evidence("s1.ic_t", t_stat, n_obs=spaced.size, note=note)


def test_baseline_ic_is_often_positive(baseline, evidence):
    """Share of non-overlapping dates with a positive IC, as its distance from one half in units of 1/sqrt(T): 0.82 is the 95 % point."""
    spaced = baseline.spaced_ic
    share, (low, high) = (spaced > 0).mean(), share_interval(spaced > 0)
    root = spaced.size**0.5
    assert evidence(
        "s1.ic_positive_ratio",
        (share - 0.5) * root,
        n_obs=spaced.size,
        note=f"share {share:.3f}",
        interval=((low - 0.5) * root, (high - 0.5) * root),
    )
