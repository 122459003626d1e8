"""How much of a name trades, and how much its price moves: the two inputs of impact, participation and the dollar-volume filter.

"Row" means a date of the panel's own calendar; nothing is filled. A date on which a name has no close, or no volume, is an empty row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.compiled import is_worth_compiling

if TYPE_CHECKING:
    from engines.panel import Panel

TRAILING_ROWS = 20


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
    return trailing_median(panel.close * panel.volume, rows, min_rows)


def trailing_median(values: NDArray[np.float64], rows: int, min_rows: int) -> NDArray[np.float64]:
    """Median of what is not NaN among the last `rows` values of each column, (T, N); NaN where there are fewer than `min_rows` (at least 1) of them.

    A large panel goes through a compiled loop, a small one through numpy; both give the same bits.
    """
    if _is_large(values):
        from engines import kernels

        medians = np.empty(values.shape)
        kernels.trailing_medians(np.ascontiguousarray(values), rows, min_rows, medians)
        return medians
    return _plain_median(values, rows, min_rows)


def trailing_volatility(panel: Panel, rows: int = TRAILING_ROWS) -> NDArray[np.float64]:
    """How far does each name move in a day? Standard deviation (ddof 1) of its last `rows` close returns, (T, N) decimal.

    All `rows` returns are required, so the name needs a close on each of the last rows + 1 dates: NaN otherwise.
    """
    return trailing_standard_deviation(close_returns(panel), rows)


def trailing_standard_deviation(values: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Standard deviation (ddof 1) of the last `rows` values of each column, (T, N); NaN where any of them is NaN or does not exist.

    Two passes (mean, then squared deviations), so that a far-off level costs no digits; row t depends on rows t - rows + 1 .. t alone. Compiled for a
    large panel, with the same bits.
    """
    result = np.full(values.shape, np.nan)
    if values.shape[0] < rows or rows < 2:
        return result
    if _is_large(values):
        from engines import kernels

        kernels.trailing_deviations(np.ascontiguousarray(values), rows, result)
        return result
    return _plain_deviation(values, rows)


def _plain_deviation(values: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    result = np.full(values.shape, np.nan)
    n_complete = values.shape[0] - rows + 1
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


def _is_large(values: NDArray[np.float64]) -> bool:
    """Whether the kernels are worth loading: numpy takes a quarter as long a cell here as it does to rank."""
    return is_worth_compiling(values.size // 4)


def _plain_median(values: NDArray[np.float64], rows: int, min_rows: int) -> NDArray[np.float64]:
    padded = np.vstack([np.full((rows - 1, values.shape[1]), np.nan), values])
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, rows, axis=0), axis=-1)
    counts = rows - np.isnan(windows).sum(axis=-1)
    upper = np.take_along_axis(windows, (counts // 2)[..., None].clip(max=rows - 1), axis=-1)[..., 0]
    lower = np.take_along_axis(windows, ((counts - 1).clip(min=0) // 2)[..., None], axis=-1)[..., 0]
    return np.where(counts >= max(1, min_rows), 0.5 * (lower + upper), np.nan)
