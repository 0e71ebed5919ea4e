"""Creating, changing and deleting one object, with the patience that Kubernetes asks for."""

import copy
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.plugins import objects, shape
from sandbox.plugins.cluster import ApiError, Cluster, UnknownKind
from sandbox.plugins.diff import parse_path
from sandbox.plugins.objects import Kind, Object, kind_of, name_of, namespace_of, title
from sandbox.plugins.server import EngineLog, PluginError

# The official plugin creates under this name and takes the fields over when it first applies; here a mark of
# the resource follows it.
CREATE_MANAGER: Final = "pulumi-kubernetes"
_TAKEN_OVER: Final = frozenset(
    {
        ("kubectl", "Apply"),
        ("kubectl", "Update"),
        ("before-first-apply", "Update"),
        (CREATE_MANAGER, "Update"),
        ("pulumi-kubernetes.exe", "Update"),
        ("pulumi-resource-kubernetes", "Update"),
    }
)
_CREATOR: Final = re.compile(f"{CREATE_MANAGER}-[0-9a-f]{{12}}")  # what `creator` returns
DEFAULT_TIMEOUT: Final = 600.0
# A definition is served a moment after it is established; a namespace may take longer: 32 s in all.
_CREATE_TRIES: Final = 8
_FIRST_DELAY: Final = 0.25
_POLL_FIRST: Final = 0.1
_POLL_LONGEST: Final = 2.0
_STATUS_SECONDS: Final = 10.0


class Cancelled(PluginError):
    """The user stopped the update."""


class TimedOut(PluginError):
    """Something did not happen in time."""


@dataclass(frozen=True)
class Operation:
    """What every step of one engine request needs: where, for whom, until when."""

    cluster: Cluster
    log: EngineLog
    urn: str
    cancelled: threading.Event
    timeout: float = DEFAULT_TIMEOUT

    def status(self, message: str) -> None:
        """Show what is being waited for."""
        self.log.status(self.urn, message)

    def pause(self, seconds: float) -> None:
        """Wait. Raises Cancelled as soon as the user stops the update."""
        if self.cancelled.wait(seconds):
            raise Cancelled("the update was cancelled")

    def poll(self, step: Callable[[], str | None]) -> None:
        """Call `step` until it returns None, showing what it says it waits for.

        Raises:
            TimedOut: with the last thing waited for, when the operation's time is over.
            Cancelled: the user stopped the update.
        """
        end = time.monotonic() + self.timeout
        delay, shown_at, shown = _POLL_FIRST, 0.0, ""
        while (waiting_for := step()) is not None:
            now = time.monotonic()
            if now >= end:
                raise TimedOut(f"timed out after {self.timeout:.0f} s: {waiting_for}")
            if waiting_for != shown or now - shown_at >= _STATUS_SECONDS:
                self.status(waiting_for)
                shown, shown_at = waiting_for, now
            self.pause(min(delay, max(end - now, 0.01)))
            delay = min(delay * 1.5, _POLL_LONGEST)
        if shown:
            self.status("")


def create(op: Operation, obj: Object, manager: str, *, upsert: bool, force: bool, dry_run: bool) -> Object:
    """Create an object and return it as the server holds it.

    A missing kind or namespace may be on its way, so both are waited for a little while; an object of
    the same name that is being deleted is waited for as well.

    Args:
        op: the operation.
        obj: the object.
        manager: owner of the fields, where an existing object is taken over.
        upsert: whether an existing object is taken over instead of being an error.
        force: whether fields of other owners are taken over, too.
        dry_run: whether the server only says what would happen.
    """

    def attempt() -> Object:
        scoped = _scoped(op.cluster, obj)
        if upsert:
            return op.cluster.apply(scoped, manager, force=force, dry_run=dry_run)
        return op.cluster.create(scoped, creator(op.urn), dry_run=dry_run)

    if dry_run:
        return attempt()
    delay = _FIRST_DELAY
    for tries_left in reversed(range(_CREATE_TRIES)):
        try:
            return attempt()
        except (ApiError, UnknownKind) as error:
            if isinstance(error, ApiError) and error.reason == "AlreadyExists":
                if _created_before(op, obj):
                    return update(op, obj, manager, force=True, dry_run=False)
                if not _wait_for_predecessor(op, obj):
                    raise PluginError(_exists(obj)) from None
                continue
            if not tries_left or not _may_come(error):
                raise
            op.status(f"trying again in {delay:g} s: {error}")
        op.pause(delay)
        delay *= 2
    raise AssertionError("the loop above returns or raises")


def creator(urn: str) -> str:
    """Under which name a resource's object is created: by it, a later run knows what it has made itself."""
    return f"{CREATE_MANAGER}-{hashlib.sha256(urn.encode()).hexdigest()[:12]}"


def _created_before(op: Operation, obj: Object) -> bool:
    """Whether an earlier run created the object for this very resource and ended before it knew that."""
    scoped = _scoped(op.cluster, obj)
    live = op.cluster.find(kind_of(obj), namespace_of(scoped), name_of(obj))
    if live is None or "deletionTimestamp" in live["metadata"]:
        return False
    entries = live["metadata"].get("managedFields") or []
    return any((entry["manager"], entry["operation"]) == (creator(op.urn), "Update") for entry in entries)


def _may_come(error: ApiError | UnknownKind) -> bool:
    if isinstance(error, UnknownKind) or error.status == 404:
        return True
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes)


def _exists(obj: Object) -> str:
    return (
        f"{title(obj)} already exists in the cluster and is not in this stack's state. Delete it, give this "
        f"one another name, adopt it with `pulumi import`, or, after a rename in the program, add an alias"
    )


def _wait_for_predecessor(op: Operation, obj: Object) -> bool:
    scoped = _scoped(op.cluster, obj)
    live = op.cluster.find(kind_of(obj), namespace_of(scoped), name_of(obj))
    if live is None:
        return True
    if "deletionTimestamp" not in live["metadata"]:
        return False
    wait_until_gone(op, live)
    return True


def _scoped(cluster: Cluster, obj: Object) -> Object:
    """The object without a namespace, where its kind turned out to have none."""
    if cluster.resource(kind_of(obj)).namespaced or not namespace_of(obj):
        return obj
    scoped = copy.deepcopy(obj)
    del scoped["metadata"]["namespace"]
    return scoped


def update(
    op: Operation, obj: Object, manager: str, *, force: bool, dry_run: bool, ignored: Iterable[str] = ()
) -> Object:
    """Apply an object that exists and return it as the server holds it.

    Fields that the program dropped are removed; fields that others own are left alone.

    Args:
        op: the operation.
        obj: the object as it should be.
        manager: owner of the fields.
        force: whether fields of other owners are taken over on a conflict.
        dry_run: whether the server only says what would happen.
        ignored: paths whose live value is to stay.
    """
    wanted = _scoped(op.cluster, copy.deepcopy(obj))
    live = op.cluster.get(kind_of(wanted), namespace_of(wanted), name_of(wanted))
    if objects.is_crd(wanted):
        # Not patched but replaced: validation schemas may shrink, and then a merge would keep the rest.
        wanted["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        return op.cluster.replace(wanted, manager, dry_run=dry_run)
    if not dry_run:
        live = _take_over(op, live, manager)
    elif _created_here(live):
        force = True  # the real update takes these fields over first
    _keep_ignored(wanted, live, manager, ignored)
    try:
        return op.cluster.apply(wanted, manager, force=force, dry_run=dry_run)
    except ApiError as error:
        if error.reason != "Conflict":
            raise
        raise PluginError(
            f"{title(wanted)}: {error}. Leave those fields out of the program, ignore them with "
            f"`ignore_changes`, or take them over with the annotation {objects.PATCH_FORCE}: 'true' or "
            f"the provider's `enable_patch_force`"
        ) from None


def _created_here(live: Mapping[str, Any]) -> bool:
    entries = live["metadata"].get("managedFields")
    return not entries or any(_is_creators(entry) for entry in entries)


def _is_creators(entry: Mapping[str, Any]) -> bool:
    """Whether a share of an object's fields is that of whoever created it."""
    manager, operation = entry["manager"], entry["operation"]
    ours = operation == "Update" and bool(_CREATOR.fullmatch(manager))
    return ours or (manager, operation) in _TAKEN_OVER


def _take_over(op: Operation, live: Object, manager: str) -> Object:
    for _ in range(_CREATE_TRIES):
        entries = taken_over(live["metadata"].get("managedFields") or [], manager)
        if entries is None:
            return live
        version = live["metadata"]["resourceVersion"]
        try:
            return op.cluster.patch(
                live,
                [
                    {"op": "test", "path": "/metadata/resourceVersion", "value": version},
                    {"op": "replace", "path": "/metadata/managedFields", "value": entries},
                ],
            )
        except ApiError as error:
            if error.status not in (409, 422):
                raise
        live = op.cluster.get(kind_of(live), namespace_of(live), name_of(live))
    return live


def taken_over(entries: list[dict[str, Any]], manager: str) -> list[dict[str, Any]] | None:
    """Return an object's field ownership with its creator's share given to `manager`, or None if it has none.

    Without this the creator would own the fields beside the manager, and a field that the program
    drops would stay.
    """
    ours = [entry for entry in entries if _is_creators(entry) and not entry.get("subresource")]
    if not ours:
        return None
    result = [entry for entry in entries if entry not in ours]
    mine = next((e for e in result if e["manager"] == manager and e["operation"] == "Apply"), None)
    if mine is None:
        mine = {**ours[0], "manager": manager, "operation": "Apply", "fieldsV1": {}}
    else:
        result.remove(mine)
        mine = dict(mine)
    for entry in ours:
        mine["fieldsV1"] = _union(mine.get("fieldsV1") or {}, entry.get("fieldsV1") or {})
    return [*result, mine]


def _union(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(one)
    for key, value in other.items():
        result[key] = _union(result.get(key) or {}, value or {})
    return result


def _keep_ignored(wanted: Object, live: Object, manager: str, ignored: Iterable[str]) -> None:
    for text in ignored:
        path = parse_path(text)
        if "*" in path or not shape.has(live, path):
            continue
        if _owned(live, path, lambda entry: entry["manager"] == manager) or not _owned(
            live, path, lambda entry: entry["manager"] != manager
        ):
            shape.put(wanted, path, shape.value_at(live, path))
        else:
            shape.remove(wanted, path)


def _owned(live: Object, path: shape.Path, by: Callable[[dict[str, Any]], bool]) -> bool:
    fields = tuple(f"f:{step}" for step in path)
    entries = live["metadata"].get("managedFields") or []
    return any(by(entry) and shape.has(entry.get("fieldsV1") or {}, fields) for entry in entries)


def propagation(inputs: Mapping[str, Any]) -> str:
    """Return what happens to dependent objects on deletion, as the API server calls it."""
    wanted = objects.annotation(inputs, objects.DELETION_PROPAGATION).lower()
    return {"orphan": "Orphan", "background": "Background"}.get(wanted, "Foreground")


_SKIPS_DELETE_WAIT: Final = frozenset(
    ["Namespace", "Pod", "ReplicationController", "DaemonSet", "Deployment", "StatefulSet", "Job"]
)


def delete(op: Operation, kind: Kind, namespace: str, name: str, inputs: Mapping[str, Any]) -> None:
    """Delete an object and wait until it is gone. One that is gone already is a success."""
    live = op.cluster.find(kind, namespace, name)
    if live is None:
        return
    try:
        op.cluster.delete(kind, namespace, name, propagation(inputs), live["metadata"]["uid"])
    except ApiError as error:
        # 409: an object made since then under this name is not ours.
        if error.status not in (404, 409):
            raise
        return
    if objects.is_on(inputs, objects.SKIP_AWAIT) and kind.kind in _SKIPS_DELETE_WAIT:
        return
    wait_until_gone(op, live)


def wait_until_gone(op: Operation, obj: Object) -> None:
    """Wait until an object that is being deleted is gone.

    Raises:
        TimedOut: naming the finalizers or the namespace's content that keep it.
    """
    kind, namespace, name = kind_of(obj), namespace_of(obj), name_of(obj)
    uid = obj["metadata"]["uid"]

    def step() -> str | None:
        live = op.cluster.find(kind, namespace, name)
        if live is None or live["metadata"]["uid"] != uid:
            return None
        return f"waiting for {title(obj)} to be deleted{_kept_by(live)}"

    op.poll(step)


def _kept_by(live: Mapping[str, Any]) -> str:
    reasons = [
        condition["message"]
        for condition in (live.get("status") or {}).get("conditions") or []
        if condition.get("status") == "True" and str(condition.get("type")).startswith("Namespace")
    ]
    finalizers = live["metadata"].get("finalizers") or []
    if finalizers:
        reasons.append(f"finalizers {', '.join(finalizers)}")
    return f" ({'; '.join(reasons)})" if reasons else ""
