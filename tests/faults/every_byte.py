"""Every byte of a 20-row registry substituted, inserted before, and deleted: does the chain alone see each change?"""

from __future__ import annotations

import random
from collections.abc import Iterator

from reports.record.chain import GENESIS, HEADER, cell_text, link, read_chain
from tests.faults.campaign import conclude, count_from_command_line
from tests.reports.sample_record import fields

ROWS = 20


def registry_bytes() -> bytes:
    """A registry of 20 rows as the writer leaves it."""
    lines, previous = [HEADER], GENESIS
    for seq in range(1, ROWS + 1):
        cells = {name: cell_text(value) for name, value in fields(f"tag-{seq}", owner='O"Neil, =Ann').items()}
        row = link({**cells, "event": "STARTED", "overall_pass": "false", "utc": "2026-11-23T17:05:09Z"}, seq, previous)
        lines.append(row.raw)
        previous = row.row_hash
    return b"\n".join(lines) + b"\n"


def changes(raw: bytes, generator: random.Random) -> Iterator[tuple[str, bytes]]:
    """Each byte substituted (once by its neighbour, once by chance), inserted before, and deleted."""
    for position, byte in enumerate(raw):
        for other in (byte ^ 1, (byte + generator.randrange(1, 256)) % 256):
            yield f"byte {position} {byte:#x} -> {other:#x}", raw[:position] + bytes([other]) + raw[position + 1 :]
        inserted = bytes([generator.randrange(256)])
        yield f"{inserted!r} inserted at {position}", raw[:position] + inserted + raw[position:]
        shorter = raw[:position] + raw[position + 1 :]
        yield f"byte {position} deleted", shorter
    yield from ((f"newline {place}", raw[:place] + b"\n" + raw[place:]) for place in (0, len(raw)))


def campaign(count: int | None, seed: int) -> tuple[int, list[str]]:
    """Try every change, or a sample of `count`; returns how many were seen, and those that were not."""
    raw = registry_bytes()
    whole = read_chain(raw)
    if len(whole.rows) != ROWS or whole.faults or whole.torn_tail:
        return 0, ["the unchanged registry does not hold"]
    generator = random.Random(seed)
    attempts = list(changes(raw, generator))
    if count is not None:
        attempts = generator.sample(attempts, count)
    missed = []
    for label, changed in attempts:
        chain = read_chain(changed)
        if not chain.faults and not chain.torn_tail:
            missed.append(label)
    return len(attempts) - len(missed), missed


if __name__ == "__main__":
    asked = count_from_command_line(0, __doc__)
    conclude(*campaign(asked or None, seed=20261123))
