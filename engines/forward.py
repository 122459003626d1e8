"""What a holder of a name earns: the label of the information coefficient, and the price it stands at on each date. Both know delistings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from engines.panel import Panel


def is_delisted(panel: Panel) -> NDArray[np.bool_]:
    """Which names stop trading before the file ends? (N,) bool: last_close < file_dates - 1, and at least one close."""
    return (panel.last_close >= 0) & (panel.last_close < panel.file_dates - 1)


def delisting_price(panel: Panel) -> NDArray[np.float64]:
    """What a holder is paid after the last close: last close x (1 + delisting return), (N,).

    NaN for a name that is not delisted, or whose last close lies after the end of this panel.
    """
    inside = is_delisted(panel) & (panel.last_close < panel.n_dates)
    last_row = np.where(inside, panel.last_close, 0)
    last_close = panel.close[last_row, np.arange(panel.n_symbols)]
    return np.where(inside, last_close * (1.0 + panel.delisting_return), np.nan)


def last_tradable_row(panel: Panel) -> NDArray[np.int64]:
    """Until which row can each name be held or traded? (N,); beyond any row for one that never delists."""
    return np.where(is_delisted(panel), panel.last_close, np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True)
class PriceMarks:
    """What each name is worth in a holder's books at each close: the last close so far, after a delisting what was paid for it."""

    price: NDArray[np.float64]  # (T, N); NaN before the first close
    row: NDArray[np.int32]  # (T, N) row of the last close so far; -1 before the first
    last_row: NDArray[np.int64]  # (N,) see `last_tradable_row`

    @classmethod
    def of(cls, panel: Panel) -> PriceMarks:
        """Mark a whole panel, a date at a time: each row is the one before, overwritten where there is a close."""
        prices, rows = np.empty(panel.close.shape), np.empty(panel.close.shape, dtype=np.int32)
        price, row = np.full(panel.n_symbols, np.nan), np.full(panel.n_symbols, -1, dtype=np.int32)
        for date, close in enumerate(panel.close):
            closed = np.isfinite(close)
            np.copyto(price, close, where=closed)
            np.copyto(row, date, where=closed)
            prices[date], rows[date] = price, row
        paid = delisting_price(panel)
        for name in np.flatnonzero(is_delisted(panel)).tolist():
            prices[int(panel.last_close[name]) + 1 :, name] = paid[name]
        return cls(prices, rows, last_tradable_row(panel))


def forward_returns(
    panel: Panel, delay_days: int, horizon_days: int, price: Literal["open", "close"]
) -> NDArray[np.float64]:
    """What did each name return over the horizon, from the first price at which the signal of date t could be traded?

    P[t + d + h] / P[t + d] - 1, (T, N) decimal, with d = delay_days, h = horizon_days and P the execution price on the panel's own
    calendar, nothing filled. A name that delists inside the horizon is closed early, at its last close x (1 + delisting return), and so
    stays in the cross-section; one that delisted before the entry has no label.

    NaN where a price is absent and on the last d + h dates, whose label would end outside the panel.
    """
    prices = panel.open if price == "open" else panel.close
    labels = np.empty(prices.shape)
    n_labels = max(0, panel.n_dates - delay_days - horizon_days)
    labels[n_labels:] = np.nan
    if n_labels < 1:
        return labels
    found = labels[:n_labels]
    entry, exit_ = prices[delay_days : delay_days + n_labels], prices[delay_days + horizon_days :]
    np.divide(exit_, entry, out=found)
    delisted = np.flatnonzero(is_delisted(panel))
    last_close = panel.last_close[delisted]
    entry_rows = np.arange(delay_days, delay_days + n_labels)[:, None]
    closed_early = entry_rows + horizon_days > last_close
    exits = np.where(closed_early, delisting_price(panel)[delisted], exit_[:, delisted])
    found[:, delisted] = exits / np.where(entry_rows > last_close, np.nan, entry[:, delisted])
    found -= 1.0
    return labels


def universe_return(panel: Panel, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What did the equal-weight universe return each day? (T,) decimal.

    Mean over the names that were in the universe and alive at the close before; a name without a close returns 0 that day and its whole move when a
    close returns, a delisted one its delisting return once. NaN on the first date and where nobody was in the universe.
    """
    marks = PriceMarks.of(panel)
    held = mask[:-1] & np.isfinite(marks.price[:-1]) & (np.arange(panel.n_dates - 1)[:, None] <= marks.last_row)
    returns = np.where(held, marks.price[1:] / marks.price[:-1] - 1.0, 0.0)
    count = held.sum(axis=1)
    market = np.full(panel.n_dates, np.nan)
    np.divide(returns.sum(axis=1), count, out=market[1:], where=count > 0)
    return market
