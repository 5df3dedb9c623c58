"""Complex weights ±1 and ±i: products of complex numbers by swapping and negating, with two sums a cell.

Inputs 2j and 2j + 1 of a layer are one complex activation a + bi, outputs 2n and 2n + 1 one complex output, real part
first. A weight is a fourth root of unity i^c, in two bits, and a product with it is a + bi, -b + ai, -a - bi or b - ai:
each sum of a cell gets a or b, with a sign. A column computes two outputs of a layer, and has one code for both.

* mapping ``linear``: y = Σ U·x, what a complex layer is (iFairy): two bits for each complex weight, half a bit for
  each of a real layer of that size. Layers of real models are not complex-linear: half of theirs is lost.
* mapping ``widely``: y = Σ (U·x + W·conj(x)), which every real layer is before its weights become roots (Fairy2i):
  two roots in four bits, one bit for each weight of a real layer.

A column says of each root whether to swap and which parts are subtracted, and counts these: what completes their ones'
complements is alike for all rows. A cell has two multiplexers and two conditional complements for each root, and for
each sum one carry-save tree with one carry chain at its end; where nothing stands between tree and accumulator
(``stages`` below 2, no saturation) the accumulator is a row of the tree too. Both sums are exact. Scales belong to
tokens and to groups of complex outputs (`hwgen.quantize.fourth_roots`), and are applied in software.

Timing: one cycle per step, latency 1 + stages and cuts.
Source: iFairy (arXiv 2508.05571), Fairy2i (arXiv 2512.02901); the block structure is ours. They have a scale for ±1 and
one for ±i, which would take four sums a cell; here it is one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Value

from hwgen.arith import wire
from hwgen.arith.compressor import Term, TermShape, carry_save_counts, carry_save_sum
from hwgen.errors import HwgenError
from hwgen.formats import Format, QTensor, RootsFormat, get
from hwgen.frame.facts import Addend, Counts, P, Quantization
from hwgen.frame.numbers import Num, bits_for, unsigned_bits, where
from hwgen.frame.param import param
from hwgen.frame.primitives import for_each
from hwgen.frame.spec import TileSpec
from hwgen.pe._scaled import SCALES

__all__ = ["Complex"]

_CONTROL = 3
"""Bits that a column says of a root: swap, real part subtracted, imaginary part subtracted."""

_BITS = {2: "linear", 4: "widely"}


@functools.cache
def _tree_counts(roots: int, acts: int, count: int, width: int, onto: bool = False) -> Counts:
    """Primitives of the sum of a chosen part for each root and the count of what is subtracted."""
    shapes = [TermShape(acts, True)] * roots + [TermShape(count, False)]
    return dict(carry_save_counts([TermShape(width, True)] * onto + shapes, width))


@dataclass(frozen=True, kw_only=True)
class Complex(TileSpec):
    """Tile of complex weights ±1 and ±i."""

    title: ClassVar[str] = "weights ±1 and ±i, two sums a cell"

    acts: str = param("int8", "activation format", legal=("int4", "int8", "int16"), sweep=("int4", "int8"))
    mapping: str = param(
        "linear",
        "what a layer is made of: one root a complex weight, or one for x and one for its conjugate",
        legal=("linear", "widely"),
        sweep=("linear", "widely"),
    )
    act_scale: str = param("bf16", "format of the activation scale of a row", legal=SCALES)
    weight_scale: str = param("fp16", "format of the weight scale of a group", legal=SCALES)

    sums_per_cell: ClassVar[int] = 2
    cell_uses_phase: ClassVar[bool] = False
    golden_overflow: ClassVar[bool] = True

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` is the width of a weight's code: 2 with mapping linear, 4 with widely."""
        given = dict(values)
        if "bits" in given:
            bits = given.pop("bits")
            if bits not in _BITS or given.setdefault("mapping", _BITS[bits]) != _BITS[bits]:
                raise HwgenError(f"complex: bits must be 2 with mapping linear or 4 with widely, not {bits!r}")
        return given

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        for name in ("k", "depth"):
            yield p[name] % 2 == 0, f"{name} must be even, not {{{name}}}; two inputs are one complex number"

    @property
    def act_format(self) -> Format:
        return get(self.acts)

    @property
    def weight_format(self) -> RootsFormat:
        return RootsFormat(widely=self.mapping == "widely")

    def quantization(self) -> Quantization:
        return Quantization(
            acts=self.acts,
            weights=self.weight_format.name,
            scheme="fourth_roots",
            group=self.group,
            act_scale=self.act_scale,
            weight_scale=self.weight_scale,
            step=self.k,
            **self.bounded_sums(),
        )

    # ------------------------------------------------------------------ formulas

    @classmethod
    def layer_outputs(cls, p: P) -> Num:
        return 2

    @classmethod
    def coded_outputs(cls, p: P) -> Num:
        return 1

    @classmethod
    def scale_formats(cls, p: P) -> tuple[str, str]:
        return p["act_scale"], p["weight_scale"]

    @classmethod
    def _act_bits(cls, p: P) -> int:
        return get(p["acts"]).code_bits

    @classmethod
    def _roots(cls, p: P) -> int:
        """Roots for each complex activation."""
        return 2 if p["mapping"] == "widely" else 1

    @classmethod
    def _terms(cls, p: P) -> Num:
        """Roots of a step."""
        return p["k"] // 2 * cls._roots(p)

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], cls._act_bits(p)

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"] // 2, 2 * cls._roots(p)

    @classmethod
    def _count_bits(cls, p: P) -> Num:
        """Bits of the number of parts that a step subtracts from a sum."""
        return unsigned_bits(cls._terms(p))

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return cls._terms(p) * _CONTROL + 2 * cls._count_bits(p)

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        """Of one element along K: half of what the roots of a pair add to one sum."""
        largest = cls._roots(p) << (cls._act_bits(p) - 2)
        return -largest, largest

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        low, high = cls.product_range(p)
        return bits_for(low * p["k"], high * p["k"])

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def sums_in_tree(cls, p: P) -> Num:
        return cls.sums_join(p)

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        def counts(terms: int, width: int) -> Counts:
            return dict(carry_save_counts([TermShape(1, False)] * terms, width))

        tree = for_each(counts, cls._terms(p), cls._count_bits(p))
        found = {name: 2 * tree[name] for name in tree}
        return {**found, "xor": found["xor"] + cls._terms(p)}

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        terms, bits = cls._terms(p), cls._act_bits(p)
        joined = cls.sums_in_tree(p)
        width = where(joined, cls.acc_bits(p), cls.addend_bits(p))
        tree = for_each(_tree_counts, terms, bits, cls._count_bits(p), width, joined)
        found = {name: 2 * tree[name] for name in tree}
        return {**found, "mux2": 2 * terms * bits, "xor": found["xor"] + 2 * terms * bits}

    # ------------------------------------------------------------------ reference

    def column_codes(self, weights: QTensor) -> np.ndarray:
        """Words of the real parts; raises `HwgenError` where those of the imaginary parts say other weights."""
        codes, form = weights.codes, weights.format
        pairs = len(codes) // 2 * 2
        if not isinstance(form, RootsFormat) or not np.array_equal(codes[1:pairs:2], form.turned(codes[:pairs:2])):
            raise HwgenError(
                "complex: weights must be roots4 or roots4_widely with two outputs a complex one, as "
                "hwgen.quantize.fourth_roots makes them; rows of imaginary parts say other weights"
            )
        return codes[::2]

    def arithmetic(self, mode: int) -> dict[str, Any]:
        fields = [{"lsb": 2 * root, "conjugate": root == 1} for root in range(self._roots(self.p))]
        return {
            "kind": "roots",
            "definition": "sum over the group's steps and j of i**c times the complex number of activations 2j and "
            "2j + 1, or its conjugate, for each root c of weight code j, exact; word 0 is the real part, word 1 the "
            "imaginary part",
            "acts": self.integers_of(self.act_format),
            "weights": {"rule": "roots", "bits": 2, "roots": fields},
            "accumulator": self.accumulator_rule(),
        }

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        # What a sum adds is far below 2^53: a product of float64 matrices is exact, and quicker than one of int64.
        ints, form = self.act_format.fixed(acts).astype(np.float64), self.weight_format
        sums = []
        for words in (weights, form.turned(weights)):
            factors = form.decode(words).reshape(*np.shape(words)[:-1], -1)
            sums.append((ints @ factors.swapaxes(-1, -2)).astype(np.int64))
        return np.stack(sums, axis=-1).astype(self.sum_dtype)[None]

    # ------------------------------------------------------------------ logic

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Says of each root whether parts are swapped and which are subtracted, and counts these."""
        controls: list[Value] = []
        counts: tuple[list[Term], list[Term]] = ([], [])
        for index in range(self.k // 2):
            for root in range(self._roots(self.p)):
                low, high = weights[index][2 * root], weights[index][2 * root + 1]
                differ = wire(m, low ^ high, f"differ{index}_{root}")
                signs = (high, ~differ) if root else (differ, high)
                controls += [low, *signs]
                for count, sign in zip(counts, signs, strict=True):
                    count.append(Term(sign))
        bits = int(self._count_bits(self.p))
        return Cat(*controls, *(carry_save_sum(m, count, f"count{part}", bits) for part, count in enumerate(counts)))

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Swaps and negates the parts of the activations, and adds up real and imaginary parts, each in one tree."""
        bits, roots, terms = self._act_bits(self.p), self._roots(self.p), int(self._terms(self.p))
        rows: tuple[list[Term], list[Term]] = ([], [])
        for index in range(terms):
            start = index // roots * 2 * bits
            a, b = row[start : start + bits], row[start + bits : start + 2 * bits]
            swap, *signs = (col[_CONTROL * index + place] for place in range(_CONTROL))
            for part, (kept, other) in enumerate(((a, b), (b, a))):
                chosen = Mux(swap, other, kept) ^ signs[part].replicate(bits)
                rows[part].append(Term(wire(m, chosen.as_signed(), f"part{part}_{index}")))
        bits = int(self._count_bits(self.p))
        found = []
        for part, own in enumerate(rows):
            start = _CONTROL * terms + part * bits
            own.append(Term(col[start : start + bits]))
            if self.sums_in_tree(self.p):
                found.append(Addend(Const(0, 1), rows=tuple(own)))
            else:
                found.append(Addend(carry_save_sum(m, own, f"sum{part}", int(self.addend_bits(self.p)))))
        return found
