"""From the stack's configuration to its outputs; run by `pulumi up` and, inline, by the sandbox."""

from pathlib import Path

import pulumi
from pulumi.runtime import config

from infra import platform
from infra.problems import SettingsError
from infra.reading import decode, parse
from infra.weakened import weakened


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
        built = platform.build(settings, root)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    for name, value in platform.outputs(built, settings).items():
        pulumi.export(name, value)
