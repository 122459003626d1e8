"""candidate.toml: the format is read to the letter, and every fault is named with its key, what was found and what to write."""

from __future__ import annotations

import json
import os
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.candidate import Candidate, load_candidate
from engines.digest import sha256_json
from engines.errors import CandidateError

COMPLETE = """\
schema = 1
name = "momentum-12-1"
family = "momentum"
hypothesis = "Winners of the past year keep winning over the next month."
universe_constraints = "S&P 500 members of the day, price >= 5 USD"
protocol_version = "1"
preregistered = true

[data]
path = "prices.parquet"
as_of = 2018-02-07
columns = { symbol = "Name" }
[data.reference]
sector = "sectors.csv"
market_cap = { path = "caps.parquet", columns = { date = "snapshot_date", symbol = "Symbol", market_cap = "Market Cap" } }
[data.absent]
membership = "no point-in-time source for this market"

[signal]
function = "momentum"
parameters = { lookback_days = 252, skip_days = 21 }
grid = { lookback_days = [126, 189, 252], skip_days = [21, 5] }

[universe]
min_price = 5.0
min_dollar_volume = 1e6

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
source = "broker schedule 2025"

[walk_forward]
train_days = 504
test_days = 126
embargo_days = 21
shards = 4
cost_multipliers = [1.0, 1.5, 2.0]
holdout_days = 126

[policy]
"s2.wf_positive_ratio" = 0.75
"""


def load(folder: Path, text: str | bytes = COMPLETE) -> Candidate:
    path = folder / "candidate.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_candidate(path)


def refused(folder: Path, text: str | bytes) -> CandidateError:
    with pytest.raises(CandidateError) as refusal:
        load(folder, text)
    assert refusal.value.where.endswith("candidate.toml")
    assert refusal.value.remedy
    return refusal.value


def test_the_documented_candidate_is_read(tmp_path: Path) -> None:
    candidate = load(tmp_path)
    assert candidate.data.as_of == date(2018, 2, 7)
    assert candidate.data_path == tmp_path / "prices.parquet"
    assert candidate.reference_path("sector") == tmp_path / "sectors.csv"
    assert candidate.data.reference["market_cap"].columns["market_cap"] == "Market Cap"
    assert candidate.data.file_columns == {
        "date": "date",
        "symbol": "Name",
        "open": "open",
        "high": "high",
        "low": "low",
        "close": "close",
        "volume": "volume",
    }
    assert candidate.policy == {"s2.wf_positive_ratio": 0.75}
    assert candidate.signal_file is None
    assert not candidate.portfolio.is_long_only


def test_what_is_left_out_has_its_default_in_the_configuration(tmp_path: Path) -> None:
    config = load(tmp_path).config()
    assert config["universe"] == {
        "min_price": 5.0,
        "min_dollar_volume": 1e6,
        "min_market_cap": 0.0,
        "min_history_days": 0,
        "min_names": 50,
    }
    assert config["signal"]["winsorise"] == 0.0
    assert config["signal"]["standardise"] == "none"
    assert config["signal"]["neutralise"] == []
    assert list(config) == [
        "schema",
        "name",
        "family",
        "hypothesis",
        "universe_constraints",
        "protocol_version",
        "preregistered",
        "data",
        "signal",
        "universe",
        "portfolio",
        "costs",
        "walk_forward",
        "policy",
    ]


def test_optional_tables_may_be_left_out(tmp_path: Path) -> None:
    text = re.sub(r"\[(data\.reference|data\.absent|universe|policy)\]\n(?:[^\[\n].*\n)*", "", COMPLETE)
    text = re.sub(r"grid = .*\n", "", text)
    candidate = load(tmp_path, text)
    assert candidate.universe.min_names == 50
    assert candidate.data.reference == candidate.data.absent == candidate.policy == {}
    assert [variant.label for variant in candidate.variants()] == ["lookback_days=252,skip_days=21"]


def test_the_configuration_holds_no_path_of_this_machine(tmp_path: Path) -> None:
    assert str(tmp_path) not in json.dumps(load(tmp_path).config())


def test_a_candidate_survives_its_freeze(tmp_path: Path) -> None:
    candidate = load(tmp_path)
    thawed = Candidate.from_config(json.loads(json.dumps(candidate.config())), candidate.base_dir)
    assert thawed.config() == candidate.config()
    assert list(thawed.signal.grid) == list(candidate.signal.grid)
    assert thawed.variants() == candidate.variants()
    assert thawed.data_path == candidate.data_path


def test_a_candidate_cannot_be_changed(tmp_path: Path) -> None:
    candidate = load(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        candidate.portfolio.horizon_days = 5  # type: ignore[misc]


def test_variants_are_the_declared_point_and_then_the_grid_in_the_order_of_the_file(tmp_path: Path) -> None:
    labels = [variant.label for variant in load(tmp_path).variants()]
    assert labels == [
        "lookback_days=252,skip_days=21",
        "lookback_days=126,skip_days=21",
        "lookback_days=126,skip_days=5",
        "lookback_days=189,skip_days=21",
        "lookback_days=189,skip_days=5",
        "lookback_days=252,skip_days=5",
    ]


@given(
    lookbacks=st.lists(st.integers(1, 500), min_size=1, max_size=6, unique=True),
    skips=st.lists(st.integers(0, 50), min_size=1, max_size=4, unique=True),
)
def test_variants_cover_the_grid_without_repetition(lookbacks: list[int], skips: list[int]) -> None:
    config = _config(grid={"lookback_days": lookbacks, "skip_days": skips})
    variants = Candidate.from_config(config, Path()).variants()
    points = [tuple(variant.parameters.values()) for variant in variants]
    assert points[0] == (252, 21)
    assert set(points) == {(lookback, skip) for lookback in lookbacks for skip in skips} | {(252, 21)}
    assert len(points) == len(set(points)) == len({variant.label for variant in variants})


def _config(**signal: Any) -> dict[str, Any]:
    from tests.engines.price_files import CONFIG

    return {**CONFIG, "signal": {**CONFIG["signal"], **signal}}


@pytest.mark.parametrize(("horizon", "delay", "embargo", "gap"), [(21, 1, 21, 22), (21, 1, 30, 30), (5, 3, 0, 8)])
def test_the_gap_covers_horizon_and_delay_or_the_embargo(
    tmp_path: Path, horizon: int, delay: int, embargo: int, gap: int
) -> None:
    text = COMPLETE.replace("horizon_days = 21", f"horizon_days = {horizon}")
    text = text.replace("delay_days = 1", f"delay_days = {delay}").replace(
        "embargo_days = 21", f"embargo_days = {embargo}"
    )
    candidate = load(tmp_path, text)
    assert candidate.walk_forward.gap_days(candidate.portfolio) == gap


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("fee_bps = 1.0", "fee_bp = 1.0", "costs.fee_bp is no known key; did you mean 'fee_bps'?"),
        ("fee_bps = 1.0\n", "", "costs.fee_bps is missing"),
        ("[costs]", "[cost]", "cost is no known key; did you mean 'costs'?"),
        ("[policy]", "[polices]", "polices is no known key; did you mean 'policy'?"),
        ("schema = 1", "schema = 2", "schema is 2, expected less than or equal to 1"),
        (
            "long_fraction = 0.2",
            "long_fraction = 20",
            "portfolio.long_fraction is 20, expected less than or equal to 0.5",
        ),
        ("long_fraction = 0.2", "long_fraction = 0.0", "portfolio.long_fraction is 0.0, expected greater than 0"),
        ("short_fraction = 0.2", "short_fraction = -0.1", "portfolio.short_fraction is -0.1"),
        (
            'weighting = "equal"',
            'weighting = "equl"',
            "portfolio.weighting is 'equl', expected 'equal', 'rank' or 'signal'",
        ),
        ("horizon_days = 21", "horizon_days = 21.0", "portfolio.horizon_days is 21.0, expected a valid integer"),
        ("horizon_days = 21", 'horizon_days = "21"', "portfolio.horizon_days is '21', expected a valid integer"),
        ("horizon_days = 21", "horizon_days = true", "portfolio.horizon_days is True, expected a valid integer"),
        ("horizon_days = 21", "horizon_days = 9999999999999", "portfolio.horizon_days is 9999999999999, expected less"),
        (
            "delay_days = 1",
            "delay_days = 0",
            "portfolio.execution_delay_days is 0, expected greater than or equal to 1",
        ),
        ("target_aum = 1e7", "target_aum = nan", "portfolio.target_aum is nan, expected a finite number"),
        ("target_aum = 1e7", "target_aum = inf", "portfolio.target_aum is inf"),
        ("half_spread_bps = 5.0", "half_spread_bps = -5.0", "costs.half_spread_bps is -5.0"),
        ("as_of = 2018-02-07", 'as_of = "yesterday"', "data.as_of is 'yesterday', expected a valid date"),
        ("as_of = 2018-02-07", "as_of = 2018-02-07T00:00:00", "data.as_of is datetime"),
        ("preregistered = true", 'preregistered = "yes"', "preregistered is 'yes'"),
        ('name = "momentum-12-1"', 'name = " "', "name must not be empty"),
        ('name = "momentum-12-1"', 'name = "a\\nb"', "name must be one line"),
        ('path = "prices.parquet"', 'path = "a\\u0000b"', "data.path must be one line"),
        ('symbol = "Name"', 'symbl = "Name"', "data.columns.symbl is no known key; did you mean 'symbol'?"),
        ('symbol = "Name"', 'symbol = "close"', "symbol and close are both read from the file's column 'close'"),
        (
            'date = "snapshot_date"',
            'dat = "snapshot_date"',
            "reference.market_cap.columns has no column 'dat'; did you mean 'date'?",
        ),
        ("sector = ", "secotr = ", "data.reference.secotr is no known key; did you mean 'sector'?"),
        ("membership = ", "sector = ", "sector is declared both in reference and in absent"),
        (
            'membership = "no point-in-time source for this market"',
            'membership = ""',
            "data.absent.membership must not be empty",
        ),
        ('function = "momentum"', 'function = "momentun"', "function is 'momentun'; did you mean 'momentum'?"),
        ('function = "momentum"', 'function = "../x.py:score"', "file.py:name beside the candidate"),
        ('function = "momentum"', 'function = "mine.py:score"', "names mine.py, which is not there"),
        (
            "skip_days = [21, 5]",
            "skp_days = [21, 5]",
            "grid.skp_days is not among the parameters; did you mean 'skip_days'?",
        ),
        ("skip_days = [21, 5]", "skip_days = [21, 21]", "grid.skip_days holds a value twice"),
        ("skip_days = [21, 5]", "skip_days = []", "signal.grid.skip_days"),
        ("skip_days = [21, 5]", 'skip_days = ["x"]', "grid.skip_days holds a value of another type"),
        ("skip_days = 21 }", "skip_days = inf }", "signal.parameters.skip_days must be finite"),
        ("skip_days = 21 }", "skip_days = [1] }", "signal.parameters.skip_days must be a number, text or boolean"),
        ("[1.0, 1.5, 2.0]", "[1.0, 2.0]", "lacks [1.5]"),
        ("[1.0, 1.5, 2.0]", "[2.0, 1.5, 1.0]", "expected increasing and without repetition"),
        ("[1.0, 1.5, 2.0]", "[1.0, 1.5, 1.5, 2.0]", "expected increasing and without repetition"),
        ("[1.0, 1.5, 2.0]", "[0.0, 1.0, 1.5, 2.0]", "walk_forward.cost_multipliers.0 is 0.0, expected greater than 0"),
        ("shards = 4", "shards = 0", "walk_forward.shards is 0"),
        ('ratio" = 0.75', 'ratio" = nan', "policy.s2.wf_positive_ratio is nan"),
        ('name = "momentum-12-1"', 'name = "a"\nname = "b"', "no TOML"),
        ("schema = 1", "schema = [[[", "no TOML"),
    ],
)
def test_a_fault_is_named_with_its_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in COMPLETE
    assert said in refused(tmp_path, COMPLETE.replace(old, new, 1)).what


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    text = (
        COMPLETE.replace("fee_bps = 1.0", "fee_bps = -1.0")
        .replace("shards = 4", "shards = 0")
        .replace('family = "momentum"', "")
    )
    error = refused(tmp_path, text)
    assert all(key in error.what for key in ("costs.fee_bps", "walk_forward.shards", "family is missing"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "schema is missing"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x = " + b"[" * 200_000, "no TOML"),
        (b"x = 1" + b"0" * 10_000, "no TOML"),
        (b"#" * (1 << 20) + b"#", "larger than"),
    ],
)
def test_a_file_that_is_no_candidate_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refused(tmp_path, content).what


def test_too_large_a_grid_is_refused(tmp_path: Path) -> None:
    wide = ", ".join(str(number) for number in range(1, 601))
    text = COMPLETE.replace("lookback_days = [126, 189, 252]", f"lookback_days = [{wide}]")
    assert "1200 variants, expected at most 1000" in refused(tmp_path, text).what


def test_a_path_that_holds_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "absent.toml", tmp_path, tmp_path / "fifo"):
        with pytest.raises(CandidateError, match="expected a candidate file"):
            load_candidate(path)


def test_byte_order_mark_and_carriage_returns_are_read_through(tmp_path: Path) -> None:
    marked = load(tmp_path, b"\xef\xbb\xbf" + COMPLETE.replace("\n", "\r\n").encode())
    assert marked.config() == load(tmp_path).config()


def test_a_signal_of_the_users_own_lies_beside_the_candidate(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise RuntimeError('never imported here')")
    candidate = load(tmp_path, COMPLETE.replace('"momentum"\nparameters', '"mine.py:score"\nparameters'))
    assert candidate.signal_file == tmp_path / "mine.py"


def test_long_only_is_a_short_fraction_of_zero(tmp_path: Path) -> None:
    assert load(tmp_path, COMPLETE.replace("short_fraction = 0.2", "short_fraction = 0")).portfolio.is_long_only


def test_the_order_of_keys_does_not_change_the_configuration(tmp_path: Path) -> None:
    swapped = COMPLETE.replace("fee_bps = 1.0\nimpact_coefficient = 0.8", "impact_coefficient = 0.8\nfee_bps = 1.0")
    assert swapped != COMPLETE
    assert sha256_json(load(tmp_path, swapped).config()) == sha256_json(load(tmp_path).config())


def test_a_configuration_of_another_form_is_refused() -> None:
    for config in ({}, {"data": 3}, {**_config(), "data": {"path": "x", "as_of": "2020-13-01"}}):
        with pytest.raises(CandidateError):
            Candidate.from_config(config, Path())
