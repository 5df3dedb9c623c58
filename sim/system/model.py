"""A phase of a workload on a system: every product by its best mapping, summed over the parts of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.system.array import Array
from sim.system.array_engine import ArrayEngine
from sim.system.arrays import Arrays
from sim.system.design_engine import DesignEngine, Progress
from sim.system.engine import BYTES, WAITS, Engine, Num, Table
from sim.system.products import Part, Product
from sim.system.share import Sizes, best_shares
from sim.system.system import System
from sim.system.variant import variant
from sim.system.vector import vector_elements, vector_operations
from sim.workload import Workload

__all__ = ["Key", "PartCosts", "engine_for", "part_costs", "product_energy", "sizes_of", "vector_work"]

Key = tuple[str, str]
"""A kind of second operand, and its format."""


@dataclass(frozen=True)
class PartCosts:
    """What a part takes; arrays [designs], ``table`` those of its products [products, designs]."""

    part: Part
    cycles: Num
    work: Num
    waits: Mapping[str, Num]
    bytes: Mapping[str, Num]
    energy_pj: Mapping[str, Num]
    certain: Num
    table: Table
    products: tuple[Product, ...]
    engine: Engine


def engine_for(
    system: System,
    operand: str,
    form: str,
    tech: Any,
    clk_period_ns: float,
    progress: Progress = lambda done, of: None,
) -> Engine:
    """The core for second operands of a kind; ``progress`` is told products that the exact model walks.

    Raises `HwgenError` for a format that it cannot take.
    """
    if isinstance(system.core, Array):
        return ArrayEngine(system.core, system, operand, tech, clk_period_ns)
    found = variant(system.core, form)
    tile = found.design.tile
    return DesignEngine(
        type(tile),
        tile.p,
        found.design.p,
        tech=tech,
        clk_period_ns=clk_period_ns,
        latency=system.memory_latency,
        order=system.order,
        bytes_per_cycle=system.memory.bytes_per_cycle(clk_period_ns),
        passes=found.passes,
        exact=system.timing == "exact",
        made=found.design,
        progress=progress,
    )


def sizes_of(a: Arrays, products: Sequence[Product]) -> Sizes:
    """Products as arrays [products, 1]."""
    names = ("m", "n", "k", "row", "copies")
    return Sizes(**{name: a.whole([[getattr(one, name)] for one in products]) for name in names})


def part_costs(parts: Sequence[Part], engines: Mapping[Key, Engine], system: System) -> list[PartCosts]:
    """Costs of parts, products that several of them have evaluated once."""
    products: dict[Key, dict[Product, int]] = {}
    for part in parts:
        known = products.setdefault((part.operand, part.form), {})
        for product in part.times:
            known.setdefault(product, len(known))
    tables: dict[Key, tuple[Table, Mapping[str, Num]]] = {}
    for key, known in products.items():
        engine = engines[key]
        table = best_shares(
            engine.arrays, engine, sizes_of(engine.arrays, list(known)), system.cores, system.split, system.multicast
        )
        tables[key] = table, product_energy(engine, table, system)
    found = []
    for part in parts:
        key = part.operand, part.form
        (table, energy), known, engine = tables[key], products[key], engines[key]
        places = [known[product] for product in part.times]
        found.append(_part(engine, part, table, energy, places))
    return found


def product_energy(engine: Engine, table: Table, system: System) -> Mapping[str, Num]:
    """Energy of each product with all its copies by block, memory outside the chip included where it is counted."""
    a = engine.arrays
    found: dict[str, Num] = {}
    for name in ("big", "small"):
        if not bool(a.xp.any(table[f"runs_{name}"] > 0)):
            continue
        own = {key.removeprefix(f"{name}_"): value for key, value in table.items() if key.startswith(f"{name}_")}
        runs = a.real(table[f"runs_{name}"])
        for block, value in engine.energy(own).items():
            found[block] = found.get(block, 0.0) + runs * value
    if bool(a.xp.any(table["idle"] > 0)):
        idle = a.real(table["idle"])
        for block, value in engine.idle_pj().items():
            found[block] = found.get(block, 0.0) + idle * value
    if system.memory.pj_per_bit is not None:
        moved = sum(table[f"bytes_{name}"] for name in BYTES)
        found["dram"] = a.real(moved) * 8 * system.memory.pj_per_bit
    return found


_SUMMED = (
    *("cycles", "work", "certain", "bound", "split", "mapping"),
    *(f"wait_{name}" for name in WAITS),
    *(f"bytes_{name}" for name in BYTES),
)
"""What of tables parts are made of."""


def _part(engine: Engine, part: Part, table: Table, energy: Mapping[str, Num], places: list[int]) -> PartCosts:
    a = engine.arrays
    index, times = a.whole(places), a.whole([[count] for count in part.times.values()])

    def rows(value: Any) -> Any:
        """Of the part's products; what is the same for all has one row."""
        return value if value.shape[0] == 1 else value[index]

    own = {name: rows(table[name]) for name in _SUMMED}

    def total(value: Any) -> Any:
        return times[0] * value[0] if len(places) == 1 else a.xp.sum(times * value, axis=0)

    return PartCosts(
        part=part,
        cycles=total(own["cycles"]),
        work=total(own["work"]),
        waits={name: total(own[f"wait_{name}"]) for name in WAITS},
        bytes={name: total(own[f"bytes_{name}"]) for name in BYTES},
        energy_pj={name: total(rows(value)) for name, value in energy.items()},
        certain=a.xp.all(own["certain"], axis=0),
        table=own,
        products=tuple(part.times),
        engine=engine,
    )


def vector_work(system: System, workload: Workload, parts: Sequence[Part]) -> dict[tuple[str, str], int]:
    """Operations of vector units by part of the phase and kind; none without a vector unit."""
    if not system.vector_lanes:
        return {}
    found = vector_operations(vector_elements(workload, parts))
    outputs, keys, group = _scopes(system)
    for part in parts:
        if part.operand == "scales":
            continue
        kinds = {"tables": 0, "dequant": 0}
        for product, count in part.times.items():
            m, n, k, times = product.m, product.n, product.k, count * product.copies
            if system.tables != "tile" and keys:
                uses = -(-n // outputs) if system.tables == "naive" else 1
                kinds["tables"] += times * m * -(-k // keys) * (1 << (keys - 1)) * uses
            if part.operand == "weights" and system.dequant == "vector_before":
                kinds["dequant"] += times * n * k
            if part.operand == "weights" and system.dequant == "vector_after":
                kinds["dequant"] += times * m * n * -(-k // (group or k))
        for kind, count in kinds.items():
            if count:
                found[part.part, kind] = found.get((part.part, kind), 0) + count
    return found


def _scopes(system: System) -> tuple[int, int, int]:
    """Outputs of a pass, activations of a table (0: there is none), elements of a scale; of one design."""
    core = system.core
    if isinstance(core, Array):
        columns = int(core.output_lanes(core.weight_bits))
        return columns, int(core.table_group), int(core.group)
    tile = core.tile
    keys = int(tile.p["k"]) if tile.family == "lut" else 0
    return tile.n, keys, int(tile.group)
