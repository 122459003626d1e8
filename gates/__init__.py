"""The criteria: what a candidate must show at each stage. policy.toml says which are required and with which thresholds."""
