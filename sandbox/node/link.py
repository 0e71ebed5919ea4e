"""How the machine reaches the node: one veth pair and a network of two addresses.

The addresses are from 198.18.0.0/15, which is set aside for tests (RFC 2544) and routed nowhere.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.processes import SandboxError

POOL: Final = ipaddress.ip_network("198.18.0.0/15")
INTERFACE: Final = "eth0"  # the node's end
_PREFIX: Final = 30
_COUNT: Final = 2 ** (_PREFIX - POOL.prefixlen)


@dataclass(frozen=True)
class Link:
    """The pair.

    Attributes:
        interface: the machine's end.
        host: the machine's address.
        node: the node's address.
    """

    interface: str
    host: str
    node: str

    def commands(self, pid: int) -> list[list[str]]:
        """The `ip` commands that make it, to be run in the machine's network namespace.

        Args:
            pid: a process in the node's network namespace.
        """
        return [
            [
                "ip",
                "link",
                "add",
                self.interface,
                "type",
                "veth",
                "peer",
                "name",
                INTERFACE,
                *("netns", str(pid)),
            ],
            ["ip", "address", "add", f"{self.host}/{_PREFIX}", "dev", self.interface],
            ["ip", "link", "set", self.interface, "up"],
        ]

    def node_commands(self) -> list[list[str]]:
        """The commands for the node's end, to be run in the node."""
        return [
            ["ip", "address", "replace", f"{self.node}/{_PREFIX}", "dev", INTERFACE],
            ["ip", "link", "set", INTERFACE, "up"],
        ]


def identity(state: Path) -> str:
    """Eight characters that tell the sandboxes of a machine apart."""
    return hashlib.sha256(str(state.absolute()).encode()).hexdigest()[:8]


def choose(state: Path, taken: Collection[str]) -> Link:
    """The link of the sandbox in `state`: always the same one, unless its addresses are taken.

    Args:
        state: the sandbox's directory.
        taken: networks and addresses that the machine uses, such as ``10.0.0.0/8``.

    Raises:
        SandboxError: if none is free.
    """
    own = identity(state)
    networks = [ipaddress.ip_network(each, strict=False) for each in taken]
    start = int(own, 16) % _COUNT
    for step in range(_COUNT):
        base = int(POOL.network_address) + ((start + step) % _COUNT) * 4
        network = ipaddress.ip_network((base, _PREFIX))
        if not any(network.version == each.version and network.overlaps(each) for each in networks):
            return Link(f"rayfort{own}", str(network[1]), str(network[2]))
    raise SandboxError(f"No free network in {POOL}. Remove the routes to it, then run `./rayfort up` again.")


def taken_networks(routes: Iterable[str], own: Callable[[str], bool]) -> list[str]:
    """The networks in the lines of `/proc/net/route`, without those of interfaces that are our `own`.

    The default route does not count.
    """
    found = []
    for line in list(routes)[1:]:
        interface, destination, _, _, _, _, _, mask, *_ = line.split()
        if own(interface) or int(mask, 16) == 0:
            continue
        address = socket.inet_ntoa(int(destination, 16).to_bytes(4, "little"))
        bits = int(mask, 16).bit_count()
        found.append(f"{address}/{bits}")
    return found
