"""What a release does beyond its workflow: check the tag, build the library, take its notes."""

import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
LIBRARY: Final = ROOT / "components"


class ReleaseError(ValueError):
    """Why a tag cannot be released, and what to do."""


def version() -> str:
    """The library's version."""
    return str(tomllib.loads((LIBRARY / "pyproject.toml").read_text())["project"]["version"])


def notes(tag: str, changelog: str) -> str:
    """What the changelog says about a version.

    Args:
        tag: such as ``v0.1.0``.
        changelog: its text.

    Raises:
        ReleaseError: if it says nothing.
    """
    title = re.escape(f"[{tag.removeprefix('v')}]")
    section = rf"^## {title}[^\n]*\n(.*?)(?=^## \[|\Z)"
    found = re.search(section, changelog, re.DOTALL | re.MULTILINE)
    if not found or not found[1].strip():
        raise ReleaseError(f"CHANGELOG.md says nothing about {tag}; rename its section Unreleased")
    return found[1].strip() + "\n"


def check(tag: str, changelog: str) -> None:
    """See that a tag is the library's version and has notes.

    Raises:
        ReleaseError: if not.
    """
    if tag != f"v{version()}":
        raise ReleaseError(f"the tag {tag} is not the version of components/pyproject.toml, {version()}")
    notes(tag, changelog)


def build(directory: Path) -> list[Path]:
    """Build wheel and sdist of the library.

    Args:
        directory: where to put them.

    Returns:
        The files.
    """
    from hatchling.build import build_sdist, build_wheel  # noqa: PLC0415 - in the environment of the lock

    directory.mkdir(parents=True, exist_ok=True)
    return [directory / make(str(directory)) for make in (build_wheel, build_sdist)]


def main(arguments: list[str]) -> None:
    """``check TAG``, ``build DIRECTORY`` or ``notes TAG``."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    command, argument = arguments
    try:
        if command == "check":
            check(argument, changelog)
        elif command == "notes":
            print(notes(argument, changelog), end="")
        else:
            target = Path(argument).absolute()
            os.chdir(LIBRARY)  # where the build backend looks
            print(*build(target), sep="\n")
    except ReleaseError as error:
        raise SystemExit(f"release: {error}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
