"""A figure of the report json as drawings: one wide, one for a narrow screen. Each builder reads numbers and places marks; it computes nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from reports.pages.svg import SERIES_CLASSES, Drawing, Mark, Panel, Scale, nice_ticks, padded, year_ticks

Numbers = Mapping[str, Any]
WIDE: Final = 880
NARROW: Final = 350
LEFT: Final = 52
RIGHT: Final = 10


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend: the class of its series and its name."""

    klass: str
    name: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure drawn: for a wide and for a narrow page, with its legend."""

    wide: Drawing
    narrow: Drawing
    legend: tuple[Key, ...]


def draw(name: str, figure: Numbers) -> Chart | None:
    """The chart of a figure; None for one that is a table by nature or has no point to draw."""
    builder = BUILDERS.get(name)
    if builder is None:
        return None
    build, legend, has_points = builder
    return Chart(build(figure, WIDE), build(figure, NARROW), legend(figure)) if has_points(figure) else None


def percent_label(value: float) -> str:
    """A decimal as an axis label in percent."""
    return f"{100 * value:.4g}"


def _panel(width: int, top: float, bottom: float, x: tuple[float, float], y: tuple[float, float]) -> Panel:
    return Panel(Scale(*x, LEFT, width - RIGHT), Scale(*y, bottom, top))


def _drawing(width: int, height: int, label: str, *panels: Panel) -> Drawing:
    marks: Iterable[Mark] = (mark for panel in panels for mark in panel.marks)
    return Drawing(width, height, label, tuple(marks))


def _days(dates: Sequence[str]) -> list[int]:
    return [date.fromisoformat(each).toordinal() for each in dates]


def _y_labels(panel: Panel, spell: Callable[[float], str], count: int = 5) -> list[tuple[float, str]]:
    return [(tick, spell(tick)) for tick in nice_ticks(panel.y.low, panel.y.high, count)]


def _time_labels(panel: Panel, width: int) -> list[tuple[float, str]]:
    count = 10 if width == WIDE else 4
    return [(float(day), label) for day, label in year_ticks(int(panel.x.low), int(panel.x.high), count)]


def series_class(number: int) -> str:
    """The class of the n-th series."""
    return f"s{number % SERIES_CLASSES}"


# ------------------------------------------------------------------------------------------------------------ growth


def _growth(figure: Numbers, width: int) -> Drawing:
    days, sealed = _days(figure["dates"]), figure.get("sealed_holdout")
    last = date.fromisoformat(sealed["last"]).toordinal() if sealed else days[-1]
    span = (float(days[0]), float(max(last, days[-1] + 1)))
    nets, falls = figure["net"], figure["drawdown"]
    grown = [value for curve in (figure["gross"], *nets.values()) for value in curve]
    top = _panel(width, 28, 250, span, padded(grown, around=(0.0,)))
    low = _panel(width, 300, 400, span, (padded(value for curve in falls.values() for value in curve)[0], 0.0))
    top.y_axis("Cumulative return, %", _y_labels(top, percent_label))
    low.y_axis("Drawdown, %", _y_labels(low, percent_label, 3))
    low.x_axis("date", _time_labels(low, width))
    if sealed:
        for panel, label in ((top, "sealed holdout" if width == WIDE else "sealed"), (low, "")):
            panel.band("sealed", date.fromisoformat(sealed["first"]).toordinal(), last, label)
    top.line("line s0", zip(days, figure["gross"], strict=True))
    for number, (name, curve) in enumerate(nets.items(), 1):
        top.line(f"line {series_class(number)}", zip(days, curve, strict=True))
        low.line(f"line thin {series_class(number)}", zip(days, falls[name], strict=True))
    label = f"Lines: cumulative return out of sample, gross and net of costs at {', '.join('x' + name for name in nets)}, and drawdown below"
    return _drawing(width, 440, label, top, low)


def _growth_legend(figure: Numbers) -> tuple[Key, ...]:
    nets = [Key(series_class(number), f"net of costs x{name}") for number, name in enumerate(figure["net"], 1)]
    return (Key(series_class(0), "gross"), *nets)


# ----------------------------------------------------------------------------------------------------------- windows


def _shard_keys(rows: Sequence[Numbers]) -> tuple[Key, ...]:
    shards = dict.fromkeys(str(row["shard"]) for row in rows)
    return tuple(Key(series_class(number), shard) for number, shard in enumerate(shards, 1))


def _window_labels(rows: Sequence[Numbers], width: int) -> list[tuple[float, str]]:
    step = max(1, -(-len(rows) // (14 if width == WIDE else 5)))
    return [(float(number), str(row["first"])[:7]) for number, row in enumerate(rows) if number % step == 0]


def _windows(figure: Numbers, width: int) -> Drawing:
    rows = figure["windows"]
    values = [row[name] for row in rows for name in ("mean", "low", "high")]
    panel = _panel(width, 28, 230, (-0.6, len(rows) - 0.4), padded(values, around=(0.0,)))
    panel.y_axis("Mean daily rank IC", _y_labels(panel, lambda tick: f"{tick:.4g}"))
    panel.x_axis("first test date of the window", _window_labels(rows, width))
    classes = {key.name: key.klass for key in _shard_keys(rows)}
    for number, row in enumerate(rows):
        klass = classes[str(row["shard"])]
        if row["low"] is not None:
            panel.line(f"whisker {klass}", [(number, row["low"]), (number, row["high"])])
        if row["mean"] is not None:
            panel.dot(f"dot {klass}", number, row["mean"], f"window {row['window']}, {row['shard']}: {row['mean']:.4f}")
    return _drawing(width, 275, "Dots with whiskers: mean rank IC of each test window with its 95 % interval", panel)


# -------------------------------------------------------------------------------------------------------- cost curve


def _cost_curve(figure: Numbers, width: int) -> Drawing:
    multipliers, returns, even = figure["multipliers"], figure["net_return_per_year"], figure["break_even_multiplier"]
    panel = _panel(width, 28, 230, (0.0, multipliers[-1]), padded(returns, around=(0.0,)))
    panel.y_axis("Net return a year, %", _y_labels(panel, percent_label))
    panel.x_axis("multiple of the declared costs", [(tick, f"x{tick:g}") for tick in nice_ticks(0, multipliers[-1], 5)])
    panel.upright("mark", 1.0, "declared")
    panel.upright("mark", 2.0, "tested", anchor="end" if width == NARROW else "")
    panel.line("line s1", zip(multipliers, returns, strict=True))
    if even is not None and 0 < even <= multipliers[-1]:
        panel.upright(
            "mark hot", even, f"break-even x{even:.2f}", row=1, anchor="end" if even > multipliers[-1] / 2 else ""
        )
    return _drawing(width, 275, "Line: net return a year against the multiple of the declared costs", panel)


# ---------------------------------------------------------------------------------------------------------- exposure


def _exposure(figure: Numbers, width: int) -> Drawing:
    rows, bound = figure["windows"], figure["bound"]
    limits = (0.0,) if bound is None else (-bound, 0.0, bound)
    span = (-0.6, len(rows) - 0.4)
    beta = _panel(width, 28, 190, span, padded((row["beta"] for row in rows), around=limits))
    turnover = _panel(width, 240, 330, span, (0.0, padded((row["annual_turnover"] for row in rows), around=(0.0,))[1]))
    beta.y_axis("Beta to the market", _y_labels(beta, lambda tick: f"{tick:.4g}"))
    turnover.y_axis("Turnover a year, x capital", _y_labels(turnover, lambda tick: f"{tick:.4g}", 3))
    turnover.x_axis("first test date of the window", _window_labels(rows, width))
    if bound is not None:
        beta.level("mark hot", bound, f"allowed {bound:+g}")
        beta.level("mark hot", -bound, f"allowed {-bound:+g}")
    classes = {key.name: key.klass for key in _shard_keys(rows)}
    for number, row in enumerate(rows):
        klass = classes[str(row["shard"])]
        for panel, name in ((beta, "beta"), (turnover, "annual_turnover")):
            if row[name] is not None:
                panel.line(f"stem {klass}", [(number, 0.0), (number, row[name])])
                panel.dot(f"dot {klass}", number, row[name], f"window {row['window']}, {row['shard']}: {row[name]:.3g}")
    return _drawing(
        width, 375, "Dots: beta to the market of each test window, and turnover a year below", beta, turnover
    )


# ---------------------------------------------------------------------------------------------------------- universe


def _universe(figure: Numbers, width: int) -> Drawing:
    days, stressed = _days(figure["dates"]), figure["stressed_names"]
    span = (float(days[0]), float(max(days[-1], days[0] + 1)))
    sizes = [figure["names"], *([stressed] if stressed else [])]
    size = _panel(width, 28, 190, span, (0.0, padded((value for curve in sizes for value in curve), around=(0.0,))[1]))
    counts = figure["rejected"]
    most = padded((value for curve in counts.values() for value in curve), around=(0.0,))[1]
    out = _panel(width, 240, 350, span, (0.0, most))
    size.y_axis("Names that could be traded", _y_labels(size, lambda tick: f"{tick:g}"))
    out.y_axis("Names rejected, by rule", _y_labels(out, lambda tick: f"{tick:g}", 3))
    out.x_axis("month's end", _time_labels(out, width))
    size.line("line s0", zip(days, figure["names"], strict=True))
    if stressed:
        size.line("line dashed s0", zip(days, stressed, strict=True))
    for number, curve in enumerate(counts.values(), 1):
        out.line(f"line {series_class(number)}", zip(days, curve, strict=True))
    return _drawing(
        width, 395, "Lines: names in the universe at each month's end, and names rejected by each rule below", size, out
    )


def _universe_legend(figure: Numbers) -> tuple[Key, ...]:
    rules = [Key(series_class(number), rule.replace("_", " ")) for number, rule in enumerate(figure["rejected"], 1)]
    stressed = [Key("dashed s0", "stricter universe")] if figure["stressed_names"] else []
    return (Key("s0", "universe"), *stressed, *rules)


# ------------------------------------------------------------------------------------------------------------ trials


def _trials(figure: Numbers, width: int) -> Drawing:
    known = sorted(
        (row for row in figure["trials"] if row["net_sharpe"] is not None), key=lambda row: float(row["net_sharpe"])
    )
    own, luck = figure["own_net_sharpe"], figure["best_of_worthless_sharpe"]
    bottom = 100 + min(200, 14 * len(known))
    reach = padded(
        (row["net_sharpe"] for row in known), around=[value for value in (0.0, own, luck) if value is not None]
    )
    panel = _panel(width, 28, bottom, reach, (-0.5, len(known) + 1.5))
    panel.y_axis("Trials, each a dot", [])
    panel.x_axis("net Sharpe ratio a year, costs x1", [(tick, f"{tick:g}") for tick in nice_ticks(*reach, 6)])
    middle = sum(reach) / 2
    if luck is not None:
        panel.upright("mark", luck, f"luck {luck:.2f}", anchor="end" if luck > middle else "")
    if own is not None:
        panel.upright(
            "mark hot", own, f"this one, out of sample {own:.2f}", row=1, anchor="end" if own > middle else ""
        )
    for number, row in enumerate(known):
        panel.dot(
            f"dot {'s1' if row['own'] else 's0'}",
            row["net_sharpe"],
            number,
            f"{row['tag']} {row['variant']}: {row['net_sharpe']:.2f}",
        )
    return _drawing(
        width,
        bottom + 45,
        "Dots: net Sharpe ratio of every registered trial of the family, with what luck alone would reach",
        panel,
    )


def _trials_legend(_figure: Numbers) -> tuple[Key, ...]:
    return Key("s1", "this tag's variants"), Key("s0", "earlier trials of the family")


Builder = tuple[Callable[[Numbers, int], Drawing], Callable[[Numbers], tuple[Key, ...]], Callable[[Numbers], bool]]

BUILDERS: Final[dict[str, Builder]] = {
    "growth": (_growth, _growth_legend, lambda figure: bool(figure["dates"])),
    "holdout": (_growth, _growth_legend, lambda figure: bool(figure["dates"])),
    "windows": (_windows, lambda figure: _shard_keys(figure["windows"]), lambda figure: bool(figure["windows"])),
    "cost_curve": (_cost_curve, lambda _figure: (), lambda figure: bool(figure["multipliers"])),
    "exposure": (_exposure, lambda figure: _shard_keys(figure["windows"]), lambda figure: bool(figure["windows"])),
    "universe": (_universe, _universe_legend, lambda figure: bool(figure["dates"])),
    "trials": (_trials, _trials_legend, lambda figure: any(row["net_sharpe"] is not None for row in figure["trials"])),
}
"""Name of a figure -> its drawing, its legend, and whether there is anything to draw."""
