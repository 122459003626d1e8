"""S3 significance: does the candidate stand out of everything its family has tried?"""

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.statistics import (
    benjamini_hochberg,
    deflated_sharpe_ratio,
    expected_max_sharpe,
    min_backtest_length_years,
    min_track_record_length,
    newey_west_interval_of_mean,
    newey_west_lags,
    null_trial_std,
    return_moments,
    share_interval,
    trials_survived,
)


def test_the_factor_survives_its_family(walk_forward, family, evidence):
    """Benjamini-Hochberg over one p-value a registered trial (non-overlapping t, one-sided), with this candidate's own first."""
    spaced = walk_forward.spaced_ic
    own_q = benjamini_hochberg(family.p_values).adjusted[0]
    found = evidence("s3.stat_gate_factor_pass.q", own_q, n_obs=family.n_trials, note=family.note)
    shares = share_interval(spaced > 0)
    often = evidence("s3.stat_gate_factor_pass.positive_ratio", (spaced > 0).mean(), n_obs=spaced.size, interval=shares)
    ic = walk_forward.ic
    means = newey_west_interval_of_mean(ic, newey_west_lags(max(1, ic.size), walk_forward.horizon_days))
    up = evidence("s3.stat_gate_factor_pass.mean", ic.mean(), n_obs=ic.size, interval=means)
    assert found
    assert often
    assert up


def test_the_sharpe_survives_its_deflation(walk_forward, family, evidence):
    """Deflated Sharpe ratio of the out-of-sample net return: the hurdle is the best of as many worthless trials as the family has made."""
    moments = return_moments(walk_forward.judged_returns(1.0))
    spread = null_trial_std(family.other_sharpes, moments.n_obs)
    shape = (moments.sharpe, moments.n_obs, moments.skew, moments.kurtosis)
    deflated = deflated_sharpe_ratio(*shape, n_trials=family.n_trials, trial_std=spread)
    alone = deflated_sharpe_ratio(*shape, n_trials=family.n_trials, trial_std=null_trial_std([], moments.n_obs))
    survives = trials_survived(*shape, trial_std=spread, probability=0.95)
    hurdle = expected_max_sharpe(family.n_trials, spread)
    needed_days = min_track_record_length(moments.sharpe, moments.skew, moments.kurtosis, benchmark=hurdle)
    note = (
        f"{family.note}; self-contained {alone:.4f}; survives {survives:.3g} trials; "
        f"{needed_days:.0f} days would do at this Sharpe ratio and hurdle, there are {moments.n_obs}"
    )
    assert evidence("s3.deflated_sharpe", deflated, n_obs=moments.n_obs, note=note)


def test_the_record_is_long_enough(walk_forward, family, evidence):
    """Out-of-sample length against the minimum track record (one trial) and the minimum backtest length (the family's trials)."""
    moments = return_moments(walk_forward.judged_returns(1.0))
    needed_days = min_track_record_length(moments.sharpe, moments.skew, moments.kurtosis)
    annual_sharpe = moments.sharpe * TRADING_DAYS_PER_YEAR**0.5
    needed_years = min_backtest_length_years(family.n_trials, target_annual_sharpe=annual_sharpe)
    years = moments.n_obs / TRADING_DAYS_PER_YEAR
    note = f"{max(0.0, needed_days - moments.n_obs):.0f} days still needed"
    single = evidence(
        "s3.min_backtest_length.track_record", moments.n_obs / needed_days, n_obs=moments.n_obs, note=note
    )
    searched = evidence("s3.min_backtest_length.years", years - needed_years, n_obs=moments.n_obs, note=family.note)
    assert single
    assert searched
