"""The logic of the blocks of a lut tile."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed

from hwgen.arith import float_layout, fp32_add
from hwgen.arith.bits import adder_tree, adder_tree_with_carries, wire
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

    def _field(self, row: Value, name: str, table: int = 0) -> Value:
        """A field of a table on the row bus."""
        fields = self._row_fields(self.p)
        start = table * int(sum(fields.values()))
        for field, bits in fields.items():
            if field == name:
                return row[start : start + int(bits)]
            start += int(bits)
        raise KeyError(name)

    def _exponent(self, row: Value, name: str) -> Value:
        """The shift by a step's exponent, which is a ``name`` field where there is one table."""
        bits = int(self._step_bits(self.p))
        return self._field(row, name) if self.tables == 1 else row[len(row) - bits :]

    def _tag(self, table: int) -> str:
        """Prefix of the names of one of several tables."""
        return f"table{table}_" if self.tables > 1 else ""

    def pre(self) -> PreSpec | None:
        return self._pre_spec(self._build_port if self.precompute == "external" else None)

    def _each_table(self, acts: list[Value]) -> Iterator[tuple[list[Value], str]]:
        """(activations, prefix of names) of each table of a step, from its activations."""
        for table in range(self.tables):
            yield acts[table * self.k : (table + 1) * self.k], self._tag(table)

    def _build_port(self, m: Module, acts: list[Value]) -> Value:
        """What comes in by the table port, of signed integers or codes: one table after the other."""
        return Cat(*(self._build_port_of(m, part, tag) for part, tag in self._each_table(acts)))

    def _build_port_of(self, m: Module, acts: list[Value], tag: str) -> Value:
        """A table as it comes in: entries from bit 0 upwards, then scale and Σ A."""
        if self.fp32_sums(self.p):
            return Cat(*self._build_fp32_table(m, acts, tag))
        table = self._build_table(m, acts, tag)
        if not self._bytes(self.p):
            return Cat(*table)
        scale, entries = self._build_bytes(m, acts, table, tag)
        value = Cat(*entries, scale, table[-1]) if self._row_fields(self.p)["sum"] else Cat(*entries, scale)
        return Cat(value, Const(0, self._port_bits - len(value)))

    @property
    def _port_bits(self) -> int:
        """Bits of a table at the port."""
        count, bits = self.act_port(self.p)
        return int(count * bits) // self.tables

    def _build_bytes(self, m: Module, acts: list[Value], table: list[Value], tag: str) -> tuple[Value, list[Value]]:
        """Scale of a table and its entries as bytes."""
        largest = int(self._largest(self.p))
        peak = _bytes.magnitude_sum(m, acts, largest.bit_length(), f"{tag}largest_entry")
        if self._factors(self.p):
            scale = _bytes.factor_of(m, peak, largest, f"{tag}factor")
            entries = [_bytes.round_by_factor(m, entry, scale, f"{tag}byte{i}") for i, entry in enumerate(table)]
        else:
            top = int(self._entry_shift(self.p))
            scale = _bytes.shift_of(m, peak, largest, f"{tag}entry_shift")[: top.bit_length()]
            entries = [_bytes.round_by_shift(m, entry, scale, top, f"{tag}byte{i}") for i, entry in enumerate(table)]
        bits = int(self._stored_bits(self.p))
        entries = self._mirrored(m, entries, bits, tag) if self.symmetry == "none" else entries
        return scale, [entry[:bits] for entry in entries]

    def _build_table(self, m: Module, acts: list[Value], tag: str) -> list[Value]:
        """Entries of signed integers; the stored half where they become bytes."""
        width = int(self._entry_bits(self.p))
        if self.planes == "twos_complement":
            entries = self._subsets(m, acts, f"{tag}subset")
        else:
            entries = self._half_table(m, acts, f"{tag}half")
            if self.symmetry == "none" and not self._bytes(self.p):
                entries = self._mirrored(m, entries, width, tag)
        table: list[Value] = []
        for index, entry in enumerate(entries):
            signal = Signal(signed(width), name=f"{tag}entry{index}")
            m.d.comb += signal.eq(entry)
            table.append(signal)
        return table

    @staticmethod
    def _mirrored(m: Module, entries: list[Value], width: int, tag: str) -> list[Value]:
        """All entries, from the half whose top activation is positive."""
        mirrored: list[Value] = []
        for index, entry in enumerate(reversed(entries)):
            negative = Signal(signed(width), name=f"{tag}mirror{index}")
            m.d.comb += negative.eq(-entry)
            mirrored.append(negative)
        return mirrored + entries

    def _build_fp32_table(self, m: Module, codes: list[Value], tag: str) -> list[Value]:
        """Entries of activation codes in FP32."""
        form = get(self.acts)
        values: list[Value] = [fp32_widen(m, code.as_unsigned(), form, f"{tag}act{i}") for i, code in enumerate(codes)]
        if self.planes == "twos_complement":
            return self._fp32_subsets(m, values, f"{tag}subset")
        half = self._fp32_half(m, values, f"{tag}half")
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
        """Builds the tables of activation sums, or takes them from the port."""
        if self.precompute == "external":
            port, starts = acts.as_value(), range(0, len(acts.as_value()), self._port_bits)
            if self._plain(self.p):
                bits, entries = int(self._stored_bits(self.p)), int(self._entries(self.p))
                return Cat(*(self._on_bus([port[at + e * bits :] for e in range(entries)]) for at in starts))
            # Without the bits that fill up the last element of a table.
            bits = int(sum(self._row_fields(self.p).values()))
            return Cat(*(port[start : start + bits] for start in starts))
        if self.fp32_sums(self.p):
            codes = [acts[index] for index in range(int(self.layer_k(self.p)))]
            return Cat(*(Cat(*self._build_fp32_table(m, part, tag)) for part, tag in self._each_table(codes)))
        ints, exponent = self._build_integers(m, acts)
        tables = [self._build_row_table(m, part, exponent, tag) for part, tag in self._each_table(ints)]
        return Cat(*tables, exponent) if self.tables > 1 else tables[0]

    def _build_row_table(self, m: Module, ints: list[Value], exponent: Value, tag: str) -> Value:
        """The fields of a table on the row bus; with the step's exponent where it is the only one."""
        alone = self.tables == 1
        table = self._build_table(m, ints, tag)
        if not self._bytes(self.p):
            return Cat(self._on_bus(table), *((exponent,) if alone else ()))
        scale, entries = self._build_bytes(m, ints, table, tag)
        fields = self._row_fields(self.p)
        shift = scale
        if alone and self._steps_align:
            shift = wire(m, (exponent + scale)[: int(fields["shift"])], "shift")
        own_sum = (table[-1], *((exponent,) if alone else ())) if fields["sum"] else ()
        return Cat(*entries, shift, *own_sum)

    def _each_lookup(self, m: Module, phase: Value) -> Iterator[int]:
        """A case of ``phase`` for each look-up of a step, which takes one cycle or those of an FP32 addition."""
        count, cycles = self.bits // self.planes_per_cycle, int(self.update_cycles(self.p))
        with m.Switch(phase):
            for index in range(count):
                phases = range(index * cycles, (index + 1) * cycles)
                with m.Case(*phases) if index + 1 < count else m.Default():
                    yield index

    def _widths(self) -> list[int]:
        """Bits of each entry of a table on the row bus."""
        entries = int(self._entries(self.p))
        if not self._plain(self.p):
            return [int(self._stored_bits(self.p))] * entries
        return [int(self._subset_bits(self.p, index.bit_count())) for index in range(entries)]

    def _on_bus(self, entries: list[Value]) -> Value:
        """A table's entries as the row bus has them, each without the copies of its sign."""
        return Cat(*(entry[:width] for entry, width in zip(entries, self._widths(), strict=True)))

    def _stored(self, field: Value) -> list[Value]:
        """Entries of a table on the row bus, all of one width."""
        bits, start = int(self._stored_bits(self.p)), 0
        found: list[Value] = []
        for width in self._widths():
            entry = field[start : start + width]
            found.append(Cat(entry, entry[-1].replicate(bits - width)) if width else Const(0, bits))
            start += width
        return found

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Serialises the bit planes: a key and a sign for each plane."""
        keys = []
        for lane, table in itertools.product(range(self.planes_per_cycle), range(self.tables)):
            name = f"key{lane}" if self.tables == 1 else f"key{lane}_{table}"
            key = Signal(self.k, name=name)
            for index in self._each_lookup(m, phase):
                m.d.comb += key.eq(weights[(index * self.planes_per_cycle + lane) * self.tables + table])
            if self.symmetry == "half" and self.negation == "runtime":
                mirrored = Signal(self.k, name=f"mirrored_{name}")
                negative = ~key[-1]
                m.d.comb += mirrored.eq(Cat(key[:-1] ^ negative.replicate(self.k - 1), negative))
                key = mirrored
            keys.append(key)
        return Cat(*keys)

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Looks entries up, negates them by a carry, adds those of all tables, and shifts by the plane."""
        if self.fp32_sums(self.p):
            terms = self._fp32_lanes(m, row, col, phase)
            return [Addend(self.fp32_tree(m, terms, "planes").as_signed())]
        if self._bytes(self.p) or self.tables == 1:
            # Each table has its scale.
            sums = [self._table_sum(m, row, col, phase, table) for table in range(self.tables)]
            total, carry = self._tables_sum(m, sums, "tables")
        else:
            total, carry = self._joined_lanes(m, self._lanes_of_tables(m, row, col, phase), "")
        return [self._shifted(m, row, phase, total, carry)]

    def _key(self, col: Value, lane: int, table: int) -> Value:
        """The key of a lane for a table."""
        start = (lane * self.tables + table) * self.k
        return col[start : start + self.k]

    def _look_up_entry(self, m: Module, row: Value, col: Value, lane: int, table: int) -> tuple[Value, Value | None]:
        """The entry that a lane selects in a table, and whether its key says that it is negated."""
        bits, tag = int(self._stored_bits(self.p)), self._tag(table)
        half = self.symmetry == "half"
        field, key = self._field(row, "table", table), self._key(col, lane, table)
        stored = self._stored(field)
        entry = Signal(signed(bits), name=f"{tag}entry{lane}")
        m.d.comb += entry.eq(select(m, stored, key[:-1] if half else key, f"{tag}lookup{lane}"))
        return entry, key[-1] if half else None

    def _plane_sign(self, lane: int, phase: Value) -> Value | None:
        """Whether a lane's plane is subtracted, which only the highest of signed plain bits is."""
        phases = self.bits // self.planes_per_cycle
        signed_planes = self.planes == "twos_complement" and self.signed_weights(self.p)
        if not signed_planes or lane < self.planes_per_cycle - 1:
            return None
        return phase == phases - 1 if phases > 1 else Const(1, 1)

    @staticmethod
    def _negated_term(m: Module, term: Value, negative: Value, lane: int, tag: str) -> tuple[Value, Value]:
        """A lane's term, complemented where it is negated, with the carry that this leaves."""
        # −x·2^j = ~(x·2^j) + 1: complement with ones shifted in, the one is a carry.
        sign = Signal(name=f"{tag}negative{lane}")
        m.d.comb += sign.eq(negative)
        flipped = Signal(signed(len(term) + lane), name=f"{tag}term{lane}")
        m.d.comb += flipped.eq(Cat(sign.replicate(lane), term ^ sign.replicate(len(term))))
        return flipped, sign

    def _joined_lanes(self, m: Module, lanes: list[tuple[Value, Value | None]], tag: str) -> tuple[Value, Value | None]:
        """Sum of the lanes' terms, each with a carry or none, and the one carry that is left."""
        total, carry = lanes[0]
        first = len(total)
        for lane, (term, negative) in enumerate(lanes[1:], 1):
            width = first + lane + 1
            joined = Signal(signed(width), name=f"{tag}planes{lane}")
            # One of the two ones goes into this adder, the other stays for the accumulator's.
            m.d.comb += joined.eq(add_with_carry(total, term, carry, width))
            total, carry = joined, negative
        return total, carry

    def _table_sum(self, m: Module, row: Value, col: Value, phase: Value, table: int) -> tuple[Value, Value | None]:
        """What a cell looks up in a table in one cycle, times the table's own scale, and a carry or none."""
        per_cycle, tag = self.planes_per_cycle, self._tag(table)
        factor = self._field(row, "factor", table)
        lanes: list[tuple[Value, Value | None]] = []
        for lane in range(per_cycle):
            entry, mirrored = self._look_up_entry(m, row, col, lane, table)
            negative = self._plane_sign(lane, phase) if mirrored is None else mirrored
            term: Value = entry
            if len(factor) and per_cycle == 1:
                # Before the negation, which is a carry.
                term = wire(m, (entry * factor)[: len(entry) + len(factor)].as_signed(), f"{tag}scaled")
            if negative is not None:
                lanes.append(self._negated_term(m, term, negative, lane, tag))
                continue
            if lane:
                term = Signal(signed(len(entry) + lane), name=f"{tag}term{lane}")
                m.d.comb += term.eq(Cat(Const(0, lane), entry))
            lanes.append((term, None))
        total, carry = self._joined_lanes(m, lanes, tag)
        if len(factor) and per_cycle > 1:
            width = int(self._sum_bits(self.p))
            whole = wire(m, add_with_carry(total, Const(0, 1), carry, width), f"{tag}planes")
            return wire(m, (whole * factor)[: width + len(factor)].as_signed(), f"{tag}scaled"), None
        if self.tables > 1:
            fill = Const(0, 1) if carry is None else carry
            shift = self._field(row, "shift", table)
            total = shift_left_by(m, total, shift, int(self._own_shift(self.p)), fill, f"{tag}by_scale")
        return total, carry

    @staticmethod
    def _tables_sum(m: Module, sums: list[tuple[Value, Value | None]], name: str) -> tuple[Value, Value | None]:
        """Sum of what was looked up in each table, with the one carry that found no adder."""
        if len(sums) == 1:
            return sums[0]
        carries = [carry for _, carry in sums if carry is not None]
        return adder_tree_with_carries(m, [total for total, _ in sums], carries, name)

    def _lanes_of_tables(self, m: Module, row: Value, col: Value, phase: Value) -> list[tuple[Value, Value | None]]:
        """The terms of the lanes, each the sum of the entries that it selects in all tables."""
        lanes: list[tuple[Value, Value | None]] = []
        for lane in range(self.planes_per_cycle):
            sums: list[tuple[Value, Value | None]] = []
            for table in range(self.tables):
                entry, negative = self._look_up_entry(m, row, col, lane, table)
                if negative is not None:
                    flipped = entry.as_unsigned() ^ negative.replicate(len(entry))
                    entry = wire(m, flipped.as_signed(), f"{self._tag(table)}term{lane}")
                sums.append((entry, negative))
            total, carry = self._tables_sum(m, sums, f"tables{lane}")
            negative = self._plane_sign(lane, phase)
            if negative is not None:
                total, carry = self._negated_term(m, total, negative, lane, "")
            elif lane:
                fill = Const(0, 1) if carry is None else carry
                total = wire(m, Cat(fill.replicate(lane), total).as_signed(), f"term{lane}")
            lanes.append((total, carry))
        return lanes

    def _fp32_lanes(self, m: Module, row: Value, col: Value, phase: Value) -> list[Value]:
        """The FP32 number that each lane looks up, the sum of all tables': times 2^plane, with its sign."""
        per_cycle = self.planes_per_cycle
        serial = self.bits > per_cycle
        half = self.symmetry == "half"
        lanes: list[Value] = []
        for lane in range(per_cycle):
            entries, keys = [], []
            for table in range(self.tables):
                field, key, tag = self._field(row, "table", table), self._key(col, lane, table), self._tag(table)
                stored = [field[index : index + FP32_BITS] for index in range(0, len(field), FP32_BITS)]
                chosen = select(m, stored, key[:-1] if half else key, f"{tag}lookup{lane}")
                entries.append(wire(m, chosen, f"{tag}entry{lane}"))
                keys.append(key)
            entry: Value = entries[0]
            if self.tables > 1:
                if half:
                    entries = [Cat(one[:-1], one[-1] ^ key[-1]) for one, key in zip(entries, keys, strict=True)]
                entry = self.fp32_tree(m, entries, f"tables{lane}")
            plane: Value = Const(lane, (self.bits - 1).bit_length())
            if serial:
                plane = Signal((self.bits - 1).bit_length(), name=f"plane{lane}")
                for number in self._each_lookup(m, phase):
                    m.d.comb += plane.eq(number * per_cycle + lane)
            if self.bits > 1 or self._overflows:
                entry = fp32_times_power(m, entry, plane, f"scaled{lane}", overflows=self._overflows)
            if half and self.tables == 1:
                entry = Cat(entry[:-1], entry[-1] ^ keys[0][-1])
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
        width = int(self._looked_up_bits(self.p))
        value: Value = Signal(signed(width), name="looked_up")
        m.d.comb += value.eq(total)
        if phases > 1:
            by_plane = Signal(signed(width + (phases - 1) * per_cycle), name="by_plane")
            with m.Switch(phase):
                for index in range(phases):
                    with m.Case(index) if index + 1 < phases else m.Default():
                        m.d.comb += by_plane.eq(Cat(fill.replicate(index * per_cycle), value).as_signed())
            value = by_plane
        shift = self._exponent(row, "shift")
        return Addend(shift_left_by(m, value, shift, int(self._cell_shift(self.p)), fill, "by_row"), carry)

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Takes the table entries in which every activation is positive."""
        own_sum = bool(self._row_fields(self.p)["sum"])
        sums: list[Value] = []
        for table in range(self.tables):
            tag = self._tag(table)
            if own_sum:
                sums.append(wire(m, self._field(row, "sum", table).as_signed(), f"{tag}activation_sum"))
                continue
            last = self._field(row, "table", table)[-int(self._entry_bits(self.p)) :]
            sums.append(wire(m, last.as_signed(), f"{tag}all_positive"))
        every = sums[0] if self.tables == 1 else adder_tree(m, sums, "tables")
        exponent = self._exponent(row, "exponent" if own_sum else "shift")
        return shift_left_by(m, every, exponent, self._top_shift(self.p), Const(0, 1), "by_exponent")
