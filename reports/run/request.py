"""What a person asked for, read against an allowlist before anything else happens.

A tagged run accepts a stage folder, the options of this project, `-n` and pure presentation. Everything else could select, reorder, reconfigure
or reload what is judged, and is refused by name rather than filtered: a person should know that it was not done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from reports.record.errors import RequestRefused
from reports.record.workspace import STAGES, check_tag

OWN_OPTIONS: Final[dict[str, str]] = {
    "--candidate": "candidate.toml to freeze (s0) or to rehearse",
    "--candidates": "quoted pattern of candidate files: a batch, judged in one run, each by itself",
    "--decision-tag-prefix": "record a batch: the tag of each candidate is PREFIX-name",
    "--decision-tag": "record this run under a tag; without it the run is a rehearsal and nothing is recorded",
    "--owner": "who answers for the candidate (s0)",
    "--workspace": "folder that holds runs/, gate_results/ and docs/production_research/ (default: the repository)",
    "--supersedes": "the tag that this one replaces (s0, after a tag that did not pass)",
    "--root-cause": 'why the superseded tag did not pass, as CLASS:"text"; data, code, parameter, environment, policy or external (s0)',
    "--cost-multipliers": "which frozen multipliers are judged; must hold 1.5 and 2.0 (default: all)",
    "--wf-shards": "states the number of shards; must equal the freeze",
    "--threads": "total of compute threads, shared among workers (default: one a worker)",
    "--live": "with gates/s4 and --decision-tag: daily returns of the promoted book; monitors as `stagegate monitor` does",
    "--positions": "with --live: the book, as date, symbol, weight [, signal]",
    "--data": "with --live: the candidate's price file as it has grown",
    "--as-of": "with --live: the day that is judged (default: today)",
    "--textfile": "with --live: also write the answer for Prometheus",
}
LIVE_OPTIONS: Final = ("--live", "--positions", "--data", "--as-of", "--textfile")
"""Options of a monitoring, none of a recorded run."""
LIVE_FILES: Final = ("--live", "--positions", "--data", "--textfile")

OWN_FLAGS: Final[dict[str, str]] = {
    "--unofficial": "let s2 or s3 run on a machine below the profile; the result is recorded and promotes nothing"
}

PRESENTATION_FLAGS: Final = frozenset(
    {"-v", "-vv", "-vvv", "--verbose", "-q", "-qq", "--quiet", "--no-header", "--no-summary", "-l", "--showlocals"}
)
PRESENTATION_OPTIONS: Final = frozenset(
    {"--tb", "--color", "--durations", "--durations-min", "-r", "--code-highlight", "--show-capture"}
)
PROCESS_OPTIONS: Final = frozenset({"-n", "--numprocesses"})

HARMLESS_VARIABLES: Final = frozenset(
    {
        "PYTHONUNBUFFERED",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONIOENCODING",
        "PYTHONUTF8",
        "PYTHONFAULTHANDLER",
        "PYTHONHASHSEED",
        "PYTEST_VERSION",
        "PYTEST_CURRENT_TEST",
        "PYTEST_THEME",
        "PYTEST_THEME_MODE",
        "PYTEST_XDIST_WORKER",
        "PYTEST_XDIST_WORKER_COUNT",
        "PYTEST_XDIST_TESTRUNUID",
    }
)
"""Variables of pytest and Python that cannot change what is judged (the child gets none of them): recorded, not refused."""

KNOWN_PLUGINS: Final = frozenset({"hypothesis", "pytest-json-report", "pytest-metadata", "pytest-xdist", "typeguard"})
"""Distributions of the lock that bring a plugin of pytest; another one could change what runs."""

GUARDED_PREFIXES: Final = ("PYTHON", "PYTEST", "STAGEGATE_RUN", "LD_", "DYLD_", "OPENSSL_")
"""Of Python, pytest and this project, of the linker, and of the library that computes hashes: each can bring other code into a process."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A tagged run as asked for, after the allowlist.

    folder: where the command was typed. pattern: which candidates a batch is asked of; `tag` is then the prefix of their tags, until reports.run.batch makes a request of each.
    name: what the candidate goes by in its batch. siblings: tags of the batch that test the same family.
    """

    stage: str
    tag: str
    workspace: Path
    repository: Path
    candidate: Path | None
    owner: str | None
    unofficial: bool
    supersedes: str | None
    root_cause: str | None
    cost_multipliers: tuple[float, ...] | None
    wf_shards: int | None
    threads: int | None
    processes: str
    presentation: tuple[str, ...]
    arguments: tuple[str, ...]
    variables: Mapping[str, str]
    folder: Path = Path()
    pattern: str | None = None
    name: str = ""
    siblings: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        """The command line as the person typed it."""
        return ("pytest", *self.arguments)


def refuse(what: str, remedy: str, where: str = "command line") -> RequestRefused:
    """A refusal of the command line or environment."""
    return RequestRefused(what, where=where, remedy=remedy)


def check_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The guarded variables that are set and harmless; RequestRefused for one that could change what runs."""
    guarded = {name: value for name, value in environ.items() if name.startswith(GUARDED_PREFIXES)}
    for name in sorted(guarded.keys() - HARMLESS_VARIABLES):
        raise refuse(
            f"the environment sets {name}, which can change what runs: expected it unset, found {guarded[name][:80]!r}",
            f"unset {name} and repeat",
            where="environment",
        )
    if sys.flags.optimize:
        raise refuse(
            f"python runs with -O, which removes assertions: expected level 0, found {sys.flags.optimize}",
            "start python without -O",
            where="environment",
        )
    return guarded


def _tokens(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """(option, value) or ("", positional) for each argument. RequestRefused for anything outside the allowlist."""
    rest = iter(arguments)
    for token in rest:
        name, equals, value = token.partition("=")
        if not token.startswith("-"):
            yield "", token
        elif name in OWN_OPTIONS.keys() | PROCESS_OPTIONS | PRESENTATION_OPTIONS:
            found = value if equals else next(rest, None)
            if found is None:
                raise refuse(f"{name} has no value: expected one after it, found nothing", f"write {name} VALUE")
            yield name, found
        elif token in OWN_FLAGS.keys() | PRESENTATION_FLAGS:
            yield token, None
        elif token[:2] in ("-n", "-r") and not token.startswith("--"):
            yield token[:2], token[2:]
        else:
            raise refuse(
                f"{token} may select, reorder, reconfigure or reload what is judged, and a tagged run takes none of it: expected the options below, found {token!r}",
                "leave it out, or rehearse without --decision-tag; a tagged run takes -n, -v, -q, --tb, --color, --durations and "
                + ", ".join((*OWN_OPTIONS, *OWN_FLAGS)),
            )


def monitor_command(
    arguments: Sequence[str], environ: Mapping[str, str], *, invocation_dir: Path, repository: Path
) -> tuple[str, ...]:
    """`pytest gates/s4 --live ..` as the arguments of `stagegate`: one thing, two spellings. RequestRefused for anything that is not part of it."""
    check_environment(environ)
    found = [
        (name, value) for name, value in _tokens(arguments) if name not in PRESENTATION_OPTIONS | PRESENTATION_FLAGS
    ]
    folders = [value for name, value in found if not name and value is not None]
    options = {name: value for name, value in found if name}
    if _stage(folders, invocation_dir, repository) != "s4" or "--decision-tag" not in options:
        raise refuse(
            "--live monitors a promoted tag: expected one, found no --decision-tag",
            "pytest gates/s4 --live FILE --decision-tag TAG",
        )
    strange = sorted(options.keys() - {*LIVE_OPTIONS, "--decision-tag", "--workspace"})
    if strange or len(options) != len(found) - len(folders):
        name = strange[0] if strange else "an option"
        raise refuse(
            f"{name} {'does not go with --live' if strange else 'stands twice'}: expected what a monitoring takes, each once, found {name}",
            "leave it out",
        )
    place = _folder(options.get("--workspace"), invocation_dir, repository)
    files = {name: str(invocation_dir / value) for name, value in options.items() if value and name in LIVE_FILES}
    day = {name: value for name, value in options.items() if name == "--as-of" and value}
    rest = [word for pair in {**files, **day, "--workspace": str(place)}.items() for word in pair]
    return ("monitor", check_tag(options["--decision-tag"] or ""), *rest)


def parse_request(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    invocation_dir: Path,
    repository: Path,
    inifile: Path | None,
) -> RunRequest:
    """The request that a command line and an environment make. RequestRefused names the rule, what was found and what to do."""
    variables = check_environment(environ)
    options: dict[str, str] = {}
    folders: list[str] = []
    flags: set[str] = set()
    presentation: list[str] = []
    for name, value in _tokens(arguments):
        if value is None:
            (flags.add if name in OWN_FLAGS else presentation.append)(name)
        elif name in LIVE_OPTIONS:
            raise refuse(
                f"{name} belongs to a monitoring: expected it beside --live, found it without",
                "leave it out of a recorded run",
            )
        elif not name:
            folders.append(value)
        elif name in PRESENTATION_OPTIONS:
            presentation.extend((name + value,) if name == "-r" else (f"{name}={value}",))
        elif name in options:
            raise refuse(
                f"{name} stands twice: expected it once, found {options[name]!r} and {value!r}", f"write {name} once"
            )
        else:
            options[name] = value
    if inifile is None or inifile.resolve() != (repository / "pyproject.toml").resolve():
        raise refuse(
            f"pytest took its configuration from elsewhere: expected pyproject.toml of the repository, found {inifile}",
            "run from the repository without -c",
        )
    refuse_unquoted(folders)
    return RunRequest(
        stage=_stage(folders, invocation_dir, repository),
        tag=_tag(options),
        workspace=_folder(options.get("--workspace"), invocation_dir, repository),
        repository=repository,
        candidate=invocation_dir / options["--candidate"] if "--candidate" in options else None,
        owner=_one_line(options, "--owner"),
        unofficial="--unofficial" in flags,
        supersedes=check_tag(options["--supersedes"]) if "--supersedes" in options else None,
        root_cause=_one_line(options, "--root-cause"),
        cost_multipliers=_multipliers(options.get("--cost-multipliers")),
        wf_shards=_count(options, "--wf-shards"),
        threads=_count(options, "--threads"),
        processes=_processes(options),
        presentation=tuple(presentation),
        arguments=tuple(arguments),
        variables=variables,
        folder=invocation_dir,
        pattern=options.get("--candidates"),
    )


def _tag(options: Mapping[str, str]) -> str:
    """The tag of one candidate, or the prefix of a batch's tags."""
    one, prefix = options.get("--decision-tag"), options.get("--decision-tag-prefix")
    if "--candidates" in options and "--candidate" in options:
        raise refuse(
            "--candidate and --candidates stand together: expected one of them, found both", "write one of them"
        )
    if (one is None) is (prefix is None):
        raise refuse(
            "--decision-tag and --decision-tag-prefix stand together: expected one of them, found both",
            "write one of them",
        )
    if (prefix is None) is ("--candidates" in options):
        raise refuse(
            "a recorded batch needs --candidates and --decision-tag-prefix: expected both, found one of them",
            "write both, or --candidate and --decision-tag for one candidate",
        )
    return check_tag(one or prefix or "")


def refuse_unquoted(positional: Iterable[str]) -> None:
    """RequestRefused when the shell has put the files of a pattern on the command line."""
    loose = [argument for argument in positional if argument.endswith(".toml")]
    if loose:
        raise refuse(
            f"{loose[0]} stands on the command line by itself, expected a quoted pattern, found what the shell made of it",
            "quote it: --candidates 'candidates/*.toml'",
            where="--candidates",
        )


def _stage(folders: Sequence[str], invocation_dir: Path, repository: Path) -> str:
    wanted = ", ".join(f"gates/{stage}" for stage in STAGES)
    if len(folders) != 1:
        raise refuse(
            f"a tagged run takes one stage folder: expected 1, found {len(folders)}: {' '.join(folders) or 'none'}",
            f"name one of {wanted}",
        )
    path = (invocation_dir / folders[0]).resolve()
    for stage in STAGES:
        if path == (repository / "gates" / stage).resolve():
            return stage
    raise refuse(
        f"{folders[0]} is no stage folder of this repository: expected one of {wanted}, found {path}",
        f"name one of {wanted}; a part of a stage can only be rehearsed",
    )


def _folder(value: str | None, invocation_dir: Path, repository: Path) -> Path:
    if value is None:
        return repository
    path = (invocation_dir / value).resolve()
    if not path.is_dir():
        raise refuse(
            f"the workspace {value} is no folder: expected a folder, found {'a file' if path.exists() else 'nothing'}",
            "create it, or name an existing one",
            where="--workspace",
        )
    return path


def _one_line(options: Mapping[str, str], name: str) -> str | None:
    value = options.get(name)
    if value is None:
        return None
    if not value.strip() or not value.isprintable() or len(value) > 500:
        raise refuse(
            f"{name} is empty, longer than 500 characters or holds control characters: expected one plain line, found {value[:40]!r}",
            "write one plain line",
            where=name,
        )
    return value.strip()


def _multipliers(value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        found = tuple(float(part) for part in value.split(","))
    except ValueError:
        raise refuse(
            f"{value!r} is no list of multipliers: expected numbers and commas, found {value[:40]!r}",
            "write them as 1.5,2.0",
            where="--cost-multipliers",
        ) from None
    if not {1.5, 2.0} <= set(found) or len(set(found)) != len(found):
        raise refuse(
            f"{value!r} does not hold 1.5 and 2.0 once each: expected both among distinct numbers, found {found}",
            "a run is judged at least at 1.5 and 2.0",
            where="--cost-multipliers",
        )
    return tuple(sorted(found))


def _count(options: Mapping[str, str], name: str) -> int | None:
    value = options.get(name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 1024:
        raise refuse(
            f"{value!r} is no number from 1 to 1024: expected digits, found {value[:40]!r}",
            f"write {name} 4",
            where=name,
        )
    return int(value)


def _processes(options: Mapping[str, str]) -> str:
    value = options.get("-n", options.get("--numprocesses", "0"))
    if value in ("auto", "logical") or (value.isascii() and value.isdigit() and int(value) <= 256):
        return value
    raise refuse(
        f"{value!r} is no number of workers: expected 0 to 256, auto or logical, found {value[:40]!r}",
        "write -n 8, -n auto or leave it out",
        where="-n",
    )


def add_options(parser: pytest.Parser) -> None:
    """Declare this project's options to pytest."""
    group = parser.getgroup("stagegate", "stage gates")
    for name, text in OWN_OPTIONS.items():
        group.addoption(name, default=None, help=text)
    for name, text in OWN_FLAGS.items():
        group.addoption(name, action="store_true", default=False, help=text)


def is_recorded(config: pytest.Config) -> bool:
    """Whether the command line asks for a record."""
    return any(config.getoption(name) is not None for name in ("--decision-tag", "--decision-tag-prefix"))


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of xdist's workers."""
    return hasattr(config, "workerinput")


def tagged_request(config: pytest.Config, repository: Path) -> RunRequest:
    """The request of a tagged run, from the raw command line and environment. RequestRefused as `parse_request`, or for a foreign conftest."""
    check_plugins(config, repository)
    invocation = config.invocation_params
    return parse_request(
        [str(argument) for argument in invocation.args],
        os.environ,
        invocation_dir=invocation.dir,
        repository=repository,
        inifile=config.inipath,
    )


def check_plugins(config: pytest.Config, repository: Path) -> None:
    """RequestRefused when pytest loaded a conftest.py that is not the repository's own, or a plugin that the lock does not bring."""
    own = repository / "conftest.py"
    # a conftest.py is registered under its path, whatever it says of itself
    for path, _ in config.pluginmanager.list_name_plugin():
        if Path(path).name == "conftest.py" and Path(path).resolve() != own:
            raise RequestRefused(
                f"pytest loaded a foreign conftest.py: expected that of the repository alone, found {path}",
                where="conftest",
                remedy="move it away from the candidate and the stage folder: only the repository's conftest.py may be loaded",
            )
    for _, distribution in config.pluginmanager.list_plugin_distinfo():
        name = str(distribution.project_name).lower().replace("_", "-")
        if name not in KNOWN_PLUGINS:
            raise RequestRefused(
                f"pytest loaded a foreign plugin: expected those of {', '.join(sorted(KNOWN_PLUGINS))} alone, found one of {name}",
                where="plugins",
                remedy=f"pip uninstall {name}, or run from the environment that ./scripts/setup.sh makes",
            )


def stages_asked(config: pytest.Config, repository: Path) -> tuple[str, ...]:
    """The stages whose folder, or something below it, an argument names; all for gates/ or the repository."""
    gates = repository / "gates"
    chosen = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    if any(path in (gates, repository) for path in chosen):
        return tuple(STAGES)
    return tuple(stage for stage in STAGES if any(gates / stage in (path, *path.parents) for path in chosen))


def workspace_of(config: pytest.Config, repository: Path) -> Path:
    """The folder that --workspace names to an untagged run, which keeps its cache there; the repository without it. RequestRefused for no folder."""
    return _folder(config.getoption("--workspace"), config.invocation_params.dir, repository)
