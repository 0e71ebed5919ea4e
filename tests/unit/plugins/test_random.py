import base64
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.plugins import random_provider
from sandbox.plugins.properties import UNKNOWN, Secret, plain
from tests.unit.plugins.harness import Client, Failed, running

PASSWORD = "random:index/randomPassword:RandomPassword"
STRING = "random:index/randomString:RandomString"
ID = "random:index/randomId:RandomId"
BYTES = "random:index/randomBytes:RandomBytes"


@settings(max_examples=60, deadline=None)
@given(
    minima=st.fixed_dictionaries(
        {key: st.integers(0, 4) for key in ("minLower", "minUpper", "minNumeric", "minSpecial")}
    ),
    extra=st.integers(1, 20),
    off=st.sets(st.sampled_from(["lower", "upper", "numeric", "special"]), max_size=3),
)
def test_a_password_has_the_length_and_at_least_the_minima(
    minima: dict[str, int], extra: int, off: set[str]
) -> None:
    length = sum(minima.values()) + extra
    inputs = {"length": length, **minima, **dict.fromkeys(off, False), "overrideSpecial": "_-"}
    _, made = random_provider._password(inputs)
    text = made["result"]
    assert len(text) == length
    counts = {
        "Lower": sum(c in string.ascii_lowercase for c in text),
        "Upper": sum(c in string.ascii_uppercase for c in text),
        "Numeric": sum(c in string.digits for c in text),
        "Special": sum(c in "_-" for c in text),
    }
    assert sum(counts.values()) == length, "nothing but the allowed characters"
    for name, count in counts.items():
        wanted = minima[f"min{name}"]
        assert count == wanted if name.lower() in off else count >= wanted


def test_a_password_is_secret_and_its_id_tells_nothing(random: Client) -> None:
    resource_id, state = random.create(PASSWORD, {"length": 20})
    assert isinstance(state["result"], Secret)
    assert len(state["result"].value) == 20
    assert resource_id == "none"
    assert plain(state)["special"] is True


def test_two_passwords_differ(random: Client) -> None:
    made = [random.create(PASSWORD, {"length": 20})[1]["result"].value for _ in range(2)]
    assert made[0] != made[1]


def test_a_preview_makes_nothing(random: Client) -> None:
    resource_id, state = random.create(PASSWORD, {"length": 20}, preview=True)
    assert resource_id == ""
    assert state["result"] == Secret(UNKNOWN)


def test_bytes_and_ids_agree_in_all_their_forms(random: Client) -> None:
    _, state = random.create(BYTES, {"length": 16})
    data = bytes.fromhex(state["hex"].value)
    assert len(data) == 16
    assert base64.b64decode(state["base64"].value) == data
    resource_id, state = random.create(ID, {"byteLength": 8, "prefix": "p-"})
    data = base64.urlsafe_b64decode(resource_id + "=")
    assert state["hex"] == f"p-{data.hex()}"
    assert state["dec"] == f"p-{int.from_bytes(data)}"
    assert state["b64Url"] == f"p-{resource_id}"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"length": 21}, "length"),
        ({"special": False}, "special"),
        ({"keepers": {"a": "2"}}, "keepers"),
        ({"keepers": {"a": UNKNOWN}}, "keepers"),
        ({"overrideSpecial": "!"}, "overrideSpecial"),
    ],
)
def test_every_change_replaces(random: Client, change: dict[str, Any], path: str) -> None:
    inputs = {"length": 20, "keepers": {"a": "1"}}
    _, state = random.create(PASSWORD, inputs)
    response = random.diff(PASSWORD, state, inputs | change)
    assert path in response.replaces
    assert response.detailedDiff[path].kind in (1, 5)


def test_the_same_inputs_are_no_change_and_defaults_may_be_spelled_out(random: Client) -> None:
    _, state = random.create(PASSWORD, {"length": 20, "keepers": {"a": "1"}})
    for extra in ({}, {"special": True, "minLower": 0}):
        response = random.diff(PASSWORD, state, {"length": 20, "keepers": {"a": "1"}} | extra)
        assert not response.detailedDiff
        assert not response.replaces


@pytest.mark.parametrize(
    ("inputs", "key"),
    [
        ({"length": 0}, "length"),
        ({"length": 3, "minLower": 4}, "length"),
        ({"length": "8"}, "length"),
        ({}, "length"),
        ({"length": 8, "lower": False, "upper": False, "numeric": False, "special": False}, "lower"),
        ({"length": 8, "lenght": 9}, "lenght"),
    ],
)
def test_inputs_that_cannot_work_are_named(random: Client, inputs: dict[str, Any], key: str) -> None:
    _, failures = random.check(PASSWORD, inputs)
    assert list(failures) == [key]


def test_a_refresh_keeps_and_an_import_adopts(random: Client) -> None:
    resource_id, state = random.create(STRING, {"length": 8})
    assert random.read(STRING, resource_id, state)[:2] == (resource_id, state)
    resource_id, state, inputs = random.read(PASSWORD, "hunter2hunter2")
    assert resource_id == "none"
    assert state["result"] == Secret("hunter2hunter2")
    assert inputs == {"length": 14}
    _, state, inputs = random.read(ID, "p-,AAECAw")
    assert state["hex"] == "p-00010203"
    assert inputs == {"byteLength": 4, "prefix": "p-"}


def test_an_import_that_is_no_base64_does_not_show_the_value(random: Client) -> None:
    with pytest.raises(Failed, match="not base64") as failed:
        random.read(BYTES, "§secret§")
    assert "secret" not in str(failed.value)


def test_another_type_is_refused_with_a_remedy() -> None:
    with running(random_provider.make) as client, pytest.raises(Failed, match=r"RandomPet.*official"):
        client.check("random:index/randomPet:RandomPet", {})
