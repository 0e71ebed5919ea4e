"""The `ray` program, in the version of a cluster.

Ray is no dependency of Rayfort: it takes several hundred megabytes. It is installed when first asked for,
into an environment of its own below the tool cache, where all checkouts find it.
"""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from sandbox.progress import Progress, Step
from sandbox.toolchain import ToolchainError, cache_dir
from sandbox.tools.errors import failure, last_lines

STAMP: Final = "complete"  # written last: without it the environment is half-made
VERSION_SECONDS: Final = 30


def installed(version: str, cache: Path | None = None) -> Path | None:
    """The `ray` of this version in the cache; None where it is not there."""
    home = _home(version, cache)
    program = home / "bin" / "ray"
    works = (home / STAMP).exists() and program.exists() and (home / "bin" / "python").exists()
    return program if works else None


def ensure(version: str, progress: Progress, cache: Path | None = None) -> Path:
    """The `ray` of this version: from the cache, from PATH, or installed now.

    Args:
        version: of Ray.
        progress: where long work is shown.
        cache: the tool cache; by default the one that all checkouts share.

    Raises:
        ToolchainError: if it cannot be installed.
    """
    return installed(version, cache) or _on_path(version) or _install(version, progress, cache)


def environment(port: int, token: str | None, base: Mapping[str, str]) -> dict[str, str]:
    """The variables with which `ray` talks to a cluster.

    Args:
        port: of this machine's loopback, which leads to the cluster's dashboard.
        token: the cluster's token; None where it asks for none.
        base: the caller's variables.
    """
    address = f"http://127.0.0.1:{port}"
    direct = ",".join(filter(None, (base.get("NO_PROXY") or base.get("no_proxy"), "127.0.0.1")))
    # PYTHONPATH is Rayfort's own by now; RAY_AUTH_TOKEN_PATH and the like are about other clusters.
    kept = {
        name: value
        for name, value in base.items()
        if name != "PYTHONPATH" and not name.startswith(("RAY_AUTH_", "PYTHONHOME"))
    }
    return {
        **kept,
        "RAY_ADDRESS": address,
        "RAY_API_SERVER_ADDRESS": address,  # `ray job` prefers it
        "NO_PROXY": direct,
        "no_proxy": direct,
        # A `default` entry of the user's netrc would take the token's place in every request.
        "NETRC": os.devnull,
        **({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token is not None else {}),
    }


def _home(version: str, cache: Path | None) -> Path:
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    return (cache or cache_dir()) / "ray" / f"{version}-{python}"


def _on_path(version: str) -> Path | None:
    path = shutil.which("ray")
    if path is None:
        return None
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(path) if said.split()[-1:] == [version] else None


def _install(version: str, progress: Progress, cache: Path | None) -> Path:
    home = _home(version, cache)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with (
            progress.step(f"Install Ray {version} for the command line (once)") as step,
            _alone(home, step),
        ):
            # Somebody else may have made it while this one waited.
            if (ready := installed(version, cache)) is None:
                _make(home, version, step)
                ready = home / "bin" / "ray"
            return ready
    except OSError as error:
        raise ToolchainError(
            f"Ray {version} cannot be installed into {home}: {error}.\n  what to do: make it writable, free "
            "disk space, or choose another place with RAYFORT_CACHE=<directory>"
        ) from error


def _alone(home: Path, step: Step) -> FileLock:
    lock = FileLock(home.with_suffix(f"{home.suffix}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        step.note("another process is at it")
        lock.acquire()
    return lock


def _make(home: Path, version: str, step: Step) -> None:
    if home.exists():
        shutil.rmtree(home)
    log = home.parent / f"{home.name}.log"
    try:
        venv.create(home, with_pip=True, symlinks=True)
    except subprocess.CalledProcessError as error:
        log.write_bytes(error.output or b"")
        raise failure(f"Ray {version}", "Python could not make a virtual environment", log) from error
    pip = [str(home / "bin" / "python"), "-I", "-m", "pip", "--disable-pip-version-check"]
    arguments = ["install", "--no-input", "--progress-bar", "off", f"ray[default]=={version}"]
    # PYTHONPATH is Rayfort's own by now.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*pip, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables
        ) as child,
    ):
        try:
            for line in child.stdout or ():
                output.write(line)
                step.note(line.strip()[:60])
        except BaseException:
            child.terminate()
            raise
    if child.returncode:
        raise _pip_failure(version, child.returncode, log)
    (home / STAMP).touch()


def _pip_failure(version: str, code: int, log: Path) -> ToolchainError:
    if any("No matching distribution" in line for line in last_lines(log)):
        python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        return ToolchainError(
            f"Ray {version}: the package index has none for {python} on this kind of machine.\n"
            f"  full log: {log}\n"
            "  what to do: put a `ray` of this version on PATH, or run Rayfort with another Python: remove "
            ".rayfort/venv and set RAYFORT_PYTHON=<interpreter>"
        )
    return failure(f"Ray {version}", f"pip ended with exit code {code}", log)
