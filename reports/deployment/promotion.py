"""A promoted tag, read from the record and checked: what it earned out of sample, what is watched of it, what takes it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.monitoring import Reference, out_of_sample_book
from engines.statistics import sharpe_ratio
from engines.walk_forward import OutOfSample
from reports.criteria.freeze import Freeze
from reports.deployment.readiness import Watchlist, read_triggers, read_watchlist
from reports.deployment.stored_record import VERIFY, demand_whole, pack_of, stored_series
from reports.deployment.triggers import Trigger
from reports.record.anchor import witnesses
from reports.record.chain import Row
from reports.record.durable import load_json, read_regular
from reports.record.errors import RecordError, RequestRefused
from reports.record.registry import Registry, contradict, official_pass, revocation
from reports.record.workspace import Workspace, check_tag

STATUS: Final = "see `stagegate status`"


@dataclass(frozen=True, slots=True)
class Promotion:
    """A tag with an official PASS of s4 that nobody revoked, and what its two packs hold."""

    tag: str
    s3: Row
    s4: Row
    freeze: Freeze
    series: OutOfSample
    watchlist: Watchlist
    triggers: tuple[Trigger, ...]

    @property
    def reference(self) -> Reference:
        """What a live book of this tag is held against."""
        return Reference(out_of_sample_book(self.series), self.series.horizon_days, self.freeze.seed)


def verified_rows(workspace: Workspace) -> tuple[Row, ...]:
    """Every row of the registry. RecordError when the chain does not hold or a witness remembers a head that it lacks."""
    rows = Registry(workspace.root).rows()
    contradict(witnesses(workspace), rows, workspace.registry, claiming=False)
    return rows


def promotion_of(workspace: Workspace, rows: Sequence[Row], tag: str) -> Promotion:
    """The promotion of a tag. RequestRefused when it is not promoted, RecordError when its packs or their figures do not hold."""
    check_tag(tag)
    passed = {stage: official_pass(rows, tag, stage) for stage in ("s3", "s4")}
    for stage, row in passed.items():
        if row is None:
            raise RequestRefused(
                f"tag {tag} has no official PASS of {stage}: nothing of it is deployed",
                where="registry",
                remedy=STATUS,
            )
    s3, s4 = passed["s3"], passed["s4"]
    assert s3 is not None
    assert s4 is not None
    revoked = revocation(rows, tag)
    if revoked is not None:
        raise RequestRefused(
            f"tag {tag} was revoked in registry row {revoked.seq}: {revoked['detail']}",
            where="registry",
            remedy="take its book down; what follows it needs a promotion of its own",
        )
    series, freeze = stored_series(workspace, s3)
    demand_whole(workspace, s4)
    folder = pack_of(workspace, s4)
    triggers, faults = read_triggers(folder)
    watchlist = read_watchlist(folder)
    if faults or watchlist.faults:
        raise RecordError((*faults, *watchlist.faults)[0], where=workspace.relative(folder), remedy=VERIFY)
    _demand_same_figures(workspace, s3, series)
    return Promotion(tag, s3, s4, freeze, series, watchlist, triggers)


def _demand_same_figures(workspace: Workspace, s3: Row, series: OutOfSample) -> None:
    """RecordError when the functions of this code do not give, on the stored returns, what s3 recorded: they would not be the ones it was judged by."""
    recorded = _recorded_net_sharpe(load_json(read_regular(workspace.root / s3["report"]), s3["report"]))
    found = sharpe_ratio(series.judged_returns(1.0), periods_per_year=TRADING_DAYS_PER_YEAR)
    if recorded is None or not np.isclose(recorded, found, rtol=1e-12, atol=0.0):
        raise RecordError(
            f"this code measures a net Sharpe ratio of {found!r} on the stored returns, s3 recorded {recorded!r}",
            where=s3["report"],
            remedy="monitor with the code that the tag was promoted under: the freeze names its commit",
        )


def _recorded_net_sharpe(report: Mapping[str, Any]) -> float | None:
    """What an s3 report measured as the net Sharpe ratio at multiplier 1; None when it holds no such figure."""
    cells = report["gates"].get("s3.net_sharpe", {}).get("cells", ())
    measured = [
        entry["measured"]
        for cell in cells
        if cell["id"] == "x1"
        for entry in cell["evidence"]
        if entry["threshold"] == "s3.net_sharpe.level"
    ]
    return float(measured[0]) if measured and measured[0] is not None else None
