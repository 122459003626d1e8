"""Compiled kernels: when they are worth it, and where their machine code is kept, so that it is made once per machine and version.

    <user cache>/stagegate/kernels-<first 32 hex digits of sha256(sources, Python, packages, processor)>/
        *.nbi, *.nbc    numba's index and machine code of each kernel
        SHA256SUMS      of all of these, written last: without it, or when a byte differs, everything is compiled anew

The folder belongs to this account and nobody else may write to it; where there is no such folder the kernels are compiled in each process. Importing
this module imports no numba: engines.kernels does, and is imported only where enough cells have to be computed.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

from filelock import FileLock

from engines.digest import sha256_file, sha256_json

WORTH_CELLS: Final = 1 << 18
"""Dates x symbols from which loading the compiled kernels (0.4 s) is won back; both ways give the same bits."""

SEAL: Final = "SHA256SUMS"
SOURCES: Final = ("compiled.py", "kernels.py")
PACKAGES: Final = ("numba", "llvmlite", "numpy")
HARMLESS: Final = ("NUMBA_NUM_THREADS", "NUMBA_CACHE_DIR")
"""Settings of numba that do not change the code it makes."""


def is_worth_compiling(n_cells: int) -> bool:
    """Whether a computation over so many cells should load the kernels."""
    return n_cells >= WORTH_CELLS


def kernel_folder() -> Path | None:
    """The folder of this machine's and version's machine code, private to this account; None when there is no place for one."""
    key = sha256_json(
        {
            "sources": [sha256_file(Path(__file__).with_name(name)) for name in SOURCES],
            "python": sys.version,
            "packages": {name: version(name) for name in PACKAGES},
            "processor": _processor(),
            "settings": {
                name: os.environ[name]
                for name in sorted(os.environ)
                if name.startswith("NUMBA_") and name not in HARMLESS
            },
        }
    )
    for root in _user_caches():
        folder = root / f"kernels-{key[:32]}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if _is_private(root) and _is_private(folder):
            return folder
    return None


def compile_when_absent() -> float | None:
    """Compile the kernels in a process of their own unless their machine code is there; the seconds it took, None when nothing was done.

    For the process that starts workers: they then find the code, and this process need not load a compiler.
    """
    folder = kernel_folder()
    if folder is None or is_sealed(folder):
        return None
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import engines.kernels"],
        cwd=Path(__file__).resolve().parents[1],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def is_sealed(folder: Path) -> bool:
    """Whether every file of the folder is there as it was written, and no other."""
    try:
        return (folder / SEAL).read_text(encoding="ascii") == _sums(folder)
    except OSError:
        return False


@contextmanager
def machine_code(folder: Path | None) -> Iterator[bool]:
    """Decorate kernels inside: their code is loaded from `folder`, or compiled and kept there. False when it cannot be kept.

    A folder that is not sealed is emptied first, under a lock, so that one process compiles while others wait.
    """
    if folder is None:
        yield False
        return
    with _numba_looks_in(folder):
        if is_sealed(folder):
            yield True
            return
        with FileLock(f"{folder}.lock"):
            if not is_sealed(folder):
                _empty(folder)
                yield True
                (folder / SEAL).write_text(_sums(folder), encoding="ascii")
            else:
                yield True


@contextmanager
def _numba_looks_in(folder: Path) -> Iterator[None]:
    """numba keeps what is decorated inside by our key, not by the path and time of the source."""
    config = importlib.import_module("numba").config
    caching = importlib.import_module("numba.core.caching")

    class Locator(caching._CacheLocator):  # type: ignore[misc, name-defined]
        """Every kernel's code lies in one folder, whose name is the stamp."""

        def __init__(self, line: int) -> None:
            self._line = line

        def get_cache_path(self) -> str:
            return str(folder)

        def get_source_stamp(self) -> str:
            return folder.name

        def get_disambiguator(self) -> str:
            return str(self._line)

        @classmethod
        def from_function(cls, py_func: Callable[..., object], py_file: str) -> Locator:
            return cls(py_func.__code__.co_firstlineno)

    former = caching.CacheImpl._locator_classes, config.CACHE_LOCATOR_CLASSES
    caching.CacheImpl._locator_classes, config.CACHE_LOCATOR_CLASSES = [Locator], ""
    try:
        yield
    finally:
        caching.CacheImpl._locator_classes, config.CACHE_LOCATOR_CLASSES = former


def _sums(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir() if path.name != SEAL)
    return "".join(f"{sha256_file(folder / name)}  {name}\n" for name in names)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _user_caches() -> Iterator[Path]:
    """Where this account keeps caches: its home, then a folder of its own for temporary files."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    if home != "~":
        yield Path(home) / ".cache" / "stagegate"
    yield Path(tempfile.gettempdir()) / f"stagegate-{os.getuid()}"


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def _processor() -> str:
    """What decides which instructions the code may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    named = [line for line in lines if line.startswith(("model name", "flags", "CPU part", "Features"))]
    return "\n".join(dict.fromkeys([platform.machine(), *named]))
