"""What the real helm makes of the operator's chart."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.operator_chart import write_chart

pytestmark = pytest.mark.sandbox

Objects = list[dict[str, Any]]
Render = Callable[[dict[str, Any]], Objects]


@pytest.fixture(scope="module")
def chart(assets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("charts")
    return write_chart(assets["kuberay-crds"], assets["kuberay-rbac"], "v1.6.2", out)


@pytest.fixture
def render(chart: Path, tools: Mapping[str, Path], tmp_path: Path) -> Render:
    def render(values: dict[str, Any]) -> Objects:
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        name = ["ray", str(chart), "--namespace", "ray-system", "--values", str(file)]
        command = [str(tools["helm"]), "template", *name]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        if shown.returncode:
            raise ValueError(shown.stderr)
        return [each for each in yaml.safe_load_all(shown.stdout) if each]

    return render


def one(objects: Objects, kind: str) -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind]
    return found


def kinds(objects: Objects) -> set[tuple[str, str, str | None]]:
    return {
        (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace"))
        for each in objects
        if "Role" in each["kind"]
    }


def container(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return found


def test_lint_finds_nothing(chart: Path, tools: Mapping[str, Path]) -> None:
    lint = subprocess.run(
        [str(tools["helm"]), "lint", "--strict", str(chart)], capture_output=True, text=True, check=False
    )
    assert lint.returncode == 0, lint.stdout
    assert "[" not in lint.stdout, lint.stdout


def test_defaults(render: Render, assets: Mapping[str, Path]) -> None:
    objects = render({})
    deployment = one(objects, "Deployment")
    assert deployment["metadata"]["name"] == "kuberay-operator"
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert container(objects)["image"] == "quay.io/kuberay/operator:v1.6.2"
    assert container(objects)["securityContext"]["readOnlyRootFilesystem"] is True
    assert not any(arg.startswith("--watch-namespace") for arg in container(objects)["args"])
    assert "env" not in container(objects)
    own = yaml.safe_load((assets["kuberay-rbac"] / "role.yaml").read_text())
    (cluster_role,) = [
        each
        for each in objects
        if each["kind"] == "ClusterRole" and each["metadata"]["name"] == "kuberay-operator"
    ]
    assert cluster_role["rules"] == own["rules"], "the rights are exactly those of the operator's release"
    binding = one(objects, "ClusterRoleBinding")
    account = {"kind": "ServiceAccount", "name": "kuberay-operator", "namespace": "ray-system"}
    assert binding["subjects"] == [account]
    assert ("ClusterRole", "rayjob-editor-role", None) in kinds(objects)
    assert one(objects, "Service")["spec"]["ports"][0]["port"] == 8080


def test_environment_reaches_the_container_as_strings(render: Render) -> None:
    env = [{"name": "ENABLE_INIT_CONTAINER_INJECTION", "value": "false"}]
    assert container(render({"env": env}))["env"] == env


def test_labels_and_annotations_reach_the_pod(render: Render) -> None:
    values = {"labels": {"sidecar.istio.io/inject": "true"}, "annotations": {"a": "b"}}
    metadata = one(render(values), "Deployment")["spec"]["template"]["metadata"]
    assert metadata["labels"]["sidecar.istio.io/inject"] == "true"
    assert metadata["labels"]["app.kubernetes.io/name"] == "kuberay-operator"
    assert metadata["annotations"] == {"a": "b"}


def test_watched_namespaces_alone_keep_the_cluster_role(render: Render) -> None:
    objects = render({"watchNamespace": ["a", "b"]})
    assert "--watch-namespace=a,b" in container(objects)["args"]
    assert ("ClusterRole", "kuberay-operator", None) in kinds(objects)


def test_a_single_namespace_install_has_roles_and_no_cluster_role(render: Render) -> None:
    objects = render({"watchNamespace": ["a", "b"], "singleNamespaceInstall": True})
    election = "kuberay-operator-leader-election"
    assert kinds(objects) == {
        ("Role", "kuberay-operator", "a"),
        ("RoleBinding", "kuberay-operator", "a"),
        ("Role", "kuberay-operator", "b"),
        ("RoleBinding", "kuberay-operator", "b"),
        ("Role", election, "ray-system"),
        ("RoleBinding", election, "ray-system"),
    }
    assert all(
        each["subjects"][0]["namespace"] == "ray-system" for each in objects if each["kind"] == "RoleBinding"
    )


def test_a_single_namespace_install_watches_its_own_namespace_by_default(render: Render) -> None:
    objects = render({"singleNamespaceInstall": True})
    assert "--watch-namespace=ray-system" in container(objects)["args"]
    assert ("Role", "kuberay-operator", "ray-system") in kinds(objects)


@pytest.mark.parametrize(
    ("values", "roles"),
    [
        ({"rbacEnable": False}, set()),
        (
            {"singleNamespaceInstall": True, "crNamespacedRbacEnable": False},
            {"kuberay-operator-leader-election"},
        ),
    ],
)
def test_roles_can_be_left_to_others(render: Render, values: dict[str, Any], roles: set[str]) -> None:
    assert {name for _, name, _ in kinds(render(values))} == roles


def test_feature_gates(render: Render) -> None:
    gates = [{"name": "RayCronJob", "enabled": True}, {"name": "RayJobDeletionPolicy", "enabled": False}]
    args = container(render({"featureGates": gates}))["args"]
    assert "--feature-gates=RayCronJob=true,RayJobDeletionPolicy=false" in args


def test_names_image_and_placement(render: Render) -> None:
    objects = render(
        {
            "fullnameOverride": "op",
            "serviceAccount": {"create": False, "name": "mine"},
            "image": {"repository": "mirror/op", "tag": "x", "pullPolicy": "Always"},
            "imagePullSecrets": [{"name": "s"}],
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"operator": "Exists"}],
            "podSecurityContext": {"fsGroup": 1},
            "priorityClassName": "high",
            "hostUsers": False,
            "resources": {"requests": {"cpu": "1"}},
            "logging": {"baseDir": "/logs", "fileName": "op.log", "sizeLimit": "1Gi"},
            "leaderElectionEnabled": False,
            "useKubernetesProxy": True,
            "reconcileConcurrency": 4,
            "kubeClient": {"qps": 5.5},
            "batchScheduler": {"name": "volcano"},
            "metrics": {"serviceMonitor": {"enabled": True, "additionalLabels": {"release": "p"}}},
        }
    )
    deployment = one(objects, "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    assert deployment["metadata"]["name"] == "op"
    assert not [each for each in objects if each["kind"] == "ServiceAccount"]
    assert spec["serviceAccountName"] == "mine"
    assert spec["imagePullSecrets"] == [{"name": "s"}]
    assert spec["nodeSelector"] == {"pool": "system"}
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["securityContext"] == {"fsGroup": 1}
    assert spec["priorityClassName"] == "high"
    assert spec["hostUsers"] is False
    assert spec["volumes"] == [{"name": "logs", "emptyDir": {"sizeLimit": "1Gi"}}]
    operator = spec["containers"][0]
    assert (operator["image"], operator["imagePullPolicy"]) == ("mirror/op:x", "Always")
    assert operator["resources"]["requests"] == {"cpu": "1"}
    assert operator["volumeMounts"] == [{"name": "logs", "mountPath": "/logs"}]
    assert {
        "--enable-leader-election=false",
        "--use-kubernetes-proxy=true",
        "--reconcile-concurrency=4",
        "--qps=5.5",
        "--burst=200",
        "--batch-scheduler=volcano",
        "--log-file-path=/logs/op.log",
    } <= set(operator["args"])
    assert one(objects, "ServiceMonitor")["metadata"]["labels"]["release"] == "p"


def test_a_configuration_file_is_refused_with_a_reason(render: Render) -> None:
    with pytest.raises(ValueError, match=r"configuration\.enabled: the sandbox's chart has no configuration"):
        render({"configuration": {"enabled": True}})


def test_a_value_that_this_chart_does_not_know_is_no_error(render: Render) -> None:
    assert render({"fromANewerChart": {"x": 1}})
