"""The house rules that a program can check: who may import whom, what is never written, what stays out of the workers' way."""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

REPOSITORY = Path(__file__).resolve().parents[1]
OURS = ("engines", "fixtures", "gates", "reports")
MODULES = sorted(path for package in OURS for path in (REPOSITORY / package).rglob("*.py"))
ALL_CODE = [REPOSITORY / "conftest.py", *MODULES]
HEAVY = ("pandas", "pandera", "pyarrow", "scipy.stats", "statsmodels", "arch")
BROAD = {"Exception", "BaseException"}
ERRORS = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)}
ERRORS -= {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Warning)}
LONGEST_FUNCTION = 60
VAGUE_NAMES = re.compile(r"(^|_)(utils?|common|helpers?|misc)(_|$)")


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def shown(path: Path, node: ast.stmt | ast.expr | ast.excepthandler) -> str:
    return f"{path.relative_to(REPOSITORY)}:{node.lineno}"


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module a file imports, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide who imports whom"
            yield node.module or ""


def test_the_import_contracts_hold(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    status = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_the_import_contracts_cover_every_package() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert set(settings["root_packages"]) == set(OURS)
    forbidden = {
        (contract["source_modules"][0], module)
        for contract in settings["contracts"]
        if contract["type"] == "forbidden"
        for module in contract["forbidden_modules"]
    }
    free = {(package, "engines") for package in OURS}
    assert forbidden >= {(one, other) for one in OURS for other in OURS if one != other} - free


@pytest.mark.parametrize("package", OURS)
def test_nothing_imports_what_only_wires_or_tests(package: str) -> None:
    for path in (REPOSITORY / package).rglob("*.py"):
        roots = {name.split(".")[0] for name in imported(parsed(path))}
        assert not roots & {"conftest", "tests", "benchmarks"}, path
        assert package == "gates" or "gates" not in roots, path


def test_engines_print_nothing_and_know_no_pytest() -> None:
    for path in (REPOSITORY / "engines").rglob("*.py"):
        tree = parsed(path)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        assert [shown(path, call) for call in calls if call.func.id == "print"] == []
        assert "pytest" not in {name.split(".")[0] for name in imported(tree)}, path


def names_of(handler: ast.excepthandler) -> set[str]:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {kind.id if isinstance(kind, ast.Name) else "" for kind in kinds}


FOREIGN_CODE = {REPOSITORY / "engines" / name for name in ("signals.py", "signal_host.py")}
"""Where a user's own code is called, which may raise anything; what it raised is passed on as the cause of a SignalError."""


def passes_on(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.cause is not None


def test_no_error_is_caught_broadly_or_swallowed() -> None:
    broad, swallowed = [], []
    for path in ALL_CODE:
        for handler in (node for node in ast.walk(parsed(path)) if isinstance(node, ast.ExceptHandler)):
            is_broad = handler.type is None or names_of(handler) & BROAD
            if is_broad and not (path in FOREIGN_CODE and passes_on(handler)):
                broad.append(shown(path, handler))
            if all(isinstance(line, ast.Pass) for line in handler.body):
                swallowed.append(shown(path, handler))
    assert (broad, swallowed) == ([], [])


def test_every_public_error_has_one_base() -> None:
    strays = []
    for path in MODULES:
        for node in (node for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)):
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            if bases & ERRORS and not node.name.startswith("_") and node.name != "StageGateError":
                strays.append(f"{shown(path, node)} {node.name}")
    assert strays == []


def test_functions_fit_a_screen_and_modules_have_names_of_the_field() -> None:
    long = [
        f"{shown(path, node)} {node.name}"
        for path in ALL_CODE
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []
    assert [path for path in MODULES if VAGUE_NAMES.search(path.stem)] == []


def test_workers_import_nothing_that_only_reading_a_file_needs() -> None:
    modules = (
        "reports.run.plugin, engines.study, engines.statistics, engines.risk, engines.segments, engines.walk_forward"
    )
    script = f"import sys, {modules}\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


COMES_WITH = {
    "execnet": "pytest-xdist",
    "packaging": "pytest",
    "pydantic-core": "pydantic",
    "xdist": "pytest-xdist",
    "pytest-jsonreport": "pytest-json-report",
}
"""Import name -> the declared package that brings it."""


def test_every_imported_package_is_declared() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^a-z0-9-]", line.lower())[0] for line in project["dependencies"]}
    used = {name.split(".")[0].replace("_", "-") for path in ALL_CODE for name in imported(parsed(path))}
    standard = {name.replace("_", "-") for name in sys.stdlib_module_names}
    undeclared = {name for name in used - standard - set(OURS) if COMES_WITH.get(name, name) not in declared}
    assert undeclared == set()
