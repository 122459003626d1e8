"""Drawings as data: scales, ticks, axes and marks, laid out here and spelled as SVG by templates/drawing.html.jinja.

A drawing holds no colour: marks carry classes and the style sheet decides, so that light, dark and print differ there alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

SERIES_CLASSES: Final = 6
"""Series of a drawing are coloured by class s0 .. s5."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One SVG element: its tag, its attributes in order, its text. Text and values are escaped by the template."""

    tag: str
    attributes: tuple[tuple[str, str], ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing of width x height units; `label` says to a screen reader what it is."""

    width: int
    height: int
    label: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """From a value in [low, high] to a position between start and stop."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start if span == 0 else self.start + (value - self.low) / span * (self.stop - self.start)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round values that lie in [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    raw = span / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def year_ticks(first: int, last: int, count: int) -> list[tuple[int, str]]:
    """(ordinal, label) of about `count` dates between two ordinals: the first of a year, or of a quarter in short spans."""
    begin, end = date.fromordinal(first), date.fromordinal(last)
    months = (end.year - begin.year) * 12 + end.month - begin.month
    step = next((size for size in (1, 3, 6, 12, 24, 60) if months / size <= count), 120)
    firsts = (
        date(number // 12, number % 12 + 1, 1)
        for number in range(begin.year * 12, end.year * 12 + 12)
        if number % step == 0
    )
    return [
        (day.toordinal(), f"{day:%Y}" if step >= 12 else f"{day:%Y-%m}")
        for day in firsts
        if first <= day.toordinal() <= last
    ]


def padded(values: Iterable[float | None], *, around: Sequence[float] = ()) -> tuple[float, float]:
    """Lowest and highest of the values and of `around`, with a twentieth of air; (0, 1) without a value."""
    known = [value for value in (*values, *around) if value is not None]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    air = (high - low) * 0.05 or max(abs(high), 1.0) * 0.05
    return low - air, high + air


def spelled(number: float) -> str:
    """A coordinate with one decimal, without a trailing zero."""
    text = f"{number:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def shape(tag: str, klass: str, text: str = "", **attributes: float | str) -> Mark:
    """A mark of a class; numbers are spelled, `_` in names becomes `-`."""
    named = [
        (name.replace("_", "-"), value if isinstance(value, str) else spelled(value))
        for name, value in attributes.items()
    ]
    return Mark(tag, (("class", klass), *named), text)


@dataclass(slots=True)
class Panel:
    """One pair of axes inside a drawing, and the marks drawn so far."""

    x: Scale
    y: Scale
    marks: list[Mark] = field(default_factory=list)

    @property
    def left(self) -> float:
        return self.x.start

    @property
    def right(self) -> float:
        return self.x.stop

    @property
    def bottom(self) -> float:
        return self.y.start

    @property
    def top(self) -> float:
        return self.y.stop

    def y_axis(self, title: str, labels: Sequence[tuple[float, str]]) -> None:
        """Grid lines with their labels, and the title with its unit above the axis."""
        for value, label in labels:
            level = self.y(value)
            self.marks.append(
                shape("line", "zero" if value == 0 else "grid", x1=self.left, x2=self.right, y1=level, y2=level)
            )
            self.marks.append(shape("text", "tick end", label, x=self.left - 6, y=level + 4))
        self.marks.append(shape("text", "axis", title, x=0, y=self.top - 12))

    def x_axis(self, title: str, labels: Sequence[tuple[float, str]]) -> None:
        """Ticks with their labels below the panel, and the title with its unit under them."""
        for value, label in labels:
            place = self.x(value)
            self.marks.append(shape("line", "tick", x1=place, x2=place, y1=self.bottom, y2=self.bottom + 4))
            self.marks.append(shape("text", "tick middle", label, x=place, y=self.bottom + 18))
        if title:
            self.marks.append(shape("text", "axis end", title, x=self.right, y=self.bottom + 36))

    def line(self, klass: str, points: Iterable[tuple[float, float | None]]) -> None:
        """A line through the points; it breaks where there is no value."""
        path, open_ = [], False
        for x, y in points:
            if y is None:
                open_ = False
                continue
            path.append(f"{'L' if open_ else 'M'}{spelled(self.x(x))} {spelled(self.y(y))}")
            open_ = True
        if path:
            self.marks.append(shape("path", klass, d="".join(path)))

    def band(self, klass: str, first: float, last: float, label: str) -> None:
        """A shaded stretch of the x axis, named above."""
        left, right = self.x(first), self.x(last)
        self.marks.append(
            shape("rect", klass, x=left, y=self.top, width=max(0.0, right - left), height=self.bottom - self.top)
        )
        self.marks.append(shape("text", "note end", label, x=right, y=self.top - 5))

    def upright(self, klass: str, value: float, label: str, row: int = 0, anchor: str = "") -> None:
        """A vertical line at a value, named at the top in text row `row`; `anchor` "end" writes to the left of it."""
        place = self.x(value)
        self.marks.append(shape("line", klass, x1=place, x2=place, y1=self.top, y2=self.bottom))
        aside = -5 if anchor == "end" else 5
        self.marks.append(shape("text", f"note {anchor}".strip(), label, x=place + aside, y=self.top + 14 + 16 * row))

    def level(self, klass: str, value: float, label: str) -> None:
        """A horizontal line at a value, named at its right end."""
        place = self.y(value)
        self.marks.append(shape("line", klass, x1=self.left, x2=self.right, y1=place, y2=place))
        self.marks.append(shape("text", "note end", label, x=self.right - 2, y=place - 4))

    def dot(self, klass: str, x: float, y: float, title: str, radius: float = 4) -> None:
        """A dot that says what it is when pointed at."""
        self.marks.append(shape("circle", klass, title, cx=self.x(x), cy=self.y(y), r=radius))
