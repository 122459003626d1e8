"""A market whose truth is one number: how strongly tomorrow's return follows today's score.

Log close of name i on day t, with s(i) its sector and b(i) its beta:

    p[t,i] = p[t-1,i] + b(i) m[t] + f[t,s(i)] + e[t,i] + edge * score[t-1,i]

m, f, e are Student t shocks with 5 degrees of freedom. At edge 0 the score is noise; everything else stays as it was, so that the same market
with and without an edge can be compared day by day. Nobody lists late or delists, and shares outstanding never change.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from engines.candidate import Candidate
from engines.digest import sha256_json
from engines.panel import Panel

FloatArray = NDArray[np.float64]

N_SECTORS: Final = 10
MARKET_VOL_PER_DAY: Final = 0.009
SECTOR_VOL_PER_DAY: Final = 0.004
OWN_VOL_PER_DAY: Final = 0.016
OVERNIGHT_FRACTION: Final = 0.25
DEGREES_OF_FREEDOM: Final = 5
COSTS: Final[dict[str, dict[str, Any]]] = {
    "demonstration": {
        "half_spread_bps": 8.0,
        "fee_bps": 1.5,
        "impact_coefficient": 0.8,
        "borrow_bps_per_year": 50.0,
        "source": "as the demonstration candidate",
    },
    "large caps": {
        "half_spread_bps": 2.0,
        "fee_bps": 0.5,
        "impact_coefficient": 0.2,
        "borrow_bps_per_year": 25.0,
        "source": "liquid large caps, a quarter of the demonstration candidate's",
    },
}
"""What a trade costs. The multiplier gates bite the sooner the larger the share of the gross return that costs take."""

SIGNAL_SOURCE: Final = '''"""Scores averaged over the last days. They travel in the column of highs, which nothing else here reads: a signal opens no files."""

import numpy as np


def score(panel, smooth_days):
    """Trailing mean of the last `smooth_days` rows."""
    raw = panel.high
    sums = np.cumsum(raw, axis=0)
    smooth = np.full(raw.shape, np.nan)
    smooth[smooth_days - 1 :] = sums[smooth_days - 1 :] / smooth_days
    smooth[smooth_days:] -= sums[:-smooth_days] / smooth_days
    return smooth
'''


@dataclass(frozen=True, slots=True)
class PlantedMarket:
    """Everything that is drawn before any edge is planted. T days, N names."""

    seed: int
    log_returns: FloatArray  # (T, N) without the edge
    overnight_log_returns: (
        FloatArray  # (T, N) the part of each day's return that falls before the open, without the edge
    )
    first_price: FloatArray  # (N,)
    shares: FloatArray  # (N,)
    volume_noise: FloatArray  # (T, N)
    sector: NDArray[np.int16]  # (N,)

    @classmethod
    def draw(cls, seed: int, n_days: int, n_names: int) -> PlantedMarket:
        """Draw a market; the same seed and size give the same one."""
        rng = np.random.default_rng([seed, 1])
        sector = rng.permutation(np.arange(n_names) % N_SECTORS).astype(np.int16)
        beta = np.clip(1.0 + 0.25 * rng.standard_normal(n_names), 0.3, 1.7)
        own_vol = OWN_VOL_PER_DAY * rng.uniform(0.75, 1.25, n_names)
        market = MARKET_VOL_PER_DAY * _shocks(rng, n_days, 1)
        sectors = SECTOR_VOL_PER_DAY * _shocks(rng, n_days, N_SECTORS)
        log_returns = beta * market + sectors[:, sector] + own_vol * _shocks(rng, n_days, n_names)
        bridge = np.sqrt(OVERNIGHT_FRACTION * (1.0 - OVERNIGHT_FRACTION)) * own_vol
        first_price = 60.0 * np.exp(0.4 * rng.standard_normal(n_names))
        return cls(
            seed=seed,
            log_returns=log_returns,
            overnight_log_returns=OVERNIGHT_FRACTION * log_returns + bridge * rng.standard_normal((n_days, n_names)),
            first_price=first_price,
            shares=np.exp(np.log(1.5e10) + 1.6 * rng.standard_normal(n_names)) / first_price,
            volume_noise=np.exp(0.35 * rng.standard_normal((n_days, n_names)) - 0.06),
            sector=sector,
        )

    def panel(self, scores: FloatArray, edge: float, n_days: int | None = None) -> Panel:
        """The market as a panel, with `edge` per unit of yesterday's score added to each day's log return, cut to its first `n_days`.

        The column of highs holds the scores themselves: see SIGNAL_SOURCE.
        """
        drift = edge * np.vstack([np.zeros(scores.shape[1]), scores[:-1]])
        log_close = np.log(self.first_price) + np.cumsum(self.log_returns + drift, axis=0)
        before = np.vstack([np.log(self.first_price), log_close[:-1]])
        close = np.exp(log_close)
        opens = np.exp(before + self.overnight_log_returns + OVERNIGHT_FRACTION * drift)
        stop = len(close) if n_days is None else n_days
        n_names = close.shape[1]
        parts: dict[str, Any] = {
            "open": opens,
            "high": scores,
            "low": np.minimum(opens, close),
            "close": close,
            "volume": 0.005 * self.shares * self.volume_noise,
            "market_cap": close * self.shares,
            "sector": np.broadcast_to(self.sector, close.shape),
        }
        return Panel(
            dates=np.busday_offset("2010-01-04", np.arange(stop), roll="forward"),
            symbols=np.array([f"P{number:04d}" for number in range(n_names)]),
            last_close=np.full(n_names, stop - 1),
            delisting_return=np.full(n_names, -0.3),
            file_dates=stop,
            sector_names=tuple(f"sector {number}" for number in range(N_SECTORS)),
            content_sha256=sha256_json([self.seed, edge, stop, n_names, float(scores[-1, 0])]),
            **{name: values[:stop] for name, values in parts.items()},
        )


def _shocks(rng: np.random.Generator, *shape: int) -> FloatArray:
    """Student t shocks of unit variance, held within 8 standard deviations."""
    scale = np.sqrt(DEGREES_OF_FREEDOM / (DEGREES_OF_FREEDOM - 2))
    draws: FloatArray = rng.standard_t(DEGREES_OF_FREEDOM, shape) / scale
    return draws.clip(-8.0, 8.0)


def draw_scores(rng: np.random.Generator, n_days: int, n_names: int, half_life_days: float) -> FloatArray:
    """Scores that know nothing of the market: unit-variance AR(1) along the days, independent across names, (T, N); white at half-life 0."""
    innovations = rng.standard_normal((n_days, n_names))
    if half_life_days == 0.0:
        return innovations
    decay = 0.5 ** (1.0 / half_life_days)
    innovations[1:] *= np.sqrt(1.0 - decay**2)  # the first row is stationary as it is
    scores: FloatArray = lfilter([1.0], [1.0, -decay], innovations, axis=0)
    return scores


def smoothed(scores: FloatArray, smooth_days: int) -> FloatArray:
    """What the planted signal file makes of the scores: trailing mean of `smooth_days` rows, NaN before, (T, N)."""
    smooth = np.full(scores.shape, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(scores, smooth_days, axis=0)
    smooth[smooth_days - 1 :] = windows.mean(axis=-1)
    return smooth


def planted_candidate(
    folder: Path,
    horizon_days: int,
    smooth_days: int,
    *,
    rebalance_days: int | None = None,
    costs: str = "demonstration",
) -> Candidate:
    """The candidate that trades the scores of its panel, its signal file in `folder`: the demonstration candidate's rules and filters, without a grid."""
    (folder / "planted.py").write_text(SIGNAL_SOURCE, encoding="utf-8")
    return Candidate.from_config(
        planted_config(horizon_days, smooth_days, rebalance_days or horizon_days, costs), folder
    )


def planted_config(horizon_days: int, smooth_days: int, rebalance_days: int, costs: str) -> dict[str, Any]:
    """Its configuration; `costs` is a key of COSTS."""
    return {
        "schema": 1,
        "name": "planted",
        "family": "planted",
        "hypothesis": "Names with a higher score earn more over the horizon.",
        "universe_constraints": "The simulated market, price >= 5 USD",
        "protocol_version": "1",
        "preregistered": True,
        "data": {"path": "prices.parquet", "as_of": np.datetime64("2030-01-01").item()},
        "signal": {"function": "planted.py:score", "parameters": {"smooth_days": smooth_days}},
        "universe": {"min_price": 5.0, "min_dollar_volume": 1e6, "min_market_cap": 5e8, "min_history_days": 21},
        "portfolio": {
            "long_fraction": 0.2,
            "short_fraction": 0.2,
            "weighting": "equal",
            "horizon_days": horizon_days,
            "rebalance_days": rebalance_days,
            "execution_delay_days": 1,
            "execution_price": "open",
            "target_aum": 1e7,
        },
        "costs": COSTS[costs],
        "walk_forward": {
            "train_days": 504,
            "test_days": 126,
            "embargo_days": 21,
            "shards": 4,
            "cost_multipliers": [1.0, 1.5, 2.0],
            "holdout_days": 126,
        },
    }
