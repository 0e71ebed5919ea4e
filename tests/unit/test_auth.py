"""Token authentication: the recipe of seed 001, for every version of the operator."""

from __future__ import annotations

import re

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayfort import RayAuthToken, RayAuthTokenArgs, RayClusterSpec, TokenAuth, TokenSource
from rayfort.ray.auth import (
    auth_options,
    best_source,
    check_environment,
    check_ray_version,
    check_token,
    environment,
)
from rayfort.ray.auth_token import TOKEN_LENGTH, secret_name

from tests.unit import samples
from tests.unit.recorder import RANDOM_PASSWORD, SECRET_OBJECT, UNKNOWN, Run, record

MANUAL = [
    {"name": "RAY_AUTH_MODE", "value": "token"},
    {
        "name": "RAY_AUTH_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "ray-auth-1a2b", "key": "auth_token"}},
    },
]


def token(rotation: str = "1", *, preview: bool = False) -> Run:
    return record(
        lambda: RayAuthToken(
            "ray-auth",
            RayAuthTokenArgs(namespace="team", prefix="ray-auth", rotation=rotation),
            samples.on_cluster(),
        ),
        preview=preview,
    )


@pytest.mark.parametrize(
    ("operator", "source"),
    [
        ("1.0.0", TokenSource.ENV),
        ("1.4.2", TokenSource.ENV),
        ("1.5.0", TokenSource.ENV),
        ("1.5.1", TokenSource.OPERATOR),
        ("1.5.2", TokenSource.OPERATOR),
        ("1.6.0", TokenSource.SECRET_NAME),
        ("1.6.2", TokenSource.SECRET_NAME),
        ("1.7.0", TokenSource.SECRET_NAME),
        ("1.10.0", TokenSource.SECRET_NAME),
        ("2.0.0", TokenSource.SECRET_NAME),
    ],
)
def test_the_source_follows_the_operators_version(operator: str, source: TokenSource) -> None:
    """An older operator drops fields that it does not know: authentication would be off, silently."""
    assert best_source(operator) is source
    assert TokenAuth().source_for(operator) is source


@pytest.mark.parametrize(
    ("source", "oldest", "too_old"),
    [(TokenSource.SECRET_NAME, "1.6.0", "1.5.2"), (TokenSource.OPERATOR, "1.5.1", "1.5.0")],
)
def test_a_source_that_the_operator_cannot_do_is_refused(
    source: TokenSource, oldest: str, too_old: str
) -> None:
    """The message says what is needed and what works instead."""
    assert TokenAuth(source=source).source_for(oldest) is source
    with pytest.raises(ValueError, match=f"needs KubeRay {oldest} or newer.*{too_old}; use '"):
        TokenAuth(source=source).source_for(too_old)


@pytest.mark.parametrize("operator", ["1.0.0", "1.5.1", "1.6.2"])
def test_explicit_variables_work_with_every_operator(operator: str) -> None:
    """The recipe for old operators stays reachable on new ones."""
    assert TokenAuth(source=TokenSource.ENV).source_for(operator) is TokenSource.ENV


@pytest.mark.parametrize(
    ("source", "options", "variables"),
    [
        (TokenSource.SECRET_NAME, {"mode": "token", "secretName": "ray-auth-1a2b"}, []),
        (TokenSource.OPERATOR, {"mode": "token"}, []),
        (TokenSource.ENV, None, MANUAL),
    ],
)
def test_each_source_says_what_its_recipe_says(
    source: TokenSource, options: object, variables: object
) -> None:
    """One of the two, never both: KubeRay lets variables of the user win over `authOptions`."""
    assert auth_options(source, "ray-auth-1a2b") == options
    assert environment(source, "ray-auth-1a2b") == variables


def test_the_mode_is_always_written() -> None:
    """With an empty `authOptions` KubeRay makes a Secret and leaves authentication off."""
    for source in TokenSource:
        options = auth_options(source, "name")
        assert options is None or options["mode"] == "token"


@pytest.mark.parametrize("version", ["2.46.0", "2.51.9", "1.13.0"])
def test_a_ray_without_token_authentication_is_refused(version: str) -> None:
    """KubeRay refuses it by an event only, and makes no Pods."""
    with pytest.raises(ValueError, match=r"has no token authentication; use 2\.52\.0 or newer"):
        check_ray_version(version)


@pytest.mark.parametrize("version", ["2.52.0", "2.55.1", "2.60.0", "3.0.0"])
def test_a_ray_with_token_authentication_is_taken(version: str) -> None:
    """The floor is Ray 2.52."""
    check_ray_version(version)


@pytest.mark.parametrize("name", ["RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_variables_that_turn_authentication_off_are_refused(name: str) -> None:
    """KubeRay adds its variable only where the user has none: `RAY_AUTH_MODE=disabled` would win."""
    with pytest.raises(ValueError, match=f"{name} is set by Rayfort"):
        check_environment(["FINE", name])


def test_no_setting_makes_an_empty_authoptions() -> None:
    """`authOptions: {}` is KubeRay's trap; here `auth: {}` is the default, and that asks for a token."""
    spec = RayClusterSpec.model_validate({"name": "ray", "auth": {}})
    assert auth_options(spec.auth.source_for("1.6.2"), "name") == {"mode": "token", "secretName": "name"}


@pytest.mark.parametrize("node", ["head", "workers"])
@pytest.mark.parametrize("mode", ["disabled", "token", ""])
def test_no_node_sets_the_mode_itself(node: str, mode: str) -> None:
    """Not even to what it is anyhow: whoever reads the stack must not look for it there."""
    env = {"env": {"RAY_AUTH_MODE": mode}}
    nodes = {"head": env} if node == "head" else {"worker_groups": [{"name": "small", **env}]}
    with pytest.raises(ValidationError, match="RAY_AUTH_MODE is set by Rayfort"):
        RayClusterSpec.model_validate({"name": "ray", **nodes})


GIVEN = "k7Qw" * 11


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (GIVEN + "\n", "a line break at an end"),
        (GIVEN + "\r\n", "a line break at an end"),
        (" " + GIVEN, "white space or"),
        (GIVEN + "\n" + GIVEN, "a character that no bearer token may have"),
        (GIVEN + "ü", "a character that no bearer token may have"),
        (GIVEN + "$(id)", "a character that no bearer token may have"),
        ("short", "has 5 characters"),
        (GIVEN[:31], "has 31 characters"),
    ],
)
def test_a_token_that_no_header_carries_is_refused(given: str, said: str) -> None:
    """Ray trims it and starts; the operator puts it into a header as it is, and fails."""
    with pytest.raises(ValidationError, match=said) as caught:
        TokenAuth(token=given)
    assert given.strip() not in str(caught.value)
    with pytest.raises(ValueError, match=said):
        check_token(given)


def test_a_token_of_ones_own_is_the_secrets() -> None:
    """What `openssl rand -base64 32` of the recipe gives is taken; it never shows."""
    own = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="

    def program() -> None:
        args = RayAuthTokenArgs(namespace="team", prefix="ray-auth", token=TokenAuth(token=own).token)
        RayAuthToken("ray-auth", args, samples.on_cluster())

    run = record(program)
    secret = run.one(SECRET_OBJECT)
    assert secret.inputs["stringData"]["auth_token"] == own
    assert secret.object_name == secret_name("ray-auth", own)
    assert not run.all(RANDOM_PASSWORD)
    assert not [text for text in run.texts() if own in text]
    assert own not in repr(TokenAuth(token=own))


def test_a_bad_token_of_another_resource_stops_the_program() -> None:
    """What a vault's provider gives is known only while the program runs."""

    def program() -> None:
        bad = pulumi.Output.from_input(GIVEN + "\n")
        RayAuthToken(
            "ray-auth", RayAuthTokenArgs(namespace="team", prefix="ray-auth", token=bad), samples.on_cluster()
        )

    run = record(program, catch=True)
    assert "a line break at an end" in str(run.error)
    assert GIVEN not in str(run.error)
    assert not run.all(SECRET_OBJECT)


@pytest.mark.parametrize("other", [{"source": "operator"}, {"rotation": "2"}])
def test_a_token_of_ones_own_is_the_only_one(other: dict[str, str]) -> None:
    """Nobody should have to guess which of two wins."""
    with pytest.raises(ValidationError, match="token is given"):
        TokenAuth.model_validate({"token": GIVEN, **other})


@pytest.mark.parametrize(
    ("operator", "source"),
    [
        ("1.4.2", TokenSource.ENV),
        ("1.5.1", TokenSource.ENV),  # which would make one of its own
        ("1.6.2", TokenSource.SECRET_NAME),
    ],
)
def test_a_token_of_ones_own_works_with_every_operator(operator: str, source: TokenSource) -> None:
    assert TokenAuth(token=GIVEN).source_for(operator) is source


def test_the_secret_is_immutable_and_named_by_its_content() -> None:
    """A changed token must be a new Secret, or running Pods and new ones would disagree."""
    run = token()
    secret = run.one(SECRET_OBJECT)
    value = secret.inputs["stringData"]["auth_token"]
    assert secret.inputs["immutable"] is True
    assert secret.inputs["type"] == "Opaque"
    assert secret.object_name == secret_name("ray-auth", value)
    assert re.fullmatch(r"ray-auth-[0-9a-f]{8}", secret.object_name)
    assert secret.hidden("stringData", "auth_token")


def test_a_rotation_makes_a_new_token_under_a_new_name() -> None:
    """The name is what carries the change into the RayCluster."""
    first, again, second = token("1"), token("1"), token("2")
    names = [run.one(SECRET_OBJECT).object_name for run in (first, again, second)]
    assert names[0] == names[1]
    assert names[0] != names[2]


def test_the_token_goes_into_a_header_as_it_is() -> None:
    """A line break or a special character in an HTTP header is refused or read otherwise."""
    password = token().one(RANDOM_PASSWORD).inputs
    assert password == {"length": TOKEN_LENGTH, "special": False, "keepers": {"rotation": "1"}}


def test_a_preview_does_not_know_the_token_nor_its_name() -> None:
    """The first preview of a stack runs before there is a token."""
    secret = token(preview=True).one(SECRET_OBJECT)
    assert secret.inputs["stringData"] == UNKNOWN
    assert secret.object_name == UNKNOWN


def test_the_old_secret_outlives_the_update() -> None:
    """Deleted first, Pods that start in between would not find it."""
    assert not token().one(SECRET_OBJECT).request.deleteBeforeReplace


@given(st.from_regex(r"[A-Za-z0-9]{48}", fullmatch=True), st.from_regex(r"[A-Za-z0-9]{48}", fullmatch=True))
def test_different_tokens_have_different_names(one: str, other: str) -> None:
    """The same name for another token would be an update of an immutable Secret, which is refused."""
    assert (secret_name("a", one) == secret_name("a", other)) == (one == other)


@given(st.from_regex(r"[a-z][a-z0-9]{0,54}", fullmatch=True), st.text(min_size=48, max_size=48))
def test_the_name_is_a_valid_secrets_name(prefix: str, value: str) -> None:
    """The longest prefix is a cluster's name of 50 characters and `-auth`."""
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", secret_name(prefix, value))
    assert len(secret_name(prefix, value)) <= 253
