"""Traces of Ray's own calls: from the sidecars, by mTLS, to where `MeshObservability` puts Jaeger.

An OpenTelemetry collector stands there, which Jaeger is too, with Jaeger's names and policies. It prints what
it gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from rayfort import MeshObservabilityArgs
from rayfort.mesh import mtls
from rayfort.mesh.observability import access, jaeger
from rayfort.mesh.telemetry import OTLP_PORT, ROOT_NAMESPACE

from sandbox.images import catalog
from sandbox.images.oci import write_archive
from sandbox.images.store import ImageStore
from sandbox.node.config import NODE_NAME
from sandbox.node.enclosure import Enclosure
from sandbox.progress import Progress
from sandbox.toolchain import Toolchain
from tests.e2e import jobs, lab
from tests.e2e.sandbox import Sandbox, wait_for

pytestmark = pytest.mark.real

POD = "test-collector"
STRANGER = "test-stranger"
RAY_CALL = re.compile(r"/ray\.rpc\.[\w.]+/\w+")
CONFIG = {
    "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"0.0.0.0:{OTLP_PORT}"}}}},
    "exporters": {"debug": {"verbosity": "detailed", "use_internal_logger": False}},
    "service": {
        "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}},
        "telemetry": {"metrics": {"level": "none"}},
    },
}


@dataclass(frozen=True)
class Span:
    """One span, as the collector printed it."""

    trace: str
    id: str
    parent: str
    kind: str
    service: str
    tags: Mapping[str, str]

    @property
    def call(self) -> str | None:
        """The method of Ray's gRPC that it is about."""
        found = RAY_CALL.search(" ".join(self.tags.values()))
        return found and found[0]


@pytest.fixture(scope="module", autouse=True)
def _collector(sandbox: Sandbox) -> Iterator[None]:
    """The collector where the mesh sends its traces, closed to everybody who does not need it."""
    lab.ensure(sandbox)
    _bring_image(sandbox)
    around = MeshObservabilityArgs(namespaces=(lab.NAMESPACE,)).surroundings
    network = dict(access.network_policies(around, openid=False))[jaeger.RELEASE]
    allowed = dict(access.authorization_policies(around))[jaeger.RELEASE]
    rule = dict(access.destination_rules(around))[jaeger.NAME]
    port = {"name": "otlp-grpc", "port": OTLP_PORT, "appProtocol": "grpc"}  # as in Jaeger's chart
    with sandbox.running(
        _object("v1", "ConfigMap", POD, data={"config.yaml": yaml.safe_dump(CONFIG)}),
        _object("networking.k8s.io/v1", "NetworkPolicy", jaeger.RELEASE, spec=network),
        _object(mtls.SECURITY_API, "AuthorizationPolicy", jaeger.RELEASE, spec=allowed),
        _object(mtls.NETWORKING_API, "DestinationRule", jaeger.NAME, spec=rule),
        _object("v1", "Service", jaeger.NAME, spec={"selector": jaeger.POD, "ports": [port]}),
        _pod(sandbox),
    ):
        yield


def _bring_image(sandbox: Sandbox) -> None:
    progress = Progress()
    toolchain = Toolchain(progress=progress)
    layouts = ImageStore(toolchain.cache, toolchain, progress).ensure([catalog.collector()])
    ctr = ["ctr", "--namespace", "k8s.io", "images", "import", "-"]
    Enclosure(sandbox.state, NODE_NAME).run(ctr, lambda out: write_archive(layouts.values(), out))


def _object(api: str, kind: str, name: str, **body: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": ROOT_NAMESPACE}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def _pod(sandbox: Sandbox) -> dict[str, Any]:
    pod = sandbox.client(POD, namespace=ROOT_NAMESPACE, meshed=True, labels=jaeger.POD)
    (container,) = pod["spec"]["containers"]
    container |= {
        "image": catalog.collector().reference,
        "imagePullPolicy": "Never",
        "command": [*catalog.collector().config.entrypoint, "--config", "/etc/collector/config.yaml"],
        "readinessProbe": {"tcpSocket": {"port": OTLP_PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/collector"}],
    }
    pod["spec"]["volumes"] = [{"name": "config", "configMap": {"name": POD}}]
    return pod


def _spans(sandbox: Sandbox) -> list[Span]:
    """Everything that the collector got so far."""
    done = sandbox.kubectl("-n", ROOT_NAMESPACE, "logs", POD, "-c", "main")
    assert done.ok, done.output
    return list(parse(done.output))


def parse(output: str) -> Iterator[Span]:
    """The spans that a collector printed."""
    for resource in output.split("ResourceSpans #")[1:]:
        head, *spans = re.split(r"\nSpan #\d+\n", resource)
        service = _tags(head).get("service.name", "")
        for text in spans:
            ids = [_field(text, name) for name in ("Trace ID", "ID", "Parent ID", "Kind")]
            yield Span(*ids, service=service, tags=_tags(text))


def _field(text: str, name: str) -> str:
    found = re.search(rf"^ +{name} *:(.*)$", text, re.MULTILINE)
    assert found, text
    return found[1].strip()


def _tags(text: str) -> dict[str, str]:
    return dict(re.findall(r"^ +-> (\S+): \w+\((.*)\)$", text, re.MULTILINE))


def test_a_call_between_nodes_is_one_trace_with_both_ends(sandbox: Sandbox) -> None:
    """The callers' sidecars and the callees' write spans of the same traces, with Ray's methods in them."""
    done = lab.in_ray(sandbox, lab.L7, "head", "ray", *jobs.submit(jobs.move_data(b"traced-call")))
    assert done.ok, done.output
    pods = {pod["metadata"]["name"]: role for role, pod in lab.pods(sandbox, lab.L7).items()}

    def role(span: Span) -> str:
        """Whose sidecar wrote it."""
        return next((role for pod, role in pods.items() if pod in span.tags.get("node_id", "")), "")

    def calls() -> dict[tuple[str, str], set[str | None]]:
        """Ray's methods by who called whom, as far as both ends told of them."""
        spans = [span for span in _spans(sandbox) if span.call]
        callers = {(span.trace, span.id): span for span in spans if span.kind == "Client"}
        found: dict[tuple[str, str], set[str | None]] = {}
        for span in spans:
            caller = callers.get((span.trace, span.parent))
            if caller and span.kind == "Server":
                assert span.service == caller.service == f"{lab.L7}.{lab.NAMESPACE}"
                found.setdefault((role(caller), role(span)), set()).add(span.call)
        return found

    both_ways = {("head", "worker"), ("worker", "head")}
    wait_for(lambda: calls().keys() >= both_ways, 120, "traces with both ends, of calls in both directions")


def test_spans_are_taken_from_the_mesh_alone(sandbox: Sandbox) -> None:
    """A Pod that is let through by the network and has no identity writes no traces of its own making."""
    url = f"http://{jaeger.NAME}.{ROOT_NAMESPACE}.svc.cluster.local:{OTLP_PORT}/"
    ask = ("curl", "--silent", "--http2-prior-knowledge", "--max-time", "20", "--output", "/dev/null")
    ask += ("--write-out", "%{http_code}", url)
    inside = lab.in_ray(sandbox, lab.L7, "head", *ask)
    with sandbox.running(sandbox.client(STRANGER, namespace=lab.NAMESPACE, meshed=False)):
        outside = sandbox.execute(STRANGER, *ask, namespace=lab.NAMESPACE)
    # No span is in it, but a collector answers.
    assert inside.ok and inside.output == "415", inside
    assert not outside.ok and outside.output.startswith("000"), outside
