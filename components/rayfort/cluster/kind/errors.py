"""The one error of Kind clusters, and what it advises."""

import re
from typing import Final

LINES: Final = 12

# What a failing command says about the cause -> what the reader can do about it. The first match counts.
_ADVICE: Final = (
    (
        r"permission denied.*(docker|podman)\.sock|permission denied while trying to connect",
        "you may not use the container runtime: join its group (for docker: `sudo usermod -aG docker $USER`, "
        "then log in again), or use rootless docker or podman",
    ),
    (
        r"Cannot connect to the Docker daemon|Is the docker daemon running|Cannot connect to Podman"
        r"|unable to connect to Podman|connection refused.*\.sock|docker desktop is",
        "start the container runtime (docker: Docker Desktop, or `sudo systemctl start docker`; "
        "podman on macOS: `podman machine start`)",
    ),
    (
        r"port is already allocated|address already in use|ports are not available",
        "another program has a port that `ports` names: end it, or choose another hostPort",
    ),
    (
        r"failed to pull image|manifest unknown|pull access denied|toomanyrequests",
        "the node image could not be had: check the network and the proxy of the container runtime, or name "
        "a mirror's copy with `image`",
    ),
    (r"no space left on device", "free disk space of the container runtime: `docker system prune`"),
    (
        r"too many open files|could not find a log line that matches|inotify",
        "the machine allows too few inotify watches for that many nodes: `sudo sysctl "
        "fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512`, or use fewer `workers`",
    ),
    (
        r"is not running",
        "nodes of the cluster are stopped: start their containers (`docker start <node>`), or delete the "
        "cluster and run `pulumi up --refresh`, which makes it anew",
    ),
    (
        r"running kind with rootless provider requires",
        "rootless containers need control groups v2 that are delegated to you: see Kind's page on rootless",
    ),
    (
        r"kubelet is not (running|healthy)|timed out waiting for the condition|wait-control-plane",
        "Kubernetes did not start in its nodes: give the container runtime more memory (8 GB for this "
        "platform) or use fewer nodes, and try again",
    ),
)
_OTHERWISE: Final = "read what it said; nothing of the cluster was kept, so the command can be run again"


class KindError(Exception):
    """A Kind cluster could not be made, read or deleted: what is wrong and what to do."""


def advice(said: str) -> str:
    """What to do about a failed command, judged from what it said."""
    for pattern, remedy in _ADVICE:
        if re.search(pattern, said, re.IGNORECASE | re.DOTALL):
            return remedy
    return _OTHERWISE


def failure(what: str, said: str) -> KindError:
    """The error for a command that failed.

    Args:
        what: what failed, as "kind create cluster ended with exit code 1".
        said: what it wrote to its standard error.
    """
    lines = [line.rstrip() for line in said.splitlines() if line.strip()][-LINES:]
    shown = "".join(f"\n    {line}" for line in lines) or " It said nothing."
    return KindError(f"{what}.{shown}\n  what to do: {advice(said)}")
