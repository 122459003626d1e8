"""Gates of s2, stress and robustness."""
