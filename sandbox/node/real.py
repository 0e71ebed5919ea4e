"""The real node of a sandbox: its files, its images and the addons without which it is no Kubernetes."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sandbox.images.oci import write_archive
from sandbox.kube_api import KubeApi
from sandbox.kubeconfig import KeyPair, render
from sandbox.node import config
from sandbox.node.enclosure import Enclosure
from sandbox.node.link import INTERFACE
from sandbox.processes import SandboxError, write_private

_CTR: Final = ("ctr", "--namespace=k8s.io")
_DNS: Final = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
_PROXY: Final = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"


@dataclass(frozen=True)
class NodeFiles:
    """What a node is made of, on the machine's disk.

    Attributes:
        root: the archive of the root filesystem.
        images: the OCI layout of each image, by the image's full name.
        kubelet: the kubelet's executable.
        kubeadm: kubeadm's executable.
        version: of Kubernetes, with its leading v.
    """

    root: Path
    images: Mapping[str, Path]
    kubelet: Path
    kubeadm: Path
    version: str


@dataclass(frozen=True)
class Network:
    """The names and networks of the cluster that the node belongs to."""

    service_cidr: str
    cluster_domain: str


class RealNode:
    """The one node of a sandbox.

    Args:
        enclosure: where it lives.
        network: of the cluster.
        files: what it is made of; only needed to start it.
    """

    def __init__(self, enclosure: Enclosure, network: Network, files: NodeFiles | None = None) -> None:
        self.enclosure = enclosure
        self._network = network
        self._given = files

    @property
    def _files(self) -> NodeFiles:
        if self._given is None:
            raise SandboxError("The node's images are not at hand. Run `./rayfort up`.")
        return self._given

    @property
    def address(self) -> str:
        """The node's address, on which the control plane listens too."""
        return self.enclosure.link.node

    def open(self) -> None:
        """Make the namespaces, unless they are there."""
        self.enclosure.open(self._files.root)
        # The node's own programs find Services by a packet filter that only sees what has a route.
        self.enclosure.run(["ip", "route", "replace", self._network.service_cidr, "dev", INTERFACE])

    def write_files(self, api_url: str, ca: Path, kubelet: KeyPair) -> None:
        """Put the configuration of containerd and the kubelet into the root filesystem.

        Args:
            api_url: the API server's URL.
            ca: the cluster's authority.
            kubelet: the kubelet's identity, as a client and as a server.
        """
        network = self._network
        identity = KeyPair(Path(config.KUBELET_CERT), Path(config.KUBELET_KEY))
        texts = {
            config.CONTAINERD_CONFIG: config.containerd(),
            f"{config.CNI_DIRECTORY}/10-rayfort.conflist": config.bridge_network(),
            config.RESOLV_CONF: config.resolv_conf(self.enclosure.link.host),
            config.CA: ca.read_text(),
            config.KUBELET_CERT: kubelet.cert.read_text(),
            config.KUBELET_KEY: kubelet.key.read_text(),
            config.KUBELET_KUBECONFIG: render(api_url, Path(config.CA), identity, config.NODE_NAME),
            config.KUBELET_CONFIG: config.kubelet(self.address, network.service_cidr, network.cluster_domain),
        }
        for path, text in texts.items():
            target = config.below(self.enclosure.root, path)
            if not target.is_file() or target.read_text() != text:
                write_private(target, text)
        config.below(self.enclosure.root, config.RESOLV_CONF).chmod(0o644)
        self._install(self._files.kubelet, config.KUBELET_BINARY)

    def containerd_answers(self) -> bool:
        """Whether containerd serves."""
        with contextlib.suppress(SandboxError):
            self.enclosure.run([*_CTR, "version"])
            return True
        return False

    def import_images(self, note: Callable[[str], None]) -> None:
        """Give containerd the images that it does not have.

        Raises:
            SandboxError: with what containerd said.
        """
        digests = {name: _digest(layout) for name, layout in self._files.images.items()}
        have = self._images_there()
        wanted = [self._files.images[name] for name, digest in digests.items() if have.get(name) != digest]
        if not wanted:
            return
        note(f"{len(wanted)} images")
        self.enclosure.run([*_CTR, "images", "import", "-"], lambda out: write_archive(wanted, out))
        text = "".join(f"{name}\t{digest}\n" for name, digest in (have | digests).items())
        write_private(self._stamp("images"), text)

    def install_addons(self, admin_kubeconfig: Path, api_address: str) -> None:
        """kube-proxy and CoreDNS, as kubeadm installs them.

        Args:
            admin_kubeconfig: of an administrator.
            api_address: `host:port` of the API server.

        Raises:
            SandboxError: with what kubeadm said.
        """
        network = self._network
        text = config.kubeadm(
            api_address,
            config.NODE_NAME,
            self.address,
            self._files.version,
            network.service_cidr,
            network.cluster_domain,
        )
        file = self.enclosure.root.parent / "kubeadm.yaml"
        write_private(file, text)
        with KubeApi(admin_kubeconfig) as api:
            if all(api.get(path) for path in (_DNS, _PROXY)) and self._installed(text):
                return
        phase = ("init", "phase", "addon", "all", f"--config={file}", f"--kubeconfig={admin_kubeconfig}")
        self.enclosure.run_on_network([str(self._files.kubeadm), *phase])
        with KubeApi(admin_kubeconfig) as api:
            # One machine needs one of them.
            api.apply(f"{_DNS}/scale", _scale(1))
        write_private(self._stamp("addons"), text)

    def usable(self, api: KubeApi) -> bool:
        """Whether the node runs Pods, and they reach Services and names."""
        node = api.get(f"/api/v1/nodes/{config.NODE_NAME}")
        proxy, dns = api.get(_PROXY) or {}, api.get(_DNS) or {}
        return (
            _ready(node)
            and proxy.get("status", {}).get("numberReady", 0) > 0
            and dns.get("status", {}).get("readyReplicas", 0) > 0
        )

    def _install(self, source: Path, path: str) -> None:
        target = config.below(self.enclosure.root, path)
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy2(source, target)

    def _installed(self, text: str) -> bool:
        stamp = self._stamp("addons")
        return stamp.exists() and stamp.read_text() == text

    def _images_there(self) -> dict[str, str]:
        """The digest of each image that containerd has."""
        there = set(self.enclosure.run([*_CTR, "images", "list", "--quiet"]).split())
        stamp = self._stamp("images")
        lines = stamp.read_text().splitlines() if stamp.exists() else []
        saved = dict(line.split("\t", 1) for line in lines)
        return {name: digest for name, digest in saved.items() if name in there}

    def _stamp(self, name: str) -> Path:
        return self.enclosure.root.parent / f"{name}.installed"


def _digest(layout: Path) -> str:
    return hashlib.sha256((layout / "index.json").read_bytes()).hexdigest()


def _scale(replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "coredns", "namespace": "kube-system"},
        "spec": {"replicas": replicas},
    }


def _ready(node: Mapping[str, Any] | None) -> bool:
    conditions: Iterable[Mapping[str, Any]] = (node or {}).get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
