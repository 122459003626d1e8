"""An independent reading of the backtest: pandas, one day and one name at a time, written from the definition and sharing no code with the engines."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def reference_backtest(panel, signal, mask, portfolio, costs, min_names) -> pd.DataFrame:
    """Gross return, two-way turnover and cost (multiplier 1) of each day from the first execution on."""
    dates = pd.Index(panel.dates)
    frame = {name: pd.DataFrame(getattr(panel, name), dates, panel.symbols) for name in ("open", "close", "volume")}
    execution = frame[portfolio.execution_price]
    dollars = (frame["close"] * frame["volume"]).rolling(20, min_periods=20).median()
    sigma = frame["close"].pct_change(fill_method=None).rolling(20, min_periods=20).std(ddof=1)
    ends = {
        s: panel.last_close[i] for i, s in enumerate(panel.symbols) if 0 <= panel.last_close[i] < panel.file_dates - 1
    }
    returns_at_end = dict(zip(panel.symbols, panel.delisting_return, strict=True))

    scores = pd.DataFrame(np.where(mask, signal, np.nan), dates, panel.symbols)
    first = next((t for t in range(len(dates)) if scores.iloc[t].notna().sum() >= min_names), None)
    if first is None:
        return pd.DataFrame(columns=["gross", "turnover", "cost"])
    targets = {
        t: _target(scores.iloc[t].dropna(), portfolio) for t in range(first, len(dates), portfolio.rebalance_days)
    }
    held_together = math.ceil(portfolio.horizon_days / portfolio.rebalance_days)

    book: dict[str, float] = {}
    mark: dict[str, float] = {}
    rows = []
    for day in range(first + portfolio.execution_delay_days, len(dates)):
        t = day - portfolio.execution_delay_days
        gross, turnover, cost = 1.0, 0.0, 0.0
        if portfolio.execution_price == "open":
            if t in targets:
                gross *= _earn(book, mark, _overnight(book, mark, execution.iloc[day], day, ends, returns_at_end))
                turnover, cost = _trade(
                    book,
                    mark,
                    _book_of(targets, t, held_together, portfolio),
                    execution.iloc[day],
                    day,
                    ends,
                    sigma.iloc[t],
                    dollars.iloc[t],
                    portfolio,
                    costs,
                )
            gross *= _earn(book, mark, _closes(book, mark, frame["close"].iloc[day], day, ends, returns_at_end))
        else:
            gross *= _earn(book, mark, _closes(book, mark, frame["close"].iloc[day], day, ends, returns_at_end))
            if t in targets:
                turnover, cost = _trade(
                    book,
                    mark,
                    _book_of(targets, t, held_together, portfolio),
                    execution.iloc[day],
                    day,
                    ends,
                    sigma.iloc[t],
                    dollars.iloc[t],
                    portfolio,
                    costs,
                )
        short = sum(-w for w in book.values() if w < 0)
        rows.append((gross - 1.0, turnover, cost + short * costs.borrow_bps_per_year / 1e4 / 252))
    return pd.DataFrame(
        rows, index=dates[first + portfolio.execution_delay_days :], columns=["gross", "turnover", "cost"]
    )


def _target(scores: pd.Series, portfolio) -> dict[str, float]:
    ranked = sorted(scores.items(), key=lambda item: (item[1], item[0]))
    n = len(ranked)
    middle = np.median([score for _, score in ranked]) if n else 0.0
    far = {
        "equal": lambda rank, score: 1.0,
        "rank": lambda rank, score: abs(rank - (n - 1) / 2),
        "signal": lambda rank, score: abs(score - middle),
    }[portfolio.weighting]
    weights: dict[str, float] = {}
    tops = list(enumerate(ranked))[n - math.floor(portfolio.long_fraction * n) :]
    bottoms = list(enumerate(ranked))[: math.floor(portfolio.short_fraction * n)]
    for leg, sign in ((tops, 1.0), (bottoms, -1.0)):
        shares = [far(rank, score) for rank, (_, score) in leg]
        if leg and sum(shares) == 0:
            shares = [1.0] * len(leg)
        for (_, (name, _)), share in zip(leg, shares, strict=True):
            weights[name] = sign * share / sum(shares)
    return weights


def _book_of(targets, t, held_together, portfolio) -> dict[str, float]:
    used = [
        targets[u]
        for u in range(t - (held_together - 1) * portfolio.rebalance_days, t + 1, portfolio.rebalance_days)
        if u in targets
    ]
    names = {name for target in used for name in target}
    return {name: sum(target.get(name, 0.0) for target in used) / len(used) for name in names}


def _closes(book, mark, closes, day, ends, returns_at_end) -> dict[str, float]:
    found = {}
    for name in book:
        if name in ends and day == ends[name] + 1:
            found[name] = (mark[name] * (1 + returns_at_end[name]), True)
        elif math.isfinite(closes[name]):
            found[name] = (closes[name], False)
    return found


def _overnight(book, mark, opens, day, ends, returns_at_end) -> dict[str, float]:
    found = {}
    for name in book:
        if name in ends and day == ends[name] + 1:
            found[name] = (mark[name] * (1 + returns_at_end[name]), True)
        elif math.isfinite(opens[name]):
            found[name] = (opens[name], False)
    return found


def _earn(book, mark, prices) -> float:
    """Move the book to new prices; returns 1 + its return."""
    returns = {name: prices[name][0] / mark[name] - 1 if name in prices else 0.0 for name in book}
    total = 1 + sum(book[name] * returns[name] for name in book)
    for name in list(book):
        book[name] *= (1 + returns[name]) / total
        if name in prices:
            mark[name] = prices[name][0]
            if prices[name][1]:
                del book[name], mark[name]
    return total


def _trade(book, mark, target, prices, day, ends, sigma, adv, portfolio, costs) -> tuple[float, float]:
    changes = {}
    for name in sorted(set(book) | set(target)):
        if not math.isfinite(prices[name]) or (name in ends and day > ends[name]):
            continue
        change = target.get(name, 0.0) - book.get(name, 0.0)
        if change != 0.0:
            changes[name] = change
        if name in target:
            book[name], mark[name] = target[name], prices[name]
        elif name in book:
            del book[name], mark[name]
    rates = {
        n: costs.impact_coefficient * sigma[n] * math.sqrt(abs(c) * portfolio.target_aum / adv[n])
        for n, c in changes.items()
        if adv[n] > 0
    }
    known = [rate for rate in rates.values() if math.isfinite(rate)]
    most = max(known) if known else 0.0
    turnover = sum(abs(c) for c in changes.values())
    impact = sum(abs(c) * (rates[n] if math.isfinite(rates.get(n, math.nan)) else most) for n, c in changes.items())
    return turnover, turnover * (costs.half_spread_bps + costs.fee_bps) / 1e4 + impact
