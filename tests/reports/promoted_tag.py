"""A promoted tag as a desk has it: a freeze of a real candidate, an S3 pack with a record, an S4 pack with watchlist and triggers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from engines.digest import sha256_bytes
from engines.expectations import expectations
from engines.monitoring import Reference, out_of_sample_book
from engines.statistics import sharpe_ratio
from reports.criteria.evidence import Threshold
from reports.criteria.freeze import Places
from reports.criteria.policy import ExpectedCell
from reports.deployment.templates import NOTES, ROLLBACK, WATCHLIST, Figures, templates
from reports.record.durable import dump_json, write_new
from reports.record.registry import Row
from reports.record.workspace import Workspace
from tests.reports.frozen_candidate import TAG, lay_out
from tests.reports.recorded_tag import cell, gate, new_workspace, out_of_sample, record_stage, stored_series

SERIES = out_of_sample()
FIRST_LIVE_DAY = "2018-02-08"

INTEGRITY = Threshold("s1.dq.numeric_integrity", "==", 0, "infinite, non-positive or unparseable values", 1.0)
DATA_GATE = ExpectedCell(
    INTEGRITY.id, "hard", "gates/s1/test_data_quality.py::test", None, None, (INTEGRITY,), None, ""
)


@cache
def deployment_files() -> Mapping[str, str]:
    """The files of S4 for this record, as a person leaves them."""
    reference = Reference(out_of_sample_book(SERIES), SERIES.horizon_days, 7)
    texts = templates(TAG, "sha256:" + "0" * 64, Figures(expectations(SERIES, 7), reference))
    return {
        name: text.replace('owner = ""', 'owner = "otto"').replace(
            'action = ""', 'action = "flatten the book, call otto"'
        )
        for name, text in texts.items()
    }


@dataclass(frozen=True, slots=True)
class Promoted:
    """Where a promoted tag lies."""

    places: Places
    s3: Row
    s4: Row

    @property
    def workspace(self) -> Workspace:
        return self.places.workspace


def promote(root: Path, changes: Mapping[str, tuple[str, str]] | None = None, long_only: bool = False) -> Promoted:
    """Record the stages s3 and s4 of a tag. `changes`: file of S4 -> (text, what stands in its place)."""
    frozen = lay_out(root)
    new_workspace(frozen.places.workspace.root)
    if long_only:
        path = frozen.candidate_path
        path.write_text(path.read_text().replace("short_fraction = 0.2", "short_fraction = 0.0"), encoding="utf-8")
    frozen = frozen.again()
    record = frozen.record()
    record["expected"].append(DATA_GATE.to_json())
    freeze = dump_json(record)
    workspace = frozen.places.workspace
    write_new(workspace.freeze(TAG), freeze)
    series = replace(SERIES, long_only=long_only)
    sharpe = sharpe_ratio(series.judged_returns(1.0), periods_per_year=252)
    level = {**cell(sharpe), "id": "x1", "cost_multiplier": 1.0}
    level["evidence"] = [{"threshold": "s3.net_sharpe.level", "measured": sharpe}]
    digest = sha256_bytes(freeze)
    s3_files = {"freeze.json": freeze, **stored_series(series)}
    s3 = record_stage(
        workspace,
        TAG,
        "s3",
        gates={"s3.net_sharpe": gate(level)},
        freeze_sha256=digest,
        files=s3_files,
        family="frozen",
    )
    texts = dict(deployment_files())
    for name, (old, new) in (changes or {}).items():
        assert old in texts[name], old
        texts[name] = texts[name].replace(old, new)
    s4_files = {name: texts[name].encode() for name in (NOTES, WATCHLIST, ROLLBACK)}
    s4 = record_stage(workspace, TAG, "s4", freeze_sha256=digest, files=s4_files, family="frozen")
    return Promoted(frozen.places, s3, s4)


def live_days(n_days: int) -> np.ndarray:
    """So many weekdays after the research data end."""
    return np.busday_offset(FIRST_LIVE_DAY, np.arange(n_days))


def live_table(n_days: int = 150, edge: float = 1.0, seed: int = 11) -> dict[str, np.ndarray]:
    """A live book of the same truth as the record, with its edge multiplied: columns of a returns file."""
    drawn = out_of_sample(n_days, sharpe=3.0 * edge, seed=seed)
    return {
        "date": live_days(n_days).astype(str),
        "return": drawn.net_returns(1.0),
        "cost": drawn.cost,
        "turnover": drawn.turnover,
        "market": drawn.market,
    }


def write_csv(path: Path, table: Mapping[str, np.ndarray]) -> Path:
    """A csv of these columns; text as it is, numbers by repr."""
    rows = zip(*(column.tolist() for column in table.values()), strict=True)
    lines = [",".join(table), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
