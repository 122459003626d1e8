"""S1 cost assumptions: is every cost assumed, and does someone answer for the number?"""

from engines.costs import unassumed_costs


def test_every_cost_is_assumed_with_a_source(candidate, evidence):
    """Half-spread, fee, impact and, for a book with shorts, borrow are positive and carry a source."""
    lacking = unassumed_costs(candidate.costs, short_fraction=candidate.portfolio.short_fraction)
    assert evidence("s1.cost_assumptions", len(lacking), note=", ".join(lacking))
