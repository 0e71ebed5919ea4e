"""The control plane of the suite, and which faults it runs."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.rows import ROWS, chosen
from tests.faults.world import Phase, World, say_past

SEED = "RAYFORT_TEST_SEED"
FIXED_SEED = 1
KEPT = "RAYFORT_TEST_FAULTS"  # a directory whose control plane stays, to work on one fault after the other


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults",
        choices=("short", "all"),
        help="Which faults: all, in the order of the seed, or one of each command. By default all where "
        "tests are named, and the short form in a plain run of everything.",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--faults", None) is None:  # a worker of xdist is told what was chosen here
        plain = config.args_source is pytest.Config.ArgsSource.TESTPATHS
        config.option.faults = "short" if plain else "all"
    say_past(config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault" not in metafunc.fixturenames:
        return
    seed = _seed(metafunc.config)
    rows = chosen(seed, everything=_everything(metafunc.config))
    metafunc.parametrize("fault", rows, ids=[f"{ROWS.index(row):03d}-{row.name}" for row in rows])


def pytest_report_header(config: pytest.Config) -> str:
    return f"faults: {SEED}={_seed(config)}"


def _seed(config: pytest.Config) -> int:
    return int(os.environ.get(SEED, FIXED_SEED))


def _everything(config: pytest.Config) -> bool:
    return config.getoption("--faults") == "all"


@pytest.fixture(scope="session")
def everything(request: pytest.FixtureRequest) -> bool:
    """Whether it is not the short form."""
    return _everything(request.config)


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """What chooses the order and the moments."""
    return _seed(request.config)


@pytest.fixture
def chance(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """The same for a fault in every run with a seed, whichever others run."""
    return random.Random(f"{seed} {request.node.callspec.id}")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The control plane with mesh and operator."""
    kept = os.environ.get(KEPT)
    made = World(Path(kept) if kept else tmp_path_factory.mktemp("faults"))
    try:
        made.begin()
        yield made
    finally:
        made.end(keep=kept is not None)


class Undisturbed:
    """What there is before and after a first `up` that nothing disturbed."""

    def __init__(self, world: World) -> None:
        self.none = world.cluster()
        code, said = world.run(Phase.FIRST)
        assert code == 0, said
        world.up = True
        self.cluster, self.state = world.cluster(), world.stored()


@pytest.fixture(scope="session")
def undisturbed(world: World) -> Undisturbed:
    """What every fault has to come to."""
    return Undisturbed(world)


@pytest.hookimpl(tryfirst=True)  # the tools are got by these marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.sandbox)
            item.add_marker(pytest.mark.timeout(1800))
