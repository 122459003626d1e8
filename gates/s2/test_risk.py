"""S2 risk: what else does one buy with the edge? Out of sample, at cost multiplier 1."""


def test_beta_is_small(risk, evidence):
    """Slope of the net return on the market."""
    assert evidence("s2.risk.beta_abs", abs(risk.beta), n_obs=risk.n_days, interval=risk.beta_abs_interval)


def test_the_book_keeps_its_names(risk, evidence):
    """Share of the top leg that stays from one rebalance to the next; the chance level stands beside it."""
    assert evidence(
        "s2.risk.turnover_overlap",
        risk.turnover_overlap,
        n_obs=risk.n_rebalances,
        note=f"chance level {risk.chance_overlap:.2f}",
    )


def test_the_signal_is_not_size(risk, evidence):
    """Mean cross-sectional rank correlation of signal and market cap."""
    size_correlation = risk.size_correlation
    assert evidence(
        "s2.risk.size_corr_abs", None if size_correlation is None else abs(size_correlation), n_obs=risk.n_rebalances
    )


def test_the_book_spans_industries(risk, evidence):
    """Sectors held over sectors in the universe, mean over rebalances."""
    assert evidence("s2.risk.industry_coverage", risk.industry_coverage, n_obs=risk.n_rebalances)


def test_drawdown_fits_the_volatility(risk, evidence):
    """Deepest loss from a peak in units of annual volatility."""
    assert evidence("s2.risk.max_drawdown", risk.drawdown_in_volatilities, n_obs=risk.n_days)


def test_drawdown_is_bearable(risk, evidence):
    """Deepest loss from a peak as a share of capital."""
    assert evidence("s2.risk.drawdown_level", risk.max_drawdown, n_obs=risk.n_days)


def test_the_tail_is_not_much_heavier_than_normal(risk, evidence):
    """Mean loss of the worst 1 % of days against that of a Gaussian with the same mean and volatility."""
    assert evidence("s2.risk.cvar99", risk.cvar99_ratio, n_obs=risk.n_days)


def test_the_book_is_not_concentrated(risk, evidence):
    """Herfindahl index of absolute weights times names held: 1 when all are equal."""
    assert evidence("s2.risk.weight_hhi", risk.hhi_times_names, n_obs=risk.n_rebalances)
