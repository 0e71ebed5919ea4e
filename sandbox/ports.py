"""Loopback ports, chosen once per state directory and kept, so that addresses survive a restart."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

from filelock import FileLock

from sandbox.processes import SandboxError, write_private

# Below the range from which Linux and macOS take the local ends of outgoing connections: a port that is
# kept over a stop must not be gone by chance when it is needed again.
_FIRST: Final = 20_000
_LAST: Final = 32_000
_ATTEMPTS: Final = 500


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose(
    names: Iterable[str], saved: Mapping[str, int], in_use: Collection[str], avoid: Collection[int] = ()
) -> dict[str, int]:
    """A port for every name: the saved one where it still serves, else a free one that is not to be avoided.

    `in_use` are the names whose own process runs now, so that their port is rightly taken.
    """
    chosen: dict[str, int] = {}
    for name in names:
        port = saved.get(name)
        kept = isinstance(port, int) and port not in chosen.values() and (name in in_use or is_free(port))
        others = {*chosen.values(), *saved.values(), *avoid}
        chosen[name] = port if kept and port is not None else _another(others)
    return chosen


def read(path: Path) -> dict[str, int]:
    """The ports saved in the file `path`; none if it is absent or damaged."""
    try:
        return {str(name): port for name, port in json.loads(path.read_text()).items() if type(port) is int}
    except (OSError, ValueError, AttributeError):
        return {}


def keep(path: Path, names: Iterable[str], in_use: Collection[str], known: Path) -> dict[str, int]:
    """`choose` with the ports saved in the file `path`, which is brought up to date.

    The file `known` lists all such files of this machine: two sandboxes that start at once, whose servers do
    not listen yet, shall not choose the same port.
    """
    known.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(known.with_suffix(".lock")):
        listed = known.read_text().splitlines() if known.exists() else []
        others = {Path(line) for line in listed if line != str(path) and Path(line).exists()}
        saved = read(path)
        ports = choose(names, saved, in_use, {port for other in others for port in read(other).values()})
        if ports != saved:
            write_private(path, json.dumps(ports, indent=2) + "\n")
        now = sorted(str(each) for each in {*others, path})
        if now != listed:
            write_private(known, "".join(f"{line}\n" for line in now))
    return ports


def _another(avoid: Collection[int]) -> int:
    for _ in range(_ATTEMPTS):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - chance only spreads the sandboxes of one machine
        if port not in avoid and is_free(port):
            return port
    raise SandboxError(
        f"No free port on 127.0.0.1 between {_FIRST} and {_LAST}. Stop what occupies them, then try again."
    )
