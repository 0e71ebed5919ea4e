"""Token authentication of Ray clusters."""

from collections.abc import Iterator
from typing import Final

from rayfort import versions
from rayfort.policies.kinds import ray_clusters
from rayfort.policies.rule import Config, Finding, Level, Resource, ResourceRule, Unproven, Violation
from rayfort.policies.values import Node
from rayfort.ray.auth import MODE_VARIABLE, TOKEN_VARIABLE

_TOKEN: Final = "token"  # noqa: S105 - a mode's name
_TOKEN_VARIABLES: Final = (TOKEN_VARIABLE, f"{TOKEN_VARIABLE}_PATH")


def _token(resource: Resource, _: Config) -> Iterator[Finding]:
    for cluster in ray_clusters(resource):
        version = cluster["rayVersion"]
        if version.text and _too_old(version.text):
            yield Violation(
                version.where, f"has no token authentication; use {versions.RAY_TOKEN_AUTH} or newer"
            )
        mode = cluster.at("authOptions", "mode")
        told = [_has_token(spec) for spec in _nodes(cluster)]
        if mode.unknown:
            yield Unproven(mode.where)
        elif mode.value == _TOKEN or (not mode.text and all(told)):
            pass
        elif not mode.text and False not in told:
            yield Unproven(mode.where)
        else:
            # An empty authOptions makes a Secret and leaves authentication off.
            yield Violation(mode.where, "Ray runs anybody's code without authentication; set it to token")
        for container in _containers(cluster):
            yield from _switched_off(container)


def _too_old(version: str) -> bool:
    try:
        return not versions.at_least(version, versions.RAY_TOKEN_AUTH)
    except ValueError:
        return False


def _nodes(cluster: Node) -> Iterator[Node]:
    """What holds the Pods of each group."""
    yield cluster.at("headGroupSpec", "template", "spec")
    for group in cluster["workerGroupSpecs"].items():
        yield group.at("template", "spec")


def _containers(cluster: Node) -> Iterator[Node]:
    for spec in _nodes(cluster):
        for name in ("initContainers", "containers"):
            yield from spec[name].items()
    yield cluster["autoscalerOptions"]


def _has_token(spec: Node) -> bool | None:
    """Whether variables tell Ray's container to authenticate, as with an operator without authOptions.

    None where that is not known yet.
    """
    container = next(spec["containers"].items(), Node(None))
    variables = list(container["env"].items())
    values = {variable["name"].text: variable["value"] for variable in variables}
    mode = values.get(MODE_VARIABLE, Node(None))
    if mode.value == _TOKEN and any(name in values for name in _TOKEN_VARIABLES):
        return True
    return None if mode.unknown or any(each["name"].unknown for each in variables) else False


def _switched_off(container: Node) -> Iterator[Finding]:
    """A mode of one's own: KubeRay lets it win over authOptions."""
    for variable in container["env"].items():
        name, value = variable["name"], variable["value"]
        if variable.unknown or name.unknown:
            yield Unproven(variable.where)
        elif name.text == MODE_VARIABLE and value.unknown:
            yield Unproven(value.where)
        elif name.text == MODE_VARIABLE and value.value != _TOKEN:
            yield Violation(
                variable.where, f"{MODE_VARIABLE} other than token wins over authOptions; remove it"
            )


RULES: Final = (
    ResourceRule(
        name="ray-token-auth",
        description="Every Ray cluster authenticates its callers with a token.",
        why="Who reaches a Ray cluster without authentication runs code on it.",
        development=Level.MANDATORY,
        check=_token,
    ),
)
