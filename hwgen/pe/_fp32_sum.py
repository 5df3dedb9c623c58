"""Cells whose sums are FP32: `hwgen.frame.loops` with an FP32 adder, alone or with partial sums that go round in it.

A cell's sum is an FP32 code. An update adds the FP32 sum of its terms: a balanced tree (term 0 + term 1, term 2 + term
3, …; an odd one waits for the next level), then one addition to the sum, which starts from +0. Every addition is IEEE
754, rounded to nearest even, subnormals kept, with one NaN (`hwgen.arith.fp32_add`).

The adder of the sum takes ``adder_stages`` = S cycles. Without interleaving the next update waits for the one before:
one in S cycles. With ``interleave`` = ring there is one a cycle, S partial sums, and their folding after a group.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Module, Value

from hwgen.arith import FP32_NAN, fp32_add, fp32_add_reference
from hwgen.formats import get
from hwgen.frame.facts import Counts, P
from hwgen.frame.loops import LoopSpec
from hwgen.frame.numbers import Num, clog2, where
from hwgen.frame.param import param
from hwgen.frame.primitives import FP32_ADD

__all__ = ["FP32_BITS", "Fp32SumSpec", "fp32_tree_reference"]

FP32_BITS = 32
"""Bits of a sum and of a term."""
_MINUS_ZERO = 1 << (FP32_BITS - 1)


def fp32_tree_reference(terms: np.ndarray) -> np.ndarray:
    """FP32 codes of the sums over the last axis of codes [..., T], in the order of a balanced tree; uint32."""
    nodes = [terms[..., index].astype(np.uint32) for index in range(terms.shape[-1])]
    while len(nodes) > 1:
        paired = len(nodes) // 2 * 2
        nodes = [fp32_add_reference(nodes[i], nodes[i + 1]) for i in range(0, paired, 2)] + nodes[paired:]
    return nodes[0]


@dataclass(frozen=True, kw_only=True)
class Fp32SumSpec(LoopSpec):
    """A tile whose sums are FP32 codes where `fp32_sums` says so.

    There a cell's addend is the code of the sum of its terms (`fp32_tree`, and `fp32_tree_reference` in `terms`). A
    cell with several cycles a step adds in each of them: without interleaving ``cycles_per_step`` counts
    `update_cycles` for each addition, and the cell sees every term that long.
    """

    interleave: str = param(
        "none",
        "an update of an FP32 sum waits for the one before, or partial sums go round in the adder and are folded",
        legal=("none", "ring"),
        sweep=("none", "ring"),
    )

    # ------------------------------------------------------------------ what a family says

    @classmethod
    def fp32_sums(cls, p: P) -> bool:
        """Whether sums are FP32 codes."""
        return True

    @classmethod
    def fp32_terms(cls, p: P) -> Num:
        """FP32 codes that a cell adds in one update."""
        return 1

    # ------------------------------------------------------------------ formulas

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        fp32 = cls.fp32_sums(p)
        yield (
            (not fp32) or p["overflow"] == "refuse",
            "overflow must be refuse with FP32 sums, which become infinite instead, not {overflow}",
        )
        yield (
            fp32 or p["interleave"] == "none",
            "interleave must be none without FP32 sums, not {interleave}",
        )
        if cls.uses_lanes(p) and fp32:
            yield (
                p["post_lanes"] == 0,
                "post_lanes must be 0 with FP32 sums, not {post_lanes}; scale them in software",
            )

    @classmethod
    def interleaved(cls, p: P) -> dict[str, Any]:
        return {"interleave": "ring"} if cls.fp32_sums(p) else {}

    @classmethod
    def loops(cls, p: P) -> bool:
        return cls.fp32_sums(p)

    @classmethod
    def rings(cls, p: P) -> bool:
        return bool(p["interleave"] == "ring")

    @classmethod
    def acc_bits(cls, p: P) -> Num:
        return FP32_BITS if cls.fp32_sums(p) else super().acc_bits(p)

    @classmethod
    def sum_depth(cls, p: P) -> Num:
        return 1 << 62 if cls.fp32_sums(p) else super().sum_depth(p)

    @classmethod
    def accumulator_primitives(cls, p: P) -> Counts:
        if not cls.fp32_sums(p):
            return super().accumulator_primitives(p)
        sums, ring = cls.sums_of_cell(p), where(cls.ring_stages(p) > 1, 1, 0)
        counts = {name: sums * count for name, count in FP32_ADD.items()}
        counts["and"] = counts["and"] + sums * FP32_BITS
        counts["mux2"] = counts["mux2"] + 2 * sums * ring * FP32_BITS
        return {**counts, "ff": cls.loop_registers(p, FP32_BITS, FP32_BITS)}

    @classmethod
    def fp32_levels(cls, p: P, kind: str) -> Num:
        return clog2(cls.fp32_terms(p)) if kind == "cell" and cls.fp32_sums(p) else super().fp32_levels(p, kind)

    @classmethod
    def fp32_loop(cls, p: P, kind: str) -> Num:
        return 1 if kind == "cell" and cls.fp32_sums(p) else super().fp32_loop(p, kind)

    @classmethod
    def fp32_tree_primitives(cls, p: P) -> Counts:
        """Primitives of the tree of a cell's terms."""
        adders = cls.sums_of_cell(p) * (cls.fp32_terms(p) - 1)
        return {name: adders * count for name, count in FP32_ADD.items()}

    # ------------------------------------------------------------------ facts of an instance

    @property
    def sum_signed(self) -> bool:
        return not self.fp32_sums(self.p)

    @property
    def sticky_specials(self) -> bool:
        return self.fp32_sums(self.p)

    @property
    def sum_meaning(self) -> str:
        return "group sums, FP32 codes" if self.fp32_sums(self.p) else super().sum_meaning

    @property
    def lsb_exp(self) -> int:
        return 0 if self.fp32_sums(self.p) else super().lsb_exp

    def sum_encoding(self) -> dict[str, Any]:
        return {"kind": "encoding", "encoding": "fp32"} if self.fp32_sums(self.p) else super().sum_encoding()

    def fp32_accumulation(self) -> dict[str, Any]:
        """How updates become a sum, for the manifest."""
        return {
            "partials": int(self.ring_stages(self.p)),
            "definition": "update u of a group is added to partial sum u mod partials, from +0; at the end, with U "
            "updates, the partial sums from number U mod partials on, in turn, are added in a balanced tree: first + "
            "second, third + fourth, then sums of sums; an odd one waits for the next level",
            "add": "IEEE 754, nearest even, subnormals kept; every NaN is 7fc00000, x + (-x) = +0",
        }

    # ------------------------------------------------------------------ reference

    def accumulate(self, sums: np.ndarray, term: np.ndarray) -> np.ndarray:
        if not self.fp32_sums(self.p):
            return super().accumulate(sums, term)
        return fp32_add_reference(sums, term).astype(np.int64)

    @property
    def neutral_operand(self) -> int:
        # x + (−0) is x for every x, −0 included.
        return _MINUS_ZERO

    def scale_sums(
        self,
        sums: np.ndarray,
        rows: np.ndarray,
        row_scale: np.ndarray,
        col_scale: np.ndarray,
        zero: np.ndarray | None,
    ) -> np.ndarray:
        """FP32 codes of FP32 sums times both scales, rounded once; zero is +0."""
        if not self.fp32_sums(self.p):
            return super().scale_sums(sums, rows, row_scale, col_scale, zero)
        formats = self.quantization()
        row = get(formats.act_scale).decode(row_scale)[..., :, None]
        col = get(formats.weight_scale).decode(col_scale)[..., None, :]
        with np.errstate(all="ignore"):
            # 24 bits times at most 22: exact in float64, whose range no product of these formats leaves.
            product = sums.astype(np.uint32).view(np.float32).astype(np.float64) * (row * col)
            result = np.where(product == 0, 0.0, product).astype(np.float32)
        return np.where(np.isnan(result), np.uint32(FP32_NAN), result.view(np.uint32))

    # ------------------------------------------------------------------ logic

    def add_to_sum(self, m: Module, state: Value, operand: Value, name: str) -> Value:
        return fp32_add(m, state, operand, name)

    @staticmethod
    def fp32_tree(m: Module, terms: list[Value], name: str) -> Value:
        """Code of the sum of a cell's terms."""
        level = 0
        while len(terms) > 1:
            sums = [
                fp32_add(m, terms[index], terms[index + 1], f"{name}_level{level}_{index // 2}")
                for index in range(0, len(terms) - 1, 2)
            ]
            terms, level = sums + terms[2 * len(sums) :], level + 1
        return terms[0]
