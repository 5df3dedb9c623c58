"""Microscaling block dot products: exact inside a block, one rounding per block into FP32.

Both operands come in blocks (default 32 along K) that share an E8M0 scale. Rows and columns decode their elements
once; a cell forms K products and adds them exactly in fixed point. At the end of a block the sum is multiplied by the
row's and the column's scale (an exponent addition), rounded once to nearest even into FP32 and added to the result;
blocks are added in K order. Overflow gives infinity, subnormals are kept, a NaN scale (code 255) gives NaN.

Floating-point elements multiply as significand product and shift, integers as an integer product.

Timing: one cycle per step, latency 1 + stages to the block sum, 5 more to the first FP32 result.
Source: OCP Microscaling Formats v1.0; the order and the rounding points, which it leaves open, are those above.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Module, Signal, Value, signed

from hwgen.arith import adder_tree_with_carries, float_layout, fp_unpack, shift_left, wire
from hwgen.errors import HwgenError
from hwgen.formats import Format, get
from hwgen.formats.integers import IntFormat
from hwgen.pe._numbers import Num, bits_for, clog2
from hwgen.pe._param import Range, again, param
from hwgen.pe._spec import Addend, Counts, P, Quantization, Side, TileSpec

__all__ = ["Mx"]

ELEMENTS = ("mxint8", "mxfp4")


@dataclass(frozen=True, kw_only=True)
class Mx(TileSpec):
    """Microscaling tile."""

    k: int = again(TileSpec, "k", default=8, sweep=(4, 8, 16))
    group: int = again(TileSpec, "group", default=32)
    depth: int = again(TileSpec, "depth", default=32, sweep=(32, 64))
    transport: str = again(TileSpec, "transport", sweep=("broadcast",))
    weights: str = param("mxfp4", "weight element format", legal=ELEMENTS, sweep=ELEMENTS)
    acts: str = param("mxfp4", "activation element format", legal=ELEMENTS, sweep=ELEMENTS)
    block_rule: str = param(
        "floor",
        "rounding of the shared exponent when a block is quantised",
        legal=("floor", "ceil"),
        sweep=("floor", "ceil"),
    )
    post_lanes: int = param(
        4, "lanes that scale block sums and accumulate them in FP32", legal=Range(1, 1024), sweep=(2, 4, 8)
    )

    cell_uses_phase: ClassVar[bool] = False

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` names the weight format by its width."""
        given = dict(values)
        if "bits" in given:
            bits = given.pop("bits")
            fitting = [name for name in ELEMENTS if get(name).code_bits == bits]
            if not fitting:
                widths = " or ".join(str(width) for width in sorted({get(name).code_bits for name in ELEMENTS}))
                raise HwgenError(f"mx: bits must be {widths}, not {bits!r}")
            given.setdefault("weights", fitting[0])
        return given

    @property
    def act_format(self) -> Format:
        return get(self.acts)

    @property
    def weight_format(self) -> Format:
        return get(self.weights)

    def quantization(self) -> Quantization:
        return Quantization(
            acts=self.act_format.name,
            weights=self.weight_format.name,
            scheme="mx",
            group=self.group,
            act_scale="e8m0",
            weight_scale="e8m0",
            step=self.k,
            block_rule=self.block_rule,
        )

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        width = get("e8m0").code_bits
        return {"scale": width}, {"scale": width}

    def row_side(self) -> dict[str, Side]:
        return {"scale": Side(self.side_bits(self.p)[0]["scale"], "E8M0 scale of the row's block")}

    def col_side(self) -> dict[str, Side]:
        return {"scale": Side(self.side_bits(self.p)[1]["scale"], "E8M0 scale of the column's block")}

    # ------------------------------------------------------------------ formulas

    @staticmethod
    def _shifts(p: P) -> bool:
        """Whether products are formed as significand product and shift."""
        return not isinstance(get(p["acts"]), IntFormat) and not isinstance(get(p["weights"]), IntFormat)

    @staticmethod
    def _bus_bits(name: str, shifts: bool) -> int:
        """Width of one decoded element: sign, significand and shift, or the element as an integer."""
        form = get(name)
        if not shifts:
            return form.fixed_bits
        layout = float_layout(form)
        return 1 + 1 + layout.mantissa_bits + int(clog2(layout.max_finite[0]))

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], get(p["acts"]).code_bits

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], get(p["weights"]).code_bits

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._bus_bits(p["acts"], cls._shifts(p))

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._bus_bits(p["weights"], cls._shifts(p))

    @staticmethod
    def _fixed_range(name: str) -> tuple[int, int]:
        form = get(name)
        return int(form.min_value / 2.0**form.lsb_exp), int(form.max_value / 2.0**form.lsb_exp)

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        (a_low, a_high), (w_low, w_high) = cls._fixed_range(p["acts"]), cls._fixed_range(p["weights"])
        corners = [a * w for a in (a_low, a_high) for w in (w_low, w_high)]
        return min(corners) + 0 * p["k"], max(corners) + 0 * p["k"]

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        low, high = cls.product_range(p)
        # In one's complement a product of zero with a sign is −1 until its carry arrives.
        return bits_for(low * p["k"] - p["k"], high * p["k"])

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        return 1 if cls._shifts(p) else 0

    @staticmethod
    def _decoders(name: str, shifts: bool, k: Num) -> Counts:
        form = get(name)
        if isinstance(form, IntFormat):
            return {}
        # The exponent less one; as an integer also a shift and a negation.
        exponent = {"add": k * float_layout(form).exponent_bits}
        if shifts:
            return exponent
        levels = int(clog2(float_layout(form).max_finite[0]))
        return {
            "add": exponent["add"] + k * form.fixed_bits,
            "xor": k * form.fixed_bits,
            "mux2": k * levels * form.fixed_bits,
        }

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        return cls._decoders(p["acts"], cls._shifts(p), p["k"])

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        return cls._decoders(p["weights"], cls._shifts(p), p["k"])

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        low, high = cls.product_range(p)
        product = bits_for(low, high)
        tree = (p["k"] - 1) * (product + clog2(p["k"]) // 2 + 1)
        if not cls._shifts(p):
            return {"mul": p["k"] * get(p["acts"]).fixed_bits * get(p["weights"]).fixed_bits, "add": tree}
        a, w = float_layout(get(p["acts"])), float_layout(get(p["weights"]))
        shift = int(clog2(a.max_finite[0] + w.max_finite[0] - 1))
        return {
            "mul": p["k"] * (a.mantissa_bits + 1) * (w.mantissa_bits + 1),
            "add": tree + p["k"] * shift,
            "mux2": p["k"] * shift * (product - 1),
            "xor": p["k"] * product,
        }

    # ------------------------------------------------------------------ reference

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        a, w = self.act_format.fixed(acts), self.weight_format.fixed(weights)
        products: np.ndarray = np.einsum("...mk,...nk->...mn", a, w)
        return products[None, ..., None]

    # ------------------------------------------------------------------ logic

    def _decode(self, m: Module, codes: Any, form: Format, name: str) -> Value:
        fields: list[Value] = []
        for index in range(self.k):
            if isinstance(form, IntFormat):
                fields.append(codes[index])
                continue
            unpacked = fp_unpack(m, codes[index], form, f"{name}{index}", normalise=False)
            shift = wire(
                m, (unpacked.exponent - 1)[: int(clog2(float_layout(form).max_finite[0]))], f"{name}{index}_shift"
            )
            if self._shifts(self.p):
                fields.append(Cat(unpacked.sign, unpacked.significand, shift))
                continue
            magnitude = Signal(form.fixed_bits - 1, name=f"{name}{index}_magnitude")
            m.d.comb += magnitude.eq(unpacked.significand << shift)
            number = Signal(signed(form.fixed_bits), name=f"{name}{index}_number")
            flipped = Cat(magnitude, 0) ^ unpacked.sign.replicate(form.fixed_bits)
            m.d.comb += number.eq((flipped + unpacked.sign)[: form.fixed_bits])
            fields.append(number.as_unsigned())
        return Cat(*fields)

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        return self._decode(m, acts, self.act_format, "act")

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        return self._decode(m, weights, self.weight_format, "weight")

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        shifts = self._shifts(self.p)
        a_bits, w_bits = self._bus_bits(self.acts, shifts), self._bus_bits(self.weights, shifts)
        values: list[Value] = []
        carries: list[Value] = []
        for index in range(self.k):
            a, w = row[index * a_bits : (index + 1) * a_bits], col[index * w_bits : (index + 1) * w_bits]
            if not shifts:
                values.append(wire(m, a.as_signed() * w.as_signed(), f"product{index}"))
                continue
            a_form, w_form = float_layout(self.act_format), float_layout(self.weight_format)
            a_cut, w_cut = 2 + a_form.mantissa_bits, 2 + w_form.mantissa_bits
            sign = wire(m, a[0] ^ w[0], f"sign{index}")
            significand = wire(m, a[1:a_cut] * w[1:w_cut], f"significand{index}")
            shift = wire(m, a[a_cut:] + w[w_cut:], f"shift{index}")
            _, high = self.product_range(self.p)
            room = Signal(int(high).bit_length(), name=f"room{index}")
            m.d.comb += room.eq(significand)
            magnitude = shift_left(m, room, shift, f"magnitude{index}")
            # −x = ~x + 1: the ones go into the adders of the tree as carries.
            flipped = Signal(signed(len(magnitude) + 1), name=f"product{index}")
            m.d.comb += flipped.eq(Cat(magnitude, 0) ^ sign.replicate(len(magnitude) + 1))
            values.append(flipped)
            carries.append(sign)
        total, carry = adder_tree_with_carries(m, values, carries, "dot")
        # The tree is as wide as its operands allow; their values, and so the sum, may need less.
        return [Addend(total[: int(self.addend_bits(self.p))].as_signed(), carry)]
