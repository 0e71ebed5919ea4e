"""One platform with simulated nodes for all of these tests, and one real Ray at a time on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rayfort import versions
from rayfort.ray.ports import NodeRole

from sandbox import ray_client
from sandbox.progress import Progress
from tests.deployed import platform
from tests.ray.deployed import EXPLICIT, GENERATED, OPERATORS, Deployed
from tests.ray.nodes import Loopback, loopback
from tests.ray.private_server import PrivateServer

REUSE = "RAYFORT_TEST_RAY"  # the state directory of a sandbox of these tests, to work on one after the other


@pytest.fixture(scope="session")
def program() -> Path:
    """The `ray` of the clusters' version."""
    return ray_client.ensure(versions.RAY, Progress())


@pytest.fixture(scope="session")
def deployed(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The platform, up and running."""
    with platform(Deployed, REUSE, tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="session")
def server(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    """Private files, for who has a login or the token."""
    with PrivateServer(tmp_path_factory.mktemp("private"), deployed.bearer) as made:
        yield made


@pytest.fixture(scope="session", params=[GENERATED, OPERATORS, EXPLICIT])
def cluster(request: pytest.FixtureRequest) -> str:
    """The name of a Ray cluster, which says where its token comes from."""
    return str(request.param)


@pytest.fixture(scope="session")
def ray(cluster: str, deployed: Deployed, server: PrivateServer, program: Path) -> Iterator[Loopback]:
    """A real Ray, head and worker, of the Pods that the operator made for that cluster."""
    with loopback(program, {"REQUESTS_CA_BUNDLE": str(server.authority)}) as made:
        made.start(deployed.node(NodeRole.HEAD, cluster))
        made.await_ready()  # as the worker's init container does
        made.start(deployed.node(NodeRole.WORKER, cluster))
        made.await_ready()
        yield made


@pytest.fixture(scope="session")
def token(ray: Loopback) -> str:
    """The token that the head's Pod was given."""
    return ray.head.container.environment["RAY_AUTH_TOKEN"]
