"""Whether the API server's own admission takes the Pods of a workspace at the level of its namespace.

Nothing here depends on what runs on a node: Pods are admitted, or not, before any node hears of them.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rayfort import labels

from tests.e2e.sandbox import Done, wait_for
from tests.mesh.deployed import CLUSTER, L4_TEAM, L7_TEAM, MESH_NAMESPACE, Deployed

ENFORCE = f"{labels.POD_SECURITY}/enforce"
REFUSED = 'violates PodSecurity "restricted:latest"'
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "pod-security.md"
PODS = {"head": (L4_TEAM, "head"), "worker": (L4_TEAM, "worker"), "autoscaled head": (L7_TEAM, "head")}
HARDENED, BARE = "hardened", "bare"


def live(deployed: Deployed, which: str) -> dict[str, Any]:
    """A Pod as the operator made it and istiod changed it."""
    namespace, role = PODS[which]
    return deployed.sandbox.ray_pods(role, CLUSTER, namespace)[0]


def again(pod: Mapping[str, Any]) -> dict[str, Any]:
    """The same Pod under another name, as it stands: istiod leaves it alone."""
    spec = {key: value for key, value in pod["spec"].items() if key != "nodeName"}
    meta = {"generateName": "again-", "namespace": pod["metadata"]["namespace"]}
    left_alone = {"labels": {labels.SIDECAR_INJECT: "false"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta | left_alone, "spec": copy.deepcopy(spec)}


def admitted(deployed: Deployed, pod: Mapping[str, Any]) -> Done:
    """What the API server says to a Pod that it does not keep."""
    arguments = ("create", "--dry-run=server", "--output=json", "-f", "-")
    return deployed.sandbox.kubectl(*arguments, stdin=yaml.safe_dump(dict(pod)))


def containers(pod: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    spec = pod["spec"]
    return {each["name"]: each for each in [*spec.get("initContainers", []), *spec["containers"]]}


def test_every_namespace_is_at_its_level(deployed: Deployed) -> None:
    found = {
        each["metadata"]["name"]: each["metadata"]["labels"].get(ENFORCE)
        for each in deployed.sandbox.get("namespaces")["items"]
    }
    restricted = dict.fromkeys([L4_TEAM, L7_TEAM, "kuberay-system", "batch-system"], "restricted")
    assert found.items() >= (restricted | {"kbatch-alice": "baseline"}).items()


def test_nobody_in_them_has_a_capability(deployed: Deployed) -> None:
    seen: set[str] = set()
    for namespace in (L4_TEAM, L7_TEAM, "kuberay-system", "batch-system"):
        for pod in deployed.sandbox.get("pods", namespace=namespace)["items"]:
            for name, container in containers(pod).items():
                assert not container["securityContext"]["capabilities"].get("add"), (namespace, name)
                seen.add(name)
    assert {
        "ray-head",
        "ray-worker",
        "autoscaler",
        "wait-gcs-ready",
        "istio-proxy",
        "istio-validation",
    } <= seen
    assert "istio-init" not in seen


@pytest.mark.parametrize("which", PODS)
def test_each_container_needs_its_hardening(deployed: Deployed, which: str) -> None:
    """Admission looks at every one of them, KubeRay's and Istio's too."""
    pod = live(deployed, which)
    done = admitted(deployed, again(pod))
    assert done.ok, done.output
    for name in containers(pod):
        softer = again(pod)
        del containers(softer)[name]["securityContext"]
        done = admitted(deployed, softer)
        assert not done.ok
        assert REFUSED in done.output, done.output
        assert f'"{name}"' in done.output, done.output


def test_without_the_plugin_they_are_refused(deployed: Deployed) -> None:
    """istiod injects what redirects the traffic from inside, and that is what the level forbids."""
    head = live(deployed, "head")
    template = deployed.sandbox.get("raycluster", CLUSTER, namespace=L4_TEAM)["spec"]["headGroupSpec"][
        "template"
    ]
    meta = {"generateName": "new-", "namespace": L4_TEAM, "labels": template["metadata"]["labels"]}
    fresh = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
    done = admitted(deployed, fresh)
    assert done.ok, done.output
    assert containers(json.loads(done.output)).keys() == containers(head).keys()
    with deployed.changed("configmap", "istio-sidecar-injector", MESH_NAMESPACE, _plugin_off):
        done = wait_for(lambda: _refused(deployed, fresh), 60, "istiod injects istio-init")
    assert "NET_ADMIN" in done.output, done.output
    assert '"istio-init"' in done.output, done.output
    wait_for(lambda: admitted(deployed, fresh).ok, 60, "istiod injects istio-validation again")


def _plugin_off(injector: dict[str, Any]) -> None:
    settings = json.loads(injector["data"]["values"])
    assert settings["pilot"]["cni"]["enabled"] is True
    settings["pilot"]["cni"]["enabled"] = False
    injector["data"]["values"] = json.dumps(settings)


def _refused(deployed: Deployed, pod: Mapping[str, Any]) -> Done | None:
    done = admitted(deployed, pod)
    return done if REFUSED in done.output else None


# --- RayJobs


@pytest.fixture(scope="module")
def rayjobs(deployed: Deployed) -> Iterator[None]:
    """A RayJob with the template that the documentation shows, and one with KubeRay's own."""
    (text,) = re.findall(r"```yaml\n(submitterPodTemplate:.*?)```", DOCUMENT.read_text(), re.DOTALL)
    made = [rayjob(HARDENED, yaml.safe_load(text)), rayjob(BARE, {})]
    try:
        deployed.sandbox.apply(*made)
        yield
    finally:
        # Their finalizer waits for an operator that reaches the head, which on a simulated node nobody does.
        where, no_finalizers = ("-n", L4_TEAM), '{"metadata": {"finalizers": null}}'
        for name in (HARDENED, BARE):
            deployed.sandbox.kubectl(*where, "delete", "rayjob", name, "--ignore-not-found", "--wait=false")
            deployed.sandbox.kubectl(*where, "patch", "rayjob", name, "--type=merge", "-p", no_finalizers)


def rayjob(name: str, template: Mapping[str, Any]) -> dict[str, Any]:
    """A job on the team's cluster that a Pod of its own submits."""
    selector = {"clusterSelector": {"ray.io/cluster": CLUSTER}}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name, "namespace": L4_TEAM},
        "spec": {"entrypoint": "true", "submissionMode": "K8sJobMode", **selector, **template},
    }


@pytest.mark.usefixtures("rayjobs")
def test_the_pod_that_submits_a_job_is_admitted_with_the_documented_template(deployed: Deployed) -> None:
    def submitter() -> dict[str, Any] | None:
        found = deployed.sandbox.get(
            "pods", "-l", f"batch.kubernetes.io/job-name={HARDENED}", namespace=L4_TEAM
        )
        return next(iter(found["items"]), None)

    pod = wait_for(submitter, 90, "the Pod that submits the job")
    assert {"ray-job-submitter", "istio-proxy", "istio-validation"} == containers(pod).keys()


@pytest.mark.usefixtures("rayjobs")
def test_kuberays_own_is_refused(deployed: Deployed) -> None:
    def told() -> str | None:
        events = deployed.sandbox.get("events", "--field-selector=reason=FailedCreate", namespace=L4_TEAM)
        said = [each["message"] for each in events["items"] if each["involvedObject"]["name"] == BARE]
        return said[0] if said else None

    message = wait_for(told, 90, "the refusal of the Pod that submits the job")
    assert REFUSED in message
    assert "ray-job-submitter" in message
