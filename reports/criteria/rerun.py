"""What a new tag owes when the last one did not pass: a root cause, and something that differs.

A root cause is `CLASS:text`. Every class but `external` is a part of the freeze in which it would show; what differs between two freezes is computed
here and never stated by a person. After a FAIL an empty difference is refused, for the same inputs give the same verdict. A difference
outside the named class is taken and shown as a warning on every report of the tag: either the cause was another one, or more was changed than the cause
asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Record = Mapping[str, Any]
"""A freeze as parsed."""

HASHED: Final = frozenset({"name", "data.path", "data.reference"})
"""Keys of a configuration that decide nothing: a name, and files whose contents are hashed by themselves."""

PROSE: Final = frozenset({"hypothesis", "universe_constraints", "protocol_version", "costs.source"})
"""Keys that are read by people: that they are written decides, the words do not."""

PLACEHOLDER: Final = re.compile(
    r"\s*(|to-?do|tbd|n/?a|none|null|xxx+|\?+|-+|\.+|fixme|placeholder|unknown|<.*>|\[.*\])\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs between two freezes: in which class of root cause it shows, what it is, and both values as text."""

    part: str
    what: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.part}: {self.what}: {self.old} -> {self.new}"


def deciding_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a configuration that decide numbers, by dotted key; of inputs declared absent, that they are."""
    return dict(_settings(config, ""))


def _settings(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if key in HASHED:
            continue
        if key in PROSE:
            yield key, written(value)
        elif key == "data.absent":
            yield from ((f"{key}.{absent}", "declared absent") for absent in value)
        elif isinstance(value, Mapping):
            yield from _settings(value, f"{key}.")
        else:
            yield key, value


def written(text: object) -> str:
    """`written`, or `not written` for what is empty or a placeholder."""
    return "not written" if PLACEHOLDER.fullmatch(str(text)) else "written"


DIFFERENCE_PARTS: Final[dict[str, Callable[[Record], object]]] = {
    "data": lambda record: (record["data"]["sha256"], _hashes_of_inputs(record, lambda name: name != "signal")),
    "code": lambda record: (record["code"]["tree_sha256"], _hashes_of_inputs(record, lambda name: name == "signal")),
    "parameter": lambda record: (deciding_settings(record["candidate"]["config"]), written(record["owner"])),
    "environment": lambda record: record["packages_sha256"],
    "policy": lambda record: (record["policy_sha256"], record["settings_sha256"]),
}
"""Class of root cause -> the part of a freeze in which it would show."""

ROOT_CAUSES: Final = (*DIFFERENCE_PARTS, "external")
_ROOT_CAUSE: Final = re.compile(r"([a-z]+):\s*(\S.*)")


def _hashes_of_inputs(record: Record, chosen: Callable[[str], bool]) -> list[tuple[str, str]]:
    return sorted((name, entry["sha256"]) for name, entry in record["inputs"].items() if chosen(name))


def difference(old: Record, new: Record) -> tuple[str, ...]:
    """In which classes two freezes differ: what changed between a tag and the one it supersedes."""
    return tuple(name for name, part in DIFFERENCE_PARTS.items() if part(old) != part(new))


def root_cause_class(root_cause: str) -> str:
    """The class of a root cause; empty when it is not spelled CLASS:text with a known class."""
    match = _ROOT_CAUSE.fullmatch(root_cause)
    return match[1] if match and match[1] in ROOT_CAUSES else ""


def rerun_warnings(history: Record) -> tuple[str, ...]:
    """What the history of a freeze says that its named root cause does not explain: one sentence for each class that differs besides."""
    named = root_cause_class(history["root_cause"] or "")
    besides = [part for part in history["differs_in"] if part != named]
    warned = [
        f"the root cause is of class {named}, and {part} differs from {history['supersedes']} too: see `stagegate explain`"
        for part in besides
    ]
    if named in DIFFERENCE_PARTS and history["must_differ"] and named not in history["differs_in"]:
        warned.insert(
            0, f"the root cause is of class {named}, and its {named} is the same as that of {history['supersedes']}"
        )
    return tuple(warned) if history["supersedes"] else ()


def changes(old: Record, new: Record) -> tuple[Change, ...]:
    """Everything that differs between two freezes, setting by setting, file by file and bound by bound."""
    return (*_file_changes(old, new), *_code_changes(old, new), *_setting_changes(old, new), *_policy_changes(old, new))


def _file_changes(old: Record, new: Record) -> Iterator[Change]:
    before, after = _hashes(old), _hashes(new)
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            part = "code" if name == "signal" else "data"
            yield Change(part, name, _short(before.get(name)), _short(after.get(name)))


def _hashes(record: Record) -> dict[str, str]:
    return {"data": record["data"]["sha256"]} | {name: entry["sha256"] for name, entry in record["inputs"].items()}


def _code_changes(old: Record, new: Record) -> Iterator[Change]:
    if old["code"]["tree_sha256"] != new["code"]["tree_sha256"]:
        yield Change("code", "code tree, commit", _short(old["code"]["git_commit"]), _short(new["code"]["git_commit"]))
    if old["packages_sha256"] != new["packages_sha256"]:
        yield Change("environment", "packages", _short(old["packages_sha256"]), _short(new["packages_sha256"]))


def _setting_changes(old: Record, new: Record) -> Iterator[Change]:
    before, after = (
        deciding_settings(record["candidate"]["config"]) | {"owner": written(record["owner"])} for record in (old, new)
    )
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            yield Change("parameter", key, _text(before.get(key)), _text(after.get(key)))


def _policy_changes(old: Record, new: Record) -> Iterator[Change]:
    if old["policy_sha256"] != new["policy_sha256"]:
        before, after = _bounds(old["expected"]), _bounds(new["expected"])
        for name in dict.fromkeys((*before, *after)):
            if before.get(name) != after.get(name):
                yield Change("policy", name, before.get(name, "not asked"), after.get(name, "not asked"))
    if old["policy_sha256"] != new["policy_sha256"]:
        yield Change("policy", "policy.toml", _short(old["policy_sha256"]), _short(new["policy_sha256"]))
    if old["settings_sha256"] != new["settings_sha256"]:
        yield Change("policy", "stagegate.toml", _short(old["settings_sha256"]), _short(new["settings_sha256"]))


def _bounds(expected: Sequence[Record]) -> dict[str, str]:
    """Every frozen bound by the name of its threshold."""
    return {
        threshold["id"]: f"{threshold['relation']} {threshold['bound']:g}"
        for cell in expected
        for threshold in cell["thresholds"]
    }


def _short(digest: str | None) -> str:
    return (digest or "none").removeprefix("sha256:").removeprefix("git:")[:12]


def _text(value: object) -> str:
    return "not set" if value is None else str(value)
