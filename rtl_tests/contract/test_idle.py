"""Cycles without a step at work leave every sum as it is: cells and activation sums with zeros on their buses, or
with anything on them where they have an enable instead.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Value
from amaranth.sim import Simulator, SimulatorContext

from hwgen.arith.compressor import Term
from hwgen.frame.blocks import CellBlock, RowSumBlock
from hwgen.pe import TileSpec, families
from hwgen.pe.int import Int
from hwgen.verify import covering_specs

FAMILIES = families()
STARTS = 3
"""Sums from which the idle cycles of a tile begin."""


def tiles(name: str, zero: bool = True) -> list[TileSpec]:
    """Tiles of all sweep values whose buses are zero in idle cycles, or are not; cuts do not matter to what a cell
    adds.
    """
    kept = {}
    for spec in covering_specs(FAMILIES[name], 1)[0]:
        # An adder of several cycles changes its sum later than it is asked to.
        plain = {name: value for name, value in (("adder_stages", 1), ("interleave", "none")) if name in spec.p}
        cuts = {"stages": int(zero), "front_cuts": 0, "cell_cuts": 0}
        spec = dataclasses.replace(spec, **cuts, transport="broadcast", **plain)
        if bool(spec.idles_at_zero(spec.p)) == zero:
            kept[repr(spec)] = spec
    return list(kept.values())


def changes(block: Any, spec: TileSpec) -> list[tuple[int, int, int, int]]:
    """(phase, mode, sums before, sums after) of every idle cycle that changed the sums, in all phases and modes.

    With zeros on its buses a block sees nothing else, so that these are all cases; the sums they start from are random.
    Where they are not zero they are random, and only ``en`` says that the cycle is idle.
    """
    rng = np.random.default_rng(3)
    found: list[tuple[int, int, int, int]] = []
    ports = {name: getattr(block, name) for name in block.signature.members if name != "sums"}
    zero = bool(spec.idles_at_zero(spec.p))
    phases, modes = spec.step_cycles_max, len(spec.modes())

    async def bench(context: SimulatorContext) -> None:
        async def tick(values: dict[str, int]) -> int:
            for name, value in values.items():
                context.set(Value.cast(ports[name]), value)
            await context.tick()
            return int(context.get(Value.cast(block.sums)))

        def random() -> dict[str, int]:
            return {name: int.from_bytes(rng.bytes(-(-len(p) // 8))) & ((1 << len(p)) - 1) for name, p in ports.items()}

        for _ in range(STARTS):
            for number in range(3):
                work = {"phase": number % phases, "mode": number % modes, "clear": int(number == 0), "en": 1, "fold": 0}
                before = await tick(random() | {name: value for name, value in work.items() if name in ports})
            for phase, mode in itertools.product(range(phases), range(modes)):
                idle = dict.fromkeys(ports, 0) if zero else random()
                now = {"phase": phase, "mode": mode, "en": 0, "fold": 0}
                after = await tick(idle | {name: value for name, value in now.items() if name in ports})
                if after != before:
                    found.append((phase, mode, before, after))
                before = after

    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_zero_buses_add_nothing(name: str) -> None:
    for spec in tiles(name):
        assert changes(CellBlock(spec), spec) == [], spec
        if spec.has_row_sums:
            assert changes(RowSumBlock(spec), spec) == [], spec


@pytest.mark.parametrize("name", FAMILIES)
def test_without_enable_nothing_on_the_buses_is_added(name: str) -> None:
    found = tiles(name, zero=False)
    assert found
    for spec in found:
        assert changes(CellBlock(spec), spec) == [], spec
        if spec.has_row_sums:
            assert changes(RowSumBlock(spec), spec) == [], spec


def test_families_of_integer_sums_need_no_enable() -> None:
    assert {name for name in FAMILIES if tiles(name)} == set(FAMILIES)


class OneMore(Int):
    """Adds one to every dot product, by mistake."""

    def build_cell(self, m: Any, row: Value, col: Value, phase: Value, mode: Value) -> Any:
        one = Term(Const(1, 1))
        return [addend._replace(rows=(*addend.rows, one)) for addend in super().build_cell(m, row, col, phase, mode)]


def test_an_addend_of_idle_cycles_is_found() -> None:
    spec = OneMore(m=1, n=1)
    assert changes(CellBlock(spec), spec)
