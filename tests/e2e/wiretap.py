"""What goes over the wire between Pods, as packets on the node."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from sandbox.node.config import NODE_NAME
from sandbox.node.enclosure import Enclosure
from tests.e2e.packets import Seen

PROGRAM = Path(__file__).with_name("packets.py")


@dataclass
class Tape:
    """What was seen; complete when the block that recorded it has ended."""

    seen: dict[str, Seen] = field(default_factory=dict)
    lost: int = 0


@contextmanager
def wiretap(
    state: Path, pairs: Mapping[str, tuple[str, str]], needles: Mapping[str, bytes]
) -> Iterator[Tape]:
    """Record for the length of a block.

    Args:
        state: the sandbox's directory.
        pairs: names of pairs of Pods, each with their addresses.
        needles: names of byte strings to look for.
    """
    command = Enclosure(state, NODE_NAME).on_network([sys.executable, "-I", str(PROGRAM)])
    tape = Tape()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        output = cast("IO[str]", program.stdout)
        entry = cast("IO[str]", program.stdin)
        try:
            # Through the input, since what is looked for may be a secret.
            asked = {"pairs": pairs, "needles": {name: value.hex() for name, value in needles.items()}}
            entry.write(json.dumps(asked) + "\n")
            entry.flush()
            assert output.readline() == "ready\n", "the packets of the node cannot be read"
            yield tape
            entry.close()
            said = json.loads(output.read())
        except BaseException:
            program.kill()
            raise
    tape.lost = said["lost"]
    tape.seen = {name: Seen(**seen) for name, seen in said["seen"].items()}


def assert_only_tls(tape: Tape, pair: str, moved: int) -> None:
    """Between two Ray nodes at least so many bytes went, all of it in TLS 1.3 and none to be read."""
    seen = tape.seen[pair]
    assert seen.payload > moved, seen
    assert not any(seen.found.values()), seen
    assert seen.opened, seen
    assert not seen.not_tls, seen
    assert seen.tls_1_3, seen
    assert not seen.other_tls, seen
