"""What a stack becomes when it asks for observability."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.problems import SettingsError
from infra.program import main
from infra.reading import parse
from infra.weakened import weakened
from tests.unit import samples
from tests.unit.recorder import RELEASE, Run, record

CLUSTER = {"kubeconfig": samples.kubeconfig(), "context": samples.CONTEXT}
WORKSPACES = [{"name": "team", "clusters": [{"name": "ray"}]}]


def run(root: Path, **values: Any) -> Run:
    """Run the program for a stack with one team."""
    stack = {"cluster": CLUSTER, "workspaces": WORKSPACES, **values}
    return record(
        lambda: main(root), config=samples.encoded({f"rayfort:{key}": value for key, value in stack.items()})
    )


def settings(**values: Any) -> Any:
    return parse({"cluster": CLUSTER, "workspaces": WORKSPACES, **values})


def test_it_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    """Three more workloads with volumes are a choice."""
    made = run(tmp_path)
    assert not made.all("rayfort:index:MeshObservability")
    assert "observability" not in made.outputs


@pytest.mark.parametrize("namespace", ["istio-system", "seen"])
def test_the_whole_mesh_is_told(tmp_path: Path, namespace: str) -> None:
    """Sidecars where to send traces, workspaces and istiod whom to let in: from one setting."""
    made = run(tmp_path, observability={"namespace": namespace}, kbatch={"users": ["alice"]})
    istiod = next(item for item in made.all(RELEASE) if item.inputs["name"] == "istiod")
    (provider,) = istiod.inputs["values"]["meshConfig"]["extensionProviders"]
    collector = f"jaeger-collector.{namespace}.svc.cluster.local"
    assert provider["opentelemetry"] == {"service": collector, "port": 4317}
    policies = {item.object_name: item for item in made.all("NetworkPolicy") if item.namespace == "team"}
    (traces,) = policies["allow-tracing"].inputs["spec"]["egress"]
    assert namespace in str(traces["to"])
    for policy in (policies["ray-metrics"], made.one("NetworkPolicy", "istiod")):
        assert namespace in str(policy.inputs["spec"]["ingress"])
    (rule,) = made.one("AuthorizationPolicy", "ray-metrics").inputs["spec"]["rules"]
    assert rule["from"] == [{"source": {"namespaces": [namespace]}}]
    sidecar = next(item for item in made.all("Sidecar") if item.namespace == "team")
    scope = sidecar.inputs["spec"]["egress"][0]["hosts"]
    assert f"{namespace}/*" in scope


def test_it_watches_every_namespace_of_the_mesh_once_it_is_there(tmp_path: Path) -> None:
    """Kiali's chart looks for the namespaces when it is installed, and never again."""
    made = run(tmp_path, observability={}, kbatch={"users": ["alice"]})
    kiali = next(item for item in made.all(RELEASE) if item.inputs["name"] == "kiali")
    (selector,) = kiali.inputs["values"]["deployment"]["discovery_selectors"]["default"]
    watched = selector["matchExpressions"][0]["values"]
    assert watched == ["batch-system", "istio-system", "kuberay-system", "team"]
    for namespace in made.all("kubernetes:core/v1:Namespace"):
        if namespace.object_name in watched:
            assert namespace.urn in made.before(kiali)


def test_what_is_not_in_the_mesh_is_not_watched(tmp_path: Path) -> None:
    """A right that nothing needs."""
    made = run(
        tmp_path,
        observability={},
        operator={"inMesh": False},
        kbatch={"users": ["alice"], "inMesh": False},
    )
    server = next(item for item in made.all(RELEASE) if item.inputs["name"] == "prometheus")
    assert server.inputs["values"]["server"]["namespaces"] == ["istio-system", "team"]


def test_the_outputs_say_how_to_reach_each(tmp_path: Path) -> None:
    """None of them has a public address."""
    made = run(tmp_path, observability={})
    assert made.outputs["observability"] == {
        "prometheus": {
            "portForward": "kubectl -n istio-system port-forward svc/prometheus 9090",
            "url": "http://localhost:9090",
        },
        "kiali": {
            "portForward": "kubectl -n istio-system port-forward svc/kiali 20001",
            "url": "http://localhost:20001/kiali",
            "loginToken": "kubectl -n istio-system create token kiali",
        },
        "jaeger": {
            "portForward": "kubectl -n istio-system port-forward svc/jaeger-collector 16686",
            "url": "http://localhost:16686",
        },
    }


def test_with_openid_there_is_no_token_to_get(tmp_path: Path) -> None:
    """People then log in at their identity provider."""
    openid = {"issuer": "https://login.example.com", "clientId": "kiali"}
    made = run(tmp_path, observability={"kiali": {"openid": openid}})
    assert "loginToken" not in made.outputs["observability"]["kiali"]


def test_charts_in_a_directory_are_those_of_the_project(tmp_path: Path) -> None:
    """A relative path means the same wherever `pulumi` is called from."""
    made = run(tmp_path, observability={"kiali": {"chart": {"chart": "charts/kiali-server.tgz"}}})
    kiali = next(item for item in made.all(RELEASE) if item.inputs["name"] == "kiali")
    assert kiali.inputs["chart"] == str(tmp_path / "charts/kiali-server.tgz")


def test_without_a_mesh_there_is_nothing_to_observe() -> None:
    """Before anything is touched."""
    with pytest.raises(SettingsError, match="rayfort:observability: there is no mesh to observe"):
        settings(observability={}, mesh={"enabled": False})


def test_traces_that_would_not_reach_jaeger_are_a_mistake() -> None:
    """The user named another collector, and gets asked which one he means."""
    mesh = {"tracing": {"service": "tempo.monitoring.svc.cluster.local"}}
    with pytest.raises(SettingsError, match=r"rayfort:mesh\.tracing: service is tempo\.monitoring"):
        settings(observability={}, mesh=mesh)
    assert settings(observability={}, mesh={"tracing": {"samplingPercentage": 100}})


def test_its_namespace_belongs_to_nobody_else() -> None:
    """A workspace fences its whole namespace."""
    with pytest.raises(SettingsError, match=r"namespace team belongs to"):
        settings(observability={"namespace": "team"})


def test_a_kiali_that_changes_things_is_said_aloud() -> None:
    """As everything that a stack switched off."""
    line = "rayfort:observability.kiali.viewOnly"
    assert not any(line in text for text in weakened(settings(observability={})))
    assert any(line in text for text in weakened(settings(observability={"kiali": {"viewOnly": False}})))
