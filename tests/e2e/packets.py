"""Watch the packets between Pods, from the node's network: a program of its own, run there by `wiretap`.

It reads what to look for as one line of JSON, says `ready`, and counts until its input ends.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

ETH_P_ALL, SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 3, 263, 6, 33
BUFFER, LARGEST = 256 << 20, 1 << 17
TCP, SYN = 6, 0x02
HANDSHAKE, SERVER_HELLO = 0x16, 0x02
TLS_1_3_CHOSEN = b"\x00\x2b\x00\x02\x03\x04"  # the extension supported_versions of a ServerHello


@dataclass(frozen=True)
class Segment:
    """One TCP segment."""

    source: tuple[str, int]
    target: tuple[str, int]
    syn: bool
    payload: bytes


@dataclass
class Seen:
    """What went between two addresses, both ways.

    A packet is seen on several interfaces of the node and counts on each.

    Attributes:
        payload: bytes above TCP.
        found: for each needle, the segments that hold it.
        opened: directions of connections that were watched from their first byte.
        not_tls: those of them that do not begin with a TLS handshake, as `from:port>to:port`.
        tls_1_3, other_tls: ServerHellos that choose TLS 1.3, or something else.
    """

    payload: int = 0
    found: dict[str, int] = field(default_factory=dict)
    opened: int = 0
    not_tls: list[str] = field(default_factory=list)
    tls_1_3: int = 0
    other_tls: int = 0


def segment(packet: bytes) -> Segment | None:
    """The TCP segment in an IPv4 packet; None where it holds something else."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != TCP:
        return None
    start = (packet[0] & 15) * 4
    end = int.from_bytes(packet[2:4], "big") or len(packet)  # 0 where the card cuts large packets
    source, target = struct.unpack_from("!HH", packet, start)
    data = start + (packet[start + 12] >> 4) * 4
    return Segment(
        (socket.inet_ntoa(packet[12:16]), source),
        (socket.inet_ntoa(packet[16:20]), target),
        bool(packet[start + 13] & SYN),
        packet[data:end],
    )


class Watch:
    """Counts what goes between pairs of addresses.

    Args:
        pairs: names of pairs, each with its two addresses.
        needles: names of byte strings to look for.
    """

    def __init__(self, pairs: Mapping[str, tuple[str, str]], needles: Mapping[str, bytes]) -> None:
        self.seen = {name: Seen(found=dict.fromkeys(needles, 0)) for name in pairs}
        self._names = {frozenset(pair): name for name, pair in pairs.items()}
        self._needles = needles
        self._fresh: set[tuple[tuple[str, int], tuple[str, int]]] = set()

    def take(self, packet: bytes) -> None:
        """Count one IP packet."""
        found = segment(packet)
        name = found and self._names.get(frozenset({found.source[0], found.target[0]}))
        if found is None or not name:
            return
        way = (found.source, found.target)
        if found.syn:
            self._fresh.add(way)
        elif found.payload:
            self._payload(self.seen[name], found.payload, way)

    def _payload(self, seen: Seen, payload: bytes, way: tuple[tuple[str, int], tuple[str, int]]) -> None:
        seen.payload += len(payload)
        for needle, value in self._needles.items():
            seen.found[needle] += value in payload
        if way in self._fresh:
            self._fresh.remove(way)
            seen.opened += 1
            if payload[0] != HANDSHAKE:
                seen.not_tls.append(">".join(f"{host}:{port}" for host, port in way))
        if len(payload) > 5 and payload[0] == HANDSHAKE and payload[5] == SERVER_HELLO:
            if TLS_1_3_CHOSEN in payload:
                seen.tls_1_3 += 1
            else:
                seen.other_tls += 1


def _packets(wire: socket.socket) -> Iterator[bytes]:
    """Every packet on every interface, until standard input ends."""
    while True:
        ready, _, _ = select.select([wire, sys.stdin], [], [])
        if wire in ready:
            yield wire.recv(LARGEST)
        elif not sys.stdin.readline():
            return


def main() -> None:
    """Watch as the first line of the input says, and print what was seen."""
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    needles = {name: bytes.fromhex(value) for name, value in asked["needles"].items()}
    watch = Watch({name: tuple(pair) for name, pair in asked["pairs"].items()}, needles)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as wire:
        wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        print("ready", flush=True)
        for packet in _packets(wire):
            watch.take(packet)
        _, lost = struct.unpack("II", wire.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    print(json.dumps({"lost": lost, "seen": {name: asdict(seen) for name, seen in watch.seen.items()}}))


if __name__ == "__main__":
    main()
