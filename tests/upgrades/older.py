"""The sandbox's tools, some of them of the minor version before: the other end of an upgrade.

They are built as the sandbox's own are, from the Go modules that `tools/*/go.mod` pins, once for a machine.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

from sandbox.progress import Progress
from sandbox.toolchain import Toolchain
from sandbox.tools.catalog import CATALOG, ISTIO, RAY_OPERATOR, Catalog, Module, Pin

FOLDER: Final = Path(__file__).parent / "tools"
KUBERAY: Final = CATALOG.pin(replace(RAY_OPERATOR, folder=str(FOLDER / "ray-operator"))).version[1:]
ISTIO_MINOR: Final = "1.30"  # of the branch that its commit is on


def toolchain(older: Collection[Module], *, files: bool = True) -> Toolchain:
    """A toolchain whose programs of these modules are older.

    Args:
        older: modules of the catalog that have a go.mod here.
        files: whether their charts and definitions are older too. With the new ones an upgrade is at the
            moment at which they are in the cluster, and the program that was there still runs.
    """
    folders = {module.folder for module in older}
    tools = {
        name: replace(tool, module=_older(tool.module), reports=_istio)
        if tool.module == ISTIO
        else replace(tool, module=_older(tool.module))
        for name, tool in CATALOG.tools.items()
        if tool.module.folder in folders
    }
    assets = {
        name: replace(asset, module=_older(asset.module))
        for name, asset in CATALOG.assets.items()
        if files and asset.module.folder in folders
    }
    catalog = Catalog({**CATALOG.tools, **tools}, {**CATALOG.assets, **assets}, CATALOG.folder)
    return Toolchain(progress=Progress(), catalog=catalog)


def _older(module: Module) -> Module:
    found = replace(module, folder=str(FOLDER / module.folder))
    variable = "istio.io/istio/pkg/version.buildVersion"
    return replace(found, variables=lambda pin: {variable: _istio(pin)}) if module == ISTIO else found


def _istio(pin: Pin) -> str:
    # Not by its API module, which is newer than the commit: see its go.mod.
    return f"{ISTIO_MINOR}-alpha.{pin.version.rpartition('-')[2]}"
