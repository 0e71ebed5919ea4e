"""The sandbox's Pulumi stack: the same program as everywhere, run inline by Pulumi's own engine."""

import secrets
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pulumi.automation as auto
import yaml
from rayfort.model import merge

from infra import program
from sandbox import failures, interrupted, kept_state
from sandbox.changes import Changes, Note, follow
from sandbox.endpoints import Endpoints, LocalEndpoints
from sandbox.engine import Engine, alone, quiet
from sandbox.errors import StackError
from sandbox.image_source import ImageSource
from sandbox.node.config import CNI_BINARIES
from sandbox.processes import write_private
from sandbox.shown import WithoutErrors

PROJECT: Final = "rayfort"
STACK: Final = "sandbox"
# Where the stack file says that the sandbox keeps its files; another state directory replaces it.
STATE_PREFIX: Final = ".rayfort/sandbox/"

_UPSERT: Final = "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"

# The Automation API warns of an engine that ended in the middle of a word; that it ended is said anyway.
warnings.filterwarnings("ignore", "Error in event stream", UserWarning)


class SandboxStack:
    """The stack of one sandbox.

    Args:
        root: the checkout.
        state: the sandbox's directory.
        engine: Pulumi's engine.
        endpoints: where the control plane listens.
        overrides: laid over the stack file's values, by their name without ``rayfort:``; for tests.
        images: where the images of a real node come from.
    """

    def __init__(
        self,
        root: Path,
        state: Path,
        engine: Engine,
        endpoints: Endpoints,
        overrides: Mapping[str, Any] | None = None,
        *,
        images: ImageSource = ImageSource.LOCAL,
    ) -> None:
        self._root, self._state, self._engine = root, state, engine
        self._endpoints, self._overrides, self._images = endpoints, overrides or {}, images

    def up(self, note: Note) -> Changes:
        """Bring the cluster to what the stack says, repairing what drifted.

        Raises:
            StackError: with what Pulumi reported.
        """
        return self._run(
            "up",
            lambda stack, events: stack.up(
                refresh=True, on_event=events, on_output=_drop, policy_packs=self._policies
            ),
            note,
        )

    def preview(
        self, note: Note, *, on_output: Callable[[str], None] | None = None, diff: bool = False
    ) -> Changes:
        """What `up` would change.

        Raises:
            StackError: with what Pulumi reported.
        """
        show = WithoutErrors(on_output) if on_output else _drop
        return self._run(
            "preview",
            lambda stack, events: stack.preview(
                refresh=True,
                on_event=events,
                on_output=show,
                diff=diff,
                color="never",
                policy_packs=self._policies,
            ),
            note,
        )

    def destroy(self, note: Note) -> Changes:
        """Delete everything that the stack made; without a stack there is nothing to do.

        Raises:
            StackError: with what Pulumi reported.
        """
        if not self.exists:
            return Changes()
        return self._run(
            "destroy",
            lambda stack, events: stack.destroy(on_event=events, on_output=_drop, remove=True),
            note,
        )

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs without the secret ones."""
        with alone():
            return {name: value.value for name, value in self._stack().outputs().items() if not value.secret}

    @property
    def exists(self) -> bool:
        """Whether the stack was ever made."""
        return any(self._checkpoints())

    @property
    def _policies(self) -> list[str]:
        """The directories of the policy packs."""
        return [str(self._root / "policies")]

    def _run(
        self, verb: str, call: Callable[[auto.Stack, Callable[[auto.EngineEvent], None]], Any], note: Note
    ) -> Changes:
        changes = Changes()
        try:
            with alone(), quiet(), kept_state.kept(self._backend, self._checkpoints):
                stack = self._stack()
                self._clear_lock(stack)
                self._take_up_interrupted(stack)
                call(stack, lambda event: follow(event, changes, note))
        except auto.CommandError as error:
            reasons = [*changes.violations, *changes.errors]
            otherwise = failures.without_reason(str(error))
            violated = bool(changes.violations)
            raise StackError(
                failures.message(verb, reasons, otherwise=otherwise, violated=violated)
            ) from None
        return changes

    async def _program(self) -> None:
        await program.run(self._root)

    def _stack(self) -> auto.Stack:
        work = self._engine.home / "project"
        work.mkdir(mode=0o700, exist_ok=True)
        self._write_config(work / f"Pulumi.{STACK}.yaml")
        options = auto.LocalWorkspaceOptions(
            work_dir=str(work),
            env_vars=dict(self._engine.environment),
            pulumi_command=auto.PulumiCommand(root=str(self._engine.home), skip_version_check=True),
            pulumi_home=self._engine.environment["PULUMI_HOME"],
        )
        try:
            stack = auto.create_or_select_stack(STACK, PROJECT, program=self._program, opts=options)
        except auto.CommandError as error:
            raise StackError(f"pulumi cannot open the stack:\n{str(error).strip()}") from None
        for path, value in self._secrets().items():
            self._set_secret(path, value, work)
        return stack

    def _set_secret(self, path: str, value: str, work: Path) -> None:
        """Encrypt a value into the configuration; through standard input, since arguments are public."""
        problem = f"pulumi cannot store the secret setting {path}"
        self._pulumi(work, problem, "config", "set", "--path", "--secret", path, told=value)

    def _pulumi(self, work: Path, problem: str, *arguments: str, told: str = "") -> str:
        """Run Pulumi's own command line on the stack; its output.

        Raises:
            StackError: with the problem and what Pulumi said.
        """
        done = subprocess.run(
            [str(self._engine.home / "bin" / "pulumi"), *arguments, "--stack", STACK, "--non-interactive"],
            input=told,
            cwd=work,
            env=dict(self._engine.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"{problem}:\n{done.stderr.strip()}")
        return done.stdout

    def _write_config(self, path: Path) -> None:
        """The stack file with what is only known now laid over it; the encryption salt is kept."""
        before = yaml.safe_load(path.read_text()) if path.exists() else {}
        kept = {key: value for key, value in (before or {}).items() if key != "config"}
        write_private(path, yaml.safe_dump({**kept, "config": self._config()}, sort_keys=False))

    def _config(self) -> dict[str, Any]:
        config = _relocate(_read_stack_file(self._root), self._state)
        others = {name: value for name, value in config.items() if not name.startswith(f"{PROJECT}:")}
        own = values(self._root, self._state, self._endpoints.local, self._overrides, self._images)
        return {**others, **{f"{PROJECT}:{name}": value for name, value in own.items()}}

    def _secrets(self) -> dict[str, str]:
        """Secret settings by their path in the configuration: a netrc password made once."""
        file = self._engine.home / "netrc-password"
        if not file.exists():
            write_private(file, secrets.token_urlsafe(24))
        return {f"{PROJECT}:workspaces[0].netrc[0].password": file.read_text()}

    def _clear_lock(self, stack: auto.Stack) -> None:
        """Drop the lock of an engine that was killed; who calls holds the sandbox's own lock."""
        if any((self._backend / ".pulumi" / "locks").rglob("*.json")):
            stack.cancel()

    def _take_up_interrupted(self, stack: auto.Stack) -> None:
        """Go on where an engine was killed while it made something."""
        if not any(interrupted.anything_pending(file) for file in self._checkpoints()):
            return
        problem = "the state that an interrupted command left cannot be repaired"
        work = self._engine.home / "project"
        # Not through the Automation API, which would write the secrets in plain text for the moment.
        exported = self._pulumi(work, problem, "stack", "export")
        self._pulumi(work, problem, "stack", "import", told=interrupted.nothing_pending(exported))
        if "kubernetes" not in self._engine.stand_ins:
            # The stand-in knows by a mark what it has made; the official plugin goes by the name.
            stack.workspace.env_vars = {**stack.workspace.env_vars, _UPSERT: "true"}

    @property
    def _backend(self) -> Path:
        return self._engine.home / "backend"

    def _checkpoints(self) -> Iterator[Path]:
        return (self._backend / ".pulumi" / "stacks").rglob(f"{STACK}.json")


def values(
    root: Path,
    state: Path,
    local: LocalEndpoints | None,
    overrides: Mapping[str, Any],
    images: ImageSource = ImageSource.LOCAL,
) -> dict[str, Any]:
    """What the stack says, by name without ``rayfort:``.

    Args:
        root: the checkout, with the stack file.
        state: the sandbox's directory.
        local: where istiod listens if it is a process of this machine; None on a real node.
        overrides: laid over all of it.
        images: where the images of a real node come from.
    """
    return merge(merge(written(root, state), _live_values(local, images)), overrides)


def written(root: Path, state: Path) -> dict[str, Any]:
    """What the stack file itself says, by name without ``rayfort:``."""
    return {
        name.removeprefix(f"{PROJECT}:"): value
        for name, value in _relocate(_read_stack_file(root), state).items()
        if name.startswith(f"{PROJECT}:")
    }


def _read_stack_file(root: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((root / "stacks" / f"Pulumi.{STACK}.yaml").read_text())["config"])


def _live_values(local: LocalEndpoints | None, images: ImageSource) -> dict[str, Any]:
    """What depends on how the sandbox runs."""
    if local is None:
        # The plugin's agent would repair Pods by what it finds in the processes of the machine, among which
        # are those of any other sandbox: here it deletes them, and they are made anew.
        repair = {"repair": {"repairPods": False, "deletePods": True}}
        mesh: dict[str, Any] = {"cni": {"binDirectory": CNI_BINARIES, "values": repair}}
        if images is ImageSource.LOCAL:
            # Istio's own statistics are a part of Istio's build of Envoy; images made here have a plain one.
            mesh["istiodValues"] = {"telemetry": {"enabled": False}}
        return {"cluster": {"facts": {"networkPolicy": True}}, "mesh": mesh}
    # istiod is a process of this machine: the API server finds its webhooks by URL.
    validation = {"base": {"validationURL": local.validation_url}}
    injection = {"istiodRemote": {"injectionURL": local.injection_url}}
    return {"mesh": {"baseValues": validation, "istiodValues": {**validation, **injection}}}


def _relocate(value: Any, state: Path) -> Any:
    if isinstance(value, str) and value.startswith(STATE_PREFIX):
        return str(state / value.removeprefix(STATE_PREFIX))
    if isinstance(value, Mapping):
        return {key: _relocate(item, state) for key, item in value.items()}
    if isinstance(value, list):
        return [_relocate(item, state) for item in value]
    return value


def _drop(_: str) -> None:
    """Output that the summary replaces."""
