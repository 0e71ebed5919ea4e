"""Pictures of a stack are what the program registers, in an order that a person can follow."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from cli.graph import dot, graph, mermaid, of_stack
from cli.graph.shape import by_components, by_resources
from cli.offline import Resource

ROOT = Path(__file__).resolve().parents[2]


def made(
    path: str, role: str = "resource", after: tuple[str, ...] = (), provider: str | None = None
) -> Resource:
    kind, _, name = path.rpartition("/")[2].partition(":")
    return Resource(
        path=path,
        type=f"a:b:{kind}",
        name=name,
        role=role,
        component=path.rpartition("/")[0] or None,
        inputs={},
        secret_keys=(),
        unknown_keys=(),
        depends_on=after,
        options={"provider": provider} if provider else {},
    )


PLAN = (
    made("Cluster:c", "component"),
    made("Cluster:c/kubernetes:p", "provider"),
    made("Mesh:m", "component"),
    made("Mesh:m/Namespace:n", provider="Cluster:c/kubernetes:p"),
    made("Team:t", "component"),
    made("Team:t/Policy:a", after=("Mesh:m/Namespace:n",)),
    made("Team:t/Policy:b", after=("Team:t/Policy:a",)),
    made("Team:t/Ray:r", "component"),
    made(
        "Team:t/Ray:r/Secret:s",
        after=("Team:t/Policy:b", "Mesh:m/Namespace:n"),
        provider="Cluster:c/kubernetes:p",
    ),
)


def test_components_list_what_they_make_themselves() -> None:
    drawn = by_components(PLAN)
    lines = {box.key: box.lines for box in drawn.boxes}
    assert lines == {
        "Cluster:c": ("provider kubernetes",),
        "Mesh:m": ("Namespace",),
        "Team:t": ("2 Policy",),
        "Team:t/Ray:r": ("Secret",),
    }
    assert [box.key for box in drawn.inside("Team:t")] == ["Team:t/Ray:r"]


def test_arrows_are_lifted_and_those_that_follow_are_left_out() -> None:
    """Within a frame nothing is drawn; of providers, those of components at the top."""
    assert by_components(PLAN).order == (
        ("Cluster:c", "Mesh:m"),
        ("Mesh:m", "Team:t"),
        ("Mesh:m", "Team:t/Ray:r"),
    )


def test_every_resource_has_a_box() -> None:
    drawn = by_resources(PLAN)
    assert {box.key for box in drawn.boxes} == {resource.path for resource in PLAN}
    assert ("Team:t/Policy:b", "Team:t/Ray:r/Secret:s") in drawn.order
    assert ("Mesh:m/Namespace:n", "Team:t/Ray:r/Secret:s") not in drawn.order


def test_those_that_wait_for_each_other_are_drawn_so() -> None:
    circle = (
        made("A:a", "component"),
        made("B:b", "component"),
        made("A:a/X:1", after=("B:b/X:1",)),
        made("B:b/X:1"),
        made("B:b/X:2", after=("A:a/X:1",)),
    )
    assert by_components(circle).order == (("A:a", "B:b"), ("B:b", "A:a"))


def test_mermaid_says_the_same_each_time() -> None:
    text = mermaid.render(by_components(PLAN))
    assert text == mermaid.render(by_components(PLAN))
    assert text.startswith("flowchart TB\n")
    assert text.count("subgraph") == text.count("  end\n") == 1
    assert text.count("-->") == 3


@pytest.mark.parametrize("name", ['a"b', "a<b>", "a|b{c}", "a\\b", "a & b"])
def test_names_cannot_break_a_picture(name: str) -> None:
    drawn = by_components((made(f"Team:{name}", "component"), made(f"Team:{name}/Secret:s")))
    ElementTree.fromstring(dot.svg(drawn))
    assert mermaid.render(drawn).count('"') == 2


def test_a_picture_says_of_what_it_is_one() -> None:
    first, second = by_components(PLAN), by_components(PLAN[:-1])
    assert dot.fingerprint(first) in dot.svg(first)
    assert dot.fingerprint(second) not in dot.svg(first)


def test_the_sandbox_is_drawn_with_all_its_components(capsys: pytest.CaptureFixture[str]) -> None:
    assert graph(ROOT, "sandbox", resources=False, svg=None) == 0
    text = capsys.readouterr().out
    for component in (
        "ExistingCluster",
        "IstioMesh",
        "KubeRayOperator",
        "RayWorkspace",
        "RayCluster",
        "KbatchProxy",
    ):
        assert f"<b>{component} " in text
    drawn = of_stack(ROOT, "sandbox", resources=False)
    frames = {box.title.split()[0]: box.frame for box in drawn.boxes}
    assert (
        frames["RayAuthToken"] == frames["RayHeadlessService"] == "RayWorkspace:team-a/RayCluster:team-a.ray"
    )


def test_a_stack_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert graph(ROOT, "sandbux", resources=False, svg=None) == 2
    assert "did you mean sandbox?" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert graph(ROOT, "sandbox", resources=False, svg=str(tmp_path / "no" / "a.svg")) == 1
    assert "name another file" in capsys.readouterr().err
