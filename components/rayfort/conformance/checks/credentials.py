"""Seed 000 and 001: no credential where it can be read without the right to read Secrets."""

from collections.abc import Iterator
from typing import Final

from rayfort import labels
from rayfort.conformance.check import Check, Scope, Seen
from rayfort.conformance.observations import Observations, labelled, name_of, namespace_of
from rayfort.conformance.redact import marks

# Everything that is read of a namespace, but for Secrets.
SEARCHED: Final = (
    "RayCluster",
    "RayJob",
    "RayService",
    "RayCronJob",
    "Pod",
    "Deployment",
    "Job",
    "Service",
    "ServiceAccount",
    "ConfigMap",
)


def _workspace(seen: Observations, namespace: str) -> Iterator[str]:
    yield from _search(seen, {namespace})


def _platform(seen: Observations, _: str) -> Iterator[str]:
    """The namespaces of the platform's workloads and of kbatch's users."""
    owners = [namespace_of(item) for item in seen.all("Deployment")]
    made = [
        name_of(item) for item in seen.all("Namespace") if labels.common().items() <= labelled(item).items()
    ]
    yield from _search(seen, {*owners, *made} - set(seen.workspaces.values()))


def _search(seen: Observations, namespaces: set[str]) -> Iterator[str]:
    count = 0
    for kind in SEARCHED:
        for item in seen.all(kind):
            if namespace_of(item) in namespaces:
                count += 1
                for path in marks(item):
                    yield f"{kind} {namespace_of(item)}/{name_of(item)}: a credential at {path}"
    if count:
        yield Seen(f"none in {count} objects")


_REMEDY: Final = (
    "put it into a Secret (`netrc`, secretKeyRef) and remove it here; then change it, since it was readable"
)

CHECKS: Final = (
    Check(
        "no-credential-in-workspace",
        "No specification, variable, annotation or URI of the workspace holds a credential",
        "seed 000: credentials never stand in a URI; security model: secrets travel by reference",
        _REMEDY,
        _workspace,
    ),
    Check(
        "no-credential-in-platform",
        "No specification, variable, annotation or URI of the platform holds a credential",
        "security model: secrets travel by reference",
        _REMEDY,
        _platform,
        Scope.PLATFORM,
    ),
)
