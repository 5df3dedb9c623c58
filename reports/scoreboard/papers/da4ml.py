"""da4ml: adder graphs of constant matrices, as ``hwgen constant`` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from reports.constant import PUBLISHED, counted
from reports.scoreboard.number import Measure, Number, Paper, Source, Stated

if TYPE_CHECKING:
    from reports.scoreboard.bench import Bench

__all__ = ["PAPER"]

_TITLE = "da4ml (TRETS 2025, arXiv 2507.04535)"
_DRAWN = 20


@dataclass(frozen=True)
class MatrixAdders(Measure):
    """Mean of adders, or of adders on the longest way, of random matrices of a size; see `reports.constant`."""

    size: int
    depth: str
    levels: bool = False
    basis: ClassVar[str] = "count"

    def value(self, bench: Bench) -> float:
        """Adders. Raises `HwgenError` where da4ml is missing."""
        found = counted(self.size, self.depth, _DRAWN)
        return found.levels if self.levels else found.adders

    def switches(self) -> Mapping[str, str]:
        """What is drawn."""
        return {"values": f"{_DRAWN} matrices of whole numbers from 129 to 255; depth: {self.depth}"}


def _numbers() -> list[Number]:
    found = []
    for size in (4, 8, 16):
        for depth in ("any", "least"):
            for levels in (False, True) if size < 16 else (False,):
                what = "adders on the longest way" if levels else "adders"
                found.append(
                    Number(
                        f"table2/{size}/{depth}/{'depth' if levels else 'adders'}",
                        f"{what} of a random {size} × {size} matrix of 8 bits, depth: {depth}",
                        "adders",
                        PUBLISHED[size][depth][1 if levels else 0],
                        Source(_TITLE, "Table 2, as the authors' artefact prints it", "code"),
                        MatrixAdders(size, depth, levels),
                        "Means of 20 matrices, theirs of 1,000; ours search over decompositions, which theirs did not.",
                    )
                )
    return found


PAPER = Paper(
    "da4ml",
    _TITLE,
    "Constant matrices as adder graphs with shared subexpressions; hwgen constant takes its graphs.",
    tuple(_numbers()),
    (
        Stated(
            "resources of realistic, highly quantised networks",
            "up to a third less",
            Source(_TITLE, "abstract", "abstract"),
            "Against hls4ml's latency strategy by Vivado, which needs a licence.",
        ),
    ),
)
