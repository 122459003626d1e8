"""A batch: many candidates in one run, each judged by itself.

A pattern names candidate files; each candidate goes by the name in its file. One name, or two that a reader takes for one, stop the batch before
anything is frozen or measured, for a name becomes a tag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from engines.candidate import load_candidate
from engines.errors import CandidateError
from reports.record.errors import RequestRefused
from reports.record.workspace import check_tag
from reports.run.request import RunRequest, refuse_unquoted

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SEPARATORS: Final = re.compile(r"[._-]+")


def chosen_candidates(config: pytest.Config, otherwise: Path) -> dict[str, Path]:
    """Name in the batch -> file of the candidates that an untagged command line names; one without a name when it names no batch.

    RequestRefused for a batch that cannot be told apart, CandidateError for a file that is no candidate.
    """
    one, pattern = config.getoption("--candidate"), config.getoption("--candidates")
    folder = config.invocation_params.dir
    if pattern is None:
        return {"": folder / one if one else otherwise}
    refuse_unquoted(config.args)
    if one is not None:
        raise RequestRefused(
            "--candidate and --candidates stand together", where="command line", remedy="write one of them"
        )
    return batch_files(pattern, folder)


def candidate_files(request: RunRequest) -> tuple[Path, ...]:
    """The candidate files that a recorded request names. RequestRefused and CandidateError as `batch_files`."""
    if request.pattern is not None:
        return tuple(batch_files(request.pattern, request.folder).values())
    return () if request.candidate is None else (request.candidate,)


def requests_of(request: RunRequest) -> tuple[RunRequest, ...]:
    """One request a candidate: the request itself, or of a batch one for each file of its pattern, under the tag PREFIX-name.

    After s0 the tag says which candidate it is, and the file must still be the one that was frozen. RequestRefused and CandidateError as `batch_files`.
    """
    if request.pattern is None:
        return (request,)
    files = batch_files(request.pattern, request.folder)
    tags = {name: check_tag(f"{request.tag}-{name}") for name in files}
    families = {name: load_candidate(path).family for name, path in files.items()}
    return tuple(
        replace(
            request,
            tag=tags[name],
            candidate=path,
            name=name,
            supersedes=f"{request.supersedes}-{name}" if request.supersedes else None,
            siblings=tuple(tags[other] for other in files if other != name and families[other] == families[name]),
        )
        for name, path in files.items()
    )


def batch_files(pattern: str, folder: Path) -> dict[str, Path]:
    """Name -> file of every candidate that `pattern` matches below `folder`, in the order of their paths.

    RequestRefused when nothing matches, two files are one, or two names cannot be told apart; CandidateError when a file is no candidate.
    """
    paths = _matching(pattern, folder)
    if not paths:
        raise _refused(f"no file matches {pattern!r} in {folder}", "name existing candidate files")
    named: dict[str, Path] = {}
    alike: dict[str, str] = {}
    for path in paths:
        name = _name_of(path)
        twin = alike.setdefault(_SEPARATORS.sub("-", name).casefold(), name)
        if name in named:
            raise _refused(
                f"{named[name]} and {path} are both named {name}",
                "give each candidate a name of its own: it becomes a tag",
            )
        if twin != name:
            raise _refused(
                f"the names {twin} ({named[twin]}) and {name} ({path}) look alike",
                "choose names that a reader can tell apart",
            )
        named[name] = path
    _refuse_one_file_twice(named)
    return named


def _matching(pattern: str, folder: Path) -> list[Path]:
    whole = folder / pattern
    try:
        return sorted(Path(whole.anchor).glob(str(whole.relative_to(whole.anchor))))
    except ValueError as error:
        raise _refused(f"{pattern!r} is no pattern: {error}", "write it as 'candidates/*.toml'") from error


def _name_of(path: Path) -> str:
    name = load_candidate(path).name
    if NAME.fullmatch(name) and ".." not in name and not name.endswith("."):
        return name
    raise CandidateError(
        f"{name!r} cannot be part of a tag",
        where=str(path),
        remedy="name the candidates of a batch with ASCII letters, digits, '.', '_' and '-'",
    )


def _refuse_one_file_twice(named: Mapping[str, Path]) -> None:
    real: dict[Path, Path] = {}
    for path in named.values():
        first = real.setdefault(path.resolve(), path)
        if first != path:
            raise _refused(f"{first} and {path} are one file", "name each file once")


def _refused(what: str, remedy: str) -> RequestRefused:
    return RequestRefused(what, where="--candidates", remedy=remedy)
