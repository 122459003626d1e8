"""S3 significance: does the factor stand out of everything its family has tried?"""

from engines.statistics import benjamini_hochberg


def test_the_factor_survives_its_family(walk_forward, family_p_values, evidence):
    """Benjamini-Hochberg over one p-value a registered trial (non-overlapping t, one-sided), with this candidate's own first."""
    spaced = walk_forward.spaced_ic
    own_q = benjamini_hochberg(family_p_values).adjusted[0]
    trials = len(family_p_values)
    found = evidence("s3.stat_gate_factor_pass.q", own_q, n_obs=trials, note=f"{trials} registered trials")
    often = evidence("s3.stat_gate_factor_pass.positive_ratio", (spaced > 0).mean(), n_obs=spaced.size)
    up = evidence("s3.stat_gate_factor_pass.mean", walk_forward.ic.mean(), n_obs=walk_forward.ic.size)
    assert found
    assert often
    assert up
