"""What holds for everything that Rayfort registers: for each component alone and for whole stacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.program import main
from tests.unit import samples
from tests.unit.recorder import (
    CRDS,
    NAMESPACE_OBJECT,
    PROVIDER,
    RANDOM_PASSWORD,
    RAY_CLUSTER,
    RELEASE,
    SECRET_OBJECT,
    UNKNOWN,
    Recorded,
    Run,
    is_secret,
    password,
    plain,
    record,
)

STACKS = ("sandbox", "existing", "gke-prod")
OF_BATCH_USERS = {"batch-system", "jupyterhub", "kbatch-alice"}
WITH_A_HUB = "sandbox"  # the others are told the token of one that is there already
MODES = {"preview": True, "update": False}


def run_stack(name: str, root: Path, *, preview: bool) -> Run:
    """Run the program with a stack file of the repository, secrets and users laid over it."""
    values = samples.with_project_defaults(samples.stack_values(name))
    cluster = values["rayfort:cluster"]
    if cluster["kind"] == "existing":
        cluster["kubeconfigPath"] = "kubeconfig"
        (root / "kubeconfig").write_text(samples.kubeconfig(cluster["context"]))
    workspace = values["rayfort:workspaces"][0]
    workspace["netrc"] = [
        {"machine": "git.example.com", "login": "robot", "password": samples.NETRC_PASSWORD}
    ]
    values["rayfort:kbatch"] = {"users": ["alice"], "jobEnv": {"DASK_PASSWORD": samples.JOB_VALUE}}
    if name == WITH_A_HUB:
        values["rayfort:jupyterhub"]["authenticator"] = samples.AUTHENTICATOR
    else:
        values["rayfort:kbatch"]["hubApiToken"] = samples.HUB_TOKEN
    return record(lambda: main(root), preview=preview, config=samples.encoded(values))


@pytest.fixture(scope="module", params=[f"{stack}-{mode}" for stack in STACKS for mode in MODES])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A stack file of the repository, run once in each mode."""
    name, _, mode = request.param.rpartition("-")
    return run_stack(name, tmp_path_factory.mktemp("root"), preview=MODES[mode])


@pytest.fixture(
    scope="module",
    params=[
        *(f"{component}-{mode}" for component in samples.COMPONENTS for mode in MODES),
        *(f"stack {name}-{mode}" for name in STACKS for mode in MODES),
    ],
)
def everything(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Each component alone, and each stack, in each mode."""
    subject, _, mode = request.param.rpartition("-")
    if subject.startswith("stack "):
        return run_stack(subject.removeprefix("stack "), tmp_path_factory.mktemp("root"), preview=MODES[mode])
    make: Callable[..., object] = samples.COMPONENTS[subject]
    return record(lambda: make(samples.on_cluster()), preview=MODES[mode])


def rayfort_components(run: Run) -> dict[str, Recorded]:
    return {item.urn: item for item in run.resources if item.type.startswith("rayfort:index:")}


def kubernetes(run: Run) -> Iterator[Recorded]:
    return (item for item in run.resources if item.kubernetes)


def made_secrets(run: Run) -> list[str]:
    """The passwords that the mock of the random provider made; none in a preview."""
    return [
        password(item.name, item.inputs.get("keepers"), item.inputs["length"])
        for item in run.all(RANDOM_PASSWORD)
    ]


def test_every_child_is_parented_to_its_component(everything: Run) -> None:
    """A child without a parent is not shown under, moved with or deleted with its component."""
    owners = rayfort_components(everything)
    for item in everything.resources:
        if not item.type.startswith("rayfort:index:"):
            assert item.parent in owners, f"{item.type} {item.name} has parent {item.parent}"


def test_no_kubernetes_resource_uses_a_default_provider(everything: Run) -> None:
    """A default provider deploys to whatever cluster the shell's kubeconfig points at."""
    provider = everything.one(PROVIDER)
    for item in kubernetes(everything):
        assert item.providers == {provider.urn}, f"{item.type} {item.name}: {item.providers}"


def test_every_urn_is_given_once(everything: Run) -> None:
    """Pulumi stops with an error when two resources have the same type, parent types and name."""
    repeated = [urn for urn, count in Counter(item.urn for item in everything.resources).items() if count > 1]
    assert not repeated


def test_every_kubernetes_object_is_made_once(everything: Run) -> None:
    """Two resources for one object fight over it at every update."""
    objects = [
        (item.type, item.namespace, str(item.inputs["metadata"]["name"]))
        for item in kubernetes(everything)
        if item.custom and item.type != RELEASE and "name" in item.inputs["metadata"]
    ]
    repeated = [item for item, count in Counter(objects).items() if count > 1 and item[2] != UNKNOWN]
    assert not repeated


def test_dependencies_are_registered(everything: Run) -> None:
    """An order that names something which is not made orders nothing."""
    known = {item.urn for item in everything.resources}
    for item in everything.resources:
        assert item.dependencies <= known


def test_no_dependency_cycle(everything: Run) -> None:
    """Pulumi never ends where two resources wait for each other."""
    for item in everything.resources:
        assert item.urn not in everything.before(item)


def test_no_secret_is_visible_anywhere(everything: Run) -> None:
    """What is outside a secret's wrapper stands in the state file, in diffs and in logs for all to read."""
    secrets = [*samples.GIVEN_SECRETS, *made_secrets(everything)]
    for text in everything.texts():
        for secret in secrets:
            assert secret not in text, text[:200]


def test_the_search_for_secrets_finds_them_inside_their_wrappers(stack: Run) -> None:
    """A search that looks in the wrong place would find nothing, too."""
    everywhere = str([plain(item.raw) for item in stack.resources])
    without = {samples.HUB_TOKEN} if stack.all("JupyterHub") else {samples.CLIENT_SECRET}
    if stack.all("JupyterHub") and any(UNKNOWN in str(plain(each.raw)) for each in stack.all(SECRET_OBJECT)):
        without |= {samples.JOB_VALUE, samples.CLIENT_SECRET}  # beside what a preview does not know yet
    if stack.all("GkeCluster"):
        without.add(samples.KUBECONFIG_TOKEN)  # its kubeconfig holds none
    for secret in set(samples.GIVEN_SECRETS) - without:
        assert secret in everywhere


def test_the_content_of_every_secret_object_is_marked_secret(everything: Run) -> None:
    """Pulumi encrypts and masks what is marked, and nothing else."""
    for item in everything.all(SECRET_OBJECT):
        assert item.hidden("stringData")


def test_names_of_secret_objects_are_not_marked_secret(everything: Run) -> None:
    """A masked name would hide in diffs which Secret a Pod refers to."""
    for item in everything.all(SECRET_OBJECT):
        assert not is_secret(item.raw["metadata"]["name"])
    for item in everything.all(RAY_CLUSTER):
        assert not is_secret(item.raw["spec"])


def test_every_namespace_precedes_what_is_in_it(everything: Run) -> None:
    """Kubernetes refuses an object whose namespace is not there yet."""
    namespaces = {item.object_name: item for item in everything.all(NAMESPACE_OBJECT)}
    for item in kubernetes(everything):
        if item.namespace in namespaces:
            assert namespaces[item.namespace].urn in everything.before(item), f"{item.type} {item.name}"


def test_every_component_names_its_outputs(everything: Run) -> None:
    """A component without registered outputs never ends in Pulumi's display."""
    assert set(rayfort_components(everything)) <= set(everything.registered_outputs)


# What only whole stacks show.


def test_definitions_and_mesh_precede_the_operator(stack: Run) -> None:
    """The operator's Pod gets its sidecar from istiod, and the operator stops without its definitions."""
    operator = next(item for item in stack.all(RELEASE) if item.inputs["name"] == "kuberay-operator")
    before = stack.before(operator)
    definitions = [*stack.all(CRDS), *(item for item in stack.all(RELEASE) if item.name == "kuberay-crds")]
    assert [item.urn in before for item in definitions] == [True]
    others = [item for item in stack.all(RELEASE) if item.namespace not in OF_BATCH_USERS]
    assert {item.urn for item in others if item is not operator} <= before
    assert stack.one("Namespace", "kuberay-system").urn in before


def test_namespaces_precede_the_operator_where_it_watches_them(stack: Run) -> None:
    """An operator that watches certain namespaces gets Roles in them: Helm fails where one is missing."""
    operator = next(item for item in stack.all(RELEASE) if item.inputs["name"] == "kuberay-operator")
    watched = "team-a" in operator.inputs["values"].get("watchNamespace", [])
    assert (stack.one(NAMESPACE_OBJECT, "team-a").urn in stack.before(operator)) == watched


def test_of_a_workspace_only_what_starts_pods_waits_for_the_operator(stack: Run) -> None:
    """All else would wait for a chart that it does not need, and each edge costs Pulumi time."""
    operator = next(item for item in stack.all(RELEASE) if item.inputs["name"] == "kuberay-operator")
    cluster = next(iter(stack.all("kubernetes:ray.io/v1:RayCluster")))
    fences = [
        item
        for kind in ("NetworkPolicy", "AuthorizationPolicy", "Sidecar", "PeerAuthentication")
        for item in stack.all(kind)
        if item.namespace == cluster.namespace
    ]
    assert {operator.urn, *(item.urn for item in fences)} <= stack.before(cluster)
    assert len(fences) > 5
    for item in fences:
        assert operator.urn not in stack.before(item)


def test_mesh_policies_precede_the_operator(stack: Run) -> None:
    """Between istiod and STRICT the mesh takes plaintext: nothing may run in it by then."""
    strict = next(item for item in stack.all("PeerAuthentication") if item.namespace == "istio-system")
    operator = next(item for item in stack.all(RELEASE) if item.inputs["name"] == "kuberay-operator")
    assert strict.urn in stack.before(operator)


@pytest.mark.parametrize(
    "kind",
    [
        "Release",
        "PeerAuthentication",
        "DestinationRule",
        "Sidecar",
        "AuthorizationPolicy",
        "ResourceQuota",
        "ServiceAccount",
        "Secret",
        "Service",
    ],
)
def test_everything_that_a_ray_cluster_needs_precedes_it(stack: Run, kind: str) -> None:
    """Operator, mesh, policies, quota, identities, Secrets and the headless Service: Pods start with all."""
    cluster = stack.one(RAY_CLUSTER)
    objects = [item for item in stack.all(kind) if item.kubernetes]
    needed = [item for item in objects if item.namespace not in OF_BATCH_USERS]
    assert needed
    assert {item.urn for item in needed} <= stack.before(cluster)


def test_network_policies_precede_the_ray_cluster(stack: Run) -> None:
    """Pods that start before their NetworkPolicies run without them for a while."""
    cluster = stack.one(RAY_CLUSTER)
    policies = [item for item in stack.all("NetworkPolicy") if item.namespace == cluster.namespace]
    assert policies
    assert {item.urn for item in policies} <= stack.before(cluster)


def test_names_that_the_recipes_fix(stack: Run) -> None:
    """Operators search for what the documented recipes name."""
    team = stack.one(RAY_CLUSTER).namespace
    assert stack.one(SECRET_OBJECT, "netrc-secret").namespace == team
    assert stack.one("Service", "ray-headless-svc").namespace == team
    assert stack.one("Deployment", "kbatch-proxy").namespace == "batch-system"
    releases = {item.inputs["name"] for item in stack.all(RELEASE)}
    assert releases - {"kuberay-crds", "istio-cni", "jupyterhub"} == {
        "istio-base",
        "istiod",
        "kuberay-operator",
    }


def test_tokens_are_exported_as_secrets_only(stack: Run) -> None:
    """`pulumi stack output` masks the tokens unless it is asked to show secrets."""
    assert is_secret(stack.raw_outputs["rayTokens"])


def test_outputs_say_how_to_reach_ray(tmp_path: Path) -> None:
    """The next thing that a user needs stands in the outputs."""
    run = run_stack("sandbox", tmp_path, preview=False)
    access = run.outputs["rayClusters"]["team-a"]["ray"]
    secret = run.one(RAY_CLUSTER).inputs["spec"]["authOptions"]["secretName"]
    assert access == {
        "address": "ray://ray-head-svc.team-a.svc.cluster.local:10001",
        "dashboard": "http://ray-head-svc.team-a.svc.cluster.local:8265",
        "tokenSecret": secret,
        "portForward": "kubectl -n team-a port-forward svc/ray-head-svc 8265",
        "readToken": f"kubectl -n team-a get secret {secret} "
        "--template='{{.data.auth_token | base64decode}}'",
    }
    token = run.one(SECRET_OBJECT, secret).inputs["stringData"]["auth_token"]
    assert run.outputs["rayTokens"] == {"team-a/ray": token}


def test_the_sandbox_says_what_it_weakens(tmp_path: Path) -> None:
    """A default that a stack switched off is said in the preview and in the outputs."""
    run = run_stack("sandbox", tmp_path, preview=True)
    line = "rayfort:cluster.facts.networkPolicy: NetworkPolicies are not enforced"
    assert run.outputs["weakened"] == [line]
    assert f"weakened: {line}" in run.logs


def test_two_workspaces_never_give_a_child_the_same_name(tmp_path: Path) -> None:
    """`team` with cluster `a-ray` and `team-a` with cluster `ray` would, were names joined by a dash."""
    values = {
        "rayfort:cluster": {"kubeconfig": samples.kubeconfig(), "context": samples.CONTEXT},
        "rayfort:workspaces": [
            {"name": "team", "clusters": [{"name": "a-ray"}, {"name": "a-ray-head"}]},
            {"name": "team-a", "clusters": [{"name": "ray"}, {"name": "ray-head"}]},
        ],
    }
    run = record(lambda: main(tmp_path), config=samples.encoded(values))
    assert len({item.urn for item in run.resources}) == len(run.resources)


def test_a_stack_without_a_mesh_registers_nothing_of_istio(tmp_path: Path) -> None:
    """Istio's kinds do not exist on such a cluster."""
    values = {
        "rayfort:cluster": {"kubeconfig": samples.kubeconfig(), "context": samples.CONTEXT},
        "rayfort:mesh": {"enabled": False},
        "rayfort:workspaces": [{"name": "team", "clusters": [{"name": "ray"}]}],
    }
    run = record(lambda: main(tmp_path), config=samples.encoded(values))
    assert not [item for item in run.resources if "istio" in item.type]
    assert "istio-injection" not in run.one("Namespace", "team").inputs["metadata"]["labels"]
    assert run.outputs["weakened"] == [
        "rayfort:mesh.enabled: no mesh: Ray's traffic is plaintext inside the cluster"
    ]


def test_the_clusters_dns_domain_reaches_everyone(tmp_path: Path) -> None:
    """Ray's address, istiod, the operator and kbatch-proxy must name Services by the same zone."""
    values = {
        "rayfort:cluster": {
            "kubeconfig": samples.kubeconfig(),
            "context": samples.CONTEXT,
            "facts": {"clusterDomain": "corp.example"},
        },
        "rayfort:workspaces": [{"name": "team", "clusters": [{"name": "ray"}]}],
        "rayfort:kbatch": {"users": ["alice"]},
    }
    run = record(lambda: main(tmp_path), config=samples.encoded(values))
    values_of = {item.inputs["name"]: item.inputs.get("values", {}) for item in run.all(RELEASE)}
    assert values_of["istiod"]["global"]["proxy"] == {"clusterDomain": "corp.example"}
    assert {"name": "CLUSTER_DOMAIN", "value": "corp.example"} in values_of["kuberay-operator"]["env"]
    assert run.one("DestinationRule").inputs["spec"]["host"] == "*.team.svc.corp.example"
    assert run.outputs["kbatch"]["url"] == "http://kbatch-proxy.batch-system.svc.corp.example:8080"
    assert run.outputs["rayClusters"]["team"]["ray"]["address"].endswith(".team.svc.corp.example:10001")


def test_random_passwords_change_only_with_their_rotation(tmp_path: Path) -> None:
    """A password that changes by itself would restart every Pod at some unrelated update."""
    run = run_stack("sandbox", tmp_path, preview=False)
    for item in run.all(RANDOM_PASSWORD):
        assert set(item.inputs) <= {"length", "special", "keepers"}
