"""What a Pod's status says about its containers: pure functions on the API server's JSON."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

Pod = Mapping[str, Any]
_MESSAGE_CHARACTERS: Final = 160


def containers_ready(pod: Pod) -> bool:
    """Whether every container is ready, sidecars among the init containers as well."""
    return any(
        condition["type"] == "ContainersReady" and condition["status"] == "True"
        for condition in pod.get("status", {}).get("conditions", [])
    )


def restarts(pod: Pod) -> int:
    """How often its containers were started again."""
    return sum(status.get("restartCount", 0) for status in _statuses(pod))


def last_start_again(pod: Pod) -> datetime | None:
    """When a container of it was last started again; None if none ever was."""
    starts = [
        status["state"]["running"]["startedAt"]
        for status in _statuses(pod)
        if status.get("restartCount", 0) and status.get("state", {}).get("running", {}).get("startedAt")
    ]
    return max(map(datetime.fromisoformat, starts), default=None)


def trouble(pod: Pod) -> str:
    """What a Pod that is not ready waits for, in a few words; empty if it is ready."""
    if containers_ready(pod):
        return ""
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"not scheduled: {_short(condition.get('message') or condition.get('reason', ''))}"
    first = next(_not_running(pod), "")
    if first:
        return first
    late = [container["name"] for container in _statuses(pod) if not container.get("ready")]
    if late:
        return f"{', '.join(late)} not ready yet"
    return f"{status.get('phase', 'Pending')}, not ready yet"


def _not_running(pod: Pod) -> Iterator[str]:
    """The containers that do not run although it is their turn."""
    for status in _statuses(pod):
        state = status.get("state", {})
        count = status.get("restartCount", 0)
        again = f", {count} restarts" if count > 1 else ", 1 restart" if count else ""
        if waiting := state.get("waiting"):
            # The Pod initializes: an init container that comes before this one tells what it waits for.
            if waiting.get("reason") == "PodInitializing":
                continue
            detail = _exit(status.get("lastState", {}).get("terminated")) or waiting.get("message", "")
            said = f" ({_short(detail)})" if detail else ""
            yield f"{status['name']}: {waiting.get('reason', 'waiting')}{said}{again}"
        elif (ended := state.get("terminated")) and ended.get("exitCode"):
            yield f"{status['name']}: {_exit(ended)}{again}"


def _exit(terminated: Mapping[str, Any] | None) -> str:
    if not terminated:
        return ""
    reason = terminated.get("reason", "Error")
    return f"ended with exit code {terminated.get('exitCode')}" + (f", {reason}" if reason != "Error" else "")


def _statuses(pod: Pod) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses", [])
    yield from status.get("containerStatuses", [])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE_CHARACTERS else f"{line[:_MESSAGE_CHARACTERS]}…"
