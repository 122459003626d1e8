"""Statistics a promotion rests on: Sharpe inference, multiplicity, overfitting, resampling, risk and spreads.

Import from here; the modules below group by question. Importing costs numpy and scipy.special only:
scipy.stats, arch and bidask are loaded by the functions that call them. Formulas, traps and the reasons for
the gates' thresholds stand in docs/statistics.md.
"""

from __future__ import annotations

from engines.statistics.bootstrap import (
    BlockScheme,
    BootstrapInterval,
    politis_white_block_length,
    resample_counts,
    stationary_bootstrap_interval,
)
from engines.statistics.comparison import SharpeDifference, ledoit_wolf_sharpe_difference_hac
from engines.statistics.data_snooping import (
    SuperiorPredictiveAbility,
    superior_predictive_ability,
    white_reality_check_pvalue,
)
from engines.statistics.deflation import (
    HaircutSharpe,
    deflated_sharpe_ratio,
    effective_number_of_trials,
    expected_max_normal_exact,
    expected_max_sharpe,
    haircut_sharpe_bonferroni,
    min_backtest_length_years,
    null_trial_std,
    trial_sharpe_std,
    trials_survived,
)
from engines.statistics.drawdown import calmar_ratio, drawdowns, max_drawdown, pain_index
from engines.statistics.inference import (
    AlphaBeta,
    MeanTest,
    RegressionFit,
    alpha_beta,
    fama_macbeth,
    newey_west_lags,
    newey_west_tstat,
    newey_west_tstat_of_mean,
    spearman_rank_ic,
    student_t_of_mean,
)
from engines.statistics.multiplicity import (
    MultipleTest,
    benjamini_hochberg,
    benjamini_yekutieli,
    bonferroni,
    holm,
    posterior_false_discovery_rate,
)
from engines.statistics.overfitting import BacktestOverfitting, LineFit, line_fit, pbo_cscv
from engines.statistics.samples import ReturnMoments, monthly_returns, return_moments
from engines.statistics.sharpe import (
    adjusted_sharpe_ratio,
    annual_growth,
    lo_ar1_annualisation_factor,
    min_track_record_length,
    min_track_record_length_2025,
    probabilistic_sharpe_ratio,
    probabilistic_sharpe_ratio_2025,
    sharpe_ratio,
    sharpe_standard_error,
    sharpe_standard_error_lo_iid,
    sharpe_variance_factor,
)
from engines.statistics.splits import (
    CombinatorialCounts,
    CombinatorialSplit,
    WalkForwardSplit,
    cpcv_counts,
    cpcv_splits,
    walk_forward_splits,
)
from engines.statistics.tail import (
    cvar_historical,
    cvar_rockafellar_uryasev,
    downside_deviation,
    sortino_ratio,
    var_historical,
)
from engines.statistics.trading import (
    MarketImpact,
    abdi_ranaldo_spread,
    corwin_schultz_spread,
    edge_spread,
    herfindahl_normalised,
    market_impact_athl,
)

__all__ = [
    "AlphaBeta",
    "BacktestOverfitting",
    "BlockScheme",
    "BootstrapInterval",
    "CombinatorialCounts",
    "CombinatorialSplit",
    "HaircutSharpe",
    "LineFit",
    "MarketImpact",
    "MeanTest",
    "MultipleTest",
    "RegressionFit",
    "ReturnMoments",
    "SharpeDifference",
    "SuperiorPredictiveAbility",
    "WalkForwardSplit",
    "abdi_ranaldo_spread",
    "adjusted_sharpe_ratio",
    "alpha_beta",
    "annual_growth",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "bonferroni",
    "calmar_ratio",
    "corwin_schultz_spread",
    "cpcv_counts",
    "cpcv_splits",
    "cvar_historical",
    "cvar_rockafellar_uryasev",
    "deflated_sharpe_ratio",
    "downside_deviation",
    "drawdowns",
    "edge_spread",
    "effective_number_of_trials",
    "expected_max_normal_exact",
    "expected_max_sharpe",
    "fama_macbeth",
    "haircut_sharpe_bonferroni",
    "herfindahl_normalised",
    "holm",
    "ledoit_wolf_sharpe_difference_hac",
    "line_fit",
    "lo_ar1_annualisation_factor",
    "market_impact_athl",
    "max_drawdown",
    "min_backtest_length_years",
    "min_track_record_length",
    "min_track_record_length_2025",
    "monthly_returns",
    "newey_west_lags",
    "newey_west_tstat",
    "newey_west_tstat_of_mean",
    "null_trial_std",
    "pain_index",
    "pbo_cscv",
    "politis_white_block_length",
    "posterior_false_discovery_rate",
    "probabilistic_sharpe_ratio",
    "probabilistic_sharpe_ratio_2025",
    "resample_counts",
    "return_moments",
    "sharpe_ratio",
    "sharpe_standard_error",
    "sharpe_standard_error_lo_iid",
    "sharpe_variance_factor",
    "sortino_ratio",
    "spearman_rank_ic",
    "stationary_bootstrap_interval",
    "student_t_of_mean",
    "superior_predictive_ability",
    "trial_sharpe_std",
    "trials_survived",
    "var_historical",
    "walk_forward_splits",
    "white_reality_check_pvalue",
]
