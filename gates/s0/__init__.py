"""Gates of s0, scope freeze."""
