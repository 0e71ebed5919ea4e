"""The catalogue of machines and accelerators, and that pools and Pods are made from it alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayfort import RayClusterArgs, RayClusterSpec, WorkerGroup
from rayfort.cluster.gke import machines
from rayfort.cluster.gke.accelerators import GPUS, TPUS, gpu_inside
from rayfort.cluster.gke.node_pools import pool_args
from rayfort.cluster.gke.placement import pool_facts, taints
from rayfort.cluster.gke.pools import NodePool
from rayfort.facts import ClusterFacts
from rayfort.placement import amount, placed, problem
from rayfort.tolerations import Effect

from tests.unit.cluster import gke_samples

BUILT_IN = [(gpu.name, machine, count) for gpu in GPUS.values() for machine, count in gpu.built_in.items()]
ATTACHED = [(gpu.name, count, cpus) for gpu in GPUS.values() for count, cpus in gpu.attachable.items()]


def pool(**settings: Any) -> NodePool:
    given = {"name": "pool", "machineType": "n2-standard-8", "maxNodes": 2, **settings}
    return NodePool.model_validate(given)


def all_pools() -> list[NodePool]:
    """A pool of everything that the catalogue has."""
    made = [pool(machineType=machine, gpu={"model": name}) for name, machine, _ in BUILT_IN]
    for name, count, _ in ATTACHED:
        made.append(pool(machineType="n1-standard-8", gpu={"model": name, "count": count}))
    for machine in TPUS.values():
        for topology, hosts in machine.topologies.items():
            made.append(pool(machineType=machine.name, tpuTopology=topology, maxNodes=hosts))
    made += [pool(), pool(spot=True), pool(role="workers"), pool(role="system", minNodes=1)]
    return [*made, *(one.model_copy(update={"spot": True}) for one in made if one.role != "system")]


def ray(**group: Any) -> RayClusterSpec:
    return RayClusterSpec(name="ray", worker_groups=(WorkerGroup.model_validate({"name": "group", **group}),))


@pytest.mark.parametrize(("name", "machine", "count"), BUILT_IN)
def test_machines_with_gpus_have_a_fixed_number(name: str, machine: str, count: int) -> None:
    assert gpu_inside(machine) == (name, count)
    assert pool(machineType=machine, gpu={"model": name}).gpu_count == count
    assert machines.parse(machine).family in machines.GPU_FAMILIES


def test_no_machine_has_two_models_of_gpu() -> None:
    assert len({machine for _, machine, _ in BUILT_IN}) == len(BUILT_IN)


def test_every_gpu_comes_with_some_machine() -> None:
    for gpu in GPUS.values():
        assert bool(gpu.built_in) != bool(gpu.attachable), gpu.name


@pytest.mark.parametrize(("name", "count", "cpus"), ATTACHED)
def test_gpus_are_attached_within_googles_bounds(name: str, count: int, cpus: int) -> None:
    fitting = pool(machineType=f"n1-custom-{cpus}-8192", gpu={"model": name, "count": count})
    assert fitting.gpu_count == count


@pytest.mark.parametrize(
    ("machine", "topology", "hosts"),
    [(each.name, topology, hosts) for each in TPUS.values() for topology, hosts in each.topologies.items()],
)
def test_a_slice_has_as_many_chips_as_its_topology_says(machine: str, topology: str, hosts: int) -> None:
    chips = 1
    for side in topology.split("x"):
        chips *= int(side)
    assert chips == TPUS[machine].chips * hosts


@pytest.mark.parametrize(
    ("name", "cpus", "memory"),
    [
        ("e2-standard-4", 4, 16),
        ("n1-standard-8", 8, 30),
        ("n2-highmem-16", 16, 128),
        ("n2-highcpu-8", 8, 8),
        ("c3-highcpu-8", 8, 16),
        ("g2-standard-24", 24, 96),
        ("a3-highgpu-8g", None, None),
        ("e2-medium", None, None),
        ("ct6e-standard-4t", None, None),
    ],
)
def test_sizes_follow_from_names_where_they_do(name: str, cpus: int | None, memory: float | None) -> None:
    machine = machines.parse(name)
    assert (machine.cpus, machine.memory_gib) == (cpus, memory)


@pytest.mark.parametrize("index", range(len(all_pools())))
def test_pods_bear_every_taint_of_their_pool(index: int) -> None:
    """What the pool sets, and what GKE sets by itself."""
    one = all_pools()[index]
    facts = pool_facts(one)
    config = pool_args(gke_samples.small(), one, "cluster", "nodes@example").node_config
    assert config is not None
    set_by_us = {(taint.key, taint.value) for taint in config.taints or ()}  # type: ignore[union-attr]
    borne = {(taint.key, taint.value) for taint in facts.taints}
    assert set_by_us == {(taint.key, taint.value) for taint in taints(one) if not taint.automatic}
    assert set_by_us <= borne
    if one.role != "system" and one.tpu_hosts <= 1:
        group = {"nodePool": "pool", "resources": {"cpu": "1", "memory": "2Gi"}}
        known = ClusterFacts(node_pools={"pool": facts})
        assert problem(ray(**group), known) is None
        made = placed(ray(**group), known).worker_groups[0]
        assert made.resources.gpu == facts.accelerators
        assert made.node_selector == facts.labels
        assert {(item.key, item.value) for item in made.tolerations} == borne
        assert {item.effect for item in made.tolerations} <= {Effect.NO_SCHEDULE}


def test_what_a_group_says_itself_is_kept() -> None:
    facts = ClusterFacts(
        node_pools={"gpu": pool_facts(pool(machineType="g2-standard-24", gpu={"model": "nvidia-l4"}))}
    )
    own = {"key": "a", "operator": "Exists"}
    group = placed(
        ray(
            nodePool="gpu",
            resources={"cpu": "4", "gpu": 1},
            nodeSelector={"own": "label"},
            tolerations=[own],
        ),
        facts,
    ).worker_groups[0]
    assert group.resources.gpu == 1
    assert group.node_selector["own"] == "label"
    assert own in [each.written for each in group.tolerations]
    assert group.node_pool is None


def test_without_a_pool_nothing_changes() -> None:
    spec = ray()
    assert placed(spec, ClusterFacts()) == spec
    assert problem(spec, ClusterFacts()) is None


def test_a_ray_cluster_by_itself_refuses_a_pool_that_nobody_looked_up() -> None:
    """It would start anywhere."""
    with pytest.raises(ValidationError, match="node pool gpu says nothing without the cluster's facts"):
        RayClusterArgs(spec=ray(nodePool="gpu"), namespace="team")


@given(st.integers(1, 10**6), st.sampled_from(["", "m", "k", "M", "Gi", "Ti"]))
def test_quantities_are_what_kubernetes_makes_of_them(number: int, unit: str) -> None:
    from kubernetes.utils.quantity import parse_quantity

    assert amount(f"{number}{unit}") == pytest.approx(float(parse_quantity(f"{number}{unit}")))


@given(st.integers(8, 256))
def test_a_node_gets_twice_as_many_addresses_as_it_has_pods(pods: int) -> None:
    """As GKE does: /24 for 110, /25 for 64."""
    network = gke_samples.small().network
    block = (1 << 18) // network.most_nodes_with_pods(pods)
    assert 2 * pods <= block < 4 * pods
    assert network.most_nodes_with_pods(110) == 1024
