"""What the benchmarks make of their figures: fits, ratios, promises, history, the null program, by hand."""

from __future__ import annotations

import io
import json
import math
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayfort.labels import WAIT_FOR
from rich.console import Console

from bench import by_hand, history, null_program, scale, speed, usage
from bench.bars import BARS, Bar, problems, verdicts
from bench.figures import Figures, rows, table
from bench.fit import Spread, exponent, ratios
from bench.history import Entry, Machine
from bench.measure import Taken, requests
from bench.plane import workspaces
from bench.speed import Site
from bench.testbed import BenchError
from cli import offline
from infra.reading import parse
from sandbox.progress import Progress
from sandbox.stack import values

ROOT = Path(__file__).resolve().parents[2]
MACHINE = Machine(2, 24, "Linux x86_64", "3.11")
ENTRY = Entry("2026-01-02T03:04:05+00:00", MACHINE, 0.1, {"pulumi": "3"}, {"up/1": 1.2}, {"up/1": (1.0, 1.3)})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(ROOT, tmp_path, Progress())


@given(power=st.floats(-2, 3), factor=st.floats(0.01, 100), sizes=st.sets(st.integers(1, 500), min_size=2))
def test_the_exponent_of_a_power_is_its_power(power: float, factor: float, sizes: set[int]) -> None:
    assert math.isclose(exponent({size: factor * size**power for size in sizes}), power, abs_tol=1e-6)


@pytest.mark.parametrize("figures", [{}, {10: 1.0}, {10: 0.0, 20: 1.0}, {0: 1.0, 10: 2.0}])
def test_what_has_no_growth_is_refused(figures: dict[int, float]) -> None:
    with pytest.raises((ValueError, TypeError)):
        exponent(figures)


def test_a_ratio_is_that_of_each_round() -> None:
    """A round that something else slowed down is slow for both; a ratio of medians would mix rounds."""
    assert ratios([2.0, 20.0, 4.0], [1.0, 10.0, 4.0]) == Spread(2.0, 1.0, 2.0, 3)


def test_a_missed_bar_is_a_problem_only_where_the_documents_say_that_it_holds() -> None:
    bars = [Bar("a", 1.5, "one"), Bar("b", 1.5, "two", kept=False), Bar("c", 1.5, "three")]
    found = verdicts({"a": 1.6, "b": 1.6}, bars)
    assert [(each.bar.figure, each.holds) for each in found] == [("a", False), ("b", False)]
    [text] = problems(found)
    assert text.startswith("one: 1.60 x, and docs/performance.md says that it is at most 1.5 x.")
    assert not list(problems(verdicts({"a": 1.5, "c": 1.4}, bars)))


def test_every_bar_stands_in_the_documents_as_the_bench_judges_it() -> None:
    lines = (ROOT / "docs" / "performance.md").read_text().splitlines()
    for bar in BARS:
        [line] = [line for line in lines if line.startswith(f"| `{bar.figure}` |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert f"{bar.limit:g}" in cells[2], line
        assert cells[-1].startswith("holds") == bar.kept, line


def test_the_table_says_what_is_promised() -> None:
    figures = Figures()
    figures.compare("up/1", [2.0, 3.0], [1.0, 1.0], "by hand")
    figures.add("settings/1", [0.005], "s")
    found = {row[0]: row[1:] for row in rows(figures)}
    assert found["up/1"] == ("2.50x", "2.00x to 3.00x", "1.25x", "missed")
    assert found["up/1: by hand"] == ("1.00 s", "1.00 s to 1.00 s", "", "")
    assert found["settings/1"][-1] == ""
    console = Console(file=io.StringIO(), width=120)
    console.print(table(figures))
    assert "missed" in console.file.getvalue()  # type: ignore[attr-defined]


def test_an_entry_is_read_as_it_was_written_and_compared_with_its_like(tmp_path: Path) -> None:
    other = replace(ENTRY, machine=replace(MACHINE, cpus=64), when="2026-03-01T00:00:00+00:00")
    newer = replace(ENTRY, when="2026-02-01T00:00:00+00:00", figures={"up/1": 1.4, "start/warm": 3.0})
    for each in (ENTRY, other, newer):
        history.keep(each, tmp_path)
    found = history.entries(tmp_path)
    assert found == [ENTRY, newer, other]
    now = replace(ENTRY, figures={"up/1": 1.9, "start/warm": 3.1, "up/10": 9.0})
    before = history.last_like(now, found)
    assert before == newer
    assert list(history.regressions(now, newer)) == ["up/1 was 1.4 on 2026-02-01 and is 1.9 (1.36x)."]
    assert history.last_like(replace(now, machine=replace(MACHINE, cpus=3)), found) is None


def test_an_entry_of_now_names_no_place() -> None:
    text = Entry.now({"up/1": 1.23456}, {"up/1": (1.0, 2.0)}, 0.5).as_json()
    assert json.loads(text)["figures"] == {"up/1": 1.235}
    assert str(ROOT) not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert platform.node() not in text


def test_a_file_that_is_no_entry_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(BenchError, match=r"x\.json is no entry"):
        history.entries(tmp_path)


def test_the_history_in_the_repository_can_be_read() -> None:
    for entry in history.entries(ROOT / history.DIRECTORY):
        assert entry.figures


@pytest.mark.parametrize("count", [1, 3])
def test_settings_for_many_are_settings(site: Site, count: int) -> None:
    settings = parse(values(ROOT, site.state, None, workspaces(ROOT, site.state, count)))
    assert [each.name for each in settings.workspaces] == [f"team-{n:04}" for n in range(1, count + 1)]
    assert all(each.clusters and each.netrc and each.quota for each in settings.workspaces)


def test_one_workspace_changes_and_no_other() -> None:
    before, after = (
        workspaces(ROOT, Path("s"), 3, changed=changed)["workspaces"] for changed in (False, True)
    )
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False]


def test_the_null_program_registers_as_much_and_says_the_same(site: Site) -> None:
    plan = offline.plan(speed.stack(site, 2))
    blanks = null_program.blanks(plan)
    assert sorted(each.type for each in blanks) == sorted(each.type for each in plan.resources)
    assert len({(each.type, each.name) for each in blanks}) == len(blanks)
    assert [each.role for each in blanks].index("provider") == 0
    said = [(each.type, each.inputs) for each in plan.resources if each.role == "resource"]
    assert [(each.type, each.inputs) for each in blanks if each.role == "resource"] == said
    assert not any(each.inputs for each in blanks if each.role != "resource")
    assert null_program.read(null_program.written(blanks)) == blanks


def test_programs_of_different_size_are_not_compared() -> None:
    taken = Taken(1.0, {}, {}, 0, 0, {"create": 3})
    speed.same_size(taken, replace(taken, seconds=2.0))
    with pytest.raises(BenchError, match="registers"):
        speed.same_size(taken, replace(taken, counts={"create": 2}))


def test_neither_program_is_always_the_first() -> None:
    assert [speed.turn(number)[0] for number in range(1, 5)] == [True, False, True, False]


def test_requests_are_counted_without_watches_and_leases() -> None:
    text = "\n".join(
        [
            "# TYPE apiserver_request_total counter",
            'apiserver_request_total{code="200",resource="pods",verb="GET"} 3',
            'apiserver_request_total{code="200",resource="secrets",verb="APPLY"} 1e+01',
            'apiserver_request_total{code="200",resource="leases",verb="PUT"} 100',
            'apiserver_request_total{code="200",resource="pods",verb="WATCH"} 100',
            'apiserver_request_terminations_total{verb="GET"} 100',
        ]
    )
    assert requests(text) == 13


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("/x/engine/bin/pulumi up --policy-pack /x/policies --stack s", "engine"),
        ("python -P -u -m pulumi.policy 127.0.0.1:1 /x/policies", "policies"),
        ("python -P -m sandbox.plugins.kubernetes_provider 127.0.0.1:1", "plugin"),
        ("/tools/helm --kubeconfig k status", "helm"),
        ("/usr/bin/env", None),
    ],
)
def test_processes_are_known_by_their_command(command: str, part: str | None) -> None:
    assert usage.part_of(command) == part


def test_the_processors_ticks_are_read_whatever_the_process_is_called() -> None:
    name = "a) S 1 ("
    assert usage.ticks(f"7 ({name}) R 1 2 3 4 5 6 7 8 9 10 30 12 14 15") == 42
    assert usage.ticks("") == 0


def test_the_peak_is_the_kernels() -> None:
    assert usage.peak_mib("VmPeak:\t 4096 kB\nVmHWM:\t 2048 kB\nVmRSS:\t 1024 kB\n") == 2.0
    assert usage.peak_mib("") == 0.0
    with usage.Usage() as seen:
        pass
    assert not Path("/proc/self/status").exists() or seen.peaks[usage.PROGRAM] > 1


def _taken(seconds: float, peak: float) -> Taken:
    return Taken(seconds, {"program": seconds}, {"program": peak}, 10, 1024, {})


def test_growth_is_fitted_without_what_is_there_once() -> None:
    done = {f"preview/{count}": _taken(5 + count, 100 + count) for count in (1, 10, 50, 200)}
    found = scale.figures(done).values
    assert found["scale/preview/200"] == 205
    assert found["scale/program/200"] == 300
    expected = exponent({count: 5 + count for count in (10, 50, 200)})
    assert found["scale/preview/exponent"] == expected
    assert len(list(scale.tables(done))) == 6
    alone = scale.figures({"preview/1": _taken(5, 1), "preview/10": _taken(6, 1)}).values
    assert "scale/preview/exponent" not in alone


def test_every_size_goes_from_empty_to_empty() -> None:
    keys = [step.key for step in scale.steps((1, 10))]
    assert keys[0] == "null/1"
    assert keys[len(scale.OPERATIONS) - 1] == "destroy-once/1"
    assert len(set(keys)) == len(keys) == 2 * len(scale.OPERATIONS)
    there = False
    for step in scale.steps((1,)):
        assert there == (step.operation not in {"null", "preview", "up", "up-once"})
        there = step.verb == "up" or (there and step.verb != "destroy")
    assert not there


def test_where_the_state_is_large_it_is_written_once_alone() -> None:
    large = [step for step in scale.steps((50, 51), checkpoints=50) if step.count == 51]
    assert [step.operation for step in large if step.verb == "destroy"] == ["destroy-once"]
    assert [step.operation for step in large if step.once] == ["up-once", "destroy-once"]
    assert len(large) == len(scale.OPERATIONS) - 2


def test_what_was_measured_is_not_measured_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Plane:
        state_bytes = 0

        def start(self) -> None:
            """Nothing runs in this test."""

    def ask(_: Site, verb: str, count: int, **options: Any) -> Taken:
        asked.append(f"{verb}{'' if options['checkpoints'] else ' once'}")
        return _taken(1, 1)

    monkeypatch.setattr(Site, "plane", lambda *_: Plane())
    monkeypatch.setattr(Site, "ask", ask)
    monkeypatch.setattr(Site, "blanks", lambda *_: Path("blanks"))
    todo = scale.steps((1,))
    assert list(scale.scale(site, todo, most=4)) == ["null/1", "preview/1", "up/1", "destroy/1"]
    assert list(scale.scale(site, todo)) == [f"{each}/1" for each in scale.OPERATIONS]
    assert asked == ["preview", "preview", "up", "destroy", "up once", "up", "up", "destroy once"]


def _state(type_: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"type": type_, "inputs": inputs}


def test_by_hand_is_the_same_as_the_state_says() -> None:
    mark = "4dabf18193072939515e22adb298388d"
    secret = {mark: "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps("s3cret")}
    waits = {"name": "ray", "annotations": {WAIT_FOR: "condition=RayClusterProvisioned"}}
    found = by_hand.recipe(
        [
            _state("pulumi:providers:kubernetes", {"kubeconfig": secret}),
            _state("kubernetes:core/v1:Namespace", {"apiVersion": "v1", "kind": "Namespace", "metadata": {}}),
            _state("kubernetes:helm.sh/v3:Release", {"name": "istiod", "namespace": "n", "values": {}}),
            _state(
                "kubernetes:core/v1:Secret",
                {"apiVersion": "v1", "kind": "Secret", "metadata": {}, "stringData": {"auth_token": secret}},
            ),
            _state(
                "kubernetes:ray.io/v1:RayCluster",
                {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": waits},
            ),
            _state("rayfort:index:RayCluster", {}),
        ]
    )
    assert [each["kind"] for each in found.namespaces] == ["Namespace"]
    assert [each["name"] for each in found.releases] == ["istiod"]
    assert [each["kind"] for each in found.objects] == ["Secret", "RayCluster"]
    assert found.objects[0]["stringData"] == {"auth_token": "s3cret"}
    assert found.awaited == {"RayCluster": "condition=RayClusterProvisioned"}


def test_by_hand_goes_in_the_order_of_the_guides_and_tells_no_secret_in_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[list[str], str]] = []

    def run(_: by_hand.Hands, program: Path, *arguments: str, **rest: str) -> None:
        told.append(([program.name, *arguments], rest["told"]))

    monkeypatch.setattr(by_hand.Hands, "_run", run)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {}, "stringData": {"k": "s3cret"}}
    release = {"name": "istiod", "namespace": "n", "chart": "c", "values": {"a": 1}, "skipCrds": True}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    todo = by_hand.Recipe((space, space), (release,), (secret,), {"RayCluster": "condition=Ready"})
    hands = by_hand.Hands(Path("kubectl"), Path("helm"), Path("kubeconfig"), "https://127.0.0.1:1")
    hands.install(todo)
    assert [words[:2] for words, _ in told] == [
        ["kubectl", "apply"],
        ["helm", "install"],
        ["kubectl", "apply"],
        ["kubectl", "wait"],
    ]
    assert [json.loads(text) for text in told[0][1].split("---\n")[1:]] == [space, space]
    assert "--skip-crds" in told[1][0]
    assert "s3cret" in told[2][1]
    assert not any("s3cret" in word for words, _ in told for word in words)
