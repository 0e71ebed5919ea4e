"""Every port that a Ray node opens, once.

The ``ray start`` parameters, the headless Service, the container ports, the AuthorizationPolicies and the
NetworkPolicies are all derived from `RayPorts.table`, so that they cannot disagree.

Source: seed 002 (Istio for KubeRay) for the numbers; Ray's port reference for who connects to what.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any, Final

from pydantic import Field, model_validator

from rayfort.model import JsonObject, Model, Port


class Traffic(StrEnum):
    """How Istio sees Ray's traffic.

    ``l4``: opaque TCP, mTLS by Pod address; works on every DNS. ``l7``: gRPC and HTTP, for traces and
    metrics of each call; every node's address is a DNS name, which only CoreDNS resolves.
    """

    L4 = "l4"
    L7 = "l7"


class NodeRole(StrEnum):
    """The two kinds of Ray node, by the value of their ``ray.io/node-type`` label."""

    HEAD = "head"
    WORKER = "worker"


class Peer(StrEnum):
    """Who connects to a port."""

    RAY = "ray"
    OPERATOR = "operator"
    CLIENT = "client"
    GATEWAY = "gateway"
    METRICS = "metrics"


class DeclaredBy(StrEnum):
    """Which Service declares a port: KubeRay's head Service or Rayfort's headless one."""

    HEAD_SERVICE = "head-service"
    HEADLESS_SERVICE = "headless-service"


@dataclass(frozen=True)
class RayPort:
    """One port, or one range of ports, of a Ray node.

    Attributes:
        name: the name of the Service port and container port; for a range, of the range.
        first, last: the port numbers, both included.
        flags: the ``ray start`` parameters that set it, each with its value.
        app_protocol: what is spoken on it (``grpc``, ``http`` or ``tcp``).
        roles: the node roles that open it.
        declared_by: the Service that declares it.
        peers: who connects.
    """

    name: str
    first: int
    last: int
    flags: tuple[tuple[str, int], ...]
    app_protocol: str
    roles: frozenset[NodeRole]
    declared_by: DeclaredBy
    peers: frozenset[Peer]

    @property
    def numbers(self) -> range:
        """Every port number."""
        return range(self.first, self.last + 1)


_BOTH = frozenset(NodeRole)
_HEAD = frozenset({NodeRole.HEAD})
MAX_PORT: Final = 65535
MAX_WORKER_PORTS: Final = 200
DEFAULT_WORKER_PORTS: Final = 40
# Istio's list of the ports that its sidecar listens on.
SIDECAR_PORTS: Final = frozenset({15000, 15001, 15002, 15004, 15006, 15008, 15020, 15021, 15053, 15090})


def _last_worker(others: Mapping[str, Any]) -> int:
    return int(others["min_worker"]) + DEFAULT_WORKER_PORTS - 1


class RayPorts(Model):
    """The port numbers of a Ray cluster; the same on every node.

    Args:
        gcs: global control store on the head.
        dashboard: dashboard and job submission on the head.
        client: Ray Client (``ray://``) on the head.
        serve: Ray Serve's HTTP proxy on the head.
        node_manager: raylet.
        object_manager: object transfer.
        runtime_env_agent: runtime environment agent.
        dashboard_agent_grpc: dashboard agent, gRPC.
        dashboard_agent_listen: dashboard agent, HTTP; Kubernetes probes it.
        metrics_export: Prometheus metrics.
        min_worker, max_worker: one port for each worker process and driver of a node, both ends included.
            At most 200, since every one is declared in a Service and kept by every sidecar. Without
            ``max_worker`` a Ray cluster takes as many as its largest node needs.
    """

    gcs: Port = 6379
    dashboard: Port = 8265
    client: Port = 10001
    serve: Port = 8000
    node_manager: Port = 6380
    object_manager: Port = 6381
    runtime_env_agent: Port = 6382
    dashboard_agent_grpc: Port = 6383
    dashboard_agent_listen: Port = 52365
    metrics_export: Port = 8080
    min_worker: Port = 10002
    max_worker: Port = Field(default_factory=_last_worker)

    @model_validator(mode="after")
    def _consistent(self) -> "RayPorts":
        if self.problem:
            raise ValueError(self.problem)
        return self

    @property
    def problem(self) -> str | None:
        """Why Ray or its sidecars could not start with these ports, and what to do; None where they can."""
        if self.max_worker > MAX_PORT:
            return (
                f"minWorker ({self.min_worker}) is too near to the last port, {MAX_PORT}; choose a lower one"
            )
        if self.max_worker <= self.min_worker:
            return (
                f"maxWorker ({self.max_worker}) must be greater than minWorker ({self.min_worker}): "
                "each worker process and driver takes one port of the range"
            )
        count = self.max_worker - self.min_worker + 1
        if count > MAX_WORKER_PORTS:
            return (
                f"minWorker to maxWorker are {count} ports; use at most {MAX_WORKER_PORTS}, since each one "
                "is declared in the headless Service and kept by every sidecar"
            )
        for port in self.table:
            taken = SIDECAR_PORTS.intersection(port.numbers)
            if taken:
                return f"port {min(taken)} ({port.name}) is taken by Istio's sidecar; choose another"
        for one, other in combinations(self.table, 2):
            clash = set(one.numbers) & set(other.numbers)
            if clash:
                return (
                    f"port {min(clash)} is used by both {one.name} and {other.name}; Ray does not start with "
                    "duplicate ports, give each its own"
                )
        return None

    @property
    def table(self) -> tuple[RayPort, ...]:
        """Every port of a Ray node, in the order in which Services list them."""
        peers = frozenset
        return (
            *self._head_table,
            _node("node-manager-port", self.node_manager, "grpc", peers({Peer.RAY})),
            _node("object-manager-port", self.object_manager, "grpc", peers({Peer.RAY})),
            # The seed declares it grpc; it has been HTTP since Ray 2.7 (ray pull request 37585).
            _node("runtime-env-agent-port", self.runtime_env_agent, "http", peers({Peer.RAY})),
            _node("dashboard-agent-grpc-port", self.dashboard_agent_grpc, "grpc", peers({Peer.RAY})),
            _node("dashboard-agent-listen-port", self.dashboard_agent_listen, "http", peers({Peer.RAY})),
            _node("metrics-export-port", self.metrics_export, "http", peers({Peer.RAY, Peer.METRICS})),
            RayPort(
                name="worker",
                first=self.min_worker,
                last=self.max_worker,
                flags=(("min-worker-port", self.min_worker), ("max-worker-port", self.max_worker)),
                app_protocol="grpc",
                roles=_BOTH,
                declared_by=DeclaredBy.HEADLESS_SERVICE,
                peers=frozenset({Peer.RAY}),
            ),
        )

    @property
    def _head_table(self) -> tuple[RayPort, ...]:
        # The names are those that KubeRay looks for; it finds the dashboard by the name "dashboard" only.
        return (
            _head("gcs-server", self.gcs, "port", "grpc", {Peer.RAY}),
            _head(
                "dashboard",
                self.dashboard,
                "dashboard-port",
                "http",
                {Peer.RAY, Peer.OPERATOR, Peer.CLIENT, Peer.GATEWAY},
            ),
            _head("client", self.client, "ray-client-server-port", "grpc", {Peer.RAY, Peer.CLIENT}),
            _head("serve", self.serve, None, "http", {Peer.RAY, Peer.OPERATOR, Peer.CLIENT}),
        )


def _head(name: str, number: int, flag: str | None, protocol: str, peers: set[Peer]) -> RayPort:
    flags = ((flag, number),) if flag else ()
    return RayPort(name, number, number, flags, protocol, _HEAD, DeclaredBy.HEAD_SERVICE, frozenset(peers))


def _node(flag: str, number: int, protocol: str, peers: frozenset[Peer]) -> RayPort:
    return RayPort(
        flag, number, number, ((flag, number),), protocol, _BOTH, DeclaredBy.HEADLESS_SERVICE, peers
    )


def ray_start_params(ports: RayPorts, role: NodeRole) -> dict[str, str]:
    """The port parameters of ``ray start`` for a node of this role, as KubeRay takes them (text)."""
    return {flag: str(value) for port in ports.table if role in port.roles for flag, value in port.flags}


def headless_service_ports(ports: RayPorts, traffic: Traffic) -> list[JsonObject]:
    """The ports of the headless Service, one entry for each number: a Service cannot name a range."""
    return [
        {
            "name": name,
            "port": number,
            "targetPort": number,
            "protocol": "TCP",
            "appProtocol": "tcp" if traffic is Traffic.L4 else port.app_protocol,
        }
        for port in ports.table
        if port.declared_by is DeclaredBy.HEADLESS_SERVICE
        for name, number in _named(port)
    ]


def _named(port: RayPort) -> Iterator[tuple[str, int]]:
    if port.first == port.last:
        yield port.name, port.first
        return
    for number in port.numbers:
        yield f"p{number}", number  # the seed's names


def head_container_ports(ports: RayPorts) -> list[JsonObject]:
    """The ports that the head container declares, which are those of KubeRay's head Service.

    KubeRay exposes exactly the declared ports once there is one, plus its metrics port by this name.
    """
    declared = [port for port in ports.table if port.declared_by is DeclaredBy.HEAD_SERVICE]
    return [
        *({"name": port.name, "containerPort": port.first} for port in declared),
        {"name": "metrics", "containerPort": ports.metrics_export},
    ]


def worker_container_ports(ports: RayPorts) -> list[JsonObject]:
    """The ports that a worker container declares: the metrics port, which Prometheus looks for by name."""
    return [{"name": "metrics", "containerPort": ports.metrics_export}]


def ports_for(ports: RayPorts, role: NodeRole, peer: Peer) -> list[RayPort]:
    """The ports of a node of this role that ``peer`` connects to."""
    return [port for port in ports.table if role in port.roles and peer in port.peers]


def with_workers_for(ports: RayPorts, num_cpus: int) -> RayPorts:
    """``ports`` with a worker range for nodes with this many CPUs, unless it says where the range ends.

    Each worker process and each driver takes one port: one process a CPU, as many again for actors that
    use none, and some for drivers. The seed's 11 ports serve one CPU.

    Raises:
        ValueError: if the range does not fit beside the other ports.
    """
    if "max_worker" in ports.model_fields_set:
        return ports
    last = ports.min_worker + min(2 * num_cpus + 10, MAX_WORKER_PORTS) - 1
    made = ports.model_copy(update={"max_worker": min(last, MAX_PORT)})
    if made.problem:
        raise ValueError(f"{made.problem}; or set ports.maxWorker, which {num_cpus} CPUs made {last}")
    return made
