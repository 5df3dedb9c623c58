"""Sherry: ternary words of which one in four is zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from reports.scoreboard.number import Measure, Number, Paper, Source, Stated

if TYPE_CHECKING:
    from reports.scoreboard.bench import Bench

__all__ = ["PAPER"]

_TITLE = "Sherry (arXiv 2601.07892)"


@dataclass(frozen=True)
class CodeBits(Measure):
    """Bits of a number of a format, without scales."""

    format: str
    basis: ClassVar[str] = "widths"

    def value(self, bench: Bench) -> float:
        """Bits."""
        from hwgen.formats import get

        form = get(self.format)
        return form.code_bits / form.elements

    def switches(self) -> Mapping[str, str]:
        """What is counted."""
        return {"values": f"codes of {self.format}, without scales"}


PAPER = Paper(
    "sherry",
    _TITLE,
    "Exactly one of four weights is zero, the others are ±1: 32 words in five bits.",
    (
        Number(
            "bits",
            "bits of a weight",
            "bit",
            1.25,
            Source(_TITLE, "abstract", "abstract"),
            CodeBits("ternary_3of4"),
            "The same words; which bit means what is ours.",
        ),
    ),
    (
        Stated(
            "bits and speed of LLaMA 3.2 1B on a processor over the best ternary codes",
            "25 % fewer, 10 % faster",
            Source(_TITLE, "abstract", "abstract"),
            "A processor's time, and a model that was trained for the format.",
        ),
    ),
)
