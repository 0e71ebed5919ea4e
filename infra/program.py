"""From the stack's configuration to its outputs; run by `pulumi up` and, inline, by the sandbox."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pulumi
from pulumi.runtime import config

from infra import platform
from infra.problems import SettingsError
from infra.reading import decode, parse
from infra.settings import Settings
from infra.weakened import weakened

# Of the calls that lead to a resource: half a dozen are the SDK's, the others say what it belongs to.
FRAMES: Final = 12


async def run(root: Path) -> None:
    """Do what `main` does, and let every registration begin before Pulumi waits for the program's end.

    Its SDK waits for those that have begun one by one; otherwise it asks all outputs again each time that one
    of them is known, which takes a time that grows with the square of the resources.
    """
    with _short_stacks():
        main(root)
    await asyncio.sleep(0)


@contextmanager
def _short_stacks() -> Iterator[None]:
    """Let Pulumi note where a resource is made by the innermost calls alone.

    Its SDK takes the whole stack, down to the thread, and the engine keeps it with each resource: that was
    nearly half of the state.
    """
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = FRAMES
    try:
        yield
    finally:
        if before is None:
            del sys.tracebacklimit
        else:
            sys.tracebacklimit = before


def main(root: Path) -> None:
    """Read the settings, build the platform, export the outputs.

    Args:
        root: the project's directory.

    Raises:
        pulumi.RunError: with every mistake in the settings, before anything is registered.
    """
    try:
        settings = parse(decode({**config.get_config_env(), **config.CONFIG.get()}))
        for line in weakened(settings):
            pulumi.log.warn(f"weakened: {line}")
        provision(settings, root)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None


def provision(settings: Settings, root: Path) -> None:
    """Build the platform and export its outputs.

    Args:
        settings: the stack's settings.
        root: the project's directory.

    Raises:
        SettingsError: if the kubeconfig cannot be read; nothing is registered then.
    """
    built = platform.build(settings, root)
    for name, value in platform.outputs(built, settings).items():
        pulumi.export(name, value)
