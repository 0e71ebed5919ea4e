"""A stack's configuration as typed, validated models: everything under ``rayfort:``."""

from typing import Final

from rayfort import versions
from rayfort.mesh.gateway import GatewaySpec
from rayfort.mesh.istio import IstioMeshArgs
from rayfort.mesh.observability.spec import ObservabilitySpec
from rayfort.model import ImageRepository, Model
from rayfort.proxy.jupyterhub import hub_of
from rayfort.proxy.jupyterhub_spec import JupyterHubArgs
from rayfort.proxy.kbatch_spec import KbatchProxyArgs
from rayfort.ray.operator import KubeRayOperatorArgs
from rayfort.workspace import WorkspaceSpec

from infra.cluster_settings import ClusterSettings, addon

# Google says only that it hosts the add-on; its requests enter the cluster through GKE's own namespace.
ADDON_NAMESPACE: Final = "kube-system"


class MeshSettings(IstioMeshArgs):
    """The mesh, or that there is none.

    Args:
        enabled: false for no mesh, which leaves Ray's traffic in plaintext. (Pulumi hands a null to programs
            as empty text, so that a null cannot say it.)
    """

    enabled: bool = True


class Settings(Model):
    """Everything that a stack says.

    Args:
        cluster: the Kubernetes cluster.
        platform: false for a stack that makes the cluster alone; another stack then puts the platform on it,
            with `cluster.stack`.
        mesh: Istio.
        operator: the KubeRay operator.
        workspaces: the teams' namespaces with their Ray clusters.
        gateway: the gateway that exposes dashboards; none where it is left out.
        observability: Prometheus, Kiali and Jaeger; none where it is left out.
        kbatch: the batch proxy for JupyterHub users; none where it is left out.
        jupyterhub: JupyterHub itself, wired to that proxy; none where it is left out.
        ray_image: the repository of Ray's image, where a mirror has it; the tag is the Ray version.
    """

    cluster: ClusterSettings
    platform: bool = True
    mesh: MeshSettings = MeshSettings()
    operator: KubeRayOperatorArgs = KubeRayOperatorArgs()
    workspaces: tuple[WorkspaceSpec, ...] = ()
    gateway: GatewaySpec | None = None
    observability: ObservabilitySpec | None = None
    kbatch: KbatchProxyArgs | None = None
    jupyterhub: JupyterHubArgs | None = None
    ray_image: ImageRepository = versions.RAY_IMAGE

    @property
    def istio(self) -> IstioMeshArgs | None:
        """The mesh that the stack has, with what observability needs of it; None for none."""
        if not self.platform or not self.mesh.enabled:
            return None
        observability, domain = self.observability, self.cluster.facts.cluster_domain
        return observability.observed(self.mesh, domain) if observability else self.mesh

    @property
    def batch(self) -> KbatchProxyArgs | None:
        """The batch proxy with the hub that the stack has, if it has one of its own."""
        if self.kbatch is None or self.jupyterhub is None:
            return self.kbatch
        return self.kbatch.model_copy(update=hub_of(self.jupyterhub, self.cluster.facts.cluster_domain))

    @property
    def self_managed_operator(self) -> bool:
        """Whether Rayfort installs the KubeRay operator; else GKE does."""
        return self.platform and addon(self.cluster) is None

    @property
    def operator_version(self) -> str:
        """The version of the operator that the stack has, whoever installs it."""
        google = addon(self.cluster)
        return google.version if google else self.operator.version

    @property
    def operator_namespace(self) -> str:
        """Where the operator's requests come from."""
        return self.operator.namespace if self.self_managed_operator else ADDON_NAMESPACE
