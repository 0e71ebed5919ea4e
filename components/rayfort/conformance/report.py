"""The judgement of a whole platform, and what it was a judgement of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Final

from rayfort.conformance.check import PLATFORM, Check, Scope, Status, Verdict, carry_out
from rayfort.conformance.checks import ALL
from rayfort.conformance.checks.mesh import istiods
from rayfort.conformance.observations import NotSeen, Observations, containers, name_of, namespace_of
from rayfort.model import JsonObject
from rayfort.ray import operator

UNKNOWN: Final = "unknown"
DISTRIBUTION: Final = "rayfort"


@dataclass(frozen=True)
class Report:
    """What was verified, and how it ended.

    Attributes:
        date: when it was looked at, in UTC.
        cluster: the cluster's identity: context, server, version and the uid of ``kube-system``.
        versions: what was found of Rayfort, Istio, KubeRay and Ray.
        verdicts: how each check ended at each place, the platform's first.
        probe: whether the probe's Pods were made.
    """

    date: datetime
    cluster: Mapping[str, str]
    versions: Mapping[str, str]
    verdicts: tuple[Verdict, ...]
    probe: bool = False

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(verdict.status is Status.FAIL for verdict in self.verdicts)

    @property
    def counts(self) -> dict[Status, int]:
        """How many verdicts ended how."""
        return {status: sum(each.status is status for each in self.verdicts) for status in Status}

    @property
    def places(self) -> dict[str, list[Verdict]]:
        """The verdicts by place, in order."""
        found: dict[str, list[Verdict]] = {}
        for verdict in self.verdicts:
            found.setdefault(verdict.place, []).append(verdict)
        return found


def judge(
    seen: Observations,
    checks: Iterable[Check] | None = None,
    *,
    probe: bool = False,
    date: datetime | None = None,
) -> Report:
    """Judge what was seen; nothing else is asked.

    Args:
        seen: the observations.
        checks: which checks; all of them by default.
        probe: whether the probe's Pods were made.
        date: when it was looked at; now by default.
    """
    chosen = list(ALL.values() if checks is None else checks)
    places = {PLATFORM: ""} | seen.workspaces
    verdicts = tuple(
        carry_out(check, seen, place, namespace)
        for place, namespace in places.items()
        for check in chosen
        if (check.scope is Scope.PLATFORM) == (place == PLATFORM and not namespace)
    )
    return Report(date or datetime.now(UTC), seen.cluster, versions(seen), verdicts, probe)


def versions(seen: Observations) -> dict[str, str]:
    """The versions that were found, by what has them."""
    try:
        own = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        own = UNKNOWN
    rays = {
        f"{namespace_of(item)}/{name_of(item)}: {item['spec'].get('rayVersion', UNKNOWN)}"
        for item in seen.objects.get("RayCluster", ())
    }
    return {
        "rayfort": own,
        "istio": _tags(_istiods(seen)),
        "kuberay": _tags(_operators(seen)),
        "ray": ", ".join(sorted(rays)) or UNKNOWN,
    }


def _istiods(seen: Observations) -> list[JsonObject]:
    try:
        return istiods(seen)
    except NotSeen:
        return []


def _operators(seen: Observations) -> list[JsonObject]:
    try:
        return seen.deployments(operator.RELEASE)
    except NotSeen:
        return []


def _tags(deployments: list[JsonObject]) -> str:
    """The tags of their images."""
    found = {
        each["image"].partition("@")[0].rpartition("/")[2].partition(":")[2] or UNKNOWN
        for item in deployments
        for each in containers(item["spec"]["template"]["spec"], init=False)
    }
    return ", ".join(sorted(found)) or UNKNOWN
