"""The record as a static site: every decision with search, filter and sort, a page a tag, families, failures, two tags side by side.

It opens from disk and from any server. Only our own script runs, held to by its hash; without it every table can be read all the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from reports.committee.signing import signoff_findings
from reports.desk.account import CellAccount
from reports.desk.failures import failures
from reports.desk.site_model import Described, TagView, describe, stem_of
from reports.pages.report_page import STAGE_TITLES, environment, style
from reports.record.clock import iso, utc_now
from reports.record.durable import dump_json, is_there, load_json, read_regular
from reports.record.errors import RecordError, RequestRefused
from reports.record.registry import settled_chain
from reports.record.workspace import STAGES, Workspace
from reports.verification.attestation import attestation_findings
from reports.verification.verify import verify_workspace

MARKER: Final = ".stagegate-site.json"
SHOWN_FINDINGS: Final = 10
HEADINGS: Final = (
    *((name, False) for name in ("tag", "stage", "state", "candidate", "family", "owner", "weakest gate")),
    ("margin in steps", True),
    ("net Sharpe x1.5", True),
    ("when", False),
)
BOXES: Final = {"PASS": "PASS", "FAIL": "FAIL"}
OUTCOMES: Final = {"PASS": "passed", "FAIL": "failed", "-": "absent"}


@dataclass(frozen=True, slots=True)
class WrittenSite:
    """What was written: the folder, how many tags and files, and what the record's verification found."""

    folder: str
    tags: int
    files: int
    findings: tuple[str, ...]


def write_site(workspace: Workspace, out: Path) -> WrittenSite:
    """Build the site of a workspace and put it at `out`, in the place of an earlier one.

    RequestRefused when something else is there, or something of another's lies in the earlier site.
    """
    earlier = _demand_ours(workspace, out)
    findings, made = site_files(workspace)
    made[MARKER] = dump_json({"schema": 1, "files": sorted(made)}).decode()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        fresh = Path(scratch) / "site"
        for name, text in made.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if earlier is not None:
            out.rename(Path(scratch) / "earlier")
        try:
            fresh.rename(out)
        except OSError:
            if earlier is not None:
                (Path(scratch) / "earlier").rename(out)
            raise
    return WrittenSite(str(out), sum(name.startswith("tags/") for name in made), len(made), findings)


def site_files(workspace: Workspace) -> tuple[tuple[str, ...], dict[str, str]]:
    """(what verification found, file name -> html) of the whole site."""
    checks = (signoff_findings, partial(attestation_findings, tag=None, key_paths=()))
    verified = verify_workspace(workspace, checks=checks)
    findings = tuple(str(finding) for finding in verified.findings if finding.kind != "note")
    try:
        rows = tuple(row for row in settled_chain(workspace).rows if row["stage"] in STAGES)
    except RecordError:
        rows = ()
    at = utc_now()
    described = describe(workspace, rows, at)
    known = {view.tag: view for view in described.tags}
    site = _Site(_told(findings), f"Made {iso(at)} of {verified.rows} rows, head {verified.head[:12] or 'unknown'}.")
    made = dict(_pages(site, described))
    patterns = [(pattern, stem_of(pattern.last_tag)) for pattern in failures(workspace, rows)]
    made["failures.html"] = site.page("failures", "Failure patterns", patterns=patterns)
    made |= {f"tags/{view.stem}.html": _tag_page(site, view, known) for view in described.tags}
    made |= {f"reports/{name}": page for name, page in described.pages.items()}
    return findings, made


@dataclass(frozen=True, slots=True)
class _Site:
    """What every page has: the findings of verification, and of what it was made."""

    warnings: tuple[str, ...]
    made: str

    def page(self, template: str, heading: str, *, up: str = "", scripted: bool = False, **values: Any) -> str:
        """One page. `up`: the way from its folder to the site's."""
        script = _ours("site.js") if scripted else ""
        return (
            environment()
            .get_template(f"site_{template}.html.jinja")
            .render(
                style=style() + _ours("site.css"),
                script=script,
                script_hash=_hash(script),
                warnings=self.warnings,
                heading=heading,
                up=up,
                here="" if up else f"{template}.html",
                made=self.made,
                **values,
            )
        )


def _pages(site: _Site, described: Described) -> Iterator[tuple[str, str]]:
    """The pages over all tags."""
    entries = [_entry(view) for view in described.tags]
    yield (
        "index.html",
        site.page(
            "index",
            "Decisions",
            scripted=bool(entries),
            entries=entries,
            headings=HEADINGS,
            states=sorted({entry["state"] for entry in entries}),
            families=sorted({entry["family"] for entry in entries}),
        ),
    )
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        groups.setdefault(entry["family"], []).append(entry)
    listed = [(name, f"Tags on record: {len(rows)}", rows) for name, rows in sorted(groups.items())]
    yield "families.html", site.page("families", "Families and their trials", groups=listed)
    compared = {view.tag: _compared(view) for view in described.tags}
    data = embedded(compared)
    page = site.page("compare", "Two tags side by side", scripted=bool(entries), tags=list(compared), data=data)
    yield "compare.html", page


def _entry(view: TagView) -> dict[str, Any]:
    searched = " ".join(f"{row['root_cause']} {row['detail']} {row['supersedes']}" for row in view.rows)
    return {
        **{name: getattr(view, name) for name in ("stem", "tag", "stage", "state", "marks", "candidate", "family")},
        **{name: getattr(view, name) for name in ("owner", "weakest_gate", "margin", "sharpe", "utc", "trials")},
        "dsr": view.deflated_sharpe,
        "klass": OUTCOMES.get(view.state, "aside"),
        "searched": " ".join(searched.split()),
    }


def _tag_page(site: _Site, view: TagView, known: Mapping[str, TagView]) -> str:
    facts = [("candidate", view.candidate), ("family", view.family), ("owner", view.owner)]
    facts += [("next command", view.next_command)] if view.next_command else []
    stages = [
        {
            **asdict(stage),
            "title": STAGE_TITLES[stage.stage],
            "klass": OUTCOMES.get(stage.state, "aside"),
            "note": "" if stage.official else "unofficial",
        }
        for stage in view.stages
    ]
    entry = {
        **_entry(view),
        "box": BOXES.get(view.state, "INCOMPLETE"),
        "waits_for": view.waits_for,
        "facts": facts,
        "before": view.supersedes,
        "before_stem": stem_of(view.supersedes) if view.supersedes in known else "",
        "after": view.superseded_by,
        "after_stem": stem_of(view.superseded_by),
        "link": quote(view.tag, safe=""),
        "stages": stages,
        "gate_rows": [_gate_row(cell) for cell in view.cells],
        "config_rows": list(view.config.items()),
        "config_note": view.config_fault or "The configuration is empty.",
        "rows": [
            (row["seq"], row["event"], row["stage"], row["verdict"] or "-", row["official"], row["owner"], row["utc"], _said(row))
            for row in view.rows
        ],
    }  # fmt: skip
    return site.page("tag", view.tag, up="../", e=entry)


def _said(row: Mapping[str, str]) -> str:
    return "; ".join(text for text in (row["detail"], row["root_cause"]) if text) or "-"


def _gate_row(cell: CellAccount) -> tuple[str, ...]:
    bound = "-" if cell.bound is None else f"{cell.relation} {cell.bound:.4g}"
    measured, margin = ("-" if value is None else f"{value:.4g}" for value in (cell.measured, cell.margin))
    return cell.gate, cell.cell, cell.outcome, measured, bound, margin


def _compared(view: TagView) -> dict[str, Any]:
    """What the script needs of one tag."""
    facts = {
        **{name: getattr(view, name) for name in ("candidate", "family", "owner")},
        "state": f"{view.stage} {view.state}",
        "net Sharpe x1.5": view.sharpe,
        "deflated Sharpe": view.deflated_sharpe,
    }
    gates = {}
    for cell in view.cells:
        gate, where, outcome, measured, bound, _ = _gate_row(cell)
        gates[gate] = f"{outcome}: {measured} ({bound})" + ("" if where == "-" else f" at {where}")
    curve = [(day, round(value, 6)) for day, value in view.curve]
    return {"facts": facts, "config": dict(view.config), "gates": gates, "curve": curve}


def embedded(value: Any) -> Any:
    """`value` as JSON that may stand inside a script element: no character of it can end the element or begin another."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)  # noqa: S704


def _ours(name: str) -> Any:
    from markupsafe import Markup

    return Markup((files("reports.pages") / "templates" / name).read_text(encoding="utf-8"))  # noqa: S704


def _hash(script: str) -> str:
    """The script as a Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _told(findings: Sequence[str]) -> tuple[str, ...]:
    more = len(findings) - SHOWN_FINDINGS
    return (*findings[:SHOWN_FINDINGS], *((f"and {more} more",) if more > 0 else ()))


def _demand_ours(workspace: Workspace, out: Path) -> Path | None:
    """`out` when an earlier site and nothing else is there, None when nothing is there. RequestRefused otherwise."""
    if out.resolve().is_relative_to(workspace.gate_results.resolve()):
        raise _refused("a site may not lie among the packs", out)
    if not is_there(out):
        return None
    if out.is_symlink() or not out.is_dir():
        raise _refused("is no folder", out)
    found = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    if found and MARKER not in found:
        raise _refused("holds files and no earlier site", out)
    strange = sorted(found - _listed(out)) if found else []
    if strange:
        raise _refused(f"the earlier site holds what is not of it, such as {strange[0]}", out)
    return out


def _listed(out: Path) -> set[str]:
    """What an earlier site says is of it, folders too."""
    marker = load_json(read_regular(out / MARKER), str(out / MARKER))
    listed = marker.get("files") if isinstance(marker, dict) else None
    names = set(map(str, listed)) if isinstance(listed, list) else set()
    return {MARKER, *names, *(Path(name).parent.as_posix() for name in names)}


def _refused(what: str, out: Path) -> RequestRefused:
    return RequestRefused(what, where=str(out), remedy="name a new folder, or an earlier site, with --out")
