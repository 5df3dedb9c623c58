"""What the blocks of an accelerator cost in a technology: measured on blocks, or scaled from a technology that was.

A table lies in ``tables`` under the technology's name, with its measurements beside it. It is apart from that of the
tiles (`sim.tech`), which it does not change.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.accelerator.inventory import KINDS, Geometry, kind_of
from hwgen.errors import HwgenError
from hwgen.frame.facts import Block
from hwgen.frame.numbers import Num, clog2, unsigned_bits, where
from sim.tables import read_toml
from sim.tech import CalibratedTech, PrimitiveTech, Tech, load
from sim.tech._calibrated import ANY
from sim.tech._model import Features, trend_value

__all__ = [
    "MEASURED",
    "TABLES",
    "AcceleratorTable",
    "block_numbers",
    "block_values",
    "features_of",
    "read_table",
    "switching_pj",
    "trend_over_tiles",
    "trust",
]

TABLES = Path(__file__).parent / "tables"
MEASURED = "sky130hd"
"""Technology on which accelerators were measured; others are scaled from it."""

COUNTS = ("ff", "add", "mux2", "and")
"""Primitives that tell blocks apart."""
_UNCUT = {"cuts": 0, "stages": 2, "loop": 1}
"""Numbers of a block whose logic no registers cut."""
_LIKE = "control"
"""Kind of a tile's blocks whose trend over all families is that of any block."""


@dataclass(frozen=True)
class AcceleratorTable:
    """Coefficients by kind of block and quantity; areas in µm², energies in pJ, leakage in µW, periods in ns.

    ``flattening`` is what one piece makes of the sum (or of the longest period) of its blocks, as a factor by quantity.
    """

    status: str
    designs: int
    trends: Mapping[str, Mapping[str, Mapping[str, float]]]
    flattening: Mapping[str, float]


@functools.cache
def read_table(name: str = MEASURED) -> AcceleratorTable:
    """The table of a technology. Raises `HwgenError` for one that has none or that lacks a kind of block."""
    path = TABLES / f"{name}.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        models = raw["models"]
        trends = {
            kind: {quantity: dict(fitted["trend"]) for quantity, fitted in models[kind].items()} for kind in KINDS
        }
        calibration = raw["calibration"]
        return AcceleratorTable(calibration["status"], int(calibration["designs"]), trends, dict(raw["flattening"]))
    except (OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError, tomllib.TOMLDecodeError) as error:
        raise HwgenError(
            f"accelerator table {path.name}: must be a readable TOML file with every kind of block, which fails at "
            f"{error}; write it again by python -m sim.accelerator.calibrate"
        ) from error


def features_of(primitives: Mapping[str, Num], numbers: Mapping[str, Num] | None = None) -> Features:
    """A block as regressions know it; ``numbers`` as `block_numbers` has them."""
    counts = {name: primitives.get(name, 0) for name in (*COUNTS, "xor", "mul")}
    return Features(counts, {**_UNCUT, **(numbers or {})}, {})


def block_numbers(geometry: Geometry, d: Mapping[str, Any]) -> dict[str, dict[str, Num]]:
    """By block the bits of what is counted, added and compared in it, along which its longest path goes."""
    shared = {"count_bits": d["count_bits"], "address_bits": d["address_bits"], "held_bits": 0, "length_bits": 0}
    burst, streams = unsigned_bits(d["burst"]), geometry.streams
    found: dict[str, dict[str, Num]] = {}
    for name, stream in streams.items():
        of_engine = {"held_bits": unsigned_bits(stream.capacity), "length_bits": unsigned_bits(stream.burst)}
        found[f"{name}_engine"] = {**shared, **of_engine}
        of_ring = {"held_bits": unsigned_bits(stream.depth), "length_bits": clog2(stream.words_per_entry)}
        found[f"{name}_ring"] = {**shared, **of_ring}
    there = sum((stream.there for stream in streams.values()), start=0)
    waiting = unsigned_bits(geometry.write_depth)
    for name, (depth, _) in geometry.queues.items():
        found[name] = {**shared, "held_bits": unsigned_bits(depth)}
    found["write_engine"] = {**shared, "held_bits": waiting, "length_bits": burst}
    found["write_buffer"] = {**shared, "held_bits": waiting}
    found["stream"] = {**shared, "held_bits": found["stream_result"]["held_bits"]}
    found["result_unit"] = {**dict.fromkeys(shared, 0), "held_bits": geometry.unit_bits}
    for name in ("glue", "control"):
        found[name] = {**shared, "held_bits": there}
    for name in ("weights_feeder", "acts_feeder", "packer", "registers"):
        found[name] = shared
    return found


def _has_table(tech: Tech) -> bool:
    return (TABLES / f"{tech.name}.toml").is_file()


def trust(tech: Tech) -> str:
    """What stands behind the prices of a technology."""
    if _has_table(tech):
        return f"measured on {read_table(tech.name).designs} accelerators"
    if isinstance(tech, CalibratedTech):
        return f"scaled from {MEASURED} by the trends over all tiles"
    return "assumed"


def trend_over_tiles(tech: CalibratedTech, quantity: str) -> Mapping[str, float]:
    """Trend over the blocks of all families of tiles, of the terms that blocks of an accelerator have as well."""
    fitted: Any = read_toml(tech.toml)["models"][ANY]["blocks"][_LIKE][quantity]
    found: Mapping[str, float] = {
        term: value
        for term, value in fitted["trend"].items()
        if term.removeprefix("path.").removeprefix("log.") in ("one", *COUNTS, "xor", "mul")
    }
    return found


def _scale(tech: CalibratedTech, quantity: str, features: Features) -> Num:
    """What a technology makes of a block of `MEASURED`, as a factor."""
    base = load(MEASURED)
    assert isinstance(base, CalibratedTech)
    own, of_base = (trend_value(trend_over_tiles(one, quantity), features) for one in (tech, base))
    return where(of_base > 0, own / where(of_base > 0, of_base, 1.0), 1.0)


def block_values(
    tech: Tech, quantity: str, blocks: Mapping[str, Block], numbers: Mapping[str, Mapping[str, Num]]
) -> dict[str, Num]:
    """A quantity of every block in a technology, 0 for one that is not there.

    ``quantity`` is ``area_um2``, ``min_clk_period_ns``, ``clock_pj`` or ``leakage_uw``; a table of published operations
    knows areas alone, and no number stands for what it does not know: its blocks are then missing. ``numbers`` as
    `block_numbers`.
    """
    found: dict[str, Num] = {}
    for name, block in blocks.items():
        if isinstance(tech, PrimitiveTech):
            if quantity == "area_um2":
                parts = block.primitives.items()
                area = sum((number * tech.area_ge(key) * tech.nand2_um2 for key, number in parts), start=0.0)
                found[name] = block.count * area
            continue
        features = features_of(block.primitives, numbers[name])
        there = (block.count > 0) & (sum(block.primitives.values(), start=0) > 0)
        table = read_table(tech.name if _has_table(tech) else MEASURED)
        value = trend_value(table.trends[kind_of(name)][quantity], features)
        if not _has_table(tech):
            assert isinstance(tech, CalibratedTech)
            value = value * _scale(tech, quantity, features)
        found[name] = where(there, value, 0.0)
    return found


def switching_pj(tech: Tech, terms: Mapping[str, Mapping[str, Num]], blocks: Mapping[str, Block]) -> dict[str, Num]:
    """Energy beside the clock of every block in a job in pJ; ``terms`` as `sim.accelerator.activity.switching_terms`.

    A table of published operations takes each bit that moves as a flip-flop that switches once.
    """
    found: dict[str, Num] = {}
    for name, own in terms.items():
        if isinstance(tech, PrimitiveTech):
            found[name] = blocks[name].count * sum(own.values(), start=0.0) * tech.energy_pj("ff")
            continue
        table = read_table(tech.name if _has_table(tech) else MEASURED)
        coefficients = table.trends[kind_of(name)]["switching_pj"]
        value = sum((own[term] * factor for term, factor in coefficients.items() if term in own), start=0.0)
        if not _has_table(tech):
            assert isinstance(tech, CalibratedTech)
            value = value * _scale(tech, "active_pj", features_of(blocks[name].primitives))
        # Not `where`: counts may be numbers that are not known yet (`sim.accelerator.forms`).
        found[name] = value * where(blocks[name].count > 0, 1.0, 0.0)
    return found
