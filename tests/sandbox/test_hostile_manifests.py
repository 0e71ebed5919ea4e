"""What the settings take, the API server takes: every manifest of many generated stacks, by dry run.

`RAYFORT_FUZZ=10` tries ten times as many stacks, and new ones each time.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from infra.program import main
from sandbox.control_plane import ControlPlane
from sandbox.kube_api import ApiRefused, ApiUnreachable, KubeApi
from tests.ray.nodes import until
from tests.unit import samples
from tests.unit.hostile import everything
from tests.unit.hostile.effort import examples
from tests.unit.hostile.pod_specs import BAD, GOOD
from tests.unit.hostile.stacks import stacks
from tests.unit.recorder import Run, record

pytestmark = pytest.mark.sandbox

NAMESPACE = "hostile"
ROOT = Path(__file__).parents[2]
# What it answers with 500 about objects that are wrong.
ITS_OWN_MISTAKES = ("failed to create typed patch object", "failed to convert new object")
Manifest = dict[str, Any]


class Server:
    """The API server, which is asked about each manifest once."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}
        self._taken: set[str] = set()

    @property
    def asked(self) -> int:
        """How many manifests it was asked about."""
        return len(self._taken)

    def check(self, manifest: Manifest) -> None:
        """Fail where the server refuses it."""
        version, kind = manifest["apiVersion"], manifest["kind"]
        plural, namespaced = self._resource(version, kind)
        metadata = {**manifest["metadata"]}
        if namespaced:
            metadata["namespace"] = NAMESPACE  # its own one does not exist
        wanted = {**manifest, "metadata": metadata}
        text = json.dumps(wanted, sort_keys=True)
        if text in self._taken:
            return
        base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        place = f"/namespaces/{NAMESPACE}" if namespaced else ""
        try:
            self._api.apply(f"{base}{place}/{plural}/{metadata['name']}", wanted, dry_run=True)
        except ApiRefused as error:
            pytest.fail(f"{kind} {metadata['name']}: {error}\n{yaml.safe_dump(wanted)}")
        self._taken.add(text)

    def refuses(self, manifest: Manifest) -> bool:
        """Whether the server refuses it."""
        try:
            self._api.apply(
                f"/api/v1/namespaces/{NAMESPACE}/podtemplates/{manifest['metadata']['name']}",
                {**manifest, "metadata": {**manifest["metadata"], "namespace": NAMESPACE}},
                dry_run=True,
            )
        except ApiRefused:
            return True
        except ApiUnreachable as error:
            if not str(error).startswith(ITS_OWN_MISTAKES):
                raise
            return True
        return False

    def _resource(self, version: str, kind: str) -> tuple[str, bool]:
        if (version, kind) not in self._resources:
            found = self._api.get(f"/api/{version}" if "/" not in version else f"/apis/{version}") or {}
            for item in found.get("resources", []):
                self._resources.setdefault((version, item["kind"]), (item["name"], item["namespaced"]))
        assert (version, kind) in self._resources, f"the server has no {kind} in {version}"
        return self._resources[version, kind]


@pytest.fixture(scope="module")
def server(
    control_plane: ControlPlane, tools: Mapping[str, Path], assets: Mapping[str, Path]
) -> Iterator[Server]:
    """An API server that knows Ray's and Istio's objects."""
    kubectl = [str(tools["kubectl"]), "--kubeconfig", str(control_plane.kubeconfig)]
    files = [*assets["kuberay-crds"].rglob("*.yaml"), *assets["istio-base-chart"].rglob("crd-*.yaml")]
    definitions = [
        item
        for file in files
        if "{{" not in file.read_text()
        for item in yaml.load_all(file.read_text(), yaml.CSafeLoader)
        if item and item.get("kind") == "CustomResourceDefinition"
    ]
    for arguments, text in (
        (["create", "namespace", NAMESPACE], ""),
        (["apply", "--server-side", "-f", "-"], yaml.dump_all(definitions, Dumper=yaml.CSafeDumper)),
    ):
        subprocess.run([*kubectl, *arguments], input=text, text=True, check=True, capture_output=True)
    with KubeApi(control_plane.kubeconfig) as api:
        until(lambda: established(api), 120, lambda: "the definitions are not served")
        yield Server(api)


def established(api: KubeApi) -> bool:
    """Whether the server serves every kind. (`kubectl wait` fails on a definition that has no status yet.)"""
    found = api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions") or {}
    told = [item.get("status", {}).get("conditions") or [] for item in found["items"]]
    return all({"Established", "True"} in [{one["type"], one["status"]} for one in each] for each in told)


def run(values: everything.Json, root: Path) -> Run:
    """The program with these settings."""
    given_values = {f"rayfort:{name}": value for name, value in values.items() if value is not None}
    return record(lambda: main(root), config=samples.encoded(given_values))


def manifests(run: Run) -> Iterator[Manifest]:
    """Every object that a program makes, and the Pods that KubeRay would make."""
    for resource in run.resources:
        inputs = resource.inputs
        if not (resource.kubernetes and resource.custom and "kind" in inputs and "metadata" in inputs):
            continue
        yield inputs
        if inputs["kind"] == "RayCluster":
            spec = inputs["spec"]
            for group in (spec["headGroupSpec"], *spec.get("workerGroupSpecs", ())):
                yield {
                    "apiVersion": "v1",
                    "kind": "PodTemplate",
                    "metadata": {"name": "pod"},
                    "template": group["template"],
                }


def test_everything_is_taken(server: Server, tmp_path: Path) -> None:
    """What the others are made from."""
    for manifest in manifests(run(everything.stack(), tmp_path)):
        server.check(manifest)
    assert server.asked > 60


def test_generated_stacks_are_taken(server: Server, tmp_path: Path) -> None:
    """Names at their limits, numbers at their bounds, text with everything that a pattern lets through."""

    @given(stacks())
    @examples(5, shrink=False)
    def taken(values: everything.Json) -> None:
        for manifest in manifests(run(values, tmp_path)):
            server.check(manifest)

    taken()
    assert server.asked > 100


def test_the_longest_names_are_taken(server: Server, tmp_path: Path) -> None:
    """Workspace, namespace, Ray cluster and worker group, each as long as it may be, and all at once."""
    values = everything.stack()
    workspace = values["workspaces"][0]
    cluster, exposed = workspace["clusters"][0], values["gateway"]["expose"][0]
    workspace["name"] = exposed["workspace"] = "w" * 63
    workspace["namespace"] = "n" * 63
    cluster["name"] = exposed["cluster"] = "c" * 50
    cluster["workerGroups"][0]["name"] = "g" * 63
    cluster["gcsFaultTolerance"]["externalStorageNamespace"] = "s" * 63
    values["cluster"]["facts"]["clusterDomain"] = ".".join(["d" * 39, "e" * 40])
    values["mesh"]["revision"], values["mesh"]["canary"]["revision"] = "r" * 56, "q" * 56
    workspace["revision"] = values["gateway"]["revision"] = "q" * 56
    for manifest in manifests(run(values, tmp_path)):
        server.check(manifest)


def test_the_server_agrees_about_parts_of_a_pod(server: Server, tmp_path: Path) -> None:
    """What settings let through of `podSpec` is taken, and what they refuse would have been refused."""
    values = everything.stack()
    cluster = values["workspaces"][0]["clusters"][0]
    (group,) = cluster["workerGroups"]
    cluster["workerGroups"] = [
        {**group, "name": f"group-{number}", "podSpec": part} for number, part in enumerate(GOOD)
    ]
    made = [*manifests(run(values, tmp_path))]
    for manifest in made:
        server.check(manifest)
    pod = next(manifest for manifest in made if manifest["kind"] == "PodTemplate")
    for key, part in BAD:
        spec = {**pod["template"]["spec"], **part}
        assert server.refuses({**pod, "template": {**pod["template"], "spec": spec}}), key
