"""Looking at a cluster: what is asked of it, what is made in it, and what is kept of what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from rayfort.conformance import Status, judge
from rayfort.conformance.checks import ALL
from rayfort.conformance.cluster import ClusterError
from rayfort.conformance.collect import EACH, WHOLE, NothingToVerify, observe
from rayfort.conformance.observations import SIMULATED, Observations
from rayfort.conformance.probe import NAME, leftovers
from rayfort.conformance.render import to_html, to_json, to_junit

from tests.unit.conformance.fake import PASSWORD, PLANTED, SECRETS, TOKEN, FakeCluster
from tests.unit.conformance.world import RAY, WORKSPACE, World, head, main, statuses, worker

PROBES = ("wire", "fence")
PODS = f"/namespaces/kuberay-system/pods/{NAME}"


def test_a_platform_as_it_should_be_passes_every_check() -> None:
    report = judge(observe(FakeCluster(), probes=PROBES))
    assert set(statuses(report).values()) == {Status.PASS}


def test_without_the_probe_nothing_is_made_and_its_checks_say_how() -> None:
    cluster = FakeCluster()
    report = judge(observe(cluster))
    posted = {path for method, path in cluster.calls if method != "GET"}
    assert posted == {"/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"}
    found = {verdict.check.name: verdict for verdict in report.verdicts}
    for name, check in ALL.items():
        assert (found[name].status is Status.NOT_RUN) == bool(check.probe), name
        assert not check.probe or "--probe" in found[name].details[0]


def test_no_job_is_ever_submitted_and_only_named_secrets_are_read() -> None:
    cluster = FakeCluster()
    observe(cluster, probes=PROBES)
    assert {path for path, _ in cluster.asked} == {"/api/jobs/", "/api/version"}
    read = {path for _, path in cluster.calls if "/secrets" in path}
    assert len(read) == 2
    assert all(re.search(r"/secrets/[a-z0-9-]+$", path) for path in read)


def test_the_netrc_file_is_looked_at_and_never_opened() -> None:
    cluster = FakeCluster()
    observe(cluster)
    assert len(cluster.executed) == 2
    for command in cluster.executed:
        program = " ".join(command)
        assert "os.stat" in program
        assert "open(" not in program and "cat " not in program and ".read" not in program


def test_what_the_netrc_trial_runs_tells_of_a_file_what_it_should(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    cluster = FakeCluster()
    observe(cluster)
    file = tmp_path_factory.mktemp("netrc") / "file"
    file.write_text("machine x")
    file.chmod(0o440)
    program = cluster.executed[0][2]

    def said(path: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
        )
        return dict(json.loads(done.stdout))

    assert said(str(file))["mode"] == 0o440
    assert said(str(file))["readable"] is True
    assert "error" in said(str(file) + "x")


def _with_secrets_in_the_wrong_places() -> World:
    world = World()
    main(worker(world))["env"].append({"name": "DB_PASSWORD", "value": PLANTED})
    main(worker(world))["env"].append({"name": "INNOCENT", "value": f"before {TOKEN} after"})
    head(world)["metadata"]["annotations"]["note"] = f"https://someone:{PASSWORD}@git.example.com/code.zip"
    world.one("ConfigMap", "kbatch-proxy", "batch-system").setdefault("data", {})["x"] = (
        f"https://u:{PLANTED}@h"
    )
    spec = {"runtimeEnvYAML": f"env_vars: {{HF_TOKEN: {PLANTED}}}", "entrypoint": f"x --token {PLANTED}"}
    world.add("RayJob", "train", spec)
    return world


def test_no_secret_is_in_any_observation_or_report() -> None:
    seen = observe(FakeCluster(_with_secrets_in_the_wrong_places()), probes=PROBES)
    report = judge(seen)
    assert statuses(report)[WORKSPACE, "no-credential-in-workspace"] is Status.FAIL
    assert statuses(report)["platform", "no-credential-in-platform"] is Status.FAIL
    for text in (
        seen.to_json(),
        to_json(report),
        to_junit(report),
        to_html(report),
        repr(seen),
        repr(report),
    ):
        for secret in SECRETS:
            assert secret not in text
    details = " ".join(
        d for v in report.verdicts if v.check.name == "no-credential-in-workspace" for d in v.details
    )
    assert "RayJob team-a/train: a credential at spec.runtimeEnvYAML" in details
    assert re.search(
        r"Pod team-a/ray-small-\S+: a credential at spec\.containers\[0\]\.env\[\d+\]\.value", details
    )


def test_observations_go_through_a_file_unchanged() -> None:
    seen = observe(FakeCluster(), probes=PROBES)
    assert Observations.from_json(seen.to_json()) == seen


def test_on_simulated_nodes_what_needs_containers_says_so() -> None:
    world = World()
    for node in world.all("Node"):
        node["metadata"].setdefault("annotations", {})["kwok.x-k8s.io/node"] = "fake"
    cluster = FakeCluster(world)
    report = judge(observe(cluster, probes=PROBES))
    assert not cluster.asked and not cluster.executed and not cluster.probes
    asleep = {
        v.check.name for v in report.verdicts if v.status is Status.NOT_RUN and SIMULATED in v.details[0]
    }
    assert asleep == {
        "dashboard-token",
        "ray-version",
        "netrc-private",
        "plaintext-refused",
        "tls-1.2-refused",
        "client-certificate",
        "network-fence",
    }
    assert not report.failed


def test_a_kind_that_may_not_be_listed_is_named_with_the_reason() -> None:
    cluster = FakeCluster()
    cluster.denied = ("/apis/security.istio.io/v1/peerauthentications",)
    (verdict,) = judge(observe(cluster), [ALL["mesh-strict"]]).verdicts
    assert verdict.status is Status.NOT_RUN
    assert "PeerAuthentication objects cannot be listed" in verdict.details[0]
    assert "forbidden" in verdict.details[0]


@pytest.mark.parametrize("kind", [*sorted({*WHOLE, *EACH} - {"Namespace"}), "Secret"])
def test_whatever_may_not_be_read_nothing_else_is_lost(kind: str) -> None:
    cluster = FakeCluster()
    path = {**WHOLE, **EACH, "Secret": "/api/v1/namespaces/{}/secrets"}[kind]
    places = ("team-a", "kuberay-system", "batch-system", "istio-system", "kbatch-alice")
    cluster.denied = tuple(path.format(place) for place in places)
    report = judge(observe(cluster, probes=PROBES))
    assert not report.failed, [each for each in report.verdicts if each.status is Status.FAIL]
    assert any(status is Status.PASS for status in statuses(report).values())
    if kind not in {"Node", "RayJob", "RayService", "RayCronJob", "Job"}:
        assert Status.NOT_RUN in statuses(report).values()


def test_without_the_right_to_impersonate_rights_are_not_proven() -> None:
    cluster = FakeCluster()
    cluster.denied = ("/apis/authorization.k8s.io",)
    for name in ("rights-of-operator", "rights-of-ray", "rights-of-everyone"):
        (verdict,) = judge(observe(cluster), [ALL[name]]).verdicts
        assert verdict.status is Status.NOT_RUN
        assert "impersonate" in verdict.details[0]


def test_without_the_token_the_refusals_prove_nothing() -> None:
    cluster = FakeCluster()
    cluster.denied = (f"/api/v1/namespaces/{WORKSPACE}/secrets",)
    (verdict,) = judge(observe(cluster), [ALL["dashboard-token"]]).verdicts
    assert verdict.status is Status.NOT_RUN


def test_a_cluster_without_rayfort_is_an_error_and_not_a_pass() -> None:
    world = World()
    for item in world.all("Namespace"):
        item["metadata"]["labels"].pop("app.kubernetes.io/part-of", None)
    with pytest.raises(NothingToVerify, match="is it the right cluster"):
        observe(FakeCluster(world))


def test_a_cluster_that_may_not_be_looked_at_is_an_error() -> None:
    cluster = FakeCluster()
    cluster.denied = ("/api/v1/namespaces",)
    with pytest.raises(ClusterError, match="forbidden"):
        observe(cluster)


# --- the probe


def test_the_probes_are_hardened_outside_of_the_mesh_and_of_the_workspaces() -> None:
    cluster = FakeCluster()
    observe(cluster, probes=PROBES)
    assert [pod["metadata"]["namespace"] for pod in cluster.probes] == [NAME, "kuberay-system"]
    for pod in cluster.probes:
        spec = pod["spec"]
        assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["activeDeadlineSeconds"] <= 120
        (container,) = spec["containers"]
        assert container["image"] == "docker.io/rayproject/ray:2.55.1"
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "env" not in container and "volumes" not in spec
    assert not any(WORKSPACE in path for method, path in cluster.calls if method in {"POST", "DELETE"})


def test_the_probes_and_their_namespace_are_deleted() -> None:
    cluster = FakeCluster()
    observe(cluster, probes=PROBES)
    assert cluster.made == {}
    deleted = [path for method, path in cluster.calls if method == "DELETE"]
    assert f"/api/v1/namespaces/{NAME}" in deleted
    assert any(path.endswith(PODS) for path in deleted)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ClusterError("the API server has gone")])
def test_they_are_deleted_whatever_happens(error: BaseException | type[BaseException]) -> None:
    cluster = FakeCluster()

    def fail(_: object) -> str:
        raise error

    cluster.answer = fail
    if isinstance(error, ClusterError):
        report = judge(observe(cluster, probes=PROBES), [ALL["network-fence"], ALL["plaintext-refused"]])
        assert {verdict.status for verdict in report.verdicts} == {Status.NOT_RUN}
        assert "the API server has gone" in report.verdicts[0].details[0]
    else:
        with pytest.raises(KeyboardInterrupt):
            observe(cluster, probes=PROBES)
    assert cluster.made == {}


def test_what_an_interrupted_run_left_is_removed_first() -> None:
    cluster = FakeCluster()
    mine = {"labels": {"app.kubernetes.io/part-of": "rayfort"}}
    cluster.made = {
        f"/api/v1/namespaces/{NAME}": {"metadata": mine},
        f"/api/v1{PODS}": {"metadata": mine},
    }
    notes: list[str] = []
    observe(cluster, probes=PROBES, note=notes.append)
    assert cluster.made == {}
    assert any("removed what an earlier run left" in note and NAME in note for note in notes)


def test_what_somebody_else_made_is_left_alone() -> None:
    cluster = FakeCluster()
    cluster.made = {f"/api/v1/namespaces/{NAME}": {"metadata": {"labels": {"team": "b"}}}}
    with pytest.raises(ClusterError, match="not Rayfort's"):
        leftovers(cluster, ["kuberay-system"])
    assert cluster.made


def test_a_probe_that_prints_nonsense_proves_nothing() -> None:
    cluster = FakeCluster()
    cluster.answer = lambda _: "Traceback:\nImportError: no module"
    (verdict,) = judge(observe(cluster, probes=PROBES), [ALL["plaintext-refused"]]).verdicts
    assert verdict.status is Status.NOT_RUN
    assert "ImportError: no module" in verdict.details[0]


def test_every_port_of_each_node_is_knocked_on() -> None:
    cluster = FakeCluster()
    asked = {}
    cluster.answer = lambda each: asked.update(each) or json.dumps({"knock": {}, "talk": {}})  # type: ignore[func-returns-value]
    with pytest.raises(KeyError):
        observe(cluster, probes=PROBES)
    ports = {port for _, port in asked["knock"]}
    assert {443, 6379, 8265, 10001, 8000, 6380, 6381, 6382, 6383, 52365, 8080, 10002} == ports
    assert RAY
