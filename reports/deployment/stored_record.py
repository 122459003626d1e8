"""What a passed s3 left of its out-of-sample record, read back from its verified pack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engines.digest import sha256_file
from engines.walk_forward import OutOfSample
from reports.criteria.freeze import Freeze, parse_freeze
from reports.pack.stored_returns import read_out_of_sample
from reports.record.chain import Row
from reports.record.durable import read_regular
from reports.record.errors import RecordError
from reports.record.workspace import Workspace
from reports.verification.pack_check import verify_pack

VERIFY: Final = "run `stagegate verify`; restore the pack from a backup"


def pack_of(workspace: Workspace, row: Row) -> Path:
    """The folder of the pack that a FINISHED row names."""
    return (workspace.root / row["report"]).parent


def stored_series(workspace: Workspace, s3: Row) -> tuple[OutOfSample, Freeze]:
    """The out-of-sample series and the freeze in the verified pack of an s3 row. RecordError when the pack does not hold."""
    demand_whole(workspace, s3)
    folder = pack_of(workspace, s3)
    frozen = folder / "freeze.json"
    if f"sha256:{sha256_file(frozen)}" != s3["freeze_sha256"]:
        raise RecordError(
            "the pack's freeze is not the one of its row", where=workspace.relative(frozen), remedy=VERIFY
        )
    freeze = parse_freeze(read_regular(frozen), workspace.relative(frozen))
    config: Mapping[str, Any] = freeze.record["candidate"]["config"]
    return read_out_of_sample(folder / "returns.csv", folder / "windows.csv", config), freeze


def demand_whole(workspace: Workspace, row: Row) -> None:
    """RecordError when the pack of a FINISHED row is not whole or not the one that the row was written for."""
    faults = verify_pack(workspace, row)
    if faults:
        raise RecordError(faults[0], where=row["report"], remedy=VERIFY)
