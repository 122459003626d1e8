"""Eight processes on a cold cache, from both ends: whatever they all need is computed by one of them, once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from fixtures.market import MarketSpec, make_market
from tests.gates.harness import HONEST

REPOSITORY = Path(__file__).resolve().parents[2]
PROCESSES = 8
WORKER = """
import os, sys
from pathlib import Path
from engines.candidate import load_candidate
from engines.digest import sha256_json
from engines.store import ArrayStore
from engines.study import open_study

folder, log = Path(sys.argv[1]), sys.argv[2]
real = ArrayStore.get_or_build_in_place

def counting(self, kind, key, build):
    def counted(scratch):
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{kind}-{sha256_json(dict(key))}\\n".encode())
        os.close(descriptor)
        return build(scratch)
    return real(self, kind, key, counted)

ArrayStore.get_or_build_in_place = counting
candidate = load_candidate(folder / "candidate.toml")
print("ready", flush=True)
sys.stdin.readline()
study = open_study(candidate, folder / "cache")
if sys.argv[3] == "backwards":
    study.measure_backwards(stressed=True)
parts = (study.baseline, study.walk_forward, study.risk, study.stressed_risk, study.perturbation, study.shard_stress("wf-1"))
print(repr((study.walk_forward.gross.sum(), study.stressed_risk.beta, study.perturbation.minimum)), flush=True)
"""


def test_eight_processes_compute_each_entry_once_and_agree(tmp_path):
    make_market(MarketSpec(seed=7, n_days=800, n_names=60, drift_vol_per_year=0.5)).write(tmp_path / "market")
    (tmp_path / "candidate.toml").write_text(HONEST.read_text(encoding="utf-8"), encoding="utf-8")
    log = tmp_path / "built.log"
    command = [sys.executable, "-c", WORKER, str(tmp_path), str(log)]
    ways = ("forwards", "backwards") * (PROCESSES // 2)
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    workers = [
        subprocess.Popen([*command, way], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for way in ways
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    answers = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        said, _ = worker.communicate(timeout=240)
        assert worker.returncode == 0
        answers.append(said)
    built = Counter(log.read_text(encoding="utf-8").split())
    kinds = {entry.partition("-")[0] for entry in built}
    assert {"panel", "universe", "liquidity", "signal", "backtest", "ic"} <= kinds
    assert set(built.values()) == {1}, [entry for entry, count in built.items() if count > 1]
    assert len(set(answers)) == 1
