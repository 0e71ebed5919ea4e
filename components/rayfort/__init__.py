"""Secure Ray on Kubernetes, as Pulumi components."""

from typing import TYPE_CHECKING, Any

from rayfort import cluster
from rayfort.cluster import (
    ExistingCluster,
    ExistingClusterArgs,
    GkeClusterArgs,
    KindCluster,
    KindClusterArgs,
    KindPort,
)
from rayfort.facts import ClusterDns, ClusterFacts
from rayfort.mesh.gateway import DashboardGateway, DashboardGatewayArgs, GatewaySpec
from rayfort.mesh.gateway_login import IapLogin, JwtLogin
from rayfort.mesh.gateway_network import GatewayService
from rayfort.mesh.gateway_routes import ExposedCluster, GatewayTls
from rayfort.mesh.istio import IstioMesh, IstioMeshArgs
from rayfort.mesh.observability.component import MeshObservability, MeshObservabilityArgs
from rayfort.mesh.observability.spec import ObservabilitySpec
from rayfort.proxy.jupyterhub import JupyterHub
from rayfort.proxy.jupyterhub_spec import Authenticator, JupyterHubArgs, NotebookEgress
from rayfort.proxy.kbatch import KbatchProxy
from rayfort.proxy.kbatch_members import KbatchGroup, KbatchUser
from rayfort.proxy.kbatch_spec import JobEgress, JobRules, KbatchProxyArgs
from rayfort.ray.auth import TokenAuth, TokenSource
from rayfort.ray.auth_token import RayAuthToken, RayAuthTokenArgs
from rayfort.ray.cluster import RayCluster, RayClusterArgs
from rayfort.ray.fault_tolerance import GcsFaultTolerance
from rayfort.ray.headless_service import RayHeadlessService, RayHeadlessServiceArgs
from rayfort.ray.netrc import NetrcEntry, NetrcSecret, NetrcSecretArgs
from rayfort.ray.operator import KubeRayOperator, KubeRayOperatorArgs
from rayfort.ray.ports import RayPorts, Traffic
from rayfort.ray.secret_key import SecretKeyRef
from rayfort.ray.spec import HeadNode, RayClusterSpec, Resources, WorkerGroup
from rayfort.workspace import (
    Client,
    Egress,
    RayWorkspace,
    RayWorkspaceArgs,
    WorkspaceNamespace,
    WorkspaceSpec,
)

if TYPE_CHECKING:
    from rayfort.cluster import GkeCluster

__all__ = [
    "Authenticator",
    "Client",
    "ClusterDns",
    "ClusterFacts",
    "DashboardGateway",
    "DashboardGatewayArgs",
    "Egress",
    "ExistingCluster",
    "ExistingClusterArgs",
    "ExposedCluster",
    "GatewayService",
    "GatewaySpec",
    "GatewayTls",
    "GcsFaultTolerance",
    "GkeCluster",
    "GkeClusterArgs",
    "HeadNode",
    "IapLogin",
    "IstioMesh",
    "IstioMeshArgs",
    "JobEgress",
    "JobRules",
    "JupyterHub",
    "JupyterHubArgs",
    "JwtLogin",
    "KbatchGroup",
    "KbatchProxy",
    "KbatchProxyArgs",
    "KbatchUser",
    "KindCluster",
    "KindClusterArgs",
    "KindPort",
    "KubeRayOperator",
    "KubeRayOperatorArgs",
    "MeshObservability",
    "MeshObservabilityArgs",
    "NetrcEntry",
    "NetrcSecret",
    "NetrcSecretArgs",
    "NotebookEgress",
    "ObservabilitySpec",
    "RayAuthToken",
    "RayAuthTokenArgs",
    "RayCluster",
    "RayClusterArgs",
    "RayClusterSpec",
    "RayHeadlessService",
    "RayHeadlessServiceArgs",
    "RayPorts",
    "RayWorkspace",
    "RayWorkspaceArgs",
    "Resources",
    "SecretKeyRef",
    "TokenAuth",
    "TokenSource",
    "Traffic",
    "WorkerGroup",
    "WorkspaceNamespace",
    "WorkspaceSpec",
]


def __getattr__(name: str) -> Any:
    """What is imported on demand."""
    if name == "GkeCluster":
        return cluster.GkeCluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
