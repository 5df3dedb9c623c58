"""Post lanes: group sums to FP32 results, D lanes shared by all sums of a tile.

When a group ends its sums are copied, so that the next group may start at once; then D sums a cycle are corrected for
the zero point, multiplied by the row's and the column's scale, rounded once to FP32 (nearest even) and added to the
FP32 result of that sum. Groups are added in K order. The results leave in the same order, D a beat, when a group is
marked `done`.

Timing: the first beat of a group is at the output 5 cycles after its sums (snapshot, correct, multiply, round, add),
one beat a cycle from there. Everything is order-fixed, so results and copies sit in rings without addresses. With
``post_cuts`` correction, multiplication and rounding are one piece of logic with as many registers more in it. An FP32
adder of S cycles turns the ring of results S - 1 cycles longer, so that what is in the adder comes back in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.arith import ScaledLayout, fp32_add, round_to_fp32, scale_multiply
from hwgen.formats import get
from hwgen.frame.place import Logic, Place
from hwgen.frame.statement import TileStatement

__all__ = ["PostBlock", "accumulated", "late_controls", "rounded_late"]


def _ring(m: Module, name: str, load: Value, source: Value, turn: Value, width: int, by: int) -> Signal:
    """Register of ``source``'s elements: loads all, or turns by ``by`` elements so that the next ones come to the
    front.
    """
    ring = Signal(len(source), name=name, reset_less=True)
    step = width * by
    turned = Cat(ring[step:], ring[:step])
    with m.If(load):
        m.d.sync += ring.eq(source)
    if step < len(source):
        with m.Elif(turn):
            m.d.sync += ring.eq(turned)
    return ring


class PostBlock(wiring.Component):
    """Lanes of a tile.

    Members: ``valid`` with ``sums`` (and ``row_sums``), the side information and ``done`` in the same cycle;
    ``o_valid`` with ``y``.
    """

    def __init__(self, spec: TileStatement, place: Place) -> None:
        self.spec, self._place = spec, place
        p = spec.p
        ports: dict[str, Any] = {
            "valid": In(1),
            "done": In(1),
            "sums": In(spec.m * spec.n * int(spec.acc_bits(p))),
        }
        if spec.has_row_sums:
            ports["row_sums"] = In(spec.m * int(spec.row_sum_bits(p)))
        for name, side in spec.row_side().items():
            if name in spec.POST_SIDES:
                ports[f"row_{name}"] = In(spec.m * side.bits)
        for name, side in spec.col_side().items():
            if name in spec.POST_SIDES:
                ports[f"col_{name}"] = In(spec.n * side.bits)
        super().__init__({**ports, "o_valid": Out(1), "y": Out(32 * spec.lanes)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        lanes, beats, per_row = spec.lanes, spec.post_beats_max, spec.n // spec.lanes
        acc = int(spec.acc_bits(spec.p))

        left = Signal(range(beats + 1), name="beats_left")
        active = Signal(name="active")
        m.d.comb += active.eq(left != 0)
        with m.If(self.valid):
            m.d.sync += left.eq(beats)
        with m.Elif(active):
            m.d.sync += left.eq((left - 1)[: len(left)])
        next_row: Value = active
        if per_row > 1:
            column = Signal(range(per_row), name="column_beat", reset_less=True)
            wrap = Signal(name="row_done")
            m.d.comb += wrap.eq(column == per_row - 1)
            with m.If(self.valid):
                m.d.sync += column.eq(0)
            with m.Elif(active):
                m.d.sync += column.eq(Mux(wrap, 0, (column + 1)[: len(column)]))
            next_row = Signal(name="next_row")
            m.d.comb += next_row.eq(active & wrap)

        fresh = Signal(name="fresh", init=1)
        group_fresh, group_done = (
            Signal(name="group_fresh", reset_less=True),
            Signal(name="group_done", reset_less=True),
        )
        with m.If(self.valid):
            m.d.sync += [fresh.eq(self.done), group_fresh.eq(fresh), group_done.eq(self.done)]

        sums = _ring(m, "sums_copy", self.valid, self.sums, active, acc, lanes)
        row_side = spec.row_side()
        col_side = spec.col_side()
        rows = {
            name: _ring(
                m, f"row_{name}_copy", self.valid, getattr(self, f"row_{name}"), next_row, row_side[name].bits, 1
            )
            for name in row_side
            if name in spec.POST_SIDES
        }
        cols = {
            name: _ring(
                m, f"col_{name}_copy", self.valid, getattr(self, f"col_{name}"), active, col_side[name].bits, lanes
            )
            for name in col_side
            if name in spec.POST_SIDES
        }
        activation_sum: Value | None = None
        if spec.has_row_sums:
            width = int(spec.row_sum_bits(spec.p))
            ring = _ring(m, "row_sums_copy", self.valid, self.row_sums, next_row, width, 1)
            activation_sum = ring[:width].as_signed()

        stage: dict[str, Value] = {"valid": active, "fresh": group_fresh, "done": group_done}
        controls = late_controls(m, stage, ["corrected", "scaled", "rounded"], spec.p["post_cuts"])
        rounded = []
        row_scale = None
        if not spec.p["post_cuts"]:
            row_scale = Signal(row_side["scale"].bits, name="row_scale_corrected", reset_less=True)
            with m.If(active):
                m.d.sync += row_scale.eq(rows["scale"][: len(row_scale)])
        for lane in range(lanes):
            inputs: dict[str, Value] = {"total": sums[lane * acc : (lane + 1) * acc]}
            inputs |= {f"row_{name}": rows[name][: row_side[name].bits] for name in rows}
            inputs |= {
                f"col_{name}": cols[name][lane * side : (lane + 1) * side]
                for name, side in ((name, col_side[name].bits) for name in cols)
            }
            if activation_sum is not None and "zero" in cols:
                inputs["row_sum"] = activation_sum
            register = Signal(32, name=f"lane{lane}_rounded", reset_less=True)
            if row_scale is None:
                fp32 = rounded_late(m, self._place, lane, inputs, self._lane, 2 + spec.p["post_cuts"])
            else:
                fp32 = self._lane_by_hand(m, lane, inputs, row_scale, [active, controls[0]["valid"]])
            with m.If(controls[-2]["valid"]):
                m.d.sync += register.eq(fp32)
            rounded.append(register)
        o_valid, y = accumulated(m, self._place, spec, rounded, controls[-1])
        o_valid, y = self.finish(m, o_valid, y)
        m.d.comb += [self.o_valid.eq(o_valid), self.y.eq(Cat(*y))]
        return m

    # ------------------------------------------------------------------ a lane

    def _correct(self, m: Module, inputs: Mapping[str, Value]) -> Value:
        """A sum less its zero point's share."""
        spec = self.spec
        total: Value = inputs["total"].as_signed()
        if "row_sum" not in inputs:
            return total
        difference = total - inputs["col_zero"].as_signed() * inputs["row_sum"].as_signed()
        width = len(total) + 1 if spec.overflow == "refuse" else len(difference)
        return difference[:width].as_signed()

    def _scaled(self, m: Module, total: Value, row: Value, col: Value, name: str) -> data.View[ScaledLayout]:
        formats = self.spec.quantization()
        return self.scale(m, total, row, get(formats.act_scale), col, get(formats.weight_scale), name)

    def _lane(self, m: Module, inputs: Mapping[str, Value]) -> Value:
        """FP32 code of a sum, corrected, scaled and rounded: all of it one piece of logic."""
        total = Signal(signed(len(corrected := self._correct(m, inputs))), name="corrected")
        m.d.comb += total.eq(corrected)
        return self.round(m, self._scaled(m, total, inputs["row_scale"], inputs["col_scale"], "scale"), "round")

    def _lane_by_hand(
        self, m: Module, lane: int, inputs: Mapping[str, Value], row: Value, enables: list[Value]
    ) -> Value:
        """The same with registers behind correction and multiplication; ``row`` is the row's scale, a cycle late."""
        total = self._correct(m, inputs)
        corrected = Signal(signed(len(total)), name=f"lane{lane}_corrected", reset_less=True)
        col = Signal(len(inputs["col_scale"]), name=f"lane{lane}_col_scale", reset_less=True)
        with m.If(enables[0]):
            m.d.sync += [corrected.eq(total), col.eq(inputs["col_scale"])]
        product = self._scaled(m, corrected, row, col, f"lane{lane}_scale")
        scaled = Signal(product.shape(), name=f"lane{lane}_scaled", reset_less=True)
        with m.If(enables[1]):
            m.d.sync += scaled.as_value().eq(product.as_value())
        return self.round(m, data.View(product.shape(), scaled.as_value()), f"lane{lane}_round")

    # ------------------------------------------------------------------ what a family may do in another way

    def scale(self, m: Module, total: Value, *scales: Any) -> data.View[ScaledLayout]:
        """Exact product of a sum and its scales; ``scales`` are the arguments of `scale_multiply`."""
        return scale_multiply(m, total, *scales)

    def round(self, m: Module, product: data.View[ScaledLayout], name: str) -> Value:
        """FP32 code of a scaled sum."""
        return round_to_fp32(m, product, self.spec.lsb_exp, name)

    def finish(self, m: Module, valid: Value, results: list[Value]) -> tuple[Value, list[Value]]:
        """What leaves the lanes for FP32 results; registers here lengthen `TileStatement.post_latency`."""
        return valid, results


def late_controls(m: Module, stage: dict[str, Value], names: list[str], cuts: int) -> list[dict[str, Value]]:
    """Control beside the registers of lanes, one after the other: those called ``names``, ``cuts`` more before them."""
    controls = []
    for name in [*(f"cut{cut}" for cut in range(cuts)), *names]:
        late: dict[str, Value] = {}
        for field, value in stage.items():
            register = Signal(name=f"{field}_{name}", reset_less=field != "valid")
            m.d.sync += register.eq(value)
            late[field] = register
        controls.append(late)
        stage = late
    return controls


def rounded_late(
    m: Module,
    place: Place,
    lane: int,
    inputs: Mapping[str, Value],
    build: Callable[[Module, Mapping[str, Value]], Value],
    cuts: int,
) -> Value:
    """FP32 code that ``build`` makes of inputs, ``cuts`` cycles later."""
    if not cuts:
        return build(m, inputs)
    widths = {name: len(value) for name, value in inputs.items()}
    found: Value = place(
        m,
        "post_lane",
        f"lane{lane}",
        lambda: Logic(widths, lambda m, inner: {"fp32": build(m, inner)}),
        cuts=cuts,
        **inputs,
    ).fp32
    return found


def accumulated(
    m: Module, place: Place, spec: TileStatement, addends: list[Value], control: Mapping[str, Value]
) -> tuple[Value, list[Value]]:
    """Add each lane's FP32 codes to its ring of results; the newest result is at its end. Returns when it is one that
    leaves, and the results.
    """
    beats, extra = spec.post_beats_max, int(spec.post_loop(spec.p))
    valids, dones = [control["valid"]], [control["valid"] & control["done"]]
    for cut in range(extra):
        for listed, name in ((valids, "add_valid"), (dones, "add_done")):
            late = Signal(name=f"{name}{cut}")
            m.d.sync += late.eq(listed[-1])
            listed.append(late)
    turns = valids[0]
    if extra:
        turns = Signal(name="results_turn")
        m.d.comb += turns.eq(Cat(*valids).any())
    results: list[Value] = []
    for lane, addend in enumerate(addends):
        ring = Signal(32 * beats, name=f"lane{lane}_results", reset_less=True)
        base = Signal(32, name=f"lane{lane}_base")
        m.d.comb += base.eq(Mux(control["fresh"], Const(0, 32), ring[:32]))
        if extra:
            total = place(
                m,
                "post_adder",
                f"adder{lane}",
                lambda: Logic({"a": 32, "b": 32}, lambda m, i: {"sum": fp32_add(m, i["a"], i["b"], "add")}),
                cuts=extra,
                a=base,
                b=addend,
            ).sum
        else:
            total = fp32_add(m, base, addend, f"lane{lane}_add")
        with m.If(turns):
            m.d.sync += ring.eq(Cat(ring[32:], total))
        results.append(ring[32 * (beats - 1) :])
    valid = Signal(name="result_valid")
    m.d.sync += valid.eq(dones[-1])
    return valid, results
