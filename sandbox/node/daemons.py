"""The programs that run in the node, and with which arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sandbox.layout import Layout, Place
from sandbox.node import config, network
from sandbox.node.enclosure import PATH
from sandbox.processes import MARKER, ProcessSpec, SandboxError

CONTAINERD: Final = "containerd"
FELIX: Final = "calico-felix"
KUBELET: Final = "kubelet"


class Daemons:
    """The process specifications of one node."""

    def __init__(self, layout: Layout, place: Place) -> None:
        self._layout = layout
        self._place = place

    def all(self) -> list[ProcessSpec]:
        """Every program, in the order of the start."""
        return [self._containerd(), self._felix(), self._kubelet()]

    def _containerd(self) -> ProcessSpec:
        # The shims inherit its environment, and outlive it: what marks containerd must not mark them.
        argv = ("env", f"--unset={MARKER}", "containerd", f"--config={config.CONTAINERD_CONFIG}")
        return self._in_node(CONTAINERD, argv, (config.CONTAINERD_CONFIG,))

    def _felix(self) -> ProcessSpec:
        host, kubeconfig = self._place.host, config.FELIX_KUBECONFIG
        environment = network.felix_environment(config.NODE_NAME, host, kubeconfig)
        files = (*config.FELIX_FILES, config.FELIX_BINARY)
        return self._in_node(FELIX, (config.FELIX_BINARY,), files, environment)

    def _kubelet(self) -> ProcessSpec:
        flags = {
            "config": config.KUBELET_CONFIG,
            "kubeconfig": config.KUBELET_KUBECONFIG,
            "node-ip": self._place.host,
            "hostname-override": config.NODE_NAME,
        }
        argv = (config.KUBELET_BINARY, *(f"--{flag}={value}" for flag, value in flags.items()))
        return self._in_node(KUBELET, argv, (*config.KUBELET_FILES, config.KUBELET_BINARY))

    def _in_node(
        self,
        name: str,
        argv: Sequence[str],
        files: Iterable[str] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> ProcessSpec:
        """A program of the node; `files` are those that it reads when it starts."""
        inside = self._place.inside
        if inside is None:
            raise SandboxError(f"{name} runs on real nodes only.")
        inputs = tuple(config.below(self._layout.node_root, path) for path in files)
        env = {"PATH": PATH, "HOME": "/root", **environment}
        return ProcessSpec(name, inside(argv), self._layout.state, env, inputs)
