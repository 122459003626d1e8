"""The cache of what was computed: what lies there, whether it is whole, how much of it may stay. Nothing in it is a record."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from reports.desk.command_line import Answer, CommandLine, of, workspace_of

if TYPE_CHECKING:
    from engines.store_upkeep import Stored

DAMAGED: Final = 7
"""Exit status when a file is not what was written: it is built anew when it is asked for, and so can be recovered."""

SECONDS_A_DAY: Final = 86400.0
MEGABYTE: Final = 1e6


def add_commands(line: CommandLine) -> None:
    """cache."""
    cache = line.add("cache", keep_cache, "what is kept of computations: list it, check it, clear it, limit it")
    action = cache.add_mutually_exclusive_group()
    action.add_argument(
        "--verify", action="store_true", help="hash every file; exit 7 when one is not what was written"
    )
    action.add_argument(
        "--clear", metavar="KIND", help="delete entries of a kind (panel, signal, ..), damaged, partial, or all"
    )
    action.add_argument("--limit", metavar="GB", type=float, help="how much may lie there (20 unless told)")
    cache.add_argument(
        "--older-than", metavar="DAYS", type=float, default=0.0, help="with --clear: only what was not used for so long"
    )


def keep_cache(arguments: argparse.Namespace) -> Answer:
    """List the cache, or do what was asked with it."""
    from engines.store_upkeep import set_limit, stored

    root = workspace_of(arguments).cache
    if arguments.limit is not None:
        _demand_limit(arguments.limit)
        set_limit(root, arguments.limit)
    found = stored(root)
    if arguments.verify:
        return _verified(found)
    if arguments.clear is not None:
        return _cleared(arguments, found)
    return _listed(arguments, found)


def _demand_limit(gigabytes: float) -> None:
    from reports.record.errors import RequestRefused

    if not 0.0 < gigabytes < 1e6:
        raise RequestRefused(
            f"the limit of the cache is {gigabytes:g}, expected gigabytes above 0",
            where="--limit",
            remedy="name a number such as 20",
        )


def _listed(arguments: argparse.Namespace, found: tuple[Stored, ...]) -> Answer:
    from engines.store_upkeep import limit_bytes

    root = workspace_of(arguments).cache
    limit, used = limit_bytes(root), sum(one.size_bytes for one in found)
    lines = [entry_line(one) for one in reversed(found)]
    lines += [
        f"{of(len(found), 'entry').replace('entrys', 'entries')}, {used / MEGABYTE:.1f} MB of at most {limit / 1e9:g} GB, in {root}"
    ]
    return (
        {
            "schema": 1,
            "root": str(root),
            "limit_bytes": limit,
            "used_bytes": used,
            "entries": [entry_json(one) for one in reversed(found)],
        },
        lines,
        0,
    )


def entry_line(one: Stored) -> str:
    """kind, state, size, last use and origin of an entry."""
    return f"{one.kind:<10} {one.state:<8} {one.size_bytes / MEGABYTE:9.1f} MB  {_moment(one)}  {one.of}".rstrip()


def entry_json(one: Stored) -> dict[str, object]:
    """The same for --json."""
    return {
        "name": one.path.name,
        "kind": one.kind,
        "state": one.state,
        "size_bytes": one.size_bytes,
        "last_used_utc": _moment(one),
        "of": one.of,
    }


def _moment(one: Stored) -> str:
    return datetime.fromtimestamp(one.used, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _verified(found: tuple[Stored, ...]) -> Answer:
    from engines.store import damaged_files

    whole = [one for one in found if one.state == "whole"]
    wrong = {one.path.name: damaged_files(one.path) for one in whole if one.path.exists()}
    wrong = {name: files for name, files in wrong.items() if files}
    lines = [f"damaged  {name}: {', '.join(files)}; it will be built anew" for name, files in wrong.items()]
    lines += [f"{len(whole)} entries hashed, {len(wrong)} damaged"]
    return {"schema": 1, "hashed": len(whole), "damaged": wrong}, lines, DAMAGED if wrong else 0


def _cleared(arguments: argparse.Namespace, found: tuple[Stored, ...]) -> Answer:
    from engines.store_upkeep import remove
    from reports.record.errors import RequestRefused

    asked = arguments.clear
    chosen = [one for one in found if asked in ("all", one.kind, one.state)]
    known = sorted({one.kind for one in found} | {one.state for one in found if one.state != "whole"})
    if not chosen and asked not in ("all", "damaged", "partial"):
        raise RequestRefused(
            f"nothing of kind {asked} lies in the cache: expected one of {', '.join(known) or 'nothing'} or all",
            where="--clear",
            remedy="run `stagegate cache` to see what lies there",
        )
    latest = datetime.now(UTC).timestamp() - arguments.older_than * SECONDS_A_DAY
    went, held = remove(workspace_of(arguments).cache, (one for one in chosen if one.used <= latest))
    freed = sum(one.size_bytes for one in went)
    lines = [f"left     {one.path.name}: somebody is building it" for one in held]
    lines += [f"cleared  {len(went)} of {len(found)} entries, {freed / MEGABYTE:.1f} MB"]
    return (
        {
            "schema": 1,
            "cleared": [one.path.name for one in went],
            "left": [one.path.name for one in held],
            "freed_bytes": freed,
        },
        lines,
        0,
    )
