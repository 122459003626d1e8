"""S2 overfitting: was a plateau found, or a spike?"""

from engines.statistics import pbo_cscv


def test_neighbouring_parameters_do_as_well(study, evidence):
    """Each numeric parameter 20 % lower and higher: the neighbourhood earns nearly as much, and nowhere loses."""
    neighbours = study.perturbation
    near = evidence("s2.perturbation.median", neighbours.median_ratio, n_obs=len(neighbours.labels))
    safe = evidence("s2.perturbation.minimum", neighbours.minimum, n_obs=len(neighbours.labels))
    assert near
    assert safe


def test_the_best_in_sample_does_not_lose_out_of_sample(study, evidence):
    """CSCV with 16 blocks over the declared grid: how often does the in-sample best lose money in the other half?"""
    splits = pbo_cscv(study.variant_returns(), n_blocks=16)
    assert evidence("s2.oos_loss_probability", splits.loss_probability, n_obs=splits.logits.size)


def test_probability_of_backtest_overfitting(study, evidence):
    """How often does the in-sample best rank below the median out of sample? Near one half for equally good variants, which is no fault."""
    splits = pbo_cscv(study.variant_returns(), n_blocks=16)
    assert evidence("s2.pbo", splits.pbo, n_obs=splits.logits.size)
