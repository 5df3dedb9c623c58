"""Geometry of the streams of words from memory to the tile: one set of formulas for a design and for arrays of them.

Bits, widths and depths are scalars, or arrays over designs that broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

from hwgen.frame.numbers import Num, ceil_div, maximum, unsigned_bits, where

__all__ = ["MOST_BLOCKS", "STREAMS", "Stream", "channel_stream", "operand_streams", "padded_bits"]

STREAMS = {"weights": 0, "weight_sides": 1, "acts": 2, "act_sides": 3, "channels": 5}
"""Streams from memory to the tile and to the unit behind it, with the AXI ids of their reads (4 are results)."""
MOST_BLOCKS = 16
"""Blocks of which a ring holds what comes once a block, at most: scales of whole rows, what channels have."""
_SMALLEST = 8
"""Bits of the smallest place of a word in memory."""


@dataclass(frozen=True)
class Stream:
    """Geometry of one stream.

    A word of ``bits`` bits is padded in memory to whole bus beats, or to the smallest power-of-two part of a beat that
    holds it. An entry of the ring is the larger of the two: ``words_per_entry`` words, or ``beats_per_entry`` beats.
    ``depth`` is in entries, ``burst`` in beats.
    """

    name: str
    bits: Num
    bus_bits: Num
    depth: Num
    burst: Num

    @property
    def index(self) -> int:
        """AXI id of its reads."""
        return STREAMS[self.name]

    @cached_property
    def there(self) -> Num:
        """1 where the design has the stream, 0 where the tile has nothing to bring by it."""
        return where(self.bits > 0, 1, 0)

    @cached_property
    def padded_bits(self) -> Num:
        """Bits of a word in memory."""
        return padded_bits(self.bits, self.bus_bits)

    @cached_property
    def words_per_entry(self) -> Num:
        """Words of one entry of the ring: 1 unless a beat holds several."""
        return maximum(self.bus_bits // self.padded_bits, 1)

    @cached_property
    def beats_per_entry(self) -> Num:
        """Bus beats of one entry of the ring."""
        return maximum(self.padded_bits // self.bus_bits, 1)

    @cached_property
    def entry_bits(self) -> Num:
        """Bits of an entry of the ring."""
        return maximum(self.padded_bits, self.bus_bits)

    @cached_property
    def capacity(self) -> Num:
        """Beats that the ring holds."""
        return self.depth * self.beats_per_entry

    def entries(self, words: Num) -> Num:
        """Entries of a block of so many words: blocks begin with an entry."""
        return ceil_div(words, self.words_per_entry)

    def beats(self, words: Num) -> Num:
        """Beats of a block of so many words."""
        return self.entries(words) * self.beats_per_entry


def padded_bits(bits: Num, bus_bits: Num) -> Num:
    """Bits that a word takes in memory: whole beats, or a power-of-two part of one."""
    # Behind a block before a ring a beat need not be a power of two.
    halvings = unsigned_bits(maximum(bus_bits // maximum(bits, _SMALLEST), 1)) - 1
    return where(bits > bus_bits, ceil_div(bits, bus_bits) * bus_bits, bus_bits >> halvings)


def operand_streams(
    name: str, codes: Num, sides: Num, steps: Num, *, bus_bits: Num, burst: Num, group_steps: Num
) -> Iterator[Stream]:
    """The streams of an operand, ``weights`` or ``acts``: codes of a step, and side information of a group.

    Parameters
    ----------
    codes, sides: bits of a word of either; without side information its stream is not ``there``. steps: those that the
        ring of codes holds. burst: beats of the longest one. group_steps: 0 where a group is the whole row.
    """
    yield _stream(name, codes, bus_bits, burst, partial(ceil_div, steps))
    yield _stream(f"{name[:-1]}_sides", sides, bus_bits, burst, partial(_side_entries, steps, group_steps))


def channel_stream(bits: Num, blocks: Num, *, bus_bits: Num, burst: Num) -> Stream:
    """The stream of what channels have, a word for each block of columns: one stays, or all of those whose weights are
    held, ``blocks`` at most.
    """
    return _stream("channels", bits, bus_bits, burst, lambda words: _smaller(blocks, MOST_BLOCKS))


def _stream(name: str, bits: Num, bus_bits: Num, burst: Num, entries: Callable[[Num], Num]) -> Stream:
    """``entries``: those of the ring, by the words of one."""
    whole = Stream(name, bits, bus_bits, 2, 1)
    depth = maximum(entries(whole.words_per_entry), 2)
    # Two bursts at least fit the ring, so that one comes while another is used.
    fitting = _smaller(burst, depth * whole.beats_per_entry // 2)
    return Stream(name, bits, bus_bits, depth, maximum(fitting, 1))


def _side_entries(steps: Num, group_steps: Num, words: Num) -> Num:
    """Entries, of so many words, for side information of the steps that a ring of codes holds."""
    # Whole groups, and those at the ends; where entries hold several, a block's last one may be nearly empty.
    groups = ceil_div(ceil_div(steps, maximum(group_steps, 1)) + 1, words)
    # Without groups a word for each block, and a block begins with an entry.
    return where(group_steps > 0, where(words > 1, 2 * groups, groups), _smaller(steps, MOST_BLOCKS))


def _smaller(a: Num, b: Num) -> Num:
    return where(a < b, a, b)
