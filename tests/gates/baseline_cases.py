"""S1: a file that is not good enough, a signal that looks ahead, covers too little, or ranks nothing, costs that nobody assumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from engines.study import Study
from fixtures.plants import DATA_PLANTS
from tests.gates import signal_files
from tests.gates.case import Case, these
from tests.gates.harness import planted


def damaged(name: str) -> Callable[[Path], None]:
    """The price file with a data plant of the fixtures."""

    def damage(folder: Path) -> None:
        import pandas as pd

        path = folder / "market" / "prices.parquet"
        prices = pd.read_parquet(path).astype({"date": "datetime64[s]"})
        DATA_PLANTS[name].plant(prices, np.random.default_rng(11)).to_parquet(path, index=False)

    return damage


def without_volume(folder: Path) -> None:
    import pandas as pd

    path = folder / "market" / "prices.parquet"
    pd.read_parquet(path).assign(volume=np.nan).to_parquet(path, index=False)


def shuffled_rows(folder: Path) -> None:
    """Two rows of one symbol change places."""
    import pandas as pd

    path = folder / "market" / "prices.parquet"
    prices = pd.read_parquet(path)
    rows = np.flatnonzero((prices["symbol"] == prices["symbol"].iloc[0]).to_numpy())[100:102]
    order = np.arange(len(prices))
    order[rows] = rows[::-1]
    prices.iloc[order].to_parquet(path, index=False)


def baseline_ic(study: Study, often: float, high: float, low: float) -> Study:
    """The baseline with daily ICs of `high` on a share `often` of the dates and of `low` on the others, in a seeded order."""
    daily = study.baseline.daily_ic
    share = np.arange(daily.size) % 100 < round(100 * often)
    drawn = np.where(np.random.default_rng(3).permutation(share), high, low)
    return planted(study, baseline=replace(study.baseline, daily_ic=np.where(np.isfinite(daily), drawn, np.nan)))


def data_case(plant: str, *fails: str, shows: str | None = None, verdict: str = "FAIL") -> Case:
    """A data plant of the fixtures."""
    shown = these(shows) if shows else frozenset()
    return Case(name=plant, stage="s1", fails=these(*fails), shows=shown, verdict=verdict, files=damaged(plant))


def signal_case(plant: str, *fails: str, unmeasured: frozenset[str] = frozenset()) -> Case:
    """A signal plant of the fixtures."""
    return Case(
        name=plant,
        stage="s1",
        fails=these(*fails),
        unmeasured=unmeasured,
        changes=signal_files.plant_changes(plant),
        files=signal_files.plant(plant),
    )


def bent_case(fault: str, *fails: str) -> Case:
    """The honest momentum with a fault of signal_files."""
    return Case(
        name=fault,
        stage="s1",
        fails=these(*fails),
        changes=signal_files.CHANGES,
        files=signal_files.bent(fault),
    )


NO_EDGE: Final = ("s1.observations.track_record", "s1.ic_mean", "s1.ic_t", "s1.ic_positive_ratio", "s1.placebo")

SIGNAL_GATES: Final = these(
    "s1.coverage",
    "s1.observations",
    "s1.no_lookahead",
    "s1.leak_control",
    "s1.ic_mean",
    "s1.ic_t",
    "s1.ic_positive_ratio",
    "s1.placebo",
)
"""What cannot be measured of a signal that never covers enough names for a book."""

CASES: Final = (
    data_case("missing_cells", "s1.dq.missing_ratio", "s1.dq.calendar.gaps"),
    data_case("exact_duplicates", "s1.dq.duplicate_ratio.keys"),
    data_case("conflicting_duplicates", "s1.dq.duplicate_ratio.conflicting"),
    data_case("infinite_prices", "s1.dq.numeric_integrity"),
    data_case("non_positive_prices", "s1.dq.numeric_integrity"),
    data_case("text_in_prices", "s1.dq.numeric_integrity"),
    data_case("stale_file", "s1.dq.freshness"),
    data_case("rows_after_as_of", "s1.dq.calendar.order"),
    data_case("swapped_high_and_low", "s1.dq.ohlc_consistency"),
    data_case("price_spikes", "s1.dq.extreme_returns"),
    data_case("unadjusted_splits", "s1.dq.extreme_returns"),
    data_case("cloned_series", "s1.dq.distinct_series"),
    data_case("interior_gaps", "s1.dq.calendar.gaps"),
    data_case("survivors_only", shows="s1.dq.universe_bias", verdict="PASS"),
    Case(
        name="a column without a single value",
        stage="s1",
        fails=these("s1.dq.required_columns", "s1.dq.missing_ratio"),
        mentions={"s1.dq.required_columns": "volume"},
        files=without_volume,
    ),
    Case(
        name="two rows of a symbol out of order",
        stage="s1",
        fails=these("s1.dq.calendar.order"),
        files=shuffled_rows,
    ),
    Case(
        name="a file of 999 rows",
        stage="s1",
        fails=these("s1.dq.min_rows"),
        study=lambda study: planted(study, _quality=replace(study.quality, n_rows=999)),
    ),
    bent_case("two thirds of the names", "s1.coverage.ratio"),
    bent_case("silent on some days", "s1.coverage.names"),
    bent_case("scaled by the future", "s1.no_lookahead"),
    Case(
        name="scores learned by heart",
        stage="s1",
        fails=these("s1.leak_control"),
        changes=signal_files.CHANGES,
        files=signal_files.hindsight,
    ),
    signal_case("inside_out", *NO_EDGE),
    signal_case("next_day_leak", "s1.no_lookahead"),
    signal_case("constant", "s1.leak_control", "s1.ic_mean", "s1.ic_t", "s1.ic_positive_ratio", "s1.placebo"),
    signal_case("three_opinions", "s1.placebo", unmeasured=SIGNAL_GATES - these("s1.placebo")),
    Case(
        name="rebalanced once a month",
        stage="s1",
        fails=these("s1.observations.rebalances"),
        changes={"rebalance_days = 5": "rebalance_days = 21"},
    ),
    Case(
        name="a record too short for its Sharpe ratio",
        stage="s1",
        fails=these("s1.observations.track_record"),
        study=lambda study: planted(study, baseline=replace(study.baseline, track_record_ratio=0.4)),
    ),
    Case(
        name="an IC that is positive by a few days' grace",
        stage="s1",
        fails=these("s1.ic_t"),
        study=lambda study: baseline_ic(study, 0.65, 0.10, -0.17),
    ),
    Case(
        name="an IC that is rarely positive and then large",
        stage="s1",
        fails=these("s1.ic_positive_ratio"),
        study=lambda study: baseline_ic(study, 0.4, 0.3, -0.01),
    ),
    Case(
        name="an IC that other names would have had",
        stage="s1",
        fails=these("s1.placebo"),
        study=lambda study: planted(study, placebo=lambda seed: replace(study.placebo(seed), p_value=0.05)),
    ),
    Case(
        name="no fee is assumed",
        stage="s1",
        fails=these("s1.cost_assumptions"),
        mentions={"s1.cost_assumptions": "fee_bps"},
        changes={"fee_bps = 0.5": "fee_bps = 0.0"},
    ),
    Case(
        name="nobody answers for the costs",
        stage="s1",
        fails=these("s1.cost_assumptions"),
        mentions={"s1.cost_assumptions": "source"},
        changes={'source = "synthetic: as the market is"': 'source = " "'},
    ),
)
