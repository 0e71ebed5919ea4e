"""`rayfort verify` on a real platform: it passes, and what is broken of it is told by its check.

What would restart Pods, or is refused by admission as it should be, is broken in `tests/unit/conformance`
alone.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest
import yaml
from rayfort.conformance import Observations, Status, judge
from rayfort.conformance.checks.transport import FENCE, WIRE
from rayfort.conformance.collect import observe
from rayfort.conformance.kube import KubernetesConnection
from rayfort.conformance.probe import NAME as PROBE

from sandbox.control_plane import CONTEXT
from tests.e2e.sandbox import CLUSTER, NAMESPACE, Sandbox, wait_for

pytestmark = pytest.mark.real

USER, OPERATOR, MESH, PROXY = "kbatch-alice", "kuberay-system", "istio-system", "batch-system"
PLACES = frozenset({"platform", NAMESPACE})  # other tests' workspaces are not as strict
NAME = "test-verify"
OTHER_TOKEN = base64.b64encode(b"another-token-than-that-of-the-pods").decode()
PERMISSIVE = {"mtls": {"mode": "PERMISSIVE"}}
NOBODY = {"selector": {"matchLabels": {"app": "nobody"}}}
POD_LEVEL = "pod-security.kubernetes.io/enforce"

Change = Callable[[Sandbox], AbstractContextManager[None]]


def look(sandbox: Sandbox, *probes: str) -> Observations:
    """What the library sees."""
    kubeconfig = sandbox.environment.kubeconfig.read_text()
    return observe(KubernetesConnection(kubeconfig, CONTEXT, direct=True), probes=probes)


def failing(sandbox: Sandbox, *probes: str) -> set[str]:
    """The checks that fail."""
    verdicts = judge(look(sandbox, *probes)).verdicts
    return {each.check.name for each in verdicts if each.status is Status.FAIL and each.place in PLACES}


def test_the_platform_passes_every_check(sandbox: Sandbox) -> None:
    done = sandbox.rayfort("verify", "--json", "-")
    report = json.loads(done.output[done.output.index("{\n") : done.output.rindex("}") + 1])
    ends = {each["check"]: each for each in report["verdicts"] if each["place"] in PLACES}
    not_passed = {name for name, each in ends.items() if each["status"] != "pass"}
    # The stack has no gateway, unless another test has made one.
    assert not_passed <= {"gateway-tls-1.3"}, [ends[name] for name in not_passed]
    assert all(ends[name]["status"] == "not run" for name in not_passed)
    assert report["versions"]["ray"] and report["cluster"]["context"] == CONTEXT
    for secret in (sandbox.token(), sandbox.secret("netrc-secret", ".netrc").split()[-1]):
        assert secret not in done.output
    assert not sandbox.kubectl("get", "namespace", PROBE).ok
    assert not sandbox.kubectl("-n", OPERATOR, "get", "pod", PROBE).ok


def test_exit_codes_and_a_page_to_file(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> None:
    page = tmp_path_factory.mktemp("report") / "report.html"
    chosen = ("--check", "quota", "--check", "mesh-strict", "--html", str(page))
    with _deleted("resourcequota", "default")(sandbox):
        done = sandbox.rayfort("verify", *chosen)
    assert done.code == 1, done.output
    assert "set `quota` of the workspace" in done.output
    assert "no ResourceQuota limits the namespace" in page.read_text()


# --- what is broken, and how it is put back


def _manifest(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object as it was made, without what the API server added."""
    added = {"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"}
    metadata = {key: value for key, value in item["metadata"].items() if key not in added}
    return {key: value for key, value in item.items() if key != "status"} | {"metadata": metadata}


def _create(sandbox: Sandbox, *items: Mapping[str, Any]) -> None:
    # Not `apply`, which writes what it is given, a Secret too, into an annotation.
    done = sandbox.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(items))
    assert done.ok, done.output


def _made(kind: str, api: str = "v1", namespace: str = NAMESPACE, **body: Any) -> Change:
    """An object more."""
    labels = body.pop("labels", {})
    item = {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": NAME, "namespace": namespace, "labels": labels},
        **body,
    }
    return lambda sandbox: _there(sandbox, item)


@contextlib.contextmanager
def _there(sandbox: Sandbox, *items: Mapping[str, Any]) -> Iterator[None]:
    try:
        _create(sandbox, *items)
        yield
    finally:
        sandbox.delete(*items)


def _deleted(kind: str, name: str, namespace: str = NAMESPACE) -> Change:
    """An object less."""

    @contextlib.contextmanager
    def change(sandbox: Sandbox) -> Iterator[None]:
        before = _manifest(sandbox.get(kind, name, namespace=namespace))
        sandbox.delete(before)
        try:
            yield
        finally:
            _create(sandbox, before)

    return change


def _replaced(kind: str, name: str, change: Callable[[dict[str, Any]], object], namespace: str) -> Change:
    """An object with something else in it."""

    @contextlib.contextmanager
    def made(sandbox: Sandbox) -> Iterator[None]:
        def put(item: Mapping[str, Any]) -> None:
            done = sandbox.kubectl("replace", "-f", "-", stdin=yaml.safe_dump(item))
            assert done.ok, done.output

        before = _manifest(sandbox.get(kind, name, namespace=namespace))
        other = json.loads(json.dumps(before))
        change(other)
        put(other)
        try:
            yield
        finally:
            put(before)

    return made


def _patched(kind: str, name: str, spec: Mapping[str, Any], namespace: str = NAMESPACE) -> Change:
    return _replaced(kind, name, lambda item: item["spec"].update(spec), namespace)


def _labelled(namespace: str, level: str) -> Change:
    return _replaced(
        "namespace", namespace, lambda item: item["metadata"]["labels"].update({POD_LEVEL: level}), namespace
    )


def _granted(account: str, home: str, namespace: str, resource: str, verb: str) -> Change:
    """A right more, in one namespace."""
    meta = {"name": NAME, "namespace": namespace}
    api = "rbac.authorization.k8s.io/v1"
    rule = {"apiGroups": [""], "resources": [resource], "verbs": [verb]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": home}
    role = {"apiVersion": api, "kind": "Role", "metadata": meta, "rules": [rule]}
    binding = {
        "apiVersion": api,
        "kind": "RoleBinding",
        "metadata": meta,
        "roleRef": reference,
        "subjects": [subject],
    }
    return lambda sandbox: _there(sandbox, role, binding)


def _granted_to_all(sandbox: Sandbox) -> AbstractContextManager[None]:
    api = "rbac.authorization.k8s.io/v1"
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}
    rule = {"apiGroups": [""], "resources": ["limitranges"], "verbs": ["list"]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME}
    role = {"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": NAME}, "rules": [rule]}
    binding = {
        "apiVersion": api,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAME},
        "roleRef": reference,
        "subjects": [group],
    }
    return _there(sandbox, role, binding)


@contextlib.contextmanager
def _token(sandbox: Sandbox, **body: Any) -> Iterator[None]:
    """Another Secret of the token's name; the Pods keep the token that they have read."""
    before = _manifest(sandbox.get("secret", sandbox.token_secret()))
    sandbox.delete(before)
    try:
        _create(sandbox, {**before, **body})
        yield
    finally:
        sandbox.delete(before)
        _create(sandbox, before)


def _pod(*, meshed: bool, image: str | None = None, **annotations: str) -> Change:
    """A Pod that never needs to run."""

    def change(sandbox: Sandbox) -> AbstractContextManager[None]:
        manifest = sandbox.client(NAME, meshed=meshed)
        manifest["metadata"]["annotations"].update(annotations)
        if image:
            manifest["spec"]["containers"][0].update(image=image, imagePullPolicy="Never")
        return _there(sandbox, manifest)

    return change


def _webhooks(item: dict[str, Any]) -> None:
    for hook in item["webhooks"]:
        hook["failurePolicy"] = "Ignore"


ISTIO_SECURITY, ISTIO_NETWORK, NETWORKS = (
    "security.istio.io/v1",
    "networking.istio.io/v1",
    "networking.k8s.io/v1",
)
EVERYBODY = {"podSelector": {"matchLabels": {"app": "nobody"}}, "policyTypes": ["Ingress"], "ingress": [{}]}
OUTSIDE = {"type": "NodePort", "selector": {"app": "nobody"}, "ports": [{"name": "x", "port": 80}]}
GATEWAY = {
    "selector": {"app": "nobody"},
    "servers": [
        {
            "hosts": ["x.example.com"],
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
            "tls": {"mode": "SIMPLE", "credentialName": "x", "minProtocolVersion": "TLSV1_2"},
        }
    ],
}
FILTER = {
    "workloadSelector": {"labels": {"app": "nobody"}},
    "configPatches": [
        {
            "applyTo": "CLUSTER",
            "match": {"context": "SIDECAR_OUTBOUND"},
            "patch": {"operation": "MERGE", "value": {"connect_timeout": "9s"}},
        }
    ],
}
PLAIN = {
    "host": f"{CLUSTER}-head-svc.{NAMESPACE}.svc.cluster.local",
    "trafficPolicy": {"tls": {"mode": "DISABLE"}},
    "exportTo": ["."],
}

BROKEN: dict[str, Change] = {
    "dashboard-token": lambda sandbox: _token(sandbox, data={"auth_token": OTHER_TOKEN}),
    "token-secret": lambda sandbox: _token(sandbox, immutable=False),
    "netrc-mounted": _deleted("secret", "netrc-secret"),
    "no-credential-in-workspace": _made("ConfigMap", data={"repo": "https://me:word@git.example.com/x.zip"}),
    "no-credential-in-platform": _made(
        "ConfigMap", namespace=OPERATOR, data={"repo": "https://me:word@git.example.com/x.zip"}
    ),
    "mesh-strict": _patched("peerauthentication", "default", PERMISSIVE, MESH),
    "strict-everywhere": _made(
        "PeerAuthentication",
        ISTIO_SECURITY,
        spec={**NOBODY, "portLevelMtls": {"8265": {"mode": "PERMISSIVE"}}},
    ),
    "mtls-always-sent": _made("DestinationRule", ISTIO_NETWORK, "default", spec=PLAIN),
    "no-envoy-filter": _made("EnvoyFilter", "networking.istio.io/v1alpha3", spec=FILTER),
    "injection-fails-closed": _replaced(
        "mutatingwebhookconfiguration", "istio-sidecar-injector", _webhooks, NAMESPACE
    ),
    "sidecars": _pod(meshed=False),
    "nothing-past-the-sidecar": _pod(
        meshed=True, **{"traffic.sidecar.istio.io/excludeOutboundPorts": "6379"}
    ),
    "images-pinned": _pod(meshed=True, image="docker.io/rayproject/ray:latest"),
    "ports-agree": _replaced(
        "service", f"{CLUSTER}-headless-svc", lambda item: item["spec"]["ports"].pop(), NAMESPACE
    ),
    "mesh-denies-by-default": _deleted("authorizationpolicy", "allow-nothing"),
    "mesh-allows-by-name": _made("AuthorizationPolicy", ISTIO_SECURITY, spec={**NOBODY, "rules": [{}]}),
    "network-denies-by-default": _deleted("networkpolicy", "default-deny"),
    "network-allows-by-name": _made("NetworkPolicy", NETWORKS, spec=EVERYBODY),
    "istiod-plaintext-closed": _replaced(
        "networkpolicy", "istiod", lambda item: item["spec"]["ingress"][0].pop("ports"), MESH
    ),
    "no-public-service": _made("Service", spec=OUTSIDE),
    "gateway-tls-1.3": _made(
        "Gateway",
        ISTIO_NETWORK,
        "default",
        labels={"app.kubernetes.io/part-of": "rayfort"},
        spec=GATEWAY,
    ),
    "rights-of-operator": _granted("kuberay-operator", OPERATOR, NAMESPACE, "pods/exec", "create"),
    "rights-of-kbatch-proxy": _granted("kbatch-proxy", PROXY, USER, "secrets", "get"),
    "rights-of-ray": _granted(f"{CLUSTER}-head", NAMESPACE, NAMESPACE, "secrets", "get"),
    "pod-security-level": _labelled(NAMESPACE, "baseline"),
    "platform-pod-security-level": _labelled(OPERATOR, "baseline"),
    "no-api-token": _replaced(
        "serviceaccount",
        f"{CLUSTER}-head",
        lambda item: item.pop("automountServiceAccountToken"),
        NAMESPACE,
    ),
    "quota": _deleted("resourcequota", "default"),
    "kbatch-users-fenced": _deleted("limitrange", "kbatch-proxy", USER),
    "kbatch-proxy-fenced": _replaced(
        "networkpolicy", "kbatch-proxy", lambda item: item["spec"]["ingress"][0].pop("from"), PROXY
    ),
}


@pytest.mark.parametrize("check", BROKEN)
def test_a_broken_platform_is_told_by_this_check_alone(sandbox: Sandbox, check: str) -> None:
    with BROKEN[check](sandbox):
        assert failing(sandbox) == {check}


def test_a_right_for_everybody_is_one_of_every_account(sandbox: Sandbox) -> None:
    with _granted_to_all(sandbox):
        assert failing(sandbox) == {
            "rights-of-everyone",
            "rights-of-operator",
            "rights-of-kbatch-proxy",
            "rights-of-ray",
        }


# --- what only the wire tells


def test_plaintext_that_is_taken_is_heard(sandbox: Sandbox) -> None:
    """PERMISSIVE alone is not enough: who speaks plaintext has no name, and no policy lists him.

    TLS that is not the mesh's is then handed to Ray, which speaks none.
    """
    ray = {"matchLabels": {"ray.io/cluster": CLUSTER}}
    for_all = _made("AuthorizationPolicy", ISTIO_SECURITY, spec={"selector": ray, "rules": [{}]})
    permissive = _patched("peerauthentication", "default", PERMISSIVE)
    expected = {"workspace-strict", "plaintext-refused", "tls-1.2-refused", "client-certificate"}
    with permissive(sandbox), for_all(sandbox):
        wanted = expected | {"mesh-allows-by-name"}
        wait_for(lambda: failing(sandbox, WIRE) == wanted, 90, "the head takes plaintext")


def test_packets_that_pass_are_seen_to_pass(sandbox: Sandbox) -> None:
    ray = {"matchLabels": {"ray.io/cluster": CLUSTER}}
    everybody = {"podSelector": ray, "policyTypes": ["Ingress"], "ingress": [{}]}
    with _made("NetworkPolicy", NETWORKS, spec=everybody)(sandbox):
        expected = {"network-allows-by-name", "network-fence"}
        wait_for(lambda: failing(sandbox, FENCE) == expected, 60, "packets pass")


def test_tls_1_2_that_is_taken_is_heard(sandbox: Sandbox) -> None:
    def older(item: dict[str, Any]) -> None:
        mesh = yaml.safe_load(item["data"]["mesh"])
        mesh["meshMTLS"]["minProtocolVersion"] = "TLSV1_2"
        item["data"]["mesh"] = yaml.safe_dump(mesh)

    with _replaced("configmap", "istio", older, MESH)(sandbox):
        assert failing(sandbox) == {"tls-1.3-configured"}
        expected = {"tls-1.3-configured", "tls-1.2-refused"}
        wait_for(lambda: failing(sandbox, WIRE) == expected, 90, "the head takes TLS 1.2")
    wait_for(lambda: not failing(sandbox, WIRE), 90, "the platform is as it was")
