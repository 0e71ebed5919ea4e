"""The cache on disk: finished tools and assets, what is being made, and who may make it."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from sandbox.progress import Progress
from sandbox.tools import recipe
from sandbox.tools.catalog import Asset, Catalog, Tool
from sandbox.tools.golang import Platform


class Store:
    """Everything lies below one directory:

    - `tools/<tool>/<version>-<fingerprint>/<tool>` and `assets/<asset>/<version>-<fingerprint>/`: finished;
      they appear at once and whole, by a rename, and are never changed afterwards;
    - `go/`: Go's caches, needed for building only;
    - `tmp/`: half-made things, thrown away by the next build;
    - `logs/`, `lock`.
    """

    def __init__(self, root: Path, catalog: Catalog, target: Platform) -> None:
        self.root = root
        self.go = root / "go"
        self.logs = root / "logs"
        self._catalog = catalog
        self._target = target
        self._temporary = root / "tmp"

    def tool(self, tool: Tool) -> Path:
        """Where the tool's executable lies, or will lie."""
        return (
            self.root / "tools" / tool.name / recipe.tool_entry(self._catalog, tool, self._target) / tool.name
        )

    def has_tool(self, tool: Tool) -> bool:
        """Whether the tool is finished."""
        return os.access(self.tool(tool), os.X_OK)

    def asset(self, asset: Asset) -> Path:
        """The directory where the asset's files lie, or will lie."""
        return self.root / "assets" / asset.name / recipe.asset_entry(self._catalog, asset)

    def has_asset(self, asset: Asset) -> bool:
        """Whether the asset is there."""
        return self.asset(asset).is_dir()

    def free_gb(self) -> float:
        """Free disk space for the cache, in GB."""
        place = self.root
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free / 1e9

    def go_caches_gb(self) -> float:
        """Disk space that Go's caches take now, in GB."""
        sizes = (file.lstat().st_size for file in self.go.rglob("*") if file.is_file())
        return sum(sizes) / 1e9

    @contextlib.contextmanager
    def exclusive(self, progress: Progress) -> Iterator[None]:
        """Let only this process build, among all checkouts that share the cache.

        One lock for everything, and not one per tool: builds are planned by the memory of the whole machine,
        and Go's caches are thrown away at the end. A process that dies gives the lock back.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            with progress.step("waiting for another process that builds into the same cache"):
                lock.acquire()
        try:
            self._sweep()
            self.logs.mkdir(exist_ok=True)
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A new empty directory on the cache's own file system, gone at the end of the block."""
        directory = self._temporary / uuid.uuid4().hex
        directory.mkdir(parents=True)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def publish(self, staged: Path, final: Path) -> None:
        """Put a finished directory in its place, at once and whole."""
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():  # damaged, or it would not have been made again
            self._discard(final)
        staged.rename(final)

    def drop_go_caches(self) -> None:
        """Throw away everything that only builds need."""
        if self.go.exists():
            self._discard(self.go)

    def _discard(self, directory: Path) -> None:
        # A half-deleted module cache looks whole to Go: move it out of the way first, so that an interruption
        # leaves either all of it or none.
        self._temporary.mkdir(exist_ok=True)
        away = self._temporary / uuid.uuid4().hex
        directory.rename(away)
        _delete(away)

    def _sweep(self) -> None:
        for leftovers in (self._temporary, self.go / "tmp"):
            if leftovers.exists():
                _delete(leftovers)


def _delete(tree: Path) -> None:
    for folder, _, _ in os.walk(tree):
        Path(folder).chmod(0o700)  # Go makes the folders of its module cache read-only
    shutil.rmtree(tree)
