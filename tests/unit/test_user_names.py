"""Users' names: the settings know what JupyterHub makes of them, and tell every mistake at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayfort.proxy.jupyterhub_names import Names, names, problem

from infra.problems import SettingsError
from infra.reading import decode, parse
from tests.unit import samples

CLUSTER = {"rayfort:cluster": samples.stack_values("sandbox")["rayfort:cluster"]}
HUB: dict[str, Any] = {"authenticator": {"type": "github"}}


def said(hub: dict[str, Any] | None, **kbatch: Any) -> dict[str, str]:
    """What is said of a stack with these users, by key; `hub` is one of its own."""
    values = {key: value for key, value in samples.stack_values("sandbox").items() if "jupyterhub" not in key}
    values["rayfort:kbatch"] = kbatch
    if hub is not None:
        values["rayfort:jupyterhub"] = hub
    try:
        parse(decode(samples.encoded(values)))
    except SettingsError as error:
        return {each.key: each.text for each in error.problems}
    return {}


@pytest.mark.parametrize("hub", [None, HUB], ids=["a hub that is there", "the stack's own"])
def test_a_name_that_the_hub_lower_cases_is_refused(hub: dict[str, Any] | None) -> None:
    """Its namespace would be nobody's, and the user who logs in would be refused without a word why."""
    found = said(hub, users=["alice", "Carol", {"name": "DAN"}], groups={"lab": {"users": ["eve", "Éva"]}})
    assert set(found) == {
        "rayfort:kbatch.users[1]",
        "rayfort:kbatch.users[2]",
        "rayfort:kbatch.groups.lab.users[1]",
    }
    assert "user Carol; write carol, or set namesKeepCase" in found["rayfort:kbatch.users[1]"]
    assert "write éva" in found["rayfort:kbatch.groups.lab.users[1]"]


def test_a_hub_that_keeps_capitals_has_such_users() -> None:
    assert said(None, users=["Carol", "carol"], namesKeepCase=True) == {}
    own = {"authenticator": {"type": "mediawiki"}}
    assert said(own, users=["Carol"], namesKeepCase=True) == {}
    assert "write carol" in said(own, users=["Carol"])["rayfort:kbatch.users[0]"]


def test_an_authenticator_that_lower_cases_is_not_said_to_keep_capitals() -> None:
    assert (
        "github lower-cases" in said(HUB, users=["carol"], namesKeepCase=True)["rayfort:kbatch.namesKeepCase"]
    )
    assert not said({"authenticator": {"type": "our.hub.Login"}}, users=["Carol"], namesKeepCase=True)


@pytest.mark.parametrize("where", ["authenticator", "values"])
@pytest.mark.parametrize("section", ["Authenticator", "GitHubOAuthenticator"])
def test_a_name_that_the_hub_maps_is_refused(where: str, section: str) -> None:
    config = {section: {"username_map": {"carol": "caroline", "dan": "dan"}}}
    hub = {"authenticator": {"type": "github"}}
    if where == "values":
        hub["values"] = {"hub": {"config": config}}  # type: ignore[assignment]
    else:
        hub["authenticator"]["config"] = config  # type: ignore[assignment]
    found = said(hub, users=["carol", "dan", "caroline"])
    assert set(found) == {"rayfort:kbatch.users[0]"}
    assert "username_map makes caroline of carol" in found["rayfort:kbatch.users[0]"]


def test_a_name_that_the_hub_lets_nobody_have_is_refused() -> None:
    hub = {"authenticator": {"type": "github", "config": {"Authenticator": {"username_pattern": "^[a-z]+$"}}}}
    found = said(hub, users=["carol", "dan.plain"])
    assert set(found) == {"rayfort:kbatch.users[1]"}
    assert "username_pattern" in found["rayfort:kbatch.users[1]"]


@pytest.mark.parametrize("name", ["", " ", " carol", "carol\n", "a/b", ".", "..", "%2e%2e", "%2E."])
def test_what_no_hub_takes_is_refused(name: str) -> None:
    """JupyterHub does not start with a role for such a user."""
    assert problem(name)
    assert said(None, users=[name])


@pytest.mark.parametrize("name", ["carol", "a.b", "a@example.org", "a b", "kube-system", "%20", "…"])
def test_what_a_hub_takes_is_taken(name: str) -> None:
    assert problem(name) is None
    assert said(HUB, users=[name]) == {}


def test_mistakes_of_kbatch_are_told_at_once() -> None:
    """In one round what stands alone, and in one what only shows together."""
    found = said(
        None,
        users=["a/b"],
        jobTemplate={"spec": {"template": {"spec": {"hostNetwork": True, "nodeName": "x"}}}},
        jobEnv={"RAY_ADDRESS": "x", "RAY_AUTH_TOKEN": "y"},
        replicas=0,
    )
    assert set(found) == {
        "rayfort:kbatch.users[0]",
        "rayfort:kbatch.jobTemplate",
        "rayfort:kbatch.jobEnv.RAY_ADDRESS",
        "rayfort:kbatch.jobEnv.RAY_AUTH_TOKEN",
        "rayfort:kbatch.replicas",
    }
    found = said(None, users=["Carol"], imageTag="0.4.2", cronJobs=True, jobEnv={"A": "b"})
    assert set(found) == {"rayfort:kbatch.users[0]", "rayfort:kbatch.cronJobs", "rayfort:kbatch.jobEnv"}


def test_mistakes_of_the_hub_are_told_at_once() -> None:
    values = {"hub": {"existingSecret": "x", "db": {"password": "p"}}, "ingress": {}, "debug": {"token": "t"}}
    config = {"GitHubOAuthenticator": {"client_secret": "s"}, "Other": {"password": "p"}}
    hub = {"authenticator": {"type": "github", "config": config}, "values": values}
    with pytest.raises(SettingsError) as refused:
        parse(decode(samples.encoded({"rayfort:jupyterhub": hub, **CLUSTER})))
    told = sorted(f"{each.key} {each.text.split()[0]}" for each in refused.value.problems)
    assert told == [
        "rayfort:jupyterhub.authenticator.config GitHubOAuthenticator.client_secret",
        "rayfort:jupyterhub.authenticator.config Other.password",
        "rayfort:jupyterhub.values debug.token",
        "rayfort:jupyterhub.values hub.db.password",
        "rayfort:jupyterhub.values hub.existingSecret",
        "rayfort:jupyterhub.values ingress",
    ]


@given(st.text(max_size=20), st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3))
def test_what_the_settings_let_through_is_what_the_hub_calls_the_user(
    name: str, other: dict[str, str]
) -> None:
    """A name that stays as it is stays so however often the hub looks at it."""
    hub = Names(renamed=other)
    if hub.of(name) == name:
        assert hub.of(hub.of(name)) == name
        assert name == other.get(name.lower(), name.lower())
    assert names(False, {"A": {"username_map": other}}).of(name) == hub.of(name)
