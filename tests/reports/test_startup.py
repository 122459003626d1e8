"""What starts with Python and what was loaded is what was installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reports.criteria.startup import startup_faults
from tests.end_to_end.desk import SOURCE, clean_environment
from tests.faults.attempts.environments import SPOILED, environment

ASK = "import filelock, reports.criteria.startup as startup; print('\\n'.join(startup.startup_faults()))"


def asked_in(folder) -> str:
    """The faults that the Python of an environment finds in itself."""
    command = [str(folder / "bin" / "python"), "-c", ASK]
    done = subprocess.run(
        command, cwd=SOURCE, env=clean_environment(folder), capture_output=True, text=True, check=True
    )
    return done.stdout


def test_this_environment_is_as_installed():
    assert startup_faults() == ()


def test_a_copy_of_the_environment_is_as_installed(tmp_path):
    environment(tmp_path / "env")
    assert asked_in(tmp_path / "env").strip() == ""


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        ("a .pth file that runs code", "winning.pth runs in every Python, and no installed package has it"),
        ("a .pth file that adds a folder", "winning.pth runs in every Python"),
        ("a sitecustomize", "sitecustomize.py runs in every Python, and no installed package has it"),
        (
            "a package that starts with Python",
            "winning.pth runs in every Python, and it is of winning, expected one of",
        ),
        ("a package that customizes", "sitecustomize.py runs in every Python, and it is of winning"),
        ("an edited .pth file", "is not as its package installed it: expected sha256"),
        ("an edited package", "filelock/__init__.py was loaded, and is not as its package installed it"),
    ],
)
def test_what_was_added_or_edited_is_named(tmp_path, spoil, named):
    SPOILED[spoil](environment(tmp_path / "env"))
    assert named in asked_in(tmp_path / "env")


def test_a_folder_that_is_searched_and_a_module_from_it_are_named(tmp_path):
    (tmp_path / "shadow.py").touch()
    code = f"import sys; sys.path.append({str(tmp_path)!r}); import shadow; {ASK}"
    done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert f"modules are looked for in {tmp_path}" in done.stdout
    assert f"{tmp_path}/shadow.py was loaded from outside" in done.stdout


def test_an_environment_behind_a_link_is_as_installed(tmp_path):
    environment(tmp_path / "env")
    (tmp_path / "link").symlink_to(tmp_path / "env")
    assert asked_in(tmp_path / "link").strip() == ""


def test_an_edited_package_behind_a_link_is_named(tmp_path):
    SPOILED["an edited package"](environment(tmp_path / "env"))
    (tmp_path / "link").symlink_to(tmp_path / "env")
    assert "filelock/__init__.py was loaded" in asked_in(tmp_path / "link")
