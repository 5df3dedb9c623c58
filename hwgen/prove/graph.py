"""Boolean functions as a graph that shares what is equal: gates of bits, and adders of whole words.

A literal is twice a node's number, plus 1 where it is complemented; 0 and 1 are the constants. Nodes come after what
they are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["AND", "MUX", "PLUS", "SUM", "VAR", "XOR", "Adder", "Graph"]

CONST, VAR, AND, XOR, MUX, SUM, PLUS = range(7)
"""``PLUS`` is the or of two literals that are never 1 together."""


@dataclass(frozen=True)
class Adder:
    """``width`` low bits of a sum of words, each with its sign, and of ``carry``; its bits are nodes from ``first``."""

    operands: tuple[tuple[int, tuple[int, ...]], ...]
    carry: int
    width: int
    first: int


class Graph:
    """Nodes by number: ``kind``, and up to three literals (an adder's bit: number of the adder and place)."""

    def __init__(self) -> None:
        self.kind: list[int] = [CONST]
        self.fanin: list[tuple[int, ...]] = [()]
        self.label: dict[int, object] = {}
        self.adders: list[Adder] = []
        self.words: set[tuple[int, ...]] = set()
        """Words that were extended by their sign, by their literals."""
        self.named: set[tuple[int, ...]] = set()
        """Words that have a name in the text and end with a bit of an adder: whole numbers without sign, perhaps."""
        self.known: Callable[[Sequence[int]], list[int]] | None = None
        """What literals of an adder's words are, where more is known of them than the graph says."""
        self.segmented = False
        """Whether adders are taken apart where the carry is known (`_segments`)."""
        self._known: dict[tuple[int, ...], int] = {}
        self._sums: dict[object, list[int]] = {}
        self._ripples: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self.kind)

    def _node(self, kind: int, fanin: tuple[int, ...]) -> int:
        self.kind.append(kind)
        self.fanin.append(fanin)
        return len(self.kind) - 1

    def var(self, label: object) -> int:
        """A new variable."""
        node = self._node(VAR, ())
        self.label[node] = label
        return 2 * node

    def _shared(self, kind: int, fanin: tuple[int, ...]) -> int:
        key = (kind, *fanin)
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = self._node(kind, fanin)
        return 2 * node

    def and_(self, a: int, b: int) -> int:
        """Conjunction."""
        if a > b:
            a, b = b, a
        if a == 0 or a == b ^ 1:
            return 0
        if a == 1 or a == b:
            return b
        if a & b & 1 and self._apart(a ^ 1, b ^ 1):
            return self._shared(PLUS, (a ^ 1, b ^ 1)) ^ 1
        return self._shared(AND, (a, b))

    def _apart(self, a: int, b: int) -> bool:
        """Whether one is x & y and the other (x ^ y) & z, as the two ways to a carry are."""
        if (a | b) & 1 or self.kind[a >> 1] != AND or self.kind[b >> 1] != AND:
            return False
        both, either = self.fanin[a >> 1], self.fanin[b >> 1]
        return self._differ(both, either) or self._differ(either, both)

    def _differ(self, both: tuple[int, ...], others: tuple[int, ...]) -> bool:
        x, y = both
        wanted = self._known.get((XOR, x & ~1, y & ~1))
        return wanted is not None and 2 * wanted + ((x ^ y) & 1) in others

    def or_(self, a: int, b: int) -> int:
        """Disjunction."""
        return self.and_(a ^ 1, b ^ 1) ^ 1

    def xor(self, a: int, b: int) -> int:
        """Exclusive or."""
        flip = (a ^ b) & 1
        a, b = a & ~1, b & ~1
        if a > b:
            a, b = b, a
        if a == b:
            return flip
        if a == 0:
            return b ^ flip
        return self._shared(XOR, (a, b)) ^ flip

    def mux(self, choice: int, yes: int, no: int) -> int:
        """``choice ? yes : no``."""
        if choice & 1:
            choice, yes, no = choice ^ 1, no, yes
        if choice == 0:
            return no
        if yes == no:
            return yes
        if yes == no ^ 1:
            return self.xor(choice, no)
        if yes in (0, 1) or yes >> 1 == choice >> 1:
            high = yes == 1 or yes == choice
            return self.or_(choice, no) if high else self.and_(choice ^ 1, no)
        if no in (0, 1) or no >> 1 == choice >> 1:
            high = no == 1 or no == choice ^ 1
            return self.or_(choice ^ 1, yes) if high else self.and_(choice, yes)
        return self._shared(MUX, (choice, yes, no))

    def any_(self, literals: Sequence[int]) -> int:
        """Whether one of them is 1."""
        found = list(literals) or [0]
        while len(found) > 1:
            pairs = [self.or_(*found[at : at + 2]) for at in range(0, len(found) - 1, 2)]
            found = pairs + found[len(found) & ~1 :]
        return found[0]

    def add(self, operands: Sequence[tuple[int, Sequence[int]]], carry: int, width: int) -> list[int]:
        """The low bits of a sum of words of ``width`` bits, each times 1 or -1, and of a bit ``carry``."""
        if self.known is not None:
            operands = [(sign, self.known(word)) for sign, word in operands]
        kept = tuple((sign, tuple(word)) for sign, word in operands if any(word))
        if all(literal < 2 for _, word in kept for literal in word) and carry < 2:
            total = carry + sum(sign * sum(bit << place for place, bit in enumerate(word)) for sign, word in kept)
            return [total >> place & 1 for place in range(width)]
        if width == 0:
            return []
        if len(kept) == 1 and kept[0][0] == 1 and carry == 0:
            return list(kept[0][1])
        if len(kept) == 2 and carry == 0 and kept[0][0] == kept[1][0] == 1 and 1 in (kept[0][1][0], kept[1][1][0]):
            # 1 + x in the lowest place is how a carry x goes into a word.
            one = next(at for at in (0, 1) if kept[at][1][0] == 1)
            into = kept[1 - one][1][0]
            return [into ^ 1, *self.add([(1, word[1:]) for _, word in kept], into, width - 1)]
        if self.segmented:
            apart = self._segments(kept, carry, width)
            if apart is not None:
                return apart
        key = (tuple(sorted(kept)), carry, width)
        found = self._sums.get(key)
        if found is None:
            for _, word in kept:
                self._remember(word)
            number, first = len(self.adders), len(self.kind)
            found = [2 * self._node(SUM, (number, place)) for place in range(width)]
            self.adders.append(Adder(kept, carry, width, first))
            self._sums[key] = found
        return found

    def _segments(self, kept: Sequence[tuple[int, tuple[int, ...]]], carry: int, width: int) -> list[int] | None:
        """A sum of two words with a place in which both have the same bit, which is the carry out of it whatever comes
        in, or in which one has 1 and the other 0, which passes the carry on.
        """
        if len(kept) != 2 or any(sign < 0 for sign, _ in kept):
            return None
        words = [word for _, word in kept]
        begins = [next(place for place, literal in enumerate(word) if literal) for word in words]
        if max(begins) and not carry and self.known is not None:
            begin = max(begins)
            word = words[begins.index(begin) ^ 1]
            return [*word[:begin], *self.add([(1, word[begin:]) for word in words], 0, width - begin)]
        for place in range(width - 1):
            x, y = (word[place] for word in words)
            passes = {x, y} == {0, 1}
            if not passes and x != y:
                continue
            low = [carry]
            if place:
                low = self.add([(1, (*word[:place], 0)) for word in words], carry, place + 1)
            if passes:
                rest = self.add([(1, word[:place] + word[place + 1 :]) for word in words], carry, width - 1)
                return [*rest[:place], low[place] ^ 1, *rest[place:]]
            return low + self.add([(1, word[place + 1 :]) for word in words], x, width - place - 1)
        return None

    def _remember(self, word: tuple[int, ...]) -> None:
        size = len(word)
        while size > 1 and word[size - 2] == word[-1]:
            size -= 1
        if size < len(word) and word[-1] > 1:
            self.words.add(word[:size])

    def ripple(self, number: int) -> list[int]:
        """Gates for the bits of an adder."""
        if number not in self._ripples:
            self._ripples[number] = self._rippled(number)
        return self._ripples[number]

    def _rippled(self, number: int) -> list[int]:
        adder = self.adders[number]
        carry, total = adder.carry, [0] * adder.width
        for sign, word in adder.operands:
            # a - b is a + ~b + 1; the adder's own carry goes in with the first word that is added.
            flip, into = (1, 1) if sign < 0 else (0, 0)
            if sign > 0:
                into, carry = carry, 0
            found = []
            for a, b in zip(total, word, strict=True):
                half = self.xor(a, b ^ flip)
                found.append(self.xor(half, into))
                into = self.or_(self.and_(a, b ^ flip), self.and_(half, into))
            total = found
        if carry:
            into = carry
            for place, a in enumerate(total):
                total[place], into = self.xor(a, into), self.and_(a, into)
        return total
