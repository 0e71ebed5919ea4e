"""A comment made of pieces, of which the least important are left out where it grows too long."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

# GitHub takes 65,536 characters. Counted here in bytes, of which a character has one or more.
LIMIT: Final = 65_536
RESERVE: Final = 1_000
_NOTE: Final = 70  # bytes of the line that says what is missing


@dataclass
class Block:
    """A piece of a comment.

    Attributes:
        rank: 0 is never left out; of the others, those with the lowest number go in first.
        head: lines above the items.
        items: each one or more lines; shown as far as there is room.
        foot: lines below the items.
        noun: what an item is, for saying how many were left out, such as ``deleted resources``.
        shown: how many items are shown.
    """

    rank: int
    head: Sequence[str] = ()
    items: Sequence[str] = ()
    foot: Sequence[str] = ()
    noun: str = "lines"
    shown: int = field(default=0, init=False)

    @property
    def frame(self) -> int:
        """The size without items, in bytes, with the line that says what was left out."""
        return sum(_size(line) for line in (*self.head, *self.foot)) + _NOTE

    def lines(self) -> list[str]:
        """What is shown."""
        if self.items and not self.shown:
            return [] if self.rank else [*self.head, self._left_out(), *self.foot]
        left_out = [self._left_out()] if self.shown < len(self.items) else []
        return [*self.head, *self.items[: self.shown], *left_out, *self.foot]

    @property
    def missing(self) -> int:
        """How many items are not shown."""
        return len(self.items) - self.shown

    def _left_out(self) -> str:
        return f"- … and {self.missing} more {self.noun}"


def fit(groups: Sequence[Sequence[Block]], limit: int = LIMIT) -> None:
    """Choose what is shown: rank by rank, and within a rank one item of each group in turn.

    So that no stack's flood takes the room of another's dangerous parts.

    Args:
        groups: the blocks of each stack.
        limit: bytes for all.
    """
    everything = [block for blocks in groups for block in blocks]
    if sum(block.frame - _NOTE + sum(map(_size, block.items)) for block in everything) <= limit:
        for block in everything:
            block.shown = len(block.items)
        return
    room = limit - RESERVE
    framed: set[int] = set()
    for blocks in groups:
        for block in blocks:
            if not block.rank or not block.items:
                room -= block.frame
                framed.add(id(block))
    for rank in sorted({block.rank for blocks in groups for block in blocks}):
        waiting = [[block for block in blocks if block.rank == rank and block.items] for blocks in groups]
        while any(waiting):
            for blocks in waiting:
                if not blocks:
                    continue
                block = blocks[0]
                cost = _size(block.items[block.shown]) + (0 if id(block) in framed else block.frame)
                if cost > room:
                    blocks.clear()
                    continue
                room -= cost
                framed.add(id(block))
                block.shown += 1
                if not block.missing:
                    blocks.pop(0)


def left_out(blocks: Iterable[Block]) -> list[str]:
    """How many of what is not shown, in words."""
    counts: dict[str, int] = {}
    for block in blocks:
        if block.missing:
            counts[block.noun] = counts.get(block.noun, 0) + block.missing
    return [f"{count} {noun}" for noun, count in counts.items()]


def _size(line: str) -> int:
    return len(line.encode()) + 1
