"""MixPE: products by shift and add, no multiplier, and a choice of where weights are dequantised.

A weight of W bits selects shifted copies of an activation: x·w = −(x≪W−1)·w_{W−1} + … + (x≪1)·w1 + x·w0 for two's
complement, all positive for unsigned codes. A cell adds up the K·W partial products of a step in one tree of carry-save
adders with one carry chain at its end, sign bits and subtracted rows complemented and their constants added as one row
(`hwgen.arith.compressor`), and accumulates. Where nothing stands between tree and accumulator (``stages`` below 2, no
shift by a step's exponent, no saturation) the accumulator is a row of the tree, and its carry chain the only one. A
step adds Σ_k A·Q, exactly.

Floating-point activations (W4A16) become integers as `hwgen.pe._aligned` says: within the scope of an exponent the
increment of an exponent is a shift of the significand, so the same tree adds the partial terms; with ``align_scope
step`` a cell shifts its step's sum by the step's exponent.

Ternary weights (``bits 1.58`` or scheme ``ternary``) are −1, 0 and 1 times mean|w| (BitNet b1.58), stored as two bits.

``dequant`` places the dequantisation of weights s·(q − z):

* ``group``, after the sum of each group: Y = Σ_g s_g·(Σ_k X·Q − z_g·Σ_k X). Σ_k X is kept once per row, for all
  columns.
* ``channel``: the same with one scale a row of weights, ``group 0``: one sum an output.
* ``before``, in front of the cells: two-level weights. A column front-end makes w = (q − z)·s1 of codes, the integer
  scale s1 (8 bits, unsigned) and zero point of their group, by shift and add and modulo 2^8, once for all rows; cells
  work on 8-bit weights and sum over the whole row, and a floating-point scale a channel is applied to the result. The
  quantiser (`hwgen.quantize.two_level`) sees to it that w fits 8 bits.

Timing: one cycle per step, latency 1 + stages.
Source: MixPE (arXiv 2411.16158); its abstract and the formula of its shift-and-add PE, the tree is ours. Two-level
weights: QServe (arXiv 2405.04532), progressive group quantisation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value

from hwgen.arith.bits import wire
from hwgen.arith.compressor import Term, TermShape, carry_save_counts, carry_save_sum
from hwgen.formats import Format, QTensor, get
from hwgen.pe._aligned import AlignedSpec, shift_left_by, shift_mux2
from hwgen.pe._numbers import Num, bits_for, maximum, where
from hwgen.pe._param import Range, again, param
from hwgen.pe._scaled import ScaledSpec
from hwgen.pe._spec import Addend, Counts, P, Quantization, Side

__all__ = ["Mixpe"]

_LEVEL_BITS = 8
"""Bits of an integer group scale, and of a weight that was dequantised by one."""


@functools.cache
def _dot_counts(count: int, planes: int, bits: int, negative_top: bool, width: int, onto: bool = False) -> Counts:
    """Primitives of the sum of ``count`` numbers of ``bits`` bits, signed, times weights of ``planes`` bits, in
    ``width`` bits; with ``onto`` a number of that width is added.
    """
    shapes = [TermShape(bits, True, i, negative_top and i == planes - 1) for _ in range(count) for i in range(planes)]
    return dict(carry_save_counts([TermShape(width, True)] * onto + shapes, width))


@functools.cache
def _level_counts(planes: int, negative_top: bool, offset: bool) -> Counts:
    """Primitives of a group scale times a code of ``planes`` bits, less an offset, in eight bits."""
    shapes = [TermShape(_LEVEL_BITS, False, i, negative_top and i == planes - 1) for i in range(planes)]
    return dict(carry_save_counts(shapes + [TermShape(_LEVEL_BITS, False, 0, True)] * offset, _LEVEL_BITS))


def _for_each(counts: Callable[..., Counts], *numbers: Num) -> Counts:
    """``counts`` of numbers that may be arrays: one call for each distinct combination."""
    if not any(isinstance(number, np.ndarray) for number in numbers):
        return counts(*numbers)
    grids = np.broadcast_arrays(*numbers)
    points, inverse = np.unique(np.stack([grid.ravel() for grid in grids]), axis=1, return_inverse=True)
    found = [counts(*point) for point in points.T.tolist()]
    return {name: np.array([one[name] for one in found])[inverse].reshape(grids[0].shape) for name in found[0]}


@dataclass(frozen=True, kw_only=True)
class Mixpe(AlignedSpec):
    """MixPE shift-and-add tile."""

    group: int = again(AlignedSpec, "group", sweep=(0, 64))
    bits: int = param(4, "weight width; 1.58 is ternary in two bits", legal=Range(2, 8), sweep=(2, 3, 4, 8), unit="bit")
    acts: str = again(AlignedSpec, "acts", sweep=("int8", "fp16", "bf16"))
    scheme: str = param(
        "asymmetric",
        "weights: unsigned with an integer zero point, signed, or unsigned with a float minimum, or -1, 0 and 1 by "
        "their mean",
        legal=("asymmetric", "symmetric", "minimum", "ternary"),
        sweep=("asymmetric", "symmetric"),
    )
    dequant: str = param(
        "group",
        "where weights are dequantised: after each group, after the row, or before the cells by integer scales",
        legal=("group", "channel", "before"),
        sweep=("group", "channel", "before"),
    )

    cell_uses_phase: ClassVar[bool] = False

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        dequant = p["dequant"]
        channel, before = dequant == "channel", dequant == "before"
        yield (
            (p["group"] == 0) if channel else (p["group"] > 0),
            "group must be 0 with dequant channel, not {group}; a row has one scale"
            if channel
            else f"group must be positive with dequant {dequant}, not {{group}}; one scale a row is --dequant channel",
        )
        yield (
            (p["post_lanes"] == 0) | (not channel and not before),
            f"post_lanes must be 0 with dequant {dequant}, not {{post_lanes}}; "
            "the sum of a whole row is scaled once, after the tile",
        )
        yield (
            not before or p["scheme"] in ("asymmetric", "symmetric"),
            "scheme must be asymmetric or symmetric with dequant before, not {scheme}; "
            "cells take integers below an integer scale of their group",
        )
        yield (
            not (before and cls._floating(p)) or p["align_scope"] != "group",
            "align_scope must be step or row with dequant before, not {align_scope}; "
            "a sum over the whole row has no exponents of groups",
        )
        yield from super().constraints(p)

    # ------------------------------------------------------------------ formats

    @staticmethod
    def _before(p: P) -> bool:
        return bool(p["dequant"] == "before")

    @staticmethod
    def _signed(p: P) -> bool:
        return ScaledSpec.signed_weights(p)

    @classmethod
    def _cell_signed(cls, p: P) -> bool:
        return cls._before(p) or cls._signed(p)

    @classmethod
    def _cell_bits(cls, p: P) -> Num:
        """Bits of a weight in a cell."""
        return _LEVEL_BITS + 0 * p["bits"] if cls._before(p) else p["bits"]

    @classmethod
    def _weight_range(cls, p: P) -> tuple[Num, Num]:
        """Range of a weight in a cell."""
        half = 2 ** (cls._cell_bits(p) - 1)
        return (-half, half - 1) if cls._cell_signed(p) else (0 * half, 2 * half - 1)

    @property
    def weight_format(self) -> Format:
        return get(f"{'int' if self._signed(self.p) else 'uint'}{self.bits}")

    @property
    def lsb_exp(self) -> int:
        return self._act_lsb_exp

    def quantization(self) -> Quantization:
        before = self._before(self.p)
        return Quantization(
            **self._act_quantization(),
            weights=self.weight_format.name,
            scheme=f"two_level_{self.scheme}" if before else self.scheme,
            group=self.group,
            weight_scale=self.weight_scale,
            arithmetic="two_level" if before else "exact",
        )

    @classmethod
    def sum_group(cls, p: P) -> Num:
        return 0 * p["group"] if cls._before(p) else p["group"]

    @property
    def zero_values(self) -> range:
        return range(1 << self.bits)

    @classmethod
    def zero_width(cls, p: P) -> Num:
        return p["bits"] + 1

    # ------------------------------------------------------------------ side information

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        if not cls._before(p):
            return super().side_bits(p)
        col: Counts = {"group_scale": _LEVEL_BITS + 0 * p["bits"]}
        if not cls._signed(p):
            col["group_zero"] = p["bits"]
        return {}, col

    def col_side(self) -> dict[str, Side]:
        if not self._before(self.p):
            return super().col_side()
        _, bits = self.side_bits(self.p)
        docs = {"group_scale": "integer scale of the column's group", "group_zero": "zero point of the column's group"}
        return {name: Side(int(width), docs[name], encoding=f"uint{int(width)}") for name, width in bits.items()}

    def side_values(self, name: str, tensor: QTensor) -> np.ndarray:
        if name == "group_scale":
            return tensor.scale_codes
        if name == "group_zero":
            assert tensor.zero is not None
            return tensor.zero
        return super().side_values(name, tensor)

    def sum_scales(self, weights: QTensor) -> np.ndarray:
        if not self._before(self.p):
            return super().sum_scales(weights)
        # What is left for the sum of a row is the second-level scale, which is applied last.
        return get(self.weight_scale).encode(np.ones((1, 1)))

    # ------------------------------------------------------------------ formulas

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return cls._code_port(p)

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], p["bits"]

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._aligned_bits(p) + cls._top_shift(p).bit_length()

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._cell_bits(p)

    @classmethod
    def _unshifted_range(cls, p: P) -> tuple[Num, Num]:
        """Range of a product before the shift by a step's exponent."""
        (a_low, a_high), (w_low, w_high) = cls._int_range(p), cls._weight_range(p)
        # a_low is at least as far from zero as a_high, w_low than w_high where it is not 0.
        return -maximum(a_high * -w_low, -a_low * w_high), maximum(a_high * w_high, a_low * w_low)

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
    def _may_join(cls, p: P) -> bool:
        """Whether the accumulator is a row of the tree, unless there is a register between both."""
        return p["overflow"] != "saturate" and not cls._steps_align_of(p)

    @classmethod
    def corrects_sums(cls, p: P) -> bool:
        return not cls._cell_signed(p)

    @classmethod
    def row_sum_range(cls, p: P) -> tuple[Num, Num] | None:
        if not cls.corrects_sums(p):
            return None
        low, high = cls._int_range(p)
        return low * 2 ** cls._top_shift(p), high * 2 ** cls._top_shift(p)

    @classmethod
    def _row_tree_bits(cls, p: P) -> Num:
        low, high = cls._int_range(p)
        return bits_for(low * p["k"], high * p["k"])

    @classmethod
    def row_addend_bits(cls, p: P) -> Num:
        return 0 if cls.row_sum_range(p) is None else cls._row_tree_bits(p) + cls._top_shift(p)

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        return cls._row_align_primitives(p)

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        if not cls._before(p):
            return {}
        signed = cls._signed(p)
        # Partial products within the lowest eight bits.
        products = p["bits"] * _LEVEL_BITS - p["bits"] * (p["bits"] - 1) // 2
        each = _for_each(lambda bits: _level_counts(bits, signed, not signed), p["bits"])
        counts = {name: p["k"] * number for name, number in each.items()}
        counts["and"] = counts["and"] + p["k"] * products
        if signed:
            return counts
        shared = _for_each(lambda bits: _level_counts(bits, False, False), p["bits"])
        return cls._joined(counts, shared, {"and": products})

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        k, planes, bits, width = p["k"], cls._cell_bits(p), cls._aligned_bits(p), cls._tree_bits(p)
        signed = cls._cell_signed(p)
        tree = _for_each(
            lambda k, planes, bits, width: _dot_counts(k, planes, bits, signed, width), k, planes, bits, width
        )
        if cls._may_join(p):
            joined = _for_each(
                lambda k, planes, bits, width: _dot_counts(k, planes, bits, signed, width, True),
                *(k, planes, bits, cls.acc_bits(p)),
            )
            tree = {name: where(p["stages"] < 2, joined[name], tree[name]) for name in tree}
        return cls._joined(tree, {"and": k * planes * bits, "mux2": shift_mux2(width, cls._top_shift(p))})

    @classmethod
    def accumulator_primitives(cls, p: P) -> Counts:
        counts = super().accumulator_primitives(p)
        if cls._may_join(p):
            # The tree's adder is the accumulator's.
            counts["add"] = where(p["stages"] < 2, 0, counts["add"])
        return counts

    @classmethod
    def row_sum_primitives(cls, p: P) -> Counts:
        width = cls._row_tree_bits(p)
        tree = _for_each(
            lambda k, bits, width: _dot_counts(k, 1, bits, False, width), p["k"], cls._aligned_bits(p), width
        )
        return {**tree, "mux2": shift_mux2(width, cls._top_shift(p))}

    def arithmetic(self, mode: int) -> dict[str, Any]:
        found = {**self.dot_arithmetic(mode), "acts": self._act_integers()}
        if self._before(self.p):
            found["weights"] = {
                "rule": "dequantised",
                "encoding": self.weight_format.name,
                "definition": "(code value - zero) * scale, its lowest bits in two's complement",
                "bits": _LEVEL_BITS,
                "scale": "i_col_group_scale",
                "zero": None if self._signed(self.p) else "i_col_group_zero",
            }
        return found

    # ------------------------------------------------------------------ reference

    def dequantised(self, weights: np.ndarray, col: Mapping[str, np.ndarray]) -> np.ndarray:
        """Weights of cells, int64 [..., N, K], of codes [..., N, K] and their side information [..., N].

        With dequant before (q − z)·s1, its lowest 8 bits in two's complement; otherwise q.
        """
        q = self.weight_format.fixed(weights)
        if not self._before(self.p):
            return q
        zero = np.asarray(col["group_zero"])[..., None] if "group_zero" in col else 0
        half = 1 << (_LEVEL_BITS - 1)
        product = (q - zero) * np.asarray(col["group_scale"])[..., None]
        wrapped: np.ndarray = ((product + half) & (2 * half - 1)) - half
        return wrapped

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        ints = self._integers(acts)
        # A step's products are far below 2^53: a product of float64 matrices is exact, and quicker than one of int64.
        products = ints.astype(np.float64) @ self.dequantised(weights, col).astype(np.float64).swapaxes(-1, -2)
        total = products.astype(np.int64).astype(self.sum_dtype)
        shifted: np.ndarray = total << self._shift(acts)[..., :, None].astype(self.sum_dtype)
        return shifted[None, ..., None]

    def row_terms(self, acts: np.ndarray, row: Mapping[str, np.ndarray], mode: int) -> np.ndarray:
        total: np.ndarray = self._integers(acts).sum(axis=-1) << self._shift(acts)
        return total

    # ------------------------------------------------------------------ logic

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Passes integers on; aligns the floating-point activations of a step where rows do that."""
        ints, exponent = self._build_integers(m, acts)
        return Cat(*ints, exponent)

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Passes codes on; makes 8-bit weights of them, by shift and add, where they are dequantised before cells."""
        if not self._before(self.p):
            return super().build_col(m, weights, side, phase, mode)
        scale = side["group_scale"]
        offset: list[Term] = []
        if "group_zero" in side:
            # q·s1 − z·s1, the second once a column.
            parts = self._partial(m, scale, side["group_zero"], False, "zero")
            offset = [Term(carry_save_sum(m, parts, "offset", _LEVEL_BITS).as_unsigned(), negative=True)]
        values = []
        for index in range(self.k):
            parts = self._partial(m, scale, weights[index], self._signed(self.p), f"code{index}")
            values.append(carry_save_sum(m, [*parts, *offset], f"weight{index}", _LEVEL_BITS))
        return Cat(*values)

    @staticmethod
    def _partial(m: Module, value: Value, code: Value, negative_top: bool, name: str) -> list[Term]:
        """Partial products of ``value`` by the bits of ``code``."""
        rows = []
        for bit in range(len(code)):
            chosen = wire(m, value.as_unsigned() & code[bit].replicate(len(value)), f"{name}_bit{bit}")
            negative = negative_top and bit == len(code) - 1
            rows.append(Term(chosen.as_signed() if value.shape().signed else chosen, bit, negative))
        return rows

    def _acts_of(self, row: Value) -> tuple[list[Value], Value]:
        """(K integers, exponent of the step) of a row bus."""
        bits = int(self._aligned_bits(self.p))
        return [row[i * bits : (i + 1) * bits].as_signed() for i in range(self.k)], row[self.k * bits :]

    def _summed(self, m: Module, rows: list[Term], width: int, exponent: Value) -> Value:
        """Sum of rows in ``width`` bits, shifted by the step's exponent."""
        total = carry_save_sum(m, rows, "dot", width)
        return shift_left_by(m, total, exponent, self._top_shift(self.p), Const(0, 1), "by_exponent")

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Adds up all K·W partial products, and where it can what was accumulated, in one tree of carry-save adders."""
        acts, exponent = self._acts_of(row)
        bits = int(self._cell_bits(self.p))
        rows: list[Term] = []
        for index, act in enumerate(acts):
            code = col[index * bits : (index + 1) * bits]
            rows += self._partial(m, act, code, self._cell_signed(self.p), f"act{index}")
        if self.stages < 2 and self._may_join(self.p):
            return [Addend(Const(0, 1), rows=tuple(rows))]
        return [Addend(self._summed(m, rows, int(self._tree_bits(self.p)), exponent))]

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Adds up the row's activations, once for all columns."""
        acts, exponent = self._acts_of(row)
        return self._summed(m, [Term(act) for act in acts], int(self._row_tree_bits(self.p)), exponent)
