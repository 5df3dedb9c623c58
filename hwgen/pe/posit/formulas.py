"""Widths, cycles and counts of a posit tile."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.arith.split_multiply import SPLIT_WIDTH
from hwgen.formats import Format, PositFormat, get
from hwgen.frame.facts import Block, Counts, P
from hwgen.frame.numbers import Num, bits_for, bits_for_multiple, ceil_div, maximum, unsigned_bits, where
from hwgen.frame.primitives import merge, within
from hwgen.pe._products import joins_tree, negates_first, product_counts, tree_counts
from hwgen.pe.posit.parameters import (
    PART,
    QUARTERS,
    SIMD,
    SIMD_MODES,
    WIDE,
    XR_NPE_BITS,
    PositParameters,
    along_n,
    is_simd,
)

__all__ = ["PositFormulas"]


LANE_BITS = 16

# A lane on a SIMD bus: significands, signs and shifts of the quarters; the first shift also serves the whole lane.
SHIFTS = (6, 4, 4, 4)

LANE_BUS = SPLIT_WIDTH + QUARTERS + sum(SHIFTS)


def _max_exp(p: P) -> Num:
    """Exponent of maxpos of a single posit format."""
    return (p["posit_bits"] - 2) * 2 ** p["es"]


@dataclass(frozen=True, kw_only=True)
class PositFormulas(PositParameters):
    """Widths, cycles and counts of a posit tile."""

    @classmethod
    def mode_count(cls, p: P) -> Num:
        return len(SIMD) if is_simd(p) else 1

    @classmethod
    def layer_k(cls, p: P) -> Num:
        return p["k"] * SIMD[SIMD_MODES[p["operands"]]].parts if is_simd(p) and p["simd_along"] == "k" else p["k"]

    @classmethod
    def layer_outputs(cls, p: P) -> Num:
        return SIMD[SIMD_MODES[p["operands"]]].parts if along_n(p) else 1

    @classmethod
    def sum_group(cls, p: P) -> Num:
        """With ``group`` 0 the quire is read out every ``depth`` products."""
        return where(p["group"] > 0, p["group"], p["depth"] - p["depth"] % cls.layer_k(p))

    @classmethod
    def scale_formats(cls, p: P) -> tuple[str, str]:
        return p["act_scale"], p["weight_scale"]

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        if is_simd(p):
            return p["k"], LANE_BITS
        return p["k"], 4 if p["format"] == "fp4" else p["posit_bits"]

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return cls.act_port(p)

    @classmethod
    def code_bits(cls, p: P) -> tuple[Num, Num]:
        acts, weights = super().code_bits(p)
        # With parts along n a lane of activations has the code of one, and the rest of it is empty.
        return acts // cls.layer_outputs(p), weights

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
        return QUARTERS if along_n(p) else 1

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        if is_simd(p):
            return p["k"] * LANE_BUS + 1
        significand, shift = cls._element(p)
        return p["k"] * (1 + significand + shift) + cls._nar_bits(p)

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * LANE_BUS + cls._nar_bits(p) if is_simd(p) else cls.row_bus_bits(p)

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        largest = 144 if p["format"] == "fp4" else 1 << int(4 * (_max_exp(p) if not is_simd(p) else 28))
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
            return 0 * p["depth"] + XR_NPE_BITS
        whole = 2 * (WIDE.fixed_bits - 2) + 1 + unsigned_bits(p["depth"])
        # Along K the lower half of a lane gets one product more when their number is odd.
        own = ceil_div(p["depth"], 1 if along_n(p) else 2)
        return maximum(ceil_div(whole, QUARTERS), 2 * (PART.fixed_bits - 2) + 1 + unsigned_bits(own))

    @classmethod
    def sums_of_cell(cls, p: P) -> Num:
        return QUARTERS if along_n(p) else 1

    @classmethod
    def acc_bits(cls, p: P) -> Num:
        if is_simd(p):
            return cls._segment_bits(p) * (1 if along_n(p) else QUARTERS)
        if p["format"] == "fp4":
            return bits_for_multiple(-144, 144, p["depth"])
        return 4 * _max_exp(p) + unsigned_bits(p["depth"]) + 1

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        if along_n(p):
            # A quarter and what it is: see `_tagged`.
            return cls._segment_bits(p) + 2
        if is_simd(p):
            # With a carry a quarter, NaR, and whether the quarters are one number.
            return QUARTERS * (cls._segment_bits(p) + 1) + 2
        return cls._dot_bits(p) + cls._nar_bits(p)

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        return 0 if is_simd(p) else where(cls._negates_first(p), 0, 1)

    @classmethod
    def _product_bits(cls, p: P) -> Num:
        """Bits of a product of significands of a single format; one-bit ones are a mask."""
        significand, _ = cls._element(p)
        return where(significand > 1, 2 * significand, 1)

    @classmethod
    def _negates_first(cls, p: P) -> Num:
        """Whether products of a single format are negated before they are shifted."""
        return negates_first(p, cls._product_bits(p), cls._magnitude_bits(p))

    @classmethod
    def sums_in_tree(cls, p: P) -> Num:
        return joins_tree(cls, p, cls._negates_first(p))

    @classmethod
    def post_latency(cls, p: P) -> Num:
        return super().post_latency(p) + (0 if p["readout"] == "fp32" else 1 + cls.readout_cuts(p))

    @classmethod
    def readout_cuts(cls, p: P) -> Num:
        """Registers within the rounding of results into the output's format."""
        return p["post_cuts"] // 2

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
        if not is_simd(p):
            return {name: p["k"] * number for name, number in cls._decoder(None, p).items()}
        total: Counts = {}
        for mode in SIMD:
            for name, number in cls._decoder(get(mode.format), p).items():
                total[name] = total.get(name, 0) + p["k"] * (1 if broadcast else mode.parts) * number
        # The choice of the mode's fields, and zeros for the decoders of other modes.
        total["mux2"] = p["k"] * 98
        total["and"] = total["and"] + p["k"] * len(SIMD) * LANE_BITS
        return total

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        found = cls._fronts(p, along_n(p))
        # Two of the modes are raised to the shared unit.
        return {**found, "add": found["add"] + p["k"] * 34} if is_simd(p) else found

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        return cls._fronts(p, False)

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def cell_enabled(cls, p: P) -> Num:
        # An idle cycle may be in another mode than the sums.
        return where(is_simd(p), 1, super().cell_enabled(p))

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        k = p["k"]
        if not is_simd(p):
            significand, _ = cls._element(p)
            magnitude = cls._magnitude_bits(p)
            first = cls._negates_first(p)
            placed = product_counts(first, cls._product_bits(p), magnitude, magnitude - 1)
            multiplied = where(significand > 1, significand * significand, 0)
            each = merge(placed, {"mul": multiplied, "add": unsigned_bits(magnitude - 1)})
            return merge({name: k * count for name, count in each.items()}, tree_counts(cls, p, magnitude + 1, first))
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
        if not is_simd(p):
            acc = cls.acc_bits(p)
            return {"add": where(cls.sums_in_tree(p), 0, acc), "and": 2 * acc, "ff": acc + nar}
        width = QUARTERS * cls._segment_bits(p)
        if along_n(p):
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
        more = {"ff": bits + within(cls.readout_cuts(p), 32, bits), "mux2": 5 * 32, "add": bits + 12}
        merged = {name: lane.primitives.get(name, 0) + more.get(name, 0) for name in {**lane.primitives, **more}}
        found["post_lane"] = Block(lane.count, merged)
        found["post_store"] = Block(
            store.count, {**store.primitives, "ff": store.primitives["ff"] + 1 + cls.readout_cuts(p)}
        )
        return found

    @classmethod
    def _output_bits(cls, p: P) -> Num:
        """Bits of a result that is not FP32."""
        return p["posit_bits"] if p["readout"] == "posit" and not is_simd(p) else 16
