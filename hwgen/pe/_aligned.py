"""Activations on integer cells: integers as they are, floating-point numbers aligned to a shared exponent.

``align_scope`` group and row: the `_pre` block sees the whole scope, takes its largest exponent E and makes integers of
2 + mantissa_bits + guard_bits bits in units of 2^(E − bias − mantissa_bits − guard_bits) (E biased, subnormals as
E = 1; ``align_rounding`` to nearest even or towards zero, on the magnitude); E goes beside the codes as an E8M0 scale.
``step``: the row aligns the K activations of a step, and what a step adds is shifted by E − 1 into an accumulator that
spans the format, so that nothing is lost but in the alignment; bf16, whose exponents span 253 places, is refused.
Infinity and NaN count as the largest finite magnitude with their sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from hwgen.arith import float_layout
from hwgen.arith.align import align_reference, aligned_bits
from hwgen.arith.bits import wire
from hwgen.formats import Format, MinifloatFormat, QTensor, get
from hwgen.frame.facts import Counts, P, PreCounts
from hwgen.frame.numbers import Num, bits_for, clog2, unsigned_bits, where
from hwgen.frame.param import Range, param
from hwgen.frame.pre import PreSpec, align_description, align_row
from hwgen.pe._scaled import ScaledSpec

__all__ = ["FLOATS", "AlignedProductsSpec", "AlignedSpec", "shift_left_by", "shift_mux2"]

FLOATS = ("fp8_e4m3", "fp8_e5m2", "fp16", "bf16")
"""Floating-point activation formats."""

_ROW_SUM_BITS = 62
"""Widest activation sums: the reference keeps them in int64."""

_ZERO = Const(0, 1)


def shift_left_by(
    m: Module, value: Value, amount: Value, largest: int, fill: Value, name: str, stride: int = 1
) -> Value:
    """Signed ``value`` shifted to the left by ``amount``, ``largest`` at most, filling with copies of ``fill``.

    An amount of one is ``stride`` places. Each level of the shifter is only as wide as what may come out of it; with
    ``largest`` 0 there is none.
    """
    for level in range(largest.bit_length()):
        step = min(1 << level, largest - ((1 << level) - 1))
        moved = Signal(signed(len(value) + stride * step), name=f"{name}{level}")
        shifted = Cat(fill.replicate(stride << level), value).as_signed()
        m.d.comb += moved.eq(Mux(amount[level], shifted, value))
        value = moved
    return value


def shift_mux2(width: Num, largest: Num, stride: Num = 1) -> Num:
    """Multiplexers of `shift_left_by`: levels 1, 3, 7, 15 … strides wider than the ``width`` of what is shifted."""
    muxes: Num = 0 * width
    for level in range(6):
        grown = where(2 ** (level + 1) - 1 < largest, 2 ** (level + 1) - 1, largest)
        muxes = muxes + where(level < unsigned_bits(largest), width + stride * grown, 0)
    return muxes


@dataclass(frozen=True, kw_only=True)
class AlignedSpec(ScaledSpec):
    """A tile of integer cells that also takes floating-point activations."""

    acts: str = param("int8", "activation format", legal=("int4", "int8", "int16", *FLOATS))
    align_scope: str = param(
        "group",
        "scope that shares an exponent when fp activations become integers",
        legal=("step", "group", "row"),
        sweep=("step", "group", "row"),
    )
    align_rounding: str = param(
        "rne", "rounding in the alignment", legal=("rne", "truncate"), sweep=("rne", "truncate")
    )
    guard_bits: int = param(
        3, "bits kept below the last place of the largest activation", legal=Range(0, 8), sweep=(0, 3), unit="bit"
    )
    pre_cuts: int = param(
        0,
        "registers more on every way through a row of the block before the activation buffer",
        legal=Range(0, 12),
        sweep=(0, 2),
        cuts=("pre_row",),
    )

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        too_long = cls._steps_align_of(p) and bool(p["acts"] == "bf16")
        yield (
            not too_long,
            "align_scope must be group or row with acts bf16, not {align_scope}; "
            "sums in the unit of the smallest number would be 250 bits longer",
        )
        # Ranges of what is refused already would not fit the integers of arrays.
        yield (
            too_long or cls.row_sum_bits(p) <= _ROW_SUM_BITS,
            "depth must leave activation sums within 62 bits, not {depth} with align_scope {align_scope} and "
            "guard_bits {guard_bits}; use --align-scope group",
        )

    # ------------------------------------------------------------------ formulas

    @classmethod
    def _floating(cls, p: P) -> bool:
        """Whether activations are floating point, which cells of integers take aligned."""
        return isinstance(get(p["acts"]), MinifloatFormat)

    @classmethod
    def _steps_align_of(cls, p: P) -> bool:
        return cls._floating(p) and bool(p["align_scope"] == "step")

    @classmethod
    def _aligned_bits(cls, p: P) -> Num:
        """Bits of an activation as an integer: of aligned ones sign, significand and the guard bits."""
        form = get(p["acts"])
        return aligned_bits(form, 0) + p["guard_bits"] if cls._floating(p) else form.code_bits + 0 * p["guard_bits"]

    @classmethod
    def _top_shift(cls, p: P) -> int:
        """Largest shift by a step's exponent, E − 1; 0 where alignment is not per step."""
        return float_layout(get(p["acts"])).exponents()[-1] - 1 if cls._steps_align_of(p) else 0

    @classmethod
    def _int_range(cls, p: P) -> tuple[Num, Num]:
        """Range of one activation integer, before any shift by a step's exponent.

        Integers that come in by the port may have any code, those that a row aligns not the lowest.
        """
        if cls._steps_align_of(p):
            top = (2 ** (float_layout(get(p["acts"])).mantissa_bits + 1) - 1) * 2 ** p["guard_bits"]
            return -top, top
        top = 2 ** (cls._aligned_bits(p) - 1)
        return -top, top - 1

    @classmethod
    def keeps_row_sums(cls, p: P) -> bool:
        return False

    @classmethod
    def row_sum_range(cls, p: P) -> tuple[Num, Num] | None:
        if not cls.keeps_row_sums(p):
            return None
        low, high = cls._int_range(p)
        return low * 2 ** cls._top_shift(p), high * 2 ** cls._top_shift(p)

    @classmethod
    def _code_port(cls, p: P) -> tuple[Num, Num]:
        """(K, bits) of a port that takes activation codes."""
        return cls.layer_k(p), get(p["acts"]).code_bits if cls._steps_align_of(p) else cls._aligned_bits(p)

    @staticmethod
    def _joined(*parts: Counts) -> Counts:
        """Sum of counts."""
        names = dict.fromkeys(name for part in parts for name in part)
        return {name: sum(part.get(name, 0) for part in parts) for name in names}

    @classmethod
    def _align_primitives(cls, p: P) -> Counts:
        """Largest exponent of K activations (K − 1 compare and select), then a shifter, rounding and negation for
        each.
        """
        step, width = cls.layer_k(p), cls._aligned_bits(p)
        exponent = float_layout(get(p["acts"])).exponent_bits
        return {
            "mux2": step * clog2(width) * width + (step - 1) * exponent,
            "add": step * (width + exponent) + (step - 1) * exponent,
            "xor": step * width,
            # Bits shifted out are collected for rounding.
            "and": step * 2 * width,
        }

    @classmethod
    def _row_align_primitives(cls, p: P) -> Counts:
        """What aligns the activations of a step in a row; nothing where none is needed."""
        return cls._align_primitives(p) if cls._steps_align_of(p) else {}

    @classmethod
    def _pre_counts(cls, p: P, build: Counts | None) -> PreCounts | None:
        """The block before the buffer that aligns, and builds something of ``build`` primitives (None: nothing)."""
        align = cls._floating(p) and not cls._steps_align_of(p)
        if not align and build is None:
            return None
        counts = cls._joined(cls._align_primitives(p) if align else {}, build or {})
        return PreCounts(p["acts"], align, counts, p["pre_cuts"])

    @classmethod
    def pre_counts(cls, p: P) -> PreCounts | None:
        return cls._pre_counts(p, None)

    # ------------------------------------------------------------------ facts of an instance

    @property
    def _steps_align(self) -> bool:
        return self._steps_align_of(self.p)

    @property
    def _scope_aligns(self) -> bool:
        return self._floating(self.p) and not self._steps_align

    @property
    def act_format(self) -> Format:
        return get(f"int{int(self._aligned_bits(self.p))}" if self._scope_aligns else self.acts)

    @property
    def _act_lsb_exp(self) -> int:
        """Exponent of the unit of an activation integer.

        Group and row: E8M0 scale 2^(E − bias) times integers of 2^−(mantissa bits + guard); step: fixed point from the
        last place of a subnormal number less the guard bits up.
        """
        if not self._floating(self.p):
            return 0
        layout = float_layout(get(self.acts))
        return (1 - layout.bias if self._steps_align else 0) - layout.mantissa_bits - self.guard_bits

    def _act_quantization(self) -> dict[str, Any]:
        """The fields of `Quantization` that say how activations are quantised and aligned."""
        floating = self._floating(self.p)
        return {
            "acts": self.acts,
            "act_scale": "e8m0" if floating else self.act_scale,
            "align": self.align_scope if floating else None,
            "align_guard": self.guard_bits,
            "align_rounding": self.align_rounding,
            "step": int(self.layer_k(self.p)),
        }

    def quantize_acts(self, acts: np.ndarray) -> QTensor:
        quantised = super().quantize_acts(acts)
        pre = self.pre()
        return quantised if pre is None else pre.reference(quantised)

    def _pre_spec(self, build: Callable[[Module, list[Value]], Value] | None) -> PreSpec | None:
        """The block before the buffer, with a builder of what rows take or None; None where it does nothing."""
        if not self._scope_aligns and build is None:
            return None
        elements, bits = self.act_port(self.p)
        return PreSpec(
            family=self.family,
            m=self.m,
            k=int(self.layer_k(self.p)),
            source=self.acts,
            target=self.act_format.name,
            align=self.align_scope if self._scope_aligns else None,
            group=self.group,
            guard_bits=self.guard_bits,
            rounding=self.align_rounding,
            elements=int(elements),
            element_bits=int(bits),
            build=build,
            pack=self.pack_acts,
            cuts=self.pre_cuts,
        )

    def pre(self) -> PreSpec | None:
        return self._pre_spec(None)

    @property
    def act_port_meaning(self) -> str:
        if self._scope_aligns:
            return f"{self.acts} aligned over a {self.align_scope}, as {self.act_format.name}"
        return super().act_port_meaning

    def act_packing(self, mode: int) -> dict[str, Any]:
        return self.plain_packing(self.act_format)

    def _act_integers(self) -> dict[str, Any]:
        """Activations as cells see them."""
        if not self._steps_align:
            return self.integers_of(self.act_format)
        return {
            "rule": "aligned over a step",
            "encoding": self.acts,
            **align_description(self.guard_bits, self.align_rounding),
            "shift": "what a step adds to sums and to row sums is shifted to the left by E - 1",
        }

    # ------------------------------------------------------------------ reference

    def _integers(self, codes: np.ndarray) -> np.ndarray:
        """Activation codes [..., K] as integers, before any shift by a step's exponent."""
        if self._steps_align:
            ints, _ = align_reference(codes, get(self.acts), guard=self.guard_bits, rounding=self.align_rounding)
            return ints
        return self.act_format.fixed(codes)

    def _shift(self, codes: np.ndarray) -> np.ndarray:
        """Shift of a step's sums by its shared exponent, int64 [...]; 0 where alignment is not per step."""
        if self._steps_align:
            _, exponent = align_reference(codes, get(self.acts), guard=self.guard_bits, rounding=self.align_rounding)
            return exponent[..., 0] - 1
        return np.zeros(codes.shape[:-1], np.int64)

    # ------------------------------------------------------------------ logic

    def _build_integers(self, m: Module, acts: Any) -> tuple[list[Value], Value]:
        """(K signed integers, shift of what a step adds) of a row's codes; the shift has no bits without alignment."""
        codes = [acts[index] for index in range(int(self.layer_k(self.p)))]
        if not self._steps_align:
            return [code.as_signed() for code in codes], Const(0, 0)
        ints, shared = align_row(m, codes, get(self.acts), "act", None, self.guard_bits, self.align_rounding)
        return ints, wire(m, (shared - 1)[: self._top_shift(self.p).bit_length()], "exponent")


@dataclass(frozen=True, kw_only=True)
class AlignedProductsSpec(AlignedSpec):
    """A tile that adds up products of its activations' integers, and shifts the sum of a step by its exponent."""

    @classmethod
    def _unshifted_range(cls, p: P) -> tuple[Num, Num]:
        """Range of a product before the shift by a step's exponent."""
        raise NotImplementedError

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._aligned_bits(p) + cls._top_shift(p).bit_length()

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        low, high = cls._unshifted_range(p)
        return low * 2 ** cls._top_shift(p), high * 2 ** cls._top_shift(p)

    @classmethod
    def _tree_bits(cls, p: P) -> Num:
        """Bits of the sum of a step's products, before the shift by its exponent."""
        low, high = cls._unshifted_range(p)
        return bits_for(low * p["k"], high * p["k"])

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        return cls._tree_bits(p) + cls._top_shift(p)

    @classmethod
    def _row_tree_bits(cls, p: P) -> Num:
        """Bits of the sum of a step's activations, before the shift by its exponent."""
        low, high = cls._int_range(p)
        return bits_for(low * p["k"], high * p["k"])

    @classmethod
    def row_addend_bits(cls, p: P) -> Num:
        return cls._row_tree_bits(p) + cls._top_shift(p) if cls.keeps_row_sums(p) else 0

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        return cls._row_align_primitives(p)

    @classmethod
    def sums_in_tree(cls, p: P) -> Num:
        # A step's sum is shifted before it is accumulated.
        return False if cls._steps_align_of(p) else cls.sums_join(p)

    # ------------------------------------------------------------------ logic

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Passes integers on; aligns the floating-point activations of a step where rows do that."""
        ints, exponent = self._build_integers(m, acts)
        return Cat(*ints, exponent)

    def _acts_of(self, row: Value) -> tuple[list[Value], Value]:
        """(K integers, exponent of the step) of a row bus."""
        bits = int(self._aligned_bits(self.p))
        return [row[i * bits : (i + 1) * bits].as_signed() for i in range(self.k)], row[self.k * bits :]

    def _shifted(
        self, m: Module, total: Value, exponent: Value, name: str = "by_exponent", fill: Value = _ZERO
    ) -> Value:
        """Sum of a step shifted by its exponent, filled with copies of ``fill``."""
        return shift_left_by(m, total, exponent, self._top_shift(self.p), fill, name)
