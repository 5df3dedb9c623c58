"""Ways to get a number of ours, the same for all papers: what a paper's module gives is data for one of these."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hwgen.errors import HwgenError
from reports.scoreboard.bench import TILE_WINDOWS
from reports.scoreboard.number import Measure
from reports.silicon import LAYER

if TYPE_CHECKING:
    from reports.scoreboard.bench import Bench, Tile
    from reports.silicon import Measured
    from sim.accuracy.recipe import Recipe

__all__ = [
    "AreaEnergyRatio",
    "AreaRatio",
    "CellRatio",
    "Cells",
    "EnergyRatio",
    "FpgaRatio",
    "LastWidth",
    "LossRatio",
    "PeakDensity",
    "QsnrCrossover",
    "SumBits",
    "TilePerplexityRatio",
]


def _area(one: Measured) -> float:
    """Area a multiply-accumulate a second: longer periods than the clock count."""
    return one.area * one.period_ns / one.macs_per_cycle


def _tile_switches(*tiles: Tile) -> dict[str, str]:
    macs = dict.fromkeys(f"{tile.macs}" for tile in tiles)
    depths = dict.fromkeys(f"{tile.depth}" for tile in tiles)
    return {"macs": " and ".join(macs), "depth": " and ".join(depths)}


class _OfLibrary(Measure):
    """A measure of tiles in a cell library."""

    needs_library: ClassVar[bool] = True

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """Everything that is mapped."""
        raise NotImplementedError

    def families(self) -> tuple[str, ...]:
        """Families of the tiles."""
        return tuple(dict.fromkeys(tile.family for tile in self.tiles))

    def switches(self) -> Mapping[str, str]:
        """Throughput and depth."""
        return _tile_switches(*self.tiles)


@dataclass(frozen=True)
class AreaRatio(_OfLibrary):
    """Area of ``over`` over that of ``under``, each for a multiply-accumulate a second at the clock."""

    over: Tile
    under: Tile
    times: float = 1.0
    """Multiply-accumulates of ``under`` for each of ``over``."""
    basis: ClassVar[str] = "synthesis"

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """Both."""
        return self.over, self.under

    def value(self, bench: Bench) -> float:
        """Dimensionless."""
        return _area(bench.area(self.over)) / (_area(bench.area(self.under)) * self.times)


@dataclass(frozen=True)
class EnergyRatio(_OfLibrary):
    """Energy of a multiply-accumulate of ``over`` over one of ``under``."""

    over: Tile
    under: Tile
    basis: ClassVar[str] = "energy"

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """Both."""
        return self.over, self.under

    def value(self, bench: Bench) -> float:
        """Dimensionless."""
        return bench.energy(self.over).energy / bench.energy(self.under).energy

    def switches(self) -> Mapping[str, str]:
        """With the layer that gives the operands."""
        return {**_tile_switches(*self.tiles), "operands": LAYER}


@dataclass(frozen=True)
class AreaEnergyRatio(EnergyRatio):
    """Area for a multiply-accumulate a second times energy of one, ``over`` over ``under``."""

    def value(self, bench: Bench) -> float:
        """Dimensionless."""
        over, under = bench.energy(self.over), bench.energy(self.under)
        return _area(over) * over.energy / (_area(under) * under.energy)


@dataclass(frozen=True)
class Cells:
    """So many cells of a tile."""

    count: float
    tile: Tile


@dataclass(frozen=True)
class CellRatio(_OfLibrary):
    """Area of cells over that of other cells."""

    over: tuple[Cells, ...]
    under: tuple[Cells, ...]
    basis: ClassVar[str] = "synthesis"

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All."""
        return tuple(one.tile for one in (*self.over, *self.under))

    def value(self, bench: Bench) -> float:
        """Dimensionless."""
        over, under = (sum(one.count * bench.cell(one.tile) for one in side) for side in (self.over, self.under))
        return over / under


@dataclass(frozen=True)
class LastWidth(_OfLibrary):
    """The largest of weight widths up to which a tile is smaller than a base at equal throughput; 0 if none is.

    ``tiles_by_width``: (bits, tile) in ascending order.
    """

    tiles_by_width: tuple[tuple[int, Tile], ...]
    base: Tile
    basis: ClassVar[str] = "synthesis"

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All widths, and the base."""
        return (*(tile for _, tile in self.tiles_by_width), self.base)

    def value(self, bench: Bench) -> float:
        """Bits."""
        base, last = _area(bench.area(self.base)), 0
        for bits, tile in self.tiles_by_width:
            if _area(bench.area(tile)) >= base:
                break
            last = bits
        return float(last)


@dataclass(frozen=True)
class PeakDensity(_OfLibrary):
    """The value of a parameter at which a tile does the most multiply-accumulates a second and area.

    ``tiles_by_value``: (value, tile).
    """

    tiles_by_value: tuple[tuple[int, Tile], ...]
    basis: ClassVar[str] = "synthesis"

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All of them."""
        return tuple(tile for _, tile in self.tiles_by_value)

    def value(self, bench: Bench) -> float:
        """The parameter's unit."""
        return float(min(self.tiles_by_value, key=lambda pair: _area(bench.area(pair[1])))[0])


@dataclass(frozen=True)
class FpgaRatio(Measure):
    """Cells of an FPGA's kind (``resource``: lut, ff) of cells of tiles over those of others; no DSP blocks."""

    over: tuple[Cells, ...]
    under: tuple[Cells, ...]
    resource: str = "lut"
    vendor: str = "xilinx"
    basis: ClassVar[str] = "fpga"

    def _count(self, bench: Bench, side: tuple[Cells, ...]) -> float:
        from hwgen.synth.fpga import estimate

        total = 0.0
        for one in side:
            bench.tell(f"{one.tile.family} {one.tile.parameters} on {self.vendor}")
            found = estimate(bench.spec(one.tile), self.vendor, kinds=("cell",), dsp=False)
            total += one.count * found.resources(found.parts[0])[self.resource]
        return total

    def value(self, bench: Bench) -> float:
        """Dimensionless."""
        return self._count(bench, self.over) / self._count(bench, self.under)

    def switches(self) -> Mapping[str, str]:
        """The FPGA, and the depth."""
        return {"fpga": self.vendor, **_tile_switches(*(one.tile for one in (*self.over, *self.under)))}

    def families(self) -> tuple[str, ...]:
        """Families of the tiles."""
        return tuple(dict.fromkeys(one.tile.family for one in (*self.over, *self.under)))


@dataclass(frozen=True)
class SumBits(Measure):
    """Bits of a cell's accumulator."""

    tile: Tile
    basis: ClassVar[str] = "widths"

    def value(self, bench: Bench) -> float:
        """Bits."""
        spec = bench.spec(self.tile)
        return float(spec.acc_bits(spec.p))

    def switches(self) -> Mapping[str, str]:
        """The depth."""
        return {"depth": str(self.tile.depth)}

    def families(self) -> tuple[str, ...]:
        """The tile's."""
        return (self.tile.family,)


def _subject(windows: int | None = None) -> str:
    """What is read by which model; windows of the table that comes with hwgen if not given."""
    from sim.accuracy.table import provenance_of

    facts = provenance_of()
    return f"{facts['model']}, {windows or facts['windows']} × {facts['window_tokens']} tokens of {facts['text']}"


@dataclass(frozen=True)
class _Accuracy(Measure):
    """A measure of perplexities of weights in formats: ``over`` and ``under``, each with how weights get there."""

    over: tuple[str, str]
    under: tuple[str, str]
    basis: ClassVar[str] = "accuracy"

    @staticmethod
    def _recipe(weights: str, by: str) -> Recipe:
        from sim.accuracy.recipe import recipe

        return recipe({"weights": weights} if weights else {}, by)

    @property
    def cheap(self) -> bool:
        """Where the table that comes with hwgen has both."""
        from sim.accuracy.table import known_of

        return all(known_of(self._recipe(*one)) is not None for one in (self.over, self.under))

    def _perplexity(self, bench: Bench, weights: str, by: str) -> float:
        return bench.perplexity(self._recipe(weights, by)).perplexity

    def switches(self) -> Mapping[str, str]:
        """Model, text and windows."""
        return {"model": _subject()}


@dataclass(frozen=True)
class LossRatio(_Accuracy):
    """What ``over`` adds to the loss in nats a token (the logarithm of perplexity) over what ``under`` adds.

    Perplexities of models of different sizes do not compare; what a format adds to their loss does better.
    """

    def value(self, bench: Bench) -> float:
        """Dimensionless."""
        floating = math.log(self._perplexity(bench, "", "rtn"))
        over, under = (math.log(self._perplexity(bench, *one)) - floating for one in (self.over, self.under))
        return over / under


@dataclass(frozen=True)
class TilePerplexityRatio(Measure):
    """Perplexity with the arithmetic of tile ``over``, bit for bit, over that of ``under``; tiles as `hwgen accuracy`
    takes them.
    """

    over: str
    under: str
    basis: ClassVar[str] = "accuracy"

    @property
    def cheap(self) -> bool:
        """A model runs."""
        return False

    def value(self, bench: Bench) -> float:
        """Dimensionless."""
        return bench.tile_perplexity(self.over) / bench.tile_perplexity(self.under)

    def switches(self) -> Mapping[str, str]:
        """Model, text and windows."""
        return {"model": _subject(TILE_WINDOWS)}

    def families(self) -> tuple[str, ...]:
        """Families of the tiles."""
        return tuple(dict.fromkeys(one.partition(" ")[0] for one in (self.over, self.under)))


# ------------------------------------------------------------------------------------------------------- quantisers

_BLOCKS, _SEED, _ROUNDS, _STEPS, _HALVINGS = 1024, 17, 20, 16, 8
_LEAST_KAPPA, _MOST_KAPPA = 1.3, 0.98
"""Crest factors that are tried; the upper one of the root of the block's size."""


@functools.cache
def _blocks(block: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal values [blocks, block], and the standard deviation [blocks, 1] that each block is to have: log-uniform
    over an octave, so that no power-of-two scale is favoured.
    """
    rng = np.random.default_rng(_SEED)
    return rng.normal(size=(_BLOCKS, block)), np.exp2(rng.uniform(size=(_BLOCKS, 1)))


def block_noise(name: str, block: int, rule: str, kappa: float) -> float:
    """Mean square error, in mean squares of a block, of blocks of normal values of which one is a peak: ``kappa`` times
    the root mean square of its block, so less than the root of the block's size. Values beyond it are clipped to it.
    """
    from hwgen.quantize import mx, nv

    normal, sigma = _blocks(block)
    others = normal[:, 1:]
    peak = np.full((len(normal), 1), kappa)
    for _ in range(_ROUNDS):
        # Clipping moves the mean square, which moves the peak.
        others = np.clip(normal[:, 1:], -peak, peak)
        peak = kappa * np.sqrt((others**2).sum(axis=1, keepdims=True) / (block - kappa**2))
    x = np.concatenate([peak, np.clip(others, -peak, peak)], axis=1)
    scaled = (x * sigma).astype(np.float32)
    given = nv(scaled, name, block) if rule == "nv" else mx(scaled, name, block, rule)
    power = (scaled.astype(float) ** 2).mean(axis=1)
    return float((((given.dequantize() - scaled) ** 2).mean(axis=1) / power).mean())


@dataclass(frozen=True)
class QsnrCrossover(Measure):
    """Crest factor (peak over root mean square of a block) up to which integers have less noise than floats.

    No block has one above the root of its size, which is the answer where integers have less noise up to there.
    ``rule``: rounding of power-of-two scales, or ``nv`` for E4M3 scales of blocks below one FP32 scale.
    """

    integer: str
    floating: str
    block: int
    rule: str
    basis: ClassVar[str] = "quantiser"

    def value(self, bench: Bench) -> float:
        """Dimensionless, four decimals. Raises `HwgenError` where floats have less noise at the flattest blocks."""

        def better(kappa: float) -> bool:
            noises = [block_noise(name, self.block, self.rule, kappa) for name in (self.integer, self.floating)]
            return noises[0] < noises[1]

        low, high = _LEAST_KAPPA, math.sqrt(self.block)
        if not better(low):
            raise HwgenError(
                f"scoreboard: {self.integer} must have less noise than {self.floating} at crest factor {low:g}, which "
                "it has not"
            )
        steps = np.geomspace(low, _MOST_KAPPA * high, _STEPS)
        worse = next((place for place, kappa in enumerate(steps) if not better(float(kappa))), None)
        if worse is None:
            return round(high, 4)
        low, high = float(steps[worse - 1]), float(steps[worse])
        for _ in range(_HALVINGS):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if better(middle) else (low, middle)
        return round(math.sqrt(low * high), 4)

    def switches(self) -> Mapping[str, str]:
        """Block, rule and what is drawn."""
        values = f"{_BLOCKS:,} normal blocks at scales of an octave, one peak each, seed {_SEED}"
        return {"block": str(self.block), "rule": self.rule, "values": values}
