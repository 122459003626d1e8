"""A user's signal in a process of its own: what goes in, what comes out, and what it cannot reach."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from engines.errors import SignalError
from engines.signal_process import read_user_file
from engines.signals import score
from tests.engines.panels import make_candidate, random_panel

PANEL = random_panel(4)


def scored(folder: Path, body: str, top: str = "", panel=PANEL) -> np.ndarray:
    """What a file with this body, whose default is the close, scores."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    source = f"import numpy as np\n{top}\ndef score(panel):\n{lines}    return panel.close.copy()\n"
    (folder / "mine.py").write_text(source, encoding="utf-8")
    candidate = make_candidate(folder, signal={"function": "mine.py:score", "parameters": {}})
    return score(panel, candidate, candidate.variants()[0])


def test_numbers_come_back_to_the_bit(tmp_path):
    np.testing.assert_array_equal(scored(tmp_path, ""), PANEL.close)


def test_what_it_changes_stays_with_it(tmp_path):
    top = "from engines import ranks\nranks.average_ranks = None\nnp.nanmean = None\n"
    scored(tmp_path, "", top)
    from engines.ranks import average_ranks

    assert average_ranks is not None
    assert np.nanmean is not None


def test_each_call_begins_anew(tmp_path):
    counting = "SEEN.append(panel)\nreturn panel.close * 0.0 + len(SEEN)"
    for _ in range(2):
        assert np.nanmax(scored(tmp_path, counting, "SEEN = []\n")) == 1.0


def test_a_cut_panel_has_nothing_behind_it(tmp_path):
    behind = "base = panel.close\nwhile isinstance(getattr(base, 'base', None), np.ndarray):\n    base = base.base\nreturn panel.close * 0.0 + base.size"
    assert np.nanmax(scored(tmp_path, behind, panel=PANEL.until(50))) == 50.0 * PANEL.n_symbols


def test_it_knows_nothing_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("STAGEGATE_RUN", "somewhere")
    asking = "import os, sys\nreturn panel.close * 0.0 + ('STAGEGATE_RUN' in os.environ) + ('pytest' in sys.modules)"
    assert np.nanmax(scored(tmp_path, asking)) == 0.0


@pytest.mark.parametrize(
    "body",
    [
        "open('/etc/hostname').read()",
        "np.load('/etc/hostname')",
        "import os\nos.listdir('/')",
        "import pyarrow.parquet\npyarrow.parquet.read_table('FILE')",
        "import subprocess\nsubprocess.run(['true'])",
        "import socket\nsocket.socket()",
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
    ],
    ids=["open", "numpy", "list", "a library of its own", "a program", "a socket", "its limits"],
)
def test_it_opens_nothing(tmp_path, body):
    (tmp_path / "data.parquet").touch()
    with pytest.raises(SignalError, match="raised"):
        scored(tmp_path, body.replace("FILE", str(tmp_path / "data.parquet")))


def test_it_imports_what_is_installed_whenever_it_likes(tmp_path):
    np.testing.assert_array_equal(
        scored(tmp_path, "import scipy.stats, sqlite3\nnp.nanmedian(panel.close)"), PANEL.close
    )


def test_it_does_not_import_its_neighbour(tmp_path):
    (tmp_path / "neighbour.py").touch()
    with pytest.raises(SignalError, match="No module named 'neighbour'"):
        scored(tmp_path, "", f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport neighbour\n")


def test_an_import_that_may_fail_may_fail(tmp_path):
    top = "try:\n    import no_such_package\nexcept ImportError:\n    no_such_package = None\n"
    np.testing.assert_array_equal(scored(tmp_path, "", top), PANEL.close)


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("import os\nos._exit(3)", "exit status 3"),
        ("import os\nos._exit(0)", "did not come back"),
        ("raise SystemExit(0)", "exit status 1"),
        ("import ctypes\nctypes.string_at(0)", "signal 11"),
        ("import os\nos.write(1, bytes(64))\nos._exit(0)", "did not come back"),
    ],
)
def test_one_that_does_not_come_back_is_named_and_the_next_is_answered(tmp_path, body, how):
    with pytest.raises(SignalError, match=how):
        scored(tmp_path, body)
    np.testing.assert_array_equal(scored(tmp_path, ""), PANEL.close)


def test_what_it_prints_is_no_answer(tmp_path):
    np.testing.assert_array_equal(scored(tmp_path, "print('PASS' * 1000)"), PANEL.close)


def test_draws_of_two_calls_differ(tmp_path):
    drawing = "return np.random.normal(size=panel.close.shape)"
    assert not np.array_equal(scored(tmp_path, drawing), scored(tmp_path, drawing))


def test_names_are_found_without_executing_anything(tmp_path):
    path = tmp_path / "mine.py"
    marker = tmp_path / "executed"
    path.write_text(
        f"open({str(marker)!r}, 'w')\nif True:\n    def fit(panel): ...\nimport a.b as c, d.e\nx, (y, z) = 1, (2, 3)\ndef f():\n    hidden = 1\n",
        encoding="utf-8",
    )
    assert read_user_file(path).bound == {"fit", "c", "d", "x", "y", "z", "f"}
    assert not marker.exists()
    assert os.getpid()
