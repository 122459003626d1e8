"""S2 segments: is the edge one regime's, or does it hold in calm and storm, rise and fall, early and late?"""


def test_the_edge_is_not_one_regime(segments, evidence):
    """IC is positive in most volatility, trend and calendar segments, and clearly negative in none; segments are known on the day."""
    broad = evidence("s2.segments.positive", segments.positive_ratio, n_obs=segments.n_segments)
    sound = evidence("s2.segments.worst_t", segments.worst_t, n_obs=segments.n_segments, note=segments.worst_name)
    assert broad
    assert sound
