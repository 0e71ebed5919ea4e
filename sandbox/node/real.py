"""The real node of a sandbox: its programs, their files, its images and addons."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.images.oci import write_archive
from sandbox.kubeconfig import KeyPair, render
from sandbox.node import config, network
from sandbox.node.addons import Addons
from sandbox.node.enclosure import Enclosure
from sandbox.node.link import INTERFACE
from sandbox.processes import SandboxError, write_private

_CTR: Final = ("ctr", "--namespace=k8s.io")
# The programs that run in the node, by the tool's name.
_PROGRAMS: Final = {
    "kubelet": config.KUBELET_BINARY,
    "calico-felix": config.FELIX_BINARY,
    "calico": config.PLUGIN_BINARY,
}


@dataclass(frozen=True)
class NodeFiles:
    """What a node is made of, on the machine's disk.

    Attributes:
        root: the archive of the root filesystem.
        images: the OCI layout of each image, by the image's full name.
        tools: executables by name: kubelet, kubeadm, kubectl, calico-felix, calico.
        policy_definitions: the directory with Calico's definitions.
        storage_manifest: the directory with the storage provisioner's manifest.
        version: of Kubernetes, with its leading v.
    """

    root: Path
    images: Mapping[str, Path]
    tools: Mapping[str, Path]
    policy_definitions: Path
    storage_manifest: Path
    version: str


@dataclass(frozen=True)
class Identities:
    """Who the node's programs are to the API server."""

    kubelet: KeyPair
    felix: KeyPair
    plugin: KeyPair


@dataclass(frozen=True)
class Cluster:
    """The names and networks of the cluster that the node belongs to."""

    service_cidr: str
    cluster_domain: str


class RealNode:
    """The one node of a sandbox.

    Args:
        enclosure: where it lives.
        cluster: that it belongs to.
        files: what it is made of; only needed to start it.
    """

    def __init__(self, enclosure: Enclosure, cluster: Cluster, files: NodeFiles | None = None) -> None:
        self.enclosure = enclosure
        self._cluster = cluster
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
        # The node's own programs find Services by a packet filter that only sees what has a route; the Pods'
        # gateway answers where there is one.
        for destination in (self._cluster.service_cidr, network.GATEWAY):
            self.enclosure.run(["ip", "route", "replace", destination, "dev", INTERFACE])
        self.enclosure.run(["mkdir", "-p", network.STATUS_DIRECTORY])

    def write_files(self, api_url: str, ca: Path, identities: Identities) -> None:
        """Put the programs and what they are told into the root filesystem.

        Args:
            api_url: the API server's URL.
            ca: the cluster's authority.
            identities: of the programs.
        """
        cluster = self._cluster
        who = (
            (identities.kubelet, config.KUBELET_CERT, config.KUBELET_KEY, config.KUBELET_KUBECONFIG),
            (identities.felix, config.FELIX_CERT, config.FELIX_KEY, config.FELIX_KUBECONFIG),
            (identities.plugin, config.PLUGIN_CERT, config.PLUGIN_KEY, config.PLUGIN_KUBECONFIG),
        )
        texts = {
            config.CONTAINERD_CONFIG: config.containerd(),
            config.RESOLV_CONF: config.resolv_conf(self.enclosure.link.host),
            config.CA: ca.read_text(),
            config.KUBELET_CONFIG: config.kubelet(self.address, cluster.service_cidr, cluster.cluster_domain),
            config.PLUGIN_CONFIG: network.plugin_configuration(
                config.NODE_NAME, config.PLUGIN_KUBECONFIG, config.POD_CIDR
            ),
        }
        for pair, cert, key, kubeconfig in who:
            texts[cert], texts[key] = pair.cert.read_text(), pair.key.read_text()
            identity = KeyPair(Path(cert), Path(key))
            texts[kubeconfig] = render(api_url, Path(config.CA), identity, config.NODE_NAME)
        for path, text in texts.items():
            target = config.below(self.enclosure.root, path)
            there = target.read_text() if target.is_file() else None
            same = there == text or (path == config.PLUGIN_CONFIG and network.is_ours(there or "", text))
            if not same:
                write_private(target, text)
        config.below(self.enclosure.root, config.RESOLV_CONF).chmod(0o644)
        for name, path in _PROGRAMS.items():
            self._install(self._files.tools[name], path)

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

    def install_policies(self, admin_kubeconfig: Path) -> None:
        """What the Pods' network needs in the cluster before its programs start.

        Raises:
            SandboxError: with what the API server said.
        """
        self._addons(admin_kubeconfig).install_policies(self._files.policy_definitions)

    def install_addons(self, admin_kubeconfig: Path, api_address: str) -> None:
        """kube-proxy, DNS and storage.

        Args:
            admin_kubeconfig: of an administrator.
            api_address: `host:port` of the API server.

        Raises:
            SandboxError: with what the installer said.
        """
        addons = self._addons(admin_kubeconfig)
        addons.install_kubeadms(
            config.kubeadm(
                api_server=api_address,
                name=config.NODE_NAME,
                address=self.address,
                version=self._files.version,
                service_cidr=self._cluster.service_cidr,
                cluster_domain=self._cluster.cluster_domain,
            )
        )
        addons.install_storage(self._files.storage_manifest)

    def _addons(self, admin_kubeconfig: Path) -> Addons:
        tools, directory = self._files.tools, self.enclosure.root.parent
        return Addons(self.enclosure, tools["kubectl"], tools["kubeadm"], admin_kubeconfig, directory)

    def _install(self, source: Path, path: str) -> None:
        target = config.below(self.enclosure.root, path)
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy2(source, target)

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
