"""The logic of the blocks of a lut tile."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed

from hwgen.arith import float_layout, fp32_add
from hwgen.arith.bits import wire
from hwgen.arith.carry import add_with_carry
from hwgen.arith.select import select
from hwgen.arith.widen import fp32_times_power, fp32_widen
from hwgen.formats import get
from hwgen.frame.facts import Addend
from hwgen.frame.pre import PreSpec
from hwgen.pe import _bytes
from hwgen.pe._aligned import shift_left_by
from hwgen.pe._fp32_sum import FP32_BITS
from hwgen.pe.lut.arithmetic import LutArithmetic

__all__ = ["Lut"]


def _negated(code: Value) -> Value:
    """FP32 code of the negative."""
    return Cat(code[:-1], ~code[-1])


@dataclass(frozen=True, kw_only=True)
class Lut(LutArithmetic):
    """LUT tensor-core tile."""

    def _field(self, row: Value, name: str) -> Value:
        """A field of the row bus."""
        start = 0
        for field, bits in self._row_fields(self.p).items():
            if field == name:
                return row[start : start + int(bits)]
            start += int(bits)
        raise KeyError(name)

    def pre(self) -> PreSpec | None:
        return self._pre_spec(self._build_port if self.precompute == "external" else None)

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
            terms = self._fp32_lanes(m, row, col, phase)
            return [Addend(self.fp32_tree(m, terms, "planes").as_signed())]
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
