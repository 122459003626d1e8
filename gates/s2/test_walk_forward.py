"""S2 walk-forward: chosen in each training window, judged on the test window that follows a purged and embargoed gap."""

from engines.statistics import share_interval, stationary_bootstrap_interval


def test_training_labels_end_before_the_test(shard_backtest, candidate, evidence):
    """No training label reaches into its test window, and the gap is at least the horizon."""
    portfolio = candidate.portfolio
    overlap = shard_backtest.label_overlap(portfolio.execution_delay_days + portfolio.horizon_days)
    clean = evidence("s2.purge.overlap", overlap, n_obs=shard_backtest.n_windows)
    wide = evidence(
        "s2.purge.embargo", shard_backtest.smallest_gap - portfolio.horizon_days, n_obs=shard_backtest.n_windows
    )
    assert clean
    assert wide


def test_out_of_sample_ic_is_positive(walk_forward, seed, evidence):
    """Mean daily rank IC over all test windows of the variant chosen in each."""
    ic = walk_forward.ic
    interval = stationary_bootstrap_interval(ic, "mean", block_length=walk_forward.horizon_days, seed=seed)
    assert evidence("s2.wf_ic_mean", ic.mean(), n_obs=ic.size, interval=interval.bounds())


def test_most_windows_are_positive(walk_forward, evidence):
    """Share of test windows whose mean IC is positive: an edge, not an episode."""
    window_ic = walk_forward.window_ic
    interval = share_interval(window_ic > 0)
    assert evidence("s2.wf_positive_ratio", (window_ic > 0).mean(), n_obs=window_ic.size, interval=interval)
