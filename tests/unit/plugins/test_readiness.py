from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.plugins import readiness, wait_for
from sandbox.plugins.objects import Kind, Object
from sandbox.plugins.readiness import Situation, Verdict
from sandbox.plugins.server import InvalidRequest


class Others:
    """Other objects, by kind."""

    def __init__(self, **objects: list[Object]) -> None:
        self.objects = objects

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        found = self.objects.get(kind.kind, [])
        return next((obj for obj in found if obj["metadata"]["name"] == name), None)

    def labelled(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        return self.objects.get(kind.kind, [])


def verdict(
    api_version: str,
    kind: str,
    *,
    waited: float = 0,
    updating: bool = False,
    others: Others | None = None,
    **fields: Any,
) -> Verdict:
    obj = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "n", "namespace": "ns"}, **fields}
    return readiness.check(obj, Situation(others or Others(), waited, updating))


def deployment(status: dict[str, Any], others: Others | None = None, **spec: Any) -> Verdict:
    return verdict(
        "apps/v1",
        "Deployment",
        others=others,
        metadata={"name": "n", "namespace": "ns", "generation": 2},
        spec={"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, **spec},
        status=status,
    )


ROLLED_OUT = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def test_a_deployment_is_ready_when_the_rollout_is_complete() -> None:
    assert deployment(ROLLED_OUT).ready
    assert deployment({}, paused=True).ready
    assert deployment({"observedGeneration": 2}, replicas=0).ready


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observedGeneration": 1}, "has not seen"),
        ({"updatedReplicas": 1}, "1 of 2 Pods are of the new version"),
        ({"replicas": 3}, "1 Pods of the old version"),
        ({"availableReplicas": 0}, "0 of 2 Pods are available"),
    ],
)
def test_a_deployment_that_is_not_says_why(change: dict[str, Any], message: str) -> None:
    found = deployment(ROLLED_OUT | change)
    assert not found.ready
    assert message in found.message


def test_the_reasons_of_pods_are_part_of_the_message() -> None:
    pod = {
        "metadata": {"name": "p"},
        "status": {
            "containerStatuses": [
                {
                    "name": "c",
                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
                },
                {"name": "d", "state": {"terminated": {"reason": "Error", "exitCode": 3}}},
                {"name": "e", "state": {"waiting": {"reason": "ContainerCreating"}}},
            ],
            "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}],
        },
    }
    found = deployment(ROLLED_OUT | {"availableReplicas": 1}, Others(Pod=[pod]))
    assert "container c of Pod p: ImagePullBackOff: no such image" in found.message
    assert "container d of Pod p: Error (exit code 3)" in found.message
    assert "Pod p is not scheduled: 0/1 nodes" in found.message
    assert "container e" not in found.message


def test_stateful_and_daemon_sets() -> None:
    meta = {"name": "n", "namespace": "ns", "generation": 1}
    ready = {
        "observedGeneration": 1,
        "readyReplicas": 2,
        "updatedReplicas": 2,
        "currentRevision": "r",
        "updateRevision": "r",
    }
    for change, expected in (
        ({}, True),
        ({"readyReplicas": 1}, False),
        ({"updatedReplicas": 1, "updateRevision": "s"}, False),
        ({"observedGeneration": 0}, False),
    ):
        status = ready | change
        assert (
            verdict("apps/v1", "StatefulSet", metadata=meta, spec={"replicas": 2}, status=status).ready
            is expected
        )
    nodes = {
        "observedGeneration": 1,
        "desiredNumberScheduled": 3,
        "updatedNumberScheduled": 3,
        "numberAvailable": 3,
    }
    for change, expected in (
        ({}, True),
        ({"numberAvailable": 2}, False),
        ({"updatedNumberScheduled": 2}, False),
    ):
        assert verdict("apps/v1", "DaemonSet", metadata=meta, status=nodes | change).ready is expected


def test_pods() -> None:
    ready = [{"type": "Ready", "status": "True"}]
    assert verdict("v1", "Pod", status={"phase": "Running", "conditions": ready}).ready
    assert verdict("v1", "Pod", status={"phase": "Succeeded"}).ready
    assert not verdict("v1", "Pod", status={"phase": "Pending"}).ready
    failed = verdict("v1", "Pod", status={"phase": "Failed"})
    assert failed.failed
    assert not failed.ready


def test_jobs_end_well_or_at_once() -> None:
    def job(name: str) -> Verdict:
        return verdict(
            "batch/v1", "Job", status={"conditions": [{"type": name, "status": "True", "reason": "r"}]}
        )

    assert job("Complete").ready
    assert job("Failed").failed
    assert not verdict("batch/v1", "Job", status={"active": 1}).ready


def slices(*ready: bool) -> Others:
    return Others(EndpointSlice=[{"endpoints": [{"conditions": {"ready": value}} for value in ready]}])


def test_a_service_waits_for_the_pods_that_it_selects() -> None:
    spec = {"selector": {"a": "b"}, "clusterIP": "10.0.0.1"}
    assert verdict("v1", "Service", spec=spec, others=slices(True, True)).ready
    found = verdict("v1", "Service", spec=spec, others=slices(True, False))
    assert found.message == "1 of 2 endpoints are ready"
    assert not verdict("v1", "Service", spec=spec).ready, "no endpoint controller has seen it"
    assert not verdict("v1", "Service", spec=spec, others=slices()).ready, "its Pods may come in a moment"
    assert verdict("v1", "Service", spec=spec, others=slices(), waited=11).ready, "or later"


@pytest.mark.parametrize(
    "spec",
    [
        {"selector": {"a": "b"}, "clusterIP": "None"},
        {"clusterIP": "10.0.0.1"},
        {"type": "ExternalName", "selector": {"a": "b"}},
    ],
)
def test_some_services_have_nothing_to_wait_for(spec: dict[str, Any]) -> None:
    assert verdict("v1", "Service", spec=spec).ready


def test_a_load_balancer_needs_an_address() -> None:
    spec = {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}
    assert not verdict("v1", "Service", spec=spec, status={"loadBalancer": {}}).ready
    assert verdict(
        "v1", "Service", spec=spec, status={"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    ).ready


def test_claims_wait_unless_their_class_waits_for_a_pod() -> None:
    lazy = Others(StorageClass=[{"metadata": {"name": "lazy"}, "volumeBindingMode": "WaitForFirstConsumer"}])
    eager = Others(StorageClass=[{"metadata": {"name": "lazy"}, "volumeBindingMode": "Immediate"}])
    claim: dict[str, Any] = {"spec": {"storageClassName": "lazy"}, "status": {"phase": "Pending"}}
    assert verdict("v1", "PersistentVolumeClaim", others=lazy, **claim).ready
    assert not verdict("v1", "PersistentVolumeClaim", others=eager, **claim).ready
    assert verdict("v1", "PersistentVolumeClaim", status={"phase": "Bound"}).ready


def test_definitions_namespaces_quotas_tokens() -> None:
    crd = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert verdict(*crd, status={"conditions": [{"type": "Established", "status": "True"}]}).ready
    assert not verdict(*crd).ready
    refused = {"type": "NamesAccepted", "status": "False", "message": "taken"}
    assert verdict(*crd, status={"conditions": [refused]}).failed
    assert not verdict("v1", "Namespace", status={"phase": "Terminating"}).ready
    assert verdict("v1", "ResourceQuota", spec={"hard": {"pods": "1"}}, status={"hard": {"pods": "1"}}).ready
    assert not verdict("v1", "ResourceQuota", spec={"hard": {"pods": "1"}}).ready
    assert not verdict("v1", "Secret", type="kubernetes.io/service-account-token").ready
    assert verdict("v1", "Secret", type="Opaque").ready
    assert verdict("ray.io/v1", "RayCluster").ready, "a kind without a rule is ready once it exists"


CLUSTER = {
    "metadata": {"name": "n", "generation": 3},
    "status": {
        "observedGeneration": 3,
        "state": "ready",
        "replicas": 2,
        "ok": True,
        "conditions": [
            {"type": "HeadPodReady", "status": "True"},
            {"type": "RayClusterProvisioned", "status": "False", "message": "not yet"},
        ],
        "addresses": {"a.b/c": "x"},
        "items": [1, 2, 3],
    },
}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("jsonpath={.status.state}=ready", True),
        ("jsonpath={.status.state}=failed", False),
        ("jsonpath={.status.state}", True),
        ("jsonpath={ .status.nothing }", False),
        ("jsonpath={$.status.replicas}=2", True),
        ("jsonpath={.status.ok}=true", True),
        ("jsonpath={.status.conditions[0].status}=True", True),
        ("jsonpath={.status.conditions[-1].status}=False", True),
        ('jsonpath={.status.conditions[?(@.type=="HeadPodReady")].status}=True', True),
        ("jsonpath={.status.conditions[?(@.type=='RayClusterProvisioned')].status}=True", False),
        ("jsonpath={.status.conditions[?(@.type!='HeadPodReady')].message}=not yet", True),
        ("jsonpath={.status.addresses['a.b/c']}=x", True),
        ("jsonpath={.status.addresses.a\\.b/c}=x", True),
        ("jsonpath={.status.items[*]}=1", True),
        ("jsonpath={..state}=ready", True),
        ("jsonpath={.status.conditions}", True),
        ("condition=HeadPodReady", True),
        ("condition=headpodready=true", True),
        ("condition=RayClusterProvisioned", False),
        ("condition=RayClusterProvisioned=False", True),
        ("condition=Nothing", False),
        ('["condition=HeadPodReady", "jsonpath={.status.state}=ready"]', True),
        ('["condition=HeadPodReady", "condition=RayClusterProvisioned"]', False),
    ],
)
def test_what_a_program_can_wait_for(annotation: str, expected: bool) -> None:
    found = wait_for.parse(annotation)(CLUSTER)
    assert found.ready is expected
    assert expected or found.message


def test_an_earlier_generation_says_nothing() -> None:
    stale = {**CLUSTER, "metadata": {"name": "n", "generation": 4}}
    assert not wait_for.parse("condition=HeadPodReady")(stale).ready
    assert not wait_for.parse("jsonpath={.status.state}=ready")(stale).ready


def test_waiting_for_a_value_where_there_is_a_mapping_is_useless() -> None:
    assert wait_for.parse("jsonpath={.status}=ready")(CLUSTER).failed


@pytest.mark.parametrize(
    "annotation",
    [
        "",
        "[]",
        "state=ready",
        "jsonpath=.status.state=ready",
        "jsonpath={.status.state}=",
        "jsonpath={.a}=b=c",
        "jsonpath={.status[}",
        "jsonpath={.a[?(@.b==c)]}",
        "[1]",
    ],
)
def test_an_annotation_that_cannot_be_read_is_refused(annotation: str) -> None:
    with pytest.raises(InvalidRequest, match="waitFor"):
        wait_for.parse(annotation)
