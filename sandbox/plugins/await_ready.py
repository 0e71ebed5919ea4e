"""Waiting until an object is what was asked for, and saying meanwhile what is missing."""

import time
from collections.abc import Mapping
from typing import Any

from sandbox.plugins import objects, readiness, wait_for
from sandbox.plugins.apply import Cancelled, Operation, TimedOut
from sandbox.plugins.objects import Object, kind_of, name_of, namespace_of, title
from sandbox.plugins.readiness import Situation, Verdict
from sandbox.plugins.server import PluginError


class NotReady(PluginError):
    """The object exists but is not ready.

    Attributes:
        live: the object as it was seen last.
    """

    def __init__(self, message: str, live: Object) -> None:
        super().__init__(message)
        self.live = live


def seconds(requested: float, inputs: Mapping[str, Any], default: float) -> float:
    """Return how long to wait: what the resource's options say, else its annotation, else the default."""
    if requested > 0:
        return requested
    annotated = objects.annotation(inputs, objects.TIMEOUT_SECONDS)
    return float(annotated) if annotated.isdecimal() else default


def wait(op: Operation, applied: Object, inputs: Mapping[str, Any], *, updating: bool) -> Object:
    """Wait until an object is ready and return it as it is then.

    Args:
        op: the operation; its timeout is how long to wait.
        applied: the object as the server answered when it was applied.
        inputs: the inputs, whose annotations say what to wait for.
        updating: whether the object existed before.

    Raises:
        NotReady: it did not become ready in time, cannot become ready, or the update was cancelled.
    """
    if objects.is_on(inputs, objects.SKIP_AWAIT):
        return applied
    annotation = objects.annotation(inputs, objects.WAIT_FOR)
    condition = wait_for.parse(annotation) if annotation else None
    if condition is None and not readiness.has_rule(kind_of(applied)):
        return applied
    started = time.monotonic()
    live = applied

    def step() -> str | None:
        nonlocal live
        found = op.cluster.find(kind_of(applied), namespace_of(applied), name_of(applied))
        if found is None:
            raise NotReady(f"{title(applied)} was deleted while it was waited for", live)
        live = found
        waited = time.monotonic() - started
        verdict = condition(live) if condition else check(op, live, waited=waited, updating=updating)
        if verdict.failed:
            raise NotReady(f"{title(live)}: {verdict.message}", live)
        return None if verdict.ready else f"waiting for {title(live)}: {verdict.message}"

    try:
        op.poll(step)
    except (Cancelled, TimedOut) as error:
        raise NotReady(str(error), live) from None
    return live


def check(op: Operation, live: Object, *, waited: float, updating: bool) -> Verdict:
    """Return whether an object is ready now."""
    return readiness.check(live, Situation(op.cluster, waited, updating))
