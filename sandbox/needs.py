"""What a sandbox needs of the tool chain, by the kind of its nodes."""

from collections.abc import Iterable
from typing import Final

from sandbox import services
from sandbox.images.catalog import AssetFile, Image, ToolFile
from sandbox.node import daemons
from sandbox.node_kind import NodeKind

_EVERYWHERE: Final = (
    "pulumi",
    services.ETCD,
    services.API_SERVER,
    services.CONTROLLER_MANAGER,
    services.SCHEDULER,
    "kubectl",
    "helm",
    "ray-operator",
)
_TOOLS: Final = {
    NodeKind.SIMULATED: (*_EVERYWHERE, services.SIMULATOR, "pilot-discovery"),
    NodeKind.REAL: (*_EVERYWHERE, daemons.KUBELET, "kubeadm", daemons.FELIX, "calico"),
}
_CHARTS: Final = (
    *("istio-base-chart", "istio-istiod-chart", "istio-cni-chart", "istio-gateway-chart"),
    *("kuberay-crds", "kuberay-rbac"),
)
_ASSETS: Final = {
    NodeKind.SIMULATED: (*_CHARTS, "kwok-pod-stages", "kwok-node-stages"),
    NodeKind.REAL: (*_CHARTS, "calico-definitions", "local-path-manifest"),
}


def tools(kind: NodeKind, images: Iterable[Image]) -> tuple[str, ...]:
    """The programs, each once: those that run as processes, and those that go into images made here."""
    inside = (content.tool for content in _contents(images) if isinstance(content, ToolFile))
    return tuple(dict.fromkeys((*_TOOLS[kind], *inside)))


def assets(kind: NodeKind, images: Iterable[Image]) -> tuple[str, ...]:
    """The assets, each once."""
    inside = (content.asset for content in _contents(images) if isinstance(content, AssetFile))
    return tuple(dict.fromkeys((*_ASSETS[kind], *inside)))


def _contents(images: Iterable[Image]) -> Iterable[object]:
    return [content for image in images for content in image.contents]
