"""The node itself: names, Services, volumes, and NetworkPolicies that really keep packets out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.node.storage import HELPER_IMAGE
from tests.e2e.sandbox import Sandbox, wait_for

pytestmark = pytest.mark.real

# Outside the mesh: nothing but the node's own network and policies is looked at.
NAMESPACE = "node-test"
PORT = 8080


def pod(name: str, *command: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": HELPER_IMAGE, "command": list(command)}
    container |= {key: spec.pop(key) for key in ("volumeMounts",) if key in spec}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name, **(labels or {})}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "server", "namespace": NAMESPACE},
    "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": PORT}]},
}
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data", "namespace": NAMESPACE},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
}
ONLY_FRIENDS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "only-friends", "namespace": NAMESPACE},
    "spec": {
        "podSelector": {"matchLabels": {"app": "server"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"friend": "yes"}}}]}],
    },
}


@pytest.fixture(scope="module", autouse=True)
def pods(sandbox: Sandbox) -> Iterator[None]:
    """A server, somebody who knows it and a stranger."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    serve = ("python3", "-m", "http.server", str(PORT), "--directory", "/etc")
    wait = ("sleep", "infinity")
    with sandbox.holding(namespace):
        sandbox.apply(
            SERVICE,
            pod("server", *serve),
            pod("friend", *wait, labels={"friend": "yes"}),
            pod("stranger", *wait),
        )
        ready = sandbox.kubectl(
            "-n", NAMESPACE, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s"
        )
        assert ready.ok, ready.output
        yield


def reaches(sandbox: Sandbox, client: str, host: str = f"server.{NAMESPACE}.svc.cluster.local") -> bool:
    asked = (
        "curl",
        "--silent",
        "--fail",
        "--max-time",
        "3",
        "--output",
        "/dev/null",
        f"http://{host}/hostname",
    )
    return sandbox.execute(client, *asked, namespace=NAMESPACE).ok


def test_the_node_says_that_it_is_ready(sandbox: Sandbox) -> None:
    (node,) = sandbox.get("nodes")["items"]
    conditions = {each["type"]: each["status"] for each in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")


def test_names_and_services_lead_to_pods(sandbox: Sandbox) -> None:
    wait_for(lambda: reaches(sandbox, "stranger"), 30, "the Service answers by its name")
    assert reaches(sandbox, "server"), "a Pod reaches itself through its Service"


def test_a_network_policy_keeps_strangers_out(sandbox: Sandbox) -> None:
    wait_for(lambda: reaches(sandbox, "stranger"), 30, "without a policy anybody is let in")
    with sandbox.holding(ONLY_FRIENDS):
        wait_for(lambda: not reaches(sandbox, "stranger"), 30, "a stranger is kept out")
        assert reaches(sandbox, "friend")
        # Neither is there a way around the Service.
        address = sandbox.get("pod", "server", namespace=NAMESPACE)["status"]["podIP"]
        assert not reaches(sandbox, "stranger", f"{address}:{PORT}")
        assert reaches(sandbox, "friend", f"{address}:{PORT}")
    wait_for(lambda: reaches(sandbox, "stranger"), 30, "without the policy a stranger is let in again")


def test_a_pod_reaches_the_api_server_by_its_service(sandbox: Sandbox) -> None:
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    asked = (
        f'curl --silent --fail --max-time 5 --cacert {account}/ca.crt --header "Authorization: Bearer '
        f'$(cat {account}/token)" https://kubernetes.default.svc/version'
    )
    done = sandbox.execute("stranger", "sh", "-c", asked, namespace=NAMESPACE)
    assert done.ok, done.output
    assert '"gitVersion"' in done.output


def test_what_is_outside_is_refused_at_once(sandbox: Sandbox) -> None:
    done = sandbox.execute(
        "stranger", "curl", "--silent", "--max-time", "20", "http://192.0.2.1", namespace=NAMESPACE
    )
    timed_out = 28
    assert not done.ok
    assert f"exit code {timed_out}" not in done.output, "it waited instead"


def test_a_volume_outlives_its_pod(sandbox: Sandbox) -> None:
    mounted: dict[str, Any] = {
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "restartPolicy": "Never",
    }
    writer = pod("writer", "sh", "-c", "echo kept > /data/note", **mounted)
    reader = pod("reader", "grep", "kept", "/data/note", **mounted)
    with sandbox.holding(CLAIM):
        for each in (writer, reader):
            with sandbox.holding(each):
                name = each["metadata"]["name"]
                done = sandbox.kubectl(
                    "-n", NAMESPACE, "wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}",
                    "--timeout=60s",
                )  # fmt: skip
                assert done.ok, f"{name}: {done.output}"
