"""What the mesh says about mTLS and TLS versions."""

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
    if minimum is not TlsVersion.TLSV1_3:
        return []
    if not versions.at_least(istio_version, versions.ISTIO_TLS_MIN_VERSION_FLAG):
        return []
    return ["--tls-min-version=1.3"]
