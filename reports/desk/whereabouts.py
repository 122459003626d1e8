"""Where did a cell fail: on which dates, and by which names? From the windows of the report and contributions.csv beside it."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reports.record.chain import Row
from reports.record.durable import is_there, read_regular
from reports.record.errors import RecordError
from reports.record.workspace import Workspace

NAMES_SHOWN: Final = 5
CONTRIBUTIONS: Final = "contributions.csv"
ON_RETURNS: Final = (
    "s2.shard_net_t",
    "s2.risk",
    "s3.cost_gate",
    "s3.shard_net_t",
    "s3.net_sharpe",
    "s3.deflated_sharpe",
)
"""Starts of gates that are judged on the returns that contributions.csv shares among the names."""
_IN_NAME: Final = re.compile(r"_x(\d+)_(\d+)_")
CONTRIBUTIONS_LIMIT: Final = 256 * 2**20


@dataclass(frozen=True, slots=True)
class NameShare:
    """What a name added to the net return of a shard, or of all of them: decimal, summed over the days."""

    symbol: str
    net: float

    def __str__(self) -> str:
        return f"{self.symbol} {100.0 * self.net:+.2f} %"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """windows: (shard, first, last test date) in order. contributions: shard -> symbol -> (gross, cost at multiplier 1)."""

    windows: tuple[tuple[str, str, str], ...]
    contributions: Mapping[str, Mapping[str, tuple[float, float]]]

    @classmethod
    def of(cls, workspace: Workspace, row: Row, report: Mapping[str, Any]) -> Whereabouts:
        """Of a run that did not pass; nothing is read of one that did."""
        listed = report.get("windows")
        windows = tuple(
            (str(window.get("shard")), str(window.get("test_first")), str(window.get("test_last")))
            for window in (listed if isinstance(listed, list) else ())
            if isinstance(window, dict)
        )
        path = (workspace.root / row["report"]).parent / CONTRIBUTIONS
        asked = row["event"] == "FINISHED" and row["verdict"] != "PASS" and is_there(path)
        return cls(windows, _read(path) if asked else {})

    def dates(self, shard: str) -> tuple[str, str]:
        """First and last test date of a shard, of all windows for an empty name; empty texts where there are none."""
        chosen = [window for window in self.windows if shard in ("", window[0])]
        return (chosen[0][1], chosen[-1][2]) if chosen else ("", "")

    def names(self, gate: str, shard: str, multiplier: float | None) -> tuple[NameShare, ...]:
        """The names that added least to the net return at `multiplier` (that in the gate's name, or 1, when the cell has none), worst first.

        Only those that lost, and only for a gate that is judged on these returns.
        """
        if not gate.startswith(ON_RETURNS):
            return ()
        named = _IN_NAME.search(gate)
        times = multiplier if multiplier is not None else float(f"{named[1]}.{named[2]}") if named else 1.0
        net: dict[str, float] = {}
        for name, shares in self.contributions.items():
            for symbol, (gross, cost) in shares.items() if shard in ("", name) else ():
                net[symbol] = net.get(symbol, 0.0) + gross - times * cost
        lost = sorted((value, symbol) for symbol, value in net.items() if value < 0.0)
        return tuple(NameShare(symbol, value) for value, symbol in lost[:NAMES_SHOWN])


def _read(path: Path) -> Mapping[str, Mapping[str, tuple[float, float]]]:
    """The file by shard and symbol; empty when it is not what the packs hold, which `stagegate verify` says."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    try:
        for shard, symbol, gross, cost in _lines(read_regular(path, CONTRIBUTIONS_LIMIT)):
            found.setdefault(shard, {})[symbol] = (gross, cost)
    except (RecordError, ValueError, KeyError, csv.Error):
        return {}
    return found


def _lines(data: bytes) -> Iterator[tuple[str, str, float, float]]:
    for line in csv.DictReader(io.StringIO(data.decode())):
        gross, cost = float(line["gross"] or "nan"), float(line["cost"] or "nan")
        if math.isfinite(gross) and math.isfinite(cost):
            yield line["shard"], line["symbol"], gross, cost
