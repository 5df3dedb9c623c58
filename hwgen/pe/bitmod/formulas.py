"""Widths, cycles and counts of a bitmod tile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hwgen.arith import (
    float_layout,
)
from hwgen.formats import get
from hwgen.frame.facts import Block, Counts, P
from hwgen.frame.inventory import waiting_sides
from hwgen.frame.numbers import Num, bits_for, ceil_div, clog2, maximum, unsigned_bits, where
from hwgen.frame.primitives import FP32_ADD, within
from hwgen.pe.bitmod.parameters import FIRST_FP, SCALE_BITS, SPECIAL_BITS, WIDTHS, BitmodParameters

__all__ = ["BitmodFormulas"]


PORT_BITS = 8

EXP_BITS = 2

BSIG_BITS = 3

TOP_BSIG = 7

_TOP_WEIGHT = 256
"""Largest magnitude of a weight in halves: −128."""

ENTRIES = 4
"""Special values that selectors choose from."""


@dataclass(frozen=True, kw_only=True)
class BitmodFormulas(BitmodParameters):
    """Widths, cycles and counts of a bitmod tile."""

    @classmethod
    def mode_count(cls, p: P) -> Num:
        return len(WIDTHS)

    @classmethod
    def cycles_per_step(cls, p: P, mode: int = 0) -> Num:
        return ceil_div(WIDTHS[mode], 2) + 0 * p["k"]

    @classmethod
    def layer_cycles(cls, p: P) -> Num:
        # Booth digits of two bits; two terms of FP4 and FP3.
        return ceil_div(p["bits"], 2)

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], get(p["acts"]).code_bits

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], PORT_BITS

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        return {}, {"special": SPECIAL_BITS, "scale": where(p["post_lanes"] > 0, SCALE_BITS, 0)}

    @classmethod
    def code_bits(cls, p: P) -> tuple[Num, Num]:
        acts, _ = super().code_bits(p)
        return acts, p["k"] * p["bits"]

    @classmethod
    def stored_side_bits(cls, p: P) -> tuple[Counts, Counts]:
        row, col = cls.side_bits(p)
        # A selector of an entry of the register file; integers have none.
        return row, {**col, "special": where(p["bits"] <= WIDTHS[FIRST_FP], clog2(ENTRIES), 0)}

    @classmethod
    def _significand_bits(cls, p: P) -> int:
        return float_layout(get(p["acts"])).mantissa_bits + 1

    @classmethod
    def _top_exponent(cls, p: P) -> int:
        return float_layout(get(p["acts"])).max_finite[0]

    @classmethod
    def _top_match(cls, p: P) -> int:
        """Largest e: an activation's exponent plus a term's."""
        return cls._top_exponent(p) + (1 << EXP_BITS) - 1

    @classmethod
    def _match_bits(cls, p: P) -> int:
        """Bits of e."""
        return cls._top_match(p).bit_length()

    @classmethod
    def _aligned_bits(cls, p: P) -> Num:
        """Bits of an aligned magnitude."""
        return cls._significand_bits(p) + p["guard_bits"]

    @classmethod
    def _largest(cls, p: P) -> Num:
        """Largest magnitude of an aligned activation."""
        return (2 ** cls._significand_bits(p) - 1) * 2 ** p["guard_bits"]

    @classmethod
    def _dot_bits(cls, p: P) -> Num:
        if not cls._floating(p):
            # One's complement of an int8 shifted by up to 3, and the carries of the tree.
            top = 2 ** (get(p["acts"]).code_bits - 1 + (1 << EXP_BITS) - 1)
            return bits_for(-top * p["k"], top * p["k"] - 1)
        return bits_for(-p["k"] * cls._largest(p), p["k"] * cls._largest(p))

    @classmethod
    def _shifted_bits(cls, p: P) -> Num:
        """Bits of a step's sum after the shift by bsig."""
        return cls._dot_bits(p) + TOP_BSIG

    @classmethod
    def _frame_bits(cls, p: P) -> Num:
        """F: two bits below a mantissa, as a sum with a number two places lower or more may be one place shorter."""
        return maximum(cls._dot_bits(p), p["acc_mantissa"] + 2)

    @classmethod
    def _acc_exponent_bits(cls, p: P) -> Num:
        """Bits of E: an accumulator's magnitude has at most E bits in units of the least exponent, twice the bound of
        the products.
        """
        return unsigned_bits(unsigned_bits(2 * p["depth"] * cls._largest(p) * _TOP_WEIGHT) + cls._top_exponent(p))

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        if not cls._floating(p):
            return p["k"] * get(p["acts"]).code_bits
        return p["k"] * (1 + cls._top_exponent(p).bit_length() + cls._significand_bits(p))

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * (2 + EXP_BITS) + BSIG_BITS

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        if not cls._floating(p):
            top = 2 ** (get(p["acts"]).code_bits - 1)
            return -top * (_TOP_WEIGHT - 2), top * _TOP_WEIGHT
        top = cls._largest(p) * (_TOP_WEIGHT << cls._top_exponent(p))
        return -top, top

    @classmethod
    def acc_bits(cls, p: P) -> Num:
        if cls._normalised(p):
            return p["acc_mantissa"] + cls._acc_exponent_bits(p)
        return super().acc_bits(p)

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        if not cls._floating(p):
            return cls._shifted_bits(p)
        if not cls._normalised(p):
            # Shifted by the step's exponent.
            return cls._shifted_bits(p) + cls._top_match(p)
        # The exponent of its top place is above it.
        return cls._frame_bits(p) + cls._level_bits(p) - 1

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        return 0 if cls._floating(p) else 1

    @classmethod
    def post_cycles(cls, p: P) -> Num:
        return where(p["post_lanes"] > 0, SCALE_BITS + cls.post_beats(p) + cls.post_loop(p), 0)

    @classmethod
    def post_latency(cls, p: P) -> Num:
        """Copy, 8 bits of the scale, choose, round, add, and cuts."""
        return SCALE_BITS + 4 + cls.post_stages(p)

    @classmethod
    def _mantissa_bits(cls, p: P) -> Num:
        """Bits of the integer that a scale multiplies."""
        return p["acc_mantissa"] if cls._normalised(p) else cls.acc_bits(p)

    @staticmethod
    def _shifter(width: Num, levels: Num) -> Num:
        """Two-way multiplexers of a shift in place."""
        return width * levels

    @staticmethod
    def _grown(width: Num, distances: Iterable[int]) -> Num:
        """Two-way multiplexers of a left shift whose result grows by each distance."""
        total: Num = 0
        for distance in distances:
            width = width + distance
            total = total + width
        return total

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        # Infinity and NaN become the largest finite magnitude.
        return {"and": p["k"] * (cls._significand_bits(p) + 1)} if cls._floating(p) else {}

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        # A weight: choice of the window, E2M1 to fixed point, special value, leading one twice, type.
        return {"mux2": p["k"] * (9 + 8 + 6 + 4 + 4), "and": 10 * p["k"] + 3, "add": 3}

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return not cls.loops(p)

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        k = p["k"]
        if not cls._floating(p):
            bits = get(p["acts"]).code_bits
            return {
                "xor": k * bits,
                "and": k * (bits + 1),
                "mux2": k * cls._grown(bits, (1, 2)) + cls._grown(cls._dot_bits(p), (1, 2, 4)),
                "add": (k - 1) * (bits + 3 + clog2(k) // 2 + 1),
            }
        match, aligned = cls._match_bits(p), cls._aligned_bits(p)
        levels = clog2(aligned)
        mux = (k - 1) * match + k * cls._shifter(aligned, levels)
        if not cls._normalised(p):
            mux = mux + cls._grown(cls._dot_bits(p), (1, 2, 4))
            top = cls._top_match(p)
            distances = [min(1 << stage, top - (1 << stage) + 1) for stage in range(top.bit_length())]
            mux = mux + cls._grown(cls._shifted_bits(p), distances)
        level = unsigned_bits(cls._dot_bits(p)) + cls._level_bits(p) - 1 if cls._normalised(p) else 0
        return {
            # Exponents: sum, comparison and difference; tree and one negation; the exponent of the top place.
            "add": (3 * k - 1) * match + (k - 1) * (aligned + 2 + clog2(k) // 2) + aligned + 1 + level,
            "mux2": mux,
            "and": k * (match + cls._significand_bits(p) + aligned),
            "xor": k * (aligned + 2),
        }

    @classmethod
    def accumulator_primitives(cls, p: P) -> Counts:
        if not cls._normalised(p):
            return super().accumulator_primitives(p)
        frame, bits, width = cls._frame_bits(p), cls._acc_exponent_bits(p), p["acc_mantissa"]
        room = cls._level_bits(p)
        return {
            "ff": cls.loop_registers(p, width + bits, frame + room - 1),
            # Difference, sum, two of the new exponent.
            "add": room + frame + 1 + room + room,
            # Choice of the operand, swap, shift right, count and shift left, choice of the exponent and of the state.
            "mux2": where(cls.ring_stages(p) > 1, 2 * frame, 0)
            + width
            + bits
            + 3 * frame
            + cls._shifter(frame, clog2(frame) + 1)
            + cls._shifter(frame + 1, unsigned_bits(frame))
            + frame
            + room,
            "and": width + 2 * bits + frame + cls._dot_bits(p),
            "xor": frame + room - 1,
        }

    @classmethod
    def _level_bits(cls, p: P) -> Num:
        """Bits in which the exponents of both operands are compared, with sign."""
        largest = cls._top_match(p) + TOP_BSIG + cls._dot_bits(p) - 1
        return maximum(cls._acc_exponent_bits(p), unsigned_bits(largest)) + 1

    @classmethod
    def post_blocks(cls, p: P) -> dict[str, Block]:
        m, n, lanes = p["m"], p["n"], maximum(p["post_lanes"], 1)
        has = where(p["post_lanes"] > 0, 1, 0)
        beats = ceil_div(m * n, lanes)
        mantissa = cls._mantissa_bits(p)
        exponent = cls.acc_bits(p) - mantissa
        product = mantissa + SCALE_BITS
        counters = unsigned_bits(SCALE_BITS + beats) + clog2(beats)
        store: Counts = {
            # Of the group three flags, three in each of two stages and cuts, and the valid bit.
            "ff": counters
            + 3
            + 3 * (2 + p["post_cuts"])
            + 2 * cls.post_loop(p)
            + 1
            + n * SCALE_BITS
            + m * n * (mantissa + exponent + product),
            "add": m * n * (mantissa + 1) + counters + 2 * unsigned_bits(SCALE_BITS + beats),
            "mux2": n * SCALE_BITS,
            "and": m * n * (2 * mantissa + 1),
            "xor": m * n * mantissa,
        }
        # Only products of bf16 reach the subnormals of FP32.
        subnormals = int(p["acts"] == "bf16")
        parts: Counts = {
            "ff": product
            + exponent
            + within(p["post_cuts"], product + exponent, 32)
            + 32
            + 32 * beats
            + within(cls.post_loop(p), 64, 32),
            # Negation, rounding, and the exponent with its constant and the normalising distance.
            "add": product + 31 + 2 * 10,
            # Choice of a cell, normalise, denormalise.
            "mux2": (beats - 1) * (product + exponent) + product * clog2(product) + subnormals * 25 * 6,
            "xor": product,
            "and": 8 + subnormals * 64,
        }
        lane: Counts = {name: FP32_ADD.get(name, 0) + count for name, count in parts.items()}
        return {
            "post_side": Block(has, {"ff": waiting_sides(cls, p)}),
            "post_store": Block(has, store),
            "post_lane": Block(p["post_lanes"], lane),
        }
