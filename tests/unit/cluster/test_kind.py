"""What a Kind cluster is asked to be, and what is true of it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayfort import ClusterDns, KindCluster, KindClusterArgs, KindPort, versions
from rayfort.cluster.kind.document import document

from tests.unit.recorder import KIND_CLUSTER, KIND_KEY, PROVIDER, is_secret, record
from tests.unit.samples import ROOT

DIGEST = f"sha256:{'0' * 64}"


def test_the_document_is_what_kind_reads() -> None:
    args = KindClusterArgs(
        name="dev",
        control_planes=3,
        workers=2,
        pod_cidr="10.8.0.0/16",
        service_cidr="10.9.0.0/16",
        ports=(KindPort(host_port=8443, node_port=30443), KindPort(host_port=8080, node_port=30080)),
    )
    read = yaml.safe_load(document(args))
    assert read["apiVersion"] == "kind.x-k8s.io/v1alpha4"
    assert read["networking"] == {
        "ipFamily": "ipv4",
        "apiServerAddress": "127.0.0.1",
        "podSubnet": "10.8.0.0/16",
        "serviceSubnet": "10.9.0.0/16",
    }
    assert [node["role"] for node in read["nodes"]] == ["control-plane"] * 3 + ["worker"] * 2
    assert {node["image"] for node in read["nodes"]} == {args.node_image}
    first, *others = (node.get("extraPortMappings") for node in read["nodes"])
    assert first == [
        {"containerPort": 30443, "hostPort": 8443, "listenAddress": "127.0.0.1", "protocol": "TCP"},
        {"containerPort": 30080, "hostPort": 8080, "listenAddress": "127.0.0.1", "protocol": "TCP"},
    ]
    assert others == [None] * 4


@given(st.sampled_from([1, 3, 5]), st.integers(0, 6), st.sampled_from(list(versions.KIND_NODE_DIGESTS)))
def test_every_node_is_pinned_and_nothing_listens_beyond_this_machine(
    control_planes: Any, workers: int, version: str
) -> None:
    args = KindClusterArgs(control_planes=control_planes, workers=workers, kubernetes_version=version)
    text = document(args)
    assert text == document(args)
    nodes = yaml.safe_load(text)["nodes"]
    assert len(nodes) == args.nodes
    assert all(f":v{version}@sha256:" in node["image"] for node in nodes)
    assert "0.0.0.0" not in text


def test_the_default_is_among_the_images_of_the_release() -> None:
    assert versions.KIND_KUBERNETES in versions.KIND_NODE_DIGESTS
    for digest in versions.KIND_NODE_DIGESTS.values():
        assert len(digest) == len(DIGEST)


def test_another_image_is_used_as_it_is() -> None:
    for image in (f"mirror.example.com/node:v1.36.4@{DIGEST}", "localhost/node:today"):
        args = KindClusterArgs(image=image)
        assert {node["image"] for node in yaml.safe_load(document(args))["nodes"]} == {image}


@pytest.mark.parametrize(
    ("given_args", "said"),
    [
        ({"name": "Dev"}, "is not the name of a Kind cluster"),
        ({"name": "a" * 41}, "at most 40 lower-case letters"),
        ({"runtime": "containerd"}, "'docker' or 'podman'"),
        ({"kubernetesVersion": "v1.36.4"}, "without a leading 'v'"),
        ({"kubernetesVersion": "1.36.3"}, "has no node image in Kind"),
        ({"image": "kindest/node:v1.36.4"}, "is not pinned; append @sha256"),
        ({"image": "kindest/node:latest"}, "is not pinned"),
        ({"image": f"a.example.com/node:v1.35.8@{DIGEST}"}, "`image` is of Kubernetes 1.35.8"),
        ({"image": "not an image"}, "is not an image reference"),
        ({"controlPlanes": 2}, "1, 3 or 5"),
        ({"workers": -1}, "greater than or equal to 0"),
        ({"workers": 51}, "less than or equal to 50"),
        ({"podCidr": "10.96.0.0/12"}, "`podCidr` 10.96.0.0/12 and `serviceCidr` 10.96.0.0/16 overlap"),
        ({"podCidr": "10.244.0.1/16"}, "is not a CIDR block with a clean network address"),
        ({"podCidr": "10.244.0.0/24"}, "has room for 1 nodes"),
        ({"podCidr": "10.244.0.0/26"}, "has room for 0 nodes"),
        ({"podCidr": "fd00::/56"}, "is not IPv4"),
        ({"serviceCidr": "10.0.0.0/8", "podCidr": "172.16.0.0/16"}, "larger than the API server takes"),
        ({"ports": [{"hostPort": 8443, "nodePort": 443}]}, "greater than or equal to 30000"),
        ({"ports": [{"hostPort": 0, "nodePort": 30443}]}, "greater than or equal to 1"),
        (
            {"ports": [{"hostPort": 8443, "nodePort": 30443}, {"hostPort": 8443, "nodePort": 30080}]},
            "the hostPort 8443 twice",
        ),
        (
            {"ports": [{"hostPort": 8443, "nodePort": 30443}, {"hostPort": 8080, "nodePort": 30443}]},
            "the nodePort 30443 twice",
        ),
        ({"readySeconds": 5}, "greater than or equal to 10"),
        ({"facts": {"networkPolicy": False}}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_told_once(given_args: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        KindClusterArgs.model_validate(given_args)
    assert refused.value.error_count() == 1
    assert said in str(refused.value)


@pytest.mark.parametrize("version", versions.KIND_NODE_DIGESTS)
def test_the_facts_follow_from_the_node_image(version: str) -> None:
    facts = KindClusterArgs(kubernetes_version=version).facts
    assert facts.kubernetes_version == version
    assert facts.native_sidecars
    assert facts.dns is ClusterDns.COREDNS
    assert facts.network_policy
    assert facts.istio_cni
    assert not facts.load_balancers
    assert not facts.workload_identity
    assert not KindClusterArgs(image="localhost/old:1", kubernetes_version="1.28.0").facts.native_sidecars


def test_the_component_gives_access_that_is_secret(preview: bool) -> None:
    made: list[KindCluster] = []
    args = KindClusterArgs(name="dev")
    run = record(lambda: made.append(KindCluster("cluster", args)), preview=preview)
    resource = run.one(KIND_CLUSTER)
    assert resource.inputs["clusterName"] == "dev"
    assert resource.inputs["config"] == document(args)
    assert list(resource.request.additionalSecretOutputs) == ["kubeconfig"]
    # A name and no code; nothing of this machine.
    assert len(resource.inputs["__provider"]) < 300
    assert str(ROOT) not in str(resource.inputs)
    assert KIND_KEY not in "".join(run.texts())
    provider = run.one(PROVIDER)
    assert provider.hidden("kubeconfig")
    assert resource.urn in run.before(provider)
    assert made[0].facts == args.facts
    [outputs] = [value for urn, value in run.registered_outputs.items() if urn.endswith("::cluster")]
    assert preview or is_secret(outputs["kubeconfig"])
