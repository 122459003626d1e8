"""A monitoring for people, one line a condition, and for Prometheus, as the text that node_exporter's textfile collector reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from reports.deployment.monitor import EXIT_STATUS, Finding, Monitoring, State

WORDS: Final[dict[State, str]] = {
    "in bounds": "ok",
    "watch": "WATCH",
    "roll back": "ROLL BACK",
    "incomplete": "INCOMPLETE",
    "waiting": "waiting",
    "by hand": "by hand",
    "not read": "not read",
}
CLOSING: Final[dict[State, str]] = {
    "in bounds": "everything that could be read is in bounds",
    "watch": "somebody must look: see the lines marked WATCH",
    "roll back": "a hard trigger fired: do what its line says",
    "incomplete": "something could not be read that may be a rollback: this is not in bounds",
}


def monitoring_lines(found: Monitoring) -> list[str]:
    """What a person sees: what was read, a line for each condition, and the state."""
    head = f"{found.tag} ({found.candidate}, {found.owner}): {found.n_days} live days, {found.first_day} to {found.last_day}, as of {found.as_of}"
    rows = [_row(finding) for finding in found.findings]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(row[:4], widths, strict=True)), row[4]]).rstrip()
        for row in rows
    ]
    return [head, *lines, f"{found.state.upper()}, exit {found.exit_status}: {CLOSING[found.state]}"]


def _row(finding: Finding) -> tuple[str, str, str, str, str]:
    figures = ""
    if finding.n_days and math.isfinite(finding.value):
        figures = f"now {finding.value:.4g}"
        figures += "" if finding.kind in ("data", "feed") else f", worst {finding.worst:.4g}"
    first = f"first on {finding.first_breach}" if finding.first_breach else ""
    said = f": {finding.who}" if finding.state in ("roll back", "watch") and finding.who else ""
    severity = f" ({finding.severity})" if finding.severity else ""
    rest = "; ".join(part for part in (figures, first, finding.note) if part) + said
    return WORDS[finding.state], finding.kind, f"{finding.name}{severity}", finding.condition, rest


def prometheus_text(found: Monitoring, moment: datetime) -> bytes:
    """The monitoring in Prometheus' exposition format. A number that there is not is left out, as is usual there.

    stagegate_monitor_state is the exit status: 0, 2, 10 or 11. Alert on it, and on the age of stagegate_monitor_timestamp_seconds: a
    refused monitoring writes nothing.
    """
    tag = f'tag="{_escaped(found.tag)}"'
    lines: list[str] = []

    def family(name: str, text: str, samples: Iterable[tuple[str, float]]) -> None:
        lines.extend((f"# HELP {name} {text}", f"# TYPE {name} gauge"))
        lines.extend(f"{name}{{{labels}}} {value!r}" for labels, value in samples if math.isfinite(value))

    def each(pick: str) -> Iterator[tuple[str, float]]:
        for finding in found.findings:
            yield _labels(tag, finding), float(getattr(finding, pick))

    seconds = float(moment.astimezone(UTC).timestamp())
    last = datetime.fromisoformat(found.last_day).replace(tzinfo=UTC).timestamp()
    family("stagegate_monitor_timestamp_seconds", "When this was written.", [(tag, seconds)])
    family("stagegate_monitor_last_day_seconds", "Midnight UTC of the last live day.", [(tag, float(last))])
    family(
        "stagegate_monitor_state",
        "0 in bounds, 2 incomplete, 10 watch, 11 roll back.",
        [(tag, float(found.exit_status))],
    )
    codes = [(_labels(tag, finding), float(EXIT_STATUS.get(finding.state, 0))) for finding in found.findings]
    family("stagegate_monitor_condition_state", "The same for each condition.", codes)
    unread = float(sum(finding.state in ("not read", "incomplete") for finding in found.findings))
    family("stagegate_monitor_unread_conditions", "Conditions whose input was not handed over.", [(tag, unread)])
    family("stagegate_monitor_value", "Value as of the last live day.", each("value"))
    family("stagegate_monitor_worst", "Worst value of any live day.", each("worst"))
    return ("\n".join(lines) + "\n").encode()


def _labels(tag: str, finding: Finding) -> str:
    return f'{tag},kind="{finding.kind}",name="{_escaped(finding.name)}",severity="{finding.severity}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
