"""The whole platform on the sandbox: Pulumi's engine, a real API server, the KubeRay operator and istiod.

One `up` serves all tests of this module; they run in the order in which they stand here, and the last ones
take the platform down.
"""

import base64
import gzip
import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from rayfort.conformance import Status, judge
from rayfort.conformance.collect import observe
from rayfort.conformance.kube import KubernetesConnection

from infra import program
from infra.problems import SettingsError
from sandbox.control_plane import CONTEXT
from sandbox.environment import Environment, Report
from sandbox.errors import StackError
from sandbox.kube_api import KubeApi
from sandbox.node_kind import NodeKind
from sandbox.progress import Progress

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE, CLUSTER = "team-a", "ray"
HEADLESS = f"/api/v1/namespaces/{NAMESPACE}/services/{CLUSTER}-headless-svc"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, tools: Mapping[str, Path]) -> Iterator[Environment]:
    """A sandbox with a state directory of its own, whose path has a blank."""
    state = tmp_path_factory.mktemp("a check out") / "sandbox"
    made = Environment(ROOT, Progress(), state=state)
    yield made
    made.down(force=True)


# What a user of Pulumi may have in their shell, of which each would end the sandbox's commands or worse.
THEIRS = {
    "PULUMI_ACCESS_TOKEN": "pul-0000000000000000000000000000000000000000",
    "PULUMI_BACKEND_URL": "https://api.example.invalid",
    "PULUMI_CONFIG": '{"rayfort:mesh": "theirs"}',
    "PULUMI_CONFIG_PASSPHRASE": "their-own-passphrase",
    "PULUMI_CONFIG_PASSPHRASE_FILE": "/nonexistent/passphrase",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    "PULUMI_HOME": "/nonexistent/home",
    "PULUMI_ORGANIZATION": "theirs",
    "PULUMI_PROJECT": "theirs",
    "PULUMI_STACK": "theirs",
}


@pytest.fixture(scope="module")
def report(environment: Environment) -> Report:
    """What the first `up` ended with, in the shell of somebody with a Pulumi of their own."""
    with pytest.MonkeyPatch.context() as shell:
        for name, value in THEIRS.items():
            shell.setenv(name, value)
        return environment.up(NodeKind.SIMULATED)


@pytest.fixture
def api(environment: Environment, report: Report) -> Iterator[KubeApi]:
    """The sandbox's API server."""
    with KubeApi(environment.kubeconfig) as connection:
        yield connection


def items(api: KubeApi, path: str) -> list[dict[str, Any]]:
    found = api.get(path)
    assert found is not None, path
    return list(found["items"])


def ray_pods(api: KubeApi) -> list[dict[str, Any]]:
    return items(api, f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=ray.io/cluster%3D{CLUSTER}")


def ray_cluster(api: KubeApi) -> dict[str, Any]:
    found = api.get(f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayclusters/{CLUSTER}")
    assert found is not None
    return found


def secret_text(api: KubeApi, name: str, key: str) -> str:
    found = api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}")
    assert found is not None
    return base64.b64decode(found["data"][key]).decode()


def token_secret(api: KubeApi) -> str:
    return str(ray_cluster(api)["spec"]["authOptions"]["secretName"])


def test_up_ends_with_every_ray_cluster_ready(report: Report) -> None:
    assert [(cluster.namespace, cluster.name) for cluster in report.clusters] == [(NAMESPACE, CLUSTER)]
    assert all(cluster.ready for cluster in report.clusters)
    assert report.clusters[0].running == report.clusters[0].injected == 2


def test_every_pod_has_a_sidecar_and_ray_stays_its_first_container(api: KubeApi) -> None:
    pods = ray_pods(api)
    assert sorted(pod["metadata"]["labels"]["ray.io/node-type"] for pod in pods) == ["head", "worker"]
    for pod in pods:
        sidecars = [each for each in pod["spec"]["initContainers"] if each["name"] == "istio-proxy"]
        assert [each["restartPolicy"] for each in sidecars] == ["Always"]
        assert pod["spec"]["containers"][0]["name"].startswith("ray-")
        assert pod["status"]["phase"] == "Running"


def test_workers_wait_for_the_head_behind_their_sidecar(api: KubeApi) -> None:
    """KubeRay's init container must come after istio-proxy, or STRICT refuses it for ever."""
    worker = next(pod for pod in ray_pods(api) if pod["metadata"]["labels"]["ray.io/node-type"] == "worker")
    names = [each["name"] for each in worker["spec"]["initContainers"]]
    assert names.index("istio-proxy") < names.index("wait-gcs-ready")


def test_pods_take_the_token_from_the_secret_that_pulumi_made(api: KubeApi) -> None:
    name = token_secret(api)
    secret = api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}")
    assert secret is not None
    assert secret["immutable"] is True
    assert "ownerReferences" not in secret["metadata"]  # not the operator's
    assert list(secret["data"]) == ["auth_token"]
    for pod in ray_pods(api):
        variables = {each["name"]: each for each in pod["spec"]["containers"][0]["env"]}
        assert variables["RAY_AUTH_MODE"]["value"] == "token"
        reference = variables["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
        assert (reference["name"], reference["key"]) == (name, "auth_token")


def test_the_netrc_file_is_mounted_on_head_and_workers(api: KubeApi) -> None:
    text = secret_text(api, "netrc-secret", ".netrc")
    assert re.fullmatch(r"machine git\.example\.com\nlogin rayfort\npassword \S+\n", text)
    for pod in ray_pods(api):
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        assert volumes["netrc-kuberay"]["secret"]["secretName"] == "netrc-secret"
        ray = pod["spec"]["containers"][0]
        mounts = {each["name"]: each for each in ray["volumeMounts"]}
        assert mounts["netrc-kuberay"]["mountPath"] == "/home/ray/netrcvolume/"
        assert mounts["netrc-kuberay"]["readOnly"] is True
        assert {"name": "NETRC", "value": "/home/ray/netrcvolume/.netrc"} in ray["env"]


def test_every_port_of_the_headless_service_is_one_that_ray_is_told(api: KubeApi) -> None:
    service = api.get(HEADLESS)
    assert service is not None
    declared = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    spec = ray_cluster(api)["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        params = group["rayStartParams"]
        first, last = int(params["min-worker-port"]), int(params["max-worker-port"])
        told = {name: int(params[name]) for name in declared if name in params}
        told |= {f"p{number}": number for number in range(first, last + 1)}
        assert declared == told
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_the_ray_start_line_of_each_pod_holds_those_ports(api: KubeApi) -> None:
    """What KubeRay hands to the container, not only what the RayCluster says."""
    params = ray_cluster(api)["spec"]["headGroupSpec"]["rayStartParams"]
    for pod in ray_pods(api):
        variables = {each["name"]: each.get("value", "") for each in pod["spec"]["containers"][0]["env"]}
        line = variables["KUBERAY_GEN_RAY_START_CMD"]
        for name in ("node-manager-port", "object-manager-port", "min-worker-port", "max-worker-port"):
            assert f"--{name}={params[name]}" in line


def test_the_mesh_is_strict_and_istiod_reads_tls_1_3(environment: Environment, api: KubeApi) -> None:
    policy = api.get("/apis/security.istio.io/v1/namespaces/istio-system/peerauthentications/default")
    assert policy is not None
    assert policy["spec"]["mtls"]["mode"] == "STRICT"
    config = api.get("/api/v1/namespaces/istio-system/configmaps/istio")
    assert config is not None
    mesh = yaml.safe_load(config["data"]["mesh"])
    assert mesh["meshMTLS"]["minProtocolVersion"] == "TLSV1_3"
    url = f"http://{environment.endpoints.local.istiod_http}/debug/mesh"
    with urllib.request.urlopen(url, timeout=10) as answer:
        read = json.load(answer)
    assert read["meshMTLS"]["minProtocolVersion"] == "TLSV1_3"


def test_the_policy_pack_has_nothing_against_the_platform(report: Report) -> None:
    """Pulumi's engine ran it during `up`, when every value is known; the next test shows that it looks."""
    assert report.changes.violations == []


def test_the_policy_pack_names_what_a_stack_weakens(environment: Environment, report: Report) -> None:
    weak = {"mesh": {"mtls": "PERMISSIVE", "minTls": "TLSV1_2"}}
    weakened = Environment(ROOT, Progress(), state=environment.state, overrides=weak)
    found = weakened.preview().violations
    assert {line.partition(" ")[0] for line in found} == {"mtls-strict", "tls-1-3"}
    assert all("(advisory)" in line for line in found), found  # a stack for development


def test_istiod_validates_what_the_api_server_is_given(environment: Environment, report: Report) -> None:
    """The validation webhook is istiod's own, so a bad policy would be refused here as in production."""
    bad = {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "bad", "namespace": NAMESPACE},
        "spec": {"rules": [{"to": [{"operation": {"ports": ["not-a-port"]}}]}]},
    }
    done = kubectl(environment, "apply", "--dry-run=server", "-f", "-", stdin=json.dumps(bad))
    assert done.returncode != 0
    assert "validation.istio.io" in done.stderr


def test_the_users_own_passphrase_encrypts_nothing(environment: Environment, report: Report) -> None:
    """The first `up` ran with one, and the tests around this one run without."""
    engine = environment.state / "engine"
    asked = [str(engine / "bin" / "pulumi"), "config", "--show-secrets", "--stack", "sandbox"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
    own = plain | {"PULUMI_BACKEND_URL": f"file://{engine / 'backend'}", "PULUMI_SKIP_UPDATE_CHECK": "true"}

    def settings(**passphrase: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            asked, env=own | passphrase, cwd=engine / "project", capture_output=True, text=True, check=False
        )

    theirs = settings(PULUMI_CONFIG_PASSPHRASE=THEIRS["PULUMI_CONFIG_PASSPHRASE"])
    assert theirs.returncode
    assert "incorrect passphrase" in theirs.stderr
    ours = settings(PULUMI_CONFIG_PASSPHRASE_FILE=str(engine / "passphrase"))
    assert ours.returncode == 0, ours.stderr


def test_mistakes_in_the_settings_are_told_once_and_before_the_engine_is_called(
    environment: Environment, report: Report
) -> None:
    wrong = {"mesh": {"mtlsMode": "STRICT"}}
    mistaken = Environment(ROOT, Progress(quiet=True), state=environment.state, overrides=wrong)
    printed: list[str] = []
    with pytest.raises(SettingsError) as told:
        mistaken.preview(on_output=printed.append)
    assert str(told.value).count("rayfort:mesh.mtlsMode: is not a setting; did you mean mtls?") == 1
    assert printed == []


def test_what_the_program_says_went_wrong_is_told_once(
    environment: Environment, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inline program's error comes from the program and once more from its host, and is printed twice."""

    def broken(root: Path) -> None:
        raise pulumi.RunError(f"the price list of {root.name} does not answer")

    monkeypatch.setattr(program, "main", broken)
    printed: list[str] = []
    with pytest.raises(StackError) as told:
        environment.preview(on_output=printed.append)
    assert str(told.value).count("does not answer") == 1
    assert "unhandled error" not in str(told.value)
    assert "does not answer" not in "\n".join(printed)


def test_a_second_up_and_preview_change_nothing(
    environment: Environment, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with a Pulumi of the user's own either, whose variables are left as they are."""
    for name, value in THEIRS.items():
        monkeypatch.setenv(name, value)
    preview = environment.preview()
    assert not preview.any, preview.summary
    again = environment.up(NodeKind.SIMULATED)
    assert not again.changes.any, again.changes.summary
    assert os.environ["PULUMI_CONFIG_PASSPHRASE"] == THEIRS["PULUMI_CONFIG_PASSPHRASE"]


def test_a_deleted_service_is_found_and_restored(environment: Environment, api: KubeApi) -> None:
    before = api.get(HEADLESS)
    assert before is not None
    deleted = kubectl(environment, "-n", NAMESPACE, "delete", "service", f"{CLUSTER}-headless-svc")
    assert deleted.returncode == 0, deleted.stderr
    assert environment.preview().any
    environment.up(NodeKind.SIMULATED)
    after = api.get(HEADLESS)
    assert after is not None
    assert after["spec"]["ports"] == before["spec"]["ports"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


def test_a_hand_edited_object_is_put_back(environment: Environment, api: KubeApi) -> None:
    """Drift that weakens security is what a refresh is for."""
    policy = "/apis/security.istio.io/v1/namespaces/istio-system/peerauthentications/default"
    patch = '{"spec":{"mtls":{"mode":"PERMISSIVE"}}}'
    where = ("-n", "istio-system", "peerauthentication", "default")
    done = kubectl(environment, "patch", *where, "--type=merge", "-p", patch)
    assert done.returncode == 0, done.stderr
    assert environment.preview().any
    environment.up(NodeKind.SIMULATED)
    restored = api.get(policy)
    assert restored is not None
    assert restored["spec"]["mtls"]["mode"] == "STRICT"


def test_no_secret_stands_in_plain_text_anywhere(environment: Environment, api: KubeApi) -> None:
    """State, engine's files, logs, Helm releases and every object that is not a Secret."""
    token = secret_text(api, token_secret(api), "auth_token")
    password = secret_text(api, "netrc-secret", ".netrc").split()[-1]
    kept = {environment.state / "engine" / "netrc-password", environment.state / "engine" / "passphrase"}
    searched = 0
    for value in (token, password):
        needles = (value.encode(), base64.b64encode(value.encode()))
        for file in environment.state.rglob("*"):
            # etcd's own files hold Secrets as every cluster's do; they are readable by their owner only.
            if not file.is_file() or file in kept or "etcd" in file.relative_to(environment.state).parts:
                continue
            content = file.read_bytes()
            content += gzip.decompress(content) if file.suffix == ".gz" else b""
            assert not any(needle in content for needle in needles), file
            searched += 1
        for text in cluster_texts(api):
            assert value not in text
    assert searched > 20


def cluster_texts(api: KubeApi) -> Iterator[str]:
    """Everything readable without the right to read Secrets, and what Helm keeps of its releases."""
    for path in ("/api/v1/pods", "/api/v1/configmaps", "/api/v1/events", "/apis/ray.io/v1/rayclusters"):
        yield json.dumps(items(api, path))
    for path in ("/apis/apps/v1/deployments", "/api/v1/services", "/api/v1/serviceaccounts"):
        yield json.dumps(items(api, path))
    releases = items(api, "/api/v1/secrets?fieldSelector=type%3Dhelm.sh/release.v1")
    assert len(releases) >= 3
    for release in releases:
        packed = base64.b64decode(base64.b64decode(release["data"]["release"]))
        yield gzip.decompress(packed).decode()


def test_another_version_of_ray_replaces_the_pods_and_nothing_else(
    environment: Environment, api: KubeApi
) -> None:
    """The RayCluster, its Services and its token stay; jobs on it end."""
    services = f"/api/v1/namespaces/{NAMESPACE}/services"
    kept = {each["metadata"]["uid"] for each in items(api, services)} | {ray_cluster(api)["metadata"]["uid"]}
    secret, old_pods = token_secret(api), {pod["metadata"]["uid"] for pod in ray_pods(api)}
    workspaces = yaml.safe_load((ROOT / "stacks" / "Pulumi.sandbox.yaml").read_text())["config"][
        "rayfort:workspaces"
    ]
    workspaces[0]["clusters"][0]["rayVersion"] = "2.56.0"
    newer = Environment(ROOT, Progress(), state=environment.state, overrides={"workspaces": workspaces})
    report = newer.up()
    assert all(cluster.ready for cluster in report.clusters)
    changed = {kind: n for kind, n in report.changes.counts.items() if n and kind not in {"same", "read"}}
    assert changed == {"update": 1}
    pods = ray_pods(api)
    assert old_pods.isdisjoint(pod["metadata"]["uid"] for pod in pods)
    assert {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in pods} == {"2.56.0"}
    assert token_secret(api) == secret
    still = {each["metadata"]["uid"] for each in items(api, services)} | {ray_cluster(api)["metadata"]["uid"]}
    assert still == kept


def test_a_rotated_token_gets_a_new_secret_and_new_pods(environment: Environment, api: KubeApi) -> None:
    """Rotation is an `up`: the old Secret goes, and Pods that carry the old token go with it."""
    old_secret, old_pods = token_secret(api), {pod["metadata"]["uid"] for pod in ray_pods(api)}
    workspace = yaml.safe_load((ROOT / "stacks" / "Pulumi.sandbox.yaml").read_text())["config"]
    workspaces = workspace["rayfort:workspaces"]
    workspaces[0]["clusters"][0]["auth"] = {"rotation": "2"}
    rotated = Environment(ROOT, Progress(), state=environment.state, overrides={"workspaces": workspaces})
    report = rotated.up()
    assert all(cluster.ready for cluster in report.clusters)
    new_secret = token_secret(api)
    assert new_secret != old_secret
    assert api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{old_secret}") is None
    assert old_pods.isdisjoint(pod["metadata"]["uid"] for pod in ray_pods(api))


def test_the_kbatch_proxy_may_do_exactly_what_it_needs(environment: Environment, report: Report) -> None:
    """The rights as the API server's authorizer sees them, not as the Role says."""
    account = "system:serviceaccount:batch-system:kbatch-proxy"

    def may(verb: str, what: str, namespace: str) -> bool:
        done = kubectl(environment, "auth", "can-i", verb, what, "-n", namespace, "--as", account)
        return done.stdout.strip() == "yes"

    assert may("create", "jobs.batch", "kbatch-alice")
    assert may("get", "pods/log", "kbatch-alice")
    assert not may("get", "secrets", "kbatch-alice")
    assert not may("create", "cronjobs.batch", "kbatch-alice")
    assert not may("create", "jobs.batch", "kube-system")
    assert not may("create", "jobs.batch", NAMESPACE)
    assert not may("list", "namespaces", "default")


def test_verify_passes_and_names_what_simulated_nodes_cannot_show(
    environment: Environment, report: Report
) -> None:
    connection = KubernetesConnection(environment.kubeconfig.read_text(), CONTEXT, direct=True)
    verdicts = judge(observe(connection, probes=("wire", "fence"))).verdicts
    failed = [verdict for verdict in verdicts if verdict.status is Status.FAIL]
    assert not failed
    not_run = {each.check.name: each.details[0] for each in verdicts if each.status is Status.NOT_RUN}
    assert not_run.pop("gateway-tls-1.3")  # the stack has none
    assert set(not_run) == {
        "dashboard-token",
        "ray-version",
        "netrc-private",
        "plaintext-refused",
        "tls-1.2-refused",
        "client-certificate",
        "network-fence",
    }
    assert all("simulated nodes: no container runs" in reason for reason in not_run.values()), not_run


def test_down_removes_every_object_and_process(environment: Environment, report: Report) -> None:
    pids = [process.pid for process in environment.processes() if process.pid]
    assert pids
    assert environment.down() is True
    assert not environment.state.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_second_down_is_a_quiet_success(environment: Environment) -> None:
    assert environment.down() is False


def kubectl(environment: Environment, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(environment.tool("kubectl")), "--kubeconfig", str(environment.kubeconfig), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
