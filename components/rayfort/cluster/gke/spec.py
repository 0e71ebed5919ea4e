"""What a user says about a GKE cluster."""

from collections import Counter
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, field_validator, model_validator

from rayfort import versions
from rayfort.cluster.gke.access import ControlPlaneAccess
from rayfort.cluster.gke.addresses import GkeNetwork
from rayfort.cluster.gke.autoscaling import AutoProvisioning
from rayfort.cluster.gke.machines import PROTECTED_VM_FAMILIES
from rayfort.cluster.gke.maintenance import Maintenance
from rayfort.cluster.gke.placement import pool_facts, taints
from rayfort.cluster.gke.places import (
    GkeName,
    ImageRepositoryPath,
    KmsKey,
    Location,
    ProjectId,
    SecurityGroup,
    ServiceAccountEmail,
    Zone,
    is_zone,
    region_of,
)
from rayfort.cluster.gke.pools import NodePool
from rayfort.facts import ClusterDns, ClusterFacts
from rayfort.model import Model, SemVer, Written

CloudLabelName = Annotated[
    str,
    Written(
        r"[a-z][-_a-z0-9]{0,62}",
        "is not the name of a label of Google Cloud; use at most 63 lower-case letters, digits, '-' and '_', "
        "beginning with a letter",
    ),
]
CloudLabelValue = Annotated[
    str,
    Written(
        r"[-_a-z0-9]{0,63}",
        "is not the value of a label of Google Cloud; use at most 63 lower-case letters, digits, '-' and '_'",
    ),
]

# The oldest minor version that the channels but EXTENDED still made clusters of when this was written.
OLDEST_IN_CHANNELS: Final = "1.33.0"
# Cloud DNS answers Pods at the node's metadata server, on port 53.
METADATA_DNS: Final = "169.254.169.254/32"
# Those of the persistent disks' driver; the first is the default one.
STORAGE_CLASSES: Final = ("standard-rwo", "premium-rwo")


class ReleaseChannel(StrEnum):
    """Who upgrades the cluster, and how early; a cluster without a channel is not offered."""

    RAPID = "RAPID"
    REGULAR = "REGULAR"
    STABLE = "STABLE"
    EXTENDED = "EXTENDED"


class SecretsEncryption(Model):
    """The key in Cloud KMS with which GKE encrypts Secrets before it stores them.

    Args:
        key: a key that exists; by default one is made, with a key ring of its own.
        rotation_days: how often a key that is made gets a new version.
    """

    key: KmsKey | None = None
    rotation_days: Annotated[int, Field(ge=1, le=3650, strict=True)] = 90


class RayOperatorAddon(Model):
    """GKE's own Ray operator, which Google installs and upgrades.

    Args:
        version: the version of KubeRay that it runs; GKE's release notes say it, and no setting chooses it.
        logging: whether Ray's logs go to Cloud Logging.
        monitoring: whether Ray's metrics go to Managed Prometheus.
    """

    version: SemVer
    logging: bool = True
    monitoring: bool = True


class GkeClusterArgs(Model):
    """Arguments of `GkeCluster`.

    Args:
        name: the cluster's name; network, service account and firewall are named after it.
        project: the id of the Google Cloud project.
        location: a region, for three control planes, or a zone, for one.
        zones: in a region, the zones of the nodes; by default Google chooses three.
        network: addresses, flow logs and NAT.
        access: who reaches the control plane.
        channel: ``RAPID``, ``REGULAR``, ``STABLE`` or ``EXTENDED``.
        kubernetes_version: the oldest version that the cluster may begin with, ``MAJOR.MINOR.PATCH``; by
            default the channel's own.
        maintenance: when Google may upgrade.
        node_pools: the node pools; at least one must take any Pod.
        auto_provisioning: bounds for pools that GKE makes by itself; none where it is left out.
        pods_per_node: how many Pods a node may run, 8 to 256.
        dns: ``cloud-dns`` or ``kube-dns``.
        encryption: the key for Secrets.
        image_repositories: repositories of Artifact Registry that nodes may read; they read no other of a
            project's.
        security_group: a group of Google Workspace whose members may be named in RBAC.
        istio_cni: whether Istio's CNI plugin runs on the nodes. Nobody says or has shown that it works with
            Dataplane V2, which this cluster has.
        ray_operator_addon: GKE's own Ray operator, instead of the one that Rayfort installs.
        binary_authorization: whether the project's policy decides which images run.
        vulnerability_scanning: whether images of running Pods are scanned, which costs.
        confidential_nodes: whether memory of nodes is encrypted; N2D, C2D and C3D machines only.
        image_streaming: whether nodes start containers before their images are there as a whole.
        enable_apis: whether the APIs that are needed are switched on in the project.
        impersonate: a service account that acts instead of whoever runs Pulumi, so that a preview on a laptop
            has the rights of CI, and no more.
        labels: labels of everything that can have some, for the bill.
        deletion_protection: whether neither Google nor Pulumi deletes the cluster and its key. To destroy
            them, an `up` without it comes first.
    """

    name: GkeName
    project: ProjectId
    location: Location
    zones: tuple[Zone, ...] = ()
    network: GkeNetwork = GkeNetwork()
    access: ControlPlaneAccess = ControlPlaneAccess()
    channel: ReleaseChannel = ReleaseChannel.REGULAR
    kubernetes_version: SemVer | None = None
    maintenance: Maintenance = Maintenance()
    node_pools: Annotated[tuple[NodePool, ...], Field(min_length=1)]
    auto_provisioning: AutoProvisioning | None = None
    pods_per_node: Annotated[int, Field(ge=8, le=256, strict=True)] = 110
    dns: ClusterDns = ClusterDns.CLOUD_DNS
    encryption: SecretsEncryption = SecretsEncryption()
    image_repositories: tuple[ImageRepositoryPath, ...] = ()
    security_group: SecurityGroup | None = None
    istio_cni: bool = False
    ray_operator_addon: RayOperatorAddon | None = None
    binary_authorization: bool = False
    vulnerability_scanning: bool = False
    confidential_nodes: bool = False
    image_streaming: bool = True
    enable_apis: bool = True
    impersonate: ServiceAccountEmail | None = None
    labels: dict[CloudLabelName, CloudLabelValue] = {}
    deletion_protection: bool = True

    @field_validator("dns")
    @classmethod
    def _offered(cls, value: ClusterDns) -> ClusterDns:
        if value is ClusterDns.COREDNS:
            raise ValueError("GKE offers cloud-dns and kube-dns, and no coredns; use one of them")
        return value

    @field_validator("node_pools")
    @classmethod
    def _pools(cls, value: tuple[NodePool, ...]) -> tuple[NodePool, ...]:
        for name, count in Counter(pool.name for pool in value).items():
            if count > 1:
                raise ValueError(f"pool {name} stands {count} times; give each its own name")
        if all(taints(pool) for pool in value):
            raise ValueError(
                "every pool is for something special, so that istiod and the operator could run nowhere; add "
                "one with role general, and without spot and accelerators"
            )
        return value

    @model_validator(mode="after")
    def _agrees(self) -> "GkeClusterArgs":
        self._check_places()
        self._check_room()
        if self.channel is ReleaseChannel.EXTENDED and self.kubernetes_version is None:
            raise ValueError(
                "channel EXTENDED keeps old versions, whose kubelets differ; set kubernetesVersion as well"
            )
        if self.kubernetes_version and not versions.at_least(self.kubernetes_version, "1.30.0"):
            raise ValueError(
                f"kubernetesVersion {self.kubernetes_version} is older than what GKE still runs; use 1.30.0 "
                "or newer"
            )
        if self.encryption.key and f"/locations/{self.region}/" not in self.encryption.key:
            raise ValueError(
                f"encryption.key is not in {self.region}, where the cluster is; GKE takes a key of its region"
            )
        self._check_confidential()
        return self

    def _check_places(self) -> None:
        if self.zonal and self.zones:
            raise ValueError(
                f"zones are of regional clusters, and {self.location} is one zone; set location to "
                f"{self.region}, or leave zones out"
            )
        for zone in (*self.zones, *(zone for pool in self.node_pools for zone in pool.zones)):
            if region_of(zone) != self.region:
                raise ValueError(f"zone {zone} is not in {self.region}, where the cluster is; correct it")

    def _check_room(self) -> None:
        surge = sum(pool.max_nodes + pool.upgrade.max_surge for pool in self.node_pools)
        for key, most in (
            ("nodes", self.network.most_nodes),
            ("pods", self.network.most_nodes_with_pods(self.pods_per_node)),
        ):
            if surge > most:
                raise ValueError(
                    f"network.{key} has room for {most} nodes, and the pools may have {surge} while they are "
                    "upgraded; widen it, or lower maxNodes" + (" or podsPerNode" if key == "pods" else "")
                )

    def _check_confidential(self) -> None:
        for pool in self.node_pools if self.confidential_nodes else ():
            if pool.machine.family not in PROTECTED_VM_FAMILIES:
                raise ValueError(
                    f"confidentialNodes are not offered with {pool.machine_type} of pool {pool.name}; use "
                    f"{', '.join(sorted(PROTECTED_VM_FAMILIES))}"
                )

    @property
    def zonal(self) -> bool:
        """Whether the cluster has one control plane, in one zone."""
        return is_zone(self.location)

    @property
    def region(self) -> str:
        """The cluster's region."""
        return region_of(self.location)

    @property
    def identifier(self) -> str:
        """What Google calls the cluster: the same as long as it is the same cluster."""
        return f"projects/{self.project}/locations/{self.location}/clusters/{self.name}"

    @property
    def context(self) -> str:
        """The context of the kubeconfig, named as gcloud names it."""
        return f"gke_{self.project}_{self.location}_{self.name}"

    @property
    def facts(self) -> ClusterFacts:
        """What the cluster will be like."""
        return ClusterFacts(
            dns=self.dns,
            dns_addresses=(METADATA_DNS,) if self.dns is ClusterDns.CLOUD_DNS else (),
            kubernetes_version=self.kubernetes_version or OLDEST_IN_CHANNELS,
            network_policy=True,
            load_balancers=True,
            workload_identity=True,
            istio_cni=self.istio_cni,
            api_server_cidrs=(self.network.control_plane,),
            storage_classes=STORAGE_CLASSES,
            node_pools={pool.name: pool_facts(pool) for pool in self.node_pools},
        )
