"""Each kind of sandbox gets the tools that it runs, and no others: each takes minutes to build."""

import pytest

from sandbox import needs
from sandbox.images.catalog import every_image
from sandbox.node_kind import NodeKind
from sandbox.tools.catalog import ASSETS, TOOLS

# For `up --images registry` alone, and for tests.
ON_DEMAND = {"actionlint", "crane", "kind", "otelcol", "pulumi-language-yaml", "sdkgen"}
ON_DEMAND_ASSETS = {"kind-node-files", "prometheus-chart"}


@pytest.mark.parametrize("kind", NodeKind)
def test_what_is_needed_is_in_the_catalog(kind: NodeKind) -> None:
    assert set(needs.tools(kind, every_image())) <= TOOLS.keys()
    assert set(needs.assets(kind, every_image())) <= ASSETS.keys()


def test_everything_in_the_catalog_is_needed_somewhere() -> None:
    simulated, real = NodeKind.SIMULATED, NodeKind.REAL
    tools = {*needs.tools(simulated, ()), *needs.tools(real, every_image())}
    assert TOOLS.keys() - tools == ON_DEMAND
    assets = {*needs.assets(simulated, ()), *needs.assets(real, every_image())}
    assert ASSETS.keys() - assets == ON_DEMAND_ASSETS


def test_simulated_nodes_need_nothing_that_runs_containers() -> None:
    tools = needs.tools(NodeKind.SIMULATED, ())
    assert not {"kubelet", "kubeadm", "kube-proxy", "calico-felix", "coredns", "pilot-agent"} & set(tools)
    assert len(tools) == len(set(tools))


def test_with_pulled_images_the_platforms_programs_are_not_built() -> None:
    tools = needs.tools(NodeKind.REAL, ())
    assert not {"pilot-discovery", "pilot-agent", "coredns"} & set(tools)
