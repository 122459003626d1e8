"""Signal modules with an edge and one fault beside it: each is the honest momentum, bent in one way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fixtures.plants import write_signal

_MOMENTUM: Final = '''"""{fault}"""

import numpy as np


def ranks(values):
    order = np.argsort(np.argsort(np.where(np.isfinite(values), values, np.inf), axis=1, kind="stable"), axis=1)
    return np.where(np.isfinite(values), order / np.isfinite(values).sum(axis=1, keepdims=True), np.nan)


def score(panel, lookback_days, skip_days):
    momentum = np.full(panel.close.shape, np.nan)
    momentum[lookback_days:] = panel.close[lookback_days - skip_days : len(momentum) - skip_days] / panel.close[:-lookback_days] - 1.0
    {bent}
'''

BENT: Final = {
    "two thirds of the names": "return np.where(np.arange(momentum.shape[1]) % 20 < 13, momentum, np.nan)",
    "silent on some days": "silent = (np.arange(len(momentum)) % 97 == 7)[:, None] & (np.arange(momentum.shape[1]) % 4 > 0)\n"
    "    return np.where(silent, np.nan, momentum)",
    "scaled by the future": "return momentum / np.nanstd(panel.close[1:] / panel.close[:-1], axis=0)",
    "six sectors of ten": "return np.where(panel.sector < 6, momentum, np.nan)",
    "small firms": "return ranks(momentum) - ranks(panel.market_cap)",
    "turned round": "return -momentum",
    "only these parameters": "return momentum if (lookback_days, skip_days) == (60, 1) else -momentum",
}

CHANGES: Final = {
    'function = "momentum"': 'function = "bent.py:score"',
    "grid = { lookback_days = [60, 40, 27, 18, 12, 8, 6, 4, 3, 2] }": "",
}
"""A single variant of the signal in bent.py."""

PLANT_CHANGES: Final = {
    **CHANGES,
    'function = "momentum"': 'function = "{}.py:score"',
    "parameters = { lookback_days = 60, skip_days = 1 }": "",
}


def bent(fault: str) -> Callable[[Path], None]:
    """Write bent.py with this fault."""

    def write(folder: Path) -> None:
        (folder / "bent.py").write_text(_MOMENTUM.format(fault=fault, bent=BENT[fault]), encoding="utf-8")

    return write


def plant(name: str) -> Callable[[Path], None]:
    """Write a signal plant of the fixtures."""

    def write(folder: Path) -> None:
        write_signal(folder, name)

    return write


def plant_changes(name: str) -> dict[str, str]:
    """The honest candidate with a signal plant of the fixtures for its signal."""
    return {old: new.format(name) for old, new in PLANT_CHANGES.items()}


def hindsight(folder: Path) -> None:
    """Write bent.py: each name's return over the whole file, learned by heart. No truncation of the data can show it."""
    import pandas as pd

    close = pd.read_parquet(folder / "market" / "prices.parquet").groupby("symbol")["close"]
    learned = (close.last() / close.first() - 1.0).round(4).to_dict()
    source = f'''"""Learned by heart."""

import numpy as np

LEARNED = {learned!r}


def score(panel, lookback_days, skip_days):
    return np.tile([LEARNED[symbol] for symbol in panel.symbols.tolist()], (len(panel.dates), 1))
'''
    (folder / "bent.py").write_text(source, encoding="utf-8")
