from typing import Any

import pytest
from google.protobuf import struct_pb2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from sandbox.plugins.properties import (
    UNKNOWN,
    Secret,
    Special,
    has_secret,
    has_unknown,
    mark_secrets,
    marshal,
    plain,
    redactor,
    unmarshal,
)

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.just(UNKNOWN)
)
KEYS = st.text(min_size=1, max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4) | st.builds(Secret, inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_values_survive_the_way_to_the_engine_and_back(values: dict[str, Any]) -> None:
    assert unmarshal(marshal(values)) == values


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_plain_values_hold_no_marks(values: dict[str, Any]) -> None:
    assert not has_secret(plain(values))
    assert has_unknown(plain(values)) == has_unknown(values)


def test_whole_numbers_stay_whole() -> None:
    found = unmarshal(struct_pb2.Struct(fields={"replicas": struct_pb2.Value(number_value=3.0)}))
    assert found == {"replicas": 3}
    assert isinstance(found["replicas"], int)


@pytest.mark.parametrize(
    "text", ["04da6b54-80e4-46f7-96ec-b56ff0331ba9", "dd056dcd-154b-4c76-9bd3-c8f88648b5ff"]
)
def test_every_spelling_of_unknown_is_known(text: str) -> None:
    assert unmarshal(struct_pb2.Struct(fields={"x": struct_pb2.Value(string_value=text)})) == {"x": UNKNOWN}


def test_an_output_value_keeps_its_secretness() -> None:
    signature = {"4dabf18193072939515e22adb298388d": "d0e6a833031e9bbcd3f4e8bde6ca49a4"}
    assert unmarshal(marshal({"x": {**signature, "value": "v", "secret": True}})) == {"x": Secret("v")}
    assert unmarshal(marshal({"x": signature})) == {"x": UNKNOWN}


def test_an_asset_passes_through() -> None:
    asset = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": "a: 1"}
    found = unmarshal(marshal({"file": asset}))
    assert isinstance(found["file"], Special)
    assert marshal(found) == marshal({"file": asset})


def test_one_secret_does_not_hide_its_neighbours() -> None:
    outputs = {"spec": {"a": "1", "b": "2"}, "list": ["x", "y"], "more": 1}
    mark_secrets(outputs, {"spec": {"a": Secret("1")}, "list": ["x", Secret("y")]})
    assert outputs == {"spec": {"a": Secret("1"), "b": "2"}, "list": Secret(["x", "y"]), "more": 1}


def test_the_data_of_a_secret_is_always_secret() -> None:
    outputs: dict[str, Any] = {"kind": "Secret", "data": {"a": "YQ=="}, "metadata": {"name": "n"}}
    mark_secrets(outputs, {})
    assert outputs["data"] == Secret({"a": "YQ=="})
    assert outputs["metadata"] == {"name": "n"}


def test_a_text_loses_the_secrets_of_a_request_plain_and_encoded() -> None:
    struct = marshal({"data": Secret({"token": "hunter2hunter2"}), "name": "visible", "short": Secret("ab")})
    redact = redactor(struct)
    assert redact("visible hunter2hunter2 aHVudGVyMmh1bnRlcjI= ab") == "visible [secret] [secret] ab"
    assert "hunter2" not in repr(unmarshal(struct))
