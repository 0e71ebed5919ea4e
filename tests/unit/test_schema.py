"""The schema that editors use says what the settings say, and is never older than they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rayfort import docstrings
from rayfort.model import Model
from rayfort.ray.spec import WorkerGroup

from cli import schema
from cli.offline import settings_of
from cli.stacks import load, names
from infra.problems import SettingsError
from infra.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SCHEMA: dict[str, Any] = schema.stack_schema()
CLUSTER = {"kubeconfigPath": "kubeconfig", "context": "here"}
GKE = {
    "kind": "gke",
    "name": "ray",
    "project": "my-project",
    "location": "us-west1",
    "nodePools": [{"name": "a", "machineType": "e2-standard-4", "maxNodes": 2, "diskGb": 50}],
}
NETRC = {"machine": "git.example.com", "login": "bot", "password": "x"}


def problems(value: Any, rule: Any = SCHEMA, where: str = "") -> Iterator[str]:
    """What is wrong with a value: the part of JSON Schema that the schema uses."""
    if "$ref" in rule:
        yield from problems(value, SCHEMA["$defs"][rule["$ref"].rpartition("/")[2]], where)
    if "if" in rule:
        branch = "else" if list(problems(value, rule["if"], where)) else "then"
        yield from problems(value, rule[branch], where)
    if "anyOf" in rule and all(list(problems(value, choice, where)) for choice in rule["anyOf"]):
        yield f"{where}: fits no choice"
    types = rule.get("type", [])
    if types and not any(is_a(value, name) for name in ([types] if isinstance(types, str) else types)):
        yield f"{where}: is not {types}"
        return
    if "enum" in rule and value not in rule["enum"]:
        yield f"{where}: is not one of {rule['enum']}"
    if "const" in rule and value != rule["const"]:
        yield f"{where}: is not {rule['const']}"
    yield from limits(value, rule, where)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(item, rule.get("items", {}), f"{where}[{index}]")
    if isinstance(value, dict):
        yield from members(value, rule, where)


def is_a(value: Any, name: str) -> bool:
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
        "integer": int,
        "number": int | float,
    }
    return isinstance(value, kinds[name]) and (name == "boolean" or not isinstance(value, bool))


def limits(value: Any, rule: Any, where: str) -> Iterator[str]:
    if isinstance(value, str) and "pattern" in rule and not re.search(rule["pattern"], value):
        yield f"{where}: does not match {rule['pattern']}"
    if isinstance(value, str | list):
        bound = "Length" if isinstance(value, str) else "Items"
        if not rule.get(f"min{bound}", 0) <= len(value) <= rule.get(f"max{bound}", len(value)):
            yield f"{where}: has the wrong length"
    if is_a(value, "number") and not rule.get("minimum", value) <= value <= rule.get("maximum", value):
        yield f"{where}: is out of range"


def members(value: dict[str, Any], rule: Any, where: str) -> Iterator[str]:
    for name in rule.get("required", []):
        if name not in value:
            yield f"{where}: lacks {name}"
    for name, item in value.items():
        below = f"{where}.{name}".lstrip(".")
        patterns = [found for key, found in rule.get("patternProperties", {}).items() if re.search(key, name)]
        if name in rule.get("properties", {}):
            yield from problems(item, rule["properties"][name], below)
        elif patterns:
            yield from problems(item, patterns[0], below)
        elif rule.get("additionalProperties") is False:
            yield f"{below}: is not known"
        elif isinstance(rule.get("additionalProperties"), dict):
            yield from problems(item, rule["additionalProperties"], below)


def stack(**settings: Any) -> dict[str, Any]:
    return {"config": {f"rayfort:{name}": value for name, value in {"cluster": CLUSTER, **settings}.items()}}


def test_the_schema_is_up_to_date() -> None:
    written = (ROOT / "stacks" / schema.FILE).read_text()
    assert written == schema.render(), "stacks/schema.json is out of date; run ./rayfort schema"


def test_writing_gives_what_is_rendered(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: rayfort\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    path = schema.write_schema(tmp_path)
    assert path == tmp_path / "stacks" / "schema.json"
    assert path.read_text() == schema.render()


@pytest.mark.parametrize("name", names(ROOT))
def test_every_stack_file_is_valid_and_tells_editors_where_the_schema_is(name: str) -> None:
    text = (ROOT / "stacks" / f"Pulumi.{name}.yaml").read_text()
    assert text.splitlines()[0] == schema.MODELINE
    assert list(problems(yaml.safe_load(text))) == []
    settings_of(load(ROOT, name))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"meshes": {}}, "config.rayfort:meshes: is not known"),
        ({"cluster": {}}, "config.rayfort:cluster: lacks context"),
        ({"cluster": {**CLUSTER, "contxt": "a"}}, "config.rayfort:cluster.contxt: is not known"),
        ({"cluster": {**CLUSTER, "kind": "eks"}}, "config.rayfort:cluster.kind: is not existing"),
        ({"cluster": {**CLUSTER, "facts": {"dns": "bind"}}}, "config.rayfort:cluster.facts.dns: is not one"),
        ({"cluster": {"kind": "gke"}}, "config.rayfort:cluster: lacks name"),
        ({"cluster": {**GKE, "context": "a"}}, "config.rayfort:cluster.context: is not known"),
        ({"cluster": {**GKE, "channel": "FAST"}}, "config.rayfort:cluster.channel: is not one of"),
        ({"mesh": {"mtls": "OFF"}}, "config.rayfort:mesh.mtls: is not one of"),
        ({"mesh": {"timeoutSeconds": 1}}, "config.rayfort:mesh.timeoutSeconds: is out of range"),
        ({"operator": {"crds": "a"}}, "config.rayfort:operator.crds: fits no choice"),
        ({"workspaces": {}}, "config.rayfort:workspaces: is not array"),
        ({"workspaces": [{}]}, "config.rayfort:workspaces[0]: lacks name"),
        (
            {"workspaces": [{"name": "a", "clusters": [{"name": "b", "ports": {"gcs": 70000}}]}]},
            "config.rayfort:workspaces[0].clusters[0].ports: fits no choice",
        ),
        ({"workspaces": [{"name": {"secure": "v1:x"}}]}, "config.rayfort:workspaces[0].name: is not string"),
    ],
)
def test_mistakes_are_seen_in_the_editor_and_by_the_settings(
    settings: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    content = stack(**settings)
    assert any(found.startswith(problem) for found in problems(content)), list(problems(content))
    with pytest.raises(SettingsError):
        read(content, tmp_path)


def read(content: dict[str, Any], directory: Path) -> Settings:
    (directory / "Pulumi.yaml").write_text("name: rayfort\n")
    (directory / "Pulumi.dev.yaml").write_text(yaml.safe_dump(content))
    return settings_of(load(directory, "dev"))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"cluster": {"kubeconfig": {"secure": "v1:x"}, "context": "a"}},
        {"workspaces": [{"name": "a", "netrc": [{**NETRC, "password": {"secure": "v1:x"}}]}]},
        {"workspaces": [{"name": "a", "netrc": [NETRC], "quota": {"pods": 5, "requests.cpu": "2"}}]},
        {"kbatch": {"hubApiToken": {"secure": "v1:x"}, "jobEnv": {"KEY": {"secure": "v1:x"}, "B": "c"}}},
        {"cluster": GKE},
        {"cluster": {"kind": "kind"}},
        {"kbatch": None},
        {"mesh": {"meshConfig": {"anything": [1, {"goes": True}]}, "nativeSidecars": None}},
        {"rayImage": "registry.example.com/ray"},
    ],
)
def test_what_the_settings_take_is_valid_in_the_editor(settings: dict[str, Any], tmp_path: Path) -> None:
    content = stack(**settings)
    assert list(problems(content)) == []
    read(content, tmp_path)


def test_what_belongs_to_pulumi_is_left_to_pulumi() -> None:
    content = stack()
    content["encryptionsalt"] = "v1:salt"
    content["config"]["pulumi:disable-default-providers"] = ["kubernetes"]
    content["config"]["gcp:project"] = "mine"
    assert list(problems(content)) == []


def test_values_may_be_encrypted_exactly_where_they_are_secret() -> None:
    found = {
        f"{name}.{key}"
        for name, model in SCHEMA["$defs"].items()
        for key, rule in model.get("properties", {}).items()
        if '"secure"' in json.dumps(rule)
    }
    assert found == {
        "ExistingClusterSettings.kubeconfig",
        "NetrcEntry.password",
        "OpenId.clientSecret",
        "TokenAuth.token",
        "KbatchProxyArgs.hubApiToken",
        "KbatchProxyArgs.jobEnv",
        "Authenticator.secrets",
        "JupyterHubArgs.databasePassword",
    }


def test_every_key_is_described_by_the_docstrings() -> None:
    for name, model in SCHEMA["$defs"].items():
        assert model["description"], name
        for key, rule in model.get("properties", {}).items():
            assert len(rule["description"]) > 3, f"{name}.{key}"
            assert "``" not in rule["description"]
            assert "\n" not in rule["description"]


def test_a_key_that_no_docstring_describes_is_an_error() -> None:
    class Undescribed(Model):
        """A model.

        Args:
            known: something.
        """

        known: str
        forgotten: str

    with pytest.raises(ValueError, match=r"Undescribed says nothing about forgotten; add it to `Args:`"):
        docstrings.descriptions(Undescribed)


def test_descriptions_of_bases_are_inherited() -> None:
    texts = docstrings.descriptions(WorkerGroup)
    assert texts["name"]
    assert texts["env"].startswith("Environment variables")
    assert texts["min_replicas"] == texts["max_replicas"]


def test_arguments_are_read_from_a_docstring() -> None:
    docstring = """A thing.

    More about it: with a colon.

    Args:
        one: the first, ``code``
            on two lines.
        two, three: both: the same.

    Attributes:
        four: no argument.
    """
    assert docstrings.arguments(docstring) == {
        "one": "The first, `code` on two lines.",
        "two": "Both: the same.",
        "three": "Both: the same.",
    }
    assert docstrings.arguments("A thing without arguments.") == {}
