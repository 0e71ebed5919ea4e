"""The Ray clusters of the sandbox, as KubeRay, Kubernetes and Ray itself see them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rayfort.labels import RAY_CLUSTER

from sandbox import pod_state, port_forward, ray_view
from sandbox.kube_api import ApiRefused, ApiUnreachable, KubeApi
from sandbox.processes import SandboxError
from sandbox.ray_view import Dial, RayNode, RayUnreachable

READY_SECONDS: Final = 120
REAL_READY_SECONDS: Final = 300  # containers start, and Ray in them
POLL_SECONDS: Final = 0.5
REAL_POLL_SECONDS: Final = 2.0
# A node that refuses the connections of Ray's head, as a mesh makes it, counts as alive for 20 seconds: a
# delay of 5, then 5 checks that fail, 3 seconds apart. (One that swallows them does for more than a minute,
# since each check waits for an answer; in the sandbox nothing swallows them.)
SETTLED_SECONDS: Final = 25.0
SIDECAR: Final = "istio-proxy"


@dataclass(frozen=True)
class RayClusterStatus:
    """One Ray cluster.

    Attributes:
        namespace, name: which one.
        version: of Ray.
        state: KubeRay's word for its state, such as ``ready``.
        pods: how many Pods it should have.
        running: how many run.
        injected: how many have a sidecar.
        restarts: how often containers were started again.
        simulated: whether its Pods are on simulated nodes, where Ray does not run.
        alive: how many nodes Ray itself calls alive; None where it cannot be asked.
        late: what it still waits for, each in a few words; nothing if it is ready.
    """

    namespace: str
    name: str
    version: str
    state: str
    pods: int
    running: int
    injected: int
    restarts: int = 0
    simulated: bool = True
    alive: int | None = None
    late: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether KubeRay calls it ready, every Pod runs and, where Ray runs, Ray has every node."""
        return not self.late


def names(kubeconfig: Path) -> list[tuple[str, str]]:
    """Namespace and name of every Ray cluster; none where the API server does not answer."""
    try:
        with KubeApi(kubeconfig, timeout=3.0) as api:
            found = api.get("/apis/ray.io/v1/rayclusters") or {}
    except (OSError, ApiRefused):
        return []
    return [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in found.get("items", [])]


def read(kubeconfig: Path) -> list[RayClusterStatus]:
    """Every Ray cluster; none where the API server does not answer or knows no Ray."""
    try:
        return survey(kubeconfig)
    except ApiUnreachable:
        return []


def survey(
    kubeconfig: Path, dial: Dial = port_forward.to_pod, *, ask_ray: bool = True
) -> list[RayClusterStatus]:
    """Every Ray cluster; none where the API server knows no Ray.

    Args:
        kubeconfig: of the sandbox's administrator.
        dial: opens a way to a Pod's port.
        ask_ray: whether to ask Ray itself, which takes a moment.

    Raises:
        ApiUnreachable: if the API server does not answer.
    """
    with KubeApi(kubeconfig) as api:
        found = api.get("/apis/ray.io/v1/rayclusters") or {}
        pods = (api.get("/api/v1/pods") or {}).get("items", [])
        return [
            _look(api, kubeconfig, item, pods, dial if ask_ray else None) for item in found.get("items", [])
        ]


def wait_ready(
    kubeconfig: Path,
    *,
    real: bool = False,
    note: Callable[[str], None] = lambda _: None,
    dial: Dial = port_forward.to_pod,
) -> list[RayClusterStatus]:
    """Every Ray cluster, once all are ready.

    Args:
        kubeconfig: of the sandbox's administrator.
        real: whether containers run, which takes longer than simulating them.
        note: is told what is waited for.
        dial: opens a way to a Pod's port.

    Raises:
        SandboxError: naming those that are not ready in time, and what they wait for.
    """
    limit, pause = (REAL_READY_SECONDS, REAL_POLL_SECONDS) if real else (READY_SECONDS, POLL_SECONDS)
    deadline = time.monotonic() + limit
    while True:
        try:
            clusters = survey(kubeconfig, dial)
        except ApiUnreachable as error:
            note(f"the API server does not answer: {error}")
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"The API server does not answer: {error}. Run `./rayfort status` to see "
                    "which process is down, and `./rayfort up`, which starts it."
                ) from error
        else:
            late = [cluster for cluster in clusters if not cluster.ready]
            if not late:
                return clusters
            note("; ".join(f"{cluster.namespace}/{cluster.name}: {cluster.late[0]}" for cluster in late))
            if time.monotonic() > deadline:
                raise SandboxError(_not_ready(late, limit))
        time.sleep(pause)


def _not_ready(late: list[RayClusterStatus], limit: int) -> str:
    lines = [f"Not ready after {limit} seconds:"]
    for cluster in late:
        lines.append(f"  RayCluster {cluster.namespace}/{cluster.name}")
        lines += [f"    {reason}" for reason in cluster.late]
    one = late[0]
    lines.append(
        f"Look closer with `./rayfort kubectl -n {one.namespace} describe pods -l {RAY_CLUSTER}={one.name}`"
        + ("" if one.simulated else f" and `… logs -l {RAY_CLUSTER}={one.name} --all-containers`")
        + ", then run `./rayfort up` again, which goes on from here."
    )
    return "\n".join(lines)


def _look(
    api: KubeApi, kubeconfig: Path, cluster: dict[str, Any], pods: list[dict[str, Any]], dial: Dial | None
) -> RayClusterStatus:
    meta = cluster["metadata"]
    own = [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == meta["namespace"]
        and pod["metadata"].get("labels", {}).get(RAY_CLUSTER) == meta["name"]
    ]
    head = ray_view.head_pod(own, meta["namespace"], meta["name"])
    placed = [pod for pod in own if pod["spec"].get("nodeName")]
    simulated = bool(placed) and all(map(ray_view.is_simulated, placed))
    nodes, silence = None, ""
    if dial and head and not simulated and pod_state.containers_ready(head):
        try:
            nodes = ray_view.nodes(kubeconfig, ray_view.dashboard(api, head), dial)
        except (RayUnreachable, ApiRefused) as error:
            silence = str(error)
    return status(cluster, own, nodes, simulated=simulated, silence=silence)


def status(
    cluster: dict[str, Any],
    own: list[dict[str, Any]],
    nodes: list[RayNode] | None,
    *,
    simulated: bool,
    silence: str = "",
    now: datetime | None = None,
) -> RayClusterStatus:
    """The status of one Ray cluster.

    Args:
        cluster: the RayCluster.
        own: its Pods.
        nodes: its nodes in Ray's own view; None where Ray could not be asked.
        simulated: whether its Pods are on simulated nodes.
        silence: why Ray did not answer.
        now: the time; by default that of the clock.
    """
    groups = cluster["spec"].get("workerGroupSpecs", [])
    wanted = 1 + sum(group.get("replicas", 0) for group in groups)
    state = cluster.get("status", {}).get("state", "")
    running = sum(pod.get("status", {}).get("phase") == "Running" for pod in own)
    late = [*_late_in_kubernetes(state, own, running, wanted)]
    if not simulated:
        seconds = (now or datetime.now(UTC)).timestamp()
        # What tells most comes first: one line of progress shows no more.
        late = [*_late_pods(own, seconds), *late, *_late_in_ray(nodes, wanted, silence, seconds)]
    return RayClusterStatus(
        namespace=cluster["metadata"]["namespace"],
        name=cluster["metadata"]["name"],
        version=cluster["spec"].get("rayVersion", ""),
        state=state,
        pods=wanted,
        running=running,
        injected=sum(_has_sidecar(pod) for pod in own),
        restarts=sum(map(pod_state.restarts, own)),
        simulated=simulated,
        alive=None if nodes is None else sum(node.state == ray_view.ALIVE for node in nodes),
        late=tuple(late),
    )


def _late_in_kubernetes(state: str, own: list[dict[str, Any]], running: int, wanted: int) -> Iterator[str]:
    if running != wanted:
        there = "" if len(own) == wanted else f", {len(own)} exist"
        yield f"{running} of {wanted} Pods run{there}"
    if state != "ready":
        yield f"KubeRay's state is {state or 'not there yet'}"


def _late_pods(own: list[dict[str, Any]], now: float) -> Iterator[str]:
    for pod in own:
        name = pod["metadata"]["name"]
        if waits := pod_state.trouble(pod):
            yield f"Pod {name}: {waits}"
        elif (again := pod_state.last_start_again(pod)) and now - again.timestamp() < SETTLED_SECONDS:
            yield f"Pod {name}: started again {now - again.timestamp():.0f} s ago"


def _late_in_ray(nodes: list[RayNode] | None, wanted: int, silence: str, now: float) -> Iterator[str]:
    if nodes is None:
        yield silence or "Ray cannot be asked before its head is ready"
        return
    alive = [node for node in nodes if node.state == ray_view.ALIVE]
    if len(alive) != wanted:
        dead = [node for node in nodes if node.state != ray_view.ALIVE]
        latest = max(dead, key=lambda node: node.started, default=None)
        why = f"; {latest.address} is dead: {latest.reason}" if latest and latest.reason else ""
        yield f"Ray itself counts {len(alive)} of {wanted} nodes alive{why}"
    elif (age := now - max(node.started for node in alive)) < SETTLED_SECONDS:
        yield f"Ray's newest node is {max(0.0, age):.0f} s old; after {SETTLED_SECONDS:.0f} s it counts"


def _has_sidecar(pod: dict[str, Any]) -> bool:
    spec = pod["spec"]
    return any(
        container["name"] == SIDECAR for container in [*spec.get("initContainers", []), *spec["containers"]]
    )
