"""What a family states about itself: small frozen records of which `TileSpec` is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hwgen.arith.compressor import Term
from hwgen.frame.numbers import Num

if TYPE_CHECKING:
    from amaranth.hdl import Value
    from amaranth.lib import wiring

__all__ = [
    "INT64_SUMS",
    "Addend",
    "Block",
    "Companion",
    "Counts",
    "Mode",
    "P",
    "PreCounts",
    "Quantization",
    "Side",
    "State",
]

P = Mapping[str, Any]
"""Parameters by name; values are scalars or integer arrays that broadcast."""

INT64_SUMS = 62
"""Widest sums that the reference keeps in int64: one addition more cannot overflow it."""

Counts = dict[str, Num]
"""Primitive name → number of them. The primitives are those of the technology table."""


class Addend(NamedTuple):
    """What a cell adds to one of its sums in one cycle: ``value`` (signed) plus the one-bit ``carry``.

    ``rows``, in place of both, go into one carry-save tree with the sum itself, modulo its width: one carry chain
    instead of two. Only where no register is between product and accumulator (`TileFormulas.joins`), and sums do not
    saturate.
    """

    value: Value
    carry: Value | None = None
    rows: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Side:
    """A field of side information that stays constant within a group, e.g. a scale or a selector."""

    bits: int
    doc: str
    signed: bool = False
    values: range | None = None
    """Values that may occur, where not every one of ``bits`` bits may."""
    encoding: str = ""
    """Name of the format of its codes; without one they are plain integers."""


@dataclass(frozen=True)
class Mode:
    """One run-time mode of a tile. Cycles are clock cycles."""

    name: str
    acts: str
    weights: str
    k: int
    cycles_per_step: int
    latency: int
    lanes: str = "one sum per cell"


@dataclass(frozen=True)
class Block:
    """``count`` copies of a block and the primitives in one copy."""

    count: Num
    primitives: Counts


@dataclass(frozen=True)
class Companion:
    """A block that is emitted beside the tile, such as a register file that feeds one of its side ports.

    ``build`` makes the component, ``ports`` says what each of its ports is. ``elements`` names the number of elements
    and their encoding (empty: whole numbers) of ports that have several or are codes; ``arithmetic`` is for the
    manifest.
    """

    summary: str
    build: Callable[[], wiring.Component]
    ports: Mapping[str, str]
    elements: Mapping[str, tuple[int, str]] = dataclasses.field(default_factory=dict)
    arithmetic: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class PreCounts:
    """The block before the activation buffer, as the cost model sees it.

    ``source`` is the format name of the codes that it takes, ``align`` whether it needs a first pass for the largest
    exponent of a scope, ``row`` the primitives of one row's logic without registers, ``cuts`` the registers within it.
    """

    source: str
    align: bool
    row: Counts
    cuts: Num = 0

    @property
    def latency(self) -> Num:
        """Cycles from a beat to what comes of it."""
        return 1 + self.cuts

    @property
    def passes(self) -> int:
        """How often each beat is sent."""
        return 2 if self.align else 1


@dataclass(frozen=True)
class Quantization:
    """How a layer is quantised for a tile: all that the golden layer needs to know, in format names.

    ``scheme`` is the integer weight scheme (symmetric, asymmetric, minimum, bipolar), or ``"mx"`` for blocks that
    share an E8M0 scale on both sides (``block_rule`` floor or ceil). ``arithmetic`` names the golden layer's arithmetic
    (`sim.golden.golden_layer`): "exact" is exact group sums, one rounding into FP32 a group; ``options`` are the
    settings of another one. ``align`` is None, or the scope ("step", "group",
    "row") over which floating-point activations become integers with ``align_guard`` bits below the largest one's last
    place, rounded as
    ``align_rounding`` says. ``step`` is the tile's K. ``overflow`` "saturate" or "wrap": sums have ``sum_bits`` bits
    and take one number a step.
    """

    acts: str
    weights: str
    scheme: str
    group: int
    act_scale: str
    weight_scale: str
    align: str | None = None
    align_guard: int = 0
    align_rounding: str = "rne"
    step: int = 1
    block_rule: str = "floor"
    arithmetic: str = "exact"
    options: tuple[tuple[str, Any], ...] = ()
    overflow: str = "refuse"
    sum_bits: int = 0


@dataclass(frozen=True)
class State:
    """Accumulators of a tile: ``sums`` int64 or object [M, N, P], ``rows`` [M] (activation sums, zero if unused).

    A family that keeps more (partial sums, say) derives its own and overrides `TileSpec.init`, `step` and `read`.
    """

    sums: np.ndarray
    rows: np.ndarray
