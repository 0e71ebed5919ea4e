"""The namespaces and the control group in which a node lives, and how to run something there.

Mounts, interfaces, routes, packet filters and kernel settings of the network that the node makes are in its
own namespaces: they go with its last process, and the machine never sees them.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final

from sandbox.node import link
from sandbox.node.cgroup import ControlGroup
from sandbox.node.link import Link
from sandbox.processes import ProcessSpec, ProcessTable, SandboxError, write_private

HOLDER: Final = "node"  # the process that keeps the namespaces, and the directory for all that is the node's
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HERE: Final = Path(__file__).resolve().parent
_NAMESPACES: Final = ("--mount", "--uts", "--ipc", "--net", "--cgroup")
_START_LIMIT: Final = 30.0
_KILL_LIMIT: Final = 30.0
_POLL: Final = 0.05
_COMMAND_LIMIT: Final = 300.0


class Enclosure:
    """The place of one sandbox's node.

    Args:
        state: the sandbox's directory; everything on disk is below its `node/`.
        name: the node's name.
    """

    def __init__(self, state: Path, name: str) -> None:
        self.name = name
        self._directory = state.absolute() / HOLDER
        self._state = state.absolute()
        self._table = ProcessTable(state)
        self.group = ControlGroup(f"rayfort-{link.identity(state)}")

    @property
    def root(self) -> Path:
        """The node's root directory, as the machine sees it."""
        return self._directory / "root"

    @property
    def _going(self) -> Path:
        """What is left of a node that was to be deleted."""
        return self._directory.with_name(f"{HOLDER}.going")

    @property
    def link(self) -> Link:
        """How the machine reaches the node, chosen once.

        Raises:
            SandboxError: if every network that could be used is taken.
        """
        saved = self._directory / "link.json"
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Link(**json.loads(saved.read_text()))
        taken = link.taken_networks(
            Path("/proc/net/route").read_text().splitlines(), lambda name: name.startswith("rayfort")
        )
        chosen = link.choose(self._state, taken)
        write_private(saved, json.dumps(asdict(chosen)))
        return chosen

    @property
    def running(self) -> bool:
        """Whether the namespaces are there."""
        return self._table.running(HOLDER) is not None

    def open(self, archive: Path) -> None:
        """Make the namespaces, unless they are there.

        Args:
            archive: the tar file with the node's root filesystem.

        Raises:
            SandboxError: naming the step that failed.
        """
        self._unpack(archive)
        if not self.running:
            self.close()  # what a crash or a reboot left
            self.group.create()
            self._table.start(self._holder())
            self._wait()
        self._connect()

    def close(self) -> None:
        """End everything in it; the files stay. Closed already is a success.

        Raises:
            SandboxError: if a process survives.
        """
        if self.group.exists:
            self.group.kill(_KILL_LIMIT)
        self._table.stop(HOLDER)
        self.group.remove()
        self._unplug()
        # A namespace is taken apart a little after its last process.
        self._wait_unplugged()

    def remove_files(self) -> None:
        """Delete the root filesystem with all images and containers; only when closed.

        Out of the way first: of a node that is deleted by half, as by a killed command, none would start.
        """
        shutil.rmtree(self._going, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            self._directory.rename(self._going)
        shutil.rmtree(self._going, ignore_errors=True)

    def on_network(self, argv: Sequence[str]) -> tuple[str, ...]:
        """The command that runs a program of the machine in the node's network."""
        return self._enter(("--net",), argv)

    def inside(self, argv: Sequence[str]) -> tuple[str, ...]:
        """The command that runs a program of the node's root filesystem in all of its namespaces."""
        return self._enter(_NAMESPACES, argv)

    def run(self, argv: Sequence[str], feed: Callable[[IO[bytes]], None] | None = None) -> str:
        """Run a command in the node and return what it prints.

        Args:
            argv: the command.
            feed: writes what the command reads.

        Raises:
            SandboxError: with what it said, if it fails.
        """
        return _run(self.inside(argv), feed)

    def run_on_network(self, argv: Sequence[str]) -> str:
        """Run a command of the machine in the node's network and return what it prints.

        Raises:
            SandboxError: with what it said, if it fails.
        """
        # What such a program leaves in its user's home is not for the user's own.
        return _run(self.on_network(("env", f"HOME={self._directory}", *argv)))

    @property
    def _pid(self) -> int:
        record = self._table.running(HOLDER)
        if record is None:
            raise SandboxError("The node is not running. Run `./rayfort up`.")
        return record.pid

    def _enter(self, namespaces: Sequence[str], argv: Sequence[str]) -> tuple[str, ...]:
        enter = ("nsenter", f"--target={self._pid}", *namespaces, "--", *argv)
        return ("/bin/sh", str(_HERE / "join.sh"), *map(str, self.group.daemons), "--", *enter)

    def _holder(self) -> ProcessSpec:
        unshare = ("unshare", *_NAMESPACES, "--propagation=private")
        script = ("/bin/sh", str(_HERE / "holder.sh"), str(self.root), self.name)
        argv = ("/bin/sh", str(_HERE / "join.sh"), *map(str, self.group.directories), "--", *unshare, *script)
        return ProcessSpec(HOLDER, argv, self._directory, {"PATH": PATH, "LC_ALL": "C.UTF-8"})

    def _wait(self) -> None:
        """Until the holder has done all that its script does, and only sleeps."""
        deadline = time.monotonic() + _START_LIMIT
        while True:
            record = self._table.running(HOLDER)
            if record is None:
                raise self._table.died(HOLDER)
            with contextlib.suppress(OSError):
                if Path(f"/proc/{record.pid}/comm").read_text().strip() == "sleep":
                    return
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"The node's namespaces are not ready after {_START_LIMIT:.0f} seconds; see "
                    f"{self._table.log(HOLDER)}. Run `./rayfort up` again."
                )
            time.sleep(_POLL)

    def _connect(self) -> None:
        pair = self.link
        if not _interface(pair.interface).exists():
            for command in pair.commands(self._pid):
                # The program is the node's, its network the machine's.
                _run(self._enter(("--mount",), command))
        for command in pair.node_commands():
            self.run(command)

    def _unplug(self) -> None:
        """Remove the link: connections that killed processes left half closed keep a network for minutes."""
        saved = self._directory / "link.json"
        if saved.exists() and self.root.exists() and _interface(self.link.interface).exists():
            with contextlib.suppress(SandboxError):  # it went by itself meanwhile
                # The program is the node's, its network the machine's.
                _run(("chroot", str(self.root), "ip", "link", "delete", self.link.interface))

    def _wait_unplugged(self) -> None:
        deadline = time.monotonic() + _START_LIMIT
        saved = self._directory / "link.json"
        while saved.exists() and _interface(self.link.interface).exists():
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"The network interface {self.link.interface} of an earlier node does not go away. "
                    f"Remove it with `ip link delete {self.link.interface}`, then run the command again."
                )
            time.sleep(_POLL)

    def _unpack(self, archive: Path) -> None:
        """Unpack the root filesystem, whole or not at all."""
        if self.root.exists():
            return
        shutil.rmtree(self._going, ignore_errors=True)
        # A killed command may still be writing into its own.
        for old in self._directory.glob("draft-*"):
            shutil.rmtree(old, ignore_errors=True)
        self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=self._directory))
        draft.chmod(0o755)
        _run(("tar", "--extract", "--numeric-owner", "--file", str(archive), "--directory", str(draft)))
        draft.rename(self.root)


def _interface(name: str) -> Path:
    return Path("/sys/class/net") / name


def _run(argv: Sequence[str], feed: Callable[[IO[bytes]], None] | None = None) -> str:
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"},
        ) as process,
    ):
        try:
            if feed and process.stdin:
                with contextlib.suppress(BrokenPipeError), process.stdin:
                    feed(process.stdin)
            code = process.wait(_COMMAND_LIMIT)
        except BaseException:
            process.kill()
            raise
        output.seek(0)
        said = output.read().decode(errors="replace")
    if code:
        command = argv[argv.index("--", argv.index("nsenter")) + 1 :] if "nsenter" in argv else argv
        raise SandboxError(f"`{' '.join(command)}` failed in the sandbox's node:\n{said.strip()}")
    return said
