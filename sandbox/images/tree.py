"""The files of an image beside its base, in a directory."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, assert_never

from sandbox.images import node_packages, python_packages
from sandbox.images.catalog import (
    Account,
    AssetFile,
    BaseFile,
    Content,
    Folder,
    Image,
    Link,
    NodePackages,
    PythonPackages,
    Script,
    ToolFile,
)
from sandbox.images.commands import Commands

# An image without a base has these users.
_NO_BASE: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\n",
    "etc/group": "root:x:0:\n",
}


class Tree:
    """Lays an image's contents out in a directory.

    Args:
        tree: an existing empty directory on the file system of `base`.
        base: the unpacked base root; also images that do not lie over it take files from there.
        tools: the programs by name.
        assets: the assets' directories by name.
        commands: runs what has to be run.
    """

    def __init__(
        self,
        tree: Path,
        base: Path,
        tools: Mapping[str, Path],
        assets: Mapping[str, Path],
        commands: Commands,
    ) -> None:
        self._tree = tree
        self._base = base
        self._tools = tools
        self._assets = assets
        self._commands = commands

    def lay_out(self, image: Image) -> None:
        """Make everything that the image holds beside its base.

        Raises:
            SandboxError: a command failed.
        """
        accounts = [content for content in image.contents if isinstance(content, Account)]
        # first, since pip makes directories in whatever way the user's settings want it; then npm, which
        # one of pip's packages brings
        for content in sorted(image.contents, key=_order):
            self._add(content)
        self._add_accounts(accounts, over_base=image.base is not None)
        _settle_modes(self._tree)
        for content in image.contents:
            self._give_away(content)

    def _add(self, content: Content) -> None:
        match content:
            case ToolFile(tool, path):
                self._copy(self._tools[tool], path, 0o755)
            case AssetFile(asset, file, path):
                self._copy(self._assets[asset] / file, path, 0o644)
            case BaseFile(path):
                source = self._base / path.lstrip("/")
                self._copy(source, path, source.stat().st_mode & 0o7777)
            case Folder(path):
                self._at(path).mkdir(parents=True, exist_ok=True)
            case Link(path, target):
                python = f"/{python_packages.directory(python_packages.python_of(self._base))}"
                self._at(path).parent.mkdir(parents=True, exist_ok=True)
                self._at(path).unlink(missing_ok=True)  # a package's own, which this one is to replace
                self._at(path).symlink_to(target.format(python=python))
            case Account(home=home):
                self._at(home).mkdir(parents=True)
            case PythonPackages():
                python_packages.install(content, self._tree, self._base, self._commands)
            case NodePackages():
                node_packages.install(content, self._tree, self._base, self._commands)
            case Script(path, text):
                self._at(path).parent.mkdir(parents=True, exist_ok=True)
                self._at(path).write_text(text)
                self._at(path).chmod(0o755)
            case _:
                assert_never(content)

    def _give_away(self, content: Content) -> None:
        match content:
            case Folder(path, mode, uid, gid):
                os.chown(self._at(path), uid, gid)
                self._at(path).chmod(mode)
            case Account(_, uid, gid, home):
                os.chown(self._at(home), uid, gid)
            case _:
                pass

    def _add_accounts(self, accounts: list[Account], *, over_base: bool) -> None:
        if over_base and not accounts:
            return
        for name, little in _NO_BASE.items():
            text = (self._base / name).read_text() if over_base else little
            self._at(name).parent.mkdir(parents=True, exist_ok=True)
            self._at(name).write_text(text + "".join(_line(name, text, account) for account in accounts))

    def _copy(self, source: Path, path: str, mode: int) -> None:
        target = self._at(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(mode)

    def _at(self, path: str) -> Path:
        return self._tree / path.lstrip("/")


def _order(content: Content) -> int:
    return {PythonPackages: 0, NodePackages: 1}.get(type(content), 2)


def _line(file: str, text: str, account: Account) -> str:
    if file == "etc/passwd":
        return f"{account.name}:x:{account.uid}:{account.gid}::{account.home}:/bin/bash\n"
    taken = {line.split(":")[2] for line in text.splitlines() if line.count(":") >= 3}
    return "" if str(account.gid) in taken else f"{account.name}:x:{account.gid}:\n"


def _settle_modes(tree: Path) -> None:
    """Give everything the usual modes, whatever the umask of this process is."""
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for path in (Path(folder) / name for name in files):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o111 else 0o644)
