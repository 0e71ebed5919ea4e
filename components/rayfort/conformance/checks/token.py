"""Seed 001: nobody uses a Ray cluster without its token."""

from collections.abc import Iterator
from typing import Final

from rayfort import labels
from rayfort.conformance.check import Check, Seen
from rayfort.conformance.observations import (
    NotSeen,
    Observations,
    containers,
    environment,
    name_of,
)
from rayfort.model import JsonObject
from rayfort.ray.auth import MODE_VARIABLE, TOKEN_KEY, TOKEN_VARIABLE

DASHBOARD: Final = "dashboard"  # a kind of trial: the dashboard's API, by namespace and name of the cluster
# What the dashboard's API answers, by what it was handed.
ANSWERS: Final = {"none": 401, "wrong": 403, "right": 200}


def _dashboard(seen: Observations, namespace: str) -> Iterator[str]:
    for cluster in seen.of("RayCluster", namespace):
        subject = f"{namespace}/{name_of(cluster)}"
        answers = seen.trial(DASHBOARD, subject)
        for handed, wanted in ANSWERS.items():
            status = answers.get(handed)
            if status != wanted:
                yield f"{subject}: {status} with {_word(handed)}, and it should be {wanted}"
        if all(answers.get(handed) == wanted for handed, wanted in ANSWERS.items()):
            yield Seen(f"{subject}: 401 without a token, 403 with a wrong one, 200 with the right one")


def _word(handed: str) -> str:
    return "no token" if handed == "none" else f"the {handed} token"


def _asked_for(seen: Observations, namespace: str) -> Iterator[str]:
    for pod, container in _ray_containers(seen, namespace):
        mode = environment(container).get(MODE_VARIABLE, {}).get("value")
        if mode == "token":
            yield Seen(f"{name_of(pod)}: {MODE_VARIABLE}=token")
        else:
            yield f"{name_of(pod)}: {container['name']} has {MODE_VARIABLE}={mode or 'nothing'}"
    for cluster in seen.of("RayCluster", namespace):
        options = cluster["spec"].get("authOptions")
        if options is not None and options.get("mode") != "token":
            yield f"{name_of(cluster)}: authOptions has no `mode: token`, which leaves authentication off"


def _by_reference(seen: Observations, namespace: str) -> Iterator[str]:
    for pod, container in _ray_containers(seen, namespace):
        variable = environment(container).get(TOKEN_VARIABLE, {})
        if "value" in variable:
            yield f"{name_of(pod)}: {container['name']} has the token itself in its specification"
        elif token_reference(container) is None:
            yield f"{name_of(pod)}: {container['name']} takes no token from a Secret"
        else:
            yield Seen(f"{name_of(pod)}: the token comes from a Secret")


def _immutable(seen: Observations, namespace: str) -> Iterator[str]:
    names = {
        reference["name"]
        for _, container in _ray_containers(seen, namespace)
        if (reference := token_reference(container))
    }
    for name in sorted(names):
        secret = seen.named("Secret", namespace, name)
        if secret is None:
            yield f"Secret {name}, which Pods take their token from, is not there"
        elif TOKEN_KEY not in secret.get("data", {}):
            yield f"Secret {name} has no key {TOKEN_KEY}"
        elif secret.get("immutable") is not True:
            yield f"Secret {name} can be changed in place, past the Pods that have read it"
        else:
            yield Seen(f"Secret {name} is immutable")


def _in_force(seen: Observations, namespace: str) -> Iterator[str]:
    """KubeRay takes a changed specification over without new Pods right after an upgrade of its own."""
    named = {
        name_of(each): each["spec"].get("authOptions") or {} for each in seen.of("RayCluster", namespace)
    }
    for pod, container in _ray_containers(seen, namespace):
        cluster, reference = pod["metadata"]["labels"][labels.RAY_CLUSTER], token_reference(container)
        wanted = named.get(cluster, {}).get("secretName")
        if wanted is None or reference is None:
            continue
        if reference["name"] == wanted:
            yield Seen(f"{name_of(pod)}: the token of RayCluster {cluster}")
        else:
            yield f"{name_of(pod)}: has Secret {reference['name']}, and RayCluster {cluster} names {wanted}"


def _version(seen: Observations, namespace: str) -> Iterator[str]:
    for cluster in seen.of("RayCluster", namespace):
        subject = f"{namespace}/{name_of(cluster)}"
        runs = seen.trial(DASHBOARD, subject).get("version")
        if not runs:
            raise NotSeen(f"{subject}: the dashboard did not tell its version")
        says = cluster["spec"].get("rayVersion")
        if runs == says:
            yield Seen(f"{subject}: Ray {runs}")
        else:
            yield f"{subject}: the RayCluster says Ray {says}, and {runs} runs"


def token_reference(container: JsonObject) -> JsonObject | None:
    """The Secret and key that a container takes its token from; None for none."""
    source = environment(container).get(TOKEN_VARIABLE, {}).get("valueFrom") or {}
    return source.get("secretKeyRef")


def _ray_containers(seen: Observations, namespace: str) -> Iterator[tuple[JsonObject, JsonObject]]:
    """Ray's own container of each Pod, which is its first, with the Pod."""
    for pod in seen.ray_pods(namespace):
        yield pod, next(containers(pod["spec"], init=False))


CHECKS: Final = (
    Check(
        "dashboard-token",
        "The dashboard and its job API answer 401 without a token and 403 with a wrong one",
        "seed 001: nobody runs code without the token",
        "recreate the Pods with the RayCluster's `auth` as Rayfort writes it: `pulumi up` after a refresh",
        _dashboard,
    ),
    Check(
        "token-mode",
        "Every Ray container is told to ask for the token",
        "seed 001: token authentication is on",
        "leave authOptions and RAY_AUTH_MODE to Rayfort; run `pulumi up --refresh`",
        _asked_for,
    ),
    Check(
        "token-by-reference",
        "Containers take the token from a Secret, never from their specification",
        "security model: secrets travel by reference",
        "remove RAY_AUTH_TOKEN from `env` of the node; rotate the token, since it stood in a specification",
        _by_reference,
    ),
    Check(
        "token-secret",
        "The token's Secret is immutable and has the key that Pods read",
        "seed 001: rotation makes a new Secret, so that Pods and operator never hold different tokens",
        "run `pulumi up --refresh`; to rotate, change `auth.rotation`",
        _immutable,
    ),
    Check(
        "token-in-force",
        "Every Pod has the token that its RayCluster names",
        "security model: after a rotation the old token is refused",
        "delete the Pods that it names; the operator makes them anew with the RayCluster's token",
        _in_force,
    ),
    Check(
        "ray-version",
        "The Ray that runs is the one that the RayCluster names",
        "seed 001: a Ray older than 2.52 in the image would have no token authentication",
        "name the image's own version in `rayVersion`, or take the image of that version",
        _version,
    ),
)
