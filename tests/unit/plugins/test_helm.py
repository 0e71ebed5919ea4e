"""Releases, with a helm that writes down what it was given and answers from a script."""

import json
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.plugins import kubernetes_provider
from sandbox.plugins.helm_release import command_flags, resource_names
from sandbox.plugins.properties import UNKNOWN, Secret, Special, plain
from tests.unit.plugins.harness import Client, Failed, running

RELEASE = "kubernetes:helm.sh/v3:Release"

# A helm of which only the command line, the input and the environment matter. It keeps releases in
# one JSON file, so that a test can put them into any state.
_SCRIPT = r"""#!/usr/bin/env python3
import json, os, pathlib, stat, sys, time
home = pathlib.Path(os.environ["FAKE_HELM"])
arguments = sys.argv[1:]
stdin = sys.stdin.read()
kubeconfig = os.environ.get("KUBECONFIG", "")
private = kubeconfig.startswith(os.environ["FAKE_TMP"])
entry = {
    "argv": arguments,
    "stdin": stdin,
    "kubeconfig": pathlib.Path(kubeconfig).read_text() if private else "",
    "mode": stat.S_IMODE(os.stat(kubeconfig).st_mode) if private else 0,
    "kubeconfig_path": kubeconfig if private else "",
    "environment": {k: v for k, v in os.environ.items() if k.startswith("HELM_")},
}
for name in ("HELM_REPOSITORY_CONFIG", "HELM_REGISTRY_CONFIG"):
    path = pathlib.Path(os.environ.get(name, "/nonexistent"))
    if path.is_file():
        entry[name] = path.read_text()
with (home / "calls").open("a") as log:
    log.write(json.dumps(entry) + "\n")
store = home / "releases.json"
releases = json.loads(store.read_text()) if store.exists() else {}

def fail(text):
    sys.stderr.write(f"WARNING: noise\nError: {text}\n")
    sys.exit(1)

def option(name):
    return arguments[arguments.index(name) + 1] if name in arguments else ""

verb = arguments[0]
if (home / "fail").exists() and verb in (home / "fail").read_text().split():
    if verb in ("install", "upgrade"):
        releases.setdefault(arguments[1], {"version": 1, "config": {}})["status"] = "failed"
        store.write_text(json.dumps(releases))
    fail("timed out waiting for the condition " + (home / "fail").read_text())
if (home / "hang").exists() and verb == "install":
    time.sleep(60)
if verb == "show":
    chart = pathlib.Path(arguments[2])
    print((chart / "Chart.yaml").read_text() if chart.is_dir() else "name: remote\nversion: 3.2.1\n")
elif verb == "pull":
    (pathlib.Path(option("--destination")) / "remote-3.2.1.tgz").write_text("archive")
elif verb in ("install", "upgrade"):
    old = releases.get(arguments[1], {"version": 0})
    if verb == "install" and old["version"]:
        fail("cannot re-use a name that is still in use")
    values = json.loads(stdin)
    label = option("--labels") or old.get("label", "")
    made = {"version": old["version"] + 1, "config": values, "status": "deployed", "label": label}
    releases[arguments[1]] = made
elif verb == "rollback":
    releases[arguments[1]]["status"] = "deployed"
elif verb == "uninstall":
    if not releases.pop(arguments[1], None):
        fail(f"uninstall: Release not loaded: {arguments[1]}: release: not found")
elif verb == "status":
    if arguments[1] not in releases:
        fail("release: not found")
    found = releases[arguments[1]]
    manifest = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ns}\ndata: {k: aHVu}\n"
    print(json.dumps({
        "name": arguments[1], "namespace": option("--namespace"), "version": found["version"],
        "info": {"status": found["status"]}, "config": found["config"], "manifest": manifest,
    }))
elif verb == "list":
    print(json.dumps([name for name in releases if releases[name].get("label") == option("--selector")]))
elif verb == "get":
    print(json.dumps({"chart": "tiny", "version": "0.1.0", "appVersion": "9"}))
store.write_text(json.dumps(releases))
"""


class FakeHelm:
    def __init__(self, home: Path) -> None:
        self.home = home

    def calls(self, verb: str = "") -> list[dict[str, Any]]:
        path = self.home / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        calls = [json.loads(line) for line in lines]
        return [call for call in calls if not verb or call["argv"][0] == verb]

    def set(self, name: str, status: str, version: int = 1, **config: Any) -> None:
        entry = {"status": status, "version": version, "config": config}
        (self.home / "releases.json").write_text(json.dumps({name: entry}))

    def fail(self, verb: str) -> None:
        (self.home / "fail").write_text(verb)

    def heal(self) -> None:
        (self.home / "fail").unlink()


@pytest.fixture
def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHelm:
    script = tmp_path / "helm"
    script.write_text(_SCRIPT)
    script.chmod(0o755)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("FAKE_HELM", str(tmp_path))
    monkeypatch.setenv("FAKE_TMP", str(temporary))
    monkeypatch.setenv("RAYFORT_HELM", str(script))
    return FakeHelm(tmp_path)


@pytest.fixture
def client(helm: FakeHelm) -> Iterator[Client]:
    config = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "u", "namespace": "team"}}],
        "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "cluster-token"}}],
    }
    with running(kubernetes_provider.make) as client:
        client.configure(kubeconfig=json.dumps(config))
        yield client


@pytest.fixture
def reachable(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The same, where reads and deletions find a cluster."""
    monkeypatch.setattr("sandbox.plugins.cluster.Cluster.require_reachable", lambda self: None)
    return client


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    chart = tmp_path / "chart"
    chart.mkdir()
    (chart / "Chart.yaml").write_text("name: tiny\nversion: 0.1.0\n")
    (chart / "values.yaml").write_text("a: 1\n")
    return chart


def checked(client: Client, chart: Path | str, **more: Any) -> dict[str, Any]:
    given = {"chart": str(chart), "name": "rel", "compat": "true", **more}
    inputs, failures = client.check(RELEASE, given)
    assert not failures, failures
    return inputs


def test_check_fills_in_what_is_left_out_and_resolves_the_version(client: Client, chart: Path) -> None:
    inputs, failures = client.check(RELEASE, {"chart": str(chart), "version": ">=0.0.1", "compat": "true"})
    assert not failures
    assert inputs["name"].startswith("res-")
    assert inputs["namespace"] == "team"
    assert inputs["timeout"] == 300
    assert inputs["version"] == "0.1.0"
    assert "compat" not in inputs
    again, _ = client.check(RELEASE, {"chart": str(chart)}, inputs)
    assert again["name"] == inputs["name"]


def test_a_local_chart_that_changed_is_a_change(client: Client, chart: Path) -> None:
    _, state = client.create(RELEASE, checked(client, chart))
    assert client.changes(RELEASE, state, checked(client, chart)) == set()
    (chart / "values.yaml").write_text("a: 2\n")
    assert client.changes(RELEASE, state, checked(client, chart)) == {"checksum"}


def test_a_chart_that_does_not_exist_is_named(client: Client, helm: FakeHelm, tmp_path: Path) -> None:
    _, failures = client.check(RELEASE, {"chart": str(tmp_path / "missing"), "name": "rel"})
    assert "there is no chart at" in failures["chart"]
    assert helm.calls("pull") == []
    helm.fail("pull")
    _, failures = client.check(RELEASE, {"chart": "x", "repositoryOpts": {"repo": "https://charts.test"}})
    assert "timed out waiting" in failures["chart"]
    assert "noise" not in failures["chart"]


def test_an_input_that_would_be_ignored_is_refused(client: Client, chart: Path) -> None:
    _, failures = client.check(RELEASE, {"chart": str(chart), "waitForMiracles": True})
    assert list(failures) == ["waitForMiracles"]


def test_unknown_values_put_the_chart_off(client: Client, helm: FakeHelm, chart: Path) -> None:
    inputs = checked(client, chart, values={"a": UNKNOWN})
    assert helm.calls() == []
    resource_id, state = client.create(RELEASE, inputs, preview=True)
    assert resource_id == ""
    assert state["status"] is UNKNOWN
    assert state["resourceNames"] is UNKNOWN
    assert state["values"]["a"] is UNKNOWN


def test_values_go_through_the_input_and_nothing_is_left_behind(
    client: Client, helm: FakeHelm, chart: Path, tmp_path: Path
) -> None:
    values = {"plain": 1, "token": Secret("hunter2hunter2")}
    resource_id, state = client.create(RELEASE, checked(client, chart, values=values, namespace="ns"))
    assert resource_id == "ns/rel"
    (call,) = helm.calls("install")
    assert json.loads(call["stdin"]) == {"plain": 1, "token": "hunter2hunter2"}
    assert "hunter2" not in " ".join(word for one in helm.calls() for word in one["argv"])
    assert call["argv"][:4] == ["install", "rel", str(chart), "--values"]
    assert call["argv"][-2:] == ["--namespace", "ns"]
    assert "cluster-token" in call["kubeconfig"]
    assert call["mode"] == stat.S_IRUSR | stat.S_IWUSR
    assert not Path(call["kubeconfig_path"]).exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert state["values"]["token"] == Secret("hunter2hunter2")
    assert isinstance(state["__inputs"], Secret)


def test_the_outputs_are_those_of_the_official_plugin(client: Client, chart: Path) -> None:
    _, state = client.create(RELEASE, checked(client, chart, namespace="ns"))
    assert state["status"] == {
        "appVersion": "9",
        "chart": "tiny",
        "name": "rel",
        "namespace": "ns",
        "revision": 1,
        "status": "deployed",
        "version": "0.1.0",
    }
    assert state["resourceNames"] == {"Secret/v1": ["ns/s"]}
    assert "manifest" not in state, "it holds Secrets in plain text"


def test_an_update_upgrades(client: Client, helm: FakeHelm, chart: Path) -> None:
    _, state = client.create(RELEASE, checked(client, chart, values={"a": 1}))
    news = checked(client, chart, values={"b": 2}, atomic=True, maxHistory=3)
    assert client.changes(RELEASE, state, news) == {"values.a", "values.b", "atomic", "maxHistory"}
    state = client.update(RELEASE, state, news)
    (call,) = helm.calls("upgrade")
    assert json.loads(call["stdin"]) == {"b": 2}
    assert {"--atomic", "--history-max"} <= set(call["argv"])
    assert state["status"]["revision"] == 2
    assert client.changes(RELEASE, state, news) == set()


@pytest.mark.parametrize("key", ["name", "namespace"])
def test_another_place_replaces(client: Client, chart: Path, key: str) -> None:
    _, state = client.create(RELEASE, checked(client, chart))
    assert list(client.diff(RELEASE, state, checked(client, chart, **{key: "other"})).replaces) == [key]


def test_a_version_that_is_ignored_stays(client: Client, chart: Path) -> None:
    _, state = client.create(RELEASE, checked(client, chart))
    (chart / "Chart.yaml").write_text("name: tiny\nversion: 0.2.0\n")
    found = client.diff(RELEASE, state, checked(client, chart), ["version", "checksum"])
    assert list(found.detailedDiff) == []


def test_a_release_that_failed_is_kept_and_the_next_run_finishes(
    client: Client, helm: FakeHelm, chart: Path
) -> None:
    helm.fail("install")
    inputs = checked(client, chart, values={"password": Secret("install hunter2")})
    with pytest.raises(Failed, match=r"rel.*is failed: timed out waiting") as failed:
        client.create(RELEASE, inputs)
    assert failed.value.init is not None
    assert failed.value.init.id == "team/rel"
    state = failed.value.state()
    assert "status.status" in client.changes(RELEASE, state, inputs)
    helm.heal()
    state = client.update(RELEASE, state, inputs)
    verbs = [call["argv"][0] for call in helm.calls()]
    assert verbs[-5:] == ["status", "uninstall", "install", "status", "get"]
    assert state["status"]["status"] == "deployed"


def test_a_release_stuck_by_an_interrupted_run_is_installed_anew(
    client: Client, helm: FakeHelm, chart: Path
) -> None:
    helm.set("rel", "pending-install")
    _, state = client.create(RELEASE, checked(client, chart))
    assert state["status"]["status"] == "deployed"
    assert len(helm.calls("uninstall")) == 1
    assert any("pending-install since an earlier run" in message.text for message in client.messages)


def test_an_upgrade_stuck_by_an_interrupted_run_is_rolled_back_first(
    client: Client, helm: FakeHelm, chart: Path
) -> None:
    _, state = client.create(RELEASE, checked(client, chart))
    helm.set("rel", "pending-upgrade", version=2)
    state = client.update(RELEASE, state, checked(client, chart, values={"a": 1}))
    assert len(helm.calls("rollback")) == 1
    assert state["status"]["status"] == "deployed"


def test_a_release_of_someone_else_is_left_alone(client: Client, helm: FakeHelm, chart: Path) -> None:
    helm.set("rel", "deployed", version=4)
    with pytest.raises(Failed, match="still in use") as failed:
        client.create(RELEASE, checked(client, chart))
    assert failed.value.init is None
    assert helm.calls("uninstall") == []


def test_a_release_that_an_earlier_run_made_and_did_not_note_is_taken_up(
    client: Client, helm: FakeHelm, chart: Path
) -> None:
    client.create(RELEASE, checked(client, chart, values={"a": 1}))
    _, state = client.create(RELEASE, checked(client, chart, values={"a": 2}))
    assert state["status"]["status"] == "deployed"
    assert len(helm.calls("install")) == len(helm.calls("upgrade")) == 1
    assert helm.calls("uninstall") == []


def test_a_failed_release_with_a_history_is_not_uninstalled(
    client: Client, helm: FakeHelm, chart: Path
) -> None:
    _, state = client.create(RELEASE, checked(client, chart))
    helm.set("rel", "failed", version=5)
    client.update(RELEASE, state, checked(client, chart, values={"a": 1}))
    assert helm.calls("uninstall") == []
    assert len(helm.calls("upgrade")) == 1


def test_a_refresh_finds_values_that_someone_changed(reachable: Client, helm: FakeHelm, chart: Path) -> None:
    inputs = checked(reachable, chart, values={"color": "blue", "same": 1})
    _, state = reachable.create(RELEASE, inputs)
    helm.set("rel", "deployed", version=2, color="green", same=1, more="x")
    resource_id, state, kept = reachable.read(RELEASE, "team/rel", state, inputs)
    assert resource_id == "team/rel"
    assert kept == inputs
    assert state["status"]["revision"] == 2
    assert reachable.changes(RELEASE, state, inputs) == {"values.color"}


def test_a_refresh_finds_that_a_release_is_gone(reachable: Client, helm: FakeHelm, chart: Path) -> None:
    inputs = checked(reachable, chart)
    _, state = reachable.create(RELEASE, inputs)
    (helm.home / "releases.json").write_text("{}")
    assert reachable.read(RELEASE, "team/rel", state, inputs)[0] == ""


def test_an_error_of_helm_is_not_taken_for_absence(reachable: Client, helm: FakeHelm, chart: Path) -> None:
    inputs = checked(reachable, chart)
    _, state = reachable.create(RELEASE, inputs)
    helm.fail("status")
    with pytest.raises(Failed, match="timed out waiting"):
        reachable.read(RELEASE, "team/rel", state, inputs)


def test_an_import_finds_chart_version_and_values(reachable: Client, helm: FakeHelm) -> None:
    helm.set("rel", "deployed", version=2, color="green")
    resource_id, state, inputs = reachable.read(RELEASE, "team/rel")
    assert resource_id == "team/rel"
    assert plain(inputs)["values"] == {"color": "green"}
    assert (inputs["chart"], inputs["version"], inputs["name"]) == ("tiny", "0.1.0", "rel")
    assert state["status"]["revision"] == 2


def test_deletion_uninstalls_and_absence_is_a_success(reachable: Client, helm: FakeHelm, chart: Path) -> None:
    _, state = reachable.create(RELEASE, checked(reachable, chart, timeout=7))
    reachable.delete(RELEASE, "team/rel", state)
    assert helm.calls("uninstall")[0]["argv"][1:5] == ["rel", "--wait", "--timeout", "7s"]
    reachable.delete(RELEASE, "team/rel", state)
    helm.fail("uninstall")
    with pytest.raises(Failed, match="team/rel was not uninstalled"):
        reachable.delete(RELEASE, "team/rel", state)


def test_cancelling_stops_helm(client: Client, helm: FakeHelm, chart: Path) -> None:
    (helm.home / "hang").write_text("")
    inputs = checked(client, chart)
    timer = threading.Timer(1.0, client.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Failed, match="cancelled"):
        client.create(RELEASE, inputs)
    timer.join()
    assert time.monotonic() - started < 15


def test_progress_is_told_while_helm_works(
    client: Client, helm: FakeHelm, chart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.plugins.helm_cli._TELL_SECONDS", 0.3)
    (helm.home / "hang").write_text("")
    inputs = checked(client, chart)
    timer = threading.Timer(2.5, client.cancel)
    timer.start()
    with pytest.raises(Failed):
        client.create(RELEASE, inputs)
    timer.join()
    told = [message.text for message in client.messages if message.ephemeral]
    assert "installing release team/rel" in told
    assert len([text for text in told if text.endswith(" s)")]) >= 2


def test_a_missing_helm_is_named(chart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYFORT_HELM", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with running(kubernetes_provider.make) as client:
        client.configure(kubeconfig="{clusters: []}")
        _, failures = client.check(RELEASE, {"chart": str(chart)})
    assert "RAYFORT_HELM" in failures["chart"]


# Where charts come from.


def test_a_chart_of_a_repository_is_fetched_once(client: Client, helm: FakeHelm) -> None:
    more: dict[str, Any] = {"repositoryOpts": {"repo": "https://charts.test"}, "version": "^3"}
    inputs = checked(client, "tiny", **more)
    checked(client, "tiny", **more)
    assert inputs["version"] == "3.2.1"
    assert "checksum" not in inputs
    (call,) = helm.calls("pull")
    assert call["argv"][1:4] == ["tiny", "--repo", "https://charts.test"]
    assert call["argv"][-2:] == ["--version", "^3"]


def test_a_repository_s_password_is_on_no_command_line(
    client: Client, helm: FakeHelm, tmp_path: Path
) -> None:
    opts = {"repo": "https://charts.test", "username": "me", "password": Secret("hunter2")}
    checked(client, "tiny", repositoryOpts=opts)
    assert "hunter2" not in " ".join(word for call in helm.calls() for word in call["argv"])
    (pull,) = helm.calls("pull")
    assert pull["argv"][1] == "chart-source/tiny"
    entry = yaml.safe_load(pull["HELM_REPOSITORY_CONFIG"])["repositories"][0]
    assert (entry["url"], entry["username"], entry["password"]) == ("https://charts.test", "me", "hunter2")
    assert not Path(pull["environment"]["HELM_REPOSITORY_CONFIG"]).exists()


def test_a_registry_s_password_goes_through_the_input(client: Client, helm: FakeHelm) -> None:
    opts = {"repo": "", "username": "me", "password": Secret("hunter2")}
    checked(client, "oci://registry.test/charts/tiny", repositoryOpts=opts)
    (login,) = helm.calls("registry")
    assert login["stdin"] == "hunter2"
    assert login["argv"] == ["registry", "login", "registry.test", "--username", "me", "--password-stdin"]
    assert helm.calls("pull")[0]["argv"][1] == "oci://registry.test/charts/tiny"


def test_a_repository_that_helm_knows_is_a_prefix(client: Client, helm: FakeHelm) -> None:
    checked(client, "tiny", repositoryOpts={"repo": "known"}, devel=True)
    assert helm.calls("pull")[0]["argv"][1] == "known/tiny"
    assert "--devel" in helm.calls("pull")[0]["argv"]


def test_value_files_lie_under_values(client: Client, chart: Path, tmp_path: Path) -> None:
    signature = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17"}
    path = tmp_path / "values.yaml"
    path.write_text("a: {x: 1, y: 2}\nb: 1\n")
    files = [Special({**signature, "path": str(path)}), Special({**signature, "text": "b: 2"})]
    inputs = checked(client, chart, valueYamlFiles=files, values={"a": {"x": 9}})
    assert inputs["values"] == {"a": {"x": 9, "y": 2}, "b": 2}
    assert "valueYamlFiles" not in inputs


@pytest.mark.parametrize(
    ("inputs", "install", "upgrade"),
    [
        ({}, ["--wait", "--timeout", "300s"], ["--wait", "--timeout", "300s", "--history-max", "0"]),
        (
            {"skipAwait": True, "waitForJobs": True, "timeout": 9},
            ["--timeout", "9s"],
            ["--timeout", "9s", "--history-max", "0"],
        ),
        (
            {"skipAwait": True, "createNamespace": True, "replace": True, "disableWebhooks": True},
            ["--create-namespace", "--no-hooks", "--replace", "--timeout", "300s"],
            ["--timeout", "300s", "--history-max", "0"],
        ),
        (
            {
                "skipAwait": True,
                "cleanupOnFail": True,
                "forceUpdate": True,
                "maxHistory": 5,
                "resetValues": True,
            },
            ["--timeout", "300s"],
            ["--cleanup-on-fail", "--force", "--reset-values", "--timeout", "300s", "--history-max", "5"],
        ),
        (
            {
                "waitForJobs": True,
                "skipCrds": True,
                "atomic": True,
                "description": "why",
                "postrender": "cmd",
            },
            [
                "--atomic",
                "--skip-crds",
                "--wait",
                "--wait-for-jobs",
                "--timeout",
                "300s",
                "--description",
                "why",
                "--post-renderer",
                "cmd",
            ],
            [
                "--atomic",
                "--skip-crds",
                "--wait",
                "--wait-for-jobs",
                "--timeout",
                "300s",
                "--description",
                "why",
                "--post-renderer",
                "cmd",
                "--history-max",
                "0",
            ],
        ),
    ],
)
def test_flags(inputs: dict[str, Any], install: list[str], upgrade: list[str]) -> None:
    assert command_flags("install", inputs) == install
    assert command_flags("upgrade", inputs) == upgrade


def test_resource_names_are_grouped_by_kind() -> None:
    manifest = """
# a comment
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: b, namespace: ns}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, namespace: ns}
---
---
apiVersion: v1
kind: Namespace
metadata: {name: ns}
"""
    assert resource_names(manifest) == {
        "Deployment.apps/apps/v1": ["ns/a", "ns/b"],
        "Namespace/v1": ["ns"],
    }
