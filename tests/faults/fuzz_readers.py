"""Each reader given mutated and made-up files: only typed errors, below 1 GB and below 1 s for each input?

`--count N` gives every reader N files mutated byte by byte from an honest one and N that hypothesis makes up around it, each reader in a process of
its own, whose address space may grow by 1 GB over what its libraries map: an input that needs more ends in a MemoryError, which is a failure. The
time is processor time of the reading process, so that a busy machine is not taken for a slow reader.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, given, seed, settings

from engines.errors import StageGateError
from tests.faults.campaign import SHOWN, conclude
from tests.faults.fuzzed_readers import Reader, readers
from tests.faults.hostile import mutate

SECONDS_LIMIT: Final = 1.0
MEMORY_LIMIT_BYTES: Final = 1 << 30
HANG_SECONDS: Final = 60
EXAMPLES_A_ROUND: Final = 2000
"""hypothesis remembers what it has tried: in rounds of its own seed each, that stays small."""


@dataclass(slots=True)
class Tally:
    """What one reader made of its files. Memory: the highest resident size of the reading process, libraries included."""

    name: str
    inputs: int = 0
    refused: int = 0
    slowest_seconds: float = 0.0
    total_seconds: float = 0.0
    peak_bytes: int = 0
    failures: int = 0
    problems: list[str] | None = None

    def fail(self, problem: str) -> None:
        """Count a failure and keep the first of them in words."""
        self.failures += 1
        self.problems = [*(self.problems or ()), problem][:SHOWN]

    def __str__(self) -> str:
        figures = f"{self.inputs} inputs, {self.refused} refused, {self.total_seconds:.0f} s, slowest {1e3 * self.slowest_seconds:.0f} ms"
        return f"{self.name}: {figures}, peak {self.peak_bytes / 2**20:.0f} MB, {self.failures} failures"


def fuzz(name: str, mutations: int, examples: int, first_seed: int, kept: Path | None = None) -> Tally:
    """Give one reader `mutations` mutated and `examples` made-up files; `kept` is where files that fail are left."""
    with tempfile.TemporaryDirectory(prefix="stagegate-fuzz-", dir=_quick_place()) as place:
        tally = fuzz_reader(name, readers(Path(place))[name], Path(place), mutations, examples, first_seed, kept)
    tally.peak_bytes = _peak_bytes()
    return tally


def fuzz_reader(
    name: str, reader: Reader, place: Path, mutations: int, examples: int, first_seed: int, kept: Path | None = None
) -> Tally:
    """The same of a reader that is at hand, which reads in a folder of its own below `place`."""
    tally, folder = Tally(name), place / f"reading {name}"
    folder.mkdir()

    def take(data: bytes) -> None:
        attempt(reader, data, folder, tally, kept)

    take(reader.honest)
    if tally.refused:
        tally.fail("the honest file is refused")
    generator = random.Random(f"{name} {first_seed}")
    for _ in range(mutations):
        data = mutate(reader.honest, generator)
        take(mutate(data, generator) if generator.randrange(2) else data)
    for start, number in _rounds(examples):
        _made_up(reader, number, first_seed + start, take)
    return tally


def _peak_bytes() -> int:
    """The highest resident size of this process. (ru_maxrss would be that of the process it was forked from, when that was larger.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _quick_place() -> str | None:
    """Memory rather than a disk, where there is such a place: what is tried is the reader."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _rounds(examples: int) -> Iterator[tuple[int, int]]:
    yield from ((start, min(EXAMPLES_A_ROUND, examples - start)) for start in range(0, examples, EXAMPLES_A_ROUND))


def _made_up(reader: Reader, examples: int, round_seed: int, take: Callable[[bytes], None]) -> None:
    quiet = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seed(round_seed)(quiet(given(reader.made_up)(take)))()


def attempt(reader: Reader, data: bytes, folder: Path, tally: Tally, kept: Path | None) -> None:
    """Read one input and count what came of it."""
    begun, problem = time.process_time(), ""
    signal.alarm(HANG_SECONDS)
    try:
        reader.read(data, folder)
    except StageGateError as error:
        tally.refused += 1
        problem = "" if error.what else "an error that says nothing"
    except Exception as error:  # noqa: BLE001 (that nothing else is raised is what is tried here)
        problem = f"raised {type(error).__name__}: {str(error)[:200]}"
    signal.alarm(0)
    taken = time.process_time() - begun
    tally.inputs += 1
    tally.total_seconds += taken
    tally.slowest_seconds = max(tally.slowest_seconds, taken)
    if not problem and taken > SECONDS_LIMIT:
        problem = f"took {taken:.1f} s"
    if problem:
        tally.fail(f"{tally.name}: {problem}: {data[:160]!r} ({len(data)} bytes)")
        if kept is not None:
            kept.mkdir(parents=True, exist_ok=True)
            (kept / f"{tally.name.replace(' ', '_')}-{tally.inputs}").write_bytes(data)


def _bounded(name: str, count: int, first_seed: int, kept: Path | None) -> Tally:
    """The whole of one reader, in a process whose memory may grow by the limit and no further."""
    warnings.simplefilter("ignore")
    fuzz(name, 20, 20, first_seed)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY_LIMIT_BYTES, mapped + MEMORY_LIMIT_BYTES))
    tally = fuzz(name, count, count, first_seed, kept)
    if tally.peak_bytes > MEMORY_LIMIT_BYTES:
        tally.fail(f"{name}: peak of {tally.peak_bytes / 2**20:.0f} MB")
    return tally


def reader_names() -> list[str]:
    """Every reader, as --reader takes it."""
    with tempfile.TemporaryDirectory(prefix="stagegate-fuzz-") as place:
        return list(readers(Path(place)))


def _at_length() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="files of each kind for each reader")
    parser.add_argument("--reader", action="append", help="only this reader (default: all)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the files that fail")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    failures, inputs = [], 0
    with ProcessPoolExecutor(asked.processes, get_context("spawn"), max_tasks_per_child=1) as pool:
        names = asked.reader or reader_names()
        running = [pool.submit(_bounded, name, asked.count, asked.seed, asked.keep) for name in names]
        for tally in (each.result() for each in running):
            print(tally, flush=True)
            failures += tally.problems or []
            inputs += tally.inputs - tally.failures
    conclude(inputs, failures)


if __name__ == "__main__":
    sys.exit(_at_length())
