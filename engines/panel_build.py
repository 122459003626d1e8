"""Builds a panel from its files: reads, checks the contract, measures quality, joins the reference tables, lays out dense arrays.

Imported only when a panel is not in the store yet; a process that finds it there needs neither pyarrow nor pandas.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engines.candidate import NUMERIC_COLUMNS, Candidate
from engines.long_table import panel_rows, parse_long_table
from engines.panel import last_finite_row
from engines.quality_measures import measure_quality
from engines.reading import read_columns
from engines.reference import read_references


def build_panel(candidate: Candidate) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """The arrays of a panel by the names of Panel's fields, and its meta: sector_names and quality.

    Raises:
        DataError: a file cannot be read as what the candidate declares.

    """
    where, as_of = candidate.data.path, candidate.data.as_of
    table = parse_long_table(read_columns(candidate.data_path, candidate.data.file_columns, where=where))
    rows = panel_rows(table, as_of, where)
    references = read_references(candidate, rows.dates, rows.symbols)
    arrays: dict[str, np.ndarray[Any, Any]] = {name: rows.dense(name) for name in NUMERIC_COLUMNS}
    quality = measure_quality(table, rows, arrays["close"], as_of, references)
    arrays |= {
        "dates": rows.dates,
        "symbols": rows.symbols,
        "last_close": last_finite_row(arrays["close"]),
        **references.arrays,
    }
    return arrays, {"sector_names": list(references.sector_names), "quality": quality.to_json()}
