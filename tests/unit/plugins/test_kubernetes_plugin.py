import threading
import time
from typing import Any

import pytest
from pulumi.runtime import proto

from sandbox.plugins import apply
from sandbox.plugins.properties import UNKNOWN, Secret
from tests.unit.plugins.fake_api import FakeApi, Object
from tests.unit.plugins.harness import Client, Failed, urn

SECRET = "kubernetes:core/v1:Secret"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
SERVICE = "kubernetes:core/v1:Service"
NAMESPACE = "kubernetes:core/v1:Namespace"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"
CLUSTER_ROLE = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"
CRD = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"
WIDGET = "kubernetes:test.dev/v1:Widget"
JOB = "kubernetes:batch/v1:Job"

UPDATE_REPLACE = proto.PropertyDiff.UPDATE_REPLACE


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "_FIRST_DELAY", 0.02)
    monkeypatch.setattr(apply, "_POLL_FIRST", 0.01)
    monkeypatch.setattr(apply, "_POLL_LONGEST", 0.05)


def config_map(name: str = "cm", **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"a": "1"},
        **more,
    }


def deployment(**pod: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app", "namespace": "default", "labels": {}},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {
                    "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1000m"}}}],
                    **pod,
                },
            },
        },
    }


def roll_out(obj: Object) -> None:
    if obj["kind"] == "Deployment":
        obj["status"] = {
            "observedGeneration": obj["metadata"]["generation"],
            "replicas": 1,
            "updatedReplicas": 1,
            "availableReplicas": 1,
        }


# Check.


def test_an_object_without_a_name_gets_one_and_keeps_it(kube: Client) -> None:
    first, failures = kube.check(CONFIG_MAP, {"data": {}}, randomSeed=b"seed")
    assert not failures
    name = first["metadata"]["name"]
    assert name.startswith("res-")
    assert len(name) == len("res-") + 8
    assert first["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    assert first["metadata"]["namespace"] == "default"
    assert (first["apiVersion"], first["kind"]) == ("v1", "ConfigMap")
    assert kube.check(CONFIG_MAP, {"data": {}}, randomSeed=b"seed")[0] == first, "the seed decides"
    again, _ = kube.check(CONFIG_MAP, {"data": {"x": "y"}}, first)
    assert again["metadata"] == first["metadata"]
    assert kube.check(CONFIG_MAP, {"data": {}})[0]["metadata"]["name"] != name


def test_the_engine_may_propose_or_forbid_names(kube: Client) -> None:
    options = proto.CheckRequest.AutonamingOptions
    proposed = options(proposed_name="mine", mode=options.ENFORCE)
    assert kube.check(CONFIG_MAP, {}, autonaming=proposed)[0]["metadata"]["name"] == "mine"
    with pytest.raises(Failed, match="autonaming is disabled"):
        kube.check(CONFIG_MAP, {}, autonaming=options(mode=options.DISABLE))


def test_a_name_that_is_not_known_yet_is_left_alone(kube: Client) -> None:
    found, _ = kube.check(CONFIG_MAP, {"metadata": {"name": UNKNOWN}})
    assert found["metadata"]["name"] is UNKNOWN
    assert kube.check(CONFIG_MAP, {"metadata": UNKNOWN})[0]["metadata"] is UNKNOWN


def test_the_default_namespace_is_for_namespaced_kinds(plugin: Client, api: FakeApi) -> None:
    plugin.configure(kubeconfig=api.kubeconfig(), namespace="team")
    assert plugin.check(CONFIG_MAP, {"metadata": {"name": "x"}})[0]["metadata"]["namespace"] == "team"
    assert "namespace" not in plugin.check(CLUSTER_ROLE, {"metadata": {"name": "x"}})[0]["metadata"]
    assert plugin.check(WIDGET, {"metadata": {"name": "x"}})[0]["metadata"]["namespace"] == "team"


def test_the_scope_of_a_custom_resource_comes_from_a_definition_of_the_same_program(kube: Client) -> None:
    names = {"kind": "Widget", "plural": "widgets"}
    kube.check(
        CRD, {"metadata": {"name": "w"}, "spec": {"group": "test.dev", "names": names, "scope": "Cluster"}}
    )
    assert "namespace" not in kube.check(WIDGET, {"metadata": {"name": "x"}})[0]["metadata"]


def test_secretness_of_inputs_is_kept_and_data_of_secrets_is_always_secret(kube: Client) -> None:
    found, _ = kube.check(
        SECRET, {"metadata": {"name": "s"}, "stringData": {"token": Secret("hunter2")}, "data": {"k": "dg=="}}
    )
    assert isinstance(found["stringData"], Secret)
    assert isinstance(found["data"], Secret)
    found, _ = kube.check(
        CONFIG_MAP, {"metadata": {"name": "s", "labels": {"x": Secret("hunter2")}}, "data": {"k": "v"}}
    )
    assert found["metadata"]["labels"]["x"] == Secret("hunter2")
    assert found["data"] == {"k": "v"}


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({"kind": "Secret"}, "kind"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"name": 5}}, "metadata.name"),
        ({"metadata": {"labels": {"a.b/c": True}}}, 'metadata.labels["a.b/c"]'),
        ({"metadata": {"annotations": ["x"]}}, "metadata.annotations"),
        (
            {"metadata": {"annotations": {"pulumi.com/waitFor": "soon"}}},
            'metadata.annotations["pulumi.com/waitFor"]',
        ),
    ],
)
def test_inputs_that_cannot_be_right_are_named(kube: Client, inputs: dict[str, Any], path: str) -> None:
    _, failures = kube.check(CONFIG_MAP, inputs)
    assert list(failures) == [path]


@pytest.mark.parametrize(
    ("token", "inputs", "message"),
    [
        ("kubernetes:core/v1:NamespacePatch", {"kind": "Namespace"}, "no Patch resources"),
        ("kubernetes:core/v1:ConfigMapList", {}, "lists cannot be created"),
        ("kubernetes:index:Thing", {}, "not the type of a Kubernetes object"),
        (CONFIG_MAP, {"metadata": {"generateName": "x-"}}, "generateName"),
    ],
)
def test_what_the_stand_in_does_not_have_is_refused(
    kube: Client, token: str, inputs: dict[str, Any], message: str
) -> None:
    with pytest.raises(Failed, match=message):
        kube.check(token, inputs)


def test_functions_are_refused_by_name(kube: Client) -> None:
    with pytest.raises(Failed, match="kubernetes:helm:template"):
        kube.call("Invoke", proto.InvokeRequest(tok="kubernetes:helm:template"))


# Create.


def test_create_keeps_what_the_server_made_and_what_the_program_said(kube: Client, api: FakeApi) -> None:
    inputs = config_map()
    resource_id, state = kube.create(CONFIG_MAP, inputs)
    assert resource_id == "default/cm"
    assert state["metadata"]["uid"]
    assert state["__inputs"] == inputs
    assert state["__initialApiVersion"] == "v1"
    assert state["__fieldManager"].startswith("pulumi-kubernetes-")
    assert kube.changes(CONFIG_MAP, state, inputs) == set()
    assert ("POST", "/api/v1/namespaces/default/configmaps") in api.writes()


def test_an_object_that_exists_is_not_taken_over(kube: Client, api: FakeApi) -> None:
    kube.create(CONFIG_MAP, config_map())
    live = api.objects["/api/v1/namespaces/default/configmaps/cm"]
    live["metadata"]["managedFields"][0]["manager"] = apply.creator("urn:of another resource")
    with pytest.raises(Failed, match=r"v1/ConfigMap default/cm already exists.*pulumi import") as failed:
        kube.create(CONFIG_MAP, config_map())
    assert failed.value.init is None, "it is not ours, so it must not come into the state"


def test_an_object_that_an_earlier_run_made_and_did_not_note_is_taken_up(kube: Client, api: FakeApi) -> None:
    kube.create(CONFIG_MAP, config_map(data={"a": "1", "b": "1"}))
    _, state = kube.create(CONFIG_MAP, config_map(data={"a": "2"}))
    assert state["data"] == {"a": "2"}
    live = api.objects["/api/v1/namespaces/default/configmaps/cm"]
    assert [entry["operation"] for entry in live["metadata"]["managedFields"]] == ["Apply"]


def test_an_object_that_exists_is_taken_over_where_the_provider_says_so(plugin: Client, api: FakeApi) -> None:
    plugin.configure(kubeconfig=api.kubeconfig(), upsertExistingObjects="true")
    plugin.create(CONFIG_MAP, config_map())
    _, state = plugin.create(CONFIG_MAP, config_map(data={"a": "2"}))
    assert state["data"] == {"a": "2"}


def test_a_kind_that_comes_late_is_waited_for(kube: Client, api: FakeApi) -> None:
    def later() -> None:
        with api.lock:
            api.kinds["test.dev/v1"] = [("Widget", "widgets", False)]

    timer = threading.Timer(0.1, later)
    timer.start()
    inputs = {
        "apiVersion": "test.dev/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default"},
    }
    resource_id, state = kube.create(WIDGET, inputs)
    timer.join()
    assert resource_id == "w", "it turned out to be cluster-scoped"
    assert kube.changes(WIDGET, state, inputs) == set()
    assert any("does not serve test.dev/v1/Widget" in m.text for m in kube.messages if m.ephemeral)


def test_a_kind_that_never_comes_is_named(kube: Client) -> None:
    with pytest.raises(Failed, match=r"test\.dev/v1/Widget.*CustomResourceDefinition"):
        kube.create(
            WIDGET,
            {"apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "x"}},
        )


def test_an_object_on_its_way_out_is_waited_for(kube: Client, api: FakeApi) -> None:
    _, old = kube.create(CONFIG_MAP, config_map())
    path = "/api/v1/namespaces/default/configmaps/cm"
    api.objects[path]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    timer = threading.Timer(0.2, lambda: api.objects.pop(path))
    timer.start()
    _, new = kube.create(CONFIG_MAP, config_map())
    timer.join()
    assert new["metadata"]["uid"] != old["metadata"]["uid"]


def test_a_namespace_that_is_being_deleted_is_waited_for(kube: Client, api: FakeApi) -> None:
    refusals = iter([True, True])

    def refuse(method: str, path: str, body: Any) -> tuple[int, str, str] | None:
        if method == "POST" and next(refusals, False):
            return 403, "Forbidden", "unable to create new content because it is being terminated"
        return None

    api.refuse = refuse
    api.causes = [{"reason": "NamespaceTerminating"}]
    resource_id, _ = kube.create(CONFIG_MAP, config_map())
    assert resource_id == "default/cm"
    api.causes = []
    refusals = iter([True])
    with pytest.raises(Failed, match="being terminated"):
        kube.create(CONFIG_MAP, config_map("other"))


def test_a_refusal_reaches_the_user_without_secrets(kube: Client, api: FakeApi) -> None:
    api.refuse = lambda method, path, body: (
        (422, "Invalid", 'spec.token: Invalid value: "hunter2hunter2" or aHVudGVyMmh1bnRlcjI=')
        if method == "POST"
        else None
    )
    inputs = config_map(data={"t": Secret("hunter2hunter2")})
    with pytest.raises(Failed, match=r"Invalid value: .\[secret\]") as failed:
        kube.create(CONFIG_MAP, inputs)
    assert "hunter2" not in str(failed.value)
    assert "aHVudGVy" not in str(failed.value)


def test_an_object_that_does_not_become_ready_is_kept_and_the_next_update_finishes(
    kube: Client, api: FakeApi
) -> None:
    inputs = deployment()
    with pytest.raises(Failed, match="is not ready: timed out after 1 s") as failed:
        kube.create(DEPLOYMENT, inputs, timeout=1)
    assert failed.value.init is not None
    assert failed.value.init.id == "default/app"
    assert "has not seen the last change" in failed.value.init.reasons[0]
    state = failed.value.state()
    assert kube.changes(DEPLOYMENT, state, inputs) == set()
    api.after_write = roll_out
    finished = kube.update(DEPLOYMENT, state, inputs, timeout=5)
    assert finished["status"]["availableReplicas"] == 1


def test_a_job_that_failed_is_not_waited_for(kube: Client, api: FakeApi) -> None:
    def fail(obj: Object) -> None:
        obj["status"] = {
            "conditions": [{"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}]
        }

    api.after_write = fail
    started = time.monotonic()
    with pytest.raises(Failed, match="BackoffLimitExceeded") as failed:
        kube.create(
            JOB,
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "j", "namespace": "default"},
                "spec": {},
            },
        )
    assert time.monotonic() - started < 5
    assert failed.value.init is not None


@pytest.mark.parametrize(
    ("annotations", "ready"),
    [
        ({"pulumi.com/skipAwait": "true"}, True),
        ({"pulumi.com/waitFor": "jsonpath={.data.a}=1"}, True),
        ({"pulumi.com/waitFor": "jsonpath={.data.a}=2", "pulumi.com/timeoutSeconds": "1"}, False),
    ],
)
def test_annotations_decide_what_is_waited_for(
    kube: Client, annotations: dict[str, str], ready: bool
) -> None:
    inputs = config_map()
    inputs["metadata"]["annotations"] = annotations
    if ready:
        kube.create(CONFIG_MAP, inputs)
        return
    with pytest.raises(Failed, match=r"timed out after 1 s.*is 1, not 2") as failed:
        kube.create(CONFIG_MAP, inputs)
    assert failed.value.init is not None


def test_cancelling_ends_the_wait_at_once_and_keeps_the_object(kube: Client) -> None:
    timer = threading.Timer(0.3, kube.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Failed, match="cancelled") as failed:
        kube.create(DEPLOYMENT, deployment(), timeout=60)
    timer.join()
    assert time.monotonic() - started < 5
    assert failed.value.init is not None
    assert failed.value.init.id == "default/app"


def test_progress_is_told_while_something_is_waited_for(kube: Client, api: FakeApi) -> None:
    with pytest.raises(Failed):
        kube.create(DEPLOYMENT, deployment(), timeout=1)
    told = [message for message in kube.messages if message.ephemeral]
    assert any("waiting for apps/v1/Deployment default/app" in message.text for message in told)
    assert {message.urn for message in told} == {urn(DEPLOYMENT)}


# Preview.


def test_a_preview_asks_the_server_and_writes_nothing(kube: Client, api: FakeApi) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "namespace": "default"},
        "spec": {"ports": [{"port": 1}]},
    }
    resource_id, state = kube.create(SERVICE, service, preview=True)
    assert resource_id == ""
    assert state["spec"]["type"] == "ClusterIP"
    assert "status" not in state
    assert api.writes() == []


@pytest.mark.parametrize(
    "inputs",
    [
        config_map(data={"a": UNKNOWN}),
        config_map() | {"metadata": {"name": "cm", "namespace": "not-there-yet"}},
    ],
)
def test_a_preview_that_cannot_know_returns_the_inputs(kube: Client, inputs: dict[str, Any]) -> None:
    assert kube.create(CONFIG_MAP, inputs, preview=True) == ("", inputs)


def test_a_preview_of_a_kind_that_comes_with_the_update_returns_the_inputs(kube: Client) -> None:
    inputs = {
        "apiVersion": "test.dev/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default"},
    }
    assert kube.create(WIDGET, inputs, preview=True) == ("", inputs)


def test_a_preview_shows_what_the_server_would_refuse(kube: Client, api: FakeApi) -> None:
    api.refuse = lambda method, path, body: (422, "Invalid", "spec.x: required") if method == "POST" else None
    with pytest.raises(Failed, match=r"spec\.x: required"):
        kube.create(CONFIG_MAP, config_map(), preview=True)
    api.refuse = lambda method, path, body: (
        (500, "InternalError", "webhook down") if method == "POST" else None
    )
    assert kube.create(CONFIG_MAP, config_map(), preview=True)[1] == config_map()


def test_a_preview_of_an_update_writes_nothing(kube: Client, api: FakeApi) -> None:
    _, state = kube.create(ROLE, role("get"))
    before = len(api.writes())
    found = kube.update(ROLE, state, role("list"), preview=True)
    assert found["rules"][0]["verbs"] == ["list"]
    assert len(api.writes()) == before


# Diff.


def role(*verbs: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": "default"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": list(verbs)}],
    }


def test_defaults_dropped_values_and_quantities_are_no_change(kube: Client, api: FakeApi) -> None:
    api.after_write = roll_out
    inputs = deployment(hostNetwork=False)
    _, state = kube.create(DEPLOYMENT, inputs)
    live = api.objects["/apis/apps/v1/namespaces/default/deployments/app"]
    assert "hostNetwork" not in live["spec"]["template"]["spec"], "the server drops it"
    assert kube.changes(DEPLOYMENT, state, inputs) == set()
    _, state, kept = kube.read(DEPLOYMENT, "default/app", state, inputs)
    assert kube.changes(DEPLOYMENT, state, inputs) == set()
    assert kept == inputs, "the engine would write its state for each such resource"
    assert "spec.template.spec.hostNetwork" in kube.changes(DEPLOYMENT, state, deployment(hostNetwork=True))


def test_text_and_data_of_a_secret_are_the_same_thing(kube: Client) -> None:
    inputs = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default"},
        "stringData": Secret({"a": "1"}),
    }
    resource_id, state = kube.create(SECRET, inputs)
    assert state["data"] == Secret({"a": "MQ=="})
    assert kube.read(SECRET, resource_id, state, inputs)[2] == inputs
    assert isinstance(state["__inputs"]["data"], Secret)
    assert kube.changes(SECRET, state, inputs) == set()
    as_data = {key: value for key, value in inputs.items() if key != "stringData"} | {
        "data": Secret({"a": "MQ=="})
    }
    assert kube.changes(SECRET, state, as_data) == set()


def test_no_secret_is_plain_in_a_state(kube: Client) -> None:
    inputs, _ = kube.check(
        SECRET,
        {"metadata": {"name": "s"}, "stringData": {"token": Secret("hunter2hunter2"), "b": Secret("x y")}},
    )
    _, state = kube.create(SECRET, inputs)
    _, read, kept = kube.read(SECRET, "default/s", state, inputs)
    for found in (state, read, kept):
        assert "hunter2" not in _plain_text(found)
        assert "aHVudGVyMmh1bnRlcjI" not in _plain_text(found)


def _plain_text(value: Any) -> str:
    if isinstance(value, Secret):
        return ""
    if isinstance(value, dict):
        return " ".join(f"{key} {_plain_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(map(_plain_text, value))
    return str(value)


@pytest.mark.parametrize("immutable", [True, False])
def test_new_data_replaces_a_secret_under_a_new_name(kube: Client, immutable: bool) -> None:
    def secret(token: str) -> dict[str, Any]:
        meta = {"name": "s-0", "namespace": "default", "annotations": {"pulumi.com/autonamed": "true"}}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": meta,
            "stringData": {"t": token},
            "immutable": immutable,
        }

    _, state = kube.create(SECRET, secret("1"))
    response = kube.diff(SECRET, state, secret("2"))
    assert response.replaces == ["data.t"]
    assert response.detailedDiff["data.t"].kind == UPDATE_REPLACE
    assert not response.deleteBeforeReplace


def test_an_object_with_a_fixed_name_is_deleted_before_its_replacement(kube: Client) -> None:
    _, state = kube.create(CONFIG_MAP, config_map())
    assert kube.diff(CONFIG_MAP, state, config_map(data={"a": "2"})).deleteBeforeReplace
    renamed = kube.diff(CONFIG_MAP, state, config_map("other", data={"a": "2"}))
    assert set(renamed.replaces) == {"metadata.name", "data.a"}
    assert not renamed.deleteBeforeReplace


def test_data_changes_in_place_where_the_provider_says_so(plugin: Client, api: FakeApi) -> None:
    plugin.configure(kubeconfig=api.kubeconfig(), enableConfigMapMutable="true")
    _, state = plugin.create(CONFIG_MAP, config_map())
    response = plugin.diff(CONFIG_MAP, state, config_map(data={"a": "2"}))
    assert list(response.detailedDiff) == ["data.a"]
    assert list(response.replaces) == []


def test_ignored_changes_are_none(kube: Client) -> None:
    _, state = kube.create(ROLE, role("get"))
    assert kube.diff(ROLE, state, role("list"), ["rules"]).changes == proto.DiffResponse.DIFF_NONE


def test_an_absent_namespace_is_the_default_one(kube: Client) -> None:
    _, state = kube.create(CONFIG_MAP, config_map())
    without = config_map()
    del without["metadata"]["namespace"]
    assert kube.changes(CONFIG_MAP, state, without) == set()


# Update.


def test_a_field_that_the_program_drops_is_removed_and_those_of_others_stay(
    kube: Client, api: FakeApi
) -> None:
    inputs = role("get")
    inputs["metadata"]["labels"] = {"keep": "1", "drop": "2"}
    _, state = kube.create(ROLE, inputs)
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/r"
    api.objects[path]["metadata"]["labels"]["theirs"] = "3"
    news = role("get")
    news["metadata"]["labels"] = {"keep": "1"}
    state = kube.update(ROLE, state, news)
    assert state["metadata"]["labels"] == {"keep": "1", "theirs": "3"}
    assert kube.changes(ROLE, state, news) == set()
    managers = [entry["manager"] for entry in api.objects[path]["metadata"]["managedFields"]]
    assert managers == [state["__fieldManager"]], "the creator's share went to the field manager"


@pytest.mark.parametrize("how", ["neither", "annotation", "provider"])
def test_a_conflict_is_an_error_unless_force_is_asked_for(plugin: Client, api: FakeApi, how: str) -> None:
    plugin.configure(kubeconfig=api.kubeconfig(), enablePatchForce="true" if how == "provider" else "false")
    inputs = role("get")
    if how == "annotation":
        inputs["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    _, state = plugin.create(ROLE, inputs)

    def refuse(method: str, path: str, body: Any) -> tuple[int, str, str] | None:
        query = api.requests[-1][2]
        if method == "PATCH" and query.get("force") == "false":
            return 409, "Conflict", 'conflict with "kubectl-edit": .rules'
        return None

    api.refuse = refuse
    inputs["rules"][0]["verbs"] = ["list"]
    if how == "neither":
        with pytest.raises(Failed, match=r"kubectl-edit.*patchForce.*enable_patch_force"):
            plugin.update(ROLE, state, inputs)
    else:
        assert plugin.update(ROLE, state, inputs)["rules"][0]["verbs"] == ["list"]


def test_a_definition_is_replaced_not_merged(kube: Client, api: FakeApi) -> None:
    def establish(obj: Object) -> None:
        obj["status"] = {"conditions": [{"type": "Established", "status": "True"}]}

    api.after_write = establish
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "w"},
    }
    schema = {"x-kubernetes-preserve-unknown-fields": True, "type": "object"}
    _, state = kube.create(CRD, crd | {"spec": {"schema": schema, "old": 1}})
    assert state["spec"]["schema"] == {"x_kubernetes_preserve_unknown_fields": True, "type": "object"}
    news = crd | {"spec": {"schema": {"x_kubernetes_preserve_unknown_fields": True}}}
    assert kube.changes(CRD, state, news) == {"spec.old", "spec.schema.type"}
    state = kube.update(CRD, state, news)
    assert state["spec"] == {"schema": {"x_kubernetes_preserve_unknown_fields": True}}
    assert ("PUT", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/w") in api.writes()


def test_an_ignored_field_keeps_its_live_value(kube: Client, api: FakeApi) -> None:
    api.after_write = roll_out
    inputs = deployment()
    inputs["spec"]["replicas"] = 1
    _, state = kube.create(DEPLOYMENT, inputs)
    path = "/apis/apps/v1/namespaces/default/deployments/app"
    api.objects[path]["spec"]["replicas"] = 7
    inputs["spec"]["template"]["metadata"]["labels"]["new"] = "1"
    api.after_write = lambda obj: obj.update(
        status={
            "observedGeneration": 99,
            "replicas": 7,
            "updatedReplicas": 7,
            "availableReplicas": 7,
        }
    )
    kube.update(DEPLOYMENT, state, inputs, ignore=["spec.replicas"])
    assert api.objects[path]["spec"]["replicas"] == 7


def test_an_update_of_something_deleted_says_so(kube: Client, api: FakeApi) -> None:
    _, state = kube.create(ROLE, role("get"))
    api.objects.clear()
    with pytest.raises(Failed, match="not in the cluster any more; run `pulumi refresh`"):
        kube.update(ROLE, state, role("list"))


# Read.


def test_a_refresh_finds_what_was_deleted(kube: Client, api: FakeApi) -> None:
    _, state = kube.create(CONFIG_MAP, config_map())
    api.objects.pop("/api/v1/namespaces/default/configmaps/cm")
    assert kube.read(CONFIG_MAP, "default/cm", state, config_map())[0] == ""


def test_a_refresh_of_a_kind_that_is_gone_finds_nothing(kube: Client) -> None:
    assert kube.read(WIDGET, "default/w", {"apiVersion": "test.dev/v1", "kind": "Widget"}, {})[0] == ""


def test_a_refresh_finds_drift_and_the_diff_restores_it(kube: Client, api: FakeApi) -> None:
    inputs = role("get")
    inputs["metadata"]["labels"] = {"a": "1", "b": "2"}
    _, state = kube.create(ROLE, inputs)
    live = api.objects["/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/r"]
    live["rules"].append({"verbs": ["*"]})
    live["metadata"]["labels"] = {"a": "9", "theirs": "x"}
    live["metadata"]["managedFields"] = [{"manager": "x", "operation": "Update", "fieldsV1": {"f:rules": {}}}]
    resource_id, state, kept = kube.read(ROLE, "default/r", state, inputs)
    assert resource_id == "default/r"
    assert kept["metadata"]["labels"] == {"a": "9"}
    assert kept["rules"] != inputs["rules"]
    assert kube.changes(ROLE, state, inputs) == {"rules[1]", "metadata.labels.a", "metadata.labels.b"}


def test_a_refresh_of_an_object_that_is_not_ready_reports_it(kube: Client, api: FakeApi) -> None:
    api.after_write = roll_out
    _, state = kube.create(DEPLOYMENT, deployment())
    path = "/apis/apps/v1/namespaces/default/deployments/app"
    api.objects[path]["status"]["availableReplicas"] = 0
    with pytest.raises(Failed, match="0 of 1 Pods are available") as failed:
        kube.read(DEPLOYMENT, "default/app", state, deployment())
    assert failed.value.state()["kind"] == "Deployment"


def test_an_import_takes_what_the_program_could_have_said(kube: Client, api: FakeApi) -> None:
    kube.create(CONFIG_MAP, config_map())
    resource_id, state, inputs = kube.read(CONFIG_MAP, "default/cm")
    assert resource_id == "default/cm"
    assert inputs == config_map()
    assert state["__inputs"] == config_map()
    assert kube.changes(CONFIG_MAP, state, inputs) == set()
    assert kube.read(CONFIG_MAP, "cm")[1]["metadata"]["namespace"] == "default"


def test_an_imported_secret_is_secret(kube: Client) -> None:
    kube.create(
        SECRET,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "default"},
            "stringData": {"a": "1"},
        },
    )
    _, state, inputs = kube.read(SECRET, "default/s")
    assert isinstance(state["data"], Secret)
    assert isinstance(state["__inputs"]["data"], Secret)
    assert isinstance(inputs["data"], Secret)


# Delete.


def test_deletion_waits_until_the_object_is_gone(kube: Client, api: FakeApi) -> None:
    _, state = kube.create(CONFIG_MAP, config_map())
    path = "/api/v1/namespaces/default/configmaps/cm"
    api.finalize = lambda _: False
    timer = threading.Timer(0.3, lambda: api.objects.pop(path))
    timer.start()
    started = time.monotonic()
    kube.delete(CONFIG_MAP, "default/cm", state)
    timer.join()
    assert time.monotonic() - started >= 0.25
    body = next(body for method, _, _, body in api.requests if method == "DELETE")
    assert body["propagationPolicy"] == "Foreground"
    assert body["preconditions"] == {"uid": state["metadata"]["uid"]}
    kube.delete(CONFIG_MAP, "default/cm", state)


def test_deletion_that_does_not_end_names_the_finalizers(kube: Client, api: FakeApi) -> None:
    inputs = config_map()
    inputs["metadata"] |= {"finalizers": ["stuck/forever"], "annotations": {"pulumi.com/timeoutSeconds": "1"}}
    _, state = kube.create(CONFIG_MAP, inputs)
    api.finalize = lambda _: False
    with pytest.raises(Failed, match=r"timed out after 1 s.*finalizers stuck/forever"):
        kube.delete(CONFIG_MAP, "default/cm", state)


@pytest.mark.parametrize(
    ("annotation", "policy"), [("background", "Background"), ("Orphan", "Orphan"), ("", "Foreground")]
)
def test_the_propagation_of_a_deletion_can_be_chosen(
    kube: Client, api: FakeApi, annotation: str, policy: str
) -> None:
    inputs = config_map()
    inputs["metadata"]["annotations"] = {"pulumi.com/deletionPropagationPolicy": annotation}
    _, state = kube.create(CONFIG_MAP, inputs)
    kube.delete(CONFIG_MAP, "default/cm", state)
    assert [body["propagationPolicy"] for method, _, _, body in api.requests if method == "DELETE"] == [
        policy
    ]


def test_an_object_made_under_the_same_name_is_left_alone(kube: Client, api: FakeApi) -> None:
    _, state = kube.create(CONFIG_MAP, config_map())
    api.refuse = lambda method, *_: (409, "Conflict", "uid differs") if method == "DELETE" else None
    kube.delete(CONFIG_MAP, "default/cm", state)
    assert "/api/v1/namespaces/default/configmaps/cm" in api.objects


# A cluster that does not answer.

NOBODY = (
    '{"current-context":"a","contexts":[{"name":"a","context":{"cluster":"a"}}],'
    '"clusters":[{"name":"a","cluster":{"server":"http://127.0.0.1:1"}}]}'
)


def test_an_unreachable_cluster_is_named_with_the_way_out(plugin: Client) -> None:
    plugin.configure(kubeconfig=NOBODY)
    for attempt in (
        lambda: plugin.create(CONFIG_MAP, config_map()),
        lambda: plugin.read(CONFIG_MAP, "default/cm", {}, config_map()),
        lambda: plugin.delete(CONFIG_MAP, "default/cm", config_map()),
    ):
        with pytest.raises(Failed, match=r"unreachable.*127\.0\.0\.1:1.*PULUMI_K8S_DELETE_UNREACHABLE"):
            attempt()


def test_a_preview_without_a_cluster_still_works(plugin: Client) -> None:
    plugin.configure(kubeconfig=NOBODY)
    inputs, failures = plugin.check(CONFIG_MAP, {"metadata": {"name": "cm"}, "data": {}})
    assert not failures
    assert inputs["metadata"]["namespace"] == "default"
    assert "namespace" not in plugin.check(CLUSTER_ROLE, {"metadata": {"name": "x"}})[0]["metadata"]
    assert plugin.create(CONFIG_MAP, inputs, preview=True) == ("", inputs)


def test_objects_of_a_cluster_that_is_gone_can_be_let_go(plugin: Client) -> None:
    plugin.configure(kubeconfig=NOBODY, deleteUnreachable="true")
    plugin.delete(CONFIG_MAP, "default/cm", config_map())
    assert plugin.read(CONFIG_MAP, "default/cm", {}, config_map())[0] == ""
    assert any("removed from the state only" in message.text for message in plugin.messages)


def test_refused_credentials_are_an_unreachable_cluster(kube: Client, api: FakeApi) -> None:
    api.refuse = lambda *_: (401, "Unauthorized", "who are you")
    with pytest.raises(Failed, match="refuses the credentials: who are you"):
        kube.create(CONFIG_MAP, config_map())


def test_a_server_that_hangs_up_is_told_in_words(kube: Client, api: FakeApi) -> None:
    def hang_up(*_: Any) -> None:
        raise ConnectionAbortedError

    api.refuse = hang_up
    with pytest.raises(Failed, match=r"no answer from http://\S+: Remote end closed connection without"):
        kube.create(CONFIG_MAP, config_map())


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_busy_server_is_asked_again(kube: Client, api: FakeApi, method: str, status: int) -> None:
    refusals = iter([(status, "Busy", "slow down")] * 2)
    asked = []

    def refuse(verb: str, path: str, *_: Any) -> tuple[int, str, str] | None:
        if verb != method or not path.endswith("/configmaps" if verb == "POST" else "/configmaps/cm"):
            return None
        asked.append(path)
        return next(refusals, None)

    api.refuse = refuse
    made = kube.create(CONFIG_MAP, config_map())
    if method == "GET":
        asked.clear()
        kube.read(CONFIG_MAP, made[0], made[1], config_map())
    assert len(asked) == 3


def test_taking_over_joins_the_creator_s_share_with_ours() -> None:
    entries = [
        {"manager": "pulumi-kubernetes", "operation": "Update", "fieldsV1": {"f:spec": {"f:a": {}}}},
        {"manager": "mine", "operation": "Apply", "fieldsV1": {"f:spec": {"f:b": {}}}},
        {"manager": "controller", "operation": "Update", "fieldsV1": {"f:status": {}}},
        {"manager": "pulumi-kubernetes", "operation": "Update", "subresource": "status", "fieldsV1": {}},
    ]
    found = apply.taken_over(entries, "mine")
    assert found is not None
    assert found[-1] == {
        "manager": "mine",
        "operation": "Apply",
        "fieldsV1": {"f:spec": {"f:a": {}, "f:b": {}}},
    }
    assert len(found) == 3
    assert apply.taken_over(found, "mine") is None


def test_what_is_said_while_waiting_holds_no_secret(kube: Client) -> None:
    inputs = config_map(data={"t": Secret("hunter2hunter2")})
    inputs["metadata"]["annotations"] = {
        "pulumi.com/waitFor": "jsonpath={.data.t}=no",
        "pulumi.com/timeoutSeconds": "1",
    }
    with pytest.raises(Failed) as failed:
        kube.create(CONFIG_MAP, inputs)
    assert "hunter2" not in str(failed.value)
    assert failed.value.init is not None
    assert "hunter2" not in " ".join(failed.value.init.reasons)
    assert "hunter2" not in " ".join(message.text for message in kube.messages)
