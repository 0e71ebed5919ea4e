"""kbatch-proxy: namespaces, rights and configuration, as kbatch-proxy 0.5 needs them."""

from __future__ import annotations

import json
import re
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayfort import ClusterFacts, KbatchProxy, KbatchProxyArgs
from rayfort.proxy.kbatch_config import (
    checksum,
    extra_env,
    legacy_namespace,
    legacy_problem,
    secret_name,
    user_namespace,
    user_rules,
)
from rayfort.proxy.kbatch_users import RayAccess, Surroundings
from rayfort.ray.ports import RayPorts

from tests.unit import samples
from tests.unit.recorder import NAMESPACE_OBJECT, RANDOM_PASSWORD, SECRET_OBJECT, Run, record

USERS = st.text(min_size=1, max_size=80)
LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


# Nodes take Istio's plugin.
AROUND = Surroundings(facts=ClusterFacts(istio_cni=True))
RAY_TOKEN = "ray-token-3f27a9"
WITH_RAY = {"users": ({"name": "alice", "workspace": "team"}, "bob.b")}


def make(*, preview: bool = False, around: Surroundings = AROUND, **settings: Any) -> Run:
    """A proxy's program; users with a workspace use the Ray cluster `ray` of namespace `team`."""

    def program() -> KbatchProxy:
        args = samples.kbatch_args(**settings)
        ray = RayAccess(
            namespace="team",
            cluster="ray",
            head_service="ray-head-svc",
            ports=RayPorts(),
            address="http://ray-head-svc.team.svc.cluster.local:8265",
            token=pulumi.Output.secret(RAY_TOKEN),
        )
        rays = {each.name: ray for each in args.members if each.workspace}
        return KbatchProxy("kbatch", args, samples.on_cluster(), around=around, rays=rays)

    return record(program, preview=preview)


def proxy_pod(run: Run) -> Any:
    return run.one("Deployment").inputs["spec"]["template"]


def proxy_env(run: Run) -> dict[str, Any]:
    return {entry["name"]: entry for entry in proxy_pod(run)["spec"]["containers"][0]["env"]}


@pytest.mark.parametrize(
    ("user", "namespace"),
    [
        ("alice", "kbatch-alice"),
        ("Alice", "kbatch-alice--3bc5106"),
        ("a.b", "kbatch-a-b--2e7336d"),
        ("a-b", "kbatch-a-b"),
        ("alice--3bc5106", "kbatch-alice-3bc5106--05dc2ba"),
        ("user@example.com", "kbatch-user-example-com--b4c9a28"),
        ("...", "kbatch---ab5df62"),
        ("Ünïcode", "kbatch-n-code--00b24be"),
        ("x" * 50, f"kbatch-{'x' * 40}--77cf120"),
        ("a" * 39 + "-" + "b" * 5, f"kbatch-{'a' * 39}--d3fb13a"),
    ],
)
def test_namespaces_are_those_that_kbatch_computes(user: str, namespace: str) -> None:
    """The proxy computes them again at every request: any difference is a 403."""
    assert user_namespace(user) == namespace


@given(USERS)
def test_every_user_has_a_valid_namespace(user: str) -> None:
    """Hub names may hold anything; a namespace is a DNS label of 63 characters."""
    assert LABEL.fullmatch(user_namespace(user))
    assert user_namespace(user).startswith("kbatch-")


@given(USERS, USERS)
def test_no_two_users_share_a_namespace(one: str, other: str) -> None:
    """They would read each other's logs and secrets."""
    assert (user_namespace(one) == user_namespace(other)) == (one == other)


@given(st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True))
def test_names_that_only_look_alike_stay_apart(name: str) -> None:
    """Case and separators are folded: the hash keeps them apart."""
    alike = [name, name.upper(), name + ".", name + "-", "." + name, name + "--", " " + name]
    assert len({user_namespace(user) for user in alike}) == len(alike)


def test_the_proxys_rights_are_exactly_these(preview: bool) -> None:
    """Jobs and secrets in a whole cluster are as good as cluster-admin; here they are a namespace's."""
    rules = [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "list", "delete"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch", "delete"]},
    ]
    run = make(preview=preview)
    assert {role.namespace for role in run.all("Role")} == {"kbatch-alice", user_namespace("bob.b")}
    for role in run.all("Role"):
        assert role.inputs["rules"] == rules
    assert not run.all("ClusterRole")
    assert not run.all("ClusterRoleBinding")


def test_cron_jobs_are_a_right_of_their_own() -> None:
    """They go on making jobs when nobody looks."""
    assert user_rules(cron_jobs=True)[0]["resources"] == ["jobs", "cronjobs"]
    assert user_rules(cron_jobs=False)[0]["resources"] == ["jobs"]


def test_rights_are_bound_to_the_proxys_service_account() -> None:
    """The upstream chart binds a User of that name, which nobody is."""
    for binding in make().all("RoleBinding"):
        assert binding.inputs["subjects"] == [
            {"kind": "ServiceAccount", "name": "kbatch-proxy", "namespace": "batch-system"}
        ]
        assert binding.inputs["roleRef"]["kind"] == "Role"


def test_users_namespaces_refuse_dangerous_pods() -> None:
    """kbatch forwards any Pod spec: hostPath, root, host network."""
    for user in ("alice", "bob.b"):
        labels = make().one(NAMESPACE_OBJECT, user_namespace(user)).inputs["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "baseline"


def policies(run: Run, namespace: str = "kbatch-alice") -> dict[str, Any]:
    found = [item for item in run.all("NetworkPolicy") if item.namespace == namespace]
    return {item.object_name: item.inputs["spec"] for item in found}


def test_users_jobs_are_fenced() -> None:
    """Nobody calls them, and they call neither metadata servers nor private networks."""
    specs = policies(make())
    assert specs["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert not [name for name, spec in specs.items() if "ingress" in spec]
    (rule,) = specs["allow-egress"]["egress"]
    (block,) = [peer["ipBlock"] for peer in rule["to"]]
    assert block["cidr"] == "0.0.0.0/0"
    assert {"169.254.0.0/16", "10.0.0.0/8", "192.168.0.0/16"} <= set(block["except"])
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]
    assert set(specs) == {"default-deny", "allow-dns", "allow-mesh", "allow-egress"}


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"jobs": {"egress": None}}, {"default-deny", "allow-dns", "allow-mesh"}),
        ({"in_mesh": False}, {"default-deny", "allow-dns", "allow-egress"}),
        (
            {"jobs": {"hub_access": True}},
            {"default-deny", "allow-dns", "allow-mesh", "allow-egress", "allow-hub"},
        ),
    ],
)
def test_what_jobs_reach_is_asked_for(settings: Any, left: set[str]) -> None:
    """Each door is a policy of its own."""
    assert set(policies(make(**settings))) == left


def test_jobs_reach_the_ray_of_their_workspace_alone() -> None:
    """By address, by identity and by what their sidecars know."""
    run = make(**WITH_RAY)
    (rule,) = policies(run)["allow-ray"]["egress"]
    (peer,) = rule["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "team"}
    assert peer["podSelector"]["matchLabels"]["ray.io/cluster"] == "ray"
    assert {port["port"] for port in rule["ports"]} == {8000, 8265, 10001}
    scopes = {item.namespace: item.inputs["spec"]["egress"][0]["hosts"] for item in run.all("Sidecar")}
    assert scopes["kbatch-alice"] == [
        "./*",
        "istio-system/*",
        "team/ray-head-svc.team.svc.cluster.local",
    ]
    assert scopes[user_namespace("bob.b")] == ["./*", "istio-system/*"]
    assert "allow-ray" not in policies(run, user_namespace("bob.b"))


@pytest.mark.parametrize("preview", [False, True])
def test_the_token_of_a_workspace_is_a_secret_of_its_users(preview: bool) -> None:
    """One token for everybody would be everybody's key to every Ray."""
    run = make(preview=preview, **WITH_RAY)
    secret = run.one(SECRET_OBJECT, "rayfort-job-env")
    assert secret.namespace == "kbatch-alice"
    for key in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        assert secret.hidden("stringData", key)
    assert secret.inputs["stringData"]["RAY_AUTH_TOKEN"] == RAY_TOKEN
    assert not [text for text in run.texts() if RAY_TOKEN in text]


def test_a_workspace_without_its_ray_is_refused() -> None:
    """Who uses the library says which Ray it is."""
    args = samples.kbatch_args(**WITH_RAY)
    run = record(lambda: KbatchProxy("kbatch", args, samples.on_cluster()), catch=True)
    assert "`rays` has no Ray for it" in str(run.error)


def test_jobs_are_in_the_mesh_where_they_end_in_it() -> None:
    """With classic sidecars a job never ends."""
    for around, injected in ((AROUND, True), (Surroundings(native_sidecars=False), False)):
        run = make(around=around)
        labels = run.one(NAMESPACE_OBJECT, "kbatch-alice").inputs["metadata"]["labels"]
        assert ("istio-injection" in labels) is injected
        kinds = ("PeerAuthentication", "AuthorizationPolicy", "Sidecar")
        found = [item for kind in kinds for item in run.all(kind) if item.namespace == "kbatch-alice"]
        assert len(found) == (3 if injected else 0)


def test_rights_come_last() -> None:
    """Nobody may put a job into a namespace whose fences are not there yet."""
    run = make(**WITH_RAY)
    for binding in run.all("RoleBinding"):
        before = run.before(binding)
        for kind in ("NetworkPolicy", "ResourceQuota", "LimitRange", "ServiceAccount", "Sidecar"):
            assert {item.urn for item in run.all(kind) if item.namespace == binding.namespace} <= before
        assert {item.urn for item in run.all("ValidatingAdmissionPolicyBinding")} <= before


def test_containers_without_requests_pass_the_quota() -> None:
    """A quota on requests refuses kbatch's own container, which unpacks `--code` and states none."""
    run = make()
    quota = next(item for item in run.all("ResourceQuota") if item.namespace == "kbatch-alice")
    limits = next(item for item in run.all("LimitRange") if item.namespace == "kbatch-alice")
    limited = {name.removeprefix("requests.") for name in quota.inputs["spec"]["hard"] if "requests." in name}
    assert limited <= set(limits.inputs["spec"]["limits"][0]["defaultRequest"])


def test_unknown_users_fail_closed() -> None:
    """Who is not listed has no namespace, and the proxy may not make one."""
    run = make()
    assert proxy_env(run)["KBATCH_CREATE_USER_NAMESPACE"]["value"] == "false"
    assert {item.object_name for item in run.all(NAMESPACE_OBJECT)} == {
        "batch-system",
        "kbatch-alice",
        user_namespace("bob.b"),
    }


def test_the_proxy_knows_what_it_needs_to_start() -> None:
    """0.5 answers 500 to every call without the service's name; the hub does not strip the prefix."""
    env = proxy_env(make())
    assert env["JUPYTERHUB_SERVICE_NAME"]["value"] == "kbatch"
    assert env["KBATCH_PREFIX"]["value"] == "/services/kbatch"
    assert env["APP_PORT"]["value"] == "8080"


def test_secrets_reach_the_proxy_by_reference(preview: bool) -> None:
    """The upstream chart writes the token into the Deployment."""
    run = make(preview=preview)
    secret = run.one(SECRET_OBJECT)
    name = secret.object_name
    for key in ("JUPYTERHUB_API_TOKEN", "KBATCH_JOB_EXTRA_ENV"):
        assert proxy_env(run)[key]["valueFrom"] == {"secretKeyRef": {"name": name, "key": key}}
        assert "value" not in proxy_env(run)[key]
        assert secret.hidden("stringData", key)
    assert json.loads(secret.inputs["stringData"]["KBATCH_JOB_EXTRA_ENV"]) == {
        "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
        "DASK_PASSWORD": samples.JOB_VALUE,
    }
    assert secret.inputs["stringData"]["JUPYTERHUB_API_TOKEN"] == samples.HUB_TOKEN
    assert secret.inputs["immutable"] is True


def test_a_new_secret_has_a_new_name() -> None:
    """Pods read their environment once: a Secret that keeps its name would change nothing."""
    first, same, other_token, other_value = (
        make(**settings).one(SECRET_OBJECT).object_name
        for settings in ({}, {}, {"hub_api_token": "another"}, {"job_env": {"A": "b"}})
    )
    assert first == same
    assert len({first, other_token, other_value}) == 3


def test_a_name_tells_nothing_about_a_short_value() -> None:
    """By a bare hash a value of a few letters could be guessed: the token is its key."""
    assert secret_name("one", '{"A": "b"}') != secret_name("two", '{"A": "b"}')


def test_a_token_is_made_where_none_is_given(preview: bool) -> None:
    """kbatch-proxy's own default is `super-secret`."""
    run = make(preview=preview, hub_api_token=None)
    assert run.one(RANDOM_PASSWORD).urn in run.before(run.one(SECRET_OBJECT))
    assert run.one(SECRET_OBJECT).hidden("stringData", "JUPYTERHUB_API_TOKEN")
    assert not make(preview=preview).all(RANDOM_PASSWORD)


def test_the_pod_is_hardened() -> None:
    """The image runs as root on port 80 unless told otherwise."""
    spec = proxy_pod(make())["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["containers"][0]["ports"][0]["containerPort"] == 8080


def test_configuration_precedes_the_deployment(preview: bool) -> None:
    """A Pod whose ConfigMap or rights are missing does not start, or answers 500."""
    run = make(preview=preview)
    before = run.before(run.one("Deployment"))
    for kind in ("ConfigMap", "Secret", "ServiceAccount", "RoleBinding", "Role", "ResourceQuota"):
        assert {item.urn for item in run.all(kind)} <= before


def test_only_the_hub_reaches_the_proxy() -> None:
    """Whoever reaches it may try tokens."""
    policy = run_policy(make(hub_namespace="hub"))
    assert policy["ingress"][0]["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hub"}}}
    ]
    assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8080}]


def test_in_the_mesh_the_hub_is_known_by_its_certificate() -> None:
    """Addresses can be taken over; without enforced NetworkPolicies this is the only fence."""
    run = make(hub_namespace="hub", hub_proxy_service_account="chp")
    (rule,) = run.one("AuthorizationPolicy", "kbatch-proxy").inputs["spec"]["rules"]
    assert rule == {
        "from": [{"source": {"principals": ["cluster.local/ns/hub/sa/chp", "cluster.local/ns/hub/sa/hub"]}}],
        "to": [{"operation": {"ports": ["8080"]}}],
    }
    assert not make(in_mesh=False).all("AuthorizationPolicy")


@pytest.mark.parametrize(
    ("url", "port", "anywhere"),
    [
        ("http://hub.jupyterhub.svc.cluster.local:8081/hub/api", 8081, False),
        ("https://hub.example.com/hub/api", 443, True),
    ],
)
def test_the_proxy_reaches_the_hub_and_the_api_server(url: str, port: int, anywhere: bool) -> None:
    """And DNS and istiod; a proxy that was taken over calls nobody else."""
    egress = run_policy(make(hub_api_url=url))["egress"]
    ports = [[each["port"] for each in rule["ports"]] for rule in egress]
    assert ports == [[53, 53], [port], [443, 6443], [15012]]
    assert any("ipBlock" in peer for peer in egress[1]["to"]) is anywhere


def run_policy(run: Run) -> Any:
    policies = [item for item in run.all("NetworkPolicy") if item.namespace == "batch-system"]
    assert len(policies) == 1
    return policies[0].inputs["spec"]


def test_the_service_is_opaque_to_istio() -> None:
    """The hub's proxy keeps the browser's Host header, by which Istio would route it out in plaintext."""
    port = make().one("Service").inputs["spec"]["ports"][0]
    assert port["appProtocol"] == "tcp"


def test_the_namespace_is_in_the_mesh_when_the_proxy_is() -> None:
    """Injection is asked for by the namespace's label."""
    for in_mesh, expected in ((True, "enabled"), (False, None)):
        labels = make(in_mesh=in_mesh).one(NAMESPACE_OBJECT, "batch-system").inputs["metadata"]["labels"]
        assert labels.get("istio-injection") == expected


def test_the_hub_gives_the_right_to_whom_the_settings_name() -> None:
    """The recipe's `admin: true` is not needed: the proxy asks with the user's own token."""
    made: list[KbatchProxy] = []
    args = samples.kbatch_args(groups={"science": {"users": ["carol"]}})
    record(lambda: made.append(KbatchProxy("kbatch", args, samples.on_cluster())))
    (proxy,) = made
    assert proxy.batch.url == "http://kbatch-proxy.batch-system.svc.cluster.local:8080"
    assert (proxy.batch.users, proxy.batch.groups) == (("alice", "bob.b"), ("science",))
    assert not proxy.batch.everybody
    assert "admin" not in str(proxy.hub_values)
    assert set(proxy.user_namespaces) == {"alice", "bob.b", "carol"}


def test_profiles_and_template_are_files_that_the_proxy_is_told_of() -> None:
    """A file that is not there stops the proxy at its start."""
    run = make(profiles={"small": {"image": "x"}}, job_template={"spec": {"backoffLimit": 1}})
    data = run.one("ConfigMap").inputs["data"]
    assert yaml.safe_load(data["profiles.yaml"]) == {"small": {"image": "x"}}
    env = proxy_env(run)
    assert env["KBATCH_PROFILE_FILE"]["value"] == "/etc/kbatch/profiles.yaml"
    assert env["KBATCH_JOB_TEMPLATE_FILE"]["value"] == "/etc/kbatch/job_template.yaml"
    assert not {"profiles.yaml", "job_template.yaml"} & set(make().one("ConfigMap").inputs["data"])
    assert "KBATCH_PROFILE_FILE" not in proxy_env(make())


def test_changed_files_replace_the_pods() -> None:
    """The proxy reads its files once."""
    first, second = (
        proxy_pod(make(profiles={"small": {"image": image}}))["metadata"]["annotations"]
        for image in ("one", "two")
    )
    assert first != second
    assert checksum({"a": "1", "b": "2"}) == checksum({"b": "2", "a": "1"})


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5))
def test_variables_of_jobs_read_back(values: dict[str, str]) -> None:
    """The proxy reads them as JSON; their order must not change the Secret."""
    assert json.loads(extra_env(values)) == values
    assert extra_env(values) == extra_env(dict(reversed(values.items())))


def test_the_image_starts_by_the_module_that_is_mounted() -> None:
    """The published image cannot read booleans and knows no Secret of a workspace."""
    run = make()
    spec = proxy_pod(run)["spec"]
    assert spec["containers"][0]["command"] == ["python3", "/etc/kbatch/kbatch_app.py"]
    data = run.one("ConfigMap").inputs["data"]
    told = json.loads(data["start.json"])
    assert told["jobEnvironmentSecret"] == "rayfort-job-env"
    assert told["legacy"] is False
    compile(data["kbatch_app.py"], "kbatch_app.py", "exec")


def test_changed_settings_of_the_start_module_replace_the_pods() -> None:
    """It reads them once."""
    notes = [proxy_pod(make(**each))["metadata"]["annotations"] for each in ({}, {"max_body_bytes": 100_000})]
    assert notes[0] != notes[1]


@pytest.mark.parametrize(
    ("user", "namespace", "problem"),
    [
        ("alice", "alice", None),
        ("A.b", "a-b", None),
        ("kube-system", "kube-system", "system's"),
        ("Default", "default", "system's"),
        ("istio.system", "istio-system", "system's"),
        ("...", "---", "no name"),
        ("x" * 64, "x" * 64, "no name"),
    ],
)
def test_the_old_proxys_namespaces_are_users_names(user: str, namespace: str, problem: str | None) -> None:
    """0.4 has no prefix: a user kube-system would be Kubernetes' own."""
    assert legacy_namespace(user) == namespace
    found = legacy_problem(namespace)
    assert (found is None) if problem is None else problem in str(found)


OLD = {"image_tag": "0.4.2", "job_env": {}}


def test_the_old_proxy_has_fences_of_its_own() -> None:
    """It knows users by exact names, gets no right to Secrets, and the same admission rules hold."""
    run = make(**OLD, users=("alice",))
    told = json.loads(run.one("ConfigMap").inputs["data"]["start.json"])
    assert told["legacy"] is True
    assert told["users"] == {"alice": "alice"}
    rules = run.one("Role").inputs["rules"]
    assert not [rule for rule in rules if "secrets" in rule["resources"]]
    assert run.one("Role").namespace == "alice"
    assert len(run.all("ValidatingAdmissionPolicyBinding")) == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({**OLD, "users": ("kube-system",)}, "which is the system's"),
        ({**OLD, "users": ("a.b", "a-b")}, "users a.b and a-b share namespace a-b"),
        ({**OLD, "users": ("alice",), "cron_jobs": True}, "loses the code of CronJobs"),
        ({"image_tag": "0.4.2", "job_env": {"A": "b"}}, "in clear text"),
        ({**OLD, "users": (), "dynamic_users": True}, "kube-system among them"),
        ({"image_tag": "main"}, "no version of kbatch-proxy that Rayfort can fence"),
        ({"image_tag": "0.5.0a2"}, "no version of kbatch-proxy that Rayfort can fence"),
        ({"image_tag": "0.6.0"}, "no version of kbatch-proxy that Rayfort can fence"),
        ({"dynamic_users": True}, "leave one of the two out"),
        ({"job_env": {"RAY_AUTH_TOKEN": "x"}}, "the same for every user"),
        ({"users": ({"name": "a", "cluster": "ray"},)}, "says nothing without its workspace"),
        ({"users": (), "groups": {"g": {"users": ["a", "a"]}}}, "user a stands twice"),
        ({"users": (), "groups": {" ": {"users": ["a"]}}}, "a group's name is empty"),
        (
            {
                "users": ({"name": "a", "workspace": "x"},),
                "groups": {"g": {"users": ["a"], "workspace": "y"}},
            },
            "user a is given the Ray of x (users[0]) and of y (groups.g.users[0])",
        ),
        ({"profiles": {"small": 1}}, "small must be an object"),
        ({"profiles": {"small": {"tolerations": ["x"]}}}, "small.tolerations must be a list of objects"),
        ({"job_template": {"kind": "Job"}}, "kind is no part of a template"),
        ({"job_template": {"spec": {"backoff_limit": 1}}}, "did you mean backoffLimit?"),
        ({"jobs": {"allowed_images": ["*"]}}, "neither an image nor a place of images"),
        ({"max_body_bytes": 1}, "greater than or equal to 65536"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        samples.kbatch_args(**settings)


@pytest.mark.parametrize(
    ("pod", "says"),
    [
        ({"hostNetwork": True}, "is the node's network"),
        ({"hostPID": True}, "the node's processes"),
        ({"hostIPC": True}, "the node's memory"),
        ({"shareProcessNamespace": True}, "the sidecar's process"),
        ({"nodeName": "n"}, "past the scheduler"),
        ({"automountServiceAccountToken": True}, "a token for the API server"),
        ({"serviceAccountName": "other"}, "jobs run as kbatch-job"),
        ({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}, "a directory of the node"),
        ({"host_network": True}, "spec.template.spec.host_network is no key that Kubernetes knows there"),
        ({"affinity": "zone"}, "spec.template.spec.affinity must be an object with keys"),
        ({"volumes": 3}, "spec.template.spec.volumes must be a list"),
    ],
)
def test_a_template_that_no_job_would_be_let_in_with_is_refused(pod: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        KbatchProxyArgs(job_template={"spec": {"template": {"spec": pod}}})


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ("large", "large must be an object"),
        ({"resources": {"limits": {"cpu": "many"}}}, "large.resources.limits.cpu is not a quantity"),
        ({"tolerations": {"key": "gpu"}}, "large.tolerations must be a list of objects"),
        ({"tolerations": [{"effct": "NoSchedule"}]}, "effct is no key that Kubernetes knows there; did you"),
        (
            {"tolerations": [{"tolerationSeconds": 5}]},
            "tolerationSeconds is toleration_seconds to kbatch's",
        ),
        ({"node_affinity_required": [{"matchExpressions": 1}]}, "matchExpressions must be a list"),
        ({"node_affinity_required": [{"match_fields": []}]}, "did you mean matchFields?"),
    ],
)
def test_a_profile_that_no_client_could_use_is_refused(profile: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        KbatchProxyArgs(profiles={"large": profile})


def test_a_profile_has_the_keys_of_kbatchs_client() -> None:
    profile = {
        "image": "registry.example.com/job:1",
        "resources": {"requests": {"cpu": 2, "memory": "4Gi"}},
        "tolerations": [{"key": "gpu", "operator": "Exists", "toleration_seconds": 60}],
        "node_affinity_required": [
            {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gpu"]}]}
        ],
    }
    assert KbatchProxyArgs(profiles={"large": profile}).profiles == {"large": profile}


def test_a_template_may_hold_booleans() -> None:
    """kbatch-proxy alone answers 500 to every submission with one; the start module completes it."""
    template = {"spec": {"template": {"spec": {"enableServiceLinks": True, "hostNetwork": False}}}}
    assert KbatchProxyArgs(job_template=template).job_template == template


def test_a_user_who_stands_twice_has_the_workspace_of_either() -> None:
    """A member of a group who is also listed by name."""
    args = samples.kbatch_args(
        users=("alice", "bob"), groups={"g": {"users": ["alice"], "workspace": "team"}}
    )
    assert {each.name: each.workspace for each in args.members} == {"alice": "team", "bob": None}


def test_namespaces_on_demand_are_fenced_by_admission() -> None:
    """Rights in the whole cluster, and rules about each thing that is written with them."""
    run = make(users=(), dynamic_users=True)
    rules = run.one("ClusterRole").inputs["rules"]
    assert {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]} in rules
    assert not [rule for rule in rules if "*" in rule["verbs"] or "*" in rule["resources"]]
    names = {item.object_name.partition(".")[0] for item in run.all("ValidatingAdmissionPolicyBinding")}
    assert names == {"kbatch-jobs", "kbatch-namespaces", "kbatch-writes"}
    env = proxy_env(run)
    assert env["KBATCH_CREATE_USER_NAMESPACE"]["value"] == "true"
    labels = json.loads(env["KBATCH_LABELS"]["value"])
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    assert labels["rayfort.dev/kbatch"] == "batch-system"
    manifests = [
        (item["kind"], item["metadata"]["name"])
        for item in yaml.safe_load_all(run.one("ConfigMap").inputs["data"]["namespace_manifests.yaml"])
    ]
    assert ("ServiceAccount", "kbatch-job") in manifests
    assert ("NetworkPolicy", "default-deny") in manifests
    assert ("ResourceQuota", "kbatch-proxy") in manifests
