"""What the API server itself asks of the jobs of kbatch's users: ValidatingAdmissionPolicies.

kbatch-proxy forwards any Pod that a user writes, so that what it may be is decided here, for everybody who
makes a Job in a user's namespace. Kubernetes has these policies since 1.30.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rayfort import labels
from rayfort.model import JsonObject
from rayfort.proxy import kbatch_config as config
from rayfort.proxy.kbatch_rule import Rule
from rayfort.proxy.kbatch_rules import rules
from rayfort.proxy.kbatch_rules_fixed import FIXED
from rayfort.proxy.kbatch_spec import KbatchProxyArgs

API_VERSION: Final = "admissionregistration.k8s.io/v1"
POLICY: Final = "ValidatingAdmissionPolicy"
BINDING: Final = "ValidatingAdmissionPolicyBinding"
SINCE: Final = "1.30"
# Kubelets may be three minor versions older than the API server.
OLDEST_KUBELET: Final = "1.27.0"


@dataclass(frozen=True)
class Policy:
    """A policy and where it holds.

    Attributes:
        name: what it is called in the cluster.
        spec: its ``spec``.
        namespaces: the labels of the namespaces where it holds; None for the whole cluster.
    """

    name: str
    spec: JsonObject
    namespaces: JsonObject | None

    @property
    def binding(self) -> JsonObject:
        """``spec`` of the binding that puts the policy in force."""
        chosen = {"namespaceSelector": {"matchLabels": self.namespaces}} if self.namespaces else None
        match = {"matchResources": chosen} if chosen else {}
        return {"policyName": self.name, "validationActions": ["Deny"], **match}


def policies(args: KbatchProxyArgs) -> Iterator[Policy]:
    """The policies of a proxy.

    Args:
        args: the proxy's arguments.
    """
    users = {labels.KBATCH: args.namespace}
    yield Policy(policy_name("jobs", args.namespace), _spec("jobs", "object.spec", rules(args)), users)
    if args.cron_jobs:
        path = "object.spec.jobTemplate.spec"
        yield Policy(policy_name("cronjobs", args.namespace), _spec("cronjobs", path, rules(args)), users)
    if args.dynamic_users:
        yield Policy(policy_name("namespaces", args.namespace), _namespaces(args), None)
        yield Policy(policy_name("writes", args.namespace), _writes(args), None)


def variables(job: str) -> list[JsonObject]:
    """The parts of a job that the rules look at.

    Args:
        job: where the Job's ``spec`` is in the object.
    """
    parts = {
        "job": job,
        "pod": "variables.job.template.spec",
        "labels": "variables.job.template.?metadata.?labels.orValue({})",
        "annotations": "variables.job.template.?metadata.?annotations.orValue({})",
        "containers": "variables.pod.containers + variables.pod.?initContainers.orValue([])",
        "volumes": "variables.pod.?volumes.orValue([])",
    }
    return [{"name": name, "expression": expression} for name, expression in parts.items()]


def policy_name(resource: str, namespace: str) -> str:
    """The name of the policy for a resource, of the proxy in a namespace."""
    return f"kbatch-{resource}.{namespace}.rayfort.dev"


def missing(spec: JsonObject) -> list[str]:
    """The rules that hold for every proxy's users and that a policy's ``spec`` lacks, by name."""
    said = {each.get("expression") for each in spec.get("validations") or ()}
    return [rule.name for rule in FIXED if rule.expression not in said]


def _spec(resource: str, job: str, asked: Iterable[Rule]) -> JsonObject:
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": ["batch"],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": [resource],
                }
            ]
        },
        "variables": variables(job),
        "validations": _validations(asked),
    }


def _validations(asked: Iterable[Rule]) -> list[JsonObject]:
    return [{"expression": rule.expression, "message": rule.message, "reason": "Forbidden"} for rule in asked]


def _of_the_proxy(args: KbatchProxyArgs) -> list[JsonObject]:
    account = json.dumps(f"system:serviceaccount:{args.namespace}:{config.SERVICE_NAME}")
    return [{"name": "of-the-proxy", "expression": f"request.userInfo.username == {account}"}]


def _namespaces(args: KbatchProxyArgs) -> JsonObject:
    """Which namespaces a proxy with cluster-wide rights may make."""
    wanted = config.dynamic_labels(args.namespace)
    carries = " && ".join(
        f"object.metadata.labels[?{json.dumps(key)}].orValue('') == {json.dumps(value)}"
        for key, value in wanted.items()
    )
    known = json.dumps([*wanted, labels.NAMESPACE_NAME])
    asked = (
        Rule("create-only", "request.operation == 'CREATE'", "kbatch-proxy makes namespaces, and no more"),
        Rule(
            "prefix",
            f"object.metadata.name.startsWith('{config.USER_NAMESPACE_PREFIX}')",
            f"kbatch-proxy makes namespaces that begin with {config.USER_NAMESPACE_PREFIX} alone",
        ),
        Rule(
            "labels",
            f"has(object.metadata.labels) && {carries} && object.metadata.labels.all(key, key in {known})",
            f"kbatch-proxy makes namespaces with these labels alone: {', '.join(wanted)}",
        ),
    )
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE", "DELETE"],
                    "resources": ["namespaces", "namespaces/*"],
                }
            ]
        },
        "matchConditions": _of_the_proxy(args),
        "validations": _validations(asked),
    }


def _writes(args: KbatchProxyArgs) -> JsonObject:
    """Where a proxy with cluster-wide rights may write at all. Admission sees no reads."""
    label = f"namespaceObject.metadata.labels[?{json.dumps(labels.KBATCH)}].orValue('')"
    asked = (
        Rule(
            "users-namespaces",
            f"namespaceObject.metadata.name.startsWith('{config.USER_NAMESPACE_PREFIX}') && "
            f"{label} == {json.dumps(args.namespace)}",
            "kbatch-proxy writes in its users' namespaces alone",
        ),
        Rule(
            "plain-secrets",
            "request.resource.resource != 'secrets' || object == null || "
            "object.?type.orValue('Opaque') == 'Opaque'",
            "kbatch-proxy makes Opaque Secrets alone: others may be filled with a service account's token",
        ),
    )
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": ["*"],
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"],
                    "resources": ["*/*"],
                    "scope": "Namespaced",
                }
            ]
        },
        "matchConditions": _of_the_proxy(args),
        "validations": _validations(asked),
    }
