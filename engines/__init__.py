"""Pure numerics of the stage-gate system: panel, signals, backtest, statistics. Knows nothing of pytest, stages or the record."""
