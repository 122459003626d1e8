"""Columns to values: what text, numbers and timestamps of a file mean as dates, symbols and numbers.

Nothing raises here: what does not parse is marked, so that it can be counted and shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np

MISSING_WORDS: Final = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none"})
"""Spellings of "no value" in a numeric or date column, in any case. In a symbol column only nothing at all is missing."""

MAX_SYMBOL_LENGTH: Final = 64

_DATE: Final = re.compile(r"(\d{4})([-/]?)(\d{2})\2(\d{2})(?:$|[T ].*)", re.DOTALL)
_NUMBER: Final = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INFINITE: Final = r"^[+-]?(?i:inf|infinity)$"

_FIRST_DAY: Final = np.datetime64(date.min)
_LAST_DAY: Final = np.datetime64(date.max)
"""A typed column can hold days that no calendar has; they are unreadable, as such text is."""

BoolArray = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Dates:
    """values: (M,) datetime64[D], NaT where missing or unreadable; missing: (M,) whether the cell holds nothing."""

    values: np.ndarray[Any, np.dtype[np.datetime64]]
    missing: BoolArray


@dataclass(frozen=True, slots=True)
class Symbols:
    """names: sorted distinct names; codes: (M,) index into names, -1 where missing or unusable; missing: (M,) whether the cell holds nothing."""

    names: tuple[str, ...]
    codes: np.ndarray[Any, np.dtype[np.int64]]
    missing: BoolArray


@dataclass(frozen=True, slots=True)
class Numbers:
    """values: (M,) float64, NaN where missing or unparseable, infinities kept; missing, unparseable: (M,) which of the two."""

    values: np.ndarray[Any, np.dtype[np.float64]]
    missing: BoolArray
    unparseable: BoolArray


def parse_dates(column: Any) -> Dates:
    """The calendar date as written, whatever time of day or zone stands beside it: 2020-01-02T23:30:00-05:00 is 2020-01-02.

    Reads dates, timestamps (aware ones in their own zone), and text or whole numbers that begin with YYYY-MM-DD, YYYY/MM/DD or YYYYMMDD.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_timestamp(kind):
        local = pc.local_timestamp(column) if kind.tz is not None else column
        return _from_days(pc.floor_temporal(local, unit="day").cast(pa.timestamp("s")))
    if pa.types.is_date(kind):
        return _from_days(column.cast(pa.date32()).cast(pa.timestamp("s")))
    if pa.types.is_integer(kind):
        column = column.cast(pa.large_string())
    if not (pa.types.is_large_string(column.type) or pa.types.is_dictionary(column.type)):
        return Dates(np.full(len(column), "NaT", dtype="datetime64[D]"), _is_null(column))
    spelled, codes = _words(column)
    words = [None if word is None else word.strip() for word in spelled]
    days = np.array([_calendar_date(word) for word in words], dtype="datetime64[D]")
    nothing = np.array([word is None or word.casefold() in MISSING_WORDS for word in words], dtype=bool)
    return Dates(days[codes], nothing[codes]) if len(words) else Dates(days, nothing)


def _from_days(column: Any) -> Dates:
    values = column.to_numpy(zero_copy_only=False).astype("datetime64[D]")
    missing = np.isnat(values)
    values[(values < _FIRST_DAY) | (values > _LAST_DAY)] = np.datetime64("NaT")
    return Dates(values, missing)


def _calendar_date(word: str | None) -> date | None:
    found = _DATE.match(word) if word else None
    if found is None:
        return None
    try:
        return date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        return None


def parse_symbols(column: Any) -> Symbols:
    """Symbols are text, exactly as written; numbers are spelled as text.

    Empty, longer than 64 characters or holding a control character: unusable.
    """
    import pyarrow as pa

    if pa.types.is_nested(column.type):
        return Symbols((), np.full(len(column), -1), _is_null(column))
    is_text = pa.types.is_large_string(column.type) or pa.types.is_dictionary(column.type)
    words, rows = _words(column if is_text else column.cast(pa.large_string()))
    names = tuple(sorted(word for word in words if word and _usable(word)))
    place = {name: code for code, name in enumerate(names)}
    codes = np.array([place.get(word or "", -1) for word in words], dtype=np.int64)
    nothing = np.array([word is None or not word.strip() for word in words], dtype=bool)
    return Symbols(names, codes[rows], nothing[rows]) if words else Symbols(names, codes, nothing)


def _words(column: Any) -> tuple[list[str | None], np.ndarray[Any, np.dtype[np.int64]]]:
    """The words that a column of text (or a dictionary of it) may hold, and the index of each row's word; None stands for nothing at all."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column, null_encoding="encode")
    words = column.dictionary.to_pylist()
    indices = column.indices
    if indices.null_count:
        indices, words = indices.fill_null(len(words)), [*words, None]
    return words, indices.to_numpy(zero_copy_only=False)


def _usable(symbol: str) -> bool:
    return bool(symbol.strip()) and len(symbol) <= MAX_SYMBOL_LENGTH and symbol.isprintable()


def parse_numbers(column: Any) -> Numbers:
    """Numbers as float64. Text is read when it spells a decimal number or an infinity; a value of another type does not parse."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.large_string())
    if pa.types.is_large_string(column.type):
        return _from_text(column)
    missing = _is_null(column)
    if pa.types.is_decimal(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return Numbers(values, np.isnan(values), np.zeros(len(values), dtype=bool))
    return Numbers(np.full(len(column), np.nan), missing, ~missing)


def _from_text(column: Any) -> Numbers:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(column)
    numeric = pc.fill_null(
        pc.or_(pc.match_substring_regex(text, _NUMBER), pc.match_substring_regex(text, _INFINITE)), False
    )
    values = pc.if_else(numeric, text, pa.scalar(None, text.type)).cast(pa.float64()).to_numpy(zero_copy_only=False)
    missing = pc.is_in(pc.utf8_lower(text), value_set=pa.array(sorted(MISSING_WORDS), text.type)).to_numpy(
        zero_copy_only=False
    ) | _is_null(text)
    return Numbers(values, missing, ~numeric.to_numpy(zero_copy_only=False) & ~missing)


def _is_null(column: Any) -> BoolArray:
    nulls: BoolArray = column.is_null().to_numpy(zero_copy_only=False)
    return nulls
