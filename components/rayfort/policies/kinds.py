"""Which Kubernetes object a resource is, and the Pods and Ray clusters that it asks for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rayfort.policies.rule import Resource
from rayfort.policies.values import Node, true

RAY_GROUP: Final = "ray.io"
RELEASES: Final = frozenset({("helm.sh", "Release"), ("helm.sh", "Chart")})
_TEMPLATED: Final = frozenset(
    {
        ("apps", "DaemonSet"),
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("batch", "Job"),
        ("", "ReplicationController"),
    }
)
# Where a Ray kind keeps the specification of its Ray cluster.
_RAY_CLUSTERS: Final[dict[str, tuple[str, ...]]] = {
    "RayCluster": ("spec",),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayService": ("spec", "rayClusterConfig"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
}
RAY_KINDS: Final = tuple(_RAY_CLUSTERS)


def kind_of(resource: Resource) -> tuple[str, str] | None:
    """API group and kind of a Kubernetes object, a Helm release or a chart; None for anything else.

    The core group is ``""``. A patch of an object (``ServicePatch``) is an object of that kind.
    """
    provider, _, rest = resource.type.partition(":")
    if provider != "kubernetes" or rest.count(":") != 1:
        return None
    api, _, kind = rest.partition(":")
    group, _, version = api.partition("/")
    if not version:
        return None
    return ("" if group == "core" else group), (kind.removesuffix("Patch") or kind)


def is_kind(resource: Resource, group: str, *kinds: str) -> bool:
    """Whether a resource is an object of one of some kinds of an API group."""
    found = kind_of(resource)
    return found is not None and found[0] == group and found[1] in kinds


def is_release(resource: Resource) -> bool:
    """Whether a resource is a Helm release, or a chart that Pulumi renders."""
    return kind_of(resource) in RELEASES


def chart_name(resource: Resource) -> str:
    """The name of a release's chart, without the repository or directory that it comes from."""
    name = resource.root["chart"].text.rstrip("/").rpartition("/")[2]
    return name.removesuffix(".tgz")


def named_by(resource: Resource) -> Node:
    """What holds the name and the namespace of a Kubernetes object or a release."""
    return resource.root if is_release(resource) else resource.root["metadata"]


def namespaced_name(resource: Resource) -> str:
    """``namespace/name`` of a Kubernetes object or a release, as an allow-list names it."""
    metadata = named_by(resource)
    namespace, name = metadata["namespace"].text or "default", metadata["name"].text or resource.name
    return f"{namespace}/{name}"


@dataclass(frozen=True)
class Pods:
    """Pods that a resource asks for.

    Attributes:
        template: what holds ``metadata`` and ``spec`` of them.
        ray: ``head`` or ``worker`` for nodes of a Ray cluster.
        autoscaled: whether the autoscaler runs in these Pods, beside Ray's head.
    """

    template: Node
    ray: str = ""
    autoscaled: bool = False

    @property
    def spec(self) -> Node:
        """The Pods' ``spec``."""
        return self.template["spec"]

    def containers(self) -> Iterator[Node]:
        """Every container, init containers and ephemeral ones as well."""
        for name in ("initContainers", "containers", "ephemeralContainers"):
            yield from self.spec[name].items()


def pods(resource: Resource) -> Iterator[Pods]:
    """The Pods that a resource asks for, each kind of them once."""
    kind, root = kind_of(resource), resource.root
    if kind == ("", "Pod"):
        yield Pods(root)
    elif kind == ("", "PodTemplate"):
        yield Pods(root["template"])
    elif kind in _TEMPLATED:
        yield Pods(root.at("spec", "template"))
    elif kind == ("batch", "CronJob"):
        yield Pods(root.at("spec", "jobTemplate", "spec", "template"))
    for cluster in ray_clusters(resource):
        autoscaled = cluster["enableInTreeAutoscaling"]
        # Not known is as good as on here: the question is what the head may need.
        head = cluster.at("headGroupSpec", "template")
        yield Pods(head, "head", autoscaled.unknown or true(autoscaled))
        for group in cluster["workerGroupSpecs"].items():
            yield Pods(group["template"], "worker")
    if is_kind(resource, RAY_GROUP, "RayJob"):
        submitter = root.at("spec", "submitterPodTemplate")
        if not submitter.missing:
            yield Pods(submitter)


def ray_clusters(resource: Resource) -> Iterator[Node]:
    """The specification of the Ray cluster that a resource brings; a RayJob may use one that is there."""
    if not is_kind(resource, RAY_GROUP, *RAY_KINDS):
        return
    kind = kind_of(resource)
    if kind:
        cluster = resource.root.at(*_RAY_CLUSTERS[kind[1]])
        if kind[1] in {"RayCluster", "RayService"} or not cluster.missing:
            yield cluster


def texts(node: Node) -> Iterator[Node]:
    """Every text at or below a node."""
    return (found for found in node.walk() if isinstance(found.value, str))
