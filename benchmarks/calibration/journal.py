"""Measured units of a campaign, one JSON line each, so that a campaign that was stopped goes on where it stopped.

    <folder>/<part>-<first 8 hex digits of the settings' sha256>.jsonl
        {"settings": {...}}                     the first line
        {"unit": "power/17", "figures": ...}    one line a unit, flushed when it is measured

A line that was cut off by the stop is dropped and its unit measured again. Other settings lie in another file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engines.digest import sha256_json


class Journal:
    """The journal of one part under one set of settings."""

    def __init__(self, folder: Path, part: str, settings: Mapping[str, Any]) -> None:
        self.path = folder / f"{part}-{sha256_json(dict(settings))[:8]}.jsonl"
        self._figures: dict[str, Any] = {}
        if self.path.is_file():
            self._read()
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self._append({"settings": dict(settings)})

    def figure(self, unit: str, measure: Callable[[], Any]) -> Any:
        """The figures of one unit, measured when they are not in the journal yet."""
        if unit not in self._figures:
            figures = measure()
            self._append({"unit": unit, "figures": figures})
            self._figures[unit] = figures
        return self._figures[unit]

    def _read(self) -> None:
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            self.path.write_bytes(whole)
        for line in whole.splitlines()[1:]:
            entry = json.loads(line)
            self._figures[entry["unit"]] = entry["figures"]

    def _append(self, entry: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")
