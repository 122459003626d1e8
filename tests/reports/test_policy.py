"""The policy table: read strictly, and spread over the same cells in the same order wherever it is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.criteria.policy import (
    POLICY_FILE,
    cell_parameters,
    expected_cells,
    load_policy,
    loosened,
    parameter_id,
    shard_names,
)
from reports.record.errors import RecordError
from tests.reports.frozen_candidate import POLICY, Frozen, lay_out


@pytest.fixture
def frozen(tmp_path) -> Frozen:
    return lay_out(tmp_path)


def cells_of(frozen: Frozen):
    return expected_cells(load_policy(frozen.policy_path), frozen.candidate, first_trial=False)


def test_the_repositorys_own_policy_is_read(pytestconfig):
    policy = load_policy(pytestconfig.rootpath / POLICY_FILE)
    assert {row.stage for row in policy.gate} == {"s0", "s1", "s2", "s3", "s4"}


def test_cells_are_spread_shards_outermost(frozen):
    nodes = [cell.node.partition("::")[2] for cell in cells_of(frozen)]
    assert nodes == [
        "test_edge",
        *(f"test_shard[wf-{shard}-x{cost}]" for shard in (1, 2) for cost in ("1", "1.5", "2")),
        *(f"test_costs[x{cost}]" for cost in ("1", "1.5", "2")),
        "test_size",
    ]


def test_a_cell_whose_input_was_declared_absent_says_why(frozen):
    (size,) = [cell for cell in cells_of(frozen) if cell.gate == "s3.size"]
    assert size.absent == "no point-in-time source for this market"


def test_a_cell_survives_the_freeze(frozen):
    for cell in cells_of(frozen):
        assert type(cell).from_json(cell.to_json()) == cell


BROKEN = {
    "no toml": "schema = = 1",
    "an unknown key": POLICY.replace('unit = "t" }]', 'unit = "t", strict = true }]', 1),
    "an unknown relation": POLICY.replace('relation = ">"', 'relation = "~"', 1),
    "an unknown shape": POLICY.replace('cells = "-"', 'cells = "window"', 1),
    "an unknown level": POLICY.replace('level = "diagnostic"', 'level = "soft"'),
    "a bound that is none": POLICY.replace("bound = 3.0", "bound = nan"),
    "a bound as text": POLICY.replace("bound = 3.0", 'bound = "3.0"'),
    "a scale of zero": POLICY.replace("bound = 3.0", "bound = 3.0, scale = 0.0"),
    "no thresholds": POLICY.replace('thresholds = [{ id = "s3.size", relation = "<=", bound = 0.3, unit = "rank correlation" }]', "thresholds = []"),
    "a threshold of another gate": POLICY.replace('id = "s3.size"', 'id = "s3.edge"'),
    "the same gate twice": POLICY.replace('key = "s3.size"', 'key = "s3.edge"').replace('id = "s3.size"', 'id = "s3.edge.b"'),
    "the same test twice": POLICY.replace("::test_size", "::test_edge"),
    "a gate of no stage": POLICY.replace('key = "s3.size"', 'key = "s9.size"'),
    "another schema": POLICY.replace("schema = 1", "schema = 2"),
    "no gate": "schema = 1\ngate = []\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_malformed_table_is_a_record_error(frozen, name):
    assert BROKEN[name] != POLICY
    frozen.policy_path.write_text(BROKEN[name])
    with pytest.raises(RecordError, match="policy"):
        load_policy(frozen.policy_path)


def test_no_table_is_a_record_error(tmp_path):
    with pytest.raises(RecordError, match="cannot be read"):
        load_policy(tmp_path / "policy.toml")


def test_loosening_is_told_from_tightening(frozen):
    policy = load_policy(frozen.policy_path)
    assert loosened(policy, {"s3.shard_t": -1.65, "s3.edge": 3.5, "s3.size": 0.1}, first_trial=False) == ()
    faults = loosened(
        policy, {"s3.shard_t": -1.66, "s3.edge": 2.5, "s3.size": 0.31, "s3.nothing": 1.0}, first_trial=False
    )
    assert [fault.split()[0] for fault in faults] == ["s3.shard_t", "s3.edge", "s3.size", "s3.nothing"]
    assert loosened(policy, {"s3.edge": 2.5}, first_trial=True) == ()


@given(
    shape=st.sampled_from(["-", "shard", "cost", "shard x cost"]),
    shards=st.integers(1, 6),
    costs=st.lists(st.sampled_from([1.0, 1.25, 1.5, 2.0, 3.0]), min_size=1, unique=True),
)
def test_every_cell_has_a_name_of_its_own(shape, shards, costs):
    pairs = cell_parameters(shape, shard_names(shards), costs)
    names = [parameter_id(*pair) for pair in pairs]
    assert len(set(names)) == len(names) == (shards if "shard" in shape else 1) * (len(costs) if "cost" in shape else 1)
