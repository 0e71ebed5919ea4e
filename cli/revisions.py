"""What a stack would create at another revision: its own program, in a directory of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.offline import Plan, Resource
from cli.stacks import names

WORKING_TREE: Final = "."
SECONDS: Final = 300
# All that a program that renders offline needs of the environment; no credential is among it.
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR")


class RevisionError(RuntimeError):
    """A revision that cannot be had or rendered, with what to do about it."""


@dataclass(frozen=True)
class Checkout:
    """The files of one revision.

    Attributes:
        name: what the user called it.
        root: where the files are.
    """

    name: str
    root: Path

    @property
    def stacks(self) -> list[str]:
        """The stacks that have a file there."""
        return names(self.root)

    def plan(self, stack: str) -> Plan:
        """What a stack would create there.

        The code of that revision runs, in a process without credentials in its environment.

        Raises:
            RevisionError: with what the program said.
        """
        with tempfile.TemporaryDirectory(prefix="rayfort-plan-") as home:
            environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            environment |= {
                "HOME": home,
                "PYTHONPATH": os.pathsep.join((str(self.root), str(self.root / "components"))),
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            try:
                done = subprocess.run(
                    [sys.executable, "-P", "-m", "cli", "plan", stack, "--json"],
                    cwd=self.root,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise RevisionError(
                    f"stack {stack} at {self.name}: not rendered within {SECONDS} s"
                ) from None
        if not done.stdout.strip():
            reason = _reason(done.stderr)
            raise RevisionError(f"stack {stack} at {self.name} cannot be rendered: {reason}")
        return _read(done.stdout, f"stack {stack} at {self.name}")


@contextmanager
def checkout(root: Path, revision: str) -> Iterator[Checkout]:
    """The files of a revision, until the block ends.

    Args:
        root: the checkout.
        revision: whatever git takes, or ``.`` for the files as they are here.

    Raises:
        RevisionError: if there is no such revision.
    """
    if revision == WORKING_TREE:
        yield Checkout("the working tree", root)
        return
    commit = resolve(root, revision)
    with tempfile.TemporaryDirectory(prefix="rayfort-revision-") as place:
        tree = Path(place) / "tree"
        _git(root, "worktree", "add", "--detach", "--force", str(tree), commit)
        try:
            yield Checkout(revision, tree)
        finally:
            _git(root, "worktree", "remove", "--force", str(tree))


def is_revision(root: Path, name: str) -> bool:
    """Whether git knows a commit by this name."""
    try:
        return name == WORKING_TREE or bool(resolve(root, name))
    except RevisionError:
        return False


def resolve(root: Path, revision: str) -> str:
    """The full hash of a revision.

    Raises:
        RevisionError: if there is none.
    """
    try:
        return _git(
            root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        ).strip()
    except RevisionError:
        raise RevisionError(
            f"git knows no revision {revision!r}; name a branch, a tag or a commit, or fetch it first"
        ) from None


def touched(root: Path, before: str, after: str) -> list[str] | None:
    """The files in which two revisions differ; None where that cannot be told, with the working tree."""
    if WORKING_TREE in {before, after}:
        return None
    commits = [resolve(root, revision) for revision in (before, after)]
    return _git(root, "diff", "--name-only", "--no-renames", "-z", *commits).split("\0")[:-1]


def _git(root: Path, *arguments: str) -> str:
    # Hooks are the repository's own programs; here none is asked for.
    command = ["git", "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        done = subprocess.run(
            command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise RevisionError("git is not on PATH; install it") from None
    if done.returncode:
        raise RevisionError(f"git {arguments[0]} failed: {done.stderr.strip() or 'it says no reason'}")
    return done.stdout


def _reason(said: str) -> str:
    lines = [line for line in said.strip().splitlines() if line.strip()]
    if any(line.startswith("Traceback ") for line in lines):
        lines = lines[-1:]  # the rest are lines of the program
    return "\n".join(lines).removeprefix("rayfort: ") or "it says no reason"


def _read(text: str, what: str) -> Plan:
    try:
        content: dict[str, Any] = json.loads(text)
        return Plan(
            stack=content["stack"],
            resources=tuple(_resource(each) for each in content["resources"]),
            outputs=content["outputs"],
            weakened=tuple(content["weakened"]),
            notes=tuple(content["notes"]),
            problems=tuple(content["problems"]),
        )
    except (KeyError, TypeError, ValueError):
        raise RevisionError(f"{what}: its `plan --json` is not what this version reads") from None


def _resource(content: dict[str, Any]) -> Resource:
    return Resource(
        path=content["path"],
        type=content["type"],
        name=content["name"],
        role=content["role"],
        component=content["component"],
        inputs=content["inputs"],
        secret_keys=tuple(content["secretKeys"]),
        unknown_keys=tuple(content["unknownKeys"]),
        depends_on=tuple(content["dependsOn"]),
        options=content["options"],
    )
