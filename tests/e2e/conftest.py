"""A sandbox whose node runs containers, for the tests that look at what goes over the wire.

One `up` serves all of them. The first run on a machine builds tools and images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.sandbox import REUSE, Sandbox

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(2400))


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The platform of the stack file, up and running."""
    if reused := os.environ.get(REUSE):
        yield Sandbox(Path(reused))
        return
    # A blank in the path is legal, so every test runs with one.
    made = Sandbox(tmp_path_factory.mktemp("a check out") / "sandbox")
    try:
        made.up()
        yield made
    finally:
        made.environment.down(force=True)
