"""A throw-away repository whose gates are tiny, driven by the real supervisor: where false passes are attempted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from fixtures.market import MarketSpec, make_market
from tests.end_to_end.desk import Desk, commit, copy_repository, found_committee, new_desk, rewrite
from tests.end_to_end.warm import WarmInterpreter

TAG: Final = "attempt-1"
WINNING, LOSING = "EDGE = 0.5", "EDGE = -0.5"

Outcome = Literal["PASS", "FAIL", "INCOMPLETE", "REFUSED", "KILLED", "BROKEN", "NOTHING"]
OUTCOMES: Final[dict[int, Outcome]] = {0: "PASS", 1: "FAIL", 2: "INCOMPLETE", 4: "REFUSED"}

TINY_MARKET: Final = MarketSpec(
    seed=3, n_days=420, n_names=60, drift_vol_per_year=1.2, late_listing_fraction=0.0, delisting_fraction=0.1
)
LAST_DATE: Final = "2015-08-12"

SCOPE_GATES: Final = f'''"""Tiny gates: one that decides, one in six cells, one with two conditions."""

{WINNING}


def test_edge(evidence):
    """The edge is positive."""
    assert evidence("s0.edge", EDGE, n_obs=9)


def test_no_shard_loses(shard, cost_multiplier, evidence):
    """Every cell comes back."""
    assert evidence("s0.shard_net_t", 1.0 / cost_multiplier, n_obs=9)


def test_level_and_share(evidence):
    """Both conditions hold."""
    level = evidence("s0.both.level", 0.3, n_obs=9)
    share = evidence("s0.both.share", 0.7, n_obs=9)
    assert level
    assert share
'''
BASELINE_GATE: Final = '''"""The one gate here whose figure follows from the stored returns."""


def test_baseline_ic_is_positive(baseline, evidence):
    """Mean daily rank IC."""
    assert evidence("s1.ic_mean", baseline.ic.mean(), n_obs=baseline.ic.size)
'''
LOOKAHEAD_GATE: Final = '''"""The real check for look-ahead, at fewer dates."""

from engines.lookahead import truncation_difference


def test_no_lookahead(study, seed, evidence):
    """The past looks the same without the future."""
    found = truncation_difference(study, seed=seed, n_cuts=3)
    assert evidence("s1.no_lookahead", found.largest, n_obs=found.n_cuts)
'''
LATER_GATE: Final = '''"""A gate that passes."""


def test_it_holds(evidence):
    """It holds."""
    assert evidence("{stage}.holds", 1.0, n_obs=1)
'''
SIGN_OFF_GATE: Final = '''"""The real sign-off gate."""


def test_the_committee_has_signed(sign_off, evidence):
    """The quorum has signed."""
    assert evidence("s4.sign_off", len(sign_off.valid) - sign_off.required, n_obs=len(sign_off.valid))
'''


def _row(key: str, test: str, thresholds: tuple[tuple[str, str, float], ...], cells: str = "-") -> str:
    lines = "".join(
        f'    {{ id = "{name}", relation = "{relation}", bound = {bound}, unit = "units" }},\n'
        for name, relation, bound in thresholds
    )
    return f'[[gate]]\nkey = "{key}"\ntest = "{test}"\ncells = "{cells}"\nthresholds = [\n{lines}]\n\n'


POLICY: Final = "schema = 1\n\n" + "".join(
    (
        _row("s0.edge", "s0/test_tiny.py::test_edge", (("s0.edge", ">", 0.0),)),
        _row(
            "s0.shard_net_t", "s0/test_tiny.py::test_no_shard_loses", (("s0.shard_net_t", ">=", -1.65),), "shard x cost"
        ),
        _row(
            "s0.both",
            "s0/test_tiny.py::test_level_and_share",
            (("s0.both.level", ">", 0.0), ("s0.both.share", ">=", 0.6)),
        ),
        _row("s1.ic_mean", "s1/test_baseline.py::test_baseline_ic_is_positive", (("s1.ic_mean", ">", 0.0),)),
        _row("s1.no_lookahead", "s1/test_lookahead.py::test_no_lookahead", (("s1.no_lookahead", "<=", 1e-12),)),
        _row("s2.holds", "s2/test_later.py::test_it_holds", (("s2.holds", ">", 0.0),)),
        _row("s3.holds", "s3/test_later.py::test_it_holds", (("s3.holds", ">", 0.0),)),
        _row("s4.sign_off", "s4/test_deployment.py::test_the_committee_has_signed", (("s4.sign_off", ">=", 0.0),)),
    )
)


def tiny_repository(folder: Path) -> Path:
    """A committed copy of the repository with the tiny gates in place of ours; its candidate wins."""
    copy_repository(folder)
    gates = folder / "gates"
    for path in gates.glob("s?/test_*.py"):
        path.unlink()
    for name, text in (
        ("policy.toml", POLICY),
        ("s0/test_tiny.py", SCOPE_GATES),
        ("s1/test_baseline.py", BASELINE_GATE),
        ("s1/test_lookahead.py", LOOKAHEAD_GATE),
        ("s2/test_later.py", LATER_GATE.format(stage="s2")),
        ("s3/test_later.py", LATER_GATE.format(stage="s3")),
        ("s4/test_deployment.py", SIGN_OFF_GATE),
    ):
        (gates / name).write_text(text, encoding="utf-8")
    commit(folder, "Tiny gates")
    return folder


def tiny_desk(folder: Path, repository: Path) -> Desk:
    """A fresh desk on a tiny market, with a committee."""
    market = folder.parent / "tiny-market"
    if not market.exists():
        make_market(TINY_MARKET).write(market)
    desk = new_desk(folder, repository, market)
    for old, new in (("as_of = 2016-09-07", f"as_of = {LAST_DATE}"), ("[portfolio]", "min_names = 30\n\n[portfolio]")):
        rewrite(desk.candidate, old, new)
    found_committee(desk)
    return desk


@dataclass(frozen=True, slots=True)
class Ground:
    """Where one attempt is made: a repository and a desk of its own, both free to be spoiled."""

    desk: Desk
    warm: WarmInterpreter
    workers: str

    @property
    def repository(self) -> Path:
        return self.desk.repository

    @property
    def gate(self) -> Path:
        return self.repository / "gates" / "s0" / "test_tiny.py"

    def lose(self) -> None:
        """Make the candidate lose, as it truthfully would: an honest run ends in FAIL."""
        rewrite(self.gate, WINNING, LOSING)

    def commit(self) -> None:
        commit(self.repository, "Attempt")

    def run(self, stage: str, *options: str, variables: dict[str, str] | None = None) -> int:
        """Exit status of a stage."""
        if not self.desk.packet(TAG, stage).exists():
            self.desk.write_packet(TAG, stage)
        arguments = (*self.desk.stage_arguments(TAG, stage), "-n", self.workers, *options)
        return self.warm.pytest(self.desk, *arguments, variables=variables).status


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a pass that is not deserved, or an honest control.

    prepare: spoils the ground, before the run of `stage`, whose passes count. base: the last stage that the desk has honestly passed before, or "".
    allowed: how the run may end; an honest control must end as PASS. run: what is run in place of the one stage; a refusal that follows a run
    of its own cannot be told from one that wrote something, which the plain attempts hold.
    """

    name: str
    prepare: Callable[[Ground], object]
    stage: str = "s0"
    base: str = ""
    options: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    allowed: tuple[Outcome, ...] = ("FAIL", "INCOMPLETE", "REFUSED")
    run: Callable[[Ground], int] | None = None


class Campground:
    """Builds the bases once and gives each attempt a copy."""

    def __init__(self, root: Path, workers: str) -> None:
        self.root = root
        self.workers = workers
        self.warm = WarmInterpreter()
        self.repository = tiny_repository(root / "repository")
        self._bases = {"": tiny_desk(root / "base", self.repository)}

    def base(self, stage: str) -> Desk:
        """A desk that has honestly passed everything up to `stage`."""
        if stage not in self._bases:
            before = "" if stage == "s0" else f"s{int(stage[1]) - 1}"
            desk = self.base(before).elsewhere(self.root / f"base-{stage}")
            shutil.copytree(self.root / "base" / "keys", self.root / f"base-{stage}" / "keys")
            ended = self.warm.stage(desk, TAG, stage)
            assert ended.status == 0, ended.output
            self._bases[stage] = desk
        return self._bases[stage]

    def make(self, attempt: Attempt) -> Outcome:
        """Make one attempt and say how it ended; a refusal that wrote something, or a pass in the record, is told apart."""
        folder = self.root / "attempt"
        shutil.copytree(self.repository, folder / "repository", symlinks=True)
        desk = replace(self.base(attempt.base).elsewhere(folder), repository=folder / "repository")
        shutil.copytree(self.root / "base" / "keys", folder / "keys")
        ground = Ground(desk, self.warm, self.workers)
        try:
            attempt.prepare(ground)
            desk.write_packet(TAG, attempt.stage)
            before, passes = desk.listing(), passed_rows(desk, attempt.stage)
            if attempt.run is not None:
                status = attempt.run(ground)
            else:
                status = ground.run(attempt.stage, *attempt.options, variables=attempt.variables)
            wrote = desk.listing() != before
            return ended_as(
                desk,
                status,
                passed_rows(desk, attempt.stage) > passes,
                wrote=wrote,
                unchanged=attempt.run is not None or not wrote,
            )
        finally:
            shutil.rmtree(folder)

    def close(self) -> None:
        self.warm.close()


def ended_as(desk: Desk, status: int, passed: bool, *, wrote: bool, unchanged: bool) -> Outcome:
    """How a run ended, told from its exit status only where the record agrees; NOTHING: exit status 0, and not a byte was written."""
    outcome = "KILLED" if status < 0 else OUTCOMES.get(status, "BROKEN")
    if passed:
        return "PASS"
    if status == 0 and not wrote:
        return "NOTHING"
    if (outcome == "REFUSED" and not unchanged) or (outcome == "FAIL" and not last_row(desk).count(b",FAIL,")):
        return "BROKEN"
    return outcome


def last_row(desk: Desk) -> bytes:
    """The registry's last line."""
    return (desk.workspace / "gate_results" / "gate_registry.csv").read_bytes().splitlines()[-1]


def passed_rows(desk: Desk, stage: str) -> int:
    """How many finished runs of a stage the registry calls passed, however damaged it is."""
    path = desk.workspace / "gate_results" / "gate_registry.csv"
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return sum(f",FINISHED,{stage},".encode() in line and b",PASS," in line for line in lines)
