"""Tiny random markets and candidates for the tests of the engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from engines.candidate import Candidate
from engines.panel import Panel, last_finite_row

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

ZERO_COSTS = SimpleNamespace(half_spread_bps=0.0, fee_bps=0.0, impact_coefficient=0.0, borrow_bps_per_year=0.0)


def business_days(n_dates: int) -> np.ndarray:
    return np.busday_offset("2010-01-04", np.arange(n_dates), roll="forward").astype("datetime64[D]")


def make_panel(
    close,
    *,
    open_=None,
    volume=None,
    symbols=None,
    delisting_return=-0.3,
    file_dates=None,
    last_close=None,
    **references,
) -> Panel:
    """A panel from closes (T, N); the rest is made up to fit unless it is given."""
    close = np.array(close, dtype=float)
    n_dates, n_symbols = close.shape
    open_ = close.copy() if open_ is None else np.array(open_, dtype=float)
    volume = np.where(np.isfinite(close), 1e6, np.nan) if volume is None else np.array(volume, dtype=float)
    return Panel(
        dates=business_days(n_dates),
        symbols=np.array([f"S{i:03d}" for i in range(n_symbols)]) if symbols is None else np.array(symbols),
        open=open_,
        high=np.fmax(open_, close),
        low=np.fmin(open_, close),
        close=close,
        volume=volume,
        last_close=last_finite_row(close) if last_close is None else np.array(last_close),
        delisting_return=np.broadcast_to(np.asarray(delisting_return, dtype=float), (n_symbols,)).copy(),
        file_dates=n_dates if file_dates is None else file_dates,
        content_sha256=f"test-{hash(close.tobytes())}",
        **references,
    )


def random_panel(
    seed: int,
    n_dates: int = 120,
    n_symbols: int = 24,
    *,
    gaps: float = 0.03,
    missing_opens: float = 0.03,
    late: int = 3,
    delisted: int = 3,
    references: bool = False,
) -> Panel:
    """A market with fat tails, late starters, delistings, days without a row, days without an open, and days with an open alone."""
    rng = np.random.default_rng(seed)
    overnight = 0.01 * rng.standard_t(4, (n_dates, n_symbols)).clip(-8, 8)
    intraday = 0.01 * rng.standard_t(4, (n_dates, n_symbols)).clip(-8, 8)
    close = rng.uniform(10, 200, n_symbols) * np.exp(np.cumsum(overnight + intraday, axis=0))
    open_ = close * np.exp(-intraday)
    volume = np.exp(rng.normal(12, 1.5, n_symbols) + 0.3 * rng.standard_normal((n_dates, n_symbols)))
    gone = rng.random(close.shape) < gaps
    rows = np.arange(n_dates)[:, None]
    starts, ends = np.zeros(n_symbols, dtype=int), np.full(n_symbols, n_dates)
    starts[:late] = rng.integers(1, n_dates // 2, late)
    ends[late : late + delisted] = rng.integers(n_dates // 3, n_dates - 2, delisted)
    alive = (rows >= starts) & (rows < ends)
    no_open = gone & (rng.random(close.shape) < 0.8) | (rng.random(close.shape) < missing_opens) | ~alive
    close, volume = np.where(gone | ~alive, np.nan, close), np.where(gone | ~alive, np.nan, volume)
    close[-1, ends == n_dates] = np.where(np.isfinite(close[-1]), close[-1], 50.0)[ends == n_dates]
    panel = make_panel(
        close,
        open_=np.where(no_open, np.nan, open_),
        volume=volume,
        delisting_return=rng.choice([-0.3, 0.0, -0.9], n_symbols),
    )
    if not references:
        return panel
    sector = np.broadcast_to(rng.integers(-1, 4, n_symbols).astype(np.int16), close.shape)
    market_cap = np.exp(rng.normal(22, 1.0, n_symbols)) * np.ones((n_dates, 1))
    return replace(panel, sector=sector.copy(), sector_names=("a", "b", "c", "d"), market_cap=market_cap)


def candidate_config(**sections) -> dict:
    """A small candidate's configuration; each section given updates the one here."""
    config = {
        "schema": 1,
        "name": "test",
        "family": "test",
        "hypothesis": "Prices trend.",
        "universe_constraints": "all",
        "protocol_version": "1",
        "preregistered": True,
        "data": {"path": "prices.parquet", "as_of": date(2018, 2, 7)},
        "signal": {"function": "momentum", "parameters": {"lookback_days": 10, "skip_days": 1}},
        "universe": {"min_names": 5},
        "portfolio": {
            "long_fraction": 0.2,
            "short_fraction": 0.2,
            "weighting": "equal",
            "horizon_days": 5,
            "rebalance_days": 5,
            "execution_delay_days": 1,
            "execution_price": "open",
            "target_aum": 1e7,
        },
        "costs": {
            "half_spread_bps": 5.0,
            "fee_bps": 1.0,
            "impact_coefficient": 0.8,
            "borrow_bps_per_year": 50.0,
            "source": "test",
        },
        "walk_forward": {
            "train_days": 40,
            "test_days": 20,
            "embargo_days": 5,
            "shards": 2,
            "cost_multipliers": [1.0, 1.5, 2.0],
            "holdout_days": 20,
        },
    }
    return {
        name: {**value, **sections.get(name, {})} if isinstance(value, dict) else sections.get(name, value)
        for name, value in config.items()
    }


def make_candidate(base_dir: Path = Path(), **sections) -> Candidate:
    return Candidate.from_config(candidate_config(**sections), base_dir)
