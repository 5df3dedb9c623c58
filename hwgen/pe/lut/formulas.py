"""Widths, cycles and counts of a lut tile."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from hwgen.arith import float_layout
from hwgen.formats import get
from hwgen.frame.facts import Counts, P, PreCounts
from hwgen.frame.numbers import Num, bits_for, ceil_div, clog2, unsigned_bits, where
from hwgen.frame.primitives import FP32_ADD, merge
from hwgen.pe import _bytes
from hwgen.pe._aligned import FLOATS, shift_mux2
from hwgen.pe._fp32_sum import FP32_BITS
from hwgen.pe.lut.parameters import LutParameters

__all__ = ["LutFormulas"]


def _half_sums(count: int) -> int:
    """Adders that build the half table of ``count`` activations from two half tables."""
    return 0 if count == 1 else 2 ** (count - 1) + _half_sums(count // 2) + _half_sums(count - count // 2)


def _subset_sums(count: int) -> int:
    """Adders that build all subset sums: every subset of two or more parts is one addition."""
    low = count // 2
    return 0 if count == 1 else (2**low - 1) * (2 ** (count - low) - 1) + _subset_sums(low) + _subset_sums(count - low)


@dataclass(frozen=True, kw_only=True)
class LutFormulas(LutParameters):
    """Widths, cycles and counts of a lut tile."""

    @classmethod
    def layer_k(cls, p: P) -> Num:
        tables = p["tables"]
        # One table is a step, whose K is the parameter that messages name.
        return p["k"] if isinstance(tables, int) and tables == 1 else p["k"] * tables

    @classmethod
    def fp32_sums(cls, p: P) -> bool:
        return bool(p["cell"] == "fp_add")

    @classmethod
    def fp32_terms(cls, p: P) -> Num:
        return p["planes_per_cycle"] * p["tables"]

    @classmethod
    def fp32_levels(cls, p: P, kind: str) -> Num:
        if not cls.fp32_sums(p):
            return super().fp32_levels(p, kind)
        # A row or the block before the buffer builds the tables; a lane adds those of all tables, then all lanes.
        builds = "pre_row" if p["precompute"] == "external" else "row"
        levels = {builds: clog2(p["k"]), "cell": clog2(p["tables"]) + clog2(p["planes_per_cycle"])}
        return levels.get(kind, 0)

    @classmethod
    def carry_chains(cls, p: P, kind: str) -> Num:
        # Planes are joined one after the other.
        return p["planes_per_cycle"] - 1 + clog2(p["tables"]) if kind == "cell" and not cls.fp32_sums(p) else 0

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

    @classmethod
    def _stored_bits(cls, p: P) -> Num:
        """Bits of an entry in the table."""
        if cls.fp32_sums(p):
            return FP32_BITS + 0 * p["k"]
        if not cls._bytes(p):
            return cls._entry_bits(p)
        # A mirrored half is rounded before: of the largest entry there is the negative too.
        largest = cls._largest(p)
        needed = cls._entry_bits(p) if p["symmetry"] == "half" else bits_for(-largest, largest)
        return where(needed < 8, needed, 8)

    @classmethod
    def _plain(cls, p: P) -> bool:
        """Whether entries are sums of subsets of the activations, of which each takes the bits that it needs."""
        return bool(p["planes"] == "twos_complement" and not cls.fp32_sums(p))

    @classmethod
    def _subset_bits(cls, p: P, count: Num) -> Num:
        """Bits of a sum of ``count`` activations; none of the sum of none."""
        low, high = cls._int_range(p)
        return where(count > 0, bits_for(count * low, count * high), 0)

    @classmethod
    def _table_bits(cls, p: P) -> Num:
        """Bits of a table on the row bus."""
        if not cls._plain(p):
            return cls._entries(p) * cls._stored_bits(p)
        k = p["k"]
        return sum(
            np.array([comb(n, count) for n in range(9)])[k] * cls._subset_bits(p, count) for count in range(1, 9)
        )

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
        """Largest shift of what a cell adds: by a step's exponent, and by the scale of its table if it is the only one.

        Of several tables each is shifted by its own scale before they are added (`_own_shift`).
        """
        return cls._top_shift(p) + cls._entry_shift(p) - cls._own_shift(p)

    @classmethod
    def _own_shift(cls, p: P) -> Num:
        """Largest shift of a table by itself; 0 where it is the only one."""
        return where(p["tables"] > 1, cls._entry_shift(p), 0)

    @classmethod
    def _row_fields(cls, p: P) -> dict[str, Num]:
        """Fields of a table on the row bus from bit 0 upwards, and their widths; 0 where one is absent.

        ``sum`` is Σ A of the table before entries are rounded (otherwise a table entry), ``exponent`` its shift where
        the cells' is another. Of several tables each has its fields, and the step's exponent comes after them all.
        """
        own_sum = cls._bytes(p) and cls.row_sum_range(p) is not None
        several = p["tables"] > 1
        return {
            "table": cls._table_bits(p),
            "shift": unsigned_bits(where(several, cls._own_shift(p), cls._cell_shift(p))),
            "factor": cls._factor_bits(p),
            "sum": cls._entry_bits(p) if own_sum else 0,
            "exponent": where(several, 0, unsigned_bits(cls._top_shift(p))) if own_sum else 0,
        }

    @classmethod
    def _step_bits(cls, p: P) -> Num:
        """Bits of the step's exponent behind several tables."""
        return where(p["tables"] > 1, unsigned_bits(cls._top_shift(p)), 0)

    @classmethod
    def _port_extra(cls, p: P) -> Num:
        """Bits that come beside the entries of a table from outside: its scale and Σ A."""
        fields = cls._row_fields(p)
        return fields["shift"] + fields["factor"] + fields["sum"]

    @classmethod
    def _entries(cls, p: P) -> Num:
        return 2 ** (p["k"] - (1 if p["symmetry"] == "half" else 0))

    @classmethod
    def zero_width(cls, p: P) -> Num:
        return p["bits"] + 1

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        if p["precompute"] == "external":
            bits = cls._stored_bits(p)
            return p["tables"] * (cls._entries(p) + ceil_div(cls._port_extra(p), bits)), bits
        return cls._code_port(p)

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["bits"] * p["tables"], p["k"]

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return p["tables"] * sum(cls._row_fields(p).values()) + cls._step_bits(p)

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["planes_per_cycle"] * cls.layer_k(p)

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
        """Width of the sum of the entries of a table that a cell looks up in one cycle, before any shift."""
        per_cycle = p["planes_per_cycle"]
        return cls._stored_bits(p) + where(per_cycle > 1, per_cycle, 0)

    @classmethod
    def _scaled_bits(cls, p: P) -> Num:
        """Width of that by its table's own scale."""
        return cls._sum_bits(p) + cls._factor_bits(p) + cls._own_shift(p)

    @classmethod
    def _looked_up_bits(cls, p: P) -> Num:
        """Width of the sum of all tables, before the shift by the plane."""
        return cls._scaled_bits(p) + clog2(p["tables"])

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        if cls.fp32_sums(p):
            return FP32_BITS + 0 * p["planes_per_cycle"]
        shift = p["bits"] - p["planes_per_cycle"]
        return cls._looked_up_bits(p) + shift + cls._cell_shift(p)

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
    def row_addend_bits(cls, p: P) -> Num:
        return cls._activations_bits(p) + cls._top_shift(p)

    @classmethod
    def _activations_bits(cls, p: P) -> Num:
        """Bits of the sum of a step's activations, before any shift by its exponent."""
        return cls._entry_bits(p) + clog2(p["tables"])

    @classmethod
    def row_sum_primitives(cls, p: P) -> Counts:
        # The sum of a table's activations is an entry of it.
        bits = cls._activations_bits(p)
        return {"mux2": shift_mux2(bits, cls._top_shift(p)), "add": (p["tables"] - 1) * bits}

    @classmethod
    def _table_primitives(cls, p: P) -> Counts:
        """Primitives that build the tables of a step."""
        return {name: p["tables"] * count for name, count in cls._one_table_primitives(p).items()}

    @classmethod
    def _one_table_primitives(cls, p: P) -> Counts:
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
        serial = (p["bits"] // p["planes_per_cycle"] - 1) * cls.col_bus_bits(p)
        complement = (
            p["planes_per_cycle"] * p["tables"] * (p["k"] - 1)
            if p["symmetry"] == "half" and p["negation"] == "runtime"
            else 0
        )
        return {"mux2": serial, "xor": complement}

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return not cls.fp32_sums(p)

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        if cls.fp32_sums(p):
            return cls._fp32_cell_primitives(p)
        per_cycle, tables, by_plane = p["planes_per_cycle"], p["tables"], cls.addend_bits(p) - cls._cell_shift(p)
        shifts = unsigned_bits(cls.cycles_per_step(p) - 1) * by_plane + shift_mux2(by_plane, cls._cell_shift(p))
        scales = tables * shift_mux2(cls._sum_bits(p), cls._own_shift(p))
        counts: Counts = {
            "mux2": cls.lookup_mux2(p) + scales + shifts,
            # The entry of no activation is 0.
            "and": cls._lookups(p) * cls._stored_bits(p) if cls._plain(p) else 0,
            "xor": cls._signs(p) * cls._stored_bits(p),
            "add": cls._cell_adders(p),
        }
        if cls._factors(p):
            summed = where(per_cycle > 1, 1, 0) * cls._sum_bits(p)
            counts["mul"] = tables * cls._sum_bits(p) * (cls._factor_bits(p) + 1)
            counts["add"] = counts["add"] + tables * summed
            counts["xor"] = counts["xor"] + tables * where(per_cycle > 1, 0, 1) * cls._factor_bits(p)
        return counts

    @classmethod
    def _signs(cls, p: P) -> Num:
        """Terms that may be negated: each entry by its key, or a plane's sum over all tables."""
        if not cls._negates(p):
            return 0 * p["tables"]
        return p["planes_per_cycle"] * (p["tables"] if p["symmetry"] == "half" else 1)

    @classmethod
    def _cell_adders(cls, p: P) -> Num:
        """Full adders that join planes and tables: planes first where tables have scales of their own."""
        per_cycle, others = p["planes_per_cycle"], p["tables"] - 1
        if cls._bytes(p):
            return p["tables"] * (per_cycle - 1) * cls._sum_bits(p) + others * cls._looked_up_bits(p)
        return (per_cycle - 1) * cls._sum_bits(p) + per_cycle * others * cls._looked_up_bits(p)

    @classmethod
    def _fp32_cell_primitives(cls, p: P) -> Counts:
        per_cycle = p["planes_per_cycle"]
        # An exponent is raised by the plane's number, a sign flipped.
        moves = where(p["bits"] > 1, 1, 0)
        gates = 16 + (23 + 2 if p["acts"] == "bf16" else 0)
        lanes: Counts = {
            "mux2": cls.lookup_mux2(p),
            "add": per_cycle * moves * 9,
            "xor": cls._signs(p),
            "and": per_cycle * moves * gates,
        }
        return merge(lanes, cls.fp32_tree_primitives(p))

    @classmethod
    def lookup_mux2(cls, p: P) -> Num:
        """Two-way multiplexers, one bit each, with which a cell selects its entries."""
        choices = cls._entries(p) - (2 if cls._plain(p) else 1)
        return cls._lookups(p) * choices * cls._stored_bits(p)

    @staticmethod
    def _lookups(p: P) -> Num:
        """Entries that a cell looks up at once."""
        return p["tables"] * p["planes_per_cycle"]
