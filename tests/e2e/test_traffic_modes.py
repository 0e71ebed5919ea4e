"""Both ways in which the mesh may see Ray's traffic: opaque TCP, and gRPC and HTTP by names."""

from __future__ import annotations

import pytest

from tests.e2e import jobs, lab
from tests.e2e.sandbox import Sandbox
from tests.e2e.wiretap import assert_only_tls, wiretap

pytestmark = pytest.mark.real

MARKER = b"rayfort-marker-of-the-traffic-modes"
TLS_1_3 = "versions.TLSv1.3"


@pytest.fixture(scope="module", autouse=True)
def _lab(sandbox: Sandbox) -> None:
    lab.ensure(sandbox)


@pytest.mark.parametrize("cluster", [lab.L4, lab.L7])
def test_the_cluster_works_and_all_its_traffic_is_mtls(sandbox: Sandbox, cluster: str) -> None:
    nodes = lab.pods(sandbox, cluster)
    names = {role: pod["metadata"]["name"] for role, pod in nodes.items()}
    addresses = (nodes["head"]["status"]["podIP"], nodes["worker"]["status"]["podIP"])
    before = {role: lab.tls_counters(sandbox, name) for role, name in names.items()}

    needles = {"marker": MARKER, "token": sandbox.token(cluster, lab.NAMESPACE).encode()}
    with wiretap(sandbox.state, {"ray": addresses}, needles) as tape:
        many = lab.in_ray(sandbox, cluster, "head", "ray", *jobs.submit(jobs.MANY_TASKS))
        moved = lab.in_ray(sandbox, cluster, "head", "ray", *jobs.submit(jobs.move_data(MARKER)))

    assert many.ok, many.output
    jobs.assert_many_tasks(many.output)
    assert moved.ok, moved.output
    assert_only_tls(tape, "ray", jobs.MOVED_BYTES)

    for role, name in names.items():
        after = lab.tls_counters(sandbox, name)
        assert after["handshake"] > before[role]["handshake"] > 0, (role, before[role], after)
        assert after[TLS_1_3] > before[role][TLS_1_3] > 0, (role, before[role], after)
        assert {what for what, count in after.items() if count} == {"handshake", TLS_1_3}, (role, after)


def test_l7_names_nodes_and_l4_numbers_them(sandbox: Sandbox) -> None:
    """What differs between the two, so that neither is tested twice."""
    list_nodes = ("ray", "list", "nodes", "--format", "json", "--address", "http://127.0.0.1:8265")
    said = {cluster: lab.in_ray(sandbox, cluster, "head", *list_nodes) for cluster in (lab.L4, lab.L7)}
    for cluster, done in said.items():
        assert done.ok, done.output
        named = f".{cluster}-headless-svc.{lab.NAMESPACE}.svc." in done.output
        assert named is (cluster == lab.L7), done.output
