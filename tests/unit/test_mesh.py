"""Istio: the recipe of seed 002, and what has changed since."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from rayfort import ClusterFacts, IstioMesh, IstioMeshArgs
from rayfort.chart import Chart
from rayfort.mesh.istio import istiod_values, mesh_config, sidecars
from rayfort.mesh.mtls import (
    MtlsMode,
    TlsVersion,
    destination_rule_spec,
    istiod_arguments,
    peer_authentication_spec,
)
from rayfort.mesh.scope import sidecar_spec
from rayfort.mesh.sidecars import Sidecars
from rayfort.mesh.telemetry import Tracing, extension_provider, telemetry_spec

from tests.unit import samples
from tests.unit.recorder import NAMESPACE_OBJECT, RELEASE, Recorded, Run, record


def make(*, preview: bool = False, **settings: Any) -> Run:
    return record(lambda: IstioMesh("mesh", IstioMeshArgs(**settings), samples.on_cluster()), preview=preview)


def release(run: Run, name: str) -> Recorded:
    return next(item for item in run.all(RELEASE) if item.inputs["name"] == name)


def test_tls_1_3_is_the_oldest_that_sidecars_take() -> None:
    """Seed 002: meshMTLS.minProtocolVersion; gateways need tlsDefaults as well."""
    config = mesh_config(IstioMeshArgs())
    assert config["meshMTLS"] == {"minProtocolVersion": "TLSV1_3"}
    assert config["tlsDefaults"] == {"minProtocolVersion": "TLSV1_3"}


def test_what_the_recipe_sets_and_envoy_removed_is_not_set() -> None:
    """`sanitize_te` logs errors today and will be invalid configuration."""
    assert "sanitize_te" not in str(istiod_values(IstioMeshArgs(tracing=Tracing())))


@pytest.mark.parametrize(
    ("version", "arguments"),
    [
        ("1.29.6", []),
        ("1.30.0", ["--tls-min-version=1.3"]),
        ("1.30.3", ["--tls-min-version=1.3"]),
        ("1.31.0-rc.0", ["--tls-min-version=1.3"]),
    ],
)
def test_istiods_own_ports_take_tls_1_3_only(version: str, arguments: list[str]) -> None:
    """Before 1.30 istiod ignores the flag, silently: it is not passed, so that nobody trusts it."""
    assert istiod_arguments(version, TlsVersion.TLSV1_3) == arguments
    assert istiod_arguments(version, TlsVersion.TLSV1_2) == []


def test_key_exchanges_are_a_setting_of_gateways_and_egress() -> None:
    """Istio refuses them for sidecars, under meshMTLS."""
    config = mesh_config(IstioMeshArgs(ecdh_curves=("X25519MLKEM768", "X25519")))
    assert config["tlsDefaults"]["ecdhCurves"] == ["X25519MLKEM768", "X25519"]
    assert "ecdhCurves" not in config["meshMTLS"]
    assert "ecdhCurves" not in mesh_config(IstioMeshArgs())["tlsDefaults"]


def test_post_quantum_key_exchange_is_one_setting() -> None:
    """Istiod hands its own policy to sidecars and gateways."""
    args = IstioMeshArgs(post_quantum=True, native_sidecars=True)
    assert istiod_values(args)["env"] == {"ENABLE_NATIVE_SIDECARS": "true", "COMPLIANCE_POLICY": "pqc"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"min_tls": "TLSV1_2"}, "leave `minTls` out"), ({"ecdh_curves": ("P-256",)}, "leave `ecdhCurves` out")],
)
def test_post_quantum_contradicts_what_is_weaker(settings: dict[str, Any], problem: str) -> None:
    """Istio's policy would win in silence."""
    with pytest.raises(ValidationError, match=problem):
        IstioMeshArgs(post_quantum=True, **settings)


def test_istiod_can_keep_to_the_namespaces_of_the_platform() -> None:
    """Other teams' Services then cost it nothing; the root namespace itself must be among them."""
    run = make(discovery="labelled")
    selectors = release(run, "istiod").inputs["values"]["meshConfig"]["discoverySelectors"]
    assert selectors == [{"matchLabels": {"istio-discovery": "enabled"}}]
    assert run.one(NAMESPACE_OBJECT).inputs["metadata"]["labels"]["istio-discovery"] == "enabled"
    assert "discoverySelectors" not in mesh_config(IstioMeshArgs())


def test_istiods_plaintext_ports_are_closed(preview: bool) -> None:
    """Configuration and debug answers would leave on 15010 and 8080 without TLS."""
    run = make(preview=preview, metrics_namespaces=("monitoring",))
    policy = run.one("NetworkPolicy")
    assert policy.inputs["spec"]["podSelector"] == {"matchLabels": {"app": "istiod"}}
    ingress = policy.inputs["spec"]["ingress"]
    assert {port["port"] for rule in ingress for port in rule["ports"]} == {15012, 15017, 15014}
    metrics = next(rule for rule in ingress if rule["ports"][0]["port"] == 15014)
    names = [peer["namespaceSelector"]["matchLabels"] for peer in metrics["from"]]
    assert names == [{"kubernetes.io/metadata.name": "monitoring"}]


def test_nobody_scrapes_istiod_unless_named() -> None:
    """15014 is plaintext as well, and has the debug answers."""
    ingress = make().one("NetworkPolicy").inputs["spec"]["ingress"]
    assert {port["port"] for rule in ingress for port in rule["ports"]} == {15012, 15017}


def test_the_mesh_is_strict(preview: bool) -> None:
    """In the root namespace the policy named `default` holds for the whole mesh."""
    policy = make(preview=preview).one("PeerAuthentication")
    assert policy.inputs["spec"] == {"mtls": {"mode": "STRICT"}}
    assert (policy.namespace, policy.object_name) == ("istio-system", "default")
    assert policy.inputs["apiVersion"] == "security.istio.io/v1"


def test_the_mode_is_written_as_istio_spells_it() -> None:
    """An unknown mode is refused by the API server at `up`, not before."""
    assert [peer_authentication_spec(mode)["mtls"]["mode"] for mode in MtlsMode] == ["STRICT", "PERMISSIVE"]


def test_traces_have_a_provider_and_a_telemetry(preview: bool) -> None:
    """Since Istio 1.22 the recipe's sampling alone sends nothing to Jaeger."""
    run = make(preview=preview, tracing={"sampling_percentage": 100})
    config = release(run, "istiod").inputs["values"]["meshConfig"]
    assert config["extensionProviders"] == [
        {
            "name": "jaeger",
            "opentelemetry": {"service": "jaeger-collector.istio-system.svc.cluster.local", "port": 4317},
        }
    ]
    assert config["enableTracing"] is True
    assert config["defaultConfig"] == {"tracingServiceName": "CANONICAL_NAME_AND_NAMESPACE"}
    telemetry = run.one("Telemetry")
    assert telemetry.inputs["spec"] == {
        "tracing": [{"providers": [{"name": "jaeger"}], "randomSamplingPercentage": 100}]
    }
    assert telemetry.namespace == "istio-system"


def test_provider_and_telemetry_agree_on_the_name() -> None:
    """A Telemetry that names an unknown provider traces nothing."""
    tracing = Tracing(provider="tempo")
    used = telemetry_spec(tracing)["tracing"][0]["providers"][0]["name"]
    assert used == extension_provider(tracing)["name"] == "tempo"


def test_without_tracing_there_is_no_telemetry() -> None:
    """What is not asked for is not made."""
    run = make()
    assert not run.all("Telemetry")
    assert "extensionProviders" not in release(run, "istiod").inputs["values"]["meshConfig"]


@pytest.mark.parametrize(
    ("service", "namespace"),
    [
        ("jaeger-collector.istio-system.svc.cluster.local", "istio-system"),
        ("tempo.observability.svc.corp.example", "observability"),
        ("collector.tracing.svc", "tracing"),
        ("traces.example.com", None),
        ("collector", None),
    ],
)
def test_the_collectors_namespace_is_in_its_name(service: str, namespace: str | None) -> None:
    """Workspaces let their Pods reach it, and only it."""
    assert Tracing(service=service).namespace == namespace


def test_releases_come_in_istios_order(preview: bool) -> None:
    """Namespace, then definitions, then istiod, then policies of kinds that istiod validates."""
    run = make(preview=preview, tracing={})
    base, istiod = release(run, "istio-base"), release(run, "istiod")
    assert run.one(NAMESPACE_OBJECT).urn in run.before(base)
    assert base.urn in run.before(istiod)
    for kind in ("PeerAuthentication", "Telemetry"):
        assert istiod.urn in run.before(run.one(kind))


def test_a_failed_release_leaves_nothing_behind() -> None:
    """Helm otherwise refuses the next attempt: the name is still in use."""
    for item in make().all(RELEASE):
        assert item.inputs["atomic"] is True
        assert item.inputs["cleanupOnFail"] is True
        # Helm's own time-out comes first, so that Helm can clean up.
        assert int(item.request.customTimeouts.create.rstrip("s")) > item.inputs["timeout"]


def test_charts_come_from_the_official_repository_at_the_meshs_version() -> None:
    """One version for both charts, pinned."""
    run = make(version="1.30.4")
    for name, chart in (("istio-base", "base"), ("istiod", "istiod")):
        inputs = release(run, name).inputs
        assert (inputs["chart"], inputs["version"]) == (chart, "1.30.4")
        assert inputs["repositoryOpts"] == {"repo": "https://istio-release.storage.googleapis.com/charts"}


def test_charts_can_come_from_a_mirror_or_a_path() -> None:
    """A site without internet has its own repository or directory."""
    run = make(
        base_chart=Chart(chart="/charts/base"),
        istiod_chart=Chart(chart="oci://mirror.example/istiod", version="1.30.3"),
    )
    base, istiod = release(run, "istio-base").inputs, release(run, "istiod").inputs
    assert base["chart"] == "/charts/base"
    assert "repositoryOpts" not in base
    assert "version" not in base
    assert (istiod["chart"], istiod["version"]) == ("oci://mirror.example/istiod", "1.30.3")


def test_images_can_come_from_a_mirror() -> None:
    """Hub and tag are Istio's own names for it."""
    values = istiod_values(IstioMeshArgs(hub="mirror.example/istio", tag="1.30.3-distroless"))
    assert values["global"] == {"hub": "mirror.example/istio", "tag": "1.30.3-distroless"}


def test_every_other_mesh_setting_is_reachable() -> None:
    """What a user lays over wins, key by key, and the rest stays."""
    args = IstioMeshArgs(
        mesh_config={"defaultConfig": {"tracing": {"sampling": 100}}, "meshMTLS": {"cipherSuites": ["X"]}},
        istiod_values={"pilot": {"replicaCount": 2}},
    )
    values = istiod_values(args)
    assert values["pilot"] == {"replicaCount": 2}
    assert values["meshConfig"]["defaultConfig"] == {"tracing": {"sampling": 100}}
    assert values["meshConfig"]["meshMTLS"] == {"minProtocolVersion": "TLSV1_3", "cipherSuites": ["X"]}


def test_a_namespace_that_is_there_is_not_made() -> None:
    """Pulumi's create fails for an object that exists."""
    assert not make(create_namespace=False).all(NAMESPACE_OBJECT)


def test_mtls_to_a_workspaces_services_does_not_depend_on_every_pod() -> None:
    """By itself Istio sends plaintext to a headless Service as soon as one of its Pods has no sidecar."""
    spec = destination_rule_spec("team", "cluster.local")
    assert spec["host"] == "*.team.svc.cluster.local"
    assert spec["trafficPolicy"] == {"tls": {"mode": "ISTIO_MUTUAL"}}


def test_a_workspaces_sidecars_know_it_and_what_is_listed() -> None:
    """Unscoped, every Ray cluster of every team is in every sidecar: 2,127 KiB instead of 85."""
    assert sidecar_spec(["istio-system"]) == {"egress": [{"hosts": ["./*", "istio-system/*"]}]}


@pytest.mark.parametrize(
    ("istio", "kubelet", "forced", "expected"),
    [
        ("1.30.3", "1.33.0", None, Sidecars.NATIVE),
        ("1.30.3", "1.36.3", None, Sidecars.NATIVE),
        ("1.30.3", "1.32.9", None, Sidecars.CLASSIC),
        ("1.27.0", "1.33.0", None, Sidecars.NATIVE),
        ("1.26.8", "1.36.3", None, Sidecars.CLASSIC),
        ("1.30.3", "1.30.0", True, Sidecars.NATIVE),
        ("1.30.3", "1.36.3", False, Sidecars.CLASSIC),
    ],
)
def test_the_kind_of_sidecar_is_istios_choice(
    istio: str, kubelet: str, forced: bool | None, expected: Sidecars
) -> None:
    """Istio takes native ones by itself since 1.27, where every kubelet is 1.33 or newer."""
    args = IstioMeshArgs(version=istio, native_sidecars=forced)
    assert sidecars(args, ClusterFacts(kubernetes_version=kubelet)) is expected


def test_without_a_mesh_there_are_no_sidecars() -> None:
    """KubeRay's init container then works as it always did."""
    assert sidecars(None, ClusterFacts(kubernetes_version="1.30.0")) is Sidecars.NONE


@pytest.mark.parametrize(("forced", "value"), [(True, "true"), (False, "false")])
def test_a_forced_kind_of_sidecar_reaches_istiod(forced: bool, value: str) -> None:
    """Istiod decides at injection; a Helm value that is no text would be refused."""
    assert istiod_values(IstioMeshArgs(native_sidecars=forced))["env"] == {"ENABLE_NATIVE_SIDECARS": value}
    assert "env" not in istiod_values(IstioMeshArgs())
