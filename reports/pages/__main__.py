"""The page of any report json, from the file alone: `python -m reports.pages REPORT.json > REPORT.html`."""

from __future__ import annotations

import sys
from pathlib import Path

from reports.pages.report_page import page_of
from reports.record.durable import load_json, read_regular
from reports.record.errors import RecordError


def main(arguments: list[str]) -> int:
    """Print the page; 4 with the reason on standard error when the file is no JSON of record."""
    if len(arguments) != 1:
        print("usage: python -m reports.pages REPORT.json > REPORT.html", file=sys.stderr)
        return 4
    path = Path(arguments[0])
    try:
        report = load_json(read_regular(path), path.name)
    except RecordError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 4
    sys.stdout.write(page_of(report, path.name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
