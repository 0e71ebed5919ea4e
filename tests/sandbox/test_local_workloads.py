"""The real KubeRay operator and the real istiod, standing in for their Deployments."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import services, stood_in
from sandbox.control_plane import ControlPlane
from sandbox.kube_api import ApiRefused, ApiUnreachable, KubeApi
from sandbox.operator_chart import write_chart
from sandbox.processes import started_at

pytestmark = pytest.mark.sandbox

MESH = "istio-system"
OPERATORS = "ray-system"
RAY = "/apis/ray.io/v1/namespaces"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{OPERATORS}/deployments/kuberay-operator"


@dataclass(frozen=True)
class Platform:
    """What an environment's program brings, put there by helm alone."""

    plane: ControlPlane
    tools: Mapping[str, Path]
    assets: Mapping[str, Path]
    operator_chart: Path
    scratch: Path

    def helm(self, *args: str, values: dict[str, Any] | None = None) -> None:
        file = self.scratch / "values.yaml"
        file.write_text(yaml.safe_dump(values or {}))
        extra = ["--values", str(file)] if values is not None else []
        home = {f"HELM_{name}_HOME": str(self.scratch / name) for name in ("CACHE", "CONFIG", "DATA")}
        command = [str(self.tools["helm"]), "--kubeconfig", str(self.plane.kubeconfig), *args, *extra]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **home}, check=False
        )
        assert done.returncode == 0, done.stderr

    def install_mesh(self) -> None:
        urls = self.plane.endpoints.local
        assert urls is not None
        base = {"base": {"validationURL": urls.validation_url}, "defaultRevision": "default"}
        self._install("istio-base", self.assets["istio-base-chart"], MESH, base)
        values = {
            "base": base["base"],
            "istiodRemote": {"injectionURL": urls.injection_url},
            "meshConfig": {"meshMTLS": {"minProtocolVersion": "TLSV1_3"}},
            "global": {"hub": "docker.io/istio", "tag": "1.30.3"},
        }
        self._install("istiod", self.assets["istio-istiod-chart"], MESH, values)
        self.wait_for_webhooks()

    def install_operator(self, **values: Any) -> None:
        self._install("kuberay-operator", self.operator_chart, OPERATORS, values)

    def uninstall(self, name: str, namespace: str) -> None:
        self.helm("uninstall", name, "--namespace", namespace, "--wait")

    def _install(self, name: str, chart: Path, namespace: str, values: dict[str, Any]) -> None:
        # Without --reset-values, no values at all would mean those of the release before.
        where = ["--namespace", namespace, "--create-namespace", "--reset-values", "--wait"]
        self.helm("upgrade", "--install", name, str(chart), *where, values=values)

    def wait_for_webhooks(self) -> None:
        def trusted() -> bool:
            with KubeApi(self.plane.kubeconfig) as api:
                return {ca_bundle(each) for each in webhooks(api)} == {root_certificate(api)} and all(
                    each["failurePolicy"] == "Fail" for each in webhooks(api)
                )

        eventually(trusted)


@pytest.fixture(scope="module")
def platform(
    control_plane: ControlPlane,
    tools: Mapping[str, Path],
    assets: Mapping[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Platform:
    scratch = tmp_path_factory.mktemp("helm")
    chart = write_chart(assets["kuberay-crds"], assets["kuberay-rbac"], "v1.6.2", scratch)
    made = Platform(control_plane, tools, assets, chart, scratch)
    made.install_mesh()
    made.install_operator()
    return made


@pytest.fixture
def api(platform: Platform) -> Iterator[KubeApi]:
    with KubeApi(platform.plane.kubeconfig) as api:
        yield api


def eventually(condition: Callable[[], Any], seconds: float = 45) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (ApiUnreachable, OSError):
            pass
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def webhooks(api: KubeApi) -> list[dict[str, Any]]:
    found = []
    for kind in ("mutating", "validating"):
        path = f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations"
        for configuration in (api.get(path) or {})["items"]:
            found += configuration["webhooks"]
    return found


def ca_bundle(webhook: dict[str, Any]) -> str:
    return str(webhook["clientConfig"].get("caBundle", ""))


def root_certificate(api: KubeApi) -> str | None:
    secret = api.get(f"/api/v1/namespaces/{MESH}/secrets/istio-ca-secret")
    return secret["data"]["ca-cert.pem"] if secret else None


def namespace(api: KubeApi, name: str, **labels: str) -> str:
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    api.apply(f"/api/v1/namespaces/{name}", manifest)
    return name


def meshed(api: KubeApi, name: str) -> str:
    return namespace(api, name, **{"istio-injection": "enabled"})


def ray_cluster(api: KubeApi, where: str, name: str = "demo") -> str:
    def pod(role: str) -> dict[str, Any]:
        return {"spec": {"containers": [{"name": role, "image": "rayproject/ray:2.55.0"}]}}

    worker = {"groupName": "w", "replicas": 1, "rayStartParams": {}, "template": pod("ray-worker")}
    spec = {
        "rayVersion": "2.55.0",
        "authOptions": {"mode": "token"},
        "headGroupSpec": {"rayStartParams": {}, "template": pod("ray-head")},
        "workerGroupSpecs": [worker],
    }
    path = f"{RAY}/{where}/rayclusters/{name}"
    metadata = {"name": name}
    api.apply(path, {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": spec})
    return path


def state_of(api: KubeApi, path: str) -> str | None:
    status: dict[str, Any] = (api.get(path) or {}).get("status", {})
    return status.get("state")


def pods(api: KubeApi, where: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (api.get(f"/api/v1/namespaces/{where}/pods") or {})["items"]
    return found


def names(pod: dict[str, Any], field: str) -> list[str]:
    return [each["name"] for each in pod["spec"].get(field, [])]


def process(platform: Platform, name: str) -> tuple[str, int | None]:
    (status,) = [each for each in platform.plane.status() if each.name == name]
    return status.state, status.pid


def wait_until_running(platform: Platform, name: str, other_than: int | None = None) -> int:
    def new() -> bool:
        state, pid = process(platform, name)
        return state == "running" and pid != other_than

    eventually(new)
    pid = process(platform, name)[1]
    assert pid is not None
    return pid


def wait_until_waiting(platform: Platform, name: str) -> None:
    eventually(lambda: process(platform, name)[0] == "waiting")


def test_a_ray_cluster_in_the_mesh_becomes_ready_with_injected_pods(platform: Platform, api: KubeApi) -> None:
    assert process(platform, stood_in.ISTIOD)[0] == process(platform, stood_in.OPERATOR)[0] == "running"
    team = meshed(api, "team-a")
    path = ray_cluster(api, team)
    eventually(lambda: state_of(api, path) == "ready")
    found = {each["metadata"]["labels"]["ray.io/node-type"]: each for each in pods(api, team)}
    assert names(found["head"], "containers") == ["ray-head"]
    assert names(found["head"], "initContainers") == ["istio-init", "istio-proxy"]
    assert names(found["worker"], "containers") == ["ray-worker"]
    assert names(found["worker"], "initContainers") == ["istio-init", "istio-proxy", "wait-gcs-ready"]
    env = {each["name"]: each for each in found["head"]["spec"]["containers"][0]["env"]}
    assert env["RAY_AUTH_MODE"]["value"] == "token"
    assert env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "demo", "key": "auth_token"}


@pytest.mark.parametrize(
    "where", [(MESH, "app=istiod"), (OPERATORS, "app.kubernetes.io/name=kuberay-operator")]
)
def test_a_deployment_is_ready_when_its_process_serves(
    platform: Platform, api: KubeApi, where: tuple[str, str]
) -> None:
    """Else helm would return before the webhooks answer, and what comes next would be refused."""
    space, selector = where
    (pod,) = (api.get(f"/api/v1/namespaces/{space}/pods?labelSelector={selector}") or {})["items"]
    assert pod["status"]["phase"] == "Running"
    name = stood_in.ISTIOD if space == MESH else stood_in.OPERATOR
    program = wait_until_running(platform, name)
    supervisor = int(Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGSTOP)
    try:
        delete(platform, f"pod/{pod['metadata']['name']}", f"--namespace={space}")
        time.sleep(3)
        (fresh,) = (api.get(f"/api/v1/namespaces/{space}/pods?labelSelector={selector}") or {})["items"]
        assert fresh["status"]["phase"] == "Pending", "nobody has vouched for it"
    finally:
        os.kill(supervisor, signal.SIGCONT)
    path = f"/api/v1/namespaces/{space}/pods/{fresh['metadata']['name']}"
    eventually(lambda: (api.get(path) or {})["status"]["phase"] == "Running")


def test_istiod_refuses_what_is_not_valid(platform: Platform, api: KubeApi) -> None:
    team = namespace(api, "team-v")
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "bad"},
        "spec": {"host": ""},
    }
    path = f"/apis/networking.istio.io/v1/namespaces/{team}/destinationrules/bad"
    with pytest.raises(ApiRefused, match=r'validation\.istio\.io" denied the request'):
        api.apply(path, rule)
    api.apply(path, {**rule, "spec": {"host": "x.team-v.svc.cluster.local"}})


def test_istiod_follows_the_mesh_settings_in_the_cluster(platform: Platform, api: KubeApi) -> None:
    def served() -> str:
        address = platform.plane.endpoints.local.istiod_http
        with urllib.request.urlopen(f"http://{address}/debug/mesh", timeout=5) as answer:
            return str(answer.read().decode())

    assert "TLSV1_3" in served()
    path = f"/api/v1/namespaces/{MESH}/configmaps/istio"
    mesh = (api.get(path) or {})["data"]["mesh"]
    changed = {**yaml.safe_load(mesh), "connectTimeout": "7s"}
    kept = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio"}}
    api.apply(path, {**kept, "data": {"mesh": yaml.safe_dump(changed)}})
    eventually(lambda: '"7s"' in served())
    api.apply(path, {**kept, "data": {"mesh": mesh}})
    eventually(lambda: '"7s"' not in served())


def test_they_act_with_the_rights_of_their_service_accounts(platform: Platform, api: KubeApi) -> None:
    for name, account in (
        (stood_in.OPERATOR, f"system:serviceaccount:{OPERATORS}:kuberay-operator"),
        (stood_in.ISTIOD, f"system:serviceaccount:{MESH}:istiod"),
    ):
        with KubeApi(platform.plane.kubeconfig.parent / "run" / f"{name}.kubeconfig") as _:
            text = (platform.plane.kubeconfig.parent / "run" / f"{name}.kubeconfig").read_text()
        assert yaml.safe_load(text)["users"][0]["user"]["as"] == account
    # The proof from outside: what the operator made was made by its account.
    binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kuberay-operator"
    assert (api.get(binding) or {})["subjects"][0]["namespace"] == OPERATORS


def test_chart_values_reach_the_running_operator(platform: Platform, api: KubeApi) -> None:
    before = wait_until_running(platform, stood_in.OPERATOR)
    platform.install_operator(env=[{"name": "ENABLE_INIT_CONTAINER_INJECTION", "value": "false"}])
    wait_until_running(platform, stood_in.OPERATOR, other_than=before)
    team = meshed(api, "team-b")
    path = ray_cluster(api, team)
    eventually(lambda: state_of(api, path) == "ready")
    assert all("wait-gcs-ready" not in names(each, "initContainers") for each in pods(api, team))
    platform.install_operator()


def test_an_operator_without_rights_outside_its_namespaces_does_nothing_there(
    platform: Platform, api: KubeApi
) -> None:
    inside, outside = namespace(api, "inside"), namespace(api, "outside")
    before = wait_until_running(platform, stood_in.OPERATOR)
    platform.install_operator(watchNamespace=[inside], singleNamespaceInstall=True)
    wait_until_running(platform, stood_in.OPERATOR, other_than=before)
    paths = ray_cluster(api, outside), ray_cluster(api, inside)
    eventually(lambda: state_of(api, paths[1]) == "ready")
    assert state_of(api, paths[0]) is None
    assert pods(api, outside) == []
    platform.install_operator()
    eventually(lambda: state_of(api, paths[0]) == "ready")


def test_no_replicas_no_process(platform: Platform, api: KubeApi) -> None:
    before = wait_until_running(platform, stood_in.OPERATOR)
    deployment = api.get(DEPLOYMENT) or {}
    kept = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "kuberay-operator"}}
    fields = {"selector": deployment["spec"]["selector"], "template": deployment["spec"]["template"]}
    api.apply(DEPLOYMENT, {**kept, "spec": {**fields, "replicas": 0}})
    eventually(lambda: process(platform, stood_in.OPERATOR)[0] == "waiting")
    assert started_at(before) is None
    api.apply(DEPLOYMENT, {**kept, "spec": {**fields, "replicas": 1}})
    wait_until_running(platform, stood_in.OPERATOR, other_than=before)


@pytest.mark.parametrize("name", [stood_in.OPERATOR, stood_in.ISTIOD])
def test_a_crash_is_followed_by_a_restart(platform: Platform, api: KubeApi, name: str) -> None:
    before = wait_until_running(platform, name)
    os.kill(before, signal.SIGKILL)
    wait_until_running(platform, name, other_than=before)
    platform.wait_for_webhooks()
    path = ray_cluster(api, meshed(api, f"after-{name}"))
    eventually(lambda: state_of(api, path) == "ready")
    assert all("istio-proxy" in names(each, "initContainers") for each in pods(api, f"after-{name}"))


@pytest.mark.parametrize("name", [stood_in.OPERATOR, stood_in.ISTIOD])
def test_a_killed_supervisor_takes_its_program_along_and_both_come_back(
    platform: Platform, name: str
) -> None:
    program = wait_until_running(platform, name)
    supervisor = int(Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: started_at(program) is None)
    assert process(platform, name)[0] == "crashed"
    platform.plane.start()
    wait_until_running(platform, name, other_than=program)


@pytest.mark.parametrize("name", [stood_in.OPERATOR, stood_in.ISTIOD])
def test_a_start_right_after_a_kill_keeps_the_addresses(platform: Platform, name: str) -> None:
    program = wait_until_running(platform, name)
    endpoints = platform.plane.endpoints
    supervisor = int(Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    # The program still holds its ports while it ends.
    assert platform.plane.start() == endpoints
    wait_until_running(platform, name, other_than=program)


def test_they_survive_a_restart_of_the_api_server(platform: Platform) -> None:
    operator = wait_until_running(platform, stood_in.OPERATOR)
    api_server = process(platform, services.API_SERVER)[1]
    assert api_server is not None
    os.kill(api_server, signal.SIGKILL)
    eventually(lambda: process(platform, services.API_SERVER)[0] == "crashed")
    platform.plane.start()
    assert process(platform, stood_in.OPERATOR) == ("running", operator), "no need to restart it"
    with KubeApi(platform.plane.kubeconfig) as api:
        path = ray_cluster(api, meshed(api, "after-restart"))
        eventually(lambda: state_of(api, path) == "ready")


def test_stop_and_start_with_everything_in_place(platform: Platform) -> None:
    everything = [pid for name in services.NAMES if (pid := process(platform, name)[1])]
    with KubeApi(platform.plane.kubeconfig) as api:
        root = root_certificate(api)
    began = time.monotonic()
    platform.plane.stop()
    assert time.monotonic() - began < 10
    assert [pid for pid in everything if started_at(pid)] == []
    platform.plane.start()
    wait_until_running(platform, stood_in.ISTIOD)
    wait_until_running(platform, stood_in.OPERATOR)
    with KubeApi(platform.plane.kubeconfig) as api:
        assert root_certificate(api) == root, "the mesh keeps its authority"
        path = ray_cluster(api, meshed(api, "after-stop"))
        eventually(lambda: state_of(api, path) == "ready")


def test_torn_down_and_brought_up_again(platform: Platform, api: KubeApi) -> None:
    """What `destroy` and a second `up` do to a control plane that goes on running."""
    istiod = wait_until_running(platform, stood_in.ISTIOD)
    old_root = root_certificate(api)
    for team in (api.get("/api/v1/namespaces?labelSelector=istio-injection=enabled") or {})["items"]:
        delete(platform, f"namespace/{team['metadata']['name']}")
    platform.uninstall("kuberay-operator", OPERATORS)
    platform.uninstall("istiod", MESH)
    platform.uninstall("istio-base", MESH)
    delete(platform, f"namespace/{OPERATORS}", f"namespace/{MESH}")
    for name in (stood_in.ISTIOD, stood_in.OPERATOR):
        wait_until_waiting(platform, name)
    assert started_at(istiod) is None

    platform.install_mesh()
    platform.install_operator()
    new_root = root_certificate(api)
    assert new_root is not None
    assert new_root != old_root
    assert base64.b64decode(new_root).startswith(b"-----BEGIN CERTIFICATE")
    path = ray_cluster(api, meshed(api, "second-life"))
    eventually(lambda: state_of(api, path) == "ready")
    assert all("istio-proxy" in names(each, "initContainers") for each in pods(api, "second-life"))


def delete(platform: Platform, *objects: str) -> None:
    kubectl = str(platform.tools["kubectl"])
    command = [kubectl, "--kubeconfig", str(platform.plane.kubeconfig), "delete", *objects, "--timeout=60s"]
    subprocess.run(command, capture_output=True, check=True)
