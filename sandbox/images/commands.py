"""Runs the commands that make images, with their output in a log and their failures as one message."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.processes import SandboxError
from sandbox.tools.errors import advice, last_lines
from sandbox.tools.processes import Processes

_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROXIES: Final = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")


def clean_environment(*first_on_path: Path) -> dict[str, str]:
    """The environment of a command that must not see the user's: search path, language, the way out.

    Certificates that this machine's variables name, for one, do not exist in another root.

    Args:
        first_on_path: directories to search for programs before those of the system.
    """
    proxies = {name: value for name, value in os.environ.items() if name.lower() in _PROXIES}
    path = ":".join([*map(str, first_on_path), _SYSTEM_PATH])
    return proxies | {"PATH": path, "LC_ALL": "C.UTF-8", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}


@dataclass(frozen=True)
class Commands:
    """Runs commands for one thing that is being made.

    Attributes:
        subject: what is made, as "the node's root file system".
        log: the file that gets everything they say.
        on_line: called with each line of their output.
    """

    subject: str
    log: Path
    on_line: Callable[[str], None]

    def run(self, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path | None = None) -> None:
        """Run a command to its end.

        Args:
            command: the program and its arguments.
            env: its whole environment.
            cwd: where to run it.

        Raises:
            SandboxError: it failed; with the end of what it said and what to do.
        """
        program = Path(command[0]).name
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(map(str, command))}\n")
        try:
            code = Processes().run(command, log=self.log, env=env, cwd=cwd, on_line=self.on_line)
        except OSError as error:
            raise SandboxError(f"{self.subject}: cannot run {program}: {error.strerror}.") from error
        if code:
            tail = "\n".join(f"    {line}" for line in last_lines(self.log))
            raise SandboxError(
                f"{self.subject} could not be made: {program} ended with exit code {code}.\n{tail}\n"
                f"  full log: {self.log}\n  what to do: {advice(tail)}"
            )
