"""S3 stressed universe: is the edge there where it can be traded? Larger, more liquid, dearer names at one and a half times the costs."""

from engines.statistics import newey_west_interval_of_mean, newey_west_lags, share_interval


def test_mean_ic_is_positive(stressed_walk_forward, evidence):
    """Mean daily net rank IC at 1.5 in the stricter universe."""
    net_ic = stressed_walk_forward.net_ic(1.5)
    lags = newey_west_lags(max(1, net_ic.size), stressed_walk_forward.horizon_days)
    assert evidence(
        "s3.wf_gate_positive_mean",
        net_ic.mean(),
        n_obs=net_ic.size,
        note=stressed_walk_forward.universe_note,
        interval=newey_west_interval_of_mean(net_ic, lags),
    )


def test_most_windows_are_positive(stressed_walk_forward, evidence):
    """Share of windows whose mean net IC at 1.5 is positive in the stricter universe."""
    window_ic = stressed_walk_forward.window_net_ic(1.5)
    interval = share_interval(window_ic > 0)
    assert evidence("s3.wf_gate_pos_ratio", (window_ic > 0).mean(), n_obs=window_ic.size, interval=interval)


def test_beta_is_small(stressed_risk, evidence):
    """Slope of the net return on the market, stricter universe."""
    interval = stressed_risk.beta_abs_interval
    assert evidence("s3.risk_gate_beta_abs", abs(stressed_risk.beta), n_obs=stressed_risk.n_days, interval=interval)


def test_the_book_keeps_its_names(stressed_risk, evidence):
    """Share of the top leg that stays from one rebalance to the next, stricter universe."""
    overlap = stressed_risk.turnover_overlap
    assert evidence(
        "s3.risk_gate_turnover_overlap",
        overlap,
        n_obs=stressed_risk.n_rebalances,
        note=f"chance level {stressed_risk.chance_overlap:.2f}",
    )


def test_the_signal_is_not_size(stressed_risk, evidence):
    """Mean cross-sectional rank correlation of signal and market cap, stricter universe."""
    size_correlation = stressed_risk.size_correlation
    assert evidence(
        "s3.risk_gate_size_corr_abs",
        None if size_correlation is None else abs(size_correlation),
        n_obs=stressed_risk.n_rebalances,
    )


def test_the_book_spans_industries(stressed_risk, evidence):
    """Sectors held over sectors in the stricter universe, mean over rebalances."""
    assert evidence("s3.risk_gate_industry_coverage", stressed_risk.industry_coverage, n_obs=stressed_risk.n_rebalances)
