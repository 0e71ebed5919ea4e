"""The real kbatch-proxy, started as the Deployment on the API server says, with its account's token alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from rayfort.proxy.kbatch_config import SERVICE_NAME

from sandbox.images.catalog import kbatch_proxy
from tests.e2e.sandbox import Sandbox
from tests.kbatch.accounts import account_token
from tests.kbatch.container import Container, Resolver
from tests.kbatch.deployed import PROXY_NAMESPACE
from tests.kbatch.programs import Programs
from tests.kbatch.running import bare, running

HUB_API, TOKEN, APP_PORT = "JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "APP_PORT"


@dataclass(frozen=True)
class Workload:
    """What the Deployment says.

    Attributes:
        account: the name of its ServiceAccount.
        container: of its Pods.
    """

    account: str
    container: Container


def workload(sandbox: Sandbox) -> Workload:
    """What the Deployment on the API server says now."""
    spec = sandbox.get("deployment", SERVICE_NAME, namespace=PROXY_NAMESPACE)["spec"]["template"]["spec"]
    container = Resolver(sandbox, PROXY_NAMESPACE).container({"spec": spec})
    return Workload(spec["serviceAccountName"], container)


def kubeconfig(sandbox: Sandbox, token: str) -> str:
    """A kubeconfig that holds nothing but that token."""
    administrator = yaml.safe_load(sandbox.environment.kubeconfig.read_text())
    name = "kbatch"
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": administrator["clusters"][0]["cluster"]}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
    )


@contextmanager
def proxy(
    programs: Programs, directory: Path, sandbox: Sandbox, found: Workload, port: int, hub_api: str
) -> Iterator[Path]:
    """The proxy on the loopback.

    Other than in its Pod are only: paths of volumes, which are below `directory`, where it listens, where the
    hub and the API server are, and that the account's token comes in a kubeconfig.

    Args:
        programs: the real ones.
        directory: for its files.
        sandbox: with the API server.
        found: what the Deployment says.
        port: where it shall listen.
        hub_api: where the hub is.

    Yields:
        Its log.
    """
    root = directory / "root"
    for place in found.container.directories:
        (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for path, content in found.container.files.items():
        (root / path.lstrip("/")).write_bytes(content)
    cluster = directory / "kubeconfig"
    cluster.touch(mode=0o600)
    cluster.write_text(kubeconfig(sandbox, account_token(sandbox, found.account)))
    stated = {
        name: _below(root, value, found.container) for name, value in found.container.environment.items()
    }
    assert stated.keys() >= {HUB_API, TOKEN, APP_PORT}, sorted(stated)
    own = {"APP_HOST": "127.0.0.1", APP_PORT: str(port), HUB_API: hub_api, "KUBECONFIG": str(cluster)}
    image = kbatch_proxy().config
    command = [_below(root, part, found.container) for part in found.container.command or image.cmd]
    command = [_there(part, int(stated[APP_PORT]), port) for part in command]
    environment = {**bare(programs.proxy, directory), **stated, **own}
    with running(command, environment, root, port, "/") as log:
        yield log


def _below(root: Path, value: str, container: Container) -> str:
    """A value with the paths of volumes changed to where they are here."""
    for place in container.directories:
        if value == place or value.startswith(f"{place}/"):
            return f"{root}{value}"
    return value


def _there(part: str, old: int, new: int) -> str:
    """A part of the command with the address changed."""
    return part.replace("0.0.0.0", "127.0.0.1").replace(str(old), str(new))
