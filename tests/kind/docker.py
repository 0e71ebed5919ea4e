"""A docker daemon out of Debian's packages: nothing is installed, and nothing of the machine is changed.

It has a network and a mount namespace of its own, so that its bridges, packet filters and mounts are not the
machine's, and keeps everything in one directory.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from sandbox.node.cgroup import ControlGroup

# Not every machine lets root have every right, and docker asks for all of them for a privileged container:
# what is missing is taken out of what it asks.
_RUNC = """\
import json, os, sys
from pathlib import Path

bounds = next(line for line in open("/proc/self/status") if line.startswith("CapBnd"))
have = int(bounds.split()[1], 16)
names = [f"CAP_{{name}}" for name in {names!r}.split()]
mine = {{name for bit, name in enumerate(names) if have >> bit & 1}}


def lower(process):
    for kind, asked in (process.get("capabilities") or {{}}).items():
        process["capabilities"][kind] = [name for name in asked if name in mine]
    if "CAP_SYS_RESOURCE" not in mine:
        process.pop("oomScoreAdj", None)
        process["rlimits"] = []


given = sys.argv[1:]
for option, change in (("--bundle", lambda spec: lower(spec["process"])), ("--process", lower)):
    if option in given:
        file = Path(given[given.index(option) + 1])
        file = file / "config.json" if option == "--bundle" else file
        spec = json.loads(file.read_text())
        change(spec)
        file.write_text(json.dumps(spec))
os.execv({runc!r}, ["runc", *given])
"""
# In the kernel's order.
CAPABILITIES: Final = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
PERFMON BPF CHECKPOINT_RESTORE
"""


class Docker:
    """A daemon and its client.

    Args:
        directory: for everything that it keeps.
        root: an unpacked root file system of this machine's Debian release with docker.io and iptables.
    """

    def __init__(self, directory: Path, root: Path) -> None:
        self._directory = directory
        self.group = ControlGroup(f"rayfort-kind-{os.getpid()}")
        programs = directory / "bin"
        programs.mkdir(parents=True)
        for name in ("iptables", "iptables-save", "iptables-restore"):
            (programs / name).symlink_to(root / "usr/sbin/xtables-legacy-multi")
        runc = programs / "rayfort-runc"
        runc.write_text(
            f"#!{sys.executable}\n{_RUNC.format(names=CAPABILITIES, runc=str(root / 'usr/sbin/runc'))}"
        )
        runc.chmod(0o755)
        libraries = sorted((root / "usr/lib").glob("*-linux-gnu*"))
        folders = [programs, root / "usr/bin", root / "usr/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        self._daemon_environment = {
            "PATH": os.pathsep.join(map(str, folders)),
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
            "XTABLES_LIBDIR": str(libraries[0] / "xtables"),
        }
        self._runc = runc
        # A client alone, which needs none of these libraries.
        self.environment = {"DOCKER_HOST": f"unix://{directory / 'docker.sock'}"}
        self.client = root / "usr/bin/docker"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The daemon's process, in whose network ports are published."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start the daemon, and wait for its answer."""
        self.group.create()
        here = self._directory
        daemon = ["dockerd", "--data-root", here / "data", "--exec-root", here / "run"]
        daemon += ["--pidfile", here / "pid", "--host", self.environment["DOCKER_HOST"]]
        daemon += ["--ip6tables=false", "--cgroup-parent", f"/{self.group.name}"]
        daemon += ["--add-runtime", f"lowered={self._runc}", "--default-runtime", "lowered"]
        start = f"ip link set lo up && exec {shlex.join(map(str, daemon))}"
        # It ends with the tests, however they end.
        command = ["setpriv", "--pdeathsig=TERM", "unshare", "--net", "--mount", "--propagation=private"]
        with (here / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "sh", "-ec", start], env=self._daemon_environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 120
        while subprocess.run(
            self._command("info"), env=self._env(), capture_output=True, check=False
        ).returncode:
            assert self._process.poll() is None, (here / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (here / "log").read_text()[-2000:]
            time.sleep(0.5)

    def stop(self) -> None:
        """End it with all containers, and remove what it kept."""
        if self._process and self._process.poll() is None:
            with contextlib.suppress(subprocess.SubprocessError):
                self("ps", "--all", "--quiet")
                for name in self("ps", "--all", "--quiet").split():
                    self("rm", "--force", "--volumes", name)
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.group.remove()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __call__(self, *arguments: str | Path, stdin: subprocess.Popen[bytes] | None = None) -> str:
        """Run the client.

        Args:
            arguments: what is asked of it.
            stdin: a running command whose output it reads.
        """
        done = subprocess.run(
            self._command(*arguments),
            env=self._env(),
            stdin=stdin.stdout if stdin else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _command(self, *arguments: str | Path) -> list[str]:
        return [str(self.client), *map(str, arguments)]

    def _env(self) -> dict[str, str]:
        return {**self._daemon_environment, **self.environment}
