"""Previews a folder's program, in the environment whose interpreter runs this: ``preview.py FOLDER ENGINE``.

It reads the configuration from standard input and writes what it found as JSON.
"""

import json
import runpy
import sys
from pathlib import Path

import rayfort
from pulumi import automation

folder, engine = Path(sys.argv[1]), sys.argv[2]
given = json.load(sys.stdin)
stack = automation.create_or_select_stack(
    stack_name="test",
    project_name=folder.name,
    program=lambda: runpy.run_path(str(folder / "__main__.py")) and None,
    opts=automation.LocalWorkspaceOptions(
        pulumi_command=automation.PulumiCommand(root=engine, skip_version_check=True)
    ),
)
secrets = set(given["secrets"])
stack.set_all_config(
    {key: automation.ConfigValue(value, key in secrets) for key, value in given["config"].items()}
)
made: list[str] = []


def note(event: automation.EngineEvent) -> None:
    """Keep what would be made."""
    if event.resource_pre_event:
        made.append(event.resource_pre_event.metadata.type)


said: list[str] = []
stack.preview(on_event=note, on_output=said.append)
json.dump({"library": str(rayfort.__file__), "made": made, "said": "\n".join(said)}, sys.stdout)
