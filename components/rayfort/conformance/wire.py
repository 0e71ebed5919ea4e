"""What Ray's nodes answer to Pods without a sidecar, from two places (see `probe`)."""

from collections.abc import Collection, Mapping
from typing import Final

from rayfort.conformance import probe
from rayfort.conformance.checks.ports import started_with
from rayfort.conformance.checks.transport import FENCE, WIRE
from rayfort.conformance.cluster import ClusterError, Connection
from rayfort.conformance.nodes import declared_ports, heads_of, pods_of, port_of, role_of, running
from rayfort.conformance.observations import NOT_SEEN, NotSeen, Observations, containers, namespace_of
from rayfort.conformance.probe import Place, Target
from rayfort.conformance.trials import Answers, Note
from rayfort.model import JsonObject
from rayfort.ray import operator
from rayfort.ray.ports import NodeRole, RayPorts

NO_OPERATOR: Final = "there is no operator, whose namespace is let in"
_NODES_KNOCKED: Final = 3  # of each Ray cluster: a policy holds for all alike


def probes(
    connection: Connection, seen: Observations, kinds: Collection[str], note: Note
) -> dict[str, Answers]:
    """What Ray's nodes answer to Pods without a sidecar, by the kind of trial."""
    if not kinds:
        return {}
    heads: dict[str, JsonObject] = {}
    refused: Answers = {}
    for subject, pod in heads_of(seen):
        try:
            heads[subject] = running(seen, pod)
        except NotSeen as error:
            refused[subject] = {NOT_SEEN: str(error)}
    found = {kind: dict(refused) for kind in kinds}
    if not heads:
        return found
    operators = [namespace_of(item) for item in seen.deployments(operator.RELEASE)]
    removed = probe.leftovers(connection, operators)
    if removed:
        note(f"removed what an earlier run left: {', '.join(removed)}")
    image = _image(next(iter(heads.values())))
    node = next(iter(heads.values()))["spec"]["nodeName"]
    if FENCE in kinds:
        note("a probe from another namespace")
        found[FENCE] |= _fence(connection, seen, Place(probe.NAME, True, image, node), heads)
    if WIRE in kinds and not operators:
        found[WIRE] |= {subject: {NOT_SEEN: NO_OPERATOR} for subject in heads}
    elif WIRE in kinds:
        note("a probe from the operator's namespace")
        found[WIRE] |= _talk(connection, Place(operators[0], False, image, node), heads)
    return found


def _fence(
    connection: Connection, seen: Observations, place: Place, heads: Mapping[str, JsonObject]
) -> Answers:
    knocked = {
        subject: [target for pod in _nodes(seen, subject, head) for target in _doors(pod)]
        for subject, head in heads.items()
    }
    control: Target = ("kubernetes.default.svc", 443)
    try:
        with probe.running(
            connection,
            place,
            {"knock": [control, *(each for some in knocked.values() for each in some)], "talk": []},
        ) as answer:
            said = answer()["knock"]
    except ClusterError as error:
        return {subject: {NOT_SEEN: str(error)} for subject in heads}
    return {
        subject: {
            "control": said[_text(control)],
            "targets": {_text(target): said[_text(target)] for target in targets},
        }
        for subject, targets in knocked.items()
    }


def _talk(connection: Connection, place: Place, heads: Mapping[str, JsonObject]) -> Answers:
    targets = {
        subject: (head["status"]["podIP"], port_of(head, "dashboard")) for subject, head in heads.items()
    }
    try:
        with probe.running(connection, place, {"knock": [], "talk": list(targets.values())}) as answer:
            said = answer()["talk"]
    except ClusterError as error:
        return {subject: {NOT_SEEN: str(error)} for subject in heads}
    return {subject: {**said[_text(target)], "port": target[1]} for subject, target in targets.items()}


def _nodes(seen: Observations, subject: str, head: JsonObject) -> list[JsonObject]:
    namespace, cluster = subject.split("/")
    others = [pod for pod in pods_of(seen, namespace, cluster) if role_of(pod) is NodeRole.WORKER]
    alive = [pod for pod in others if probe.is_address(pod.get("status", {}).get("podIP", ""))]
    return [head, *alive[: _NODES_KNOCKED - 1]]


def _doors(pod: JsonObject) -> list[Target]:
    """A node's address with every port that Ray opens on it, of a range the first."""
    told, own = started_with(pod), declared_ports(pod)
    flags = {port.name: port.flags[0][0] if port.flags else "" for port in RayPorts().table}
    return [
        (pod["status"]["podIP"], int(told.get(flags[port.name]) or own.get(port.name, port.first)))
        for port in RayPorts().table
        if role_of(pod) in port.roles
    ]


def _image(pod: JsonObject) -> str:
    return str(next(containers(pod["spec"], init=False))["image"])


def _text(target: Target) -> str:
    return f"{target[0]}:{target[1]}"
