"""Root for those who have sudo without a password: a real node belongs to root, and so do its files.

The command runs once more as root. Root's own home keeps the cache, so nothing of root's is left in the
user's.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from sandbox.node_kind import NodeKind

# What the tools that Rayfort calls are told by: where packages come from, and Rayfort's own settings. sudo is
# given the names alone; the values never stand in a command line.
_KEPT: Final = (
    "RAYFORT_",
    "PIP_",
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    "GO",
    "SSL_CERT_",
    "PULUMI_",
    "KUBE",
    "NO_COLOR",
    "TERM",
    "LANG",
    "LC_",
)
_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "no_proxy", "all_proxy", "requests_ca_bundle"})


def needed(state: Path, asked: NodeKind | None, obstacle: Callable[[], str | None], user: int) -> bool:
    """Whether a command on the sandbox has to run as root.

    Args:
        state: the sandbox's directory.
        asked: the kind of nodes that the user wants; None for the best.
        obstacle: tells why this machine cannot carry a real node, even as root.
        user: who runs it.
    """
    if user == 0:
        return False
    if state.exists():
        return state.stat().st_uid == 0
    return asked is not NodeKind.SIMULATED and obstacle() is None


def command(program: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """What runs the program as root, with the variables that count.

    Args:
        program: what to run.
        arguments: its arguments.
        environment: the user's.
    """
    kept = sorted(name for name in environment if name.startswith(_KEPT) or name.lower() in _PROXIES)
    # Root must leave no compiled files in the user's checkout.
    python = ("env", "PYTHONDONTWRITEBYTECODE=1", f"RAYFORT_PYTHON={sys.executable}")
    return ["sudo", "-n", f"--preserve-env={','.join(kept)}", *python, str(program), *arguments]


def run_as_root(program: Path, arguments: Sequence[str]) -> None:
    """Replace this process by the program as root."""
    argv = command(program, arguments, os.environ)
    os.execvp(argv[0], argv)  # noqa: S606
