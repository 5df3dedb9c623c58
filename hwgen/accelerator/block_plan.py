"""How beats of activations in memory become words of elements with shared exponents: which value is of which row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hwgen.arith.mx import SCALE_BITS, MxElement
from hwgen.formats import Format, get

__all__ = ["BlockPlan"]


@dataclass(frozen=True)
class BlockPlan:
    """A word in memory holds ``k`` values of each of ``m`` rows, row by row, in format ``source``, and takes
    ``padded_bits``; a block that shares an exponent is ``group_steps`` words. ``element`` is the format of elements,
    ``rule`` that of the exponent (`hwgen.quantize.mx`).

    ``k``, the bits of the bus and those of a value are powers of two, so that a beat is `segments` of values of one row
    each.
    """

    m: int
    k: int
    source: str
    element: str
    rule: str
    bus_bits: int
    padded_bits: int
    group_steps: int

    @property
    def source_format(self) -> Format:
        """Format in memory."""
        return get(self.source)

    @property
    def source_bits(self) -> int:
        """Bits of a value in memory."""
        return self.source_format.code_bits

    @cached_property
    def form(self) -> MxElement:
        """What the encoder knows of the elements."""
        return MxElement.of(get(self.element))

    @property
    def lanes(self) -> int:
        """Values of a beat."""
        return self.bus_bits // self.source_bits

    @property
    def words_per_beat(self) -> int:
        """Words of a beat; 1 where a word takes one or several."""
        return max(self.bus_bits // self.padded_bits, 1)

    @property
    def beats_per_word(self) -> int:
        """Beats of a word; 1 where a beat holds one or several."""
        return max(self.padded_bits // self.bus_bits, 1)

    @property
    def group_beats(self) -> int:
        """Beats of a whole block."""
        return self.group_steps * self.beats_per_word // self.words_per_beat

    @property
    def depth(self) -> int:
        """Beats that wait at most: a block, and those of the next one that come until its first is read."""
        return self.group_beats + 2

    @property
    def code_bits(self) -> int:
        """Bits of the elements of a word."""
        return self.m * self.k * self.form.bits

    @property
    def word_bits(self) -> int:
        """Bits of a word as the tile takes it: its elements, and the scale of each row."""
        return self.code_bits + self.m * SCALE_BITS

    @property
    def entry_bits(self) -> int:
        """Bits of what becomes of a beat, or of the beats of a word."""
        return self.words_per_beat * self.word_bits

    @property
    def segment(self) -> int:
        """Values next to each other in a beat that are of one row."""
        return min(self.k, self.lanes)

    def rows(self, beat: int) -> list[int | None]:
        """Row of each segment of the ``beat``-th beat of a word; None for what fills a word up."""
        found: list[int | None] = []
        for lane in range(0, self.lanes, self.segment):
            bit = (beat * self.lanes + lane) * self.source_bits
            place = bit % self.padded_bits // self.source_bits
            found.append(place // self.k if place < self.m * self.k else None)
        return found
