"""S4 holdout: what does the window say that nobody has looked at?"""

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.statistics import (
    haircut_sharpe_bonferroni,
    monthly_returns,
    sharpe_ratio,
    stationary_bootstrap_interval,
)


def annual_net_sharpe(series):
    """Annualised Sharpe of the net return at multiplier 1; for a long-only candidate, of its return over the market."""
    return sharpe_ratio(series.judged_returns(1.0), periods_per_year=TRADING_DAYS_PER_YEAR)


def test_the_sealed_window_earns_its_costs(holdout, holdout_looks, seed, evidence):
    """Net Sharpe of the final window, sealed until now, with the variant chosen on the train days that end a gap before it."""
    net, block = holdout.judged_returns(1.0), min(holdout.horizon_days, holdout.n_days)
    interval = stationary_bootstrap_interval(net, "sharpe", block_length=block, seed=seed)
    bounds = interval.bounds(TRADING_DAYS_PER_YEAR**0.5)
    assert evidence(
        "s4.holdout", annual_net_sharpe(holdout), n_obs=holdout.n_days, note=holdout_looks.note, interval=bounds
    )


def test_the_sealed_window_resembles_the_walk_forward(holdout, walk_forward, evidence):
    """Net Sharpe of the sealed window over that of the walk-forward; a diagnostic, for so short a window swings widely."""
    assert evidence(
        "s4.holdout_decay", annual_net_sharpe(holdout) / annual_net_sharpe(walk_forward), n_obs=holdout.n_days
    )


def test_haircut_sharpe(walk_forward, family, evidence):
    """Annual net Sharpe after a Bonferroni haircut for the family's trials, on monthly returns (Harvey & Liu 2015)."""
    monthly = monthly_returns(walk_forward.dates, walk_forward.judged_returns(1.0))
    cut = haircut_sharpe_bonferroni(sharpe_ratio(monthly, periods_per_year=12), monthly.size, family.n_trials)
    note = f"haircut {cut.haircut:.1%}; {family.note}"
    assert evidence("s4.haircut_sharpe", cut.sharpe_adjusted_annual, n_obs=monthly.size, note=note)
