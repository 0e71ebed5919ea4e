"""One team's fence: what it lets in and out, and what it makes."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from pydantic import ValidationError
from rayfort import (
    Client,
    ClusterDns,
    ClusterFacts,
    RayWorkspace,
    RayWorkspaceArgs,
    Traffic,
    WorkerGroup,
    WorkspaceNamespace,
    WorkspaceSpec,
)
from rayfort.mesh.telemetry import Tracing
from rayfort.workspace import (
    cluster_identities,
    mesh_policies,
    namespace_labels,
    network_policies,
)

from tests.unit import samples
from tests.unit.recorder import NAMESPACE_OBJECT, RAY_CLUSTER, SECRET_OBJECT, Run, record

JUPYTER = Client(namespace="notebooks", service_account="jupyter")


def arguments(spec: WorkspaceSpec | None = None, **settings: Any) -> RayWorkspaceArgs:
    return RayWorkspaceArgs(spec=spec or samples.workspace_spec(), **settings)


def make(spec: WorkspaceSpec | None = None, *, preview: bool = False, **settings: Any) -> Run:
    return record(
        lambda: RayWorkspace("team", arguments(spec, **settings), samples.on_cluster()), preview=preview
    )


def network(args: RayWorkspaceArgs) -> dict[str, Any]:
    return dict(network_policies(args))


def mesh(args: RayWorkspaceArgs) -> dict[tuple[str, str], Any]:
    return {(kind, name): spec for _, kind, name, spec in mesh_policies(args)}


def test_everything_is_denied_first() -> None:
    """What no policy names must not pass: on both layers."""
    assert network(arguments())["default-deny"]["policyTypes"] == ["Ingress", "Egress"]
    assert mesh(arguments())["AuthorizationPolicy", "allow-nothing"] == {}


def test_the_workspace_is_strict_whatever_the_mesh_is() -> None:
    """A mesh in migration must not take a team's protection away."""
    assert mesh(arguments())["PeerAuthentication", "default"] == {"mtls": {"mode": "STRICT"}}


def test_the_fence_has_all_its_parts(preview: bool) -> None:
    """Names that the documentation and a review look for."""
    run = make(preview=preview)
    assert {item.object_name for item in run.all("NetworkPolicy")} == {
        "default-deny",
        "allow-dns",
        "allow-mesh",
        "allow-egress",
        "ray-nodes",
        "ray-head",
        "ray-metrics",
    }
    assert {item.object_name for item in run.all("AuthorizationPolicy")} == {
        "allow-nothing",
        "ray-nodes",
        "ray-head",
        "ray-metrics",
    }
    for kind in ("PeerAuthentication", "DestinationRule", "Sidecar"):
        assert run.one(kind).object_name == "default"
    assert run.one("ResourceQuota").inputs["spec"]["hard"] == {"requests.cpu": "64"}


def test_everything_is_in_the_workspaces_namespace(preview: bool) -> None:
    """A policy in another namespace fences another team."""
    run = make(samples.workspace_spec(namespace="ray-team"), preview=preview)
    assert run.one(NAMESPACE_OBJECT).object_name == "ray-team"
    for item in run.resources:
        if item.kubernetes and item.type != NAMESPACE_OBJECT:
            assert item.namespace == "ray-team", item.type


def test_the_fence_stands_before_the_ray_cluster(preview: bool) -> None:
    """Pods that start before their policies run unprotected for a while."""
    run = make(preview=preview)
    before = run.before(run.one(RAY_CLUSTER))
    fence = [item for item in run.resources if item.kubernetes and item.custom and item.type != RAY_CLUSTER]
    assert len(fence) > 15
    assert {item.urn for item in fence} <= before


def test_namespaces_inject_sidecars() -> None:
    """Which level of Pod security goes with that is told in `test_pod_security`."""
    assert namespace_labels(arguments()) == {
        "rayfort.dev/workspace": "team",
        "istio-injection": "enabled",
        "istio-discovery": "enabled",
        "pod-security.kubernetes.io/enforce": "privileged",
        "pod-security.kubernetes.io/audit": "restricted",
    }
    assert not {"istio-injection", "istio-discovery"} & namespace_labels(arguments(mesh=False)).keys()


def test_head_and_workers_have_identities_of_their_own(preview: bool) -> None:
    """The mesh and the API server know Pods by their service account."""
    run = make(preview=preview)
    accounts = {item.object_name: item for item in run.all("ServiceAccount")}
    assert set(accounts) == {"ray-head", "ray-worker"}
    for account in accounts.values():
        assert account.inputs["automountServiceAccountToken"] is False
    spec = run.one(RAY_CLUSTER).inputs["spec"]
    assert spec["headGroupSpec"]["template"]["spec"]["serviceAccountName"] == "ray-head"
    for group in spec["workerGroupSpecs"]:
        assert group["template"]["spec"]["serviceAccountName"] == "ray-worker"


def test_policies_name_the_identities_that_pods_have() -> None:
    """A service account that a user names must be let in, or the node never joins."""
    cluster = samples.ray_spec(
        worker_groups=(
            WorkerGroup(name="plain"),
            WorkerGroup(name="cloud", service_account="gcs-reader"),
            WorkerGroup(name="more", service_account="gcs-reader"),
        )
    )
    assert [identity.service_account for identity in cluster_identities("team", cluster)] == [
        "ray-head",
        "ray-worker",
        "gcs-reader",
    ]
    policies = mesh(arguments(samples.workspace_spec(clusters=(cluster,))))
    principals = policies["AuthorizationPolicy", "ray-nodes"]["rules"][0]["from"][0]["source"]["principals"]
    assert "cluster.local/ns/team/sa/gcs-reader" in principals


def test_both_layers_let_the_same_callers_in() -> None:
    """A caller that one layer knows and the other does not is a mystery in production."""
    args = arguments(samples.workspace_spec(clients=(JUPYTER,)))
    rules = mesh(args)["AuthorizationPolicy", "ray-head"]["rules"]
    principals = [name for rule in rules for name in rule["from"][0]["source"]["principals"]]
    peers = [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for rule in network(args)["ray-head"]["ingress"]
        for peer in rule["from"]
    ]
    assert [name.split("/")[2] for name in principals] == peers == ["kuberay-system", "notebooks"]
    scrapers = mesh(args)["AuthorizationPolicy", "ray-metrics"]["rules"][0]["from"][0]["source"]["namespaces"]
    assert scrapers == ["monitoring"]


def test_the_operator_is_let_in_where_it_runs() -> None:
    """A stack may put it elsewhere."""
    args = arguments(operator_namespace="ray-operators")
    rules = mesh(args)["AuthorizationPolicy", "ray-head"]["rules"]
    assert rules[0]["from"][0]["source"]["principals"] == [
        "cluster.local/ns/ray-operators/sa/kuberay-operator"
    ]


def test_without_metrics_namespaces_nobody_scrapes() -> None:
    """Metrics have no token."""
    args = arguments(samples.workspace_spec(metrics_namespaces=()))
    assert "ray-metrics" not in network(args)
    assert ("AuthorizationPolicy", "ray-metrics") not in mesh(args)


def test_only_an_autoscaling_cluster_reaches_the_api_server() -> None:
    """Nothing else in a Ray cluster talks to it."""
    assert "ray-api-server" not in network(arguments())
    scaling = samples.workspace_spec(clusters=(samples.ray_spec(autoscaling=True),))
    facts = ClusterFacts(api_server_cidrs=("10.0.0.1/32",))
    rule = network(arguments(scaling, facts=facts))["ray-api-server"]["egress"][0]
    assert rule["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]


def test_egress_can_be_closed() -> None:
    """A team with private data may want no way out at all."""
    assert "allow-egress" not in network(arguments(samples.workspace_spec(egress=None)))
    usual = network(arguments())["allow-egress"]["egress"][0]
    assert usual["ports"] == [{"protocol": "TCP", "port": 443}]


def test_sidecars_can_send_traces_to_where_the_mesh_says() -> None:
    """The collector must pass the NetworkPolicy and be in the sidecar's scope."""
    elsewhere = Tracing(service="tempo.observability.svc.cluster.local", port=4317)
    args = arguments(tracing=elsewhere)
    rule = network(args)["allow-tracing"]["egress"][0]
    assert rule["ports"] == [{"protocol": "TCP", "port": 4317}]
    assert "observability" in str(rule["to"])
    assert mesh(args)["Sidecar", "default"]["egress"][0]["hosts"] == [
        "./*",
        "istio-system/*",
        "observability/*",
    ]
    assert "allow-tracing" not in network(arguments())


def test_the_scope_names_each_namespace_once() -> None:
    """A repeated host is refused by Istio's validation."""
    args = arguments(tracing=Tracing())
    assert mesh(args)["Sidecar", "default"]["egress"][0]["hosts"] == ["./*", "istio-system/*"]


def test_without_a_mesh_no_object_of_istio_is_made(preview: bool) -> None:
    """Its kinds do not exist there."""
    run = make(preview=preview, mesh=False)
    assert not [item for item in run.resources if "istio.io" in item.type]
    assert "allow-mesh" not in {item.object_name for item in run.all("NetworkPolicy")}


def test_a_workspace_may_be_empty(preview: bool) -> None:
    """A namespace for a team that brings its own Ray clusters."""
    run = make(WorkspaceSpec(name="team"), preview=preview)
    assert not run.all(RAY_CLUSTER)
    assert not run.all(SECRET_OBJECT)
    assert run.one("NetworkPolicy", "default-deny")


def test_one_netrc_secret_serves_every_cluster_of_the_workspace() -> None:
    """Credentials are a team's, not a cluster's."""
    spec = samples.workspace_spec(clusters=(samples.ray_spec("one"), samples.ray_spec("two", netrc=False)))
    run = make(spec)
    assert len([item for item in run.all(SECRET_OBJECT) if item.object_name == "netrc-secret"]) == 1
    mounts = {item.object_name: "netrc-kuberay" in str(item.inputs) for item in run.all(RAY_CLUSTER)}
    assert mounts == {"one": True, "two": False}


@pytest.mark.parametrize("dns", [ClusterDns.KUBE_DNS, ClusterDns.CLOUD_DNS])
def test_layer_7_is_refused_where_dns_cannot_do_it(dns: ClusterDns) -> None:
    """Nodes would be named by addresses that do not resolve, and never join."""
    seven = samples.workspace_spec(clusters=(samples.ray_spec(traffic=Traffic.L7),))
    with pytest.raises(ValidationError, match="use 'l4', or run CoreDNS"):
        arguments(seven, facts=ClusterFacts(dns=dns))
    assert arguments(seven, facts=ClusterFacts(dns=ClusterDns.COREDNS))


@pytest.mark.parametrize("namespace", ["default", "kube-system", "kube-public", "kube-node-lease"])
def test_a_workspace_never_fences_kubernetes_own_namespaces(namespace: str) -> None:
    """Default deny in kube-system takes the cluster's DNS down."""
    with pytest.raises(ValidationError, match="is Kubernetes' own"):
        WorkspaceSpec(name="team", namespace=namespace)
    with pytest.raises(ValidationError, match="is Kubernetes' own"):
        WorkspaceSpec(name=namespace)


def test_a_namespace_that_was_made_before_is_taken(preview: bool) -> None:
    """Two resources for one namespace would fight over it."""

    def program() -> None:
        opts = samples.on_cluster()
        RayWorkspace("team", arguments(), opts, namespace=WorkspaceNamespace("team", arguments(), opts))

    run = record(program, preview=preview)
    namespace = run.one(NAMESPACE_OBJECT)
    for item in run.resources:
        if item.kubernetes and item.urn != namespace.urn:
            assert namespace.urn in run.before(item)


def test_a_component_waits_for_what_its_caller_waits_for(preview: bool) -> None:
    """Pulumi applies `depends_on` to a component alone; its children would be made too early."""

    def program() -> None:
        providers: list[pulumi.ProviderResource] = [samples.existing_cluster().provider]
        first = RayWorkspace(
            "first",
            arguments(WorkspaceSpec(name="first")),
            pulumi.ResourceOptions(providers=providers),
        )
        RayWorkspace(
            "second",
            arguments(WorkspaceSpec(name="second")),
            pulumi.ResourceOptions(providers=providers, depends_on=first),
        )

    run = record(program, preview=preview)
    first = {item.urn for item in run.resources if item.kubernetes and item.name.startswith("first")}
    assert first
    for item in run.resources:
        if item.kubernetes and item.name.startswith("second"):
            assert first <= run.before(item)
