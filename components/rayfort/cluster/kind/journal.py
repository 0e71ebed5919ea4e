"""Which clusters are being made right now, and which were begun and never finished.

Pulumi knows nothing of a cluster before its creation has ended: where the machine or the engine died on the
way, containers stay. A file for each cluster in the making tells them from a cluster that somebody uses.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rayfort.cluster.kind.errors import KindError

if sys.platform != "win32":  # where the library is imported too, and makes no Kind cluster
    import fcntl

WAIT_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.5


class Entry:
    """The file of one cluster in the making; made by `making`, which holds its lock."""

    def __init__(self, descriptor: int) -> None:
        """Take over an open and locked file.

        Args:
            descriptor: its file descriptor; a process that holds it open holds the lock.
        """
        self.descriptor = descriptor
        self._begun = os.fstat(descriptor).st_size > 0

    @property
    def begun(self) -> bool:
        """Whether the creation of a cluster of this name was begun and not finished."""
        return self._begun

    def begin(self) -> None:
        """Note that containers are about to be made."""
        os.pwrite(self.descriptor, b"making\n", 0)
        os.fsync(self.descriptor)
        self._begun = True

    def finish(self) -> None:
        """Note that the cluster is complete, or that nothing of it is left."""
        os.ftruncate(self.descriptor, 0)
        self._begun = False


@contextlib.contextmanager
def making(runtime: str, name: str) -> Iterator[Entry]:
    """The entry of a cluster that is about to be made, locked against a second one that does the same.

    Args:
        runtime: the container runtime.
        name: the cluster's name.

    Raises:
        KindError: another process is making the cluster, and does not end.
    """
    directory = _directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / f"{runtime}-{name}", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise KindError(
            f"what is being made cannot be noted in {directory}: {error.strerror}.\n"
            "  what to do: make that directory writable, or name another one with XDG_STATE_HOME"
        ) from None
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise KindError(
                    f"another process is making the Kind cluster {name!r} right now.\n"
                    "  what to do: wait until it is done, or give this stack's cluster another `name`"
                )
            time.sleep(POLL_SECONDS)
        yield Entry(descriptor)
    finally:
        os.close(descriptor)


def _directory() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "rayfort" / "kind"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
