"""Builds tools and copies assets out of Go modules, as many at once as the machine can bear."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sandbox.progress import Progress, Step
from sandbox.tools import golang, recipe
from sandbox.tools.catalog import Asset, Catalog, Module, Tool
from sandbox.tools.errors import ToolchainError, failure, is_transient, last_lines
from sandbox.tools.golang import Go, Platform
from sandbox.tools.probe import reported_version
from sandbox.tools.processes import Processes
from sandbox.tools.store import Store

# what the linker of a big program (the API server, istiod) needs at its worst
BUILD_MEMORY_GB = 2.5
ATTEMPTS = 3
RETRY_SECONDS = 3.0


_WAKE_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Batch:
    """Tools that one `go build` makes: same module, same tags, so that they share what they are made of."""

    module: Module
    tags: tuple[str, ...]
    tools: tuple[Tool, ...]

    @property
    def title(self) -> str:
        return ", ".join(tool.name for tool in self.tools)


def batches(tools: Iterable[Tool]) -> list[Batch]:
    """Group tools into builds; the biggest comes first, because it decides when everything is finished."""
    grouped: dict[tuple[str, tuple[str, ...]], list[Tool]] = {}
    for tool in tools:
        grouped.setdefault((tool.module.folder, tool.tags), []).append(tool)
    made = [Batch(group[0].module, group[0].tags, tuple(group)) for group in grouped.values()]
    return sorted(made, key=lambda batch: -batch.module.disk_gb)


def parallel_builds(count: int, cpus: int, memory_gb: float) -> int:
    """How many builds may run at once.

    Args:
        count: how many there are to do.
        cpus: processors of the machine.
        memory_gb: memory that is free for them, in GB.
    """
    return max(1, min(count, cpus, int(memory_gb / BUILD_MEMORY_GB)))


def garbage_collection(jobs: int, cpus: int, memory_gb: float) -> dict[str, str]:
    """Environment that lets Go's compilers and linkers collect garbage rarely while memory allows.

    They are many short-lived programs with small heaps: collecting took a fifth of the processor time.

    Args:
        jobs: builds at once; each runs as many compilers as there are processors.
        cpus: processors of the machine.
        memory_gb: memory that is free for all of them, in GB.
    """
    each = max(1.0, memory_gb / (jobs * cpus))
    return {"GOGC": "800", "GOMEMLIMIT": f"{int(each * 1000)}MiB"}


def available_memory_gb(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> float:
    """Memory that may still be used, in GB: of the machine, or of the container where that is less."""
    free = _meminfo(proc / "meminfo")
    with contextlib.suppress(OSError, ValueError):
        limit = int((cgroup / "memory.max").read_text())  # "max" where there is none
        free = min(free, (limit - int((cgroup / "memory.current").read_text())) / 1e9)
    return free


def _meminfo(meminfo: Path) -> float:
    with contextlib.suppress(OSError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 / 1e9
    # no Linux: assume that half of the machine is in use
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2 / 1e9


class Builder:
    """Fills a store. The caller holds the store's lock."""

    def __init__(self, catalog: Catalog, store: Store, target: Platform, progress: Progress) -> None:
        self._catalog = catalog
        self._store = store
        self._target = target
        self._progress = progress
        self._processes = Processes()

    def build(self, tools: Sequence[Tool]) -> None:
        """Build tools, and keep the assets of their modules, which are at hand now.

        Every tool is in the store as soon as it is finished, so an interrupted run loses little.

        Raises:
            ToolchainError: one could not be built; the others are stopped.
        """
        work = batches(tools)
        modules = [batch.module for batch in work]
        self._check_disk(modules)
        go = self._go(modules)
        cpus, memory = os.cpu_count() or 1, available_memory_gb()
        jobs = parallel_builds(len(work), cpus, memory)
        go = replace(go, environment={**go.environment, **garbage_collection(jobs, cpus, memory)})
        self._progress.say(
            f"building {', '.join(tool.name for tool in tools)} from pinned sources with {go.version}, "
            f"{jobs} at a time; this happens once and takes minutes"
        )
        with ThreadPoolExecutor(jobs) as pool:
            try:
                pending = {pool.submit(self._build_batch, go, batch) for batch in work}
                while pending:
                    # Waking up now and then lets Ctrl-C in, also where the system gave it to another thread.
                    done, pending = wait(pending, timeout=_WAKE_SECONDS, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
            except BaseException:  # a failure, or Ctrl-C: none may go on alone
                pool.shutdown(wait=False, cancel_futures=True)
                self._processes.cancel()
                raise

    def copy_asset(self, asset: Asset) -> None:
        """Put an asset into the store.

        Raises:
            ToolchainError: its module could not be downloaded, or does not hold it.
        """
        self._check_disk([asset.module])
        go = self._go([asset.module])
        log = self._new_log(asset.name)
        with self._progress.step(f"getting {asset.name}") as step:
            self._copy_assets(go, asset.module, [asset], log, step)

    def _go(self, modules: Iterable[Module]) -> Go:
        at_least = max(self._catalog.pin(module).go for module in modules)
        return golang.get(
            self._store.go,
            self._target,
            at_least,
            logs=self._store.logs,
            processes=self._processes,
            progress=self._progress,
        )

    def _build_batch(self, go: Go, batch: Batch) -> None:
        pin = self._catalog.pin(batch.module)
        log = self._new_log(batch.tools[0].name)
        with self._progress.step(f"building {batch.title}") as step, self._store.staging() as staging:
            output = staging / "bin"
            output.mkdir()
            self._run_go(
                go,
                batch.module,
                [
                    "build",
                    "-v",  # names each package, which is all the progress that Go tells
                    "-modcacherw",
                    *recipe.flags(batch.module, batch.tags, pin),
                    "-o",
                    f"{output}{os.sep}",
                    *(tool.package for tool in batch.tools),
                ],
                subject=f"{batch.title} {pin.version}",
                log=log,
                on_line=_Teller(step),
            )
            for tool in batch.tools:
                binary = output / recipe.binary_name(tool.package)
                self._check_version(tool, binary, log)
                staged = staging / tool.name
                staged.mkdir()
                binary.rename(staged / tool.name)
                self._store.publish(staged, self._store.tool(tool).parent)
            step.note("copying what belongs to it")
            assets = [asset for asset in self._catalog.assets.values() if asset.module == batch.module]
            missing = [asset for asset in assets if not self._store.has_asset(asset)]
            if missing:
                self._copy_assets(go, batch.module, missing, log, step)

    def _check_version(self, tool: Tool, binary: Path, log: Path) -> None:
        wanted = tool.reports(self._catalog.pin(tool.module))
        got = reported_version(tool, binary)
        if got != wanted:
            raise ToolchainError(
                f"{tool.name}: the build gave {got or 'a program that does not tell its version'} where "
                f"{wanted} was asked for; it is not kept.\n  full log: {log}\n"
                f"  what to do: restore {self._catalog.directory(tool.module)} with git; if it is unchanged, "
                "this is a bug of Rayfort"
            )

    def _copy_assets(self, go: Go, module: Module, assets: Sequence[Asset], log: Path, step: Step) -> None:
        pin = self._catalog.pin(module)
        subject = f"{', '.join(asset.name for asset in assets)} of {module.path} {pin.version}"
        download = ["mod", "download", "-modcacherw", module.path]
        self._run_go(go, module, download, subject=subject, log=log, on_line=_Teller(step))
        lines: list[str] = []
        where = ["list", "-m", "-mod=readonly", "-f", "{{.Dir}}", module.path]
        self._run_go(go, module, where, subject=subject, log=log, on_line=lines.append)
        source = Path(lines[-1] if lines else "")
        for asset in assets:
            with self._store.staging() as staging:
                staged = staging / asset.name
                copy_files(source / asset.folder, staged, asset)
                self._store.publish(staged, self._store.asset(asset))

    def _run_go(
        self,
        go: Go,
        module: Module,
        arguments: Sequence[str],
        *,
        subject: str,
        log: Path,
        on_line: Callable[[str], None],
    ) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            code = self._processes.run(
                [go.path, *arguments],
                log=log,
                cwd=self._catalog.directory(module),
                env=go.environment,
                on_line=on_line,
            )
            if code == 0:
                return
            if attempt == ATTEMPTS or not is_transient(last_lines(log)):
                command = " ".join(["go", *arguments[: 2 if arguments[0] == "mod" else 1]])
                raise failure(subject, f"`{command}` ended with exit code {code}", log)
            on_line("go: downloading again after a hiccup of the network")
            time.sleep(RETRY_SECONDS)

    def _new_log(self, name: str) -> Path:
        log = self._store.logs / f"{name}.log"
        log.unlink(missing_ok=True)
        return log

    def _check_disk(self, modules: Iterable[Module]) -> None:
        needed = sum({module.folder: module.disk_gb for module in modules}.values())
        free = self._store.free_gb()
        if free >= needed:
            return
        free += self._store.go_caches_gb()  # an interrupted run has done part of it already
        if free < needed:
            raise ToolchainError(
                f"building the missing tools takes about {needed:.0f} GB of disk below {self._store.root} "
                f"for the time of the build, and {free:.1f} GB are free.\n"
                "  what to do: free some, or put the cache on a larger disk with RAYFORT_CACHE=<directory>"
            )


class _Teller:
    """Turns what Go says into a short note: how far it is, and nothing that scrolls."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._compiled = 0

    def __call__(self, line: str) -> None:
        if line.startswith("go: downloading "):
            self._step.note(line.removeprefix("go: "))
        elif line and " " not in line:  # the name of a package
            self._compiled += 1
            self._step.note(f"{self._compiled} packages compiled")


def copy_files(source: Path, target: Path, asset: Asset) -> None:
    """Copy an asset's files, writable again (Go's module cache is read-only).

    Raises:
        ToolchainError: the source has none of them.
    """
    files = sorted({file for pattern in asset.files for file in source.glob(pattern) if file.is_file()})
    if not files:
        raise ToolchainError(
            f"{asset.name}: {asset.module.path} has no {' or '.join(asset.files)} in {asset.folder}.\n"
            "  what to do: the module was changed to a version with another layout; correct the catalog"
        )
    for file in files:
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
