import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import proto

from sandbox.plugins import diff, shape
from sandbox.plugins.diff import Change, Difference, differences, parse_path, path_text
from sandbox.plugins.immutable import immutable_properties
from sandbox.plugins.properties import UNKNOWN

KEYS = st.sampled_from(["a", "b", "c", "d.e/f", 'g"h', "x[0]"])
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "s", "1000m"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)
OBJECTS = st.dictionaries(KEYS, TREES, max_size=5)


@given(OBJECTS)
def test_nothing_differs_from_itself(obj: dict[str, Any]) -> None:
    assert list(differences(obj, copy.deepcopy(obj))) == []


@given(OBJECTS, OBJECTS)
def test_two_objects_without_differences_are_equal(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert (not list(differences(old, new))) == shape.equal(old, new)


@given(OBJECTS, OBJECTS)
def test_whatever_the_server_made_of_the_inputs_is_no_difference_later(
    inputs: dict[str, Any], stored: dict[str, Any]
) -> None:
    known = shape.rewrites(inputs, stored)
    managed = shape.prune(stored, inputs, shape.atomic_lists(stored))
    assert list(differences(managed, shape.rewritten(inputs, known))) == []


@given(OBJECTS, st.data())
def test_a_managed_leaf_that_drifts_is_found(inputs: dict[str, Any], data: st.DataObject) -> None:
    leaves = [path for path in _leaves(inputs, ()) if path]
    if not leaves:
        return
    path = data.draw(st.sampled_from(leaves))
    live = copy.deepcopy(inputs) | {"added-by-the-server": 1}
    shape.put(live, path, "drifted")
    found = list(differences(shape.prune(live, inputs), inputs))
    assert [difference.path for difference in found] == [path]


@given(OBJECTS, st.data())
def test_a_managed_key_that_vanished_is_found(inputs: dict[str, Any], data: st.DataObject) -> None:
    keys = [path for path in _leaves(inputs, ()) if path and isinstance(path[-1], str)]
    if not keys:
        return
    path = data.draw(st.sampled_from(keys))
    live = copy.deepcopy(inputs)
    shape.remove(live, path)
    found = list(differences(shape.prune(live, inputs), inputs))
    assert [(difference.path, difference.change) for difference in found] == [(path, Change.ADD)]


@given(st.lists(st.one_of(KEYS, st.integers(0, 20)), min_size=1, max_size=5))
def test_paths_survive_the_engine_s_spelling(path: list[str | int]) -> None:
    steps = ("root", *path)
    assert parse_path(path_text(steps)) == steps


def _leaves(value: Any, path: shape.Path) -> list[shape.Path]:
    if isinstance(value, dict) and value:
        return [found for key, item in value.items() for found in _leaves(item, (*path, key))]
    if isinstance(value, list) and value:
        return [found for index, item in enumerate(value) for found in _leaves(item, (*path, index))]
    return [path]


def test_fields_of_others_are_no_drift() -> None:
    inputs = {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "app", "image": "i"}]}}
    live = {
        "metadata": {"labels": {"a": "1", "injected": "x"}, "uid": "u"},
        "spec": {
            "containers": [{"name": "app", "image": "i", "imagePullPolicy": "Always"}, {"name": "sidecar"}]
        },
        "status": {},
    }
    assert list(differences(shape.prune(live, inputs), inputs)) == []


def test_an_item_added_to_a_list_with_one_owner_is_drift() -> None:
    rule, extra = {"verbs": ["get"]}, {"verbs": ["*"]}
    live = {
        "metadata": {"managedFields": [{"manager": "kubectl", "fieldsV1": {"f:rules": {}}}]},
        "rules": [rule, extra],
    }
    managed = shape.prune(live, {"rules": [rule]}, shape.atomic_lists(live))
    assert list(differences(managed, {"rules": [rule]})) == [
        Difference(("rules", 1), Change.DELETE, old=extra)
    ]


def test_items_with_several_owners_are_not_atomic() -> None:
    fields: dict[str, Any] = {"f:spec": {"f:ports": {'k:{"port":80}': {"f:port": {}}}, "f:finalizers": {}}}
    obj = {
        "metadata": {"managedFields": [{"fieldsV1": fields}]},
        "spec": {"ports": [{"port": 80}], "finalizers": ["x"]},
    }
    assert shape.atomic_lists(obj) == {("spec", "finalizers")}


def test_a_changed_input_is_not_taken_for_the_one_the_server_rewrote() -> None:
    known = shape.rewrites({"cpu": "1000m", "off": False}, {"cpu": "1"})
    assert shape.rewritten({"cpu": "1000m", "off": False}, known) == {"cpu": "1"}
    assert shape.rewritten({"cpu": "2000m", "off": True}, known) == {"cpu": "2000m", "off": True}


def test_numbers_are_compared_by_value_and_nothing_else_is() -> None:
    assert shape.same(1, 1.0)
    for left, right in ((True, 1), (0, False), ("1", 1), (None, 0), ("", None)):
        assert not shape.same(left, right)


def test_an_unknown_value_always_changes() -> None:
    found = list(differences({"a": 1}, {"a": UNKNOWN, "b": UNKNOWN}))
    assert [(difference.path, difference.change) for difference in found] == [
        (("a",), Change.UPDATE),
        (("b",), Change.ADD),
    ]


@pytest.mark.parametrize(
    ("path", "old", "new", "pattern", "expected"),
    [
        (("spec", "selector", "matchLabels", "a"), 1, 2, ".spec.selector", True),
        (("spec",), None, {"selector": {}}, ".spec.selector", True),
        (("spec",), {"selector": {}}, None, ".spec.selector", True),
        (("spec",), None, {"replicas": 1}, ".spec.selector", False),
        (("spec", "containers", 3, "image"), "a", "b", ".spec.containers[*].image", True),
        (("spec", "containers", 3), None, {"image": "b"}, ".spec.containers[*].image", True),
        (("spec", "containers"), [{"name": "a"}], None, ".spec.containers[*].image", False),
        (("spec", "containers", 3, "name"), "a", "b", ".spec.containers[*].image", False),
        (("data", "x"), "a", "b", ".data", True),
        (("metadata", "name"), "a", UNKNOWN, ".metadata.name", True),
    ],
)
def test_which_changes_force_a_replacement(
    path: shape.Path, old: Any, new: Any, pattern: str, expected: bool
) -> None:
    assert diff.forces_replacement(Difference(path, Change.UPDATE, old, new), [pattern]) is expected


def test_the_detailed_diff_names_kinds_and_looks_for_deletions_among_inputs() -> None:
    found = list(differences({"data": {"a": "1", "b": "2"}, "x": 1}, {"data": {"a": "2"}, "y": 1}))
    detail, replaces = diff.detailed(found, [".data"])
    assert {key: value.kind for key, value in detail.items()} == {
        "data.a": proto.PropertyDiff.UPDATE_REPLACE,
        "data.b": proto.PropertyDiff.DELETE_REPLACE,
        "x": proto.PropertyDiff.DELETE,
        "y": proto.PropertyDiff.ADD,
    }
    assert sorted(replaces) == ["data.a", "data.b"]
    assert detail["x"].inputDiff
    assert not detail["y"].inputDiff


@pytest.mark.parametrize(
    ("path", "ignored", "expected"),
    [
        (("spec", "replicas"), ["spec.replicas"], True),
        (("spec", "template", "spec"), ["spec.template"], True),
        (("spec",), ["spec.replicas"], False),
        (("metadata", "annotations", "a.b/c"), ['metadata.annotations["a.b/c"]'], True),
        (("spec", "containers", 1, "image"), ["spec.containers[*].image"], True),
        (("spec", "containers", 1, "image"), ["spec.containers[0].image"], False),
    ],
)
def test_ignored_paths(path: shape.Path, ignored: list[str], expected: bool) -> None:
    assert diff.is_ignored(path, ignored) is expected


def _immutable(new: dict[str, Any], old: dict[str, Any] | None = None, **switches: bool) -> list[str]:
    defaults = {"mutable_secrets": False, "mutable_config_maps": False}
    found = immutable_properties(new, new if old is None else old, **defaults | switches)
    assert found[:2] == [".metadata.name", ".metadata.namespace"]
    return found[2:]


def test_data_of_secrets_and_config_maps_is_immutable_unless_the_provider_says_otherwise() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret"}
    config = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert ".data" in _immutable(secret)
    assert ".data" in _immutable(config)
    assert _immutable(secret, mutable_secrets=True) == [".type"]
    assert _immutable(config, mutable_config_maps=True) == []
    frozen = secret | {"immutable": True}
    assert ".data" in _immutable(frozen, mutable_secrets=True)
    assert ".immutable" in _immutable(secret, frozen, mutable_secrets=True)


@pytest.mark.parametrize(
    ("api_version", "kind", "path"),
    [
        ("apps/v1", "Deployment", ".spec.selector"),
        ("apps/v1", "StatefulSet", ".spec.serviceName"),
        ("batch/v1", "Job", ".spec.template"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", ".roleRef"),
        ("storage.k8s.io/v1", "StorageClass", ".provisioner"),
        ("v1", "PersistentVolumeClaim", ".spec.storageClassName"),
        ("v1", "Service", ".spec.clusterIP"),
        ("v1", "Pod", ".spec.containers[*].image"),
    ],
)
def test_what_cannot_change_in_place(api_version: str, kind: str, path: str) -> None:
    assert path in _immutable({"apiVersion": api_version, "kind": kind})


def test_a_custom_resource_of_a_known_name_is_not_confused_with_the_known_kind() -> None:
    assert _immutable({"apiVersion": "serving.example.com/v1", "kind": "Service"}) == []
