"""Looking at a cluster: API reads, port-forwards, one look at a file, and the probe where it is asked for."""

import base64
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from rayfort import labels
from rayfort.conformance import trials, wire
from rayfort.conformance.checks.netrc import NETRC
from rayfort.conformance.checks.rbac import RIGHTS
from rayfort.conformance.checks.token import DASHBOARD
from rayfort.conformance.checks.transport import FENCE, WIRE
from rayfort.conformance.cluster import ClusterError, Connection, listed
from rayfort.conformance.observations import (
    NotSeen,
    Observations,
    containers,
    name_of,
    namespace_of,
)
from rayfort.conformance.redact import scrub
from rayfort.model import JsonObject
from rayfort.ray import netrc
from rayfort.ray.auth import TOKEN_KEY

# Kind by kind: where it is listed, in the whole cluster or in each namespace that matters.
WHOLE: Final[Mapping[str, str]] = {
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "Deployment": "/apis/apps/v1/deployments",
    "DaemonSet": "/apis/apps/v1/daemonsets",
    "PeerAuthentication": "/apis/security.istio.io/v1/peerauthentications",
    "DestinationRule": "/apis/networking.istio.io/v1/destinationrules",
    "EnvoyFilter": "/apis/networking.istio.io/v1alpha3/envoyfilters",
    "Gateway": "/apis/networking.istio.io/v1/gateways",
    "MutatingWebhookConfiguration": "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": (
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
    ),
}
EACH: Final[Mapping[str, str]] = {
    "Pod": "/api/v1/namespaces/{}/pods",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
    "LimitRange": "/api/v1/namespaces/{}/limitranges",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "AuthorizationPolicy": "/apis/security.istio.io/v1/namespaces/{}/authorizationpolicies",
    "RayCluster": "/apis/ray.io/v1/namespaces/{}/rayclusters",
    "RayJob": "/apis/ray.io/v1/namespaces/{}/rayjobs",
    "RayService": "/apis/ray.io/v1/namespaces/{}/rayservices",
    "RayCronJob": "/apis/ray.io/v1/namespaces/{}/raycronjobs",
}
# A shorter secret would be found in words that have nothing to do with it.
LEAST: Final = 8
# Deployments of these applications belong to the platform, wherever they run.
APPS: Final = frozenset({"istiod", "kuberay-operator", "kbatch-proxy"})
NO_PROBE: Final = "no probe was made; --probe makes two short-lived Pods that try it out"


class NothingToVerify(ClusterError):
    """The cluster has nothing of Rayfort."""


@dataclass
class _Look:
    """What has been seen so far, with every secret as it is."""

    connection: Connection
    note: Callable[[str], None]
    objects: dict[str, list[JsonObject]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    # By namespace and name; nothing of it is kept.
    secrets: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def add(self, kind: str, path: str) -> list[JsonObject]:
        try:
            found = listed(self.connection, path)
        except ClusterError as error:
            self.reasons[kind] = f"{kind} objects cannot be listed: {error}"
            return []
        found = [{**item, "kind": kind} for item in found]
        self.objects.setdefault(kind, []).extend(found)
        return found


def observe(
    connection: Connection, *, probes: Collection[str] = (), note: Callable[[str], None] = lambda _: None
) -> Observations:
    """Look at a platform.

    Nothing is changed, but for the probe's Pods. Secrets are read for the trials alone and are in no answer.

    Args:
        connection: to the cluster, as somebody who may read what is to be verified.
        probes: the kinds of trial for which to make a Pod: ``wire`` and ``fence``.
        note: is told what is being looked at.

    Raises:
        NothingToVerify: if the cluster has nothing of Rayfort.
        ClusterError: if the cluster does not answer.
    """
    look = _Look(connection, note)
    cluster = _identity(connection)
    note("objects")
    for kind, path in WHOLE.items():
        look.add(kind, path)
    if "Namespace" in look.reasons:
        raise ClusterError(look.reasons["Namespace"])
    platform = [item for item in look.objects.get("Deployment", []) if _app(item) in APPS]
    look.objects["Deployment"] = platform
    mine = [item for item in look.objects["Namespace"] if _is_ours(item)]
    namespaces = sorted({*map(name_of, mine), *map(namespace_of, platform)})
    if not mine:
        raise NothingToVerify(
            f"context {connection.context}: no namespace has the label {labels.PART_OF}=rayfort; is it "
            "the right cluster, and is the stack up?"
        )
    for namespace in namespaces:
        for kind, path in EACH.items():
            look.add(kind, path.format(namespace))
    _read_secrets(look)
    seen = Observations(cluster, look.objects, {}, look.reasons)
    reasons = look.reasons | {kind: NO_PROBE for kind in (WIRE, FENCE) if kind not in probes}
    made: dict[str, Mapping[str, JsonObject]] = {}
    attempts: dict[tuple[str, ...], Callable[[], Mapping[str, Mapping[str, JsonObject]]]] = {
        (RIGHTS,): lambda: {RIGHTS: trials.rights(connection, seen, note)},
        (DASHBOARD,): lambda: {DASHBOARD: trials.dashboards(connection, seen, look.secrets, note)},
        (NETRC,): lambda: {NETRC: trials.netrc_files(connection, seen, note)},
        tuple(probes): lambda: wire.probes(connection, seen, probes, note),
    }
    for kinds, attempt in attempts.items():
        try:
            made |= attempt()
        except (NotSeen, ClusterError) as error:
            reasons |= dict.fromkeys(kinds, str(error))
    return _without_secrets(cluster, look, made, reasons)


def _identity(connection: Connection) -> dict[str, str]:
    version = connection.call("GET", "/version") or {}
    try:
        system = connection.call("GET", "/api/v1/namespaces/kube-system") or {"metadata": {}}
    except ClusterError:
        system = {"metadata": {}}
    return {
        "context": connection.context,
        "server": connection.server,
        "version": str(version.get("gitVersion", "unknown")),
        "uid": str(system["metadata"].get("uid", "unknown")),
    }


def _is_ours(item: JsonObject) -> bool:
    return bool(labels.common().items() <= (item["metadata"].get("labels") or {}).items())


def _app(item: JsonObject) -> str:
    own = item["metadata"].get("labels") or {}
    names = (name_of(item), own.get("app.kubernetes.io/name"), own.get("app"))
    return next((str(name) for name in names if name in APPS), "")


def _read_secrets(look: _Look) -> None:
    """The Secrets that Pods of Ray refer to, by name: listing them would take a wider right."""
    wanted: set[tuple[str, str]] = set()
    for pod in look.objects.get("Pod", []):
        if labels.RAY_CLUSTER in (pod["metadata"].get("labels") or {}):
            wanted |= {(namespace_of(pod), name) for name in _referred(pod["spec"])}
    for space in look.objects["Namespace"]:
        if labels.WORKSPACE in (space["metadata"].get("labels") or {}):
            wanted.add((name_of(space), netrc.SECRET_NAME))
    for namespace, name in sorted(wanted):
        try:
            secret = look.connection.call("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")
        except ClusterError as error:
            look.reasons["Secret"] = f"Secret {namespace}/{name} cannot be read: {error}"
            continue
        if secret:
            look.objects.setdefault("Secret", []).append({"kind": "Secret", **secret})
            look.secrets[namespace, name] = _decoded(secret)
    look.objects.setdefault("Secret", [])


def _referred(spec: JsonObject) -> Iterator[str]:
    for container in containers(spec):
        for variable in container.get("env", ()):
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if reference:
                yield reference["name"]
    for volume in spec.get("volumes", ()):
        if "secret" in volume:
            yield volume["secret"]["secretName"]


def _decoded(secret: JsonObject) -> dict[str, str]:
    return {
        key: base64.b64decode(value).decode(errors="replace")
        for key, value in (secret.get("data") or {}).items()
    }


def _without_secrets(
    cluster: Mapping[str, str],
    look: _Look,
    probes: Mapping[str, Mapping[str, JsonObject]],
    reasons: Mapping[str, str],
) -> Observations:
    known = _known(look.secrets)
    objects = {kind: [scrub(item, known) for item in items] for kind, items in look.objects.items()}
    clean: Any = scrub({"probes": probes, "reasons": dict(reasons)}, known)
    return Observations(cluster, objects, clean["probes"], clean["reasons"])


def _known(found: Mapping[tuple[str, str], Mapping[str, str]]) -> Sequence[str]:
    """Every secret that could stand somewhere else by mistake, the longest first."""
    known: set[str] = set()
    for values in found.values():
        if TOKEN_KEY in values:
            known.add(values[TOKEN_KEY].strip())
        words = values.get(netrc.SECRET_KEY, "").split()
        known |= {
            word.strip('"').replace('\\"', '"').replace("\\\\", "\\")
            for before, word in pairwise(words)
            if before == "password"
        }
    plain = {each for each in known if len(each) >= LEAST}
    encoded = {base64.b64encode(each.encode()).decode() for each in plain}
    return sorted(plain | encoded, key=len, reverse=True)
