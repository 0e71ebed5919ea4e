"""The mesh's promises: STRICT mTLS, TLS 1.3, and no traffic past a sidecar."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from rayfort import labels
from rayfort.mesh.mtls import MtlsMode, TlsVersion
from rayfort.policies.kinds import chart_name, is_kind, is_release, pods
from rayfort.policies.rule import Config, Finding, Resource, ResourceRule, Unproven, Violation
from rayfort.policies.values import Node, false

SECURITY: Final = "security.istio.io"
NETWORKING: Final = "networking.istio.io"
# UNSET inherits from the namespace's or the mesh's policy, which are held to STRICT themselves.
_STRICT: Final = (None, "", "UNSET", MtlsMode.STRICT.value)
_ISTIOD_CHART: Final = "istiod"
_MIN: Final = "minProtocolVersion"
_MAX: Final = "maxProtocolVersion"
_TERMINATES: Final = ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
_PLAINTEXT: Final = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB")
_PAST_THE_SIDECAR: Final = "traffic.sidecar.istio.io/"
_SAY_1_3: Final = f"set it to {TlsVersion.TLSV1_3}"


def _mtls(resource: Resource, _: Config) -> Iterator[Finding]:
    root = resource.root
    if is_kind(resource, SECURITY, "PeerAuthentication"):
        spec = root["spec"]
        modes = [spec.at("mtls", "mode"), *(port["mode"] for _, port in spec["portLevelMtls"].fields())]
        for mode in modes:
            if mode.unknown:
                yield Unproven(mode.where)
            elif mode.value not in _STRICT:
                yield Violation(mode.where, "takes plaintext; set it to STRICT, or leave it out")
    elif is_kind(resource, NETWORKING, "DestinationRule"):
        yield from _plaintext_to(root["spec"])
    for mesh_config in _mesh_configs(resource):
        auto = mesh_config["enableAutoMtls"]
        if auto.unknown:
            yield Unproven(auto.where)
        elif false(auto):
            yield Violation(auto.where, "sidecars then send plaintext; remove it")


def _plaintext_to(spec: Node) -> Iterator[Finding]:
    """Traffic policies of a DestinationRule that switch mTLS off for a host of the cluster."""
    host = spec["host"]
    if not host.unknown and _outside(host.text):
        return
    policies = [spec["trafficPolicy"], *(subset["trafficPolicy"] for subset in spec["subsets"].items())]
    for policy in policies:
        for each in (policy, *policy["portLevelSettings"].items()):
            mode = each.at("tls", "mode")
            if mode.unknown or (mode.value == "DISABLE" and host.unknown):
                yield Unproven(mode.where if mode.unknown else host.where)
            elif mode.value == "DISABLE":
                yield Violation(
                    mode.where, "takes mTLS away from connections inside the cluster; set it to ISTIO_MUTUAL"
                )


def _outside(host: str) -> bool:
    """Whether a host is none of the cluster's: a full name without ``svc`` or ``local`` in it."""
    parts = host.split(".")
    return len(parts) > 1 and not {"svc", "local"} & set(parts) and parts[-1] != "*"


def _mesh_configs(resource: Resource) -> Iterator[Node]:
    """Istio's mesh configuration, wherever a resource holds one."""
    if is_release(resource):
        for node in resource.root["values"].walk():
            if node.path[-1:] == ("meshConfig",):
                yield node
    elif is_kind(resource, "", "ConfigMap") and resource.root.at("metadata", "name").text.startswith("istio"):
        yield _parsed(resource.root.at("data", "mesh"))


def _parsed(node: Node) -> Node:
    """The YAML in a text; nothing where it is none."""
    try:
        return Node(node.value if node.unknown else yaml.safe_load(node.text), node.path)
    except yaml.YAMLError:
        return Node(None, node.path)


def _tls(resource: Resource, _: Config) -> Iterator[Finding]:
    if is_kind(resource, NETWORKING, "Gateway"):
        for server in resource.root.at("spec", "servers").items():
            yield from _server(server)
        return
    whole = is_release(resource) and chart_name(resource) == _ISTIOD_CHART
    found = list(_mesh_configs(resource))
    if whole and not found:
        # What is not said is Istio's default, which takes TLS 1.2; `values` win over files of values.
        found = [resource.root["values"]["meshConfig"]]
    for mesh_config in found:
        for place in ("meshMTLS", "tlsDefaults"):
            yield from _oldest(mesh_config[place], stated=whole)


def _server(server: Node) -> Iterator[Finding]:
    tls, protocol = server["tls"], server.at("port", "protocol")
    if protocol.text.upper() in _PLAINTEXT and not _redirects(tls):
        yield Violation(protocol.where, "is plaintext; use HTTPS, or set tls.httpsRedirect")
    mode = tls["mode"]
    if mode.unknown:
        yield Unproven(mode.where)
    elif mode.value in _TERMINATES:
        yield from _oldest(tls, stated=True)


def _redirects(tls: Node) -> bool:
    redirect = tls["httpsRedirect"]
    return redirect.unknown or redirect.value is True


def _oldest(tls: Node, *, stated: bool) -> Iterator[Finding]:
    """A TLS setting whose oldest version, or newest, is not 1.3.

    Args:
        tls: what holds the version.
        stated: whether leaving it out is a violation.
    """
    oldest, newest = tls[_MIN], tls[_MAX]
    if oldest.unknown:
        yield Unproven(oldest.where)
    elif oldest.missing and stated:
        yield Violation(oldest.where, f"is not set, and Istio then takes TLS 1.2; {_SAY_1_3}")
    elif not oldest.missing and oldest.value != TlsVersion.TLSV1_3:
        yield Violation(oldest.where, f"takes older TLS than 1.3; {_SAY_1_3}")
    if newest.unknown:
        yield Unproven(newest.where)
    elif newest.value not in (None, "", "TLS_AUTO", TlsVersion.TLSV1_3):
        yield Violation(newest.where, "does not let TLS 1.3 be used; remove it")


def _raise_gateways(type_: str, properties: dict[str, Any]) -> None:
    """Let every server of a Gateway that ends TLS take TLS 1.3 alone."""
    if not is_kind(Resource(type_, "", {}), NETWORKING, "Gateway"):
        return
    for server in Node(properties).at("spec", "servers").items():
        tls = server["tls"]
        if isinstance(tls.value, dict) and tls["mode"].value in _TERMINATES:
            tls.value[_MIN] = TlsVersion.TLSV1_3.value


def _sidecar(resource: Resource, _: Config) -> Iterator[Finding]:
    for each in pods(resource):
        if not each.ray:
            continue
        metadata = each.template["metadata"]
        for place in ("labels", "annotations"):
            for name, node in metadata[place].fields():
                if node.unknown and name in ("*", labels.SIDECAR_INJECT):
                    yield Unproven(node.where)
                elif name == labels.SIDECAR_INJECT and false(node):
                    yield Violation(node.where, "Ray then runs without mTLS and policies; remove it")
                elif name.startswith(_PAST_THE_SIDECAR):
                    yield Violation(node.where, "takes traffic past the sidecar; remove it")


RULES: Final = (
    ResourceRule(
        name="mtls-strict",
        description="mTLS is STRICT everywhere in the mesh.",
        why="A PERMISSIVE workload or port, or a DestinationRule that switches TLS off, lets Ray's traffic "
        "and its token cross the network in plaintext.",
        check=_mtls,
    ),
    ResourceRule(
        name="tls-1-3",
        description="Sidecars and gateways take TLS 1.3 alone.",
        why="Istio's own default takes TLS 1.2. Gateways must not serve plaintext either.",
        check=_tls,
        remediate=_raise_gateways,
    ),
    ResourceRule(
        name="ray-behind-sidecar",
        description="Ray's Pods send and take all their traffic through their sidecar.",
        why="What goes past the sidecar has neither mTLS nor AuthorizationPolicies.",
        check=_sidecar,
    ),
)
