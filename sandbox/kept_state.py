"""The last whole state of a stack, kept while the engine writes new ones.

On a full disk Pulumi's backend for files puts a state that is cut off in the place of a whole one
(`gocloud.dev/blob/fileblob` 0.37 renames what it could not write), and tries again as long as it likes. Each
state is a new file, so that a second name keeps the old one without taking room.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

_NAME: Final = "last-whole-{}"
_EVERY: Final = 0.01  # seconds between two looks at the file: the engine needs longer to write
_END: Final = b"\n}\n"  # of a whole state; a brace that is not the last one is indented


@contextlib.contextmanager
def kept(backend: Path, states: Callable[[], Iterable[Path]]) -> Iterator[None]:
    """Keep each stack's last whole state until the end of the block, and put it back where it was lost.

    Args:
        backend: the backend's directory; what is kept lies there, on the same disk.
        states: finds the files with the states; there are more of them once the engine has made them.
    """
    stopped = threading.Event()

    def watch() -> None:
        seen: dict[Path, int] = {}
        while not stopped.wait(_EVERY):
            for state in states():
                _keep(backend, state, seen)

    for state in states():
        _put_back(backend, state)
        _keep(backend, state, {})
    watching = threading.Thread(target=watch, name="kept-state", daemon=True)
    watching.start()
    try:
        yield
    finally:
        stopped.set()
        watching.join()
        there = list(states())
        for state in there:
            _put_back(backend, state)
        if not there:  # the stack was removed, and a later one of its name is another
            for last in backend.glob(_NAME.format("*")):
                last.unlink()


def is_whole(state: Path) -> bool:
    """Whether a state is there and was written to its end."""
    try:
        with state.open("rb") as file:
            file.seek(-len(_END), os.SEEK_END)
            return file.read() == _END
    except OSError:
        return False


def _keep(backend: Path, state: Path, seen: dict[Path, int]) -> None:
    with contextlib.suppress(OSError):  # the engine replaces it meanwhile; the next look finds the new one
        inode = state.stat().st_ino
        if seen.get(state) == inode or not is_whole(state):
            return
        new = backend / f"{_NAME.format(state.name)}.new"
        new.unlink(missing_ok=True)
        os.link(state, new)
        if is_whole(new):  # what was looked at may have been replaced before it got the second name
            new.replace(backend / _NAME.format(state.name))
            seen[state] = inode


def _put_back(backend: Path, state: Path) -> None:
    last = backend / _NAME.format(state.name)
    if is_whole(state) or not is_whole(last):
        return
    os.link(last, new := state.with_name(f"{state.name}.whole"))
    new.replace(state)
    # Written beside each state, and cut off as well; the backend does without.
    state.with_name(f"{state.name}.attrs").unlink(missing_ok=True)
