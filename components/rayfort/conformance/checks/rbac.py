"""Rights in Kubernetes: what service accounts may do, as the API server itself lists it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final

from rayfort.conformance.check import Check, Scope, Seen
from rayfort.conformance.observations import NotSeen, Observations, labelled, name_of, namespace_of
from rayfort.conformance.rights import EVERYONE, OPERATOR_LEADER, OPERATOR_RULES
from rayfort.labels import RAY_CLUSTER
from rayfort.model import JsonObject
from rayfort.proxy import kbatch_config
from rayfort.ray import operator

RIGHTS: Final = "rights"  # a kind of trial: the rules in each namespace, by namespace and name of the account
NOBODY: Final = "rayfort-verify-nobody"  # an account that does not exist: it has what everyone has
WATCH: Final = "--watch-namespace="
_SHOWN: Final = 12

Right = tuple[str, str, str]  # API group, resource, verb
# What KubeRay's Role for the autoscaler, which runs beside the head, allows. Source: KubeRay 1.6.2.
_AUTOSCALER: Final = (
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]},
    {"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["patch"]},
    {"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["get", "patch"]},
)


def _everyone(seen: Observations, _: str) -> Iterator[str]:
    for namespace, rules in _rules(seen, f"default/{NOBODY}").items():
        yield from _wider("everyone", namespace, rules, EVERYONE)
    yield Seen("who has nothing but an account may do nothing")


def _operators(seen: Observations, _: str) -> Iterator[str]:
    for item in seen.deployments(operator.RELEASE):
        own = namespace_of(item)
        account = _account(item)
        watched = _watched(item)
        for namespace, rules in _rules(seen, f"{own}/{account}").items():
            allowed = list(EVERYONE)
            if watched is None or namespace in watched:
                allowed += OPERATOR_RULES
            if namespace == own:
                allowed += OPERATOR_LEADER
            yield from _wider(account, namespace, rules, allowed)
        place = "every namespace" if watched is None else ", ".join(watched)
        yield Seen(f"{own}/{account}: nothing beyond KubeRay's own rules, in {place}")


def _proxies(seen: Observations, _: str) -> Iterator[str]:
    for item in seen.deployments(kbatch_config.SERVICE_NAME):
        own, account = namespace_of(item), _account(item)
        for namespace, rules in _rules(seen, f"{own}/{account}").items():
            allowed = list(EVERYONE)
            if namespace in seen.users:
                allowed += kbatch_config.user_rules(cron_jobs=False)
            yield from _wider(account, namespace, rules, allowed)
        yield Seen(
            f"{own}/{account}: its verbs in {len(seen.users)} users' namespaces, and nothing elsewhere"
        )


def _ray(seen: Observations, namespace: str) -> Iterator[str]:
    autoscaled = {
        name_of(cluster)
        for cluster in seen.of("RayCluster", namespace)
        if cluster["spec"].get("enableInTreeAutoscaling")
    }
    accounts = {
        pod["spec"].get("serviceAccountName", "default"): labelled(pod)[RAY_CLUSTER]
        for pod in sorted(seen.ray_pods(namespace), key=name_of)
    }
    for account, cluster in sorted(accounts.items()):
        scales = cluster in autoscaled and any(
            pod["spec"].get("automountServiceAccountToken") is not False
            for pod in seen.ray_pods(namespace, cluster)
            if pod["spec"].get("serviceAccountName", "default") == account
        )
        for place, rules in _rules(seen, f"{namespace}/{account}").items():
            allowed = [*EVERYONE, *(_AUTOSCALER if scales and place == namespace else ())]
            yield from _wider(account, place, rules, allowed)
        yield Seen(f"{account}: {'the autoscaler rights in its namespace' if scales else 'no right at all'}")


def _rules(seen: Observations, account: str) -> Mapping[str, Sequence[JsonObject]]:
    """The rules of an account in each namespace that was asked about."""
    answer = seen.trial(RIGHTS, account)
    incomplete = answer.get("incomplete")
    if incomplete:
        raise NotSeen(
            f"{account}: the API server does not list every right ({incomplete}); review the cloud's own too"
        )
    rules: Mapping[str, Sequence[JsonObject]] = answer["rules"]
    return rules


def _wider(
    account: str, namespace: str, rules: Sequence[JsonObject], allowed: Sequence[JsonObject]
) -> Iterator[str]:
    extra = sorted(rights(rules) - rights(allowed))
    shown = ", ".join(
        f"{verb} {resource}{f'.{group}' if group else ''}" for group, resource, verb in extra[:_SHOWN]
    )
    more = f" and {len(extra) - _SHOWN} more" if len(extra) > _SHOWN else ""
    if extra:
        yield f"{account} in {namespace}: {shown}{more}"


def rights(rules: Sequence[Mapping[str, Sequence[str]]]) -> set[Right]:
    """Rules as single rights. One that names objects counts as if it named none."""
    return {
        right
        for rule in rules
        for right in product(
            rule.get("apiGroups") or [""], rule.get("resources") or [], rule.get("verbs") or []
        )
    }


def _account(deployment: JsonObject) -> str:
    return str(deployment["spec"]["template"]["spec"].get("serviceAccountName", "default"))


def _watched(deployment: JsonObject) -> list[str] | None:
    """The namespaces that an operator is told to keep to; None for all."""
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        for argument in container.get("args", ()):
            if argument.startswith(WATCH):
                return [name for name in argument.removeprefix(WATCH).split(",") if name]
    return None


_UNBIND: Final = (
    "remove the binding that gives it; `kubectl get rolebindings,clusterrolebindings -A -o wide` lists all"
)

CHECKS: Final = (
    Check(
        "rights-of-everyone",
        "An account by itself may do nothing",
        "security model: Kubernetes' RBAC guards port-forward and exec",
        f"{_UNBIND}; look for the groups system:authenticated and system:serviceaccounts",
        _everyone,
        Scope.PLATFORM,
    ),
    Check(
        "rights-of-operator",
        "The KubeRay operator may do what KubeRay's release says and nothing else",
        "security model: each role has its own service account",
        f"{_UNBIND}; `operator.watchNamespaces` narrows it to the workspaces",
        _operators,
        Scope.PLATFORM,
    ),
    Check(
        "rights-of-kbatch-proxy",
        "kbatch-proxy may do what it needs, in its users' namespaces alone",
        "seed 003: jobs without access to the Kubernetes API",
        f"{_UNBIND}; `kbatch.cronJobs: true` is wider than this on purpose",
        _proxies,
        Scope.PLATFORM,
    ),
    Check(
        "rights-of-ray",
        "Ray's service accounts may do nothing, but for an autoscaler's",
        "security model: code on Ray runs as the Ray cluster",
        _UNBIND,
        _ray,
    ),
)
