"""Debian root file systems, made by mmdebstrap from the package sources of this machine.

mmdebstrap and everything that apt keeps lie in directories of their own: nothing is installed on this
machine, and it works where apt's package lists were never fetched.
"""

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from sandbox.images.catalog import Root
from sandbox.images.commands import Commands, clean_environment
from sandbox.images.oci import EPOCH
from sandbox.processes import SandboxError

# Counts like the list of packages: raise it when what is done here changes the outcome.
RECIPE: Final = 1

_APT: Final = Path("/etc/apt")
_PROGRAMS: Final = (
    "apt-get",
    "apt-config",
    "dpkg",
    "dpkg-deb",
    "perl",
    "tar",
    "chroot",
    "unshare",
    "setpriv",
)
_LEFT_OUT: Final = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
)
# How this machine's apt reaches its sources, as opposed to what it does with packages.
_ACCESS: Final = re.compile(r"Acquire::(https?|Check-\w+|Max-\w+|ForceIP\w+|Retries)\b.*", re.IGNORECASE)
# What mmdebstrap takes over from this machine; Kubernetes writes the last two for each container.
_TIDY: Final = (
    'rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap '
    '"$1"/etc/hostname "$1"/etc/resolv.conf'
)


def unavailable() -> str | None:
    """Why no root file system can be made on this machine, in one sentence; None where it can."""
    if sys.platform != "linux":
        return "images are built on Linux only"
    path = clean_environment()["PATH"]
    missing = [name for name in _PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        return f"images are built from Debian packages, and this machine has no {missing[0]}"
    if not release():
        return (
            "images are built from Debian packages, and /etc/os-release names no release (VERSION_CODENAME)"
        )
    if not sources(release()):
        return f"images are built from Debian packages, and {_APT} has no source for the release {release()}"
    return None


def release() -> str:
    """The code name of the release that this machine runs; empty if it has none."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def sources(codename: str, apt: Path = _APT) -> list[Path]:
    """The files in which this machine's apt finds the packages of a release, with their main component.

    Args:
        codename: the release, as "bookworm".
        apt: apt's directory.
    """
    parts = apt / "sources.list.d"
    files = [apt / "sources.list", *sorted([*parts.glob("*.list"), *parts.glob("*.sources")])]
    return [file for file in files if file.is_file() and _offers(file.read_text(), codename)]


def _offers(text: str, codename: str) -> bool:
    said = re.sub(r"#.*", "", text)
    return all(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", said) for word in (codename, "main"))


def make_root(root: Root, work: Path, commands: Commands) -> Path:
    """Make a root file system.

    Args:
        root: what is in it.
        work: an existing empty directory, for this only.
        commands: runs what has to be run.

    Returns:
        A tar file in `work`.

    Raises:
        SandboxError: it could not be made.
    """
    reason = unavailable()
    if reason:
        raise SandboxError(f"{commands.subject}: {reason}.")
    codename, tar = release(), work / f"{root.name}.tar"
    mmdebstrap = _fetch_mmdebstrap(sources(codename), work, commands)
    access = work / "access.conf"
    access.touch(0o600)  # a proxy may have a password
    access.write_text(_access(commands))
    temporary = work / "tmp"
    temporary.mkdir()
    # mmdebstrap runs a part of its own by name; that part is Python, which the system need not have
    env = clean_environment(mmdebstrap / "usr/bin", Path(sys.executable).parent) | {
        "TMPDIR": str(temporary),
        "SOURCE_DATE_EPOCH": str(EPOCH),
    }
    # Mounts of its own: /dev and /sys of this machine are mounted into what it makes, and an interrupted run
    # must not leave them where the next one clears up.
    command: list[str | Path] = ["setpriv", "--pdeathsig=TERM", "unshare", "--mount", "--propagation=private"]
    command += ["perl", mmdebstrap / "usr/bin/mmdebstrap", "--mode=root"]
    command += ["--variant=essential", f"--include={','.join(['usr-is-merged', *root.packages])}"]
    # all current releases are merged; without this a package that merges them drags all of perl in
    command += [f"--hook-dir={mmdebstrap}/usr/share/mmdebstrap/hooks/merged-usr"]
    command += [f"--aptopt={access}", '--aptopt=APT::Install-Recommends "false"']
    command += ['--aptopt=APT::Sandbox::User "root"']  # the directories here are closed to apt's own user
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    command += [f"--customize-hook={_TIDY}", codename, tar, *sources(codename)]
    commands.run(command, env)
    return tar


def unpack(tar: Path, folder: Path, commands: Commands) -> None:
    """Unpack a root file system, packed or not, into an existing directory."""
    commands.run(
        ["tar", "--extract", "--file", tar, "--numeric-owner", "-p", "-C", folder], clean_environment()
    )


def _fetch_mmdebstrap(sources: list[Path], work: Path, commands: Commands) -> Path:
    apt, fetched, unpacked = work / "apt", work / "fetched", work / "mmdebstrap"
    for folder in (apt / "lists" / "partial", apt / "archives" / "partial", apt / "parts", fetched, unpacked):
        folder.mkdir(parents=True)
    (apt / "status").touch()  # as if nothing were installed
    for file in sources:
        (apt / "parts" / file.name).symlink_to(file)
    options = {
        "Dir::State": apt,
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": apt / "parts",
        "APT::Sandbox::User": "root",
    }
    get: list[str | Path] = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]
    commands.run([*get, "update"], clean_environment())
    commands.run([*get, "download", "mmdebstrap"], clean_environment(), cwd=fetched)
    for package in fetched.glob("*.deb"):
        commands.run(["dpkg-deb", "-x", package, unpacked], clean_environment())
    return unpacked


def _access(commands: Commands) -> str:
    try:
        said = subprocess.run(
            ["apt-config", "dump"], env=clean_environment(), capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxError(f"{commands.subject}: apt-config does not work: {error}.") from error
    return "".join(f"{line}\n" for line in said.splitlines() if _ACCESS.match(line))
