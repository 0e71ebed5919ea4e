"""One platform for all tests of the mesh, and what its istiod says to it as it stands.

Tests that change something wait for istiod before they go on, and put it back; the snapshots here are from
before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sandbox.xds.state import Snapshot
from tests.deployed import platform
from tests.mesh.certificates import Authority
from tests.mesh.deployed import TARGETS, Deployed, Target
from tests.mesh.guards import Certificates, Guards, guards

REUSE = "RAYFORT_TEST_MESH"  # the state directory of a sandbox of these tests, to work on one after the other


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The platform, up and running."""
    with platform(Deployed, REUSE, tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="session")
def pods(deployed: Deployed) -> Mapping[Target, dict[str, Any]]:
    """The Ray nodes that are looked at."""
    return {target: deployed.node(target) for target in TARGETS}


@pytest.fixture(scope="session")
def told(deployed: Deployed, pods: Mapping[Target, dict[str, Any]]) -> Mapping[Target, Snapshot]:
    """What istiod tells their sidecars."""
    return dict(zip(pods, deployed.snapshots(list(pods.values())), strict=True))


@pytest.fixture(scope="session")
def authority(deployed: Deployed) -> Authority:
    """The mesh's own CA."""
    return deployed.authority()


@pytest.fixture(scope="session")
def certificates(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of that CA."""
    return Certificates(authority, tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def nodes(
    pods: Mapping[Target, dict[str, Any]],
    told: Mapping[Target, Snapshot],
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Guards]:
    """The inbound side of their sidecars, run by an Envoy."""
    sides = {str(target): (pods[target], told[target]) for target in TARGETS}
    with guards(tmp_path_factory.mktemp("nodes"), authority, sides) as made:
        yield made
