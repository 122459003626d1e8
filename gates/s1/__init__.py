"""Gates of s1, baseline validation."""
