"""How much of a name trades, and how much its price moves: the two inputs of impact, participation and the dollar-volume filter.

"Row" means a date of the panel's own calendar; nothing is filled. A date on which a name has no close, or no volume, is an empty row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from engines.panel import Panel

TRAILING_ROWS = 20
_BLOCK_CELLS = 1 << 21  # cells of one sliding-window block, which bounds the memory of a wide panel


@dataclass(frozen=True, slots=True)
class Liquidity:
    """What impact and participation are computed from, as of each close: (T, N) float64, NaN = unknown."""

    adv_usd: NDArray[np.float64]
    daily_volatility: NDArray[np.float64]


def close_returns(panel: Panel) -> NDArray[np.float64]:
    """What did each name return since the previous date of the calendar? C[t] / C[t-1] - 1, (T, N) decimal.

    NaN on the first row and wherever one of the two closes is absent. A delisting return is not in it.
    """
    returns = np.full(panel.close.shape, np.nan)
    returns[1:] = panel.close[1:] / panel.close[:-1] - 1.0
    return returns


def trailing_median_dollar_volume(panel: Panel, rows: int = TRAILING_ROWS, min_rows: int = 1) -> NDArray[np.float64]:
    """How many dollars of each name change hands on a usual day? Median of close x volume over the last `rows` dates, (T, N) USD.

    Row t uses rows t - rows + 1 .. t; empty rows are left out of the median, and fewer than `min_rows` of them give NaN. The universe's
    filter takes min_rows = 1 ("up to 20 rows"), the ADV of the cost model min_rows = rows.
    """
    dollars = panel.close * panel.volume
    medians = np.empty_like(dollars)
    for first, last in _row_blocks(panel.n_dates, panel.n_symbols, rows):
        medians[first:last] = _windowed_median(_padded(dollars, first, last, rows), rows, min_rows)
    return medians


def trailing_volatility(panel: Panel, rows: int = TRAILING_ROWS) -> NDArray[np.float64]:
    """How far does each name move in a day? Standard deviation (ddof 1) of its last `rows` close returns, (T, N) decimal.

    All `rows` returns are required, so the name needs a close on each of the last rows + 1 dates: NaN otherwise.
    """
    return trailing_standard_deviation(close_returns(panel), rows)


def trailing_standard_deviation(values: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Standard deviation (ddof 1) of the last `rows` values of each column, (T, N); NaN where any of them is NaN or does not exist.

    Two passes (mean, then squared deviations), so that a far-off level costs no digits; row t depends on rows t - rows + 1 .. t alone.
    """
    result = np.full(values.shape, np.nan)
    n_complete = values.shape[0] - rows + 1
    if n_complete < 1 or rows < 2:
        return result
    mean = np.zeros((n_complete, values.shape[1]))
    for lag in range(rows):
        mean += values[lag : lag + n_complete]
    mean /= rows
    squares = np.zeros_like(mean)
    for lag in range(rows):
        squares += np.square(values[lag : lag + n_complete] - mean)
    result[rows - 1 :] = np.sqrt(squares / (rows - 1))
    return result


def measure_liquidity(panel: Panel) -> Liquidity:
    """ADV and volatility of the cost model as of each close; a name whose median dollar volume is 0 has no ADV (NaN)."""
    adv_usd = trailing_median_dollar_volume(panel, min_rows=TRAILING_ROWS)
    adv_usd[adv_usd <= 0.0] = np.nan
    return Liquidity(adv_usd, trailing_volatility(panel))


def _row_blocks(n_dates: int, n_symbols: int, rows: int) -> list[tuple[int, int]]:
    step = max(1, _BLOCK_CELLS // max(1, n_symbols * rows))
    return [(first, min(first + step, n_dates)) for first in range(0, n_dates, step)]


def _padded(values: NDArray[np.float64], first: int, last: int, rows: int) -> NDArray[np.float64]:
    """Rows first - rows + 1 .. last - 1, with NaN for those before the first date."""
    missing = max(0, rows - 1 - first)
    block = values[max(0, first - rows + 1) : last]
    return np.vstack([np.full((missing, values.shape[1]), np.nan), block]) if missing else block


def _windowed_median(block: NDArray[np.float64], rows: int, min_rows: int) -> NDArray[np.float64]:
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(block, rows, axis=0), axis=-1)
    counts = rows - np.isnan(windows).sum(axis=-1)
    upper = np.take_along_axis(windows, (counts // 2)[..., None].clip(max=rows - 1), axis=-1)[..., 0]
    lower = np.take_along_axis(windows, ((counts - 1).clip(min=0) // 2)[..., None], axis=-1)[..., 0]
    return np.where(counts >= max(1, min_rows), 0.5 * (lower + upper), np.nan)
