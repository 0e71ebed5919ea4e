"""Resources that keep each rule, most of which look as if they did not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rayfort.policies.values import SecretText

from tests.unit.policies.cases import (
    CONFIG_MAP,
    DEPLOYMENT,
    GATEWAY,
    GATEWAY_API,
    GKE,
    IN_CLUSTER,
    JOB_URL,
    KUBECONFIG,
    LEAKED,
    NODES,
    PEER,
    PROVIDER,
    RAY_CLUSTER,
    RAY_JOB,
    RELEASE,
    RULE,
    SECRET,
    SERVICE,
    TLS_1_3,
    TOKEN_BY_ENV,
    Case,
    chart,
    cluster,
    deployment,
    gke,
    head,
    head_pod,
    istiod,
    node_config,
    pod,
    ray_spec,
    server,
    service,
)


def _fine() -> Iterator[Case]:
    rule = "mtls-strict"
    yield Case(rule, "STRICT", PEER, {"spec": {"mtls": {"mode": "STRICT"}}})
    yield Case(rule, "inherited", PEER, {"spec": {"selector": {"matchLabels": {"a": "b"}}}})
    yield Case(rule, "inherited by name", PEER, {"spec": {"mtls": {"mode": "UNSET"}}})
    same = {"host": IN_CLUSTER, "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}
    yield Case(rule, "mTLS out", RULE, {"spec": same})
    out = {"host": "metadata.example.com", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}
    yield Case(rule, "a host outside the mesh", RULE, {"spec": out})
    api = {"host": "kubernetes.default.svc", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}}
    yield Case(rule, "a server's own TLS", RULE, {"spec": api})
    other = PEER.replace("security.istio.io", "security.example.com")
    yield Case(rule, "another group's kind", other, {"spec": {"mtls": {"mode": "PERMISSIVE"}}})

    rule = "tls-1-3"
    yield Case(rule, "all at 1.3", RELEASE, istiod(meshMTLS=TLS_1_3, tlsDefaults=TLS_1_3))
    yield Case(rule, "another chart", RELEASE, chart("istiod-monitor", {}))
    yield Case(rule, "a server at 1.3", GATEWAY, server(mode="SIMPLE", **TLS_1_3))
    yield Case(rule, "a server that ends no TLS", GATEWAY, server("TLS", mode="PASSTHROUGH"))
    yield Case(rule, "a redirect to HTTPS", GATEWAY, server("HTTP", httpsRedirect=True))
    noise = {"metadata": {"name": "istio"}, "data": {"mesh": "meshMTLS: ["}}
    yield Case(rule, "a ConfigMap that is no YAML", CONFIG_MAP, noise)

    rule = "ray-behind-sidecar"
    into = head(template={"metadata": {"labels": {"sidecar.istio.io/inject": "true"}}, "spec": pod()})
    yield Case(rule, "asked for", RAY_CLUSTER, cluster(into))
    rewrite = {"metadata": {"annotations": {"sidecar.istio.io/proxyCPU": "10m"}}, "spec": pod()}
    yield Case(rule, "another annotation", RAY_CLUSTER, cluster(head(template=rewrite)))

    rule = "ray-token-auth"
    yield Case(rule, "token", RAY_CLUSTER, cluster(ray_spec()))
    group = {"template": {"spec": pod(env=TOKEN_BY_ENV)}}
    told = ray_spec(authOptions=None, headGroupSpec=group, workerGroupSpecs=[group])
    yield Case(rule, "by variables, as before authOptions", RAY_CLUSTER, cluster(told))
    yield Case(
        rule, "a RayJob on a cluster that is there", RAY_JOB, {"spec": {"clusterSelector": {"a": "b"}}}
    )
    same_mode = [{"name": "RAY_AUTH_MODE", "value": "token"}]
    yield Case(rule, "the same by variable", RAY_CLUSTER, cluster(head_pod(env=same_mode)))
    yield Case(rule, "a version of one's own", RAY_CLUSTER, cluster(ray_spec(rayVersion="nightly")))

    rule = "no-credentials-in-uris"
    for what, text in {
        "a version after the path": "git+https://github.com/org/repo@v1.2",
        "a digest": "oci://registry.example.com/app@sha256:0123",
        "a user of ssh": "git+ssh://git@github.com/org/repo",
        "a storage account": "abfss://container@account.dfs.core.windows.net/data",
        "an address": "mail to team@example.com, or see https://example.com/",
        "a scoped package": "https://registry.example.com/@scope/package",
        "a page's number": "https://example.com/list?token=&page=2",
        "a name in a query": "https://example.com/?user=a@b.example.com",
    }.items():
        yield Case(rule, what, RAY_JOB, {"spec": {"runtimeEnvYAML": f"working_dir: '{text}'\n"}})
    yield Case(rule, "a Secret", SECRET, {"stringData": {".netrc": SecretText(JOB_URL)}})

    rule = "no-literal-credentials"
    for name, value in {
        "RAY_AUTH_TOKEN_PATH": "/var/run/ray/token",
        "HF_TOKEN": "$(HUB_TOKEN)",
        "PASSWORD": "",
        "USE_TOKEN": "true",
        "MAX_TOKENS": "4096",
        "TOKENIZERS_PARALLELISM": "on",
        "TOKEN": "/var/run/secrets/token",
        "SECRET_NAME": "ray-auth",
        "MONKEY": "banana",
        "SORT_KEY": "name",
    }.items():
        literal = cluster(head_pod(env=[{"name": name, "value": value}]))
        yield Case(rule, f"{name}={value}", RAY_CLUSTER, literal)
    yield Case(rule, "a reference", RAY_CLUSTER, cluster(head_pod(env=TOKEN_BY_ENV)))
    yield Case(rule, "a Secret's name", RELEASE, chart("app", {"auth": {"existingSecret": "app-auth"}}))
    kiali = chart("kiali-server", {"login_token": {"signing_key": "secret:kiali-signing-key:key"}})
    yield Case(rule, "a chart's reference", RELEASE, kiali)
    option = pod(container={"args": ["--redis-password=$(REDIS_PASSWORD)", "--token-file", "/run/token"]})
    yield Case(rule, "an argument from a variable", DEPLOYMENT, {"spec": {"template": {"spec": option}}})
    yield Case(
        rule, "Redis' by variable", RAY_CLUSTER, cluster(head(rayStartParams={"redis-password": "$P"}))
    )

    rule = "secrets-encrypted-in-state"
    yield Case(rule, "a secret value", SECRET, {"stringData": {"token": SecretText(LEAKED)}})
    yield Case(rule, "a secret kubeconfig", PROVIDER, {"kubeconfig": SecretText(KUBECONFIG)})
    plugin = "users:\n- name: me\n  user:\n    exec:\n      command: gke-gcloud-auth-plugin\n"
    yield Case(rule, "a kubeconfig without a login", PROVIDER, {"kubeconfig": plugin})
    yield Case(rule, "an empty entry", SECRET, {"data": {"token": ""}})

    rule = "no-public-load-balancer"
    yield Case(rule, "ClusterIP", SERVICE, service(type="ClusterIP"))
    yield Case(rule, "the default", SERVICE, service())
    inside = service({"networking.gke.io/load-balancer-type": "Internal"}, type="LoadBalancer")
    yield Case(rule, "internal", SERVICE, inside)
    allowed = {"allowed": ["team/app"]}
    yield Case(rule, "listed", SERVICE, service(type="LoadBalancer"), config=allowed)
    yield Case(
        rule, "listed by pattern", SERVICE, service(type="LoadBalancer"), config={"allowed": ["team/*"]}
    )
    quiet = {"metadata": {"annotations": {"networking.istio.io/service-type": "ClusterIP"}}}
    yield Case(rule, "a Gateway without one", GATEWAY_API, {**quiet, "spec": {"gatewayClassName": "istio"}})
    yield Case(rule, "an internal Gateway", GATEWAY_API, {"spec": {"gatewayClassName": "gke-l7-rilb"}})
    yield Case(rule, "the gateway's chart", RELEASE, chart("gateway", {"service": {"type": "ClusterIP"}}))

    rule = "images-pinned"
    digest = "registry.example.com/ray@sha256:" + "0" * 64
    yield Case(rule, "a digest", DEPLOYMENT, deployment(container={"image": digest}))
    both = "ray:latest@sha256:" + "0" * 64
    yield Case(rule, "latest with a digest", DEPLOYMENT, deployment(container={"image": both}))
    ported = "registry.example.com:5000/ray:2.55.1"
    yield Case(rule, "a port and a tag", DEPLOYMENT, deployment(container={"image": ported}))
    yield Case(rule, "what injection fills", DEPLOYMENT, deployment(container={"image": "auto"}))
    yield Case(rule, "the chart's own tag", RELEASE, chart("app", {"image": {"repository": "app"}}))
    yield Case(rule, "a similar tag", DEPLOYMENT, deployment(container={"image": "ray:latest-2.55"}))

    rule = "service-account-tokens"
    scaled = head_pod(automountServiceAccountToken=True) | {"enableInTreeAutoscaling": True}
    yield Case(rule, "a head that scales", RAY_CLUSTER, cluster(scaled))
    own = deployment(automountServiceAccountToken=None, serviceAccountName="app")
    yield Case(rule, "an account of its own", DEPLOYMENT, own)
    told = deployment(automountServiceAccountToken=None)
    yield Case(rule, "listed", DEPLOYMENT, told, config={"allowed": ["team/app"]})

    rule = "hardened-pods"
    bound = {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, "privileged": False}
    yield Case(rule, "a low port", DEPLOYMENT, deployment(container={"securityContext": bound}))
    yield Case(rule, "another volume", DEPLOYMENT, deployment(volumes=[{"name": "v", "emptyDir": {}}]))
    yield Case(rule, "listed", DEPLOYMENT, deployment(hostNetwork=True), config={"allowed": ["*/app"]})

    for name in ("private-nodes", "workload-identity", "shielded-nodes", "node-service-account"):
        yield Case(f"gke-{name}", "a cluster", GKE, gke())
        yield Case(f"gke-{name}", "a pool", NODES, {"nodeConfig": node_config()})
    pilot = gke(enableAutopilot=True, workloadIdentityConfig=None, removeDefaultNodePool=None)
    yield Case("gke-workload-identity", "Autopilot", GKE, pilot)
    yield Case("gke-shielded-nodes", "Autopilot", GKE, pilot)
    own_network = gke(masterAuthorizedNetworksConfig={"cidrBlocks": [{"cidrBlock": "198.51.100.0/24"}]})
    yield Case("gke-private-nodes", "one's own network", GKE, own_network)
    yield Case("gke-no-legacy-access", "a cluster", GKE, gke())
    yield Case("gke-deletion-protection", "on", GKE, gke())
    yield Case("gke-deletion-protection", "the provider's default", GKE, gke(deletionProtection=None))
    rule = "protected-in-production"
    yield Case(rule, "protected", GKE, gke(), protect=True)
    yield Case(rule, "no data", "gcp:compute/network:Network", {})
    traces = {"metadata": {"name": "jaeger-badger", "namespace": "istio-system"}}
    yield Case(rule, "traces", "kubernetes:core/v1:PersistentVolumeClaim", traces)
    listed = {"metadata": {"name": "cache", "namespace": "team"}}
    yield Case(
        rule, "listed", "kubernetes:core/v1:PersistentVolumeClaim", listed, config={"expendable": ["team/*"]}
    )


FINE: Final = tuple(_fine())
