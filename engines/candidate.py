"""candidate.toml: what is promoted, as a frozen and validated value.

Every default is spelled out by `Candidate.config()`, which is what a freeze keeps; `Candidate.from_config` rebuilds the same candidate from it.
An unknown key, a wrong type or unit, or two keys that contradict each other is a CandidateError that names the key, what was found and what to write.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from engines.candidate_errors import nearest, refusal
from engines.errors import CandidateError

PRICE_COLUMNS: Final = ("open", "high", "low", "close")
NUMERIC_COLUMNS: Final = (*PRICE_COLUMNS, "volume")
DATA_COLUMNS: Final = ("date", "symbol", *NUMERIC_COLUMNS)
REFERENCE_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "sector": ("symbol", "sector", "date"),
    "market_cap": ("date", "symbol", "market_cap"),
    "membership": ("date", "symbol"),
    "benchmark": ("date", "close"),
    "delistings": ("symbol", "date", "reason", "return"),
}
"""Reference table -> our column names; the optional ones are engines.reference's business."""

BUILT_IN_SIGNALS: Final = ("momentum", "reversal", "low_volatility")
REQUIRED_MULTIPLIERS: Final = (1.0, 1.5, 2.0)
MAX_FILE_BYTES: Final = 1 << 20
MAX_VARIANTS: Final = 1000
MAX_DAYS: Final = 100_000  # four centuries of trading days

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_USER_SIGNAL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.py:[A-Za-z_][A-Za-z0-9_]*")


def _one_line(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if _CONTROL.search(text):
        raise ValueError("must be one line of printable text")
    return text


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _scalar(value: object) -> object:
    """Parameters are numbers, text or booleans: what TOML, JSON and a label spell in the same way."""
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"must be a number, text or boolean, found {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be finite")
    return value


Line = Annotated[str, AfterValidator(_one_line)]
Days = Annotated[int, Field(ge=1, le=MAX_DAYS)]
Fraction = Annotated[float, Field(ge=0.0, le=0.5)]
NonNegative = Annotated[float, Field(ge=0.0)]
Scalar = Annotated[Any, AfterValidator(_scalar)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ReferenceSpec(_Table):
    """One reference table: its path as written, and our column name -> the file's where they differ."""

    path: Line
    columns: dict[str, Line] = {}


def _reference(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


ReferenceName = Literal["sector", "market_cap", "membership", "benchmark", "delistings"]


class DataSpec(_Table):
    """[data]: where the prices lie, until when they may be used, and what is known beside them."""

    path: Line
    as_of: date
    columns: dict[Literal["date", "symbol", "open", "high", "low", "close", "volume"], Line] = {}
    reference: dict[ReferenceName, Annotated[ReferenceSpec, BeforeValidator(_reference)]] = {}
    absent: dict[ReferenceName, Line] = {}

    @property
    def file_columns(self) -> dict[str, str]:
        """Our name -> the file's name, for all seven columns."""
        return {ours: self.columns.get(ours, ours) for ours in DATA_COLUMNS}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _distinct(self.file_columns, "columns")
        for name, spec in self.reference.items():
            known = REFERENCE_COLUMNS[name]
            for ours in spec.columns:
                if ours not in known:
                    raise ValueError(f"reference.{name}.columns has no column {ours!r}{nearest(ours, known)}")
            _distinct({ours: spec.columns.get(ours, ours) for ours in known}, f"reference.{name}.columns")
        for name in self.absent:
            if name in self.reference:
                raise ValueError(f"{name} is declared both in reference and in absent; keep one")
        return self


def _distinct(columns: Mapping[str, str], key: str) -> None:
    """ValueError when two of our columns would be read from the same column of the file."""
    taken: dict[str, str] = {}
    for ours, theirs in columns.items():
        if theirs in taken:
            raise ValueError(
                f"{key}: {taken[theirs]} and {ours} are both read from the file's column {theirs!r}; map each to its own"
            )
        taken[theirs] = ours


class SignalSpec(_Table):
    """[signal]: the function, its parameters, every variant that is tried, and what is done to its scores.

    winsorise: fraction clipped in each tail of a date's cross-section, before standardise and neutralise.
    """

    function: Line
    parameters: dict[str, Scalar] = {}
    grid: dict[str, Annotated[tuple[Scalar, ...], BeforeValidator(_as_tuple), Field(min_length=1)]] = {}
    winsorise: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    standardise: Literal["none", "rank", "zscore"] = "none"
    neutralise: Annotated[tuple[Literal["sector", "size"], ...], BeforeValidator(_as_tuple)] = ()

    @property
    def is_built_in(self) -> bool:
        """Whether the function is one of the engines' own."""
        return self.function in BUILT_IN_SIGNALS

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.is_built_in and not _USER_SIGNAL.fullmatch(self.function):
            known = f"expected one of {', '.join(BUILT_IN_SIGNALS)}, or file.py:name beside the candidate"
            raise ValueError(f"function is {self.function!r}{nearest(self.function, BUILT_IN_SIGNALS)}; {known}")
        points = 1
        for name, values in self.grid.items():
            if name not in self.parameters:
                raise ValueError(
                    f"grid.{name} is not among the parameters{nearest(name, self.parameters)}; declare its value in parameters too"
                )
            if len(set(values)) != len(values):
                raise ValueError(f"grid.{name} holds a value twice: {list(values)}")
            if any(_kind(value) != _kind(self.parameters[name]) for value in values):
                raise ValueError(
                    f"grid.{name} holds a value of another type than parameters.{name} = {self.parameters[name]!r}"
                )
            points *= len(values)
        if points > MAX_VARIANTS:
            raise ValueError(f"grid spans {points} variants, expected at most {MAX_VARIANTS}")
        if len(set(self.neutralise)) != len(self.neutralise):
            raise ValueError(f"neutralise names an exposure twice: {list(self.neutralise)}")
        return self


def _kind(value: object) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


class UniverseSpec(_Table):
    """[universe]: a filter that is left out, or 0, excludes nobody. Prices and amounts in the file's currency."""

    min_price: NonNegative = 0.0
    min_dollar_volume: NonNegative = 0.0
    min_market_cap: NonNegative = 0.0
    min_history_days: Annotated[int, Field(ge=0, le=MAX_DAYS)] = 0
    min_names: Annotated[int, Field(ge=2, le=1_000_000)] = 50


class PortfolioSpec(_Table):
    """[portfolio]: how scores become weights, and when these are traded. short_fraction 0 is long only."""

    long_fraction: Annotated[Fraction, Field(gt=0.0)]
    short_fraction: Fraction
    weighting: Literal["equal", "rank", "signal"]
    horizon_days: Days
    rebalance_days: Days
    execution_delay_days: Days
    execution_price: Literal["open", "close"]
    target_aum: Annotated[float, Field(gt=0.0)]

    @property
    def is_long_only(self) -> bool:
        """Whether the book holds no shorts."""
        return self.short_fraction == 0.0


class CostSpec(_Table):
    """[costs]: what trading takes. That each is positive and has a source is judged by s1.cost_assumptions."""

    half_spread_bps: NonNegative
    fee_bps: NonNegative
    impact_coefficient: NonNegative
    borrow_bps_per_year: NonNegative
    source: str


class WalkForwardSpec(_Table):
    """[walk_forward]: training and test windows, their shards, the multipliers of cost, and the sealed final window."""

    train_days: Days
    test_days: Days
    embargo_days: Annotated[int, Field(ge=0, le=MAX_DAYS)]
    shards: Annotated[int, Field(ge=1, le=1000)]
    cost_multipliers: Annotated[tuple[Annotated[float, Field(gt=0.0)], ...], BeforeValidator(_as_tuple)]
    holdout_days: Days

    def gap_days(self, portfolio: PortfolioSpec) -> int:
        """Dates between train and test: max(horizon + execution delay, embargo), so that no label crosses from one into the other."""
        return max(portfolio.horizon_days + portfolio.execution_delay_days, self.embargo_days)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = self.cost_multipliers
        if list(found) != sorted(set(found)):
            raise ValueError(f"cost_multipliers is {list(found)}, expected increasing and without repetition")
        lacking = [multiplier for multiplier in REQUIRED_MULTIPLIERS if multiplier not in found]
        if lacking:
            raise ValueError(
                f"cost_multipliers is {list(found)} and lacks {lacking}; 1.0, 1.5 and 2.0 are judged by name"
            )
        return self


@dataclass(frozen=True, slots=True)
class Variant:
    """One point of the grid: `label` such as "lookback_days=126,skip_days=21", and the parameters it stands for."""

    label: str
    parameters: Mapping[str, Any] = field(hash=False)


class Candidate(_Table):
    """A strategy proposed for promotion. Paths are kept as written; `base_dir`, the folder they are relative to, is no part of the configuration."""

    schema_version: Annotated[int, Field(alias="schema", ge=1, le=1)]
    name: Line
    family: Line
    hypothesis: str
    universe_constraints: str
    protocol_version: str
    preregistered: bool
    data: DataSpec
    signal: SignalSpec
    universe: UniverseSpec = UniverseSpec()
    portfolio: PortfolioSpec
    costs: CostSpec
    walk_forward: WalkForwardSpec
    policy: dict[str, float] = {}
    _base_dir: Path = PrivateAttr(default=Path())

    @property
    def base_dir(self) -> Path:
        """The folder that relative paths start from."""
        return self._base_dir

    @property
    def data_path(self) -> Path:
        """The price file."""
        return self._base_dir / self.data.path

    def reference_path(self, name: str) -> Path:
        """The file of a declared reference table; KeyError when it is not declared."""
        return self._base_dir / self.data.reference[name].path  # type: ignore[index]

    @property
    def signal_file(self) -> Path | None:
        """The user's signal module, or None for a built-in signal."""
        return None if self.signal.is_built_in else self._base_dir / self.signal.function.partition(":")[0]

    def config(self) -> dict[str, Any]:
        """The configuration as JSON-able values, every default spelled out, tables in the order of the file format."""
        config: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any], base_dir: Path) -> Candidate:
        """Rebuild a candidate from `config()`.

        Raises:
            CandidateError: the configuration is not one that this version reads.

        """
        return _validated(_with_date(config), base_dir, "frozen configuration")

    def variants(self) -> tuple[Variant, ...]:
        """Every configuration that is tried: the declared parameters, then the other points of the grid's Cartesian product in the order of the file."""
        points = [self.signal.parameters]
        points += [
            self.signal.parameters | dict(zip(self.signal.grid, values, strict=True))
            for values in product(*self.signal.grid.values())
        ]
        first: dict[tuple[Any, ...], dict[str, Any]] = {}
        for point in points:
            first.setdefault(tuple(point.values()), point)
        return tuple(
            Variant(",".join(f"{name}={value}" for name, value in point.items()), point) for point in first.values()
        )


def load_candidate(path: Path) -> Candidate:
    """Read and validate candidate.toml.

    Raises:
        CandidateError: the file is missing, unreadable, larger than 1 MiB or no TOML, or what it says is no candidate; all faults are named at once.

    """
    return _validated(_parse_toml(_read(path), str(path)), path.parent, str(path))


def _read(path: Path) -> bytes:
    remedy = "name a readable candidate.toml"
    try:
        if not path.is_file():
            found = "something that is no regular file" if path.exists() else "nothing"
            raise CandidateError(f"expected a candidate file, found {found}", where=str(path), remedy=remedy)
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CandidateError(
            f"the candidate file cannot be read: {error.strerror}", where=str(path), remedy=remedy
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise CandidateError(
            f"the candidate file is larger than {MAX_FILE_BYTES} bytes", where=str(path), remedy=remedy
        )
    return data


def _parse_toml(data: bytes, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise CandidateError(
            f"the candidate file is not UTF-8: {error.reason} at byte {error.start}",
            where=where,
            remedy="save it as UTF-8",
        ) from error
    except (ValueError, RecursionError) as error:
        raise CandidateError(
            f"the candidate file is no TOML: {error}", where=where, remedy="correct it at the place named"
        ) from error


def _with_date(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with data.as_of as a date: JSON has none."""
    data = config.get("data")
    if not isinstance(data, Mapping) or not isinstance(data.get("as_of"), str):
        return dict(config)
    try:
        as_of = date.fromisoformat(data["as_of"])
    except ValueError:
        return dict(config)
    return {**config, "data": {**data, "as_of": as_of}}


def _validated(content: Mapping[str, Any], base_dir: Path, where: str) -> Candidate:
    try:
        candidate = Candidate.model_validate(content)
    except ValidationError as error:
        raise refusal(error, Candidate, where) from error
    candidate._base_dir = base_dir
    signal_file = candidate.signal_file
    if signal_file is not None and not signal_file.is_file():
        raise CandidateError(
            f"signal.function names {signal_file.name}, which is not there",
            where=where,
            remedy=f"put {signal_file.name} beside the candidate file",
        )
    return candidate
