"""What is inside of a Pod's spec is looked at: one message names the key, before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayfort import api_types
from rayfort.proxy import kbatch_rules
from rayfort.proxy.kbatch_spec import KbatchProxyArgs

from infra.problems import SettingsError
from infra.reading import parse
from tests.unit.hostile import everything
from tests.unit.hostile.effort import examples
from tests.unit.hostile.pod_specs import BAD, GOOD
from tests.unit.hostile.values import ANY, HOSTILE


def stack(**node: Any) -> everything.Json:
    """A stack whose head says this."""
    values = everything.stack()
    values["workspaces"][0]["clusters"][0]["head"].update(node)
    return values


@pytest.mark.parametrize("part", GOOD, ids=str)
def test_what_kubernetes_takes_is_taken(part: everything.Json) -> None:
    parse(stack(podSpec=part))


@pytest.mark.parametrize(("key", "part"), BAD, ids=str)
def test_what_kubernetes_refuses_is_refused_with_its_key(key: str, part: everything.Json) -> None:
    with pytest.raises(SettingsError) as refused:
        parse(stack(podSpec=part))
    (problem,) = refused.value.problems
    assert problem.key == "rayfort:workspaces[0].clusters[0].head.podSpec"
    assert problem.text.startswith(f"{key} "), problem.text


def test_a_key_without_a_value_is_named() -> None:
    """A Pod may have it, and the definition of a RayCluster refuses it."""
    with pytest.raises(SettingsError, match="nodeSelector is empty; set it or leave the key out"):
        parse(stack(podSpec={"nodeSelector": None}))


def test_affinity_is_looked_at_too() -> None:
    with pytest.raises(SettingsError, match=r"nodeAffinty is no key .*; did you mean nodeAffinity\?"):
        parse(stack(affinity={"nodeAffinty": {}}))


def test_many_mistakes_are_counted() -> None:
    with pytest.raises(SettingsError, match=r"\(and 5 more\)"):
        parse(stack(podSpec={f"unknown{n}": n for n in range(8)}))


@given(
    key=st.sampled_from(["volumes", "initContainers", "securityContext", "affinity", "nodeSelector", "x"]),
    value=ANY,
)
@examples(150)
def test_no_template_or_profile_of_kbatch_crashes(key: str, value: Any) -> None:
    jobs = [{"spec": {"template": {"spec": part}}} for part in ({key: value}, {key: [value]}, value)]
    profiles = [{"p": {kind: value}} for kind in ("resources", "tolerations", "node_affinity_required")]
    for settings in (*({"job_template": job} for job in jobs), *({"profiles": each} for each in profiles)):
        try:
            kbatch_rules.rules(KbatchProxyArgs(**settings))
        except ValidationError as error:
            str(error).encode(errors="surrogatepass")


@given(key=st.sampled_from(["volumes", "initContainers", "securityContext", "hostNetwork", "x"]), value=ANY)
@examples(150)
def test_nothing_in_it_crashes(key: str, value: Any) -> None:
    for part in ({key: value}, {key: [value]}, {key: [{"name": value, "env": [value]}]}):
        try:
            api_types.check(part, "core.v1.PodSpec")
        except ValueError as error:
            str(error).encode(errors="surrogatepass")


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_no_text_that_readers_trip_over_crashes(value: Any) -> None:
    try:
        parse(stack(podSpec={"volumes": [{"name": value}], "nodeSelector": {"a": value}}))
    except SettingsError as error:
        assert all(line.isprintable() for line in str(error).splitlines())
