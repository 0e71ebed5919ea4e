"""The programs ``kind`` and ``docker`` or ``podman``: the one place where processes are started."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rayfort import versions
from rayfort.cluster.kind import parsing
from rayfort.cluster.kind.errors import KindError, advice, failure

# A question to the runtime; one that hangs does not answer either.
QUESTION_SECONDS: Final = 60.0
# A node image is a gigabyte.
CREATE_SECONDS: Final = 1800.0
DELETE_SECONDS: Final = 300.0
# How often a running command is looked after.
_LOOK_SECONDS: Final = 2.0
_ALIVE: Final[Mapping[str, tuple[str, ...]]] = {
    "docker": ("version", "--format", "{{.Server.Version}}"),
    "podman": ("info", "--format", "{{.Version.Version}}"),
}
_MEMORY: Final[Mapping[str, str]] = {"docker": "{{.MemTotal}}", "podman": "{{.Host.MemTotal}}"}
_GET: Final[Mapping[str, str]] = {
    "docker": "https://docs.docker.com/engine/install/",
    "podman": "https://podman.io/docs/installation",
    "kind": "https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
}


def runtime_version(runtime: str) -> str:
    """The version of the container runtime that answers.

    Args:
        runtime: ``docker`` or ``podman``.

    Raises:
        KindError: it is not installed, or does not answer.
    """
    if sys.platform == "win32":
        raise KindError(
            "Kind clusters are made from Linux and macOS.\n"
            "  what to do: run Pulumi in WSL, the Linux of Windows"
        )
    _installed(runtime)
    code, out, said = _call([runtime, *_ALIVE[runtime]], QUESTION_SECONDS)
    if code is None:
        raise KindError(
            f"{runtime} does not answer within {QUESTION_SECONDS:.0f} seconds.\n  what to do: restart it"
        )
    if code != 0 or not out.strip():
        last = parsing.last_line(said) or "it said nothing"
        raise KindError(f"{runtime} is installed and does not answer: {last}\n  what to do: {advice(said)}")
    return out.strip()


def runtime_memory(runtime: str) -> int:
    """The memory that containers may use altogether, in bytes.

    Args:
        runtime: ``docker`` or ``podman``, which answers.

    Raises:
        KindError: it does not say.
    """
    code, out, said = _call([runtime, "info", "--format", _MEMORY[runtime]], QUESTION_SECONDS)
    if code != 0 or not out.strip().isdigit():
        last = parsing.last_line(said or out) or "it said nothing"
        raise KindError(
            f"{runtime} does not say how much memory it has: {last}\n  what to do: {advice(said)}"
        )
    return int(out)


def kind_version() -> str:
    """The version of the ``kind`` on PATH, ``MAJOR.MINOR.PATCH``.

    Raises:
        KindError: there is none, it does not run, or it is older than the node images need.
    """
    path = _installed("kind")
    code, out, said = _call(["kind", "version", "--quiet"], QUESTION_SECONDS)
    version = parsing.version(out)
    if code != 0 or version is None:
        last = parsing.last_line(said or out) or "it said nothing"
        raise KindError(
            f"{path} does not tell its version: {last}\n  what to do: install Kind: {_GET['kind']}"
        )
    if not versions.at_least(version, versions.KIND):
        raise KindError(
            f"{path} is Kind {version}, and the node images are those of {versions.KIND}.\n"
            f"  what to do: install {versions.KIND} or newer: {_GET['kind']}"
        )
    return version


class Kind:
    """The ``kind`` program with one container runtime.

    It never reads or writes the user's kubeconfig: every command that would gets a file of its own.
    """

    def __init__(self, runtime: str) -> None:
        """Start nothing yet.

        Args:
            runtime: ``docker`` or ``podman``.
        """
        self._runtime = runtime

    def clusters(self) -> frozenset[str]:
        """The names of all clusters, also of those whose nodes are stopped."""
        return parsing.names(self._run(["get", "clusters"]))

    def nodes(self, name: str) -> list[str]:
        """The names of a cluster's nodes, sorted; the container of a load balancer is none."""
        return parsing.nodes(name, self._run(["get", "nodes", "--name", name]))

    def kubeconfig(self, name: str) -> str:
        """A cluster's kubeconfig, with which this machine reaches it (a secret)."""
        return self._run(["get", "kubeconfig", "--name", name])

    def create(self, name: str, config: str, keep_open: Sequence[int] = ()) -> None:
        """Make a cluster.

        Args:
            name: its name.
            config: Kind's configuration, as YAML.
            keep_open: file descriptors that ``kind`` holds open for as long as it runs.
        """
        command = ["create", "cluster", "--name", name, "--config", "-"]
        self._change(command, CREATE_SECONDS, config, keep_open)

    def delete(self, name: str) -> None:
        """Delete a cluster; one that is not there is fine."""
        self._change(["delete", "cluster", "--name", name], DELETE_SECONDS)

    def _change(
        self, arguments: Sequence[str], seconds: float, stdin: str = "", keep_open: Sequence[int] = ()
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="rayfort-kind-") as directory:
            file = Path(directory) / "kubeconfig"
            self._run([*arguments, "--kubeconfig", str(file)], seconds, stdin, keep_open)

    def _run(
        self,
        arguments: Sequence[str],
        seconds: float = QUESTION_SECONDS,
        stdin: str = "",
        keep_open: Sequence[int] = (),
    ) -> str:
        _installed("kind")
        # Which runtime is used is a setting, not what Kind happens to find first.
        environment = {**os.environ, "KIND_EXPERIMENTAL_PROVIDER": self._runtime}
        code, out, said = _call(["kind", *arguments], seconds, environment, stdin, keep_open)
        shown = f"`kind {' '.join(arguments[:2])}` with {self._runtime}"
        if code is None:
            raise failure(f"{shown} did not end within {seconds:.0f} seconds", said)
        if code != 0:
            raise failure(f"{shown} ended with exit code {code}", said)
        return out


def _installed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise KindError(f"{program} is not on PATH.\n  what to do: install it: {_GET[program]}")
    return path


def _call(
    command: Sequence[str],
    seconds: float,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    keep_open: Sequence[int] = (),
) -> tuple[int | None, str, str]:
    """The exit code (None where the time was over), standard output and standard error of a command."""
    try:
        process = subprocess.Popen(
            list(command),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            pass_fds=tuple(keep_open),
        )
    except OSError as error:
        raise KindError(
            f"{command[0]} cannot be started: {error.strerror}.\n  what to do: install it: {_GET[command[0]]}"
        ) from None
    deadline, given = time.monotonic() + seconds, stdin or None
    with process:
        while True:
            try:
                out, said = process.communicate(given, timeout=_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                given = None
                if time.monotonic() < deadline and not engine_is_gone():
                    continue
                process.kill()
                return None, "", process.communicate()[1]
            return process.returncode, out, said


def engine_is_gone() -> bool:
    """Whether the engine that runs this plugin has ended, so that nobody would hear of a result.

    A plugin gets the engine's address as its first argument. It outlives an engine that was killed.
    """
    host, _, port = (sys.argv[1] if len(sys.argv) > 1 else "").rpartition(":")
    if not host or not port.isdigit():
        return False
    try:
        socket.create_connection((host, int(port)), QUESTION_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
