"""A node image for `kind`, made on this machine: where no registry is in reach.

Like Kind's own it is Debian with systemd, containerd, Kind's files and the programs and images of kubeadm.
Unlike it, Pods of two nodes do not reach each other: the network is a configuration of CNI's own plugins.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from sandbox.images import catalog, debian
from sandbox.images.catalog import Config, Image, Root, ToolFile
from sandbox.images.commands import Commands
from sandbox.images.oci import write_archive
from sandbox.images.store import ImageStore
from sandbox.progress import Progress
from sandbox.toolchain import Toolchain
from sandbox.tools.catalog import CATALOG, KUBERNETES
from tests.kind.docker import Docker

VERSION: Final = CATALOG.pin(KUBERNETES).version
NAME: Final = f"localhost/rayfort-kind-node:{VERSION}"
ROOT: Final = Root(
    "kind",
    (
        *("systemd", "systemd-sysv", "dbus", "kmod", "mount", "procps", "ca-certificates", "curl", "jq"),
        *("iptables", "nftables", "iproute2", "ethtool", "conntrack", "libseccomp2", "pigz"),
        *("containerd", "runc", "containernetworking-plugins", "docker.io"),
    ),
)
# By whom a program of kubeadm's images is run that needs nothing beside itself.
_PATH: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_STATIC: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
_NETWORK: Final = {
    "cniVersion": "0.3.1",
    "name": "nodes",
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.244.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
# `kind` applies both; the network is in the image already.
_MANIFESTS: Final = {
    "default-cni": {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "network-is-in-the-image", "namespace": "kube-system"},
    },
    "default-storage": {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard"},
        "provisioner": "kubernetes.io/no-provisioner",
    },
}
# Units that do nothing good in a container; Kind's image leaves them out as well.
_UNITS: Final = (
    *("lib/systemd/system/multi-user.target.wants/*", "etc/systemd/system/*.wants/*"),
    *("lib/systemd/system/local-fs.target.wants/*", "lib/systemd/system/basic.target.wants/*"),
    *("lib/systemd/system/sockets.target.wants/*udev*", "lib/systemd/system/sockets.target.wants/*initctl*"),
    "lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
)
_IMPORT: Final = """
containerd >/dev/null 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 0.2; done
ctr --namespace k8s.io images import --no-unpack /kind/images.tar
rm /kind/images.tar
kill %1
wait || true
"""


def root(work: Path) -> Path:
    """The unpacked root file system that nodes and the docker daemon share.

    Args:
        work: an existing empty directory.
    """
    commands = Commands("the nodes' root file system", work / "root.log", lambda _: None)
    made, tree = work / "make", work / "root"
    made.mkdir()
    tree.mkdir()
    debian.unpack(debian.make_root(ROOT, made, commands), tree, commands)
    shutil.rmtree(made)
    return tree


def build(docker: Docker, tree: Path, work: Path, toolchain: Toolchain, progress: Progress) -> str:
    """Make the image.

    Args:
        docker: where to.
        tree: what `root` made; it is changed.
        work: a directory for what is only needed meanwhile.
        toolchain: has the programs.
        progress: tells of long work.

    Returns:
        The image's name.
    """
    tools = toolchain.ensure(["kubeadm", "kubelet", "kubectl"])
    _kinds_files(tree, toolchain.asset("kind-node-files"))
    for name, tool in tools.items():
        shutil.copy(tool, tree / "usr/bin" / name)
    images = _images(tools["kubeadm"])
    layouts = ImageStore(toolchain.cache, toolchain, progress).ensure(images)
    with (tree / "kind/images.tar").open("wb") as archive:
        write_archive(layouts.values(), archive)
    _configure(tree, pause_image(toolchain))
    with subprocess.Popen(["tar", "-C", tree, "-c", "."], stdout=subprocess.PIPE) as packed:
        docker("import", "-", "localhost/rayfort-kind-build:1", stdin=packed)
    run = ["run", "--name", "build", "--privileged", "--net", "none", "--entrypoint", "bash"]
    docker(*run, "localhost/rayfort-kind-build:1", "-ec", _IMPORT)
    start = 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]'
    docker("commit", "--change", start, "--change", "ENV container=docker", "build", NAME)
    docker("rm", "build")
    return NAME


def pause_image(toolchain: Toolchain) -> str:
    """The name of an image that every node has, and that needs nothing."""
    listed = _listed(toolchain.ensure(["kubeadm"])["kubeadm"])
    return next(reference for reference in listed if "/pause:" in reference)


def _listed(kubeadm: Path) -> list[str]:
    command = [kubeadm, "config", "images", "list", "--kubernetes-version", VERSION]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def _images(kubeadm: Path) -> list[Image]:
    """What kubeadm runs, under the names that it asks for."""
    made = {"pause": catalog.pause(), "coredns": catalog.coredns(), "kube-proxy": catalog.kube_proxy()}
    for name in _STATIC:
        made[name] = Image("", (ToolFile(name, f"/usr/local/bin/{name}"),), Config(env=_PATH))
    names = {reference.rpartition("/")[2].partition(":")[0]: reference for reference in _listed(kubeadm)}
    return [dataclasses.replace(made[name], reference=reference) for name, reference in names.items()]


def _kinds_files(tree: Path, files: Path) -> None:
    shutil.copytree(files, tree, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for program in (*(tree / "usr/local/bin").iterdir(), *(tree / "kind/bin").iterdir()):
        program.chmod(0o755)


def _configure(tree: Path, pause: str) -> None:
    for pattern in _UNITS:
        for unit in tree.glob(pattern):
            unit.unlink()
    wanted = tree / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    for unit in ("containerd", "kubelet", "undo-mount-hacks"):
        (wanted / f"{unit}.service").symlink_to(f"/etc/systemd/system/{unit}.service")
    for program in ("containerd", "ctr"):  # where Kind has its own
        (tree / "usr/local/bin" / program).symlink_to(f"/usr/bin/{program}")
    shutil.copytree(tree / "usr/lib/cni", tree / "opt/cni/bin", dirs_exist_ok=True)
    _write(tree / "etc/cni/net.d/10-nodes.conflist", json.dumps(_NETWORK))
    for name, manifest in _MANIFESTS.items():
        _write(tree / f"kind/manifests/{name}.yaml", json.dumps(manifest))
    _write(tree / "kind/version", VERSION)
    (tree / "etc/kubernetes/manifests").mkdir(parents=True, exist_ok=True)
    # For machines without version 2 of control groups, and without the right to raise limits.
    kubelet = tree / "etc/default/kubelet"
    _write(kubelet, f"{kubelet.read_text().strip()} --fail-cgroupv1=false\n")
    unit = tree / "etc/systemd/system/containerd.service"
    lines = unit.read_text().splitlines()
    _write(unit, "\n".join(line for line in lines if not line.startswith(("OOMScoreAdjust", "Limit"))))
    config = tree / "etc/containerd/config.toml"
    text = config.read_text().replace("restrict_oom_score_adj = false", "restrict_oom_score_adj = true")
    # Of Kind's hook for a file of the machine's firmware, that no Pod here looks at.
    kept = [line for line in text.splitlines() if "base_runtime_spec" not in line]
    image = (f'  sandbox_image = "{pause}"' if "sandbox_image" in line else line for line in kept)
    _write(config, "\n".join(image))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
