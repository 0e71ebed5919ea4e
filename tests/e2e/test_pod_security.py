"""Pods without a capability whose traffic goes through sidecars all the same: Istio's CNI plugin at work.

What their traffic then looks like on the wire is told in `test_wire`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from rayfort import labels
from rayfort.mesh.cni import RELEASE

from sandbox.node import config, network
from sandbox.node.enclosure import Enclosure
from tests.e2e.sandbox import NAMESPACE, Sandbox, wait_for

pytestmark = pytest.mark.real

LEVELS = {
    NAMESPACE: "restricted",
    "kuberay-system": "restricted",
    "batch-system": "restricted",
    "jupyterhub": "restricted",
    "kbatch-alice": "baseline",
}
MESHED = [NAMESPACE, "kuberay-system", "batch-system", "jupyterhub"]
RESTRICTED = 'violates PodSecurity "restricted:latest"'
HASTY = "test-hasty"
AGENT, AGENT_NAMESPACE = f"{RELEASE}-node", "kube-system"


def containers(pod: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    spec = pod["spec"]
    return {each["name"]: each for each in [*spec.get("initContainers", []), *spec["containers"]]}


def test_every_namespace_is_at_its_level(sandbox: Sandbox) -> None:
    found = {
        each["metadata"]["name"]: each["metadata"]["labels"].get(f"{labels.POD_SECURITY}/enforce")
        for each in sandbox.get("namespaces")["items"]
    }
    assert found.items() >= LEVELS.items()


@pytest.mark.parametrize("namespace", MESHED)
def test_no_pod_redirects_its_own_traffic(sandbox: Sandbox, namespace: str) -> None:
    pods = sandbox.get("pods", namespace=namespace)["items"]
    meshed = [pod for pod in pods if "istio-proxy" in containers(pod)]
    assert meshed
    for pod in meshed:
        found = containers(pod)
        assert "istio-init" not in found
        assert "istio-validation" in found
        assert not any(each["securityContext"]["capabilities"].get("add") for each in found.values())


def test_a_running_container_has_no_capability(sandbox: Sandbox) -> None:
    """What the kernel says, not what the manifest does."""
    for container in ("ray-head", "istio-proxy"):
        done = sandbox.execute(sandbox.head(), "grep", "^Cap", "/proc/1/status", container=container)
        assert done.ok, done.output
        sets = dict(line.split() for line in done.output.splitlines())
        assert set(sets.values()) == {"0" * 16}, sets


def test_the_node_chains_the_plugin_behind_calicos(sandbox: Sandbox) -> None:
    root = Enclosure(sandbox.state, config.NODE_NAME).root
    written = config.below(root, config.PLUGIN_CONFIG).read_text()
    types = [each["type"] for each in json.loads(written)["plugins"]]
    assert types[0] == "calico"
    assert types[-1] == network.ISTIO_PLUGIN


def test_a_pod_that_asks_for_more_is_refused(sandbox: Sandbox) -> None:
    pod = sandbox.client(HASTY, meshed=False)
    pod["spec"]["containers"][0]["securityContext"] = {"capabilities": {"add": ["NET_ADMIN"]}}
    done = sandbox.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert not done.ok
    assert RESTRICTED in done.output, done.output


@pytest.fixture
def no_agent(sandbox: Sandbox) -> Iterator[Callable[[], None]]:
    """The node without the plugin, which its agent takes along; call what it gives to have them back."""

    def settle(where: str | None, pods: int) -> None:
        selector = {"spec": {"template": {"spec": {"nodeSelector": {"rayfort-test": where}}}}}
        patch = ("patch", "daemonset", AGENT, "--type=merge", "-p", json.dumps(selector))
        done = sandbox.kubectl("-n", AGENT_NAMESPACE, *patch)
        assert done.ok, done.output
        wait_for(lambda: _agents(sandbox) == pods, 60, f"{pods} ready Pods of {AGENT}")

    settle("nowhere", 0)
    yield lambda: settle(None, 1)
    settle(None, 1)


def _agents(sandbox: Sandbox) -> int:
    """Its Pods that are there, of which all must be ready; -1 while they are not."""
    pods = sandbox.get("pods", "-l", f"k8s-app={AGENT}", namespace=AGENT_NAMESPACE)["items"]
    ready = [
        each["status"] == "True"
        for pod in pods
        for each in pod["status"].get("conditions", [])
        if each["type"] == "Ready" and "deletionTimestamp" not in pod["metadata"]
    ]
    return len(pods) if len(ready) == len(pods) and all(ready) else -1


def test_a_pod_that_nobody_redirects_never_runs(sandbox: Sandbox, no_agent: Callable[[], None]) -> None:
    """As on a new node, where a Pod may be there before the plugin."""

    def checked() -> dict[str, Any] | None:
        statuses = sandbox.get("pod", HASTY)["status"].get("initContainerStatuses", [])
        states = {each["name"]: each for each in statuses}
        state = states.get("istio-validation", {})
        done = {**state.get("lastState", {}), **state.get("state", {})}.get("terminated")
        return dict(done) if done else None

    with sandbox.holding(sandbox.client(HASTY, meshed=True)):
        failed = wait_for(checked, 90, "istio-validation has looked")
        assert failed["exitCode"] != 0, failed
        (main,) = sandbox.get("pod", HASTY)["status"]["containerStatuses"]
        assert "waiting" in main["state"], main
        no_agent()
        gone = ("wait", "--for=delete", "--timeout=120s", f"pod/{HASTY}")
        done = sandbox.kubectl("-n", NAMESPACE, *gone, seconds=150)
        assert done.ok, done.output
