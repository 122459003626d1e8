"""Ways to prepare an attempt: what its candidate, its gates or its hooks are made to do."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import indent
from typing import Final

from tests.end_to_end.desk import rewrite
from tests.faults.tiny_suite import Ground, Outcome

REFUSED: Final[tuple[Outcome, ...]] = ("REFUSED",)
FAIL: Final[tuple[Outcome, ...]] = ("FAIL",)
NOT_BACK: Final[tuple[Outcome, ...]] = ("FAIL", "INCOMPLETE")
PASS: Final[tuple[Outcome, ...]] = ("PASS",)

TEST: Final = "def test_edge(evidence):\n"
ASSERTION: Final = '    assert evidence("s0.edge", EDGE, n_obs=9)\n'


def nothing(ground: Ground) -> None:
    """Leave everything as it is."""


def losing(ground: Ground) -> None:
    """The candidate loses; nothing else is done."""
    ground.lose()
    ground.commit()


def replacing(old: str, new: str) -> Callable[[Ground], None]:
    """A losing candidate whose gate module says `new` where it said `old`."""

    def prepare(ground: Ground) -> None:
        ground.lose()
        rewrite(ground.gate, old, new)
        ground.commit()

    return prepare


def asserting(body: str) -> Callable[[Ground], None]:
    """A losing candidate whose deciding test has another body."""
    return replacing(ASSERTION, indent(body, "    "))


def decorated(line: str) -> Callable[[Ground], None]:
    """A losing candidate whose deciding test carries a mark."""
    return replacing(TEST, f"import pytest\n\n\n{line}\n{TEST}")


def hooked(source: str) -> Callable[[Ground], None]:
    """A losing candidate under a root conftest.py with more hooks, in the child only, where the gates run."""

    def prepare(ground: Ground) -> None:
        ground.lose()
        with (ground.repository / "conftest.py").open("a", encoding="utf-8") as file:
            file.write(f"\n\nif RUN_VARIABLE in os.environ:\n{indent(source, '    ')}")
        ground.commit()

    return prepare


def acting(body: str) -> Callable[[Ground], None]:
    """A winning candidate whose gate does something to the record while it runs, and then passes."""

    def prepare(ground: Ground) -> None:
        session = (
            "session = gate_session\nroot = session.places.workspace.root\nrepository = session.places.repository\n"
        )
        imports = "import os, signal, json, shutil\nfrom pathlib import Path\n"
        rewrite(
            ground.gate, TEST, "def test_edge(gate_session, evidence):\n" + indent(imports + session + body, "    ")
        )
        ground.commit()

    return prepare
