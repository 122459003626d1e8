"""What pydantic found wrong with a candidate, said in the words of the file: the key, the value found, what was expected, the nearest valid key."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from inspect import isclass
from reprlib import repr as short_repr
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engines.errors import CandidateError


def nearest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean X?" for the known name closest to `name`, or nothing when none is close."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def refusal(error: ValidationError, model: type[BaseModel], where: str) -> CandidateError:
    """One CandidateError that names every fault of `error`."""
    faults = [_describe(fault, model) for fault in error.errors(include_url=False)]
    return CandidateError(
        "; ".join(faults), where=where, remedy="correct each key named; the format is that of candidate.toml"
    )


def _describe(fault: ErrorDetails, model: type[BaseModel]) -> str:
    location = fault["loc"]
    key = ".".join(str(part) for part in location if part != "[key]") or "the file"
    kind, found = fault["type"], short_repr(fault["input"])
    if kind == "missing":
        return f"{key} is missing"
    if kind == "extra_forbidden":
        known = _keys_beside(model, location)
        return f"{key} is no known key{nearest(str(location[-1]), known)} (known here: {', '.join(known)})"
    if location and location[-1] == "[key]":
        known = tuple(re.findall(r"'([^']+)'", fault.get("ctx", {}).get("expected", "")))
        return f"{key} is no known key{nearest(str(location[-2]), known)} (known here: {', '.join(known)})"
    if kind == "value_error":
        reason = str(fault["ctx"]["error"])
        return f"{key} {reason}, found {found}" if reason.startswith("must ") else f"{key}: {reason}"
    expected = fault["msg"].replace("Input should be", "expected", 1)
    return f"{key} is {found}, {expected}{_unit_hint(key, kind)}"


def _unit_hint(key: str, kind: str) -> str:
    """Which unit a bound is in, where the key alone may be misread."""
    if kind.startswith(("less_than", "greater_than")):
        if key.endswith("_fraction"):
            return " (a fraction of the names, not per cent)"
        if key.endswith("_days"):
            return " (trading days)"
    return ""


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, ...]:
    """The valid keys of the table that holds the last part of `location`."""
    table: Any = model
    for part in location[:-1]:
        table = _descend(table, str(part))
    return tuple(field.alias or name for name, field in table.model_fields.items())


def _descend(table: Any, key: str) -> Any:
    """The type of `table`'s entry `key`, for a model or a mapping, without its annotations."""
    if isclass(table) and issubclass(table, BaseModel):
        entry: Any = next(field.annotation for name, field in table.model_fields.items() if key in (name, field.alias))
    else:
        entry = get_args(table)[1]
    return get_args(entry)[0] if get_origin(entry) is Annotated else entry
