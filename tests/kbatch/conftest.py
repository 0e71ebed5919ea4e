"""One platform with simulated nodes for all of these tests, and one hub and one proxy on the loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.progress import Progress
from tests.deployed import platform
from tests.kbatch import programs as all_programs
from tests.kbatch.deployed import Deployed
from tests.kbatch.door import Door, door
from tests.kbatch.logs import logs
from tests.kbatch.programs import Programs

REUSE = (
    "RAYFORT_TEST_KBATCH"  # the state directory of a sandbox of these, to work on one test after the other
)


@pytest.fixture(scope="session")
def programs() -> Programs:
    """JupyterHub, its proxy, kbatch-proxy and kbatch's client."""
    return all_programs.ensure(Progress())


@pytest.fixture(scope="session")
def deployed(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The platform, up and running."""
    with platform(Deployed, REUSE, tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="session")
def kbatch(
    deployed: Deployed, programs: Programs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """The hub and the proxy, as the stack has them."""
    with door(deployed, programs, tmp_path_factory.mktemp("kbatch")) as made:
        yield made


@pytest.fixture(scope="session")
def logged(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every Pod has logs."""
    with logs(deployed.sandbox, tmp_path_factory.mktemp("logs")):
        yield
