"""S3 cost stress: does the edge survive being wrong about costs?"""

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.statistics import (
    newey_west_interval_of_mean,
    newey_west_interval_of_ratio,
    newey_west_lags,
    newey_west_tstat_of_mean,
    share_interval,
    sharpe_ratio,
    stationary_bootstrap_interval,
)


def annual_net_sharpe(walk_forward, multiplier):
    """Annualised Sharpe of the out-of-sample net return; for a long-only candidate, of its return over the market."""
    return sharpe_ratio(walk_forward.judged_returns(multiplier), periods_per_year=TRADING_DAYS_PER_YEAR)


def annual_net_sharpe_interval(walk_forward, multiplier, seed):
    """95 % interval of the same, by stationary bootstrap with blocks of a horizon."""
    net = walk_forward.judged_returns(multiplier)
    interval = stationary_bootstrap_interval(net, "sharpe", block_length=walk_forward.horizon_days, seed=seed)
    return interval.bounds(TRADING_DAYS_PER_YEAR**0.5)


def mean_interval(ic, horizon_days):
    """95 % interval of a mean IC whose labels overlap, by Newey-West."""
    return newey_west_interval_of_mean(ic, newey_west_lags(max(1, ic.size), horizon_days))


def test_the_edge_survives_one_and_a_half_times_the_costs(walk_forward, seed, evidence):
    """Net IC and net Sharpe are positive out of sample at 1.5 times the assumed costs."""
    net_ic, days = walk_forward.net_ic(1.5), walk_forward.n_days
    interval = annual_net_sharpe_interval(walk_forward, 1.5, seed)
    ranked = evidence(
        "s3.cost_gate_x1_5_positive.net_ic",
        net_ic.mean(),
        n_obs=net_ic.size,
        interval=mean_interval(net_ic, walk_forward.horizon_days),
    )
    paid = evidence(
        "s3.cost_gate_x1_5_positive.net_sharpe", annual_net_sharpe(walk_forward, 1.5), n_obs=days, interval=interval
    )
    assert ranked
    assert paid


def test_the_edge_survives_twice_the_costs(walk_forward, seed, evidence):
    """Net IC and net Sharpe are positive out of sample at twice the assumed costs."""
    net_ic, days = walk_forward.net_ic(2.0), walk_forward.n_days
    interval = annual_net_sharpe_interval(walk_forward, 2.0, seed)
    ranked = evidence(
        "s3.cost_gate_x2_0_positive.net_ic",
        net_ic.mean(),
        n_obs=net_ic.size,
        interval=mean_interval(net_ic, walk_forward.horizon_days),
    )
    paid = evidence(
        "s3.cost_gate_x2_0_positive.net_sharpe", annual_net_sharpe(walk_forward, 2.0), n_obs=days, interval=interval
    )
    assert ranked
    assert paid


def test_no_shard_is_a_clear_loser(shard_backtest, cost_multiplier, evidence):
    """t-statistic of the mean net return clears the floor in every shard at every multiplier."""
    net = shard_backtest.net_returns(cost_multiplier)  # (days,) decimal
    note = f"nothing is left at {shard_backtest.break_even_multiplier:.2f} times the costs"
    assert evidence("s3.shard_net_t", newey_west_tstat_of_mean(net), n_obs=net.size, note=note)


def test_net_sharpe_is_positive(walk_forward, cost_multiplier, seed, evidence):
    """Annualised net Sharpe over all test windows, and the share of windows that earn their costs."""
    window_net = walk_forward.window_net_returns(cost_multiplier)
    sharpe, days = annual_net_sharpe(walk_forward, cost_multiplier), walk_forward.n_days
    interval = annual_net_sharpe_interval(walk_forward, cost_multiplier, seed)
    level = evidence("s3.net_sharpe.level", sharpe, n_obs=days, interval=interval)
    often = evidence(
        "s3.net_sharpe.windows",
        (window_net > 0).mean(),
        n_obs=window_net.size,
        interval=share_interval(window_net > 0),
    )
    assert level
    assert often


def test_cost_stress_bites(shard_backtest, evidence):
    """Doubling costs must lower returns: a stress that moves nothing proves nothing."""
    drag_bps = 1e4 * (shard_backtest.net_returns(1.0) - shard_backtest.net_returns(2.0)).mean()
    assert evidence("s3.cost_drag_bps", drag_bps, n_obs=shard_backtest.n_days)


def test_break_even_multiplier(walk_forward, evidence):
    """The multiplier at which the out-of-sample profit is zero: mean gross return over mean cost."""
    interval = newey_west_interval_of_ratio(walk_forward.gross, walk_forward.cost)
    assert evidence(
        "s3.break_even_multiplier", walk_forward.break_even_multiplier, n_obs=walk_forward.n_days, interval=interval
    )
