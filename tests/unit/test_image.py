"""Whether an image can be the Ray that a cluster says it is."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError
from rayfort import RayClusterSpec
from rayfort.ray.image import CHECK, version_check, version_in_tag

from tests.unit.test_manifest import body, nodes

DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("docker.io/rayproject/ray:2.55.1", "2.55.1"),
        ("docker.io/rayproject/ray:2.55.1-py311-cu121", "2.55.1"),
        ("registry.example:5000/ray:v2.55.1", "2.55.1"),
        ("registry.example:5000/team/app:cuda12.1.0-ray2.55.1", "2.55.1"),
        ("registry.example/team/ray:2.55.1" + DIGEST, "2.55.1"),
        ("docker.io/rayproject/ray:latest", None),
        ("docker.io/rayproject/ray:nightly-py311", None),
        ("docker.io/rayproject/ray:2.55", None),
        ("docker.io/rayproject/ray:2.55.1.4", None),
        ("registry.example/team/app:build-17", None),
        ("registry.example/team/app:cuda12.1.0", None),
        ("registry.example:5000/ray", None),
        ("registry.example/ray" + DIGEST, None),
    ],
)
def test_the_tag_says_which_ray_it_is(image: str, version: str | None) -> None:
    """A registry's port and a digest are no tags."""
    assert version_in_tag(image) == version


@pytest.mark.parametrize("image", ["ray:2.46.0", "ray:2.46.0-py310", "ray:2.46.0" + DIGEST])
@pytest.mark.parametrize("stated", [{}, {"ray_version": "2.55.1"}])
def test_an_image_of_another_version_is_refused(image: str, stated: dict[str, Any]) -> None:
    """Ray 2.46 knows no tokens: KubeRay would set its variables, and everybody could come in."""
    with pytest.raises(ValidationError, match=r"names version 2\.46\.0, and rayVersion is 2\.55\.1"):
        RayClusterSpec(name="ray", image=image, **stated)


@pytest.mark.parametrize("image", ["ray:latest", "ray" + DIGEST, "ray"])
def test_what_says_nothing_must_be_said(image: str) -> None:
    """Nothing can be known of it before it runs, so somebody has to vouch for it."""
    with pytest.raises(ValidationError, match=r"nothing in .* says which Ray it holds; set rayVersion"):
        RayClusterSpec(name="ray", image=image)
    assert RayClusterSpec(name="ray", image=image, ray_version="2.55.1").image == image


def test_old_rays_are_refused_by_any_name() -> None:
    """With the right version said of it, an old image is still an old image."""
    with pytest.raises(ValidationError, match="has no token authentication"):
        RayClusterSpec(name="ray", image="ray:2.46.0", ray_version="2.46.0")


@pytest.mark.parametrize("image", ["ray:latest", "ray" + DIGEST, "ray:2.55.1" + DIGEST])
def test_such_an_image_is_looked_into_before_ray_starts(image: str) -> None:
    """A tag beside a digest is a comment; on every node, since every node has the image."""
    spec = RayClusterSpec(
        name="ray",
        image=image,
        ray_version="2.55.1",
        worker_groups=({"name": "small", "pod_spec": {"initContainers": [{"name": "mine"}]}},),
    )
    head, worker = (node["template"]["spec"]["initContainers"] for node in nodes(body(spec)))
    assert [each["name"] for each in head] == [CHECK]
    assert [each["name"] for each in worker] == [CHECK, "mine"]
    assert head[0]["image"] == image
    assert head[0]["resources"]["requests"], "a namespace with a quota takes no container without"


def test_a_version_in_the_tag_is_enough() -> None:
    """The usual image costs no further container."""
    for node in nodes(body(RayClusterSpec(name="ray", image="mirror.example/ray:2.55.1"))):
        assert "initContainers" not in node["template"]["spec"]


@pytest.mark.parametrize("build", ["2.55.1", "2.55.1+abc123", "2.55.1rc0"])
def test_the_look_into_the_image_tells_versions_apart(build: str) -> None:
    """The very program of the container, where Ray's distribution says this version."""
    assert _look(build, "2.55.1").returncode == 0
    other = _look(build, "2.60.0")
    assert other.returncode != 0
    assert f"holds Ray {build}, and rayVersion says 2.60.0" in other.stderr


def test_an_image_without_ray_fails() -> None:
    """An image of something else."""
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("ray")
    check = version_check("ray:latest", "2.55.1")
    assert check
    _, *arguments = check["command"]
    assert subprocess.run([sys.executable, *arguments], capture_output=True, check=False).returncode != 0


def _look(installed: str, wanted: str) -> subprocess.CompletedProcess[str]:
    check = version_check("ray:latest", wanted)
    assert check
    _, option, program, *arguments = check["command"]
    pretend = f"import importlib.metadata\nimportlib.metadata.version = lambda _: {installed!r}\n{program}"
    return subprocess.run(
        [sys.executable, option, pretend, *arguments], capture_output=True, text=True, check=False
    )
