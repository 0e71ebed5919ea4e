"""The library's schema: current, told in full, and no break of what programs use without saying so."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rayfort
from rayfort import docstrings
from rayfort.host import hosted, schema, shape

from cli import library_schema
from cli.library_schema import ApiBreak, breaks
from tests.unit import samples

WORKSPACE = "rayfort:index:RayWorkspace"
SPEC = "rayfort:index:RayClusterSpec"
FACTS = "rayfort:index:ClusterFacts"
TRAFFIC = "rayfort:index:Traffic"
SCHEMA = schema.committed()


def test_the_committed_schema_says_what_the_models_say() -> None:
    now = library_schema.render(samples.ROOT)
    found = list(breaks(SCHEMA, json.loads(now)))
    assert not found, "programs would break; docs/library.md says what to do"
    assert schema.FILE.read_text() == now, "the library's schema is out of date; run ./rayfort schema"


def values(item: Any) -> Iterator[dict[str, Any]]:
    """Every property of the schema, and what is in it."""
    if isinstance(item, dict):
        yield item
        for each in item.values():
            yield from values(each)
    elif isinstance(item, list):
        for each in item:
            yield from values(each)


def test_every_reference_leads_somewhere() -> None:
    for item in values(SCHEMA):
        if isinstance(reference := item.get("$ref"), str):
            assert reference == "pulumi.json#/Any" or reference.rpartition("/")[2] in SCHEMA["types"]


def test_everything_is_described() -> None:
    for item in [*SCHEMA["resources"].values(), *SCHEMA["types"].values()]:
        assert item["description"]
        for group in ("inputProperties", "properties"):
            for name, value in item.get(group, {}).items():
                assert value["description"], name


def test_nothing_is_pinned_by_a_generated_sdk() -> None:
    for item in values(SCHEMA):
        assert "plain" not in item
        assert not isinstance(item.get("default"), str | int | float | bool)


def test_secrets_are_marked_so_that_sdks_wrap_them() -> None:
    inputs = SCHEMA["resources"]["rayfort:index:ExistingCluster"]["inputProperties"]
    assert inputs["kubeconfig"]["secret"]
    assert SCHEMA["types"]["rayfort:index:NetrcEntry"]["properties"]["password"]["secret"]
    outputs = SCHEMA["resources"]["rayfort:index:RayAuthToken"]["properties"]
    assert outputs["token"]["secret"]
    assert not outputs["secretName"].get("secret")


def test_every_input_is_one_of_the_component() -> None:
    """What the host reads by and what the schema says are made by two walks over the same annotations."""
    for name in hosted.names():
        component = hosted.hosted(name)
        resource = SCHEMA["resources"][hosted.token(name)]
        assert set(resource["inputProperties"]) == set(component.inputs)
        for key, annotation in component.inputs.items():
            secret = resource["inputProperties"][key].get("secret", False)
            assert secret <= shape.keeps_secrets(annotation)


def test_names_are_those_of_stack_files() -> None:
    for item in [*SCHEMA["resources"].values(), *SCHEMA["types"].values()]:
        for group in ("inputProperties", "properties"):
            assert all(re.fullmatch(r"[a-z][a-zA-Z0-9]*", name) for name in item.get(group, {}))


def changed(change: Callable[[Any], object]) -> list[str]:
    new = copy.deepcopy(SCHEMA)
    change(new)
    return list(breaks(SCHEMA, new))


BREAKS: dict[str, tuple[Callable[[Any], object], str]] = {
    "a component removed": (lambda new: new["resources"].pop(WORKSPACE), f"{WORKSPACE} is gone"),
    "an input removed": (
        lambda new: new["resources"][WORKSPACE]["inputProperties"].pop("tracing"),
        f"{WORKSPACE}.tracing is gone",
    ),
    "an output removed": (
        lambda new: new["resources"][WORKSPACE]["properties"].pop("clusters"),
        f"{WORKSPACE}.clusters is gone",
    ),
    "an input of another type": (
        lambda new: new["resources"][WORKSPACE]["inputProperties"].update(mesh={"type": "string"}),
        f"{WORKSPACE}.mesh is {{'type': 'string'}} and was {{'type': 'boolean'}}",
    ),
    "items of another type": (
        lambda new: new["types"][SPEC]["properties"]["workerGroups"].update(items={"type": "string"}),
        f"{SPEC}.workerGroups is ",
    ),
    "an input required anew": (
        lambda new: new["types"][SPEC]["required"].append("image"),
        f"{SPEC}.image is required",
    ),
    "a new input that is required": (
        lambda new: (
            new["resources"][WORKSPACE]["inputProperties"].update(owner={"type": "string"}),
            new["resources"][WORKSPACE]["requiredInputs"].append("owner"),
        ),
        f"{WORKSPACE}.owner is new and required",
    ),
    "an output that may be missing": (
        lambda new: new["resources"][WORKSPACE]["required"].remove("clusters"),
        f"{WORKSPACE}.clusters is no longer always there",
    ),
    "a property of an output renamed": (
        lambda new: new["types"]["rayfort:index:RayClusterOutputs"]["properties"].pop("address"),
        "rayfort:index:RayClusterOutputs.address is gone",
    ),
    "a choice removed": (
        lambda new: new["types"][TRAFFIC]["enum"].pop(),
        f"{TRAFFIC}: l7 is no choice any more",
    ),
    "a choice of another name": (
        lambda new: new["types"][TRAFFIC]["enum"][0].update(name="Opaque"),
        f"{TRAFFIC}: l4 is called Opaque and was L4",
    ),
    "choices instead of text": (
        lambda new: new["types"][FACTS].update(enum=[]),
        f"{FACTS} is of another kind",
    ),
}
ADDITIONS: dict[str, Callable[[Any], object]] = {
    "a component": lambda new: new["resources"].update(new={}),
    "an input": lambda new: new["types"][SPEC]["properties"].update(new={"type": "string"}),
    "an output": lambda new: new["resources"][WORKSPACE]["properties"].update(new={"type": "string"}),
    "a choice": lambda new: new["types"][TRAFFIC]["enum"].append({"name": "L8", "value": "l8"}),
    "other words": lambda new: new["types"][SPEC].update(description="Another."),
    "a secret": lambda new: new["types"][SPEC]["properties"]["image"].update(secret=True),
    "an input that is no longer required": lambda new: new["resources"][WORKSPACE]["requiredInputs"].clear(),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_found(name: str) -> None:
    change, said = BREAKS[name]
    (found,) = changed(change)
    assert found.startswith(said)


@pytest.mark.parametrize("name", ADDITIONS)
def test_an_addition_is_no_break(name: str) -> None:
    assert changed(ADDITIONS[name]) == []


def test_a_break_is_written_only_when_it_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "components" / "rayfort" / "host" / "schema.json"
    file.parent.mkdir(parents=True)
    (tmp_path / "components" / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    before = copy.deepcopy(SCHEMA)
    before["types"][SPEC]["properties"]["formerly"] = {"type": "string"}
    file.write_text(json.dumps(before))
    monkeypatch.setattr(schema, "render", lambda _: json.dumps(SCHEMA))
    with pytest.raises(ApiBreak, match=f"{SPEC}.formerly is gone") as refused:
        library_schema.write(tmp_path)
    assert "--accept-breaks" in str(refused.value)
    assert json.loads(file.read_text()) == before
    assert library_schema.write(tmp_path, accept_breaks=True) == file
    assert json.loads(file.read_text()) == SCHEMA


def test_facts_are_read_from_the_sentence_that_tells_them() -> None:
    assert docstrings.facts(rayfort.IstioMesh) == {
        "cluster_domain": "The DNS zone of Services.",
        "istio_cni": "Whether nodes take Istio's CNI plugin.",
    }
