"""What the component host makes of the inputs that another process hands over."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pulumi
import pytest
import rayfort
from pulumi.errors import InputPropertiesError
from pulumi.output import UNKNOWN
from rayfort.component import Component
from rayfort.host import hosted, inputs, outputs, records, schema, shape
from rayfort.host.provider import RayfortProvider

from tests.unit import samples
from tests.unit.recorder import Run, record

PASSWORD = samples.NETRC_PASSWORD


def construct(
    name: str, given: dict[str, Any], *, preview: bool = False, catch: bool = False
) -> tuple[Run, dict[str, Any]]:
    """What the host registers for a component, and the outputs that it answers with.

    Args:
        name: the component.
        given: its inputs; functions among them are called when the program runs.
        preview: whether it is one.
        catch: keep the error.
    """
    state: dict[str, Any] = {}

    def program() -> None:
        made = {key: value() if callable(value) else value for key, value in given.items()}
        result = RayfortProvider().construct("it", f"rayfort:index:{name}", made, samples.on_cluster())
        for key, value in {"urn": result.urn, **result.state}.items():
            pulumi.Output.from_input(value).apply(lambda known, key=key: state.update({key: known}))
        pulumi.export("urn", result.urn)

    return record(program, preview=preview, catch=catch), state


def refused(name: str, given: dict[str, Any]) -> str:
    run, _ = construct(name, given, catch=True)
    assert isinstance(run.error, InputPropertiesError), run.error
    assert not run.all(f"rayfort:index:{name}")
    return str(run.error)


def given_later(value: Any, *, known: bool = True, secret: bool = False) -> pulumi.Output[Any]:
    """An output, as the SDK's server hands it over."""

    def done(answer: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_event_loop().create_future()
        future.set_result(answer)
        return future

    resources = {pulumi.resource.DependencyResource("urn:pulumi:test::rayfort::a:b:C::before")}
    return pulumi.Output(resources, done(value), done(known), done(secret))


NETRC = {"namespace": "team", "entries": [{"machine": "a.example.com", "login": "x", "password": PASSWORD}]}


def test_every_component_with_arguments_is_hosted_or_left_out_for_a_reason() -> None:
    components = {
        name
        for name in rayfort.__all__
        if isinstance(getattr(rayfort, name), type) and issubclass(getattr(rayfort, name), Component)
    }
    # Its arguments are those of the workspace, which makes one by itself.
    assert set(hosted.names()) | set(hosted.LEFT_OUT) == components - {"WorkspaceNamespace"}
    assert all(hosted.LEFT_OUT.values())


@pytest.mark.parametrize("name", ["KubeRayOperator", "IstioMesh", "MeshObservability"])
def test_components_are_made_with_what_they_have_by_themselves(name: str, preview: bool) -> None:
    run, state = construct(name, {}, preview=preview)
    assert run.one(f"rayfort:index:{name}").name == "it"
    assert "it" in state["urn"]
    assert any(each.parent == state["urn"] for each in run.resources)


def test_keys_are_those_of_stack_files_and_numbers_come_as_floating_ones() -> None:
    spec = {
        "name": "team",
        "clusters": [
            {"name": "ray", "rayVersion": "2.56.0", "workerGroups": [{"name": "w", "replicas": 2.0}]}
        ],
    }
    run, state = construct("RayWorkspace", {"spec": spec, "mesh": False})
    made = run.one("RayCluster", "ray").inputs["spec"]
    assert made["rayVersion"] == "2.56.0"
    assert made["workerGroupSpecs"][0]["replicas"] == 2
    assert state["namespace"] == "team"
    assert state["clusters"]["ray"]["address"].startswith("ray://ray-head-svc.team.svc")


def test_free_form_values_keep_whole_numbers() -> None:
    received = asyncio.run(inputs.receive({"a": {"b": [1.0, 1.5, True, "1"]}}, {}))
    assert json.dumps(received.values) == '{"a": {"b": [1, 1.5, true, "1"]}}'


def test_facts_are_inputs_as_well() -> None:
    run, _ = construct("KubeRayOperator", {"sidecars": "classic", "metricsNamespaces": ["monitoring"]})
    ingress = run.one("kubernetes:networking.k8s.io/v1:NetworkPolicy").inputs["spec"]["ingress"]
    assert "monitoring" in json.dumps(ingress)


def test_all_mistakes_are_told_at_once_with_their_keys() -> None:
    said = refused(
        "RayWorkspace",
        {"spec": {"name": "Team", "clusters": [{"name": "ray", "rayVersoin": "2.56.0"}]}, "mesh": "maybe"},
    )
    assert "the properties of it have 3 mistakes; nothing of it was made" in said
    assert "spec.name: is not a Kubernetes name" in said
    assert "spec.clusters[0].rayVersoin: is not a property of RayWorkspace; did you mean rayVersion?" in said
    assert "mesh: must be true or false" in said


def test_what_a_component_finds_wrong_with_its_arguments_together_is_told() -> None:
    given = {"kubeconfig": samples.kubeconfig(), "context": "elsewhere"}
    said = refused("ExistingCluster", given)
    assert "elsewhere" in said
    assert samples.KUBECONFIG_TOKEN not in said


def test_a_mistake_in_a_fact_is_one_as_well() -> None:
    assert "sidecars: must be one of" in refused("KubeRayOperator", {"sidecars": "some"})


def test_a_component_that_is_not_there_is_named_with_those_that_are() -> None:
    assert "there is no rayfort:index:KindCluster; there are" in refused("KindCluster", {})


@pytest.mark.parametrize(
    "entries",
    [
        NETRC["entries"],
        lambda: given_later(NETRC["entries"], secret=True),
        lambda: [{**NETRC["entries"][0], "password": given_later(PASSWORD, secret=True)}],  # type: ignore[dict-item]
        lambda: given_later([{**NETRC["entries"][0], "password": given_later(PASSWORD)}]),  # type: ignore[dict-item]
    ],
    ids=["plain", "all of it secret", "one of it secret", "later"],
)
def test_secrets_stay_secret_however_they_come(entries: Any, preview: bool) -> None:
    """SDKs in some languages mark the value in which a secret is, and not the secret."""
    run, _ = construct("NetrcSecret", {**NETRC, "entries": entries}, preview=preview)
    secret = run.one("kubernetes:core/v1:Secret")
    assert secret.hidden("stringData", ".netrc")
    assert PASSWORD not in "\n".join(run.texts())


@pytest.mark.parametrize(
    "given",
    [
        {"spec": lambda: {"name": "team", "quota": {"requests.cpu": given_later("8", secret=True)}}},
        {"spec": {"name": "team"}, "operatorNamespace": lambda: given_later("ray", secret=True)},
    ],
    ids=["deep", "at the top"],
)
def test_a_secret_where_nothing_keeps_it_is_refused(given: dict[str, Any]) -> None:
    said = refused("RayWorkspace", given)
    assert "is a secret, and what Rayfort makes of it would show it" in said
    assert ('spec.quota["requests.cpu"]' in said) or ("operatorNamespace" in said)


def test_outputs_are_taken_anywhere_and_what_they_came_from_outlives_the_component() -> None:
    run, _ = construct("NetrcSecret", {**NETRC, "namespace": lambda: given_later("team")})
    secret = run.one("kubernetes:core/v1:Secret")
    assert secret.namespace == "team"
    assert any(urn.endswith("::before") for urn in secret.dependencies)


def test_outputs_stay_outputs_where_they_are_taken() -> None:
    """A kubeconfig, of a cluster that is made by the same update."""
    unknown = {"kubeconfig": lambda: given_later(None, known=False, secret=True), "context": "here"}
    run, state = construct("ExistingCluster", unknown, preview=True)
    assert [each.name for each in run.all("pulumi:providers:kubernetes")] == ["cluster", "it"]
    assert "kubeconfig" not in state
    known = {"kubeconfig": lambda: given_later(samples.kubeconfig(), secret=True), "context": "here"}
    run, state = construct("ExistingCluster", known)
    assert samples.KUBECONFIG_TOKEN in state["kubeconfig"]
    assert samples.KUBECONFIG_TOKEN not in "\n".join(run.texts())


@pytest.mark.parametrize("value", [UNKNOWN, None], ids=["the engine's unknown", "an unknown output"])
def test_a_component_with_unknown_arguments_stands_alone_in_a_preview(value: Any) -> None:
    names = value if value is UNKNOWN else lambda: given_later(None, known=False)
    run, state = construct("NetrcSecret", {**NETRC, "secretName": names}, preview=True)
    assert run.one("rayfort:index:NetrcSecret")
    assert not run.all("kubernetes:core/v1:Secret")
    assert any("secretName is not known before the update" in line for line in run.logs)
    assert "secretName" not in state


def test_an_update_never_makes_half_a_component() -> None:
    given = {**NETRC, "secretName": lambda: given_later(None, known=False)}
    assert "secretName: has no value" in refused("NetrcSecret", given)


def test_outputs_are_plain() -> None:
    facts = rayfort.ClusterFacts(dns=rayfort.ClusterDns.KUBE_DNS)
    assert outputs.plain({"facts": facts})["facts"]["dns"] == "kube-dns"


def test_dataclasses_are_told_and_made() -> None:
    Inner = dataclasses.make_dataclass("Inner", [("the_name", str)], frozen=True)
    fields: list[Any] = [("inner", Inner), ("token", pulumi.Input[str])]
    Outer = dataclasses.make_dataclass(
        "Outer", [*fields, ("many", tuple[Inner, ...], dataclasses.field(default=()))], frozen=True
    )
    model = records.model_of(Outer)
    judged = model.model_validate({"inner": {"theName": "a"}, "token": "t", "many": [{"theName": "b"}]})
    assert records.built(judged) == Outer(Inner("a"), "t", (Inner("b"),))
    assert shape.shape(model.model_fields["token"].annotation).takes_output
    assert records.built(model.model_validate({"inner": {"theName": "a"}, "token": "t"})).many == ()
    assert outputs.plain(Outer(Inner("a"), "t"))["inner"] == {"theName": "a"}


def test_the_provider_says_its_version_and_schema() -> None:
    provider = RayfortProvider()
    assert provider.schema
    assert json.loads(provider.schema) == schema.committed()
    assert provider.version == schema.committed()["version"]
