"""Where the files of a sandbox lie, and where its processes run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.health import HOST


@dataclass(frozen=True)
class Place:
    """Where the processes run.

    Attributes:
        host: the address that they listen on.
        on_network: turns a command into one that runs where that address is.
        inside: turns a command into one that runs on the real node; none where nodes are simulated.
    """

    host: str = HOST
    on_network: Callable[[Sequence[str]], tuple[str, ...]] = tuple
    inside: Callable[[Sequence[str]], tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Layout:
    """Where things lie below a state directory."""

    state: Path

    @property
    def etcd_data(self) -> Path:
        """etcd's data: all objects of the cluster."""
        return self.state / "etcd"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.state / "pki"

    @property
    def kubeconfigs(self) -> Path:
        """Kubeconfigs of the control plane's own processes."""
        return self.state / "kubeconfigs"

    @property
    def admin_kubeconfig(self) -> Path:
        """The kubeconfig for the user."""
        return self.state / "kubeconfig"

    @property
    def ports(self) -> Path:
        """The chosen ports."""
        return self.state / "ports.json"

    @property
    def lock(self) -> Path:
        """Held by the one command that changes the sandbox."""
        return self.state / "lock"

    @property
    def node_root(self) -> Path:
        """The root filesystem of the real node."""
        return self.state / "node" / "root"

    @property
    def stages(self) -> Path:
        """kwok's configuration."""
        return self.state / "run" / "kwok.yaml"

    def workload(self, name: str) -> Path:
        """The specification of a local workload."""
        return self.state / "run" / f"{name}.workload.json"

    def kubeconfig(self, name: str) -> Path:
        """The kubeconfig of a control plane process."""
        return self.kubeconfigs / f"{name}.kubeconfig"


def environment(layout: Layout) -> dict[str, str]:
    """All that a daemon gets to see: nothing of the user's own environment."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(layout.state), "LC_ALL": "C.UTF-8"}
