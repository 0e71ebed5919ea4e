"""Stacks that the settings take build a program: nothing fails once the settings are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from pydantic import ValidationError
from rayfort import ClusterFacts, Egress, RayClusterSpec, WorkspaceSpec
from rayfort.chart import Chart
from rayfort.mesh.gateway_login import JwtLogin
from rayfort.mesh.observability.surroundings import Volume
from rayfort.node_pools import NodePoolFacts
from rayfort.ray.spec import HeadNode, Resources, WorkerGroup
from rayfort.tolerations import Toleration

from infra.program import main
from tests.unit import samples
from tests.unit.hostile import everything
from tests.unit.hostile.effort import examples
from tests.unit.hostile.stacks import stacks
from tests.unit.recorder import Run, record


def run(values: everything.Json, root: Path) -> Run:
    """The program with these settings; a null is left out, since Pulumi hands it over as empty text."""
    said = {f"rayfort:{name}": value for name, value in values.items() if value is not None}
    return record(lambda: main(root), config=samples.encoded(said))


@given(stacks())
@examples(6, shrink=False)
def test_what_is_taken_builds_a_program(values: everything.Json) -> None:
    """With names at their limits, and every object described once."""
    made = run(values, Path())
    names = [
        (item.type, item.namespace, item.object_name)
        for item in made.resources
        if item.kubernetes and "metadata" in item.inputs
    ]
    assert len(names) == len(set(names))
    json.dumps([item.inputs for item in made.resources], allow_nan=False)


def test_egress_to_nowhere_is_said_by_null() -> None:
    """To a NetworkPolicy an empty list is every address: a workspace that closed itself off was open."""
    for closed in ({"cidrs": []}, {"ports": []}):
        with pytest.raises(ValidationError, match="at least 1"):
            Egress.model_validate(closed)
    assert WorkspaceSpec(name="team", egress=None).egress is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", {"a": "x" * 64}),
        ("labels", {"a": "-x"}),
        ("labels", {"a b": "x"}),
        ("labels", {"A/b": "x"}),
        ("labels", {"a" * 64: "x"}),
        ("labels", {f"{'a.' * 127}a/b": "x"}),
        ("nodeSelector", {"a": "with blank"}),
        ("annotations", {"line\nbreak": "x"}),
        ("annotations", {"a": "x" * 256 * 1024}),
        ("rayStartParams", {"--log-color": "auto"}),
        ("rayStartParams", {"log-color": "auto\nrm"}),
        ("tolerations", [{"key": "a b"}]),
        ("tolerations", [{"key": "a", "operator": "Like"}]),
        ("tolerations", [{"key": "a", "effect": "Never"}]),
        ("tolerations", [{"key": "a", "operator": "Exists", "value": "b"}]),
        ("tolerations", [{"key": "a", "tolerationSeconds": 1}]),
        ("tolerations", [{}]),
        ("tolerations", [{"kez": "a"}]),
        ("podSpec", {"initContainers": {}}),
        ("podSpec", {"initContainers": ["a"]}),
        ("podSpec", {"volumes": "a"}),
        ("numCpus", 2**31),
    ],
)
def test_what_the_api_server_refuses_of_a_pod_is_refused_before(field: str, value: object) -> None:
    """KubeRay hands all of it on: the RayCluster is made, and its Pods never are."""
    with pytest.raises(ValidationError):
        HeadNode.model_validate({field: value})


@pytest.mark.parametrize(
    "written",
    [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"operator": "Exists"},
        {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 60},
        {"key": "a", "value": ""},
    ],
)
def test_a_toleration_is_handed_on_as_it_was_written(written: everything.Json) -> None:
    assert Toleration.model_validate(written).written == written


@pytest.mark.parametrize(
    "quota",
    [
        {"cpus": 1},
        {"requests": 1},
        {"requests.gpu": 1},
        {"a b": 1},
        {"pods": "1.5"},
        {"pods": "1Ki"},
        {"count/jobs.batch": "0.5"},
        {"requests.cpu": "1" * 400},
        {"requests.cpu": "1e3"},
        {"requests.cpu": -1},
    ],
)
def test_a_quota_on_nothing_is_refused(quota: everything.Json) -> None:
    """The API server says so after half of the platform is there."""
    with pytest.raises(ValidationError):
        WorkspaceSpec.model_validate({"name": "team", "quota": quota})


@pytest.mark.parametrize(
    "name",
    [
        *("requests.cpu", "limits.memory", "pods", "services.loadbalancers", "requests.storage"),
        *("count/jobs.batch", "requests.nvidia.com/gpu", "hugepages-2Mi"),
        "gold.storageclass.storage.k8s.io/requests.storage",
    ],
)
def test_a_quota_that_kubernetes_knows_is_taken(name: str) -> None:
    assert WorkspaceSpec.model_validate({"name": "team", "quota": {name: 4}}).quota == {name: "4"}


@pytest.mark.parametrize("cpu", ["1" * 400, "1" * 10, "1e5", "1Gi", "-1", "0x1"])
def test_a_number_of_cpus_that_no_machine_has_is_refused(cpu: str) -> None:
    """400 digits are infinity to Python, which is no whole number: a traceback."""
    with pytest.raises(ValidationError):
        Resources(cpu=cpu)


@pytest.mark.parametrize("replicas", [2**31, 2**63, 10**40])
def test_replicas_are_counted_in_32_bits(replicas: int) -> None:
    with pytest.raises(ValidationError, match="less than or equal"):
        WorkerGroup(name="a", replicas=replicas)


@pytest.mark.parametrize("resource", ["-/x", "a/", "/a", "kubernetes.io/gpu", "x.kubernetes.io/gpu", "a/-b"])
def test_a_resource_that_the_api_server_does_not_know_is_refused(resource: str) -> None:
    with pytest.raises(ValidationError, match="is not an extended resource"):
        Resources(gpu=1, gpu_resource=resource)


@pytest.mark.parametrize(
    "domain", ["a" * 64, "a." * 41 + "aa", f"{'a' * 63}.{'b' * 64}", "a..b", "-a", "a.", "A"]
)
def test_a_zone_that_makes_names_too_long_is_refused(domain: str) -> None:
    """Names of Services stand before it, and no name has more than 253 characters."""
    with pytest.raises(ValidationError):
        ClusterFacts(cluster_domain=domain)


@pytest.mark.parametrize(
    "chart",
    [
        {"chart": "--post-renderer=/bin/sh", "repository": "https://a.example", "version": "1"},
        {"chart": "-f", "version": "1"},
        {"chart": "a\nb", "version": "1"},
        {"chart": "a", "repository": "https://a.example", "version": "--devel"},
        {"chart": "a", "repository": "https://a.example", "version": ">=1"},
        {"chart": "a", "repository": "https://a.example", "version": " "},
    ],
)
def test_a_chart_is_no_option_of_helm(chart: dict[str, str]) -> None:
    """It stands on helm's command line, where a dash begins an option."""
    with pytest.raises(ValidationError):
        Chart.model_validate(chart)


def test_taints_and_labels_of_pools_are_what_nodes_can_have() -> None:
    for wrong in ({"labels": {"a": " "}}, {"labels": {"a": "b"}, "taints": [{"key": "a b"}]}):
        with pytest.raises(ValidationError):
            NodePoolFacts.model_validate(wrong)


def test_a_volume_has_a_size() -> None:
    with pytest.raises(ValidationError, match="is nothing"):
        Volume(size="0Gi")


def test_the_longest_names_go_together() -> None:
    """A Ray cluster's name is in the names of Services, a group's in those of Pods."""
    spec = RayClusterSpec(name="c" * 50, worker_groups=(WorkerGroup(name="g" * 63),))
    assert WorkspaceSpec(name="w" * 63, namespace="n" * 63, clusters=(spec,)).namespace_name == "n" * 63


@pytest.mark.parametrize(
    "cidr", ["10.0.0.1", "10.0.0.0/255.0.0.0", "fe80::%eth0/128", "10.0.0.0/08x", "10.0.0.0/", "010.0.0.0/8"]
)
def test_a_block_that_only_python_takes_is_refused(cidr: str) -> None:
    """The API server wants a prefix: `must be a valid CIDR value`."""
    with pytest.raises(ValidationError, match="is not a CIDR block"):
        Egress(cidrs=(cidr,))


@pytest.mark.parametrize(
    "url", ["https://a\x9ab/", "https://a/\u010d", "https://u@h/", "https://\U000e3c0c/"]
)
def test_a_url_is_of_visible_ascii(url: str) -> None:
    """Others have to be written with percent signs, or as punycode, before anything can ask for them."""
    with pytest.raises(ValidationError, match="is not a"):
        Chart(chart="a", repository=url, version="1")
    with pytest.raises(ValidationError, match="is not an https URL"):
        JwtLogin(issuer="https://a.example", jwks_uri=url, audiences=("a",))
