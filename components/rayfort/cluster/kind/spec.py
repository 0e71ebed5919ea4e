"""What a Kind cluster is made of, and what is therefore true of it."""

from ipaddress import IPv4Network, ip_network
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from rayfort import versions
from rayfort.facts import ClusterDns, ClusterFacts
from rayfort.model import Cidr, Count, ImageReference, Model, Port, Seconds, SemVer, Written

# Containers are named after the cluster, and a host name has 63 characters.
ClusterName = Annotated[
    str,
    Written(
        r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?",
        "is not the name of a Kind cluster; use at most 40 lower-case letters, digits and '-', "
        "starting with a letter and not ending with '-'",
    ),
]
NodePort = Annotated[int, Field(ge=30000, le=32767, strict=True)]
# Images made on this machine have no digest; docker and podman agree on this name for them.
LOCAL_IMAGES: Final = "localhost/"
# kubeadm gives each node addresses for that many Pods.
_NODE_PREFIX: Final = 24
# The API server takes no larger range of Service addresses.
_SERVICE_PREFIX: Final = 12


class KindPort(Model):
    """A port of this machine's loopback interface that leads to a Service of type NodePort.

    Args:
        host_port: the port on 127.0.0.1; never on another address, since Kind's nodes are not hardened.
        node_port: the Service's ``nodePort``, 30000 to 32767.
    """

    host_port: Port
    node_port: NodePort


class KindClusterArgs(Model):
    """Arguments of `KindCluster`. A change of any of them but ``readySeconds`` makes the cluster anew.

    Args:
        name: the cluster's name for ``kind``; its context is ``kind-<name>``.
        runtime: what runs the nodes: ``docker`` or ``podman``.
        kubernetes_version: the Kubernetes version, ``MAJOR.MINOR.PATCH``; without ``image`` one of those that
            Kind's release comes with.
        image: another node image with that version, such as a mirror's; pinned by digest, or made on this
            machine and named ``localhost/...``.
        control_planes: nodes of the control plane: 1, 3 or 5. More than one adds a load balancer's container.
        workers: nodes for Pods; with none, Pods run on the control plane's.
        pod_cidr, service_cidr: addresses of Pods and of Services, IPv4.
        ports: ports of this machine that lead into the cluster.
        ready_seconds: how long to wait for the API server and all nodes, once they were made.
    """

    name: ClusterName = "rayfort"
    runtime: Literal["docker", "podman"] = "docker"
    kubernetes_version: SemVer = versions.KIND_KUBERNETES
    image: ImageReference | None = None
    control_planes: Literal[1, 3, 5] = 1
    workers: Annotated[Count, Field(le=50)] = 1
    pod_cidr: Cidr = "10.244.0.0/16"
    service_cidr: Cidr = "10.96.0.0/16"
    ports: tuple[KindPort, ...] = ()
    ready_seconds: Seconds = 300

    @field_validator("image")
    @classmethod
    def _pinned(cls, image: str | None) -> str | None:
        if image and "@sha256:" not in image and not image.startswith(LOCAL_IMAGES):
            raise ValueError(
                "is not pinned; append @sha256:<digest>, or name an image that was made on this machine "
                f"{LOCAL_IMAGES}<name>:<tag>"
            )
        return image

    @model_validator(mode="after")
    def _known_version(self) -> "KindClusterArgs":
        if self.image is None and self.kubernetes_version not in versions.KIND_NODE_DIGESTS:
            known = ", ".join(versions.KIND_NODE_DIGESTS)
            raise ValueError(
                f"`kubernetesVersion` {self.kubernetes_version} has no node image in Kind {versions.KIND} "
                f"(it has {known}); use one of them, or name an `image` with that version"
            )
        tag = (self.image or "").partition("@")[0].rpartition("/")[2].partition(":")[2]
        if tag.startswith("v") and tag[1:] != self.kubernetes_version:
            raise ValueError(
                f"`image` is of Kubernetes {tag[1:]} and `kubernetesVersion` says {self.kubernetes_version}; "
                "set `kubernetesVersion` to what is in the image"
            )
        return self

    @model_validator(mode="after")
    def _networks(self) -> "KindClusterArgs":
        pods, services = _ipv4("podCidr", self.pod_cidr), _ipv4("serviceCidr", self.service_cidr)
        if pods.overlaps(services):
            raise ValueError(
                f"`podCidr` {pods} and `serviceCidr` {services} overlap; give them addresses apart"
            )
        room = 2 ** (_NODE_PREFIX - pods.prefixlen) if pods.prefixlen <= _NODE_PREFIX else 0
        if room < self.nodes:
            raise ValueError(
                f"`podCidr` {pods} has room for {room} nodes, a /{_NODE_PREFIX} for each, and the cluster "
                f"has {self.nodes}; use a larger one, such as 10.244.0.0/16"
            )
        if services.prefixlen < _SERVICE_PREFIX:
            raise ValueError(
                f"`serviceCidr` {services} is larger than the API server takes; use a /{_SERVICE_PREFIX} or "
                "smaller"
            )
        return self

    @model_validator(mode="after")
    def _distinct_ports(self) -> "KindClusterArgs":
        for key in ("host_port", "node_port"):
            taken = [getattr(port, key) for port in self.ports]
            if twice := sorted({number for number in taken if taken.count(number) > 1}):
                shown = "hostPort" if key == "host_port" else "nodePort"
                raise ValueError(f"`ports` has the {shown} {twice[0]} twice; use another one")
        return self

    @property
    def nodes(self) -> int:
        """How many nodes the cluster has."""
        return self.control_planes + self.workers

    @property
    def context(self) -> str:
        """The context in the kubeconfig that Kind writes."""
        return f"kind-{self.name}"

    @property
    def node_image(self) -> str:
        """The image of every node."""
        version = self.kubernetes_version
        return self.image or (
            f"{versions.KIND_NODE_REPOSITORY}:v{version}@{versions.KIND_NODE_DIGESTS[version]}"
        )

    @property
    def facts(self) -> ClusterFacts:
        """What is true of every Kind cluster that Rayfort makes.

        Its network, kindnet, enforces NetworkPolicies (since Kind 0.24) and leaves the usual directories to
        Istio's CNI plugin. No Service gets an address from outside.
        """
        return ClusterFacts(
            dns=ClusterDns.COREDNS,
            kubernetes_version=self.kubernetes_version,
            network_policy=True,
            load_balancers=False,
            workload_identity=False,
            istio_cni=True,
            storage_classes=("standard",),
        )


def _ipv4(key: str, cidr: str) -> IPv4Network:
    network = ip_network(cidr)
    if not isinstance(network, IPv4Network):
        raise ValueError(f"`{key}` {cidr} is not IPv4; write for example 10.244.0.0/16")
    return network
