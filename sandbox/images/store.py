"""The images on disk: what is finished, and how what is missing is made.

Everything lies in `images` of the cache, by a key of all that counts for its content:

- `layers/<name>-<key>/`: root file systems and the layers over them, packed;
- `layouts/<name>-<key>/`: whole images; their layers are links to the files above, so take no space;
- `tmp/`: half-made things, thrown away by the next build;
- `logs/`, `lock`.

What is finished appears at once and whole, by a rename, and is never changed afterwards.
"""

import contextlib
import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from filelock import FileLock, Timeout

from sandbox.images import debian, oci
from sandbox.images.catalog import (
    BASE,
    NODE,
    AssetFile,
    Image,
    NodePackages,
    PythonPackages,
    Root,
    ToolFile,
)
from sandbox.images.commands import Commands
from sandbox.images.node_packages import lock_files
from sandbox.images.python_packages import requirements
from sandbox.images.tree import Tree
from sandbox.processes import SandboxError
from sandbox.progress import Progress
from sandbox.toolchain import Toolchain
from sandbox.tools.golang import this_platform

# Counts like an image's contents: raise it when the way that they are laid out or packed changes.
_RECIPE: Final = 2
_T = TypeVar("_T")


class ImageStore:
    """Finds images, and builds those that are missing.

    Args:
        cache: the directory of the tool chain's cache; nothing is touched yet.
        toolchain: has the programs that go into images.
        progress: tells of long work.
    """

    def __init__(self, cache: Path, toolchain: Toolchain, progress: Progress) -> None:
        self._folder = cache.absolute() / "images"
        self._logs = self._folder / "logs"
        self._temporary = self._folder / "tmp"
        self._toolchain = toolchain
        self._progress = progress

    def ensure(self, images: Iterable[Image]) -> Mapping[str, Path]:
        """Get images, building what is missing. The first time this takes a few minutes.

        Args:
            images: which ones.

        Returns:
            The OCI layout (a directory) of each by its reference. `oci.write_archive` makes one archive of
            any number of them; with an archive for each, what they share would be stored many times.

        Raises:
            SandboxError: one could not be built; what was finished before is kept.
            ToolchainError: a program for one of them could not be had.
        """
        images = list(images)
        tools = self._toolchain.ensure(_names(images, ToolFile, lambda file: file.tool))
        assets = {
            name: self._toolchain.asset(name) for name in _names(images, AssetFile, lambda file: file.asset)
        }
        layouts = {image.reference: self._layout(image, tools, assets) for image in images}
        if not all(layout.is_dir() for layout in layouts.values()):
            with self._exclusive(), contextlib.ExitStack() as stack:
                base: Path | None = None
                for image in images:
                    # another process may have built it while this one waited
                    if not layouts[image.reference].is_dir():
                        base = base or stack.enter_context(self._unpacked(BASE))
                        self._build(image, layouts[image.reference], base, tools, assets)
        return MappingProxyType(layouts)

    def node_root(self) -> Path:
        """Get the root file system of a node.

        Returns:
            A packed tar file, to be unpacked by root. A file and no directory: every sandbox changes its
            node's root, and a third of the space is enough to make it from.

        Raises:
            SandboxError: it could not be made.
        """
        folder = self._root(NODE)
        if not folder.is_dir():
            with self._exclusive():
                self._make_root(NODE)
        return folder / oci.BLOB

    def _build(
        self, image: Image, layout: Path, base: Path, tools: Mapping[str, Path], assets: Mapping[str, Path]
    ) -> None:
        name, layer = _short(image.reference), self._layer(image, tools, assets)
        if not layer.is_dir():
            with self._making(f"the image {image.reference}", name) as (work, commands):
                tree, packed = work / "tree", work / "packed"
                tree.mkdir()
                packed.mkdir()
                # the base is on the same file system: layers are moved into it to be compiled
                Tree(tree, base, tools, assets, commands).lay_out(image)
                commands.on_line("packing")
                oci.layer_from_tree(tree, packed)
                _publish(packed, layer)
        with self._staging() as work:
            layers = [*([self._root(image.base)] if image.base else []), layer]
            oci.write_layout(work, image.reference, image.config, layers, this_platform().arch)
            _publish(work, layout)

    def _make_root(self, root: Root) -> None:
        if self._root(root).is_dir():
            return
        with self._making(f"the {root.name} root file system", f"root-{root.name}") as (work, commands):
            made, packed = work / "made", work / "packed"
            made.mkdir()
            packed.mkdir()
            tar = debian.make_root(root, made, commands)
            commands.on_line("packing")
            oci.layer_from_tar(tar, packed)
            _publish(packed, self._root(root))

    @contextlib.contextmanager
    def _unpacked(self, root: Root) -> Iterator[Path]:
        self._make_root(root)
        with self._staging() as work:
            commands = Commands(
                f"the {root.name} root file system", self._logs / "unpack.log", lambda _: None
            )
            debian.unpack(self._root(root) / oci.BLOB, work, commands)
            yield work

    @contextlib.contextmanager
    def _making(self, subject: str, log: str) -> Iterator[tuple[Path, Commands]]:
        file = self._logs / f"{log}.log"
        file.unlink(missing_ok=True)
        with (
            self._progress.step(f"building {subject}") as step,
            self._disk_errors_told(subject),
            self._staging() as work,
        ):
            yield work, Commands(subject, file, step.note)

    @contextlib.contextmanager
    def _disk_errors_told(self, subject: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SandboxError(
                f"{subject} could not be made: {error}.\n  what to do: make {self._folder} writable, "
                "free disk space, or choose another place with RAYFORT_CACHE=<directory>"
            ) from error

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Let only this process build, as `sandbox.tools.store` does: the cache is shared."""
        with self._disk_errors_told("the images"):
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._folder / "lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                with self._progress.step("waiting for another process that builds images"):
                    lock.acquire()
            try:
                # What a killed build left. Where a command of it still writes, the next time has the rest.
                shutil.rmtree(self._temporary, ignore_errors=True)
                self._logs.mkdir(exist_ok=True)
                yield
            finally:
                lock.release()

    @contextlib.contextmanager
    def _staging(self) -> Iterator[Path]:
        directory = self._temporary / uuid.uuid4().hex
        directory.mkdir(parents=True)
        directory.chmod(0o755)  # it may become a root, in which other users look for their programs
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _layout(self, image: Image, tools: Mapping[str, Path], assets: Mapping[str, Path]) -> Path:
        key = _key([self._layer(image, tools, assets).name, image.reference, asdict(image.config)])
        return self._folder / "layouts" / f"{_short(image.reference)}-{key}"

    def _layer(self, image: Image, tools: Mapping[str, Path], assets: Mapping[str, Path]) -> Path:
        # The base counts also where the image does not lie over it: files are taken from there.
        parts: list[object] = [_RECIPE, self._root(BASE).name, image.base is not None]
        for content in image.contents:
            parts += [type(content).__name__, asdict(content)]
            match content:
                case ToolFile(tool):
                    parts.append(_fingerprint(tools[tool]))
                case AssetFile(asset):
                    parts.append(assets[asset].name)
                case PythonPackages():
                    parts.append(requirements(content))
                case NodePackages():
                    parts += [file.read_text() for file in lock_files(content)]
                case _:
                    pass
        # without the tag: the same content under another one is the same layer
        name = image.layer or _short(image.reference.rpartition(":")[0])
        return self._folder / "layers" / f"{name}-{_key(parts)}"

    def _root(self, root: Root) -> Path:
        key = _key([debian.RECIPE, debian.release(), this_platform().arch, root.packages])
        return self._folder / "layers" / f"{root.name}-{key}"


def _names(images: Iterable[Image], kind: type[_T], name: Callable[[_T], str]) -> list[str]:
    contents = (content for image in images for content in image.contents)
    return sorted({name(content) for content in contents if isinstance(content, kind)})


def _fingerprint(program: Path) -> list[str | int]:
    # The cache names the folder of a program after its version and recipe; one on PATH may lie anywhere.
    about = program.stat()
    return [program.parent.name, about.st_size, about.st_mtime_ns]


def _key(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]


def _short(reference: str) -> str:
    return re.sub(r"[^\w.]+", "-", reference.partition("/")[2])


def _publish(staged: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    staged.rename(final)
