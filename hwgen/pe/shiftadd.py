"""Shift and add: weights are sums of one to three signed powers of two, and a product needs no multiplier.

A weight w = Σ_t ±2^s_t of T terms (``powers``), each of which may also be 0, multiplies an activation by T shifters:
x·w = Σ_t ±(x ≪ s_t). Its code has a field of E bits (``exponent_bits``) for each term, as `hwgen.formats.powers` says:

* scheme ``signed``: every term has a sign and all shifts from 0 to S = 2^E − 2 (``powersT_S``). One term is the
  power-of-two weight of INQ and DeepShift; with several, ShiftAddLLM's planes with power-of-two scales are such codes.
* scheme ``apot``: one sign for all terms, which divide the shifts up among themselves (``apotT_S``), so that no value
  is there twice.

Weights are scaled by groups to the largest sum. A cell has one barrel shifter a term. A term that is subtracted is a
ones' complement with ones shifted in behind it; the ones that complete them are the same for all rows, and a column
counts them once a step. The K·T rows and that count are one carry-save tree with one carry chain at its end; where
nothing stands between tree and accumulator (``stages`` below 2, no shift by a step's exponent, no saturation) the
accumulator is a row of the tree too. A step adds Σ_k A·W, exactly.

Floating-point activations become integers as `hwgen.pe._aligned` says.

Timing: one cycle per step, latency 1 + stages and cuts.
Source: ShiftAddLLM (NeurIPS'24, arXiv 2406.05981); DeepShift (CVPRW'21); APoT (ICLR'20, arXiv 1909.13144). Counting the
complements in columns is ours.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value

from hwgen.arith import wire
from hwgen.arith.compressor import Term, TermShape, carry_save_counts, carry_save_sum
from hwgen.errors import HwgenError
from hwgen.formats import Format, PowersFormat
from hwgen.formats.base import whole
from hwgen.frame.facts import Addend, Counts, P, Quantization
from hwgen.frame.numbers import Num, unsigned_bits, where
from hwgen.frame.param import Range, again, param
from hwgen.frame.primitives import for_each
from hwgen.pe._aligned import AlignedProductsSpec, AlignedSpec, shift_left_by, shift_mux2

__all__ = ["ShiftAdd"]

_MOST_TERMS, _MOST_BITS = 3, 4


def _one_sign(p: P) -> bool:
    return bool(p["scheme"] == "apot")


@functools.cache
def _tree_counts(k: int, terms: int, bits: int, ones: int, one_sign: bool, width: int, onto: bool = False) -> Counts:
    """Primitives of the sum of K·T shifted rows of ``bits`` bits and the ``ones`` bits of their count."""
    shapes = [TermShape(bits, True, term if one_sign else 0) for term in range(terms)] * k
    return dict(carry_save_counts([TermShape(width, True)] * onto + [*shapes, TermShape(ones, False)], width))


@functools.cache
def _count_counts(k: int, terms: int, width: int, one_sign: bool) -> Counts:
    """Primitives of the count of what completes the complements of a step."""
    shapes = [TermShape(1, False, term if one_sign else 0) for term in range(terms)] * k
    return dict(carry_save_counts(shapes, width))


@dataclass(frozen=True, kw_only=True)
class ShiftAdd(AlignedProductsSpec):
    """Shift-and-add tile."""

    title: ClassVar[str] = "weights as sums of powers of two"

    group: int = again(AlignedSpec, "group", sweep=(0, 64))
    powers: int = param(2, "powers of two in a weight", legal=Range(1, _MOST_TERMS), sweep=(1, 2, 3))
    exponent_bits: int = param(
        3, "bits of a term's exponent, one code of which is zero", legal=Range(1, _MOST_BITS), sweep=(2, 3), unit="bit"
    )
    acts: str = again(AlignedSpec, "acts", sweep=("int8", "fp16"))
    scheme: str = param(
        "signed",
        "signs and shifts of the powers: each has its own, or one sign and the shifts dealt out",
        legal=("signed", "apot"),
        sweep=("signed", "apot"),
    )

    cell_uses_phase: ClassVar[bool] = False

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` is the width of a weight's code: T·(E + 1), or with scheme apot T·E + 1, by the fewest terms."""
        given = dict(values)
        if "bits" not in given:
            return given
        bits, apot = whole(given.pop("bits")), given.get("scheme") == "apot"
        terms, fields = whole(given.get("powers")), whole(given.get("exponent_bits"))
        found = [
            (t, e)
            for t in range(2 if apot else 1, _MOST_TERMS + 1)
            for e in range(1, _MOST_BITS + 1)
            if bits == (t * e + 1 if apot else t * (e + 1)) and terms in (None, t) and fields in (None, e)
        ]
        if not found:
            raise HwgenError(
                f"shiftadd: bits must be powers · {'exponent_bits + 1' if apot else '(exponent_bits + 1)'}, not "
                f"{values['bits']!r}; 4 is one power and its sign, 8 are two, 5 are two with scheme apot"
            )
        given["powers"], given["exponent_bits"] = found[0]
        return given

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        apot, steps = _one_sign(p), cls._steps_align_of(p)
        yield (
            (p["powers"] > 1) | (not apot),
            "powers must be 2 or 3 with scheme apot, not {powers}; one power and its sign are scheme signed",
        )
        most = _MOST_BITS - apot - steps
        yield (
            p["exponent_bits"] <= most,
            f"exponent_bits must be at most {most} with scheme {{scheme}}"
            + (" and align_scope step" if steps else "")
            + ", not {exponent_bits}; sums would be too wide",
        )
        yield from super().constraints(p)

    @property
    def weight_format(self) -> Format:
        return PowersFormat.of_fields(self.powers, self.exponent_bits, _one_sign(self.p))

    @property
    def lsb_exp(self) -> int:
        return self._act_lsb_exp

    def quantization(self) -> Quantization:
        return Quantization(
            **self._act_quantization(),
            weights=self.weight_format.name,
            scheme="powers",
            group=self.group,
            weight_scale=self.weight_scale,
        )

    # ------------------------------------------------------------------ formulas

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return cls._code_port(p)

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        fields = p["powers"] * p["exponent_bits"]
        return p["k"], fields + (1 if _one_sign(p) else p["powers"])

    @classmethod
    def _amount_bits(cls, p: P) -> Num:
        """Bits of a term's amount of shift on the bus: none where there is only one."""
        return where(p["exponent_bits"] > 1, p["exponent_bits"], 0)

    @classmethod
    def _most_amount(cls, p: P) -> Num:
        return 2 ** p["exponent_bits"] - 2

    @classmethod
    def _stride(cls, p: P) -> Num:
        """Places of an amount of one."""
        return p["powers"] if _one_sign(p) else 1

    @classmethod
    def _count_bits(cls, p: P) -> Num:
        """Bits of what completes the complements of a step."""
        each = 2 ** p["powers"] - 1 if _one_sign(p) else p["powers"]
        return unsigned_bits(p["k"] * each)

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * p["powers"] * (cls._amount_bits(p) + 2) + cls._count_bits(p)

    @classmethod
    def _largest_weight(cls, p: P) -> Num:
        if _one_sign(p):
            return (2 ** p["powers"] - 1) * 2 ** (p["powers"] * cls._most_amount(p))
        return p["powers"] * 2 ** cls._most_amount(p)

    @classmethod
    def _unshifted_range(cls, p: P) -> tuple[Num, Num]:
        """Range of a product before the shift by a step's exponent."""
        low, _ = cls._int_range(p)
        # Activations reach at least as far below zero as above it, weights as far on both sides.
        return low * cls._largest_weight(p), -low * cls._largest_weight(p)

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        terms = p["k"] * p["powers"]
        tree = for_each(lambda *own: _count_counts(*own, _one_sign(p)), p["k"], p["powers"], cls._count_bits(p))
        # A field is compared with 0, and its sign masked.
        return cls._joined(tree, {"and": terms * p["exponent_bits"]})

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        bits, terms = cls._aligned_bits(p), p["k"] * p["powers"]
        row = bits + cls._stride(p) * cls._most_amount(p)
        own, joined = (p["k"], p["powers"], row, cls._count_bits(p), _one_sign(p)), cls.sums_in_tree(p)
        tree = for_each(_tree_counts, *own, where(joined, cls.acc_bits(p), cls._tree_bits(p)), joined)
        choice = {
            "and": terms * bits,
            "xor": terms * bits,
            "mux2": terms * shift_mux2(bits, cls._most_amount(p), cls._stride(p)),
        }
        return cls._joined(tree, choice, {"mux2": shift_mux2(cls._tree_bits(p), cls._top_shift(p))})

    # ------------------------------------------------------------------ reference

    def terms_of(self, codes: np.ndarray) -> np.ndarray:
        """Terms of weight codes [..., K], int64 [..., K, T]: ±2^s or 0."""
        found = np.asarray(codes).astype(np.int64)
        step = self.exponent_bits if self.scheme == "apot" else self.exponent_bits + 1
        parts = found[..., None] >> (step * np.arange(self.powers))
        fields = parts & ((1 << self.exponent_bits) - 1)
        amount = (1 << self.exponent_bits) - 1 - fields
        if self.scheme == "apot":
            shift = self.powers * amount + (self.powers - 1 - np.arange(self.powers))
            sign = (found >> (self.powers * self.exponent_bits) & 1)[..., None]
        else:
            shift, sign = amount, parts >> self.exponent_bits & 1
        powers: np.ndarray = np.where(fields > 0, (1 - 2 * sign) << shift, 0)
        return powers

    def arithmetic(self, mode: int) -> dict[str, Any]:
        return {**self.dot_arithmetic(mode), "acts": self._act_integers()}

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        sums = self.terms_of(weights).sum(axis=-1)
        # A step's products are far below 2^53: a product of float64 matrices is exact, and quicker than one of int64.
        products = self._integers(acts).astype(np.float64) @ sums.astype(np.float64).swapaxes(-1, -2)
        total = products.astype(np.int64).astype(self.sum_dtype)
        shifted: np.ndarray = total << self._shift(acts)[..., :, None].astype(self.sum_dtype)
        return shifted[None, ..., None]

    # ------------------------------------------------------------------ logic

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Turns fields into amounts of shift, and counts the terms that are subtracted."""
        apot, parts, ones = _one_sign(self.p), [], []
        for index in range(self.k):
            code = weights[index]
            for term in range(self.powers):
                start = term * (self.exponent_bits + (0 if apot else 1))
                found = code[start : start + self.exponent_bits]
                there = wire(m, found.any(), f"there{index}_{term}")
                sign = code[-1] if apot else code[start + self.exponent_bits]
                negative = wire(m, sign & there, f"negative{index}_{term}")
                parts += [(~found)[: int(self._amount_bits(self.p))], there, negative]
                ones.append(Term(negative, self._static_shift(term)))
        return Cat(*parts, carry_save_sum(m, ones, "ones", int(self._count_bits(self.p))))

    def _static_shift(self, term: int) -> int:
        """Shift of a term when its amount is 0."""
        return self.powers - 1 - term if _one_sign(self.p) else 0

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Shifts and adds up all K·T terms, and where it can what was accumulated, in one tree of carry-save adders."""
        bits, amount_bits = int(self._aligned_bits(self.p)), int(self._amount_bits(self.p))
        largest, stride, size = int(self._most_amount(self.p)), int(self._stride(self.p)), amount_bits + 2
        rows: list[Term] = []
        for index in range(self.k):
            act = row[index * bits : (index + 1) * bits]
            for term in range(self.powers):
                start = (index * self.powers + term) * size
                amount, there, negative = col[start:][:amount_bits], col[start + size - 2], col[start + size - 1]
                name = f"term{index}_{term}"
                chosen = (act & there.replicate(bits)) ^ negative.replicate(bits)
                value = wire(m, chosen.as_signed(), name)
                moved = shift_left_by(m, value, amount, largest, negative, f"{name}_by", stride)
                rows.append(Term(moved, self._static_shift(term)))
        rows.append(Term(col[self.k * self.powers * size :]))
        if self.sums_in_tree(self.p):
            return [Addend(Const(0, 1), rows=tuple(rows))]
        total = carry_save_sum(m, rows, "dot", int(self._tree_bits(self.p)))
        return [Addend(self._shifted(m, total, row[self.k * bits :]))]
