"""Pulumi's engine for the sandbox: its own home, backend and passphrase, and the provider plugins."""

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pulumi

from sandbox.plugins.install import ANALYZER, install, install_analyzer
from sandbox.processes import write_private
from sandbox.progress import Progress
from sandbox.proxies import direct
from sandbox.toolchain import cache_dir

# The provider plugins that the program needs, and the distribution whose version each must have.
PROVIDERS: Final[Mapping[str, str]] = {"kubernetes": "pulumi-kubernetes", "random": "pulumi-random"}
DOWNLOAD_SECONDS: Final = 600
# How long a failed download is believed: trying costs ten seconds, and a site that lets nothing through
# does not change its mind from one command to the next.
RETRY_AFTER_SECONDS: Final = 24 * 3600
PLUGINS_VARIABLE: Final = "RAYFORT_PLUGINS"
# What Pulumi's engine, its plugins and its SDK read; the user's own are for the user's own stacks.
_PULUMIS: Final = "PULUMI_"


@dataclass(frozen=True)
class Engine:
    """How to call the engine.

    Attributes:
        home: the directory that holds ``bin/pulumi``.
        environment: its environment variables, complete.
        stand_ins: the providers that Rayfort's own stand-ins serve; empty with the official plugins.
    """

    home: Path
    environment: Mapping[str, str]
    stand_ins: tuple[str, ...]


def prepare(
    state: Path, root: Path, tools: Mapping[str, Path], api_server: str, progress: Progress
) -> Engine:
    """Everything that the engine needs on disk, made where it is missing.

    Args:
        state: the sandbox's directory.
        root: the checkout.
        tools: executables by name; ``pulumi`` and ``helm`` are used.
        api_server: the URL of the API server, which the plugins and helm reach without a proxy.
        progress: where a download is shown.

    Official plugins are taken where they can be had: from PATH, from an earlier download, or downloaded.
    After a failed download the stand-ins serve for a day. ``RAYFORT_PLUGINS=stand-in`` or ``=official``
    forces one or the other.
    """
    home = state / "engine"
    for directory in (home / "bin", home / "backend"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _link(home / "bin" / "pulumi", tools["pulumi"])
    passphrase = home / "passphrase"
    if not passphrase.exists():
        write_private(passphrase, secrets.token_urlsafe(32))
    environment = {
        **direct(
            {name: value for name, value in os.environ.items() if not name.startswith(_PULUMIS)}, api_server
        ),
        "PULUMI_HOME": str(cache_dir() / "pulumi"),
        "PULUMI_BACKEND_URL": f"file://{home / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
        # An Output in an f-string is an error instead of a strange name.
        "PULUMI_ERROR_OUTPUT_STRING": "true",
        "RAYFORT_HELM": str(tools["helm"]),
    }
    official = _official(home / "bin" / "pulumi", environment, progress)
    stand_ins = tuple(name for name in PROVIDERS if name not in official)
    if stand_ins:
        directory = install(home / "plugins", Path(sys.executable), root, helm=tools["helm"])
        # Last on PATH: a plugin that is installed wins.
        _append(environment, directory)
    if not shutil.which(ANALYZER, path=environment.get("PATH")):
        _append(environment, install_analyzer(home / "analyzers", Path(sys.executable)))
    return Engine(home, environment, stand_ins)


@contextmanager
def alone() -> Iterator[None]:
    """Without the user's variables for Pulumi in this process, for as long as the engine is called.

    The Automation API lays the variables that it is told over those of this process, so whatever it is not
    told shines through: a passphrase, which the engine prefers to the file with the sandbox's, or a login.
    The program runs in this process as well, and the SDK reads settings from PULUMI_CONFIG.
    """
    theirs = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_PULUMIS)}
    try:
        yield
    finally:
        os.environ.update(theirs)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the debug messages of Pulumi's SDK, for as long as the engine is called.

    It sends the engine half a dozen for each resource, one call each: a third of what a program takes. The
    sandbox has nowhere to show them.
    """
    debug = pulumi.log.debug
    pulumi.log.debug = _nothing
    try:
        yield
    finally:
        pulumi.log.debug = debug


def _nothing(*_: object, **__: object) -> None:
    """Take what is said, and say nothing."""


def _append(environment: dict[str, str], directory: Path) -> None:
    """Put a directory at the end of PATH."""
    environment["PATH"] = f"{environment.get('PATH', os.defpath)}{os.pathsep}{directory}"


def _official(pulumi: Path, environment: Mapping[str, str], progress: Progress) -> set[str]:
    """The providers whose official plugins are there, now or after downloading them."""
    choice = os.environ.get(PLUGINS_VARIABLE, "")
    if choice == "stand-in":
        return set()
    if choice == "official":
        return set(PROVIDERS)
    there = {name for name in PROVIDERS if _installed(name, environment)}
    missing = [name for name in PROVIDERS if name not in there and not _failed_lately(name, environment)]
    if not missing:
        return there
    with progress.step("Look for Pulumi's official plugins"), ThreadPoolExecutor() as pool:
        found = pool.map(lambda name: _download(name, pulumi, environment), missing)
        return there | {name for name, done in zip(missing, found, strict=True) if done}


def _wanted(name: str) -> str:
    return f"v{version(PROVIDERS[name])}"


def _installed(name: str, environment: Mapping[str, str]) -> bool:
    if shutil.which(f"pulumi-resource-{name}", path=environment.get("PATH")):
        return True
    return (Path(environment["PULUMI_HOME"]) / "plugins" / f"resource-{name}-{_wanted(name)}").is_dir()


def _failure(name: str, environment: Mapping[str, str]) -> Path:
    """The file whose age says when the download failed last."""
    return Path(environment["PULUMI_HOME"]) / f"not-downloaded-{name}-{_wanted(name)}"


def _failed_lately(name: str, environment: Mapping[str, str]) -> bool:
    try:
        return time.time() - _failure(name, environment).stat().st_mtime < RETRY_AFTER_SECONDS
    except OSError:
        return False


def _download(name: str, pulumi: Path, environment: Mapping[str, str]) -> bool:
    try:
        done = subprocess.run(
            [str(pulumi), "plugin", "install", "resource", name, _wanted(name)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
        downloaded = done.returncode == 0
    except subprocess.TimeoutExpired:
        downloaded = False
    if not downloaded:
        failure = _failure(name, environment)
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.touch()
    return downloaded


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
