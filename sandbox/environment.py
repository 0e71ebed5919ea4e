"""The embedded environment as one thing: tools, control plane and stack, up and down."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rayfort.model import merge

from infra.reading import parse
from sandbox import engine, image_source, needs, node_kind, platform_charts, ray_status
from sandbox.changes import Changes
from sandbox.cluster_network import CLUSTER_DOMAIN, SERVICE_CIDR
from sandbox.control_plane import ControlPlane, ProcessStatus
from sandbox.endpoints import Endpoints
from sandbox.host import why_not_real
from sandbox.image_source import ImageSource
from sandbox.images.catalog import Image, node_images
from sandbox.images.registry import PulledImages
from sandbox.images.store import ImageStore
from sandbox.node.config import NODE_NAME
from sandbox.node.enclosure import Enclosure
from sandbox.node.real import Cluster, NodeFiles, RealNode
from sandbox.node_kind import NodeKind
from sandbox.platform_images import images_of
from sandbox.processes import SandboxError
from sandbox.progress import Progress
from sandbox.ray_status import RayClusterStatus
from sandbox.stack import SandboxStack, values, written
from sandbox.toolchain import Toolchain
from sandbox.tools.catalog import CATALOG, KUBERNETES

STATE_DIRECTORY: Final = Path(".rayfort") / "sandbox"


@dataclass(frozen=True)
class Report:
    """What an `up` ended with.

    Attributes:
        changes: what Pulumi did.
        clusters: the Ray clusters as KubeRay sees them.
        outputs: the stack's outputs, without the secret ones.
        stand_ins: the providers that Rayfort's stand-ins served.
        nodes: whether containers run on the nodes.
        why_simulated: why they do not, as a sentence; None where that was asked for, or they do.
        images: where the platform's images come from, if containers run.
    """

    changes: Changes
    clusters: list[RayClusterStatus]
    outputs: Mapping[str, Any]
    stand_ins: tuple[str, ...]
    nodes: NodeKind = NodeKind.SIMULATED
    why_simulated: str | None = None
    images: ImageSource = ImageSource.LOCAL


class Environment:
    """The sandbox of one checkout.

    Args:
        root: the checkout.
        progress: where long work is shown.
        state: the sandbox's directory; by default ``.rayfort/sandbox`` of the checkout.
        overrides: laid over the stack file's values; for tests.
        toolchain: where its programs come from, by default the versions that are pinned; for tests.
    """

    def __init__(
        self,
        root: Path,
        progress: Progress,
        *,
        state: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        toolchain: Toolchain | None = None,
    ) -> None:
        self.root = root
        self.state = state or root / STATE_DIRECTORY
        self.progress = progress
        self._overrides = overrides
        self._toolchain = toolchain or Toolchain(progress=progress)
        self._images = image_source.read(self.state) or ImageSource.LOCAL

    def up(self, nodes: NodeKind | None = None, images: ImageSource | None = None) -> Report:
        """Bring everything up, from nothing or from whatever is there.

        Args:
            nodes: the kind of nodes; by default that which the sandbox has, or the best for this machine.
            images: where the platform's images come from; by default as in the sandbox, or made here.

        Raises:
            SettingsError: with every mistake in the stack file, before anything is touched.
            ToolchainError, SandboxError, StackError: with what failed and what to do; `up` can be run again.
        """
        self._check_settings()
        running = node_kind.read(self.state) is NodeKind.REAL  # and takes its room already
        choice = node_kind.choose(self.state, nodes, lambda: why_not_real(self.state, room=not running))
        self._images = image_source.choose(self.state, images, choice.kind)
        with self._ready() as (stack, stand_ins):
            changes = self._pulumi("Provision the platform", stack.up)
            with self.progress.step("Wait for the Ray clusters") as step:
                real = choice.kind is NodeKind.REAL
                clusters = ray_status.wait_ready(self.kubeconfig, real=real, note=step.note)
            return Report(
                changes,
                clusters,
                stack.outputs(),
                stand_ins,
                choice.kind,
                choice.why_simulated,
                self._images,
            )

    def preview(self, *, on_output: Callable[[str], None] | None = None, diff: bool = False) -> Changes:
        """What `up` would change, against the live cluster.

        Raises:
            SettingsError, ToolchainError, SandboxError, StackError: as `up` does.
        """
        self._check_settings()
        with self._ready() as (stack, _):
            return self._pulumi("Preview", lambda note: stack.preview(note, on_output=on_output, diff=diff))

    def down(self, *, force: bool = False) -> bool:
        """Remove every object, process and file of the sandbox.

        Args:
            force: do not ask Pulumi to delete the objects first; the cluster goes in any case.

        Returns:
            Whether there was anything to remove.
        """
        if not self.state.exists():
            return False
        if not force and (self.state / "engine").exists():
            with self._ready() as (stack, _):
                if stack.exists:
                    self._pulumi("Delete the platform", stack.destroy)
        self._stopped().wipe()
        shutil.rmtree(self.state, ignore_errors=True)
        return True

    def stop(self) -> None:
        """End every process and keep the data; `up` goes on from there."""
        if self.state.exists():
            self._stopped().stop()

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the sandbox's administrator."""
        return self._stopped().kubeconfig

    @property
    def endpoints(self) -> Endpoints:
        """Where the control plane listens.

        Raises:
            SandboxError: if it was never started.
        """
        return self._stopped().endpoints

    def processes(self) -> list[ProcessStatus]:
        """The sandbox's processes; none where it was never started."""
        return self._stopped().status() if self.state.exists() else []

    def clusters(self) -> list[RayClusterStatus]:
        """The Ray clusters; none where the API server does not answer."""
        return ray_status.read(self.kubeconfig) if self.kubeconfig.exists() else []

    def tool(self, name: str) -> Path:
        """The executable of a tool, got where it is missing."""
        return self._toolchain.ensure([name])[name]

    @property
    def nodes(self) -> NodeKind:
        """The kind of nodes that the sandbox has, or would have."""
        return node_kind.read(self.state) or NodeKind.SIMULATED

    def _check_settings(self) -> None:
        """Tell mistakes in the stack file here and once; the engine would begin, and tell each twice."""
        parse(merge(written(self.root, self.state), self._overrides or {}))

    @contextmanager
    def _ready(self) -> Iterator[tuple[SandboxStack, tuple[str, ...]]]:
        """Tools, control plane and engine ready, and nobody else at work on this sandbox."""
        made_here, pulled = self._images_of_node()
        tools = self._toolchain.ensure(needs.tools(self.nodes, made_here))
        assets = {name: self._toolchain.asset(name) for name in needs.assets(self.nodes, made_here)}
        node = None
        if self.nodes is NodeKind.REAL:
            node = self._node(self._node_files(tools, assets, made_here, pulled))
        control_plane = ControlPlane(self.state, tools, assets, self.progress, node=node)
        with control_plane.exclusive():
            self._write_charts(assets)
            endpoints = control_plane.start()
            yield self._stack(tools, endpoints)

    def _stopped(self) -> ControlPlane:
        """The control plane, to look at or to stop."""
        node = self._node() if self.nodes is NodeKind.REAL else None
        return ControlPlane(self.state, {}, {}, self.progress, node=node)

    def _node(self, files: NodeFiles | None = None) -> RealNode:
        enclosure = Enclosure(self.state, NODE_NAME)
        return RealNode(enclosure, Cluster(SERVICE_CIDR, CLUSTER_DOMAIN), files)

    def _images_of_node(self) -> tuple[Sequence[Image], Sequence[Image]]:
        """The images that are made here, and those that are pulled.

        The node's own are always made here: they go with its tools, and say nothing about the platform.
        """
        if self.nodes is NodeKind.SIMULATED:
            return (), ()
        settings = parse(values(self.root, self.state, None, self._overrides or {}, self._images))
        platform = images_of(settings)
        if self._images is ImageSource.LOCAL:
            return (*node_images(), *platform), ()
        return node_images(), platform

    def _node_files(
        self,
        tools: Mapping[str, Path],
        assets: Mapping[str, Path],
        made_here: Sequence[Image],
        pulled: Sequence[Image],
    ) -> NodeFiles:
        store = ImageStore(self._toolchain.cache, self._toolchain, self.progress)
        images = dict(store.ensure(made_here))
        if pulled:
            puller = PulledImages(self._toolchain.cache, self.tool("crane"), self.progress)
            images |= puller.ensure(image.reference for image in pulled)
        image_source.keep(self.state, self._images)
        return NodeFiles(
            root=store.node_root(),
            images=images,
            tools=tools,
            policy_definitions=assets["calico-definitions"],
            storage_manifest=assets["local-path-manifest"],
            version=CATALOG.pin(KUBERNETES).version,
        )

    def _stack(self, tools: Mapping[str, Path], endpoints: Endpoints) -> tuple[SandboxStack, tuple[str, ...]]:
        made = engine.prepare(self.state, self.root, tools, endpoints.api_server, self.progress)
        stack = SandboxStack(self.root, self.state, made, endpoints, self._overrides, images=self._images)
        return stack, made.stand_ins

    def _write_charts(self, assets: Mapping[str, Path]) -> None:
        """The charts that the stack file names, where no chart repository can be reached."""
        operator = self._toolchain.find("ray-operator")
        if operator is None:
            raise SandboxError("The KubeRay operator vanished from the tool cache. Run the command again.")
        platform_charts.write(assets, operator.version, self.state / "charts")

    def _pulumi(self, title: str, call: Callable[[Callable[[str], None]], Changes]) -> Changes:
        with self.progress.step(title) as step:
            return call(step.note)


__all__ = ["Environment", "Report", "SandboxError"]
