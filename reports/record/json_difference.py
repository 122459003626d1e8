"""Where do two JSON values differ, bit for bit? Pure and total.

Numbers are compared by their shortest exact spelling, so that 1 and 1.0, or 0.0 and -0.0, are two different records.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

SHOWN_CHARACTERS: Final = 100
DEEPEST: Final = 50
"""Levels that are descended into; below, two values are compared as they are spelled. No file of record is as deep."""

ABSENT: Final = "nothing"
"""What is shown of a key that one side lacks."""

Difference = tuple[str, str, str]
"""The place, its one value and its other value, each as text."""


def differences(place: str, one: Any, other: Any, depth: int = 0) -> Iterator[Difference]:
    """Every place below `place` at which the values differ, in the order of `other` and then of `one`."""
    if isinstance(one, dict) and isinstance(other, dict) and depth < DEEPEST:
        for key in dict.fromkeys((*other, *one)):
            below = f"{place}.{key}" if place else str(key)
            if key in one and key in other:
                yield from differences(below, one[key], other[key], depth + 1)
            else:
                mine, theirs = (shown(spelled(side[key])) if key in side else ABSENT for side in (one, other))
                yield below, mine, theirs
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other) and depth < DEEPEST:
        for number, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from differences(f"{place}[{number}]", mine, theirs, depth + 1)
    elif spelled(one) != spelled(other):
        yield place, shown(spelled(one)), shown(spelled(other))


def spelled(value: Any) -> str:
    """The one spelling of a JSON value; what cannot be spelled says why."""
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        return f"({type(error).__name__})"


def shown(text: str) -> str:
    """`text`, cut to what a line takes."""
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."
