"""Post lanes: group sums to FP32 results, D lanes shared by all sums of a tile.

When a group ends its sums are copied, so that the next group may start at once; then D sums a cycle are corrected for
the zero point, multiplied by the row's and the column's scale, rounded once to FP32 (nearest even) and added to the
FP32 result of that sum. Groups are added in K order. The results leave in the same order, D a beat, when a group is
marked `done`.

Timing: the first beat of a group is at the output 5 cycles after its sums (snapshot, correct, multiply, round, add),
one beat a cycle from there. Everything is order-fixed, so results and copies sit in rings without addresses.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.arith import ScaledLayout, fp32_add, round_to_fp32, scale_multiply
from hwgen.formats import get
from hwgen.frame.statement import TileStatement

__all__ = ["PostBlock"]


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

    def __init__(self, spec: TileStatement) -> None:
        self.spec = spec
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

        formats = spec.quantization()
        row_format, col_format = get(formats.act_scale), get(formats.weight_scale)
        stage = {"valid": active, "fresh": group_fresh, "done": group_done}
        controls = []
        for name in ("corrected", "scaled", "rounded"):
            late = {field: Signal(name=f"{field}_{name}", reset_less=field != "valid") for field in stage}
            m.d.sync += [late[field].eq(stage[field]) for field in stage]
            controls.append(late)
            stage = late

        row_scale_late = Signal(
            len(rows["scale"][: row_side["scale"].bits]), name="row_scale_corrected", reset_less=True
        )
        with m.If(active):
            m.d.sync += row_scale_late.eq(rows["scale"][: len(row_scale_late)])
        results = []
        for lane in range(lanes):
            total: Value = sums[lane * acc : (lane + 1) * acc].as_signed()
            if activation_sum is not None and "zero" in cols:
                bits = col_side["zero"].bits
                zero = cols["zero"][lane * bits : (lane + 1) * bits].as_signed()
                difference = total - zero * activation_sum
                width = acc + 1 if spec.overflow == "refuse" else len(difference)
                total = difference[:width].as_signed()
            corrected = Signal(signed(len(total)), name=f"lane{lane}_corrected", reset_less=True)
            scale_bits = col_side["scale"].bits
            col_scale = Signal(scale_bits, name=f"lane{lane}_col_scale", reset_less=True)
            with m.If(active):
                m.d.sync += corrected.eq(total)
                m.d.sync += col_scale.eq(cols["scale"][lane * scale_bits : (lane + 1) * scale_bits])
            product = self.scale(m, corrected, row_scale_late, row_format, col_scale, col_format, f"lane{lane}_scale")
            scaled = Signal(product.shape(), name=f"lane{lane}_scaled", reset_less=True)
            with m.If(controls[0]["valid"]):
                m.d.sync += scaled.as_value().eq(product.as_value())
            rounded = Signal(32, name=f"lane{lane}_rounded", reset_less=True)
            # Outside the `if`: logic that is built inside one is masked, wire by wire, with its condition.
            view = data.View(product.shape(), scaled.as_value())
            fp32 = self.round(m, view, f"lane{lane}_round")
            with m.If(controls[1]["valid"]):
                m.d.sync += rounded.eq(fp32)
            results.append(self._add(m, lane, rounded, controls[2], beats))
        valid = Signal(name="result_valid")
        m.d.sync += valid.eq(controls[2]["valid"] & controls[2]["done"])
        o_valid, y = self.finish(m, valid, results)
        m.d.comb += [self.o_valid.eq(o_valid), self.y.eq(Cat(*y))]
        return m

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

    @staticmethod
    def _add(m: Module, lane: int, addend: Value, control: dict[str, Signal], beats: int) -> Value:
        """Add to the lane's result ring; the newest result is at its end."""
        ring = Signal(32 * beats, name=f"lane{lane}_results", reset_less=True)
        base = Signal(32, name=f"lane{lane}_base")
        m.d.comb += base.eq(Mux(control["fresh"], Const(0, 32), ring[:32]))
        total = fp32_add(m, base, addend, f"lane{lane}_add")
        with m.If(control["valid"]):
            m.d.sync += ring.eq(Cat(ring[32:], total))
        return ring[32 * (beats - 1) :]
