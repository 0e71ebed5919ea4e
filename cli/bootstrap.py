"""Makes Rayfort's Python environment; run by the `rayfort` script with nothing but the standard library.

Everything is installed by the hashes in requirements.lock, into ``.rayfort/venv`` of the checkout. An
interrupted run is simply run again: the stamp that says "done" is written last.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

STAMP = ".rayfort-stamp"
HEARTBEAT_SECONDS = 10
LINES_SHOWN = 15


class BootstrapError(Exception):
    """Why the environment cannot be made, and what to do."""


def make(root: Path, stamp: str) -> None:
    """Make the environment of the checkout at ``root``, unless somebody else just did.

    Args:
        root: the checkout.
        stamp: the checksum of what the environment is made from.

    Raises:
        BootstrapError: if a step fails.
    """
    home = root / ".rayfort"
    home.mkdir(mode=0o700, exist_ok=True)
    target = home / "venv"
    with _exclusive(home / "venv.lock"):
        if _is_current(target, stamp):
            return
        if target.is_symlink():
            raise BootstrapError(
                f"{target} is a link to {target.resolve()}, which was made for another checkout and would "
                "stop working there; remove the link, then run the command again"
            )
        _say("setting up the Python environment (once, about a minute)")
        started = time.monotonic()
        log = home / "setup.log"
        log.write_text("")
        _create(target)
        pip = [str(target / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
        _run([*pip, "--require-hashes", "-r", str(root / "requirements.lock")], log)
        # The library in place, with the build backend that the lock pins.
        _run([*pip, "--no-deps", "--no-build-isolation", "-e", str(root / "components")], log)
        (target / STAMP).write_text(stamp)
        _say(f"the Python environment is ready ({time.monotonic() - started:.0f} s)")


def _is_current(target: Path, stamp: str) -> bool:
    with contextlib.suppress(OSError):
        return (target / STAMP).read_text().strip() == stamp.strip() and _works(target)
    return False


def _works(target: Path) -> bool:
    python = target / "bin" / "python"
    return python.exists() and subprocess.run([python, "-c", ""], check=False).returncode == 0


def _create(target: Path) -> None:
    if target.exists() and not _works(target):
        shutil.rmtree(target)  # its Python was removed or replaced
    if target.exists():
        return
    try:
        venv.create(target, with_pip=True, symlinks=True)
    except (subprocess.CalledProcessError, OSError) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise BootstrapError(
            f"Python cannot make a virtual environment in {target} ({type(error).__name__}); on Debian and "
            "Ubuntu install the package python3-venv, then try again"
        ) from error


def _run(command: list[str], log: Path) -> None:
    # PYTHONPATH is the user's; what is installed must not depend on it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("a") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        started = time.monotonic()
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(timeout=HEARTBEAT_SECONDS)
                    break
                _say(f"installing packages … {time.monotonic() - started:.0f} s")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if code:
        tail = "\n".join(log.read_text().splitlines()[-LINES_SHOWN:])
        raise BootstrapError(
            f"pip could not install the packages of requirements.lock.\n{tail}\n"
            f"The whole log is {log}. Check that this machine reaches a Python package index (pip's usual "
            "settings and variables apply), then run the command again; it goes on where it stopped"
        )


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"rayfort: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Make the environment; 0 when it is there, 1 with a message otherwise, 130 on Ctrl-C."""
    try:
        make(Path(sys.argv[1]), sys.argv[2])
    except BootstrapError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; run the command again to go on")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
