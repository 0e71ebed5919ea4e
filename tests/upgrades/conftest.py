"""Upgrades on a sandbox: minutes each, so by name alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.upgrades.upgraded import Upgraded


@pytest.hookimpl(tryfirst=True)  # the tools are got by these marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.sandbox)
            item.add_marker(pytest.mark.timeout(3600))  # the first run builds what is older


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[Path | None], Upgraded]]:
    """Makes a sandbox, in a directory of its own by default, and takes it down in the end."""
    made: list[Upgraded] = []

    def sandbox(state: Path | None = None) -> Upgraded:
        made.append(Upgraded(state or tmp_path / "a check out" / "sandbox"))
        return made[-1]

    yield sandbox
    for each in made:
        each.down()
