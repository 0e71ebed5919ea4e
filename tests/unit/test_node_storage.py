"""The node's storage class, made of the provisioner's own manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.node import storage
from sandbox.processes import SandboxError
from sandbox.tools.catalog import CATALOG, read_pin

# The parts of the upstream manifest that are changed, and one that is not.
UPSTREAM = """
kind: Namespace
metadata: {name: local-path-storage}
---
kind: Deployment
metadata: {name: local-path-provisioner, namespace: local-path-storage}
spec:
  replicas: 1
  template:
    metadata: {labels: {app: local-path-provisioner}}
    spec:
      serviceAccountName: local-path-provisioner-service-account
      containers:
      - {name: provisioner, image: "rancher/local-path-provisioner:v0", imagePullPolicy: IfNotPresent}
---
kind: StorageClass
metadata: {name: local-path}
provisioner: rancher.io/local-path
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Delete
---
kind: ConfigMap
metadata: {name: local-path-config, namespace: local-path-storage}
data:
  config.json: '{"nodePathMap": []}'
  setup: mkdir
  helperPod.yaml: |-
    kind: Pod
    metadata: {name: helper-pod}
    spec:
      priorityClassName: system-node-critical
      containers:
      - {name: helper-pod, image: busybox, imagePullPolicy: IfNotPresent}
---
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / storage.MANIFEST).write_text(UPSTREAM)
    return tmp_path


def the(kind: str, directory: Path) -> dict[str, Any]:
    (found,) = [o for o in storage.objects(directory) if o["kind"] == kind]
    return found


def upstream(kind: str) -> dict[str, Any]:
    (found,) = [o for o in yaml.safe_load_all(UPSTREAM) if o and o["kind"] == kind]
    assert isinstance(found, dict)
    return found


def test_the_class_is_named_as_in_kind_and_is_the_default(manifest: Path) -> None:
    assert the("StorageClass", manifest) == {
        **upstream("StorageClass"),
        "metadata": {
            "name": "standard",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
    }


def test_the_provisioner_runs_from_the_image_that_the_node_has(manifest: Path) -> None:
    expected = upstream("Deployment")
    expected["spec"]["template"]["spec"]["containers"][0]["image"] = storage.PROVISIONER_IMAGE
    assert the("Deployment", manifest) == expected


def test_the_helper_runs_from_the_image_that_the_node_has(manifest: Path) -> None:
    found, before = the("ConfigMap", manifest)["data"], upstream("ConfigMap")["data"]
    pod = yaml.safe_load(before["helperPod.yaml"])
    pod["spec"]["containers"][0]["image"] = storage.HELPER_IMAGE
    assert yaml.safe_load(found.pop("helperPod.yaml")) == pod
    del before["helperPod.yaml"]
    assert found == before


def test_everything_else_stays_and_nothing_empty_comes_along(manifest: Path) -> None:
    found = storage.objects(manifest)
    assert [o["kind"] for o in found] == ["Namespace", "Deployment", "StorageClass", "ConfigMap"]
    assert found[0] == upstream("Namespace")


def test_the_image_has_the_version_that_is_built() -> None:
    pin = read_pin(
        CATALOG.folder / "local-path-provisioner" / "go.mod", "github.com/rancher/local-path-provisioner"
    )
    assert storage.PROVISIONER_IMAGE.rpartition(":")[2] == pin.version


@pytest.mark.parametrize("text", ["kind: [", "kind: Deployment\nspec: {}", "- a list"])
def test_another_manifest_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / storage.MANIFEST).write_text(text)
    with pytest.raises(SandboxError, match=r"local-path-storage\.yaml is not the local-path provisioner's"):
        storage.objects(tmp_path)


def test_a_missing_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"FileNotFoundError.*made anew"):
        storage.objects(tmp_path)
