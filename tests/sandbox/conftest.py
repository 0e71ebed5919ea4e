"""A real control plane for the tests that need one. The first run on a machine builds the tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from sandbox.control_plane import ControlPlane
from sandbox.progress import Progress
from sandbox.toolchain import ASSETS, TOOLS, Toolchain

PROGRESS = Progress(quiet=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get the tools before the first test: building them takes longer than any test may."""
    here = Path(__file__).parent
    wanted = any(here in item.path.parents for item in session.items)
    if wanted and not session.config.option.collectonly:
        capture = session.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            Toolchain(progress=Progress()).ensure(TOOLS)


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
