"""S0: a question that is not asked, a file that is not the declared one, a rule bent, an input swapped, a rerun without a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.gates.case import Case, these
from tests.gates.harness import Rehearsed


def edit_freeze(change: Callable[[dict[str, Any]], None]) -> Callable[[Rehearsed], None]:
    """Change the freeze's record in place, after it was written."""

    def edit(rehearsed: Rehearsed) -> None:
        path = rehearsed.session.freeze_path
        record = json.loads(path.read_text(encoding="utf-8"))
        change(record)
        path.write_text(json.dumps(record), encoding="utf-8")

    return edit


def history(**entries: object) -> Callable[[Rehearsed], None]:
    """A freeze whose history says this."""
    return edit_freeze(lambda record: record["history"].update(entries))


def add_currency_column(folder: Path) -> None:
    import pandas as pd

    path = folder / "market" / "prices.parquet"
    pd.read_parquet(path).assign(currency="USD").to_parquet(path, index=False)


def rewritten_sectors(rehearsed: Rehearsed) -> None:
    """The sector table, sorted the other way round after it was frozen."""
    import pandas as pd

    path = rehearsed.session.candidate.reference_path("sector")
    pd.read_parquet(path).iloc[::-1].to_parquet(path, index=False)


def append_byte(name: str) -> Callable[[Rehearsed], None]:
    """An input file of the candidate, one byte longer than it was frozen."""

    def append(rehearsed: Rehearsed) -> None:
        session = rehearsed.session
        with (session.freeze.candidate_path(session.places).parent / name).open("ab") as file:
            file.write(b"\n")

    return append


CASES: Final = (
    Case(
        name="the hypothesis is a placeholder",
        stage="s0",
        fails=these("s0.decision_note"),
        mentions={"s0.decision_note": "research question is 'TODO'"},
        changes={'hypothesis = "Winners of the past quarter keep winning over the next week."': 'hypothesis = "TODO"'},
    ),
    Case(
        name="a text column is declared as the close",
        stage="s0",
        fails=these("s0.data_contract"),
        mentions={"s0.data_contract": "close"},
        changes={"as_of = 2017-01-25": 'as_of = 2017-01-25\ncolumns = { close = "currency" }'},
        files=add_currency_column,
    ),
    Case(
        name="a freeze holds a loosened threshold",
        stage="s0",
        fails=these("s0.policy_not_loosened"),
        mentions={"s0.policy_not_loosened": "s1.dq.missing_ratio <= 0.5 is looser than the policy's <= 0.05"},
        record=edit_freeze(lambda record: record["candidate"]["config"]["policy"].update({"s1.dq.missing_ratio": 0.5})),
    ),
    Case(
        name="a reference table changed after the freeze",
        stage="s0",
        fails=these("s0.reproducible_inputs"),
        mentions={"s0.reproducible_inputs": "reference.sector changed since the freeze"},
        record=rewritten_sectors,
    ),
    Case(
        name="the candidate file changed after the freeze",
        stage="s0",
        fails=these("s0.reproducible_inputs"),
        mentions={"s0.reproducible_inputs": "candidate file changed since the freeze"},
        record=append_byte("candidate.toml"),
    ),
    Case(
        name="the packages are not pinned",
        stage="s0",
        fails=these("s0.reproducible_inputs"),
        mentions={"s0.reproducible_inputs": "packages has no hash"},
        record=edit_freeze(lambda record: record.update(packages_sha256="")),
    ),
    Case(
        name="the gates changed after the freeze",
        stage="s0",
        fails=these("s0.reproducible_inputs"),
        mentions={"s0.reproducible_inputs": "gates changed since the freeze"},
        tagged=True,
        record=edit_freeze(lambda record: record["code"].update(gates_sha256="0" * 64)),
    ),
    Case(
        name="a rerun does not name the tag that failed",
        stage="s0",
        fails=these("s0.rerun_contract"),
        mentions={"s0.rerun_contract": "is not named"},
        record=history(superseded_ended="FAIL"),
    ),
    Case(
        name="a rerun names no root cause",
        stage="s0",
        fails=these("s0.rerun_contract"),
        mentions={"s0.rerun_contract": "no root cause is named for momentum-01"},
        record=history(superseded_ended="FAIL", supersedes="momentum-01"),
    ),
    Case(
        name="a rerun differs in nothing",
        stage="s0",
        fails=these("s0.rerun_contract"),
        mentions={"s0.rerun_contract": "nothing differs from momentum-01"},
        record=history(superseded_ended="FAIL", supersedes="momentum-01", root_cause="bug: fixed", must_differ=True),
    ),
)
