"""Checks of what every command needs: Python, git, the environment of the checkout."""

import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from cli.checks import Check, State

ENVIRONMENT: Final = Path(".rayfort") / "venv"
LOCK: Final = "requirements.lock"
REBUILD: Final = f"remove {ENVIRONMENT} and run the command again, which makes it anew"


def checks(root: Path) -> Iterator[Check]:
    """The checks of the checkout.

    Args:
        root: the project's directory.
    """
    yield python(root)
    yield git()
    yield environment(root)


def python(root: Path) -> Check:
    """The Python that runs this, against what the project asks for."""
    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["requires-python"]
    version = platform.python_version()
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return Check("Python", State.OK, version)
    return Check("Python", State.MISSING, f"{version}, and {wanted} is needed", "install a newer one")


def git() -> Check:
    """The git command."""
    path = shutil.which("git")
    version = _output([path, "--version"]) if path else ""
    if version:
        return Check("git", State.OK, version.removeprefix("git version "))
    return Check("git", State.WARN, "not found on PATH", "install it, to follow changes of this project")


def environment(root: Path) -> Check:
    """The Python environment, against the lock."""
    own = root / ENVIRONMENT
    if Path(sys.prefix).resolve() != own.resolve():
        text = f"this runs in {sys.prefix}, not in the project's own"
        return Check("environment", State.WARN, text, "run ./rayfort, which sets it up")
    wanted = locked((root / LOCK).read_text())
    wrong = [name for name, version in wanted.items() if _installed(name) != version]
    if wrong:
        shown = ", ".join(wrong[:3]) + (" and more" if len(wrong) > 3 else "")
        return Check("environment", State.WARN, f"not as {LOCK} says: {shown}", REBUILD)
    return Check("environment", State.OK, f"{len(wanted)} packages as {LOCK} says")


def locked(lock: str) -> dict[str, str]:
    """The versions that a lock file pins for this machine, by name."""
    pinned: dict[str, str] = {}
    for line in lock.splitlines():
        try:
            requirement = Requirement(line.removesuffix("\\").strip())
        except InvalidRequirement:
            continue  # a comment or a hash
        exact = re.fullmatch(r"==(\S+)", str(requirement.specifier))
        if exact and (requirement.marker is None or requirement.marker.evaluate()):
            pinned[requirement.name] = exact[1]
    return pinned


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
