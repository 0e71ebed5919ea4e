"""Secure Ray on Kubernetes, as Pulumi components."""

from rayfort.cluster import ExistingCluster, ExistingClusterArgs
from rayfort.facts import ClusterDns, ClusterFacts
from rayfort.mesh.gateway import DashboardGateway, DashboardGatewayArgs, GatewaySpec
from rayfort.mesh.gateway_login import IapLogin, JwtLogin
from rayfort.mesh.gateway_network import GatewayService
from rayfort.mesh.gateway_routes import ExposedCluster, GatewayTls
from rayfort.mesh.istio import IstioMesh, IstioMeshArgs
from rayfort.mesh.observability.component import MeshObservability, MeshObservabilityArgs
from rayfort.mesh.observability.spec import ObservabilitySpec
from rayfort.proxy.kbatch import KbatchProxy, KbatchProxyArgs
from rayfort.ray.auth import TokenAuth, TokenSource
from rayfort.ray.auth_token import RayAuthToken, RayAuthTokenArgs
from rayfort.ray.cluster import RayCluster, RayClusterArgs
from rayfort.ray.headless_service import RayHeadlessService, RayHeadlessServiceArgs
from rayfort.ray.netrc import NetrcEntry, NetrcSecret, NetrcSecretArgs
from rayfort.ray.operator import KubeRayOperator, KubeRayOperatorArgs
from rayfort.ray.ports import RayPorts, Traffic
from rayfort.ray.spec import HeadNode, RayClusterSpec, Resources, WorkerGroup
from rayfort.workspace import (
    Client,
    Egress,
    RayWorkspace,
    RayWorkspaceArgs,
    WorkspaceNamespace,
    WorkspaceSpec,
)

__all__ = [
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
    "HeadNode",
    "IapLogin",
    "IstioMesh",
    "IstioMeshArgs",
    "JwtLogin",
    "KbatchProxy",
    "KbatchProxyArgs",
    "KubeRayOperator",
    "KubeRayOperatorArgs",
    "MeshObservability",
    "MeshObservabilityArgs",
    "NetrcEntry",
    "NetrcSecret",
    "NetrcSecretArgs",
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
    "TokenAuth",
    "TokenSource",
    "Traffic",
    "WorkerGroup",
    "WorkspaceNamespace",
    "WorkspaceSpec",
]
