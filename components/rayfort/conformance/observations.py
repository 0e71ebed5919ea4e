"""What was seen of a platform, as plain data without any secret."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Self

from rayfort import labels
from rayfort.model import JsonObject

NOT_SEEN: Final = "notSeen"  # the key of a probe's answer that says why there is none
KBATCH: Final = "kbatch"  # what Rayfort calls itself the manager of, in namespaces of kbatch's users
SIMULATED: Final = "simulated nodes: no container runs"
_SIMULATED_NODE: Final = "kwok.x-k8s.io/node"


class NotSeen(LookupError):
    """Something could not be observed; the message is the reason, and what to do where there is something."""


@dataclass(frozen=True)
class Observations:
    """What was seen.

    Attributes:
        cluster: the cluster's identity, by what it is (``context``, ``server``, ``version``, ``uid``).
        objects: Kubernetes objects by kind; a Secret has its keys alone.
        probes: what was tried out, by the kind of trial and its subject; an answer with ``notSeen`` is a
            reason.
        reasons: why a kind of object or of trial was not observed at all.
    """

    cluster: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, Sequence[JsonObject]] = field(default_factory=dict)
    probes: Mapping[str, Mapping[str, JsonObject]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def all(self, kind: str) -> Sequence[JsonObject]:
        """Every object of a kind.

        Raises:
            NotSeen: if the kind was not observed.
        """
        if kind in self.reasons:
            raise NotSeen(self.reasons[kind])
        return self.objects.get(kind, ())

    def of(self, kind: str, namespace: str) -> list[JsonObject]:
        """The objects of a kind in a namespace.

        Raises:
            NotSeen: if the kind was not observed.
        """
        return [item for item in self.all(kind) if namespace_of(item) == namespace]

    def named(self, kind: str, namespace: str, name: str) -> JsonObject | None:
        """One object; None where it is not there."""
        return next((item for item in self.of(kind, namespace) if name_of(item) == name), None)

    def trial(self, what: str, subject: str) -> JsonObject:
        """The answer of a trial.

        Raises:
            NotSeen: if it was not made, with the reason.
        """
        if what in self.reasons:
            raise NotSeen(self.reasons[what])
        answer = self.probes.get(what, {}).get(subject)
        if answer is None:
            raise NotSeen(f"{subject}: nothing was tried out")
        if NOT_SEEN in answer:
            raise NotSeen(f"{subject}: {answer[NOT_SEEN]}")
        return answer

    @property
    def workspaces(self) -> dict[str, str]:
        """The namespace of each workspace, by the workspace's name."""
        found = {labelled(item).get(labels.WORKSPACE): name_of(item) for item in self.all("Namespace")}
        return {name: namespace for name, namespace in sorted(found.items(), key=str) if name}

    @property
    def users(self) -> list[str]:
        """The namespaces of kbatch's users."""
        wanted = {labels.MANAGED_BY: KBATCH, labels.PART_OF: "rayfort"}.items()
        return sorted(name_of(item) for item in self.all("Namespace") if wanted <= labelled(item).items())

    def deployments(self, app: str) -> list[JsonObject]:
        """The Deployments of an application, in every namespace."""
        return [item for item in self.all("Deployment") if app in {app_of(item), name_of(item)}]

    def pods(self, namespace: str) -> list[JsonObject]:
        """The Pods of a namespace that are not on their way out."""
        gone = {"Succeeded", "Failed"}
        return [
            pod
            for pod in self.of("Pod", namespace)
            if "deletionTimestamp" not in pod["metadata"] and pod.get("status", {}).get("phase") not in gone
        ]

    def ray_pods(self, namespace: str, cluster: str | None = None) -> list[JsonObject]:
        """The Pods of a namespace's Ray clusters, or of one of them."""
        return [
            pod
            for pod in self.pods(namespace)
            if (of := labelled(pod).get(labels.RAY_CLUSTER)) and cluster in {None, of}
        ]

    def simulated(self, pod: JsonObject) -> bool:
        """Whether a Pod is on a node where no container runs."""
        node = pod["spec"].get("nodeName")
        return any(
            name_of(item) == node and _SIMULATED_NODE in item["metadata"].get("annotations", {})
            for item in self.objects.get("Node", ())
        )

    def to_json(self) -> str:
        """All of it, for a file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        return cls(**json.loads(text))


def name_of(item: JsonObject) -> str:
    """An object's name."""
    return str(item["metadata"]["name"])


def namespace_of(item: JsonObject) -> str:
    """An object's namespace; empty for those that have none."""
    return str(item["metadata"].get("namespace", ""))


def labelled(item: JsonObject) -> dict[str, str]:
    """An object's labels."""
    return dict(item["metadata"].get("labels") or {})


def annotated(item: JsonObject) -> dict[str, str]:
    """An object's annotations."""
    return dict(item["metadata"].get("annotations") or {})


def app_of(item: JsonObject) -> str:
    """The application that an object is of, by its labels."""
    own = labelled(item)
    return own.get("app.kubernetes.io/name") or own.get("app", "")


def containers(pod_spec: JsonObject, *, init: bool = True) -> Iterator[JsonObject]:
    """The containers of a Pod's spec, those that run first with ``init`` among them."""
    yield from pod_spec.get("containers", ())
    if init:
        yield from pod_spec.get("initContainers", ())


def environment(container: JsonObject) -> dict[str, JsonObject]:
    """A container's variables by name."""
    return {each["name"]: each for each in container.get("env", ())}
