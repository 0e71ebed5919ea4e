"""Whatever stands at a key: it is accepted, or there is one clear error that names the key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.problems import SettingsError, key_of
from infra.reading import decode, parse
from infra.settings import Settings
from tests.unit.hostile import everything
from tests.unit.hostile.effort import examples
from tests.unit.hostile.values import ANY, HOSTILE, OTHERS, nested

CLUSTERS = {"existing": None, "gke": everything.GKE, "kind": everything.KIND}

# Those do not go with the rest of `everything`, and have tests of their own.
ELSEWHERE = {"Authenticator", "JupyterHubArgs", "PoolGpu", "RayOperatorAddon"}


def paths(kind: str) -> list[tuple[everything.Path_, bool]]:
    """Every key of a stack on a kind of cluster, and whether it takes text; those of the platform once."""
    stack = everything.stack(CLUSTERS[kind])
    found = {
        path: any("string" in str(choice.get("type")) for choice in everything.choices(rule))
        for path, rule in everything.keys(stack, everything.SCHEMA)
        if kind == "existing" or path[0] == "cluster" or (kind == "gke" and path[:2] == ("gateway", "iap"))
    }
    return list(found.items())


def refused(values: Mapping[str, Any]) -> SettingsError | None:
    """The error that a user sees; None where the settings are taken. Anything else is a crash."""
    try:
        parse(values)
    except SettingsError as error:
        return error
    return None


def check(error: SettingsError, path: everything.Path_, values: Mapping[str, Any]) -> None:
    """The error is on one short line for each mistake, and one of them is about this key."""
    headline, *lines = str(error).splitlines()
    assert headline.endswith("nothing was touched.")
    assert len(lines) == len(error.problems)
    assert all(line.isprintable() and len(line) < 1300 for line in lines), lines
    key = key_of(path)
    if not any(problem.key.startswith(key) or key.startswith(problem.key) for problem in error.problems):
        # Then it is fine by itself, and what does not go with it is named.
        Settings.model_validate(values)


def test_everything_is_a_stack() -> None:
    """Or else the tests here would look at the wrong mistakes."""
    for cluster in CLUSTERS.values():
        assert refused(everything.stack(cluster)) is None


def test_every_model_is_reached() -> None:
    """A setting that is new stands in `everything`, so that it is tried as well."""
    known = {path for kind in CLUSTERS for path, _ in paths(kind)}
    names = {part for path in known for part in path if isinstance(part, str)}
    for model, rule in everything.SCHEMA["$defs"].items():
        missing = rule.get("properties", {}).keys() - names
        assert model in ELSEWHERE or not missing, f"{model}: {missing}"


@pytest.mark.parametrize("kind", CLUSTERS)
def test_no_value_at_any_key_crashes(kind: str) -> None:
    """Null, numbers of every size, lists, objects, and text with what readers trip over."""
    for path, takes_text in paths(kind):
        for value in HOSTILE if takes_text else (*OTHERS, "text"):
            values = everything.stack(CLUSTERS[kind])
            everything.put(values, path, value)
            if error := refused(values):
                check(error, path, values)


@given(data=st.data())
@examples(150)
def test_no_values_at_several_keys_crash(data: st.DataObject) -> None:
    """One mistake must not hide behind another one."""
    kind = data.draw(st.sampled_from(sorted(CLUSTERS)))
    values = everything.stack(CLUSTERS[kind])
    for path, _ in data.draw(st.lists(st.sampled_from(paths(kind)), min_size=1, max_size=4)):
        try:
            everything.put(values, path, data.draw(ANY))
        except (AttributeError, TypeError, LookupError):
            continue  # what stood above it is gone
    if error := refused(values):
        str(error).encode()


@given(st.dictionaries(st.text(max_size=20), ANY, max_size=4))
@examples(100)
def test_no_stack_at_all_crashes(values: dict[str, Any]) -> None:
    """Nothing of what it says has to be known."""
    assert refused(values) is not None, "no cluster"


@given(st.dictionaries(st.sampled_from(["cluster", "mesh", "platform", "rayImage", "zzz"]), st.text()))
@examples(100)
def test_no_text_that_pulumi_hands_over_crashes(texts: dict[str, str]) -> None:
    """Everything under `rayfort:` comes as text; what looks like an object is JSON."""
    try:
        parse(decode({f"rayfort:{name}": text for name, text in texts.items()}))
    except SettingsError as error:
        str(error).encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "is nested too deeply"),
        ('{"a":' * 100_000, "is nested too deeply"),
        ('{"nodes": ' + "7" * 5_000 + "}", "is not valid JSON"),
        ('{"a": 1', "is not valid JSON"),
    ],
    ids=["lists", "objects", "digits", "cut"],
)
def test_broken_json_is_a_mistake_and_no_traceback(text: str, says: str) -> None:
    """Python's reader knows more than one way to fail."""
    with pytest.raises(SettingsError, match=says) as caught:
        decode({"rayfort:mesh": text})
    assert [problem.key for problem in caught.value.problems] == ["rayfort:mesh"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (nested(40, list), "nested more than 28 deep"),
        (nested(40, dict), "nested more than 28 deep"),
        ("half \ud800 of a pair", "a character that no file can hold"),
        ("a\x00b", "a character that no file can hold"),
        ({"a\x00b": 1}, "a name that has a character that no file can hold"),
        (float("nan"), "is not a number that JSON has"),
        (float("-inf"), "is not a number that JSON has"),
        (2**53 + 1, "above which Pulumi rounds numbers"),
        ("x" * (2**20 + 1), "no object holds more than"),
    ],
)
def test_what_pulumi_cannot_carry_is_refused_with_its_key(value: Any, says: str) -> None:
    """The SDK fails on it with a traceback, or hands on another number than was written."""
    values = {"cluster": everything.stack()["cluster"], "mesh": {"meshConfig": {"here": value}}}
    with pytest.raises(SettingsError, match=says) as caught:
        parse(values)
    (problem,) = caught.value.problems
    assert problem.key.startswith("rayfort:mesh.meshConfig.here")


def test_the_largest_exact_number_and_the_deepest_nesting_are_taken() -> None:
    """The limits refuse nothing that works."""
    config = {"number": 2**53, "nested": nested(24, dict), "text": "x" * 2**20}
    cluster = everything.stack()["cluster"]
    assert refused({"cluster": cluster, "mesh": {"meshConfig": config}}) is None


@pytest.mark.parametrize("name", ["<existing>", "[key]", "a.b", 'a"b', "", "line\nbreak", "\x1b[2J"])
def test_an_unknown_key_is_named_whatever_it_is_called(name: str) -> None:
    """Keys in angle brackets were taken for pydantic's, and a line break began a second mistake."""
    values = everything.stack()
    values["cluster"]["facts"][name] = 1
    with pytest.raises(SettingsError) as caught:
        parse(values)
    (problem,) = caught.value.problems
    assert problem.key == key_of(("cluster", "facts", name)) or problem.key == "rayfort:cluster.facts"
    assert "is not a setting" in problem.text
    assert str(caught.value).count("\n") == 1
    assert "\x1b" not in str(caught.value)


def test_a_long_value_is_not_repeated_in_the_message() -> None:
    """It scrolled the mistake off the screen."""
    values = everything.stack(everything.GKE)
    values["cluster"]["nodePools"][0]["machineType"] = "a" * 100_000
    assert len(str(refused(values))) < 2_000


def test_a_wrong_entry_is_one_mistake() -> None:
    """The list was said to be too short as well, since pydantic counts those that are right."""
    values = everything.stack()
    values["gateway"]["expose"] = [{"workspace": "team-a", "cluster": "A B"}]
    error = refused(values)
    assert error is not None
    assert [problem.key for problem in error.problems] == ["rayfort:gateway.expose[0].cluster"]


def test_keys_are_written_as_pulumi_writes_them() -> None:
    assert key_of(("workspaces", 0, "quota", "requests.cpu")) == 'rayfort:workspaces[0].quota["requests.cpu"]'


@given(ANY)
@examples(100)
def test_what_is_taken_can_be_sent(value: Any) -> None:
    """Anything that is nested in a chart's values goes through protobuf as it is."""
    from google.protobuf import json_format, struct_pb2

    values = {"cluster": everything.stack()["cluster"], "mesh": {"meshConfig": {"a": value}}}
    if refused(values):
        return
    sent = struct_pb2.Struct()
    sent.update({"a": value})
    read = struct_pb2.Struct.FromString(sent.SerializeToString())
    assert json.loads(json_format.MessageToJson(read)) == {"a": value}


def test_a_name_that_stands_twice_is_found_among_thousands() -> None:
    """Names were compared each with each other, which takes the square of their number."""
    names = [f"a{number}" for number in range(3_000)]
    workspaces = [{"name": name} for name in names]
    values: everything.Json = {"cluster": everything.stack()["cluster"], "workspaces": workspaces}
    assert refused(values) is None
    values["workspaces"].append({"name": names[0]})
    assert "workspaces[3000].name: workspace a0 stands twice" in str(refused(values))
