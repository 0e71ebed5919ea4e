from .cluster import (
    ExistingCluster,
    ExistingClusterArgs,
    GkeCluster,
    GkeClusterArgs,
    KindCluster,
    KindClusterArgs,
    KindPort,
)
from .facts import ClusterDns, ClusterFacts
from .mesh.gateway import DashboardGateway, DashboardGatewayArgs, GatewaySpec
from .mesh.gateway_login import IapLogin, JwtLogin
from .mesh.gateway_network import GatewayService
from .mesh.gateway_routes import ExposedCluster, GatewayTls
from .mesh.istio import IstioMesh, IstioMeshArgs
from .mesh.observability.component import MeshObservability, MeshObservabilityArgs
from .mesh.observability.spec import ObservabilitySpec
from .proxy.jupyterhub import JupyterHub
from .proxy.jupyterhub_spec import Authenticator, JupyterHubArgs, NotebookEgress
from .proxy.kbatch import KbatchProxy
from .proxy.kbatch_members import KbatchGroup, KbatchUser
from .proxy.kbatch_spec import JobEgress, JobRules, KbatchProxyArgs
from .ray.auth import TokenAuth, TokenSource
from .ray.auth_token import RayAuthToken, RayAuthTokenArgs
from .ray.cluster import RayCluster, RayClusterArgs
from .ray.fault_tolerance import GcsFaultTolerance
from .ray.headless_service import RayHeadlessService, RayHeadlessServiceArgs
from .ray.netrc import NetrcEntry, NetrcSecret, NetrcSecretArgs
from .ray.operator import KubeRayOperator, KubeRayOperatorArgs
from .ray.ports import RayPorts, Traffic
from .ray.secret_key import SecretKeyRef
from .ray.spec import HeadNode, RayClusterSpec, Resources, WorkerGroup
from .workspace import (
    Client,
    Egress,
    RayWorkspace,
    RayWorkspaceArgs,
    WorkspaceNamespace,
    WorkspaceSpec,
)

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
