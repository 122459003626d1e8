"""Did a change for speed change a number? Every figure of every stage, written down exactly before and compared after.

    python -m benchmarks.goldens before.json                     at the old commit
    python -m benchmarks.goldens after.json --against before.json

Three candidates are rehearsed through S0 to S4: both demonstration candidates and one on a market with ties, gaps, delistings and a dirty csv.
Compared are all evidence values to the last bit, and the sha256 of the panel, universe, liquidity, IC and backtest arrays. Exit status 1 when any differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.frame import Size
from benchmarks.market import COLUMNS, draw_panel, write_candidate, write_prices
from engines.candidate import load_candidate
from engines.digest import sha256_bytes, sha256_json
from engines.panel import load_panel
from engines.store import ArrayStore
from engines.study import Study, open_study
from fixtures.demo import ensure_market

REPOSITORY: Final = Path(__file__).resolve().parents[1]
DEMOS: Final = ("candidate.toml", "candidate_cost_eaten.toml")
ROUGH: Final = Size("small", 160, 1300)


def main(arguments: list[str]) -> int:
    """Write the figures of the code as it stands; compare them with earlier ones when asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.goldens")
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        figures = dict(_figures(Path(folder)))
    options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.against is None:
        return 0
    earlier = json.loads(options.against.read_text(encoding="utf-8"))
    different = sorted(name for name in earlier.keys() | figures if earlier.get(name) != figures.get(name))
    for name in different:
        print(f"{name}: {earlier.get(name)} -> {figures.get(name)}")
    print(f"{len(figures)} figures, {len(different)} different")
    return int(bool(different))


def _figures(folder: Path) -> Iterator[tuple[str, Any]]:
    candidates = [REPOSITORY / "fixtures" / "demo" / name for name in DEMOS]
    for candidate in candidates:
        ensure_market(candidate)
    for path in (*candidates, _rough_candidate(folder)):
        yield from _evidence(path, folder)
        for name, digest in _arrays(path, folder):
            yield f"{path.stem}/{name}", digest


def _rough_candidate(folder: Path) -> Path:
    """Prices in whole dollars so that names tie, and a csv that breaks the data contract in places."""
    drawn = draw_panel(ROUGH, seed=7)
    panel = replace(drawn, **{name: np.maximum(np.round(getattr(drawn, name)), 1.0) for name in COLUMNS})
    write_prices(panel, folder / "rough.csv")
    lines = (folder / "rough.csv").read_text(encoding="utf-8").splitlines()
    rng = np.random.default_rng(7)
    for row in rng.choice(np.arange(1, len(lines)), 60, replace=False).tolist():
        cells = lines[row].split(",")
        cells[int(rng.integers(0, len(cells)))] = str(rng.choice(["", "inf", "-1", "0", "n/a", "NaN"]))
        lines[row] = ",".join(cells)
    lines += [lines[100], lines[200], lines[300] + "9", lines[400].replace(",", ";")]
    (folder / "rough.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return write_candidate(folder / "rough.toml", folder / "rough.csv", panel, name="rough")


def _evidence(candidate: Path, folder: Path) -> Iterator[tuple[str, Any]]:
    report = folder / "report.json"
    command = [sys.executable, "-m", "pytest", "gates", "-q", "--candidate", str(candidate), "--json-report"]
    subprocess.run([*command, f"--json-report-file={report}"], cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=False)
    for test in json.loads(report.read_text(encoding="utf-8"))["tests"]:
        for place, entry in enumerate(test.get("user_properties", [])):
            for kind, value in entry.items():
                yield f"{candidate.stem}/{test['nodeid']}/{place}/{kind}", value
        yield f"{candidate.stem}/{test['nodeid']}", test["outcome"]


def _arrays(path: Path, folder: Path) -> Iterator[tuple[str, str]]:
    candidate = load_candidate(path)
    panel, quality = load_panel(candidate, ArrayStore(folder / "cache"))
    yield from _hashed("panel", {name: getattr(panel, name) for name in (*COLUMNS, "dates", "symbols", "last_close")})
    yield "quality", sha256_json(quality.to_json())
    study = open_study(candidate, folder / "cache")
    for universe in (study.universe, study.stressed_universe):
        yield from _hashed("universe", {"mask": universe.mask, "broken": universe.broken})
    yield from _variants(study)


def _variants(study: Study) -> Iterator[tuple[str, str]]:
    measured = study._measured
    liquidity = measured.liquidity()
    yield from _hashed("liquidity", {"adv": liquidity.adv_usd, "volatility": liquidity.daily_volatility})
    yield from _hashed("market", {"market": study.market, "forward": measured.forward(study.candidate.portfolio)})
    for scenario in (study.declared, study.stressed):
        for variant in study.variants:
            ran = measured.backtest(scenario, variant, study.first_rebalance).to_arrays()
            named = {"ics": measured.ics(scenario, variant), "signal": measured.signal(scenario.universe, variant)}
            yield from _hashed(f"{scenario.universe.min_price:g}/{variant.label}", {**ran, **named})


def _hashed(kind: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[tuple[str, str]]:
    for name, array in arrays.items():
        yield f"{kind}/{name}/{array.shape}", sha256_bytes(np.ascontiguousarray(array).tobytes())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
