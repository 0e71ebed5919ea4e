import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import proto

from sandbox.plugins import yaml_group
from sandbox.plugins.objects import Kind, kind_of, kind_of_token, name_of, token_of_kind
from sandbox.plugins.properties import Secret, marshal
from sandbox.plugins.server import InvalidRequest, PluginError
from tests.unit.plugins.harness import Client, Failed

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: ns}
---
# nothing here
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Secret
  metadata: {name: b}
- apiVersion: v1
  kind: ConfigMapList
  items:
  - apiVersion: core/v1
    kind: ConfigMap
    metadata: {name: c}
"""


def obj(kind: str, name: str, api_version: str = "v1", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}}


def crd(kind: str = "Widget", scope: str = "Namespaced") -> dict[str, Any]:
    spec = {"group": "test.dev", "scope": scope, "names": {"kind": kind, "plural": "x"}}
    return obj("CustomResourceDefinition", f"{kind}.test.dev", "apiextensions.k8s.io/v1") | {"spec": spec}


def test_documents_and_lists_become_single_objects() -> None:
    found = yaml_group.expand(yaml_group.parse(MANIFEST, "m"))
    assert [(kind_of(one).kind, name_of(one)) for one in found] == [
        ("ConfigMap", "a"),
        ("Secret", "b"),
        ("ConfigMap", "c"),
    ]
    assert found[2]["apiVersion"] == "v1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "m is not valid YAML at line"),
        ("- a\n", "no Kubernetes object"),
        ("kind: ConfigMap\nmetadata: {name: a}", "require a kind and an apiVersion"),
        ("apiVersion: v1\nkind: ConfigMap", "require a metadata.name; one v1/ConfigMap has none"),
    ],
)
def test_text_that_holds_no_objects_is_refused(text: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        yaml_group.expand(yaml_group.parse(text, "m"))


def test_files_come_from_paths_and_patterns_in_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").write_text(
            f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}"
        )
    found = yaml_group.read_files([str(tmp_path / "*.yaml")], globs=True)
    assert [name_of(one) for one in found] == ["a", "b"]
    with pytest.raises(PluginError, match=r"cannot read the manifest .*\*\.yaml"):
        yaml_group.read_files([str(tmp_path / "*.yaml")], globs=False)
    with pytest.raises(PluginError, match=r"missing\.yaml: No such file"):
        yaml_group.read_files([str(tmp_path / "missing.yaml")], globs=True)


@pytest.fixture
def web() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/m.yaml" else 404)
            self.end_headers()
            self.wfile.write(MANIFEST.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_come_from_the_web(web: str) -> None:
    assert len(yaml_group.expand(yaml_group.read_files([f"{web}/m.yaml"], globs=True))) == 3
    with pytest.raises(PluginError, match=r"cannot fetch the manifest .*404"):
        yaml_group.read_files([f"{web}/other.yaml"], globs=True)
    with pytest.raises(PluginError, match="only http and https"):
        yaml_group.read_files(["ftp://host/m.yaml"], globs=True)


def test_definitions_and_namespaces_come_first() -> None:
    found = [
        obj("Widget", "w", "test.dev/v1", namespace="ns"),
        obj("ConfigMap", "c", namespace="ns"),
        obj("Namespace", "ns"),
        crd(),
    ]
    order = yaml_group.ordered(found)
    position = {index: at for at, (index, _) in enumerate(order)}
    needs = dict(order)
    assert needs == {0: [2, 3], 1: [2], 2: [], 3: []}
    assert all(position[other] < position[index] for index, others in needs.items() for other in others)


def test_a_stated_dependency_is_kept_and_a_circle_is_named() -> None:
    annotation = "config.kubernetes.io/depends-on"
    first = obj("ConfigMap", "a", namespace="ns", annotations={annotation: "/namespaces/ns/ConfigMap/b"})
    second = obj("ConfigMap", "b", namespace="ns")
    assert dict(yaml_group.ordered([first, second])) == {0: [1], 1: []}
    second["metadata"]["annotations"] = {annotation: "/namespaces/ns/ConfigMap/a"}
    with pytest.raises(PluginError, match=r"circle: .*ns/a"):
        yaml_group.ordered([first, second])
    second["metadata"]["annotations"] = {annotation: "nonsense"}
    with pytest.raises(PluginError, match=r"cannot read config\.kubernetes"):
        yaml_group.ordered([first, second])


def test_the_default_namespace_is_for_namespaced_kinds_and_definitions_say_which() -> None:
    def is_namespaced(kind: Kind) -> bool:
        return kind.kind != "ClusterRole"

    found = [
        obj("ConfigMap", "a"),
        obj("ConfigMap", "b", namespace="own"),
        obj("ClusterRole", "c", "rbac.authorization.k8s.io/v1"),
        obj("Widget", "d", "test.dev/v1"),
        obj("Planet", "e", "test.dev/v1"),
        crd("Widget"),
        crd("Planet", "Cluster"),
    ]
    done = yaml_group.with_namespaces(found, "team", is_namespaced)
    assert [one["metadata"].get("namespace") for one in done[:5]] == ["team", "own", None, "team", None]


def test_names_and_types_are_those_of_the_official_plugin() -> None:
    assert yaml_group.resource_name("group", obj("ConfigMap", "a", namespace="ns")) == "group:ns/a"
    assert yaml_group.resource_name("group", obj("Namespace", "a")) == "group:a"
    assert yaml_group.resource_name("", obj("Namespace", "a")) == "a"
    for token, kind in (
        ("kubernetes:core/v1:Secret", Kind("v1", "Secret")),
        ("kubernetes:apps/v1:Deployment", Kind("apps/v1", "Deployment")),
        ("kubernetes:ray.io/v1:RayCluster", Kind("ray.io/v1", "RayCluster")),
    ):
        assert kind_of_token(token) == kind
        assert token_of_kind(kind) == token
    with pytest.raises(InvalidRequest):
        kind_of_token("kubernetes:yaml:ConfigFile")


def test_what_is_secret_as_a_whole_is_secret_in_every_field() -> None:
    whole = Secret(obj("ConfigMap", "a") | {"data": {"k": "v"}})
    (found,) = yaml_group._objects({"objs": [whole]}, globs=True)
    assert found["data"] == Secret({"k": "v"})
    assert found["kind"] == "ConfigMap"
    (found,) = yaml_group._objects({"objs": Secret([whole.value])}, globs=True)
    assert found["data"] == Secret({"k": "v"})
    (found,) = yaml_group._objects(
        {"objs": [obj("ConfigMap", "a") | {"data": {"k": Secret("v")}}]}, globs=True
    )
    assert found["data"] == {"k": Secret("v")}


def test_another_component_is_refused(plugin: Client) -> None:
    request = proto.ConstructRequest(type="kubernetes:helm.sh/v4:Chart", name="x")
    with pytest.raises(Failed, match=r"no component kubernetes:helm\.sh/v4:Chart.*official"):
        plugin.call("Construct", request)


def test_a_mistake_in_a_manifest_reaches_the_user(plugin: Client) -> None:
    request = proto.ConstructRequest(
        type=yaml_group.CONFIG_GROUP, name="x", inputs=marshal({"files": ["/no/such.yaml"]})
    )
    with pytest.raises(Failed, match=r"manifest /no/such\.yaml"):
        plugin.call("Construct", request)
