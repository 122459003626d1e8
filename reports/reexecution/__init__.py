"""Do the recorded figures come out again: a stage executed once more from its freeze."""
