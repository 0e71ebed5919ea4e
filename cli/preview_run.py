"""Any stack under Pulumi's engine, with the program run inline: previews for reviews, and deployments.

`pulumi preview` and `pulumi up` do the same by hand. Here the engine's events are kept, which the comment on
a pull request is made from, and nothing is needed beyond the `pulumi` executable.
"""

import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi.automation as auto
import yaml

from cli.stacks import PROJECT_FILE, StackFileError, directory
from infra import program

POLICIES: Final = "policies"
# Of Pulumi.yaml, what an inline program has otherwise: where it lies, and what it runs with.
_NOT_INLINE: Final = frozenset({"stackConfigDir", "main", "runtime"})

Program = Callable[[], Awaitable[None] | None]
OnEvent = Callable[[auto.EngineEvent], None]


@dataclass(frozen=True)
class Target:
    """A stack, and how to call the engine for it.

    Attributes:
        root: the checkout, with the program and the policy pack.
        stack: the stack's name.
        settings: the text of its file, with whatever Pulumi keeps in it.
        pulumi: the executable.
        environment: the engine's environment variables, with the backend and what decrypts the settings.
        program: registers the stack's resources.
    """

    root: Path
    stack: str
    settings: str
    pulumi: Path
    environment: Mapping[str, str]
    program: Program


@dataclass(frozen=True)
class Ended:
    """How an operation ended.

    Attributes:
        failed: whether the engine, the program or a policy refused.
        changes_found: whether a preview that expected no changes found some.
        said: the end of what the engine printed; empty unless it failed.
    """

    failed: bool
    said: str = ""


def target(root: Path, stack: str, pulumi: Path) -> Target:
    """A stack of this checkout, with the environment's own backend and credentials.

    Raises:
        StackFileError: if there is no such stack.
    """
    path = directory(root) / f"Pulumi.{stack}.yaml"
    try:
        settings = path.read_text()
    except OSError:
        raise StackFileError(f"there is no stack {stack!r}: {path.relative_to(root)} is missing") from None
    return Target(root, stack, settings, pulumi, dict(os.environ), lambda: program.run(root))


def preview(target: Target, on_event: OnEvent, *, refresh: bool) -> Ended:
    """What `up` would change.

    Args:
        target: the stack.
        on_event: hears every event of the engine.
        refresh: look at what is really there first, which finds drift; needs the cluster.
    """
    return _run(
        target,
        lambda stack: stack.preview(
            refresh=refresh,
            on_event=on_event,
            on_output=_drop,
            on_error=_drop,
            color="never",
            policy_packs=[str(target.root / POLICIES)],
        ),
        create=True,
    )


def up(target: Target, on_event: OnEvent, on_output: Callable[[str], None]) -> Ended:
    """Bring the stack to what its file says.

    Args:
        target: the stack.
        on_event: hears every event of the engine.
        on_output: hears every line that the engine prints; values that are secret are not in them.
    """
    return _run(
        target,
        lambda stack: stack.up(
            on_event=on_event,
            on_output=on_output,
            color="never",
            policy_packs=[str(target.root / POLICIES)],
        ),
        create=False,
    )


def _run(target: Target, call: Callable[[auto.Stack], object], *, create: bool) -> Ended:
    with _workspace(target) as options:
        try:
            take = auto.create_or_select_stack if create else auto.select_stack
            call(take(target.stack, _project(target.root)["name"], target.program, opts=options))
        except auto.CommandError as error:
            return Ended(True, str(error).strip())
    return Ended(False)


@contextmanager
def _workspace(target: Target) -> Iterator[auto.LocalWorkspaceOptions]:
    """A directory of its own: the Automation API does not know stackConfigDir, and rewrites Pulumi.yaml."""
    with tempfile.TemporaryDirectory(prefix="rayfort-review-") as place:
        work = Path(place) / "project"
        work.mkdir(mode=0o700)
        project = {key: value for key, value in _project(target.root).items() if key not in _NOT_INLINE}
        project |= {"runtime": "python", "main": str(target.root)}
        (work / PROJECT_FILE).write_text(yaml.safe_dump(project, sort_keys=False))
        (work / f"Pulumi.{target.stack}.yaml").write_text(target.settings)
        engine = Path(place) / "engine" / "bin"
        engine.mkdir(parents=True)
        (engine / "pulumi").symlink_to(target.pulumi)
        yield auto.LocalWorkspaceOptions(
            work_dir=str(work),
            env_vars=dict(target.environment),
            pulumi_command=auto.PulumiCommand(root=str(engine.parent), skip_version_check=True),
        )


def _project(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((root / PROJECT_FILE).read_text())
    return content


def _drop(_: str) -> None:
    """Output that the events say better."""
