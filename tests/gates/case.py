"""A planted defect and the thresholds it must break, no more and no less."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engines.study import Study
    from tests.gates.harness import Rehearsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One defect, planted in the honest candidate, its data, its measurements or its record, and what one stage must say of it.

    changes   pieces of the honest candidate.toml and what stands in their place
    files     damages or adds files in the candidate's folder before anything is frozen
    record    tampers with what was frozen or recorded, afterwards
    study     hands the gates a measured study with a part of it planted; everything else of the run stays real
    arguments handed to pytest
    tagged    run as a tagged run would, in which the code tree is judged too
    registry_seq  position of the registry that the freeze records: rows of `record` below it are its past

    fails     hard thresholds whose own measurement must break; shows: those of diagnostics; no others may
    unmeasured  gates that must fail without a measurement of their own, because what they measure cannot be had
    mentions  gate -> words that its message must hold
    """

    name: str
    stage: str
    fails: frozenset[str] = frozenset()
    shows: frozenset[str] = frozenset()
    unmeasured: frozenset[str] = frozenset()
    mentions: Mapping[str, str] = field(default_factory=dict)
    verdict: str = "FAIL"
    changes: Mapping[str, str] = field(default_factory=dict)
    files: Callable[[Path], None] | None = None
    record: Callable[[Rehearsed], None] | None = None
    study: Callable[[Study], Study] | None = None
    arguments: tuple[str, ...] = ()
    tagged: bool = False
    registry_seq: int = 0

    @property
    def thresholds(self) -> frozenset[str]:
        """Everything that this case proves able to break."""
        return self.fails | self.shows


def these(*names: str) -> frozenset[str]:
    """The set of these thresholds or gates."""
    return frozenset(names)
