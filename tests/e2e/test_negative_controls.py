"""What goes wrong without each part of the recipe: proof that the other tests could fail.

All states are made side by side in a namespace of their own, copied from the deployed Ray cluster, so that
each differs from what works in one thing only.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
import yaml
from rayfort import labels

from sandbox import ray_status
from sandbox.processes import SandboxError
from sandbox.ray_status import RayClusterStatus
from tests.e2e.sandbox import CLUSTER, Sandbox, wait_for

pytestmark = pytest.mark.real

HERE = "negative"
LONELY, CLASSIC, JOB, OUTSIDER = "lonely", "classic", "job", "outsider"
OPERATOR, OPERATOR_NAMESPACE = "kuberay-operator", "kuberay-system"
GCS_PORT = 6379
HANG_SECONDS = 25  # that an init container waits before the test believes that it does so for ever
NO_FINALIZERS = '{"metadata": {"finalizers": null}}'
PROTOCOL_VERSION = "alert number 70"  # what TLS says to an old version


@pytest.fixture(scope="module", autouse=True)
def controls(sandbox: Sandbox) -> Iterator[None]:
    """All that the tests look at, and the operator outside the mesh."""
    spec = sandbox.get("raycluster", CLUSTER)["spec"]
    try:
        sandbox.apply(namespace(), mutual_tls(sandbox), lonely(spec), outsider(sandbox))
        put_operator(sandbox, in_mesh=False)
        sandbox.apply(ray_job(spec))
        yield
    finally:
        # The RayJob's finalizer waits for an operator that reaches the head; the head goes in any case.
        sandbox.kubectl("-n", HERE, "delete", "rayjob", JOB, "--ignore-not-found", "--wait=false")
        sandbox.kubectl("-n", HERE, "patch", "rayjob", JOB, "--type=merge", "-p", NO_FINALIZERS)
        sandbox.delete(lonely(spec), namespace())
        put_operator(sandbox, in_mesh=True)


def test_without_headless_service_workers_die(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies() -> RayClusterStatus | None:
        status = survey(sandbox, LONELY)
        assert not status.ready
        told = any("is dead: " in reason for reason in status.late)
        return status if status.state == "ready" and told else None

    status = wait_for(dies, 180, "KubeRay calls the cluster ready while Ray calls its worker dead")
    assert (status.pods, status.running, status.injected) == (2, 2, 2), status

    monkeypatch.setattr(ray_status, "REAL_READY_SECONDS", 5)
    with pytest.raises(SandboxError, match=f"RayCluster {HERE}/{LONELY}\n"):
        ray_status.wait_ready(sandbox.environment.kubeconfig, real=True)


def test_classic_sidecar_leaves_the_worker_waiting(sandbox: Sandbox) -> None:
    scale = [{"op": "replace", "path": "/spec/workerGroupSpecs/1/replicas", "value": 1}]
    patch(sandbox, HERE, "raycluster", LONELY, scale, "json")

    def waits() -> dict[str, Any] | None:
        pod = worker(sandbox, CLASSIC)
        state = init_state(pod, "wait-gcs-ready")
        assert "terminated" not in state, state
        return pod if "running" in state and age(state["running"]["startedAt"]) > HANG_SECONDS else None

    wait_for(lambda: workers(sandbox, CLASSIC), 30, "the operator makes the worker")
    stuck = wait_for(waits, 90, f"the init container waits for {HANG_SECONDS} s")
    native = worker(sandbox, spec_group(sandbox))
    assert sidecar_place(stuck) == "containers"
    assert sidecar_place(native) == "initContainers"
    # The same wait, for the same head, with the sidecar started before it.
    passed = init_state(native, "wait-gcs-ready")["terminated"]
    assert passed["exitCode"] == 0
    assert age(passed["startedAt"]) - age(passed["finishedAt"]) < HANG_SECONDS


def test_tls_1_2_is_refused_because_the_mesh_says_so(sandbox: Sandbox) -> None:
    assert PROTOCOL_VERSION in tls_1_2(sandbox)
    with mesh_minimum(sandbox, "TLSV1_2"):
        answer = wait_for(lambda: differs(tls_1_2(sandbox)), 60, "sidecars take TLS 1.2")
        # Further: the server has shown its certificate, and now misses the client's.
        assert "Acceptable client certificate CA names" in answer, answer
        assert "Protocol  : TLSv1.2" in answer or "New, TLSv1.2" in answer, answer
    wait_for(lambda: not differs(tls_1_2(sandbox)), 60, "sidecars refuse TLS 1.2 again")


def test_operator_outside_the_mesh_never_learns_a_jobs_status(sandbox: Sandbox) -> None:
    wait_for(lambda: deployment_status(sandbox) == "Running", 180, "the Ray cluster of the RayJob is ready")
    refused = wait_for(lambda: refusal(sandbox), 60, "the operator is refused by the head's sidecar")
    assert "/api/jobs/" in refused
    status = sandbox.get("rayjob", JOB, namespace=HERE)["status"]
    assert (status["jobDeploymentStatus"], status.get("jobStatus", "")) == ("Running", ""), status

    put_operator(sandbox, in_mesh=True)
    wait_for(lambda: deployment_status(sandbox) == "Complete", 120, "the operator in the mesh runs the job")
    assert sandbox.get("rayjob", JOB, namespace=HERE)["status"]["jobStatus"] == "SUCCEEDED"


def namespace() -> dict[str, Any]:
    """Injected as a workspace is; what the whole mesh says holds, and no policy beyond that."""
    metadata = {"name": HERE, "labels": {labels.ISTIO_INJECTION: "enabled"}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def mutual_tls(sandbox: Sandbox) -> dict[str, Any]:
    """The workspace's own rule, for this namespace."""
    (rule,) = sandbox.get("destinationrule")["items"]
    spec = {**rule["spec"], "host": f"*.{HERE}.svc.cluster.local"}
    metadata = {"name": "default", "namespace": HERE}
    return {"apiVersion": rule["apiVersion"], "kind": rule["kind"], "metadata": metadata, "spec": spec}


def lonely(deployed: dict[str, Any]) -> dict[str, Any]:
    """The deployed Ray cluster with no headless Service; and a group with classic sidecars, empty yet."""
    spec = transplanted(deployed)
    classic = copy.deepcopy(spec["workerGroupSpecs"][0])
    classic |= {"groupName": CLASSIC, "replicas": 0, "minReplicas": 0}
    classic["template"]["metadata"]["annotations"]["sidecar.istio.io/nativeSidecar"] = "false"
    spec["workerGroupSpecs"].append(classic)
    metadata = {"name": LONELY, "namespace": HERE}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": spec}


def ray_job(deployed: dict[str, Any]) -> dict[str, Any]:
    """A job on a head of its own, submitted by the operator itself."""
    cluster = transplanted(deployed) | {"workerGroupSpecs": []}
    cluster.pop("upgradeStrategy", None)  # KubeRay takes none in a RayJob
    metadata = {"name": JOB, "namespace": HERE}
    spec = {"entrypoint": "python --version", "submissionMode": "HTTPMode", "rayClusterSpec": cluster}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": spec}


def transplanted(deployed: dict[str, Any]) -> dict[str, Any]:
    """A Ray cluster's spec without what only its namespace has: accounts, netrc and the token's Secret.

    It asks for next to nothing: on two processors there is little room beside the platform.
    """
    spec = copy.deepcopy(deployed) | {"authOptions": {"mode": "token"}}
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        template = group["template"]
        template["metadata"]["annotations"] = {"sidecar.istio.io/proxyCPU": "10m"}
        template["spec"]["terminationGracePeriodSeconds"] = 2
        for name in ("serviceAccountName", "volumes"):
            template["spec"].pop(name, None)
        container = template["spec"]["containers"][0]
        container.pop("volumeMounts", None)
        container["resources"]["requests"] = {"cpu": "10m", "memory": "256Mi"}
    return spec


def outsider(sandbox: Sandbox) -> dict[str, Any]:
    """A Pod without sidecar that has openssl."""
    head = sandbox.ray_pods("head")[0]["spec"]
    image = next(each["image"] for each in head["initContainers"] if each["name"] == "istio-proxy")
    container = {"name": OUTSIDER, "image": image, "command": ["sleep", "infinity"]}
    metadata = {"name": OUTSIDER, "namespace": HERE, "labels": {labels.SIDECAR_INJECT: "false"}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def put_operator(sandbox: Sandbox, *, in_mesh: bool) -> None:
    """Give the operator a sidecar, or take it away."""
    label = {labels.SIDECAR_INJECT: str(in_mesh).lower()}
    change = {"spec": {"template": {"metadata": {"labels": label}}}}
    patch(sandbox, OPERATOR_NAMESPACE, "deployment", OPERATOR, change)
    rollout = ("rollout", "status", f"deployment/{OPERATOR}", "--timeout=120s")
    done = sandbox.kubectl("-n", OPERATOR_NAMESPACE, *rollout, seconds=150)
    assert done.ok, done.output


def patch(sandbox: Sandbox, where: str, kind: str, name: str, change: Any, how: str = "merge") -> None:
    arguments = ("patch", kind, name, f"--type={how}", "--patch-file=/dev/stdin")
    done = sandbox.kubectl("-n", where, *arguments, stdin=json.dumps(change))
    assert done.ok, done.output


def survey(sandbox: Sandbox, name: str) -> RayClusterStatus:
    """A Ray cluster as the product sees it."""
    found = ray_status.survey(sandbox.environment.kubeconfig)
    return next(each for each in found if (each.namespace, each.name) == (HERE, name))


def spec_group(sandbox: Sandbox) -> str:
    """The name of the group of workers that the deployed cluster has."""
    return str(sandbox.get("raycluster", CLUSTER)["spec"]["workerGroupSpecs"][0]["groupName"])


def workers(sandbox: Sandbox, group: str) -> list[dict[str, Any]]:
    found = sandbox.ray_pods("worker", LONELY, HERE)
    return [pod for pod in found if pod["metadata"]["labels"]["ray.io/group"] == group]


def worker(sandbox: Sandbox, group: str) -> dict[str, Any]:
    (pod,) = workers(sandbox, group)
    return pod


def init_state(pod: dict[str, Any], container: str) -> dict[str, Any]:
    """The state of an init container; empty before it is known."""
    states = {each["name"]: each["state"] for each in pod["status"].get("initContainerStatuses", [])}
    return dict(states.get(container, {}))


def sidecar_place(pod: dict[str, Any]) -> str:
    """Where the Pod has its sidecar."""
    places = ("containers", "initContainers")
    return next(
        place for place in places for each in pod["spec"].get(place, []) if each["name"] == "istio-proxy"
    )


def age(moment: str) -> float:
    return time.time() - datetime.fromisoformat(moment).timestamp()


def tls_1_2(sandbox: Sandbox) -> str:
    """What a sidecar says to a client without certificate that knows no newer TLS."""
    (head,) = sandbox.ray_pods("head", LONELY, HERE)
    to = f"{head['status']['podIP']}:{GCS_PORT}"
    return sandbox.execute(
        OUTSIDER, "openssl", "s_client", "-connect", to, "-tls1_2", namespace=HERE, seconds=30
    ).output


def differs(answer: str) -> str | None:
    """The answer, if it is not about the version of TLS."""
    return None if PROTOCOL_VERSION in answer else answer


@contextmanager
def mesh_minimum(sandbox: Sandbox, version: str) -> Iterator[None]:
    """Another minimum version of TLS in the mesh, for the length of a block."""
    before = sandbox.get("configmap", "istio", namespace="istio-system")["data"]["mesh"]
    config = yaml.safe_load(before)
    config["meshMTLS"]["minProtocolVersion"] = version

    def write(text: str) -> None:
        patch(sandbox, "istio-system", "configmap", "istio", {"data": {"mesh": text}})

    write(yaml.safe_dump(config))
    try:
        yield
    finally:
        write(before)


def deployment_status(sandbox: Sandbox) -> str:
    status = sandbox.get("rayjob", JOB, namespace=HERE).get("status", {})
    return str(status.get("jobDeploymentStatus", ""))


def refusal(sandbox: Sandbox) -> str | None:
    """The line of the operator's log about a connection that was refused."""
    done = sandbox.kubectl(
        "-n", OPERATOR_NAMESPACE, "logs", f"deployment/{OPERATOR}", "-c", OPERATOR, "--tail=200"
    )
    lines = [line for line in done.output.splitlines() if "connection reset by peer" in line]
    return lines[-1] if lines else None
