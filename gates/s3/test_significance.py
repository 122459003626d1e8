"""S3 significance: does the candidate stand out of everything its family has tried?"""

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.statistics import (
    benjamini_hochberg,
    deflated_sharpe_ratio,
    min_backtest_length_years,
    min_track_record_length,
    null_trial_std,
    return_moments,
    trials_survived,
)


def test_the_factor_survives_its_family(walk_forward, family, evidence):
    """Benjamini-Hochberg over one p-value a registered trial (non-overlapping t, one-sided), with this candidate's own first."""
    spaced = walk_forward.spaced_ic
    own_q = benjamini_hochberg(family.p_values).adjusted[0]
    found = evidence("s3.stat_gate_factor_pass.q", own_q, n_obs=family.n_trials, note=family.note)
    often = evidence("s3.stat_gate_factor_pass.positive_ratio", (spaced > 0).mean(), n_obs=spaced.size)
    up = evidence("s3.stat_gate_factor_pass.mean", walk_forward.ic.mean(), n_obs=walk_forward.ic.size)
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
    note = f"{family.note}; self-contained {alone:.4f}; survives {survives:.3g} trials"
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
