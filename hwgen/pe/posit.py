"""Posit and FP4 MAC: exact quire accumulation, one rounding at read-out, SIMD lanes that split at run time.

``format simd``: every 16-bit lane takes, by run-time mode, one posit16_1, two posit8_0, four posit4_1 or four FP4
(E2M1) operands a cycle. One 13 × 13 significand multiplier a lane splits into two of 6 × 6 or four small ones with
shared partial products, one shifter places the products in the quire or in quarters of it, one adder has a carry that
stops between quarters; what a mode leaves idle is fed zeros. ``format posit`` is a tile for one posit (``posit_bits``,
``es``) alone, ``format fp4`` one for E2M1. Posits of one significand bit, posit4_1 among them, have no multiplier.

Arithmetic: rows and columns decode their codes once to sign, significand and shift; a product is an integer multiple of
minpos² and is added exactly. The quire holds ``depth`` products of maxpos²; longer groups are refused, or with
``group`` 0 the schedule reads out and starts anew every ``depth`` products, and the pieces are added in FP32.
Along K (``simd_along k``) the parts of a lane are summed at the output, exactly, in units of minpos² of posit16_1
whatever the mode. Along N a lane's activation, in the lowest bits, meets 2 or 4 weights of different outputs; a cell
puts out four words: the quarters of its quire, lowest first, in mode p16, else sums of their own (in units of 2**-12;
mode p8 uses words 0 and 2).

NaR is sticky: any NaR operand makes the sum NaR until the next clear. At the output NaR is the word 100..0, which no
legal sum is; after scaling it is NaN.

Post lanes multiply a group's sum by its scales (E8M0: no multiplier) and round once. ``readout fp32``: to nearest even
into FP32, groups are added in FP32 in K order. ``readout fp16`` and ``posit`` (the tile's own, posit16_1 for simd): to
odd into FP32, added in FP32, and the result to nearest even into the output format, on the bit string for posits, so
that a result of one group is rounded exactly once; its code is in the low bits of y. FP16 overflows to infinity,
posits saturate and never become zero, NaN becomes NaR.

``quire xr_npe`` is the preset of 128 bits, or four times 32 bits, for up to 127 products (legacy quire of posit8_0:
26 + 6 bits); ``exact`` is as narrow as ``depth`` allows.

Timing: one cycle per step, latency 1 + stages to the sums, 5 cycles more to the first result and 6 with ``readout``
other than fp32.
Source: XR-NPE, arXiv 2508.13049 (formats and modes; its RTL is not published, so that widths and rounding are those
above); posit standard 2022; legacy quires of n²/2 bits: posit standard 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from hwgen.arith import (
    FP32_NAN,
    ScaledLayout,
    adder_tree,
    adder_tree_with_carries,
    fp_unpack,
    round_to_fp32,
    scale_round_reference,
    shift_left,
    wire,
)
from hwgen.arith.posit import (
    fp32_to_fp16,
    fp32_to_fp16_reference,
    fp32_to_posit,
    fp32_to_posit_reference,
    posit_unpack,
)
from hwgen.arith.segments import segment_add, segment_shift_left
from hwgen.arith.split_multiply import SPLIT_CHUNKS, SPLIT_WIDTH, split_multiply
from hwgen.errors import HwgenError
from hwgen.formats import Format, PositFormat, get
from hwgen.pe._numbers import Num, bits_for, bits_for_multiple, ceil_div, clog2, maximum, unsigned_bits, where
from hwgen.pe._param import Range, again, param
from hwgen.pe._post import PostBlock
from hwgen.pe._scaled import ScaledSpec
from hwgen.pe._spec import Addend, Block, Counts, Mode, P, Quantization, State, TileSpec

__all__ = ["Posit"]

QUARTERS = 4
"""Segments of a lane's datapath."""


class _Simd(NamedTuple):
    """A run-time mode of a SIMD tile: format, operands a lane, and the shift that brings it to the shared unit."""

    name: str
    format: str
    parts: int
    align: int


# Parts have units of minpos² of posit8_0, 2**-12, in all modes with several; the rows bring the others to it.
SIMD = (
    _Simd("p16", "posit16_1", 1, 0),
    _Simd("p8", "posit8_0", 2, 0),
    _Simd("p4", "posit4_1", 4, 4),
    _Simd("fp4", "fp4_e2m1", 4, 10),
)
WIDE, PART = get("posit16_1"), get("posit8_0")
_PART_SHIFT = 2 * (PART.lsb_exp - WIDE.lsb_exp)
_LANE_BITS = 16
_SIMD_MODES = {mode.name: index for index, mode in enumerate(SIMD)}

# A lane on a SIMD bus: significands, signs and shifts of the quarters; the first shift also serves the whole lane.
_SHIFTS = (6, 4, 4, 4)
_LANE_BUS = SPLIT_WIDTH + QUARTERS + sum(_SHIFTS)

_XR_NPE_BITS, _XR_NPE_DEPTH = 32, 127


class _Lane(NamedTuple):
    """Decoded operands of a 16-bit lane."""

    significand: Value
    signs: list[Value]
    shifts: list[Value]


def _max_exp(p: P) -> Num:
    """Exponent of maxpos of a single posit format."""
    return (p["posit_bits"] - 2) * 2 ** p["es"]


def _is_simd(p: P) -> bool:
    return bool(p["format"] == "simd")


def _along_n(p: P) -> bool:
    return bool(p["format"] == "simd" and p["simd_along"] == "n")


@dataclass(frozen=True, kw_only=True)
class _Words(State):
    """State of a tile whose words depend on the mode: ``sums`` are whole numbers, one a part."""

    mode: int = 0


@dataclass(frozen=True, kw_only=True)
class Posit(ScaledSpec):
    """Posit tile."""

    m: int = again(TileSpec, "m", sweep=(1, 2))
    n: int = again(TileSpec, "n", sweep=(1, 2))
    k: int = param(2, "16-bit lanes of a simd tile, or products per step", legal=Range(1, 64), sweep=(1, 2))
    group: int = again(TileSpec, "group", sweep=(32,))
    depth: int = again(TileSpec, "depth", sweep=(32, 127))
    overflow: str = param("refuse", "a quire does not overflow: longer groups are refused", legal=("refuse",))
    format: str = param(
        "simd",
        "operands: 16-bit lanes that split at run time, one posit format alone, or FP4 (E2M1) alone",
        legal=("simd", "posit", "fp4"),
        sweep=("simd", "posit", "fp4"),
    )
    posit_bits: int = param(8, "width of the posits of format posit", legal=Range(2, 16), sweep=(4, 8, 16), unit="bit")
    es: int = param(0, "exponent bits of the posits of format posit", legal=Range(0, 3), sweep=(0, 1, 2), unit="bit")
    operands: str = param(
        "p8",
        "mode in which layers run on a simd tile",
        legal=tuple(mode.name for mode in SIMD),
        sweep=tuple(mode.name for mode in SIMD),
    )
    simd_along: str = param(
        "k",
        "parts of a simd lane: products of one sum, or of sums of their own with the activation broadcast",
        legal=("k", "n"),
        sweep=("k", "n"),
    )
    quire: str = param(
        "exact",
        "width of the quire: as depth needs, or 128 / 4 x 32 bit",
        legal=("exact", "xr_npe"),
        sweep=("exact", "xr_npe"),
    )
    readout: str = param(
        "fp32", "results of post lanes", legal=("fp32", "fp16", "posit"), sweep=("fp32", "fp16", "posit")
    )
    scheme: str = param("posit", "scaled posits, the largest near 1; FP4 scaled to its largest value", legal=("posit",))
    act_scale: str = again(ScaledSpec, "act_scale", default="e8m0", sweep=("e8m0", "bf16"))
    weight_scale: str = again(ScaledSpec, "weight_scale", default="e8m0")

    cell_uses_phase: ClassVar[bool] = False
    col_per_phase: ClassVar[bool] = False
    NOT_IN_BLOCKS: ClassVar[frozenset[str]] = TileSpec.NOT_IN_BLOCKS | {"posit_bits", "es", "operands"}

    # ------------------------------------------------------------------ parameters

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` is the weight width: the mode of layers for simd, or the posit's width with its usual es.

        The preset xr_npe brings the depth that it has room for, and groups that fit it.
        """
        given = dict(values)
        if given.get("quire") == "xr_npe":
            given.setdefault("depth", _XR_NPE_DEPTH)
            given.setdefault("group", 64)
        if "bits" not in given:
            return given
        bits, kind = given.pop("bits"), given.get("format", "simd")
        if kind == "simd":
            if bits == 4 and given.get("operands") not in ("p4", "fp4"):
                raise HwgenError("posit: bits 4 is p4 or fp4; use --operands p4 or --operands fp4")
            if bits not in (4, 8, 16):
                raise HwgenError(f"posit: bits must be 4, 8 or 16 with format simd, not {bits!r}; try --format posit")
            if bits != 4:
                given.setdefault("operands", f"p{bits}")
        elif kind == "posit":
            given.setdefault("posit_bits", bits)
            given.setdefault("es", {4: 1, 16: 1}.get(bits, 0))
        elif bits != 4:
            raise HwgenError(f"posit: bits must be 4 with format fp4, not {bits!r}")
        return given

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        simd = _is_simd(p)
        yield simd or p["simd_along"] == "k", "simd_along must be k with format {format}, not n"
        yield simd or p["quire"] == "exact", "quire must be exact with format {format}, not {quire}"
        lanes = p["post_lanes"]
        yield (
            (lanes == 0) | (not _along_n(p)),
            "post_lanes must be 0 with simd_along n, not {post_lanes}; scale its sums in software",
        )
        yield (
            (lanes > 0) | (p["readout"] == "fp32"),
            "readout must be fp32 without post lanes, not {readout}; use --post-lanes",
        )
        yield (
            p["format"] != "fp4" or p["readout"] != "posit",
            "readout must be fp32 or fp16 with format fp4, not posit",
        )
        yield (
            p["depth"] >= p["k"] * cls._most_parts(p),
            "depth ({depth}) must hold the products of one step: " + cls._step_hint(p),
        )
        yield (
            (p["depth"] <= _XR_NPE_DEPTH) | (p["quire"] != "xr_npe"),
            f"depth must be at most {_XR_NPE_DEPTH} with quire xr_npe, not {{depth}}",
        )

    @classmethod
    def _step_hint(cls, p: P) -> str:
        return f"use --depth {p['k'] * cls._most_parts(p)}" if not isinstance(p["k"], np.ndarray) else ""

    @classmethod
    def _most_parts(cls, p: P) -> int:
        """Most products of one sum that a lane gives in a step."""
        return QUARTERS if _is_simd(p) and p["simd_along"] == "k" else 1

    # ------------------------------------------------------------------ formats and modes

    @property
    def _form(self) -> Format:
        """Format of a tile for one format."""
        return get("fp4_e2m1") if self.format == "fp4" else get(f"posit{self.posit_bits}_{self.es}")

    @property
    def _simd(self) -> bool:
        return self.format == "simd"

    @property
    def layer_mode(self) -> int:
        return _SIMD_MODES[self.operands] if self._simd else 0

    def mode_formats(self, mode: int) -> tuple[Format, Format]:
        form = get(SIMD[mode].format) if self._simd else self._form
        return form, form

    @property
    def act_format(self) -> Format:
        return self.mode_formats(self.layer_mode)[0]

    @property
    def weight_format(self) -> Format:
        return self.act_format

    def modes(self) -> tuple[Mode, ...]:
        latency = int(self.latency(self.p))
        if not self._simd:
            name = self._form.name
            return (Mode(name, name, name, self.k, 1, latency),)
        found = []
        for mode in SIMD:
            along = mode.parts if self.simd_along == "k" else 1
            lanes = "one sum per cell" if self.simd_along == "k" else f"{mode.parts} sums per cell in {QUARTERS} words"
            found.append(Mode(mode.name, mode.format, mode.format, self.k * along, 1, latency, lanes))
        return tuple(found)

    @classmethod
    def mode_count(cls, p: P) -> Num:
        return len(SIMD) if _is_simd(p) else 1

    def code_columns(self, mode: int) -> tuple[int, int]:
        if not self._simd:
            return self.k, self.k
        parts = SIMD[mode].parts
        return self.k * (parts if self.simd_along == "k" else 1), self.k * parts

    @classmethod
    def layer_k(cls, p: P) -> Num:
        return p["k"] * SIMD[_SIMD_MODES[p["operands"]]].parts if _is_simd(p) and p["simd_along"] == "k" else p["k"]

    @classmethod
    def layer_outputs(cls, p: P) -> Num:
        return SIMD[_SIMD_MODES[p["operands"]]].parts if _along_n(p) else 1

    @classmethod
    def sum_group(cls, p: P) -> Num:
        """With ``group`` 0 the quire is read out every ``depth`` products."""
        return where(p["group"] > 0, p["group"], p["depth"] - p["depth"] % cls.layer_k(p))

    @property
    def _output_format(self) -> Format:
        """Format of the results of post lanes."""
        return get(self.readout) if self.readout != "posit" else (WIDE if self._simd else self._form)

    def quantization(self) -> Quantization:
        return Quantization(
            acts=self.act_format.name,
            weights=self.weight_format.name,
            scheme="posit" if isinstance(self.weight_format, PositFormat) else "element",
            group=self.group,
            act_scale=self.act_scale,
            weight_scale=self.weight_scale,
            step=int(self.layer_k(self.p)),
            arithmetic="posit",
            options=(
                ("output", self._output_format.name),
                ("sum_group", int(self.sum_group(self.p))),
                ("sum_unit", self.lsb_exp if self.simd_along == "k" else self._unit(self.layer_mode)),
                ("nar_word", self._nar),
            ),
        )

    @classmethod
    def scale_formats(cls, p: P) -> tuple[str, str]:
        return p["act_scale"], p["weight_scale"]

    # ------------------------------------------------------------------ formulas

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        if _is_simd(p):
            return p["k"], _LANE_BITS
        return p["k"], 4 if p["format"] == "fp4" else p["posit_bits"]

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return cls.act_port(p)

    @classmethod
    def stored_bits(cls, p: P) -> tuple[Num, Num]:
        acts, weights = super().stored_bits(p)
        # With parts along n a lane of activations has the code of one, and the rest of it is empty.
        return acts // cls.layer_outputs(p), weights

    @property
    def act_port_meaning(self) -> str:
        return "16-bit lanes, the first code in the lowest bits" if self._simd else super().act_port_meaning

    @property
    def weight_port_meaning(self) -> str:
        return self.act_port_meaning

    @property
    def sum_meaning(self) -> str:
        nar = "NaR is 100..0" if self.format != "fp4" else "no NaR"
        if not _along_n(self.p):
            return f"group sums in units of 2**{self.lsb_exp}, {nar}"
        return f"quarters of the quire in units of 2**{self.lsb_exp} (p16), or sums in units of 2**-12, {nar}"

    @classmethod
    def _element(cls, p: P) -> tuple[Num, Num]:
        """Bits of significand and of shift of a decoded element of a single format."""
        if p["format"] == "fp4":
            return 2, 2
        return maximum(p["posit_bits"] - 2 - p["es"], 1), maximum(unsigned_bits(2 * _max_exp(p)), 1)

    @classmethod
    def _nar_bits(cls, p: P) -> int:
        """NaR flags of a cell."""
        if p["format"] == "fp4":
            return 0
        return QUARTERS if _along_n(p) else 1

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        if _is_simd(p):
            return p["k"] * _LANE_BUS + 1
        significand, shift = cls._element(p)
        return p["k"] * (1 + significand + shift) + cls._nar_bits(p)

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * _LANE_BUS + cls._nar_bits(p) if _is_simd(p) else cls.row_bus_bits(p)

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        largest = 144 if p["format"] == "fp4" else 1 << int(4 * (_max_exp(p) if not _is_simd(p) else 28))
        return -largest, largest

    @classmethod
    def _magnitude_bits(cls, p: P) -> Num:
        """Bits of the magnitude of a product of a single format."""
        return 8 if p["format"] == "fp4" else 4 * _max_exp(p) + 1

    @classmethod
    def _dot_bits(cls, p: P) -> Num:
        """Two's-complement bits of a step's sum of a single format, its carry still to come."""
        if p["format"] == "fp4":
            return bits_for(-144 * p["k"] - p["k"], 144 * p["k"])
        most = 4 * _max_exp(p)
        # k products of 2**most, and k more where zeros with a sign are −1 until their carries arrive.
        longer = where((p["k"] - 1) >> where(most < 30, most, 30) > 0, 1, 0)
        return most + unsigned_bits(p["k"]) + longer + 1

    @classmethod
    def _segment_bits(cls, p: P) -> Num:
        """Bits of a quarter of a SIMD quire."""
        if p["quire"] == "xr_npe":
            return 0 * p["depth"] + _XR_NPE_BITS
        whole = 2 * (WIDE.fixed_bits - 2) + 1 + unsigned_bits(p["depth"])
        # Along K the lower half of a lane gets one product more when their number is odd.
        own = ceil_div(p["depth"], 1 if _along_n(p) else 2)
        return maximum(ceil_div(whole, QUARTERS), 2 * (PART.fixed_bits - 2) + 1 + unsigned_bits(own))

    @classmethod
    def sums_of_cell(cls, p: P) -> Num:
        return QUARTERS if _along_n(p) else 1

    @classmethod
    def acc_bits(cls, p: P) -> Num:
        if _is_simd(p):
            return cls._segment_bits(p) * (1 if _along_n(p) else QUARTERS)
        if p["format"] == "fp4":
            return bits_for_multiple(-144, 144, p["depth"])
        return 4 * _max_exp(p) + unsigned_bits(p["depth"]) + 1

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        if _along_n(p):
            # A quarter and what it is: see `_tagged`.
            return cls._segment_bits(p) + 2
        if _is_simd(p):
            # With a carry a quarter, NaR, and whether the quarters are one number.
            return QUARTERS * (cls._segment_bits(p) + 1) + 2
        return cls._dot_bits(p) + cls._nar_bits(p)

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        return 0 if _is_simd(p) else 1

    @classmethod
    def post_latency(cls, p: P) -> Num:
        return 5 if p["readout"] == "fp32" else 6

    @property
    def scales_by_lanes(self) -> bool:
        return self.lanes > 0

    def _unit(self, mode: int) -> int:
        """Exponent of the unit of a mode's sums along N, and of a tile for one format."""
        if not self._simd:
            return 2 * self._form.lsb_exp
        return 2 * (WIDE if SIMD[mode].parts == 1 else PART).lsb_exp

    @property
    def lsb_exp(self) -> int:
        return self._unit(0)

    @property
    def row_lsb_exp(self) -> int:
        # Sums along K have the unit of mode p16 whatever the formats of the layer are.
        return self.act_format.lsb_exp

    @property
    def zero_values(self) -> range:
        return range(1)

    # ------------------------------------------------------------------ what the manifest says

    def act_packing(self, mode: int) -> dict[str, Any]:
        form = self.mode_formats(mode)[0]
        if not self._simd:
            return self.plain_packing(form)
        parts = SIMD[mode].parts if self.simd_along == "k" else 1
        unused = list(range(parts * form.code_bits, _LANE_BITS))
        packing = self.plain_packing(form, parts)
        return {**packing, "ignored_bits": unused} if unused else packing

    def weight_packing(self, mode: int) -> dict[str, Any]:
        return self.plain_packing(self.mode_formats(mode)[1], SIMD[mode].parts if self._simd else 1)

    def arithmetic(self, mode: int) -> dict[str, Any]:
        form = self.mode_formats(mode)[0]
        parts = SIMD[mode].parts if _along_n(self.p) else 1
        bits = int(self.acc_bits(self.p))
        found: dict[str, Any] = {
            "kind": "quire",
            "definition": "sum over the group's steps and k of activation times weight, exact; NaR once an operand of "
            "the sum was NaR",
            "acts": {"encoding": form.name},
            "weights": {"encoding": form.name},
            "unit_exp": self._unit(mode) if _along_n(self.p) else self.lsb_exp,
            "nar": "100..0" if self.format != "fp4" else None,
            "accumulator": self.accumulator_rule(),
            "outputs": parts,
            "words": {"count": int(self.sums_of_cell(self.p)), "bits": bits, "sums": parts, "every": 1},
        }
        if _along_n(self.p):
            found["weight_order"] = "weight k * outputs + j belongs to activation k and output j"
            found["words"] |= {"every": QUARTERS // parts if parts > 1 else 1, "whole": parts == 1}
            found["words"]["definition"] = (
                "the sum is one number of all words, lowest first"
                if parts == 1
                else "word j * every is the sum of output j, the others are 0"
            )
        return found

    def post_arithmetic(self) -> dict[str, Any]:
        found = {**super().post_arithmetic(), "unit_exp": self.lsb_exp}
        if self.format != "fp4":
            found["specials"] = f"NaR gives NaN; {found['specials']}"
        if self.readout != "fp32":
            found["rounding"] = "to odd (cut off, the last bit set where something was lost)"
            found["result"] = "the FP32 result rounded to nearest even into the output's encoding"
        return found

    @property
    def result_format(self) -> str:
        return self._output_format.name

    # ------------------------------------------------------------------ inventory

    @classmethod
    def _decoder(cls, form: Format | None, p: P) -> Counts:
        """A decoder of one code; None is the single format of ``p``."""
        if p["format"] == "fp4" or (form is not None and not isinstance(form, PositFormat)):
            return {"add": 2, "and": 1}
        bits, es = (form.code_bits, form.es) if isinstance(form, PositFormat) else (p["posit_bits"], p["es"])
        shift = maximum(unsigned_bits(2 * (bits - 2) * 2**es), 1)
        return {"add": bits - 1 + where(es > 0, shift, 0), "and": bits * bits + 12 * es}

    @classmethod
    def _fronts(cls, p: P, broadcast: bool) -> Counts:
        if not _is_simd(p):
            return {name: p["k"] * number for name, number in cls._decoder(None, p).items()}
        total: Counts = {}
        for mode in SIMD:
            for name, number in cls._decoder(get(mode.format), p).items():
                total[name] = total.get(name, 0) + p["k"] * (1 if broadcast else mode.parts) * number
        # The choice of the mode's fields, and zeros for the decoders of other modes.
        total["mux2"] = p["k"] * 98
        total["and"] = total["and"] + p["k"] * len(SIMD) * _LANE_BITS
        return total

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        found = cls._fronts(p, _along_n(p))
        # Two of the modes are raised to the shared unit.
        return {**found, "add": found["add"] + p["k"] * 34} if _is_simd(p) else found

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        return cls._fronts(p, False)

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        k = p["k"]
        if not _is_simd(p):
            significand, _ = cls._element(p)
            magnitude = cls._magnitude_bits(p)
            shift = unsigned_bits(magnitude - 1)
            # Stages widen the product one after the other.
            muxes: Num = 0
            for stage in range(10):
                reached = 2 * significand + (2 << stage) - 1
                muxes = muxes + where(stage < shift, where(reached < magnitude, reached, magnitude), 0)
            return {
                "mul": k * where(significand > 1, significand * significand, 0),
                "add": k * shift + (k - 1) * (magnitude + 1 + clog2(k) // 2 + 1),
                "mux2": k * muxes,
                "xor": k * (magnitude + 1),
            }
        width = QUARTERS * cls._segment_bits(p)
        return {
            "mul": k * SPLIT_WIDTH * SPLIT_WIDTH,
            "add": k * (19 + 23 + 27 + 7 + 3 * 5) + (k - 1) * (width + QUARTERS),
            # Where zeros are shifted in, and above the products, the shifter has gates only.
            "mux2": k * (7 * width - 153),
            "xor": k * width,
            "and": k * (QUARTERS * SPLIT_WIDTH + 3 * 63 + 192),
        }

    @classmethod
    def accumulator_primitives(cls, p: P) -> Counts:
        if p["format"] == "fp4":
            return super().accumulator_primitives(p)
        nar = cls._nar_bits(p)
        if not _is_simd(p):
            acc = cls.acc_bits(p)
            return {"add": acc, "and": 2 * acc, "ff": acc + nar}
        width = QUARTERS * cls._segment_bits(p)
        if _along_n(p):
            return {"add": width + QUARTERS, "and": 5 * width // 2, "mux2": width, "ff": width + nar + 1}
        read = 3 * (cls._segment_bits(p) + 1)
        return {"add": width + QUARTERS + read, "and": 3 * width, "mux2": 3 * width, "ff": width + nar + 1}

    @classmethod
    def post_blocks(cls, p: P) -> dict[str, Block]:
        found = super().post_blocks(p)
        if p["readout"] == "fp32":
            return found
        lane, store = found["post_lane"], found["post_store"]
        bits = cls._output_bits(p)
        more = {"ff": bits, "mux2": 5 * 32, "add": bits + 12}
        merged = {name: lane.primitives.get(name, 0) + more.get(name, 0) for name in {**lane.primitives, **more}}
        found["post_lane"] = Block(lane.count, merged)
        found["post_store"] = Block(store.count, {**store.primitives, "ff": store.primitives["ff"] + 1})
        return found

    @classmethod
    def _output_bits(cls, p: P) -> Num:
        """Bits of a result that is not FP32."""
        return p["posit_bits"] if p["readout"] == "posit" and not _is_simd(p) else 16

    # ------------------------------------------------------------------ reference

    @cached_property
    def _nar(self) -> int:
        """What stands for NaR among sums: 100..0 of all of a cell's words."""
        return -(1 << (int(self.acc_bits(self.p)) * int(self.sums_of_cell(self.p)) - 1))

    def _pack(self, codes: np.ndarray, mode: int, parts: int) -> np.ndarray:
        """Codes [..., K · parts] → 16-bit lanes [..., K], ``parts`` codes each."""
        bits = self.mode_formats(mode)[0].code_bits
        grid = np.asarray(codes).reshape(*np.shape(codes)[:-1], -1, parts).astype(np.uint32)
        words: np.ndarray = np.bitwise_or.reduce(grid << (bits * np.arange(parts, dtype=np.uint32)), axis=-1)
        return words

    def pack_acts(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        if not self._simd:
            return codes
        return self._pack(codes, mode, SIMD[mode].parts if self.simd_along == "k" else 1)

    def pack_weights(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        return self._pack(codes, mode, SIMD[mode].parts) if self._simd else codes

    @cached_property
    def _python_integers(self) -> bool:
        """Whether the reference computes in Python integers: sums wider than int64, or of several widths."""
        return _along_n(self.p) or self.sum_dtype is object

    def _integers(self, codes: np.ndarray, mode: int) -> tuple[np.ndarray, np.ndarray]:
        """Codes as Python integers of the format's unit (NaR: 0), and which are NaR."""
        form = self.mode_formats(mode)[0]
        values = form.decode(codes)
        nar: np.ndarray = np.isnan(values)
        scaled = np.where(nar, 0.0, values) * 2.0**-form.lsb_exp
        if self._python_integers:
            return np.array([int(v) for v in scaled.ravel()], dtype=object).reshape(scaled.shape), nar
        return scaled.astype(np.int64), nar

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        a, a_nar = self._integers(acts, mode)
        w, w_nar = self._integers(weights, mode)
        parts = SIMD[mode].parts if _along_n(self.p) else 1
        sums = []
        for part in range(parts):
            own: np.ndarray = w[..., part::parts]
            own_nar: np.ndarray = np.asarray(w_nar)[..., part::parts]
            row_nar, col_nar = np.asarray(a_nar.any(axis=-1)), np.asarray(own_nar.any(axis=-1))
            nar = row_nar[..., :, None] | col_nar[..., None, :]
            dot = np.matmul(a, np.swapaxes(own, -1, -2)) * (1 << self._raise(mode))
            sums.append(np.where(nar, self._nar, dot))
        if _along_n(self.p):
            zero = np.zeros_like(sums[0])
            places = dict(zip(range(0, QUARTERS, QUARTERS // parts), sums, strict=True))
            sums = [places.get(index, zero) for index in range(QUARTERS)]
        return np.stack(sums, axis=-1)[None]

    def _raise(self, mode: int) -> int:
        """Places by which a mode's products are raised to the unit of the sums."""
        if not self._simd:
            return 0
        unit = self.lsb_exp if self.simd_along == "k" else self._unit(mode)
        return 2 * self.mode_formats(mode)[0].lsb_exp - unit

    def accumulate(self, sums: np.ndarray, term: np.ndarray) -> np.ndarray:
        if self.format == "fp4":
            return super().accumulate(sums, term)
        return np.where((sums == self._nar) | (term == self._nar), self._nar, sums + term)

    @property
    def sums_add_up(self) -> bool:
        return self.format == "fp4"

    def step(
        self,
        state: State,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray] | None = None,
        col: Mapping[str, np.ndarray] | None = None,
        mode: int = 0,
    ) -> State:
        after = super().step(state, acts, weights, row, col, mode)
        return _Words(sums=after.sums, rows=after.rows, mode=mode)

    def read(self, state: State) -> np.ndarray:
        if not _along_n(self.p):
            return state.sums
        bits = int(self.acc_bits(self.p))
        whole = not isinstance(state, _Words) or SIMD[state.mode].parts == 1

        def word(value: int, index: int) -> int:
            """Two's complement of ``bits`` bits from bit ``index`` of a number, as a signed number."""
            cut = (value >> index) & ((1 << bits) - 1)
            return cut - (cut >> (bits - 1) << bits)

        found = np.zeros(state.sums.shape, np.int64)
        for place in np.ndindex(*state.sums.shape[:-1]):
            values = [int(value) for value in state.sums[place]]
            if whole:
                found[place] = [word(values[0], bits * index) for index in range(QUARTERS)]
            else:
                found[place] = [-(1 << (bits - 1)) if value == self._nar else value for value in values]
        return found

    def layer_sums(self, words: np.ndarray) -> np.ndarray:
        """Raw words [..., P] of a layer's mode → sums of each of a column's outputs [..., L]."""
        if not _along_n(self.p):
            return words
        parts, bits = SIMD[self.layer_mode].parts, int(self.acc_bits(self.p))
        if parts > 1:
            own = words[..., :: QUARTERS // parts].astype(object)
            return np.where(own == -(1 << (bits - 1)), self._nar, own)
        wide = words.astype(object)
        limbs = [wide[..., index] & ((1 << bits) - 1) for index in range(QUARTERS - 1)] + [wide[..., -1]]
        total: np.ndarray = sum(limb * (1 << bits * index) for index, limb in enumerate(limbs))
        return total[..., None]

    def scale_sums(
        self,
        sums: np.ndarray,
        rows: np.ndarray,
        row_scale: np.ndarray,
        col_scale: np.ndarray,
        zero: np.ndarray | None,
    ) -> np.ndarray:
        nar = sums == self._nar if self.format != "fp4" else np.zeros(sums.shape, bool)
        scaled = scale_round_reference(
            np.where(nar, 0, sums),
            row_scale[..., :, None],
            get(self.act_scale),
            col_scale[..., None, :],
            get(self.weight_scale),
            self.lsb_exp if self.simd_along == "k" else self._unit(self.layer_mode),
            odd=self.readout != "fp32",
        )
        return np.where(nar, np.uint32(FP32_NAN), scaled)

    def result_codes(self, y: np.ndarray) -> np.ndarray:
        form = self._output_format
        if self.readout == "fp32":
            return y
        return fp32_to_posit_reference(y, form) if isinstance(form, PositFormat) else fp32_to_fp16_reference(y)

    def result_values(self, codes: np.ndarray) -> np.ndarray:
        if self.readout == "fp32":
            return codes
        values = self._output_format.decode(codes).astype(np.float32)
        return np.where(np.isnan(values), np.uint32(FP32_NAN), values.view(np.uint32))

    # ------------------------------------------------------------------ fronts

    def _front(self, m: Module, codes: Any, mode: Value, *, weights: bool) -> Value:
        if self._simd:
            return self._simd_front(m, codes, mode, weights=weights)
        fields: list[Value] = []
        nars: list[Value] = []
        for index in range(self.k):
            if isinstance(self._form, PositFormat):
                posit = posit_unpack(m, codes[index], self._form, f"x{index}")
                fields += [posit.sign, posit.significand, posit.shift]
                nars.append(posit.nar)
            else:
                fields += _fp4(m, codes[index], f"x{index}")
        return Cat(*fields, wire(m, Cat(*nars).any(), "nar")) if nars else Cat(*fields)

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the activations once: two's complement, regime, significand, NaR."""
        return self._front(m, acts, mode, weights=False)

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the weights once: two's complement, regime, significand, NaR."""
        return self._front(m, weights, mode, weights=True)

    def _simd_front(self, m: Module, codes: Any, mode: Value, *, weights: bool) -> Value:
        """Lanes of `_LANE_BUS` bits: the significands of the quarters, their signs, their shifts; then NaR."""
        broadcast = self.simd_along == "n" and not weights
        chosen = [wire(m, mode == index, f"is_{SIMD[index].name}") for index in range(len(SIMD))]
        lanes: list[Value] = []
        nars: list[list[Value]] = [[] for _ in range(QUARTERS)]
        for lane in range(self.k):
            significand = Signal(SPLIT_WIDTH, name=f"lane{lane}_significand")
            signs = [Signal(name=f"lane{lane}_sign{index}") for index in range(QUARTERS)]
            shifts = [Signal(bits, name=f"lane{lane}_shift{index}") for index, bits in enumerate(_SHIFTS)]
            with m.Switch(mode):
                for number, simd in enumerate(SIMD):
                    # Decoders of other modes see zeros and do not switch.
                    word = codes[lane] & chosen[number].replicate(_LANE_BITS)
                    form = get(simd.format)
                    decoded = []
                    for part in range(1 if broadcast else simd.parts):
                        code = word[form.code_bits * part : form.code_bits * (part + 1)]
                        name = f"lane{lane}_{simd.name}_{part}"
                        if isinstance(form, PositFormat):
                            posit = posit_unpack(m, code, form, name)
                            decoded.append((posit.sign, posit.significand, posit.shift))
                            nars[part * QUARTERS // simd.parts].append(posit.nar)
                        else:
                            sign, unsigned, shift = _fp4(m, code, name)
                            decoded.append((sign, unsigned, shift))
                    with m.Case(number) if number + 1 < len(SIMD) else m.Default():
                        for part in range(simd.parts):
                            sign, unsigned, shift = decoded[0 if broadcast else part]
                            place = part * QUARTERS // simd.parts
                            low = SPLIT_CHUNKS[place][0]
                            m.d.comb += significand[low : low + len(unsigned)].eq(unsigned)
                            m.d.comb += signs[place].eq(sign)
                            raised = shift if weights or not simd.align else (shift + simd.align)[: len(shifts[place])]
                            m.d.comb += shifts[place].eq(raised)
            lanes += [significand, *signs, *shifts]
        flags = [wire(m, Cat(*flag).any() if flag else Const(0, 1), f"nar{index}") for index, flag in enumerate(nars)]
        if weights and self.simd_along == "n":
            return Cat(*lanes, *flags)
        return Cat(*lanes, wire(m, Cat(*flags).any(), "nar"))

    # ------------------------------------------------------------------ cell

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Multiplies in one splitting multiplier and shifts the products into the quire."""
        return self._simd_cell(m, row, col, mode) if self._simd else self._single_cell(m, row, col)

    def _single_cell(self, m: Module, row: Value, col: Value) -> list[Addend]:
        significand_bits, shift_bits = (int(bits) for bits in self._element(self.p))
        size, room = 1 + significand_bits + shift_bits, int(self._magnitude_bits(self.p))
        values: list[Value] = []
        signs: list[Value] = []
        for index in range(self.k):
            a, w = row[index * size : (index + 1) * size], col[index * size : (index + 1) * size]
            x, y = a[1 : 1 + significand_bits], w[1 : 1 + significand_bits]
            sign = wire(m, a[0] ^ w[0], f"sign{index}")
            product = wire(m, x & y if significand_bits == 1 else x * y, f"significand{index}")
            shift = wire(
                m, (a[1 + significand_bits :] + w[1 + significand_bits :])[: (room - 1).bit_length()], f"shift{index}"
            )
            placed = Signal(room, name=f"room{index}")
            m.d.comb += placed.eq(product)
            magnitude = shift_left(m, placed, shift, f"magnitude{index}") if len(shift) else placed
            # −x = ~x + 1: the ones go into the adders of the tree as carries.
            flipped = Signal(signed(room + 1), name=f"product{index}")
            m.d.comb += flipped.eq(Cat(magnitude, 0) ^ sign.replicate(room + 1))
            values.append(flipped)
            signs.append(sign)
        total, carry = adder_tree_with_carries(m, values, signs, "dot")
        width = int(self._dot_bits(self.p))
        if self.format == "fp4":
            return [Addend(total[:width].as_signed(), carry)]
        nar = wire(m, row[-1] | col[-1], "nar")
        return [Addend(Cat(total[:width], nar).as_signed(), carry)]

    def _lane(self, bus: Value, index: int) -> _Lane:
        bits = bus[index * _LANE_BUS : (index + 1) * _LANE_BUS]
        begin = SPLIT_WIDTH + QUARTERS
        ends = [begin + sum(_SHIFTS[:place]) for place in range(QUARTERS + 1)]
        shifts = [bits[low:high] for low, high in pairwise(ends)]
        return _Lane(bits[:SPLIT_WIDTH], list(bits[SPLIT_WIDTH:begin]), shifts)

    def _simd_cell(self, m: Module, row: Value, col: Value, mode: Value) -> list[Addend]:
        size = int(self._segment_bits(self.p))
        whole, halves = wire(m, mode == 0, "whole"), wire(m, mode == 1, "halves")
        quarters = wire(m, mode[1], "in_quarters")
        pending: list[list[Value]] = []
        vectors: list[Value] = []
        for index in range(self.k):
            a, w = self._lane(row, index), self._lane(col, index)
            name = f"lane{index}"
            product = split_multiply(m, a.significand, w.significand, whole, halves, name)
            product = wire(m, product, f"{name}_product")
            # Where products of parts lie next to each other: every quarter takes its own.
            entering = [
                Cat(product[:6], product[6:12] & (~quarters).replicate(6), product[12:] & whole.replicate(14)),
                product[6:12] & quarters.replicate(6),
                Cat(product[12:18] & (~whole).replicate(6), product[18:] & halves.replicate(8)),
                product[18:] & quarters.replicate(8),
            ]
            placed = Signal(QUARTERS * size, name=f"{name}_placed")
            m.d.comb += placed.eq(Cat(*(Cat(part, Const(0, size - len(part))) for part in entering)))
            sums = [
                wire(m, x + y, f"{name}_shift{place}")
                for place, (x, y) in enumerate(zip(a.shifts, w.shifts, strict=True))
            ]
            amounts = [
                sums[0],
                *(Mux(whole, sums[0], Cat(other, Const(0, len(sums[0]) - len(other)))) for other in sums[1:]),
            ]
            magnitude = segment_shift_left(m, placed, amounts, whole, f"{name}_magnitude")
            signs = [
                wire(m, x ^ y, f"{name}_sign{place}") for place, (x, y) in enumerate(zip(a.signs, w.signs, strict=True))
            ]
            flips = Cat(
                *(
                    (signs[0] if place == 0 else Mux(whole, signs[0], sign)).replicate(size)
                    for place, sign in enumerate(signs)
                )
            )
            vectors.append(wire(m, magnitude ^ flips, f"{name}_addend"))
            pending.append([signs[0], *(sign & ~whole for sign in signs[1:])])
        # A balanced tree; every adder takes the carries of one lane, the accumulator those of the last.
        level = 0
        while len(vectors) > 1:
            merged = [
                wire(m, segment_add(m, x, y, pending.pop(), whole, f"level{level}_{number}"), f"level{level}_{number}")
                for number, (x, y) in enumerate(zip(vectors[::2], vectors[1::2], strict=False))
            ]
            vectors = merged + vectors[len(merged) * 2 :]
            level += 1
        (carries,) = pending
        (vector,) = vectors
        if self.simd_along == "k":
            nar = row[-1] | col[-1]
            return [Addend(Cat(vector, *carries, nar, whole).as_signed())]
        used = [Const(1, 1), quarters, ~whole, quarters]
        nars = [(row[-1] & use) | flag for use, flag in zip(used, col[-QUARTERS:], strict=True)]
        return [
            Addend(
                Cat(
                    vector[place * size : (place + 1) * size], *_tagged(place, carries[place], nars[place], whole)
                ).as_signed()
            )
            for place in range(QUARTERS)
        ]

    # ------------------------------------------------------------------ quire

    def build_accumulators(
        self, m: Module, addends: list[Addend], clear: Value, enable: Value, fold: Value
    ) -> list[Value]:
        if self.format == "fp4":
            return super().build_accumulators(m, addends, clear, enable, fold)
        if not self._simd:
            return [self._single_quire(m, addends[0], clear, enable)]
        size = int(self._segment_bits(self.p))
        if self.simd_along == "k":
            bundle = addends[0].value
            vector, rest = bundle[: QUARTERS * size], bundle[QUARTERS * size :]
            carries, flags, whole = list(rest[:QUARTERS]), [rest[QUARTERS]], rest[QUARTERS + 1]
        else:
            vector = Cat(*(addend.value[:size] for addend in addends))
            tags = [addend.value[size:] for addend in addends]
            whole = wire(m, tags[1].all(), "whole")
            carries = [tag[0] & ~tag[1] for tag in tags]
            flags = [tag[1] & ~tag[0] for tag in tags]
        state = Signal(QUARTERS * size, name="quire", reset_less=True)
        base = wire(m, state & (~clear).replicate(len(state)), "quire_base")
        total = segment_add(
            m, base, vector, [wire(m, carry, f"carry{i}") for i, carry in enumerate(carries)], whole, "quire_add"
        )
        nars = [Signal(name=f"nar{index}", reset_less=True) for index in range(len(flags))]
        joined = Signal(name="joined", reset_less=True)
        with m.If(enable):
            m.d.sync += [state.eq(total), joined.eq(whole)]
            m.d.sync += [nar.eq((nar & ~clear) | flag) for nar, flag in zip(nars, flags, strict=True)]
        segments = [state[place * size : (place + 1) * size] for place in range(QUARTERS)]
        if self.simd_along == "n":
            words: list[Value] = []
            for place, segment in enumerate(segments):
                nar = wire(m, Mux(joined, nars[0], nars[place]), f"word{place}_nar")
                top = nar if place + 1 == QUARTERS else nar & ~joined
                words.append(Cat(segment[:-1] & (~nar).replicate(size - 1), (segment[-1] & ~nar) | top))
            return words
        # The quarters of a whole number are not added: they are held at zero.
        own = [(segment & (~joined).replicate(size)).as_signed() for segment in segments]
        split = adder_tree(m, own, "parts")
        raised = Signal(signed(QUARTERS * size), name="parts_raised")
        m.d.comb += raised.eq(Cat(Const(0, _PART_SHIFT), split).as_signed())
        number = Mux(joined, state, raised.as_unsigned())
        return [self._with_nar(m, number, nars[0])]

    def _single_quire(self, m: Module, addend: Addend, clear: Value, enable: Value) -> Value:
        from hwgen.pe._blocks import plain_accumulators

        width = int(self._dot_bits(self.p))
        plain = Addend(addend.value[:width].as_signed(), addend.carry)
        (state,) = plain_accumulators(m, self, [plain], clear, enable, int(self.acc_bits(self.p)))
        nar = Signal(name="nar0", reset_less=True)
        with m.If(enable):
            m.d.sync += nar.eq((nar & ~clear) | addend.value[width])
        return self._with_nar(m, state, nar)

    @staticmethod
    def _with_nar(m: Module, number: Value, nar: Value) -> Value:
        """``number``, or 100..0."""
        return wire(m, Cat(number[:-1] & (~nar).replicate(len(number) - 1), number[-1] | nar), "sum")

    # ------------------------------------------------------------------ post lanes

    def post_block(self) -> PostBlock:
        return _PositPost(self)


def _fp4(m: Module, code: Value, name: str) -> list[Value]:
    """Sign, significand and shift of an E2M1 code; value = significand · 2**shift / 2."""
    unpacked = fp_unpack(m, code, get("fp4_e2m1"), name, normalise=False)
    return [unpacked.sign, unpacked.significand, wire(m, (unpacked.exponent - 1)[:2], f"{name}_shift")]


def _tagged(place: int, carry: Value, nar: Value, whole: Value) -> list[Value]:
    """What a quarter is, in two bits: 0 a number, 1 one with a carry to come, 2 NaR, 3 the rest of a whole number."""
    rest = whole if place else Const(0, 1)
    return [rest | (carry & ~nar), rest | nar]


class _PositPost(PostBlock):
    """Post lanes that know NaR and round into the output format."""

    spec: Posit

    def scale(self, m: Module, total: Value, *scales: Any) -> data.View[ScaledLayout]:
        product = super().scale(m, total, *scales)
        if self.spec.format == "fp4":
            return product
        view = Signal(product.shape(), name=f"{scales[-1]}_or_nar")
        m.d.comb += view.as_value().eq(product.as_value())
        m.d.comb += view.nan.eq(product.nan | (total[-1] & ~total[:-1].any()))
        return view

    def round(self, m: Module, product: data.View[ScaledLayout], name: str) -> Value:
        return round_to_fp32(m, product, self.spec.lsb_exp, name, odd=self.spec.readout != "fp32")

    def finish(self, m: Module, valid: Value, results: list[Value]) -> tuple[Value, list[Value]]:
        spec = self.spec
        if spec.readout == "fp32":
            return valid, results
        form = spec._output_format
        late = Signal(name="output_valid")
        m.d.sync += late.eq(valid)
        codes: list[Value] = []
        for lane, result in enumerate(results):
            name = f"lane{lane}_output"
            if isinstance(form, PositFormat):
                code = fp32_to_posit(m, result, form, name)
            else:
                code = fp32_to_fp16(m, result, name)
            register = Signal(len(code), name=f"{name}_reg", reset_less=True)
            with m.If(valid):
                m.d.sync += register.eq(code)
            codes.append(Cat(register, Const(0, 32 - len(code))))
        return late, codes
