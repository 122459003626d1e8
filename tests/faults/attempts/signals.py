"""Attempts by the candidate: a signal of the user's own that cheats, data that change their shape, a cache that lies."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Final

import numpy as np

from engines.candidate import load_candidate
from engines.digest import canonical_json, sha256_bytes, sha256_file
from engines.study import open_study
from reports.record.workspace import Workspace
from tests.end_to_end.desk import rewrite
from tests.faults.attempts.preparing import FAIL, NOT_BACK, PASS, REFUSED
from tests.faults.tiny_suite import Attempt, Ground

SOURCE: Final = """import numpy as np
{top}

def score(panel, lookback_days):
    close = panel.close
    past = np.full(close.shape, np.nan)
    past[lookback_days:] = {sign}(close[lookback_days:] / close[:-lookback_days] - 1.0)
    tomorrow = np.vstack([close[1:] / close[:-1] - 1.0, past[-1:]])
{body}
    return past
"""
PARENT: Final = "import sys\nfrom importlib import import_module as get\n"


def own_signal(body: str = "", *, top: str = "", sign: str = "-") -> Callable[[Ground], None]:
    """A candidate with a signal of its own, which bets on losers and so loses; `WORKSPACE` and `PRICES` in its text are paths."""

    def prepare(ground: Ground) -> None:
        folder = ground.desk.candidate.parent
        text = SOURCE.format(top=top, sign=sign, body=indent(body or "pass", "    "))
        text = text.replace("WORKSPACE", str(ground.desk.workspace)).replace(
            "PRICES", str(folder / "market" / "prices.parquet")
        )
        (folder / "mine.py").write_text(text, encoding="utf-8")
        candidate = ground.desk.candidate.read_text(encoding="utf-8")
        candidate = candidate.replace('function = "momentum"', 'function = "mine.py:score"')
        candidate = candidate.replace("skip_days = 1 }", "}").replace("63, }", "63 }")
        ground.desk.candidate.write_text(re.sub(r"(?m)^grid = .*\n", "", candidate), encoding="utf-8")

    return prepare


def s0_then_s1(ground: Ground) -> int:
    """Run s0 and, when that passes, s1."""
    return ground.run("s0") or ground.run("s1")


def poisoned(ground: Ground) -> int:
    """Pass s0, then fill the cache with a measurement of one's own, every hash right, and run s1."""
    status = ground.run("s0")
    cache = Workspace(ground.desk.workspace).cache
    _ = open_study(load_candidate(ground.desk.candidate), cache).baseline
    for entry in cache.glob("ic-*"):
        if entry.is_dir():
            meta = json.loads((entry / "meta.json").read_bytes())
            np.save(entry / "ics.npy", np.abs(np.load(entry / "ics.npy")))
            meta["body"]["arrays"]["ics"] = sha256_file(entry / "ics.npy")
            meta["sha256"] = sha256_bytes(canonical_json(meta["body"]))
            (entry / "meta.json").write_bytes(canonical_json(meta))
    return status or ground.run("s1")


def edited_signal(ground: Ground) -> int:
    """Pass s0 with a losing signal and run s1 with the winning one."""
    status = ground.run("s0")
    rewrite(ground.desk.candidate.parent / "mine.py", "= -(", "= +(")
    return status or ground.run("s1")


def pipe_for(name: str) -> Callable[[Ground], None]:
    """A pipe in place of a file of the candidate's folder, which nobody writes to."""

    def prepare(ground: Ground) -> None:
        path = ground.desk.candidate.parent / name
        path.unlink()
        os.mkfifo(path)

    return prepare


def prices_of(ground: Ground) -> Path:
    return ground.desk.candidate.parent / "market" / "prices.parquet"


def other_prices(ground: Ground) -> Path:
    """Prices that differ in a byte, elsewhere."""
    path = ground.desk.workspace.parent / "other.parquet"
    data = bytearray(prices_of(ground).read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    return path


def turned_link(ground: Ground) -> int:
    """Data behind a link that points elsewhere once they are frozen."""
    prices, kept = prices_of(ground), ground.desk.workspace.parent / "prices.parquet"
    shutil.move(prices, kept)
    prices.symlink_to(kept)
    status = ground.run("s0")
    other = other_prices(ground)
    prices.unlink()
    prices.symlink_to(other)
    return status or ground.run("s1")


def hard_link(ground: Ground) -> int:
    """Data edited through another name of the same file."""
    other = ground.desk.workspace.parent / "same.parquet"
    os.link(prices_of(ground), other)
    status = ground.run("s0")
    with other.open("r+b") as file:
        file.seek(other.stat().st_size // 2)
        file.write(b"\xff\x00\xff\x00")
    return status or ground.run("s1")


CHEATS: Final = {
    "patches the evidence": own_signal(top=f"{PARENT}module = sys.modules.get('reports.criteria.evidence')\nif module is not None:\n    module.Threshold.holds = lambda self, value: True\n"),
    "patches the verdict": own_signal(
        top=f"{PARENT}module = sys.modules.get('reports.run.supervisor')\nif module is not None:\n    module.overrule = lambda verdict, findings: verdict\n"
    ),
    "patches the IC": own_signal(top=f"{PARENT}engine = get('engines.measurements').Measurements\nhonest = engine.ics\nengine.ics = lambda self, *rest: np.abs(honest(self, *rest))\n"),
    "patches numpy": own_signal(top="np.isfinite = lambda values: np.abs(values) > 0\nnp.mean = np.max\n"),
    "looks behind the arrays": own_signal("base = close\nwhile getattr(base, 'base', None) is not None:\n    base = base.base\nif getattr(base, 'ndim', 0) == 2 and base.shape[0] > close.shape[0] + 1:\n    return np.asarray(base)[1:close.shape[0] + 1] / close"),
    "searches the memory": own_signal("import gc\nfor found in gc.get_objects():\n    if isinstance(found, np.ndarray) and found.ndim == 2 and found.shape[0] > close.shape[0]:\n        return found[1:close.shape[0] + 1] / close"),
    "remembers the whole panel": own_signal("SEEN.append(close)\nlongest = max(SEEN, key=len)\nreturn longest[1:len(close) + 1] / close if len(longest) > len(close) else tomorrow", top="SEEN = []\n"),
    "shows tomorrow": own_signal("return tomorrow"),
    "shows tomorrow in a recorded run only": own_signal("import os\nif 'STAGEGATE_RUN' in os.environ or 'PYTEST_VERSION' in os.environ or 'PYTEST_CURRENT_TEST' in os.environ:\n    return tomorrow"),
    "shows tomorrow where the gates run": own_signal("import sys\nif 'pytest' in sys.modules or 'xdist' in sys.modules or any('pytest' in word for word in sys.argv):\n    return tomorrow"),
    "swaps the record": own_signal("import os\nfor name in ('gate_results/gate_registry.csv', 'runs/freeze'):\n    try:\n        os.rename(f'WORKSPACE/{name}', f'WORKSPACE/{name}.old')\n    except OSError:\n        pass"),
    "leaves a process behind": own_signal("import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(20)\n    os._exit(0)", sign="+"),
}  # fmt: skip
REFUSED_AT_ONCE: Final = {
    "reads the prices": own_signal("import pandas\nframe = pandas.read_parquet('PRICES')"),
    "reads the prices by a library of its own": own_signal("import pyarrow.parquet\ntable = pyarrow.parquet.read_table('PRICES')"),
    "reads the prices at import": own_signal(top="DATA = open('PRICES', 'rb').read()\n"),
    "maps the prices": own_signal("mapped = np.memmap('PRICES', mode='r')"),
    "writes a file": own_signal("open('WORKSPACE/gate_results/forged.csv', 'w').write('PASS')"),
    "raises its limits": own_signal("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))"),
    "starts a program": own_signal("import subprocess\nsubprocess.run(['true'], check=True)"),
    "imports its neighbour": own_signal(top="import sys\nsys.path.insert(0, 'WORKSPACE/candidates/small')\nimport neighbour\n"),
    "ends the process": own_signal("import os\nos._exit(0)"),
    "leaves by exit": own_signal("raise SystemExit(0)"),
    "crashes": own_signal("import ctypes\nctypes.string_at(0)"),
    "answers in the host's place": own_signal("import os\nos.write(1, bytes(64))\nos._exit(0)"),
}  # fmt: skip

SIGNALS: Final = (
    *(Attempt(f"signal: {name}", prepare, "s1", run=s0_then_s1, allowed=(*NOT_BACK, "REFUSED")) for name, prepare in CHEATS.items()),
    *(Attempt(f"signal: {name}", prepare, allowed=REFUSED) for name, prepare in REFUSED_AT_ONCE.items()),
    Attempt("signal: edited after s0", own_signal(), "s1", run=edited_signal, allowed=REFUSED),
    Attempt("a loser's own signal", own_signal(), "s1", run=s0_then_s1, allowed=FAIL),
    Attempt("a measurement planted in the cache", own_signal(), "s1", run=poisoned, allowed=FAIL),
    Attempt("a pipe for a candidate", pipe_for("candidate.toml"), allowed=REFUSED),
    Attempt("a pipe for data", pipe_for("market/prices.parquet"), allowed=REFUSED),
    Attempt("data behind a link that turns", lambda ground: None, "s1", run=turned_link, allowed=REFUSED),
    Attempt("data edited by another name", lambda ground: None, "s1", run=hard_link, allowed=REFUSED),
)  # fmt: skip
HONEST_SIGNALS: Final = (
    Attempt("a winner's own signal", own_signal(sign="+"), "s1", run=s0_then_s1, allowed=PASS),
    Attempt("a winner's own signal that imports as it goes", own_signal("import scipy.stats\nnp.nanmedian(close[-1])\nimport json", sign="+"), "s1", run=s0_then_s1, allowed=PASS),
)  # fmt: skip
