"""Where the platform's images come from: asked for, and then kept for the life of the sandbox."""

from enum import StrEnum
from pathlib import Path

from sandbox.node_kind import NodeKind
from sandbox.processes import SandboxError, write_private


class ImageSource(StrEnum):
    """`local`: made on this machine from packages. `registry`: the official ones, pulled."""

    LOCAL = "local"
    REGISTRY = "registry"


def read(state: Path) -> ImageSource | None:
    """The source of the sandbox in `state`; None if it never had an image."""
    try:
        return ImageSource(_file(state).read_text().strip())
    except (OSError, ValueError):
        return None


def choose(state: Path, asked: ImageSource | None, nodes: NodeKind) -> ImageSource:
    """The source to take. `keep` it once the images are there: a registry may refuse them.

    Args:
        state: the sandbox's directory.
        asked: what the user wants; None for what the sandbox has, or images made here.
        nodes: the kind of nodes.

    Raises:
        SandboxError: if the sandbox has images of the other source, or cannot run any.
    """
    if nodes is NodeKind.SIMULATED:
        if asked is ImageSource.REGISTRY:
            raise SandboxError(
                "The nodes are simulated and run no container, so there is no image to pull. Leave out "
                "`--images registry`; `./rayfort doctor` says what real nodes need."
            )
        return ImageSource.LOCAL
    there = read(state)
    if there and asked not in (None, there):
        # Sidecars that run already would not understand what the other istiod tells them.
        raise SandboxError(
            f"This sandbox's images are from the source `{there}`. Remove it with `./rayfort down`, then run "
            f"`./rayfort up --images {asked}`."
        )
    return asked or there or ImageSource.LOCAL


def keep(state: Path, source: ImageSource) -> None:
    """Note the source of a sandbox, until it is removed."""
    write_private(_file(state), f"{source}\n")


def _file(state: Path) -> Path:
    return state / "images"
