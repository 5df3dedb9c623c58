"""An `Array` as a core: computing and memory overlap, the slower one counts; what does not fit a buffer comes again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from hwgen.errors import HwgenError
from hwgen.schedule import Layer, Schedule
from sim.estimate import layer_costs
from sim.system.array import Array
from sim.system.arrays import Arrays
from sim.system.engine import BOUNDS, BYTES, Num, Table, shared_waits
from sim.system.off_chip import OffChip
from sim.system.system import System
from sim.tech import PJ_PER_UW_NS, Structure, Tech

__all__ = ["ArrayEngine"]

_COMPUTE, _CHANNEL = BOUNDS.index("compute"), BOUNDS.index("channel")


_TOKEN_PARTS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64, 96, 128, 256, 512, 1024)
"""Parts of the tokens that are tried where sums stay, beside each token alone."""


class _Way(NamedTuple):
    """A mapping: its place, where it is legal, and how often weights and activations come."""

    place: Any
    legal: Any
    weights: Any
    acts: Any


class ArrayEngine:
    """An array that takes second operands of one kind; see `sim.system.engine.Engine`.

    ``operand``: ``weights``, ``kv``, ``acts``, or ``scales``, which the core applies at full width.
    """

    mappings: tuple[str, ...] = ("both held", "weights stay", "activations stay", "sums stay")

    def __init__(self, array: Array, system: System, operand: str, tech: Tech, clk_period_ns: Num) -> None:
        self.array, self.system, self.operand = array, system, operand
        self.tech, self.period = tech, clk_period_ns
        self.arrays: Arrays = array.arrays
        self.memory: OffChip = system.memory

    @cached_property
    def _bits(self) -> tuple[Any, Any, Any, Any, Any]:
        """Of the second operand in memory and its share of scales, of activations, and of what computing sees of
        both.
        """
        a, one = self.arrays, self.array
        acts, side = a.real(one.act_bits), a.real(one.side_bits if self.system.metadata else 0)
        if self.operand == "scales":
            # At full width, and of what is there already.
            whole = a.larger(a.real(one.weight_parts), a.real(one.act_parts))
            return 0 * acts, 0 * acts, 0 * acts, whole, whole
        if self.operand == "weights":
            weights = a.real(one.weight_bits)
            return weights, side, acts, weights, acts
        kv = a.real(one.kv_bits)
        kv = a.where(kv > 0, kv, acts)
        return kv, 0 * kv, acts, a.real(one.weight_bits) if self.system.kv_steps == "weights" else kv, acts

    @property
    def near(self) -> ArrayEngine:
        """Itself."""
        return self

    @property
    def lanes(self) -> tuple[Num, Num]:
        """Tokens and outputs of a pass."""
        _, _, _, weights, acts = self._bits
        return self.array.token_lanes(acts), self.array.output_lanes(weights)

    def stored_bits(self) -> tuple[Num, Num]:
        """Bits of a weight in memory, and its share of scales and the like."""
        return self._bits[0], self._bits[1]

    def _moved(self, m: Any, n: Any, k: Any, row: Any) -> dict[str, Any]:
        """Bytes of each operand once, rows in whole bytes."""
        a = self.arrays
        weights, side, acts, _, _ = self._bits
        codes = a.ceil(a.real(k) * weights / 8) * n
        scaled = a.ceil(a.real(k) * (weights + side) / 8) * n
        given = a.real(0 if self.operand == "scales" else self.array.result_bits)
        return {
            "weights": codes,
            "weight_sides": scaled - codes,
            "acts": a.ceil(a.real(row) * acts / 8) * m,
            "results": a.ceil(a.real(n) * given / 8) * m,
        }

    def _ways(self, m: Any, n: Any, once: Mapping[str, Any], copies: tuple[Any, Any]) -> tuple[Any, list[_Way]]:
        """Whether a buffer holds its operand, and the ways where none does; ``copies``: of weights and of activations
        that pass the memory for cores that share one of them.
        """
        a, one = self.arrays, self.array
        weights, acts = once["weights"] + once["weight_sides"], once["acts"]
        room_w, room_a = a.whole(one.weight_bytes), a.whole(one.act_bytes)
        # Beside activations lie the sums of the outputs that are worked on.
        beside = acts + a.ceil(a.real(m * a.smaller(n, self.lanes[1] + 0 * n)) * a.real(one.sum_bits) / 8)
        held = (room_w == 0) | (weights <= room_w) | (room_a == 0) | (beside <= room_a)
        parts_w, parts_a = (
            a.ceil_div(size, a.larger(room, a.whole(1))) for size, room in ((weights, room_w), (beside, room_a))
        )
        once_only, always = 0 * parts_w + 1, held | ~held
        ways = [_Way(1, always, once_only, parts_w), _Way(2, always, parts_a, 0 * parts_a + 1)]
        if bool(a.xp.any(a.real(one.sum_bits) > 0)):
            found = [self._sums(m, n, parts) for parts in (*_TOKEN_PARTS, m)]
            costs = [a.real(weights * copies[0] * way.weights + acts * copies[1] * way.acts) for way in found]
            best, least = found[0], a.where(found[0].legal, costs[0], a.real(math.inf) + 0 * costs[0])
            for way, cost in zip(found[1:], costs[1:], strict=True):
                take = way.legal & (cost < least)
                least = a.where(take, cost, least)
                times = (a.where(take, way.weights, best.weights), a.where(take, way.acts, best.acts))
                best = _Way(3, best.legal | way.legal, *times)
            ways.append(best)
        return held, ways

    def _sums(self, m: Any, n: Any, parts: Any) -> _Way:
        """Sums of a part of the tokens stay for as many outputs as there is room for, beside the activations of a pass:
        weights come again for each part of the tokens, activations for each part of the outputs.
        """
        a, one = self.arrays, self.array
        tokens = a.ceil_div(m, parts)
        passing = a.ceil(a.real(tokens * self.array.inner_lanes()) * self._bits[2] / 8)
        each = a.real(tokens) * a.real(one.sum_bits) / 8
        outputs = a.floor(a.real(a.whole(one.act_bytes) - passing) / a.where(each > 0, each, 0 * each + 1))
        legal = (a.real(one.sum_bits) > 0) & (outputs >= 1)
        outputs = a.larger(a.smaller(outputs, n + 0 * outputs), 0 * outputs + 1)
        return _Way(3, legal, a.ceil_div(m, tokens) + 0 * outputs, a.ceil_div(n, outputs))

    def _copies(self, active: Any, alike: Sequence[str]) -> tuple[Any, Any]:
        """How often weights and activations pass for the cores of a product, over the other one, which all read."""
        a = self.arrays
        one = a.whole(1)
        return (a.whole(active) if "acts" in alike else one), (a.whole(active) if "weights" in alike else one)

    def _cycles(self, computing: Any, sizes: Mapping[str, Any], active: Any, alike: Sequence[str]) -> Any:
        """The slower one of computing and of what passes the memory for a core."""
        a = self.arrays
        if not self.memory.waits:
            return computing
        active = a.real(active)
        # What all read alike passes once for all of them.
        each = sum((value for name, value in sizes.items() if name not in alike), start=a.whole(0))
        shared = sum((value for name, value in sizes.items() if name in alike), start=a.whole(0))
        rate = self.memory.bytes_per_cycle(self.period)
        time = (a.real(each) * active + a.real(shared)) * (1 / rate)
        return a.larger(computing, a.ceil(time) if self.memory.rounding == "up" else a.floor(time))

    def _asked(self, m: Any, n: Any, k: Any, row: Any) -> tuple[Any, Any, Any, dict[str, Any], Any]:
        """Sizes as counts, bytes of operands once, cycles of computing."""
        a, one = self.arrays, self.array
        m, n, k = (a.whole(size) for size in (m, n, k))
        if one.tile is not None:
            _check(one, m, n, k)
        return m, n, k, self._moved(m, n, k, a.whole(row)), one.cycles(m, n, k, self._bits[3], self._bits[4])

    def best(self, m: Any, n: Any, k: Any, row: Any, active: Any, alike: Sequence[str] = ()) -> Table:
        """See `sim.system.engine.Engine`; computing takes the same by any mapping, so that fewest bytes are best."""
        a = self.arrays
        m, n, k, once, computing = self._asked(m, n, k, row)
        copies = self._copies(active, alike)
        held, ways = self._ways(m, n, once, copies)
        stays, goes = a.whole(1), a.whole(1)
        mapping = a.whole([[0]])
        if not bool(a.xp.all(held)):
            acts, weights = once["acts"] * copies[1], (once["weights"] + once["weight_sides"]) * copies[0]
            best = ways[0]
            for way in ways[1:]:
                fewer = weights * way.weights + acts * way.acts < weights * best.weights + acts * best.acts
                best = _Way(*(a.where(way.legal & fewer, x, y) for x, y in zip(way, best, strict=True)))
            stays, goes = a.where(held, stays, best.weights), a.where(held, goes, best.acts)
            mapping = a.where(held, 0 * best.place, best.place)
        sizes = {
            "weights": once["weights"] * stays,
            "weight_sides": once["weight_sides"] * stays,
            "acts": once["acts"] * goes,
            "results": once["results"],
        }
        cycles = self._cycles(computing, sizes, active, alike)
        table: Table = {f"bytes_{name}": sizes.get(name, a.whole([[0]])) for name in BYTES}
        table |= {"cycles": cycles, "work": computing, "mapping": mapping, "certain": a.whole([[0]]) == 1}
        table["bound"] = a.where(cycles > computing, a.whole(_CHANNEL), a.whole(_COMPUTE))
        table |= {"size_m": m, "size_n": n, "size_k": k}
        return table | shared_waits(a, cycles - computing, table)

    def each(
        self, m: Any, n: Any, k: Any, row: Any, active: Any, alike: Sequence[str] = ()
    ) -> Iterator[tuple[int, Any, Any, Any]]:
        """See `sim.system.engine.Engine`."""
        m, n, k, once, computing = self._asked(m, n, k, row)
        held, ways = self._ways(m, n, once, self._copies(active, alike))
        for way in (_Way(0, held, 1, 1), *ways):
            sizes = dict(once)
            sizes |= {name: once[name] * way.weights for name in ("weights", "weight_sides")}
            sizes["acts"] = once["acts"] * way.acts
            cycles = self._cycles(computing, sizes, active, alike)
            legal = way.legal if way.place == 0 else ~held & way.legal
            yield way.place, legal | (0 * cycles == 1), cycles, sum(sizes.values()) + 0 * cycles

    @cached_property
    def _structure(self) -> Structure | None:
        tile = self.array.tile
        return None if tile is None else self.tech.structure(type(tile), tile.p, self.period)

    def energy(self, table: Table) -> Mapping[str, Num]:
        """See `sim.system.engine.Engine`."""
        a, one = self.arrays, self.array
        if one.tile is not None:
            sizes = (table["size_m"], table["size_n"], table["size_k"])
            tile, structure = one.tile, self._structure
            assert structure is not None
            costs = layer_costs(type(tile), tile.p, structure, *sizes, self.tech, self.period)
            # The layer's own energy, and what goes on while it waits.
            wait, idle = table["cycles"] - table["work"], self.idle_pj()
            found = {f"tile_{name}": value for name, value in costs.energy_pj.items()}
            return {name: value + wait * idle.get(name, 0.0) for name, value in found.items()}
        return {"tile": a.real(table["work"]) * a.real(one.elements) * a.real(one.element_pj)}

    def idle_pj(self) -> Mapping[str, Num]:
        """See `sim.system.engine.Engine`."""
        structure = self._structure
        if structure is None:
            return {}
        leaking = PJ_PER_UW_NS * self.period
        return {
            f"tile_{name}": structure.clock_pj.get(name, 0.0) + structure.leakage_uw.get(name, 0.0) * leaking
            for name in structure.area_um2
        }

    def area_um2(self) -> Mapping[str, Num]:
        """See `sim.system.engine.Engine`."""
        if self._structure is not None:
            return {f"tile_{name}": value for name, value in self._structure.area_um2.items()}
        area = self.arrays.real(self.array.elements) * self.arrays.real(self.array.element_um2)
        return {"tile": area}


def _check(array: Array, m: Any, n: Any, k: Any) -> None:
    """Raise `HwgenError` for products that the tile does not take."""
    if array.tile is None:
        raise HwgenError("array: has no tile")
    for sizes in {tuple(int(one) for one in row) for row in zip(*(x.reshape(-1) for x in (m, n, k)), strict=True)}:
        Schedule(array.tile, Layer("product", *sizes))
