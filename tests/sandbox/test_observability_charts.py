"""The values for Prometheus, rendered by its real chart with the real helm.

Kiali's and Jaeger's charts are in no registry that a test could ask; docs/observability.md says what was seen
of them.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rayfort import MeshObservabilityArgs, versions
from rayfort.mesh.observability import kiali, prometheus

from sandbox.toolchain import Toolchain

pytestmark = pytest.mark.sandbox

AROUND = MeshObservabilityArgs(namespaces=("team",)).surroundings


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with the charts of its parts inside, as a chart repository serves it."""
    made = tmp_path_factory.mktemp("charts")
    source = Toolchain().asset("prometheus-chart")
    shutil.copytree(source / "prometheus", made / "prometheus")
    for part in source.iterdir():
        if part.name != "prometheus":
            shutil.copytree(part, made / "prometheus" / "charts" / part.name)
    return made / "prometheus"


@pytest.fixture(scope="module")
def objects(chart: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the chart renders."""
    values = tmp_path_factory.mktemp("values") / "values.yaml"
    values.write_text(yaml.safe_dump(prometheus.values(prometheus.PrometheusArgs(), AROUND)))
    helm = Toolchain().ensure(["helm"])["helm"]
    done = subprocess.run(
        [helm, "template", prometheus.NAME, chart, "--namespace", AROUND.namespace, "--values", values],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def of(objects: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    return (item for item in objects if item["kind"] == kind)


def test_it_is_the_chart_that_stacks_get(chart: Path) -> None:
    """Values are checked by one version of a chart, and used with another: they must be the same."""
    assert yaml.safe_load((chart / "Chart.yaml").read_text())["version"] == versions.PROMETHEUS_CHART


def test_nothing_is_rendered_but_prometheus(objects: list[dict[str, Any]]) -> None:
    """No rights in the whole cluster, no second workload, nothing that publishes it."""
    assert {item["kind"] for item in objects} == {
        *("ConfigMap", "Deployment", "PersistentVolumeClaim", "RoleBinding", "Service", "ServiceAccount")
    }
    (deployment,) = of(objects, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "--storage.tsdb.retention.time=15d" in container["args"]
    assert not [argument for argument in container["args"] if "lifecycle" in argument or "admin" in argument]


def test_it_has_the_names_that_others_use(objects: list[dict[str, Any]]) -> None:
    """Kiali's address of it, the policies' labels, and the role that is bound."""
    (service,) = of(objects, "Service")
    (port,) = service["spec"]["ports"]
    assert service["spec"]["type"] == "ClusterIP"
    url = f"http://{AROUND.host(service['metadata']['name'])}:{port['port']}"
    services = kiali.values(kiali.KialiArgs(), AROUND, "signing")["external_services"]
    assert services["prometheus"]["url"] == url
    (deployment,) = of(objects, "Deployment")
    template = deployment["spec"]["template"]
    assert template["metadata"]["labels"].items() >= prometheus.POD.items()
    assert template["metadata"]["labels"]["sidecar.istio.io/inject"] == "true"
    bound = {item["metadata"]["namespace"]: item["roleRef"]["name"] for item in of(objects, "RoleBinding")}
    assert bound == dict.fromkeys(AROUND.watched, prometheus.ROLE)


def test_it_asks_pods_of_the_mesh_only(objects: list[dict[str, Any]]) -> None:
    """The chart's own jobs look at nodes, Services and every namespace."""
    (config,) = of(objects, "ConfigMap")
    jobs = {
        job["job_name"]: job for job in yaml.safe_load(config["data"]["prometheus.yml"])["scrape_configs"]
    }
    assert set(jobs) == {"prometheus", "kubernetes-pods", "ray"}
    for name in ("kubernetes-pods", "ray"):
        (found,) = jobs[name]["kubernetes_sd_configs"]
        assert found == {"role": "pod", "namespaces": {"names": list(AROUND.watched)}}
    # Whatever else it is, the chart's job goes by the annotations that injection sets.
    kept = jobs["kubernetes-pods"]["relabel_configs"][0]
    assert kept["source_labels"] == ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"]


def test_its_pod_fits_the_strictest_level(objects: list[dict[str, Any]]) -> None:
    """Its namespace is held to `restricted` where Istio's CNI plugin is."""
    (deployment,) = of(objects, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
