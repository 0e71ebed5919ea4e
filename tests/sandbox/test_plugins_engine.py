"""The stand-in plugins under Pulumi's own engine, on a real API server, with the real helm."""

import contextlib
import gc
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
import pytest
from pulumi import ResourceOptions, automation

from tests.sandbox.engine_site import RETAIN, Site, Stack

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def make(site: Site, request: pytest.FixtureRequest) -> Iterator[Callable[..., Stack]]:
    """Makes stacks and takes down at the end what is still up."""
    made: list[Stack] = []

    def make_stack(program: Callable[[], None], name: str = "", **environment: str) -> Stack:
        made.append(Stack(site, name or request.node.name.replace("_", "-")[:60], program, **environment))
        return made[-1]

    yield make_stack
    for stack in made:
        stack.destroy()
    # A program that fails leaves coroutines behind in the SDK. They complain when they are collected,
    # which must not happen in the middle of something else.
    gc.collect()


LABELS = {"app": "demo"}


def workload(name: str, options: ResourceOptions) -> k8s.apps.v1.Deployment:
    container: Any = {
        "name": "app",
        "image": "registry.test/app:1",
        "ports": [{"container_port": 80}],
        "resources": {"requests": {"cpu": "1000m", "memory": "0.5Gi"}},
    }
    pod: Any = {
        "host_network": False,
        "automount_service_account_token": False,
        "containers": [container],
        "volumes": [{"name": "empty", "empty_dir": {}}],
    }
    return k8s.apps.v1.Deployment(
        name,
        metadata={"name": name, "namespace": "demo"},
        spec={
            "replicas": 2,
            "selector": {"match_labels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
        },
        opts=options,
    )


def test_a_program_comes_up_stays_unchanged_and_comes_down(site: Site, make: Callable[..., Stack]) -> None:
    def program() -> None:
        provider = site.provider()
        namespace = k8s.core.v1.Namespace(
            "demo", metadata={"name": "demo"}, opts=ResourceOptions(provider=provider)
        )
        options = ResourceOptions(provider=provider, depends_on=[namespace])
        password = random.RandomPassword("password", length=24, special=False)
        identifier = random.RandomId("id", byte_length=4)
        secret = k8s.core.v1.Secret(
            "secret",
            metadata={"namespace": "demo", "labels": {"random": identifier.hex}},
            string_data={"token": password.result},
            opts=options,
        )
        account = k8s.core.v1.ServiceAccount(
            "account", metadata={"name": "account", "namespace": "demo"}, opts=options
        )
        role = k8s.rbac.v1.Role(
            "role",
            metadata={"name": "role", "namespace": "demo"},
            rules=[{"api_groups": [""], "resources": ["pods"], "verbs": ["get"]}],
            opts=options,
        )
        k8s.rbac.v1.RoleBinding(
            "binding",
            metadata={"namespace": "demo"},
            role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata.name},
            subjects=[{"kind": "ServiceAccount", "name": account.metadata.name, "namespace": "demo"}],
            opts=options,
        )
        k8s.networking.v1.NetworkPolicy(
            "policy",
            metadata={"name": "policy", "namespace": "demo"},
            spec={"pod_selector": {}, "policy_types": ["Ingress"], "ingress": []},
            opts=options,
        )
        k8s.core.v1.ResourceQuota(
            "quota",
            metadata={"name": "quota", "namespace": "demo"},
            spec={"hard": {"requests.memory": "1024Mi", "pods": "10"}},
            opts=options,
        )
        deployed = workload("app", options)
        service = k8s.core.v1.Service(
            "service",
            metadata={"name": "service", "namespace": "demo"},
            spec={"selector": LABELS, "ports": [{"port": 80}]},
            opts=ResourceOptions(provider=provider, depends_on=[deployed]),
        )
        pulumi.export("secret", secret.metadata.name)
        pulumi.export("password", password.result)
        pulumi.export("address", service.spec.cluster_ip)
        pulumi.export("replicas", deployed.status.ready_replicas)

    stack = make(program, **RETAIN)
    assert stack.preview() == {"create": 13}
    assert not site.exists("namespace", "demo")
    outputs = stack.up()
    assert outputs["replicas"] == 2
    assert outputs["address"].count(".") == 3
    live = site.get("secret", outputs["secret"], "-n", "demo")
    assert outputs["secret"].startswith("secret-")
    assert len(live["data"]["token"]) == 32
    stack.expect_no_changes()
    assert stack.refresh().keys() == {"same"}
    stack.expect_no_changes()
    written = stack.checkpoints()
    assert written > 13
    stack.up(refresh=True)
    assert stack.checkpoints() - written < 3, "the engine writes the whole state for what is as it was"
    for text in (stack.stored(), stack.said):
        assert outputs["password"] not in text
        assert live["data"]["token"] not in text
    stack.destroy()
    assert not site.exists("namespace", "demo")
    stack.destroy()


def test_drift_is_found_shown_and_restored(site: Site, make: Callable[..., Stack]) -> None:
    force = {"on": True}

    def program() -> None:
        options = ResourceOptions(provider=site.provider(enable_patch_force=force["on"]))
        k8s.core.v1.ConfigMap(
            "config",
            metadata={"name": "drift", "namespace": "default", "labels": {"a": "1"}},
            data={"x": "1"},
            opts=options,
        )
        k8s.core.v1.Service(
            "service",
            metadata={"name": "drift", "namespace": "default"},
            spec={"cluster_ip": "None", "ports": [{"port": 80}]},
            opts=options,
        )
        k8s.rbac.v1.Role(
            "role",
            metadata={"name": "drift", "namespace": "default"},
            rules=[{"api_groups": [""], "resources": ["pods"], "verbs": ["get"]}],
            opts=options,
        )

    stack = make(program)
    stack.up()
    site.kubectl("label", "configmap", "drift", "a=9", "theirs=yes", "--overwrite")
    extra = {
        "op": "add",
        "path": "/rules/-",
        "value": {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    }
    site.kubectl("patch", "role", "drift", "--type=json", "-p", json.dumps([extra]))
    site.kubectl("delete", "service", "drift")
    stack.said = ""
    assert stack.preview(refresh=True, diff=True) == {"same": 2, "update": 2, "create": 1}
    assert '~ a: "9" => "1"' in stack.said
    assert '- verbs    : [\n                  -     [0]: "*"' in stack.said
    assert stack.refresh() == {"same": 2, "update": 2, "delete": 1}
    stack.up()
    assert site.get("configmap", "drift")["metadata"]["labels"] == {"a": "1", "theirs": "yes"}
    assert len(site.get("role", "drift")["rules"]) == 1
    assert site.exists("service", "drift")
    stack.expect_no_changes()

    force["on"] = False
    site.kubectl("label", "configmap", "drift", "a=8", "--overwrite")
    stack.refresh()
    assert 'conflict with "kubectl-label"' in stack.fails_to_come_up()
    force["on"] = True
    stack.up()


def test_updates_in_place_drop_fields_and_immutable_things_are_replaced(
    site: Site, make: Callable[..., Stack]
) -> None:
    now: dict[str, Any] = {"labels": {"keep": "1", "drop": "1"}, "token": "one", "selector": "1"}

    def program() -> None:
        options = ResourceOptions(provider=site.provider())
        k8s.rbac.v1.Role(
            "role", metadata={"name": "change", "namespace": "default", "labels": now["labels"]}, opts=options
        )
        secret = k8s.core.v1.Secret(
            "token", string_data={"token": pulumi.Output.secret(now["token"])}, immutable=True, opts=options
        )
        k8s.core.v1.ConfigMap("fixed", metadata={"name": "fixed"}, data={"t": now["token"]}, opts=options)
        pulumi.export("name", secret.metadata.name)
        pulumi.export("uid", secret.metadata.uid)

    stack = make(program)
    first = stack.up()
    site.kubectl("label", "role", "change", "theirs=1")
    now |= {"labels": {"keep": "2"}, "token": "two"}
    assert stack.preview() == {"same": 2, "update": 1, "replace": 2}
    second = stack.up()
    assert site.get("role", "change")["metadata"]["labels"] == {"keep": "2", "theirs": "1"}
    assert second["name"] != first["name"]
    assert not site.exists("secret", first["name"])
    assert site.get("secret", second["name"])["immutable"] is True
    assert site.get("configmap", "fixed")["data"] == {"t": "two"}
    stack.expect_no_changes()


def test_what_half_failed_is_finished_by_the_next_run(site: Site, make: Callable[..., Stack]) -> None:
    def program() -> None:
        options = ResourceOptions(provider=site.provider())
        k8s.core.v1.ConfigMap(
            "half",
            metadata={
                "name": "half",
                "namespace": "default",
                "annotations": {
                    "pulumi.com/waitFor": "jsonpath={.metadata.labels.ready}=yes",
                    "pulumi.com/timeoutSeconds": "2",
                },
            },
            data={"a": "1"},
            opts=options,
        )

    stack = make(program)
    assert "timed out after 2 s" in stack.fails_to_come_up()
    assert stack.state()["half"]["initErrors"]
    site.kubectl("label", "configmap", "half", "ready=yes")
    stack.up()
    assert "initErrors" not in stack.state()["half"]
    stack.expect_no_changes()


def test_an_interrupted_run_ends_soon_and_can_be_taken_up(site: Site, make: Callable[..., Stack]) -> None:
    def program() -> None:
        options = ResourceOptions(provider=site.provider())
        workload_that_waits = {"pulumi.com/waitFor": "condition=NeverEver"}
        k8s.core.v1.ConfigMap(
            "waits",
            metadata={"name": "waits", "namespace": "default", "annotations": workload_that_waits},
            opts=options,
        )

    stack = make(program)

    def interrupt() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and "there is no condition NeverEver" not in stack.said:
            time.sleep(0.2)
        for pid in _children_named("pulumi"):
            os.kill(pid, signal.SIGINT)

    started = time.monotonic()
    assert "cancelled" in stack.fails_to_come_up(then=interrupt)
    assert time.monotonic() - started < 60
    assert stack.state()["waits"]["initErrors"]
    deadline = time.monotonic() + 20
    while (left := _plugins_of(site)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []
    stack.destroy()
    assert not site.exists("configmap", "waits")


def _children_named(name: str) -> list[int]:
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [int(pid) for pid, parent, comm in rows if int(parent) == os.getpid() and comm.strip() == name]


def _plugins_of(site: Site) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if str(site.directory / "plugins").encode() in path.read_bytes():
                command = path.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()
                found += [command] if "sandbox.plugins" in command else []
    return found


def test_what_exists_is_not_taken_over_but_can_be_adopted(site: Site, make: Callable[..., Stack]) -> None:
    adopt = {"id": ""}
    site.kubectl("create", "configmap", "theirs", "--from-literal=a=1")

    def program() -> None:
        provider = site.provider()
        options = ResourceOptions(provider=provider, import_=adopt["id"] or None)
        k8s.core.v1.ConfigMap(
            "theirs", metadata={"name": "theirs", "namespace": "default"}, data={"a": "1"}, opts=options
        )
        root = k8s.core.v1.ConfigMap.get(
            "root", "default/kube-root-ca.crt", opts=ResourceOptions(provider=provider)
        )
        pulumi.export("ca", root.data["ca.crt"])

    stack = make(program)
    assert "default/theirs already exists" in stack.fails_to_come_up()
    assert "theirs" not in stack.state()
    adopt["id"] = "default/theirs"
    assert "BEGIN CERTIFICATE" in stack.up()["ca"]
    adopt["id"] = ""
    stack.expect_no_changes()
    stack.destroy()
    assert not site.exists("configmap", "theirs")
    assert site.exists("configmap", "kube-root-ca.crt")


CONFIG_MAP_OF_THE_CHART = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
data:
  color: {{ .Values.color | quote }}
  token: {{ .Values.token | quote }}
{{- if .Values.broken }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-hook
  annotations: {"helm.sh/hook": "post-install,post-upgrade"}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {"no-such": node}
      containers: [{name: c, image: registry.test/none}]
{{- end }}
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\nappVersion: '7'\n")
    (chart / "values.yaml").write_text("color: red\ntoken: none\nbroken: false\n")
    (chart / "templates" / "all.yaml").write_text(CONFIG_MAP_OF_THE_CHART)
    return chart


def test_a_helm_release_lives_through_everything(
    site: Site, make: Callable[..., Stack], chart: Path, tmp_path: Path
) -> None:
    now: dict[str, Any] = {"color": "blue", "broken": True}

    def program() -> None:
        token = random.RandomPassword("token", length=30, special=False)
        release = k8s.helm.v3.Release(
            "release",
            chart=str(chart),
            name="tiny",
            namespace="default",
            timeout=4,
            values={**now, "token": token.result},
            opts=ResourceOptions(provider=site.provider()),
        )
        pulumi.export("status", release.status)
        pulumi.export("names", release.resource_names)
        pulumi.export("token", token.result)

    stack = make(program)
    assert "is failed" in stack.fails_to_come_up()
    assert json.loads(site.helm("list", "-a", "-o", "json"))[0]["status"] == "failed"
    now["broken"] = False
    outputs = stack.up()
    status = outputs["status"]
    assert (status["revision"], status["status"], status["version"]) == (1, "deployed", "0.1.0")
    assert (status["name"], status["namespace"], status["appVersion"]) == ("tiny", "default", "7")
    assert outputs["names"] == {"ConfigMap/v1": ["default/tiny"]}
    assert site.get("configmap", "tiny")["data"] == {"color": "blue", "token": outputs["token"]}
    stack.expect_no_changes()
    for text in (stack.stored(), stack.said):
        assert outputs["token"] not in text

    now["color"] = "green"
    stack.said = ""
    assert stack.preview(diff=True) == {"same": 3, "update": 1}
    assert '~ color: "blue" => "green"' in stack.said
    assert stack.up()["status"]["revision"] == 2

    site.helm("upgrade", "tiny", str(chart), "--reuse-values", "--set", "color=black")
    assert stack.refresh() == {"same": 3, "update": 1}
    assert stack.up()["status"]["revision"] == 4
    assert site.get("configmap", "tiny")["data"]["color"] == "green"

    (chart / "values.yaml").write_text("color: red\ntoken: none\nbroken: false\nnew: 1\n")
    assert stack.preview() == {"same": 3, "update": 1}
    stack.up()
    stack.expect_no_changes()

    _set_release_status(site, "tiny", "pending-upgrade")
    now["color"] = "white"
    stack.up()
    assert site.get("configmap", "tiny")["data"]["color"] == "white"

    site.helm("uninstall", "tiny")
    assert stack.refresh() == {"same": 3, "delete": 1}
    stack.up()
    stack.destroy()
    assert json.loads(site.helm("list", "-a", "-o", "json")) == []
    assert not site.exists("configmap", "tiny")


def _set_release_status(site: Site, name: str, status: str) -> None:
    """Leave a release as a helm that was killed leaves it."""
    import base64
    import gzip

    newest = max(
        site.get("secret", "-l", f"owner=helm,name={name}")["items"],
        key=lambda secret: int(secret["metadata"]["labels"]["version"]),
    )
    encoded = base64.b64decode(base64.b64decode(newest["data"]["release"]))
    release = json.loads(gzip.decompress(encoded))
    release["info"]["status"] = status
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()
    patch = {"data": {"release": packed}, "metadata": {"labels": {"status": status}}}
    site.kubectl("patch", "secret", newest["metadata"]["name"], "--type=merge", "-p", json.dumps(patch))


MANIFEST = """
apiVersion: test.rayfort.dev/v1
kind: Widget
metadata: {name: grouped, namespace: grouped}
spec: {size: 3}
---
apiVersion: v1
kind: Namespace
metadata: {name: grouped}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.test.rayfort.dev}
spec:
  group: test.rayfort.dev
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""


def test_a_group_of_manifests_and_definitions_that_outlive_it(
    site: Site, make: Callable[..., Stack], tmp_path: Path
) -> None:
    (tmp_path / "all.yaml").write_text(MANIFEST)
    single = tmp_path / "single"
    single.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: single}}")
    now = {"size": 1}

    def keep_definitions(
        args: pulumi.ResourceTransformArgs,
    ) -> pulumi.ResourceTransformResult | None:
        if not args.type_.endswith(":CustomResourceDefinition"):
            return None
        options = ResourceOptions.merge(args.opts, ResourceOptions(retain_on_delete=True))
        return pulumi.ResourceTransformResult(args.props, options)

    def program() -> None:
        provider = site.provider()
        group = k8s.yaml.v2.ConfigGroup(
            "group",
            files=[str(tmp_path / "*.yaml")],
            objs=[
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": "inline", "namespace": "grouped"},
                    "stringData": {"token": pulumi.Output.secret("hunter2hunter2")},
                }
            ],
            opts=ResourceOptions(providers=[provider], transforms=[keep_definitions]),
        )
        k8s.yaml.v2.ConfigFile(
            "file",
            file=str(single),
            resource_prefix="",
            skip_await=True,
            opts=ResourceOptions(provider=provider, depends_on=[group]),
        )
        k8s.apiextensions.CustomResource(
            "widget",
            api_version="test.rayfort.dev/v1",
            kind="Widget",
            metadata={"namespace": "default"},
            spec={"size": now["size"], "share": 0.5, "nothing": None},
            opts=ResourceOptions(provider=provider, depends_on=[group]),
        )

    stack = make(program)
    try:
        assert stack.preview() == {"create": 10}
        stack.up()
        state = stack.state()
        assert state["group:grouped/grouped"]["type"] == "kubernetes:test.rayfort.dev/v1:Widget"
        assert state["group:grouped"]["type"] == "kubernetes:core/v1:Namespace"
        assert state["group:widgets.test.rayfort.dev"]["retainOnDelete"] is True
        assert not state["group:grouped"].get("retainOnDelete")
        annotations = site.get("configmap", "single")["metadata"]["annotations"]
        assert state["default/single"]["inputs"]["metadata"]["annotations"] == annotations
        assert annotations["pulumi.com/skipAwait"] == "true"
        assert "hunter2" not in stack.stored() + stack.said
        stack.expect_no_changes()
        now["size"] = 2
        assert stack.preview() == {"same": 9, "update": 1}
        stack.up()
        stack.destroy()
        assert site.exists("crd", "widgets.test.rayfort.dev")
        assert not site.exists("namespace", "grouped")
    finally:
        site.kubectl("delete", "crd", "widgets.test.rayfort.dev", "--ignore-not-found")


def test_a_cluster_that_is_gone_is_named_and_can_be_let_go(site: Site, make: Callable[..., Stack]) -> None:
    config = json.dumps(
        {
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a"}}],
            "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
        }
    )
    gone = {"now": False}

    def program() -> None:
        kubeconfig = config if gone["now"] else site.kubeconfig
        provider = k8s.Provider(
            "cluster", kubeconfig=pulumi.Output.secret(kubeconfig), cluster_identifier="the-same"
        )
        k8s.core.v1.ConfigMap(
            "config",
            metadata={"name": "left", "namespace": "default"},
            opts=ResourceOptions(provider=provider),
        )

    stack = make(program)
    stack.up()
    gone["now"] = True
    stack.up()
    with pytest.raises(automation.CommandError, match="PULUMI_K8S_DELETE_UNREACHABLE"):
        stack.refresh()
    with pytest.raises(automation.CommandError, match="unreachable"):
        stack.destroy()
    make(program, PULUMI_K8S_DELETE_UNREACHABLE="true").destroy()
    site.kubectl("delete", "configmap", "left")
