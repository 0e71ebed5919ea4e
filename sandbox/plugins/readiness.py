"""When an object is what was asked for: rules for the kinds that take time."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

from sandbox.plugins.objects import Kind, Object, kind_of, name_of, namespace_of

_SETTLE_SECONDS: Final = 10.0


class Verdict(NamedTuple):
    """Whether an object is ready; if not, what is missing, and whether waiting is useless."""

    ready: bool
    message: str = ""
    failed: bool = False


class Reader(Protocol):
    """Where a rule looks up other objects."""

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None: ...

    def labelled(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> list[Object]: ...


class Situation(NamedTuple):
    """What a rule may know beside the object.

    Attributes:
        reader: for other objects.
        waited: seconds since the object was applied.
        updating: whether the object existed before.
    """

    reader: Reader
    waited: float = 0.0
    updating: bool = False


Rule = Callable[[Mapping[str, Any], Situation], Verdict]

_READY: Final = Verdict(True)


def check(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    """Return whether an object is ready. Kinds without a rule are ready as soon as they exist."""
    kind = kind_of(obj)
    rule = _RULES.get((kind.group, kind.kind))
    return rule(obj, situation) if rule else _READY


def has_rule(kind: Kind) -> bool:
    """Whether objects of a kind can be anything but ready."""
    return (kind.group, kind.kind) in _RULES


def is_read(kind: Kind) -> bool:
    """Whether a refresh reports that an object of a kind is not ready."""
    return kind.kind in _READ_KINDS and has_rule(kind)


def observed(obj: Mapping[str, Any]) -> bool:
    """Whether the controller of an object has seen its last change, as far as it says."""
    seen = _status(obj).get("observedGeneration")
    generation = obj["metadata"].get("generation")
    return not (isinstance(seen, int) and isinstance(generation, int) and seen < generation)


def _status(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return obj.get("status") or {}


def _spec(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def _condition(obj: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for condition in _status(obj).get("conditions") or []:
        if condition.get("type") == name:
            return condition  # type: ignore[no-any-return]
    return {}


def _deployment(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    spec, status = _spec(obj), _status(obj)
    if spec.get("paused"):
        return _READY
    if "observedGeneration" not in status or not observed(obj):
        return Verdict(False, "its controller has not seen the last change")
    wanted = spec.get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if updated < wanted:
        return _rollout(obj, situation, f"{updated} of {wanted} Pods are of the new version")
    if total > updated:
        return _rollout(obj, situation, f"{total - updated} Pods of the old version are still there")
    if available < updated:
        return _rollout(obj, situation, f"{available} of {updated} Pods are available")
    return _READY


def _stateful_set(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    spec, status = _spec(obj), _status(obj)
    if "observedGeneration" not in status or not observed(obj):
        return Verdict(False, "its controller has not seen the last change")
    wanted = spec.get("replicas", 1)
    ready = status.get("readyReplicas", 0)
    if ready < wanted:
        return _rollout(obj, situation, f"{ready} of {wanted} Pods are ready")
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return _READY
    kept = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    updated = status.get("updatedReplicas", 0)
    complete = status.get("currentRevision") == status.get("updateRevision")
    if updated < wanted - kept and not complete:
        return _rollout(obj, situation, f"{updated} of {wanted - kept} Pods are of the new version")
    return _READY


def _daemon_set(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    status = _status(obj)
    if "observedGeneration" not in status or not observed(obj):
        return Verdict(False, "its controller has not seen the last change")
    if (_spec(obj).get("updateStrategy") or {}).get("type") == "OnDelete":
        return _READY
    wanted = status.get("desiredNumberScheduled", 0)
    updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    if updated < wanted:
        return _rollout(obj, situation, f"{updated} of {wanted} Pods are of the new version")
    if available < wanted:
        return _rollout(obj, situation, f"{available} of {wanted} Pods are available")
    return _READY


def _replication_controller(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    wanted, available = _spec(obj).get("replicas", 1), _status(obj).get("availableReplicas", 0)
    return Verdict(available == wanted, f"{available} of {wanted} Pods are available")


def _rollout(obj: Mapping[str, Any], situation: Situation, message: str) -> Verdict:
    """A verdict with the reasons that the controller and its Pods give."""
    reasons = [
        found.get("message", "")
        for name, bad in (("Progressing", "False"), ("ReplicaFailure", "True"))
        if (found := _condition(obj, name)).get("status") == bad
    ]
    labels = (_spec(obj).get("selector") or {}).get("matchLabels") or {}
    if labels:
        pods = situation.reader.labelled(Kind("v1", "Pod"), namespace_of(obj), labels)
        reasons += dict.fromkeys(reason for pod in pods for reason in pod_problems(pod))
    return Verdict(False, "; ".join([message, *(reason for reason in reasons if reason)]))


def pod_problems(pod: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a Pod does not start, in the words of the scheduler and the kubelet."""
    name = name_of(pod)
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        yield f"Pod {name} is not scheduled: {scheduled.get('message') or scheduled.get('reason')}"
    for group in ("initContainerStatuses", "containerStatuses"):
        for container in _status(pod).get(group) or []:
            state = container.get("state") or {}
            waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
            if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                yield _container(name, container["name"], waiting)
            elif ended.get("exitCode"):
                yield f"{_container(name, container['name'], ended)} (exit code {ended['exitCode']})"


def _container(pod: str, container: str, state: Mapping[str, Any]) -> str:
    text = ": ".join(part for part in (state.get("reason"), state.get("message")) if part)
    return f"container {container} of Pod {pod}: {text}"


def _pod(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    phase = _status(obj).get("phase")
    if phase == "Succeeded" or _condition(obj, "Ready").get("status") == "True":
        return _READY
    problems = "; ".join(pod_problems(obj))
    return Verdict(
        False, problems or f"it is {phase or 'not seen by the scheduler'}", failed=phase == "Failed"
    )


def _job(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    failed = _condition(obj, "Failed")
    if failed.get("status") == "True":
        return Verdict(False, f"the Job failed: {failed.get('message') or failed.get('reason')}", failed=True)
    if _condition(obj, "Complete").get("status") == "True":
        return _READY
    status = _status(obj)
    return Verdict(False, f"{status.get('active', 0)} Pods run, {status.get('failed', 0)} failed")


def _service(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    spec = _spec(obj)
    if spec.get("type") == "LoadBalancer" and not (_status(obj).get("loadBalancer") or {}).get("ingress"):
        return Verdict(False, "no load balancer address yet; does this cluster have load balancers?")
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None" or not spec.get("selector"):
        return _READY
    labels = {"kubernetes.io/service-name": name_of(obj)}
    slices = situation.reader.labelled(
        Kind("discovery.k8s.io/v1", "EndpointSlice"), namespace_of(obj), labels
    )
    if not slices:
        return Verdict(False, "no endpoints yet")
    states = [
        (endpoint.get("conditions") or {}).get("ready", True)
        for one in slices
        for endpoint in one.get("endpoints") or []
    ]
    if not all(states):
        return Verdict(False, f"{states.count(True)} of {len(states)} endpoints are ready")
    # Pods that the selector means may come after their Service; that is no failure.
    if not states and situation.waited < _SETTLE_SECONDS:
        return Verdict(False, "no Pod matches the selector yet")
    return _READY


def _ingress(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    assigned = bool((_status(obj).get("loadBalancer") or {}).get("ingress"))
    return Verdict(assigned, "no address yet; does this cluster have an ingress controller?")


def _claim(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    phase = _status(obj).get("phase")
    if phase == "Bound":
        return _READY
    if phase == "Pending" and not situation.updating:
        name = _spec(obj).get("storageClassName")
        found = situation.reader.find(Kind("storage.k8s.io/v1", "StorageClass"), "", name) if name else None
        if found and found.get("volumeBindingMode") == "WaitForFirstConsumer":
            return _READY
    return Verdict(False, f"the claim is {phase or 'not seen by its controller'}")


def _volume(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    phase = _status(obj).get("phase")
    return Verdict(phase in ("Available", "Bound"), f"the volume is {phase or 'not seen by its controller'}")


def _quota(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    ready = _status(obj).get("hard") == _spec(obj).get("hard")
    return Verdict(ready, "the quota controller has not taken the limits over")


def _secret(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    waits = obj.get("type") == "kubernetes.io/service-account-token"
    return Verdict(not waits or bool(obj.get("data")), "no token yet; does its ServiceAccount exist?")


def _crd(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    refused = _condition(obj, "NamesAccepted")
    if refused.get("status") == "False":
        return Verdict(False, f"its names are refused: {refused.get('message')}", failed=True)
    return Verdict(
        _condition(obj, "Established").get("status") == "True", "the API server does not serve it yet"
    )


def _namespace(obj: Mapping[str, Any], situation: Situation) -> Verdict:
    phase = _status(obj).get("phase")
    return Verdict(phase == "Active", f"the namespace is {phase}")


_RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("", "Namespace"): _namespace,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("", "ReplicationController"): _replication_controller,
    ("", "ResourceQuota"): _quota,
    ("", "Secret"): _secret,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _crd,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("batch", "Job"): _job,
    ("networking.k8s.io", "Ingress"): _ingress,
}
_READ_KINDS: Final = frozenset(["Pod", "Service", "DaemonSet", "Deployment", "StatefulSet", "Job", "Ingress"])
