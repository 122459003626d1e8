"""The compiled loops give what the plain numpy beside them gives, on panels with ties, gaps, empty days and days of a single name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from engines import compiled, ic, liquidity
from engines.rank_pass import compiled_rank_ics

REPOSITORY = Path(__file__).resolve().parents[2]
CELLS = st.one_of(
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1.0 + 2**-52, -1.0, 1e300, -1e-300]),
    st.floats(-1e6, 1e6),
)


@st.composite
def cross_sections(draw: st.DrawFn) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=19))
    signal, label = (draw(hnp.arrays(np.float64, shape, elements=CELLS)) for _ in range(2))
    mask = draw(hnp.arrays(np.bool_, shape, elements=st.sampled_from([True, True, True, False])))
    for row, kind in enumerate(draw(st.lists(st.sampled_from(["as drawn", "empty", "one name", "alike"]), max_size=4))):
        if row < shape[0] and kind == "empty":
            label[row] = np.nan
        elif row < shape[0] and kind == "one name":
            mask[row, 1:] = False
        elif row < shape[0] and kind == "alike":
            signal[row] = 1.0
    return signal, [label, np.round(label)], mask


@settings(max_examples=150)
@given(cross_sections(), st.integers(1, 6))
def test_rank_ics_equal_the_plain_ones_bit_for_bit(panel, min_names: int) -> None:
    signal, labels, mask = panel
    np.testing.assert_array_equal(
        compiled_rank_ics(signal, labels, mask, min_names), ic._rank_ics(signal, labels, mask, min_names)
    )


@pytest.mark.parametrize("n_names", [2, 63, 64, 65, 700])
def test_rank_ics_equal_spearman(n_names: int) -> None:
    rng = np.random.default_rng(n_names)
    signal, label = rng.standard_normal((2, 30, n_names))
    signal[::3], label[::4] = np.round(signal[::3], 1), np.round(label[::4], 1)
    signal[rng.random(signal.shape) < 0.1] = np.nan
    signal[5] = 1.0 + 1e-13 * rng.integers(0, 50, n_names)  # differ in the lowest bits alone
    signal[6] = np.where(np.arange(n_names) == n_names // 2, 1e300, signal[5])  # and next to one that is far away
    signal[7] *= np.where(
        np.arange(n_names) % 2, 1e-9, 1e9
    )  # half of them a thousand million times as large as the other half
    signal[8] = np.where(np.arange(n_names) % 5, 0.0, signal[8])  # four of five alike
    signal[9] *= 1e307  # whose sum overflows
    found = compiled_rank_ics(signal, [label], np.ones(signal.shape, dtype=bool), 2)[0]
    for row in range(30):
        paired = np.isfinite(signal[row])
        distinct = min(np.unique(signal[row, paired]).size, np.unique(label[row, paired]).size)
        if paired.sum() < 2 or distinct < 2:
            assert np.isnan(found[row])
        else:
            expected = stats.spearmanr(signal[row, paired], label[row, paired]).statistic
            assert found[row] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=150)
@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30), elements=CELLS),
    st.integers(2, 24),
    st.integers(0, 24),
)
def test_trailing_figures_equal_the_plain_ones_bit_for_bit(values, rows: int, min_rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch, np.errstate(invalid="ignore", over="ignore"):
        plain = liquidity.trailing_median(values, rows, min_rows), liquidity.trailing_standard_deviation(values, rows)
        patch.setattr(compiled, "WORTH_CELLS", 0)
        found = liquidity.trailing_median(values, rows, min_rows), liquidity.trailing_standard_deviation(values, rows)
    np.testing.assert_array_equal(found[0], plain[0])
    np.testing.assert_array_equal(found[1], plain[1])


def test_read_only_and_transposed_input_needs_no_other_kernel() -> None:
    rng = np.random.default_rng(1)
    signal, label = rng.standard_normal((2, 40, 12)).transpose(0, 2, 1)
    signal.flags.writeable = False
    mask = np.ones(signal.shape, dtype=bool)
    np.testing.assert_array_equal(compiled_rank_ics(signal, [label], mask, 2), ic._rank_ics(signal, [label], mask, 2))


def test_a_large_panel_takes_the_compiled_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "WORTH_CELLS", 100)
    asked: list[int] = []
    monkeypatch.setattr(ic, "compiled_rank_ics", lambda signal, *_: asked.append(signal.size))
    for n_dates in (9, 10):
        signal = np.ones((n_dates, 10))
        ic.rank_ics(signal, (signal,), signal > 0, 2)
    assert asked == [100]


def load_kernels(home: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TMPDIR"} | {"HOME": str(home)}
    subprocess.run([sys.executable, "-c", "import engines.kernels"], cwd=REPOSITORY, env=environment, check=True)


@pytest.mark.slow
def test_machine_code_is_kept_and_a_flipped_byte_of_it_is_never_run(tmp_path: Path) -> None:
    load_kernels(tmp_path)
    (folder,) = (path for path in (tmp_path / ".cache" / "stagegate").iterdir() if path.is_dir())
    written = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert compiled.is_sealed(folder)
    load_kernels(tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == written
    victim = next(folder.glob("*.nbc"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    assert not compiled.is_sealed(folder)
    load_kernels(tmp_path)
    assert compiled.is_sealed(folder)
    assert victim.read_bytes() != bytes(data)


def test_code_that_other_settings_make_lies_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    usual = compiled.kernel_folder()
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert compiled.kernel_folder() == usual
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert compiled.kernel_folder() != usual


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = compiled.kernel_folder()
    assert folder is not None
    assert folder.is_relative_to(tmp_path)
    folder.chmod(0o777)
    other = compiled.kernel_folder()
    assert other is None or not other.is_relative_to(tmp_path)
