"""How cores share products: every core by itself, against the sums of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.accelerator import Design
from hwgen.pe import family
from sim.system import Array, OffChip, System
from sim.system.estimate import engine_for, sizes_of
from sim.system.products import Product
from sim.system.share import best_shares, every_share
from sim.system.system import SPLITS
from sim.tech import load

MEMORY = OffChip("memory", 8.0, 2.0)
TILE = family("int").from_values({"m": 2, "n": 4, "k": 4, "bits": 4, "group": 16})
CORES = (
    Array(rows=2, columns=4, depth=4, weight_bytes=300, act_bytes=200),
    Design(tile=TILE, weight_ring=32, act_ring=64),
)


def engine(core: Any, **about: Any) -> Any:
    system = System(core=core, off_chip=MEMORY, clk_period_ns=4.0, **about)
    return engine_for(system, "weights", "", load("sky130hd"), 4.0)


def shares(product: Product, core: Any, cores: int, split: str) -> list[tuple[int, int, int]]:
    """(rounds, m, n) of every core, dealt block by block."""
    if split == "copies":
        counts = [len(range(core_index, product.copies, cores)) for core_index in range(cores)]
        return [(count, product.m, product.n) for count in counts if count]
    lanes, whole = (4, product.n) if split == "outputs" else (2, product.m)
    blocks = [len(range(core_index, -(-whole // lanes), cores)) for core_index in range(cores)]
    sizes = [min(count * lanes, whole) for count in blocks if count]
    return [(product.copies, *((product.m, size) if split == "outputs" else (size, product.n))) for size in sizes]


@pytest.mark.few(9)
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("cores", [1, 3, 5])
@pytest.mark.parametrize("place", [0, 1], ids=["array", "design"])
def test_sums_are_those_of_all_cores(place: int, cores: int, split: str) -> None:
    core = CORES[place]
    own = engine(core)
    a = own.arrays
    for product in (Product(9, 22, 40, 40, 7, "weights"), Product(1, 3, 16, 16, 2, "weights")):
        table = best_shares(a, own, sizes_of(a, [product]), cores, split)
        dealt = shares(product, core, cores, split)
        time, moved, energy = 0, 0, 0.0
        busy = 0
        for rounds, m, n in dealt:
            sizes = sizes_of(a, [Product(m, n, product.k, product.k, 1, "weights")])
            alone = own.best(sizes.m, sizes.n, sizes.k, sizes.row, len(dealt))
            cycles = rounds * int(alone["cycles"][0, 0])
            time, busy = max(time, cycles), busy + cycles
            moved += rounds * sum(int(value[0, 0]) for key, value in alone.items() if key.startswith("bytes_"))
            energy += rounds * sum(float(np.ravel(value)[0]) for value in own.energy(alone).values())
        assert int(table["cycles"][0, 0]) == time
        assert sum(int(value[0, 0]) for key, value in table.items() if key.startswith("bytes_")) == moved
        assert int(table["idle"][0, 0]) == cores * time - busy
        runs = {name: float(table[f"runs_{name}"][0, 0]) for name in ("big", "small")}
        found = 0.0
        for name in [name for name, count in runs.items() if count]:
            count = runs[name]
            part = {key.removeprefix(f"{name}_"): value for key, value in table.items() if key.startswith(f"{name}_")}
            found += count * sum(float(np.ravel(value)[0]) for value in own.energy(part).values())
        assert found == pytest.approx(energy)


@pytest.mark.parametrize("place", [0, 1], ids=["array", "design"])
def test_the_best_is_the_best_of_all_that_are_listed(place: int) -> None:
    own = engine(CORES[place])
    a = own.arrays
    products = [
        Product(9, 22, 40, 40, 7, "weights"),
        Product(1, 64, 16, 16, 2, "weights"),
        Product(30, 4, 8, 8, 1, "weights"),
    ]
    table = best_shares(a, own, sizes_of(a, products), 3, "best")
    for row in range(len(products)):
        listed = [
            (int(cycles[row, 0]), split, mapping)
            for split, mapping, legal, cycles, _ in every_share(a, own, sizes_of(a, products), 3, "best")
            if legal[row, 0]
        ]
        assert len({split for _, split, _ in listed}) == len(SPLITS)
        best = min(listed)[0]
        assert int(table["cycles"][row, 0]) == best
        chosen = (best, SPLITS[int(table["split"][row, 0])], own.mappings[int(table["mapping"][row, 0])])
        assert chosen in listed


def test_more_cores_take_no_longer_where_nothing_waits() -> None:
    own = engine_for(
        System(core=CORES[0], off_chip=OffChip("no limit", float("inf")), clk_period_ns=4.0),
        *("weights", "", load("sky130hd"), 4.0),
    )
    a = own.arrays
    sizes = sizes_of(a, [Product(16, 64, 32, 32, 6, "weights")])
    cycles = [int(best_shares(a, own, sizes, cores, "best")["cycles"][0, 0]) for cores in (1, 2, 3, 6, 12, 100)]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[1] * 2 == cycles[0]
    assert cycles[3] * 6 == cycles[0]
