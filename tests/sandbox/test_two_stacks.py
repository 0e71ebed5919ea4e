"""One stack makes the cluster, another puts something on it, under Pulumi's own engine."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi import automation
from rayfort import ClusterFacts

from infra import cluster
from infra.cluster_settings import ExistingClusterSettings
from sandbox.control_plane import CONTEXT
from tests.sandbox.engine_site import Site, Stack

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FACTS = ClusterFacts(kubernetes_version="1.36.3")


def settings(facts: ClusterFacts = FACTS, maker: str = "maker") -> ExistingClusterSettings:
    return ExistingClusterSettings(stack=f"organization/plugins/{maker}", context=CONTEXT, facts=facts)


def makes(site: Site) -> Callable[[], None]:
    """The program of the cluster's stack, as far as the other one sees it."""

    def program() -> None:
        kubeconfig = pulumi.Output.secret(site.kubeconfig)
        pulumi.export("cluster", {"kubeconfig": kubeconfig, "facts": cluster.facts_of(settings())})

    return program


def uses(said: ExistingClusterSettings) -> Callable[[], None]:
    """A program that puts something on the cluster of the other stack."""

    def program() -> None:
        made = cluster.make(said, Path())
        options = pulumi.ResourceOptions(provider=made.provider)
        k8s.core.v1.ConfigMap(
            "note", metadata={"name": "two-stacks", "namespace": "default"}, data={"a": "b"}, opts=options
        )

    return program


def test_a_platform_stands_on_the_cluster_of_another_stack(site: Site) -> None:
    maker = Stack(site, "maker", makes(site))
    maker.up()
    user = Stack(site, "user", uses(settings()))
    user.up()
    assert site.get("configmap", "two-stacks")["data"] == {"a": "b"}
    user.expect_no_changes()
    key = next(line.split()[-1] for line in site.kubeconfig.splitlines() if "client-key" in line)
    assert key not in user.stored()
    assert key not in user.said

    # Before anything is touched: other facts, and a stack that makes no cluster.
    changed = Stack(site, "user", uses(settings(ClusterFacts(kubernetes_version="1.30.0"))))
    assert "facts: kubernetesVersion is not what organization/plugins/maker says" in failure(changed)
    nobody = Stack(site, "nobody", uses(settings(maker="user")))
    assert "organization/plugins/user has no cluster among its outputs" in failure(nobody)

    user.destroy()
    assert not site.exists("configmap", "two-stacks")
    maker.destroy()


def failure(stack: Stack) -> str:
    with pytest.raises(automation.CommandError) as failed:
        stack.preview()
    gc.collect()  # coroutines that a program which failed leaves behind in the SDK
    return str(failed.value)
