"""Ray's state in a Redis, and a token for private URIs: what stays in Secrets, and who may connect."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from rayfort import RayClusterSpec
from rayfort.workspace import RayWorkspaceArgs, WorkspaceSpec, mesh_policies, network_policies

from infra.weakened import weakened
from tests.unit.test_manifest import body, containers, variables
from tests.unit.test_settings import settings

INSIDE = {"redisAddress": "redis.state.svc.cluster.local:6379", "redisNamespace": "state"}
PASSWORD = {"name": "redis", "key": "password"}


def spec(fault_tolerance: dict[str, Any] | None, **settings: Any) -> RayClusterSpec:
    return RayClusterSpec.model_validate(
        {"name": "ray", "gcsFaultTolerance": fault_tolerance, **settings}, by_alias=True, by_name=True
    )


def test_the_options_are_kuberays() -> None:
    """The password by reference, never by value."""
    full = {
        **INSIDE,
        "redisPassword": PASSWORD,
        "redisUsername": {"name": "redis", "key": "user"},
        "externalStorageNamespace": "team-ray",
    }
    assert body(spec(full))["gcsFaultToleranceOptions"] == {
        "redisAddress": "redis.state.svc.cluster.local:6379",
        "redisPassword": {"valueFrom": {"secretKeyRef": PASSWORD}},
        "redisUsername": {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "user"}}},
        "externalStorageNamespace": "team-ray",
    }
    assert "gcsFaultToleranceOptions" not in body(spec(None))


@pytest.mark.parametrize("address", ["redis:6379", "10.0.0.7:6380", "rediss://redis.example.com:6380"])
def test_addresses_with_a_port_are_taken(address: str) -> None:
    made = spec({**INSIDE, "redisAddress": address}).gcs_fault_tolerance
    assert made
    assert str(made.port) == address.rpartition(":")[2]


@pytest.mark.parametrize(
    "address",
    ["redis", "redis://:pa55w0rd@redis:6379", "user@redis:6379", "http://redis:6379", "redis:99999"],
)
def test_other_addresses_are_refused(address: str) -> None:
    """KubeRay's clean-up needs the port, and an address stands in the open: no login in it."""
    with pytest.raises(ValidationError, match=r"is not a (Redis address|port)") as caught:
        spec({**INSIDE, "redisAddress": address})
    assert "pa55w0rd" not in str(caught.value)


@pytest.mark.parametrize("extra", [{}, {"redisNamespace": "state", "redisCidrs": ["10.0.0.7/32"]}])
def test_where_it_is_must_be_said_once(extra: dict[str, Any]) -> None:
    """By default nothing of a workspace connects to anything but port 443."""
    with pytest.raises(ValidationError, match="say where the Redis is"):
        spec({"redisAddress": "redis:6379", **extra})


@pytest.mark.parametrize(
    "head",
    [
        {"env": {"REDIS_PASSWORD": "x"}},
        {"env": {"RAY_REDIS_ADDRESS": "redis:6379"}},
        {"rayStartParams": {"redis-password": "x"}},
        {"annotations": {"ray.io/ft-enabled": "true"}},
        {"annotations": {"ray.io/external-storage-namespace": "x"}},
    ],
)
def test_other_ways_to_say_it_are_refused(head: dict[str, Any]) -> None:
    """KubeRay refuses them by an event, and makes no Pods; a password would stand in the open."""
    with pytest.raises(ValidationError, match="belongs to `gcsFaultTolerance`"):
        RayClusterSpec.model_validate({"name": "ray", "head": head})


@pytest.mark.parametrize(
    ("where", "peer"),
    [
        (
            {"redisNamespace": "state"},
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "state"}}},
        ),
        ({"redisCidrs": ["10.0.0.7/32"]}, {"ipBlock": {"cidr": "10.0.0.7/32"}}),
    ],
)
def test_only_the_head_gets_out_to_it(where: dict[str, Any], peer: dict[str, Any]) -> None:
    """And the Job with which KubeRay clears the state away; workers never ask it."""
    cluster = spec({"redisAddress": "redis:6380", **where})
    policies = dict(network_policies(RayWorkspaceArgs(spec=WorkspaceSpec(name="team", clusters=(cluster,)))))
    policy = policies["ray-redis"]
    assert policy["podSelector"] == {
        "matchLabels": {"ray.io/cluster": "ray"},
        "matchExpressions": [
            {"key": "ray.io/node-type", "operator": "In", "values": ["head", "redis-cleanup"]}
        ],
    }
    assert policy["policyTypes"] == ["Egress"]
    assert policy["egress"] == [{"to": [peer], "ports": [{"protocol": "TCP", "port": 6380}]}]


@pytest.mark.parametrize(("fault_tolerance", "known"), [(INSIDE, True), (None, False)])
def test_sidecars_learn_of_its_namespace(fault_tolerance: dict[str, Any] | None, known: bool) -> None:
    """Otherwise they would send plaintext, which a Redis of a STRICT mesh refuses."""
    args = RayWorkspaceArgs(spec=WorkspaceSpec(name="team", clusters=(spec(fault_tolerance),)))
    (scope,) = [spec for _, kind, _, spec in mesh_policies(args) if kind == "Sidecar"]
    assert ("state/*" in scope["egress"][0]["hosts"]) == known


def test_a_token_for_private_uris_comes_from_a_secret() -> None:
    """Every node downloads for itself."""
    manifest = body(
        RayClusterSpec.model_validate(
            {"name": "ray", "workerGroups": [{"name": "small"}], "runtimeEnvToken": PASSWORD}
        )
    )
    assert len(containers(manifest)) == 2
    for container in containers(manifest):
        assert variables(container)["RAY_RUNTIME_ENV_BEARER_TOKEN"] == {
            "name": "RAY_RUNTIME_ENV_BEARER_TOKEN",
            "valueFrom": {"secretKeyRef": PASSWORD},
        }


def test_a_token_for_private_uris_is_no_plain_variable() -> None:
    """Who may read Pods would have it."""
    with pytest.raises(ValidationError, match="name that in `runtimeEnvToken`"):
        RayClusterSpec.model_validate({"name": "ray", "head": {"env": {"RAY_RUNTIME_ENV_BEARER_TOKEN": "x"}}})


def test_a_ray_that_may_ignore_that_token_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"runtimeEnvToken needs Ray 2\.55\.0 or newer"):
        RayClusterSpec.model_validate({"name": "ray", "rayVersion": "2.54.0", "runtimeEnvToken": PASSWORD})


@pytest.mark.parametrize("bad", [{"name": "A b", "key": "x"}, {"name": "redis", "key": "a/b"}])
def test_a_reference_that_kubernetes_refuses_is_refused(bad: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="is not a Secret's"):
        RayClusterSpec.model_validate({"name": "ray", "runtimeEnvToken": bad})


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ({"runtimeEnvToken": PASSWORD}, "clusters[0].runtimeEnvToken: Ray sends the token to every host"),
        (
            {"gcsFaultTolerance": {"redisAddress": "redis:6379", "redisCidrs": ["10.0.0.7/32"]}},
            "clusters[0].gcsFaultTolerance.redisAddress: no rediss://",
        ),
        ({"gcsFaultTolerance": {"redisAddress": "rediss://redis:6379", "redisCidrs": ["10.0.0.7/32"]}}, None),
        ({"gcsFaultTolerance": INSIDE}, None),  # the mesh encrypts there
    ],
)
def test_what_weakens_is_said(cluster: dict[str, Any], said: str | None) -> None:
    found = weakened(settings(workspaces=[{"name": "team", "clusters": [{"name": "ray", **cluster}]}]))
    assert len(found) == (1 if said else 0), found
    assert said is None or said in found[0]
