"""Running the helm program: no secret on its command line, no file left behind."""

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from sandbox.plugins.server import PluginError

_POLL_SECONDS: Final = 0.2
_STOP_SECONDS: Final = 15.0
_TELL_SECONDS: Final = 10.0
NO_RELEASE: Final = "release: not found"
_REPOSITORY: Final = "chart-source"  # the name that a repository with a password gets for the moment


class HelmError(PluginError):
    """Helm refused or failed; the text is what it said."""


class ChartSource(NamedTuple):
    """Where a chart comes from.

    Attributes:
        chart: a local path, an `oci://` reference, `repository/name`, or a name within `repository`.
        version: exact version or constraint; empty for the newest.
        repository: URL of a chart repository, or the name of one that helm knows; may be empty.
        username, password: for the repository; the password never reaches a command line.
        ca_file, cert_file, key_file: paths for TLS; may be empty.
        devel: whether the newest may be a development version.
        verify: whether the chart's signature is checked, with the keyring.
        keyring: path of the public keys; empty for helm's default.
    """

    chart: str
    version: str = ""
    repository: str = ""
    username: str = ""
    password: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    devel: bool = False
    verify: bool = False
    keyring: str = ""

    def local_path(self) -> Path | None:
        """Return the directory or archive that `chart` names, if it does."""
        if self.repository:
            return None
        path = Path(self.chart)
        if path.is_file() or (path / "Chart.yaml").is_file():
            return path.absolute()
        return None


class Helm:
    """The helm program, on one cluster.

    Args:
        binary: path of the program; None if there is none.
        kubeconfig: one context, as `kubeconfig.select` returns it; None without a cluster.
        environment: further variables for the program.
        cancelled: set when whatever runs is to stop.
    """

    def __init__(
        self,
        binary: Path | None,
        kubeconfig: Mapping[str, Any] | None,
        environment: Mapping[str, str],
        cancelled: threading.Event,
    ) -> None:
        self._binary = binary
        self._kubeconfig = kubeconfig
        self._environment = dict(environment)
        self._cancelled = cancelled
        self._charts: Path | None = None
        self._fetched: dict[ChartSource, Path] = {}
        self._fetching = threading.Lock()

    def close(self) -> None:
        """Remove fetched charts."""
        if self._charts is not None:
            shutil.rmtree(self._charts, ignore_errors=True)

    def run(
        self,
        arguments: Sequence[str],
        *,
        namespace: str = "",
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
        tell: Callable[[float], None] = lambda _: None,
    ) -> str:
        """Run helm and return its standard output.

        Args:
            arguments: the command line without the program.
            namespace: the release's namespace; empty for commands that need no cluster.
            stdin: what the program reads, e.g. values where an argument says `--values -`.
            environment: further variables.
            tell: called every ten seconds with the seconds that it runs.

        Raises:
            HelmError: it failed, or the update was cancelled.
        """
        if self._binary is None:
            raise HelmError(
                "there is no helm program: put helm on PATH, or name it in the variable RAYFORT_HELM"
            )
        command = [str(self._binary), *arguments]
        with contextlib.ExitStack() as cleanup:
            # Programs that helm starts have no business with the engine's passphrase.
            ambient = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
            variables = ambient | self._environment | dict(environment or {})
            if namespace:
                command += ["--namespace", namespace]
                variables["KUBECONFIG"] = cleanup.enter_context(self._kubeconfig_file())
            return self._communicate(command, stdin, variables, tell)

    def _communicate(
        self, command: list[str], stdin: str, variables: Mapping[str, str], tell: Callable[[float], None]
    ) -> str:
        process = subprocess.Popen(
            [*_mortal(), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=variables,
        )
        pending: str | None = stdin
        stopping = False
        started = told = time.monotonic()
        while True:
            try:
                output, errors = process.communicate(pending, timeout=_POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                pending = None
                if time.monotonic() - told >= _TELL_SECONDS:
                    told = time.monotonic()
                    tell(told - started)
                if self._cancelled.is_set() and not stopping:
                    stopping = True
                    # Asked to stop, helm marks the release as failed, from which a second run recovers.
                    process.send_signal(signal.SIGTERM)
                    threading.Timer(_STOP_SECONDS, process.kill).start()
        if process.returncode == 0:
            return output
        if stopping:
            raise HelmError(f"helm {command[1]} was cancelled")
        raise HelmError(_said(errors) or f"helm {command[1]} ended with exit code {process.returncode}")

    @contextlib.contextmanager
    def _kubeconfig_file(self) -> Iterator[str]:
        if self._kubeconfig is None:
            raise HelmError("there is no usable kubeconfig for helm")
        with tempfile.TemporaryDirectory(prefix="rayfort-helm-") as directory:
            path = Path(directory) / "kubeconfig"
            path.touch(mode=0o600)
            path.write_text(yaml.safe_dump(dict(self._kubeconfig)))
            yield str(path)

    # Charts.

    def fetch(self, source: ChartSource) -> Path:
        """Return a local chart directory or archive. A remote chart is fetched once in this process.

        Raises:
            HelmError: there is no such chart, or it cannot be verified.
        """
        local = source.local_path()
        if local is not None:
            if source.verify:
                self.run(["verify", str(local), *_keyring(source)])
            return local
        if not source.repository and source.chart.startswith((".", "/")):
            raise HelmError(
                f"there is no chart at {source.chart}: neither an archive nor a directory with Chart.yaml"
            )
        with self._fetching:
            if source not in self._fetched:
                self._fetched[source] = self._pull(source)
            return self._fetched[source]

    def _pull(self, source: ChartSource) -> Path:
        if self._charts is None:
            self._charts = Path(tempfile.mkdtemp(prefix="rayfort-charts-"))
        directory = Path(tempfile.mkdtemp(dir=self._charts))
        flags = ["--destination", str(directory)]
        if source.version:
            flags += ["--version", source.version]
        elif source.devel:
            flags.append("--devel")
        if source.verify:
            flags += ["--verify", *_keyring(source)]
        for flag, path in (
            ("--ca-file", source.ca_file),
            ("--cert-file", source.cert_file),
            ("--key-file", source.key_file),
        ):
            flags += [flag, path] if path else []
        with self._reference(source) as (reference, environment):
            self.run(["pull", *reference, *flags], environment=environment)
        found = sorted(directory.glob("*.tgz"))
        if not found:
            raise HelmError(f"helm fetched no archive for the chart {source.chart}")
        return found[0]

    @contextlib.contextmanager
    def _reference(self, source: ChartSource) -> Iterator[tuple[list[str], dict[str, str]]]:
        """How to name the chart on the command line, and the environment with what must not be there."""
        is_url = "://" in source.repository
        if source.chart.startswith("oci://"):
            with self._registry_login(source) as environment:
                yield [source.chart], environment
        elif not is_url:
            prefix = f"{source.repository}/" if source.repository and "/" not in source.chart else ""
            yield [prefix + source.chart], {}
        elif not source.username and not source.password:
            yield [source.chart, "--repo", source.repository], {}
        else:
            with tempfile.TemporaryDirectory(prefix="rayfort-helm-") as directory:
                environment = self._private_repository(source, Path(directory))
                yield [f"{_REPOSITORY}/{source.chart}"], environment

    def _private_repository(self, source: ChartSource, directory: Path) -> dict[str, str]:
        path = directory / "repositories.yaml"
        path.touch(mode=0o600)
        entry = {
            "name": _REPOSITORY,
            "url": source.repository,
            "username": source.username,
            "password": source.password,
            "caFile": source.ca_file,
            "certFile": source.cert_file,
            "keyFile": source.key_file,
        }
        path.write_text(yaml.safe_dump({"apiVersion": "", "repositories": [entry]}))
        environment = {
            "HELM_REPOSITORY_CONFIG": str(path),
            "HELM_REPOSITORY_CACHE": str(directory / "cache"),
        }
        self.run(["repo", "update", _REPOSITORY], environment=environment)
        return environment

    @contextlib.contextmanager
    def _registry_login(self, source: ChartSource) -> Iterator[dict[str, str]]:
        if not source.username or not source.password:
            yield {}
            return
        with tempfile.TemporaryDirectory(prefix="rayfort-helm-") as directory:
            environment = {"HELM_REGISTRY_CONFIG": str(Path(directory) / "config.json")}
            host = source.chart.removeprefix("oci://").split("/", 1)[0]
            arguments = ["registry", "login", host, "--username", source.username, "--password-stdin"]
            self.run(arguments, stdin=source.password, environment=environment)
            yield environment

    def metadata(self, chart: Path) -> dict[str, Any]:
        """Return what a local chart says of itself: `name`, `version`, `appVersion`, `type`."""
        found = yaml.safe_load(self.run(["show", "chart", str(chart)]))
        return found if isinstance(found, dict) else {}

    # Releases.

    def status(self, name: str, namespace: str) -> dict[str, Any] | None:
        """Return a release with its `info`, `config`, `manifest` and `version`, or None if there is none."""
        try:
            text = self.run(["status", name, "--output", "json"], namespace=namespace)
        except HelmError as error:
            if NO_RELEASE in str(error):
                return None
            raise
        found: dict[str, Any] = json.loads(text)
        return found

    def has_label(self, name: str, namespace: str, key: str, value: str) -> bool:
        """Whether a release has a label of that value."""
        chosen = ["--all", "--filter", f"^{re.escape(name)}$", "--selector", f"{key}={value}"]
        return bool(json.loads(self.run(["list", *chosen, "--output", "json"], namespace=namespace)))

    def release_chart(self, name: str, namespace: str) -> dict[str, Any]:
        """Return `chart`, `version` and `appVersion` of a release."""
        found: dict[str, Any] = json.loads(
            self.run(["get", "metadata", name, "--output", "json"], namespace=namespace)
        )
        return found


@functools.cache
def _mortal() -> tuple[str, ...]:
    """What makes a program end with this process, however it ends, where the system has it.

    Helm of a plugin that was killed would go on while the next run begins. (Python's own way to do it, code
    between fork and exec, does not go with gRPC.)
    """
    program = shutil.which("setpriv")
    return (program, "--pdeathsig", "TERM") if program else ()


def _keyring(source: ChartSource) -> list[str]:
    return ["--keyring", source.keyring] if source.keyring else []


def _said(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line.strip() and not line.startswith("WARNING:")]
    return "\n".join(lines).removeprefix("Error: ").strip()
