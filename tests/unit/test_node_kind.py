"""Which kind of nodes a sandbox gets, where its images come from, and that both stay so."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import image_source, node_kind
from sandbox.image_source import ImageSource
from sandbox.node_kind import Choice, NodeKind
from sandbox.processes import SandboxError

REAL, SIMULATED = NodeKind.REAL, NodeKind.SIMULATED
LOCAL, REGISTRY = ImageSource.LOCAL, ImageSource.REGISTRY
WHY = "kernel: no network bridges (Operation not supported); load its module."


def works() -> str | None:
    return None


def lacks() -> str | None:
    return WHY


def unasked() -> str | None:
    raise AssertionError("the machine was examined for nothing")


@pytest.mark.parametrize(
    ("there", "asked", "obstacle", "expected"),
    [
        (None, None, works, Choice(REAL)),
        (None, None, lacks, Choice(SIMULATED, WHY)),
        (None, REAL, works, Choice(REAL)),
        (None, SIMULATED, unasked, Choice(SIMULATED)),
        (REAL, None, works, Choice(REAL)),
        (REAL, REAL, works, Choice(REAL)),
        (SIMULATED, SIMULATED, unasked, Choice(SIMULATED)),
        (SIMULATED, None, lacks, Choice(SIMULATED, WHY)),
        # The machine can carry a real one by now, and the sandbox stays as it is.
        (SIMULATED, None, works, Choice(SIMULATED)),
    ],
)
def test_the_kind_is_chosen_and_kept(
    tmp_path: Path,
    there: NodeKind | None,
    asked: NodeKind | None,
    obstacle: Callable[[], str | None],
    expected: Choice,
) -> None:
    if there:
        node_kind.choose(tmp_path, there, works)
    assert node_kind.choose(tmp_path, asked, obstacle) == expected
    assert node_kind.read(tmp_path) is expected.kind


@pytest.mark.parametrize(("there", "asked"), [(REAL, SIMULATED), (SIMULATED, REAL)])
def test_the_other_kind_needs_a_new_sandbox(tmp_path: Path, there: NodeKind, asked: NodeKind) -> None:
    node_kind.choose(tmp_path, there, works)
    with pytest.raises(SandboxError) as error:
        node_kind.choose(tmp_path, asked, unasked)
    assert str(error.value) == (
        f"This sandbox has {there} nodes. Remove it with `./rayfort down`, then run "
        f"`./rayfort up --nodes {asked}`."
    )
    assert node_kind.read(tmp_path) is there


@pytest.mark.parametrize(("there", "asked"), [(None, REAL), (REAL, None), (REAL, REAL)])
def test_real_nodes_are_never_quietly_replaced(
    tmp_path: Path, there: NodeKind | None, asked: NodeKind | None
) -> None:
    if there:
        node_kind.choose(tmp_path, there, works)
    with pytest.raises(SandboxError) as error:
        node_kind.choose(tmp_path, asked, lacks)
    said = str(error.value)
    assert said.startswith(f"Real nodes cannot run here: {WHY} ")
    assert "`./rayfort doctor`" in said and "`./rayfort up --nodes simulated`" in said
    assert node_kind.read(tmp_path) is there


def test_a_sandbox_that_never_ran_has_no_kind(tmp_path: Path) -> None:
    assert node_kind.read(tmp_path) is None
    node_kind.choose(tmp_path / "new", REAL, works)
    (file,) = (tmp_path / "new").iterdir()
    assert file.read_text() == "real\n"
    file.write_text("virtual\n")  # of another version of Rayfort
    assert node_kind.read(tmp_path / "new") is None


@pytest.mark.parametrize(
    ("there", "asked", "nodes", "expected"),
    [
        (None, None, REAL, LOCAL),
        (None, LOCAL, REAL, LOCAL),
        (None, REGISTRY, REAL, REGISTRY),
        (REGISTRY, None, REAL, REGISTRY),
        (REGISTRY, REGISTRY, REAL, REGISTRY),
        (LOCAL, LOCAL, REAL, LOCAL),
        (None, None, SIMULATED, LOCAL),
        (None, LOCAL, SIMULATED, LOCAL),
    ],
)
def test_images_come_from_where_they_came_before(
    tmp_path: Path,
    there: ImageSource | None,
    asked: ImageSource | None,
    nodes: NodeKind,
    expected: ImageSource,
) -> None:
    if there:
        image_source.keep(tmp_path, there)
    assert image_source.choose(tmp_path, asked, nodes) is expected
    assert image_source.read(tmp_path) is there  # kept only when the images are there


@pytest.mark.parametrize(("there", "asked"), [(LOCAL, REGISTRY), (REGISTRY, LOCAL)])
def test_the_other_source_needs_a_new_sandbox(tmp_path: Path, there: ImageSource, asked: ImageSource) -> None:
    image_source.keep(tmp_path, there)
    with pytest.raises(SandboxError, match=re.escape(f"`./rayfort up --images {asked}`")) as error:
        image_source.choose(tmp_path, asked, REAL)
    assert f"from the source `{there}`" in str(error.value)
    assert "`./rayfort down`" in str(error.value)


def test_simulated_nodes_have_nothing_to_pull(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"no image to pull\. Leave out `--images registry`"):
        image_source.choose(tmp_path, REGISTRY, SIMULATED)


def test_an_unknown_source_is_none(tmp_path: Path) -> None:
    image_source.keep(tmp_path, REGISTRY)
    (file,) = tmp_path.iterdir()
    file.write_text("elsewhere\n")
    assert image_source.read(tmp_path) is None
