"""Which rows may train and which may test: walk-forward and combinatorial purged splits.

Indices are positions in time order, half-open nowhere: each array lists its rows. A purge removes training
rows on both sides of a test block whose labels overlap it; an embargo removes further training rows after it,
where serial dependence carries the test block forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError
from engines.statistics.samples import IntArray


@dataclass(frozen=True, slots=True)
class WalkForwardSplit:
    """Rows to fit on and the later rows to judge on."""

    train: IntArray
    test: IntArray


@dataclass(frozen=True, slots=True)
class CombinatorialSplit:
    """Rows to fit on, and the rows of each test fold in time order."""

    train: IntArray
    tests: tuple[IntArray, ...]


@dataclass(frozen=True, slots=True)
class CombinatorialCounts:
    """Number of train/test splits and of whole backtest paths they recombine into."""

    n_splits: int
    n_paths: int


def walk_forward_splits(
    n_obs: int, train_size: int, test_size: int, *, purged_size: int = 0, expand_train: bool = False
) -> tuple[WalkForwardSplit, ...]:
    """Which rows train and test each step of a walk forward?

    Test blocks of `test_size` follow one another without overlap; each is preceded by a gap of `purged_size`
    rows and that by `train_size` rows (all earlier rows when `expand_train`). A last block that would be
    shorter is left out.

    Args:
        n_obs: number of rows.
        train_size: rows to fit on, >= 1.
        test_size: rows to judge on, >= 1.
        purged_size: rows between the two; for h-day labels traded after d days at least h + d - 1.
        expand_train: keep every earlier row instead of a rolling window.

    Returns:
        Splits in time order, at least one.

    Raises:
        StatisticsError: sizes out of range, or too few rows for a single split.

    Reference: Pardo (2008), The Evaluation and Optimization of Trading Strategies; sizes as in skfolio's
    WalkForward.
    """
    needed = train_size + purged_size + test_size
    if train_size < 1 or test_size < 1 or purged_size < 0 or needed > n_obs:
        raise StatisticsError(
            f"{n_obs} rows do not hold one split of {train_size} train, {purged_size} purged and {test_size} test rows",
            remedy=f"give at least {needed} rows, or shorten a part",
        )
    splits = []
    for test_start in range(train_size + purged_size, n_obs - test_size + 1, test_size):
        train_stop = test_start - purged_size
        train_start = 0 if expand_train else train_stop - train_size
        splits.append(
            WalkForwardSplit(np.arange(train_start, train_stop), np.arange(test_start, test_start + test_size))
        )
    return tuple(splits)


def cpcv_counts(n_folds: int, n_test_folds: int) -> CombinatorialCounts:
    """How many splits does combinatorial purged cross-validation make, and how many backtest paths?

    splits = C(n, k), paths = C(n, k) k / n: every fold is tested in C(n - 1, k - 1) splits.

    Args:
        n_folds: n >= 2.
        n_test_folds: k, 1 <= k < n.

    Returns:
        CombinatorialCounts.

    Raises:
        StatisticsError: counts out of range.

    Reference: Lopez de Prado (2018), Advances in Financial Machine Learning, section 12.3.
    """
    if not 1 <= n_test_folds < n_folds:
        raise StatisticsError(
            f"{n_test_folds} test folds of {n_folds} are not defined", remedy="keep at least one fold of each kind"
        )
    return CombinatorialCounts(math.comb(n_folds, n_test_folds), math.comb(n_folds - 1, n_test_folds - 1))


def cpcv_splits(
    n_obs: int, n_folds: int, n_test_folds: int, *, purged_size: int = 0, embargo_size: int = 0
) -> tuple[CombinatorialSplit, ...]:
    """Which rows train and test each split of combinatorial purged cross-validation?

    Folds of n_obs // n_folds adjacent rows, the last taking the remainder; every combination of test folds in
    lexicographic order. Training leaves out `purged_size` rows before each test block and `purged_size +
    embargo_size` rows after it; test folds that touch are one block.

    Args:
        n_obs: number of rows.
        n_folds: number of folds, >= 2.
        n_test_folds: test folds in a split.
        purged_size: rows whose labels overlap a test block.
        embargo_size: further rows after a test block.

    Returns:
        C(n_folds, n_test_folds) splits.

    Raises:
        StatisticsError: counts out of range, or a split that keeps no training row.

    Reference: Lopez de Prado (2018), Advances in Financial Machine Learning, sections 7.4 and 12.3.
    """
    cpcv_counts(n_folds, n_test_folds)
    fold_size = n_obs // n_folds
    if purged_size < 0 or embargo_size < 0 or fold_size < 1:
        raise StatisticsError(
            f"{n_obs} rows in {n_folds} folds with purge {purged_size} and embargo {embargo_size} are out of range"
        )
    fold_of_row = np.minimum(np.arange(n_obs) // fold_size, n_folds - 1)
    folds = [np.flatnonzero(fold_of_row == fold) for fold in range(n_folds)]
    splits = []
    for chosen in combinations(range(n_folds), n_test_folds):
        train = _purged_training(np.isin(fold_of_row, chosen), purged_size, embargo_size)
        if train.size == 0:
            raise StatisticsError(
                f"testing folds {chosen} leaves 0 training rows of folds of {fold_size} rows "
                f"after a purge of {purged_size} and an embargo of {embargo_size}",
                remedy="use fewer folds, more rows or a shorter purge",
            )
        splits.append(CombinatorialSplit(train, tuple(folds[fold] for fold in chosen)))
    return tuple(splits)


def _purged_training(tested: npt.NDArray[np.bool_], purged_size: int, embargo_size: int) -> IntArray:
    """Rows neither tested nor too near a test block."""
    excluded = tested.copy()
    edges = np.diff(np.concatenate([[False], tested, [False]]).astype(np.int8))
    for start, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        excluded[max(0, start - purged_size) : start] = True
        excluded[stop : stop + purged_size + embargo_size] = True
    return np.flatnonzero(~excluded)
