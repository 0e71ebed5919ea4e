"""A real control plane for the tests that need one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from sandbox import needs
from sandbox.control_plane import ControlPlane
from sandbox.node_kind import NodeKind
from sandbox.progress import Progress
from sandbox.toolchain import Toolchain
from tests.sandbox.engine_site import Site

PROGRESS = Progress(quiet=True)
TOOLS = needs.tools(NodeKind.SIMULATED, ())
ASSETS = needs.assets(NodeKind.SIMULATED, ())


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    return Toolchain(progress=PROGRESS)


@pytest.fixture(scope="session")
def tools(toolchain: Toolchain) -> Mapping[str, Path]:
    """Every tool of the sandbox by name."""
    return toolchain.ensure(TOOLS)


@pytest.fixture(scope="session")
def assets(toolchain: Toolchain) -> Mapping[str, Path]:
    """Charts, definitions and stages by name."""
    return {name: toolchain.asset(name) for name in ASSETS}


@pytest.fixture(scope="module")
def make_control_plane(
    tools: Mapping[str, Path], assets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], ControlPlane]]:
    """Makes control planes, not started yet, each in a directory of its own, and wipes them in the end."""
    made: list[ControlPlane] = []

    def make() -> ControlPlane:
        # A blank in the path is legal, so every test runs with one.
        state = tmp_path_factory.mktemp("check out") / "state"
        made.append(ControlPlane(state, tools, assets, PROGRESS))
        return made[-1]

    yield make
    for each in made:
        each.wipe()


@pytest.fixture(scope="module")
def control_plane(make_control_plane: Callable[[], ControlPlane]) -> ControlPlane:
    """A running control plane that the tests of one module share."""
    made = make_control_plane()
    made.start()
    return made


@pytest.fixture(scope="module")
def site(
    control_plane: ControlPlane, tools: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Site:
    """Pulumi's engine on that control plane."""
    return Site(tmp_path_factory.mktemp("site"), control_plane.kubeconfig.read_text(), tools)
