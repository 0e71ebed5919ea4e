"""What the API server asks of users' jobs: each rule is there, says why, and follows the settings."""

from __future__ import annotations

from typing import Any

import pytest
from rayfort.proxy import kbatch_admission as admission
from rayfort.proxy.kbatch_config import dynamic_labels
from rayfort.proxy.kbatch_rule import Rule
from rayfort.proxy.kbatch_rules import rules
from rayfort.proxy.kbatch_rules_fixed import FIXED
from rayfort.proxy.kbatch_spec import KbatchProxyArgs
from rayfort.proxy.kbatch_template import node_keys, toleration_keys

from tests.unit import samples

PROFILES = {
    "gpu": {
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "node_affinity_required": [{"matchExpressions": [{"key": "pool", "operator": "Exists"}]}],
    }
}
# What a user may ask for, and the rule that looks at it.
LOOKED_AT = {
    "hostNetwork": "host-namespaces",
    "hostPID": "host-namespaces",
    "hostIPC": "host-namespaces",
    "shareProcessNamespace": "process-namespace",
    "nodeName": "node-name",
    "serviceAccountName": "service-account",
    "automountServiceAccountToken": "api-token",
    "secretName": "secret-volumes",
    "secretKeyRef": "secret-variables",
    "envFrom": "secret-environments",
    "privileged": "privileged",
    "allowPrivilegeEscalation": "privilege-escalation",
    "capabilities": "capabilities",
    "procMount": "proc-mount",
    "hostPort": "host-ports",
    "seccompProfile": "seccomp",
    "appArmorProfile": "app-armor",
    "seLinuxOptions": "se-linux",
    "sysctls": "sysctls",
    "windowsOptions": "windows",
    "runAsUser": "sidecar-user",
    "supplementalGroups": "sidecar-user",
    "c.name": "sidecar-containers",
    "workload-socket": "sidecar-volumes",
    "variables.labels": "mesh-labels",
    "variables.annotations": "mesh-annotations",
    "object.metadata.?finalizers": "finalizers",
    "template.?metadata.?finalizers": "pod-finalizers",
    "namespaceSelector": "pod-affinity",
    "tcpSocket": "probe-hosts",
    "terminationGracePeriodSeconds": "grace-period",
    "object.metadata.?labels": "foreign-labels",
    "object.metadata.?annotations": "foreign-annotations",
    "parallelism": "pods",
    "completions": "pods",
    "backoffLimit": "pods",
    "managedBy": "controller",
    "priorityClassName": "priority-class",
    "runtimeClassName": "runtime-class",
    "schedulerName": "scheduler",
    "nodeSelector": "node-selector",
    "matchFields": "node-affinity",
    "tolerations": "tolerations",
    "ttlSecondsAfterFinished": "time-to-live",
    "ownerReferences": "owners",
}


def rule(name: str, **settings: Any) -> Rule:
    return next(each for each in rules(samples.kbatch_args(**settings)) if each.name == name)


@pytest.mark.parametrize("what", LOOKED_AT)
def test_there_is_a_rule_for(what: str) -> None:
    assert what in rule(LOOKED_AT[what]).expression


def test_every_rule_is_among_those_that_are_looked_for() -> None:
    """And each says on one line what is wrong, as Kubernetes asks for it."""
    made = rules(samples.kbatch_args(jobs={"allowed_images": ["ghcr.io/team/"]}))
    names = [each.name for each in made]
    assert len(names) == len(set(names))
    assert set(names) == {*LOOKED_AT.values(), "volumes", "images"}
    for each in made:
        assert each.message
        assert "\n" not in each.message


@pytest.mark.parametrize("kind", ["hostPath", "projected", "csi", "nfs", "ephemeral"])
def test_volumes_are_of_a_list(kind: str) -> None:
    """A projected one holds a token for the API server; a list of what is refused would grow old."""
    assert f"has(v.{kind})" not in rule("volumes").expression
    assert "has(v.emptyDir)" in rule("volumes").expression


def test_profiles_decide_about_nodes() -> None:
    """What a user may choose is what the platform offers."""
    assert '["pool"]' in rule("node-selector", profiles=PROFILES).expression
    assert '["pool"]' in rule("node-affinity", profiles=PROFILES).expression
    assert '["nvidia.com/gpu"]' in rule("tolerations", profiles=PROFILES).expression
    assert "[]" in rule("tolerations").expression


def test_the_job_template_decides_as_well() -> None:
    """Otherwise the template itself would have every job refused."""
    pod = {
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "batch", "operator": "Exists"}],
        "priorityClassName": "low",
        "runtimeClassName": "gvisor",
        "affinity": {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
                ]
            }
        },
    }
    template = {"spec": {"template": {"spec": pod}}}
    assert node_keys({}, template) == ["disk", "zone"]
    assert toleration_keys({}, template) == ["batch"]
    assert '["", "low"]' in rule("priority-class", job_template=template).expression
    assert '["", "gvisor"]' in rule("runtime-class", job_template=template).expression


def test_images_are_of_a_list_where_there_is_one() -> None:
    """A name alone must not be the beginning of another's; kbatch's own image unpacks code."""
    assert not [each for each in rules(samples.kbatch_args()) if each.name == "images"]
    found = rule("images", jobs={"allowed_images": ["ghcr.io/team/", "docker.io/library/python"]}).expression
    assert '.startsWith("ghcr.io/team/")' in found
    assert '== "docker.io/library/python"' in found
    assert '.startsWith("docker.io/library/python:")' in found
    assert '.startsWith("docker.io/library/python")' not in found
    assert "docker.io/library/busybox:" in found


def test_keys_of_domains_are_of_a_list() -> None:
    """Network plugins, queues and webhooks go by them; the job template's are the platform's own."""
    found = rule("foreign-annotations").expression
    assert '"kbatch.jupyter.org"' in found
    assert "kueue" not in found
    template = {
        "metadata": {"annotations": {"example.org/a": "1"}},
        "spec": {"template": {"metadata": {"annotations": {"example.org/b": "1"}}}},
    }
    assert (
        'key in ["example.org/a", "example.org/b"]'
        in rule("foreign-annotations", job_template=template).expression
    )
    assert "key in []" in rule("foreign-labels", job_template=template).expression
    listed = rule("foreign-labels", jobs={"metadata_domains": ["kueue.x-k8s.io"]}).expression
    assert '"kueue.x-k8s.io"' in listed


def test_what_the_proxy_labels_itself_is_let_in() -> None:
    """With namespaces on demand it puts their labels on jobs."""
    found = rule("foreign-labels", users=(), dynamic_users=True).expression
    for key in dynamic_labels("batch-system"):
        assert f'"{key}"' in found
    assert "rayfort.dev" not in rule("foreign-labels").expression


def test_the_most_pods_are_a_setting() -> None:
    assert rule("pods", jobs={"max_pods": 7}).expression.count("<= 7") == 3


@pytest.mark.parametrize("place", ["spec.template", ""])
def test_a_template_that_decides_about_the_sidecar_is_refused(place: str) -> None:
    """Every job would be refused for it."""
    template: Any = {"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}}
    for part in reversed(place.split(".") if place else []):
        template = {part: template}
    with pytest.raises(ValueError, match="decides about the sidecar"):
        samples.kbatch_args(job_template=template)


def test_only_cron_jobs_own_jobs_and_only_where_there_are_any() -> None:
    assert "size() == 0" in rule("owners").expression
    assert "'CronJob'" in rule("owners", cron_jobs=True).expression


def made(**settings: Any) -> dict[str, admission.Policy]:
    args = KbatchProxyArgs(**settings)
    return {each.name.partition(".")[0]: each for each in admission.policies(args)}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {"kbatch-jobs"}),
        ({"cron_jobs": True}, {"kbatch-jobs", "kbatch-cronjobs"}),
        ({"dynamic_users": True}, {"kbatch-jobs", "kbatch-namespaces", "kbatch-writes"}),
    ],
)
def test_the_policies_of_a_proxy(settings: Any, names: set[str]) -> None:
    found = made(**settings)
    assert set(found) == names
    for each in found.values():
        assert each.spec["failurePolicy"] == "Fail"
        assert each.binding["validationActions"] == ["Deny"]
        assert each.binding["policyName"] == each.name


def test_a_policy_holds_for_the_proxys_users() -> None:
    """By a label that the proxy's own namespace is the value of: another proxy has other users."""
    jobs = made(namespace="batch")["kbatch-jobs"]
    chosen = jobs.binding["matchResources"]["namespaceSelector"]["matchLabels"]
    assert chosen == {"rayfort.dev/kbatch": "batch"}


def test_cron_jobs_are_asked_the_same() -> None:
    """Of the Job that they make."""
    found = made(cron_jobs=True)
    jobs, cron_jobs = (found[name].spec for name in ("kbatch-jobs", "kbatch-cronjobs"))
    assert jobs["validations"] == cron_jobs["validations"]
    assert jobs["variables"][0]["expression"] == "object.spec"
    assert cron_jobs["variables"][0]["expression"] == "object.spec.jobTemplate.spec"


def test_missing_rules_are_found() -> None:
    spec = made()["kbatch-jobs"].spec
    assert admission.missing(spec) == []
    assert admission.missing({**spec, "validations": spec["validations"][2:]}) == [
        each.name for each in FIXED[:2]
    ]
    assert len(admission.missing({})) == len(FIXED)
