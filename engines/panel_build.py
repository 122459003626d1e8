"""Builds a panel from its files: reads, checks the contract, measures quality, joins the reference tables, lays out dense arrays.

The price file is read twice, a batch at a time: for the axes, and for the cells. Imported only when a panel is not in the store yet; a process that
finds it there needs neither pyarrow nor pandas.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engines.axes import read_axes
from engines.candidate import Candidate
from engines.layout import Allocate, PanelLayout
from engines.long_table import parse_long_table
from engines.panel import last_finite_row
from engines.quality_measures import LaidOut, measure_quality
from engines.reading import read_batches
from engines.reference import read_references


def build_panel(candidate: Candidate, allocate: Allocate) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """The arrays of a panel by the names of Panel's fields, and its meta: sector_names and quality.

    allocate: makes the (T, N) arrays, in files where the panel should not be held in memory.

    Raises:
        DataError: a file cannot be read as what the candidate declares.

    """
    where, as_of, columns = candidate.data.path, candidate.data.as_of, candidate.data.file_columns
    key = {name: columns[name] for name in ("date", "symbol")}
    axes = read_axes(read_batches(candidate.data_path, key, where=where), as_of, where)
    layout = PanelLayout(axes, as_of, allocate)
    for batch in read_batches(candidate.data_path, columns, where=where):
        layout.add(parse_long_table(batch))
    cells, row_number, symbols = layout.finish()
    panel = LaidOut(axes.dates[: axes.n_dates], symbols, cells, row_number)
    references = read_references(candidate, panel.dates, panel.symbols)
    quality = measure_quality(panel, layout.defects, as_of, references)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        **cells,
        "dates": panel.dates,
        "symbols": panel.symbols,
        "last_close": last_finite_row(cells["close"]),
        **references.arrays,
    }
    return arrays, {"sector_names": list(references.sector_names), "quality": quality.to_json()}
