"""The four blocks that every tile is built from. A family supplies their logic; the registers are here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.frame.accumulators import FOLD_BITS, plain_accumulators
from hwgen.frame.facts import Addend
from hwgen.frame.place import Logic, Path, Place, place_submodule
from hwgen.frame.spec import TileSpec

__all__ = ["CellBlock", "ColBlock", "RowBlock", "RowSumBlock"]


def side_layout(fields: dict[str, Any]) -> data.StructLayout:
    """Layout of one row's or column's side information."""
    return data.StructLayout({name: Shape(side.bits, side.signed) for name, side in fields.items()})


class _FrontBlock(wiring.Component):
    """A row or column front-end with its bus register (``stages`` >= 1), and ``front_cuts`` registers within.

    Where `TileFormulas.idles_at_zero` the bus is zero in cycles without ``en``; elsewhere its register holds.
    """

    kind: str

    def __init__(
        self,
        spec: TileSpec,
        place: Place,
        *,
        count: int,
        bits: int,
        side: dict[str, Any],
        bus_bits: int,
        per_phase: bool,
    ) -> None:
        self.spec, self._place = spec, place
        self.per_phase = per_phase
        self.elements = data.ArrayLayout(unsigned(bits), count)
        self.fields = side_layout(side)
        self.inputs = {"codes": count * bits}
        if self.fields.size:
            self.inputs["side"] = self.fields.size
        if spec.step_cycles_max > 1:
            self.inputs["phase"] = spec.phase_bits
        if spec.mode_bits:
            self.inputs["mode"] = spec.mode_bits
        ports: dict[str, Any] = {name: In(width) for name, width in self.inputs.items()}
        self.idles_at_zero = bool(spec.idles_at_zero(spec.p))
        # What comes with a step stays as long as the step, and so all that follows it.
        if spec.front_enabled(spec.p):
            ports["en"] = In(1)
        ports["bus"] = Out(bus_bits)
        super().__init__(ports)

    def build(self, m: Module, codes: Any, side: dict[str, Value], phase: Value, mode: Value) -> Value:
        raise NotImplementedError

    def _logic(self, m: Module, inputs: Mapping[str, Value]) -> Value:
        side: dict[str, Value] = {}
        if self.fields.size:
            view = data.View(self.fields, inputs["side"])
            side = {name: view[name] for name, _ in self.fields}
        codes = data.View(self.elements, inputs["codes"])
        none = Const(0, 1)
        value = self.build(m, codes, side, inputs.get("phase", none), inputs.get("mode", none))
        return Mux(inputs["at_work"], value, 0)[: len(value)] if self.idles_at_zero else value

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        inputs: dict[str, Value] = {name: getattr(self, name) for name in self.inputs}
        widths = dict(self.inputs)
        if self.idles_at_zero:
            # Not by the name that an enable of the cuts would have.
            inputs["at_work"], widths["at_work"] = self.en, 1
        value: Value
        if spec.front_cuts:
            value = self._place(
                m,
                f"{self.kind}_logic",
                "inner",
                lambda: Logic(widths, lambda m, inputs: {"value": self._logic(m, inputs)}),
                cuts=spec.front_cuts,
                **inputs,
            ).value
        else:
            value = self._logic(m, inputs)
        if spec.stages >= 1:
            register = Signal(len(self.bus), name="bus_reg", reset_less=True)
            if spec.front_cuts or self.idles_at_zero:
                m.d.sync += register.eq(value)
            else:
                enable = self.en
                if spec.step_cycles_max > 1 and not self.per_phase:
                    # The bus holds through the step: clock it in the first phase only.
                    enable = self.en & (inputs["phase"] == 0)
                with m.If(enable):
                    m.d.sync += register.eq(value)
            m.d.comb += self.bus.eq(register)
        else:
            m.d.comb += self.bus.eq(value)
        return m


class RowBlock(_FrontBlock):
    """K activation codes of one row → row bus."""

    kind = "row"

    def __init__(self, spec: TileSpec, place: Place = place_submodule) -> None:
        count, bits = spec.act_port(spec.p)
        super().__init__(
            spec,
            place,
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

    kind = "col"

    def __init__(self, spec: TileSpec, place: Place = place_submodule) -> None:
        count, bits = spec.weight_port(spec.p)
        super().__init__(
            spec,
            place,
            count=count,
            bits=bits,
            side=spec.col_side(),
            bus_bits=int(spec.col_bus_bits(spec.p)),
            per_phase=spec.col_per_phase,
        )

    def build(self, m: Module, codes: Any, side: dict[str, Value], phase: Value, mode: Value) -> Value:
        return self.spec.build_col(m, codes, side, phase, mode)


class _AccumulatingBlock(wiring.Component):
    """Product logic with ``cell_cuts`` registers within, the optional product register (``stages`` >= 2), accumulators.

    ``en``, ``clear`` and ``fold`` come with the addend, `TileFormulas.product_delay` cycles after the buses; what is
    not ``enabled`` has no ``en``.
    """

    kind: str
    width: int
    count: int

    def __init__(
        self,
        spec: TileSpec,
        place: Place,
        inputs: dict[str, int],
        ports: dict[str, Any],
        *,
        width: int,
        count: int,
        enabled: bool,
    ) -> None:
        self.spec, self._place, self.inputs, self.width, self.count = spec, place, inputs, width, count
        sums: dict[str, Any] = {"sums": Out(width * count), "clear": In(1)}
        if enabled:
            sums["en"] = In(1)
        super().__init__({**{name: In(bits) for name, bits in inputs.items()}, **ports, **sums})

    def addends(self, m: Module, inputs: Mapping[str, Value]) -> list[Addend]:
        raise NotImplementedError

    def accumulators(
        self, m: Module, addends: list[Addend], clear: Value, enable: Value | None, fold: Value
    ) -> list[Value]:
        raise NotImplementedError

    def path_behind(self) -> Path | None:
        """What addends go through on their way to a sum."""
        return self.spec.integer_path(self.width)

    def _late_addends(self, m: Module, inputs: Mapping[str, Value]) -> list[Addend]:
        """Addends of logic with cuts in it."""

        def build(m: Module, inputs: Mapping[str, Value]) -> Mapping[str, Value]:
            outputs: dict[str, Value] = {}
            for index, addend in enumerate(self.addends(m, inputs)):
                outputs[f"addend{index}"] = addend.value
                if addend.carry is not None:
                    outputs[f"carry{index}"] = addend.carry
            return outputs

        late = self._place(
            m,
            f"{self.kind}_logic",
            "inner",
            lambda: Logic(self.inputs, build),
            cuts=self.spec.cell_cuts,
            behind=() if self.spec.stages >= 2 else self.path_behind(),
            **inputs,
        )
        found: list[Addend] = []
        while (value := getattr(late, f"addend{len(found)}", None)) is not None:
            found.append(Addend(value.as_signed(), getattr(late, f"carry{len(found)}", None)))
        return found

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        inputs: dict[str, Value] = {name: getattr(self, name) for name in self.inputs}
        addends = self._late_addends(m, inputs) if self.spec.cell_cuts else self.addends(m, inputs)
        fold: Value = self.fold if hasattr(self, "fold") else Const(0, 1)
        if self.spec.stages >= 2:
            cut = []
            for index, addend in enumerate(addends):
                value = Signal(signed(len(addend.value)), name=f"product{index}_reg", reset_less=True)
                m.d.sync += value.eq(addend.value)
                carry = None
                if addend.carry is not None:
                    carry = Signal(name=f"carry{index}_reg", reset_less=True)
                    m.d.sync += carry.eq(addend.carry)
                cut.append(Addend(value, carry))
            addends = cut
        enable: Value | None = self.en if hasattr(self, "en") else None
        m.d.comb += self.sums.eq(Cat(*self.accumulators(m, addends, self.clear, enable, fold)))
        return m


class CellBlock(_AccumulatingBlock):
    """Row bus × column bus → P sums."""

    kind = "cell"

    def __init__(self, spec: TileSpec, place: Place = place_submodule) -> None:
        inputs = {"row": int(spec.row_bus_bits(spec.p)), "col": int(spec.col_bus_bits(spec.p))}
        if spec.cell_uses_phase and spec.step_cycles_max > 1:
            inputs["phase"] = spec.phase_bits
        if spec.cell_uses_mode and spec.mode_bits:
            inputs["mode"] = spec.mode_bits
        ports: dict[str, Any] = {}
        if spec.folds:
            ports["fold"] = In(FOLD_BITS)
        width, count = int(spec.acc_bits(spec.p)), int(spec.sums_of_cell(spec.p))
        enabled = bool(spec.cell_enabled(spec.p))
        super().__init__(spec, place, inputs, ports, width=width, count=count, enabled=enabled)

    def addends(self, m: Module, inputs: Mapping[str, Value]) -> list[Addend]:
        none = Const(0, 1)
        phase, mode = inputs.get("phase", none), inputs.get("mode", none)
        return self.spec.build_cell(m, inputs["row"], inputs["col"], phase, mode)

    def path_behind(self) -> Path | None:
        return self.spec.accumulator_path()

    def accumulators(
        self, m: Module, addends: list[Addend], clear: Value, enable: Value | None, fold: Value
    ) -> list[Value]:
        return self.spec.build_accumulators(m, addends, clear, enable, fold, self._place)


class RowSumBlock(_AccumulatingBlock):
    """Row bus → sum of the row's activations over the group."""

    kind = "rowsum"

    def __init__(self, spec: TileSpec, place: Place = place_submodule) -> None:
        inputs = {"row": int(spec.row_bus_bits(spec.p))}
        super().__init__(
            spec, place, inputs, {}, width=int(spec.row_sum_bits(spec.p)), count=1, enabled=spec.row_sum_enabled
        )

    def addends(self, m: Module, inputs: Mapping[str, Value]) -> list[Addend]:
        return [Addend(self.spec.build_row_sum(m, inputs["row"]))]

    def accumulators(
        self, m: Module, addends: list[Addend], clear: Value, enable: Value | None, fold: Value
    ) -> list[Value]:
        return plain_accumulators(m, self.spec, addends, clear, enable, self.width)
