"""The life of a Kind cluster: what a change means, and what creation, reading and deletion do to `kind`."""

from __future__ import annotations

import base64
import json
import multiprocessing
import pickle
import pickletools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dill  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayfort.cluster.kind import errors, journal, parsing, provider
from rayfort.cluster.kind.errors import KindError
from rayfort.cluster.kind.provider import KindProvider, replacements

from tests.unit.recorder import kind_kubeconfig

PROPS: dict[str, Any] = {
    "clusterName": "dev",
    "runtime": "docker",
    "config": "kind: Cluster",
    "nodeCount": 2,
    "readySeconds": 60,
}
KUBECONFIG = kind_kubeconfig("dev")


class Fake:
    """`kind` in name: keeps the clusters that it was asked for."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.calls: list[str] = []
        self.fails: dict[str, BaseException] = {}

    def __call__(self, runtime: str) -> Fake:
        assert runtime == "docker"
        return self

    def clusters(self) -> frozenset[str]:
        self._called("clusters")
        return frozenset(self.there)

    def create(self, name: str, config: str, keep_open: Sequence[int] = ()) -> None:
        assert config == PROPS["config"]
        assert keep_open
        assert name not in self.there
        self.there.add(name)  # containers are there before anything can go wrong
        self._called("create")

    def delete(self, name: str) -> None:
        self._called("delete")
        self.there.discard(name)

    def kubeconfig(self, name: str) -> str:
        self._called("kubeconfig")
        return kind_kubeconfig(name)

    def nodes(self, name: str) -> list[str]:
        return [f"{name}-control-plane", f"{name}-worker"]

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if what in self.fails:
            raise self.fails[what]


@pytest.fixture(autouse=True)
def _tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider shortens them in its own process, which this one is not."""
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    made = Fake()
    monkeypatch.setattr(provider, "Kind", made)
    monkeypatch.setattr(provider.readiness, "wait", lambda *_: made._called("wait"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return made


def test_the_provider_is_kept_as_a_name() -> None:
    """Code in a stack's state would go on running in its old version."""
    kept = dill.dumps(KindProvider(), protocol=pickle.DEFAULT_PROTOCOL, recurse=True)
    words = [argument for _, argument, _ in pickletools.genops(kept) if isinstance(argument, str)]
    assert words == ["rayfort.cluster.kind.provider", "KindProvider"]
    assert isinstance(dill.loads(kept), KindProvider)


@pytest.mark.parametrize(
    ("key", "value"), [("clusterName", "other"), ("runtime", "podman"), ("config", "kind: Cluster # other")]
)
def test_another_cluster_replaces_and_the_old_one_goes_first(key: str, value: str) -> None:
    result = KindProvider().diff("dev", {**PROPS, "nodes": ["a", "b"]}, {**PROPS, key: value})
    assert (result.changes, result.replaces, result.delete_before_replace) == (True, [key], True)


def test_what_is_about_waiting_changes_nothing() -> None:
    olds = {**PROPS, "kubeconfig": KUBECONFIG, "identifier": "dev-1", "nodes": ["a", "b"]}
    news = {**PROPS, "readySeconds": 90}
    result = KindProvider().diff("dev", olds, news)
    assert (result.changes, result.replaces) == (False, [])


@given(st.integers(1, 9), st.integers(1, 9))
def test_a_cluster_that_lost_a_node_is_made_anew(found: int, wanted: int) -> None:
    olds = {**PROPS, "nodes": [str(number) for number in range(found)]}
    assert bool(replacements(olds, {**PROPS, "nodeCount": wanted})) == (found != wanted)


@given(st.sampled_from(list(PROPS)))
def test_nothing_changes_by_itself(_: str) -> None:
    result = KindProvider().diff("dev", {**PROPS, "__provider": "old", "nodes": ["a", "b"]}, dict(PROPS))
    assert (result.changes, result.replaces) == (False, [])


def test_a_cluster_is_made_once_and_read(fake: Fake) -> None:
    made = KindProvider().create(dict(PROPS))
    assert made.id == "dev"
    assert fake.calls == ["clusters", "create", "kubeconfig", "wait"]
    assert made.outs is not None
    assert made.outs["kubeconfig"] == KUBECONFIG
    assert made.outs["nodes"] == ["dev-control-plane", "dev-worker"]
    assert made.outs["identifier"].startswith("dev-")
    read = KindProvider().read("dev", made.outs)
    assert (read.id, read.outs) == ("dev", made.outs)


def test_two_clusters_of_one_name_have_two_identities() -> None:
    """Else Pulumi would look on the second one for what was put on the first one."""
    other = KUBECONFIG.replace("Y2E=", base64.b64encode(b"another").decode())
    first, second = (parsing.access(each).fingerprint for each in (KUBECONFIG, other))
    assert first != second
    assert first == parsing.access(KUBECONFIG).fingerprint


def test_a_deleted_cluster_is_noticed(fake: Fake) -> None:
    read = KindProvider().read("dev", {**PROPS, "kubeconfig": KUBECONFIG})
    assert (read.id, read.outs) == (None, {})


def test_a_runtime_that_does_not_answer_is_no_deleted_cluster(fake: Fake) -> None:
    fake.fails["clusters"] = KindError("docker does not answer")
    with pytest.raises(KindError):
        KindProvider().read("dev", dict(PROPS))


def test_somebody_elses_cluster_is_refused_and_left_alone(fake: Fake) -> None:
    fake.there.add("dev")
    with pytest.raises(KindError, match="there is a Kind cluster 'dev' already"):
        KindProvider().create(dict(PROPS))
    assert fake.calls == ["clusters"]
    assert fake.there == {"dev"}


@pytest.mark.parametrize("step", ["create", "kubeconfig", "wait"])
@pytest.mark.parametrize("error", [KindError("no"), KeyboardInterrupt()])
def test_a_failed_creation_leaves_nothing(fake: Fake, step: str, error: BaseException) -> None:
    fake.fails[step] = error
    with pytest.raises(type(error)):
        KindProvider().create(dict(PROPS))
    assert not fake.there
    fake.fails.clear()
    fake.there.add("dev")  # what somebody makes after it is theirs
    with pytest.raises(KindError, match="already"):
        KindProvider().create(dict(PROPS))


def test_what_could_not_be_cleaned_up_is_cleaned_up_next_time(fake: Fake) -> None:
    fake.fails = {"create": KindError("the first error"), "delete": KindError("docker went away")}
    with pytest.raises(KindError, match="the first error"):
        KindProvider().create(dict(PROPS))
    assert fake.there == {"dev"}
    fake.fails.clear()
    fake.calls.clear()
    KindProvider().create(dict(PROPS))
    assert fake.calls[:3] == ["clusters", "delete", "create"]


def test_a_cluster_for_an_engine_that_is_gone_is_not_kept(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider.process, "engine_is_gone", lambda: True)
    with pytest.raises(KindError, match="engine ended"):
        KindProvider().create(dict(PROPS))
    assert not fake.there
    fake.there.add("dev")  # a container that was on its way
    monkeypatch.setattr(provider.process, "engine_is_gone", lambda: False)
    KindProvider().create(dict(PROPS))
    assert fake.there == {"dev"}


def test_a_user_is_told_what_to_do_and_no_frames(fake: Fake) -> None:
    fake.fails["create"] = KindError("no")
    with pytest.raises(KindError):
        KindProvider().create(dict(PROPS))
    assert sys.tracebacklimit == 0


def test_where_nothing_can_be_noted_nothing_is_made(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(KindError, match=r"cannot be noted in(.|\n)*XDG_STATE_HOME"):
        KindProvider().create(dict(PROPS))
    assert fake.calls == []


def test_a_cluster_that_is_gone_is_deleted(fake: Fake) -> None:
    KindProvider().delete("dev", dict(PROPS))
    KindProvider().delete("dev", dict(PROPS))
    assert fake.calls == ["delete", "delete"]


def hold(directory: Path, held: Any, release: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(directory))
        with journal.making("docker", "dev") as entry:
            entry.begin()
            held.set()
            release.wait(60)


def test_nobody_cleans_up_what_another_process_is_making(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    try:
        assert held.wait(60)
        fake.there.add("dev")
        monkeypatch.setattr(journal, "WAIT_SECONDS", 0.2)
        with pytest.raises(KindError, match="another process is making the Kind cluster 'dev'"):
            KindProvider().create(dict(PROPS))
        assert fake.calls == []
    finally:
        other.kill()  # and dies on the way
        other.join()
    KindProvider().create(dict(PROPS))
    assert fake.calls[:3] == ["clusters", "delete", "create"]


def test_what_is_noted_is_private(fake: Fake, tmp_path: Path) -> None:
    KindProvider().create(dict(PROPS))
    [note] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert note.stat().st_mode & 0o077 == 0
    assert note.read_text() == ""


@pytest.mark.parametrize(
    ("said", "advised"),
    [
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "start the"),
        ("Cannot connect to Podman. Please verify your connection", "podman machine start"),
        ("permission denied while trying to connect to the Docker daemon socket", "usermod"),
        ("Bind for 127.0.0.1:8443 failed: port is already allocated", "choose another hostPort"),
        ('ERROR: failed to pull image "kindest/node"', "a mirror's copy"),
        ("write /var/x: no space left on device", "free disk space"),
        ('could not find a log line that matches "Reached target"', "max_user_watches"),
        ("Error response from daemon: container 0a is not running", "docker start"),
        ("timed out waiting for the condition", "more memory"),
        ("something new", "read what it said"),
    ],
)
def test_a_failure_comes_with_what_to_do(said: str, advised: str) -> None:
    error = str(errors.failure("`kind create cluster` ended with exit code 1", said))
    assert said in error
    assert advised in error.rpartition("what to do: ")[2]


def test_only_the_end_of_a_long_failure_is_shown() -> None:
    said = "\n".join(f"line {number}" for number in range(100))
    error = str(errors.failure("it failed", said))
    assert "line 99" in error
    assert "line 50" not in error


@pytest.mark.parametrize("content", ["", "{}", "clusters: []", "a: b: c", KUBECONFIG.replace("Y2E=", "?")])
def test_a_kubeconfig_of_another_form_is_not_quoted(content: str) -> None:
    with pytest.raises(KindError) as refused:
        parsing.access(content)
    assert json.loads(KUBECONFIG)["users"][0]["user"]["client-key-data"] not in str(refused.value)


def node(name: str, ready: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([node("a", "True"), node("b", "True")], None),
        ([node("a", "True"), node("b", "False")], "not ready: b"),
        ([node("a", "Unknown"), {"metadata": {"name": "b"}}], "not ready: a, b"),
        ([node("a", "True")], "1 of 2 nodes have registered"),
        ([], "0 of 2 nodes have registered"),
    ],
)
def test_a_cluster_is_ready_when_all_its_nodes_are(items: list[Any], problem: str | None) -> None:
    assert parsing.not_ready({"items": items}, 2) == problem


def test_the_load_balancers_container_is_no_node() -> None:
    said = "dev-worker2\ndev-external-load-balancer\ndev-control-plane\ndev-worker\ndev-control-plane3\n"
    nodes = ["dev-control-plane", "dev-control-plane3", "dev-worker", "dev-worker2"]
    assert parsing.nodes("dev", said) == nodes
