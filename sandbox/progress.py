"""Progress of long work, told on stderr so that stdout stays free for results.

On a terminal the running steps are live lines with a spinner; anywhere else (a log, CI) each step is a start
line, a heartbeat now and then, and an end line. Any number of steps may run at once, from any thread.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO, TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

HEARTBEAT_SECONDS = 15.0
_REFRESH_PER_SECOND = 8
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "|/-\\"


class _Unbreakable:
    """A stream that swallows what it cannot write: lost progress must never end the work that it tells of."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "ascii"

    def write(self, text: str) -> int:
        try:
            if self._stream is not None:
                self._stream.write(text)
        except UnicodeEncodeError:
            self.write(text.encode("ascii", "replace").decode("ascii"))
        except (OSError, ValueError):  # the reader has gone, or the stream was closed
            self._stream = None
        return len(text)

    def flush(self) -> None:
        try:
            if self._stream is not None:
                self._stream.flush()
        except (OSError, ValueError):
            self._stream = None

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError("the stream is gone")
        return self._stream.fileno()


class Step:
    """One piece of work under way; made by `Progress.step`."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._started = time.monotonic()
        self._note = ""
        self._over = threading.Event()

    def note(self, text: str) -> None:
        """Say what the step is doing now.

        Args:
            text: a few words; only the newest is kept, and only its first line is shown.
        """
        self._note = text.partition("\n")[0].strip()

    @property
    def seconds(self) -> float:
        """How long the step has been running."""
        return time.monotonic() - self._started

    def wait_for_end(self, seconds: float) -> bool:
        """Wait until the step ends, at most `seconds`; true when it has ended."""
        return self._over.wait(seconds)

    def end(self) -> None:
        """Mark the step as over; `Progress.step` calls this."""
        self._over.set()

    def line(self) -> str:
        """The step as one line: title, elapsed time, note."""
        note = f" ({self._note})" if self._note else ""
        return f"{self.title} ... {duration(self.seconds)}{note}"

    def live(self, frames: str) -> Text:
        """The step as a live line for a terminal, with a spinner made of `frames`."""
        frame = frames[int(self.seconds * _REFRESH_PER_SECOND) % len(frames)]
        return Text(f"{frame} {self.line()}", no_wrap=True, overflow="ellipsis")


class Progress:
    """Tells what long work is doing. One instance serves a whole command."""

    def __init__(
        self, *, quiet: bool = False, stream: TextIO | None = None, heartbeat: float = HEARTBEAT_SECONDS
    ) -> None:
        """Set up where and how to tell.

        Args:
            quiet: say nothing at all; errors still travel as exceptions.
            stream: where to write; stderr when not given.
            heartbeat: seconds between two signs of life of one step where there is no terminal.
        """
        self._file = _Unbreakable(None if quiet else (stream or sys.stderr))
        self._console = Console(file=cast("IO[str]", self._file), highlight=False)
        # FORCE_COLOR makes the console believe in a terminal; live lines need a real one
        self._on_terminal = self._file.isatty() and not self._console.is_dumb_terminal
        self._frames = _FRAMES if self._file.encoding.lower().startswith("utf") else _ASCII_FRAMES
        self._heartbeat = heartbeat
        self._lock = threading.Lock()
        # Replaced, never changed in place: the drawing thread reads it without the lock.
        self._active: tuple[Step, ...] = ()
        self._live: Live | None = None

    def say(self, text: str) -> None:
        """Write one permanent line."""
        if self._on_terminal:
            self._console.print(Text(text), soft_wrap=True)
        else:
            # one write per line, so that lines of several threads do not run into each other
            self._file.write(f"{text}\n")
            self._file.flush()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Tell of a piece of work while the `with` block runs.

        Args:
            title: what is being done, as "building etcd".

        Yields:
            The step, whose `note` says more. Exceptions pass through after an end line that says so.
        """
        step = Step(title)
        self._begin(step)
        try:
            yield step
        except Exception:
            self._finish(step, "failed after")
            raise
        except BaseException:  # Ctrl-C and the like
            self._finish(step, "interrupted after")
            raise
        else:
            self._finish(step, "done in")

    def _begin(self, step: Step) -> None:
        with self._lock:
            self._active = (*self._active, step)
            if self._on_terminal and self._live is None:
                # stdout is left alone: results may be written there while a step is running
                self._live = Live(
                    console=self._console,
                    get_renderable=self._draw,
                    refresh_per_second=_REFRESH_PER_SECOND,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start()
        if not self._on_terminal:
            self.say(f"{step.title} ...")
            threading.Thread(target=self._beat, args=(step,), daemon=True).start()

    def _finish(self, step: Step, verdict: str) -> None:
        step.end()
        with self._lock:
            self._active = tuple(other for other in self._active if other is not step)
            if self._live is not None and not self._active:
                self._live.stop()
                self._live = None
        self.say(f"{step.title}: {verdict} {duration(step.seconds)}")

    def _beat(self, step: Step) -> None:
        while not step.wait_for_end(self._heartbeat):
            self.say(step.line())

    def _draw(self) -> Group:
        return Group(*(step.live(self._frames) for step in self._active))


def duration(seconds: float) -> str:
    """A time span for people: `0.4 s`, `12 s`, `3 min 05 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
