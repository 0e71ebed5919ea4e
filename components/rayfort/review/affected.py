"""Which stacks a change affects, by the files that it touches."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

# Files that no stack is made from. Whatever is not named here may change every stack.
HARMLESS: Final = (
    ".github/*",
    "*.md",
    "docs/*",
    "bench/*",
    "tests/*",
    "sandbox/*",
    ".ci/*",
    "LICENSE",
    ".gitignore",
    ".editorconfig",
    "mkdocs.yml",
    "renovate.json",
)


def affected(files: Iterable[str], stacks: Iterable[str], folder: str) -> tuple[str, ...]:
    """The stacks to preview, in alphabetical order.

    A stack's own file affects that stack alone; a file that is harmless affects none; anything else affects
    all, since the program, the library and the policies are the same for all.

    Args:
        files: paths relative to the checkout.
        stacks: every stack that has a file.
        folder: where stack files are, relative to the checkout.
    """
    known, found = sorted(set(stacks)), set()
    own = {_join(folder, f"Pulumi.{stack}.yaml"): stack for stack in known}
    for file in files:
        if file in own:
            found.add(own[file])
        elif _is_stack_file(file, folder):
            continue  # of a stack that is gone: nobody can preview it
        elif not any(fnmatchcase(file, pattern) for pattern in HARMLESS):
            return tuple(known)
    return tuple(sorted(found))


def _is_stack_file(file: str, folder: str) -> bool:
    return fnmatchcase(file, _join(folder, "Pulumi.*.yaml"))


def _join(folder: str, name: str) -> str:
    return name if folder in {"", "."} else f"{folder}/{name}"
