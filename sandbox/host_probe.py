"""Tries what a node's kernel must do; a program of its own, run by `sandbox.host` in throw-away namespaces.

    python host_probe.py <directory> <cgroup directory>...

It prints one JSON object: what was tried -> why it failed, null where it worked. Links, packet filters and
mounts that it makes go with its namespaces; files and groups it removes. Everything is asked of the kernel
itself, which loads the module where it has one: neither `ip` nor `iptables` need be installed.
"""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

# Of the kernel's headers: netlink.h, rtnetlink.h, if_link.h, nfnetlink.h, nf_tables.h, nf_tables_compat.h.
_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
_ROUTE, _NETFILTER = 0, 12
_ERROR = 2
_NEWLINK, _IFNAME, _LINKINFO, _INFO_KIND = 16, 3, 18, 1
_TABLES, _COMPAT = 10 << 8, 11 << 8
_BATCH_BEGIN, _BATCH_END = 16, 17
_NEWTABLE, _NEWCHAIN = _TABLES | 0, _TABLES | 3
_NESTED: Final = 0x8000
_INET: Final = socket.AF_INET
_POSTROUTING, _SOURCE_NAT = 4, 100

# What kube-proxy, the CNI's bridge and Istio's rules are made of: name, revision, and 1 for targets.
EXTENSIONS: Final = (
    ("addrtype", 1, 0),
    ("comment", 0, 0),
    ("conntrack", 3, 0),
    ("mark", 1, 0),
    ("owner", 1, 0),
    ("statistic", 0, 0),
    ("DNAT", 2, 1),
    ("MARK", 2, 1),
    ("MASQUERADE", 0, 1),
    ("REDIRECT", 0, 1),
    ("REJECT", 0, 1),
)


def main(directory: Path, groups: list[Path]) -> int:
    """Try everything and print what came of it."""
    tests: dict[str, Callable[[], None]] = {
        "veth": lambda: link("veth"),
        "bridge": lambda: link("bridge"),
        "nat": nat_chain,
        **{
            f"xt {name}": lambda name=name, revision=revision, kind=kind: extension(name, revision, kind)  # type: ignore[misc]
            for name, revision, kind in EXTENSIONS
        },
        "br_netfilter": bridge_filter,
        "proc": lambda: own_proc(directory),
        "overlay": lambda: overlay(directory),
        "kmsg": lambda: Path("/dev/kmsg").open("rb").close(),
        **{f"cgroup {group.parent}": lambda group=group: control_group(group) for group in groups},  # type: ignore[misc]
    }
    print(json.dumps({name: _failure(test) for name, test in tests.items()}))
    return 0


def _failure(test: Callable[[], None]) -> str | None:
    try:
        test()
    except OSError as error:
        return error.strerror or str(error)
    return None


def link(kind: str) -> None:
    """Make a network interface."""
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + _attribute(_IFNAME, f"probe-{kind}".encode() + b"\0")
    body += _attribute(_LINKINFO, _attribute(_INFO_KIND, kind.encode()))
    _send(_ROUTE, [_message(_NEWLINK, _REQUEST | _ACK | _CREATE | _EXCL, body)])


def nat_chain() -> None:
    """Make a table and a chain of nf_tables that translates addresses."""
    hook = _attribute(1, struct.pack(">I", _POSTROUTING)) + _attribute(2, struct.pack(">i", _SOURCE_NAT))
    chain = (
        _attribute(1, b"probe\0")
        + _attribute(3, b"probe\0")
        + _attribute(4 | _NESTED, hook)
        + _attribute(7, b"nat\0")
    )
    batch = struct.pack(">BBH", 0, 0, _TABLES >> 8)
    make = _REQUEST | _ACK | _CREATE
    _send(
        _NETFILTER,
        [
            _message(_BATCH_BEGIN, _REQUEST, batch),
            _message(_NEWTABLE, make, _netfilter(_attribute(1, b"probe\0"))),
            _message(_NEWCHAIN, make, _netfilter(chain)),
            _message(_BATCH_END, _REQUEST, batch),
        ],
        answers=2,
    )


def extension(name: str, revision: int, kind: int) -> None:
    """Ask nf_tables for an extension of iptables."""
    body = _attribute(1, name.encode() + b"\0")
    body += _attribute(2, struct.pack(">I", revision)) + _attribute(3, struct.pack(">I", kind))
    _send(_NETFILTER, [_message(_COMPAT, _REQUEST | _ACK, _netfilter(body))])


def bridge_filter() -> None:
    """Look for the setting with which packets within a bridge are filtered."""
    if not Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        # The module is left for the node to load.
        code = os.system("modprobe --dry-run --quiet br_netfilter >/dev/null 2>&1")  # noqa: S605 - constant
        if code:
            raise OSError("the module br_netfilter is not there")


def own_proc(directory: Path) -> None:
    """Mount a /proc and change a setting of the own network in it."""
    with _scratch(directory) as scratch:
        _mount("proc", scratch, "proc")
        try:
            (scratch / "sys" / "net" / "ipv4" / "ip_forward").write_text("1")
        finally:
            _unmount(scratch)


def overlay(directory: Path) -> None:
    """Mount an overlay of directories on that file system and write into it."""
    with _scratch(directory) as scratch:
        for name in ("lower", "upper", "work", "merged"):
            (scratch / name).mkdir()
        layers = ",".join(f"{name}dir={name}" for name in ("lower", "upper", "work"))
        before = Path.cwd()
        os.chdir(scratch)  # relative, since blanks and commas in a path would need escapes
        try:
            _mount("overlay", Path("merged"), "overlay", layers)
            try:
                Path("merged", "file").touch()
            finally:
                _unmount(Path("merged"))
        finally:
            os.chdir(before)


def control_group(group: Path) -> None:
    """Make a control group, and remove it."""
    group.mkdir()
    group.rmdir()


@contextlib.contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix=".rayfort-probe-", dir=directory))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _mount(source: str, target: Path, kind: str, options: str = "") -> None:
    _call(
        ctypes.CDLL(None, use_errno=True).mount(
            source.encode(), bytes(target), kind.encode(), 0, options.encode()
        )
    )


def _unmount(target: Path) -> None:
    _call(ctypes.CDLL(None, use_errno=True).umount2(bytes(target), 0))


def _call(code: int) -> None:
    if code:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


def _netfilter(attributes: bytes) -> bytes:
    return struct.pack(">BBH", _INET, 0, 0) + attributes


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def _send(protocol: int, messages: list[bytes], answers: int = 1) -> None:
    """Send to the kernel, and raise the error that it answers with."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as kernel:
        kernel.settimeout(2)
        kernel.bind((0, 0))
        kernel.send(b"".join(messages))
        while answers:
            data = kernel.recv(65536)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _ERROR:
                    (code,) = struct.unpack_from("=i", data, 16)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    answers -= 1
                data = data[(length + 3) & ~3 :]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(each) for each in sys.argv[2:]]))
