"""The attempts of the false-pass campaign: what selects, skips, lies, dies, edits or forges, and the honest controls beside them.

An attempt that changes gates or conftest.py commits the change, so that the clean tree cannot be what stops it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Final

from engines.digest import sha256_bytes, sha256_file
from reports.record.chain import COLUMNS, link, read_chain
from tests.end_to_end.desk import COMMITTEE, OWNER, clean_environment, git, rewrite
from tests.faults.tiny_suite import TAG, Attempt, Ground, Outcome

REFUSED: Final[tuple[Outcome, ...]] = ("REFUSED",)
FAIL: Final[tuple[Outcome, ...]] = ("FAIL",)
NOT_BACK: Final[tuple[Outcome, ...]] = ("FAIL", "INCOMPLETE")
PASS: Final[tuple[Outcome, ...]] = ("PASS",)

TEST: Final = "def test_edge(evidence):\n"
ASSERTION: Final = '    assert evidence("s0.edge", EDGE, n_obs=9)\n'


# ------------------------------------------------------------------------------------------------ ways to prepare


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


# ------------------------------------------------------------------------------------------------ honest controls

HONEST: Final = (
    Attempt("a winner", nothing, allowed=PASS),
    Attempt("a winner, verbose", nothing, options=("-v", "--tb=short", "--color=no", "--durations=3"), allowed=PASS),
    Attempt("a winner, shards stated", nothing, options=("--wf-shards", "2"), allowed=PASS),
    Attempt("a winner, multipliers stated", nothing, options=("--cost-multipliers", "1.5,2.0"), allowed=PASS),
    Attempt("a winner, threads shared", nothing, options=("--threads=2",), allowed=PASS),
    Attempt(
        "a winner, harmless variables",
        nothing,
        variables={"PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "7"},
        allowed=PASS,
    ),
    Attempt("a winner at s1", nothing, "s1", "s0", allowed=PASS),
    Attempt("a winner at s2", nothing, "s2", "s1", allowed=PASS),
    Attempt("a winner at s3", nothing, "s3", "s2", allowed=PASS),
    Attempt(
        "a winner that the committee signed",
        lambda ground: [sign(ground, name) for name in COMMITTEE],
        "s4",
        "s3",
        allowed=PASS,
    ),
    Attempt(
        "a comment in a gate, committed",
        lambda ground: (ground.gate.open("a").write("# reviewed\n"), ground.commit()),
        allowed=PASS,
    ),
)

# ------------------------------------------------------------------------------------------------ the command line

SELECTIONS: Final = (
    ("-k", "share"), ("-m", "fast"), ("--deselect", "gates/s0/test_tiny.py::test_edge"), ("--ignore", "gates/s0/test_tiny.py"), ("--ignore-glob=*tiny*",), ("--lf",), ("--nf",),
    ("--sw",), ("-x",), ("--maxfail=1",), ("--collect-only",), ("--setup-plan",), ("--setup-only",), ("-c", "/dev/null"), ("-o", "addopts=--collect-only"), ("-o", "testpaths=docs"),
    ("--noconftest",), ("-p", "no:reports.run.plugin"), ("-p", "no:json-report"), ("--assert=plain",), ("--runxfail",), ("--rootdir=/tmp",), ("--import-mode=importlib",),
    ("--continue-on-collection-errors",), ("--cost-multipliers", "1.0"), ("--cost-multipliers", "0,1.5,2.0"), ("--wf-shards", "1"), ("gates/s1",), ("--help",),
    ("--fixtures",), ("--json-report-file=/dev/null",), ("--decision-tag", "another"), ("-W", "ignore"), ("--confcutdir=/",), ("--unofficial=1",),
)  # fmt: skip
VARIABLES: Final = (
    ("PYTEST_ADDOPTS", "-k share"),
    ("PYTEST_PLUGINS", "evil"),
    ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1"),
    ("PYTHONPATH", "/tmp"),
    ("PYTHONOPTIMIZE", "1"),
    ("PYTHONSTARTUP", "/tmp/evil.py"),
    ("LD_PRELOAD", ""),
)


def optimised(ground: Ground) -> int:
    """Really start python with -O, which removes every assert."""
    ground.desk.write_packet(TAG, "s0")
    command = [sys.executable, "-O", *ground.desk.command(*ground.desk.stage_arguments(TAG, "s0"))[1:]]
    environment = clean_environment(ground.desk.workspace.parent)
    return subprocess.run(command, cwd=ground.repository, env=environment, capture_output=True, check=False).returncode


def another_copy(ground: Ground) -> int:
    """Name the stage folder of another copy of the repository."""
    copy = ground.desk.workspace.parent / "copy"
    shutil.copytree(ground.repository / "gates", copy / "gates")
    ground.desk.write_packet(TAG, "s0")
    arguments = ground.desk.stage_arguments(TAG, "s0")[1:]
    return ground.warm.pytest(ground.desk, str(copy / "gates" / "s0"), *arguments).status


def node_id(ground: Ground) -> int:
    """Name the tests that pass one by one."""
    arguments = ground.desk.stage_arguments(TAG, "s0")[1:]
    return ground.warm.pytest(ground.desk, "gates/s0/test_tiny.py::test_level_and_share", *arguments).status


ASKED: Final = (
    *(Attempt(" ".join(options), losing, options=options, allowed=REFUSED) for options in SELECTIONS),
    *(Attempt(f"{name}={value}", losing, variables={name: value}, allowed=REFUSED) for name, value in VARIABLES),
    Attempt("python -O", losing, run=optimised, allowed=REFUSED),
    Attempt("another directory's copy", losing, run=another_copy, allowed=REFUSED),
    Attempt("a node id", losing, run=node_id, allowed=REFUSED),
)

# ------------------------------------------------------------------------------------------------ gates that do not measure

GATES: Final = {
    "a skip mark": decorated("@pytest.mark.skip"),
    "a skipif mark": decorated("@pytest.mark.skipif(True, reason='today')"),
    "an xfail mark": decorated("@pytest.mark.xfail(strict=False)"),
    "an xfail mark that does not run": decorated("@pytest.mark.xfail(run=False)"),
    "an empty parametrize": decorated("@pytest.mark.parametrize('case', [])"),
    "a parametrize over nothing that matters": decorated("@pytest.mark.parametrize('case', [1])"),
    "a fixture that skips": replacing(TEST, f"import pytest\n\n\n@pytest.fixture(autouse=True)\ndef today():\n    pytest.skip('today')\n\n\n{TEST}"),
    "a module that skips": replacing("\n\nEDGE", "\n\nimport pytest\n\npytest.skip('today', allow_module_level=True)\nEDGE"),
    "a module mark": replacing("\n\nEDGE", "\n\nimport pytest\n\npytestmark = pytest.mark.skip\nEDGE"),
    "importorskip": replacing("\n\nEDGE", "\n\nimport pytest\n\npytest.importorskip('not_there')\nEDGE"),
    "a test that is none": replacing(ASSERTION, f"{ASSERTION}\n\ntest_edge.__test__ = False\n"),
    "a test of another name": replacing(TEST, "def check_edge(evidence):\n"),
    "a later definition": replacing(ASSERTION, f"{ASSERTION}\n\ndef test_edge():\n    assert True\n"),
    "skip inside": asserting("import pytest\npytest.skip('today')\n"),
    "xfail inside": asserting("import pytest\npytest.xfail('known')\n"),
    "pytest.exit(0)": asserting("import pytest\npytest.exit('done', returncode=0)\n"),
    "os._exit(0)": asserting("import os\nos._exit(0)\n"),
    "sys.exit(0)": asserting("import sys\nsys.exit(0)\n"),
    "KeyboardInterrupt": asserting("raise KeyboardInterrupt\n"),
    "MemoryError": asserting("raise MemoryError\n"),
    "a segmentation fault": asserting("import ctypes\nctypes.string_at(0)\n"),
    "SIGKILL": asserting("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"),
    "no assertion": asserting('evidence("s0.edge", EDGE)\n'),
    "no evidence": asserting("assert True\n"),
    "neither": asserting("pass\n"),
    "return instead of assert": asserting('return evidence("s0.edge", EDGE)\n'),
    "a tuple": asserting('assert (evidence("s0.edge", EDGE), "the edge")\n'),
    "a swallowed failure": asserting('try:\n    assert evidence("s0.edge", EDGE)\nexcept AssertionError:\n    pass\n'),
    "NaN": asserting('value = float("nan")\nevidence("s0.edge", value)\nassert not (value < 0)\n'),
    "infinity": asserting('assert evidence("s0.edge", float("inf"))\n'),
    "None": asserting('evidence("s0.edge", None)\n'),
    "a text": asserting('assert evidence("s0.edge", "n/a")\n'),
    "twice until it holds": asserting('assert evidence("s0.edge", EDGE) or evidence("s0.edge", -EDGE)\n'),
    "evidence of another gate": asserting('assert evidence("s0.both.level", 0.3)\n'),
    "an or": asserting('assert evidence("s0.edge", EDGE) or True\n'),
    "one of two conditions": replacing('    share = evidence("s0.both.share", 0.7, n_obs=9)\n', "    share = True\n"),
    "an unserialisable property": asserting('evidence.record("evidence", object())\nassert evidence("s0.edge", EDGE)\n'),
    "a bound of its own": asserting(
        'from dataclasses import replace\nfrom reports.run.session import EvidenceRecorder\n'
        'loose = tuple(replace(each, bound=-9.0) for each in evidence.cell.thresholds)\n'
        'assert EvidenceRecorder(replace(evidence.cell, thresholds=loose), evidence.record)("s0.edge", EDGE)\n'
    ),
    "a threshold that always holds": asserting(
        'from reports.criteria.evidence import Threshold\nThreshold.holds = lambda self, value: True\nassert evidence("s0.edge", EDGE)\n'
    ),
    "death at import": replacing("\n\nEDGE", "\n\nimport os\n\nos._exit(0)\nEDGE"),
    "a fixture named evidence": replacing(TEST, f"import pytest\n\n\n@pytest.fixture\ndef evidence():\n    return lambda *args, **kwargs: True\n\n\n{TEST}"),
    "multipliers of its own": replacing("def test_no_shard_loses(", "import pytest\n\n\n@pytest.mark.parametrize('cost_multiplier', [0.0])\ndef test_no_shard_loses("),
    "a losing test of a class": replacing(TEST + '    """The edge is positive."""\n' + ASSERTION, "class TestEdge:\n    def test_edge(self, evidence):\n        assert True\n"),
}  # fmt: skip

# ------------------------------------------------------------------------------------------------ hooks that change what is reported

HOOKS: Final = {
    "trims items": "def pytest_collection_modifyitems(items):\n    items[:] = [item for item in items if 'edge' not in item.name]\n",
    "ignores the module": "def pytest_ignore_collect(collection_path):\n    return 'tiny' in collection_path.name or None\n",
    "runs nothing": "def pytest_runtestloop(session):\n    return True\n",
    "skips the protocol": "def pytest_runtest_protocol(item, nextitem):\n    return True if 'edge' in item.name else None\n",
    "does not call": "def pytest_pyfunc_call(pyfuncitem):\n    return True\n",
    "calls it passed": (
        "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport(item, call):\n    report = yield\n    report.outcome = 'passed'\n    return report\n"
    ),
    "drops evidence": "@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_logreport(report):\n    report.outcome = 'passed'\n    report.user_properties = []\n",
    "sets the exit status": "@pytest.hookimpl(trylast=True)\ndef pytest_sessionfinish(session):\n    session.exitstatus = 0\n",
    "dies at session finish": "@pytest.hookimpl(tryfirst=True)\ndef pytest_sessionfinish(session):\n    os._exit(0)\n",
    "dies when the interpreter ends": "import atexit\natexit.register(os._exit, 0)\n",
    "dies at configure": "os._exit(0)\n",
    "rewrites the json report": "def pytest_json_modifyreport(json_report):\n    json_report['exitcode'] = 0\n    for test in json_report['tests']:\n        test['outcome'] = 'passed'\n",
    "writes the stream's end early": (
        "@pytest.hookimpl(trylast=True)\ndef pytest_sessionstart(session):\n    (run,) = sessions_named_by(os.environ)\n"
        "    if not is_worker(session.config):\n        with run.stream_path.open('a') as stream:\n            stream.write('{\"event\": \"finished\", \"exit\": 0}\\n')\n"
    ),
    "drops failures from the stream": (
        "from reports.criteria.stream import StreamWriter\nhonest = StreamWriter.write\n"
        "StreamWriter.write = lambda self, event, **rest: None if rest.get('outcome') == 'failed' else honest(self, event, **rest)\n"
    ),
    "calls failures passed in the stream": (
        "from reports.criteria.stream import StreamWriter\nhonest = StreamWriter.write\n"
        "StreamWriter.write = lambda self, event, **rest: honest(self, event, **{**rest, **({'outcome': 'passed'} if 'outcome' in rest else {})})\n"
    ),
    "adds a test that nobody asked for": (
        "def pytest_itemcollected(item):\n    if 'edge' in item.name:\n        item._nodeid = item.nodeid.replace('test_edge', 'test_other')\n"
    ),
}  # fmt: skip

# ------------------------------------------------------------------------------------------------ acts on the record while gates run

ACTS: Final = {
    "edits the freeze": "session.freeze_path.write_bytes(session.freeze_path.read_bytes() + b' ')\n",
    "edits the policy": "(repository / 'gates' / 'policy.toml').open('a').write('# looser')\n",
    "edits the data": "session.candidate.data_path.open('ab').write(b'x')\n",
    "edits the candidate": "session.freeze.candidate_path(session.places).open('a').write('# more')\n",
    "adds a module": "(repository / 'engines' / 'more.py').touch()\n",
    "removes the stream": "session.stream_path.unlink()\n",
    "truncates the stream": "os.truncate(session.stream_path, 10)\n",
    "removes the pack": "shutil.rmtree(session.stream_path.parent)\n",
    "writes into the registry": "(root / 'gate_results' / 'gate_registry.csv').open('a').write('2,FINISHED,s0\\n')\n",
    "empties the registry": "(root / 'gate_results' / 'gate_registry.csv').write_text('')\n",
    "interrupts the supervisor": "os.kill(os.getppid() if 'PYTEST_XDIST_WORKER' not in os.environ else os.getpgrp(), signal.SIGTERM)\n",
}  # fmt: skip

# ------------------------------------------------------------------------------------------------ the code tree


def assumed_unchanged(ground: Ground, flag: str = "--assume-unchanged") -> None:
    """Tell git not to look at a gate, then make it win."""
    ground.lose()
    ground.commit()
    git(ground.repository, "update-index", flag, "gates/s0/test_tiny.py")
    rewrite(ground.gate, "EDGE = -0.5", "EDGE = 0.5")


def filtered(ground: Ground) -> None:
    """Have git see a winning gate as the losing one that is committed."""
    ground.lose()
    (ground.repository / ".gitattributes").write_text("gates/s0/test_tiny.py filter=lose\n", encoding="utf-8")
    ground.commit()
    git(ground.repository, "config", "filter.lose.clean", "sed s/^EDGE.*/EDGE\\ =\\ -0.5/")
    rewrite(ground.gate, "EDGE = -0.5", "EDGE = 0.5")
    os.utime(ground.gate, (1, 1))


def linked_gate(ground: Ground) -> None:
    """Commit a link in place of a gate, so that what runs lies elsewhere."""
    outside = ground.desk.workspace.parent / "outside.py"
    shutil.move(ground.gate, outside)
    ground.gate.symlink_to(outside)
    ground.commit()


def replaced_commit(ground: Ground) -> None:
    """Have git take a winning commit for the losing one."""
    losing(ground)
    old = git(ground.repository, "rev-parse", "HEAD").strip()
    rewrite(ground.gate, "EDGE = -0.5", "EDGE = 0.5")
    ground.commit()
    new = git(ground.repository, "rev-parse", "HEAD").strip()
    git(ground.repository, "replace", old, new)
    git(ground.repository, "reset", "--quiet", "--hard", old)
    ground.gate.touch()


def untracked(name: str, source: str = "") -> Callable[[Ground], None]:
    """A file that git does not know."""

    def prepare(ground: Ground) -> None:
        losing(ground)
        (ground.repository / name).write_text(source, encoding="utf-8")

    return prepare


def ignored(name: str) -> Callable[[Ground], None]:
    """A module that git was told to ignore."""

    def prepare(ground: Ground) -> None:
        losing(ground)
        (ground.repository / ".git" / "info" / "exclude").write_text(f"{name}\n", encoding="utf-8")
        (ground.repository / name).touch()

    return prepare


def committed_conftest(ground: Ground) -> None:
    """A conftest.py of the stage folder, committed."""
    ground.lose()
    (ground.repository / "gates" / "s0" / "conftest.py").write_text(HOOKS["trims items"], encoding="utf-8")
    ground.commit()


def conftest_beside(ground: Ground) -> None:
    """A conftest.py beside the candidate."""
    losing(ground)
    (ground.desk.candidate.parent / "conftest.py").write_text(HOOKS["trims items"], encoding="utf-8")


def hidden_conftest(ground: Ground) -> None:
    """A conftest.py beside the candidate that denies its name."""
    losing(ground)
    (ground.desk.candidate.parent / "conftest.py").write_text("del __file__\n", encoding="utf-8")


def settings_beside(ground: Ground) -> None:
    """A pytest.ini in the repository, which would win over pyproject.toml."""
    ground.lose()
    (ground.repository / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n", encoding="utf-8")
    ground.commit()


def row_without_test(ground: Ground) -> None:
    """Remove the losing test and leave its row."""
    ground.lose()
    rewrite(ground.gate, TEST + '    """The edge is positive."""\n' + ASSERTION, "")
    ground.commit()


def loosened(ground: Ground) -> None:
    """A candidate that asks for a looser bound."""
    losing(ground)
    rewrite(ground.desk.candidate, "[data]", '[policy]\n"s0.edge" = -9.0\n\n[data]')


TREE: Final = (
    Attempt("assume-unchanged", assumed_unchanged, allowed=REFUSED),
    Attempt("skip-worktree", lambda ground: assumed_unchanged(ground, "--skip-worktree"), allowed=REFUSED),
    Attempt("a clean filter", filtered, allowed=REFUSED),
    Attempt("a committed link", linked_gate, allowed=REFUSED),
    Attempt("a replaced commit", replaced_commit, allowed=REFUSED),
    Attempt("an untracked conftest.py", untracked("gates/s0/conftest.py"), allowed=REFUSED),
    Attempt("an untracked plugin", untracked("sitecustomize.py"), allowed=REFUSED),
    Attempt("an untracked configuration", untracked("pytest.ini", "[pytest]\n"), allowed=REFUSED),
    Attempt("an ignored module", ignored("engines/evil.py"), allowed=REFUSED),
    Attempt("an ignored module at the top", ignored("sitecustomize.py"), allowed=REFUSED),
    Attempt("a committed conftest.py in the stage", committed_conftest, allowed=REFUSED),
    Attempt("a conftest.py beside the candidate", conftest_beside, allowed=REFUSED),
    Attempt("a conftest.py that denies its name", hidden_conftest, allowed=REFUSED),
    Attempt("a committed pytest.ini", settings_beside, allowed=REFUSED),
    Attempt("a dirty gate", lambda ground: ground.lose(), allowed=REFUSED),
    Attempt("a row without a test", row_without_test, allowed=NOT_BACK),
    Attempt("a loosened threshold", loosened, allowed=REFUSED),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------ the record


def registry_of(ground: Ground) -> Path:
    return ground.desk.workspace / "gate_results" / "gate_registry.csv"


def edited_lines(edit: Callable[[list[bytes]], list[bytes]]) -> Callable[[Ground], None]:
    """The registry with its lines edited."""

    def prepare(ground: Ground) -> None:
        path = registry_of(ground)
        path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))

    return prepare


def relinked(edit: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> Callable[[Ground], None]:
    """The registry with its rows edited and the whole chain rebuilt, every hash right."""

    def prepare(ground: Ground) -> None:
        path = registry_of(ground)
        header = path.read_bytes().split(b"\n")[0]
        previous, lines = sha256_bytes(header), [header + b"\n"]
        for seq, cells in enumerate(edit([dict(row) for row in read_chain(path.read_bytes()).rows]), 1):
            row = link({**dict.fromkeys(COLUMNS, ""), **cells}, seq, previous)
            previous = row.row_hash
            lines.append(row.raw if row.raw.endswith(b"\n") else row.raw + b"\n")
        path.write_bytes(b"".join(lines))

    return prepare


def forged_pass(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """A STARTED and a FINISHED PASS of s1 for which no run was made, written by hand."""
    started, finished = ({**row, "stage": "s1", "run_id": "20260101T000000Z-00000000"} for row in rows[:2])
    return [*rows, started, {**finished, "report": rows[1]["report"]}]


def forged_with_pack(ground: Ground) -> None:
    """The same with a pack: the one of s0 under the name of s1."""
    source = ground.desk.pack("s0")
    target = source.with_name(source.name.replace("scope_freeze", "baseline_validation"))
    shutil.copytree(source, target)
    for suffix in ("json", "md"):
        (target / f"scope_freeze_report.{suffix}").rename(target / f"baseline_validation_report.{suffix}")
    report = f"gate_results/{target.name}/baseline_validation_report.json"
    relinked(lambda rows: [*rows, {**rows[0], "stage": "s1"}, {**rows[1], "stage": "s1", "report": report}])(ground)


def mended_report(ground: Ground) -> None:
    """A failed S1 whose report and MANIFEST are rewritten as a pass."""
    pack = ground.desk.pack("s0")
    path = pack / "scope_freeze_report.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"owner": "otto"}), encoding="utf-8")
    names = sorted(
        each.relative_to(pack).as_posix() for each in pack.rglob("*") if each.is_file() and each.name != "MANIFEST"
    )
    (pack / "MANIFEST").write_text("".join(f"{sha256_file(pack / name)}  {name}\n" for name in names), encoding="utf-8")


def changed_freeze(ground: Ground) -> None:
    """A frozen bound made looser."""
    rewrite(ground.desk.workspace / "runs" / "freeze" / f"{TAG}.freeze.json", '"s1.ic_mean"', '"s1.ic_mean" ')


def changed_data(ground: Ground) -> None:
    """One byte of the prices."""
    path = ground.desk.candidate.parent / "market" / "prices.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def changed_policy(ground: Ground) -> None:
    """A looser policy, committed after the freeze."""
    rewrite(ground.repository / "gates" / "policy.toml", 'relation = ">", bound = 0.0', 'relation = ">", bound = -9.0')
    ground.commit()


def twice(ground: Ground) -> int:
    """Fail, mend the gate by a commit, and run the same tag again."""
    ground.run("s0")
    rewrite(ground.gate, "EDGE = -0.5", "EDGE = 0.5")
    ground.commit()
    return ground.run("s0")


def without_the_row(ground: Ground) -> int:
    """Fail, mend the gate, remove the registry and the freeze, and run the same tag again: the memory of its head stands."""
    ground.run("s0")
    rewrite(ground.gate, "EDGE = -0.5", "EDGE = 0.5")
    ground.commit()
    registry_of(ground).unlink()
    shutil.rmtree(ground.desk.workspace / "runs" / "freeze")
    return ground.run("s0")


def two_at_once(ground: Ground) -> int:
    """Two runs of one stage of one tag at the same moment: one is refused, and its exit status is told."""
    running = [ground.desk.start(TAG, "s0") for _ in range(2)]
    for process in running:
        process.communicate()
    return max(process.returncode for process in running)


def lying_baseline(ground: Ground) -> None:
    """A gate that makes its figure up, in a repository of its own from s0 on."""
    rewrite(ground.repository / "gates" / "s1" / "test_baseline.py", "baseline.ic.mean()", "0.9")
    ground.commit()


def lying_everywhere(ground: Ground) -> None:
    """Hooks that replace the figure wherever it is reported, so that every witness agrees."""
    with (ground.repository / "conftest.py").open("a", encoding="utf-8") as file:
        file.write(
            "\n\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_logreport(report):\n    for _, entry in report.user_properties:\n        entry['value'] = 0.9\n"
        )
    ground.commit()


def from_s0(prepare: Callable[[Ground], None]) -> Callable[[Ground], int]:
    """Prepare, pass s0 honestly in the changed repository, then run s1."""

    def run(ground: Ground) -> int:
        prepare(ground)
        assert ground.run("s0") == 0
        return ground.run("s1")

    return run


EDITED: Final = {
    "a deleted row": edited_lines(lambda lines: [*lines[:1], *lines[2:]]),
    "an edited row": edited_lines(lambda lines: [line.replace(OWNER.encode(), b"otto") for line in lines]),
    "an inserted row": edited_lines(lambda lines: [*lines[:2], lines[1], *lines[2:]]),
    "the last row dropped": edited_lines(lambda lines: lines[:-1]),
    "no registry": lambda ground: registry_of(ground).unlink(),
    "a rebuilt chain": relinked(lambda rows: [{**row, "owner": "otto"} for row in rows]),
    "an edited report and MANIFEST": mended_report,
    "an edited freeze": changed_freeze,
    "edited data": changed_data,
    "a loosened policy": changed_policy,
    "another package": lambda ground: rewrite(
        ground.desk.workspace / "runs" / "freeze" / f"{TAG}.freeze.json", '"packages_sha256": "', '"packages_sha256": "0'
    ),
}  # fmt: skip

RECORD: Final = (
    *(Attempt(f"{name} before s1", prepare, "s1", "s0", allowed=REFUSED) for name, prepare in EDITED.items()),
    Attempt("a pass written by hand", relinked(forged_pass), "s2", "s0", allowed=REFUSED),
    Attempt("a pass written by hand, with a pack", forged_with_pack, "s2", "s0", allowed=REFUSED),
    Attempt("a stage left out", nothing, "s2", "s0", allowed=REFUSED),
    Attempt("the same tag again", losing, run=twice, allowed=REFUSED),
    Attempt("the same tag again, registry removed", losing, run=without_the_row, allowed=REFUSED),
    Attempt("a figure made up", nothing, run=from_s0(lying_baseline), allowed=FAIL),
    Attempt("a figure made up in every report", nothing, run=from_s0(lying_everywhere), allowed=FAIL),
)


# ------------------------------------------------------------------------------------------------ the sign-off


def sign(ground: Ground, name: str, key: Path | None = None) -> None:
    """Sign as a member of the committee; a refusal is an answer."""
    place = ("--role", name.partition("@")[0], "--key", str(key or ground.desk.key(name)))
    ground.warm.stagegate(ground.desk, "sign", TAG, *place)


def signers_file(ground: Ground) -> Path:
    return ground.desk.workspace / "docs" / "production_research" / "allowed_signers"


def stranger(ground: Ground) -> None:
    """A key that is on no list."""
    sign(ground, COMMITTEE[0])
    path = ground.desk.workspace.parent / "keys" / "stranger"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, stdin=subprocess.DEVNULL
    )
    sign(ground, COMMITTEE[1], path)


def one_person_twice(ground: Ground) -> None:
    """The first member's key listed under the second member's name."""
    lines = signers_file(ground).read_text(encoding="utf-8").splitlines()
    signers_file(ground).write_text(f"{lines[0]}\n{lines[0].replace(COMMITTEE[0], COMMITTEE[1])}\n", encoding="utf-8")
    sign(ground, COMMITTEE[0])
    sign(ground, COMMITTEE[0])


def copied_signature(ground: Ground) -> None:
    """The first member's signature filed under the second member's name."""
    sign(ground, COMMITTEE[0])
    folder = ground.desk.packet(TAG, "s3").parent / "signatures"
    for path in list(folder.iterdir()):
        (folder / path.name.replace(COMMITTEE[0], COMMITTEE[1])).write_bytes(path.read_bytes())


def edited_statement(ground: Ground) -> None:
    """A signed statement edited afterwards."""
    for name in COMMITTEE:
        sign(ground, name)
    statement = next((ground.desk.packet(TAG, "s3").parent / "signatures").glob("*.json"))
    statement.write_text(statement.read_text(encoding="utf-8").replace("PASS", "pass") + " ", encoding="utf-8")


SIGNATURES: Final = {
    "no signature": nothing,
    "one signature of two": lambda ground: sign(ground, COMMITTEE[0]),
    "the same member twice": lambda ground: [sign(ground, COMMITTEE[0]) for _ in range(2)],
    "a stranger's key": stranger,
    "one key under two names": one_person_twice,
    "a copied signature": copied_signature,
    "an edited statement": edited_statement,
}

SIGN_OFF: Final = tuple(
    Attempt(f"{name} at s4", prepare, "s4", "s3", allowed=("FAIL", "REFUSED")) for name, prepare in SIGNATURES.items()
)

RUNS: Final = (
    Attempt("a loser", losing, allowed=FAIL),
    *(Attempt(f"gate: {name}", prepare, allowed=NOT_BACK) for name, prepare in GATES.items()),
    *(Attempt(f"hook: {name}", hooked(source), allowed=NOT_BACK) for name, source in HOOKS.items()),
    *(Attempt(f"act: {name}", acting(body), allowed=NOT_BACK) for name, body in ACTS.items()),
)
RACE: Final = Attempt("two runs at once", nothing, run=two_at_once, allowed=("REFUSED", "PASS"))
"""One of the two may pass, once: the campaign counts the rows."""

ATTEMPTS: Final[tuple[Attempt, ...]] = (*ASKED, *RUNS, *TREE, *RECORD, *SIGN_OFF)
