"""The gateway for dashboards: TLS 1.3, a login in front of everything, and never open to everybody."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from rayfort import (
    ClusterFacts,
    DashboardGateway,
    DashboardGatewayArgs,
    GatewaySpec,
    IstioMeshArgs,
    RayPorts,
    RayWorkspaceArgs,
    WorkspaceSpec,
)
from rayfort.chart import Chart
from rayfort.mesh.gateway import doors, gateway_values, mesh_policies, namespace_labels, network_policies
from rayfort.mesh.gateway_network import INTERNAL
from rayfort.mesh.telemetry import Tracing
from rayfort.ray.ports import NodeRole, Peer, ports_for
from rayfort.workspace import mesh_policies as workspace_mesh_policies
from rayfort.workspace import network_policies as workspace_network_policies

from cli import offline
from cli.highlights import highlights
from cli.stacks import load
from infra.platform import build, outputs
from infra.problems import SettingsError
from infra.reading import parse
from infra.settings import Settings
from infra.weakened import weakened
from tests.unit import samples
from tests.unit.recorder import NAMESPACE_OBJECT, RAY_CLUSTER, RELEASE, Run, record

IAP = {"audience": "/projects/123456/global/backendServices/789"}
PUBLIC_KEY = {"kty": "RSA", "kid": "one", "n": "AQAB", "e": "AQAB"}
JWT: dict[str, Any] = {
    "issuer": samples.ISSUER,
    "jwks_uri": f"{samples.ISSUER}/keys",
    "audiences": ("rayfort",),
}
EVERYBODY = "0.0.0.0/0"
OFFICE = "203.0.113.0/24"
BALANCED = ClusterFacts(load_balancers=True)


def arguments(
    workspaces: tuple[WorkspaceSpec, ...] | None = None,
    *,
    mesh: IstioMeshArgs | None = None,
    facts: ClusterFacts = BALANCED,
    **settings: Any,
) -> DashboardGatewayArgs:
    return DashboardGatewayArgs(
        spec=samples.gateway_spec(**settings),
        workspaces=workspaces or (samples.workspace_spec(),),
        mesh=mesh or IstioMeshArgs(),
        facts=facts,
    )


def make(*, preview: bool = False, **settings: Any) -> Run:
    args = arguments(**settings)
    return record(lambda: DashboardGateway("gateway", args, samples.on_cluster()), preview=preview)


def policies(**settings: Any) -> dict[tuple[str, str], Any]:
    return {(kind, name): spec for _, kind, name, spec in mesh_policies(arguments(**settings))}


def network(**settings: Any) -> dict[str, Any]:
    return dict(network_policies(arguments(**settings)))


def jwt_rule(**settings: Any) -> Any:
    (rule,) = policies(**settings)["RequestAuthentication", "login"]["jwtRules"]
    return rule


def allowed(**settings: Any) -> list[Any]:
    rules: list[Any] = policies(**settings)["AuthorizationPolicy", "login"]["rules"]
    return rules


def door(**settings: Any) -> Any:
    (server,) = next(spec for _, kind, _, spec in doors(arguments(**settings)) if kind == "Gateway")[
        "servers"
    ]
    return server


# --- never without a login


@pytest.mark.parametrize("logins", [{"jwt": None}, {"jwt": JWT, "iap": IAP}], ids=["none", "both"])
def test_there_is_exactly_one_login(logins: dict[str, Any]) -> None:
    """Whoever reaches a dashboard hands in jobs: no setting leaves the login out."""
    with pytest.raises(ValidationError, match=r"set either `jwt` or `iap`.*never exposed without a login"):
        samples.gateway_spec(**logins)


def test_nothing_passes_but_what_a_rule_names() -> None:
    """A RequestAuthentication alone lets requests without a JWT pass."""
    assert policies()["AuthorizationPolicy", "allow-nothing"] == {}
    assert policies()["AuthorizationPolicy", "login"]["action"] == "ALLOW"


def test_every_rule_asks_for_the_issuer_and_names_its_host() -> None:
    """A rule without `from` lets everybody in, one without `to` opens every host."""
    clusters = (samples.ray_spec("one"), samples.ray_spec("two"))
    args: dict[str, Any] = {
        "workspaces": (samples.workspace_spec(clusters=clusters),),
        "expose": [{"workspace": "team", "cluster": "one"}, {"workspace": "team", "cluster": "two"}],
    }
    rules = allowed(**args)
    assert [rule["from"] for rule in rules] == [
        [{"source": {"requestPrincipals": [f"{samples.ISSUER}/*"]}}]
    ] * 2
    assert [rule["to"][0]["operation"]["hosts"] for rule in rules] == [
        [host, f"{host}:*"] for host in ("one-team.ray.example.com", "two-team.ray.example.com")
    ]


def test_policies_and_door_are_of_the_gateways_own_pods() -> None:
    """A policy whose labels no Pod has protects nothing."""
    args = arguments()
    labels = {"istio": "dashboard-gateway"}
    assert gateway_values(args)["labels"] == labels
    for (kind, _), spec in policies().items():
        assert spec.get("selector", {"matchLabels": labels}) == {"matchLabels": labels}, kind
    assert next(spec for _, kind, _, spec in doors(args) if kind == "Gateway")["selector"] == labels


def test_claims_of_the_gateway_and_of_the_host_are_both_asked_for() -> None:
    """One team's people have no business at another team's dashboard."""
    (rule,) = allowed(
        claims={"email_verified": ["true"]},
        expose=[{"workspace": "team", "cluster": "ray", "claims": {"groups": ["team", "admins"]}}],
    )
    assert rule["when"] == [
        {"key": "request.auth.claims[email_verified]", "values": ["true"]},
        {"key": "request.auth.claims[groups]", "values": ["team", "admins"]},
    ]
    assert "when" not in allowed()[0]


def test_a_jwt_has_a_header_of_its_own_and_goes_no_further() -> None:
    """Ray reads `Authorization` first, and refuses what is not its token; its code must not get the JWT."""
    rule = jwt_rule()
    assert rule["issuer"] == samples.ISSUER
    assert rule["audiences"] == ["rayfort"]
    assert rule["fromHeaders"] == [{"name": "x-rayfort-jwt"}]
    assert rule["forwardOriginalToken"] is False
    assert "fromCookies" not in rule
    assert "fromParams" not in rule


def test_a_site_has_its_own_header_or_cookie() -> None:
    """Other proxies have names of their own."""
    named = {**JWT, "header": "Cf-Access-Jwt-Assertion", "cookie": "CF_Authorization"}
    rule = jwt_rule(jwt=named)
    assert rule["fromHeaders"] == [{"name": "cf-access-jwt-assertion"}]
    assert rule["fromCookies"] == ["CF_Authorization"]


@pytest.mark.parametrize("header", ["Authorization", "authorization", "X-Ray-Authorization", "Cookie"])
def test_rays_own_headers_are_refused(header: str) -> None:
    """Ray's token could no longer pass."""
    with pytest.raises(ValidationError, match="where Ray looks for its own token"):
        samples.gateway_spec(jwt={**JWT, "header": header})


def test_rays_own_cookie_is_refused() -> None:
    """The dashboard keeps Ray's token in it."""
    with pytest.raises(ValidationError, match="the cookie with Ray's own token"):
        samples.gateway_spec(jwt={**JWT, "cookie": "ray-authentication-token"})


def test_keys_can_be_written_down() -> None:
    """For an issuer that istiod cannot reach."""
    text = json.dumps({"keys": [PUBLIC_KEY]})
    rule = jwt_rule(jwt={"issuer": "ci", "jwks": text, "audiences": ["a"]})
    assert rule["jwks"] == text
    assert "jwksUri" not in rule


@pytest.mark.parametrize(
    ("jwks", "problem"),
    [
        ("no json", "is no set of keys"),
        ("[]", "is no set of keys"),
        ("{}", "is no set of keys"),
        ('{"keys": []}', "holds no keys"),
        ('{"keys": ["x"]}', "holds no keys"),
        (json.dumps({"keys": [{**PUBLIC_KEY, "d": "AQAB"}]}), "holds a private or shared key"),
        (json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}), "holds a private or shared key"),
    ],
)
def test_only_public_keys_are_keys(jwks: str, problem: str) -> None:
    """A private key in a policy is readable for everybody who may read policies."""
    with pytest.raises(ValidationError, match=problem) as caught:
        samples.gateway_spec(jwt={"issuer": "ci", "jwks": jwks, "audiences": ["a"]})
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize(
    "keys", [{}, {"jwks_uri": "https://a.example/", "jwks": '{"keys": [{"kty": "RSA"}]}'}]
)
def test_keys_come_from_one_place(keys: dict[str, str]) -> None:
    """Istio would take one of the two, silently."""
    with pytest.raises(ValidationError, match="set either `jwksUri`"):
        samples.gateway_spec(jwt={"issuer": "ci", "audiences": ["a"], **keys})


@pytest.mark.parametrize(
    "wrong",
    [
        {"audiences": []},
        {"audiences": None},
        {"issuer": "*"},
        {"issuer": ""},
        {"jwks_uri": "http://login.example.com/keys"},
        {"header": "a b"},
        {"cookie": "a;b"},
    ],
    ids=str,
)
def test_a_login_that_would_let_others_in_is_refused(wrong: dict[str, Any]) -> None:
    """Without an audience every JWT of the issuer opens the dashboard, whomever it was made for."""
    with pytest.raises(ValidationError):
        samples.gateway_spec(jwt={**JWT, **wrong})


@pytest.mark.parametrize("claims", [{"groups": []}, {"groups": [""]}, {"a[b]": ["x"]}], ids=str)
def test_a_claim_without_a_value_is_refused(claims: dict[str, Any]) -> None:
    """Istio takes an empty list for no condition at all."""
    with pytest.raises(ValidationError):
        samples.gateway_spec(claims=claims)


def test_iap_is_known_by_googles_names() -> None:
    """What Google documents for signed headers."""
    assert jwt_rule(iap=IAP) == {
        "issuer": "https://cloud.google.com/iap",
        "audiences": [IAP["audience"]],
        "jwksUri": "https://www.gstatic.com/iap/verify/public_key-jwk",
        "fromHeaders": [{"name": "x-goog-iap-jwt-assertion"}],
        "forwardOriginalToken": False,
    }
    assert allowed(iap=IAP)[0]["from"][0]["source"]["requestPrincipals"] == ["https://cloud.google.com/iap/*"]


@pytest.mark.parametrize("audience", ["", "rayfort", "/projects/my-project/global/backendServices/7"])
def test_iap_needs_an_audience(audience: str) -> None:
    """Any Google customer's IAP signs assertions with the same keys."""
    with pytest.raises(ValidationError, match="is not an audience of IAP"):
        samples.gateway_spec(iap={"audience": audience})


# --- never open to everybody


@pytest.mark.parametrize("block", [EVERYBODY, "::/0"])
@pytest.mark.parametrize("kind", ["ClusterIP", "LoadBalancer"])
def test_everybody_is_no_source(block: str, kind: str) -> None:
    """A JWT is the second fence, not the only one."""
    with pytest.raises(ValidationError, match="is everybody"):
        samples.gateway_spec(service={"type": kind, "source_ranges": [OFFICE, block]})


def test_a_load_balancer_needs_sources() -> None:
    """The chart's own default is a load balancer for everybody."""
    with pytest.raises(ValidationError, match="is open to everybody; set `sourceRanges`"):
        samples.gateway_spec(service={"type": "LoadBalancer"})
    assert gateway_values(arguments())["service"]["type"] == "ClusterIP"


def test_both_layers_hold_a_load_balancers_clients_to_their_addresses() -> None:
    """The balancer's own filter is the cloud's; the NetworkPolicy is ours, and must see clients."""
    service = {"type": "LoadBalancer", "source_ranges": [OFFICE]}
    values = gateway_values(arguments(service=service))["service"]
    assert values["loadBalancerSourceRanges"] == [OFFICE]
    assert values["externalTrafficPolicy"] == "Local"
    (rule,) = network(service=service)["allow-clients"]["ingress"]
    assert rule["from"] == [{"ipBlock": {"cidr": OFFICE}}]


@pytest.mark.parametrize(("annotation", "value"), INTERNAL)
def test_an_internal_load_balancer_is_for_private_addresses(annotation: str, value: str) -> None:
    """Each cloud spells it in its own way."""
    service = {"type": "LoadBalancer", "annotations": {annotation: value.capitalize()}}
    (rule,) = network(service=service)["allow-clients"]["ingress"]
    blocks = [peer["ipBlock"]["cidr"] for peer in rule["from"] if "ipBlock" in peer]
    assert blocks == ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
    with pytest.raises(ValidationError, match="is open to everybody"):
        samples.gateway_spec(service={"type": "LoadBalancer", "annotations": {annotation: "External"}})


def test_without_sources_only_the_clusters_pods_connect() -> None:
    """An empty `from` in a NetworkPolicy is everybody."""
    (rule,) = network()["allow-clients"]["ingress"]
    assert rule == {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 8443}]}


def test_behind_iap_only_googles_front_ends_connect() -> None:
    """A request that goes past them brings no assertion, but need not arrive at all."""
    (rule,) = network(iap=IAP)["allow-clients"]["ingress"]
    assert rule["from"] == [{"ipBlock": {"cidr": block}} for block in ("35.191.0.0/16", "130.211.0.0/22")]
    assert [port["port"] for port in rule["ports"]] == [8443, 15021]  # and their health checks


@pytest.mark.parametrize(
    "service",
    [{"type": "LoadBalancer", "source_ranges": [OFFICE]}, {"source_ranges": [OFFICE]}],
    ids=["balanced", "sources"],
)
def test_nothing_leads_past_iap(service: dict[str, Any]) -> None:
    """IAP is a part of Google's application load balancer alone."""
    with pytest.raises(ValidationError, match="IAP"):
        samples.gateway_spec(iap=IAP, service=service)


@pytest.mark.parametrize("key", ["service", "serviceAccount", "name", "labels", "revision", "networkGateway"])
def test_values_that_policies_rest_on_are_not_laid_over(key: str) -> None:
    """`values.service.type` would open what `service` refuses."""
    with pytest.raises(ValidationError, match=f"{key} is set by Rayfort"):
        samples.gateway_spec(values={key: {}})
    assert gateway_values(arguments(values={"priorityClassName": "high"}))["priorityClassName"] == "high"


# --- the door


def test_the_only_door_is_tls_1_3() -> None:
    """On the server itself: a stack may lower the mesh's own minimum."""
    server = door(mesh=IstioMeshArgs(min_tls="TLSV1_2"))
    assert server["port"] == {"number": 443, "name": "https", "protocol": "HTTPS"}
    assert server["tls"] == {
        "mode": "SIMPLE",
        "credentialName": "dashboards",
        "minProtocolVersion": "TLSV1_3",
    }
    (port,) = gateway_values(arguments())["service"]["ports"]
    assert (port["port"], port["targetPort"]) == (443, 8443)


def test_clients_can_be_asked_for_a_certificate() -> None:
    """For a site that has them."""
    assert door(tls={"credential_name": "dashboards", "mode": "MUTUAL"})["tls"]["mode"] == "MUTUAL"


def test_only_the_gateways_namespace_says_where_hosts_lead() -> None:
    """Another team's VirtualService would get the JWTs of this one."""
    made = list(doors(arguments()))
    assert door()["hosts"] == ["./ray-team.ray.example.com"]
    assert door(iap=IAP)["hosts"] == ["./*"]
    (service,) = [spec for _, kind, _, spec in made if kind == "VirtualService"]
    assert service["exportTo"] == ["."]
    assert service["gateways"] == ["dashboard-gateway"]


def test_a_host_leads_to_the_dashboard_and_a_job_is_handed_in_once() -> None:
    """By itself Istio sends a request again when the answer is 503."""
    spec = samples.workspace_spec(
        namespace="ray-team", clusters=(samples.ray_spec(ports=RayPorts(dashboard=8266)),)
    )
    args = arguments((spec,), facts=ClusterFacts(cluster_domain="corp.example"))
    (service,) = [spec for _, kind, _, spec in doors(args) if kind == "VirtualService"]
    assert service["hosts"] == ["ray-team.ray.example.com"]
    assert service["http"] == [
        {
            "route": [
                {"destination": {"host": "ray-head-svc.ray-team.svc.corp.example", "port": {"number": 8266}}}
            ],
            "retries": {"attempts": 0},
            "headers": {"response": {"set": {"strict-transport-security": "max-age=31536000"}}},
        }
    ]
    (rule,) = dict(network_policies(args))["allow-heads"]["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8266}]
    (peer,) = rule["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "ray-team"}
    assert peer["podSelector"]["matchLabels"] == {"ray.io/cluster": "ray", "ray.io/node-type": "head"}


def test_no_two_routes_have_one_name() -> None:
    """`a-b` of `c` and `a` of `b-c` are different clusters."""
    workspaces = (
        samples.workspace_spec("c", clusters=(samples.ray_spec("a-b"),)),
        samples.workspace_spec("b-c", clusters=(samples.ray_spec("a"),)),
    )
    expose = [
        {"workspace": "c", "cluster": "a-b", "host": "one.example.com"},
        {"workspace": "b-c", "cluster": "a", "host": "two.example.com"},
    ]
    names = [name for _, _, name, _ in doors(arguments(workspaces, expose=expose))]
    assert len(names) == len(set(names)) == 3
    same = [{**item, "host": None} for item in expose]
    with pytest.raises(ValidationError, match=r"expose\[1\]: host a-b-c\.ray\.example\.com already leads"):
        arguments(workspaces, expose=same)


# --- its namespace


def test_its_namespace_is_closed_but_for_what_it_needs() -> None:
    """It is the one workload that strangers talk to."""
    tracing = Tracing(service="tempo.observability.svc.cluster.local")
    mesh = IstioMeshArgs(tracing=tracing, metrics_namespaces=("monitoring",))
    assert set(network()) == {"default-deny", "allow-dns", "allow-mesh", "allow-clients", "allow-heads"}
    assert set(network(mesh=mesh)) - set(network()) == {"allow-tracing", "allow-metrics"}
    for name, spec in network(mesh=mesh).items():
        assert spec["podSelector"] == {}, name


def test_its_namespace_takes_restricted_pods_only() -> None:
    """A gateway has no init container that would need NET_ADMIN."""
    labels = namespace_labels(arguments())
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    context = gateway_values(arguments())["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_it_never_fences_kubernetes_own_namespaces(namespace: str) -> None:
    """Default deny in kube-system takes the cluster's DNS down."""
    with pytest.raises(ValidationError, match="is Kubernetes' own"):
        samples.gateway_spec(namespace=namespace)


def test_the_fence_stands_before_the_gateway_does(preview: bool) -> None:
    """For as long as there is no policy, a request without a JWT would pass."""
    run = make(preview=preview)
    gateway = run.one(RELEASE)
    fence = [
        item
        for kind in ("NetworkPolicy", "AuthorizationPolicy", "RequestAuthentication", NAMESPACE_OBJECT)
        for item in run.all(kind)
    ]
    assert len(fence) == 9
    assert {item.urn for item in fence} <= run.before(gateway)
    for kind in ("Gateway", "VirtualService"):
        assert gateway.urn in run.before(run.one(kind))
    for item in run.resources:
        if item.kubernetes and item.type != NAMESPACE_OBJECT:
            assert item.namespace == "istio-ingress", item.type


def test_a_namespace_that_is_there_is_not_made() -> None:
    """A certificate's owner may have made it before."""
    assert not make(create_namespace=False).all(NAMESPACE_OBJECT)


def test_the_chart_is_of_the_meshs_version() -> None:
    """A gateway newer than its istiod is not supported."""
    inputs = make(mesh=IstioMeshArgs(version="1.30.4")).one(RELEASE).inputs
    assert (inputs["chart"], inputs["version"]) == ("gateway", "1.30.4")
    assert inputs["repositoryOpts"] == {"repo": "https://istio-release.storage.googleapis.com/charts"}
    own = make(chart=Chart(chart="/charts/gateway")).one(RELEASE).inputs
    assert own["chart"] == "/charts/gateway"


def test_a_gateway_follows_its_istiod() -> None:
    """In a canary upgrade it moves last, by itself."""
    mesh = IstioMeshArgs(version="1.30.3", revision="old", canary={"version": "1.31.0", "revision": "new"})
    own, moved = arguments(mesh=mesh), arguments(mesh=mesh, revision="new")
    assert [gateway_values(args)["revision"] for args in (own, moved)] == ["old", "new"]
    assert [args.chart_source.version for args in (own, moved)] == ["1.30.3", "1.31.0"]
    assert namespace_labels(moved)["istio.io/rev"] == "new"
    assert "revision" not in gateway_values(arguments())
    with pytest.raises(ValidationError, match="the mesh has no revision other"):
        arguments(mesh=mesh, revision="other")


def test_one_pod_has_no_budget() -> None:
    """The chart refuses a budget that could never be kept."""
    assert gateway_values(arguments())["podDisruptionBudget"] == {"maxUnavailable": 1}
    assert "podDisruptionBudget" not in gateway_values(arguments(replicas=1))


# --- the workspaces let it in


def both_layers(**settings: Any) -> Iterator[tuple[str, list[str]]]:
    """What each layer of a workspace lets the gateway reach on the head."""
    args = RayWorkspaceArgs(spec=samples.workspace_spec(), **settings)
    for rule in dict(workspace_network_policies(args))["ray-head"]["ingress"]:
        if rule["from"] == [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "istio-ingress"}}}
        ]:
            yield "network", [str(port["port"]) for port in rule["ports"]]
    for _, kind, name, spec in workspace_mesh_policies(args):
        for rule in spec["rules"] if (kind, name) == ("AuthorizationPolicy", "ray-head") else ():
            principal = "cluster.local/ns/istio-ingress/sa/dashboard-gateway"
            if rule["from"] == [{"source": {"principals": [principal]}}]:
                yield "mesh", rule["to"][0]["operation"]["ports"]


def test_both_layers_let_the_gateway_reach_the_dashboard_and_nothing_else() -> None:
    """Ray Client has no HTTP, so no JWT: it is not for the gateway."""
    client = samples.gateway_spec().client
    assert dict(both_layers(gateway=client, exposed=("ray",))) == {"network": ["8265"], "mesh": ["8265"]}
    assert [port.name for port in ports_for(RayPorts(), NodeRole.HEAD, Peer.GATEWAY)] == ["dashboard"]


def test_what_is_not_exposed_does_not_let_the_gateway_in() -> None:
    """A cluster is exposed by name, never with its workspace."""
    assert dict(both_layers(gateway=samples.gateway_spec().client, exposed=("other",))) == {}
    assert dict(both_layers()) == {}


# --- settings


def stack(**values: Any) -> Settings:
    return parse(
        {
            "cluster": {
                "kubeconfig": samples.kubeconfig(),
                "context": samples.CONTEXT,
                "facts": {"loadBalancers": True},
            },
            "workspaces": [{"name": "team", "clusters": [{"name": "ray"}, {"name": "other"}]}],
            "gateway": GATEWAY,
            **values,
        }
    )


GATEWAY: dict[str, Any] = {
    "domain": "ray.example.com",
    "tls": {"credentialName": "dashboards"},
    "expose": [{"workspace": "team", "cluster": "ray"}],
    "jwt": {"issuer": samples.ISSUER, "jwksUri": f"{samples.ISSUER}/keys", "audiences": ["rayfort"]},
}
EXPOSED = GATEWAY["expose"][0]


@pytest.mark.parametrize(
    ("values", "key", "text"),
    [
        ({"mesh": {"enabled": False}}, "gateway", "is a part of the mesh, and there is none"),
        (
            {"gateway": {**GATEWAY, "expose": [{**EXPOSED, "workspace": "taem"}]}},
            "gateway.expose[0]",
            "there is no workspace taem",
        ),
        (
            {"gateway": {**GATEWAY, "expose": [EXPOSED, {**EXPOSED, "cluster": "rya"}]}},
            "gateway.expose[1]",
            "workspace team has no Ray cluster rya",
        ),
        (
            {"gateway": {**GATEWAY, "expose": [EXPOSED, {**EXPOSED, "host": "a.example"}]}},
            "gateway.expose[1]",
            "team/ray stands twice",
        ),
        (
            {
                "gateway": {
                    **GATEWAY,
                    "expose": [
                        {**EXPOSED, "host": "a.example"},
                        {**EXPOSED, "cluster": "other", "host": "a.example"},
                    ],
                }
            },
            "gateway.expose[1]",
            "host a.example already leads to team/ray",
        ),
        (
            {"gateway": {key: value for key, value in GATEWAY.items() if key != "domain"}},
            "gateway.expose[0]",
            "team/ray has no host; set `host`, or the gateway's `domain`",
        ),
        (
            {"gateway": {**GATEWAY, "expose": [{**EXPOSED, "host": "dashboard"}]}},
            "gateway.expose[0]",
            "host dashboard is not a full name",
        ),
        (
            {
                "cluster": {"kubeconfig": samples.kubeconfig(), "context": samples.CONTEXT},
                "gateway": {**GATEWAY, "service": {"type": "LoadBalancer", "sourceRanges": [OFFICE]}},
            },
            "gateway.service.type",
            "the cluster gives no addresses to load balancers",
        ),
        (
            {"gateway": {**GATEWAY, "revision": "next"}},
            "gateway.revision",
            "the mesh has no revision next",
        ),
        (
            {"gateway": {**GATEWAY, "namespace": "team"}},
            "workspaces[0].namespace",
            "namespace team belongs to the gateway",
        ),
        ({"gateway": {**GATEWAY, "jwt": None}}, "gateway", "set either `jwt` or `iap`"),
        ({"gateway": {**GATEWAY, "expose": []}}, "gateway.expose", "must have at least 1 entries"),
    ],
)
def test_a_mistake_is_told_with_its_key(values: dict[str, Any], key: str, text: str) -> None:
    """Before anything is touched."""
    with pytest.raises(SettingsError) as caught:
        stack(**values)
    told = {problem.key: problem.text for problem in caught.value.problems}
    assert text in told[f"rayfort:{key}"], told


def test_a_long_name_needs_a_host_of_its_own() -> None:
    """A part of a DNS name has at most 63 letters."""
    team, ray = "t" * 40, "r" * 30
    values = {
        "workspaces": [{"name": team, "clusters": [{"name": ray}]}],
        "gateway": {**GATEWAY, "expose": [{"workspace": team, "cluster": ray}]},
    }
    with pytest.raises(SettingsError, match="too long for DNS; set `host`"):
        stack(**values)


def test_a_gateway_is_off_unless_a_stack_has_one() -> None:
    """No dashboard is exposed by default."""
    assert stack(gateway=None).gateway is None


def test_what_the_gateway_cannot_take_off_is_told() -> None:
    """Envoy removes a header with a JWT, and leaves a cookie."""
    assert weakened(stack()) == []
    (line,) = weakened(stack(gateway={**GATEWAY, "jwt": {**GATEWAY["jwt"], "cookie": "login"}}))
    assert line.startswith("rayfort:gateway.jwt.cookie: the JWT reaches the Ray cluster")


def test_a_stack_with_a_gateway_gets_all_of_it(preview: bool) -> None:
    """The gateway, the workspaces that let it in, and where people find the dashboards."""
    settings = stack(gateway={**GATEWAY, "chart": {"chart": "charts/gateway"}})
    found: dict[str, Any] = {}

    def program() -> None:
        found.update(outputs(build(settings, samples.ROOT), settings))

    run = record(program, preview=preview)
    (release,) = run.all(RELEASE, name="dashboard-gateway")
    assert release.inputs["chart"] == str(samples.ROOT / "charts" / "gateway")
    mesh = run.one("rayfort:index:IstioMesh")
    istiod = next(item for item in run.all(RELEASE) if item.inputs["name"] == "istiod")
    assert mesh and istiod.urn in run.before(release)
    heads = {item.object_name: item.inputs for item in run.all("AuthorizationPolicy")}
    assert "sa/dashboard-gateway" in str(heads["ray-head"])
    assert "sa/dashboard-gateway" not in str(heads["other-head"])
    assert len(run.all(RAY_CLUSTER)) == 2
    assert set(found["gateway"]) == {"urls", "jwtHeader", "service", "portForward"}
    assert found["gateway"]["jwtHeader"] == "x-rayfort-jwt"
    assert set(found["gateway"]["urls"]) == {"team/ray"}


def test_the_urls_are_those_of_the_hosts() -> None:
    """What a person types."""
    component = make().one("rayfort:index:DashboardGateway")
    run = make()
    assert run.registered_outputs[component.urn] == {
        "service": "dashboard-gateway.istio-ingress.svc.cluster.local",
        "urls": {"team/ray": "https://ray-team.ray.example.com"},
    }


def test_a_plan_says_who_passes(tmp_path: Path) -> None:
    """A reviewer must not read that everyone does."""
    (tmp_path / "stacks").mkdir()
    shutil.copy(samples.ROOT / "Pulumi.yaml", tmp_path)
    claims = {"groups": ["team"]}
    config = {
        "rayfort:cluster": {"kubeconfig": samples.kubeconfig(), "context": samples.CONTEXT},
        "rayfort:workspaces": [{"name": "team", "clusters": [{"name": "ray"}]}],
        "rayfort:gateway": {**GATEWAY, "expose": [{**EXPOSED, "claims": claims}]},
    }
    (tmp_path / "stacks" / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
    said = {
        f"{item.kind} {item.inputs['metadata']['name']}": list(highlights(item))
        for item in offline.plan(load(tmp_path, "dev")).resources
        if item.inputs.get("metadata", {}).get("namespace") == "istio-ingress"
    }
    host = "ray-team.ray.example.com"
    assert said["AuthorizationPolicy allow-nothing"] == ["nothing is allowed"]
    assert said["AuthorizationPolicy login"] == [
        f"allow JWTs of {samples.ISSUER} with claims[groups] team on {host}, {host}:*"
    ]
    assert said["RequestAuthentication login"] == [f"JWTs of {samples.ISSUER} for rayfort in x-rayfort-jwt"]
    assert said["Gateway dashboard-gateway"] == ["HTTPS on port 443, TLS 1.3 or newer", f"hosts {host}"]
    assert said["VirtualService team.ray"] == [f"{host} to ray-head-svc.team.svc.cluster.local:8265"]


def test_settings_are_read_from_camel_case() -> None:
    """As a stack file has them."""
    assert isinstance(stack().gateway, GatewaySpec)
