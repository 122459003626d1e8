"""S1 placebo: would the same signal, dealt to other names, have done as well?"""

from engines.statistics import share_interval


def test_other_names_would_not_have_done(study, seed, evidence):
    """One permutation of the symbols applied to all dates keeps the signal's persistence; noise then passes as rarely as it should."""
    placebo = study.placebo(seed)
    note = f"mean IC {placebo.observed:.4f}, largest of the permuted {placebo.permuted.max():.4f}"
    interval = share_interval(placebo.permuted >= placebo.observed)
    assert evidence("s1.placebo", placebo.p_value, n_obs=placebo.permuted.size, note=note, interval=interval)
