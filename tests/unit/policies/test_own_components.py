"""What Rayfort makes breaks none of its own rules, as a stack for production."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rayfort import GkeClusterArgs
from rayfort.cluster import GkeCluster
from rayfort.policies.catalog import RULES, stage_of
from rayfort.policies.rule import (
    Finding,
    Level,
    Resource,
    ResourceRule,
    StackRule,
    Stage,
    Unproven,
    Violation,
)
from rayfort.policies.values import UNKNOWN, UNKNOWN_SECRET, SecretText

from infra.program import main
from tests.unit import recorder, samples
from tests.unit.recorder import Run, record

MODES = {"preview": True, "update": False}
STACKS = sorted(
    file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    for file in (samples.ROOT / "stacks").glob("Pulumi.*.yaml")
)


def as_seen(value: Any, *, secret: bool = False) -> Any:
    """A value of a request as the rules read it."""
    if recorder.is_secret(value):
        return as_seen(value["value"], secret=True)
    if value == recorder.UNKNOWN:
        return UNKNOWN_SECRET if secret else UNKNOWN
    if isinstance(value, dict):
        return {key: as_seen(item, secret=secret) for key, item in value.items()}
    if isinstance(value, list):
        return [as_seen(item, secret=secret) for item in value]
    return SecretText(value) if secret and isinstance(value, str) else value


def resources(run: Run) -> list[Resource]:
    return [
        Resource(each.type, each.name, as_seen(each.raw), each.urn, each.request.protect)
        for each in run.resources
    ]


def seen_by_rules(run: Run) -> Iterator[tuple[str, str, Finding]]:
    """Everything that any rule finds in a run: the rule, the resource and the finding."""
    seen = resources(run)
    for rule in RULES:
        assert rule.level(Stage.PRODUCTION) is Level.MANDATORY
        if isinstance(rule, StackRule):
            yield from ((rule.name, "", each) for each in rule.findings(seen))
        elif isinstance(rule, ResourceRule):
            yield from ((rule.name, one.name, each) for one in seen for each in rule.findings(one))


def said(run: Run) -> list[str]:
    """The same as text."""
    return [f"{rule}: {name}: {finding}" for rule, name, finding in seen_by_rules(run)]


def rich(root: Path, *, preview: bool) -> Run:
    """The sandbox's stack with everything else that a stack can have."""
    values = samples.with_project_defaults(samples.stack_values("sandbox"))
    values["rayfort:cluster"]["kubeconfigPath"] = "kubeconfig"
    (root / "kubeconfig").write_text(samples.kubeconfig(values["rayfort:cluster"]["context"]))
    workspace = values["rayfort:workspaces"][0]
    workspace["netrc"] = [
        {"machine": "git.example.com", "login": "robot", "password": samples.NETRC_PASSWORD}
    ]
    workspace["metricsNamespaces"] = ["monitoring"]
    [first] = workspace["clusters"]
    variants: list[dict[str, Any]] = [
        {"name": "scaling", "autoscaling": True},
        {"name": "told-by-env", "auth": {"source": "env"}, "traffic": "l7"},
        {"name": "told-by-operator", "auth": {"source": "operator"}},
    ]
    workspace["clusters"] = [first, *({**first, **variant} for variant in variants)]
    values["rayfort:kbatch"] = {"users": ["alice"], "jobEnv": {"DASK_PASSWORD": samples.JOB_VALUE}}
    values["rayfort:jupyterhub"]["authenticator"] = samples.AUTHENTICATOR
    values["rayfort:observability"] = {}
    values["rayfort:gateway"] = {
        "expose": [{"workspace": "team-a", "cluster": "ray"}],
        "domain": "ray.example.com",
        "tls": {"credentialName": "dashboards"},
        "jwt": {"issuer": samples.ISSUER, "jwksUri": f"{samples.ISSUER}/keys", "audiences": ["rayfort"]},
    }
    return record(lambda: main(root), preview=preview, config=samples.encoded(values))


@pytest.mark.parametrize("name", STACKS)
def test_no_stack_of_the_repository_breaks_a_rule_of_its_stage(name: str, tmp_path: Path) -> None:
    values = samples.with_project_defaults(samples.stack_values(name))
    if "kubeconfigPath" in values["rayfort:cluster"]:
        values["rayfort:cluster"]["kubeconfigPath"] = "kubeconfig"
        (tmp_path / "kubeconfig").write_text(samples.kubeconfig(values["rayfort:cluster"]["context"]))
    run = record(lambda: main(tmp_path), preview=True, config=samples.encoded(values))
    off = {rule.name for rule in RULES if rule.level(stage_of(name)) is Level.DISABLED}
    broken = {rule for rule, _, each in seen_by_rules(run) if isinstance(each, Violation)}
    assert broken - off == set()


@pytest.mark.parametrize("mode", MODES)
def test_a_rich_stack_breaks_no_rule(mode: str, tmp_path: Path) -> None:
    run = rich(tmp_path, preview=MODES[mode])
    assert len(run.resources) > 80
    assert said(run) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", samples.COMPONENTS)
def test_no_component_breaks_a_rule(name: str, mode: str) -> None:
    """Each by itself; a Ray cluster alone has no fence, which its workspace brings."""
    make: Callable[..., object] = samples.COMPONENTS[name]
    run = record(lambda: make(samples.on_cluster()), preview=MODES[mode])
    found = {rule for rule, _, each in seen_by_rules(run) if isinstance(each, Violation)}
    assert found == ({"ray-namespaces-deny-by-default"} if name == "RayCluster" else set())


def test_the_gke_cluster_breaks_no_rule() -> None:
    """Of its kubeconfig, which holds no login, a preview can only say that it is not known yet."""
    args = GkeClusterArgs.model_validate(
        {
            "name": "ray",
            "project": "my-project",
            "location": "europe-west1",
            "nodePools": [{"name": "cpu", "machineType": "n2-standard-8", "maxNodes": 3}],
        }
    )
    run = record(lambda: GkeCluster("gke", args), preview=True)
    assert run.one("gcp:container/cluster:Cluster").request.protect
    assert [(rule, str(each)) for rule, _, each in seen_by_rules(run) if isinstance(each, Violation)] == []


def test_a_weakened_stack_breaks_the_rules_about_it(tmp_path: Path) -> None:
    """The same way of looking finds what there is to find."""
    values = samples.with_project_defaults(samples.stack_values("sandbox"))
    values["rayfort:cluster"]["kubeconfigPath"] = "kubeconfig"
    (tmp_path / "kubeconfig").write_text(samples.kubeconfig(values["rayfort:cluster"]["context"]))
    values["rayfort:mesh"] |= {"mtls": "PERMISSIVE", "minTls": "TLSV1_2"}
    values["rayfort:workspaces"][0]["clusters"][0]["head"]["env"] = {"HF_TOKEN": "a-token-in-clear"}
    found = said(record(lambda: main(tmp_path), config=samples.encoded(values)))
    assert {line.partition(":")[0] for line in found} == {"mtls-strict", "tls-1-3", "no-literal-credentials"}
    assert not [line for line in found if "a-token-in-clear" in line]


def test_findings_say_what_they_are() -> None:
    assert str(Violation("", "is wrong")) == "is wrong"
    assert str(Violation("spec.x", "is wrong")) == "spec.x: is wrong"
    assert Unproven("spec.x").where == "spec.x"
