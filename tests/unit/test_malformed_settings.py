"""Mistakes in a stack file: each is one problem with its key, before anything is registered."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi
import pytest

from infra.program import main
from tests.unit import samples
from tests.unit.recorder import Run, record

REMOVE: Final = object()
CLUSTER: Final = "workspaces[0].clusters[0]"
HEAD: Final = f"{CLUSTER}.head"
GROUP: Final = f"{CLUSTER}.workerGroups[0]"
NETRC: Final = "workspaces[0].netrc[0]"
PORTS: Final = f"{CLUSTER}.ports"

VALID: Final[Mapping[str, Any]] = {
    "cluster": {"kubeconfig": samples.kubeconfig(), "context": samples.CONTEXT, "facts": {"dns": "coredns"}},
    "mesh": {"version": "1.30.3", "tracing": {"samplingPercentage": 1}},
    "operator": {"version": "1.6.2"},
    "workspaces": [
        {
            "name": "team-a",
            "quota": {"requests.cpu": "64"},
            "netrc": [{"machine": "github.com", "login": "robot", "password": samples.NETRC_PASSWORD}],
            "clusters": [
                {
                    "name": "ray",
                    "ports": {"maxWorker": 10012},
                    "head": {"resources": {"cpu": "1"}},
                    "workerGroups": [{"name": "small", "replicas": 1}],
                }
            ],
        },
        {"name": "team-b"},
    ],
    "kbatch": {"users": ["alice"], "hubApiToken": samples.HUB_TOKEN, "jobEnv": {"A": samples.JOB_VALUE}},
    "rayImage": "docker.io/rayproject/ray",
}


@dataclass(frozen=True)
class Mistake:
    """One mistake: what is changed, which key is named, and what the message must say."""

    title: str
    changes: Mapping[str, Any]
    key: str
    says: str


def mistake(title: str, path: str, value: Any, says: str, key: str | None = None, **also: Any) -> Mistake:
    """``path`` is set to ``value`` (and further paths with it); the key named is ``path`` unless stated."""
    further = {name.replace("__", "."): item for name, item in also.items()}
    return Mistake(title, {path: value, **further}, key or path, says)


def parts(path: str) -> list[str | int]:
    found = re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)
    return [int(number) if number else name for number, name in found]


def changed(changes: Mapping[str, Any], valid: Mapping[str, Any] = VALID) -> dict[str, Any]:
    """Valid settings with values set or removed by path."""
    values: Any = copy.deepcopy(dict(valid))
    for path, value in changes.items():
        *parents, last = parts(path)
        place = values
        for part in parents:
            place = place[part] if isinstance(part, int) else place.setdefault(part, {})
        if value is REMOVE:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return dict(values)


def run(values: Mapping[str, Any], root: Path) -> Run:
    config = samples.encoded({f"rayfort:{key}": value for key, value in values.items()})
    return record(lambda: main(root), config=config, catch=True)


def problems(run: Run) -> list[tuple[str, str]]:
    """Key and text of every problem in the error that the user sees."""
    assert isinstance(run.error, pulumi.RunError), run.error
    headline, *lines = str(run.error).splitlines()
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    assert headline == f"The stack's settings have {count}; nothing was touched."
    found = [line.strip().partition(": ") for line in lines]
    return [(key, text) for key, _, text in found]


MISTAKES: Final = [
    # keys
    mistake("unknown section", "meshes", {}, "did you mean mesh?"),
    mistake("unknown key with a near one", f"{GROUP}.replica", 1, "did you mean replicas?"),
    mistake("unknown key with none near", "cluster.zzz", 1, "known here: context, facts, identifier"),
    mistake("snake case that is near", f"{PORTS}.dash_board", 1, "did you mean dashboard?"),
    mistake(
        "unknown key of a fact",
        "cluster.facts.kubernetesVersions",
        "1.33.0",
        "did you mean kubernetesVersion?",
    ),
    mistake("missing cluster", "cluster", REMOVE, "is required; set it"),
    mistake("missing context", "cluster.context", REMOVE, "is required; set it"),
    mistake("missing name of a workspace", "workspaces[1].name", REMOVE, "is required; set it"),
    mistake("missing name of a cluster", f"{CLUSTER}.name", REMOVE, "is required; set it"),
    mistake("missing name of a worker group", f"{GROUP}.name", REMOVE, "is required; set it"),
    mistake("missing password", f"{NETRC}.password", REMOVE, "is required; set it"),
    mistake("missing login", f"{NETRC}.login", REMOVE, "is required; set it"),
    # types
    mistake("list instead of object", "cluster", [], "must be an object with keys"),
    mistake("text instead of object", "mesh", "yes", "must be an object with keys"),
    mistake("null instead of object", "mesh", "", "must be an object with keys"),
    mistake("object instead of list", "workspaces", {"team-a": {}}, "must be a list"),
    mistake("text instead of number", f"{GROUP}.replicas", "two", "must be a whole number"),
    mistake("quoted number", f"{GROUP}.replicas", "2", "must be a whole number"),
    mistake("boolean instead of number", f"{GROUP}.replicas", True, "must be a whole number"),
    mistake("fraction instead of number", f"{HEAD}.numCpus", 1.5, "must be a whole number"),
    mistake("number instead of text", f"{NETRC}.login", 7, "must be text; put it into quotes"),
    mistake("number as password", f"{NETRC}.password", 123456, "pulumi config set --secret --path"),
    mistake("boolean instead of text", f"{HEAD}.env.DEBUG", True, "must be text; put it into quotes"),
    mistake("text instead of boolean", f"{CLUSTER}.autoscaling", "sometimes", "must be true or false"),
    mistake("number as job variable", "kbatch.jobEnv.A", 1, "must be text; put it into quotes"),
    mistake("kubeconfig as an object", "cluster.kubeconfig", {"contexts": []}, "must be text"),
    mistake("text that looks like JSON", "rayImage", "{broken", "is not valid JSON"),
    # choices
    mistake(
        "unknown DNS", "cluster.facts.dns", "bind", "must be one of 'coredns', 'kube-dns' or 'cloud-dns'"
    ),
    mistake("unknown kind of cluster", "cluster.kind", "eks", "must be one of 'existing', 'gke' or 'kind'"),
    mistake("unknown traffic", f"{CLUSTER}.traffic", "l5", "must be one of 'l4' or 'l7'"),
    mistake("unknown mTLS mode", "mesh.mtls", "strict", "must be one of 'STRICT' or 'PERMISSIVE'"),
    mistake("unknown TLS version", "mesh.minTls", "1.3", "must be one of 'TLSV1_3' or 'TLSV1_2'"),
    mistake("unknown token source", f"{CLUSTER}.auth.source", "vault", "must be one of 'secret-name'"),
    mistake("unknown pod security", "workspaces[0].podSecurity", "strict", "must be one of 'privileged'"),
    # the cluster
    mistake("empty context", "cluster.context", "", "is empty; set it"),
    mistake("no kubeconfig", "cluster.kubeconfig", REMOVE, "set one of `kubeconfig`", key="cluster"),
    mistake(
        "two kubeconfigs", "cluster.kubeconfigPath", "kubeconfig", "set one of `kubeconfig`", key="cluster"
    ),
    mistake("empty kubeconfig", "cluster.kubeconfig", "", "is not a kubeconfig"),
    mistake(
        "missing kubeconfig file",
        "cluster.kubeconfigPath",
        "nowhere/kubeconfig",
        "nowhere/kubeconfig: No such file or directory; name a kubeconfig file",
        cluster__kubeconfig=REMOVE,
    ),
    mistake(
        "directory instead of a file",
        "cluster.kubeconfigPath",
        ".",
        "Is a directory; name a kubeconfig file",
        cluster__kubeconfig=REMOVE,
    ),
    mistake(
        "binary file",
        "cluster.kubeconfigPath",
        "binary",
        "binary is not text; name a kubeconfig file",
        cluster__kubeconfig=REMOVE,
    ),
    mistake(
        "context that the kubeconfig lacks",
        "cluster.context",
        "elsewhere",
        "set `context` to one of them",
        key="cluster.kubeconfig",
    ),
    mistake(
        "kubeconfig that is not YAML",
        "cluster.kubeconfig",
        f"{samples.KUBECONFIG_TOKEN}: [",
        "is not valid YAML",
    ),
    mistake("kubeconfig that is other YAML", "cluster.kubeconfig", "kind: Pod", "is not a kubeconfig"),
    mistake(
        "bad version of Kubernetes", "cluster.facts.kubernetesVersion", "1.33", "write MAJOR.MINOR.PATCH"
    ),
    mistake(
        "bad CIDR",
        "cluster.facts.apiServerCidrs",
        ["10.0.0.1/8"],
        "is not a CIDR block",
        key="cluster.facts.apiServerCidrs[0]",
    ),
    mistake("bad DNS zone", "cluster.facts.clusterDomain", "cluster.local.", "without a dot at the end"),
    # mesh and operator
    mistake("v in Istio's version", "mesh.version", "v1.30.3", "without a leading 'v'"),
    mistake("v in the operator's version", "operator.version", "v1.6.2", "without a leading 'v'"),
    mistake("sampling above 100", "mesh.tracing.samplingPercentage", 101, "must be at most 100"),
    mistake("port of the collector", "mesh.tracing.port", 0, "must be at least 1"),
    mistake(
        "chart without a version", "mesh.baseChart", {"chart": "oci://mirror.example/base"}, "set `version`"
    ),
    mistake(
        "repository that is no URL",
        "operator.chart",
        {"chart": "x", "version": "1", "repository": "mirror.example"},
        "write https://host/path",
        key="operator.chart.repository",
    ),
    mistake(
        "login in a repository's URL",
        "operator.chart",
        {"chart": "x", "version": "1", "repository": "https://user:pw@mirror.example"},
        "without a login in it",
        key="operator.chart.repository",
    ),
    mistake("empty list of definitions", "operator.crds", [], "must have at least 1 entries"),
    mistake("time-out that is too short", "operator.timeoutSeconds", 1, "must be at least 10"),
    mistake(
        "native sidecars on old nodes",
        "mesh.nativeSidecars",
        True,
        "native sidecars need 1.29.0",
        cluster__facts__kubernetesVersion="1.28.0",
    ),
    mistake(
        "workspace that the operator does not watch",
        "operator.watchNamespaces",
        ["team-a"],
        "namespace team-b of workspace team-b is not among them",
    ),
    mistake(
        "variables of the wrong shape", "operator.values", {"env": {"A": "b"}}, "each with `name` and `value`"
    ),
    mistake(
        "two sources of definitions",
        "operator.crds",
        ["crds/*.yaml"],
        "set either `crds`",
        key="operator",
        operator__crdChart={"chart": "charts/crds"},
    ),
    # names and namespaces
    mistake("capital in a name", "workspaces[0].name", "TeamA", "is not a Kubernetes name"),
    mistake("name that is too long", f"{CLUSTER}.name", "a" * 51, "use at most 50"),
    mistake(
        "workspace twice",
        "workspaces[1].name",
        "team-a",
        "workspace team-a stands twice",
    ),
    mistake(
        "namespace of another workspace", "workspaces[1].namespace", "team-a", "belongs to workspace team-a"
    ),
    mistake(
        "namespace of the operator", "workspaces[1].namespace", "kuberay-system", "belongs to the operator"
    ),
    mistake("namespace of the mesh", "workspaces[1].namespace", "istio-system", "belongs to the mesh"),
    mistake(
        "namespace of kbatch-proxy", "workspaces[1].namespace", "batch-system", "belongs to kbatch-proxy"
    ),
    mistake("namespace of a user", "workspaces[1].namespace", "kbatch-alice", "belongs to user alice"),
    mistake("operator in the mesh's namespace", "operator.namespace", "istio-system", "belongs to the mesh"),
    mistake(
        "namespace of Kubernetes",
        "workspaces[1].namespace",
        "kube-system",
        "is Kubernetes' own",
        key="workspaces[1]",
    ),
    mistake(
        "cluster twice",
        "workspaces[0].clusters[1]",
        {"name": "ray"},
        "cluster ray stands twice",
        key="workspaces[0].clusters",
    ),
    mistake(
        "worker group twice",
        f"{CLUSTER}.workerGroups[1]",
        {"name": "small"},
        "worker group small stands twice",
        key=f"{CLUSTER}.workerGroups",
    ),
    # netrc
    mistake(
        "machine twice",
        "workspaces[0].netrc[1]",
        {"machine": "github.com", "login": "a", "password": "b"},
        "machine github.com stands twice",
        key="workspaces[0].netrc",
    ),
    mistake("machine with white space", f"{NETRC}.machine", "git hub.com", "is not a host name"),
    mistake("machine with a scheme", f"{NETRC}.machine", "https://github.com", "without scheme, port, path"),
    mistake("machine with a port", f"{NETRC}.machine", "cafe.de:443", "without scheme, port, path"),
    mistake("machine default", f"{NETRC}.machine", "default", "name the machine"),
    mistake("empty login", f"{NETRC}.login", "", "the login is empty; set it"),
    mistake(
        "empty password", f"{NETRC}.password", "", "is empty; set it with `pulumi config set --secret --path`"
    ),
    mistake(
        "password with a line break",
        f"{NETRC}.password",
        f"{samples.NETRC_PASSWORD}\n",
        "which a .netrc file cannot hold; remove it",
    ),
    # ports
    mistake("port out of range", f"{PORTS}.dashboard", 70000, "must be at most 65535"),
    mistake("port zero", f"{PORTS}.gcs", 0, "must be at least 1"),
    mistake("port as text", f"{PORTS}.gcs", "6379", "must be a whole number"),
    mistake(
        "clashing ports",
        f"{PORTS}.dashboard",
        8080,
        "port 8080 is used by both dashboard and metrics-export-port",
        key=PORTS,
    ),
    mistake("port in the worker range", f"{PORTS}.serve", 10005, "used by both serve and worker", key=PORTS),
    mistake(
        "port of the sidecar",
        f"{PORTS}.metricsExport",
        15020,
        "taken by Istio's sidecar; choose another",
        key=PORTS,
    ),
    mistake("empty worker range", f"{PORTS}.maxWorker", 10002, "must be greater than minWorker", key=PORTS),
    mistake("bad first worker port", f"{PORTS}.minWorker", 70000, "must be at most 65535"),
    mistake(
        "bad first worker port without a last",
        PORTS,
        {"minWorker": 70000},
        "must be at most 65535",
        key=f"{PORTS}.minWorker",
    ),
    mistake("too many worker ports", f"{PORTS}.maxWorker", 10300, "use at most 200", key=PORTS),
    mistake("worker range beyond the last port", PORTS, {"minWorker": 65530}, "choose a lower one"),
    mistake(
        "range of a large node meets a port",
        CLUSTER,
        {"name": "ray", "ports": {"dashboard": 10100}, "head": {"resources": {"cpu": 64}}},
        "set ports.maxWorker",
    ),
    # Ray
    mistake("Ray without token authentication", f"{CLUSTER}.rayVersion", "2.46.0", "use 2.52.0 or newer"),
    mistake("v in Ray's version", f"{CLUSTER}.rayVersion", "v2.55.1", "without a leading 'v'"),
    mistake("tag in rayImage", "rayImage", "rayproject/ray:2.55.1", "without tag or digest"),
    mistake("bad image", f"{CLUSTER}.image", "https://docker.io/ray", "is not an image reference"),
    mistake(
        "token source that is too new",
        f"{CLUSTER}.auth.source",
        "secret-name",
        "needs KubeRay 1.6.0 or newer",
        key=CLUSTER,
        operator__version="1.5.1",
    ),
    mistake(
        "token source before the operator could",
        f"{CLUSTER}.auth.source",
        "operator",
        "needs KubeRay 1.5.1 or newer",
        key=CLUSTER,
        operator__version="1.5.0",
    ),
    mistake(
        "layer 7 on kube-dns",
        f"{CLUSTER}.traffic",
        "l7",
        "use 'l4', or run CoreDNS",
        key=CLUSTER,
        cluster__facts__dns="kube-dns",
    ),
    mistake(
        "authentication turned off by a variable",
        f"{HEAD}.env.RAY_AUTH_MODE",
        "disabled",
        "remove it and use `auth`",
        key=f"{HEAD}.env",
    ),
    mistake(
        "token as a variable",
        f"{GROUP}.env.RAY_AUTH_TOKEN",
        "x",
        "remove it and use `auth`",
        key=f"{GROUP}.env",
    ),
    mistake(
        "bad variable name",
        f"{HEAD}.env",
        {"A-B": "x"},
        "is not an environment variable's name",
        key=f"{HEAD}.env.A-B",
    ),
    mistake(
        "derived parameter",
        f"{HEAD}.rayStartParams",
        {"dashboard-port": "1"},
        "set it there",
        key=f"{HEAD}.rayStartParams",
    ),
    mistake(
        "parameter beside the port table",
        f"{GROUP}.rayStartParams",
        {"worker-port-list": "1,2"},
        "set it there",
        key=f"{GROUP}.rayStartParams",
    ),
    mistake("number as parameter", f"{GROUP}.rayStartParams.num-gpus", 1, "must be text; put it into quotes"),
    mistake(
        "containers in the Pod's spec",
        f"{HEAD}.podSpec",
        {"containers": []},
        "use env, resources and",
        key=f"{HEAD}.podSpec",
    ),
    mistake(
        "identity in the Pod's spec",
        f"{GROUP}.podSpec",
        {"serviceAccountName": "x"},
        "set `serviceAccount`",
        key=f"{GROUP}.podSpec",
    ),
    mistake("replicas above the bound", f"{GROUP}.maxReplicas", 0, "must be between minReplicas", key=GROUP),
    mistake("replicas below the bound", f"{GROUP}.minReplicas", 5, "must be between minReplicas", key=GROUP),
    mistake("negative replicas", f"{GROUP}.replicas", -1, "must be at least 0"),
    mistake("bad quantity", f"{HEAD}.resources.memory", "8GB", "is not a Kubernetes quantity"),
    mistake("bad number of CPUs", f"{HEAD}.resources.cpu", "2Gi", "is not a number of CPUs"),
    mistake("bad extended resource", f"{HEAD}.resources.gpuResource", "gpu", "write domain/name"),
    mistake(
        "bad quota",
        "workspaces[0].quota",
        {"requests.cpu": "many"},
        "is not a Kubernetes quantity",
        key='workspaces[0].quota["requests.cpu"]',
    ),
    mistake(
        "bad egress",
        "workspaces[0].egress",
        {"cidrs": ["github.com"]},
        "is not a CIDR block",
        key="workspaces[0].egress.cidrs[0]",
    ),
    mistake(
        "client without an identity",
        "workspaces[0].clients",
        [{"namespace": "hub"}],
        "is required; set it",
        key="workspaces[0].clients[0].serviceAccount",
    ),
    # kbatch
    mistake("user twice", "kbatch.users", ["alice", "alice"], "user alice stands twice"),
    mistake("empty user", "kbatch.users", [" "], "a user name is empty", key="kbatch.users[0]"),
    mistake(
        "user of an unknown workspace",
        "kbatch.users",
        [{"name": "alice", "workspace": "team-x"}],
        "workspace team-x of user alice is not there (known: team-a, team-b)",
        key="kbatch.users[0]",
    ),
    mistake(
        "user of a workspace without Ray",
        "kbatch.users",
        [{"name": "alice", "workspace": "team-b"}],
        "has no Ray cluster",
        key="kbatch.users[0]",
    ),
    mistake(
        "user of an unknown cluster",
        "kbatch.users",
        [{"name": "alice", "workspace": "team-a", "cluster": "x"}],
        "cluster x of user alice is not in workspace team-a",
        key="kbatch.users[0]",
    ),
    mistake(
        "user whose jobs have no sidecars",
        "kbatch.users",
        [{"name": "alice", "workspace": "team-a"}],
        "refuses plaintext",
        key="kbatch.users[0]",
        kbatch__inMesh=False,
    ),
    mistake(
        "user of a token that the operator makes",
        "kbatch.users",
        [{"name": "alice", "workspace": "team-a"}],
        "the operator makes the token of cluster ray",
        key="kbatch.users[0]",
        **{"workspaces[0].clusters[0].auth": {"source": "operator"}},
    ),
    mistake(
        "kubelets without admission policies",
        "cluster.facts.kubernetesVersion",
        "1.26.0",
        "decided by admission policies",
        key="kbatch",
    ),
    mistake(
        "platform's namespace that could be a user's",
        "operator.namespace",
        "kbatch-operator",
        "could be the namespace of a user of kbatch",
    ),
    mistake(
        "Ray's token for everybody",
        "kbatch.jobEnv",
        {"RAY_AUTH_TOKEN": "x"},
        "the same for every user",
        key="kbatch.jobEnv.RAY_AUTH_TOKEN",
    ),
    mistake(
        "user whom the hub knows by another name",
        "kbatch.users",
        ["Carol"],
        "write carol, or set namesKeepCase",
        key="kbatch.users[0]",
    ),
    mistake(
        "member of a group whom the hub knows by another name",
        "kbatch.groups",
        {"lab": {"users": ["dan", "Carol"]}},
        "write carol, or set namesKeepCase",
        key="kbatch.groups.lab.users[1]",
    ),
    mistake(
        "user whom no hub has",
        "kbatch.users",
        ["a/b"],
        "has a slash in it",
        key="kbatch.users[0]",
    ),
    mistake(
        "member of a group whom no hub has",
        "kbatch.groups",
        {"lab": {"users": [" dan"]}},
        "begins or ends with a space",
        key="kbatch.groups.lab.users[0]",
    ),
    mistake("unknown version of kbatch-proxy", "kbatch.imageTag", "latest", "that Rayfort can fence"),
    mistake(
        "namespace that could be a user's", "kbatch.namespace", "kbatch-proxy", "does not start with kbatch-"
    ),
    mistake(
        "template that no job would be let in with",
        "kbatch.jobTemplate",
        {"spec": {"template": {"spec": {"hostNetwork": True}}}},
        "spec.template.spec.hostNetwork is the node's network",
    ),
    mistake("hub that is no URL", "kbatch.hubApiUrl", "hub:8081", "is not a URL"),
    mistake("hub at no address", "kbatch.hubApiUrl", "https://[2cE0aDF9949.34]:65", "an IPv6 address"),
    mistake("hub at no port", "kbatch.hubApiUrl", "http://hub:65536/hub/api", "1 to 65535"),
    mistake("hub at port 0", "kbatch.hubApiUrl", "http://hub:0/hub/api", "1 to 65535"),
    mistake("no replicas", "kbatch.replicas", 0, "must be at least 1"),
    mistake("empty hub token", "kbatch.hubApiToken", "", "is empty"),
]


def test_the_settings_that_mistakes_are_made_in_are_valid(tmp_path: Path) -> None:
    """Otherwise each case would be refused for another mistake than its own."""
    ran = run(VALID, tmp_path)
    assert ran.error is None
    assert ran.resources


def test_there_are_enough_of_them() -> None:
    """Every kind of key has its mistakes."""
    assert len(MISTAKES) >= 60
    assert len({case.title for case in MISTAKES}) == len(MISTAKES)


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case.title.replace(" ", "-"))
def test_a_mistake_is_one_problem_with_its_key(case: Mistake, tmp_path: Path) -> None:
    """Nothing is registered, the key is the stack file's, and the message says what to do."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    ran = run(changed(case.changes), tmp_path)
    assert not ran.resources
    found = problems(ran)
    assert len(found) == 1, found
    key, text = found[0]
    assert key == f"rayfort:{case.key}"
    assert case.says in text
    for secret in samples.GIVEN_SECRETS:
        assert secret not in str(ran.error)
        assert not [line for line in ran.logs if secret in line]


def test_several_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """One run for each mistake would be a morning's work."""
    values = changed(
        {
            "cluster.context": REMOVE,
            "mesh.mtls": "strict",
            "operator.version": "v1.6.2",
            f"{NETRC}.machine": "https://github.com",
            f"{PORTS}.dashboard": 0,
            f"{HEAD}.env.RAY_AUTH_MODE": "disabled",
            "kbatch.users": ["alice", "alice"],
            "rayImage": "Ray",
            "meshs": {},
        }
    )
    assert sorted(key for key, _ in problems(run(values, tmp_path))) == [
        "rayfort:cluster.context",
        "rayfort:kbatch.users",
        "rayfort:mesh.mtls",
        "rayfort:meshs",
        "rayfort:operator.version",
        "rayfort:rayImage",
        f"rayfort:{HEAD}.env",
        f"rayfort:{PORTS}.dashboard",
        f"rayfort:{NETRC}.machine",
    ]


def test_contradictions_between_settings_are_reported_at_once(tmp_path: Path) -> None:
    """Also those that only show between keys."""
    values = changed(
        {
            "operator.version": "1.5.1",
            f"{CLUSTER}.auth.source": "secret-name",
            "workspaces[1].namespace": "istio-system",
            "workspaces[2]": {"name": "team-a", "namespace": "elsewhere"},
            "cluster.facts.kubernetesVersion": "1.28.0",
            "mesh.nativeSidecars": True,
        }
    )
    assert sorted(key for key, _ in problems(run(values, tmp_path))) == [
        "rayfort:mesh.nativeSidecars",
        f"rayfort:{CLUSTER}",
        "rayfort:workspaces[1].namespace",
        "rayfort:workspaces[2].name",
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda secret: {f"{NETRC}.password": f"{secret}\n"},
        lambda secret: {f"{NETRC}.password": {"value": secret}},
        lambda secret: {f"{NETRC}.password": [secret]},
        lambda secret: {f"{NETRC}.machine": f"https://{secret}@github.com"},
        lambda secret: {"kbatch.hubApiToken": [secret]},
        lambda secret: {"kbatch.jobEnv.A": [secret]},
        lambda secret: {"kbatch.jobEnv": secret},
        lambda secret: {"cluster.kubeconfig": f"token: {secret}\n  - ["},
        lambda secret: {"cluster.kubeconfig": {"users": [secret]}},
        lambda secret: {"cluster": secret},
        lambda secret: {"workspaces": secret},
        lambda secret: {f"{HEAD}.env.TOKEN": [secret]},
        lambda secret: {
            "operator.chart": {"chart": "x", "version": "1", "repository": f"https://u:{secret}@h.example"}
        },
        lambda secret: {"rayImage": f"https://{secret}@registry.example/ray"},
        lambda secret: {"rayImage": "{" + secret},
    ],
)
def test_a_message_never_holds_what_was_given(spoil: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    """A secret in the wrong place, or of the wrong type, must not end in a terminal or a log."""
    secret = "s3cret-that-must-not-show"
    ran = run(changed(spoil(secret)), tmp_path)
    assert problems(ran)
    assert secret not in str(ran.error)
    assert not [line for line in ran.logs if secret in line]
    assert not ran.resources


def test_the_error_is_the_last_of_its_chain(tmp_path: Path) -> None:
    """A cause or a context would be printed with it, and holds the input."""
    ran = run(changed({f"{NETRC}.password": ""}), tmp_path)
    assert ran.error is not None
    assert ran.error.__cause__ is None
    assert ran.error.__suppress_context__
