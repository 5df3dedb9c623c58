"""BitMoD: bit-serial weights of mixed data types, one power-of-two term a cycle, times floating-point activations.

Weights are int8, int6, int5, FP4 or FP3 with a special value per group (`hwgen.formats.BitmodFormat`), a run-time mode
each; parameter ``bits`` names the one in which layers run. A weight is a sum of terms ±2^exp·2^bsig in units of one
half, one a cycle: radix-4 Booth digits 0 … 3 of integers (bsig 1, 3, 5, 7; exp 0, 1; 4 cycles for int8, 3 for int6 and
int5), leading one and next one of FP magnitudes (bsig 1, then 0; exp 0 … 3; 2 cycles). Columns encode terms, rows
unpack activations, both once.

Special values. A column gets its group's special value with the group's side information: sign and magnitude in halves.
Selectors become special values in a register file of four entries in front of the columns (`SpecialTable`, emitted
beside the tile), programmed at run time through a write port; it flags entries that two terms cannot reach (of which
the tile would add the two leading ones), and an entry that nobody has programmed makes -0 a 0.

Cell, floating-point activations a = ±sig·2^(exp − bias − mantissa bits), subnormals with exponent 1 and no hidden bit,
infinity and NaN as the largest finite magnitude with their sign. In every cycle, exactly:

1. e_k = exp_k + the term's exp for activations that have a term, 0 for the others; e = max e_k.
2. d = Σ_k ±((sig_k·2^guard_bits) >> (e − e_k)), magnitudes truncated, of W bits; the step adds d·2^(e + bsig).
3. Accumulator M·2^(E − P + 1), M in two's complement of P = ``acc_mantissa`` bits, normalised (its two top bits differ;
   zero is M = E = 0). d and M each stand on top of a frame of F = max(W, P + 2) bits; the one whose frame has the lower
   exponent is shifted right to the other's, rounded down (floor). The sum (F + 1 bits) is normalised and cut to its P
   top bits, rounded down. d = 0 changes nothing. E needs 6 bits for fp16, as in the paper; nothing shifts by bsig.

``accumulator exact`` adds d·2^(e + bsig) into a fixed-point accumulator that spans the format (fp16). int8 activations
are multiplied and added as integers, exactly. Raw sums are words M + E·2^P, or those integers.

Post lanes: a cell's group sum times its column's 8-bit scale, bit-serial (the last bit has a negative weight), 8 cycles
for all cells at once beside the next group; then a lane visits its cells, one a cycle, rounds the product to FP32
(exact for P <= 17) and adds it to the output. ``post_lanes`` = n is the paper's one FP32 accumulator a column.
Channel scales and token scales are applied after the tile (`QTensor.outer`).

Timing: 4, 3, 3, 2, 2 cycles a step by mode, latency 1 + stages; post 8 + m·n / post_lanes cycles a group.
Source: BitMoD (HPCA'25, arXiv 2411.11745), equation 4, Table IV, Figure 5. The order of operations in 1 to 3, the mask
between the two leading ones and the rule for terms that are 0 are ours; the published RTL differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.arith import (
    FloatLayout,
    ScaledLayout,
    absolute,
    add_with_carry,
    adder_tree_with_carries,
    beyond_two_terms,
    booth_digit,
    booth_reference,
    conditional_negate,
    extend,
    float_layout,
    fp_unpack,
    leading_zeros,
    max_exponent,
    round_to_fp32,
    scale_round_reference,
    shift_left,
    shift_right,
    two_terms,
    two_terms_reference,
    unpack_reference,
    wire,
)
from hwgen.arith.select import select
from hwgen.formats import BitmodFormat, Format, QTensor, get
from hwgen.formats.bitmod import MAGNITUDE_BITS
from hwgen.pe._inventory import FP32_ADD, waiting_sides
from hwgen.pe._numbers import Num, bits_for, ceil_div, clog2, maximum, unsigned_bits, where
from hwgen.pe._param import Range, again, param
from hwgen.pe._post import PostBlock
from hwgen.pe._spec import Addend, Block, Companion, Counts, Mode, P, Quantization, Side, TileSpec

__all__ = ["Bitmod", "BitmodPost", "SpecialTable"]

WIDTHS = (8, 6, 5, 4, 3)
"""Weight widths by run-time mode: int8, int6, int5, FP4, FP3."""
_FIRST_FP = 3
"""The first mode with floating-point weights."""
_PORT_BITS = 8
_EXP_BITS = 2
_BSIG_BITS = 3
_TOP_BSIG = 7
_TOP_WEIGHT = 256
"""Largest magnitude of a weight in halves: −128."""
_SPECIAL_BITS = 1 + MAGNITUDE_BITS
_SCALE_BITS = 8
ENTRIES = 4
"""Special values that selectors choose from."""


def _shift_right_signed(m: Module, value: Value, amount: Value, name: str) -> Value:
    """Signed ``value`` shifted right by unsigned ``amount`` of any width, rounded down."""
    width = len(value)
    stages = min(len(amount), (width - 1).bit_length())
    sign = wire(m, value[-1], f"{name}_sign")
    bits: Value = value.as_unsigned()
    for stage in range(stages):
        distance = 1 << stage
        shifted = Cat(bits[distance:], sign.replicate(min(distance, width)))
        bits = wire(m, Mux(amount[stage], shifted, bits), f"{name}_by{distance}")
    if len(amount) > stages:
        bits = wire(m, Mux(amount[stages:].any(), sign.replicate(width), bits), name)
    return bits.as_signed()


def _shift_left_signed(m: Module, value: Value, amount: Value, largest: int, name: str) -> Value:
    """Signed ``value`` times 2**amount for an ``amount`` of at most ``largest``, in as many more bits."""
    room = 0
    for stage in range(largest.bit_length()):
        distance = 1 << stage
        room = min(room + distance, largest)
        moved = Signal(signed(len(value) + min(distance, room)), name=f"{name}_by{distance}")
        m.d.comb += moved.eq(Mux(amount[stage], Cat(Const(0, distance), value).as_signed(), value))
        value = moved
    return value


class SpecialTable(wiring.Component):
    """Register file of four special values in front of the columns of a tile.

    Members
    -------
    write, address, value: store ``value`` (sign on top of a magnitude in halves) in entry ``address`` at the next edge.
    selectors: two bits a column. specials: each column's special value, combinational.
    error: an entry is not the sum of two powers of two. Reset makes all entries 0, so that -0 means 0.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        super().__init__(
            {
                "write": In(1),
                "address": In(clog2(ENTRIES)),
                "value": In(_SPECIAL_BITS),
                "selectors": In(clog2(ENTRIES) * columns),
                "specials": Out(_SPECIAL_BITS * columns),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        entries = [Signal(_SPECIAL_BITS, name=f"entry{index}") for index in range(ENTRIES)]
        errors = []
        for index, entry in enumerate(entries):
            with m.If(self.write & (self.address == index)):
                m.d.sync += entry.eq(self.value)
            errors.append(beyond_two_terms(m, entry[:MAGNITUDE_BITS], f"beyond{index}"))
        m.d.comb += self.error.eq(Cat(*errors).any())
        chosen = []
        for column in range(self.columns):
            selector = self.selectors[2 * column : 2 * column + 2]
            chosen.append(select(m, entries, selector, f"column{column}"))
        m.d.comb += self.specials.eq(Cat(*chosen))
        return m


@dataclass(frozen=True, kw_only=True)
class Bitmod(TileSpec):
    """BitMoD tile."""

    m: int = again(TileSpec, "m", sweep=(1, 2))
    n: int = again(TileSpec, "n", default=4, sweep=(2, 4))
    k: int = again(TileSpec, "k", sweep=(2, 4))
    overflow: str = again(TileSpec, "overflow", sweep=("refuse",))
    bits: int = param(
        4, "weights of layers: 8, 6, 5 integers, 4 and 3 FP", legal=WIDTHS, sweep=(3, 4, 6, 8), unit="bit"
    )
    acts: str = param("fp16", "activation format", legal=("fp16", "bf16", "int8"), sweep=("fp16", "bf16", "int8"))
    guard_bits: int = param(
        3, "bits kept below the last place in the alignment of a step", legal=Range(0, 8), sweep=(0, 3), unit="bit"
    )
    accumulator: str = param(
        "normalised",
        "group sums of fp activations: truncated floating point, or exact fixed point; integers are always exact",
        legal=("normalised", "exact"),
        sweep=("normalised", "exact"),
    )
    acc_mantissa: int = param(
        15, "mantissa of a normalised accumulator, sign included", legal=Range(8, 32), sweep=(12, 15), unit="bit"
    )
    specials: str = param("", "special values of selectors 0 to 3 in layers, e.g. -5,5,-10,10; empty: the format's")
    act_scale: str = param("bf16", "format of the activations' scale, which is always 1", legal=("bf16", "fp16"))
    post_lanes: int = param(
        4,
        "FP32 accumulators that visit the scaled group sums; n is one a column, 0 gives raw sums",
        legal=Range(0, 1024),
        sweep=(0, 2),
    )

    cell_uses_phase: ClassVar[bool] = False
    POST_SIDES: ClassVar[tuple[str, ...]] = ("scale",)

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Lanes that are not named are as many as fit the columns."""
        return cls.fitting_lanes(dict(values), cls.parameters()["post_lanes"].default)

    # ------------------------------------------------------------------ formats and modes

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        yield (
            not (p["acts"] == "bf16" and p["accumulator"] == "exact"),
            "accumulator must be normalised with acts bf16, not {accumulator}; fixed point would span 8 exponent bits",
        )
        normalised = cls._normalised(p)
        yield (
            not normalised or p["overflow"] == "refuse",
            "overflow must be refuse with a normalised accumulator, not {overflow}; its exponent spans depth products",
        )
        yield (
            # Rounding down drifts: with this many updates an accumulator stays within twice the exact bound.
            (not normalised) | (64 * p["depth"] <= p["k"] * 2 ** p["acc_mantissa"]),
            "depth must be at most k · 2^(acc_mantissa − 6) with a normalised accumulator, not {depth}; "
            "use a wider --acc-mantissa, a smaller --depth or --accumulator exact",
        )

    @staticmethod
    def _floating(p: P) -> bool:
        return bool(p["acts"] != "int8")

    @classmethod
    def _normalised(cls, p: P) -> bool:
        return cls._floating(p) and bool(p["accumulator"] == "normalised")

    @property
    def sum_signed(self) -> bool:
        """Whether raw sums are integers; normalised accumulators give code words."""
        return not self._normalised(self.p)

    @property
    def sums_add_up(self) -> bool:
        return not self._normalised(self.p)

    @property
    def sum_meaning(self) -> str:
        if not self._normalised(self.p):
            return "group sums, integers"
        return f"group sums, mantissa in bits 0 to {self.acc_mantissa - 1}, exponent above"

    @property
    def act_format(self) -> Format:
        return get(self.acts)

    @property
    def weight_format(self) -> Format:
        return self.mode_formats(self.layer_mode)[1]

    def mode_formats(self, mode: int) -> tuple[Format, Format]:
        width = WIDTHS[mode]
        if mode < _FIRST_FP:
            return self.act_format, get(f"int{width}")
        table = f"({self.specials})" if self.specials and width == self.bits else ""
        return self.act_format, get(f"bitmod_fp{width}{table}")

    @property
    def layer_mode(self) -> int:
        return WIDTHS.index(self.bits)

    @classmethod
    def mode_count(cls, p: P) -> Num:
        return len(WIDTHS)

    def modes(self) -> tuple[Mode, ...]:
        return tuple(
            Mode(
                name=self.mode_formats(mode)[1].name.removeprefix("bitmod_").partition("(")[0],
                acts=self.acts,
                weights=self.mode_formats(mode)[1].name,
                k=self.k,
                cycles_per_step=int(self.cycles_per_step(self.p, mode)),
                latency=int(self.latency(self.p)),
            )
            for mode in range(len(WIDTHS))
        )

    @classmethod
    def cycles_per_step(cls, p: P, mode: int = 0) -> Num:
        return ceil_div(WIDTHS[mode], 2) + 0 * p["k"]

    @classmethod
    def layer_cycles(cls, p: P) -> Num:
        # Booth digits of two bits; two terms of FP4 and FP3.
        return ceil_div(p["bits"], 2)

    def quantization(self) -> Quantization:
        return Quantization(
            acts=self.acts,
            weights=self.weight_format.name,
            scheme="bitmod",
            group=self.group,
            act_scale=self.act_scale,
            weight_scale="int8",
            step=self.k,
            arithmetic="bitmod",
            options=(
                ("accumulator", self.accumulator),
                ("acc_mantissa", self.acc_mantissa),
                ("guard_bits", self.guard_bits),
            ),
        )

    @property
    def lsb_exp(self) -> int:
        """Of a word M + E·2^P: the sum is M · 2^E · 2**lsb_exp; of an integer: the exponent of its unit."""
        if not self._floating(self.p):
            return -1
        layout = float_layout(self.act_format)
        unit = -layout.bias - layout.mantissa_bits - self.guard_bits - 1
        return unit - (self.acc_mantissa - 1) if self._normalised(self.p) else unit

    # ------------------------------------------------------------------ ports

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], get(p["acts"]).code_bits

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], _PORT_BITS

    @property
    def weight_port_meaning(self) -> str:
        return "integers sign-extended to 8 bits, FP4 codes in bits 3 to 0, FP3 codes in bits 3 to 1 above a bit 0 of 0"

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        return {}, {"special": _SPECIAL_BITS, "scale": where(p["post_lanes"] > 0, _SCALE_BITS, 0)}

    @classmethod
    def stored_bits(cls, p: P) -> tuple[Num, Num]:
        acts, _ = super().stored_bits(p)
        return acts, p["k"] * p["bits"]

    @classmethod
    def stored_side_bits(cls, p: P) -> tuple[Counts, Counts]:
        row, col = cls.side_bits(p)
        # A selector of an entry of the register file; integers have none.
        return row, {**col, "special": where(p["bits"] <= WIDTHS[_FIRST_FP], clog2(ENTRIES), 0)}

    def col_side(self) -> dict[str, Side]:
        doc = "special value of the column's group: sign, magnitude in halves"
        fields = {"special": Side(_SPECIAL_BITS, doc, encoding="sign_magnitude")}
        if self.lanes:
            fields["scale"] = Side(_SCALE_BITS, "scale of the column's group, int8", encoding="int8")
        return fields

    # ------------------------------------------------------------------ what the manifest says

    def weight_packing(self, mode: int) -> dict[str, Any]:
        form, width = self.mode_formats(mode)[1], WIDTHS[mode]
        if mode < _FIRST_FP:
            return self.plain_packing(form, fill="sign")
        lsb = 4 - width
        unused: dict[str, Any] = {"ignored_bits": [4, 5, 6, 7]}
        if lsb:
            unused["zero_bits"] = list(range(lsb))
        return self.plain_packing(form, 1, lsb, **unused)

    def arithmetic(self, mode: int) -> dict[str, Any]:
        form = self.mode_formats(mode)[1]
        digits = mode < _FIRST_FP
        found: dict[str, Any] = {
            "kind": "terms",
            "definition": "weights are sums of terms sign * 2**exp * 2**bsig in halves, one a cycle, lowest phase "
            "first; an update adds one term of each weight of the step",
            "acts": {"encoding": self.acts, "specials": "largest finite value"},
            "weights": {
                "encoding": form.name,
                "terms": "booth" if digits else "leading ones",
                "phases": int(self.cycles_per_step(self.p, mode)),
                "definition": "radix-4 Booth digit d of phase p: bits 2p + 1 to 2p - 1 of the two's complement (bit -1 "
                "is 0) give -2 to 2; exp 1 for 2, bsig 2p + 1; digit 0 is no term"
                if digits
                else "the magnitude in halves: phase 0 its leading one with exp one less than its place and bsig 1, "
                "phase 1 the next one with exp its place and bsig 0; a leading one in place 0 comes in phase 1",
                "special": None if digits else "i_col_special",
            },
            "unit_exp": self.lsb_exp,
        }
        if not self._floating(self.p):
            return {**found, "sum": "exact", "accumulator": self.accumulator_rule()}
        return {
            **found,
            "step": {
                "guard_bits": self.guard_bits,
                "definition": "e_k is the activation's exponent field (subnormals 1) plus the term's exp, 0 without a "
                "term; e = max e_k; d is the sum over k of +-((significand * 2**guard_bits) >> (e - e_k)), magnitudes "
                "cut off; the update is d * 2**(e + bsig)",
                "dot_bits": int(self._dot_bits(self.p)),
            },
            **self._sum_description(),
        }

    def _sum_description(self) -> dict[str, Any]:
        if not self._normalised(self.p):
            return {"sum": "exact", "accumulator": self.accumulator_rule()}
        return {
            "sum": "normalised",
            "accumulator": {
                "mantissa_bits": self.acc_mantissa,
                "frame_bits": int(self._frame_bits(self.p)),
                "depth": self.depth,
                "definition": "a sum is (M, E), M of mantissa_bits; d stands on top of a frame of frame_bits at "
                "exponent e + bsig + dot_bits - 1, M on top of one at E; the one with the lower exponent is shifted "
                "right by the difference, rounded down; their sum (one bit more) loses its repeated sign bits, s of "
                "them, and is cut to its mantissa_bits top bits, rounded down; E = the larger exponent + 1 - s. Zero "
                "is M = E = 0; d = 0 changes nothing, and a group starts from zero",
            },
        }

    def own_encodings(self) -> dict[str, dict[str, Any]]:
        bits = MAGNITUDE_BITS
        return {"sign_magnitude": {"kind": "sign_magnitude", "bits": bits + 1, "exponent": -1, "most_ones": 2}}

    def sum_encoding(self) -> dict[str, Any]:
        if not self._normalised(self.p):
            return super().sum_encoding()
        exponent = int(self._acc_exponent_bits(self.p))
        return {
            "kind": "mantissa_exponent",
            "mantissa_bits": self.acc_mantissa,
            "exponent_bits": exponent,
            "unit_exp": self.lsb_exp,
            "definition": "M in two's complement in the lowest bits, E above; M * 2**E * 2**unit_exp",
        }

    def post_arithmetic(self) -> dict[str, Any]:
        return {
            **super().post_arithmetic(),
            "definition": "the exact product of group sum, integer scale and 2**unit_exp, rounded once into FP32; "
            "products of an output's groups are added in FP32, in order, from +0",
            "row_scale": None,
            "specials": "zero gives +0",
        }

    def companions(self) -> dict[str, Companion]:
        entry = "sign above a magnitude in halves"
        return {
            "specials": Companion(
                summary="Register file of four special values, chosen by a selector of each column.",
                build=lambda: SpecialTable(self.n),
                ports={
                    "write": "store value in the entry at address, at the next rising edge",
                    "address": "entry 0 to 3",
                    "value": f"special value: {entry}; reset makes all entries 0",
                    "selectors": "entry of each column's group [N], two bits each",
                    "specials": f"what the tile's i_col_special takes [N]: {entry}",
                    "error": "an entry is not the sum of two powers of two",
                },
                elements={
                    "value": (1, "sign_magnitude"),
                    "selectors": (self.n, ""),
                    "specials": (self.n, "sign_magnitude"),
                },
                arithmetic={
                    "kind": "register file",
                    "entries": ENTRIES,
                    "definition": "with write, value is in the entry at address from the next rising edge on; reset "
                    "makes all entries 0. specials[n] is the entry selectors[n], in the same cycle; error: an entry's "
                    "magnitude has more ones than its encoding allows",
                },
            )
        }

    def side_values(self, name: str, tensor: QTensor) -> np.ndarray:
        if name != "special":
            return super().side_values(name, tensor)
        form = tensor.format
        if not isinstance(form, BitmodFormat) or tensor.selector is None:
            # Integers have no special value.
            return np.zeros_like(tensor.scale_codes)
        values = np.array(form.specials)[tensor.selector]
        words: np.ndarray = (2 * np.abs(values)).astype(np.int64) | np.where(values < 0, 1 << MAGNITUDE_BITS, 0)
        return words

    def pack_weights(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        words = np.asarray(codes).astype(np.int64)
        if mode < _FIRST_FP:
            width = WIDTHS[mode]
            return ((words ^ (1 << (width - 1))) - (1 << (width - 1)) & ((1 << _PORT_BITS) - 1)).astype(np.uint32)
        # An FP3 code and a zero below it are the FP4 code of the same value.
        return (words << (4 - WIDTHS[mode])).astype(np.uint32)

    # ------------------------------------------------------------------ widths

    @classmethod
    def _significand_bits(cls, p: P) -> int:
        return float_layout(get(p["acts"])).mantissa_bits + 1

    @classmethod
    def _top_exponent(cls, p: P) -> int:
        return float_layout(get(p["acts"])).max_finite[0]

    @classmethod
    def _top_match(cls, p: P) -> int:
        """Largest e: an activation's exponent plus a term's."""
        return cls._top_exponent(p) + (1 << _EXP_BITS) - 1

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
            top = 2 ** (get(p["acts"]).code_bits - 1 + (1 << _EXP_BITS) - 1)
            return bits_for(-top * p["k"], top * p["k"] - 1)
        return bits_for(-p["k"] * cls._largest(p), p["k"] * cls._largest(p))

    @classmethod
    def _shifted_bits(cls, p: P) -> Num:
        """Bits of a step's sum after the shift by bsig."""
        return cls._dot_bits(p) + _TOP_BSIG

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
        return p["k"] * (2 + _EXP_BITS) + _BSIG_BITS

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
        # Both exponents are beside it.
        return cls._match_bits(p) + _BSIG_BITS + cls._dot_bits(p)

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        return 0 if cls._floating(p) else 1

    # ------------------------------------------------------------------ post

    @classmethod
    def post_cycles(cls, p: P) -> Num:
        return where(p["post_lanes"] > 0, _SCALE_BITS + cls.post_beats(p), 0)

    @classmethod
    def post_latency(cls, p: P) -> Num:
        """Copy, 8 bits of the scale, choose, round, add."""
        return _SCALE_BITS + 4

    def post_block(self) -> wiring.Component:
        return BitmodPost(self)

    @classmethod
    def _mantissa_bits(cls, p: P) -> Num:
        """Bits of the integer that a scale multiplies."""
        return p["acc_mantissa"] if cls._normalised(p) else cls.acc_bits(p)

    # ------------------------------------------------------------------ inventory

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
        return {
            # Exponents: sum, comparison and difference; tree and one negation.
            "add": (3 * k - 1) * match + (k - 1) * (aligned + 2 + clog2(k) // 2) + aligned + 1,
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
            "ff": width + bits,
            # bsig and its place, level, difference, sum, two of the new exponent.
            "add": unsigned_bits(frame) + room - 1 + room + frame + 1 + room + room,
            # Swap, shift right, count and shift left, choice of the exponent.
            "mux2": 3 * frame
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
        largest = cls._top_match(p) + _TOP_BSIG + cls._dot_bits(p) - 1
        return maximum(cls._acc_exponent_bits(p), unsigned_bits(largest)) + 1

    @classmethod
    def post_blocks(cls, p: P) -> dict[str, Block]:
        m, n, lanes = p["m"], p["n"], maximum(p["post_lanes"], 1)
        has = where(p["post_lanes"] > 0, 1, 0)
        beats = ceil_div(m * n, lanes)
        mantissa = cls._mantissa_bits(p)
        exponent = cls.acc_bits(p) - mantissa
        product = mantissa + _SCALE_BITS
        counters = unsigned_bits(_SCALE_BITS + beats) + clog2(beats)
        store: Counts = {
            # Of the group three flags, three in each of two stages, and the valid bit.
            "ff": counters + 3 + 6 + 1 + n * _SCALE_BITS + m * n * (mantissa + exponent + product),
            "add": m * n * (mantissa + 1) + counters + 2 * unsigned_bits(_SCALE_BITS + beats),
            "mux2": n * _SCALE_BITS,
            "and": m * n * (2 * mantissa + 1),
            "xor": m * n * mantissa,
        }
        # Only products of bf16 reach the subnormals of FP32.
        subnormals = int(p["acts"] == "bf16")
        parts: Counts = {
            "ff": product + exponent + 32 + 32 * beats,
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

    # ------------------------------------------------------------------ reference

    def _weight_terms(
        self, codes: np.ndarray, special: np.ndarray, mode: int
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
        """(sign, man, exp, bsig) of each phase; arrays of the shape of ``codes`` [..., N, K]."""
        if mode < _FIRST_FP:
            width = WIDTHS[mode]
            digits = booth_reference(get(f"int{width}").fixed(codes), width)
            return [
                (digits.sign[phase], digits.man[phase], digits.exp[phase], 2 * phase + 1)
                for phase in range(len(digits.man))
            ]
        words = np.asarray(codes).astype(np.int64) << (4 - WIDTHS[mode])
        form = BitmodFormat(code_bits=4)
        magnitude = (2 * np.array(form.basic)).astype(np.int64)[words & 7]
        replaced = words == form.special_code
        value = np.broadcast_to(special[..., None], words.shape)
        magnitude = np.where(replaced, value & ((1 << MAGNITUDE_BITS) - 1), magnitude)
        sign = np.where(replaced, value >> MAGNITUDE_BITS, words >> 3)
        first, second = two_terms_reference(magnitude, MAGNITUDE_BITS)
        return [(sign, first.man, first.exp, 1), (sign, second.man, second.exp, 0)]

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        """Integers, or for a normalised accumulator e, bsig and d, from the lowest bits up."""
        phases = self._weight_terms(weights, np.asarray(col["special"], dtype=np.int64), mode)
        if not self._floating(self.p):
            a = self.act_format.fixed(acts)
            found = []
            for sign, man, exp, bsig in phases:
                factor = np.where(sign == 1, -man, man) << exp
                found.append(np.einsum("...mk,...nk->...mn", a, factor) << bsig)
            return np.stack(found)[..., None]
        fields = unpack_reference(acts, self.act_format, normalise=False)
        a_sign, a_exp, a_sig = (part[..., :, None, :] for part in (fields.sign, fields.exponent, fields.significand))
        found = []
        for sign, man, exp, bsig in phases:
            w_sign, w_man, w_exp = (part[..., None, :, :] for part in (sign, man, exp))
            exponent = np.where(w_man == 1, a_exp + w_exp, 0)
            top = exponent.max(axis=-1)
            distance = np.minimum(top[..., None] - exponent, 63)
            magnitude = (a_sig << self.guard_bits) * w_man >> distance
            total = np.where(a_sign ^ w_sign == 1, -magnitude, magnitude).sum(axis=-1)
            if self._normalised(self.p):
                found.append((((total << _BSIG_BITS) + bsig) << self._match_bits(self.p)) + top)
            else:
                found.append(total.astype(self.sum_dtype) << (top + bsig).astype(self.sum_dtype))
        return np.stack(found)[..., None]

    def fields(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(M, E) of code words."""
        half = 1 << (self.acc_mantissa - 1)
        mantissa = (words & (2 * half - 1) ^ half) - half
        return mantissa, words >> self.acc_mantissa

    def accumulate(self, sums: np.ndarray, term: np.ndarray) -> np.ndarray:
        if not self._normalised(self.p):
            return super().accumulate(sums, term)
        match, width, frame = self._match_bits(self.p), self.acc_mantissa, int(self._frame_bits(self.p))
        dot_bits = int(self._dot_bits(self.p))
        exponent, rest = term & ((1 << match) - 1), term >> match
        bsig, total = rest & ((1 << _BSIG_BITS) - 1), rest >> _BSIG_BITS
        mantissa, held = self.fields(sums)
        # Exponents of the top places of the frames.
        level = np.where(total == 0, held, exponent + bsig + dot_bits - 1)
        highest = np.maximum(level, held)
        parts = (mantissa << (frame - width)) >> np.minimum(highest - held, 63)
        added: np.ndarray = parts + ((total << (frame - dot_bits)) >> np.minimum(highest - level, 63))
        # Places that only repeat the sign: all of zero and of −1.
        spare = frame - np.frexp((added ^ (added >> 1)).astype(np.float64))[1].astype(np.int64)
        kept = (added << spare) >> (frame + 1 - width)
        new = np.where(added == 0, 0, highest + 1 - spare)
        result: np.ndarray = (new << width) | (kept & ((1 << width) - 1))
        return result

    def scale_sums(
        self,
        sums: np.ndarray,
        rows: np.ndarray,
        row_scale: np.ndarray,
        col_scale: np.ndarray,
        zero: np.ndarray | None,
    ) -> np.ndarray:
        """FP32 codes of group sums times int8 scales; activations' scales are 1."""
        scale = get("int8").fixed(col_scale)[..., None, :]
        if not self._normalised(self.p):
            # The product has 8 bits more than the sum.
            wide = sums if int(self.acc_bits(self.p)) + _SCALE_BITS < 63 else sums.astype(object)
            return scale_round_reference(wide * scale, 0, None, 0, None, self.lsb_exp)
        mantissa, exponent = self.fields(sums)
        return scale_round_reference(mantissa * scale, exponent, self._exponent_layout(), 0, None, self.lsb_exp)

    def _exponent_layout(self) -> FloatLayout:
        """An accumulator's exponent as a power-of-two scale."""
        bits = int(self._acc_exponent_bits(self.p))
        return FloatLayout(exponent_bits=bits, mantissa_bits=0, bias=0, signed=False, subnormals=False)

    # ------------------------------------------------------------------ logic

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Unpacks the activations once: sign, exponent and significand; integers pass."""
        if not self._floating(self.p):
            value: Value = acts.as_value()
            return value
        fields: list[Value] = []
        for index in range(self.k):
            unpacked = fp_unpack(m, acts[index], self.act_format, f"act{index}", normalise=False)
            fields += [unpacked.sign, unpacked.exponent.as_unsigned(), unpacked.significand]
        return Cat(*fields)

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Encodes one power-of-two term of each weight a cycle: a Booth digit, or a leading one."""
        is_fp = wire(m, mode >= _FIRST_FP, "is_fp")
        fields: list[Value] = []
        for index in range(self.k):
            name = f"weight{index}"
            code = wire(m, weights[index], name)
            padded = Cat(Const(0, 1), code)
            windows = [padded[2 * place : 2 * place + 3] for place in range(4)]
            digit = booth_digit(m, select(m, windows, phase, f"{name}_booth"), f"{name}_digit")
            # E2M1 in halves: significand of two bits, shifted by exponent − 1.
            significand = wire(m, Cat(code[0], code[1:3].any()), f"{name}_significand")
            shifted = Mux(code[1], Cat(Const(0, 2), significand), Cat(Const(0, 1), significand, Const(0, 1)))
            basic = Mux(code[2], shifted, Cat(significand, Const(0, 2)))
            special = wire(m, code[3] & ~code[:3].any(), f"{name}_special")
            magnitude = wire(
                m, Mux(special, side["special"][:MAGNITUDE_BITS], Cat(basic, Const(0, 1))), f"{name}_magnitude"
            )
            (term,) = two_terms(m, magnitude, f"{name}_term", second=phase[0])
            sign = Mux(special, side["special"][MAGNITUDE_BITS], code[3])
            fields += [
                wire(m, Mux(is_fp, sign, digit.sign), f"{name}_sign"),
                wire(m, Mux(is_fp, term.man, digit.man), f"{name}_man"),
                wire(m, Mux(is_fp, term.exp, Cat(digit.exp, Const(0, 1))), f"{name}_exp"),
            ]
        # In halves: 2·phase + 1 for digits, 1 and 0 for the two terms.
        fields += [wire(m, Cat(~(is_fp & phase[0]), phase & ~is_fp.replicate(len(phase))), "bsig")]
        return Cat(*fields)

    def _terms_of(self, col: Value) -> tuple[list[tuple[Value, Value, Value]], Value]:
        """(sign, man, exp) of each weight and bsig, from the column bus."""
        size = 2 + _EXP_BITS
        parts = [col[index * size : (index + 1) * size] for index in range(self.k)]
        return [(part[0], part[1], part[2:]) for part in parts], col[self.k * size :]

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Matches exponents over K, aligns and adds the signed significands, and shifts by the term's significance."""
        terms, bsig = self._terms_of(col)
        if not self._floating(self.p):
            return [self._integer_dot(m, row, terms, bsig)]
        exponent_bits, size = self._top_exponent(self.p).bit_length(), int(self.row_bus_bits(self.p)) // self.k
        exponents, match_bits = [], self._match_bits(self.p)
        for index, (_, man, exp) in enumerate(terms):
            own = row[index * size + 1 : index * size + 1 + exponent_bits]
            matched = wire(m, (own + exp)[:match_bits], f"exponent{index}")
            # Without a term an activation takes no part.
            exponents.append(wire(m, matched & man.replicate(match_bits), f"match{index}"))
        top = max_exponent(m, exponents, "top")
        values: list[Value] = []
        carries: list[Value] = []
        for index, (sign, man, _) in enumerate(terms):
            distance = add_with_carry(top, ~exponents[index], Const(1, 1), match_bits).as_unsigned()
            significand = row[index * size + 1 + exponent_bits : (index + 1) * size] & man.replicate(
                self._significand_bits(self.p)
            )
            magnitude = shift_right(
                m,
                Cat(Const(0, self.guard_bits), significand),
                wire(m, distance, f"distance{index}"),
                f"aligned{index}",
            )
            negative = wire(m, row[index * size] ^ sign, f"negative{index}")
            if index + 1 == self.k:
                values.append(conditional_negate(m, magnitude, negative, f"product{index}"))
                continue
            # −x = ~x + 1: the ones go into the adders of the tree, of which there is one less than values.
            flipped = Signal(signed(len(magnitude) + 1), name=f"product{index}")
            m.d.comb += flipped.eq(Cat(magnitude, 0) ^ negative.replicate(len(magnitude) + 1))
            values.append(flipped)
            carries.append(negative)
        total, _ = adder_tree_with_carries(m, values, carries, "dot")
        dot = wire(m, total[: int(self._dot_bits(self.p))].as_signed(), "dot_sum")
        if self._normalised(self.p):
            return [Addend(Cat(top, bsig, dot).as_signed())]
        shifted = _shift_left_signed(m, dot, bsig, _TOP_BSIG, "shifted")
        return [Addend(_shift_left_signed(m, shifted, top, self._top_match(self.p), "placed"))]

    def _integer_dot(self, m: Module, row: Value, terms: list[tuple[Value, Value, Value]], bsig: Value) -> Addend:
        bits = self.act_format.code_bits
        values: list[Value] = []
        carries: list[Value] = []
        for index, (sign, man, exp) in enumerate(terms):
            negative = wire(m, sign & man, f"negative{index}")
            act = row[index * bits : (index + 1) * bits] & man.replicate(bits)
            flipped: Value = wire(m, (act ^ negative.replicate(bits)).as_signed(), f"flipped{index}")
            # Filled with copies of the carry, so that the one that negates stays a one.
            for stage in range(_EXP_BITS):
                distance = 1 << stage
                moved = Signal(signed(len(flipped) + distance), name=f"product{index}_by{distance}")
                filled = Cat(negative.replicate(distance), flipped).as_signed()
                m.d.comb += moved.eq(Mux(exp[stage], filled, flipped))
                flipped = moved
            values.append(flipped)
            carries.append(negative)
        total, carry = adder_tree_with_carries(m, values, carries, "dot")
        assert carry is not None
        value: Value = wire(m, total[: int(self._dot_bits(self.p))].as_signed(), "dot_sum")
        for stage in range(_BSIG_BITS):
            distance = 1 << stage
            moved = Signal(signed(len(value) + distance), name=f"shifted_by{distance}")
            m.d.comb += moved.eq(Mux(bsig[stage], Cat(carry.replicate(distance), value).as_signed(), value))
            value = moved
        return Addend(value, carry)

    def build_accumulators(
        self, m: Module, addends: list[Addend], clear: Value, enable: Value, fold: Value
    ) -> list[Value]:
        if not self._normalised(self.p):
            return super().build_accumulators(m, addends, clear, enable, fold)
        match, width = self._match_bits(self.p), self.acc_mantissa
        frame, bits = int(self._frame_bits(self.p)), int(self._acc_exponent_bits(self.p))
        # No reset: the first step of a group clears.
        mantissa = Signal(signed(width), name="acc_mantissa", reset_less=True)
        held = Signal(bits, name="acc_exponent", reset_less=True)
        live = wire(m, ~clear, "live")
        old = Cat(Const(0, frame - width), mantissa.as_unsigned() & live.replicate(width)).as_signed()
        exponent = wire(m, held & live.replicate(bits), "old_exponent")
        word = addends[0].value
        top, bsig, dot = word[:match], word[match : match + _BSIG_BITS], word[match + _BSIG_BITS :]
        total = Signal(signed(frame), name="new")
        m.d.comb += total.eq(Cat(Const(0, frame - len(dot)), dot))

        room = int(self._level_bits(self.p))
        highest_place = wire(m, bsig + Const(len(dot) - 1, unsigned_bits(len(dot) - 1)), "highest_place")
        level = wire(m, (top + highest_place)[: room - 1], "level")
        level = wire(m, extend(level, room), "level_extended")
        exponent = wire(m, extend(exponent, room), "old_exponent_extended")
        difference = wire(m, add_with_carry(level, ~exponent, Const(1, 1), room).as_unsigned(), "difference")
        above = wire(m, difference[-1], "old_above")
        small = wire(m, Mux(above, total, old), "small")
        large = wire(m, Mux(above, old, total), "large")
        # −x = ~x + 1: one place by the sign, the others by the complement, and no adder.
        once = wire(m, Mux(above, Cat(small[1:], small[-1]).as_signed(), small), "small_once")
        places = wire(m, difference[:-1] ^ above.replicate(room - 1), "places")
        aligned = _shift_right_signed(m, once, places, "aligned_sum")
        added = wire(m, (aligned + large)[: frame + 1].as_signed(), "added")

        spare = leading_zeros(m, added[1:] ^ added[:-1], "spare")
        normal = shift_left(m, added.as_unsigned(), spare, "normal")
        highest = wire(m, Mux(above, exponent, level), "highest")
        lowered = wire(m, add_with_carry(highest, ~extend(spare, room), Const(1, 1), room).as_unsigned(), "lowered")
        nonzero = wire(m, added.any(), "nonzero")
        raised = wire(m, (lowered + 1)[:bits] & nonzero.replicate(bits), "raised")
        changes = wire(m, dot.any() | clear, "changes")
        with m.If(enable & changes):
            m.d.sync += [mantissa.eq(normal[frame + 1 - width :].as_signed()), held.eq(raised)]
        return [Cat(mantissa.as_unsigned(), held)]


class BitmodPost(wiring.Component):
    """Bit-serial scaling of all group sums at once, then FP32 accumulation, some cells a beat.

    Members as in `PostBlock`: ``valid`` with ``sums``, ``col_scale`` and ``done``; ``o_valid`` with ``y``. The first
    beat comes 12 cycles after ``valid``; the next ``valid`` may come 8 + beats cycles after one.
    """

    def __init__(self, spec: Bitmod) -> None:
        self.spec = spec
        super().__init__(
            {
                "valid": In(1),
                "done": In(1),
                "sums": In(spec.m * spec.n * int(spec.acc_bits(spec.p))),
                "col_scale": In(spec.n * _SCALE_BITS),
                "o_valid": Out(1),
                "y": Out(32 * spec.lanes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        lanes, beats = spec.lanes, spec.post_beats_max
        left = Signal(range(_SCALE_BITS + beats + 1), name="cycles_left")
        serial, drain, last = Signal(name="serial"), Signal(name="drain"), Signal(name="last_bit")
        m.d.comb += [
            serial.eq(left > beats),
            drain.eq((left != 0) & ~serial),
            # Bit 7 of a scale weighs −128.
            last.eq(left == beats + 1),
        ]
        with m.If(self.valid):
            m.d.sync += left.eq(_SCALE_BITS + beats)
        with m.Elif(left != 0):
            m.d.sync += left.eq((left - 1)[: len(left)])

        fresh = Signal(name="fresh", init=1)
        group_fresh = Signal(name="group_fresh", reset_less=True)
        group_done = Signal(name="group_done", reset_less=True)
        with m.If(self.valid):
            m.d.sync += [fresh.eq(self.done), group_fresh.eq(fresh), group_done.eq(self.done)]

        scale_bits = self._scales(m, serial)
        words = [self._multiply(m, cell, scale_bits[cell % spec.n], serial, last) for cell in range(spec.m * spec.n)]
        beat: Value = Const(0, 1)
        if beats > 1:
            beat = Signal(range(beats), name="beat", reset_less=True)
            with m.If(self.valid):
                m.d.sync += beat.eq(0)
            with m.Elif(drain):
                m.d.sync += beat.eq((beat + 1)[: len(beat)])

        controls = []
        stage: dict[str, Value] = {"valid": drain, "fresh": group_fresh, "done": group_done}
        for name in ("chosen", "rounded"):
            late = {field: Signal(name=f"{field}_{name}", reset_less=field != "valid") for field in stage}
            m.d.sync += [late[field].eq(stage[field]) for field in stage]
            controls.append(late)
            stage = dict(late)
        results = []
        for lane in range(lanes):
            chosen = Signal(len(words[0]), name=f"lane{lane}_chosen", reset_less=True)
            value = select(m, words[lane::lanes], beat, f"lane{lane}_choice")
            with m.If(drain):
                m.d.sync += chosen.eq(value)
            rounded = Signal(32, name=f"lane{lane}_rounded", reset_less=True)
            fp32 = self._round(m, chosen, f"lane{lane}_round")
            with m.If(controls[0]["valid"]):
                m.d.sync += rounded.eq(fp32)
            results.append(PostBlock._add(m, lane, rounded, controls[1], beats))
        valid = Signal(name="result_valid")
        m.d.sync += valid.eq(controls[1]["valid"] & controls[1]["done"])
        m.d.comb += [self.o_valid.eq(valid), self.y.eq(Cat(*results))]
        return m

    def _scales(self, m: Module, serial: Value) -> list[Value]:
        """This cycle's scale bit of each column, the lowest first."""
        bits: list[Value] = []
        for column in range(self.spec.n):
            scale = Signal(_SCALE_BITS, name=f"scale{column}", reset_less=True)
            with m.If(self.valid):
                m.d.sync += scale.eq(self.col_scale[column * _SCALE_BITS : (column + 1) * _SCALE_BITS])
            with m.Elif(serial):
                m.d.sync += scale.eq(Cat(scale[1:], Const(0, 1)))
            bits.append(scale[0])
        return bits

    def _multiply(self, m: Module, cell: int, bit: Value, serial: Value, last: Value) -> Value:
        """A cell's product: the scale's bits add the mantissa to the top, and the product moves down a place a bit.

        Returns the product with the accumulator's exponent, if there is one, above it.
        """
        spec, name = self.spec, f"cell{cell}"
        acc, width = int(spec.acc_bits(spec.p)), int(spec._mantissa_bits(spec.p))
        word = self.sums[cell * acc : (cell + 1) * acc]
        mantissa = Signal(signed(width), name=f"{name}_mantissa", reset_less=True)
        high = Signal(signed(width), name=f"{name}_high", reset_less=True)
        low = Signal(_SCALE_BITS, name=f"{name}_low", reset_less=True)
        flip = wire(m, bit & last, f"{name}_flip")
        addend = (mantissa.as_unsigned() & bit.replicate(width)) ^ flip.replicate(width)
        total = wire(m, add_with_carry(high, addend.as_signed(), flip, width + 1), f"{name}_total")
        with m.If(self.valid):
            m.d.sync += [mantissa.eq(word[:width].as_signed()), high.eq(0)]
        with m.Elif(serial):
            m.d.sync += [high.eq(total[1:].as_signed()), low.eq(Cat(low[1:], total[0]))]
        if acc == width:
            return Cat(low, high.as_unsigned())
        exponent = Signal(acc - width, name=f"{name}_exponent", reset_less=True)
        with m.If(self.valid):
            m.d.sync += exponent.eq(word[width:])
        return Cat(low, high.as_unsigned(), exponent)

    def _round(self, m: Module, word: Value, name: str) -> Value:
        """FP32 code of a product."""
        spec = self.spec
        width = int(spec._mantissa_bits(spec.p)) + _SCALE_BITS
        has_exponent = len(word) > width
        layout = ScaledLayout(width, spec._exponent_layout() if has_exponent else None, None)
        sign, magnitude = absolute(m, word[:width].as_signed(), f"{name}_product")
        view = Signal(layout, name=f"{name}_scaled")
        m.d.comb += [
            view.sign.eq(sign),
            view.significand.eq(magnitude),
            view.exponent.eq(word[width:] if has_exponent else 0),
        ]
        return round_to_fp32(m, view, spec.lsb_exp, name)
