"""Many systems at once: arrays over designs, in numpy or, for an `Array`, in torch, on any device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.accelerator import Design
from hwgen.accelerator.compiled import cores as kernel_cores
from hwgen.accelerator.points import Points
from hwgen.errors import HwgenError
from sim.system.array import Array
from sim.system.design_engine import DesignEngine
from sim.system.designs_engine import DesignsEngine, Priced
from sim.system.engine import BYTES, WAITS, Engine, Num
from sim.system.model import Key, engine_for, product_energy, sizes_of
from sim.system.products import Part, Product, parts_of
from sim.system.share import best_shares
from sim.system.system import System
from sim.system.variant import rings_in_mode, variant
from sim.tech import load
from sim.workload import Phase, Rule, Workload

__all__ = ["estimate_arrays"]

P = Mapping[str, Any]


def estimate_arrays(
    system: System,
    workload: Workload,
    phase: Phase,
    p: P | None = None,
    d: P | None = None,
    rules: Sequence[Rule] = (),
    cores: Num | None = None,
) -> dict[str, Any]:
    """Columns over designs: what `estimate_system` gives of each, vector units left out.

    Parameters
    ----------
    system: with a clock period. An `Array` has arrays for its numbers, all of one kind; a `Design` is the one that
        ``p`` and ``d`` change. p, d: parameters of tiles and of what is around them by name, scalars or numpy arrays;
        they must be legal together, which sweeps ask first (`hwgen.accelerator.Design.constraints`). cores: scalar or
        array in place of the system's.

    Returns ``cycles``, ``cycles_exact``, ``work_cycles``, ``wait_WHAT_cycles``, ``STREAM_bytes``, ``energy_pj``,
    ``area_um2``, ``tokens_per_s`` and ``joules_per_token``, each [designs]. Raises `HwgenError` without a clock period,
    with an exact cycle model or a vector unit, and as `estimate_system` does.
    """
    period = system.clk_period_ns
    if period is None:
        raise HwgenError("system: clk_period_ns must be given for many designs; try 4.0")
    if system.timing != "closed":
        raise HwgenError(f"system: timing must be closed for many designs, not {system.timing}")
    if system.vector_lanes:
        raise HwgenError(f"system: vector_lanes must be 0 for many designs, not {system.vector_lanes}")
    if isinstance(system.core, Array) and (p or d):
        raise HwgenError("system: parameters of many designs must be arrays in the array itself")
    system = replace(system, tech=load(system.tech) if isinstance(system.tech, str) else system.tech)
    core = system.core
    group = core.tile.group if isinstance(core, Design) else core.group
    parts = parts_of(workload, phase, system, rules, int(group) if not hasattr(group, "shape") else 128)
    asked = _Asked(system, phase, parts, p or {}, d or {}, cores)
    pieces = asked.pieces()
    if len(pieces) == 1:
        return asked.columns(pieces[0])
    with ThreadPoolExecutor(kernel_cores()) as pool:
        return _joined(pool.map(asked.columns, pieces), asked.count)


_AT_ONCE = 1 << 14
"""Designs of which products are worked out at once: their tables stay in the caches."""
_PRICED = 1 << 18
"""Designs that are priced at once, at most: what is worked out once for them takes little of the time."""
_LEAST = 1 << 14
"""Designs that are worth a thread; and those that are priced at once where they have little in common."""


def _joined(found: Iterable[dict[str, Any]], count: int) -> dict[str, Any]:
    """Columns of pieces, one after the other."""
    whole: dict[str, np.ndarray] = {}
    begin = 0
    for columns in found:
        end = begin + len(columns["cycles"])
        assert end <= count
        for name, value in columns.items():
            whole.setdefault(name, np.empty(count, value.dtype))[begin:end] = value
        begin = end
    assert begin == count
    return whole


@dataclass(frozen=True)
class _Asked:
    """What `estimate_arrays` is asked, and the products."""

    system: System
    phase: Phase
    parts: Sequence[Part]
    p: P
    d: P
    cores: Num | None

    @cached_property
    def _varied(self) -> list[Any]:
        core = self.system.core
        of_core = [getattr(core, one.name) for one in fields(core)] if isinstance(core, Array) else []
        values = [*of_core, *self.p.values(), *self.d.values(), self.cores]
        return [value for value in values if getattr(value, "ndim", 0)]

    @cached_property
    def count(self) -> int:
        """Designs."""
        return max((len(value) for value in self._varied), default=1)

    def pieces(self) -> list[slice]:
        """Designs that are worked out one after the other, or side by side. Tensors are one piece: they lie on devices
        that have room for many.
        """
        if not all(isinstance(value, np.ndarray) for value in self._varied) or self.count <= _LEAST:
            return [slice(0, self.count)]
        size = min(max(-(-self.count // kernel_cores()), _LEAST), _PRICED)
        return [slice(begin, min(begin + size, self.count)) for begin in range(0, self.count, size)]

    def _of(self, which: slice) -> _Asked:
        """Of some designs."""
        core = self.system.core
        if isinstance(core, Array):
            core = replace(core, **{one.name: _some(getattr(core, one.name), which) for one in fields(core)})
        p, d = ({name: _some(value, which) for name, value in of.items()} for of in (self.p, self.d))
        return replace(self, system=replace(self.system, core=core), p=p, d=d, cores=_some(self.cores, which))

    def columns(self, which: slice) -> dict[str, Any]:
        """Columns of some designs."""
        asked = self if which == slice(0, self.count) else self._of(which)
        if not all(isinstance(value, np.ndarray) for value in asked._varied) or asked.count == 1:
            return asked._columns({key: asked._engine(key) for key in asked._keys})
        priced: dict[Key, Priced] = {}
        if isinstance(asked.system.core, Design):
            engines = {key: asked._engine(key) for key in asked._keys}
            meshes = _meshes(engines)
            if asked.count > _LEAST and any(points.alone for points, _, _ in meshes.values()):
                # Priced each for itself: no more of them at once than there is room for.
                pieces = [slice(at, min(at + _LEAST, asked.count)) for at in range(0, asked.count, _LEAST)]
                return _joined(map(asked.columns, pieces), asked.count)
            first = {id(mesh): key for key, mesh in reversed(meshes.items())}
            known = {place: Priced.of(engines[key], *meshes[key]) for place, key in first.items()}
            priced = {key: known[id(mesh)] for key, mesh in meshes.items()}
        found = []
        for begin in range(0, asked.count, _AT_ONCE):
            some = slice(begin, min(begin + _AT_ONCE, asked.count))
            own = asked._of(some)
            if priced:
                found.append(own._columns({key: DesignsEngine(engines[key], priced[key], some) for key in priced}))
            else:
                found.append(own._columns({key: own._engine(key) for key in own._keys}))
        return _joined(found, asked.count)

    @property
    def _keys(self) -> list[Key]:
        return list(dict.fromkeys((part.operand, part.form) for part in self.parts))

    def _engine(self, key: Key) -> Any:
        system = self.system
        assert system.clk_period_ns is not None
        made = engine_for(system, *key, system.tech, system.clk_period_ns)
        if not isinstance(system.core, Design):
            return made
        assert isinstance(made, DesignEngine)
        tile, found = system.core.tile, variant(system.core, key[1])
        mode = {name: value for name, value in found.design.tile.p.items() if value != tile.p[name]}
        p, d = {**tile.p, **self.p}, {**system.core.p, **self.d}
        return made.over({**p, **mode}, {**d, **rings_in_mode(type(tile), p, {**p, **mode}, d)} if mode else d)

    def _columns(self, engines: Mapping[Key, Engine]) -> dict[str, Any]:
        system, cores = self.system, self.system.cores if self.cores is None else self.cores
        sums: dict[str, Any] = {}
        certain: Any = True
        for engine, times in zip(engines.values(), self._times(list(engines)), strict=True):
            a = engine.arrays
            table = best_shares(a, engine, sizes_of(a, list(times)), cores, system.split, system.multicast)
            energy = product_energy(engine, table, system)
            number = a.whole([[count] for count in times.values()])
            blocks = list(energy.values())
            named = {**{name: table[name] for name in _SUMMED}, "energy_pj": sum(blocks[1:], start=blocks[0])}
            for name, value in named.items():
                own = a.xp.sum(number * value, axis=0)
                sums[name] = sums[name] + own if name in sums else own
            certain = a.xp.all(table["certain"], axis=0) & certain
        return self._named(sums, certain, next(iter(engines.values())))

    def _times(self, keys: Sequence[Key]) -> Iterator[dict[Product, int]]:
        """By key how often each product is done, in all parts."""
        for key in keys:
            times: dict[Product, int] = {}
            for part in self.parts:
                if (part.operand, part.form) == key:
                    for product, count in part.times.items():
                        times[product] = times.get(product, 0) + count
            yield times

    def _named(self, sums: Mapping[str, Any], certain: Any, engine: Engine) -> dict[str, Any]:
        number = self.system.cores if self.cores is None else self.cores
        area = list(engine.area_um2().values())
        stretch, period = self.phase.stretches[-1], self.system.clk_period_ns
        assert period is not None
        tokens = stretch.new * stretch.batch * stretch.steps
        seconds = engine.arrays.real(sums["cycles"]) * (period * 1e-9)
        columns = {
            "cycles": sums["cycles"],
            "cycles_exact": certain,
            "work_cycles": sums["work"],
            **{f"wait_{name}_cycles": sums[f"wait_{name}"] for name in WAITS},
            **{f"{name}_bytes": sums[f"bytes_{name}"] for name in BYTES},
            "energy_pj": sums["energy_pj"],
            "area_um2": number * sum(area[1:], start=area[0]),
            "tokens_per_s": tokens / seconds,
            "joules_per_token": sums["energy_pj"] * (1e-12 / tokens),
        }
        # Buffers of many sizes change bytes alone where nothing waits for them, or nothing at all.
        shapes = [tuple(getattr(value, "shape", ())) for value in columns.values()]
        whole = np.broadcast_shapes(*shapes, (self.count,) if self.count > 1 else ())
        xp = engine.arrays.xp
        return {name: xp.broadcast_to(value, whole) for name, value in columns.items()}


_Mesh = tuple[Points, P, P]


def _meshes(engines: Mapping[Key, DesignEngine]) -> dict[Key, _Mesh]:
    """The mesh of each engine's designs; one for engines that their modes do not tell apart."""
    known: list[tuple[DesignEngine, _Mesh]] = []
    found = {}
    for key, engine in engines.items():
        same = [mesh for other, mesh in known if _alike(engine.p, other.p) and _alike(engine.d, other.d)]
        found[key] = same[0] if same else Points.of(engine.p, engine.d)
        known.append((engine, found[key]))
    return found


def _alike(values: P, others: P) -> bool:
    return all(value is others[name] for name, value in values.items())


_SUMMED = ("cycles", "work", *(f"wait_{name}" for name in WAITS), *(f"bytes_{name}" for name in BYTES))


def _some(value: Any, which: slice) -> Any:
    return value[which] if getattr(value, "ndim", 0) else value
