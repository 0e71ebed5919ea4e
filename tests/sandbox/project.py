"""A folder with a Pulumi program in YAML, run by Pulumi's own engine; the component host is on its PATH."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi import automation

from tests.sandbox.engine_site import ROOT, Site, Stack

COMPONENTS = ROOT / "components"


def host_components(site: Site, yaml_language: Path) -> None:
    """Put the plugin of the components, and the language of programs in YAML, where the engine looks.

    The plugin is started as Pulumi's language plugin for Python starts what has a ``PulumiPlugin.yaml``; that
    one is a part of Pulumi's release, and no package registry has it.
    """
    plugins = site.directory / "plugins"
    python, folder = shlex.quote(sys.executable), shlex.quote(str(COMPONENTS))
    plugin = plugins / "pulumi-resource-rayfort"
    plugin.write_text(f'#!/bin/sh\nexec {python} -u {folder} "$@"\n')
    plugin.chmod(0o755)
    (plugins / "pulumi-language-yaml").symlink_to(yaml_language)


class Project(Stack):
    """One stack of a program in YAML."""

    def __init__(
        self,
        site: Site,
        folder: Path,
        program: Mapping[str, Any],
        *,
        plain: Mapping[str, str],
        secret: Mapping[str, str],
    ) -> None:
        self.said = ""
        self._backend = site.directory / "backend"
        self._folder = folder
        self.write(program)
        self._stack = automation.create_or_select_stack(
            stack_name="test",
            work_dir=str(folder),
            opts=automation.LocalWorkspaceOptions(
                env_vars={**site.environment, "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"},
                pulumi_command=automation.PulumiCommand(
                    root=str(site.directory / "engine"), skip_version_check=True
                ),
            ),
        )
        values = {key: automation.ConfigValue(value) for key, value in plain.items()}
        hidden = {key: automation.ConfigValue(value, secret=True) for key, value in secret.items()}
        self._stack.set_all_config({**values, **hidden})

    def write(self, program: Mapping[str, Any]) -> None:
        """Change the program."""
        # JSON is YAML, and has no references within a document, which Pulumi does not take.
        (self._folder / "Pulumi.yaml").write_text(json.dumps(program, indent=1))
