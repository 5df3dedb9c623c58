"""BitMoD (HPCA 2025): bit-serial terms of a mixture of data types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hwgen.errors import HwgenError
from reports.scoreboard.bench import Tile
from reports.scoreboard.measures import AreaRatio, CellRatio, Cells, EnergyRatio, LossRatio
from reports.scoreboard.number import Measure, Number, Paper, Source
from reports.scoreboard.tiles import FP16_MAC
from reports.system_peers import BITMOD_CYCLES, BITMOD_ENERGY_UJ, BITMOD_MODELS, bitmod_report

if TYPE_CHECKING:
    from reports.scoreboard.bench import Bench

__all__ = ["PAPER"]

_TITLE = "BitMoD (HPCA 2025, arXiv 2411.11745)"
_SIMULATOR = "BitMoD's simulator (yc2367/BitMoD-HPCA-25, commit 58d7bdb)"


def _at(where: str, read: str = "paper") -> Source:
    return Source(_TITLE, where, read)


# --------------------------------------------------------------------------------------------------- silicon: Table X

_TILE = Tile.of("bitmod", 128, bits=4, m=8)
_CELL = Tile.of("bitmod", 0, bits=4, post_lanes=0)
_FP16_CELL = Tile.of("minifloat", 0, **{name: value for name, value in FP16_MAC.values if name != "m"})
_SUMS = (
    "Both of ours have the registers that the clock asks for, and our FP16 multiplier has FP32 sums, which makes it "
    "larger. The published accumulator never aligns the sum of products (its RTL loses bits there); ours aligns either "
    "operand and normalises, a shifter of 17 and one of 18 bits."
)


def _silicon() -> list[Number]:
    return [
        Number(
            "table10/cell_area",
            "area: BitMoD element / FP16 multiply-accumulate (1,517 over 1,990 µm²)",
            "×",
            97090 / 64 / (95498 / 48),
            _at("Table X", "derived"),
            CellRatio((Cells(1, _CELL),), (Cells(1, _FP16_CELL),)),
            _SUMS,
        ),
        Number(
            "table10/tile_area",
            "area at equal throughput: BitMoD W4 / FP16, with encoders (99,509 µm² for 128, 95,498 µm² for 48 MACs)",
            "×",
            99509 / 128 / (95498 / 48),
            _at("Table X", "derived"),
            AreaRatio(_TILE, FP16_MAC),
            _SUMS + " Decoders are once a row and column in both.",
        ),
        Number(
            "table10/tile_energy",
            "energy of a multiply-accumulate: BitMoD W4 / FP16 (39.36 mW for 128, 36.96 mW for 48 a cycle)",
            "×",
            39.36 / 128 / (36.96 / 48),
            _at("Table X", "derived"),
            EnergyRatio(_TILE, FP16_MAC),
            _SUMS + " Powers there are a tool's estimate; toggles here are a layer's.",
        ),
        Number(
            "energy/on_chip_prefill",
            "energy on the chip: BitMoD lossy / FP16, 256 tokens of Llama-2-7B",
            "×",
            BITMOD_ENERGY_UJ["prefill"]["BitMoD lossy"][0] / BITMOD_ENERGY_UJ["prefill"]["FP16"][0],
            Source(_SIMULATOR, "energies on the chip", "code"),
            EnergyRatio(_TILE, FP16_MAC),
            "The published one is elements that are busy or idle (nine tenths) and two memories; ours is a busy tile's "
            "multiply-accumulate alone.",
        ),
    ]


# ------------------------------------------------------------------------------------------------ cycles and speed-ups


_SWITCHES = {"simulator": "BitMoD's", "attention": "one product for all heads", "sram": "two buffers of 512 KiB"}


@dataclass(frozen=True)
class BitmodCycles(Measure):
    """Cycles of one of the paper's five designs. ``phase``: prefill or decode."""

    design: str
    model: str
    phase: str
    basis: ClassVar[str] = "cycles"

    def value(self, bench: Bench) -> float:
        """Cycles."""
        return float(bitmod_report(self.design, self.model, self.phase).cycles)

    def switches(self) -> Mapping[str, str]:
        """What the system is."""
        return _SWITCHES


@dataclass(frozen=True)
class BitmodSpeedup(Measure):
    """How many times faster than FP16, in the arithmetic mean over models. ``phase``: prefill, or generation of a
    prefill and 20 tokens.
    """

    design: str
    phase: str
    basis: ClassVar[str] = "cycles"

    def value(self, bench: Bench) -> float:
        """Dimensionless."""

        def cycles(design: str, model: str) -> int:
            prefill = bitmod_report(design, model, "prefill").cycles
            return prefill + (20 * bitmod_report(design, model, "decode").cycles if self.phase == "generation" else 0)

        return float(np.mean([cycles("FP16", model) / cycles(self.design, model) for model in BITMOD_MODELS]))

    def switches(self) -> Mapping[str, str]:
        """What the system is."""
        return _SWITCHES


@dataclass(frozen=True)
class BitmodDram(BitmodCycles):
    """Energy of DRAM."""

    def value(self, bench: Bench) -> float:
        """Microjoules. Raises `HwgenError` where the system has no energy of DRAM."""
        energy = bitmod_report(self.design, self.model, self.phase).energy_pj["dram"]
        if energy is None:
            raise HwgenError(f"scoreboard: DRAM of {self.design} must have an energy, but has none")
        return energy / 1e6

    def switches(self) -> Mapping[str, str]:
        """Memories on the chip have no part in it."""
        return {**_SWITCHES, "sram": "none"}


_EQUAL = "The assumptions of its simulator as values of sim.system's parameters; nothing is fitted."
_SPEEDUPS = {
    "prefill": {"ANT": 1.64, "OliVe": 1.81, "BitMoD lossless": 1.99, "BitMoD lossy": 2.82},
    "generation": {"ANT": 2.52, "OliVe": 3.01, "BitMoD lossless": 2.41, "BitMoD lossy": 4.18},
}


def _cycles() -> list[Number]:
    model = "llama-2-7b"
    place = BITMOD_MODELS.index(model)
    found = []
    for phase, designs in BITMOD_CYCLES.items():
        for design, cycles in designs.items():
            slug = design.lower().replace(" ", "_")
            found.append(
                Number(
                    f"cycles/{phase}/{slug}",
                    f"cycles: {design}, {phase}, {model}",
                    "cycles",
                    float(cycles[place]),
                    Source(_SIMULATOR, "cycles", "code"),
                    BitmodCycles(design, model, phase),
                    _EQUAL,
                )
            )
            on_chip, whole = BITMOD_ENERGY_UJ[phase][design]
            found.append(
                Number(
                    f"dram/{phase}/{slug}",
                    f"energy of DRAM: {design}, {phase}, {model}",
                    "µJ",
                    float(whole - on_chip),
                    Source(_SIMULATOR, "energies with and without DRAM", "derived"),
                    BitmodDram(design, model, phase),
                    _EQUAL,
                )
            )
    for phase, speedups in _SPEEDUPS.items():
        for design, published in speedups.items():
            found.append(
                Number(
                    f"speedup/{phase}/{design.lower().replace(' ', '_')}",
                    f"faster than FP16: {design}, {phase}, mean of six models",
                    "×",
                    published,
                    Source(_TITLE, "Fig. 7", "code"),
                    BitmodSpeedup(design, phase),
                    _EQUAL,
                )
            )
    return found


# ------------------------------------------------------------------------------------------------------ format ablation

_FLOAT, _LOG_OF = 5.47, "Llama-2-7B on Wikitext-2, weights alone"


def _loss(perplexity: float) -> float:
    """Nats a token that a format adds to Llama-2-7B."""
    return float(np.log(perplexity / _FLOAT))


_ABLATION: tuple[tuple[str, str, str, float, str, str, float, str], ...] = (
    ("w4/int4_asym", "INT4 with zero points", "int4.asymmetric/128", 5.77, "BitMoD FP4", "bitmod_fp4/128", 5.72, "VI"),
    ("w4/mxfp4", "MX-FP4", "mxfp4", 5.82, "BitMoD FP4", "bitmod_fp4/128", 5.72, "VI"),
    ("w4/fp4", "FP4", "fp4_e2m1/128", 5.77, "BitMoD FP4", "bitmod_fp4/128", 5.72, "VIII"),
    ("w4/int4_sym", "INT4 symmetric", "int4/128", 5.84, "INT4 with zero points", "int4.asymmetric/128", 5.77, "I"),
    ("w3/int3_asym", "INT3 with zero points", "int3.asymmetric/128", 7.08, "BitMoD FP3", "bitmod_fp3/128", 6.55, "VI"),
    ("w3/fp3", "FP3", "e2m0/128", 7.51, "BitMoD FP3", "bitmod_fp3/128", 6.55, "VIII"),
    ("w3/er", "FP3-ER (±3)", "bitmod_fp3(-3,3,-3,3)/128", 7.18, "BitMoD FP3", "bitmod_fp3/128", 6.55, "VIII"),
    ("w3/ea", "FP3-EA (±6)", "bitmod_fp3(-6,6,-6,6)/128", 6.61, "BitMoD FP3", "bitmod_fp3/128", 6.55, "VIII"),
    ("w3/w4", "BitMoD FP3", "bitmod_fp3/128", 6.55, "BitMoD FP4", "bitmod_fp4/128", 5.72, "VI"),
)


def _formats() -> list[Number]:
    why = (
        "What a format adds to the loss, of two models of very different size. The weights of ours were INT4 with zero "
        "points in groups of 32 before: grids of even steps are nearer to them than to a model's own."
    )
    return [
        Number(
            f"formats/{key}",
            f"loss added by {over} / by {under} ({worse:g} and {better:g}, {_LOG_OF})",
            "×",
            _loss(worse) / _loss(better),
            _at(f"Table {where}", "derived"),
            LossRatio((form, "rtn"), (other, "rtn")),
            why,
        )
        for key, over, form, worse, under, other, better, where in _ABLATION
    ]


PAPER = Paper(
    "bitmod",
    _TITLE,
    "Weights as terms of two bits in series; each group has a special value in place of the second zero.",
    (*_silicon(), *_cycles(), *_formats()),
)
