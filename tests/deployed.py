"""A platform on simulated nodes that the tests of one folder share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from tests.e2e.sandbox import Sandbox


class Deployed(Protocol):
    """What such a platform has."""

    sandbox: Sandbox

    def up(self) -> None:
        """Bring it up."""


Made = TypeVar("Made", bound=Deployed)


@contextmanager
def platform(
    make: Callable[[Path], Made], variable: str, directories: pytest.TempPathFactory
) -> Iterator[Made]:
    """A platform, up and running.

    Args:
        make: the platform in a state directory.
        variable: the environment variable that may name the state directory of one that runs already, to
            work on one test after the other; that one is left running.
        directories: where a new one gets its own.
    """
    if reused := os.environ.get(variable):
        made = make(Path(reused))
        made.up()
        yield made
        return
    made = make(directories.mktemp("a check out") / "sandbox")  # a blank in the path is legal
    try:
        made.up()
        yield made
    finally:
        made.sandbox.environment.down(force=True)
