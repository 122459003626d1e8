"""Many hypotheses and many configurations: adjusted p-values, overfitting, data snooping, bootstrap."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import statsmodels.stats.multitest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import StatisticsError
from engines.statistics import (
    benjamini_hochberg,
    benjamini_yekutieli,
    bonferroni,
    holm,
    line_fit,
    pbo_cscv,
    politis_white_block_length,
    posterior_false_discovery_rate,
    resample_counts,
    sharpe_ratio,
    stationary_bootstrap_interval,
    superior_predictive_ability,
    white_reality_check_pvalue,
)

examples = settings(max_examples=25)
PROCEDURES = (
    (benjamini_hochberg, "fdr_bh"),
    (benjamini_yekutieli, "fdr_by"),
    (holm, "holm"),
    (bonferroni, "bonferroni"),
)
families = st.lists(st.floats(0, 1).map(lambda p: round(p, 6)), min_size=1, max_size=40)


@pytest.mark.parametrize(("procedure", "name"), PROCEDURES)
@settings(examples, max_examples=8)
@given(p_values=families)
def test_adjusted_p_values_are_those_of_statsmodels(procedure, name: str, p_values: list[float]) -> None:  # type: ignore[no-untyped-def]
    rejected, adjusted, _, _ = statsmodels.stats.multitest.multipletests(p_values, 0.07, name)
    result = procedure(p_values, 0.07)
    np.testing.assert_allclose(result.adjusted, np.minimum(adjusted, 1.0), rtol=1e-12, atol=1e-15)
    away = np.abs(adjusted - 0.07) > 1e-12
    np.testing.assert_array_equal(result.rejected[away], rejected[away])


@examples
@given(families)
def test_false_discovery_adjustments_are_those_of_scipy_to_the_bit(p_values: list[float]) -> None:
    for procedure, method in ((benjamini_hochberg, "bh"), (benjamini_yekutieli, "by")):
        expected = np.asarray(scipy.stats.false_discovery_control(p_values, method=method))
        assert procedure(p_values).adjusted.tobytes() == expected.tobytes()


def test_intervals_do_not_depend_on_what_was_asked_before() -> None:
    returns = np.random.default_rng(5).normal(0.001, 0.01, 300)
    first = stationary_bootstrap_interval(returns, "sharpe", block_length=5, seed=1)
    other = stationary_bootstrap_interval(returns[:200], "mean", block_length=5, seed=1)
    assert stationary_bootstrap_interval(returns, "sharpe", block_length=5, seed=1) == first
    assert stationary_bootstrap_interval(returns, "sharpe", block_length=5, seed=2).lower != first.lower
    assert other != first


@examples
@given(families)
def test_procedures_are_ordered_by_strictness(p_values: list[float]) -> None:
    rejections = [procedure(p_values, 0.1).n_rejected for procedure in (bonferroni, holm, benjamini_hochberg)]
    assert rejections == sorted(rejections)
    assert benjamini_yekutieli(p_values, 0.1).n_rejected <= benjamini_hochberg(p_values, 0.1).n_rejected


@examples
@given(families, st.randoms(use_true_random=False))
def test_order_of_the_family_does_not_matter(p_values: list[float], random) -> None:  # type: ignore[no-untyped-def]
    order = list(range(len(p_values)))
    random.shuffle(order)
    for procedure, _ in PROCEDURES:
        shuffled = procedure([p_values[i] for i in order]).adjusted
        np.testing.assert_allclose(shuffled, procedure(p_values).adjusted[order], rtol=1e-12)


@pytest.mark.parametrize(("procedure", "_name"), PROCEDURES)
@pytest.mark.parametrize("family", [[], [0.1, np.nan], [-0.1], [1.1], [[0.1]]])
def test_a_family_without_valid_p_values_is_refused(procedure, _name: str, family: list[float]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StatisticsError):
        procedure(family)


def test_benjamini_hochberg_example_of_1995() -> None:
    p_values = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.324,
        0.4262,
        0.5719,
        0.6528,
        0.759,
        1.0,
    ]
    assert benjamini_hochberg(p_values, 0.05).n_rejected == 4
    assert bonferroni(p_values, 0.05).n_rejected == 3


def test_posterior_false_discovery_rate() -> None:
    assert posterior_false_discovery_rate(0.05, 0.05, 0.315) == pytest.approx(0.581, abs=5e-4)
    assert posterior_false_discovery_rate(0.0, 0.05, 0.2) == 1.0
    assert posterior_false_discovery_rate(1.0, 0.05, 0.2) == 0.0
    for impossible in ((1.1, 0.05, 0.2), (0.0, 0.0, 0.2)):
        with pytest.raises(StatisticsError):
            posterior_false_discovery_rate(*impossible)


def pbo_by_definition(matrix: np.ndarray, n_blocks: int) -> tuple[float, float]:
    """The paper's algorithm, one split at a time."""
    blocks = np.split(matrix, n_blocks)
    logits, losses = [], []
    for chosen in itertools.combinations(range(n_blocks), n_blocks // 2):
        inside = np.concatenate([blocks[b] for b in chosen])
        outside = np.concatenate([blocks[b] for b in range(n_blocks) if b not in chosen])
        in_sample = [sharpe_ratio(column) for column in inside.T]
        out_of_sample = [sharpe_ratio(column) for column in outside.T]
        best = int(np.argmax(in_sample))
        rank = 1 + sum(other < out_of_sample[best] for other in out_of_sample)
        relative = rank / (matrix.shape[1] + 1)
        logits.append(math.log(relative / (1 - relative)))
        losses.append(out_of_sample[best] < 0)
    return float(np.mean(np.array(logits) <= 0)), float(np.mean(losses))


@pytest.mark.parametrize(("n_periods", "n_configurations", "n_blocks"), [(48, 5, 6), (40, 12, 8), (12, 3, 2)])
def test_pbo_is_the_papers_algorithm(n_periods: int, n_configurations: int, n_blocks: int) -> None:
    matrix = np.random.default_rng(n_periods).normal(0.001, 0.01, (n_periods, n_configurations))
    result = pbo_cscv(matrix, n_blocks)
    assert (result.pbo, result.loss_probability) == pytest.approx(pbo_by_definition(matrix, n_blocks))
    assert result.logits.size == math.comb(n_blocks, n_blocks // 2)


def test_pbo_tells_an_edge_from_noise() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0.0, 0.01, (640, 20))
    edge = noise.copy()
    edge[:, 7] += 0.002
    assert pbo_cscv(edge).pbo < 0.05
    assert pbo_cscv(edge).loss_probability < 0.05
    assert pbo_cscv(noise).pbo > 0.2
    assert pbo_cscv(noise).degradation.slope < 0


def test_equally_good_configurations_have_a_high_pbo_and_no_losses() -> None:
    rng = np.random.default_rng(2)
    good = 0.002 + rng.normal(0.0, 0.005, (640, 1)) + rng.normal(0.0, 0.001, (640, 12))
    result = pbo_cscv(good)
    assert result.pbo > 0.2
    assert result.loss_probability == 0.0


def test_a_configuration_that_never_trades_is_never_the_best_and_counts_as_a_loss() -> None:
    losing = np.random.default_rng(4).normal(-0.01, 0.01, (64, 1))
    result = pbo_cscv(np.column_stack([losing, np.zeros(64), np.full(64, 0.001)]), 4)
    assert np.all(np.isfinite(result.in_sample))
    assert pbo_cscv(np.zeros((64, 3)), 4).loss_probability == 1.0


def test_pbo_leaves_out_the_oldest_remainder_and_refuses_bad_shapes() -> None:
    matrix = np.random.default_rng(6).normal(size=(43, 4))
    assert pbo_cscv(matrix, 4).pbo == pbo_cscv(matrix[3:], 4).pbo
    for broken, n_blocks in ((matrix[:, :1], 4), (matrix, 5), (matrix[:3], 4), (matrix[:2], 2), (matrix * np.nan, 4)):
        with pytest.raises(StatisticsError):
            pbo_cscv(broken, n_blocks)


@examples
@given(st.integers(0, 10_000), st.floats(0.1, 10.0))
def test_pbo_ignores_leverage_and_the_order_of_configurations(seed: int, leverage: float) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0.0, 0.01, (32, 6))
    result = pbo_cscv(matrix, 4)
    moved = pbo_cscv(leverage * matrix[:, rng.permutation(6)], 4)
    assert (moved.pbo, moved.loss_probability) == (result.pbo, result.loss_probability)


def test_line_fit_recovers_a_line_and_says_when_there_is_none() -> None:
    x = np.arange(10.0)
    fit = line_fit(x, 2 - 0.5 * x)
    assert (fit.intercept, fit.slope, fit.adjusted_r_squared) == pytest.approx((2, -0.5, 1))
    assert math.isnan(line_fit([1.0, 1.0], [1.0, 2.0]).slope)
    assert math.isnan(line_fit([1.0, 2.0], [1.0, 2.0]).adjusted_r_squared)


def snooping_sample(edge: float) -> np.ndarray:
    excess = np.random.default_rng(9).normal(0.0, 0.01, (400, 30))
    excess[:, 3] += edge
    return excess


def test_reality_check_and_spa_tell_an_edge_from_the_luck_of_thirty_tries() -> None:
    assert white_reality_check_pvalue(snooping_sample(0.002), 5, seed=1) < 0.05
    assert white_reality_check_pvalue(snooping_sample(0.0), 5, seed=1) > 0.1
    assert superior_predictive_ability(snooping_sample(0.002), 5, seed=1).p_consistent < 0.05
    assert superior_predictive_ability(snooping_sample(0.0), 5, seed=1).p_consistent > 0.1


def test_only_the_studentised_test_sees_through_one_volatile_and_many_hopeless_strategies() -> None:
    rng = np.random.default_rng(12)
    volatile = rng.normal(0.0, 0.2, (400, 5))
    hopeless = rng.normal(-0.05, 0.02, (400, 20))
    sample = np.column_stack([snooping_sample(0.0)[:, :1] * 0.2 + 0.0005, volatile, hopeless])
    spa = superior_predictive_ability(sample, 5, seed=1)
    assert white_reality_check_pvalue(sample, 5, seed=1) > 0.2
    assert spa.p_consistent < 0.01
    assert spa.p_lower <= spa.p_consistent <= spa.p_upper


def test_studentised_test_ignores_the_scale_of_each_strategy() -> None:
    sample = snooping_sample(0.001)
    scales = np.random.default_rng(2).uniform(0.1, 10, 30)
    ours, scaled = (superior_predictive_ability(excess, 5, seed=4) for excess in (sample, sample * scales))
    assert scaled.statistic == pytest.approx(ours.statistic)
    assert scaled.p_consistent == pytest.approx(ours.p_consistent, abs=0.002)


def test_strategies_that_never_beat_the_benchmark_are_no_discovery() -> None:
    hopeless = np.random.default_rng(3).normal(-0.05, 0.01, (100, 8))
    spa = superior_predictive_ability(hopeless, 5, n_resamples=200, seed=1)
    assert (spa.statistic, spa.p_lower, spa.p_consistent, spa.p_upper) == (0.0, 1.0, 1.0, 1.0)
    assert white_reality_check_pvalue(hopeless, 5, n_resamples=200, seed=1) == 1.0
    assert white_reality_check_pvalue(np.zeros((100, 8)), 5, n_resamples=200, seed=1) == 1.0


def test_studentised_test_refuses_a_strategy_that_equals_the_benchmark() -> None:
    sample = snooping_sample(0.0)
    for constant in (0.0, 0.001):
        sample[:, 4] = constant
        with pytest.raises(StatisticsError, match="does not vary"):
            superior_predictive_ability(sample, 5, seed=1)


@pytest.mark.parametrize("test", [white_reality_check_pvalue, superior_predictive_ability])
def test_snooping_tests_refuse_gaps_short_samples_and_blocks_out_of_range(test) -> None:  # type: ignore[no-untyped-def]
    sample = snooping_sample(0.0)
    gap = sample.copy()
    gap[5, 2] = np.nan
    for broken, block in ((gap, 5), (sample[:5], 2), (sample, 0.5), (sample, 401), (sample, math.nan)):
        with pytest.raises(StatisticsError):
            test(broken, block, n_resamples=10, seed=1)


@pytest.mark.parametrize("scheme", ["stationary", "circular", "moving_block"])
@pytest.mark.parametrize("block_length", [1, 7, 50])
def test_resamples_have_the_sample_size_and_repeat_with_their_seed(scheme, block_length: float) -> None:  # type: ignore[no-untyped-def]
    counts = resample_counts(50, block_length, 200, np.random.default_rng(3), scheme)
    assert counts.shape == (200, 50)
    assert np.all(counts.sum(axis=1) == 50)
    np.testing.assert_array_equal(counts, resample_counts(50, block_length, 200, np.random.default_rng(3), scheme))


def test_stationary_blocks_keep_the_variance_of_an_autocorrelated_mean() -> None:
    """The variance of resampled means must approach Hansen's kernel, which is the exact one given the sample."""
    rng = np.random.default_rng(8)
    shocks = rng.normal(size=2000)
    series = np.empty(2000)
    series[0] = shocks[0]
    for t in range(1, 2000):
        series[t] = 0.6 * series[t - 1] + shocks[t]
    deviation = series - series.mean()
    spread = {b: np.var(resample_counts(2000, b, 4000, rng) @ deviation / 2000) * 2000 for b in (1, 30)}
    lags = np.arange(1, 2000)
    kappa = (1 - lags / 2000) * (1 - 1 / 30) ** lags + lags / 2000 * (1 - 1 / 30) ** (2000 - lags)
    autocovariance = np.array([deviation[:-lag] @ deviation[lag:] / 2000 for lag in lags])
    assert spread[1] == pytest.approx(deviation.var(), rel=0.1)
    assert spread[30] == pytest.approx(deviation.var() + 2 * kappa @ autocovariance, rel=0.1)


def test_block_length_follows_dependence() -> None:
    rng = np.random.default_rng(10)
    noise = rng.normal(size=1000)
    smooth = np.convolve(noise, np.ones(20) / 20, mode="valid")
    assert politis_white_block_length(smooth) > 4 * politis_white_block_length(noise)
    assert math.isnan(politis_white_block_length(noise[:10]))
    assert math.isnan(politis_white_block_length(np.zeros(100)))


def test_bootstrap_interval_of_the_mean_agrees_with_the_normal_one_for_independent_returns() -> None:
    returns = np.random.default_rng(13).normal(0.001, 0.01, 800)
    interval = stationary_bootstrap_interval(returns, "mean", block_length=1, n_resamples=4000, seed=2)
    error = returns.std() / math.sqrt(800)
    assert interval.estimate == pytest.approx(returns.mean())
    assert interval.standard_error == pytest.approx(error, rel=0.05)
    assert interval.lower == pytest.approx(returns.mean() - 1.96 * error, abs=0.1 * error)
    assert interval.upper == pytest.approx(returns.mean() + 1.96 * error, abs=0.1 * error)


def test_bootstrap_interval_of_the_sharpe_ratio() -> None:
    returns = np.random.default_rng(14).standard_t(5, 800) * 0.01 + 0.002
    interval = stationary_bootstrap_interval([*returns, math.nan], "sharpe", seed=2)
    assert interval.estimate == pytest.approx(sharpe_ratio(returns))
    assert interval.lower < interval.estimate < interval.upper
    assert interval == stationary_bootstrap_interval(returns, "sharpe", seed=2)
    assert interval != stationary_bootstrap_interval(returns, "sharpe", seed=3)
    assert math.isnan(stationary_bootstrap_interval(np.full(100, 0.01), "sharpe", seed=1).lower)
    with pytest.raises(StatisticsError):
        stationary_bootstrap_interval(returns, confidence=1.0, seed=1)
