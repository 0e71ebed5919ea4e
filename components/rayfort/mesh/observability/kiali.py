"""Kiali: the mesh as a picture, for people who log in."""

from typing import Annotated, Final

import pulumi
from pydantic import AfterValidator, Field

from rayfort import labels, versions
from rayfort.chart import Chart
from rayfort.mesh import membership
from rayfort.mesh.observability import jaeger, prometheus
from rayfort.mesh.observability.surroundings import Surroundings, refuse
from rayfort.model import HttpUrl, ImageRepository, ImageTag, JsonObject, Model, SecretInput, SemVer, merge

CHART: Final = "kiali-server"
NAME: Final = "kiali"  # of its release, Service and service account
PORT: Final = 20001
PATH: Final = "/kiali"
POD: Final = {labels.NAME: "kiali", "app.kubernetes.io/instance": NAME}
SIGNING_SECRET: Final = "kiali-signing-key"  # noqa: S105 - what the Secret's name begins with
SIGNING_KEY: Final = "signing-key"
SIGNING_KEY_LENGTH: Final = 32  # Kiali takes 16, 24 or 32 bytes
OPENID_SECRET: Final = "kiali-openid"  # noqa: S105 - the Secret's name
OPENID_KEY: Final = "oidc-secret"  # the file that Kiali looks for
_EXPOSING: Final = ("deployment.ingress", "deployment.service_type", "server.node_port")


def _guarded(values: JsonObject) -> JsonObject:
    refuse(values, ["auth"], "people log in with a token, or as `openid` says, and never anonymously")
    refuse(values, ["login_token"], "the key that signs sessions is a random Secret; change `rotation`")
    return refuse(values, _EXPOSING, "reach Kiali by port-forward, or through a gateway of yours")


def _https(value: str) -> str:
    if not value.startswith("https://"):
        raise ValueError("is not an https URL; a login must not travel in the clear")
    return value


class OpenId(Model):
    """Login with OpenID Connect; the API server must take the same identity provider's tokens.

    Args:
        issuer: the identity provider's URL.
        client_id: Kiali's name there.
        client_secret: its secret, where the provider asks for one (secret).
        username_claim: the claim that holds the user's name.
        scopes: what is asked for.
    """

    issuer: Annotated[HttpUrl, AfterValidator(_https)]
    client_id: str = Field(min_length=1)
    client_secret: SecretInput | None = Field(default=None, repr=False)
    username_claim: str = Field(default="sub", min_length=1)
    scopes: tuple[str, ...] = ("openid", "profile", "email")


class KialiArgs(Model):
    """Settings of Kiali.

    Args:
        version: the chart's version.
        chart: where the chart comes from; by default the official repository at ``version``.
        image_repository, image_tag: its image, where a mirror has it.
        openid: login with OpenID Connect; by default people log in with a token of Kubernetes.
        view_only: whether nobody changes Istio's objects in Kiali, whatever rights his login has.
        rotation: any text; changing it makes a new key for signing sessions, which ends all of them.
        values: further chart values, laid over what Rayfort computes; none may publish Kiali or change how
            people log in.
    """

    version: SemVer = versions.KIALI_CHART
    chart: Chart | None = None
    image_repository: ImageRepository | None = None
    image_tag: ImageTag | None = None
    openid: OpenId | None = None
    view_only: bool = True
    rotation: str = "1"
    values: Annotated[JsonObject, AfterValidator(_guarded)] = {}

    @property
    def chart_source(self) -> Chart:
        """The chart in force."""
        return self.chart or Chart(
            chart=CHART, repository=versions.KIALI_CHART_REPOSITORY, version=self.version
        )


def values(args: KialiArgs, around: Surroundings, signing_key: pulumi.Input[str]) -> JsonObject:
    """The values of its chart.

    Args:
        args: the settings.
        around: what it is put into.
        signing_key: where the key that signs sessions is: ``secret:<Secret>:<key>``.
    """
    namespaces = {"key": labels.NAMESPACE_NAME, "operator": "In", "values": list(around.watched)}
    deployment: JsonObject = {
        "instance_name": NAME,
        # Roles in these namespaces, instead of rights in the whole cluster.
        "cluster_wide_access": False,
        "discovery_selectors": {"default": [{"matchExpressions": [namespaces]}]},
        "view_only_mode": args.view_only,
        "network_policy": {"enabled": False},  # the chart's lets everybody in; Rayfort's does not
        "ingress": {"enabled": False},
        "service_type": "ClusterIP",
        "image_pull_policy": "IfNotPresent",
        "pod_labels": membership.pod_labels(around.revision),
    }
    image = {"image_name": args.image_repository, "image_version": args.image_tag}
    deployment |= {key: value for key, value in image.items() if value}
    auth: JsonObject = {"strategy": "token"}
    if args.openid:
        auth = {"strategy": "openid", "openid": _openid(args.openid)}
        if args.openid.client_secret is not None:
            deployment["secret_name"] = OPENID_SECRET
    computed: JsonObject = {
        "auth": auth,
        "deployment": deployment,
        # It would look for other clusters' kubeconfigs among the namespace's Secrets.
        "clustering": {"autodetect_secrets": {"enabled": False}},
        "external_services": {
            "istio": {"root_namespace": around.mesh_namespace},
            "prometheus": {"url": f"http://{around.host(prometheus.NAME)}:{prometheus.PORT}"},
            "tracing": {
                "enabled": True,
                "provider": "jaeger",
                "internal_url": f"http://{around.host(jaeger.NAME)}:{jaeger.QUERY_GRPC_PORT}",
                "use_grpc": True,
                "disable_version_check": True,  # asks port 80, which Jaeger does not have
            },
            "grafana": {"enabled": False},
        },
        # What jobs print is their team's business: no right to read logs.
        "kiali_feature_flags": {"disabled_features": ["logs-tab"]},
        "login_token": {"signing_key": signing_key},
    }
    return merge(computed, args.values)


def _openid(openid: OpenId) -> JsonObject:
    return {
        "issuer_uri": openid.issuer,
        "client_id": openid.client_id,
        "username_claim": openid.username_claim,
        "scopes": list(openid.scopes),
    }
