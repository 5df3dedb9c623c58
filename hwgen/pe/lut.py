"""LUT tensor core: tables of activation sums, looked up by weight bit planes.

Weights of W bits run as planes of ±1 (``planes bipolar``): q' = 2q − (2^W − 1) = Σ_b 2^b·s_b with s_b = ±1, so that
every plane has a positive weight and no plane is subtracted. For K activations a row builds the table of Σ_k ±A[k]; a
cell selects an entry by the K weight bits of a plane, negates it where its sign says so, shifts it by the plane's
number and accumulates. A step adds Σ_k A·q', exactly.

* ``symmetry half`` keeps the 2^(K−1) entries whose top activation is positive; they need b + ceil(log2 K) bits,
  negation is left to the accumulator's carry-in. ``none`` keeps all 2^K.
* ``negation offline`` complements the low bits of a key when weights are packed; ``runtime`` does it in the column.
* ``precompute external`` takes tables instead of activations; the builder is then the ``_pre`` block.
* ``planes twos_complement`` selects sums of activations by plain weight bits and subtracts the top plane of signed
  weights.
* Wanted sum of weights s·(q − z): (Σ A·q' − z'·Σ A) / 2 with z' = 2z + 1 − 2^W, odd for every integer z. Σ A is the
  entry in which every activation is positive, so it costs an accumulator per row and no adder tree.
* Weights of one bit (``bits 1``) are sign(w) · mean|w|, scheme bipolar unless another is named. Ternary weights
  (``bits 1.58`` or scheme ``ternary``) are −1, 0 and 1 times mean|w| and run as the two planes of two's complement.

The steps of the paper's ablation (Table 2: W2, int8 activations) as flags, each with those before it:

    UNPU                            --planes twos_complement --symmetry none --scheme symmetric
    + weight reinterpretation       --planes bipolar --symmetry half --negation runtime
    + no negation circuits          --negation offline
    + table build outside, fused    --precompute external

and a conventional bit-serial table is --planes bipolar --symmetry none.

Floating-point activations become integers as `hwgen.pe._aligned` says; with ``align_scope step`` cells shift the table
entry by the step's exponent.

``entries int8`` rounds the entries of a table to bytes, to nearest even, by a scale of their largest magnitude
A = Σ |a| over the table's K activations; a cell multiplies what it looks up by the scale, and sums stay exact from
there. Σ A is taken before. ``entry_rule pow2``: the scale is 2^s with the least s ≥ 0 for which A rounds to 127 at
most, a shift in the cell. ``max127``: max(1, ceil(A / 127)), one multiplier a cell (the only one of this family), and
dividers in the ``_pre`` block. Tables with A ≤ 127 stay as they are. From outside, a table's scale and Σ A follow its
entries in the port, as further elements.

``cell fp_add`` looks up FP32 numbers instead and adds them in FP32 (`hwgen.pe._fp32_sum`: ``adder_stages``,
``interleave``). A row makes FP32 codes of its K activations, exactly, and builds the table of FP32 additions: an entry
is the sum of the upper half of the activations plus that of the lower half (floor(K/2) of them), each by the same rule.
A cell adds the plane's number to the exponent and flips the sign. Entries of zero stay zero, those below 2^-126 (only
bf16 has any) count as zero, and what exceeds FP32 becomes infinite; infinities and NaN follow IEEE 754. Planes of one
cycle are added in a balanced tree first. Entries are FP32 and not of the activations' format: they round at 24 bits,
those of fp8 and fp16 overflow in no plane, and FP32 is what the accumulators take in any case. Raw sums only, of
weights that need no Σ A (scheme bipolar, or plain bits of signed weights).

Timing: W / planes_per_cycle cycles per step, latency 1 + stages; with FP32 cells times ``adder_stages``, unless partial
sums go round (``interleave ring``). A row's FP32 table takes ceil(log2 K) additions in its one cycle; ``precompute
external`` moves them out of the tile.
Source: LUT Tensor Core (ISCA'25, arXiv 2408.06003) equations 1-8 and Table 2, its int8 tables scaled per table; the
bit order of keys is ours. T-MAC (EuroSys'25, arXiv 2407.00088) has one scale for several tables instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value, signed

from hwgen.arith import float_layout, fp32_add, fp32_add_reference
from hwgen.arith.bits import wire
from hwgen.arith.carry import add_with_carry
from hwgen.arith.select import select
from hwgen.arith.widen import fp32_times_power, fp32_times_power_reference, fp32_widen
from hwgen.formats import Format, QTensor, get
from hwgen.pe import _bytes
from hwgen.pe._aligned import FLOATS, AlignedSpec, shift_left_by, shift_mux2
from hwgen.pe._fp32_sum import FP32_BITS, Fp32SumSpec, fp32_tree_reference
from hwgen.pe._inventory import FP32_ADD
from hwgen.pe._numbers import Num, bits_for, ceil_div, unsigned_bits, where
from hwgen.pe._param import Range, again, param
from hwgen.pe._pre import PreSpec
from hwgen.pe._spec import Addend, Counts, P, PreCounts, Quantization

__all__ = ["Lut"]


def _half_sums(count: int) -> int:
    """Adders that build the half table of ``count`` activations from two half tables."""
    return 0 if count == 1 else 2 ** (count - 1) + _half_sums(count // 2) + _half_sums(count - count // 2)


def _subset_sums(count: int) -> int:
    """Adders that build all subset sums: every subset of two or more parts is one addition."""
    low = count // 2
    return 0 if count == 1 else (2**low - 1) * (2 ** (count - low) - 1) + _subset_sums(low) + _subset_sums(count - low)


def _negated(code: Value) -> Value:
    """FP32 code of the negative."""
    return Cat(code[:-1], ~code[-1])


@dataclass(frozen=True, kw_only=True)
class Lut(Fp32SumSpec, AlignedSpec):
    """LUT tensor-core tile."""

    n: int = again(AlignedSpec, "n", default=64)
    k: int = param(4, "activations per table (tile K)", legal=Range(2, 8), sweep=(2, 4, 8))
    bits: int = param(
        2,
        "weight width: bit planes; 1.58 is ternary in two planes",
        legal=Range(1, 8),
        sweep=(1, 2, 3, 4, 8),
        unit="bit",
    )
    acts: str = again(AlignedSpec, "acts", sweep=("int8", "int16", *FLOATS))
    scheme: str = param(
        "asymmetric",
        "weights: unsigned with an integer zero point or a float minimum, signed, or odd integers without zero, or "
        "-1, 0 and 1 by their mean",
        legal=("asymmetric", "minimum", "symmetric", "bipolar", "ternary"),
        sweep=("asymmetric", "bipolar"),
    )
    planes_per_cycle: int = param(
        1, "planes that a cell looks up in one cycle; divides bits", legal=Range(1, 8), sweep=(1, 2)
    )
    planes: str = param(
        "bipolar",
        "planes of ±1, or plain weight bits with full tables",
        legal=("bipolar", "twos_complement"),
        sweep=("bipolar", "twos_complement"),
    )
    symmetry: str = param(
        "half", "store half of the table and negate, or all of it", legal=("half", "none"), sweep=("half", "none")
    )
    negation: str = param(
        "offline",
        "complement key bits when weights are packed, or in the column",
        legal=("offline", "runtime"),
        sweep=("offline", "runtime"),
    )
    precompute: str = param(
        "internal",
        "rows build tables, or tables come in",
        legal=("internal", "external"),
        sweep=("internal", "external"),
    )
    # Floating-point cells have their own tests, on the smallest tiles: a row builds its tables of FP32 adders.
    adder_stages: int = again(Fp32SumSpec, "adder_stages", sweep=())
    interleave: str = again(Fp32SumSpec, "interleave", sweep=())
    cell: str = param(
        "aligned",
        "cells that add integers (floating-point activations are aligned), or FP32 numbers",
        legal=("aligned", "fp_add"),
    )
    entries: str = param(
        "native",
        "table entries of full width, or bytes with a scale for each table",
        legal=("native", "int8"),
        sweep=("native", "int8"),
    )
    entry_rule: str = param(
        "pow2",
        "scale of byte entries: a power of two, or the largest entry / 127",
        legal=("pow2", "max127"),
        sweep=("pow2", "max127"),
    )
    col_per_phase: ClassVar[bool] = True

    # ------------------------------------------------------------------ formats

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        given = super().aliases(values)
        # Plain bits have no ±1: there one bit keeps the scheme of all widths.
        if "scheme" not in values and given.get("planes") == "twos_complement" and given.get("scheme") == "bipolar":
            del given["scheme"]
        return given

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        yield (
            p["bits"] % p["planes_per_cycle"] == 0,
            "planes_per_cycle must divide bits ({bits}), not {planes_per_cycle}",
        )
        plain = p["planes"] == "twos_complement"
        yield (
            not plain or p["symmetry"] == "none",
            "symmetry must be none with planes twos_complement, not {symmetry}; plain bits have no mirrored half",
        )
        yield (
            not plain or p["scheme"] != "bipolar",
            "scheme must be asymmetric, minimum, symmetric or ternary with planes twos_complement, not {scheme}",
        )
        yield (
            p["symmetry"] == "half" or p["negation"] == "offline",
            "negation must be offline with symmetry none, not {negation}; a full table has no complemented keys",
        )
        yield (
            not (cls._steps_align_of(p) and p["precompute"] == "external"),
            "align_scope must be group or row with precompute external, not {align_scope}; "
            "a table port carries no exponent",
        )
        yield from cls._cell_constraints(p)
        yield (
            p["entries"] == "native" or not plain,
            "planes must be bipolar with entries int8, not {planes}; a table of ±1 sums has one largest entry",
        )
        yield (
            p["entries"] == "int8" or p["entry_rule"] == "pow2",
            "entry_rule must be pow2 with entries native, not {entry_rule}; use --entries int8",
        )
        yield (
            p["entry_rule"] == "pow2" or p["precompute"] == "external",
            "precompute must be external with entry_rule max127, not {precompute}; rows have no dividers",
        )

    @classmethod
    def _cell_constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        adds = cls.fp32_sums(p)
        yield (
            not adds or p["acts"] in FLOATS,
            f"acts must be {', '.join(FLOATS[:-1])} or {FLOATS[-1]} with cell fp_add, not {{acts}}",
        )
        yield (
            not adds or p["entries"] == "native",
            "entries must be native with cell fp_add, which looks up FP32 numbers, not {entries}",
        )
        yield (
            not adds or cls._sums_are_wanted(p),
            "scheme must be bipolar, or symmetric or ternary with planes twos_complement, with cell fp_add, "
            "not {scheme}; to subtract an activation sum that was rounded apart would lose the digits that both share",
        )

    @classmethod
    def _sums_are_wanted(cls, p: P) -> bool:
        """Whether a tile's sums need no correction by the activation sum."""
        return bool(p["scheme"] == "bipolar" or (p["planes"] == "twos_complement" and cls.signed_weights(p)))

    @classmethod
    def fp32_sums(cls, p: P) -> bool:
        return bool(p["cell"] == "fp_add")

    @classmethod
    def fp32_terms(cls, p: P) -> Num:
        return p["planes_per_cycle"]

    @classmethod
    def _floating(cls, p: P) -> bool:
        """Whether activations are floating point and are aligned."""
        return p["acts"] in FLOATS and not cls.fp32_sums(p)

    @classmethod
    def _entry_range(cls, p: P) -> tuple[Num, Num]:
        low, high = cls._int_range(p)
        k = p["k"]
        if p["planes"] == "twos_complement":
            return k * low, k * high
        largest = where(high > -low, high, -low)
        if p["symmetry"] == "half" or cls._bytes(p):
            # Bytes are mirrored after they are rounded.
            return low - (k - 1) * largest, high + (k - 1) * largest
        return -k * largest, k * largest

    @classmethod
    def _entry_bits(cls, p: P) -> Num:
        """Bits of an entry before it is rounded to a byte."""
        return bits_for(*cls._entry_range(p))

    @classmethod
    def _largest(cls, p: P) -> Num:
        """Largest magnitude of an entry, Σ |a| of K activations."""
        low, high = cls._int_range(p)
        return p["k"] * where(high > -low, high, -low)

    @staticmethod
    def _bytes(p: P) -> bool:
        return bool(p["entries"] == "int8")

    @classmethod
    def _stored_bits(cls, p: P) -> Num:
        """Bits of an entry in the table."""
        if cls.fp32_sums(p):
            return FP32_BITS + 0 * p["k"]
        return 8 + 0 * p["k"] if cls._bytes(p) else cls._entry_bits(p)

    @classmethod
    def _factors(cls, p: P) -> bool:
        return cls._bytes(p) and bool(p["entry_rule"] == "max127")

    @classmethod
    def _entry_shift(cls, p: P) -> Num:
        """Largest exponent of a table's scale; 0 without."""
        return _bytes.shift_for(cls._largest(p)) if cls._bytes(p) and not cls._factors(p) else 0 * p["k"]

    @classmethod
    def _factor_bits(cls, p: P) -> Num:
        """Bits of a table's scale by rule max127; 0 without."""
        return unsigned_bits(_bytes.factor(cls._largest(p))) if cls._factors(p) else 0 * p["k"]

    @classmethod
    def _cell_shift(cls, p: P) -> Num:
        """Largest shift that a row asks of its cells: by a step's exponent and by a table's scale."""
        return cls._top_shift(p) + cls._entry_shift(p)

    @classmethod
    def _row_fields(cls, p: P) -> dict[str, Num]:
        """Fields of the row bus from bit 0 upwards, and their widths; 0 where one is absent.

        ``sum`` is Σ A of the step before entries are rounded (otherwise a table entry), ``exponent`` its shift where
        the cells' is another.
        """
        own_sum = cls._bytes(p) and cls.row_sum_range(p) is not None
        return {
            "table": cls._entries(p) * cls._stored_bits(p),
            "shift": unsigned_bits(cls._cell_shift(p)),
            "factor": cls._factor_bits(p),
            "sum": cls._entry_bits(p) if own_sum else 0,
            "exponent": unsigned_bits(cls._top_shift(p)) if own_sum else 0,
        }

    @classmethod
    def _port_extra(cls, p: P) -> Num:
        """Bits that come beside the entries of a table from outside: its scale and Σ A."""
        fields = cls._row_fields(p)
        return fields["shift"] + fields["factor"] + fields["sum"]

    def _field(self, row: Value, name: str) -> Value:
        """A field of the row bus."""
        start = 0
        for field, bits in self._row_fields(self.p).items():
            if field == name:
                return row[start : start + int(bits)]
            start += int(bits)
        raise KeyError(name)

    @classmethod
    def _entries(cls, p: P) -> Num:
        return 2 ** (p["k"] - (1 if p["symmetry"] == "half" else 0))

    @property
    def weight_format(self) -> Format:
        kind = "int" if self.signed_weights(self.p) else "bipolar" if self.scheme == "bipolar" else "uint"
        return get(f"{kind}{self.bits}")

    @property
    def _halved(self) -> int:
        """1 where sums count in halves, because planes of ±1 stand for plain bits."""
        return 1 if self.planes == "bipolar" and self.scheme != "bipolar" else 0

    @property
    def row_lsb_exp(self) -> int:
        return self.lsb_exp + self._halved

    @property
    def lsb_exp(self) -> int:
        return self._act_lsb_exp - self._halved

    def quantization(self) -> Quantization:
        return Quantization(
            **self._act_quantization(),
            weights=self.weight_format.name,
            scheme=self.scheme,
            group=self.group,
            weight_scale=self.weight_scale,
            **self._arithmetic(),
        )

    def _arithmetic(self) -> dict[str, Any]:
        """Name and settings of the golden layer's arithmetic."""
        if self.fp32_sums(self.p):
            partials = self.adder_stages if self.folds else 1
            options = {"interleave": partials, "planes": self.planes, "planes_per_cycle": self.planes_per_cycle}
            return {"arithmetic": "fp32_table", "options": tuple(options.items())}
        if self._bytes(self.p):
            return {"arithmetic": "int8_table", "options": (("rule", self.entry_rule),)}
        return {}

    @property
    def zero_values(self) -> range:
        top = 1 << self.bits
        return range(top) if self.planes == "twos_complement" else range(1 - top, top, 2)

    @classmethod
    def zero_width(cls, p: P) -> Num:
        return p["bits"] + 1

    def zero_points(self, weights: QTensor) -> np.ndarray | None:
        """z' = 2z + 1 − 2^W for bipolar planes (z = 2^(W−1) for signed weights, 0 for a float minimum), z for plain
        ones.
        """
        if not self.has_row_sums:
            return None
        groups = weights.groups
        if self.scheme == "asymmetric":
            zero = np.broadcast_to(np.asarray(weights.zero, dtype=np.int64), (len(weights.codes), groups))
        else:
            zero = np.full(
                (len(weights.codes), groups), (1 << (self.bits - 1)) if self.signed_weights(self.p) else 0, np.int64
            )
        return zero if self.planes == "twos_complement" else 2 * zero + 1 - (1 << self.bits)

    # ------------------------------------------------------------------ formulas

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        if p["precompute"] == "external":
            bits = cls._stored_bits(p)
            return cls._entries(p) + ceil_div(cls._port_extra(p), bits), bits
        return cls._code_port(p)

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["bits"], p["k"]

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return sum(cls._row_fields(p).values())

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["planes_per_cycle"] * p["k"]

    @classmethod
    def cycles_per_step(cls, p: P, mode: int = 0) -> Num:
        look_ups = p["bits"] // p["planes_per_cycle"]
        # A single one is a step's only update: there the interval between updates is what counts.
        return where(look_ups > 1, look_ups * cls.update_cycles(p), 1)

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        low, high = (end * 2 ** cls._top_shift(p) for end in cls._int_range(p))
        largest = where(high > -low, high, -low)
        if cls._bytes(p):
            # A rounded entry may be a little larger than the sum of K activations.
            largest = ceil_div(_bytes.byte_range(cls._largest(p), p["entry_rule"]), p["k"]) * 2 ** cls._top_shift(p)
        top = 2 ** p["bits"] - 1
        if p["planes"] == "bipolar":
            return -largest * top, largest * top
        if cls.signed_weights(p):
            half = 2 ** (p["bits"] - 1)
            return where(-high * half < low * (half - 1), -high * half, low * (half - 1)), -low * half
        return low * top, high * top

    @classmethod
    def _sum_bits(cls, p: P) -> Num:
        """Width of the sum of the entries that a cell looks up in one cycle, before any shift."""
        per_cycle = p["planes_per_cycle"]
        return cls._stored_bits(p) + where(per_cycle > 1, per_cycle, 0)

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        if cls.fp32_sums(p):
            return p["planes_per_cycle"] * FP32_BITS
        shift = p["bits"] - p["planes_per_cycle"]
        return cls._sum_bits(p) + cls._factor_bits(p) + shift + cls._cell_shift(p)

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        if cls.fp32_sums(p):
            return 0
        if cls._factors(p):
            # The sum of several planes is multiplied as a whole, its carry with it.
            return where(p["planes_per_cycle"] > 1, 0, 1 if cls._negates(p) else 0)
        return 1 if cls._negates(p) else 0

    @classmethod
    def _negates(cls, p: P) -> bool:
        return bool(p["symmetry"] == "half" or (p["planes"] == "twos_complement" and cls.signed_weights(p)))

    @classmethod
    def keeps_row_sums(cls, p: P) -> bool:
        return not cls._sums_are_wanted(p)

    @classmethod
    def row_sum_range(cls, p: P) -> tuple[Num, Num] | None:
        if not cls.keeps_row_sums(p):
            return None
        low, high = cls._int_range(p)
        scale = 2 ** cls._top_shift(p)
        return low * scale, high * scale

    @classmethod
    def row_addend_bits(cls, p: P) -> Num:
        return cls._entry_bits(p) + cls._top_shift(p)

    @classmethod
    def row_sum_primitives(cls, p: P) -> Counts:
        # The sum of a step's activations is a table entry.
        return {"mux2": shift_mux2(cls._entry_bits(p), cls._top_shift(p))}

    @classmethod
    def _table_primitives(cls, p: P) -> Counts:
        build = _subset_sums if p["planes"] == "twos_complement" else _half_sums
        adders = np.array([0] + [build(k) for k in range(1, 9)])[p["k"]]
        if cls.fp32_sums(p):
            each = {name: adders * count for name, count in FP32_ADD.items()}
            return cls._joined(each, cls._widen_primitives(p))
        counts: Counts = {"add": adders * cls._entry_bits(p)}
        if p["planes"] == "bipolar" and p["symmetry"] == "none":
            # Each entry of the mirrored half is a negation.
            counts["add"] = counts["add"] + 2 ** (p["k"] - 1) * cls._stored_bits(p)
        return cls._joined(counts, cls._byte_primitives(p))

    @classmethod
    def _widen_primitives(cls, p: P) -> Counts:
        """K activations as FP32 codes; bf16 has FP32's exponents and costs nothing."""
        layout = float_layout(get(p["acts"]))
        if layout.exponent_bits == 8:
            return {}
        significand = layout.mantissa_bits + 1
        normalise = significand * unsigned_bits(significand - 1)
        exponent = layout.exponent_bits + 1
        return {
            "mux2": p["k"] * normalise,
            "add": p["k"] * (exponent + 8),
            "and": p["k"] * (3 * layout.mantissa_bits + 16),
        }

    @classmethod
    def _byte_primitives(cls, p: P) -> Counts:
        """Rounding of a table's entries to bytes: the largest entry, the scale, and a shifter or divider an entry."""
        if not cls._bytes(p):
            return {}
        peak = unsigned_bits(cls._largest(p))
        common = _bytes.magnitude_sum_primitives(p["k"], cls._aligned_bits(p), peak)
        if cls._factors(p):
            bits = cls._factor_bits(p)
            scale = _bytes.divide_primitives(bits, 7)
            each = _bytes.round_by_factor_primitives(cls._entry_bits(p), bits)
        else:
            scale = _bytes.shift_of_primitives(peak)
            each = _bytes.round_by_shift_primitives(cls._entry_shift(p))
        return cls._joined(common, scale, {name: 2 ** (p["k"] - 1) * count for name, count in each.items()})

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        if p["precompute"] == "external":
            return {}
        return cls._joined(cls._table_primitives(p), cls._row_align_primitives(p))

    @classmethod
    def pre_counts(cls, p: P) -> PreCounts | None:
        return cls._pre_counts(p, cls._table_primitives(p) if p["precompute"] == "external" else None)

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        serial = (p["bits"] // p["planes_per_cycle"] - 1) * p["planes_per_cycle"] * p["k"]
        complement = (
            p["planes_per_cycle"] * (p["k"] - 1) if p["symmetry"] == "half" and p["negation"] == "runtime" else 0
        )
        return {"mux2": serial, "xor": complement}

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        per_cycle, entry = p["planes_per_cycle"], cls._stored_bits(p)
        if cls.fp32_sums(p):
            # An exponent is raised by the plane's number, a sign flipped.
            moves = where(p["bits"] > 1, 1, 0)
            gates = 16 + (23 + 2 if p["acts"] == "bf16" else 0)
            return {
                "mux2": cls.lookup_mux2(p),
                "add": per_cycle * moves * 9,
                "xor": per_cycle if cls._negates(p) else 0,
                "and": per_cycle * moves * gates,
            }
        by_plane = cls.addend_bits(p) - cls._cell_shift(p)
        shifts = unsigned_bits(cls.cycles_per_step(p) - 1) * by_plane + shift_mux2(by_plane, cls._cell_shift(p))
        counts: Counts = {
            "mux2": cls.lookup_mux2(p) + shifts,
            "xor": per_cycle * entry * (1 if cls._negates(p) else 0),
            "add": (per_cycle - 1) * cls._sum_bits(p),
        }
        if cls._factors(p):
            summed = where(per_cycle > 1, 1, 0) * cls._sum_bits(p)
            counts["mul"] = cls._sum_bits(p) * (cls._factor_bits(p) + 1)
            counts["add"] = counts["add"] + summed
            counts["xor"] = counts["xor"] + where(per_cycle > 1, 0, 1) * cls._factor_bits(p)
        return counts

    @classmethod
    def lookup_mux2(cls, p: P) -> Num:
        """Two-way multiplexers, one bit each, with which a cell selects its entries."""
        return p["planes_per_cycle"] * (cls._entries(p) - 1) * cls._stored_bits(p)

    # ------------------------------------------------------------------ reference

    def pre(self) -> PreSpec | None:
        return self._pre_spec(self._build_port if self.precompute == "external" else None)

    @property
    def act_port_meaning(self) -> str:
        if self.precompute == "external":
            code = "FP32 codes" if self.fp32_sums(self.p) else "two's complement"
            text = f"table entries of {self.k} {self.act_format.name} activations, {code}"
            extra = {name: int(bits) for name, bits in self._row_fields(self.p).items() if bits and name != "table"}
            beside = ", ".join(f"{name} ({bits} bit)" for name, bits in extra.items())
            return f"{text}; then from bit 0 of the next element up {beside}" if beside else text
        return super().act_port_meaning

    @property
    def weight_port_meaning(self) -> str:
        if self.symmetry == "half" and self.negation == "offline":
            return f"bit planes, plane 0 first; a key of {self.k} bits is {{sign, index of {self.k - 1}}}"
        return "bit planes, plane 0 first; bit k of a key belongs to activation k"

    @property
    def _code_mask(self) -> int:
        """What a code is xored with before its bits are planes: w + 2^(W−1) flips the sign bit of two's complement."""
        return 1 << (self.bits - 1) if self.signed_weights(self.p) and self.planes == "bipolar" else 0

    def act_packing(self, mode: int) -> dict[str, Any]:
        if self.precompute == "internal":
            return super().act_packing(mode)
        fields = self._row_fields(self.p)
        beside = [name for name in ("shift", "factor", "sum") if fields[name]]
        return {
            "kind": "table",
            "codes": self.acts if self.fp32_sums(self.p) else self.act_format.name,
            "entries": int(self._entries(self.p)),
            "entry_bits": int(self._stored_bits(self.p)),
            "signed": not self.fp32_sums(self.p),
            "definition": "element e is the sum over k of digit(bit k of e) times activation k"
            + ("; activation K - 1, which has no bit, counts as its own positive" if self.symmetry == "half" else ""),
            "digits": self._digits,
            "top_activation": "positive" if self.symmetry == "half" else "by its bit",
            "beside": [{"name": name, "bits": int(fields[name]), "signed": name == "sum"} for name in beside],
            "beside_from": "bit 0 of the element after the entries",
        }

    @property
    def _digits(self) -> list[int]:
        """What a plane's bits 0 and 1 stand for."""
        return [0, 1] if self.planes == "twos_complement" else [-1, 1]

    def weight_packing(self, mode: int) -> dict[str, Any]:
        mirrored = self.symmetry == "half" and self.negation == "offline"
        packing: dict[str, Any] = {
            "kind": "planes",
            "signed": False,
            "xor": self._code_mask,
            "definition": "element p is the key of plane p: bit k is bit p of (code k ^ xor)",
            "mirror": None,
        }
        if mirrored:
            packing["mirror"] = {
                "sign_bit": self.k - 1,
                "negates": 1,
                "definition": "bit K - 1 of a key says whether the entry is negated. Where the plane's bit of "
                "activation K - 1 is 1, the other bits are as above and the entry is not negated; where it is 0, they "
                "are complemented and the entry is negated",
            }
        return packing

    def arithmetic(self, mode: int) -> dict[str, Any]:
        planes, per_cycle = self.bits, self.planes_per_cycle
        negative = self.planes == "twos_complement" and self.signed_weights(self.p)
        weights = {
            "bits": planes,
            "xor": self._code_mask,
            "digits": self._digits,
            "plane_weights": [-(1 << b) if negative and b == planes - 1 else 1 << b for b in range(planes)],
        }
        common = {
            "weights": weights,
            "updates": [list(range(first, first + per_cycle)) for first in range(0, planes, per_cycle)],
        }
        if self.fp32_sums(self.p):
            return {
                "kind": "fp32_planes",
                "definition": "an entry of activations 0 to K - 1 is the FP32 sum of the entry of the upper "
                "K - floor(K/2) and that of the lower floor(K/2) of them, each by the same rule, down to one: its "
                "value in FP32 times its digit (digit 0: +0; a sum with an entry of no digit but 0 is the other entry; "
                "an entry of one NaN may be any NaN). A plane's term is its entry times plane_weight, rounded to FP32 "
                "(entries below 2**-126 count as zero); terms of an update are added by a balanced tree, then "
                "accumulated",
                "acts": {"encoding": self.acts},
                **common,
                "accumulate": self.fp32_accumulation(),
            }
        return {
            "kind": "planes",
            "definition": "an update adds, over its planes, plane_weight times the sum over k of activation k times "
            "digit(bit of (code k ^ xor)); sums of K activations as entries says",
            "acts": self._act_integers(),
            **common,
            "entries": self._entry_description(),
            "accumulator": self.accumulator_rule(),
            "row_sums": "sum of the activations, before entries are rounded",
        }

    def _entry_description(self) -> dict[str, Any]:
        if not self._bytes(self.p):
            return {"rule": "exact"}
        scale = "the least s >= 0 for which A / 2**s rounds to 127 at most (ties to even); an entry e becomes e / 2**s"
        if self._factors(self.p):
            scale = "c = max(1, ceil(A / 127)); an entry e becomes e / c"
        return {
            "rule": self.entry_rule,
            "definition": f"A is the sum of the magnitudes of the K activations, {scale}, rounded to nearest even, "
            "and what is looked up is multiplied by the same again",
        }

    def correction(self) -> dict[str, Any] | None:
        found = super().correction()
        if found is None:
            return None
        halved = self.planes == "bipolar"
        offset = f"z is {1 << (self.bits - 1)}, which makes two's complement of offset binary"
        points = {
            "asymmetric": "z is the zero point of the weights' group",
            "symmetric": offset,
            "ternary": offset,
            "minimum": "z is 0, and the minimum is added by row_sums",
        }
        return {
            **found,
            "zero": points[self.scheme],
            "zero_point": {
                **found["zero_point"],
                "times": 2 if halved else 1,
                "plus": 1 - (1 << self.bits) if halved else 0,
                "constant": (1 << (self.bits - 1)) if self.signed_weights(self.p) else None,
            },
        }

    def table(self, ints: np.ndarray) -> np.ndarray:
        """Tables [..., entries] of integers [..., K], by definition: one signed or plain subset sum per index."""
        entries = int(self._entries(self.p))
        bits = (np.arange(entries)[:, None] >> np.arange(self.k)) & 1
        if self.symmetry == "half":
            bits[:, self.k - 1] = 1
        factors = bits if self.planes == "twos_complement" else 2 * bits - 1
        table: np.ndarray = ints @ factors.T
        return table

    def _scales(self, ints: np.ndarray) -> np.ndarray:
        """Scale of the table of integers [..., K]: its exponent by rule pow2, itself by rule max127; [...]."""
        peak = np.abs(ints).sum(axis=-1)
        return np.asarray(_bytes.factor(peak) if self._factors(self.p) else _bytes.shift_for(peak))

    def _rounded_entries(self, table: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Entries [..., E] as bytes, for the scales [...] of their tables."""
        by = _bytes.divided if self._factors(self.p) else _bytes.rounded
        return by(table, scale[..., None])

    def pack_acts(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        if self.precompute == "internal":
            return codes
        if self.fp32_sums(self.p):
            return self._fp32_table(codes)[..., -int(self._entries(self.p)) :]
        bits = int(self.act_port(self.p)[1])
        ints = self._integers(codes)
        table = self.table(ints)
        if self._bytes(self.p):
            scale = self._scales(ints)
            fields = self._row_fields(self.p)
            extra, place = scale, int(fields["shift"] + fields["factor"])
            if fields["sum"]:
                extra = extra | (ints.sum(axis=-1) & ((1 << int(fields["sum"])) - 1)) << place
            count = int(ceil_div(self._port_extra(self.p), bits))
            parts = (extra[..., None] >> (bits * np.arange(count))) & ((1 << bits) - 1)
            table = np.concatenate([self._rounded_entries(table, scale), parts], axis=-1)
        return (table & ((1 << bits) - 1)).astype(np.uint32)

    def pack_weights(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        # Codes and keys have at most 8 bits: bytes keep whole layers quick.
        q = np.asarray(codes).astype(np.uint8)
        q = q ^ np.uint8(self._code_mask)
        low = np.uint8((1 << (self.k - 1)) - 1)
        keys = np.zeros((*q.shape[:-1], self.bits), np.uint8)
        for plane in range(self.bits):
            key = np.zeros(q.shape[:-1], np.uint8)
            for index in range(self.k):
                key |= ((q[..., index] >> plane) & 1) << index
            if self.symmetry == "half" and self.negation == "offline":
                top = key >> (self.k - 1)
                key = np.where(top == 1, key & low, (~key & low) | np.uint8(1 << (self.k - 1)))
            keys[..., plane] = key
        return keys.astype(np.uint32)

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        if self.fp32_sums(self.p):
            return self._fp32_terms(acts, weights)
        ints, shift = self._integers(acts), self._shift(acts)
        q = np.asarray(weights, dtype=np.int64) ^ self._code_mask
        per_cycle = self.planes_per_cycle
        looked_up = self._look_up(ints) if self._bytes(self.p) else None
        terms = []
        for phase in range(self.bits // per_cycle):
            total = np.zeros((), np.int64)
            for plane in range(phase * per_cycle, (phase + 1) * per_cycle):
                bit = (q >> plane) & 1
                if looked_up is not None:
                    total = total + (looked_up(bit) << plane)
                    continue
                factor = bit if self.planes == "twos_complement" else 2 * bit - 1
                negative = self.planes == "twos_complement" and self.signed_weights(self.p) and plane == self.bits - 1
                weight = -(1 << plane) if negative else 1 << plane
                total = total + weight * np.einsum("...mk,...nk->...mn", ints, factor)
            terms.append(total << shift[..., :, None])
        return np.stack(terms)[..., None]

    def _fp32_table(self, codes: np.ndarray) -> np.ndarray:
        """FP32 codes of all 2^K entries of activation codes [..., K], in the order of the adders; uint32."""
        form = get(self.acts)
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(form.decode(codes).astype(np.float32)).view(np.uint32)
        flip = np.uint32(1 << 31)

        def table(first: int, count: int) -> np.ndarray:
            if count == 1:
                single = values[..., first]
                other = np.zeros_like(single) if self.planes == "twos_complement" else single ^ flip
                return np.stack([other, single], axis=-1)
            cut = count // 2
            low, high = table(first, cut), table(first + cut, count - cut)
            sums = fp32_add_reference(high[..., :, None], low[..., None, :])
            return np.asarray(sums.reshape(*sums.shape[:-2], -1))

        return table(0, self.k)

    def _fp32_terms(self, acts: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """FP32 codes of what each phase adds, int64 [phases, ..., M, N, 1]."""
        q = np.asarray(weights, dtype=np.int64)
        table, place = self._fp32_table(acts), np.int64(1) << np.arange(self.k)
        signed_planes = self.planes == "twos_complement"
        terms = []
        for first in range(0, self.bits, self.planes_per_cycle):
            lanes = []
            for plane in range(first, first + self.planes_per_cycle):
                key = (((q >> plane) & 1) * place).sum(axis=-1)[..., None, :]
                entry = fp32_times_power_reference(np.take_along_axis(table, key, axis=-1), plane)
                negative = signed_planes and plane == self.bits - 1
                lanes.append(entry ^ np.uint32(1 << 31) if negative else entry)
            terms.append(fp32_tree_reference(np.stack(lanes, axis=-1)).astype(np.int64))
        return np.stack(terms)[..., None]

    def _look_up(self, ints: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Function from weight bits [..., N, K] of a plane to the entries [..., M, N] that they select, scaled."""
        signs = 2 * ((np.arange(1 << self.k)[:, None] >> np.arange(self.k)) & 1) - 1
        scale = self._scales(ints)
        rounded = self._rounded_entries(ints @ signs.T, scale)
        # All entries, by definition: rounding is symmetric, so that half of them stand for the others.
        table = rounded * scale[..., None] if self._factors(self.p) else rounded << scale[..., None]
        place = np.int64(1) << np.arange(self.k)

        def entries(bits: np.ndarray) -> np.ndarray:
            return np.take_along_axis(table, (bits * place).sum(axis=-1)[..., None, :], axis=-1)

        return entries

    def row_terms(self, acts: np.ndarray, row: Mapping[str, np.ndarray], mode: int) -> np.ndarray:
        total: np.ndarray = self._integers(acts).sum(axis=-1) << self._shift(acts)
        return total

    def correct(self, sums: np.ndarray, rows: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
        """Σ A·q' − z'·Σ A, in units of ``lsb_exp`` (half an activation unit for bipolar planes)."""
        return super().correct(sums, rows, zero)

    # ------------------------------------------------------------------ logic

    def _build_port(self, m: Module, acts: list[Value]) -> Value:
        """What comes in by the table port, of signed integers: entries from bit 0 upwards, then scale and Σ A."""
        if self.fp32_sums(self.p):
            return Cat(*self._build_fp32_table(m, acts))
        table = self._build_table(m, acts)
        if not self._bytes(self.p):
            return Cat(*table)
        scale, entries = self._build_bytes(m, acts, table)
        value = Cat(*entries, scale, table[-1]) if self._row_fields(self.p)["sum"] else Cat(*entries, scale)
        count, bits = self.act_port(self.p)
        return Cat(value, Const(0, int(count * bits) - len(value)))

    def _build_bytes(self, m: Module, acts: list[Value], table: list[Value]) -> tuple[Value, list[Value]]:
        """Scale of a table and its entries as bytes."""
        largest = int(self._largest(self.p))
        peak = _bytes.magnitude_sum(m, acts, largest.bit_length(), "largest_entry")
        if self._factors(self.p):
            scale = _bytes.factor_of(m, peak, largest, "factor")
            entries = [_bytes.round_by_factor(m, entry, scale, f"byte{i}") for i, entry in enumerate(table)]
        else:
            top = int(self._entry_shift(self.p))
            scale = _bytes.shift_of(m, peak, largest, "entry_shift")[: top.bit_length()]
            entries = [_bytes.round_by_shift(m, entry, scale, top, f"byte{i}") for i, entry in enumerate(table)]
        return scale, self._mirrored(m, entries, 8) if self.symmetry == "none" else entries

    def _build_table(self, m: Module, acts: list[Value]) -> list[Value]:
        """Entries of signed integers; the stored half where they become bytes."""
        width = int(self._entry_bits(self.p))
        if self.planes == "twos_complement":
            entries = self._subsets(m, acts, "subset")
        else:
            entries = self._half_table(m, acts, "half")
            if self.symmetry == "none" and not self._bytes(self.p):
                entries = self._mirrored(m, entries, width)
        table: list[Value] = []
        for index, entry in enumerate(entries):
            signal = Signal(signed(width), name=f"entry{index}")
            m.d.comb += signal.eq(entry)
            table.append(signal)
        return table

    @staticmethod
    def _mirrored(m: Module, entries: list[Value], width: int) -> list[Value]:
        """All entries, from the half whose top activation is positive."""
        mirrored: list[Value] = []
        for index, entry in enumerate(reversed(entries)):
            negative = Signal(signed(width), name=f"mirror{index}")
            m.d.comb += negative.eq(-entry)
            mirrored.append(negative)
        return mirrored + entries

    def _build_fp32_table(self, m: Module, codes: list[Value]) -> list[Value]:
        """Entries of activation codes in FP32."""
        form = get(self.acts)
        values: list[Value] = [fp32_widen(m, code.as_unsigned(), form, f"act{i}") for i, code in enumerate(codes)]
        if self.planes == "twos_complement":
            return self._fp32_subsets(m, values, "subset")
        half = self._fp32_half(m, values, "half")
        return half if self.symmetry == "half" else [_negated(entry) for entry in reversed(half)] + half

    def _fp32_half(self, m: Module, values: list[Value], name: str) -> list[Value]:
        """`_half_table` of FP32 codes: rounding is symmetric, so that a mirrored entry is the negative of its twin."""
        if len(values) == 1:
            return values
        cut = len(values) // 2
        low, high = self._fp32_half(m, values[:cut], f"{name}_l"), self._fp32_half(m, values[cut:], f"{name}_h")
        low = [_negated(entry) for entry in reversed(low)] + low
        return [fp32_add(m, a, b, f"{name}{i}") for i, (a, b) in enumerate(itertools.product(high, low))]

    def _fp32_subsets(self, m: Module, values: list[Value], name: str) -> list[Value]:
        """`_subsets` of FP32 codes."""
        if len(values) == 1:
            return [Const(0, FP32_BITS), values[0]]
        cut = len(values) // 2
        low, high = self._fp32_subsets(m, values[:cut], f"{name}_l"), self._fp32_subsets(m, values[cut:], f"{name}_h")
        entries: list[Value] = []
        for index, (a, b) in enumerate(itertools.product(high, low)):
            if not index // len(low) or not index % len(low):
                entries.append(a if index // len(low) else b)
                continue
            entries.append(fp32_add(m, a, b, f"{name}{index}"))
        return entries

    def _half_table(self, m: Module, acts: list[Value], name: str) -> list[Value]:
        """All sums ±a0 ±a1 … +a_top, from the half tables of the lower and the upper activations."""
        if len(acts) == 1:
            return [acts[0]]
        cut = len(acts) // 2
        low = self._half_table(m, acts[:cut], f"{name}_l")
        high = self._half_table(m, acts[cut:], f"{name}_h")
        entries = []
        for index in range(len(high) * len(low) * 2):
            base, key = high[index >> cut], index & ((1 << cut) - 1)
            positive = key >> (cut - 1)
            part = low[key & (len(low) - 1)] if positive else low[~key & (len(low) - 1)]
            total = base + part if positive else base - part
            entry = Signal(signed(max(len(base), len(part)) + 1), name=f"{name}{index}")
            m.d.comb += entry.eq(total)
            entries.append(entry)
        return entries

    def _subsets(self, m: Module, acts: list[Value], name: str) -> list[Value]:
        """All subset sums, index bit k selecting activation k."""
        if len(acts) == 1:
            return [Const(0, signed(1)), acts[0]]
        cut = len(acts) // 2
        low = self._subsets(m, acts[:cut], f"{name}_l")
        high = self._subsets(m, acts[cut:], f"{name}_h")
        entries: list[Value] = []
        for index in range(len(high) * len(low)):
            top, bottom = high[index >> cut], low[index & ((1 << cut) - 1)]
            if index >> cut == 0 or index & ((1 << cut) - 1) == 0:
                entries.append(bottom if index >> cut == 0 else top)
                continue
            entry = Signal(signed(max(len(top), len(bottom)) + 1), name=f"{name}{index}")
            m.d.comb += entry.eq(top + bottom)
            entries.append(entry)
        return entries

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Builds the table of activation sums, or takes it from the port."""
        if self.precompute == "external":
            # Without the bits that fill up the last element.
            return acts.as_value()[: int(self.row_bus_bits(self.p))]
        if self.fp32_sums(self.p):
            return Cat(*self._build_fp32_table(m, [acts[index] for index in range(self.k)]))
        ints, exponent = self._build_integers(m, acts)
        table = self._build_table(m, ints)
        if not self._bytes(self.p):
            return Cat(*table, exponent)
        scale, entries = self._build_bytes(m, ints, table)
        fields = self._row_fields(self.p)
        shift = wire(m, (exponent + scale)[: int(fields["shift"])], "shift") if self._steps_align else scale
        return Cat(*entries, shift, *((table[-1], exponent) if fields["sum"] else ()))

    def _each_lookup(self, m: Module, phase: Value) -> Iterator[int]:
        """A case of ``phase`` for each look-up of a step, which takes one cycle or those of an FP32 addition."""
        count, cycles = self.bits // self.planes_per_cycle, int(self.update_cycles(self.p))
        with m.Switch(phase):
            for index in range(count):
                phases = range(index * cycles, (index + 1) * cycles)
                with m.Case(*phases) if index + 1 < count else m.Default():
                    yield index

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Serialises the bit planes: a key and a sign for each plane."""
        per_cycle = self.planes_per_cycle
        keys = []
        for lane in range(per_cycle):
            key = Signal(self.k, name=f"key{lane}")
            for index in self._each_lookup(m, phase):
                m.d.comb += key.eq(weights[index * per_cycle + lane])
            if self.symmetry == "half" and self.negation == "runtime":
                mirrored = Signal(self.k, name=f"mirrored_key{lane}")
                negative = ~key[-1]
                m.d.comb += mirrored.eq(Cat(key[:-1] ^ negative.replicate(self.k - 1), negative))
                key = mirrored
            keys.append(key)
        return Cat(*keys)

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Looks an entry up, negates it by a carry, and shifts it by its plane."""
        if self.fp32_sums(self.p):
            return [Addend(Cat(*self._fp32_lanes(m, row, col, phase)))]
        entry_bits, entries = int(self._stored_bits(self.p)), int(self._entries(self.p))
        per_cycle, phases = self.planes_per_cycle, self.bits // self.planes_per_cycle
        factor = self._field(row, "factor")
        table = [row[index * entry_bits : (index + 1) * entry_bits] for index in range(entries)]
        signed_planes = self.planes == "twos_complement" and self.signed_weights(self.p)
        total: Value = Const(0, 1)
        carry: Value | None = None
        for lane in range(per_cycle):
            key = col[lane * self.k : (lane + 1) * self.k]
            entry = Signal(signed(entry_bits), name=f"entry{lane}")
            negative: Value | None = None
            if self.symmetry == "half":
                m.d.comb += entry.eq(select(m, table, key[:-1], f"lookup{lane}"))
                negative = key[-1]
            else:
                m.d.comb += entry.eq(select(m, table, key, f"lookup{lane}"))
                if signed_planes and lane == per_cycle - 1:
                    negative = phase == phases - 1 if phases > 1 else Const(1, 1)
            term: Value = entry
            if len(factor) and per_cycle == 1:
                # Before the negation, which is a carry.
                term = wire(m, (entry * factor)[: entry_bits + len(factor)].as_signed(), "scaled")
            if negative is not None:
                # −x·2^j = ~(x·2^j) + 1: complement with ones shifted in, the one is a carry.
                sign = Signal(name=f"negative{lane}")
                m.d.comb += sign.eq(negative)
                flipped = Signal(signed(len(term) + lane), name=f"term{lane}")
                m.d.comb += flipped.eq(Cat(sign.replicate(lane), term ^ sign.replicate(len(term))))
                term, negative = flipped, sign
            elif lane:
                shifted = Signal(signed(entry_bits + lane), name=f"term{lane}")
                m.d.comb += shifted.eq(Cat(Const(0, lane), entry))
                term = shifted
            if lane == 0:
                total, carry = term, negative
            else:
                width = entry_bits + lane + 1
                joined = Signal(signed(width), name=f"planes{lane}")
                # One of the two ones goes into this adder, the other stays for the accumulator's.
                m.d.comb += joined.eq(add_with_carry(total, term, carry, width))
                total, carry = joined, negative
        if len(factor) and per_cycle > 1:
            width = int(self._sum_bits(self.p))
            whole = wire(m, add_with_carry(total, Const(0, 1), carry, width), "planes")
            total, carry = wire(m, (whole * factor)[: width + len(factor)].as_signed(), "scaled"), None
        return [self._shifted(m, row, phase, total, carry)]

    def _fp32_lanes(self, m: Module, row: Value, col: Value, phase: Value) -> list[Value]:
        """The FP32 number that each lane looks up: times 2^plane, with its sign."""
        entries, per_cycle = int(self._entries(self.p)), self.planes_per_cycle
        serial = self.bits > per_cycle
        table = [row[index * FP32_BITS : (index + 1) * FP32_BITS] for index in range(entries)]
        lanes: list[Value] = []
        for lane in range(per_cycle):
            key = col[lane * self.k : (lane + 1) * self.k]
            index = key[:-1] if self.symmetry == "half" else key
            entry = wire(m, select(m, table, index, f"lookup{lane}"), f"entry{lane}")
            plane: Value = Const(lane, (self.bits - 1).bit_length())
            if serial:
                plane = Signal((self.bits - 1).bit_length(), name=f"plane{lane}")
                for number in self._each_lookup(m, phase):
                    m.d.comb += plane.eq(number * per_cycle + lane)
            if self.bits > 1 or self._overflows:
                entry = fp32_times_power(m, entry, plane, f"scaled{lane}", overflows=self._overflows)
            if self.symmetry == "half":
                entry = Cat(entry[:-1], entry[-1] ^ key[-1])
            elif self.planes == "twos_complement" and lane == per_cycle - 1:
                top = plane == self.bits - 1 if serial else Const(1, 1)
                entry = Cat(entry[:-1], entry[-1] ^ top)
            lanes.append(wire(m, entry, f"term{lane}"))
        return lanes

    @property
    def _overflows(self) -> bool:
        """Whether entries have FP32's whole range of exponents."""
        return float_layout(get(self.acts)).exponent_bits == 8

    def _shifted(self, m: Module, row: Value, phase: Value, total: Value, carry: Value | None) -> Addend:
        """Shift by the plane's number and the step's exponent; the carry is shifted by filling with copies of it."""
        per_cycle, phases = self.planes_per_cycle, self.bits // self.planes_per_cycle
        fill = Const(0, 1) if carry is None else carry
        width = int(self._sum_bits(self.p) + self._factor_bits(self.p))
        value: Value = Signal(signed(width), name="looked_up")
        m.d.comb += value.eq(total)
        if phases > 1:
            by_plane = Signal(signed(width + (phases - 1) * per_cycle), name="by_plane")
            with m.Switch(phase):
                for index in range(phases):
                    with m.Case(index) if index + 1 < phases else m.Default():
                        m.d.comb += by_plane.eq(Cat(fill.replicate(index * per_cycle), value).as_signed())
            value = by_plane
        shift = self._field(row, "shift")
        return Addend(shift_left_by(m, value, shift, int(self._cell_shift(self.p)), fill, "by_row"), carry)

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Takes the table entry in which every activation is positive."""
        if self._row_fields(self.p)["sum"]:
            every: Value = wire(m, self._field(row, "sum").as_signed(), "activation_sum")
            exponent = self._field(row, "exponent")
        else:
            table = self._field(row, "table")
            every = wire(m, table[-int(self._entry_bits(self.p)) :].as_signed(), "all_positive")
            exponent = self._field(row, "shift")
        return shift_left_by(m, every, exponent, self._top_shift(self.p), Const(0, 1), "by_exponent")
