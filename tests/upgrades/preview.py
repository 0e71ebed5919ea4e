"""What today's program would do to what an earlier version left behind, by Pulumi's own engine.

No cluster is asked: the state says what there is, so that this takes seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi.automation as auto

from infra import program
from tests.upgrades.record import KUBECONFIG, PASSPHRASE, ROOT, STACK, Recorded

PROJECT: Final = "rayfort"
GOING: Final = frozenset({"delete", "replace", "create-replacement", "delete-replaced"})


@dataclass(frozen=True, order=True)
class Step:
    """What the engine would do to a resource.

    Attributes:
        op: what.
        resource: which, as type and name.
    """

    op: str
    resource: str


def steps(recorded: Recorded, sandbox: Path, environment: Mapping[str, str]) -> set[Step]:
    """Every step of a preview.

    Args:
        recorded: the stack file and the state.
        sandbox: a directory with the sandbox's charts and the engine, and for everything else.
        environment: the engine's; `PATH` has the plugins.

    Raises:
        auto.CommandError: if the engine, or the program, refuses.
    """
    work = Path(tempfile.mkdtemp(prefix=recorded.version, dir=sandbox))
    (sandbox / "kubeconfig").write_text(KUBECONFIG)
    (work / f"Pulumi.{STACK}.yaml").write_text(recorded.settings(sandbox))
    backend = work / "backend"
    backend.mkdir()
    own = {"PULUMI_BACKEND_URL": f"file://{backend}", "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
    stack = auto.create_or_select_stack(
        STACK,
        PROJECT,
        program=lambda: program.main(ROOT),
        opts=auto.LocalWorkspaceOptions(
            work_dir=str(work),
            env_vars={**environment, **own},
            pulumi_command=auto.PulumiCommand(root=str(sandbox / "engine"), skip_version_check=True),
        ),
    )
    stack.import_stack(
        auto.Deployment(version=recorded.state["version"], deployment=recorded.state["deployment"])
    )
    found: set[Step] = set()

    def note(event: auto.EngineEvent) -> None:
        if event.resource_pre_event:
            step = event.resource_pre_event.metadata
            found.add(Step(step.op.value, step.urn.split("::", 2)[2]))

    stack.preview(refresh=False, on_event=note, color="never")
    return found
