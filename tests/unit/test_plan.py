"""`plan` runs the real program without engine, cluster or network, and shows no secret."""

from __future__ import annotations

import base64
import contextvars
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import get_root_resource
from pulumi.runtime.proto import resource_pb2
from rich.console import Console

from cli import manifests, offline
from cli.compare import diff
from cli.highlights import highlights, label, ranges
from cli.offline import Plan, Resource
from cli.plan import plan as show
from cli.plan import to_json
from cli.recorder import SECRET_TYPE, Registration, record
from cli.stacks import MASK, load
from cli.wire import UNKNOWN
from infra.problems import SettingsError

ROOT = Path(__file__).resolve().parents[2]
KUBECONFIG_TOKEN = "kubeconfig-token-31f7"
NETRC_PASSWORD = 'netrc "password" 8c1e'
HUB_TOKEN = "hub-token-a551"
JOB_VALUE = "job-value-06d2"
PASSWORDS = (KUBECONFIG_TOKEN, NETRC_PASSWORD, HUB_TOKEN, JOB_VALUE)
KUBECONFIG = json.dumps(
    {
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": KUBECONFIG_TOKEN}}],
    }
)
STACK: dict[str, Any] = {
    "rayfort:cluster": {"kubeconfig": KUBECONFIG, "context": "here"},
    "rayfort:mesh": {"tracing": {"samplingPercentage": 5}},
    "rayfort:workspaces": [
        {
            "name": "team-a",
            "netrc": [{"machine": "git.example.com", "login": "bot", "password": NETRC_PASSWORD}],
            "clusters": [
                {"name": "ray", "autoscaling": True, "workerGroups": [{"name": "cpu", "maxReplicas": 4}]},
                {"name": "old", "auth": {"source": "env"}},
                {"name": "own", "auth": {"source": "operator"}},
            ],
        },
        {"name": "team-b", "namespace": "elsewhere"},
    ],
    "rayfort:kbatch": {"users": ["alice"], "hubApiToken": HUB_TOKEN, "jobEnv": {"KEY": JOB_VALUE}},
}


def project(directory: Path, config: dict[str, Any] = STACK) -> Path:
    """A project with one stack, ``dev``."""
    (directory / "stacks").mkdir(exist_ok=True)
    shutil.copy(ROOT / "Pulumi.yaml", directory)
    (directory / "stacks" / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
    return directory


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return offline.plan(load(project(tmp_path_factory.mktemp("project")), "dev"))


def run(root: Path, stack: str = "dev", **options: Any) -> tuple[int, str]:
    """The exit code and what is printed."""
    out = io.StringIO()
    console = Console(file=out, width=80)
    arguments: dict[str, Any] = {"json_output": False, "manifests": None, "force": False, **options}
    return show(root, stack, console=console, **arguments), out.getvalue()


def find(plan: Plan, name: str) -> Resource:
    """The resource with this kind, namespace and name; these are in Kubernetes, not in Pulumi."""
    return next(
        resource for resource in plan.resources if label(resource) == name and resource.role == "resource"
    )


def token_secret(plan: Plan) -> Resource:
    """The Secret of cluster ``ray``, whose name is a hash of a token that is not known yet."""
    ray = find(plan, "RayCluster team-a/ray")
    secrets = (item for item in of_kind(plan, "Secret") if item.unknown_keys == ("metadata.name",))
    return next(item for item in secrets if str(item.component).startswith(f"{ray.component}/"))


def of_kind(plan: Plan, kind: str) -> list[Resource]:
    return [resource for resource in plan.resources if resource.kind == kind]


# --- the plan


@pytest.mark.parametrize("stack", ["sandbox", "existing"])
def test_the_stacks_of_this_project_are_planned_without_a_network(
    stack: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a plan is offline")

    for name in ("connect", "connect_ex", "bind", "listen"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setenv("HOME", str(tmp_path))  # no kubeconfig
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    plan = offline.plan(load(ROOT, stack))
    assert {"PeerAuthentication", "RayCluster", "Release", "NetworkPolicy"} <= {
        resource.kind for resource in plan.resources
    }
    assert not plan.problems
    assert any("is not read" in note for note in plan.notes)


def test_the_same_stack_gives_the_same_bytes(tmp_path: Path) -> None:
    outputs = set()
    code = """
import sys
from pathlib import Path
from rich.console import Console
from cli.plan import plan
root = Path(sys.argv[1])
sys.exit(plan(root, "dev", json_output=True, manifests=None, force=False, console=Console()))
"""
    for seed in ("1", "2"):
        home = tmp_path / seed
        home.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", code, str(project(home))],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        )
        assert done.stderr == b""
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_components_come_before_what_they_make_and_dependencies_before_what_needs_them(planned: Plan) -> None:
    seen: set[str | None] = {None}
    for resource in planned.resources:
        assert resource.component in seen
        assert set(resource.depends_on) <= seen
        assert resource.path not in seen
        seen.add(resource.path)


def test_resources_stand_in_the_order_of_the_program(planned: Plan) -> None:
    top = [resource.name for resource in planned.resources if resource.component is None]
    assert top == ["cluster", "mesh", "team-a", "team-b", "kuberay", "team-a", "team-b", "kbatch"]


def test_every_kubernetes_resource_uses_the_clusters_own_provider(planned: Plan) -> None:
    provider = next(resource for resource in planned.resources if resource.role == "provider")
    for resource in planned.resources:
        if resource.type.startswith("kubernetes:"):
            assert resource.options["provider"] == provider.path


def test_what_transforms_and_options_say_is_in_the_plan(planned: Plan, tmp_path: Path) -> None:
    (definitions,) = of_kind(planned, "ConfigGroup")
    assert definitions.options["retainOnDelete"] is True
    without = project(tmp_path, {**STACK, "rayfort:operator": {"retainCrds": False}})
    (definitions,) = of_kind(offline.plan(load(without, "dev")), "ConfigGroup")
    assert "retainOnDelete" not in definitions.options
    ray = find(planned, "RayCluster team-a/ray")
    assert ray.options["ignoreChanges"] == [
        "spec.workerGroupSpecs[0].replicas",
        "spec.workerGroupSpecs[0].scaleStrategy",
    ]


def test_what_only_a_cluster_knows_is_marked(planned: Plan) -> None:
    ray = find(planned, "RayCluster team-a/ray")
    assert ray.inputs["spec"]["authOptions"] == {"mode": "token", "secretName": UNKNOWN}
    assert ray.unknown_keys == ("spec.authOptions.secretName",)


def test_secrets_keep_the_names_of_their_entries(planned: Plan) -> None:
    for secret, entry, key in (
        (find(planned, "Secret team-a/netrc-secret"), ".netrc", 'stringData[".netrc"]'),
        (token_secret(planned), "auth_token", "stringData.auth_token"),
    ):
        assert secret.inputs["stringData"] == {entry: MASK}
        assert secret.secret_keys == (key,)
    (proxy,) = [each for each in of_kind(planned, "Secret") if each.name == "kbatch"]
    assert proxy.inputs["stringData"] == {"JUPYTERHUB_API_TOKEN": MASK, "KBATCH_JOB_EXTRA_ENV": MASK}


def test_numbers_are_whole_where_they_are_whole(planned: Plan) -> None:
    service = find(planned, "Service team-a/ray-headless-svc")
    assert all(type(port["port"]) is int for port in service.inputs["spec"]["ports"])


def test_token_outputs_are_secret_and_addresses_are_not(planned: Plan) -> None:
    assert planned.outputs["rayTokens"] == MASK
    assert planned.outputs["rayClusters"]["team-a"]["own"]["address"].startswith("ray://")


def test_a_weakened_stack_says_so(tmp_path: Path) -> None:
    root = project(tmp_path, {**STACK, "rayfort:mesh": {"mtls": "PERMISSIVE"}})
    code, text = run(root)
    assert code == 0
    assert "Weakened: rayfort:mesh.mtls: PERMISSIVE" in text


def test_encrypted_values_are_counted_and_shown_as_masks(tmp_path: Path) -> None:
    config = json.loads(json.dumps(STACK))
    config["rayfort:workspaces"][0]["netrc"][0]["password"] = {"secure": "v1:abc"}
    config["rayfort:cluster"]["kubeconfig"] = {"secure": "v1:def"}
    plan = offline.plan(load(project(tmp_path, config), "dev"))
    assert plan.notes == (
        f"2 encrypted values are not decrypted and shown as {MASK}",
        "the kubeconfig (the encrypted one) is not read; `doctor` checks it",
    )
    (netrc,) = [resource for resource in of_kind(plan, "Secret") if resource.name == "team-a-netrc"]
    assert netrc.inputs["stringData"] == {".netrc": MASK}


def test_an_encrypted_value_that_cannot_be_checked_is_explained(tmp_path: Path) -> None:
    config = {**STACK, "rayfort:mesh": {"version": {"secure": "v1:abc"}}}
    with pytest.raises(SettingsError) as caught:
        offline.plan(load(project(tmp_path, config), "dev"))
    assert "rayfort:mesh.version" in str(caught.value)
    assert "holds encrypted values, which are not read here" in str(caught.value)


def test_a_key_that_is_encrypted_as_a_whole_cannot_be_planned(tmp_path: Path) -> None:
    config = {**STACK, "rayfort:workspaces": {"secure": "v1:abc"}}
    with pytest.raises(SettingsError, match="rayfort:workspaces: is encrypted as a whole"):
        offline.plan(load(project(tmp_path, config), "dev"))


def test_planning_leaves_the_callers_pulumi_alone(tmp_path: Path) -> None:
    stack = load(project(tmp_path), "dev")
    before = get_root_resource()
    context = contextvars.copy_context()
    first, second = offline.plan(stack), context.run(offline.plan, stack)
    assert first == second
    assert get_root_resource() is before


def test_objects_that_are_described_twice_are_a_problem(
    planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = replace(find(planned, "NetworkPolicy team-a/default-deny"), path="elsewhere")
    problems = offline._duplicates([*planned.resources, twin])
    assert problems == ["networking.k8s.io NetworkPolicy team-a default-deny is described 2 times"]
    monkeypatch.setattr("cli.plan.make", lambda _: replace(planned, problems=tuple(problems)))
    code, text = run(project(tmp_path))
    assert code == 1
    assert text.endswith(f"Problem: {problems[0]}\n")


# --- what the wire format says


@st.composite
def graphs(draw: st.DrawFn) -> list[set[int]]:
    """For each node, the earlier nodes that it depends on."""
    size = draw(st.integers(1, 12))
    return [set(draw(st.sets(st.integers(0, node - 1)))) if node else set() for node in range(size)]


@given(graphs())
def test_dropping_indirect_dependencies_keeps_the_order(graph: list[set[int]]) -> None:
    registrations = [
        Registration(
            str(node),
            resource_pb2.RegisterResourceRequest(dependencies=[str(other) for other in before]),
            [],
            node,
            {},
        )
        for node, before in enumerate(graph)
    ]
    order = offline._Order(registrations)
    direct = [{int(other) for other in order.direct(str(node))} for node in range(len(graph))]

    def closure(edges: list[set[int]]) -> list[set[int]]:
        reached: list[set[int]] = []
        for before in edges:
            reached.append(before.union(*(reached[other] for other in before)))
        return reached

    assert closure(direct) == closure(graph)
    assert all(fewer <= more for fewer, more in zip(direct, graph, strict=True))


@given(st.sets(st.integers(1, 300)))
def test_ranges_name_every_number_once(numbers: set[int]) -> None:
    named: list[int] = []
    for part in filter(None, ranges(numbers).split(", ")):
        first, _, last = part.partition("-")
        named.extend(range(int(first), int(last or first) + 1))
    assert named == sorted(numbers)


def odd_program() -> None:
    """Values that are unknown, or secret, where a whole object is expected."""
    password = random.RandomPassword("password", length=8)
    unknown: Any = password.result.apply(lambda text: {"of": text})
    hidden: Any = pulumi.Output.secret({"repo": "https://charts.example.com"})
    for kind in ("NetworkPolicy", "AuthorizationPolicy", "PeerAuthentication", "Sidecar", "RayCluster"):
        k8s.apiextensions.CustomResource(
            kind.lower(), api_version="odd.example.com/v1", kind=kind, metadata={"name": "odd"}, spec=unknown
        )
    k8s.core.v1.Namespace("namespace", metadata=unknown)
    k8s.core.v1.Secret("whole", metadata={"name": "whole"}, data=unknown)
    k8s.core.v1.Service("service", spec={"ports": [{"port": password.length, "app_protocol": password.id}]})
    k8s.helm.v3.Release("release", chart="x", values=unknown, repository_opts=hidden)
    pulumi.export("resource", password)
    pulumi.log.warn("look here")
    pulumi.log.error("this is wrong")


def test_unknown_and_secret_objects_are_shown_as_what_they_are() -> None:
    recording = record(odd_program, "project", "odd")
    resources = tuple(offline._resources(recording))
    assert (recording.warnings, recording.errors) == (["look here"], ["this is wrong"])
    plan = Plan("odd", resources, {}, (), (), ())
    by_name = {resource.name: resource for resource in resources}
    assert by_name["networkpolicy"].inputs["spec"] == UNKNOWN
    assert by_name["whole"].inputs["data"] == MASK
    assert highlights(by_name["networkpolicy"]) == ["details known after up"]
    assert all(label(resource) and highlights(resource) is not None for resource in resources)
    written = documents(manifests.render(plan))
    assert written["_cluster/secret-whole.yaml"]["data"] == MASK  # no API server takes a text here
    assert written["_cluster/namespace-namespace.yaml"]["metadata"]["name"] == UNKNOWN
    assert written["_cluster/release-release.yaml"]["spec"]["repository"] == MASK
    assert to_json(plan)


def test_what_only_an_engine_could_answer_is_refused() -> None:
    with pytest.raises(RuntimeError, match="asks a provider for kubernetes:yaml:decode"):
        record(asking, "project", "odd")

    def changed(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
        return pulumi.ResourceTransformResult(props={**args.props, "length": 9}, opts=args.opts)

    def program() -> None:
        random.RandomPassword("x", length=8, opts=pulumi.ResourceOptions(transforms=[changed]))

    with pytest.raises(RuntimeError, match="a transform of x changes its inputs"):
        record(program, "project", "odd")


def asking() -> None:
    pulumi.runtime.invoke("kubernetes:yaml:decode", {"text": ""})


# --- secrets


def renderings(root: Path, directory: Path) -> Iterator[str]:
    """Everything that `plan` can say about a stack."""
    for options in ({}, {"json_output": True}, {"manifests": directory}):
        code, text = run(root, **options)
        assert code == 0
        yield text
    for file in directory.rglob("*"):
        if file.is_file():
            yield file.read_text()
    yield repr(offline.plan(load(root, "dev")))


def test_no_rendering_holds_a_secret_in_any_form(tmp_path: Path) -> None:
    root = project(tmp_path)
    shown = "\n".join(renderings(root, tmp_path / "out"))
    assert MASK in shown
    for password in PASSWORDS:
        assert password not in shown
        assert json.dumps(password)[1:-1] not in shown
        for shift in range(3):  # base64 of the password, wherever it begins in a text
            encoded = base64.b64encode(b"\0" * shift + password.encode()).decode()
            assert encoded[4 * (shift > 0) : -4] not in shown


def test_the_search_for_secrets_finds_what_leaks(tmp_path: Path) -> None:
    # A password where no secret belongs is shown: the test above looks at the real thing.
    config = json.loads(json.dumps(STACK))
    config["rayfort:workspaces"][0]["clusters"][0]["head"] = {"env": {"LEAK": JOB_VALUE}}
    shown = "\n".join(renderings(project(tmp_path, config), tmp_path / "out"))
    assert JOB_VALUE in shown


# --- the command


def test_the_tree_names_what_a_security_review_asks_for(tmp_path: Path) -> None:
    code, text = run(project(tmp_path))
    assert code == 0
    for line in (
        "PeerAuthentication istio-system/default  mTLS STRICT",
        "Release istio-system/istiod  TLS 1.3 or newer; traces to jaeger; chart istiod",
        "NetworkPolicy team-a/default-deny  nothing in; nothing out",
        "AuthorizationPolicy team-a/allow-nothing  nothing is allowed",
        "AuthorizationPolicy team-a/ray-nodes  allow team-a/ray-head, team-a/ray-worker on every port",
        "Secret team-a/netrc-secret  entries .netrc",
        f"RayCluster team-a/ray  token of Secret {UNKNOWN}; workers cpu 1-4",
        f"RayCluster team-a/old  token of Secret {UNKNOWN}, by environment",
        "RayCluster team-a/own  token made by the operator",
        "ConfigGroup kuberay-crds  objects of ray.io_rayclusters.yaml",
        "kept on destroy",
        "Service team-a/ray-headless-svc  headless; ports 6380-6383, 8080,",
        "RoleBinding kbatch-alice/kbatch-proxy  Role kbatch-proxy to ServiceAccount batch-system/",
        "Outputs: kbatch, rayClusters, rayTokens (secret), versions, weakened",
    ):
        assert line in text, line


def test_a_cluster_without_authentication_would_be_named(planned: Plan) -> None:
    ray = find(planned, "RayCluster team-a/ray")
    for options in (None, {}, {"mode": "disabled"}):
        weak = replace(ray, inputs={**ray.inputs, "spec": {**ray.inputs["spec"], "authOptions": options}})
        assert highlights(weak)[0] == "no authentication"


def test_every_line_has_one_resource_where_there_is_no_terminal(planned: Plan, tmp_path: Path) -> None:
    _, text = run(project(tmp_path))
    above = text.partition("\nOutputs:")[0].splitlines()
    assert len(above) == len(planned.resources) + 1
    for resource in planned.resources:
        assert any(label(resource) in line for line in above)


def test_counts_are_those_of_the_plan(planned: Plan, tmp_path: Path) -> None:
    _, text = run(project(tmp_path))
    components = sum(resource.role == "component" for resource in planned.resources)
    assert text.startswith(f"dev: {len(planned.resources) - components} resources in {components} components")
    inside = [
        resource
        for resource in planned.resources
        if resource.path.startswith("RayWorkspace:team-a/") and resource.role != "component"
    ]
    assert f"RayWorkspace team-a ({len(inside)})" in text


def test_the_json_has_the_promised_keys(tmp_path: Path) -> None:
    code, text = run(project(tmp_path), json_output=True)
    assert code == 0
    said = json.loads(text)
    assert list(said) == ["format", "stack", "resources", "outputs", "weakened", "notes", "problems"]
    assert said["format"] == 1
    for resource in said["resources"]:
        assert list(resource) == [
            "path", "type", "name", "role", "component", "inputs", "secretKeys", "unknownKeys", "dependsOn",
            "options",
        ]  # fmt: skip
        assert "urn:pulumi" not in json.dumps(resource)
    assert said["weakened"] == said["outputs"]["weakened"]


def test_the_json_is_that_of_the_plan_and_names_no_directory(planned: Plan, tmp_path: Path) -> None:
    root = project(tmp_path)
    assert run(root, json_output=True)[1].strip() == to_json(planned)
    assert str(tmp_path) not in to_json(offline.plan(load(ROOT, "sandbox")))
    assert str(ROOT) not in to_json(offline.plan(load(ROOT, "sandbox")))


@pytest.mark.parametrize("options", [{}, {"json_output": True}])
def test_invalid_settings_are_listed_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any]
) -> None:
    config = {**STACK, "rayfort:mesh": {"mtl": "STRICT", "minTls": "TLSV9"}}
    code, text = run(project(tmp_path, config), manifests=tmp_path / "out", **options)
    assert code == 2
    assert text == ""
    said = capsys.readouterr().err
    assert "2 mistakes" in said
    assert "rayfort:mesh.mtl: is not a setting; did you mean mtls?" in said
    assert "rayfort:mesh.minTls" in said
    assert not (tmp_path / "out").exists()


def test_an_unknown_stack_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = run(project(tmp_path), stack="dve")
    assert code == 2
    assert "did you mean dev?" in capsys.readouterr().err


# --- manifests


@pytest.fixture(scope="module")
def files(planned: Plan) -> dict[str, str]:
    return manifests.render(planned)


def documents(files: dict[str, str]) -> dict[str, Any]:
    return {path: yaml.safe_load(text) for path, text in files.items()}


def test_every_object_has_a_file_where_it_is_looked_for(planned: Plan, files: dict[str, str]) -> None:
    objects = [resource for resource in planned.resources if "apiVersion" in resource.inputs]
    others = of_kind(planned, "Release") + of_kind(planned, "ConfigGroup")
    assert len(files) == len(objects) + len(others)
    assert {
        "_cluster/namespace-team-a.yaml",
        "_cluster/files-kuberay-crds.yaml",
        "istio-system/release-istiod.yaml",
        "istio-system/peerauthentication-default.yaml",
        "team-a/raycluster-ray.yaml",
        "team-a/secret-netrc-secret.yaml",
        f"team-a/secret-{token_secret(planned).name}.yaml",
        "elsewhere/networkpolicy-default-deny.yaml",
    } <= files.keys()


def test_every_manifest_is_one_object_in_the_form_of_kubernetes(files: dict[str, str]) -> None:
    for path, document in documents(files).items():
        assert list(document)[:3] == ["apiVersion", "kind", "metadata"], path
        assert document["metadata"]["name"], path
        namespace = document["metadata"].get("namespace", "_cluster")
        assert path.startswith(f"{namespace}/{document['kind'].lower()}-"), path
        assert not [key for key in keys_of(document.get("spec", {}).get("template", {})) if "_" in key], path


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys_of(item)


def test_a_manifest_says_what_pulumi_applies(planned: Plan, files: dict[str, str]) -> None:
    service = find(planned, "Service team-a/ray-headless-svc")
    assert yaml.safe_load(files["team-a/service-ray-headless-svc.yaml"]) == service.inputs


def test_a_masked_secret_cannot_be_applied_by_accident(files: dict[str, str]) -> None:
    secrets = [document for document in documents(files).values() if document["kind"] == "Secret"]
    assert len(secrets) == 4
    for secret in secrets:
        assert "stringData" not in secret
        assert secret["metadata"]["annotations"][manifests.MASKED_ANNOTATION]
        for value in secret["data"].values():
            with pytest.raises(ValueError, match=r"base64|alphabet|padding"):
                base64.b64decode(value, validate=True)


def test_what_is_not_known_yet_is_named_in_an_annotation(planned: Plan, files: dict[str, str]) -> None:
    secret = yaml.safe_load(files[f"team-a/secret-{token_secret(planned).name}.yaml"])
    annotations = secret["metadata"]["annotations"]
    assert annotations == {
        manifests.MASKED_ANNOTATION: "data.auth_token",
        manifests.UNKNOWN_ANNOTATION: "metadata.name",
    }


def test_a_release_names_its_chart_and_values_under_an_api_that_no_cluster_has(
    planned: Plan, files: dict[str, str]
) -> None:
    release = yaml.safe_load(files["istio-system/release-istiod.yaml"])
    inputs = find(planned, "Release istio-system/istiod").inputs
    assert release["apiVersion"] == manifests.PLAN_API
    assert release["spec"] == {
        "chart": "istiod",
        "version": inputs["version"],
        "repository": inputs["repositoryOpts"]["repo"],
        "values": inputs["values"],
    }
    definitions = yaml.safe_load(files["_cluster/files-kuberay-crds.yaml"])
    assert definitions["apiVersion"] == manifests.PLAN_API
    assert any(file.endswith("ray.io_rayclusters.yaml") for file in definitions["spec"]["files"])


def test_two_kinds_of_one_name_have_two_files(planned: Plan) -> None:
    policies = of_kind(planned, "NetworkPolicy")
    policy = next(each for each in policies if each.inputs["metadata"]["name"] == "kbatch-proxy")
    twin = replace(policy, inputs={**policy.inputs, "apiVersion": "projectcalico.org/v3"})
    made = manifests.render(replace(planned, resources=(*planned.resources, twin)))
    assert "batch-system/networkpolicy.projectcalico.org-kbatch-proxy.yaml" in made


def test_manifests_are_written_and_written_again(tmp_path: Path, files: dict[str, str]) -> None:
    target = tmp_path / "deep" / "out"
    code, text = run(project(tmp_path), manifests=target)
    assert code == 0
    assert f"Wrote {len(files)} manifests" in text
    first = content(target)
    assert first == files
    assert run(project(tmp_path), manifests=target)[0] == 0
    assert content(target) == first
    assert not list(target.parent.glob(".out*"))


def content(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): path.read_text()
        for path in directory.rglob("*")
        if path.is_file() and path.name != manifests.INDEX
    }


def test_files_of_an_earlier_plan_go_with_their_directories(tmp_path: Path, files: dict[str, str]) -> None:
    manifests.write({**files, "gone/deployment-x.yaml": "x"}, tmp_path / "out")
    manifests.write(files, tmp_path / "out")
    assert content(tmp_path / "out") == files
    assert not (tmp_path / "out" / "gone").exists()


def test_a_directory_with_other_files_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "letter.txt").write_text("mine")
    code, text = run(project(tmp_path), manifests=target)
    assert (code, text) == (2, "")
    assert "letter.txt" in capsys.readouterr().err
    assert [path.name for path in target.iterdir()] == ["letter.txt"]


def test_force_writes_beside_other_files_and_never_removes_them(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (target / "sub").mkdir(parents=True)
    (target / "sub" / "letter.txt").write_text("mine")
    for _ in range(2):
        assert run(project(tmp_path), manifests=target, force=True)[0] == 0
        assert (target / "sub" / "letter.txt").read_text() == "mine"
        assert (target / "team-a" / "raycluster-ray.yaml").exists()


def test_a_file_added_to_an_earlier_plan_is_not_taken_for_ours(tmp_path: Path, files: dict[str, str]) -> None:
    manifests.write(files, tmp_path / "out")
    (tmp_path / "out" / "team-a" / "notes.md").write_text("mine")
    with pytest.raises(manifests.ManifestsError, match=r"notes\.md"):
        manifests.write(files, tmp_path / "out")
    assert (tmp_path / "out" / "team-a" / "notes.md").read_text() == "mine"


def test_a_forged_index_removes_nothing_outside(tmp_path: Path, files: dict[str, str]) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    manifests.write(files, tmp_path / "out")
    with (tmp_path / "out" / manifests.INDEX).open("a") as index:
        index.write(f"../outside.txt\n{outside}\n")
    manifests.write(files, tmp_path / "out")
    assert outside.read_text() == "mine"


def test_an_interrupted_run_can_be_repeated(
    tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    manifests.write({**files, "gone/deployment-x.yaml": "x"}, target)
    with monkeypatch.context() as broken:
        moved: list[Path] = []
        original = Path.replace

        def fail_later(self: Path, other: Path) -> Path:
            if len(moved) == 5:
                raise OSError(28, "No space left on device")
            moved.append(self)
            return original(self, other)

        broken.setattr(Path, "replace", fail_later)
        with pytest.raises(OSError, match="No space"):
            manifests.write({"new/configmap-y.yaml": "y", **files}, target)
    manifests.write(files, target)
    assert content(target) == files


def test_a_file_in_the_way_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    assert run(project(tmp_path), manifests=tmp_path / "out")[0] == 2
    assert "is not a directory" in capsys.readouterr().err
    assert run(project(tmp_path), manifests=tmp_path / "out" / "below")[0] == 1
    assert "name another directory" in capsys.readouterr().err


# --- comparing


def test_equal_plans_do_not_differ(planned: Plan) -> None:
    difference = diff(planned, planned)
    assert (difference.created, difference.deleted, difference.changed) == ((), (), {})


def test_a_difference_names_resources_and_keys(planned: Plan, tmp_path: Path) -> None:
    config = json.loads(json.dumps(STACK))
    config["rayfort:mesh"]["minTls"] = "TLSV1_2"
    config["rayfort:workspaces"].pop()
    config["rayfort:workspaces"][0]["quota"] = {"pods": "5"}
    difference = diff(planned, offline.plan(load(project(tmp_path, config), "dev")))
    assert [path.rpartition("/")[2].partition(":")[0] for path in difference.created] == ["ResourceQuota"]
    assert {"WorkspaceNamespace:team-b", "RayWorkspace:team-b"} <= set(difference.deleted)
    assert difference.changed["IstioMesh:mesh"] == ("minTls",)
    assert (
        "values.meshConfig.meshMTLS.minProtocolVersion"
        in (difference.changed["IstioMesh:mesh/Release:mesh-istiod"])
    )


def test_secret_type_is_the_one_of_the_sdk(planned: Plan) -> None:
    assert {resource.type for resource in of_kind(planned, "Secret")} == {SECRET_TYPE}
