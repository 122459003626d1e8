"""Records with bytes changed, cut, doubled and made up: do all readers answer, without an exception and without a write?"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path

from reports.record.durable import load_json
from reports.record.errors import RecordError, RequestRefused
from reports.record.workspace import Workspace
from reports.verification.pack_check import parse_manifest
from reports.verification.recover import recover
from reports.verification.verify import verify_workspace
from tests.faults.campaign import conclude, count_from_command_line, in_scratch
from tests.faults.hostile import mutate
from tests.reports.sample_record import begin, promote, run_stage, start


def campaign(folder: Path, count: int, seed: int) -> tuple[int, list[str]]:
    """Change one file of a record at a time; returns how many were answered, and what was raised or missed for the others."""
    generator = random.Random(seed)
    workspace = begin(folder / "desk")
    promote(workspace, stages=("s0", "s1"))
    run_stage(workspace, "carry-01", verdict="FAIL")
    start(workspace, "value-01")
    files = sorted(
        path for path in workspace.root.rglob("*") if path.is_file() and path.suffix not in (".lock", ".queue")
    )
    passed, problems = 0, []
    for number in range(count):
        path = generator.choice(files)
        original = path.read_bytes()
        changed = mutate(original, generator)
        path.write_bytes(changed)
        problem = attempt(workspace.root, changed, damaged=changed != original and path.suffix != ".toml")
        path.write_bytes(original)
        passed += not problem
        problems += [f"{number}: {path.name}: {problem}"] if problem else []
    return passed, problems


def attempt(root: Path, changed: bytes, *, damaged: bool) -> str:
    """What went wrong with reading; empty when every reader answered and the damage was seen."""
    try:
        parse_manifest(changed)
        verification = verify_workspace(Workspace(root))
    except Exception as error:  # noqa: BLE001 (that nothing is raised is what is tried here)
        return f"raised {error!r}"
    try:
        load_json(changed, "any")
    except RecordError:
        pass
    except Exception as error:  # noqa: BLE001 (as above)
        return f"load_json raised {error!r}"
    torn = any("torn" in finding.what for finding in verification.findings)
    if damaged and verification.exit_code not in (6, 8) and not torn:
        return "the damage was not seen"
    return recovery_problem(root)


def recovery_problem(root: Path) -> str:
    """What recovery on a copy raised besides a refusal; empty when nothing."""
    with tempfile.TemporaryDirectory(dir=root.parent) as place:
        copy = Path(shutil.copytree(root, Path(place, "desk")))
        try:
            recover(Workspace(copy))
        except (RecordError, RequestRefused):
            return ""
        except Exception as error:  # noqa: BLE001 (as above)
            return f"recover raised {error!r}"
    return ""


if __name__ == "__main__":
    asked = count_from_command_line(2000, __doc__)
    in_scratch(lambda scratch: conclude(*campaign(scratch, asked, int.from_bytes(os.urandom(4)))))
