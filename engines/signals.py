"""The signal: built-in definitions, a user's own function, and the cross-sectional treatment both go through.

A signal is a function score(panel, **parameters) -> (T, N) float64. NaN means no opinion; row t may use nothing later than close t.
One that learns has a fit beside it and gets what that learnt as `state`; see engines.fitting. A user's own file is executed in a process of its own:
see engines.signal_process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import SignalError
from engines.liquidity import close_returns, trailing_standard_deviation
from engines.ranks import average_ranks
from engines.signal_process import Call, call_apart, read_user_file
from engines.universe import build_universe

if TYPE_CHECKING:
    from engines.candidate import Candidate, Variant
    from engines.fitting import Refit
    from engines.panel import Panel

SignalFunction = Callable[..., NDArray[np.float64]]
State = Mapping[str, NDArray[Any]]  # what a fit learnt; numbers as 0-d arrays
STATE = "state"


def momentum(panel: Panel, lookback_days: int, skip_days: int) -> NDArray[np.float64]:
    """How much did each name rise over the lookback, leaving out the last days? P[t-skip] / P[t-lookback] - 1, (T, N) decimal.

    On closes of the panel's calendar, nothing filled: NaN where one of the two is absent. Raises SignalError unless
    0 <= skip_days < lookback_days. Reference: Jegadeesh and Titman (1993), J. Finance 48(1).
    """
    _require_days(momentum, lookback_days=lookback_days, skip_days=skip_days)
    if not 0 <= skip_days < lookback_days:
        raise SignalError(
            f"momentum needs 0 <= skip_days < lookback_days, found {skip_days} and {lookback_days}",
            where="signal.parameters",
            remedy="lower skip_days or raise lookback_days",
        )
    signal = np.full(panel.close.shape, np.nan)
    n_rows = panel.n_dates - lookback_days
    if n_rows > 0:
        recent = panel.close[lookback_days - skip_days : panel.n_dates - skip_days]
        signal[lookback_days:] = recent / panel.close[:n_rows] - 1.0
    return signal


def reversal(panel: Panel, lookback_days: int) -> NDArray[np.float64]:
    """How much did each name fall over the lookback? -(P[t] / P[t-lookback] - 1), (T, N) decimal; NaN where a close is absent.

    Raises SignalError unless lookback_days >= 1. Reference: Jegadeesh (1990), J. Finance 45(3).
    """
    _require_days(reversal, lookback_days=lookback_days)
    if lookback_days < 1:
        raise _too_short("reversal", lookback_days, 1)
    return -momentum(panel, lookback_days, 0)


def low_volatility(panel: Panel, lookback_days: int) -> NDArray[np.float64]:
    """How calm was each name? Minus the standard deviation (ddof 1) of its last `lookback_days` close returns, (T, N) decimal.

    All of them are required: NaN otherwise. Raises SignalError unless lookback_days >= 2. Reference: Ang, Hodrick, Xing and Zhang (2006), J. Finance 61(1).
    """
    _require_days(low_volatility, lookback_days=lookback_days)
    if lookback_days < 2:
        raise _too_short("low_volatility", lookback_days, 2)
    return -trailing_standard_deviation(close_returns(panel), lookback_days)


BUILT_IN: dict[str, SignalFunction] = {"momentum": momentum, "reversal": reversal, "low_volatility": low_volatility}


def score(
    panel: Panel,
    candidate: Candidate,
    variant: Variant,
    mask: NDArray[np.bool_] | None = None,
    states: Sequence[tuple[Refit, State]] = (),
) -> NDArray[np.float64]:
    """What does the candidate's signal say, after winsorising, standardising and neutralising? (T, N) float64, NaN = no opinion.

    The function is given the panel as it would stand if the file ended with it, so that no knowledge of later delistings reaches it. A fitted signal
    scores the dates of each refit with its state, and has no opinion on others. The treatment is per date over the names of the universe (`mask`,
    built from the candidate when not given); a treated signal is NaN outside it.

    Raises SignalError, naming the function and the remedy, when it cannot be loaded, raises, mutates the panel, or returns anything but a
    float array (T, N) without infinities and with at least one number.
    """
    raw = fitted_score(panel, candidate, variant, states) if states else raw_score(panel, candidate, variant)
    spec = candidate.signal
    if spec.winsorise == 0.0 and spec.standardise == "none" and not spec.neutralise:
        return raw
    if mask is None:
        mask = build_universe(panel, candidate.universe).mask
    treated = np.where(mask, raw, np.nan)
    if spec.winsorise > 0.0:
        treated = winsorise(treated, spec.winsorise)
    if spec.standardise == "rank":
        treated = standardise_by_rank(treated)
    elif spec.standardise == "zscore":
        treated = standardise_by_zscore(treated)
    if spec.neutralise:
        treated = neutralise(treated, *_exposures(panel, spec.neutralise))
    return treated


def raw_score(panel: Panel, candidate: Candidate, variant: Variant, state: State | None = None) -> NDArray[np.float64]:
    """What does the candidate's function return, once it is checked? (T, N) float64; see `score`. `state` is what its fit learnt, if it has one."""
    name = candidate.signal.function
    known, what = panel.as_known_at(panel.n_dates), f"signal {name}"
    if candidate.signal_file is None:
        values: object = call_signal(_built_in(name), what, variant.label, known, **variant.parameters)
    else:
        file = read_user_file(candidate.signal_file)
        called = Call(file, name.partition(":")[2], "score", what, variant.label, variant.parameters, state)
        values = call_apart(called, known)["score"]
    return checked_score(values, (panel.n_dates, panel.n_symbols), what, variant.label)


def fitted_score(
    panel: Panel, candidate: Candidate, variant: Variant, states: Sequence[tuple[Refit, State]]
) -> NDArray[np.float64]:
    """The dates that each refit scores, scored with its state, in one array (T, N); NaN on the dates that none scores."""
    signal = np.full((panel.n_dates, panel.n_symbols), np.nan)
    for refit, state in states:
        rows = slice(*refit.scored)
        signal[rows] = raw_score(panel, candidate, variant, state)[rows]
    return signal


def call_signal(
    function: Callable[..., object], what: str, label: str, panel: Panel, /, **parameters: object
) -> object:
    """What does the user's function return? Whatever it raises becomes a SignalError that begins with `what`."""
    try:
        return function(panel, **parameters)
    except SignalError:
        raise
    except Exception as error:
        raise SignalError(
            f"{what} raised {type(error).__name__}: {error}", where=label, remedy=_remedy_for(error)
        ) from error


def _built_in(name: str) -> SignalFunction:
    if name not in BUILT_IN:
        raise SignalError(
            f"there is no built-in signal {name!r}",
            where="signal.function",
            remedy=f'use one of {", ".join(sorted(BUILT_IN))}, or "file.py:function" beside the candidate file',
        )
    return BUILT_IN[name]


def winsorise(values: NDArray[np.float64], fraction: float) -> NDArray[np.float64]:
    """Clip each row at its `fraction` and 1 - `fraction` quantiles (linear interpolation, NaN left out); (T, N)."""
    ordered = np.sort(values, axis=1)  # NaN last
    n_names = np.isfinite(values).sum(axis=1)
    lower, upper = (_row_quantile(ordered, n_names, q) for q in (fraction, 1.0 - fraction))
    return np.clip(values, lower[:, None], upper[:, None])


def standardise_by_rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average rank of each row mapped into (-0.5, 0.5): (rank - 0.5) / n - 0.5; NaN stays NaN; (T, N)."""
    n_names = np.isfinite(values).sum(axis=1, keepdims=True)
    places: NDArray[np.float64] = (average_ranks(values) - 0.5) / np.maximum(n_names, 1) - 0.5
    return places


def standardise_by_zscore(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(value - mean) / standard deviation (ddof 0) of each row, (T, N); a row without spread has no opinion (NaN)."""
    present = np.isfinite(values)
    n_names = np.maximum(present.sum(axis=1, keepdims=True), 1)
    centred = values - np.where(present, values, 0.0).sum(axis=1, keepdims=True) / n_names
    variance = np.where(present, np.square(centred), 0.0).sum(axis=1, keepdims=True) / n_names
    deviation = np.sqrt(variance)
    scores: NDArray[np.float64] = np.divide(
        centred, deviation, out=np.full_like(centred, np.nan), where=deviation > 0.0
    )
    return scores


def neutralise(
    values: NDArray[np.float64], sector: NDArray[np.integer[Any]] | None, log_market_cap: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """What is left of the signal once sector means and the slope on log market cap are taken out? Residuals per date, (T, N).

    Ordinary least squares of each row on sector dummies and log market cap (whichever is given; an intercept without sectors). Names of
    unknown sector (-1) form a group of their own; a name without a market cap has no opinion (NaN) when size is taken out.
    """
    present = np.isfinite(values)
    if log_market_cap is not None:
        present &= np.isfinite(log_market_cap)
    groups = np.zeros(values.shape, dtype=np.int16) if sector is None else sector
    residual = _within_groups(values, groups, present)
    if log_market_cap is not None:
        size = _within_groups(log_market_cap, groups, present)
        products = np.where(present, residual * size, 0.0).sum(axis=1, keepdims=True)
        squares = np.where(present, size * size, 0.0).sum(axis=1, keepdims=True)
        slope = np.divide(products, squares, out=np.zeros_like(products), where=squares > 0.0)
        residual = residual - slope * size
    return residual


def _within_groups(
    values: NDArray[np.float64], groups: NDArray[np.integer[Any]], present: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Each value minus the mean of its row and group over the names present; NaN elsewhere."""
    result = np.full(values.shape, np.nan)
    for group in range(int(groups.min(initial=0)), int(groups.max(initial=0)) + 1):
        members = present & (groups == group)
        count = np.maximum(members.sum(axis=1, keepdims=True), 1)
        mean = np.where(members, values, 0.0).sum(axis=1, keepdims=True) / count
        result = np.where(members, values - mean, result)
    return result


def _row_quantile(ordered: NDArray[np.float64], n_names: NDArray[np.int64], q: float) -> NDArray[np.float64]:
    """Linear quantile of the first n_names values of each sorted row; NaN where there are none."""
    place = np.maximum(n_names - 1, 0) * q
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(n_names - 1, 0))
    rows = np.arange(ordered.shape[0])
    low, high = ordered[rows, below], ordered[rows, above]
    return low + (place - below) * (high - low)


def _exposures(
    panel: Panel, names: list[str] | tuple[str, ...]
) -> tuple[NDArray[np.integer[Any]] | None, NDArray[np.float64] | None]:
    """The panel's sector codes and log market caps, each only if asked for. Raises SignalError when the input is not declared."""
    sector = _declared(panel.sector, "sector") if "sector" in names else None
    market_cap = _declared(panel.market_cap, "market_cap") if "size" in names else None
    return sector, None if market_cap is None else np.log(market_cap)


def _declared(values: NDArray[Any] | None, name: str) -> NDArray[Any]:
    if values is None:
        raise SignalError(
            f"the signal is to be neutralised, but the candidate declares no {name}",
            where="signal.neutralise",
            remedy=f"declare data.reference.{name}, or take it out of signal.neutralise",
        )
    return values


def checked_score(values: object, shape: tuple[int, ...], what: str, label: str) -> NDArray[np.float64]:
    """The returned array as float64, or SignalError saying which part of the contract it breaks."""

    def broken(fault: str, remedy: str) -> SignalError:
        return SignalError(f"{what} {fault}", where=label, remedy=remedy)

    if not isinstance(values, np.ndarray):
        raise broken(
            f"returned a {type(values).__name__}, expected a numpy array", "return an ndarray (dates, symbols)"
        )
    if values.shape != shape:
        raise broken(
            f"returned shape {values.shape}, expected {shape}", "return one row per date and one column per symbol"
        )
    if not np.issubdtype(values.dtype, np.floating):
        raise broken(
            f"returned dtype {values.dtype}, expected floats", "return values.astype(float), NaN for no opinion"
        )
    if np.isinf(values).any():
        raise broken(f"returned {np.isinf(values).sum()} infinite values", "return NaN where there is no opinion")
    if np.isnan(values).all():
        raise broken("returned NaN for every date and symbol", "shorten the lookback, or look at the columns it reads")
    return values.astype(np.float64, copy=False)


def number_or_array(value: NDArray[Any]) -> Any:
    """A 0-d array as the built-in number it holds."""
    return value.item() if value.ndim == 0 else value


def _remedy_for(error: Exception) -> str:
    if isinstance(error, ValueError) and "read-only" in str(error):
        return "the arrays of the panel and of a state are read-only; work on a copy (panel.close.copy())"
    if isinstance(error, TypeError):
        return "its parameters must be those of signal.parameters and signal.grid, and `state` for the score of a file that defines fit"
    return "run the function on the panel by itself to see the traceback"


def _require_days(function: SignalFunction, **days: object) -> None:
    for name, value in days.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise SignalError(
                f"{function.__name__} needs a whole number for {name}, found {value!r}",
                where=f"signal.parameters.{name}",
                remedy="give a number of trading days without quotes or a decimal point",
            )


def _too_short(function_name: str, lookback_days: int, least: int) -> SignalError:
    return SignalError(
        f"{function_name} needs lookback_days >= {least}, found {lookback_days}",
        where="signal.parameters.lookback_days",
        remedy=f"give at least {least} trading days",
    )
