"""Boolean functions as Liberty writes them: parsed once, then Python source that works on words of any width."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.errors import HwgenError

__all__ = ["Function", "function", "probability"]

_TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-z_][\w\[\]]*)|(?P<sign>[!&*|+^()'])|(?P<constant>[01]))")


@dataclass(frozen=True)
class Function:
    """A function of named pins. ``inputs`` are the pins that it reads in the order of their first appearance,
    ``source`` is a Python expression over ``x0``, ``x1``, … in that order, with ``one`` for all ones.

    Two cells of the same function with other pin names have the same source.
    """

    inputs: tuple[str, ...]
    source: str

    @property
    def call(self) -> Callable[..., Any]:
        """The function of its inputs, words in and a word out; the first argument is a word of all ones."""
        return _compiled(self.source, len(self.inputs))

    def truth(self) -> np.ndarray:
        """Values bool [2, 2, …] for all inputs."""
        axes = np.indices((2,) * len(self.inputs), np.uint8)
        one = np.ones(axes.shape[1:], np.uint8)
        return np.asarray(self.call(one, *axes) & one, np.uint8).astype(bool)


@functools.cache
def _compiled(source: str, count: int) -> Callable[..., Any]:
    arguments = ", ".join(["one", *(f"x{index}" for index in range(count))])
    # Made of operators and names of this module's own choice only.
    made: Callable[..., Any] = eval(f"lambda {arguments}: {source}")
    return made


class _Parser:
    """Precedence as in Liberty: inversion, then ^, then AND (also by juxtaposition), then OR."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        self.pins: list[str] = []
        place = 0
        stripped = text.rstrip()
        while place < len(stripped):
            match = _TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                raise self.error()
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            place = match.end()
        self.place = 0

    def error(self) -> HwgenError:
        return HwgenError(
            f"liberty: a function must be made of pins, !, ', &, *, |, +, ^ and parentheses, not {self.text!r}"
        )

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.place] if self.place < len(self.tokens) else ("end", "")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        self.place += 1
        return token

    def whole(self) -> str:
        result = self.disjunction()
        if self.peek()[0] != "end":
            raise self.error()
        return result

    def disjunction(self) -> str:
        parts = [self.conjunction()]
        while self.peek()[1] in ("|", "+"):
            self.take()
            parts.append(self.conjunction())
        return parts[0] if len(parts) == 1 else f"({' | '.join(parts)})"

    def conjunction(self) -> str:
        parts = [self.difference()]
        while True:
            kind, text = self.peek()
            if text in ("&", "*"):
                self.take()
            elif not (kind in ("name", "constant") or text in ("!", "(")):
                break
            parts.append(self.difference())
        return parts[0] if len(parts) == 1 else f"({' & '.join(parts)})"

    def difference(self) -> str:
        parts = [self.literal()]
        while self.peek()[1] == "^":
            self.take()
            parts.append(self.literal())
        return parts[0] if len(parts) == 1 else f"({' ^ '.join(parts)})"

    def literal(self) -> str:
        kind, text = self.take()
        if text == "!":
            result = f"~{self.literal()}"
        elif text == "(":
            result = self.disjunction()
            if self.take()[1] != ")":
                raise self.error()
        elif kind == "constant":
            result = "one" if text == "1" else "(one ^ one)"
        elif kind == "name":
            if text not in self.pins:
                self.pins.append(text)
            result = f"x{self.pins.index(text)}"
        else:
            raise self.error()
        while self.peek()[1] == "'":
            self.take()
            result = f"~{result}"
        return result


@functools.cache
def function(text: str) -> Function:
    """The function that a Liberty expression gives, parities in their short form.

    Raises `HwgenError` for text that is no such expression.
    """
    parser = _Parser(text)
    source = parser.whole()
    found = Function(tuple(parser.pins), source)
    if len(found.inputs) > 1:
        parity = np.bitwise_xor.reduce(np.indices((2,) * len(found.inputs)), axis=0).astype(bool)
        names = " ^ ".join(f"x{index}" for index in range(len(found.inputs)))
        if np.array_equal(found.truth(), parity):
            return Function(found.inputs, names)
        if np.array_equal(found.truth(), ~parity):
            return Function(found.inputs, f"~({names})")
    return found


def probability(condition: Function, ones: Mapping[str, np.ndarray], inside: Mapping[str, Function]) -> np.ndarray:
    """Probability of a condition, with pins that are independent of each other.

    Parameters
    ----------
    ones: probability of a one by pin, arrays of one shape. inside: functions of pins that are outputs, of other pins.
    """
    free = list(
        dict.fromkeys(itertools.chain(*(inside[pin].inputs if pin in inside else (pin,) for pin in condition.inputs)))
    )
    total = np.zeros(np.shape(ones[free[0]]) if free else ())
    for values in itertools.product((0, 1), repeat=len(free)):
        known = dict(zip(free, values, strict=True))
        seen = [_bit(inside[pin], known) if pin in inside else known[pin] for pin in condition.inputs]
        if condition.call(1, *seen) & 1:
            total = total + _product([ones[pin] if bit else 1 - ones[pin] for pin, bit in known.items()])
    return total


def _bit(what: Function, known: Mapping[str, int]) -> int:
    return int(what.call(1, *(known[pin] for pin in what.inputs)) & 1)


def _product(factors: Sequence[np.ndarray]) -> np.ndarray:
    result: np.ndarray = np.ones(())
    for factor in factors:
        result = result * factor
    return result
