"""Seed 000: private code is fetched with a netrc file that only Ray's user reads."""

from collections.abc import Iterator
from typing import Final

from rayfort.conformance.check import Check, Seen
from rayfort.conformance.observations import Observations, containers, environment, name_of
from rayfort.model import JsonObject
from rayfort.ray import netrc

VARIABLE: Final = netrc.environment()["name"]
FILE: Final = netrc.environment()["value"]
NETRC: Final = "netrc"  # a kind of trial: the file as Ray's user finds it, by namespace and name of the Pod
OTHERS: Final = 0o007
WRITERS: Final = 0o222


def _mounted(seen: Observations, namespace: str) -> Iterator[str]:
    if not _has_secret(seen, namespace):
        return
    for pod in seen.ray_pods(namespace):
        problems = list(_mount(seen, namespace, pod))
        yield from problems
        if not problems:
            yield Seen(f"{name_of(pod)}: {FILE} from a Secret, read-only, named by {VARIABLE}")


def _mount(seen: Observations, namespace: str, pod: JsonObject) -> Iterator[str]:
    name, container = name_of(pod), next(containers(pod["spec"], init=False))
    mount = next((each for each in container.get("volumeMounts", ()) if _same(each["mountPath"])), None)
    if mount is None:
        yield f"{name}: nothing is mounted at {netrc.MOUNT_PATH}"
        return
    if not mount.get("readOnly"):
        yield f"{name}: the mount can be written"
    if mount.get("subPath"):
        yield f"{name}: with a subPath a rotated file never arrives"
    volume: JsonObject = next(
        (each for each in pod["spec"].get("volumes", ()) if each["name"] == mount["name"]), {}
    )
    source = volume.get("secret")
    if not source:
        yield f"{name}: the file does not come from a Secret"
    else:
        secret = seen.named("Secret", namespace, source["secretName"])
        if secret is None or netrc.SECRET_KEY not in secret.get("data", {}):
            yield f"Secret {source['secretName']} with the key {netrc.SECRET_KEY} is not there"
    if environment(container).get(VARIABLE, {}).get("value") != FILE:
        yield f"{name}: {VARIABLE} does not name {FILE}"


def _readable(seen: Observations, namespace: str) -> Iterator[str]:
    if not _has_secret(seen, namespace):
        return
    for pod in seen.ray_pods(namespace):
        name, answer = name_of(pod), seen.trial(NETRC, f"{namespace}/{name_of(pod)}")
        mode, user = answer.get("mode"), answer["user"]
        if mode is None:
            yield f"{name}: user {user} finds no file {FILE} ({answer.get('error', 'no reason given')})"
            continue
        said = f"mode {mode:04o}, owner {answer['owner']}, group {answer['group']}"
        if not answer["readable"]:
            yield f"{name}: Ray's user {user} cannot read {FILE} ({said})"
        elif mode & OTHERS:
            yield f"{name}: everybody in the container can read {FILE} ({said})"
        elif mode & WRITERS:
            yield f"{name}: {FILE} can be written ({said})"
        else:
            yield Seen(f"{name}: read by user {user}; {said}")


def _has_secret(seen: Observations, namespace: str) -> bool:
    """Whether the workspace has logins at all: without them there is nothing to mount."""
    mounts = any(
        _same(each["mountPath"])
        for pod in seen.ray_pods(namespace)
        for container in containers(pod["spec"], init=False)
        for each in container.get("volumeMounts", ())
    )
    return mounts or seen.named("Secret", namespace, netrc.SECRET_NAME) is not None


def _same(path: str) -> bool:
    return path.rstrip("/") == netrc.MOUNT_PATH.rstrip("/")


CHECKS: Final = (
    Check(
        "netrc-mounted",
        "The netrc file is mounted read-only in every Ray container, and NETRC names it",
        "seed 000: head and workers fetch private code with it",
        "leave the mount to Rayfort (`netrc` of the workspace); run `pulumi up --refresh`",
        _mounted,
    ),
    Check(
        "netrc-private",
        "Ray's user reads the netrc file, nobody else does, and nobody writes it",
        "seed 000: readable by the Ray user and not by the world",
        "leave the volume's mode and the Pod's fsGroup to Rayfort; run `pulumi up --refresh`",
        _readable,
    ),
)
