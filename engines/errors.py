"""Errors that a person can act on: what is wrong, where it is, how to mend it."""

from __future__ import annotations


class StageGateError(Exception):
    """Base of every error this project raises on purpose.

    `what` states the fault with the expected and the found value, `where` names the file, key, row or shard, and `remedy` says what to do next.
    The three are kept apart so that a terminal, a report and a log can each set them in their own way.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        mend = f" To mend: {self.remedy}" if self.remedy else ""
        return f"{self.what}{place}{mend}"


class CandidateError(StageGateError):
    """candidate.toml is malformed, incomplete or contradicts itself."""


class DataError(StageGateError):
    """A data file cannot be read as what the candidate declares."""


class SignalError(StageGateError):
    """A signal function cannot be loaded, or what it returns breaks its contract."""


class StatisticsError(StageGateError):
    """A statistic was asked for on input for which it is not defined."""


class StoreError(StageGateError):
    """A cached array is damaged or cannot be written."""
