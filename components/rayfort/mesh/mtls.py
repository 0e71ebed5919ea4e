"""What the mesh says about mTLS and TLS versions."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from rayfort import versions
from rayfort.model import JsonObject

SECURITY_API: Final = "security.istio.io/v1"
NETWORKING_API: Final = "networking.istio.io/v1"
# Istio's name for the policy that holds for a whole namespace, or for the mesh in its root namespace.
DEFAULT_NAME: Final = "default"


class MtlsMode(StrEnum):
    """Whether plaintext is refused (STRICT) or still taken (PERMISSIVE)."""

    STRICT = "STRICT"
    PERMISSIVE = "PERMISSIVE"


class TlsVersion(StrEnum):
    """The oldest TLS version that a sidecar takes, in Istio's spelling."""

    TLSV1_3 = "TLSV1_3"
    TLSV1_2 = "TLSV1_2"


class EcdhCurve(StrEnum):
    """Key exchanges that gateways and egress TLS may offer, in Envoy's spelling."""

    P_256 = "P-256"
    P_384 = "P-384"
    P_521 = "P-521"
    X25519 = "X25519"
    X25519MLKEM768 = "X25519MLKEM768"


def tls_defaults(minimum: TlsVersion, curves: Sequence[EcdhCurve]) -> JsonObject:
    """``tlsDefaults`` of the mesh configuration: gateways and egress TLS, which ``meshMTLS`` does not reach.

    Istio takes curves here alone: it refuses them under ``meshMTLS``.
    """
    offered = {"ecdhCurves": [curve.value for curve in curves]} if curves else {}
    return {"minProtocolVersion": minimum.value, **offered}


def peer_authentication_spec(mode: MtlsMode) -> JsonObject:
    """``spec`` of a PeerAuthentication for a namespace or, in the root namespace, for the mesh."""
    return {"mtls": {"mode": mode.value}}


def destination_rule_spec(namespace: str, cluster_domain: str) -> JsonObject:
    """``spec`` of a DestinationRule: mTLS to every Service of the namespace, always.

    Without it Istio sends plaintext to a headless Service as soon as one of its Pods has no sidecar, and
    while it has no Pods at all.
    """
    return {
        "host": f"*.{namespace}.svc.{cluster_domain}",
        "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}},
        "exportTo": ["*"],
    }


def istiod_arguments(istio_version: str, minimum: TlsVersion) -> list[str]:
    """Arguments of istiod for the TLS version of its own ports, where its version has the flag."""
    wanted = minimum is TlsVersion.TLSV1_3 and has_tls_min_version(istio_version)
    return ["--tls-min-version=1.3"] if wanted else []


def has_tls_min_version(istio_version: str) -> bool:
    """Whether istiod's own ports can be held to TLS 1.3; older versions take 1.2 and say nothing."""
    return versions.at_least(istio_version, versions.ISTIO_TLS_MIN_VERSION_FLAG)
