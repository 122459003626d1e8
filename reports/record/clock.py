"""One UTC clock, read once by whoever starts an action and passed on from there."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Current time, aware, in whole seconds (the resolution of every record)."""
    return datetime.now(UTC).replace(microsecond=0)


def iso(moment: datetime) -> str:
    """`2026-11-23T17:05:09Z`: how a record spells a moment."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(moment: datetime) -> str:
    """`20261123T170509Z`: how a file name spells a moment; sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
