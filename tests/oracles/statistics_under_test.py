"""How engines.statistics computes each statistic an oracle file names, in the file's own keywords and conventions.

Every function takes exactly the keywords the file uses, so that one not understood fails to bind and is never dropped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import statsmodels.api as sm

from engines import statistics

Numbers = Sequence[float | None]
Computed = float | Sequence[Any] | dict[str, Any]

COMPUTED: dict[str, Callable[..., Computed]] = {}

PBO_ORACLE_RISK_FREE_PER_DAY = 0.03 / 252
REALITY_CHECK_SEED = 20240229
BLOCK_SCHEMES: dict[str, statistics.BlockScheme] = {
    **dict.fromkeys(("stationary", "sb"), "stationary"),
    **dict.fromkeys(("circular", "cbb"), "circular"),
    **dict.fromkeys(("moving block", "moving_block", "mbb"), "moving_block"),
}
"""The names and short names of arch.bootstrap.SPA."""


def computes(function: Callable[..., Computed]) -> Callable[..., Computed]:
    """Register a function under its own name as the statistic of that name."""
    COMPUTED[function.__name__] = function
    return function


@computes
def sharpe_ratio(returns: Numbers, periods: float | None = None, rf_per_period: float = 0.0) -> float:
    return statistics.sharpe_ratio(returns, periods_per_year=periods, risk_free_per_period=rf_per_period)


@computes
def adjusted_sharpe_ratio(returns: Numbers, periods: float) -> float:
    return statistics.adjusted_sharpe_ratio(returns, periods_per_year=periods)


@computes
def sharpe_standard_error(sr: float, n: int, skew: float = 0.0, kurtosis: float = 3.0) -> float:
    return statistics.sharpe_standard_error(sr, n, skew, kurtosis)


@computes
def sharpe_standard_error_lo_iid(sr: float, n: int) -> float:
    return statistics.sharpe_standard_error_lo_iid(sr, n)


@computes
def lo_ar1_annualisation_factor(rho: float, q: int, sr_annual_iid: float = 1.0) -> float:
    return sr_annual_iid * statistics.lo_ar1_annualisation_factor(rho, q)


@computes
def probabilistic_sharpe_ratio(
    sr: float | None = None,
    n: int | None = None,
    skew: float | None = None,
    kurtosis: float | None = None,
    returns: Numbers | None = None,
    sr_benchmark: float = 0.0,
) -> float:
    sr, n, skew, kurtosis = _moments(returns, sr, n, skew, kurtosis)
    return statistics.probabilistic_sharpe_ratio(sr, n, skew, kurtosis, benchmark=sr_benchmark)


@computes
def probabilistic_sharpe_ratio_2025(
    sr: float, n: int, skew: float = 0.0, kurtosis: float = 3.0, sr_benchmark: float = 0.0
) -> float:
    return statistics.probabilistic_sharpe_ratio_2025(sr, n, skew, kurtosis, benchmark=sr_benchmark)


@computes
def min_track_record_length(
    sr: float | None = None,
    skew: float | None = None,
    kurtosis: float | None = None,
    returns: Numbers | None = None,
    sr_benchmark: float = 0.0,
    prob: float = 0.95,
) -> float:
    sr, _, skew, kurtosis = _moments(returns, sr, 0, skew, kurtosis)
    return statistics.min_track_record_length(sr, skew, kurtosis, benchmark=sr_benchmark, probability=prob)


@computes
def min_track_record_length_2025(
    sr: float, skew: float = 0.0, kurtosis: float = 3.0, sr_benchmark: float = 0.0, alpha: float = 0.05
) -> float:
    return statistics.min_track_record_length_2025(sr, skew, kurtosis, benchmark=sr_benchmark, alpha=alpha)


@computes
def posterior_false_discovery_rate(p_h1: float, alpha: float, beta: float) -> float:
    return statistics.posterior_false_discovery_rate(p_h1, alpha, beta)


@computes
def expected_max_sharpe(
    n_trials: float, sr_std: float | None = None, sr_variance: float | None = None, mean: float = 0.0
) -> float:
    std = sr_std if sr_std is not None else np.sqrt(1.0 if sr_variance is None else sr_variance)
    return statistics.expected_max_sharpe(n_trials, float(std), mean)


@computes
def expected_max_normal_exact(n_trials: int | Sequence[int]) -> float | list[float]:
    if isinstance(n_trials, Sequence):
        return [statistics.expected_max_normal_exact(n) for n in n_trials]
    return statistics.expected_max_normal_exact(n_trials)


@computes
def min_backtest_length_years(n_trials: float, target_annual_sr: float = 1.0) -> float:
    return statistics.min_backtest_length_years(n_trials, target_annual_sr)


@computes
def deflated_sharpe_ratio(
    n: int,
    sr: float | None = None,
    sr_annual: float | None = None,
    periods_per_year: float = 252.0,
    trial_sharpes: Numbers | None = None,
    trial_sr_std: float | None = None,
    sr_variance_annual: float | None = None,
    n_trials: float | None = None,
    skew: float = 0.0,
    kurtosis: float = 3.0,
) -> float:
    """`sr`, `trial_sharpes` and `trial_sr_std` are per period; what is annual says so."""
    sharpe = _exactly_one(sr=sr, sr_annual=None if sr_annual is None else sr_annual / np.sqrt(periods_per_year))
    spread = _exactly_one(
        trial_sr_std=trial_sr_std,
        trial_sharpes=None if trial_sharpes is None else statistics.trial_sharpe_std(trial_sharpes),
        sr_variance_annual=None if sr_variance_annual is None else np.sqrt(sr_variance_annual / periods_per_year),
    )
    n_tried = n_trials if n_trials is not None else len(trial_sharpes or ())
    return statistics.deflated_sharpe_ratio(sharpe, n, skew, kurtosis, n_trials=n_tried, trial_std=spread)


@computes
def haircut_sharpe_bonferroni(
    sr_annual: float, n_months: int, n_tests: int, rho_autocorr: float = 0.0
) -> dict[str, float]:
    result = statistics.haircut_sharpe_bonferroni(sr_annual, n_months, n_tests, rho_autocorr)
    return {
        "p_adjusted": result.p_adjusted,
        "p_single": result.p_single,
        "sr_adjusted": result.sharpe_adjusted_annual,
        "haircut": result.haircut,
        "haircut_pct": 100.0 * result.haircut,
    }


@computes
def benjamini_hochberg(p: Numbers, alpha: float = 0.05) -> dict[str, Any]:
    return _multiple_test(statistics.benjamini_hochberg(p, alpha))


@computes
def benjamini_yekutieli(p: Numbers, alpha: float = 0.05) -> dict[str, Any]:
    return _multiple_test(statistics.benjamini_yekutieli(p, alpha))


@computes
def holm(p: Numbers, alpha: float = 0.05) -> dict[str, Any]:
    return _multiple_test(statistics.holm(p, alpha))


@computes
def bonferroni(p: Numbers, alpha: float = 0.05) -> dict[str, Any]:
    return _multiple_test(statistics.bonferroni(p, alpha))


@computes
def pbo_cscv(returns: Sequence[Numbers], s: int = 16, threshold: float = 0.0) -> dict[str, float]:
    """The R package's conventions: rank / N, daily risk-free rate, and a regression of in-sample on out-of-sample."""
    result = statistics.pbo_cscv(
        returns,
        s,
        loss_threshold=threshold,
        risk_free_per_period=PBO_ORACLE_RISK_FREE_PER_DAY,
        rank_divisor="n",
    )
    line = statistics.line_fit(result.out_of_sample, result.in_sample)
    return {
        "pbo": result.pbo,
        "p_loss": result.loss_probability,
        "intercept": line.intercept,
        "slope": line.slope,
        "adj_r2": line.adjusted_r_squared,
    }


def with_second_macro_regressor(x: Sequence[float] | Sequence[Numbers]) -> npt.ArrayLike:
    """The published regression on US macro data has two regressors; a case that holds only the first is completed from its source.

    The source is statsmodels' macrodata. Any other `x` is taken as it stands.
    """
    macro = sm.datasets.macrodata.load_pandas().data
    growth = 400 * np.diff(np.log(macro["realgdp"].to_numpy()))
    given = np.asarray(x, dtype=np.float64)
    if given.shape == growth.shape and np.allclose(given, growth, rtol=1e-9, atol=0.0):
        return np.column_stack([given, macro["realint"].to_numpy()[:-1]])
    return given


@computes
def newey_west_tstat(
    y: Numbers, x: Sequence[float] | Sequence[Numbers], lags: int | None = None, small_sample: bool = True
) -> dict[str, list[float]]:
    n_lags = statistics.newey_west_lags(len(y)) if lags is None else lags
    fit = statistics.newey_west_tstat(y, with_second_macro_regressor(x), n_lags, small_sample=small_sample)
    return {"t": list(fit.t_stats), "se": list(fit.standard_errors), "coef": list(fit.coefficients)}


@computes
def newey_west_tstat_of_mean(series: Numbers, lags: int | None = None) -> dict[str, float]:
    return {
        "t": statistics.newey_west_tstat_of_mean(series, lags, small_sample=False),
        "t_corrected": statistics.newey_west_tstat_of_mean(series, lags, small_sample=True),
    }


@computes
def fama_macbeth(yearly_slopes: Numbers | None = None, yearly_intercepts: Numbers | None = None) -> dict[str, float]:
    """Keys without a prefix are those of the slopes, or of the intercepts where only these are given."""
    given = {"slope": yearly_slopes, "intercept": yearly_intercepts}
    computed: dict[str, float] = {}
    for name, coefficients in given.items():
        if coefficients is None:
            continue
        result = statistics.fama_macbeth(coefficients)
        keyed = {"t": result.t_stat, "mean": result.mean, "se": result.standard_error}
        computed = {**keyed, **computed, **{f"{name}_{key}": value for key, value in keyed.items()}}
    return computed


@computes
def spearman_rank_ic(x: Numbers, y: Numbers) -> float:
    return statistics.spearman_rank_ic(x, y)


@computes
def alpha_beta(returns: Numbers, benchmark: Numbers) -> dict[str, float]:
    result = statistics.alpha_beta(returns, benchmark)
    return {"alpha": result.alpha_annual, "beta": result.beta}


@computes
def ledoit_wolf_sharpe_difference_hac(returns: Sequence[Numbers]) -> dict[str, float]:
    pair = np.asarray(returns, dtype=np.float64)
    result = statistics.ledoit_wolf_sharpe_difference_hac(pair[:, 0], pair[:, 1])
    return {"diff": result.difference, "se": result.standard_error, "p": result.p_two_sided}


@computes
def politis_white_block_length(x: Numbers, kind: str = "stationary") -> float:
    return statistics.politis_white_block_length(x, kind)  # type: ignore[arg-type]


@computes
def white_reality_check_pvalue(
    losses: Sequence[Numbers], block: float, bootstrap: str = "stationary", reps: int | str = 3000
) -> float:
    """`losses` of the models over a benchmark that loses nothing; `reps` may read '>=3000'."""
    n_resamples = reps if isinstance(reps, int) else int(reps.lstrip("><= "))
    return statistics.white_reality_check_pvalue(
        -np.asarray(losses, dtype=np.float64),
        block,
        n_resamples=max(n_resamples, 10_000),
        seed=REALITY_CHECK_SEED,
        scheme=BLOCK_SCHEMES[bootstrap],
    )


@computes
def max_drawdown(returns: Numbers) -> float:
    return statistics.max_drawdown(returns)


@computes
def calmar_ratio(returns: Numbers, periods: float) -> float:
    return statistics.calmar_ratio(returns, periods_per_year=periods)


@computes
def pain_index(returns: Numbers) -> float:
    return statistics.pain_index(returns)


@computes
def downside_deviation(returns: Numbers, mar: float = 0.0, periods: float | None = None) -> float:
    return statistics.downside_deviation(returns, minimum_return=mar, periods_per_year=periods)


@computes
def sortino_ratio(returns: Numbers, periods: float | None = None, mar: float = 0.0, annualise: bool = True) -> float:
    return statistics.sortino_ratio(returns, minimum_return=mar, periods_per_year=periods if annualise else None)


@computes
def var_historical(returns: Numbers, cutoff: float | Sequence[float] = 0.05) -> float | list[float]:
    return _for_each(cutoff, lambda share: statistics.var_historical(returns, share))


@computes
def cvar_historical(returns: Numbers, cutoff: float | Sequence[float] = 0.05) -> float | list[float]:
    return _for_each(cutoff, lambda share: statistics.cvar_historical(returns, share))


@computes
def cvar_rockafellar_uryasev(returns: Numbers, beta: float | Sequence[float] = 0.95) -> float | list[float]:
    return _for_each(beta, lambda share: statistics.cvar_rockafellar_uryasev(returns, share))


@computes
def herfindahl_normalised(w: Numbers) -> float:
    return statistics.herfindahl_normalised(w)


@computes
def market_impact_athl(
    x: float,
    adv: float,
    shares_out: float,
    sigma_daily_pct: float,
    T_days: float | Sequence[float],  # noqa: N803
) -> dict[str, Any]:
    durations = T_days if isinstance(T_days, Sequence) else [T_days]
    impacts = [statistics.market_impact_athl(x, adv, shares_out, 100.0 * sigma_daily_pct, days) for days in durations]
    many = isinstance(T_days, Sequence)
    return {
        "inverse_turnover": impacts[0].inverse_turnover,
        "permanent_bp": impacts[0].permanent_bps,
        "temporary_bp": [impact.temporary_bps for impact in impacts] if many else impacts[0].temporary_bps,
        "realised_bp": [impact.realised_bps for impact in impacts] if many else impacts[0].realised_bps,
    }


@computes
def corwin_schultz_spread(high: Numbers, low: Numbers, close: Numbers) -> float:
    return statistics.corwin_schultz_spread(high, low, close)


@computes
def abdi_ranaldo_spread(high: Numbers, low: Numbers, close: Numbers) -> float:
    return statistics.abdi_ranaldo_spread(high, low, close)


@computes
def edge_spread(ohlc: Sequence[Numbers]) -> float:
    return statistics.edge_spread(*np.asarray(ohlc, dtype=np.float64).T, signed=True)


@computes
def cpcv_counts(n_folds: int, n_test_folds: int) -> dict[str, Any]:
    return dataclasses.asdict(statistics.cpcv_counts(n_folds, n_test_folds))


@computes
def cpcv_train_indices(
    n: int, n_folds: int, n_test_folds: int, purged_size: int = 0, embargo_size: int = 0
) -> list[list[int]]:
    splits = statistics.cpcv_splits(n, n_folds, n_test_folds, purged_size=purged_size, embargo_size=embargo_size)
    return [split.train.tolist() for split in splits]


@computes
def walk_forward_splits(
    n: int, train_size: int, test_size: int, purged_size: int = 0, expand_train: bool = False
) -> list[list[list[int]]]:
    if n < train_size + purged_size + test_size:
        return []
    splits = statistics.walk_forward_splits(
        n, train_size, test_size, purged_size=purged_size, expand_train=expand_train
    )
    return [[split.train.tolist(), split.test.tolist()] for split in splits]


def _moments(
    returns: Numbers | None, sr: float | None, n: int | None, skew: float | None, kurtosis: float | None
) -> tuple[float, int, float, float]:
    """Sharpe, n, skew and kurtosis as given, each missing one from `returns`, else that of a normal."""
    if returns is None:
        if sr is None or n is None:
            raise ValueError("neither returns nor sr and n are given")
        return sr, n, 0.0 if skew is None else skew, 3.0 if kurtosis is None else kurtosis
    own = statistics.return_moments(returns)
    return (
        own.sharpe if sr is None else sr,
        n or own.n_obs,
        own.skew if skew is None else skew,
        own.kurtosis if kurtosis is None else kurtosis,
    )


def _exactly_one(**alternatives: float | None) -> float:
    given = [value for value in alternatives.values() if value is not None]
    if len(given) != 1:
        raise ValueError(f"exactly one of {', '.join(alternatives)} must be given, found {len(given)}")
    return float(given[0])


def _for_each(shares: float | Sequence[float], compute: Callable[[float], float]) -> float | list[float]:
    return [compute(share) for share in shares] if isinstance(shares, Sequence) else compute(shares)


def _multiple_test(result: statistics.MultipleTest) -> dict[str, Any]:
    return {
        "adjusted": result.adjusted.tolist(),
        "sorted_adjusted": sorted(result.adjusted.tolist()),
        "reject": result.rejected.tolist(),
        "n_reject": result.n_rejected,
    }
