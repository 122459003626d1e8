"""What to conclude from each figure, in one or two sentences made of its own numbers. Pure: figure without caption -> caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Numbers = Mapping[str, Any]


def percent(value: float | None) -> str:
    """`+12.3 %`, or `not measured`."""
    return "not measured" if value is None else f"{100 * value:+.1f} %"


def plain(value: float | None) -> str:
    """Three significant digits, or `not measured`."""
    return "not measured" if value is None else f"{value:.3g}"


def growth(figure: Numbers) -> str:
    """Out-of-sample growth at the lowest and the highest multiplier, the deepest fall, and what is still sealed."""
    low, *_, high = figure["net"]
    earned = [
        f"{percent(figure['net'][name][-1])} net at x{name} (Sharpe {plain(figure['net_sharpe'][name])})"
        for name in (low, high)
    ]
    fall = figure["deepest"][low]
    since = f"from {fall['peak']} " if fall["peak"] else ""
    text = (
        f"{figure['days']} days out of sample, {figure['first']} to {figure['last']}: {percent(figure['gross'][-1])} gross, "
        f"{earned[0]}, {earned[1]}. The deepest fall at x{low} was {percent(fall['depth'])}, {since}to {fall['bottom']}."
    )
    sealed = figure["sealed_holdout"]
    return text + (f" {sealed['first']} to {sealed['last']} stays sealed until s4." if sealed else "")


def holdout(figure: Numbers) -> str:
    """What the sealed window said once it was opened."""
    low, *_, high = figure["net"]
    return (
        f"The sealed window, {figure['days']} days from {figure['first']} to {figure['last']}: {percent(figure['net'][low][-1])} net at x{low} "
        f"(Sharpe {plain(figure['net_sharpe'][low])}), {percent(figure['net'][high][-1])} at x{high}. So short a window says little on its own."
    )


def windows(rows: Sequence[Numbers]) -> str:
    """How many windows rank the names, in how many that is beyond chance, and which is worst."""
    known = [row for row in rows if row["mean"] is not None]
    if not known:
        return "No window has an information coefficient."
    positive = sum(row["mean"] > 0 for row in known)
    sure = sum(row["low"] is not None and row["low"] > 0 for row in known)
    worst = min(known, key=lambda row: row["mean"])
    return (
        f"{positive} of {len(rows)} windows have a positive mean rank IC; in {sure} the 95 % interval lies above zero. "
        f"Weakest: window {worst['window']} ({worst['shard']}, {worst['first']} to {worst['last']}) with {worst['mean']:.4f}."
    )


def cost_heat(figure: Numbers) -> str:
    """Whether a shard is a clear loser at any multiplier."""
    cells = [
        (value, shard, multiplier)
        for shard, row in zip(figure["shards"], figure["net_t"], strict=True)
        for multiplier, value in zip(figure["multipliers"], row, strict=True)
        if value is not None
    ]
    bound = figure["bound"]
    if not cells or bound is None:
        return "No shard has a t-statistic of its net return."
    value, shard, multiplier = min(cells)
    below = sum(cell[0] < bound for cell in cells)
    negative = sum(cell[0] < 0 for cell in cells)
    said = "No shard is a clear loser" if not below else f"{below} of {len(cells)} cells are clear losers"
    return f"{said}: the lowest t is {value:.2f} ({shard} at x{multiplier:g}) against a floor of {bound:g}; {negative} of {len(cells)} cells lose money."


def cost_curve(figure: Numbers) -> str:
    """How much dearer trading may be before the profit is gone."""
    even = figure["break_even_multiplier"]
    if even is None:
        return "No cost was paid, so there is no break-even."
    if even <= 0:
        return "There is no profit before costs, so no cost can be afforded."
    if even < 1:
        return f"The declared costs already exceed the profit: it breaks even at {even:.2f} times them."
    reach = "more than" if even >= 2 else "less than"
    return f"The profit is gone at {even:.2f} times the declared costs, {reach} the doubling that the gates test."


def exposure(figure: Numbers) -> str:
    """How much market is in the book."""
    betas = [row["beta"] for row in figure["windows"] if row["beta"] is not None]
    if figure["beta"] is None or not betas:
        return "No beta could be measured."
    turnover = [row["annual_turnover"] for row in figure["windows"]]
    limit = "" if figure["bound"] is None else f" (allowed: {figure['bound']:g} either way)"
    return (
        f"Beta to the market is {figure['beta']:+.2f} over all days{limit} and lies between {min(betas):+.2f} and {max(betas):+.2f} by window. "
        f"The book turns over {median(turnover):.1f} times its capital a year in the median window."
    )


def universe(figure: Numbers) -> str:
    """How many names could be traded, and what kept the others out."""
    names = figure["names"]
    if not names:
        return "The file has no month."
    text = (
        f"{min(names)} to {max(names)} names could be traded at a month's end, {median(names):g} in the median month."
    )
    rules = {rule: median(counts) for rule, counts in figure["rejected"].items() if counts}
    if any(rules.values()):
        worst = max(rules, key=lambda rule: rules[rule])
        text += f" The rule that rejects most is {worst.replace('_', ' ')}: {rules[worst]:g} names."
    if figure["stressed_names"]:
        text += f" In the stricter universe of the stress {median(figure['stressed_names']):g} are left."
    return text


def trials(figure: Numbers) -> str:
    """Where the candidate stands among everything its family has tried."""
    own, luck, number = figure["own_net_sharpe"], figure["best_of_worthless_sharpe"], figure["n_trials"]
    tags = len(figure["tags"])
    text = f"The family has registered {number} trial{'s' * (number != 1)} under {tags} tag{'s' * (tags != 1)}."
    if own is None or luck is None:
        return f"{text} The candidate's own Sharpe ratio was not measured."
    side = "above" if own > luck else "not above"
    return f"{text} The best of so many worthless ones is expected at a net Sharpe of {luck:.2f} by luck; this one has {own:.2f} out of sample, {side} it."


def data_quality(figure: Numbers) -> str:
    """What was found in the file."""
    found = [entry for entry in figure["findings"] if entry["count"]]
    scope = f"{figure['rows']:,} rows, {figure['symbols']:,} names, {figure['dates']:,} dates, {figure['first']} to {figure['last']}"
    if not found:
        return f"{scope}: no defect was found."
    most = max(found, key=lambda entry: entry["count"])
    return f"{scope}. {len(found)} kinds of finding; the most frequent: {most['count']:,} {most['finding']}."
