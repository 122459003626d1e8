"""Attempts by gates that do not measure, hooks that change what is reported, and acts on the record while gates run."""

from __future__ import annotations

from typing import Final

from tests.faults.attempts.preparing import (
    ASSERTION,
    FAIL,
    NOT_BACK,
    TEST,
    acting,
    asserting,
    decorated,
    hooked,
    losing,
    replacing,
)
from tests.faults.tiny_suite import Attempt

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
    "evidence after the assertion": asserting('value = EDGE\ntry:\n    assert value > 0\n    evidence("s0.edge", value)\nexcept AssertionError:\n    pass\n'),
    "evidence in the teardown": replacing(TEST, f"import pytest\n\n\n@pytest.fixture(autouse=True)\ndef later(request, evidence):\n    yield\n    if 'edge' in request.node.name:\n        evidence('s0.edge', 0.5)\n\n\n{TEST.replace('evidence', '')}"),
    "evidence in the setup": replacing(TEST, f"import pytest\n\n\n@pytest.fixture(autouse=True)\ndef sooner(request, evidence):\n    if 'test_edge' in request.node.name:\n        evidence('s0.edge', 0.5)\n\n\n{TEST}"),
    "evidence under another cell's name": replacing('evidence("s0.shard_net_t", 1.0 / cost_multiplier, n_obs=9)', 'evidence("s0.edge", 1.0) if cost_multiplier == 2.0 else evidence("s0.shard_net_t", 1.0)'),
    "evidence written by hand": asserting('evidence.record("evidence", {"threshold": {"id": "s0.edge", "relation": ">", "bound": -9.0, "unit": "units", "scale": 1.0}, "value": EDGE, "n_obs": 1, "note": "", "interval": None})\n'),
    "evidence under a bound of its own relation": asserting('evidence.record("evidence", {"threshold": {"id": "s0.edge", "relation": "<", "bound": 0.0, "unit": "units", "scale": 1.0}, "value": EDGE, "n_obs": 1, "note": "", "interval": None})\n'),
    "evidence as a text of a number": asserting('evidence.record("evidence", {"threshold": {"id": "s0.edge", "relation": ">", "bound": 0.0, "unit": "units", "scale": 1.0}, "value": "0.5", "n_obs": 1, "note": "", "interval": None})\n'),
    "evidence that is true": asserting('evidence.record("evidence", {"threshold": {"id": "s0.edge", "relation": ">", "bound": 0.0, "unit": "units", "scale": 1.0}, "value": [0.5], "n_obs": 1, "note": "", "interval": None})\n'),
    "a number that always compares well": asserting('class Good(float):\n    def __gt__(self, other):\n        return True\n\nassert evidence("s0.edge", Good(EDGE))\n'),
    "a thread that goes on": asserting('import threading, time\nthreading.Thread(target=time.sleep, args=(3,)).start()\nassert evidence("s0.edge", EDGE)\n'),
    "a suppressed failure": asserting('import contextlib\nwith contextlib.suppress(AssertionError):\n    assert evidence("s0.edge", EDGE)\n'),
    "an assertion in a thread": asserting('import threading\ndef judge():\n    assert evidence("s0.edge", EDGE)\nthread = threading.Thread(target=judge)\nthread.start()\nthread.join()\n'),
    "a coroutine": replacing(TEST, "async " + TEST),
    "a generator": asserting('yield evidence("s0.edge", EDGE)\n'),
    "a decorator that swallows": replacing(TEST, f"def kind(test):\n    def test_edge(evidence):\n        try:\n            test(evidence)\n        except AssertionError:\n            pass\n    return test_edge\n\n\n@kind\n{TEST}"),
    "an assertion switched off": replacing("\n\nEDGE", "\n\nimport builtins\n\nbuiltins.AssertionError = type('Quiet', (Exception,), {})\nEDGE"),
    "a plugin registered by the gate": replacing("\n\nEDGE", "\n\nimport pytest\n\n\nclass Kind:\n    @pytest.hookimpl(tryfirst=True)\n    def pytest_runtest_logreport(self, report):\n        report.outcome = 'passed'\n\n\n@pytest.fixture(autouse=True, scope='session')\ndef kind(pytestconfig):\n    pytestconfig.pluginmanager.register(Kind())\n\n\nEDGE"),
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
        "@pytest.hookimpl(trylast=True)\ndef pytest_sessionstart(session):\n    from reports.run.session import sessions_named_by\n    (run,) = sessions_named_by(os.environ)\n"
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

FORGER: Final = (
    "import time\n"
    "report = session.stream_path.parent / 'pytest_report.json'\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    while not (report.exists() and report.stat().st_size):\n"
    "        time.sleep(0.001)\n"
    "    time.sleep(0.05)\n"
    "    for path in (report, session.stream_path):\n"
    "        path.write_text(path.read_text().replace('failed', 'passed'))\n"
    "    time.sleep(9)\n"
    "    os._exit(0)\n"
    "evidence('s0.edge', 0.5)\n"
    "assert False\n"
)
"""Fails, and leaves behind a process that rewrites both files once they are there."""

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
    "edits the data and mends them": "path = session.candidate.data_path\nkept = path.read_bytes()\npath.write_bytes(kept[:-1])\npath.write_bytes(kept)\n",
    "edits a gate and mends it": "path = repository / 'gates' / 's1' / 'test_baseline.py'\nkept = path.read_bytes()\npath.write_bytes(kept[:-1])\npath.write_bytes(kept)\n",
    "swaps the candidate and back": "path = session.freeze.candidate_path(session.places)\nshutil.copy2(path, str(path) + '.kept')\nos.replace(str(path) + '.kept', path)\n",
    "leaves a process behind": "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n",
    "adds a line to the stream": "session.stream_path.open('a').write('{\"event\": \"finished\", \"exit\": 0}\\n')\n",
    "repeats a line of the stream": "lines = session.stream_path.read_text().splitlines(keepends=True)\nsession.stream_path.open('a').write(lines[0] + lines[-1])\n",
    "makes the stream a link": "kept = session.stream_path.with_suffix('.kept')\nsession.stream_path.rename(kept)\nsession.stream_path.symlink_to('/dev/null')\n",
    "makes the json report a folder": "(session.stream_path.parent / 'pytest_report.json').mkdir()\n",
    "forks a forger": FORGER,
    "changes the limits of files": "import resource\nresource.prlimit(os.getpgrp() if 'PYTEST_XDIST_WORKER' in os.environ else 0, resource.RLIMIT_FSIZE, (10, 10))\n",
    "goes to another folder": "shutil.rmtree(repository / 'gates' / 's1')\nos.chdir('/')\n",
    "interrupts the supervisor": "os.kill(os.getppid() if 'PYTEST_XDIST_WORKER' not in os.environ else os.getpgrp(), signal.SIGTERM)\n",
}  # fmt: skip


RUNS: Final = (
    Attempt("a loser", losing, allowed=FAIL),
    *(Attempt(f"gate: {name}", prepare, allowed=NOT_BACK) for name, prepare in GATES.items()),
    *(Attempt(f"hook: {name}", hooked(source), allowed=NOT_BACK) for name, source in HOOKS.items()),
    *(Attempt(f"act: {name}", acting(body), allowed=NOT_BACK) for name, body in ACTS.items()),
)
