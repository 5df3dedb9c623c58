"""How cores share a product: who does how much of it, and what that takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from sim.system.arrays import Arrays
from sim.system.engine import BYTES, WAITS, Engine, Num, Table, merged
from sim.system.system import SPLITS

__all__ = ["Sizes", "best_shares", "every_share"]


_ALIKE = {"outputs": ("acts", "act_sides"), "tokens": ("weights", "weight_sides", "channels"), "copies": ()}
"""Streams that cores read alike by what they share."""


@dataclass(frozen=True)
class Sizes:
    """Products as arrays [products, 1]; ``copies`` do not depend on each other."""

    m: Any
    n: Any
    k: Any
    row: Any
    copies: Any


@dataclass(frozen=True)
class _Work:
    """``doing`` cores do ``rounds`` products of these sizes each, one after the other."""

    doing: Any
    rounds: Any
    m: Any
    n: Any


def _splits(
    a: Arrays, engine: Engine, sizes: Sizes, cores: Num, allowed: tuple[str, ...]
) -> Iterator[tuple[int, _Work, _Work]]:
    """By split the cores that do most, and those that do less, or nothing."""
    cores = a.whole(cores)
    for place, name in enumerate(SPLITS):
        if name not in allowed:
            continue
        tokens, outputs = (a.whole(one) for one in engine.lanes)
        if name == "copies":
            each, more = sizes.copies // cores, sizes.copies % cores
            big = a.where(more > 0, each + 1, each)
            yield (
                place,
                _Work(a.where(more > 0, more, cores), big, sizes.m, sizes.n),
                _Work(a.where(more > 0, cores - more, 0 * more), each, sizes.m, sizes.n),
            )
            continue
        whole, lanes = (sizes.n, outputs) if name == "outputs" else (sizes.m, tokens)
        blocks = a.ceil_div(whole, lanes)
        each, more = blocks // cores, blocks % cores
        # The last block may be a part of one; one core alone has all of it.
        big = a.smaller(a.where(more > 0, each + 1, each) * lanes, whole + 0 * blocks)
        small = a.larger(each, each * 0 + 1) * lanes
        small = a.smaller(small, whole + 0 * blocks)
        of_big = a.where(more > 0, more, cores + 0 * more)
        of_small = a.where((more > 0) & (each > 0), cores - more, 0 * more)
        parts = []
        for doing, size in ((of_big, big), (of_small, small)):
            m, n = (sizes.m, size) if name == "outputs" else (size, sizes.n)
            parts.append(_Work(doing, sizes.copies, m, n))
        yield place, parts[0], parts[1]


def _active(a: Arrays, big: _Work, small: _Work) -> Any:
    """Cores that have something to do."""
    return big.doing + a.where(small.rounds > 0, small.doing, 0 * small.doing)


def _shared(
    a: Arrays, engine: Engine, sizes: Sizes, place: int, big: _Work, small: _Work, cores: Num, multicast: bool
) -> Table:
    """What a split takes: of the chip ``time``, bytes and idle cycles of cores; ``big_`` and ``small_`` tables."""
    active = _active(a, big, small)
    same = _ALIKE[SPLITS[place]] if multicast else ()
    first = engine.best(big.m, big.n, sizes.k, sizes.row, active, same)
    idle = bool(a.xp.all(small.doing == 0))
    alike = idle or place == SPLITS.index("copies")
    other = first if alike else engine.best(small.m, small.n, sizes.k, sizes.row, active, same)
    none = 0 * first["cycles"]
    table: Table = {"split": none + place}
    runs = {"big": none + big.doing * big.rounds, "small": none + small.doing * small.rounds}
    time = a.larger(none + big.rounds * first["cycles"], none + small.rounds * other["cycles"])
    table["cycles"] = time
    busy = runs["big"] * first["cycles"] + runs["small"] * other["cycles"]
    table["idle"] = time * a.whole(cores) - busy
    for name in BYTES:
        key = f"bytes_{name}"
        every = runs["big"] * first[key] + runs["small"] * other[key]
        table[key] = none + big.rounds * first[key] if name in same else every
    for name in ("work", *(f"wait_{one}" for one in WAITS)):
        table[name] = big.rounds * first[name] + none
    table |= {"bound": first["bound"] + none, "mapping": first["mapping"] + none}
    table["certain"] = first["certain"] & (other["certain"] | (runs["small"] == 0))
    table |= {f"runs_{name}": value for name, value in runs.items()}
    table |= {f"big_{name}": value for name, value in first.items()}
    table |= {f"small_{name}": value for name, value in other.items()}
    return table


def _alone(a: Arrays, engine: Engine, sizes: Sizes) -> Table:
    """The same of one core, which does all copies one after the other; without a ``small_`` table."""
    first = engine.best(sizes.m, sizes.n, sizes.k, sizes.row, a.whole([[1]]))
    once = bool(a.xp.all(sizes.copies == 1))
    none = a.whole([[0]])
    table: Table = {"split": none, "idle": none, "runs_big": sizes.copies, "runs_small": none}
    for name in ("cycles", "work", *(f"wait_{one}" for one in WAITS), *(f"bytes_{one}" for one in BYTES)):
        table[name] = first[name] if once else sizes.copies * first[name]
    table |= {name: first[name] for name in ("bound", "mapping", "certain")}
    return table | {f"big_{name}": value for name, value in first.items()}


def _allowed(split: str, cores: Num) -> tuple[str, ...]:
    """Splits to try; one core has nothing to share."""
    if isinstance(cores, int) and cores == 1:
        return SPLITS[:1]
    return SPLITS if split == "best" else (split,)


def best_shares(a: Arrays, engine: Engine, sizes: Sizes, cores: Num, split: str, multicast: bool = False) -> Table:
    """Of every product the split that takes the least time, of those the one that moves the fewest bytes.

    Arrays [products, designs]: ``cycles`` of all copies, ``idle`` cycles of cores together, ``bytes_STREAM`` of all
    cores, ``work`` and ``wait_…`` of a core that does most; ``runs_big`` and ``runs_small`` products of the tables
    ``big_…`` and ``small_…``.
    """
    if isinstance(cores, int) and cores == 1:
        return _alone(a, engine, sizes)
    found: Table | None = None
    near = engine.near
    for place, big, small in _splits(a, near, sizes, cores, _allowed(split, cores)):
        table = _shared(a, near, sizes, place, big, small, cores, multicast)
        if found is None:
            found = table
            continue
        same = table["cycles"] == found["cycles"]
        fewer = sum(table[f"bytes_{name}"] for name in BYTES) < sum(found[f"bytes_{name}"] for name in BYTES)
        found = merged(a, (table["cycles"] < found["cycles"]) | (same & fewer), table, found)
    assert found is not None
    return found if near is engine else _walked(a, engine, sizes, cores, multicast, found)


def _walked(a: Arrays, engine: Engine, sizes: Sizes, cores: Num, multicast: bool, near: Table) -> Table:
    """Each product by the split that was chosen, of one design."""
    found = dict(near)
    for place, name in enumerate(SPLITS):
        rows = [row for row, chosen in enumerate(near["split"][:, 0].tolist()) if chosen == place]
        if not rows:
            continue
        index = a.whole(rows)
        own = Sizes(**{one.name: getattr(sizes, one.name)[index] for one in fields(Sizes)})
        ((_, big, small),) = _splits(a, engine, own, cores, (name,))
        table = _shared(a, engine, own, place, big, small, cores, multicast)
        for key, value in table.items():
            if found[key] is near[key]:
                found[key] = a.xp.asarray(near[key], copy=True)
            found[key][index] = value
    return found


def every_share(
    a: Arrays, engine: Engine, sizes: Sizes, cores: Num, split: str, multicast: bool = False
) -> list[tuple[str, str, Any, Any, Any]]:
    """Every split and mapping: their names, where they are legal, cycles and bytes of a core that does most."""
    found = []
    for place, big, small in _splits(a, engine, sizes, cores, _allowed(split, cores)):
        active = _active(a, big, small)
        same = _ALIKE[SPLITS[place]] if multicast else ()
        for mapping, legal, cycles, moved in engine.each(big.m, big.n, sizes.k, sizes.row, active, same):
            found.append((SPLITS[place], engine.mappings[mapping], legal, big.rounds * cycles, big.rounds * moved))
    return found
