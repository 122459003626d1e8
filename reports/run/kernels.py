"""The compiled kernels are made before workers start, once per machine and version, and the wait is explained."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TextIO

from engines.compiled import compile_when_absent

SMALL_FILE_BYTES: Final = 2 << 20
"""A price file below this holds too few cells for the kernels to be used at all."""


def prepare_kernels(price_files: Iterable[Path], terminal: TextIO) -> None:
    """Compile the kernels when one of the files is large enough to want them and their machine code is not there yet; say how long it took."""
    if not any(path.is_file() and path.stat().st_size >= SMALL_FILE_BYTES for path in set(price_files)):
        return
    seconds = compile_when_absent()
    if seconds is not None:
        terminal.write(f"compiled the kernels in {seconds:.1f} s, once on this machine for this version\n")
        terminal.flush()
