"""The four blocks that every tile is built from. A family supplies their logic; the registers are here."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.frame.accumulators import plain_accumulators
from hwgen.frame.facts import Addend
from hwgen.frame.spec import TileSpec

__all__ = ["CellBlock", "ColBlock", "RowBlock", "RowSumBlock"]


def side_layout(fields: dict[str, Any]) -> data.StructLayout:
    """Layout of one row's or column's side information."""
    return data.StructLayout({name: Shape(side.bits, side.signed) for name, side in fields.items()})


class _FrontBlock(wiring.Component):
    """A row or column front-end with its bus register (``stages`` >= 1)."""

    def __init__(
        self, spec: TileSpec, *, count: int, bits: int, side: dict[str, Any], bus_bits: int, per_phase: bool
    ) -> None:
        self.spec = spec
        self.per_phase = per_phase
        self.elements = data.ArrayLayout(unsigned(bits), count)
        self.fields = side_layout(side)
        ports: dict[str, Any] = {"codes": In(count * bits)}
        if self.fields.size:
            ports["side"] = In(self.fields.size)
        if spec.step_cycles_max > 1:
            ports["phase"] = In(spec.phase_bits)
        if spec.mode_bits:
            ports["mode"] = In(spec.mode_bits)
        if spec.stages >= 1:
            ports["en"] = In(1)
        ports["bus"] = Out(bus_bits)
        super().__init__(ports)

    def build(self, m: Module, codes: Any, side: dict[str, Value], phase: Value, mode: Value) -> Value:
        raise NotImplementedError

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        codes = data.View(self.elements, self.codes)
        side: dict[str, Value] = {}
        if self.fields.size:
            view = data.View(self.fields, self.side)
            side = {name: view[name] for name, _ in self.fields}
        phase = self.phase if self.spec.step_cycles_max > 1 else Const(0, 1)
        mode = self.mode if self.spec.mode_bits else Const(0, 1)
        value = self.build(m, codes, side, phase, mode)
        if self.spec.stages >= 1:
            register = Signal(len(self.bus), name="bus_reg", reset_less=True)
            enable = self.en
            if self.spec.step_cycles_max > 1 and not self.per_phase:
                # The bus holds through the step: clock it in the first phase only.
                enable = self.en & (phase == 0)
            with m.If(enable):
                m.d.sync += register.eq(value)
            m.d.comb += self.bus.eq(register)
        else:
            m.d.comb += self.bus.eq(value)
        return m


class RowBlock(_FrontBlock):
    """K activation codes of one row → row bus."""

    def __init__(self, spec: TileSpec) -> None:
        count, bits = spec.act_port(spec.p)
        super().__init__(
            spec,
            count=count,
            bits=bits,
            side=spec.row_side(),
            bus_bits=int(spec.row_bus_bits(spec.p)),
            per_phase=spec.row_per_phase,
        )

    def build(self, m: Module, codes: Any, side: dict[str, Value], phase: Value, mode: Value) -> Value:
        return self.spec.build_row(m, codes, side, phase, mode)


class ColBlock(_FrontBlock):
    """K weight codes of one column → column bus."""

    def __init__(self, spec: TileSpec) -> None:
        count, bits = spec.weight_port(spec.p)
        super().__init__(
            spec,
            count=count,
            bits=bits,
            side=spec.col_side(),
            bus_bits=int(spec.col_bus_bits(spec.p)),
            per_phase=spec.col_per_phase,
        )

    def build(self, m: Module, codes: Any, side: dict[str, Value], phase: Value, mode: Value) -> Value:
        return self.spec.build_col(m, codes, side, phase, mode)


class _AccumulatingBlock(wiring.Component):
    """Product logic, the optional product register (``stages`` >= 2) and accumulators."""

    width: int
    count: int

    def __init__(self, spec: TileSpec, ports: dict[str, Any], *, width: int, count: int) -> None:
        self.spec, self.width, self.count = spec, width, count
        sums = {"sums": Out(width * count), "en": In(1), "clear": In(1)}
        super().__init__({**ports, **sums})

    def addends(self, m: Module) -> list[Addend]:
        raise NotImplementedError

    def accumulators(self, m: Module, addends: list[Addend], clear: Value, enable: Value, fold: Value) -> list[Value]:
        raise NotImplementedError

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        addends = self.addends(m)
        enable, clear = self.en, self.clear
        fold: Value = self.fold if hasattr(self, "fold") else Const(0, 1)
        if self.spec.stages >= 2:
            enable = Signal(name="en_reg")
            clear = Signal(name="clear_reg", reset_less=True)
            m.d.sync += enable.eq(self.en)
            if hasattr(self, "fold"):
                fold = Signal(len(self.fold), name="fold_reg")
                m.d.sync += fold.eq(self.fold)
            cut = []
            for index, addend in enumerate(addends):
                value = Signal(signed(len(addend.value)), name=f"product{index}_reg", reset_less=True)
                carry = None if addend.carry is None else Signal(name=f"carry{index}_reg", reset_less=True)
                cut.append((value, addend.value, carry, addend.carry))
            with m.If(self.en):
                m.d.sync += clear.eq(self.clear)
                for value, source, carry, carry_source in cut:
                    m.d.sync += value.eq(source)
                    if carry is not None:
                        m.d.sync += carry.eq(carry_source)
            addends = [Addend(value, carry) for value, _, carry, _ in cut]
        m.d.comb += self.sums.eq(Cat(*self.accumulators(m, addends, clear, enable, fold)))
        return m


class CellBlock(_AccumulatingBlock):
    """Row bus × column bus → P sums."""

    def __init__(self, spec: TileSpec) -> None:
        ports: dict[str, Any] = {
            "row": In(int(spec.row_bus_bits(spec.p))),
            "col": In(int(spec.col_bus_bits(spec.p))),
        }
        if spec.cell_uses_phase and spec.step_cycles_max > 1:
            ports["phase"] = In(spec.phase_bits)
        if spec.mode_bits:
            ports["mode"] = In(spec.mode_bits)
        if spec.folds:
            ports["fold"] = In(int(spec.fold_bits(spec.p)))
        super().__init__(spec, ports, width=int(spec.acc_bits(spec.p)), count=int(spec.sums_of_cell(spec.p)))

    def addends(self, m: Module) -> list[Addend]:
        phase = self.phase if hasattr(self, "phase") else Const(0, 1)
        mode = self.mode if self.spec.mode_bits else Const(0, 1)
        return self.spec.build_cell(m, self.row, self.col, phase, mode)

    def accumulators(self, m: Module, addends: list[Addend], clear: Value, enable: Value, fold: Value) -> list[Value]:
        return self.spec.build_accumulators(m, addends, clear, enable, fold)


class RowSumBlock(_AccumulatingBlock):
    """Row bus → sum of the row's activations over the group."""

    def __init__(self, spec: TileSpec) -> None:
        super().__init__(
            spec, {"row": In(int(spec.row_bus_bits(spec.p)))}, width=int(spec.row_sum_bits(spec.p)), count=1
        )

    def addends(self, m: Module) -> list[Addend]:
        return [Addend(self.spec.build_row_sum(m, self.row))]

    def accumulators(self, m: Module, addends: list[Addend], clear: Value, enable: Value, fold: Value) -> list[Value]:
        return plain_accumulators(m, self.spec, addends, clear, enable, self.width)
