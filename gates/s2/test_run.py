"""S2 run: is everything that was frozen being judged?"""


def test_nothing_is_selected_away(selection_faults, expected_count, evidence):
    """This process collected exactly the expected cells of its stage."""
    assert evidence("s2.no_skips", len(selection_faults), n_obs=expected_count, note="; ".join(selection_faults[:3]))
