"""Calibrated technologies: tiles priced by what synthesis and switching measured on blocks of their family.

A calibration is two files, written by `hwgen calibrate`: ``NAME.toml`` with provenance and regressions, ``NAME.csv``
with the measured blocks and tiles.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.frame.facts import Block
from hwgen.frame.inventory import ONCE
from hwgen.frame.numbers import Num, maximum, where
from hwgen.frame.param import resolve
from hwgen.pe import TileSpec, family
from hwgen.pe._scaled import SCALES, UNMEASURED_SCALES
from sim.activity import active_cycles_per_step
from sim.memory import library_bit_pj, library_memories, library_memory
from sim.tables import number, read_toml, text
from sim.tech._model import ACTIVITY, Features, Kernel, Regression, block_features, tile_numbers
from sim.tech._structure import BUFFER_BYTES, BUFFER_WORD_BITS, Outside, Structure, Tech

__all__ = [
    "ANY",
    "COLUMNS",
    "ENOUGH_TILES",
    "PLAIN",
    "QUANTITIES",
    "SCALED",
    "TILE",
    "CalibratedTech",
    "FittedFamily",
    "Known",
    "Measured",
    "Speed",
    "fitted_family",
    "parse_row",
    "read_calibrated",
    "samples",
    "tile_step",
    "tile_values",
]

P = Mapping[str, Any]

QUANTITIES = ("area_um2", "min_clk_period_ns", "clock_pj", "active_pj", "leakage_uw")
"""What is measured on a block: one copy's area and shortest clock period, its energy in every clock cycle, what a cycle
at work adds, its leakage.
"""
ENOUGH_TILES = 20
"""Measured tiles of a family from which its numbers are called measured: with fewer its fit is that of trends."""
ANY = "any"
"""Name of the regressions over all families, for families that were not calibrated."""
SCALED = "scaled"
"""Recipe of blocks that were not measured but scaled from other libraries (`sim.calibrate.transfer`)."""
TILE = "tile"
"""Kind of a whole tile mapped as one flat netlist."""
COLUMNS = ("family", "tile", "kind", "copies", "recipe", "cells", "flip_flops", *QUANTITIES)
"""Columns of the table of measurements; ``tile`` holds the parameters that differ from their defaults, as JSON."""


@dataclass(frozen=True)
class Measured:
    """One measured block of a tile, or a whole tile; a quantity that was not measured is None."""

    spec: TileSpec
    kind: str
    copies: int
    recipe: str
    cells: int
    flip_flops: int
    values: Mapping[str, float | None]

    @functools.cached_property
    def features(self) -> Features:
        """What the model knows of the block."""
        p = self.spec.p
        return block_features(type(self.spec), p, self.kind, self.spec.modules(p)[self.kind])

    @functools.cached_property
    def identity(self) -> str:
        """Equal for blocks that the model cannot tell apart."""
        return repr(self.features)

    def row(self) -> dict[str, str]:
        """Its row in the table."""
        known = self.spec.parameters()
        tile = {name: value for name, value in self.spec.p.items() if value != known[name].default}
        return {
            "family": self.spec.family,
            "tile": json.dumps(tile),
            "kind": self.kind,
            "copies": str(self.copies),
            "recipe": self.recipe,
            "cells": str(self.cells),
            "flip_flops": str(self.flip_flops),
            **{name: "" if value is None else f"{value:.6g}" for name, value in self.values.items()},
        }


PLAIN = Kernel(spread=1.0, noise=1.0, weights={})
"""Kernel of a trend without measurements around it."""


@dataclass(frozen=True)
class Known:
    """What the measured tiles of a family were: the smallest and the largest of each of their numbers, the names that
    occurred, and the kinds of blocks that were measured often enough. Empty for a family that was not measured.
    """

    numbers: Mapping[str, tuple[float, float]]
    names: Mapping[str, frozenset[str]]
    kinds: frozenset[str]

    @classmethod
    def of(cls, entries: Sequence[Measured], kinds: Iterable[str]) -> Known:
        """Of measured blocks."""
        numbers: dict[str, tuple[float, float]] = {}
        names: dict[str, set[str]] = {}
        for spec in {id(entry.spec): entry.spec for entry in entries}.values():
            found, words = _said(type(spec), spec.p)
            for name, value in found.items():
                low, high = numbers.get(name, (float(value), float(value)))
                numbers[name] = min(low, float(value)), max(high, float(value))
            for name, word in words.items():
                names.setdefault(name, set()).add(word)
        return cls(numbers, {name: frozenset(words) for name, words in names.items()}, frozenset(kinds))

    def outside(self, spec: type[TileSpec], p: P) -> list[Outside]:
        """What of a tile (or of many, as arrays) lies beyond all that was measured."""
        found: list[Outside] = []
        if not self.kinds:
            return found
        numbers, names = _said(spec, p)
        for name, (low, high) in self.numbers.items():
            value = numbers[name]
            beyond = (value < low) | (value > high)
            if np.any(beyond):
                found.append(Outside(name, beyond, value, f"{low:g} to {high:g}"))
        for name, words in self.names.items():
            if names[name] not in words:
                found.append(Outside(name, True, names[name], ", ".join(sorted(words))))
        if p.get("weight_scale") in UNMEASURED_SCALES and np.any(p["post_lanes"]):
            # No calibration draws them (`sim.calibrate.wide`): their lanes multiply by 24 bits instead of 11.
            found.append(Outside("weight_scale", np.asarray(p["post_lanes"]) > 0, p["weight_scale"], ", ".join(SCALES)))
        for kind, block in spec.modules(p).items():
            there = (_counted(block) > 0) & (block.count > 0)
            if kind not in self.kinds and np.any(there):
                found.append(Outside(f"{kind} blocks", there, "there", "none"))
        return found


def _said(spec: type[TileSpec], p: P) -> tuple[dict[str, Num], dict[str, str]]:
    """Numbers and names of a tile, its cuts among them."""
    numbers, names = tile_numbers(spec, p)
    # How often codes are zero is no hardware: a block's energy follows it, within what its counts say.
    made = {name: value for name, value in numbers.items() if name not in ACTIVITY or name == "steps"}
    return made | {name: p[name] for name in spec.cut_parameters()}, names


@dataclass(frozen=True)
class FittedFamily:
    """Regressions of one family by (kind, quantity), and by quantity what flattening a tile does to the sum (or the
    longest period) of its blocks, as a factor; ``known`` says what they were measured on.
    """

    models: Mapping[tuple[str, str], Regression]
    flattening: Mapping[str, float]
    known: Known


def _counted(block: Block) -> Num:
    return sum(block.primitives.values(), start=0)


def tile_values(
    spec: type[TileSpec],
    p: P,
    fitted: FittedFamily,
    quantities: Iterable[str] = QUANTITIES,
    kinds: Collection[str] | None = None,
) -> dict[str, dict[str, Num]]:
    """Quantities of the kinds of block of a tile (all where ``kinds`` is None): sums over its copies, periods of one.

    Raises `KeyError` for a kind that was not fitted.
    """
    found: dict[str, dict[str, Num]] = {name: {} for name in quantities}
    shared = tile_numbers(spec, p)
    for kind, block in spec.modules(p).items():
        if kinds is not None and kind not in kinds:
            continue
        features = block_features(spec, p, kind, block, shared)
        # Wires alone cost nothing.
        there = (_counted(block) > 0) & (block.count > 0)
        for quantity in found:
            value = where(there, fitted.models[kind, quantity].predict(features), 0.0)
            copies = 1 if quantity == "min_clk_period_ns" else block.count
            found[quantity][kind] = copies * value * fitted.flattening[quantity]
    return found


def tile_step(spec: TileSpec, values: Mapping[str, Mapping[str, Num]]) -> dict[str, float]:
    """Quantities of a whole tile as they are measured: ``active_pj`` is that of a step."""
    active = active_cycles_per_step(spec)
    inside = {kind for kind in values["area_um2"] if not kind.startswith("pre_")}
    return {
        "area_um2": float(sum(values["area_um2"][kind] for kind in inside)),
        "min_clk_period_ns": float(longest_path(spec.p, {kind: values["min_clk_period_ns"][kind] for kind in inside})),
        "clock_pj": float(sum(values["clock_pj"][kind] for kind in inside)),
        "active_pj": float(sum(values["active_pj"][kind] * active[kind] for kind in inside)),
        "leakage_uw": float(sum(values["leakage_uw"][kind] for kind in inside)),
    }


@dataclass(frozen=True)
class Speed:
    """What mapping a block for speed makes of its clock period and its area, as factors, and of how many blocks they
    are the median.
    """

    period: float
    area: float
    blocks: int


@dataclass(frozen=True)
class CalibratedTech(Tech):
    """A technology measured on a cell library: ``toml`` is the table's first file, ``memory`` the name of the SRAM that
    goes with it, ``speed`` what mapping for speed does.
    """

    toml: Path
    memory: str
    speed: Speed

    def structure(self, spec: type[TileSpec], p: P, clk_period_ns: float | None = None) -> Structure:
        """Areas, energies and clock period of a tile by block. Raises `HwgenError` for a kind of block that
        was not calibrated.

        Blocks are the smallest ones; with a clock those that do not keep it are mapped for speed: faster and larger by
        the technology's factors, energy at work and leakage as the area.
        """
        values = self._values(spec, p, QUANTITIES, None)
        if clk_period_ns is not None:
            periods = values["min_clk_period_ns"]
            joined = {"row", "col", "cell", "rowsum"}
            whole = longest_path(p, {kind: value for kind, value in periods.items() if kind in joined})
            for kind, period in list(periods.items()):
                slow = (whole if kind in joined else period) > clk_period_ns
                periods[kind] = where(slow, self.speed.period, 1.0) * period
                for quantity in ("area_um2", "active_pj", "leakage_uw"):
                    values[quantity][kind] = where(slow, self.speed.area, 1.0) * values[quantity][kind]
        return Structure(
            values["area_um2"],
            values["clock_pj"],
            values["active_pj"],
            values["leakage_uw"],
            longest_path(p, values["min_clk_period_ns"]),
        )

    def periods(self, spec: type[TileSpec], p: P, kinds: Collection[str] | None = None) -> dict[str, Num]:
        """Shortest clock period in ns of each kind of a tile's blocks by itself; only of ``kinds``, if given."""
        return self._values(spec, p, ("min_clk_period_ns",), kinds)["min_clk_period_ns"]

    def _values(
        self, spec: type[TileSpec], p: P, quantities: Iterable[str], kinds: Collection[str] | None
    ) -> dict[str, dict[str, Num]]:
        try:
            return tile_values(spec, p, fitted_family(self.toml, spec.family), quantities, kinds)
        except KeyError as error:
            raise HwgenError(
                f"technology {self.name}: {error.args[0]} of family {spec.family} was not calibrated; "
                "calibrate again with this version"
            ) from error

    def prepare(self, name: str) -> None:
        """Read and fit a family's measurements."""
        fitted_family(self.toml, name)

    def trust(self, name: str) -> str:
        """What stands behind the numbers of a family: "measured" on tiles enough, or on few, or on other families."""
        rows = _rows(self.toml.with_suffix(".csv")).get(name, [])
        tiles = len({id(entry.spec) for entry in rows if entry.recipe != SCALED})
        if name not in read_toml(self.toml)["models"] or not tiles:
            return "modelled on other families"
        others = read_toml(self.toml)["calibration"].get("scaled_from")
        if others:
            return f"scaled from {others} by {tiles} measured tiles"
        few = f"modelled on {tiles} measured tile{'s' if tiles > 1 else ''}"
        return self.status if tiles >= ENOUGH_TILES else few

    def left_out_errors(self, name: str) -> Mapping[str, float]:
        """Median relative error of a family's cells, left out of the fit, by quantity."""
        cells = read_toml(self.toml)["models"].get(name, {}).get("cell", {})
        known = {quantity: cells.get(quantity, {}).get("left_out_median") for quantity in QUANTITIES}
        return {quantity: float(error) for quantity, error in known.items() if error is not None}

    def outside(self, spec: type[TileSpec], p: P) -> list[Outside]:
        """What of a tile lies beyond all that was measured of its family."""
        return fitted_family(self.toml, spec.family).known.outside(spec, p)

    def buffer_bit_pj(self, write: bool) -> float:
        """Energy of one bit of a 32 KB buffer in pJ."""
        return float(library_bit_pj(self.memory, BUFFER_BYTES, BUFFER_WORD_BITS, write))


_LAST, _FIRST = 0.5, 0.65
"""What of a front-end's period lies behind its last cut, and what of a cell's before its first one: medians of whole
tiles whose blocks were measured too (sky130hd, 21 and 22 of them; a cut in three is off by half of a piece).
"""


def longest_path(p: P, periods: Mapping[str, Num]) -> Num:
    """Shortest clock period of a tile from those of its blocks: without a register between them, what comes last in a
    front-end and first in a cell are one path.
    """
    front = maximum(periods.get("row", 0.0), periods.get("col", 0.0))
    behind = maximum(periods["cell"], periods.get("rowsum", 0.0))
    joined = where(p["front_cuts"] > 0, _LAST, 1.0) * front + where(p["cell_cuts"] > 0, _FIRST, 1.0) * behind
    result = maximum(where(p["stages"] == 0, joined, 0.0), maximum(front, behind))
    for kind, period in periods.items():
        result = maximum(result, period) if kind in ONCE or kind == "pre_row" else result
    return result


@functools.cache
def _tile(name: str, changes: str) -> TileSpec:
    """A tile by the parameters that differ from their declared defaults: rows of its blocks name it again and again."""
    spec = family(name)
    # Not from_values: there what is named changes the defaults of the rest, which `Measured.row` does not know of. And
    # unchecked: what was measured stays measured where it is no tile that one would build (a group beyond the depth).
    return spec.unchecked(resolve(name, spec.parameters(), json.loads(changes)))


def parse_row(row: Mapping[str, str]) -> Measured:
    """The measurement in a row of the table. Raises `HwgenError` for one that cannot be read."""
    try:
        return Measured(
            spec=_tile(row["family"], row["tile"]),
            kind=row["kind"],
            copies=int(row["copies"]),
            recipe=row["recipe"],
            cells=int(row["cells"]),
            flip_flops=int(row["flip_flops"]),
            values={name: float(row[name]) if row[name] else None for name in QUANTITIES},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise HwgenError(f"a measurement must have {', '.join(COLUMNS)}: {error}") from error


def read_rows(content: str, label: str) -> list[Measured]:
    """Entries of a table of measurements. Raises `HwgenError` for one that cannot be read."""
    found = []
    for line, row in enumerate(csv.DictReader(io.StringIO(content)), start=2):
        try:
            found.append(parse_row(row))
        except HwgenError as error:
            raise HwgenError(f"{label}: line {line}: {error}") from error
    return found


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HwgenError(f"technology table {str(path)!r}: must be a readable CSV file: {error}") from error


@functools.cache
def _rows(path: Path) -> dict[str, list[Measured]]:
    content = _content(path)
    found: dict[str, list[Measured]] = defaultdict(list)
    for entry in read_rows(content, f"technology table {path.name!r}"):
        found[entry.spec.family].append(entry)
    return dict(found)


@functools.cache
def fitted_family(toml: Path, name: str) -> FittedFamily:
    """Regressions of a family from a table's files; the trend of all families for one that was not calibrated."""
    known = read_toml(toml).get("models", {})
    models = known.get(name, known[ANY])
    entries = _rows(toml.with_suffix(".csv")).get(name, [])
    found = {}
    kinds = []
    for kind, quantities in models["blocks"].items():
        of_kind = [entry for entry in entries if entry.kind == kind]
        for quantity, fitted in quantities.items():
            blocks, values = samples(of_kind, quantity) if fitted["measured"] else ([], np.zeros(0))
            found[kind, quantity] = Regression(blocks, values, fitted["trend"], Kernel(**fitted["kernel"]))
        if quantities["area_um2"]["measured"]:
            kinds.append(kind)
    blocks_alone = [entry for entry in entries if entry.kind != TILE]
    return FittedFamily(found, models["flattening"], Known.of(blocks_alone, kinds))


def samples(entries: Sequence[Measured], quantity: str) -> tuple[list[Features], np.ndarray]:
    """Features and values of the blocks on which a quantity was measured and is not 0; equal blocks count once."""
    found: dict[str, tuple[Features, float]] = {}
    for entry in entries:
        value = entry.values[quantity]
        # Wires alone are priced at nothing.
        if value is not None and value > 0 and any(entry.features.counts.values()):
            found.setdefault(entry.identity, (entry.features, value))
    return [features for features, _ in found.values()], np.array([value for _, value in found.values()])


_ABOVE_0 = ("area_um2", "min_clk_period_ns")
"""Quantities that no block with cells has as 0."""


def _check_rows(label: str, content: str) -> dict[tuple[str, str, str], int]:
    """Number of values of each (family, kind, quantity) in a table of measurements.

    Raises `HwgenError` for a value that nothing measures.
    """
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for line, row in enumerate(csv.DictReader(io.StringIO(content)), start=2):
        for quantity in QUANTITIES:
            word = row.get(quantity)
            if word is None:
                raise HwgenError(f"{label}: line {line}: a measurement must have {', '.join(COLUMNS)}")
            if not word:
                continue
            try:
                value = float(word)
            except ValueError:
                value = math.nan
            least = 0.0 if quantity not in _ABOVE_0 or row.get("cells") == "0" else math.ulp(0.0)
            if not least <= value < math.inf:
                raise HwgenError(
                    f"{label}: line {line}: {quantity} must be a finite number "
                    f"{'above' if least else 'of at least'} 0, not {word!r}; calibrate again"
                )
            counts[row["family"], row["kind"], quantity] += value > 0
    return counts


def _numbers(where: str, raw: Any, least: float = 0.0) -> None:
    """Raise `HwgenError` unless ``raw`` is a table of finite numbers of at least ``least``."""
    if not isinstance(raw, dict):
        raise HwgenError(f"{where} must be a table of numbers, not {raw!r}")
    for name, value in raw.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
            raise HwgenError(
                f"{where}.{name} must be a finite number {'above' if least else 'of at least'} 0, not {value!r}"
            )


def _check_models(label: str, raw: Mapping[str, Any], counts: Mapping[tuple[str, str, str], int]) -> None:
    """Raise `HwgenError` unless the regressions of a table can be computed with and their measurements are there."""
    models = raw.get("models")
    if not isinstance(models, dict) or ANY not in models:
        raise HwgenError(f"{label}: models must hold regressions of families and of {ANY!r}; calibrate again")
    for name, model in models.items():
        where = f"{label}: models.{name}"
        if not isinstance(model, dict) or not isinstance(model.get("blocks"), dict):
            raise HwgenError(f"{where} must be a table with blocks and flattening, not {model!r}")
        _numbers(f"{where}.flattening", {q: model.get("flattening", {}).get(q) for q in QUANTITIES}, math.ulp(0.0))
        for kind, quantities in model["blocks"].items():
            for quantity in QUANTITIES:
                place = f"{where}.blocks.{kind}.{quantity}"
                fitted = quantities.get(quantity) if isinstance(quantities, dict) else None
                if not isinstance(fitted, dict) or not {"measured", "trend", "kernel"} <= fitted.keys():
                    raise HwgenError(f"{place} must be a table with measured, trend and kernel, not {fitted!r}")
                kernel, measured = fitted["kernel"], fitted["measured"]
                _numbers(f"{place}.trend", fitted["trend"])
                if not isinstance(kernel, dict) or kernel.keys() != {"spread", "noise", "weights"}:
                    raise HwgenError(f"{place}.kernel must be a table with spread, noise and weights, not {kernel!r}")
                _numbers(f"{place}.kernel", {key: kernel[key] for key in ("spread", "noise")}, math.ulp(0.0))
                _numbers(f"{place}.kernel.weights", kernel["weights"])
                if isinstance(measured, bool) or not isinstance(measured, int) or measured < 0:
                    raise HwgenError(f"{place}.measured must be a whole number of at least 0, not {measured!r}")
                if name != ANY and measured > counts.get((name, kind, quantity), 0):
                    raise HwgenError(
                        f"{place}: its {measured} measurements must lie in the table beside, which has "
                        f"{counts.get((name, kind, quantity), 0)}; calibrate again"
                    )


def _speed(label: str, raw: Mapping[str, Any]) -> Speed:
    found = raw.get("speed")
    if not isinstance(found, dict):
        raise HwgenError(f"{label}: speed must be a table with period, area and blocks; calibrate again")
    where_ = f"{label}: speed"
    blocks = found.get("blocks")
    if isinstance(blocks, bool) or not isinstance(blocks, int) or blocks < 0:
        raise HwgenError(f"{where_}: blocks must be a whole number of at least 0, not {blocks!r}")
    return Speed(number(where_, found, "period"), number(where_, found, "area"), blocks)


def read_calibrated(path: Path) -> CalibratedTech:
    """The technology in a calibration's TOML file. Raises `HwgenError` for a file that is none."""
    raw = read_toml(path)
    label = f"technology {path.stem}"
    table = path.with_suffix(".csv")
    if not table.is_file():
        raise HwgenError(f"{label}: the measurements must lie beside the table as {table.name}, which is missing")
    _check_models(label, raw, _check_rows(f"{label}: {table.name}", _content(table)))
    return CalibratedTech(
        name=text(label, raw, "name"),
        title=text(label, raw, "title"),
        node_nm=number(label, raw, "node_nm"),
        status="measured",
        nand2_um2=number(label, raw, "nand2_um2"),
        digest=hashlib.sha256(path.read_bytes() + table.read_bytes()).hexdigest(),
        toml=path,
        memory=text(label, raw, "memory", library_memories()),
        buffer_status=library_memory(text(label, raw, "memory")).status,
        default_clk_period_ns=number(label, raw, "default_clk_period_ns"),
        speed=_speed(label, raw),
    )
