"""`rayfort ray`: Ray's own command line against a Ray cluster of the sandbox."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sandbox import port_forward, ray_client, ray_status, ray_view
from sandbox.kube_api import ApiRefused, ApiUnreachable, KubeApi
from sandbox.processes import SandboxError
from sandbox.progress import Progress
from sandbox.ray_status import RayClusterStatus
from sandbox.ray_view import Dashboard, Dial, RayUnreachable

SIGNALLED: Final = 128  # what shells add to a signal's number


def ray(
    kubeconfig: Path,
    arguments: Sequence[str],
    progress: Progress,
    *,
    cluster: str | None = None,
    namespace: str | None = None,
    dial: Dial = port_forward.to_pod,
) -> int:
    """Run `ray` against a Ray cluster.

    Args:
        kubeconfig: of the sandbox's administrator.
        arguments: of `ray`.
        progress: where the installation of Ray is shown.
        cluster, namespace: which cluster; by default the only one.
        dial: opens a way to a Pod's port.

    Returns:
        The exit code of `ray`.

    Raises:
        SandboxError: if there is no such cluster, or it cannot be reached.
        ToolchainError: if Ray cannot be installed.
    """
    chosen = choose(_clusters(kubeconfig), cluster, namespace)
    if chosen.simulated:
        raise SandboxError(
            f"The Pods of Ray cluster {chosen.namespace}/{chosen.name} are on simulated nodes: no container "
            "runs, so there is no Ray to talk to. `./rayfort doctor` says what real nodes need."
        )
    program = ray_client.ensure(chosen.version, progress)
    to = _dashboard(kubeconfig, chosen)
    with dial(kubeconfig, to.namespace, to.pod, to.port) as port:
        return _run([str(program), *arguments], ray_client.environment(port, to.token, os.environ))


def choose(
    clusters: Sequence[RayClusterStatus], cluster: str | None, namespace: str | None
) -> RayClusterStatus:
    """The one cluster that is meant.

    Raises:
        SandboxError: if there is none, or more than one.
    """
    if not clusters:
        raise SandboxError("The sandbox has no Ray cluster. Run `./rayfort up`.")
    fitting = [
        each for each in clusters if cluster in {None, each.name} and namespace in {None, each.namespace}
    ]
    if len(fitting) == 1:
        return fitting[0]
    listed = "\n".join(f"  --namespace {each.namespace} --cluster {each.name}" for each in clusters)
    problem = "There is more than one such Ray cluster" if fitting else "There is no such Ray cluster"
    raise SandboxError(f"{problem}. Choose one of these, before the arguments of ray:\n{listed}")


def completions(kubeconfig: Path) -> tuple[list[str], list[str]]:
    """The namespaces and the names of the Ray clusters, for a shell; never an error."""
    found = ray_status.names(kubeconfig) if kubeconfig.exists() else []
    return sorted({namespace for namespace, _ in found}), sorted({name for _, name in found})


def _clusters(kubeconfig: Path) -> list[RayClusterStatus]:
    try:
        return ray_status.survey(kubeconfig, ask_ray=False)
    except ApiUnreachable as error:
        raise SandboxError(
            f"The sandbox's API server does not answer ({error}). Run `./rayfort up`, which starts it."
        ) from error


def _dashboard(kubeconfig: Path, cluster: RayClusterStatus) -> Dashboard:
    with KubeApi(kubeconfig) as api:
        pods = (api.get(f"/api/v1/namespaces/{cluster.namespace}/pods") or {}).get("items", [])
        head = ray_view.head_pod(pods, cluster.namespace, cluster.name)
        if head is None or head.get("status", {}).get("phase") != "Running":
            raise SandboxError(
                f"The head of Ray cluster {cluster.namespace}/{cluster.name} does not run: "
                f"{'; '.join(cluster.late)}. Run `./rayfort up`, which waits for it."
            )
        try:
            return ray_view.dashboard(api, head)
        except (RayUnreachable, ApiRefused) as error:
            raise SandboxError(f"Ray cluster {cluster.namespace}/{cluster.name}: {error}.") from error


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run a program in the foreground, which has every signal of the terminal to itself."""
    with subprocess.Popen(command, env=environment) as child, _left_to(child):
        code = child.wait()
    return SIGNALLED - code if code < 0 else code


@contextlib.contextmanager
def _left_to(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave Ctrl-C to the child, which the terminal tells as well, and pass SIGTERM on."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: child.terminate()),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
