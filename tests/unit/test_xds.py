"""What a sidecar says to istiod and makes of the answers, against a server of this process."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse
from google.protobuf.json_format import MessageToDict

from sandbox.xds.client import Sidecar
from sandbox.xds.errors import XdsError
from sandbox.xds.kinds import CLUSTERS, ENDPOINTS, LISTENERS, ROUTES, Kind
from sandbox.xds.node import node_of
from sandbox.xds.show import as_dict

POD: dict[str, Any] = {
    "metadata": {
        "name": "ray-head",
        "namespace": "team-a",
        "labels": {"ray.io/node-type": "head", "pod-template-hash": "1234"},
        "annotations": {"sidecar.istio.io/status": "{}"},
    },
    "spec": {
        "serviceAccountName": "ray-head",
        "nodeName": "sim-0",
        "initContainers": [
            {
                "name": "istio-proxy",
                "args": ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.example"],
                "env": [
                    {"name": "CA_ADDR", "value": "istiod-canary.istio-system.svc:15012"},
                    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                    {
                        "name": "SERVICE_ACCOUNT",
                        "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}},
                    },
                    {
                        "name": "ISTIO_META_NODE_NAME",
                        "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}},
                    },
                    {"name": "GOMAXPROCS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                    {"name": "PROXY_CONFIG", "value": '{"concurrency": 2}\n'},
                    {"name": "ISTIO_META_POD_PORTS", "value": '[\n{"containerPort":8265}\n]'},
                    {"name": "ISTIO_META_APP_CONTAINERS", "value": "ray-head"},
                    {"name": "ISTIO_META_CLUSTER_ID", "value": "Kubernetes"},
                    {"name": "ISTIO_META_INTERCEPTION_MODE", "value": "REDIRECT"},
                    {"name": "ISTIO_META_WORKLOAD_NAME", "value": "ray"},
                    {"name": "ISTIO_METAJSON_ANNOTATIONS", "value": '{"a": "b"}'},
                ],
            }
        ],
        "containers": [{"name": "ray-head"}],
    },
    "status": {"podIPs": [{"ip": "10.10.0.1"}, {"ip": "fd00::1"}]},
}
NODE = node_of(POD)


def test_the_node_is_what_the_agent_says() -> None:
    assert NODE.id == "sidecar~10.10.0.1~ray-head.team-a~team-a.svc.cluster.example"
    assert NODE.cluster == "ray.team-a"
    metadata = MessageToDict(NODE.metadata)
    expected = {
        "NAME": "ray-head",
        "NAMESPACE": "team-a",
        "SERVICE_ACCOUNT": "ray-head",
        "NODE_NAME": "sim-0",
        "POD_PORTS": '[\n{"containerPort":8265}\n]',
        "APP_CONTAINERS": "ray-head",
        "CLUSTER_ID": "Kubernetes",
        "INTERCEPTION_MODE": "REDIRECT",
        "WORKLOAD_NAME": "ray",
        "LABELS": {"ray.io/node-type": "head"},
        "INSTANCE_IPS": "10.10.0.1,fd00::1",
        "PILOT_SAN": ["istiod-canary.istio-system.svc"],
        "PROXY_CONFIG": {"concurrency": 2.0},
        "a": "b",
    }
    assert {key: metadata[key] for key in expected} == expected
    assert metadata["ISTIO_VERSION"]
    assert "GOMAXPROCS" not in metadata


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("spec", {"containers": [{"name": "ray-head"}]}, "Pod team-a/ray-head has no container istio-proxy"),
        ("status", {}, "Pod team-a/ray-head has no address"),
    ],
)
def test_a_pod_that_cannot_speak_is_named(key: str, value: object, message: str) -> None:
    with pytest.raises(XdsError, match=message):
        node_of(copy.deepcopy(POD) | {key: value})


def cluster(name: str, *, endpoints: bool = False) -> Any:
    return Cluster(name=name, type=Cluster.EDS if endpoints else Cluster.ORIGINAL_DST)


def listener(name: str, routes: str = "") -> Any:
    made = Listener(name=name)
    if routes:
        manager = HttpConnectionManager()
        manager.rds.route_config_name = routes
        made.filter_chains.add().filters.add(name="http").typed_config.Pack(manager)
    return made


class Istiod(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]
    """Answers subscriptions from `resources`, and sends what a test puts."""

    def __init__(self) -> None:
        self.resources: dict[Kind, dict[str, Any]] = {
            CLUSTERS: {"one": cluster("one", endpoints=True), "two": cluster("two")},
            ENDPOINTS: {"one": ClusterLoadAssignment(cluster_name="one")},
            LISTENERS: {"in": listener("in", "80"), "out": listener("out")},
            ROUTES: {"80": RouteConfiguration(name="80")},
        }
        self.silent: set[Kind] = set()
        self.requests: list[Any] = []
        self.streams = 0
        self._send: Callable[[Any], None] = lambda _: None
        self._end: Callable[[], None] = lambda: None

    def DeltaAggregatedResources(self, request_iterator: Any, context: Any) -> Iterator[Any]:
        self.streams += 1
        waiting: list[Any] = []
        woken = threading.Condition()
        ended = False

        def send(response: Any) -> None:
            with woken:
                waiting.append(response)
                woken.notify()

        def end() -> None:
            nonlocal ended
            with woken:
                ended = True
                woken.notify()

        def read() -> None:
            try:
                for request in request_iterator:
                    self.requests.append(request)
                    answer = self._answer(request)
                    if answer is not None:
                        send(answer)
            except grpc.RpcError:
                pass
            end()

        self._send, self._end = send, end
        threading.Thread(target=read, daemon=True).start()
        while True:
            with woken:
                woken.wait_for(lambda: waiting or ended)
                if ended:
                    return
                response = waiting.pop(0)
            yield response

    def _answer(self, request: Any) -> Any:
        kind = next(kind for kind in self.resources if kind.url == request.type_url)
        asks = bool(request.resource_names_subscribe)
        if request.response_nonce or kind in self.silent or (kind in (ENDPOINTS, ROUTES) and not asks):
            return None
        names = list(request.resource_names_subscribe) or list(self.resources[kind])
        known = self.resources[kind]
        return response(
            kind,
            {name: known[name] for name in names if name in known},
            removed=[name for name in names if name not in known],
        )

    def push(self, kind: Kind, resources: dict[str, Any], removed: list[str] | None = None) -> None:
        self._send(response(kind, resources, removed=removed or []))

    def break_stream(self) -> None:
        self._end()

    def of(self, kind: Kind) -> list[Any]:
        return [request for request in list(self.requests) if request.type_url == kind.url]


def response(kind: Kind, resources: dict[str, Any], *, removed: list[str]) -> Any:
    made = DeltaDiscoveryResponse(type_url=kind.url, nonce=f"{kind.name}-{time.monotonic_ns()}")
    for name, message in resources.items():
        made.resources.add(name=name, version="1").resource.Pack(message)
    made.removed_resources.extend(removed)
    return made


@pytest.fixture
def istiod() -> Istiod:
    return Istiod()


@pytest.fixture
def address(istiod: Istiod) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(8))
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(istiod, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def quick(sidecar: Sidecar, seconds: float = 30.0) -> Any:
    return sidecar.snapshot(seconds, quiet_seconds=0.05)


def test_the_whole_state_comes_in_envoys_order(istiod: Istiod, address: str) -> None:
    with Sidecar(address, NODE) as sidecar:
        found = quick(sidecar)
        assert sidecar.connections == 1
    assert sidecar.name == "ray-head.team-a"
    assert set(found.clusters) == {"one", "two"}
    assert set(found.listeners) == {"in", "out"}
    assert list(found.endpoints) == ["one"]
    assert list(found.routes) == ["80"]
    assert found.clusters["two"] == istiod.resources[CLUSTERS]["two"]
    asked = [request.type_url for request in istiod.requests if not request.response_nonce]
    assert asked == [CLUSTERS.url, ENDPOINTS.url, LISTENERS.url, ROUTES.url]
    assert [request.node.id for request in istiod.requests if request.HasField("node")] == [NODE.id]
    nonces = [request.response_nonce for request in istiod.requests if request.response_nonce]
    assert len(nonces) == len(set(nonces)) == 4
    assert not any(request.HasField("error_detail") for request in istiod.requests)


def test_bytes_are_those_of_the_resources(istiod: Istiod, address: str) -> None:
    with Sidecar(address, NODE) as sidecar:
        found = quick(sidecar)
        messages = [message for known in istiod.resources.values() for message in known.values()]
        assert found.wire_bytes == sum(found.sizes.values()) > sum(each.ByteSize() for each in messages)
        assert set(found.sizes) == {"CDS", "EDS", "LDS", "RDS"}
    with Sidecar(address, NODE, keep=False) as frugal:
        light = quick(frugal)
        assert light.sizes == found.sizes
        assert dict(light.listeners) == {"in": None, "out": None}


def test_what_istiod_does_not_know_is_not_waited_for(istiod: Istiod, address: str) -> None:
    istiod.resources[ENDPOINTS].clear()
    with Sidecar(address, NODE) as sidecar:
        assert not quick(sidecar).endpoints


def test_a_partial_state_is_an_error_that_says_what_is_missing(istiod: Istiod, address: str) -> None:
    istiod.silent = {ROUTES}
    with Sidecar(address, NODE) as sidecar:
        until(lambda: bool(istiod.of(ROUTES)))
        with pytest.raises(XdsError, match=r"ray-head.team-a is not complete.*1 of RDS such as 80"):
            quick(sidecar, 0.2)
        istiod.push(ROUTES, istiod.resources[ROUTES])
        assert list(quick(sidecar).routes) == ["80"]


@pytest.mark.parametrize("bad", ["another type", "broken bytes"])
def test_what_cannot_be_read_is_refused_and_said(istiod: Istiod, address: str, bad: str) -> None:
    with Sidecar(address, NODE) as sidecar:
        quick(sidecar)
        wrong = response(
            CLUSTERS, {"one": listener("in") if bad == "another type" else cluster("x")}, removed=[]
        )
        if bad == "broken bytes":
            wrong.resources[0].resource.value = b"\xff\xff\xff"
        istiod._send(wrong)
        until(lambda: any(request.HasField("error_detail") for request in istiod.of(CLUSTERS)))
        with pytest.raises(XdsError, match="refused configuration: CDS"):
            quick(sidecar)
    refusal = istiod.of(CLUSTERS)[-1]
    assert refusal.response_nonce == wrong.nonce
    assert refusal.error_detail.message


def test_pushes_are_counted_from_a_mark(istiod: Istiod, address: str) -> None:
    with Sidecar(address, NODE) as sidecar:
        quick(sidecar)
        assert sorted(push.kind for push in sidecar.pushes()) == ["CDS", "EDS", "LDS", "RDS"]
        mark = sidecar.mark()
        assert sidecar.pushes(mark) == ()
        istiod.push(CLUSTERS, {"three": cluster("three")}, removed=["two"])
        until(lambda: bool(sidecar.pushes(mark)))
        (push,) = sidecar.pushes(mark)
        assert (push.kind, push.changed, push.removed) == ("CDS", ("three",), ("two",))
        assert push.bytes > cluster("three").ByteSize()
        assert set(quick(sidecar).clusters) == {"one", "three"}


def test_subscriptions_follow_clusters_and_listeners(istiod: Istiod, address: str) -> None:
    with Sidecar(address, NODE) as sidecar:
        quick(sidecar)
        istiod.resources[ROUTES]["81"] = RouteConfiguration(name="81")
        istiod.push(LISTENERS, {"in": listener("in", "81")})
        until(lambda: len([each for each in istiod.of(ROUTES) if not each.response_nonce]) == 2)
        assert list(quick(sidecar).routes) == ["81"]
        request = next(each for each in istiod.of(ROUTES) if "81" in each.resource_names_subscribe)
        assert list(request.resource_names_unsubscribe) == ["80"]
        istiod.push(CLUSTERS, {}, removed=["one"])
        until(lambda: any(each.resource_names_unsubscribe for each in istiod.of(ENDPOINTS)))
        assert not quick(sidecar).endpoints


def test_a_broken_stream_is_made_again_from_the_beginning(istiod: Istiod, address: str) -> None:
    with Sidecar(address, NODE) as sidecar:
        before = quick(sidecar)
        del istiod.resources[LISTENERS]["out"]
        istiod.break_stream()
        until(lambda: sidecar.connections == 2)
        after = quick(sidecar)
    assert set(before.listeners) - set(after.listeners) == {"out"}
    assert istiod.streams == 2


def test_istiod_may_start_later() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(8))
    port = server.add_insecure_port("127.0.0.1:0")
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(Istiod(), server)
    with Sidecar(f"127.0.0.1:{port}", NODE) as sidecar:
        with pytest.raises(XdsError, match=f"no answer from istiod at 127.0.0.1:{port}"):
            quick(sidecar, 0.3)
        server.start()
        assert quick(sidecar).listeners
    server.stop(None).wait()


def test_messages_can_be_read_even_where_istios_own_types_occur() -> None:
    made = listener("in", "80")
    unknown = made.filter_chains[0].filters.add(name="stats").typed_config
    unknown.type_url, unknown.value = "type.googleapis.com/stats.PluginConfig", b"\x0a\x00"
    manager = HttpConnectionManager()
    made.filter_chains[0].filters[0].typed_config.Unpack(manager)
    manager.http_filters.add(name="alpn").typed_config.type_url = "type.googleapis.com/istio.Alpn"
    made.filter_chains[0].filters[0].typed_config.Pack(manager)
    shown = as_dict(made)
    http, stats = shown["filter_chains"][0]["filters"]
    assert stats["typed_config"]["value"] == {
        "opaque": "type.googleapis.com/stats.PluginConfig",
        "bytes": 2.0,
    }
    assert http["typed_config"]["rds"] == {"route_config_name": "80"}
    assert http["typed_config"]["http_filters"][0]["typed_config"]["value"]["opaque"].endswith("istio.Alpn")
    assert made.filter_chains[0].filters[1].typed_config.value == b"\x0a\x00"
