"""What a model is asked to do: a prefill, a step of decoding, a whole generation, a batch of pictures.

A phase is one or more `Stretch`es. A stretch is a run of equal steps through the model in which the context grows by
one from each step to the next, so that a generation of a million tokens is two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwgen.errors import HwgenError
from hwgen.frame.param import whole_number

__all__ = ["PHASES", "Decode", "Generation", "Pass", "Phase", "Prefill", "Stretch", "Vision"]

MOST = 1 << 31
"""Most tokens, sequences or steps: counts above are mistakes."""


@dataclass(frozen=True)
class Stretch:
    """``steps`` steps: each takes ``new`` tokens of each of ``batch`` sequences through the model.

    ``context`` is the number of keys that the last new token of the first step sees, itself included; it grows by one
    a step. ``logits`` tokens of a sequence go through the output layer. ``part`` is the phase that rules name.
    """

    new: int
    context: int
    batch: int = 1
    steps: int = 1
    logits: int = 1
    part: str = ""


def _positive(phase: str, **values: object) -> list[int]:
    """Values as whole numbers from 1 to `MOST`. Raises `HwgenError` for others."""
    found = []
    for name, given in values.items():
        value = whole_number(given)
        if value is None or not 1 <= value <= MOST:
            shown = given if value is None or abs(value) < 10**20 else "more"
            raise HwgenError(f"{phase}: {name} must be a whole number from 1 to {MOST}, not {shown!r}")
        found.append(value)
    return found


@dataclass(frozen=True)
class Prefill:
    """``tokens`` tokens of each of ``batch`` sequences at once; logits of the last one, as servers compute them."""

    tokens: int
    batch: int = 1
    name: ClassVar[str] = "prefill"

    def __post_init__(self) -> None:
        _positive(self.name, tokens=self.tokens, batch=self.batch)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Equal steps, in order."""
        return (Stretch(self.tokens, self.tokens, self.batch, part="prefill"),)

    @property
    def context(self) -> int:
        """Most keys that a token sees."""
        return self.tokens

    def __str__(self) -> str:
        return f"prefill of {self.tokens:,} tokens × {self.batch:,}"


@dataclass(frozen=True)
class Decode:
    """One token of each of ``batch`` sequences, which sees ``context`` keys, its own included."""

    context: int
    batch: int = 1
    name: ClassVar[str] = "decode"

    def __post_init__(self) -> None:
        _positive(self.name, context=self.context, batch=self.batch)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Equal steps, in order."""
        return (Stretch(1, self.context, self.batch, part="decode"),)

    def __str__(self) -> str:
        return f"decode at context {self.context:,} × {self.batch:,}"


@dataclass(frozen=True)
class Generation:
    """A prefill of ``tokens`` tokens, then ``steps`` steps of decoding, the i-th at context ``tokens + i``."""

    tokens: int
    steps: int
    batch: int = 1
    name: ClassVar[str] = "generation"

    def __post_init__(self) -> None:
        _positive(self.name, tokens=self.tokens, steps=self.steps, batch=self.batch)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Equal steps, in order."""
        return (
            Stretch(self.tokens, self.tokens, self.batch, part="prefill"),
            Stretch(1, self.tokens + 1, self.batch, self.steps, part="decode"),
        )

    @property
    def context(self) -> int:
        """Most keys that a token sees."""
        return self.tokens + self.steps

    def __str__(self) -> str:
        return f"generation: prefill of {self.tokens:,} tokens and {self.steps:,} steps × {self.batch:,}"


@dataclass(frozen=True)
class Vision:
    """``batch`` pictures at once."""

    batch: int = 1
    name: ClassVar[str] = "vision"

    def __post_init__(self) -> None:
        _positive(self.name, batch=self.batch)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Equal steps, in order. Sizes of a vision model depend on the batch alone."""
        return (Stretch(1, 1, self.batch, part="vision"),)

    @property
    def context(self) -> int:
        """Nothing is kept from one picture to the next."""
        return 1

    def __str__(self) -> str:
        return f"vision batch of {self.batch:,}"


@dataclass(frozen=True)
class Pass:
    """One pass through a graph whose sizes are all fixed, as an exported file has them."""

    name: ClassVar[str] = "pass"

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Equal steps, in order."""
        return (Stretch(1, 1, part="pass"),)

    @property
    def context(self) -> int:
        """Nothing is kept from one pass to the next."""
        return 1

    def __str__(self) -> str:
        return "one pass"


Phase = Prefill | Decode | Generation | Vision | Pass

PHASES: dict[str, type[Phase]] = {kind.name: kind for kind in (Prefill, Decode, Generation, Vision, Pass)}
"""Phases by name."""
