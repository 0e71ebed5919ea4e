"""Values that many tests use: a cluster, secrets that must not leak, and stack files as Pulumi reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pulumi
import yaml
from rayfort import (
    ClusterFacts,
    DashboardGateway,
    DashboardGatewayArgs,
    ExistingCluster,
    ExistingClusterArgs,
    GatewaySpec,
    HeadNode,
    IstioMesh,
    IstioMeshArgs,
    JupyterHub,
    JupyterHubArgs,
    KbatchProxy,
    KbatchProxyArgs,
    KubeRayOperator,
    KubeRayOperatorArgs,
    MeshObservability,
    MeshObservabilityArgs,
    NetrcEntry,
    NetrcSecret,
    NetrcSecretArgs,
    RayAuthToken,
    RayAuthTokenArgs,
    RayCluster,
    RayClusterArgs,
    RayClusterSpec,
    RayHeadlessService,
    RayHeadlessServiceArgs,
    RayWorkspace,
    RayWorkspaceArgs,
    WorkerGroup,
    WorkspaceNamespace,
    WorkspaceSpec,
)
from rayfort.mesh.telemetry import Tracing

ROOT: Final = Path(__file__).resolve().parents[2]
CONTEXT: Final = "here"
KUBECONFIG_TOKEN: Final = "kubeconfig-token-5f1c0e"
NETRC_PASSWORD: Final = "netrc-password-9b1d7a"
HUB_TOKEN: Final = "hub-token-77ac31"
JOB_VALUE: Final = "job-value-c04e52"
CLIENT_SECRET: Final = "client-secret-18b2fe"
ISSUER: Final = "https://login.example.com"
AUTHENTICATOR: Final = {
    "type": "github",
    "config": {"GitHubOAuthenticator": {"client_id": "rayfort", "allowed_organizations": ["team"]}},
    "secrets": {"GitHubOAuthenticator": {"client_secret": CLIENT_SECRET}},
}
GIVEN_SECRETS: Final = (KUBECONFIG_TOKEN, NETRC_PASSWORD, HUB_TOKEN, JOB_VALUE, CLIENT_SECRET)


def kubeconfig(context: str = CONTEXT) -> str:
    """The content of a kubeconfig with one context."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "contexts": [{"name": context, "context": {"cluster": "cluster", "user": "user"}}],
            "clusters": [{"name": "cluster", "cluster": {"server": "https://127.0.0.1:6443"}}],
            "users": [{"name": "user", "user": {"token": KUBECONFIG_TOKEN}}],
        }
    )


def existing_cluster(facts: ClusterFacts | None = None) -> ExistingCluster:
    """A cluster; its provider is the only one that a Kubernetes resource may use."""
    return ExistingCluster(
        "cluster",
        ExistingClusterArgs(kubeconfig=kubeconfig(), context=CONTEXT, facts=facts or ClusterFacts()),
    )


def on_cluster(*after: pulumi.Resource) -> pulumi.ResourceOptions:
    """Options of a component: on a new cluster, after other resources."""
    return pulumi.ResourceOptions(providers=[existing_cluster().provider], depends_on=list(after))


def netrc_entry(machine: str = "github.com") -> NetrcEntry:
    return NetrcEntry(machine=machine, login="robot", password=NETRC_PASSWORD)


def ray_spec(name: str = "ray", **settings: Any) -> RayClusterSpec:
    """A Ray cluster with a head and two worker groups."""
    groups = (WorkerGroup(name="small"), WorkerGroup(name="large", replicas=2))
    return RayClusterSpec(**{"name": name, "head": HeadNode(), "worker_groups": groups, **settings})


def workspace_spec(name: str = "team", **settings: Any) -> WorkspaceSpec:
    """A workspace with everything that a workspace can have."""
    return WorkspaceSpec(
        **{
            "name": name,
            "clusters": (ray_spec(),),
            "netrc": (netrc_entry(),),
            "quota": {"requests.cpu": "64"},
            "metrics_namespaces": ("monitoring",),
            **settings,
        }
    )


def gateway_spec(**settings: Any) -> GatewaySpec:
    """A gateway that exposes the cluster of `workspace_spec`."""
    login = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys", "audiences": ("rayfort",)}
    return GatewaySpec.model_validate(
        {
            "expose": [{"workspace": "team", "cluster": "ray"}],
            "domain": "ray.example.com",
            "tls": {"credential_name": "dashboards"},
            **({} if "iap" in settings else {"jwt": login}),
            **settings,
        }
    )


def kbatch_args(**settings: Any) -> KbatchProxyArgs:
    return KbatchProxyArgs(
        **{
            "users": ("alice", "bob.b"),
            "hub_api_token": HUB_TOKEN,
            "job_env": {"DASK_GATEWAY__AUTH__TYPE": "jupyterhub", "DASK_PASSWORD": JOB_VALUE},
            **settings,
        }
    )


def jupyterhub_args(**settings: Any) -> JupyterHubArgs:
    """A hub that people log in to with GitHub."""
    return JupyterHubArgs.model_validate({"authenticator": AUTHENTICATOR, **settings})


# Each public component, made as a caller would make it; `opts` give the provider.
COMPONENTS: Final[Mapping[str, Callable[[pulumi.ResourceOptions], pulumi.Resource]]] = {
    "IstioMesh": lambda opts: IstioMesh("mesh", IstioMeshArgs(tracing=Tracing()), opts),
    "MeshObservability": lambda opts: MeshObservability(
        "observability", MeshObservabilityArgs(namespaces=("team",)), opts
    ),
    "KubeRayOperator": lambda opts: KubeRayOperator("kuberay", KubeRayOperatorArgs(), opts),
    "RayAuthToken": lambda opts: RayAuthToken(
        "token", RayAuthTokenArgs(namespace="team", prefix="ray-auth"), opts
    ),
    "NetrcSecret": lambda opts: NetrcSecret(
        "netrc", NetrcSecretArgs(namespace="team", entries=(netrc_entry(),)), opts
    ),
    "RayHeadlessService": lambda opts: RayHeadlessService(
        "headless", RayHeadlessServiceArgs(cluster="ray", namespace="team"), opts
    ),
    "RayCluster": lambda opts: RayCluster(
        "ray", RayClusterArgs(spec=ray_spec(), namespace="team", netrc_secret="netrc-secret"), opts
    ),
    "WorkspaceNamespace": lambda opts: WorkspaceNamespace(
        "team", RayWorkspaceArgs(spec=workspace_spec()), opts
    ),
    "RayWorkspace": lambda opts: RayWorkspace("team", RayWorkspaceArgs(spec=workspace_spec()), opts),
    "DashboardGateway": lambda opts: DashboardGateway(
        "gateway", DashboardGatewayArgs(spec=gateway_spec(), workspaces=(workspace_spec(),)), opts
    ),
    "KbatchProxy": lambda opts: KbatchProxy("kbatch", kbatch_args(), opts),
    "JupyterHub": lambda opts: JupyterHub("jupyterhub", jupyterhub_args(), opts),
}


def encoded(values: Mapping[str, Any]) -> dict[str, str]:
    """A stack's configuration as Pulumi hands it to a program: text, everything else as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def stack_values(name: str) -> dict[str, Any]:
    """The ``config`` block of a stack file of the repository."""
    content = yaml.safe_load((ROOT / "stacks" / f"Pulumi.{name}.yaml").read_text())
    values: dict[str, Any] = content["config"]
    return values


def with_project_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with the defaults of Pulumi.yaml, which Pulumi adds before it runs the program."""
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    defaults = {key: entry["default"] for key, entry in declared.items() if "default" in entry}
    return {**defaults, **values}
