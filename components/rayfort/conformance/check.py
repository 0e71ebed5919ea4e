"""What a check is, and how one ends."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rayfort.conformance.observations import NotSeen, Observations

PLATFORM: Final = "platform"
NOTHING_TO_JUDGE: Final = "there is nothing here that it applies to"


class Status(StrEnum):
    """How a check ended. ``not run`` is never a pass: the reason says what was missing."""

    PASS = "pass"  # noqa: S105 - a word
    FAIL = "fail"
    NOT_RUN = "not run"


class Scope(StrEnum):
    """What a check is about: the platform as a whole, or each workspace on its own."""

    PLATFORM = "platform"
    WORKSPACE = "workspace"


class Seen(str):
    """What a judge found to be right; everything else that it yields is a problem."""

    __slots__ = ()


# Over the observations and a namespace, the workspace's (or nothing, for the platform): each problem as a
# text, and each thing that was found right as a `Seen`. It raises `NotSeen` where it cannot tell.
Judge = Callable[[Observations, str], Iterator[str]]


@dataclass(frozen=True)
class Check:
    """One thing that is verified.

    Attributes:
        name: for the command line; lower-case words with dashes.
        title: what holds where it passes.
        proves: the recipe, or the line of the security model, that it proves.
        remedy: what to do where it fails.
        judge: the judgement, over observations alone.
        scope: what it is about.
        probe: the kind of trial that it takes and that a Pod of its own makes; empty for none.
    """

    name: str
    title: str
    proves: str
    remedy: str
    judge: Judge
    scope: Scope = Scope.WORKSPACE
    probe: str = ""


@dataclass(frozen=True)
class Verdict:
    """How a check ended at one place.

    Attributes:
        check: the check.
        place: the workspace's name, or ``platform``.
        status: how it ended.
        details: the problems; where there are none, what was seen; where it did not run, the reason.
    """

    check: Check
    place: str
    status: Status
    details: tuple[str, ...]


def carry_out(check: Check, seen: Observations, place: str, namespace: str) -> Verdict:
    """Judge one place.

    Args:
        check: the check.
        seen: what was observed.
        place: the place's name, for the report.
        namespace: of the workspace; empty for the platform.
    """
    problems: list[str] = []
    right: list[str] = []
    try:
        for line in check.judge(seen, namespace):
            (right if isinstance(line, Seen) else problems).append(str(line))
    except NotSeen as error:
        # What was found wrong before is wrong in any case.
        if not problems:
            return Verdict(check, place, Status.NOT_RUN, (str(error),))
    if problems:
        return Verdict(check, place, Status.FAIL, tuple(dict.fromkeys(problems)))
    if not right:
        return Verdict(check, place, Status.NOT_RUN, (NOTHING_TO_JUDGE,))
    return Verdict(check, place, Status.PASS, tuple(dict.fromkeys(right)))
