"""The platform on a Kind cluster that its stack makes, as the stack file has it."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from rayfort import versions

from cli.offline import settings_of
from cli.stacks import load
from infra.platform import build, outputs
from infra.problems import SettingsError
from infra.reading import parse
from infra.settings import Settings
from sandbox.tools.catalog import CATALOG, KIND
from tests.unit import samples
from tests.unit.recorder import KIND_CLUSTER, KIND_KEY, PROVIDER, Run, is_secret, record


def run(settings: Settings, *, preview: bool = False) -> Run:
    def program() -> None:
        for name, value in outputs(build(settings, samples.ROOT), settings).items():
            pulumi.export(name, value)

    return record(program, preview=preview)


@pytest.fixture(scope="module")
def kind() -> Settings:
    return settings_of(load(samples.ROOT, "kind"))


def test_the_pinned_images_are_those_of_the_kind_that_is_tested() -> None:
    assert CATALOG.pin(KIND).version == f"v{versions.KIND}"


def test_everything_is_put_on_the_new_cluster_and_goes_with_it(kind: Settings, preview: bool) -> None:
    made = run(kind, preview=preview)
    cluster, provider = made.one(KIND_CLUSTER), made.one(PROVIDER)
    assert cluster.urn in made.before(provider)
    top = [each for each in made.resources if not each.custom and not each.parent.count("rayfort:index")]
    components = [each for each in top if each.urn != cluster.parent]
    assert len(components) > 3
    for component in components:
        # The engine hands it on to the component's children.
        assert component.request.deletedWith == provider.urn, component.urn
        assert component.providers == {provider.urn}
    for each in made.resources:
        if each.kubernetes:
            assert each.providers == {provider.urn}, each.urn


def test_the_way_in_is_a_secret_output(kind: Settings) -> None:
    made = run(kind)
    assert made.outputs["cluster"]["context"] == "kind-rayfort"
    raw = made.raw_outputs["cluster"]
    assert is_secret(raw) or is_secret(raw["kubeconfig"])
    assert KIND_KEY not in "".join(made.texts())


def test_a_cluster_that_was_there_takes_nothing_along() -> None:
    settings = parse(
        {"cluster": {"kind": "existing", "kubeconfig": samples.kubeconfig(), "context": samples.CONTEXT}}
    )
    assert not [each.urn for each in run(settings).resources if each.request.deletedWith]


@pytest.mark.parametrize(
    ("cluster", "key", "said"),
    [
        ({"kubernetesVersion": "1.30.0"}, "rayfort:cluster", "has no node image in Kind"),
        ({"image": "kindest/node:latest"}, "rayfort:cluster.image", "is not pinned"),
        ({"contex": "x"}, "rayfort:cluster.contex", "is not a setting"),
        ({"facts": {}}, "rayfort:cluster.facts", "is not a setting"),
        ({"ports": [{"hostPort": 80, "nodePort": 80}]}, "rayfort:cluster.ports[0].nodePort", "30000"),
    ],
)
def test_a_mistake_in_the_stack_has_its_key(cluster: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse({"cluster": {"kind": "kind", **cluster}})
    [problem] = refused.value.problems
    assert problem.key == key
    assert said in problem.text
