"""kbatch-proxy: namespaces, rights and configuration, as kbatch-proxy 0.5 needs them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayfort import KbatchProxy, KbatchProxyArgs
from rayfort.proxy.kbatch_config import (
    address,
    checksum,
    config_files,
    extra_env,
    first_boolean,
    hub_values,
    user_namespace,
    user_rules,
)

from tests.unit import samples
from tests.unit.recorder import NAMESPACE_OBJECT, RANDOM_PASSWORD, SECRET_OBJECT, Run, record

USERS = st.text(min_size=1, max_size=80)
LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def make(*, preview: bool = False, **settings: Any) -> Run:
    return record(
        lambda: KbatchProxy("kbatch", samples.kbatch_args(**settings), samples.on_cluster()), preview=preview
    )


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
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"]},
    ]
    run = make(preview=preview)
    assert {role.namespace for role in run.all("Role")} == {"kbatch-alice", user_namespace("Bob")}
    for role in run.all("Role"):
        assert role.inputs["rules"] == rules
    assert not run.all("ClusterRole")
    assert not run.all("ClusterRoleBinding")


def test_cron_jobs_are_a_right_of_their_own() -> None:
    """They bypass the job template."""
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
    for user in ("alice", "Bob"):
        labels = make().one(NAMESPACE_OBJECT, user_namespace(user)).inputs["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "baseline"


def test_users_jobs_are_fenced() -> None:
    """Nobody calls them, and they call no metadata server: it would give them the node's identity."""
    policies = [item for item in make().all("NetworkPolicy") if item.namespace == "kbatch-alice"]
    assert len(policies) == 1
    spec = policies[0].inputs["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in spec
    blocks = [peer["ipBlock"] for peer in spec["egress"][0]["to"] if "ipBlock" in peer]
    assert {block["cidr"]: bool(block["except"]) for block in blocks} == {"0.0.0.0/0": True, "::/0": True}


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
        user_namespace("Bob"),
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
    for name in ("JUPYTERHUB_API_TOKEN", "KBATCH_JOB_EXTRA_ENV"):
        assert proxy_env(run)[name]["valueFrom"] == {"secretKeyRef": {"name": "kbatch-proxy", "key": name}}
        assert "value" not in proxy_env(run)[name]
    secret = run.one(SECRET_OBJECT)
    assert secret.hidden("stringData", "JUPYTERHUB_API_TOKEN")
    assert secret.hidden("stringData", "KBATCH_JOB_EXTRA_ENV")
    assert json.loads(secret.inputs["stringData"]["KBATCH_JOB_EXTRA_ENV"]) == {
        "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
        "RAY_AUTH_TOKEN": samples.JOB_VALUE,
    }
    assert secret.inputs["stringData"]["JUPYTERHUB_API_TOKEN"] == samples.HUB_TOKEN


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
    (rule,) = make(hub_namespace="hub").one("AuthorizationPolicy").inputs["spec"]["rules"]
    assert rule == {
        "from": [{"source": {"namespaces": ["hub"]}}],
        "to": [{"operation": {"ports": ["8080"]}}],
    }
    assert not make(in_mesh=False).all("AuthorizationPolicy")


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


def test_the_hub_registers_the_service_with_the_least_rights() -> None:
    """The recipe's `admin: true` is not needed: the proxy asks with the user's own token."""
    url = address("batch-system", "cluster.local")
    values = hub_values(url)["hub"]
    assert values["services"] == {"kbatch": {"url": url}}
    assert url == "http://kbatch-proxy.batch-system.svc.cluster.local:8080"
    scope = "access:services!service=kbatch"
    assert all(scope in role["scopes"] for role in values["loadRoles"].values())
    assert "admin" not in str(values)


def test_profiles_and_template_are_files_that_the_proxy_is_told_of() -> None:
    """A file that is not there stops the proxy at its start."""
    run = make(profiles={"small": {"image": "x"}}, job_template={"spec": {"backoffLimit": 1}})
    data = run.one("ConfigMap").inputs["data"]
    assert yaml.safe_load(data["profiles.yaml"]) == {"small": {"image": "x"}}
    env = proxy_env(run)
    assert env["KBATCH_PROFILE_FILE"]["value"] == "/etc/kbatch/profiles.yaml"
    assert env["KBATCH_JOB_TEMPLATE_FILE"]["value"] == "/etc/kbatch/job_template.yaml"
    assert "KBATCH_PROFILE_FILE" not in proxy_env(make())


def test_changed_files_replace_the_pods() -> None:
    """The proxy reads its files once."""
    first, second = (
        proxy_pod(make(profiles={"small": {"image": image}}))["metadata"]["annotations"]
        for image in ("one", "two")
    )
    assert first != second
    assert checksum({"a": "1", "b": "2"}) == checksum({"b": "2", "a": "1"})


@pytest.mark.parametrize(
    ("template", "where"),
    [
        ({"spec": {"suspend": False}}, "spec.suspend"),
        ({"spec": {"containers": [{"tty": 1}, {"stdin": True}]}}, "spec.containers[1].stdin"),
        ({"a": [[True]]}, "a[0][0]"),
    ],
)
def test_a_boolean_in_the_template_is_found(template: Any, where: str) -> None:
    """kbatch-proxy 0.5.0b1 answers 500 to every submission with one."""
    assert first_boolean(template) == where
    with pytest.raises(ValidationError, match=re.escape(f"{where} is a boolean")):
        KbatchProxyArgs(job_template=template)


@given(
    st.recursive(
        st.integers() | st.text(max_size=3) | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
)
def test_a_template_without_booleans_is_taken(template: Any) -> None:
    """Numbers 0 and 1 are no booleans."""
    assert first_boolean(template) is None


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5))
def test_variables_of_jobs_read_back(values: dict[str, str]) -> None:
    """The proxy reads them as JSON; their order must not change the Secret."""
    assert json.loads(extra_env(values)) == values
    assert extra_env(values) == extra_env(dict(reversed(values.items())))


def test_empty_files_are_left_out() -> None:
    """An empty template would be read as no object."""
    assert config_files({}, {}) == {}
