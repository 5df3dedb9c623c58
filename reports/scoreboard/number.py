"""What a published number is, where it stands, and how ours is got: frozen data, and rules that hold for all papers."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from dse.provenance import content_hash
from hwgen.errors import HwgenError

if TYPE_CHECKING:
    from reports.scoreboard.bench import Bench

__all__ = ["BASES", "READ", "SWITCHES", "Basis", "Measure", "Number", "Paper", "Range", "Source", "Stated", "named"]


@dataclass(frozen=True)
class Basis:
    """What stands behind a number of ours: ``measured`` or ``modelled``, and what is known of its error; ``cheap``:
    whether it takes a second or so.
    """

    status: str
    about: str
    error: str
    cheap: bool = True


BASES: Mapping[str, Basis] = MappingProxyType(
    {
        "synthesis": Basis(
            "measured",
            "area of our RTL, mapped",
            "pre-layout; recipe and target move the area of a block by up to 10 %",
            cheap=False,
        ),
        "energy": Basis(
            "measured",
            "toggles of our mapped RTL on a layer of a real model, every output compared with the reference",
            "pre-layout, no wires, clock tree or glitches; mapping moves it by some 10 %",
            cheap=False,
        ),
        "fpga": Basis("measured", "our RTL mapped to an FPGA's cells by Yosys", "before place and route", cheap=False),
        "widths": Basis("measured", "bits of a port or register of our RTL", "exact"),
        "accuracy": Basis(
            "measured",
            "perplexity of a model that runs with the formats",
            "a small model on one text; two figures whose losses differ by 3 % are not told apart",
        ),
        "quantiser": Basis("measured", "our quantisers on drawn numbers", "sampling: some 1 %"),
        "cycles": Basis(
            "modelled",
            "cycles of sim.system with the assumptions of the paper",
            "equal to SCALE-Sim 3.0.0 and to BitMoD's simulator wherever both were run; within 0.1 % of our RTL in a "
            "phase of a model; latencies of real chips: see LUT Tensor Core, Table 1",
        ),
        "count": Basis("modelled", "operations that a construction of ours needs, counted", "exact"),
    }
)
"""By the word in the column ``basis``."""
OURS = ("synthesis", "energy", "fpga", "widths", "accuracy")
"""Bases that need our RTL, its synthesis, or a run of a model."""

READ: Mapping[str, str] = MappingProxyType(
    {
        "paper": "read in the paper",
        "abstract": "read in the abstract alone",
        "code": "in the authors' code or what it prints",
        "third party": "as others quote it",
        "derived": "computed from what is read in the paper",
        "background": "as generally quoted; not read at its place",
    }
)
"""How a published number was read."""

SWITCHES: Mapping[str, str] = MappingProxyType(
    {
        "library": "cell library; every tile has the registers that the default clock of its technology asks for",
        "macs": "multiply-accumulates a cycle of both sides of a ratio; 0: areas of single cells",
        "depth": "products for which sums are exact",
        "operands": "layer of SmolLM2-135M whose weights and activations give the toggles",
        "fpga": "family of FPGAs; multipliers in LUTs",
        "model": "model, text and windows of perplexities, in the table that comes with hwgen",
        "block": "values that share a scale",
        "rule": "rounding of a block's power-of-two scale",
        "values": "what is drawn, how many, and the seed",
        "dequant": "where weights are scaled: each before the product, or sums of groups after",
        "attention": "QKᵀ and PV: one product for all heads",
        "sram": "memories on the chip; none: left out",
        "simulator": "whose assumptions the system has",
        "tables": "where tables are built",
    }
)
"""Assumptions by name, as the output has them. Every measure says its own values."""

NOISE = 0.1
"""Ratios that are closer to 1 say nothing about who is smaller."""


def named(value: float) -> str:
    """A value as text: whole and large numbers whole, others with four digits."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1e4 else f"{value:.4g}"


@dataclass(frozen=True)
class Range:
    """A published range; ``math.inf`` for no upper end."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"above {self.low:g}" if math.isinf(self.high) else f"{named(self.low)} … {named(self.high)}"


@dataclass(frozen=True)
class Source:
    """Where a number stands: the paper (or code), table, figure or section, and page where it is known; how it was read
    (`READ`).
    """

    paper: str
    where: str
    read: str
    page: int | None = None

    def __post_init__(self) -> None:
        if self.read not in READ:
            raise HwgenError(f"scoreboard: read must be one of {', '.join(READ)}, not {self.read!r}")

    def __str__(self) -> str:
        page = f", p. {self.page}" if self.page is not None else ""
        return f"{self.paper}, {self.where}{page} ({self.read})"


@dataclass(frozen=True)
class Measure(ABC):
    """A way to get a number of ours. All that it depends on are its fields: they are its name in caches.

    ``basis`` is one of `BASES`; ``needs_library``: whether the number is one of a cell library.
    """

    basis: ClassVar[str]
    needs_library: ClassVar[bool] = False

    @property
    def cheap(self) -> bool:
        """Whether it takes a second or so: such ones are got first, and by tests too."""
        return BASES[self.basis].cheap

    @abstractmethod
    def value(self, bench: Bench) -> float:
        """The number. Raises `HwgenError` where this machine cannot get it."""

    @abstractmethod
    def switches(self) -> Mapping[str, str]:
        """Assumptions behind the number, by the names of `SWITCHES`; the library is added to them."""

    def families(self) -> tuple[str, ...]:
        """Families of which it needs the RTL."""
        return ()

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {"measure": type(self).__name__, **dataclasses.asdict(self)}

    @property
    def content(self) -> str:
        """Short digest of all that it says."""
        return content_hash(self.document())[:16]


@dataclass(frozen=True)
class Number:
    """A published number, and ours.

    Parameters
    ----------
    key: name within the paper, lower-case words and slashes.
    what: what the number is of. unit: × for ratios. published: a number or a range.
    neutral: where neither side is better; 1 for ratios, None where there is no such value.
    why: why both differ, or what the comparison is worth.
    """

    key: str
    what: str
    unit: str
    published: float | Range
    source: Source
    measure: Measure
    why: str
    neutral: float | None = None

    def __post_init__(self) -> None:
        if self.unit == "×" and self.neutral is None:
            object.__setattr__(self, "neutral", 1.0)

    @property
    def published_text(self) -> str:
        """The published value in words."""
        return str(self.published) if isinstance(self.published, Range) else named(self.published)

    def ratio(self, ours: float) -> float:
        """Ours over the published value; of a range over its nearest end, and 1 inside."""
        if not isinstance(self.published, Range):
            return ours / self.published
        nearest = min(max(ours, self.published.low), self.published.high)
        return ours / nearest

    def verdict(self, ours: float) -> str:
        """``as published`` (within 10 %, or in the range), ``same way``, ``no difference`` (ours is within 10 % of
        neutral), ``wrong way``; ``higher`` or ``lower`` where there is no neutral value, or the range has it inside.
        """
        ratio = self.ratio(ours)
        if abs(math.log(ratio)) <= math.log(1 + NOISE):
            return "as published"
        if self.neutral is None:
            return "higher" if ratio > 1 else "lower"
        if abs(math.log(ours / self.neutral)) <= math.log(1 + NOISE):
            return "no difference"
        side = self._side
        if side == 0:
            return "higher" if ratio > 1 else "lower"
        return "same way" if side == math.copysign(1, ours - self.neutral) else "wrong way"

    @property
    def _side(self) -> int:
        """On which side of the neutral value the published one is: 1 above, -1 below, 0 on both."""
        assert self.neutral is not None
        published = self.published
        low, high = (published.low, published.high) if isinstance(published, Range) else (published, published)
        return 1 if low >= self.neutral else -1 if high <= self.neutral else 0


@dataclass(frozen=True)
class Stated:
    """What a paper says and nothing here computes: ``published`` in words, and ``why`` it is not computed again."""

    what: str
    published: str
    source: Source
    why: str


@dataclass(frozen=True)
class Paper:
    """A paper, the numbers of it that are computed again, and those that are not. ``name`` is what the command line
    takes.
    """

    name: str
    title: str
    about: str
    numbers: tuple[Number, ...] = field(repr=False)
    stated: tuple[Stated, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        keys = [one.key for one in self.numbers]
        for key in keys:
            if keys.count(key) > 1:
                raise HwgenError(f"scoreboard: {self.name} must have one number {key!r}, not {keys.count(key)}")
