"""S4 champion: is it worth having beside what runs already?"""


def test_it_is_clearly_better_or_different_enough(champions, evidence):
    """Against the family's last promoted candidate and the desk's live book, on their common out-of-sample days: p of the paired difference in Sharpe ratios (Ledoit and Wolf; 1 when it is not the better one) over 0.10, or the correlation over 0.5, whichever is smaller. 0 when there is neither, and the note says so."""
    said = "; ".join(champions.faults) or champions.note
    compared = evidence("s4.champion.uncompared", len(champions.faults), note=said)
    worth = evidence("s4.champion.allowance", champions.allowance, n_obs=champions.n_days, note=champions.note)
    assert compared
    assert worth
