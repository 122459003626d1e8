"""What runs already: the last promoted candidate of the family, and the desk's live book; is the new one worth having beside them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.digest import sha256_file
from engines.errors import StageGateError
from engines.rivalry import Rivalry, rivalry
from engines.walk_forward import OutOfSample
from reports.criteria.freeze import Freeze, Places
from reports.criteria.live_book import read_live_book
from reports.deployment.live import demand_scale
from reports.deployment.stored_record import demand_whole, stored_series
from reports.record.chain import Row
from reports.record.errors import RecordError
from reports.record.registry import Registry, official_pass, revocation


@dataclass(frozen=True, slots=True)
class Champions:
    """What the candidate was compared with.

    rivals: (name, comparison) of each. faults: what should have been compared and could not be. absent: what there is none of, in words.
    """

    rivals: tuple[tuple[str, Rivalry], ...]
    faults: tuple[str, ...]
    absent: tuple[str, ...]

    @property
    def allowance(self) -> float:
        """The largest `Rivalry.allowance` of any rival; 0 when there is none."""
        return max((found.allowance for _, found in self.rivals), default=0.0)

    @property
    def n_days(self) -> int:
        """Common days of the rival that decides; 0 when there is none."""
        deciding = max(self.rivals, key=lambda rival: rival[1].allowance, default=None)
        return 0 if deciding is None else deciding[1].n_days

    @property
    def note(self) -> str:
        """Everything that was compared, and what there is none of, in one line."""
        return "; ".join((*(f"{name}: {found.describe()}" for name, found in self.rivals), *self.absent))


def champions(places: Places, freeze: Freeze, series: OutOfSample) -> Champions:
    """Compare the candidate's out-of-sample series with what ran at the registry position that its freeze recorded. Never raises for what it finds."""
    rivals, faults, absent = [], [], []
    for name, compare in (("champion", _against_champion), ("live book", _against_live_book)):
        try:
            found = compare(places, freeze, series)
        except StageGateError as error:
            faults.append(f"{name}: {error.what}{f' [{error.where}]' if error.where else ''}")
            continue
        if isinstance(found, str):
            absent.append(found)
        else:
            rivals.append(found)
    return Champions(tuple(rivals), tuple(faults), tuple(absent))


def champion_row(rows: Sequence[Row], family: str, tag: str) -> Row | None:
    """The last official PASS of s4 in the family, of another tag, that nobody revoked; None when there is none."""
    return next(
        (
            row
            for row in reversed(rows)
            if (row["stage"], row["event"], row["official"], row["verdict"]) == ("s4", "FINISHED", "true", "PASS")
            and row["family"] == family
            and row["decision_tag"] != tag
            and revocation(rows, row["decision_tag"]) is None
        ),
        None,
    )


def _against_champion(places: Places, freeze: Freeze, series: OutOfSample) -> tuple[str, Rivalry] | str:
    position = int(freeze.record["history"]["registry_seq"])
    rows = Registry(places.workspace.root).rows()[:position]
    family = freeze.record["candidate"]["config"]["family"]
    promoted = champion_row(rows, family, freeze.tag)
    if promoted is None:
        return f"no champion: nothing of family {family} is promoted as of registry row {position}"
    tag = promoted["decision_tag"]
    produced = official_pass(rows, tag, "s3")
    if produced is None:
        raise RecordError(f"{tag} is promoted without an official PASS of s3", where=f"registry row {promoted.seq}")
    demand_whole(places.workspace, promoted)
    theirs, _ = stored_series(places.workspace, produced)
    ours = series.judged_returns(1.0)
    return f"champion {tag}", rivalry(series.dates, ours, theirs.dates, theirs.judged_returns(1.0))


def _against_live_book(places: Places, freeze: Freeze, series: OutOfSample) -> tuple[str, Rivalry] | str:
    declared = freeze.record.get("live_book")
    if declared is None:
        return "no live book is declared"
    path = places.find(declared["path"])
    if not path.is_file() or sha256_file(path) != declared["sha256"]:
        raise RecordError("the live book is not the one that was frozen", where=declared["path"])
    book, net = read_live_book(path), series.net_returns(1.0)
    demand_scale("the live book's return", book.returns, net, path)
    return "live book", rivalry(series.dates, net, book.dates, book.returns)
