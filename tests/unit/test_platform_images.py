"""The images that are made for a stack are those that its Pods ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rayfort import versions

from cli.offline import Plan, plan
from cli.stacks import load
from infra.reading import parse
from infra.settings import Settings
from sandbox.image_source import ImageSource
from sandbox.images import catalog
from sandbox.platform_images import full_name, images_of
from sandbox.stack import values

ROOT = Path(__file__).resolve().parents[2]
NO_RAY = {"users": ["alice"]}  # kbatch's users name a workspace of the stack file otherwise


@pytest.fixture(scope="module")
def made() -> Plan:
    """What the sandbox's stack creates."""
    return plan(load(ROOT, "sandbox"))


def settings(tmp_path: Path, **laid_over: Any) -> Settings:
    return parse(values(ROOT, tmp_path, None, laid_over))


def references(tmp_path: Path, **laid_over: Any) -> set[str]:
    return {image.reference for image in images_of(settings(tmp_path, **laid_over))}


def containers(value: Any) -> Iterator[str]:
    """Every `image` of a container, however deep in an object its Pod stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("containers", "initContainers"):
                yield from (each["image"] for each in inner if "image" in each)
            yield from containers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from containers(inner)


def release(made: Plan, name: str) -> dict[str, Any]:
    (found,) = [
        each.inputs for each in made.resources if each.kind == "Release" and each.inputs.get("name") == name
    ]
    return found


def test_every_image_of_the_stacks_own_manifests_is_made(made: Plan, tmp_path: Path) -> None:
    named = {full_name(image) for each in made.resources for image in containers(each.inputs)}
    assert {name.rpartition(":")[0] for name in named} >= {
        "docker.io/rayproject/ray",
        "ghcr.io/kbatch-dev/kbatch-proxy",
    }
    assert named <= references(tmp_path)


def test_every_image_that_is_made_is_asked_for(made: Plan, tmp_path: Path) -> None:
    """By a manifest of the stack, or by a chart with the stack's values."""
    named = {full_name(image) for each in made.resources for image in containers(each.inputs)}
    istiod = release(made, "istiod")["values"]["global"]
    assert release(made, "istio-cni")["values"]["global"].items() <= istiod.items()
    charts = {f"{istiod['hub']}/{name}:{istiod['tag']}" for name in ("pilot", "proxyv2", "install-cni")}
    # The operator's chart has no image among its values: its version is the tag.
    assert "image" not in release(made, "kuberay-operator").get("values", {})
    operator = {f"quay.io/kuberay/operator:v{settings(tmp_path).operator.version}"}
    # The hub starts notebooks, and its chart names the other two; kbatch names what unpacks a job's code.
    hub = {image.reference for image in catalog.jupyterhub()}
    unpack = {versions.KBATCH_CODE_IMAGE}
    assert references(tmp_path) == named | charts | operator | hub | unpack


def test_no_image_is_named_twice(tmp_path: Path) -> None:
    (workspace,) = settings(tmp_path).model_dump(mode="json", by_alias=True)["workspaces"]
    twice = [{"name": name, "clusters": [{"name": "ray"}]} for name in ("one", "two")]
    assert workspace["name"] == "team-a"
    found = [image.reference for image in images_of(settings(tmp_path, workspaces=twice, kbatch=NO_RAY))]
    assert len(found) == len(set(found))
    assert len([name for name in found if "rayproject/ray" in name]) == 1


def test_two_versions_of_ray_are_two_images(tmp_path: Path) -> None:
    new = {"name": "new", "rayVersion": "2.55.1", "image": "mirror.example/ray:mine"}
    clusters = [{"name": "old", "rayVersion": "2.52.0"}, new]
    found = references(tmp_path, workspaces=[{"name": "one", "clusters": clusters}], kbatch=NO_RAY)
    assert {name for name in found if "ray:" in name} == {
        "docker.io/rayproject/ray:2.52.0",
        "mirror.example/ray:mine",
    }


def test_a_mirrors_names_are_taken_over(tmp_path: Path) -> None:
    found = references(
        tmp_path,
        mesh={"hub": "mirror.example:5000/istio", "tag": "1.31.0-mine"},
        operator={"imageRepository": "mirror.example/operator", "imageTag": "mine"},
        rayImage="team/ray",
    )
    assert found >= {
        "mirror.example:5000/istio/pilot:1.31.0-mine",
        "mirror.example:5000/istio/proxyv2:1.31.0-mine",
        "mirror.example/operator:mine",
    }
    assert any(name.startswith("docker.io/team/ray:") for name in found)


def test_what_a_stack_does_not_have_needs_no_image(tmp_path: Path) -> None:
    bare = settings(tmp_path).model_copy(update={"kbatch": None, "jupyterhub": None, "workspaces": ()})
    without_mesh = bare.model_copy(update={"mesh": bare.mesh.model_copy(update={"enabled": False})})
    assert [image.reference for image in images_of(without_mesh)] == [
        f"quay.io/kuberay/operator:v{bare.operator.version}"
    ]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("rayproject/ray:2.55.1", "docker.io/rayproject/ray:2.55.1"),
        ("docker.io/istio/pilot:1", "docker.io/istio/pilot:1"),
        ("quay.io/kuberay/operator:v1", "quay.io/kuberay/operator:v1"),
        ("localhost/mine:1", "localhost/mine:1"),
        ("registry:5000/mine:1", "registry:5000/mine:1"),
        ("127.0.0.1:5000/a/b/c:1", "127.0.0.1:5000/a/b/c:1"),
        ("team/sub/ray:1", "docker.io/team/sub/ray:1"),
        ("ray@sha256:00", "docker.io/library/ray@sha256:00"),
    ],
)
def test_names_are_written_as_containerd_writes_them(reference: str, expected: str) -> None:
    assert full_name(reference) == expected
    assert full_name(expected) == expected


# --- the mesh fits its images


@pytest.mark.parametrize(("source", "silent"), [(ImageSource.LOCAL, True), (ImageSource.REGISTRY, False)])
def test_istios_statistics_are_only_off_where_envoy_lacks_them(
    tmp_path: Path, source: ImageSource, silent: bool
) -> None:
    said = values(ROOT, tmp_path, None, {}, source)["mesh"]["istiodValues"].get("telemetry")
    assert (said == {"enabled": False}) is silent


@pytest.mark.parametrize("source", ImageSource)
def test_a_real_node_enforces_network_policies_whatever_its_images(
    tmp_path: Path, source: ImageSource
) -> None:
    assert parse(values(ROOT, tmp_path, None, {}, source)).cluster.facts.network_policy
