"""One thing that goes wrong at a time, and the checks that must say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from rayfort import network
from rayfort.proxy import kbatch_admission as admission

from tests.unit.conformance.world import USER, WORKSPACE, World, head, main, variable, worker

ALICE = "system:serviceaccount"


@dataclass(frozen=True)
class Mutation:
    """A change.

    Attributes:
        check: the check that it is about.
        what: in a few words.
        change: makes it.
        breaks_too: other checks that it cannot but break as well.
    """

    check: str
    what: str
    change: Callable[[World], object]
    breaks_too: frozenset[str] = frozenset()


def _grant(account: str, namespace: str, **rule: list[str]) -> Callable[[World], object]:
    rule.setdefault("apiGroups", [""])
    return lambda world: world.probe("rights", account)["rules"][namespace].append(rule)


def _set(target: dict[str, Any], **values: Any) -> None:
    for key, value in values.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value


def _spec(kind: str, name: str, namespace: str = "", **values: Any) -> Callable[[World], object]:
    return lambda world: _set(world.one(kind, name, namespace)["spec"], **values)


def _label(namespace: str, key: str, value: str | None) -> Callable[[World], object]:
    return lambda world: _set(world.one("Namespace", namespace)["metadata"]["labels"], **{key: value})


def _environment(name: str, value: str) -> Callable[[World], object]:
    return lambda world: main(worker(world))["env"].append({"name": name, "value": value})


def _without_sidecar(prefix: str, namespace: str) -> Callable[[World], object]:
    def change(world: World) -> None:
        spec = world.one("Pod", prefix, namespace)["spec"]
        for key in ("containers", "initContainers"):
            spec[key] = [each for each in spec.get(key, []) if each["name"] != "istio-proxy"]

    return change


def _plain_token(world: World) -> None:
    token = variable(worker(world), "RAY_AUTH_TOKEN")
    token.pop("valueFrom")
    token["value"] = "a-token-written-out-in-a-specification"


def _mesh_config(old: str, new: str) -> Callable[[World], object]:
    def change(world: World) -> None:
        data = world.one("ConfigMap", "istio", "istio-system")["data"]
        assert old in data["mesh"]
        data["mesh"] = data["mesh"].replace(old, new)

    return change


def _istiod_arguments(world: World) -> None:
    container = world.one("Deployment", "istiod", "istio-system")["spec"]["template"]["spec"]["containers"][0]
    container["args"] = [each for each in container["args"] if "tls-min" not in each]


def _istiod_gone(world: World) -> None:
    world.drop("Deployment", "istiod", "istio-system")


def _port(world: World) -> None:
    world.one("Service", "ray-headless-svc")["spec"]["ports"].pop()


def _start_line(world: World) -> None:
    line = variable(worker(world), "KUBERAY_GEN_RAY_START_CMD")
    line["value"] = line["value"].replace("--node-manager-port=6380", "--node-manager-port=6390")


def _head_port(world: World) -> None:
    world.one("Service", "ray-head-svc")["spec"]["ports"][0]["port"] += 1


def _worker_group(world: World) -> None:
    group = world.one("RayCluster", "ray")["spec"]["workerGroupSpecs"][0]
    group["rayStartParams"]["object-manager-port"] = "7000"


def _api_token(world: World) -> None:
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
    volume = {"name": "kube-api-access-abcde", "projected": {"sources": [token]}}
    worker(world)["spec"]["volumes"].append(volume)


def _hook(world: World) -> None:
    for hook in world.one("MutatingWebhookConfiguration", "istio-sidecar-injector")["webhooks"]:
        hook["failurePolicy"] = "Ignore"


def _operator_image(world: World) -> None:
    world.one("Pod", "kuberay-operator", "kuberay-system")["spec"]["containers"][0]["image"] = "operator"


def _no_cni_label(world: World) -> None:
    _label("kuberay-system", "pod-security.kubernetes.io/enforce", "baseline")(world)


def _authorization(spec: dict[str, Any]) -> Callable[[World], object]:
    return lambda world: world.add("AuthorizationPolicy", "wide", spec)


def _network(spec: dict[str, Any]) -> Callable[[World], object]:
    return lambda world: world.add(
        "NetworkPolicy", "wide", {"podSelector": {"matchLabels": {"a": "b"}}, **spec}
    )


def _metadata_server(world: World) -> None:
    rules = world.one("NetworkPolicy", "allow-egress")["spec"]["egress"]
    rules[0]["to"][0]["ipBlock"].pop("except")


def _istiod_policy(world: World) -> None:
    rules = world.one("NetworkPolicy", "istiod", "istio-system")["spec"]["ingress"]
    rules[0]["ports"].append({"protocol": "TCP", "port": 15010})


def _authority(world: World) -> None:
    world.one("AuthorizationPolicy", "ray-head")["spec"]["rules"][0].pop("from")


def _gateway(**tls: Any) -> Callable[[World], object]:
    return lambda world: _set(world.all("Gateway")[0]["spec"]["servers"][0]["tls"], **tls)


def _volume(world: World) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = worker(world)["spec"]["volumes"]
    return next(each for each in volumes if each["name"] == "netrc-kuberay")


def _mount(world: World) -> dict[str, Any]:
    return next(each for each in main(worker(world))["volumeMounts"] if each["name"] == "netrc-kuberay")


def _file(**values: Any) -> Callable[[World], object]:
    def change(world: World) -> None:
        for answer in world.data["probes"]["netrc"].values():
            _set(answer, **values)

    return change


def _context(**values: Any) -> Callable[[World], object]:
    return lambda world: _set(main(worker(world))["securityContext"], **values)


def _annotate(key: str, value: str) -> Callable[[World], object]:
    return lambda world: worker(world)["metadata"]["annotations"].update({key: value})


def _proxy_policy(world: World) -> None:
    world.one("NetworkPolicy", "kbatch-proxy", "batch-system")["spec"]["ingress"][0].pop("from")


def _user_egress(world: World) -> None:
    world.one("NetworkPolicy", "allow-egress", USER)["spec"]["egress"][0]["to"].append(
        {"ipBlock": {"cidr": "169.254.169.254/32"}}
    )


def _every_namespace(world: World) -> None:
    world.one("NetworkPolicy", "allow-egress", USER)["spec"]["egress"][0]["to"].append(
        {"namespaceSelector": {}}
    )


def _user_policy(change: Callable[[Any], object]) -> Callable[[World], None]:
    def changed(world: World) -> None:
        for item in world.all(admission.POLICY):
            change(item["spec"])

    return changed


def _binding(change: Callable[[Any], object]) -> Callable[[World], None]:
    def changed(world: World) -> None:
        for item in world.all(admission.BINDING):
            change(item["spec"])

    return changed


def _job(**spec: Any) -> Callable[[World], object]:
    return lambda world: world.add("RayJob", "train", spec)


_OPERATOR, _PROXY, _HEAD = "kuberay-system/kuberay-operator", "batch-system/kbatch-proxy", "team-a/ray-head"
_NOBODY = "default/rayfort-verify-nobody"
_RULE: Final = "ISTIO_MUTUAL"
_PERMISSIVE: Final = {"mode": "PERMISSIVE"}
_SELECTED: Final = {"selector": {"matchLabels": {"ray.io/cluster": "ray"}}}
_NO_MESH: Final = frozenset(
    {
        "mesh-strict",
        "strict-everywhere",
        "tls-1.3-configured",
        "istiod-tls-1.3",
        "injection-fails-closed",
        "mesh-denies-by-default",
        "istiod-plaintext-closed",
    }
)


def _no_istiod() -> Mutation:
    return Mutation("mesh-strict", "there is no mesh", _istiod_gone, _NO_MESH - {"mesh-strict"})


MUTATIONS: Final = (
    Mutation("dashboard-token", "no token is asked for", lambda w: w.probe("dashboard").update(none=200)),
    Mutation("dashboard-token", "any token will do", lambda w: w.probe("dashboard").update(wrong=200)),
    Mutation("dashboard-token", "the right one is refused", lambda w: w.probe("dashboard").update(right=403)),
    Mutation(
        "token-mode",
        "a Pod asks for none",
        lambda w: variable(head(w), "RAY_AUTH_MODE").update(value="disabled"),
    ),
    Mutation("token-mode", "authOptions is empty", _spec("RayCluster", "ray", authOptions={})),
    Mutation(
        "token-by-reference", "it is written out", _plain_token, frozenset({"no-credential-in-workspace"})
    ),
    Mutation("token-secret", "it can be changed", lambda w: w.one("Secret", "ray-auth").pop("immutable")),
    Mutation("token-secret", "it is gone", lambda w: w.drop("Secret", "ray-auth")),
    Mutation(
        "token-secret", "it has another key", lambda w: w.one("Secret", "ray-auth").update(data={"token": ""})
    ),
    Mutation(
        "token-in-force",
        "a rotation did not reach the Pods",
        lambda w: w.one("RayCluster", "ray")["spec"]["authOptions"].update(secretName="ray-auth-new"),
    ),
    Mutation("ray-version", "the image has another", lambda w: w.probe("dashboard").update(version="2.51.0")),
    Mutation("netrc-mounted", "a node lacks it", lambda w: main(worker(w)).update(volumeMounts=[])),
    Mutation("netrc-mounted", "it can be written", lambda w: _mount(w).pop("readOnly")),
    Mutation("netrc-mounted", "by subPath", lambda w: _mount(w).update(subPath=".netrc")),
    Mutation("netrc-mounted", "not from a Secret", lambda w: _set(_volume(w), secret=None, emptyDir={})),
    Mutation(
        "netrc-mounted", "nothing names it", lambda w: variable(worker(w), "NETRC").update(value="/elsewhere")
    ),
    Mutation(
        "netrc-mounted",
        "the Secret has no such key",
        lambda w: w.one("Secret", "netrc").update(data={"x": ""}),
    ),
    Mutation("netrc-private", "the world reads it", _file(mode=0o444)),
    Mutation("netrc-private", "it can be written", _file(mode=0o640)),
    Mutation("netrc-private", "Ray's user cannot read it", _file(readable=False)),
    Mutation("netrc-private", "it is not there", _file(mode=None, error="No such file or directory")),
    Mutation("no-credential-in-workspace", "a variable", _environment("DB_PASSWORD", "correct-horse")),
    Mutation(
        "no-credential-in-workspace",
        "a URI",
        _environment("REPO", "https://me:pw12345@git.example.com/x.zip"),
    ),
    Mutation(
        "no-credential-in-workspace", "a token for a user", _environment("R", "https://abc@git.example.com/x")
    ),
    Mutation("no-credential-in-workspace", "a shape", _environment("X", f"ghp_{'a' * 36}")),
    Mutation("no-credential-in-workspace", "an annotation", _annotate("note", "https://u:p@example.com")),
    Mutation(
        "no-credential-in-workspace",
        "a runtime environment",
        _job(runtimeEnvYAML="working_dir: https://u:p4ssw0rd@git.example.com/x.zip\n"),
    ),
    Mutation(
        "no-credential-in-workspace",
        "a variable of a runtime environment",
        _job(runtimeEnvYAML="env_vars:\n  HF_TOKEN: abcdefgh\n"),
    ),
    Mutation(
        "no-credential-in-workspace", "a command line", _job(entrypoint="python x.py --password hunter22")
    ),
    Mutation(
        "no-credential-in-platform",
        "a ConfigMap",
        lambda w: (
            w.one("ConfigMap", "kbatch-proxy", "batch-system")
            .setdefault("data", {})
            .update(a="https://u:p@h/")
        ),
    ),
    Mutation(
        "no-credential-in-platform",
        "a user's job",
        lambda w: w.add(
            "Job",
            "j",
            {"template": {"spec": {"containers": [{"env": [{"name": "API_KEY", "value": "abc1"}]}]}}},
            USER,
        ),
    ),
    Mutation(
        "plaintext-refused", "plaintext is answered", lambda w: w.probe("wire").update(plain="answered")
    ),
    Mutation("tls-1.2-refused", "TLS 1.2 is taken", lambda w: w.probe("wire").update(tls12="accepted")),
    Mutation(
        "tls-1.2-refused",
        "for another reason",
        lambda w: w.probe("wire").update(tls12="SSLV3_ALERT_HANDSHAKE_FAILURE"),
    ),
    Mutation("client-certificate", "none is demanded", lambda w: w.probe("wire").update(tls13="accepted")),
    Mutation(
        "client-certificate",
        "somebody else answers",
        lambda w: w.probe("wire").update(identity="spiffe://cluster.local/ns/evil/sa/x"),
    ),
    Mutation(
        "network-fence",
        "a packet passes",
        lambda w: w.probe("fence")["targets"].update({"10.0.0.1:6379": "open"}),
    ),
    Mutation(
        "mesh-strict",
        "the mesh is permissive",
        _spec("PeerAuthentication", "default", "istio-system", mtls=_PERMISSIVE),
    ),
    Mutation("mesh-strict", "no policy", lambda w: w.drop("PeerAuthentication", "", "istio-system")),
    _no_istiod(),
    Mutation(
        "workspace-strict", "permissive", _spec("PeerAuthentication", "default", WORKSPACE, mtls=_PERMISSIVE)
    ),
    Mutation("workspace-strict", "no policy", lambda w: w.drop("PeerAuthentication")),
    Mutation(
        "strict-everywhere",
        "a port is exempt",
        _spec("PeerAuthentication", "default", WORKSPACE, portLevelMtls={"8265": _PERMISSIVE}),
    ),
    Mutation(
        "strict-everywhere",
        "Pods are exempt",
        lambda w: w.add("PeerAuthentication", "some", {**_SELECTED, "mtls": {"mode": "DISABLE"}}),
    ),
    Mutation("mtls-always-sent", "no rule", lambda w: w.drop("DestinationRule")),
    Mutation(
        "mtls-always-sent",
        "another rule",
        lambda w: w.add(
            "DestinationRule",
            "plain",
            {"host": "ray-head-svc.team-a.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "DISABLE"}}},
            "elsewhere",
        ),
    ),
    Mutation(
        "mtls-always-sent",
        "for a port",
        lambda w: w.one("DestinationRule", "default")["spec"]["trafficPolicy"].update(
            portLevelSettings=[{"port": {"number": 8265}, "tls": {"mode": "DISABLE"}}]
        ),
    ),
    Mutation(
        "tls-1.3-configured",
        "for the mesh",
        _mesh_config("meshMTLS:\n  minProtocolVersion: TLSV1_3", "meshMTLS:\n  minProtocolVersion: TLSV1_2"),
    ),
    Mutation(
        "tls-1.3-configured",
        "for gateways",
        _mesh_config("tlsDefaults:\n  minProtocolVersion: TLSV1_3", "tlsDefaults: {}"),
    ),
    Mutation("istiod-tls-1.3", "istiod is not told", _istiod_arguments),
    Mutation("no-envoy-filter", "a filter", lambda w: w.add("EnvoyFilter", "patch", {}, "istio-system")),
    Mutation("injection-fails-closed", "the webhook lets go", _hook),
    Mutation(
        "injection-fails-closed",
        "no webhook",
        lambda w: w.drop("MutatingWebhookConfiguration", "istio-sidecar", ""),
    ),
    Mutation("sidecars", "a Pod without", _without_sidecar("ray-small", WORKSPACE)),
    Mutation(
        "sidecars",
        "of an old revision",
        lambda w: worker(w)["metadata"]["labels"].update({"istio.io/rev": "1-31-0"}),
    ),
    Mutation(
        "nothing-past-the-sidecar",
        "a port",
        _annotate("traffic.sidecar.istio.io/excludeInboundPorts", "8265,15020"),
    ),
    Mutation("operator-in-mesh", "without a sidecar", _without_sidecar("kuberay-operator", "kuberay-system")),
    Mutation("kbatch-proxy-in-mesh", "without a sidecar", _without_sidecar("kbatch-proxy", "batch-system")),
    Mutation("ports-agree", "the Service lacks one", _port),
    Mutation("ports-agree", "a Pod was told another", _start_line),
    Mutation("ports-agree", "the head's Service has another", _head_port),
    Mutation("ports-agree", "a group has another", _worker_group),
    Mutation("ports-agree", "no headless Service", lambda w: w.drop("Service", "ray-headless")),
    Mutation(
        "mesh-denies-by-default", "no such policy", lambda w: w.drop("AuthorizationPolicy", "allow-nothing")
    ),
    Mutation("mesh-allows-by-name", "a rule without names", _authority),
    Mutation("mesh-allows-by-name", "a policy for all", _authorization({"rules": [{}]})),
    Mutation(
        "mesh-allows-by-name",
        "everybody by name",
        _authorization({"rules": [{"from": [{"source": {"principals": ["*"]}}]}]}),
    ),
    Mutation(
        "network-denies-by-default", "no such policy", lambda w: w.drop("NetworkPolicy", "default-deny")
    ),
    Mutation(
        "network-allows-by-name", "everybody in", _network({"policyTypes": ["Ingress"], "ingress": [{}]})
    ),
    Mutation(
        "network-allows-by-name", "everywhere out", _network({"policyTypes": ["Egress"], "egress": [{}]})
    ),
    Mutation(
        "network-allows-by-name",
        "every address in",
        _network({"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}),
    ),
    Mutation(
        "network-allows-by-name",
        "every namespace in",
        _network({"ingress": [{"from": [{"namespaceSelector": {}}]}]}),
    ),
    Mutation("network-allows-by-name", "the metadata server", _metadata_server),
    Mutation(
        "istiod-plaintext-closed", "no policy", lambda w: w.drop("NetworkPolicy", "istiod", "istio-system")
    ),
    Mutation("istiod-plaintext-closed", "another port", _istiod_policy),
    Mutation("no-public-service", "a load balancer", _spec("Service", "ray-head-svc", type="LoadBalancer")),
    Mutation("no-public-service", "an address", _spec("Service", "ray-head-svc", externalIPs=["192.0.2.7"])),
    Mutation("gateway-tls-1.3", "TLS 1.2", _gateway(minProtocolVersion="TLSV1_2")),
    Mutation("gateway-tls-1.3", "plaintext", _gateway(mode=None)),
    Mutation("rights-of-everyone", "for all", _grant(_NOBODY, "default", resources=["pods"], verbs=["list"])),
    Mutation(
        "rights-of-operator", "exec", _grant(_OPERATOR, WORKSPACE, resources=["pods/exec"], verbs=["create"])
    ),
    Mutation(
        "rights-of-operator",
        "outside of what it watches",
        lambda w: w.one("Deployment", "kuberay-operator", "kuberay-system")["spec"]["template"]["spec"][
            "containers"
        ][0]["args"].append("--watch-namespace=team-a"),
    ),
    Mutation("rights-of-kbatch-proxy", "Secrets", _grant(_PROXY, USER, resources=["secrets"], verbs=["get"])),
    Mutation(
        "rights-of-kbatch-proxy",
        "elsewhere",
        _grant(_PROXY, WORKSPACE, apiGroups=["batch"], resources=["jobs"], verbs=["create"]),
    ),
    Mutation(
        "rights-of-ray",
        "everything",
        _grant(_HEAD, "kube-system", apiGroups=["*"], resources=["*"], verbs=["*"]),
    ),
    Mutation(
        "images-pinned", "latest", lambda w: main(worker(w)).update(image="docker.io/rayproject/ray:latest")
    ),
    Mutation("images-pinned", "no tag", lambda w: main(worker(w)).update(image="registry:5000/ray")),
    Mutation("platform-images-pinned", "no tag", _operator_image),
    Mutation(
        "pod-security-level", "baseline", _label(WORKSPACE, "pod-security.kubernetes.io/enforce", "baseline")
    ),
    Mutation("pod-security-level", "none", _label(WORKSPACE, "pod-security.kubernetes.io/enforce", None)),
    Mutation("platform-pod-security-level", "baseline", _no_cni_label),
    Mutation("containers-hardened", "privileged", _context(privileged=True)),
    Mutation("containers-hardened", "escalation", _context(allowPrivilegeEscalation=None)),
    Mutation(
        "containers-hardened", "capabilities", _context(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]})
    ),
    Mutation("containers-hardened", "kept ones", _context(capabilities=None)),
    Mutation("containers-hardened", "root", _context(runAsUser=0)),
    Mutation("containers-hardened", "maybe root", _context(runAsNonRoot=False)),
    Mutation("containers-hardened", "no seccomp", _context(seccompProfile={"type": "Unconfined"})),
    Mutation(
        "containers-hardened",
        "the node's files",
        lambda w: worker(w)["spec"]["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
    ),
    Mutation("containers-hardened", "the node's processes", lambda w: worker(w)["spec"].update(hostPID=True)),
    Mutation("no-api-token", "a Pod holds one", _api_token),
    Mutation(
        "no-api-token",
        "an account hands it out",
        lambda w: w.one("ServiceAccount", "ray-head").pop("automountServiceAccountToken"),
    ),
    Mutation("quota", "none", lambda w: w.drop("ResourceQuota")),
    Mutation(
        "kbatch-users-fenced", "no level", _label(USER, "pod-security.kubernetes.io/enforce", "privileged")
    ),
    Mutation("kbatch-users-fenced", "no quota", lambda w: w.drop("ResourceQuota", "", USER)),
    Mutation("kbatch-users-fenced", "no limits", lambda w: w.drop("LimitRange", "", USER)),
    Mutation("kbatch-users-fenced", "no policy", lambda w: w.drop("NetworkPolicy", "", USER)),
    Mutation(
        "kbatch-users-fenced",
        "no deny-all",
        lambda w: w.drop("NetworkPolicy", network.DEFAULT_DENY, USER),
    ),
    Mutation("kbatch-users-fenced", "the metadata server", _user_egress),
    Mutation("kbatch-users-fenced", "every namespace", _every_namespace),
    Mutation("kbatch-users-fenced", "no identity", lambda w: w.drop("ServiceAccount", "kbatch-job", USER)),
    Mutation("kbatch-jobs-admitted", "no policy", lambda w: w.all(admission.POLICY).clear()),
    Mutation("kbatch-jobs-admitted", "no binding", lambda w: w.all(admission.BINDING).clear()),
    Mutation("kbatch-jobs-admitted", "a rule less", _user_policy(lambda spec: spec["validations"].pop(0))),
    Mutation(
        "kbatch-jobs-admitted",
        "lets in where it fails",
        _user_policy(lambda spec: spec.update(failurePolicy="Ignore")),
    ),
    Mutation(
        "kbatch-jobs-admitted",
        "only warns",
        _binding(lambda spec: spec.update(validationActions=["Warn"])),
    ),
    Mutation(
        "kbatch-jobs-admitted",
        "holds elsewhere",
        _binding(
            lambda spec: spec["matchResources"]["namespaceSelector"]["matchLabels"].update(somewhere="else")
        ),
    ),
    Mutation("kbatch-proxy-fenced", "everybody", _proxy_policy),
    Mutation(
        "kbatch-proxy-fenced", "no policy", lambda w: w.drop("NetworkPolicy", "kbatch-proxy", "batch-system")
    ),
)
