"""Resources for the rules, and what makes them.

The credentials are made up: no one of them was ever valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

LEAKED: Final = "s3cr3t-4f1d"
GITHUB: Final = "ghp_" + "a1B2" * 9
POD: Final = "kubernetes:core/v1:Pod"
DEPLOYMENT: Final = "kubernetes:apps/v1:Deployment"
SERVICE: Final = "kubernetes:core/v1:Service"
SECRET: Final = "kubernetes:core/v1:Secret"
CONFIG_MAP: Final = "kubernetes:core/v1:ConfigMap"
RELEASE: Final = "kubernetes:helm.sh/v3:Release"
RAY_CLUSTER: Final = "kubernetes:ray.io/v1:RayCluster"
RAY_JOB: Final = "kubernetes:ray.io/v1:RayJob"
RAY_SERVICE: Final = "kubernetes:ray.io/v1:RayService"
RAY_CRON_JOB: Final = "kubernetes:ray.io/v1:RayCronJob"
PEER: Final = "kubernetes:security.istio.io/v1:PeerAuthentication"
RULE: Final = "kubernetes:networking.istio.io/v1:DestinationRule"
GATEWAY: Final = "kubernetes:networking.istio.io/v1:Gateway"
GATEWAY_API: Final = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
GKE: Final = "gcp:container/cluster:Cluster"
NODES: Final = "gcp:container/nodePool:NodePool"
PROVIDER: Final = "pulumi:providers:kubernetes"
IN_CLUSTER: Final = "ray-head.team.svc.cluster.local"


@dataclass(frozen=True)
class Case:
    """A resource for one rule.

    Attributes:
        rule: the rule's name.
        what: what is wrong with the resource, or what it only looks like.
        type, properties: the resource.
        where: the path that a violation names; None where there must be none.
        config: the rule's settings.
        protect: Pulumi's option of that name.
    """

    rule: str
    what: str
    type: str
    properties: Mapping[str, Any]
    where: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    protect: bool = False

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


def ray_spec(**changes: Any) -> dict[str, Any]:
    """The specification of a Ray cluster that keeps every rule, with ``changes`` laid over it."""
    return {
        "rayVersion": "2.55.1",
        "authOptions": {"mode": "token"},
        "headGroupSpec": {"template": {"spec": pod()}, "rayStartParams": {}},
        "workerGroupSpecs": [{"groupName": "small", "template": {"spec": pod()}}],
        **changes,
    }


def head(**changes: Any) -> dict[str, Any]:
    """A Ray cluster whose head's group is changed."""
    return ray_spec(headGroupSpec={"template": {"spec": pod()}, **changes})


def head_pod(**changes: Any) -> dict[str, Any]:
    """A Ray cluster whose head's Pods are changed."""
    return head(template={"spec": pod(**changes)})


def pod(env: Any = None, container: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The specification of a Pod that keeps every rule, with changes laid over it."""
    made = {"name": "main", "image": "docker.io/rayproject/ray:2.55.1", **(container or {})}
    if env is not None:
        made["env"] = env
    return {"automountServiceAccountToken": False, "containers": [made], **changes}


def deployment(**changes: Any) -> dict[str, Any]:
    """A Deployment of such a Pod."""
    return {"metadata": {"name": "app", "namespace": "team"}, "spec": {"template": {"spec": pod(**changes)}}}


def cluster(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A RayCluster."""
    return {"metadata": {"name": "ray", "namespace": "team"}, "spec": dict(spec)}


def service(annotations: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A Service."""
    return {"metadata": {"name": "app", "namespace": "team", "annotations": annotations or {}}, "spec": spec}


def chart(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A Helm release."""
    return {"name": name, "namespace": "team", "chart": name, "values": values}


def istiod(**mesh_config: Any) -> dict[str, Any]:
    """istiod's release."""
    return chart("istiod", {"meshConfig": mesh_config})


def server(protocol: str = "HTTPS", **tls: Any) -> dict[str, Any]:
    """An Istio Gateway with one server."""
    return {"spec": {"servers": [{"port": {"number": 443, "protocol": protocol}, "tls": tls}]}}


def node_config(**changes: Any) -> dict[str, Any]:
    """Nodes of GKE that keep every rule."""
    return {
        "serviceAccount": "nodes@project.iam.gserviceaccount.com",
        "shieldedInstanceConfig": {"enableSecureBoot": True, "enableIntegrityMonitoring": True},
        "workloadMetadataConfig": {"mode": "GKE_METADATA"},
        **changes,
    }


def gke(**changes: Any) -> dict[str, Any]:
    """A GKE cluster that keeps every rule."""
    return {
        "privateClusterConfig": {"enablePrivateNodes": True},
        "workloadIdentityConfig": {"workloadPool": "project.svc.id.goog"},
        "removeDefaultNodePool": True,
        "deletionProtection": True,
        "masterAuth": {"clientCertificateConfig": {"issueClientCertificate": False}},
        **changes,
    }


TLS_1_3: Final = {"minProtocolVersion": "TLSV1_3"}
HEAD_SPEC: Final = "spec.headGroupSpec.template.spec"
JOB_URL: Final = f"https://robot:{LEAKED}@git.example.com/team/code.zip"
KUBECONFIG: Final = f"users:\n- name: me\n  user:\n    token: {LEAKED}\n"
PLAINTEXT_SUBSET: Final = {"name": "v1", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}
TOKEN_BY_ENV: Final = [
    {"name": "RAY_AUTH_MODE", "value": "token"},
    {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": "ray-auth", "key": "auth_token"}}},
]
