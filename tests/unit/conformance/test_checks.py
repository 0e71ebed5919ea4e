"""Each check passes on the platform as it is, and fails where something goes wrong: it and no other."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from rayfort.conformance import Observations, Scope, Status, judge
from rayfort.conformance.check import NOTHING_TO_JUDGE
from rayfort.conformance.checks import ALL
from rayfort.conformance.collect import EACH, WHOLE

from tests.unit.conformance.mutations import MUTATIONS, Mutation
from tests.unit.conformance.world import RAY, WORKSPACE, World, failures, head, main, statuses, worker


def test_all_checks_pass_on_the_platform_as_it_was_seen() -> None:
    report = judge(World().seen)
    wrong = {key: status for key, status in statuses(report).items() if status is not Status.PASS}
    assert not wrong
    assert {verdict.check.name for verdict in report.verdicts} == set(ALL)
    assert not report.failed


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: f"{one.check}: {one.what}")
def test_what_goes_wrong_is_told_by_its_check_and_no_other(mutation: Mutation) -> None:
    assert failures(mutation.change) == {mutation.check} | mutation.breaks_too


def test_no_check_is_without_a_way_to_fail() -> None:
    assert {mutation.check for mutation in MUTATIONS} == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_check_that_sees_nothing_does_not_pass(name: str) -> None:
    """A cluster with a workspace's namespace and nothing else."""
    world = World()
    world.data["objects"] = {"Namespace": [world.one("Namespace", WORKSPACE)]}
    world.data["probes"] = {}
    (verdict,) = [each for each in judge(world.seen, [ALL[name]]).verdicts if each.place != "nowhere"]
    # What the namespace itself says was seen.
    assert verdict.status is not Status.PASS or name == "pod-security-level"
    assert verdict.details


@pytest.mark.parametrize("name", ALL)
def test_a_check_whose_objects_cannot_be_read_does_not_run(name: str) -> None:
    world = World()
    denied = {kind: f"{kind} objects cannot be listed: forbidden" for kind in (*WHOLE, *EACH, "Secret")}
    denied.pop("Namespace")
    kept = {"Namespace": world.all("Namespace")}
    seen = Observations(world.data["cluster"], kept, {}, denied)
    (verdict,) = judge(seen, [ALL[name]]).verdicts
    assert verdict.status is Status.NOT_RUN
    assert verdict.details != (NOTHING_TO_JUDGE,) or name in {"rights-of-everyone"}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("dashboard", "dashboard-token"),
        ("dashboard", "ray-version"),
        ("netrc", "netrc-private"),
        ("wire", "plaintext-refused"),
        ("wire", "tls-1.2-refused"),
        ("wire", "client-certificate"),
        ("fence", "network-fence"),
        ("rights", "rights-of-operator"),
        ("rights", "rights-of-kbatch-proxy"),
        ("rights", "rights-of-ray"),
        ("rights", "rights-of-everyone"),
    ],
)
def test_a_trial_that_could_not_be_made_is_no_pass(kind: str, name: str) -> None:
    world = World()
    for subject in world.data["probes"][kind]:
        world.data["probes"][kind][subject] = {"notSeen": "the reason"}
    (verdict,) = judge(world.seen, [ALL[name]]).verdicts
    assert verdict.status is Status.NOT_RUN
    assert "the reason" in verdict.details[0]


def test_a_failure_counts_though_a_later_trial_could_not_be_made() -> None:
    world = World()
    (cluster,) = world.all("RayCluster")
    other = json.loads(json.dumps(cluster))
    other["metadata"]["name"] = "zweit"
    world.all("RayCluster").append(other)
    world.probe("dashboard").update(none=200)
    (verdict,) = judge(world.seen, [ALL["dashboard-token"]]).verdicts
    assert verdict.status is Status.FAIL


def test_a_pass_needs_every_cluster_to_be_seen() -> None:
    world = World()
    other = json.loads(json.dumps(world.all("RayCluster")[0]))
    other["metadata"]["name"] = "zweit"
    world.all("RayCluster").append(other)
    (verdict,) = judge(world.seen, [ALL["dashboard-token"]]).verdicts
    assert verdict.status is Status.NOT_RUN


def test_a_fence_is_not_proven_by_a_probe_without_a_network() -> None:
    world = World()
    world.probe("fence").update(control="silent")
    (verdict,) = judge(world.seen, [ALL["network-fence"]]).verdicts
    assert (verdict.status, "nothing at all" in verdict.details[0]) == (Status.NOT_RUN, True)


def test_tls_is_not_proven_by_a_port_that_is_not_reached() -> None:
    world = World()
    world.data["probes"]["wire"][RAY] = {"connect": "silent", "port": 8265}
    for name in ("plaintext-refused", "tls-1.2-refused", "client-certificate"):
        (verdict,) = judge(world.seen, [ALL[name]]).verdicts
        assert verdict.status is Status.NOT_RUN


def test_rights_are_not_proven_by_a_list_that_is_not_whole() -> None:
    world = World()
    world.probe("rights", "team-a/ray-head").update(incomplete="webhook authorizer")
    (verdict,) = judge(world.seen, [ALL["rights-of-ray"]]).verdicts
    assert verdict.status is Status.NOT_RUN


def _autoscaled(world: World) -> None:
    world.one("RayCluster", "ray")["spec"]["enableInTreeAutoscaling"] = True
    head(world)["spec"].pop("automountServiceAccountToken")
    token = {"name": "kube-api-access-x", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
    head(world)["spec"]["volumes"].append(token)
    rules = world.probe("rights", "team-a/ray-head")["rules"][WORKSPACE]
    rules.append({"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["get", "patch"]})


def _pinned_by_digest(world: World) -> None:
    main(worker(world))["image"] = f"ray@sha256:{'0' * 64}"


def _without_plugin(world: World) -> None:
    """Without Istio's plugin no stricter level works, and `istio-init` is as privileged as it must be."""
    world.drop("DaemonSet", "istio-cni", "kube-system")
    for name in (WORKSPACE, "kuberay-system", "batch-system"):
        world.one("Namespace", name)["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = (
            "privileged"
        )
    worker(world)["spec"]["initContainers"].insert(0, {"name": "istio-init", "image": "proxyv2:1.31.0"})


def _canary(world: World) -> None:
    world.one("Namespace", WORKSPACE)["metadata"]["labels"]["istio.io/rev"] = "1-32-0"
    for pod in (head(world), worker(world)):
        pod["metadata"]["annotations"]["sidecar.istio.io/status"] = '{"revision": "1-32-0"}'


def _reference(world: World) -> None:
    reference = {"secretKeyRef": {"name": "s", "key": "k"}}
    main(worker(world))["env"].append({"name": "DB_PASSWORD", "valueFrom": reference})
    main(worker(world))["env"].append({"name": "DB_PASSWORD_FILE", "value": "/run/db/password"})
    main(worker(world))["env"].append({"name": "REPO", "value": "ssh://git@git.example.com/x.git"})


@pytest.mark.parametrize("change", [_autoscaled, _pinned_by_digest, _without_plugin, _canary, _reference])
def test_what_is_meant_so_does_not_fail(change: Callable[[World], None]) -> None:
    assert failures(change) == set()


def test_an_autoscaler_may_not_do_more_than_kuberay_says() -> None:
    def change(world: World) -> None:
        _autoscaled(world)
        rules = world.probe("rights", "team-a/ray-head")["rules"][WORKSPACE]
        rules.append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})

    assert failures(change) == {"rights-of-ray"}


def test_workspaces_are_judged_apart() -> None:
    world = World()
    space = json.loads(json.dumps(world.one("Namespace", WORKSPACE)))
    space["metadata"]["name"] = "team-b"
    space["metadata"]["labels"]["rayfort.dev/workspace"] = "team-b"
    world.all("Namespace").append(space)
    found = statuses(judge(world.seen))
    assert found["team-a", "quota"] is Status.PASS
    assert found["team-b", "quota"] is Status.FAIL


def test_every_check_says_what_it_proves_and_what_to_do() -> None:
    for name, check in ALL.items():
        assert name == check.name
        assert check.title and check.remedy and not check.remedy.endswith(".")
        assert check.proves.startswith(("seed 00", "security model:", "pod security:")), name
        assert check.scope in Scope
