"""Generator of LUT accelerators for ternary weights (KU Leuven, ISPASS 2026)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from reports.scoreboard.bench import Tile
from reports.scoreboard.measures import AreaRatio
from reports.scoreboard.number import Measure, Number, Paper, Source
from reports.scoreboard.tiles import FP16_DOT, lut, mixpe

if TYPE_CHECKING:
    from reports.scoreboard.bench import Bench

__all__ = ["PAPER"]

_TITLE = "Ternary LUT generator (arXiv 2604.25183)"
_CODE = "KULeuven-MICAS/ternary-lut-dse (commit 845bf65)"


def table_adders(size: int) -> int:
    """Adders that fill a table of all sums of ``size`` activations by −1, 0 and 1, one of each pair of opposite ones.

    Each sum is another one, or none, and an activation more or less: activations alone cost nothing.
    """
    vectors = itertools.product((-1, 0, 1), repeat=size)
    entries = [one for one in vectors if next((weight for weight in one if weight), 0) > 0]
    known = {one for one in entries if sum(map(abs, one)) == 1}
    adders = 0
    for one in sorted(entries, key=lambda one: sum(map(abs, one))):
        if one in known:
            continue
        last = max(place for place, weight in enumerate(one) if weight)
        before = (*one[:last], 0, *one[last + 1 :])
        assert before in known
        known.add(one)
        adders += 1
    return adders


@dataclass(frozen=True)
class TableAdders(Measure):
    """Adders of a table, or with ``saved`` what they are less than one for every non-zero weight of it, in per cent."""

    size: int
    saved: bool = False
    basis: ClassVar[str] = "count"

    def value(self, bench: Bench) -> float:
        """Adders, or per cent."""
        adders = table_adders(self.size)
        if not self.saved:
            return float(adders)
        # Of 3^size vectors two thirds of all weights are not zero.
        weights = 2 / 3 * self.size * 3.0**self.size
        return 100 * (1 - adders / weights)

    def switches(self) -> Mapping[str, str]:
        """How tables are filled."""
        return {"tables": f"{self.size} activations, each entry from one with a weight less"}


_TERNARY = {"scheme": "ternary", "planes_per_cycle": 2}
_MORE = (
    "No family for ternary tables is here yet: ours looks up both planes of a two-bit weight in a cycle. Its cells add "
    "aligned integers; the published ones add FP16 in 16 nm at 500 MHz."
)


def _core(acts: str) -> Tile:
    values = dict(lut(2, acts=acts, **_TERNARY).values)
    return Tile.of("lut", 512, **values)


_SIGN_FLIP = mixpe("fp16", bits=2, scheme="ternary", m=2)

PAPER = Paper(
    "ternary-lut",
    _TITLE,
    "Tables of sums for weights of −1, 0 and 1, against multipliers and sign flips.",
    (
        Number(
            "table4/multiplier",
            "area: core of FP16 multipliers / of tables, 32 × 32 (0.268 over 0.120 mm²)",
            "×",
            0.268 / 0.120,
            Source(_TITLE, "Table IV", "third party"),
            AreaRatio(FP16_DOT, _core("fp16")),
            _MORE,
        ),
        Number(
            "table4/sign_flip",
            "area: core of sign flips / of tables, FP16, 32 × 32 (0.197 over 0.120 mm²)",
            "×",
            0.197 / 0.120,
            Source(_TITLE, "Table IV", "third party"),
            AreaRatio(_SIGN_FLIP, _core("fp16")),
            _MORE + " Where both add integers a table saves little: that is what the paper finds for INT8.",
        ),
        Number(
            "adders/saved_4",
            "adders saved at four activations a table, of one for every non-zero weight",
            "%",
            82.0,
            Source(_CODE, "README", "code"),
            TableAdders(4, saved=True),
            "Theirs by shared trees with zero operands pruned (38 of 216), ours with one adder an entry.",
        ),
        *(
            Number(
                f"adders/{size}",
                f"adders of a table of {size} activations",
                "adders",
                float(published),
                Source(_CODE, "structure V1, replayed", "derived"),
                TableAdders(size),
                "Theirs has adders of which an operand is zero, which synthesis removes; ours has one adder an entry.",
            )
            for size, published in ((3, 16), (4, 50), (5, 152))
        ),
    ),
)
