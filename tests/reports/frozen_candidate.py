"""A small candidate, a policy of a few gates and the freeze of the two, without a market or a git repository."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from engines.candidate import Candidate, load_candidate
from reports.criteria.codetree import CodeTree
from reports.criteria.freeze import Freeze, Places, build_freeze, parse_freeze
from reports.record.durable import dump_json, write_new
from reports.record.workspace import Workspace

TAG: Final = "frozen-1"
CODE: Final = CodeTree("git:" + "1" * 40, "2" * 64, "3" * 64, ())
NO_HISTORY: Final[dict[str, Any]] = {
    "registry_seq": 0,
    "family_tags": [],
    "supersedes": None,
    "root_cause": None,
    "superseded_ended": None,
    "must_differ": False,
    "differs_in": [],
}
POLICY: Final = """\
schema = 1

[[gate]]
key = "s3.edge"
test = "s3/test_edge.py::test_edge"
cells = "-"
thresholds = [{ id = "s3.edge", relation = ">", bound = 3.0, preregistered_bound = 2.0, unit = "t" }]

[[gate]]
key = "s3.shard_t"
test = "s3/test_edge.py::test_shard"
cells = "shard x cost"
thresholds = [{ id = "s3.shard_t", relation = ">=", bound = -1.65, unit = "t" }]

[[gate]]
key = "s3.costs"
test = "s3/test_edge.py::test_costs"
cells = "cost"
level = "diagnostic"
thresholds = [{ id = "s3.costs", relation = ">=", bound = 2.0, unit = "x" }]

[[gate]]
key = "s3.size"
test = "s3/test_edge.py::test_size"
cells = "-"
needs = "market_cap"
thresholds = [{ id = "s3.size", relation = "<=", bound = 0.3, unit = "rank correlation" }]

[[gate]]
key = "s3.grid"
test = "s3/test_edge.py::test_grid"
cells = "-"
min_variants = 3
thresholds = [{ id = "s3.grid", relation = "<=", bound = 0.5, unit = "share" }]
"""
CANDIDATE: Final = """\
schema = 1
name = "frozen"
family = "frozen"
hypothesis = "Winners of the past year keep winning."
universe_constraints = "The names of the file"
protocol_version = "1"
preregistered = true

[data]
path = "prices.csv"
as_of = 2018-02-07
[data.reference]
sector = "sectors.csv"
[data.absent]
market_cap = "no point-in-time source for this market"

[signal]
function = "momentum"
parameters = { lookback_days = 252, skip_days = 21 }

[universe]
min_price = 5.0

[portfolio]
long_fraction = 0.2
short_fraction = 0.2
weighting = "equal"
horizon_days = 21
rebalance_days = 21
execution_delay_days = 1
execution_price = "open"
target_aum = 1e7

[costs]
half_spread_bps = 5.0
fee_bps = 1.0
impact_coefficient = 0.8
borrow_bps_per_year = 50.0
source = "broker schedule"

[walk_forward]
train_days = 504
test_days = 126
embargo_days = 21
shards = 2
cost_multipliers = [1.0, 1.5, 2.0]
holdout_days = 126
"""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A candidate and where it stands. `repository` holds gates/policy.toml, the workspace the candidate's files."""

    places: Places
    candidate_path: Path

    @property
    def candidate(self) -> Candidate:
        return load_candidate(self.candidate_path)

    @property
    def policy_path(self) -> Path:
        return self.places.repository / "gates" / "policy.toml"

    def record(self, code: CodeTree = CODE, **changes: Any) -> dict[str, Any]:
        """A new freeze of everything as it lies."""
        arguments: dict[str, Any] = {
            "tag": TAG,
            "owner": "olga",
            "created_utc": "2026-11-23T17:05:09Z",
            "places": self.places,
            "code": code,
            "packages_sha256": "4" * 64,
            "history": NO_HISTORY,
        }
        return build_freeze(self.candidate, self.candidate_path, **{**arguments, **changes})

    def freeze(self, **changes: Any) -> Freeze:
        """The same, read back."""
        return parse_freeze(dump_json(self.record(**changes)), "the freeze")

    def again(self) -> Frozen:
        """The same with settings read anew."""
        return replace(self, places=Places(Workspace(self.places.workspace.root), self.places.repository))


def lay_out(root: Path) -> Frozen:
    """Write the candidate, its files and the policy below `root`."""
    workspace, repository = root / "workspace", root / "repository"
    files = {
        workspace / "c" / "candidate.toml": CANDIDATE,
        workspace / "c" / "prices.csv": "date,symbol,open,high,low,close,volume\n2018-02-07,A,1,1,1,1,1\n",
        workspace / "c" / "sectors.csv": "symbol,sector\nA,Energy\n",
        repository / "gates" / "policy.toml": POLICY,
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, text.encode())
    return Frozen(Places(Workspace(workspace), repository), workspace / "c" / "candidate.toml")
