"""Structural inventory of a tile: how many of which primitives, from widths alone.

Flip-flop bits are exact (a test compares them with the elaborated design, before registers that never change are
removed); adders, multiplexers and gates are counts of one-bit primitives as a designer would draw the block, within a
stated band of what Yosys finds (the same test). All functions take scalars or arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from hwgen.arith.fp32 import FP32_BIAS
from hwgen.arith.minifloat import float_layout
from hwgen.arith.scale import ScaledLayout
from hwgen.formats import get
from hwgen.frame.accumulators import FOLD_BITS
from hwgen.frame.facts import Block, Counts, PreCounts
from hwgen.frame.numbers import Num, ceil_div, clog2, maximum, unsigned_bits, where
from hwgen.frame.primitives import FP32_ADD, accumulator, is_named, merge, within
from hwgen.frame.statement import TileStatement

__all__ = ["ONCE", "blocks", "held_bits", "modules", "post_lanes", "waiting_sides"]

P = Mapping[str, Any]

_INSIDE = {"post_side": "control", "post_store": "post", "post_lane": "post"}
"""Blocks that are part of a module of another name; the others are modules of their own."""
ONCE = ("control", "post", "pre_control")
"""Modules that hold all copies of their blocks: a tile has at most one of each."""


def modules(parts: Mapping[str, Block]) -> dict[str, Block]:
    """Blocks put together as the emitted design has them, by kind of module."""
    found: dict[str, Block] = {}
    for name, block in parts.items():
        kind = _INSIDE.get(name, name)
        if kind not in ONCE:
            found[kind] = block
            continue
        inside = {key: block.count * number for key, number in block.primitives.items()}
        before = found.get(kind, Block(0, {}))
        found[kind] = Block(maximum(before.count, where(block.count > 0, 1, 0)), merge(before.primitives, inside))
    return found


def _sum(numbers: Iterable[Num]) -> Num:
    return sum(numbers, start=0)


def blocks(spec: type[TileStatement], p: P, post: Callable[[P], dict[str, Block]]) -> dict[str, Block]:
    """Inventory of every block of a tile, by block name; ``post``: that of its post lanes."""
    m, n, stages = p["m"], p["n"], p["stages"]
    cut_bus, cut_product = where(stages >= 1, 1, 0), where(stages >= 2, 1, 0)
    (act_count, act_bits), (weight_count, weight_bits) = spec.act_port(p), spec.weight_port(p)
    row, col = spec.row_bus_bits(p), spec.col_bus_bits(p)
    addends = spec.sums_of_cell(p) * (spec.addend_bits(p) + spec.carry_bits(p))
    # Where no step is at work these buses are zero.
    masked = spec.idles_at_zero(p)
    in_row = within(p["front_cuts"], act_count * act_bits, row)
    in_col = within(p["front_cuts"], weight_count * weight_bits, col)
    in_cell = cut_product * addends + within(p["cell_cuts"], row + col, addends)
    result: dict[str, Block] = {
        "row": Block(m, merge(spec.row_primitives(p), {"ff": cut_bus * row + in_row, "and": masked * row})),
        "col": Block(n, merge(spec.col_primitives(p), {"ff": cut_bus * col + in_col, "and": masked * col})),
        "cell": Block(m * n, merge(spec.cell_primitives(p), spec.accumulator_primitives(p), {"ff": in_cell})),
    }
    if spec.row_sum_range(p) is not None:
        result["rowsum"] = Block(
            m,
            merge(
                spec.row_sum_primitives(p),
                accumulator(p, spec.row_sum_bits(p)),
                {"ff": cut_product * spec.row_addend_bits(p) + within(p["cell_cuts"], row, spec.row_addend_bits(p))},
            ),
        )
    result["control"] = Block(1, _sequencer(spec, p))
    if spec.uses_lanes(p) and np.any(p["post_lanes"] > 0):
        result.update(post(p))
    pre = spec.pre_counts(p)
    if pre is not None:
        result.update(_pre(spec, p, pre))
    return result


def _sequencer(spec: type[TileStatement], p: P) -> Counts:
    """What stands in the tile itself: phase counter, pipeline cuts of operands and control, systolic registers."""
    m, n = p["m"], p["n"]
    cut_input = where(p["stages"] >= 3, 1, 0)
    systolic = is_named(p, "transport", "systolic")
    row_side, col_side = spec.side_bits(p)
    act_count, act_bits = spec.act_port(p)
    weight_count, weight_bits = spec.weight_port(p)
    row = act_count * act_bits + _sum(row_side.values())
    col = weight_count * weight_bits + _sum(col_side.values())
    phase = unsigned_bits(spec.longest_step(p) - 1)
    done = where(p["post_lanes"] > 0, 1, 0) if spec.uses_lanes(p) else 0
    ended = spec.accumulator_latency(p) * (1 + done)
    folding = unsigned_bits(spec.fold_cycles(p))
    live = where(spec.ring_stages(p) > 1, spec.ring_stages(p), 0)
    ff = phase + folding + ended + live * (m if systolic else 1) + _control_line(spec, p)
    ff = ff + cut_input * (m * row + n * col)
    if systolic:
        ff = ff + m * (m - 1) // 2 * row + n * (n - 1) // 2 * col
        ff = ff + m * (n - 1) * (spec.row_bus_bits(p) + where(live > 0, 1, 0)) + (m - 1) * n * spec.col_bus_bits(p)
    wait: Num = 0
    if spec.uses_lanes(p):
        wait = unsigned_bits(maximum(spec.post_cycles(p) - 1, 0))
        held = where(spec.fold_cycles(p) > 0, 1, 0)
        ff = ff + wait + where(p["post_lanes"] > 0, held, 0)
    return {"ff": ff, "add": phase + wait + folding}


def _control_line(spec: type[TileStatement], p: P) -> Num:
    """Flip-flops of the control on its way through the tile: its fields' bits times the cycles to who takes them last.

    Constant fields have none.
    """
    longest, rows = spec.longest_step(p), spec.row_sum_range(p) is not None
    several, lanes = where(longest > 1, 1, 0), spec.uses_lanes(p)
    folds = where(spec.fold_cycles(p) > 0, 1, 0)
    own_enable = several if rows else 0
    # To the front-ends, the buses' outputs and the addends; then on to the last row, and to its last cell.
    begin = where(p["stages"] >= 3, 1, 0)
    bus = begin + p["front_cuts"] + where(p["stages"] >= 1, 1, 0)
    late = bus + spec.product_delay(p)
    systolic = is_named(p, "transport", "systolic")
    down, along = systolic * (p["m"] - 1), systolic * (p["n"] - 1)
    fronts = begin + maximum(down, along)
    # Between two groups' ends side information waits in the same registers.
    waits: Num = 0
    if lanes:
        apart = spec.groups_apart(p)
        last = (ceil_div(spec.post_wait(p), apart) - 1) * apart
        waits = where(p["post_lanes"] > 0, begin + last, 0)
    sums_last = where(folds > 0, late + down, late + down + along)
    ended = maximum(where(folds > 0, 0, late), waits)
    enable = maximum(ended, maximum(spec.front_enabled(p) * fronts, spec.cell_enabled(p) * (late + down + along)))
    if rows:
        enable = maximum(enable, where(own_enable > 0, bus, (1 - spec.idles_at_zero(p)) * (late + down)))
    phase_last = maximum(fronts, maximum((bus + down + along) * int(spec.cell_uses_phase), own_enable * bus))
    mode_last = maximum(fronts, (bus + down + along) * int(spec.cell_uses_mode))
    bits = enable + sums_last + ended + unsigned_bits(longest - 1) * phase_last
    bits = bits + clog2(spec.mode_count(p)) * mode_last + folds * late + FOLD_BITS * folds * (late + down + along)
    bits = bits + own_enable * (late - bus + down)
    if lanes:
        bits = bits + where(p["post_lanes"] > 0, late, 0)
    return bits


def held_bits(spec: type[TileStatement], p: P) -> Num:
    """Flip-flops with an enable in the tile itself: those of its inputs, and where side information waits for sums."""
    (act_count, act_bits), (weight_count, weight_bits) = spec.act_port(p), spec.weight_port(p)
    row_side, col_side = spec.side_bits(p)
    rows = p["m"] * (act_count * act_bits + _sum(row_side.values()))
    cols = p["n"] * (weight_count * weight_bits + _sum(col_side.values()))
    waiting = where(p["post_lanes"] > 0, waiting_sides(spec, p), 0) if spec.uses_lanes(p) else 0
    return where(p["stages"] >= 3, rows + cols, 0) + waiting


def waiting_sides(spec: type[TileStatement], p: P) -> Num:
    """Flip-flops in which side information waits beside a group's last step for its sums.

    As many sets as groups may end in that time.
    """
    row_side, col_side = spec.side_bits(p)
    sides = p["m"] * _sum(bits for name, bits in row_side.items() if name in spec.POST_SIDES)
    sides = sides + p["n"] * _sum(bits for name, bits in col_side.items() if name in spec.POST_SIDES)
    return sides * ceil_div(spec.post_wait(p), spec.groups_apart(p))


def post_lanes(spec: type[TileStatement], p: P) -> dict[str, Block]:
    """Post lanes: copies of sums and scales shared by all, and D lanes of correct, multiply, round and add."""
    m, n = p["m"], p["n"]
    has = where(p["post_lanes"] > 0, 1, 0)
    lanes = maximum(p["post_lanes"], 1)
    beats = ceil_div(m * n, lanes)
    acc, row_sum = spec.acc_bits(p), spec.row_sum_bits(p)
    row_side, col_side = spec.side_bits(p)
    row_scale, col_scale = (float_layout(get(name)) for name in spec.scale_formats(p))
    row_bits, col_bits = row_side.get("scale", 0), col_side.get("scale", 0)
    has_sum = spec.row_sum_range(p) is not None
    zero: Num = col_side.get("zero", 0) if has_sum else 0

    sides = m * _sum(bits for name, bits in row_side.items() if name in spec.POST_SIDES)
    sides = sides + n * _sum(bits for name, bits in col_side.items() if name in spec.POST_SIDES)
    rings = m * n * acc + sides
    if has_sum:
        rings = rings + m * row_sum
    counters = unsigned_bits(beats) + unsigned_bits(maximum(n // lanes - 1, 0))
    cuts, loop = p["post_cuts"], spec.post_loop(p)
    # Three flags of the group, three more in each of three stages and cuts, and the valid bit.
    flags = 3 + 3 * (3 + cuts) + 2 * loop + 1
    store: Counts = {"ff": rings + counters + flags + where(cuts > 0, 0, row_bits), "mux2": rings, "add": counters}

    total = acc
    if "zero" in col_side and has_sum:
        total = acc + 1 if p["overflow"] == "refuse" else maximum(acc, zero + row_sum) + 1
    # A sum of one bit shows what the scales add to the width.
    layout = ScaledLayout(1, row_scale, col_scale)
    scaled = layout.size + total - 1
    significand = scaled - 3 - layout["exponent"].width
    factors = [fmt.mantissa_bits + 1 for fmt in (row_scale, col_scale) if fmt.subnormals or fmt.mantissa_bits]
    multiply = total * sum(factors) + (factors[0] * factors[1] if len(factors) == 2 else 0)
    # Scales whose products stay within FP32's normal numbers bring no logic for subnormal results.
    small = layout.exponents.start + layout.offset + spec.unchecked(p).lsb_exp < 1 - FP32_BIAS
    lane: Counts = merge(
        {"mul": zero * row_sum + multiply, "add": where(zero > 0, total, 0) + total + (74 if small else 66)},
        # Normalise the significand, denormalise the result.
        {"mux2": significand * clog2(significand) + (25 * 6 if small else 0), "and": 58 + (64 if small else 24)},
        {"xor": total + 32},
        FP32_ADD,
        {"ff": where(cuts > 0, within(2 + cuts, total + row_bits + col_bits, 32), total + col_bits + scaled)},
        {"ff": 32 + 32 * beats + within(loop, 64, 32)},
    )
    return {
        "post_side": Block(has, {"ff": waiting_sides(spec, p)}),
        "post_store": Block(has, store),
        "post_lane": Block(p["post_lanes"], lane),
    }


def _pre(spec: type[TileStatement], p: P, pre: PreCounts) -> dict[str, Block]:
    """The block before the activation buffer: M rows of alignment and table builder."""
    count, bits = spec.act_port(p)
    codes = spec.layer_k(p) * get(pre.source).code_bits
    before = pre.cuts // 3 if pre.align else 0
    behind = pre.cuts - before
    row = merge(pre.row, {"ff": count * bits + within(behind, codes, count * bits) + behind})
    if pre.align:
        exponent = float_layout(get(pre.source)).exponent_bits
        # The running maximum over the scope, and the scale that goes beside the codes.
        row = merge(row, {"ff": exponent + 8, "add": exponent + 8, "mux2": exponent, "and": exponent})
        row = merge(row, {"ff": before * (codes + 3) + within(before, codes, exponent) + behind * exponent})
    return {"pre_row": Block(p["m"], row), "pre_control": Block(1, {"ff": 1 + pre.cuts})}
