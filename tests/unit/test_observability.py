"""Prometheus, Kiali and Jaeger: wired to each other, in the mesh, and open to nobody else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from rayfort import IstioMeshArgs, MeshObservability, MeshObservabilityArgs, ObservabilitySpec
from rayfort.mesh.observability import access, jaeger, kiali, prometheus
from rayfort.mesh.telemetry import Tracing

from tests.unit import samples
from tests.unit.recorder import NAMESPACE_OBJECT, RANDOM_PASSWORD, RELEASE, SECRET_OBJECT, Run, record

CLIENT_SECRET = "openid-client-secret-3f2a"
OPENID = {"issuer": "https://login.example.com", "client_id": "kiali", "client_secret": CLIENT_SECRET}


def arguments(**settings: Any) -> MeshObservabilityArgs:
    """The three for a team's namespace."""
    return MeshObservabilityArgs(**{"namespaces": ("team",), **settings})


def make(*, preview: bool = False, **settings: Any) -> Run:
    return record(
        lambda: MeshObservability("observability", arguments(**settings), samples.on_cluster()),
        preview=preview,
    )


def values(run: Run, name: str) -> Any:
    """The values of a release."""
    return next(item.inputs["values"] for item in run.all(RELEASE) if item.inputs["name"] == name)


def policy(name: str, *, openid: bool = False) -> Any:
    return dict(access.network_policies(arguments().surroundings, openid=openid))[name]


def test_the_three_releases_are_pinned(preview: bool) -> None:
    """A chart without a version would be another one tomorrow."""
    run = make(preview=preview)
    charts = {item.inputs["name"]: item.inputs for item in run.all(RELEASE)}
    assert {name: (inputs["chart"], inputs["repositoryOpts"]["repo"]) for name, inputs in charts.items()} == {
        "prometheus": ("prometheus", "https://prometheus-community.github.io/helm-charts"),
        "kiali": ("kiali-server", "https://kiali.org/helm-charts"),
        "jaeger": ("jaeger", "https://jaegertracing.github.io/helm-charts"),
    }
    for inputs in charts.values():
        assert inputs["version"]
        assert inputs["atomic"] is True


def test_charts_and_images_can_come_from_a_mirror() -> None:
    """A site without internet has its own registry, and charts in a directory."""
    own = {"chart": {"chart": "/charts/one"}, "image_tag": "v1"}
    run = make(
        spec={
            "prometheus": {**own, "image_repository": "mirror.example/prometheus"},
            "kiali": {**own, "image_repository": "mirror.example/kiali"},
            "jaeger": {**own, "image_registry": "mirror.example"},
        }
    )
    for item in run.all(RELEASE):
        assert item.inputs["chart"] == "/charts/one"
        assert "repositoryOpts" not in item.inputs
    image = {"repository": "mirror.example/prometheus", "tag": "v1"}
    assert values(run, "prometheus")["server"]["image"] == image
    deployment = values(run, "kiali")["deployment"]
    assert (deployment["image_name"], deployment["image_version"]) == ("mirror.example/kiali", "v1")
    assert values(run, "jaeger")["global"] == {"imageRegistry": "mirror.example"}
    assert values(run, "jaeger")["jaeger"]["image"] == {"tag": "v1"}


def test_all_three_are_in_the_mesh(preview: bool) -> None:
    """Without sidecars Jaeger would take spans, and Prometheus questions, from whoever asks."""
    run = make(preview=preview, mesh={"revision": "1-30"})
    expected = {"sidecar.istio.io/inject": "true", "istio.io/rev": "1-30"}
    for labels in (
        values(run, "prometheus")["server"]["podLabels"],
        values(run, "kiali")["deployment"]["pod_labels"],
        values(run, "jaeger")["jaeger"]["podLabels"],
    ):
        assert labels.items() >= expected.items()


def test_kiali_finds_the_other_two(preview: bool) -> None:
    """By the names in Kiali 2: `internal_url`, no longer `in_cluster_url`."""
    run = make(preview=preview, facts={"cluster_domain": "corp.example"}, spec={"namespace": "seen"})
    services = values(run, "kiali")["external_services"]
    assert services["prometheus"] == {"url": "http://prometheus.seen.svc.corp.example:9090"}
    assert values(run, "prometheus")["server"]["fullnameOverride"] == "prometheus"
    assert values(run, "prometheus")["server"]["service"] == {"servicePort": 9090}
    tracing = services["tracing"]
    assert tracing["enabled"] is tracing["use_grpc"] is True
    assert tracing["internal_url"] == "http://jaeger-collector.seen.svc.corp.example:16685"
    query = values(run, "jaeger")["userconfig"]["extensions"]["jaeger_query"]
    assert query["grpc"] == {"endpoint": "0.0.0.0:16685"}
    assert services["istio"] == {"root_namespace": "istio-system"}


def test_people_log_in_with_a_token(preview: bool) -> None:
    """The seed's samples let everybody in."""
    assert values(make(preview=preview), "kiali")["auth"] == {"strategy": "token"}


def test_people_can_log_in_with_openid() -> None:
    """The client's secret goes into a Secret and never into the chart's values."""
    run = make(spec={"kiali": {"openid": OPENID}})
    chart = values(run, "kiali")
    assert chart["auth"]["strategy"] == "openid"
    assert chart["auth"]["openid"]["issuer_uri"] == "https://login.example.com"
    secret = run.one(SECRET_OBJECT, chart["deployment"]["secret_name"])
    assert secret.inputs["stringData"] == {"oidc-secret": CLIENT_SECRET}
    assert secret.hidden("stringData")
    assert not any(CLIENT_SECRET in text for text in run.texts())


@pytest.mark.parametrize(
    ("part", "laid_over", "what"),
    [
        ("kiali", {"auth": {"strategy": "anonymous"}}, "auth cannot be set here; people log in"),
        ("kiali", {"login_token": {"signing_key": "CHANGEME00000000"}}, "login_token cannot be set here"),
        ("kiali", {"deployment": {"service_type": "LoadBalancer"}}, "deployment.service_type"),
        ("kiali", {"deployment": {"ingress": {"enabled": True}}}, "deployment.ingress"),
        ("prometheus", {"server": {"ingress": {"enabled": True}}}, "server.ingress"),
        ("prometheus", {"server": {"service": {"type": "NodePort"}}}, "server.service.type"),
        ("jaeger", {"jaeger": {"service": {"type": "LoadBalancer"}}}, "jaeger.service.type"),
        ("jaeger", {"jaeger": {"httproute": {"enabled": True}}}, "jaeger.httproute"),
    ],
)
def test_values_can_neither_publish_them_nor_take_away_the_login(
    part: str, laid_over: dict[str, Any], what: str
) -> None:
    """A default that an innocent line of values undoes is no default."""
    with pytest.raises(ValidationError, match=what):
        ObservabilitySpec.model_validate({part: {"values": laid_over}})


def test_a_login_needs_https() -> None:
    """The code of a login would travel in the clear."""
    with pytest.raises(ValidationError, match="https"):
        kiali.OpenId(issuer="http://login.example.com", client_id="kiali")


def test_sessions_are_signed_with_a_random_key() -> None:
    """Kiali's samples all have the same one, with which anybody makes himself a session."""
    run = make()
    reference = values(run, "kiali")["login_token"]["signing_key"]
    prefix, name, key = reference.split(":")
    assert (prefix, key) == ("secret", "signing-key")
    secret = run.one(SECRET_OBJECT, name)
    random = run.one(RANDOM_PASSWORD)
    assert random.inputs["length"] == 32  # Kiali refuses other lengths than 16, 24 and 32
    assert len(secret.inputs["stringData"]["signing-key"]) == 32
    assert secret.hidden("stringData")
    assert secret.inputs["immutable"] is True
    kiali_release = next(item for item in run.all(RELEASE) if item.inputs["name"] == "kiali")
    assert secret.urn in run.before(kiali_release)


def test_a_rotated_key_has_a_new_name() -> None:
    """Kiali's Pod is replaced by it."""
    names = {
        values(make(spec={"kiali": {"rotation": text}}), "kiali")["login_token"]["signing_key"]
        for text in ("1", "2")
    }
    assert len(names) == 2


def test_kiali_may_read_the_meshs_namespaces_and_changes_nothing(preview: bool) -> None:
    """The chart's default is the whole cluster, with the logs of every Pod."""
    chart = values(make(preview=preview), "kiali")
    deployment = chart["deployment"]
    assert deployment["cluster_wide_access"] is False
    assert deployment["view_only_mode"] is True
    (selector,) = deployment["discovery_selectors"]["default"]
    (expression,) = selector["matchExpressions"]
    assert expression["values"] == ["istio-system", "team"]
    assert "logs-tab" in chart["kiali_feature_flags"]["disabled_features"]


def test_prometheus_may_find_pods_of_the_meshs_namespaces(preview: bool) -> None:
    """The chart's default reads nodes and ConfigMaps of the whole cluster."""
    run = make(preview=preview)
    role = run.one("ClusterRole")
    assert role.inputs["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    ]
    assert not run.all("ClusterRoleBinding")
    server = values(run, "prometheus")["server"]
    assert server["useExistingClusterRoleName"] == role.object_name
    assert server["namespaces"] == ["istio-system", "team"]


def test_prometheus_asks_by_annotation_and_ray_by_certificate() -> None:
    """Sidecars and istiod are outside mTLS; Ray is inside, and must not be PERMISSIVE to be seen."""
    jobs = prometheus.scrape_configs(("team",))
    assert {name for name, job in jobs.items() if job.get("enabled", True)} == {"kubernetes-pods", "ray"}
    for name in ("kubernetes-pods", "ray"):
        (found,) = jobs[name]["kubernetes_sd_configs"]
        assert found == {"role": "pod", "namespaces": {"names": ["team"]}}
    ray = jobs["ray"]
    assert ray["scheme"] == "https"
    server = prometheus.values(prometheus.PrometheusArgs(), arguments().surroundings)["server"]
    config = json.loads(server["podAnnotations"]["proxy.istio.io/config"])
    directory = config["proxyMetadata"]["OUTPUT_CERTS"]
    for file in ("ca_file", "cert_file", "key_file"):
        assert ray["tls_config"][file].startswith(f"{directory}/")
    (mount,) = server["extraVolumeMounts"]
    (volume,) = server["extraVolumes"]
    (of_sidecar,) = json.loads(server["podAnnotations"]["sidecar.istio.io/userVolumeMount"])
    assert mount["mountPath"] == of_sidecar["mountPath"] == directory
    assert mount["name"] == of_sidecar["name"] == volume["name"]


def test_prometheus_comes_alone() -> None:
    """Alertmanager, node exporter and the like have Pods and rights of their own that nobody asked for."""
    chart = prometheus.values(prometheus.PrometheusArgs(), arguments().surroundings)
    parts = ("alertmanager", "kube-state-metrics", "prometheus-node-exporter", "prometheus-pushgateway")
    assert all(chart[part] == {"enabled": False} for part in parts)
    assert chart["server"]["extraFlags"] == []  # the chart's lets everybody stop it by HTTP


def test_what_is_kept_and_for_how_long_are_settings() -> None:
    """A volume that is full stops both."""
    volume = {"size": "50Gi", "storage_class": "premium-rwo"}
    run = make(
        spec={
            "prometheus": {"retention_days": 30, "volume": volume, "scrape_seconds": 15},
            "jaeger": {"retention_days": 2, "volume": volume},
        }
    )
    server = values(run, "prometheus")["server"]
    assert server["retention"] == "30d"
    assert server["persistentVolume"] == {"size": "50Gi", "storageClass": "premium-rwo"}
    assert server["global"] == {"scrape_interval": "15s"}
    (store,) = values(run, "jaeger")["userconfig"]["extensions"]["jaeger_storage"]["backends"].values()
    assert store["badger"]["ttl"] == {"spans": "48h"}
    claim = run.one("PersistentVolumeClaim")
    assert claim.inputs["spec"]["resources"] == {"requests": {"storage": "50Gi"}}
    assert claim.inputs["spec"]["storageClassName"] == "premium-rwo"


def test_traces_outlive_jaegers_pod(preview: bool) -> None:
    """The seed's Jaeger forgets all when its Pod goes."""
    run = make(preview=preview)
    chart = values(run, "jaeger")
    claim = run.one("PersistentVolumeClaim")
    # Such a claim is bound when its first Pod comes, which comes after it.
    assert claim.inputs["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"
    (volume,) = chart["jaeger"]["extraVolumes"]
    (mount,) = chart["jaeger"]["extraVolumeMounts"]
    assert volume["persistentVolumeClaim"] == {"claimName": claim.object_name}
    (store,) = chart["userconfig"]["extensions"]["jaeger_storage"]["backends"].values()
    assert store["badger"]["ephemeral"] is False
    for directory in store["badger"]["directories"].values():
        assert directory.startswith(f"{mount['mountPath']}/")


def test_a_changed_configuration_restarts_its_pod() -> None:
    """Neither chart does so by itself, and nothing reloads it."""
    around = arguments().surroundings
    seen = {
        jaeger.values(jaeger.JaegerArgs(retention_days=days), around)["jaeger"]["podLabels"][
            "rayfort.dev/config"
        ]
        for days in (7, 8)
    }
    assert len(seen) == 2
    other = arguments(namespaces=("team", "other")).surroundings
    annotations = [
        prometheus.values(prometheus.PrometheusArgs(), place)["server"]["podAnnotations"]
        for place in (around, other)
    ]
    assert annotations[0]["rayfort.dev/config"] != annotations[1]["rayfort.dev/config"]


def test_jaeger_has_the_name_that_the_mesh_sends_traces_to() -> None:
    """By default and in a namespace of its own; one name, not two that happen to be equal."""
    for namespace in ("istio-system", "seen"):
        spec = ObservabilitySpec(namespace=namespace)
        tracing = spec.observed(IstioMeshArgs(), "cluster.local").tracing
        assert tracing
        run = make(spec=spec)
        release = next(item for item in run.all(RELEASE) if item.inputs["name"] == "jaeger")
        service = release.inputs["values"]["fullnameOverride"]
        assert tracing.service == f"{service}.{release.inputs['namespace']}.svc.cluster.local"
        receiver = release.inputs["values"]["userconfig"]["receivers"]["otlp"]["protocols"]["grpc"]
        assert receiver == {"endpoint": f"0.0.0.0:{tracing.port}"}
    assert Tracing().service == "jaeger-collector.istio-system.svc.cluster.local"


def test_the_meshs_own_sampling_stays() -> None:
    """Where traces go follows from Jaeger; how many there are is said by the mesh."""
    mesh = IstioMeshArgs(tracing=Tracing(sampling_percentage=100), metrics_namespaces=("monitoring",))
    observed = ObservabilitySpec(namespace="seen").observed(mesh, "corp.example")
    assert observed.tracing == Tracing(
        service="jaeger-collector.seen.svc.corp.example", sampling_percentage=100
    )
    assert observed.metrics_namespaces == ("monitoring", "seen")


def test_traces_that_go_elsewhere_are_a_mistake() -> None:
    """An empty Jaeger looks like a mesh without traffic."""
    mesh = IstioMeshArgs(tracing=Tracing(service="tempo.monitoring.svc.cluster.local"))
    problem = ObservabilitySpec().tracing_problem(mesh, "cluster.local")
    assert problem
    assert "tempo.monitoring" in problem
    assert "leave service out" in problem
    assert not ObservabilitySpec().tracing_problem(IstioMeshArgs(tracing=Tracing()), "cluster.local")


def test_a_namespace_of_its_own_is_made_and_is_in_the_mesh(preview: bool) -> None:
    """The mesh's own is there already."""
    assert not make(preview=preview).all(NAMESPACE_OBJECT)
    labels = make(preview=preview, spec={"namespace": "seen"}).one(NAMESPACE_OBJECT).inputs["metadata"]
    assert labels["labels"]["istio-discovery"] == "enabled"
    assert labels["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"


def test_nobody_reaches_kiali_over_the_network() -> None:
    """Its login is the only one of the three; people come by port-forward, which ends inside the Pod."""
    rules = dict(access.authorization_policies(arguments().surroundings))
    assert rules["kiali"]["rules"] == []
    assert rules["kiali"]["action"] == "ALLOW"
    (ingress,) = policy("kiali")["ingress"]
    assert [port["port"] for port in ingress["ports"]] == [15020]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("prometheus", {9090: "kiali", 15020: "prometheus"}),
        ("kiali", {15020: "prometheus"}),
        ("jaeger", {4317: "istio-system team", 16685: "kiali", 15020: "prometheus"}),
    ],
)
def test_only_who_needs_a_port_reaches_it(name: str, expected: dict[int, str]) -> None:
    """Neither Prometheus nor Jaeger asks for a login."""
    found = {}
    for rule in policy(name)["ingress"]:
        (port,) = rule["ports"]
        callers = [
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
            if "podSelector" in peer
            else peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            for peer in rule["from"]
        ]
        found[port["port"]] = " ".join(callers)
    assert found == expected
    assert policy(name)["policyTypes"] == ["Ingress", "Egress"]


def test_in_the_mesh_callers_are_known_by_their_identity() -> None:
    """The second lock, and the one that holds where NetworkPolicies are not enforced."""
    rules = dict(access.authorization_policies(arguments(trust_domain="corp.example").surroundings))
    reader = {"principals": ["corp.example/ns/istio-system/sa/kiali"]}
    allowed = {
        rule["to"][0]["operation"]["ports"][0]: rule["from"][0]["source"] for rule in rules["jaeger"]["rules"]
    }
    assert allowed == {"4317": {"namespaces": ["istio-system", "team"]}, "16685": reader}
    (rule,) = rules["prometheus"]["rules"]
    assert rule["from"] == [{"source": reader}]


def test_policies_select_what_the_charts_make() -> None:
    """A policy that selects nothing refuses nothing. The labels are those that the charts render."""
    run = make()
    for item in [*run.all("NetworkPolicy"), *run.all("AuthorizationPolicy")]:
        body = item.inputs["spec"]
        selected = (body.get("podSelector") or body["selector"])["matchLabels"]
        assert selected == {
            "app.kubernetes.io/name": item.object_name,
            "app.kubernetes.io/instance": item.object_name,
        }
        assert item.object_name in {release.inputs["name"] for release in run.all(RELEASE)}


def test_traces_and_metrics_never_travel_in_plaintext() -> None:
    """By itself Istio sends plaintext to a Pod without a sidecar."""
    rules = dict(access.destination_rules(arguments().surroundings))
    for name, exported in (("prometheus", "."), ("jaeger-collector", "*")):
        assert rules[name]["host"] == f"{name}.istio-system.svc.cluster.local"
        assert rules[name]["trafficPolicy"] == {"tls": {"mode": "ISTIO_MUTUAL"}}
        assert rules[name]["exportTo"] == [exported]


def test_only_openid_lets_kiali_out() -> None:
    """To its identity provider, wherever that is; never to a metadata server."""
    blocks = [
        peer["ipBlock"]
        for rule in policy("kiali", openid=True)["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    assert all("169.254.0.0/16" in block["except"] for block in blocks)
    assert len(policy("kiali", openid=True)["egress"]) == len(policy("kiali")["egress"]) + 1


def test_policies_precede_what_they_protect(preview: bool) -> None:
    """A Pod that starts before its policies is open for a while."""
    run = make(preview=preview)
    policies = [*run.all("NetworkPolicy"), *run.all("AuthorizationPolicy"), *run.all("DestinationRule")]
    assert len(policies) == 8
    for item in run.all(RELEASE):
        assert {one.urn for one in policies} <= run.before(item)
