"""What the node's cluster has beside its Pods' own: kube-proxy and DNS, network policies, storage.

kube-proxy and CoreDNS are installed by kubeadm, everything else as its project's manifests have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.kube_api import KubeApi
from sandbox.node import config, network, storage
from sandbox.node.enclosure import Enclosure
from sandbox.processes import write_private

_DEPLOYMENTS: Final = "/apis/apps/v1/namespaces/{}/deployments/{}"
_DNS: Final = _DEPLOYMENTS.format("kube-system", "coredns")
_PROVISIONER: Final = _DEPLOYMENTS.format("local-path-storage", "local-path-provisioner")
_PROXY: Final = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"
_ESTABLISHED_SECONDS: Final = 60


class Addons:
    """The addons of one sandbox.

    Args:
        enclosure: where their installers run.
        kubectl, kubeadm: the executables.
        kubeconfig: of an administrator.
        directory: where what is applied is written.
    """

    def __init__(
        self, enclosure: Enclosure, kubectl: Path, kubeadm: Path, kubeconfig: Path, directory: Path
    ) -> None:
        self._enclosure = enclosure
        self._kubectl = kubectl
        self._kubeadm = kubeadm
        self._kubeconfig = kubeconfig
        self._directory = directory

    def install_policies(self, definitions: Path) -> None:
        """What Felix and the CNI plugin need in the cluster before they start.

        Args:
            definitions: the directory with Calico's definitions.

        Raises:
            SandboxError: with what the API server said.
        """
        crds = network.definitions(definitions)
        self._apply("calico-definitions", [*crds, *network.access(crds)])
        names = [f"crd/{crd['metadata']['name']}" for crd in crds]
        self._run("wait", "--for=condition=Established", f"--timeout={_ESTABLISHED_SECONDS}s", *names)
        self._apply("calico-settings", network.settings(config.POD_CIDR))

    def install_kubeadms(self, cluster: str) -> None:
        """kube-proxy and CoreDNS.

        Args:
            cluster: kubeadm's configuration.

        Raises:
            SandboxError: with what kubeadm said.
        """
        file = self._directory / "kubeadm.yaml"
        stamp = self._directory / "kubeadm.installed"
        with KubeApi(self._kubeconfig) as api:
            there = all(api.get(path) for path in (_DNS, _PROXY))
            if there and stamp.exists() and stamp.read_text() == cluster:
                return
        write_private(file, cluster)
        phase = ("init", "phase", "addon", "all", f"--config={file}", f"--kubeconfig={self._kubeconfig}")
        self._enclosure.run_on_network([str(self._kubeadm), *phase])
        # One node needs one of them.
        self._run("scale", "--namespace=kube-system", "--replicas=1", "deployment/coredns")
        write_private(stamp, cluster)

    def install_storage(self, manifest: Path) -> None:
        """The storage class.

        Args:
            manifest: the directory with the provisioner's manifest.

        Raises:
            SandboxError: with what the API server said.
        """
        self._apply("storage", storage.objects(manifest))

    def _apply(self, name: str, objects: Iterable[Mapping[str, Any]]) -> None:
        file = self._directory / f"{name}.yaml"
        write_private(file, yaml.safe_dump_all(objects, sort_keys=False))
        self._run("apply", "--server-side", "--force-conflicts", f"--filename={file}")

    def _run(self, *arguments: str) -> None:
        kubectl = (str(self._kubectl), f"--kubeconfig={self._kubeconfig}")
        self._enclosure.run_on_network([*kubectl, *arguments])


def usable(api: KubeApi) -> bool:
    """Whether the node runs Pods, and they reach Services and names and get volumes."""
    node = api.get(f"/api/v1/nodes/{config.NODE_NAME}") or {}
    ready = [
        each["status"] for each in node.get("status", {}).get("conditions", []) if each["type"] == "Ready"
    ]
    proxy = (api.get(_PROXY) or {}).get("status", {}).get("numberReady", 0)
    deployments = [api.get(path) or {} for path in (_DNS, _PROVISIONER)]
    return (
        ready == ["True"]
        and proxy > 0
        and all(each.get("status", {}).get("readyReplicas", 0) > 0 for each in deployments)
    )
