"""Two tags of one family, the second superseding the first with another configuration: what a site is made of."""

from __future__ import annotations

import json

from engines.digest import sha256_bytes
from reports.record.durable import dump_json, make_directory, write_new
from reports.record.workspace import Workspace
from tests.reports.recorded_tag import FROZEN, cell, gate, record_stage
from tests.reports.sample_figures import sample_figures

FIRST, SECOND = "mom-2026-01", "mom-2026-02"
FAILING = {"s3.net_sharpe": gate(cell(-0.4, outcome="failed"))}


def two_tags(workspace: Workspace) -> None:
    """Record both from s0 to s3, with freezes and figures: the first fails at s3."""
    said = {"figures": sample_figures()}
    for tag, short, verdict in ((FIRST, 0.2, "FAIL"), (SECOND, 0.3, "PASS")):
        freeze = json.loads(FROZEN)
        freeze["candidate"]["config"]["portfolio"]["short_fraction"] = short
        data = dump_json(freeze)
        make_directory(workspace.freeze(tag).parent)
        write_new(workspace.freeze(tag), data)
        heir = {"supersedes": FIRST, "root_cause": "cost:turnover was too high"} if tag == SECOND else {}
        frozen = {"freeze_sha256": sha256_bytes(data), **heir}
        for stage in ("s0", "s1", "s2"):
            record_stage(workspace, tag, stage, **frozen)
        if verdict == "FAIL":
            weakest = ("s3.net_sharpe", "-0.4")
            record_stage(workspace, tag, "s3", verdict, FAILING, weakest=weakest, said=said, **frozen)
        else:
            record_stage(workspace, tag, "s3", said=said, **frozen)
