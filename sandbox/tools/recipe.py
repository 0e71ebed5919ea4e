"""How a tool is built, as plain values: the flags of `go build`, and a fingerprint of all that counts."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from sandbox.tools.catalog import Asset, Catalog, Module, Pin, Tool
from sandbox.tools.golang import Platform

_MAJOR_VERSION = re.compile(r"v\d+")


def flags(module: Module, tags: tuple[str, ...], pin: Pin) -> list[str]:
    """The flags of `go build` that decide what comes out."""
    variables = [f"-X {name}={value}" for name, value in sorted(module.variables(pin).items())]
    return [
        "-mod=readonly",  # exactly what go.mod and go.sum say, or nothing
        "-trimpath",
        "-buildvcs=false",  # our repository's commit says nothing about the tool
        # debug information would be dropped by the linker anyway; not making it saves time and disk
        "-gcflags=all=-dwarf=false",
        f"-ldflags={' '.join(['-s', '-w', *variables])}",
        *([f"-tags={','.join(tags)}"] if tags else []),
    ]


def binary_name(package: str) -> str:
    """The name that `go build` gives to the binary of a main package."""
    path = PurePosixPath(package)
    return path.parent.name if _MAJOR_VERSION.fullmatch(path.name) else path.name


def tool_entry(catalog: Catalog, tool: Tool, target: Platform) -> str:
    """The name of a tool's folder in the cache: its version and a fingerprint of its recipe."""
    pin = catalog.pin(tool.module)
    recipe = [tool.package, flags(tool.module, tool.tags, pin), target.os, target.arch]
    return _entry(pin, catalog.directory(tool.module), [*recipe, *_own_sources(catalog, tool)])


def _own_sources(catalog: Catalog, tool: Tool) -> list[str]:
    """The sources of a program of ours in a folder below a go.mod; one beside it changes with it."""
    folder = f"rayfort.local/tools/{tool.module.folder}/"
    if not tool.package.startswith(folder):
        return []
    directory = catalog.directory(tool.module) / tool.package.removeprefix(folder)
    return [file.read_text() for file in sorted(directory.glob("*.go"))]


def asset_entry(catalog: Catalog, asset: Asset) -> str:
    """The name of an asset's folder in the cache."""
    recipe = [asset.folder, list(asset.files)]
    return _entry(catalog.pin(asset.module), catalog.directory(asset.module), recipe)


def _entry(pin: Pin, directory: Path, recipe: Sequence[object]) -> str:
    sums = [(directory / name).read_text() for name in ("go.mod", "go.sum")]
    digest = hashlib.sha256(json.dumps([*recipe, *sums]).encode()).hexdigest()
    return f"{pin.version}-{digest[:10]}"
