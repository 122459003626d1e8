"""Errors of the record: a request refused, a record that does not hold, a signature that does not verify."""

from __future__ import annotations

from engines.errors import StageGateError


class RequestRefused(StageGateError):
    """A run was asked for that may not start: exit 4, nothing written, no tag spent."""


class RecordError(StageGateError):
    """A file of record is missing, malformed or disagrees with another."""


class SigningError(StageGateError):
    """A signature cannot be made or does not hold."""
