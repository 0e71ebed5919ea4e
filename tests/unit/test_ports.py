"""The port table and everything that is derived from it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayfort import RayPorts, Traffic
from rayfort.mesh.authorization import Identity, head_spec, metrics_spec
from rayfort.network import head_ingress_spec
from rayfort.network import metrics_spec as metrics_policy_spec
from rayfort.ray.headless_service import service_spec
from rayfort.ray.ports import (
    MAX_WORKER_PORTS,
    SIDECAR_PORTS,
    DeclaredBy,
    NodeRole,
    Peer,
    head_container_ports,
    headless_service_ports,
    ports_for,
    ray_start_params,
    with_workers_for,
    worker_container_ports,
)

# Seed 002: what its headless Service declares, and the parameters that its RayCluster sets.
SEED_SERVICE = {
    "node-manager-port": (6380, "grpc"),
    "object-manager-port": (6381, "grpc"),
    "runtime-env-agent-port": (6382, "grpc"),
    "dashboard-agent-grpc-port": (6383, "grpc"),
    "dashboard-agent-listen-port": (52365, "http"),
    "metrics-export-port": (8080, "http"),
    **{f"p{number}": (number, "grpc") for number in range(10002, 10013)},
}
SEED_PARAMS = {
    "node-manager-port": "6380",
    "object-manager-port": "6381",
    "runtime-env-agent-port": "6382",
    "dashboard-agent-grpc-port": "6383",
    "dashboard-agent-listen-port": "52365",
    "metrics-export-port": "8080",
    "max-worker-port": "10012",
}
# Ray has spoken HTTP on it since 2.7, whatever the seed says.
CHANGED_SINCE_THE_SEED = {"runtime-env-agent-port": (6382, "http")}
SINGLE_PORTS = [name for name in RayPorts.model_fields if name not in {"min_worker", "max_worker"}]


@st.composite
def ray_ports(draw: st.DrawFn) -> RayPorts:
    """Any ports that Ray can start with."""
    first = draw(st.integers(1024, 65000))
    workers = range(first, first + draw(st.integers(2, MAX_WORKER_PORTS)))
    assume(not SIDECAR_PORTS.intersection(workers))
    taken = SIDECAR_PORTS.union(workers)
    numbers = draw(
        st.lists(
            st.integers(1, 65535).filter(lambda number: number not in taken),
            min_size=len(SINGLE_PORTS),
            max_size=len(SINGLE_PORTS),
            unique=True,
        )
    )
    return RayPorts(
        **dict(zip(SINGLE_PORTS, numbers, strict=True)), min_worker=workers[0], max_worker=workers[-1]
    )


def seed_ports() -> RayPorts:
    return RayPorts(min_worker=10002, max_worker=10012)


def service_entries(ports: RayPorts, traffic: Traffic) -> dict[str, tuple[int, str]]:
    return {
        entry["name"]: (entry["port"], entry["appProtocol"])
        for entry in headless_service_ports(ports, traffic)
    }


def policy_ports(rule: dict[str, Any]) -> set[int]:
    """Every number that a NetworkPolicy rule names."""
    return {
        number
        for entry in rule["ports"]
        for number in range(entry["port"], entry.get("endPort", entry["port"]) + 1)
    }


def mesh_ports(rule: dict[str, Any]) -> set[int]:
    """Every number that an AuthorizationPolicy rule names."""
    return {int(number) for entry in rule["to"] for number in entry["operation"]["ports"]}


def test_the_seeds_seventeen_ports_are_reachable_by_configuration() -> None:
    """Whoever followed the recipe keeps its Service by setting the worker range."""
    entries = service_entries(seed_ports(), Traffic.L7)
    assert len(entries) == 17
    assert entries == SEED_SERVICE | CHANGED_SINCE_THE_SEED


def test_the_seeds_start_parameters_are_reachable_by_configuration() -> None:
    """The RayCluster must use exactly the ports of the Service, or STRICT refuses its traffic."""
    for role in NodeRole:
        params = ray_start_params(seed_ports(), role)
        assert SEED_PARAMS.items() <= params.items()
        # The seed relies on Ray's default; here it is written, since the Service starts there.
        assert params["min-worker-port"] == "10002"


def test_layer_4_declares_every_port_as_tcp() -> None:
    """Opaque TCP is encrypted by Pod address; a port declared gRPC would leave as plaintext by address."""
    assert {protocol for _, protocol in service_entries(RayPorts(), Traffic.L4).values()} == {"tcp"}


def test_both_traffic_modes_declare_the_same_ports() -> None:
    """The mode says how Istio reads a port, not whether it knows it."""
    four, seven = (service_entries(RayPorts(), traffic) for traffic in (Traffic.L4, Traffic.L7))
    assert {name: number for name, (number, _) in four.items()} == {
        name: number for name, (number, _) in seven.items()
    }


def test_only_the_head_gets_the_heads_parameters() -> None:
    """`ray start` of a worker stops with `--port` or a dashboard's port."""
    head, worker = (ray_start_params(RayPorts(), role) for role in (NodeRole.HEAD, NodeRole.WORKER))
    assert head.keys() - worker.keys() == {"port", "dashboard-port", "ray-client-server-port"}
    assert worker.items() <= head.items()


def test_the_head_declares_what_kuberay_searches_for() -> None:
    """Once a container declares a port KubeRay exposes only those; it finds the dashboard by its name."""
    names = {entry["name"]: entry["containerPort"] for entry in head_container_ports(RayPorts())}
    assert names == {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "serve": 8000, "metrics": 8080}
    assert worker_container_ports(RayPorts()) == [{"name": "metrics", "containerPort": 8080}]


def test_callers_from_outside_never_reach_rays_own_ports() -> None:
    """Whoever reaches a raylet or a worker runs code on it."""
    internal = {"node-manager-port", "object-manager-port", "worker", "gcs-server"}
    for peer in (Peer.OPERATOR, Peer.CLIENT, Peer.METRICS):
        for role in NodeRole:
            assert not internal & {port.name for port in ports_for(RayPorts(), role, peer)}


def test_the_headless_service_publishes_addresses_before_pods_are_ready() -> None:
    """Ray nodes must find each other to become ready, and Istio encrypts to no endpoints at all."""
    spec = service_spec("ray", RayPorts(), Traffic.L4)
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    assert spec["selector"] == {"ray.io/cluster": "ray"}


@given(ray_ports())
def test_services_parameters_and_policies_agree_on_every_number(ports: RayPorts) -> None:
    """A number that one of them has otherwise is traffic that the mesh refuses, or does not protect."""
    params = {name: int(value) for name, value in ray_start_params(ports, NodeRole.HEAD).items()}
    headless = {entry["name"]: entry["port"] for entry in headless_service_ports(ports, Traffic.L7)}
    containers = {entry["name"]: entry["containerPort"] for entry in head_container_ports(ports)}

    workers = range(params.pop("min-worker-port"), params.pop("max-worker-port") + 1)
    assert sorted(headless.pop(f"p{number}") for number in workers) == list(workers)
    assert containers == {
        "gcs-server": params.pop("port"),
        "dashboard": params.pop("dashboard-port"),
        "client": params.pop("ray-client-server-port"),
        "serve": ports.serve,
        "metrics": params["metrics-export-port"],
    }
    assert headless == params  # by name: what is left on either side is the same


@given(ray_ports())
def test_network_and_mesh_policies_open_the_same_ports(ports: RayPorts) -> None:
    """Two layers that disagree make a hole in one or a mystery in the other."""
    someone = [Identity("elsewhere", "someone")]
    for peer in (Peer.OPERATOR, Peer.CLIENT):
        mesh = head_spec("ray", ports, [(peer, someone)], "cluster.local")["rules"][0]
        network = head_ingress_spec("ray", ports, {peer: ["elsewhere"]})["ingress"][0]
        opened = {number for port in ports_for(ports, NodeRole.HEAD, peer) for number in port.numbers}
        assert mesh_ports(mesh) == policy_ports(network) == opened
    mesh = metrics_spec("ray", ports, ["monitoring"])["rules"][0]
    network = metrics_policy_spec("ray", ports, ["monitoring"])["ingress"][0]
    assert mesh_ports(mesh) == {ports.metrics_export}
    assert policy_ports(network) == {ports.metrics_export, 15020}


@given(ray_ports())
def test_every_service_port_is_declared_once(ports: RayPorts) -> None:
    """Kubernetes refuses a Service with a repeated name or number."""
    for entries in (headless_service_ports(ports, Traffic.L4), headless_service_ports(ports, Traffic.L7)):
        for key in ("name", "port"):
            values = [entry[key] for entry in entries]
            assert len(values) == len(set(values))
        assert all(entry["port"] == entry["targetPort"] for entry in entries)


@given(ray_ports())
def test_every_port_is_declared_by_one_service(ports: RayPorts) -> None:
    """Two Services that declare one port of a Pod leave its protocol to their age."""
    for port in ports.table:
        assert port.declared_by in DeclaredBy
    headless = {entry["port"] for entry in headless_service_ports(ports, Traffic.L4)}
    head = {port.first for port in ports.table if port.declared_by is DeclaredBy.HEAD_SERVICE}
    assert not headless & head


@given(ray_ports())
def test_port_names_are_valid_for_kubernetes(ports: RayPorts) -> None:
    """A container port's name has at most 15 characters, a Service port's at most 63."""
    for entry in head_container_ports(ports):
        assert len(entry["name"]) <= 15
    for entry in headless_service_ports(ports, Traffic.L4):
        assert len(entry["name"]) <= 63
        assert entry["name"].replace("-", "").isalnum()


@given(ray_ports(), st.sampled_from(SINGLE_PORTS), st.data())
def test_a_clash_is_always_refused(ports: RayPorts, name: str, data: st.DataObject) -> None:
    """Ray does not start with duplicate ports, and says so only in a Pod's log."""
    others = {number for port in ports.table for number in port.numbers} - {getattr(ports, name)}
    clashing = data.draw(st.sampled_from(sorted(others)))
    with pytest.raises(ValidationError, match=f"port {clashing} is used by both"):
        RayPorts(**{**ports.model_dump(), name: clashing})


@given(st.sampled_from(sorted(SIDECAR_PORTS)), st.sampled_from(SINGLE_PORTS))
def test_ports_of_the_sidecar_are_refused(number: int, name: str) -> None:
    """Two processes of one Pod cannot listen on one port."""
    with pytest.raises(ValidationError, match=f"port {number} .* taken by Istio's sidecar"):
        RayPorts(**{name: number})


@given(st.integers(0, 512))
def test_nodes_have_a_worker_port_for_each_cpu_and_more(cpus: int) -> None:
    """Ray starts one worker process a CPU, and each needs a port of its own."""
    ports = with_workers_for(RayPorts(), cpus)
    count = ports.max_worker - ports.min_worker + 1
    assert count == min(2 * cpus + 10, MAX_WORKER_PORTS)
    assert ports.problem is None


def test_a_range_that_was_given_is_kept() -> None:
    """What a user says is not widened behind his back."""
    assert with_workers_for(seed_ports(), 64).max_worker == 10012


def test_a_given_first_port_moves_the_whole_range() -> None:
    """Setting `minWorker` alone must not make an empty or a huge range."""
    assert RayPorts(min_worker=20000).max_worker == 20039
    assert with_workers_for(RayPorts(min_worker=20000), 4).max_worker == 20017


def test_a_range_for_many_cpus_that_meets_another_port_is_refused() -> None:
    """The range grows with the nodes: a stack must hear of it when it writes the node, not from Ray."""
    ports = RayPorts(dashboard=10100)
    assert with_workers_for(ports, 4).max_worker < 10100
    with pytest.raises(ValueError, match=r"port 10100 is used by both dashboard and worker.*maxWorker"):
        with_workers_for(ports, 64)


def test_a_range_near_the_last_port_is_cut_or_refused() -> None:
    """Port numbers end at 65535."""
    with pytest.raises(ValidationError, match="choose a lower one"):
        RayPorts(min_worker=65500)
    near = with_workers_for(RayPorts(min_worker=65490), 64)
    assert (near.max_worker, near.problem) == (65535, None)
