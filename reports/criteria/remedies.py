"""Why does a gate usually fail, where does one look, and what may legitimately change? The lines of remedies.toml, a reviewed table beside the policy.

Every hard gate has a line, no line is stale, and each command names what is there: a test holds the three.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

TABLE: Final = Path(__file__).with_name("remedies.toml")


@dataclass(frozen=True, slots=True)
class Remedy:
    """gate: start of the keys it is for. cause: the likeliest one. look: the command to look closer, with PACK, TAG and CANDIDATE to be filled in.

    root_cause: the class that the cause belongs to when it is the true one. change: what a legitimate rerun changes.
    """

    gate: str
    cause: str
    look: str
    root_cause: str
    change: str


@cache
def remedies() -> tuple[Remedy, ...]:
    """Every line of the table, in its order."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return tuple(Remedy(**line) for line in table["remedy"])


def remedy_of(gate: str) -> Remedy | None:
    """The line of a gate, by the longest start of its key; None for one that has none."""
    found = [remedy for remedy in remedies() if gate.startswith(remedy.gate)]
    return max(found, key=lambda remedy: len(remedy.gate), default=None)
