"""A sandbox whose node runs containers, for the tests that look at what goes over the wire.

One `up` serves all of them. The first run on a machine builds tools and images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import machine
from tests.e2e.sandbox import REUSE, Sandbox

HERE = Path(__file__).parent
# What they make has no room on the node beside the lab of the others.
FIRST = ("test_upgrade.py", "test_rotation.py", "test_negative_controls.py")
LAST = "test_lifecycle.py"  # it ends the sandbox


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(2400))
    # After all others, which would share the machine with the sandbox otherwise.
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[bool, bool, bool]:
    name = item.path.name
    return HERE in item.path.parents, name not in FIRST, name == LAST


@pytest.fixture(scope="session")
def machine_before() -> frozenset[str]:
    """What the machine was like before the tests made their sandbox."""
    return machine.look()


@pytest.fixture(scope="session")
def sandbox(machine_before: frozenset[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
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
