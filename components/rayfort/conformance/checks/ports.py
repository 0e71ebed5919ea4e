"""Seed 002: the same ports in Services, RayCluster and Pods, as the table of `rayfort.ray.ports` has them."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from rayfort.conformance.check import Check, Seen
from rayfort.conformance.observations import Observations, containers, environment, labelled, name_of
from rayfort.labels import RAY_CLUSTER, RAY_NODE_TYPE
from rayfort.model import JsonObject
from rayfort.ray.headless_service import service_name
from rayfort.ray.ports import DeclaredBy, NodeRole, RayPort, RayPorts

START_LINE: Final = "KUBERAY_GEN_RAY_START_CMD"
_FLAG: Final = re.compile(r"--(?P<name>[a-z-]+)=(?P<value>\S+)")


def _agree(seen: Observations, namespace: str) -> Iterator[str]:
    for cluster in seen.of("RayCluster", namespace):
        problems = list(_cluster(seen, namespace, cluster))
        yield from problems
        if not problems:
            yield Seen(f"{name_of(cluster)}: Services, RayCluster and Pods have the same ports")


def _cluster(seen: Observations, namespace: str, cluster: JsonObject) -> Iterator[str]:
    name, spec = name_of(cluster), cluster["spec"]
    head = spec["headGroupSpec"]
    table = RayPorts().table
    told = head["rayStartParams"]
    for group in spec.get("workerGroupSpecs") or ():
        yield from _differ(
            f"{name}: worker group {group['groupName']}",
            _shared(table, group["rayStartParams"]),
            _shared(table, told),
        )
    service = seen.named("Service", namespace, service_name(name))
    if service is None:
        yield f"{name}: there is no headless Service {service_name(name)}"
    else:
        yield from _differ(f"Service {name_of(service)}", _of_service(service), _headless(table, told))
        if labelled_for(service) != name:
            yield f"Service {name_of(service)} does not select the nodes of {name}"
    container = next(containers(head["template"]["spec"], init=False))
    declared = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
    flags = {
        port.name: int(told[port.flags[0][0]])
        for port in _head(table)
        if port.flags and port.flags[0][0] in told
    }
    yield from _differ(f"{name}: ports of the head's container", declared | flags, declared)
    head_service = seen.named("Service", namespace, f"{name}-head-svc")
    if head_service is None:
        yield f"{name}: there is no Service {name}-head-svc"
    else:
        found = _of_service(head_service)
        yield from _differ(
            f"Service {name_of(head_service)}", {key: found.get(key) for key in declared}, declared
        )
    for pod in seen.ray_pods(namespace, name):
        yield from _pod(pod, told)


def started_with(pod: JsonObject) -> dict[str, str]:
    """The parameters of `ray start` in a Pod, as KubeRay handed them to it."""
    line = environment(next(containers(pod["spec"], init=False))).get(START_LINE, {}).get("value", "")
    return {found["name"]: found["value"] for found in _FLAG.finditer(line)}


def _pod(pod: JsonObject, told: Mapping[str, str]) -> Iterator[str]:
    started = started_with(pod)
    role = NodeRole(labelled(pod)[RAY_NODE_TYPE])
    wanted = {
        flag: told.get(flag) for port in RayPorts().table if role in port.roles for flag, _ in port.flags
    }
    yield from _differ(
        f"Pod {name_of(pod)}: `ray start`", {flag: started.get(flag) for flag in wanted}, wanted
    )


def labelled_for(service: JsonObject) -> str | None:
    """The Ray cluster whose Pods a Service selects."""
    selector = service["spec"].get("selector") or {}
    return selector.get(RAY_CLUSTER)


def _head(table: tuple[RayPort, ...]) -> Iterator[RayPort]:
    return (port for port in table if port.declared_by is DeclaredBy.HEAD_SERVICE)


def _shared(table: tuple[RayPort, ...], told: Mapping[str, str]) -> dict[str, str | None]:
    """The parameters of `ray start` that every node has."""
    return {
        flag: told.get(flag)
        for port in table
        if port.declared_by is DeclaredBy.HEADLESS_SERVICE
        for flag, _ in port.flags
    }


def _headless(table: tuple[RayPort, ...], told: Mapping[str, str]) -> dict[str, int]:
    """The ports that the headless Service must have for nodes that are told this."""
    wanted: dict[str, int] = {}
    for port in table:
        if port.declared_by is not DeclaredBy.HEADLESS_SERVICE:
            continue
        numbers = [int(told[flag]) for flag, _ in port.flags if flag in told]
        if not numbers:
            continue
        if port.first == port.last:
            wanted[port.name] = numbers[0]
        else:
            wanted |= {f"p{number}": number for number in range(min(numbers), max(numbers) + 1)}
    return wanted


def _of_service(service: JsonObject) -> dict[str, int]:
    return {port["name"]: port["port"] for port in service["spec"].get("ports", ())}


def _differ(where: str, found: Mapping[str, object], wanted: Mapping[str, object]) -> Iterator[str]:
    for key in sorted(found.keys() | wanted.keys()):
        one, other = found.get(key), wanted.get(key)
        if one != other:
            yield f"{where}: {key} is {_said(one)}, and {_said(other)} elsewhere"


def _said(value: object) -> str:
    return "missing" if value is None else str(value)


CHECKS: Final = (
    Check(
        "ports-agree",
        "Services, RayCluster and Pods have the same ports",
        "seed 002: a port that the headless Service lacks is plaintext to the mesh, and refused",
        "set ports in `ports` of the Ray cluster alone, and run `pulumi up --refresh`",
        _agree,
    ),
)
