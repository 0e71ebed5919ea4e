"""What a person sees of the engine's own output, line by line.

What failed is told once, at the end, by the message of the command that failed. The engine tells an error of
the program four times: twice while it works, since an inline program's error is one of the program and once
more one of its host, and each again under "Diagnostics".
"""

import re
from collections.abc import Callable
from typing import Final

Show = Callable[[str], None]

_SECTION: Final = re.compile(r"Diagnostics:$|  \S.*\):$")
_MESSAGE: Final = re.compile(r"    (\w+): (.*)")
_LIVE: Final = re.compile(r" +\S+ \S+ +\w*ing (error|warning): (.*)")
_NOISE: Final = re.compile(r"using pulumi-\S+ from \$PATH")


class WithoutErrors:
    """Passes the engine's lines on, without errors, and without warnings of where a plugin was found.

    Args:
        show: gets what is left.
    """

    def __init__(self, show: Show) -> None:
        self._show = show
        self._dropping = False
        self._titles: list[str] = []

    def __call__(self, line: str) -> None:
        """Take the next line, without its end."""
        live = _LIVE.match(line)
        if live and _is_dropped(live[1], live[2]):
            return
        if _SECTION.match(line):
            # Shown with the first thing that is said below it.
            self._dropping = False
            above = [each for each in self._titles if not each.startswith(" ")]
            self._titles = [*above, line] if line.startswith(" ") else [line]
            return
        message = _MESSAGE.match(line)
        if message and message[1] in {"error", "warning", "info"}:
            self._dropping = _is_dropped(message[1], message[2])
        elif line and not line.startswith("    "):
            if self._dropping:
                self._show("")  # which was dropped with what stood above it
            self._dropping = False
            self._titles = []
        if not self._dropping:
            for each in (*self._titles, line):
                self._show(each)
            self._titles = []


def _is_dropped(severity: str, text: str) -> bool:
    return severity == "error" or _NOISE.match(text) is not None
