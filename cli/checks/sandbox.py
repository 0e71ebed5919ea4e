"""Checks of what the embedded sandbox needs: its tools, room to build them, ports."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Final

from cli.checks import Check, State, real_nodes
from sandbox import needs, ports
from sandbox.engine import PLUGINS_VARIABLE, PROVIDERS
from sandbox.images.catalog import every_image
from sandbox.node_kind import NodeKind
from sandbox.processes import SandboxError
from sandbox.services import PORT_NAMES
from sandbox.toolchain import TOOLS, Found, Tool, Toolchain, ToolchainError
from sandbox.tools.build import BUILD_MEMORY_GB, available_memory_gb
from sandbox.tools.catalog import CATALOG

# The control plane with Pulumi's engine at work; measured: 2.7 GB.
RUN_MEMORY_GB: Final = 3.0
RUN_DISK_GB: Final = 1.0


def checks() -> Iterator[Check]:
    """The checks of the sandbox, with the kind of nodes that it has or would get."""
    try:
        toolchain = Toolchain()
    except ToolchainError as error:
        yield Check("machine", State.MISSING, *_split(error))
        return
    kind = real_nodes.kind()
    names = needs.tools(kind, every_image() if kind is NodeKind.REAL else ())
    with ThreadPoolExecutor() as pool:  # each asks a program for its version
        found = dict(zip(names, pool.map(toolchain.find, names), strict=True))
    missing = [TOOLS[name] for name, there in found.items() if there is None]
    for name, there in found.items():
        yield tool(name, there)
    if missing:
        yield go(missing)
    for name in PROVIDERS:
        yield plugin(name, toolchain.cache / "pulumi", stand_in=True)
    yield disk(toolchain.cache, missing)
    yield memory(available_memory_gb(), building=bool(missing))
    yield loopback()
    yield from real_nodes.checks()


def tool(name: str, found: Found | None) -> Check:
    """One of the sandbox's tools."""
    if found:
        return Check(name, State.OK, f"{found.version} ({found.source})")
    pinned = CATALOG.pin(TOOLS[name].module).version
    return Check(name, State.LATER, f"the first `up` builds {pinned} from its Go module")


def go(missing: Sequence[Tool]) -> Check:
    """The Go that builds what is missing."""
    needed = max(CATALOG.pin(item.module).go for item in missing)
    path = shutil.which("go")
    have = _go_version(path) if path else None
    if have and have >= needed:
        return Check("Go", State.OK, f"{have[0]}.{have[1]} (PATH)")
    text = f"{have[0]}.{have[1]} is older than {needed[0]}.{needed[1]}" if have else "not on PATH"
    return Check("Go", State.LATER, f"{text}; the first `up` gets its own from the Python package index")


def plugin(name: str, home: Path, *, stand_in: bool) -> Check:
    """An official provider plugin of Pulumi.

    Args:
        name: the provider.
        home: Pulumi's home directory.
        stand_in: whether Rayfort's own stand-in may take its place.
    """
    subject = f"Pulumi plugin {name}"
    wanted = version(PROVIDERS.get(name, f"pulumi-{name}"))
    if stand_in and os.environ.get(PLUGINS_VARIABLE) == "stand-in":
        return Check(subject, State.OK, f"Rayfort's stand-in, as {PLUGINS_VARIABLE} says")
    if path := shutil.which(f"pulumi-resource-{name}"):
        return Check(subject, State.OK, f"{path} (PATH)")
    if (home / "plugins" / f"resource-{name}-v{wanted}").is_dir():
        return Check(subject, State.OK, wanted)
    otherwise = ", or uses Rayfort's stand-in where it cannot" if stand_in else ""
    return Check(subject, State.LATER, f"Pulumi downloads {wanted}{otherwise}")


def disk(cache: Path, missing: Sequence[Tool]) -> Check:
    """Room for the tools and for building them."""
    building = sum({item.module.folder: item.module.disk_gb for item in missing}.values())
    needed = building + RUN_DISK_GB
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 1e9
    text = f"{free:.0f} GB free at {place}, up to {needed:.0f} GB needed"
    if free >= needed:
        return Check("disk", State.OK, text)
    remedy = "free some, or put the cache on a larger disk with RAYFORT_CACHE=<directory>"
    return Check("disk", State.MISSING, text, remedy)


def memory(free_gb: float, *, building: bool) -> Check:
    """Memory for the control plane, and for building."""
    needed = max(RUN_MEMORY_GB, BUILD_MEMORY_GB if building else 0)
    text = f"{free_gb:.0f} GB free, {needed:.0f} GB needed"
    if free_gb >= needed:
        return Check("memory", State.OK, text)
    return Check("memory", State.WARN, text, "close other programs")


def loopback() -> Check:
    """Ports for the control plane."""
    try:
        ports.choose(PORT_NAMES, {}, ())
    except SandboxError as error:
        return Check("loopback ports", State.MISSING, *_split(error))
    return Check("loopback ports", State.OK, f"{len(PORT_NAMES)} are free")


def _split(error: Exception) -> tuple[str, str]:
    """An error's problem and its remedy."""
    problem, _, remedy = " ".join(str(error).split()).partition("what to do: ")
    return problem.strip(), remedy


def _go_version(path: str) -> tuple[int, int] | None:
    try:
        said = subprocess.run(
            [path, "env", "GOVERSION"],
            env={**os.environ, "GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(r"go(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else None
