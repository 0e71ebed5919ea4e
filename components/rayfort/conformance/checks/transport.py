"""Seed 002: what goes over the wire, tried out from Pods without a sidecar."""

from collections.abc import Iterator
from typing import Final

from rayfort.conformance.check import Check, Seen
from rayfort.conformance.observations import NotSeen, Observations, name_of
from rayfort.model import JsonObject

# Kinds of trials, by namespace and name of the Ray cluster; `probe_program` says what their answers hold.
WIRE: Final = "wire"  # from a Pod that NetworkPolicies let through
FENCE: Final = "fence"  # from a namespace that nothing lets in
OPEN: Final = "open"


def _plaintext(seen: Observations, namespace: str) -> Iterator[str]:
    for subject, answer in _wire(seen, namespace):
        if answer["plain"] == "answered":
            yield f"{subject}: answers plaintext on port {answer['port']}"
        else:
            yield Seen(f"{subject}: hangs up on plaintext, port {answer['port']}")


def _old_tls(seen: Observations, namespace: str) -> Iterator[str]:
    for subject, answer in _wire(seen, namespace):
        said = answer["tls12"]
        # Any other end of the handshake is no answer about the version.
        if "PROTOCOL_VERSION" in said:
            yield Seen(f"{subject}: the alert `protocol version` on TLS 1.2, port {answer['port']}")
        else:
            yield f"{subject}: no alert `protocol version` on TLS 1.2 ({said})"


def _client_certificate(seen: Observations, namespace: str) -> Iterator[str]:
    for subject, answer in _wire(seen, namespace):
        said, identity = answer["tls13"], answer.get("identity", "")
        if f"/ns/{namespace}/sa/" not in identity:
            yield f"{subject}: shows no identity of its own in TLS 1.3 ({identity or said})"
        elif "CERTIFICATE_REQUIRED" in said:
            yield Seen(f"{subject}: TLS 1.3 as {identity}, and a caller without certificate is refused")
        else:
            yield f"{subject}: takes a caller without certificate in TLS 1.3 ({said})"


def _fence(seen: Observations, namespace: str) -> Iterator[str]:
    for cluster in seen.of("RayCluster", namespace):
        subject = f"{namespace}/{name_of(cluster)}"
        answer = seen.trial(FENCE, subject)
        if answer["control"] != OPEN:
            raise NotSeen(f"{subject}: the probe reached nothing at all, not even the API server")
        reached = sorted(to for to, how in answer["targets"].items() if how == OPEN)
        if reached:
            yield f"{subject}: packets from another namespace reach {', '.join(reached)}"
        elif answer["targets"]:
            count = len(answer["targets"])
            yield Seen(f"{subject}: none of {count} ports is reached from another namespace")


def _wire(seen: Observations, namespace: str) -> Iterator[tuple[str, JsonObject]]:
    for cluster in seen.of("RayCluster", namespace):
        subject = f"{namespace}/{name_of(cluster)}"
        answer = seen.trial(WIRE, subject)
        if answer["connect"] != OPEN:
            raise NotSeen(
                f"{subject}: the probe's packets do not reach port {answer['port']} ({answer['connect']})"
            )
        yield subject, answer


_STRICT: Final = "set the workspace's and the mesh's `mtls` to STRICT, and remove exceptions"

CHECKS: Final = (
    Check(
        "plaintext-refused",
        "A Ray node hangs up on plaintext",
        "seed 002: STRICT, effective on the wire",
        _STRICT,
        _plaintext,
        probe=WIRE,
    ),
    Check(
        "tls-1.2-refused",
        "A Ray node refuses TLS 1.2 with the alert `protocol version`",
        "seed 002: TLS 1.3 alone",
        "set `mesh.minTls: TLSV1_3`, and remove `meshMTLS` from `mesh.meshConfig`",
        _old_tls,
        probe=WIRE,
    ),
    Check(
        "client-certificate",
        "A Ray node shows its own identity in TLS 1.3 and demands a client certificate",
        "security model: both ends have a certificate",
        _STRICT,
        _client_certificate,
        probe=WIRE,
    ),
    Check(
        "network-fence",
        "No packet from another namespace reaches a Ray node",
        "security model: NetworkPolicy is the second layer",
        "use a network plugin that enforces NetworkPolicies, and remove policies that let everybody in",
        _fence,
        probe=FENCE,
    ),
)
