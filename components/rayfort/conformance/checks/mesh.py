"""Seed 002: what the mesh is told."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from rayfort import labels
from rayfort.conformance.check import Check, Scope, Seen
from rayfort.conformance.observations import (
    Observations,
    app_of,
    containers,
    labelled,
    name_of,
    namespace_of,
)
from rayfort.mesh import istio, mtls
from rayfort.model import JsonObject

NO_MESH: Final = "there is no istiod: what Pods say to each other is plaintext"
DEFAULT: Final = "default"
_MUTUAL: Final = {"ISTIO_MUTUAL", None}


def istiods(seen: Observations) -> list[JsonObject]:
    """The Deployments of istiod."""
    return [
        item
        for item in seen.all("Deployment")
        if app_of(item) == "istiod" or labelled(item).get("app") == "istiod"
    ]


def root(seen: Observations) -> str:
    """The mesh's root namespace."""
    return next((namespace_of(item) for item in istiods(seen)), istio.NAMESPACE)


def _mesh_strict(seen: Observations, _: str) -> Iterator[str]:
    if not istiods(seen):
        yield NO_MESH
        return
    yield from _strict(seen, root(seen), "the mesh")


def _workspace_strict(seen: Observations, namespace: str) -> Iterator[str]:
    yield from _strict(seen, namespace, namespace)


def _strict(seen: Observations, namespace: str, whose: str) -> Iterator[str]:
    whole = [item for item in seen.of("PeerAuthentication", namespace) if not _selected(item)]
    if not whole:
        yield f"no PeerAuthentication holds for all of {whose}"
    for item in whole:
        mode = _mode(item["spec"].get("mtls"))
        if mode == mtls.MtlsMode.STRICT:
            yield Seen(f"PeerAuthentication {namespace}/{name_of(item)}: STRICT")
        else:
            yield f"PeerAuthentication {namespace}/{name_of(item)}: {mode or 'no mode'}"


def _exceptions(seen: Observations, namespace: str) -> Iterator[str]:
    if not istiods(seen):
        yield NO_MESH
    for item in seen.of("PeerAuthentication", namespace):
        spec, name = item["spec"], f"PeerAuthentication {name_of(item)}"
        if _selected(item) and _mode(spec.get("mtls")) not in {None, "UNSET", "STRICT"}:
            yield f"{name}: {_mode(spec['mtls'])} for some of the Pods"
        for port, setting in (spec.get("portLevelMtls") or {}).items():
            if _mode(setting) not in {None, "UNSET", "STRICT"}:
                yield f"{name}: {_mode(setting)} on port {port}"
    yield Seen("no Pod and no port is exempt")


def _always_sent(seen: Observations, namespace: str) -> Iterator[str]:
    host = f"*.{namespace}.svc."
    own = [
        item
        for item in seen.of("DestinationRule", namespace)
        if str(item["spec"].get("host", "")).startswith(host)
        and _tls(item["spec"].get("trafficPolicy")) == "ISTIO_MUTUAL"
    ]
    if own:
        yield Seen(f"DestinationRule {name_of(own[0])}: ISTIO_MUTUAL for {own[0]['spec']['host']}")
    else:
        yield f"no DestinationRule says ISTIO_MUTUAL for {host}…"
    for item in seen.all("DestinationRule"):
        if namespace_of(item) == namespace or f".{namespace}.svc" in str(item["spec"].get("host", "")):
            for mode in _modes(item["spec"]):
                if mode not in _MUTUAL:
                    where = f"{namespace_of(item)}/{name_of(item)}"
                    yield f"DestinationRule {where}: {mode} for {item['spec'].get('host')}"


def _configured(seen: Observations, _: str) -> Iterator[str]:
    found = istiods(seen)
    if not found:
        yield NO_MESH
    for item in found:
        name = _config_map(item)
        config = seen.named("ConfigMap", namespace_of(item), name)
        if config is None:
            yield f"{name_of(item)}: its ConfigMap {name} is not there"
            continue
        mesh = yaml.safe_load(config.get("data", {}).get("mesh") or "{}") or {}
        for place in ("meshMTLS", "tlsDefaults"):
            minimum = (mesh.get(place) or {}).get("minProtocolVersion")
            if minimum == mtls.TlsVersion.TLSV1_3:
                yield Seen(f"{name}: {place} {minimum}")
            else:
                yield f"{name}: {place}.minProtocolVersion is {minimum or 'unset'}: TLS 1.2 is taken"


def _own_ports(seen: Observations, _: str) -> Iterator[str]:
    found = istiods(seen)
    if not found:
        yield NO_MESH
    for item in found:
        arguments = [
            argument
            for container in containers(item["spec"]["template"]["spec"], init=False)
            for argument in container.get("args", ())
        ]
        wanted = "--tls-min-version=1.3"
        if wanted in arguments:
            yield Seen(f"{name_of(item)}: {wanted}")
        else:
            yield f"{name_of(item)}: not told {wanted}: its own ports take TLS 1.2"


def _filters(seen: Observations, _: str) -> Iterator[str]:
    watched = {root(seen), *seen.workspaces.values()}
    for item in seen.all("EnvoyFilter"):
        if namespace_of(item) in watched:
            yield f"EnvoyFilter {namespace_of(item)}/{name_of(item)} changes what sidecars were told"
    if istiods(seen):
        yield Seen("no EnvoyFilter changes the sidecars of a workspace")


def _fails_closed(seen: Observations, _: str) -> Iterator[str]:
    if not istiods(seen):
        yield NO_MESH
        return
    hooks = [
        (name_of(item), hook)
        for item in seen.all("MutatingWebhookConfiguration")
        if labelled(item).get("app") == "sidecar-injector"
        for hook in item.get("webhooks", ())
    ]
    if not hooks:
        yield "no webhook injects sidecars: Pods start without one"
    for name, hook in hooks:
        if hook.get("failurePolicy") != "Fail":
            yield f"{name}: {hook['name']} lets Pods start without a sidecar while istiod is away"
        else:
            yield Seen(f"{name}: Pods wait for istiod")


def _selected(item: JsonObject) -> bool:
    return bool((item["spec"].get("selector") or {}).get("matchLabels"))


def _mode(setting: Any) -> str | None:
    return (setting or {}).get("mode")


def _tls(policy: Any) -> str | None:
    return _mode((policy or {}).get("tls"))


def _modes(spec: JsonObject) -> Iterator[str | None]:
    policies = [spec.get("trafficPolicy"), *(each.get("trafficPolicy") for each in spec.get("subsets") or ())]
    for policy in policies:
        yield _tls(policy)
        for port in (policy or {}).get("portLevelSettings") or ():
            yield _mode(port.get("tls"))


def _config_map(istiod: JsonObject) -> str:
    revision = labelled(istiod).get(labels.ISTIO_REVISION, DEFAULT)
    return "istio" if revision == DEFAULT else f"istio-{revision}"


_MESH: Final = "set `mesh.mtls: STRICT`, and run `pulumi up --refresh`"

CHECKS: Final = (
    Check(
        "mesh-strict",
        "The whole mesh is STRICT",
        "seed 002: STRICT, mesh-wide",
        _MESH,
        _mesh_strict,
        Scope.PLATFORM,
    ),
    Check(
        "workspace-strict",
        "The workspace is STRICT by a policy of its own",
        "security model: STRICT, without holes",
        "set the workspace's `mtls: STRICT`, and run `pulumi up --refresh`",
        _workspace_strict,
    ),
    Check(
        "strict-everywhere",
        "No Pod and no port is exempt from STRICT",
        "security model: STRICT, without holes",
        "remove the PeerAuthentication; Ray needs no plaintext port",
        _exceptions,
    ),
    Check(
        "mtls-always-sent",
        "mTLS to Ray's nodes does not depend on which of them have a sidecar",
        "security model: mTLS does not depend on every Pod",
        "run `pulumi up --refresh`, and remove DestinationRules with another mode",
        _always_sent,
    ),
    Check(
        "tls-1.3-configured",
        "The mesh is told to take TLS 1.3 alone",
        "seed 002: minimum TLS 1.3",
        "set `mesh.minTls: TLSV1_3`, and remove TLS versions from `mesh.meshConfig`",
        _configured,
        Scope.PLATFORM,
    ),
    Check(
        "istiod-tls-1.3",
        "istiod's own ports take TLS 1.3 alone",
        "security model: which TLS, where",
        "use Istio 1.30 or newer with `mesh.minTls: TLSV1_3`",
        _own_ports,
        Scope.PLATFORM,
    ),
    Check(
        "no-envoy-filter",
        "Nothing patches what the workspaces' sidecars do",
        "security model: STRICT, without holes",
        "remove the EnvoyFilter, or review it and what it does to listeners and TLS",
        _filters,
        Scope.PLATFORM,
    ),
    Check(
        "injection-fails-closed",
        "While istiod is away Pods wait instead of starting without a sidecar",
        "security model: STRICT, without holes",
        "leave `failurePolicy: Fail` of the sidecar injector; run `pulumi up --refresh`",
        _fails_closed,
        Scope.PLATFORM,
    ),
)
