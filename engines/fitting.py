"""Signals that learn: `fit(panel, **parameters)` beside a user's score sees one training window alone, and its state scores the dates after it.

A fitted signal is refitted at the first date of every test window, on the train dates of that window, and before the first test at the same spacing as far
back as the file reaches. Each date is scored with the state last fitted before it, so the signal is one point-in-time series like any other:

- It has no opinion before the first refit, train_days + gap after the start of the file, and so no rebalance. What S1 measures is out of sample too.
- There is one run a variant. The book goes on when the state changes, and what the change trades is paid for.
- In each training window the variants are compared by returns of states fitted before the returns were made, never by how well they fit.

A label formed inside the training window ends inside it, because the panel ends there; the gap then lies between it and the first date it scores.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.digest import sha256_json
from engines.errors import CandidateError, SignalError
from engines.signal_process import Call, call_apart, read_user_file
from engines.signals import STATE, State

if TYPE_CHECKING:
    from engines.candidate import Candidate, Variant
    from engines.panel import Panel

FIT: Final = "fit"
_BY_DATE: Final = (
    "dates",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "market_cap",
    "sector",
    "member",
    "benchmark_close",
)
_ENTRY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Refit:
    """One fit. Panel rows, half-open: what it is fitted on, and which dates are scored with its state."""

    train: tuple[int, int]
    scored: tuple[int, int]


def has_fit(candidate: Candidate) -> bool:
    """Whether the user's signal file binds a `fit` besides its score; never for a built-in signal.

    Raises SignalError when the file cannot be read, or a parameter would hide the state.
    """
    if candidate.signal_file is None or candidate.signal.function.partition(":")[2] == FIT:
        return False
    if FIT not in read_user_file(candidate.signal_file).bound:
        return False
    if STATE in candidate.signal.parameters:
        raise SignalError(
            f"a parameter is named {STATE!r}, as which the score gets what {FIT} learnt",
            where=f"signal.parameters.{STATE}",
            remedy="call the parameter something else",
        )
    return True


def first_refit_row(candidate: Candidate) -> int:
    """The first row that a state fitted on train_days dates, with the walk-forward's gap behind them, may score."""
    spec = candidate.walk_forward
    return spec.train_days + spec.gap_days(candidate.portfolio)


def plan_refits(test_starts: Sequence[int], n_dates: int, candidate: Candidate) -> tuple[Refit, ...]:
    """Which fits score which dates? In time order, without gaps from `first_refit_row` to `n_dates`.

    A fit at each of `test_starts`; before the first of them every test_days counted backwards, and once at `first_refit_row`. Without test starts
    the one first fit scores everything. The train of a fit is the train_days dates that end a gap before it, as in `plan_windows`.

    Raises CandidateError when no date is left to score.
    """
    first = first_refit_row(candidate)
    if first >= n_dates:
        raise CandidateError(
            f"a fitted signal has its first opinion {first} dates after the start of the file; there are {n_dates} before the holdout",
            where="walk_forward.train_days",
            remedy="use a longer file, or shorter train_days or holdout_days",
        )
    earlier = range(test_starts[0], first, -candidate.walk_forward.test_days) if test_starts else ()
    starts = sorted({first, *earlier, *test_starts})
    return tuple(
        Refit(train=(start - first, start - first + candidate.walk_forward.train_days), scored=(start, stop))
        for start, stop in zip(starts, [*starts[1:], n_dates], strict=True)
    )


def training_panel(panel: Panel, train: tuple[int, int]) -> Panel:
    """What a file that holds only the rows `train` (half-open) would give: no date before or after, no later delisting or list."""
    start, stop = train
    known = panel.as_known_at(stop)
    parts = {name: value[start:] for name in _BY_DATE if (value := getattr(known, name)) is not None}
    return replace(
        known,
        **parts,
        last_close=np.maximum(known.last_close - start, -1),
        file_dates=stop - start,
        content_sha256=sha256_json([known.content_sha256, "from", start]),
    )


def fit_state(panel: Panel, candidate: Candidate, variant: Variant, refit: Refit) -> State:
    """What did the candidate's fit learn from the refit's training window? Its state as read-only arrays, numbers as 0-d arrays.

    Raises SignalError, naming the function and the remedy, when it raises, writes into the panel, or returns anything but a dict of numbers and numeric
    arrays with at least one finite number.
    """
    if candidate.signal_file is None or not has_fit(candidate):
        raise SignalError(
            f"there is no {FIT} beside {candidate.signal.function}",
            where="signal.function",
            remedy=f"define {FIT}(panel, **parameters) in its file",
        )
    what = f"{FIT} beside {candidate.signal.function}"
    call = Call(read_user_file(candidate.signal_file), FIT, "fit", what, variant.label, variant.parameters)
    return checked_state(call_apart(call, training_panel(panel, refit.train)), what, variant.label)


def checked_state(found: object, what: str, label: str) -> State:
    """What a fit returned as read-only arrays by name, or SignalError saying which part of its contract it breaks."""

    def broken(fault: str) -> SignalError:
        return SignalError(
            f"{what} {fault}",
            where=label,
            remedy="return a dict from names to numbers and numeric numpy arrays, NaN only where something was not learnt",
        )

    if not isinstance(found, Mapping):
        raise broken(f"returned a {type(found).__name__}, expected a dict")
    state: dict[str, NDArray[Any]] = {}
    for name, value in found.items():
        if not isinstance(name, str) or not _ENTRY.fullmatch(name):
            raise broken(f"names an entry {name!r}, expected letters, digits and underscores after a letter")
        if not isinstance(value, bool | int | float | np.number | np.bool_ | np.ndarray):
            raise broken(f"returned a {type(value).__name__} as {name!r}")
        array = np.array(value)
        if array.dtype.kind not in "biuf":
            raise broken(f"returned an array of {array.dtype} as {name!r}")
        array.flags.writeable = False
        state[name] = array
    if not any(np.isfinite(array).any() for array in state.values()):
        raise broken("returned no finite number")
    return state
