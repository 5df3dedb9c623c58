"""What other simulators and papers say of a model on a chip, and the systems that are their assumptions.

Published numbers are data; nothing is fitted to them. Every system here is a set of values of `sim.system`'s
parameters: what is computed is what any other system gets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from sim.system import Array, OffChip, Report, System, estimate_system
from sim.workload import Decode, Operator, Prefill, Size, Workload, load_workload

__all__ = [
    "BITMOD_CYCLES",
    "BITMOD_ENERGY_UJ",
    "BITMOD_MODELS",
    "LUT_ROWS",
    "MIXPE_TIMES",
    "SCALE_SIM",
    "UNLIMITED",
    "LutRow",
    "ScaleSimPoint",
    "bitmod_report",
    "lut_report",
    "mixpe_cycles",
    "mixpe_decomposition",
    "one_product",
    "scale_sim_cycles",
]

UNLIMITED = OffChip("no limit", math.inf, None, None)


# ---------------------------------------------------------------------------------------------------- SCALE-Sim 3.0.0


@dataclass(frozen=True)
class ScaleSimPoint:
    """A layer on a square array; ``cycles`` as SCALE-Sim 3.0.0 printed them, or, where it did not finish
    (``simulated``), by the closed form that all printed ones follow.
    """

    dataflow: str
    size: int
    m: int
    k: int
    n: int
    cycles: int
    simulated: bool = True


def _points() -> tuple[ScaleSimPoint, ...]:
    printed = (
        ("weights", 32, 1, 256, 256, 6079),
        ("weights", 32, 1, 512, 512, 24319),
        ("weights", 32, 1, 1024, 1024, 97279),
        ("weights", 32, 128, 256, 256, 14207),
        ("weights", 32, 128, 512, 512, 56831),
        ("weights", 32, 128, 1024, 1024, 227327),
        ("weights", 16, 1, 1024, 1024, 192511),
        ("outputs", 32, 1, 1024, 1024, 34751),
    )
    computed = (
        ("weights", 32, 1, 4096, 4096, 1556479),
        ("weights", 32, 128, 4096, 4096, 3637247),
        ("weights", 32, 1, 4096, 11008, 4183039),
        ("weights", 32, 128, 4096, 11008, 9775103),
        ("weights", 16, 1, 4096, 4096, 3080191),
        ("weights", 16, 128, 4096, 4096, 11403263),
        ("weights", 16, 1, 4096, 11008, 8278015),
        ("weights", 16, 128, 4096, 11008, 30646271),
    )
    return (*(ScaleSimPoint(*one) for one in printed), *(ScaleSimPoint(*one, simulated=False) for one in computed))


SCALE_SIM = _points()
"""Layers without stalls (CALC mode)."""


def one_product(name: str, m: int, n: int, k: int) -> Workload:
    """A workload of one product, which is done in a `Pass`."""
    product = Operator(name, name, Size(m), Size(n), Size(k))
    return Workload(name, (product,), phases=("pass",))


def scale_sim_cycles(point: ScaleSimPoint) -> int:
    """Number of the last cycle, from 0, as SCALE-Sim prints it: every pass fills and drains, and nothing waits."""
    from sim.workload import Pass

    array = Array(rows=point.size, columns=point.size, dataflow=point.dataflow, fill="pass")
    system = System(core=array, off_chip=UNLIMITED, clk_period_ns=1.0)
    return estimate_system(system, one_product("layer", point.m, point.n, point.k), Pass()).cycles - 1


# ------------------------------------------------------------------------------------------------------------- BitMoD

BITMOD_MODELS = ("opt-1.3b", "phi-2", "yi-6b", "llama-2-7b", "llama-2-13b", "llama-3-8b")
BITMOD_CYCLES: Mapping[str, Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "prefill": {
            "FP16": (669255680, 1399816192, 2878668800, 3156574208, 6676111360, 3969089536),
            "ANT": (440975360, 847773696, 1734868992, 1949564928, 4076584960, 2266234880),
            "OliVe": (403718144, 779268096, 1575157760, 1768062976, 3648512000, 2008645632),
            "BitMoD lossless": (336236544, 693780480, 1414209536, 1649680384, 3537397760, 1901133824),
            "BitMoD lossy": (233070592, 515194880, 946937856, 1202921472, 2601461760, 1273233408),
        },
        "decode": {
            "FP16": (82153718, 165841248, 362970848, 413518608, 804330080, 469624976),
            "ANT": (25779238, 51998112, 119342816, 129497936, 251907680, 132370576),
            "OliVe": (20018374, 41655712, 96691936, 97236816, 189155680, 105031744),
            "BitMoD lossless": (31220054, 62986912, 137681120, 156919888, 305157360, 178109840),
            "BitMoD lossy": (15857750, 31959712, 69662944, 79493200, 154552560, 90099088),
        },
    }
)
"""Cycles of the simulator of the paper (yc2367/BitMoD-HPCA-25, commit 58d7bdb): 256 tokens, or one at context 256."""
BITMOD_ENERGY_UJ: Mapping[str, Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "prefill": {
            "FP16": (2928682, 15511220),
            "ANT": (2035862, 7426912),
            "OliVe": (2192068, 6898215),
            "BitMoD lossless": (1410390, 7186699),
            "BitMoD lossy": (981870, 5388371),
        },
        "decode": {
            "FP16": (129318, 2113617),
            "ANT": (111292, 732882),
            "OliVe": (115455, 582192),
            "BitMoD lossless": (78882, 832097),
            "BitMoD lossy": (52631, 434198),
        },
    }
)
"""Energy of Llama-2-7B on the chip, and with DRAM; the difference is DRAM's alone."""
_BITMOD_TOKENS = 256
_BITMOD_BUFFER = 512 * 1024
_BITMOD_DRAM = OffChip("DDR4 as BitMoD has it: 256 bits a cycle, 1200 pJ for 64 bits", 32.0, 18.75, None, "down")
_ROWS: Mapping[str, tuple[tuple[int, int], tuple[int, int]]] = MappingProxyType(
    {
        "FP16": ((32, 24), (64, 12)),
        "ANT": ((32, 32), (64, 16)),
        "OliVe": ((36, 32), (72, 16)),
        "BitMoD lossless": ((32, 32), (64, 16)),
        "BitMoD lossy": ((32, 32), (64, 16)),
    }
)
"""Outputs and tokens of the array in a prefill, and decoding."""
_ANT_DECODE = (5.0, 5.0, 5.25, 5.0, 5.0, 4.5)
_OLIVE_DECODE = (3.875, 4.0, 4.25, 3.75, 3.75, 3.5)


def _bitmod_bits(design: str, model: str, phase: str) -> tuple[float, float]:
    """Bits of a weight, and its share of scales."""
    place = BITMOD_MODELS.index(model)
    if design == "FP16":
        return 16.0, 0.0
    if design == "ANT":
        return (5.5 if phase == "prefill" else _ANT_DECODE[place]), 0.0
    if design == "OliVe":
        return (4.5 if phase == "prefill" else _OLIVE_DECODE[place]), 0.0
    if design == "BitMoD lossless":
        return 6.0, 8 / 128
    return (4.0 if phase == "prefill" else 3.0), 8 / 128


def bitmod_system(design: str, model: str, phase: str) -> System:
    """One of the five designs: outputs stay, nothing fills, DRAM and computing overlap, what does not fit one of two
    buffers comes again; BitMoD's elements take four products in as many cycles as a weight has terms of two bits.
    """
    serial = design.startswith("BitMoD")
    outputs, tokens = _ROWS[design][phase == "decode"]
    bits, side = _bitmod_bits(design, model, phase)
    array = Array(
        rows=tokens,
        columns=outputs,
        depth=4 if serial else 1,
        term_bits=2 if serial else 0,
        weight_bits=bits,
        side_bits=side,
        act_bits=16,
        kv_bits=16,
        result_bits=16,
        weight_bytes=_BITMOD_BUFFER,
        act_bytes=_BITMOD_BUFFER,
    )
    return System(
        core=array, off_chip=_BITMOD_DRAM, clk_period_ns=1.0, attention="single", logits="all", kv_steps="weights"
    )


def bitmod_report(design: str, model: str, phase: str) -> Report:
    """One point of the table."""
    of = Prefill(_BITMOD_TOKENS) if phase == "prefill" else Decode(_BITMOD_TOKENS)
    return estimate_system(bitmod_system(design, model, phase), load_workload(model), of)


# -------------------------------------------------------------------------------------------------------------- MixPE

MIXPE_TIMES: Mapping[str, float] = MappingProxyType({"MixPE W4A8": 0.10, "INT8": 0.86, "MixPE W4A16": 0.19})
"""Times on OPT-6.7B and Llama-2-13B over FP16's, as its simulator ships them (mixpe_res.csv)."""
_MIXPE_BATCH = 64
_MIXPE: Mapping[str, Array] = MappingProxyType(
    {
        "FP16": Array(rows=32, columns=28, weight_parts=16, act_parts=16, weight_bits=16, act_bits=16, group=128),
        "INT8": Array(rows=32, columns=32, weight_parts=8, act_parts=8, weight_bits=8, act_bits=8, group=128),
        # Both operands are declared to have 4 bits, though activations have 8.
        "MixPE W4A8": Array(rows=64, columns=64, weight_parts=8, act_parts=8, weight_bits=4, act_bits=4, group=128),
        "MixPE W4A16": Array(rows=32, columns=32, weight_parts=16, act_parts=16, weight_bits=4, act_bits=16, group=128),
    }
)


def mixpe_workload(width: int, layers: int) -> Workload:
    """A transformer as that simulator has it: 3h, h, 4h, h outputs of a layer, no attention, no gate."""
    tokens = Size(1, "tokens")
    sizes = {"attn.qkv": (3, 1), "attn.o": (1, 1), "ffn.up": (4, 1), "ffn.down": (1, 4)}
    operators = tuple(
        Operator(role, role, tokens, Size(n * width), Size(k * width), layers) for role, (n, k) in sizes.items()
    )
    return Workload(f"h {width}, {layers} layers", operators)


def mixpe_cycles(design: str | Array, dequant: str, width: int = 4096, layers: int = 32) -> int:
    """Cycles of a token of each of 64 sequences, without stalls; ``dequant`` as `System.dequant`."""
    array = _MIXPE[design] if isinstance(design, str) else design
    system = System(core=array, off_chip=UNLIMITED, clk_period_ns=2.0, dequant=dequant)
    return estimate_system(system, mixpe_workload(width, layers), Decode(1, _MIXPE_BATCH)).cycles


def mixpe_decomposition() -> list[tuple[str, int]]:
    """From FP16 to W4A8 one change at a time: what was changed, and cycles."""
    first, last = _MIXPE["FP16"], _MIXPE["MixPE W4A8"]
    larger = replace(first, rows=last.rows, columns=last.columns)
    weights = replace(larger, weight_parts=8, weight_bits=4, act_parts=8, act_bits=8)
    return [
        ("FP16, scales before the product", mixpe_cycles(first, "core_before")),
        ("64 × 64 elements in place of 32 × 28", mixpe_cycles(larger, "core_before")),
        ("scales after the sums of groups", mixpe_cycles(larger, "core_after")),
        ("two weights of 4 bits share an element", mixpe_cycles(weights, "core_after")),
        ("two activations do too, as if they had 4 bits", mixpe_cycles(last, "core_after")),
    ]


# ---------------------------------------------------------------------------------------------------- LUT Tensor Core


@dataclass(frozen=True)
class LutRow:
    """A row of Table 1: published latencies of 2048 tokens and of a token of 1024 sequences, peak, area of an SM's
    tensor cores and density; and the array of an SM.
    """

    name: str
    prefill_ms: float
    decode_ms: float
    peak_tops: float
    area_mm2: float
    density: float
    sms: int
    array: Array
    memory: OffChip
    tables: bool = False

    @property
    def system(self) -> System:
        """The chip: an SM is a core."""
        return System(
            core=self.array,
            off_chip=self.memory,
            clk_period_ns=1 / 1.41,
            cores=self.sms,
            multicast=True,
            vector_lanes=64,
            tables="fused" if self.tables else "tile",
        )


_A100 = OffChip("HBM2e, 5120 bits at 2 × 1512 MHz", 1935.36, None, None)
_H100 = OffChip("HBM3, 3350 GB/s", 3350.0, None, None)


def _tensor_core(rows: int, columns: int, bits: float) -> Array:
    return Array(rows=rows, columns=columns, depth=8, weight_bits=bits, act_bits=bits)


def _lut_core(units: int, act_bits: float = 8.0) -> Array:
    """Units of 2 × 64 × 4, four abreast: a plane of weights a cycle."""
    return Array(rows=units // 2, columns=256, depth=4, term_bits=1, weight_bits=2.0, act_bits=act_bits, table_group=4)


LUT_ROWS = (
    LutRow("A100 FP16 TC", 106.71, 41.15, 312, 0.975, 2.96, 108, _tensor_core(16, 8, 16.0), _A100),
    LutRow(
        "A100 INT8 TC", 67.06, 21.70, 624, 0.312, 17.73, 108, replace(_tensor_core(16, 16, 8.0), weight_bits=2.0), _A100
    ),
    LutRow("A100-LUT-4X", 42.49, 11.41, 1248, 0.187, 61.84, 108, _lut_core(16), _A100, True),
    LutRow("A100-LUT-8X", 38.02, 7.47, 2496, 0.373, 61.95, 108, _lut_core(32), _A100, True),
    LutRow("H100 FP8 TC", 38.20, 12.30, 1525, 0.918, 12.59, 132, _tensor_core(32, 16, 8.0), _H100),
    LutRow("H100-LUT-4X", 28.70, 9.90, 1525, 0.488, 23.69, 132, _lut_core(16), _H100, True),
    LutRow("H100-LUT-8X", 23.48, 5.97, 3049, 0.909, 25.40, 132, _lut_core(32), _H100, True),
)
LUT_MODEL = "bitnet-3b"
"""LLaMA 3B and BitNet 3B have the same sizes."""


def lut_report(row: LutRow, phase: str) -> Report:
    """A latency of Table 1: ``prefill`` of 2048 tokens, or ``decode``, a token of each of 1024 sequences."""
    of: Sequence[int] = (2048,) if phase == "prefill" else (1, 1024)
    return estimate_system(row.system, load_workload(LUT_MODEL), (Prefill if phase == "prefill" else Decode)(*of))
