"""S1 no look-ahead: would the past have looked the same without the future?"""

from engines.lookahead import planted_leak_difference, truncation_difference


def test_truncation_changes_nothing(study, seed, evidence):
    """Signal, universe and fills recomputed on data cut at seeded dates equal the full-sample values."""
    cuts = truncation_difference(study, seed=seed)
    assert evidence("s1.no_lookahead", cuts.largest, n_obs=cuts.n_cuts, note=cuts.note)


def test_a_planted_leak_is_caught(study, seed, evidence):
    """The same check sees a signal shifted by one day: a check that cannot fail proves nothing."""
    cuts = planted_leak_difference(study, seed=seed)
    assert evidence("s1.leak_control", cuts.largest, n_obs=cuts.n_cuts)
