"""LUT Tensor Core (ISCA 2025): look-up tables in place of multipliers, weights a bit plane a cycle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from reports.scoreboard.bench import Tile
from reports.scoreboard.measures import AreaRatio, EnergyRatio, LastWidth, PeakDensity, TilePerplexityRatio
from reports.scoreboard.number import Measure, Number, Paper, Range, Source
from reports.scoreboard.tiles import FP16_DOT, INT8, lut

if TYPE_CHECKING:
    from reports.scoreboard.bench import Bench

__all__ = ["PAPER"]

_TITLE = "LUT Tensor Core (ISCA 2025, arXiv 2408.06003)"


def _at(where: str, read: str = "paper") -> Source:
    return Source(_TITLE, where, read)


# ---------------------------------------------------------------------------------------- Table 2: one change at a time

_UNPU = lut(2, planes="twos_complement", symmetry="none")
_STEPS: tuple[tuple[str, str, float, float, Tile, str], ...] = (
    (
        "half_tables",
        "weights as ±1 and half tables",
        1.317,
        1.301,
        lut(2, negation="runtime"),
        "Same steps by parameters. Of our cell afterwards registers, adder and shift are more than half, exact for 128 "
        "products; the paper's width is not given. Ours also has an accumulator a row for the sum of activations that "
        "the step makes necessary. Energy: most 2-bit codes of a real layer are 0, whose plain bits look up nothing "
        "and switch nothing; planes of ±1 have no zero. The paper does not say what its operands are.",
    ),
    (
        "offline_keys",
        "and keys complemented offline",
        1.351,
        1.347,
        lut(2),
        "Our run-time complement stands in the columns, once for all rows: there is less to save.",
    ),
    (
        "external_tables",
        "and tables built outside the array",
        1.440,
        1.442,
        lut(2, precompute="external"),
        "Two table builders beside 128 cells: what goes is their share of the tile.",
    ),
)


def _table2() -> list[Number]:
    found = []
    for key, words, area, power, tile, why in _STEPS:
        what = f"UNPU / {words}, M2N64K4, W2A8"
        for name, published, kind in (("area", area, AreaRatio), ("power", power, EnergyRatio)):
            measure = kind(_UNPU, tile)
            found.append(
                Number(f"table2/{key}/{name}", f"{name}: {what}", "×", published, _at("Table 2"), measure, why)
            )
    return found


# ------------------------------------------------------------------------------------- sweeps of cores and units


def _tensor_cores() -> list[Number]:
    """M·N·K = 512: LUT has least area and power in all panels but W4 with INT8; 4 to 6 times less with one bit."""
    where = _at("sweep of tensor cores, M·N·K = 512")
    why = "A range over all activations, or which of both is smaller in the figure; no number of a panel can be read."
    found = []
    for acts, base in (("int8", INT8), ("fp16", FP16_DOT)):
        for bits in (1, 2, 4):
            published = Range(4, 6) if bits == 1 else Range(0, 1) if (bits, acts) == (4, "int8") else Range(1, math.inf)
            tile = lut(bits) if acts == "int8" else lut(bits, acts=acts)
            aligned = (
                ""
                if acts == "int8"
                else " Our activations are aligned to a group's exponent before the buffer, a block that is in neither "
                "side, so that cells add integers; the paper's add FP16."
            )
            for name, kind in (("area", AreaRatio), ("power", EnergyRatio)):
                found.append(
                    Number(
                        f"sweep/{acts}_w{bits}/{name}",
                        f"{name}: {acts.upper()} MAC / LUT, {bits}-bit weights, equal throughput",
                        "×",
                        published,
                        where,
                        kind(base, tile),
                        why + aligned,
                    )
                )
    return found


_KS = (2, 3, 4, 5, 6)
"""Activations of a table that are tried: its area doubles with each."""
_PRODUCTS = 840
"""Products of a sum: a whole number of steps for every K up to 8."""


def _unit(k: int, acts: str) -> Tile:
    values: dict[str, Any] = {"m": 1, "k": k, "bits": 1, "scheme": "symmetric", "acts": acts}
    return Tile.of("lut", k, **values, precompute="external", depth=_PRODUCTS, group=_PRODUCTS)


def _dot_products() -> list[Number]:
    found = [
        Number(
            f"k_sweep/{acts}",
            f"K of the densest unit with M = N = 1, {words} activations",
            "K",
            float(published),
            _at("Fig. 11"),
            PeakDensity(tuple((k, _unit(k, acts)) for k in _KS)),
            why,
        )
        for acts, words, published, why in (
            (
                "int8",
                "integer",
                4,
                "Tables come in from outside, as there. The multiplexers of a larger table are in each cell.",
            ),
            (
                "fp16",
                "floating-point",
                5,
                "The paper's unit adds FP16, so that a table saves more; ours adds aligned integers. No K above "
                "6 was tried.",
            ),
        )
    ]
    widths = (1, 2, 4, 6, 8)
    for key, words, published, more in (
        ("lut", "LUT tensor core", 6.0, {}),
        ("plain", "plain tables", 2.0, {"planes": "twos_complement", "symmetry": "none"}),
    ):
        tiles = tuple((bits, _columns(bits, more)) for bits in widths)
        found.append(
            Number(
                f"crossover/{key}",
                f"bits of a weight up to which {words} are smaller than FP16 multipliers, FP16 activations, N = 4",
                "bits",
                published,
                _at("Fig. 13"),
                LastWidth(tiles, FP16_DOT),
                "Aligned integers in our cells against FP16 adders in theirs, in plain tables too; the block that "
                "aligns is on neither side. No wider weights than 8 bits were tried, nor 3, 5 and 7.",
            )
        )
    return found


def _columns(bits: int, more: Mapping[str, Any]) -> Tile:
    """Four columns of a unit that takes a plane a cycle: 16 one-bit products a cycle, and a bits-th of it in MACs."""
    values: dict[str, Any] = {"m": 1, "k": 4, "bits": bits, "scheme": "symmetric", "acts": "fp16", **more}
    return Tile.of("lut", 4, **values, precompute="external")


_WEAKER = "The same measurement as other density figures of one-bit weights: what is published differs by its baseline."


def _densities() -> list[Number]:
    return [
        Number(
            "density/dp4_w1_fp16",
            "throughput of an area: LUT with 1-bit weights / FP16 multipliers, four products "
            "(61.55 over 3.39 TFLOPs/mm²)",
            "×",
            18.2,
            _at("Fig. 12", "derived"),
            AreaRatio(FP16_DOT, lut(1, acts="fp16")),
            "Our LUT cell adds aligned integers; the block that aligns is not counted.",
        ),
        Number(
            "density/w1a16_area",
            "throughput of an area: W1A16 that beats the MAC tensor core at 14.3 % of its area",
            "×",
            1 / 0.143,
            _at("section on kernels", "derived"),
            AreaRatio(FP16_DOT, lut(1, acts="fp16")),
            _WEAKER + " The published one is of whole kernels.",
        ),
        Number(
            "density/fig19",
            "throughput of an area: W1A16, four times the FLOPs at 58.4 % of the area",
            "×",
            4 / 0.584,
            _at("Fig. 19", "derived"),
            AreaRatio(FP16_DOT, lut(1, acts="fp16")),
            _WEAKER + " The published core has the registers of an A100's.",
        ),
        Number(
            "table1/density_lut_8x",
            "throughput of an area: A100-LUT-8X, W2A8 / A100 FP16 tensor core",
            "×",
            20.9,
            _at("Table 1"),
            AreaRatio(FP16_DOT, lut(2)),
            "FP16 with FP32 sums against tables of INT8 in one library; the paper's FP16 is a real chip's, scaled.",
        ),
        Number(
            "table1/area_lut_8x",
            "area: A100-LUT-8X / A100 FP16 tensor core, eight times the multiply-accumulates",
            "×",
            0.383,
            _at("Table 1"),
            AreaRatio(lut(2), FP16_DOT, 1 / 8),
            "As above.",
        ),
        Number(
            "table1/density_int8",
            "throughput of an area: A100-LUT-4X, W2A8 / A100 INT8 tensor core",
            "×",
            61.84 / 17.73,
            _at("Table 1", "derived"),
            AreaRatio(INT8, lut(2)),
            "The density of the INT8 row does not follow from its own peak and area (18.52).",
        ),
        Number(
            "table5/int8_tables",
            "perplexity: INT8 entries of tables / full ones (7.69 / 7.68, Llama-2-7B with two-bit weights)",
            "×",
            7.69 / 7.68,
            _at("Table 5", "derived"),
            TilePerplexityRatio("lut bits=4 acts=int8 entries=int8", "lut bits=4 acts=int8"),
            "A model of 135 million parameters, which notices more, with four-bit weights: with two bits without "
            "training it knows nothing. Our entries share a power of two; the paper's a scale by the largest.",
        ),
    ]


# -------------------------------------------------------------------------------------------------- Table 1: latencies


@dataclass(frozen=True)
class ChipLatency(Measure):
    """A latency of Table 1 by the system model. ``chip``: its row; ``phase``: prefill or decode."""

    chip: str
    phase: str
    basis: ClassVar[str] = "cycles"

    def value(self, bench: Bench) -> float:
        """Milliseconds."""
        from reports.system_peers import LUT_ROWS, lut_report

        row = next(row for row in LUT_ROWS if row.name == self.chip)
        return lut_report(row, self.phase).time_s * 1e3

    def switches(self) -> Mapping[str, str]:
        """What the system is."""
        return {"simulator": "sim.system: peak rates and bandwidths alone", "tables": "once for each product"}


def _latencies() -> list[Number]:
    from reports.system_peers import LUT_ROWS

    why = (
        "Ours knows arrays, memory and tables, and nothing of kernels that start, caches or vector units that pass "
        "memory, which are most of the published times: it is always too fast (reports/results/system.md)."
    )
    return [
        Number(
            f"table1/{row.name.lower().replace(' ', '_')}/{phase}",
            f"{row.name}: {words}",
            "ms",
            published,
            _at("Table 1"),
            ChipLatency(row.name, phase),
            why,
        )
        for row in LUT_ROWS
        for phase, words, published in (
            ("prefill", "2048 tokens of a 3B model", row.prefill_ms),
            ("decode", "a token of 1024 sequences", row.decode_ms),
        )
    ]


PAPER = Paper(
    "lut-tensor-core",
    _TITLE,
    "Tables of sums of activations are looked up by bit planes of the weights.",
    (*_table2(), *_tensor_cores(), *_dot_products(), *_densities(), *_latencies()),
)
