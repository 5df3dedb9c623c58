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
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.pe import TileSpec, family
from hwgen.pe._inventory import ONCE
from hwgen.pe._numbers import Num, maximum, where
from hwgen.pe._param import resolve
from sim.memory import library_bit_pj, library_memories, library_memory
from sim.tech._model import Features, Kernel, Regression, block_features
from sim.tech._structure import BUFFER_BYTES, BUFFER_WORD_BITS, Structure, Tech
from sim.tech._table import number, read_toml, text

__all__ = [
    "ANY",
    "COLUMNS",
    "PLAIN",
    "QUANTITIES",
    "TILE",
    "CalibratedTech",
    "FittedFamily",
    "Measured",
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
ANY = "any"
"""Name of the regressions over all families, for families that were not calibrated."""
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
class FittedFamily:
    """Regressions of one family by (kind, quantity), and by quantity what flattening a tile does to the sum (or the
    longest period) of its blocks, as a factor.
    """

    models: Mapping[tuple[str, str], Regression]
    flattening: Mapping[str, float]


def tile_values(spec: type[TileSpec], p: P, fitted: FittedFamily) -> dict[str, dict[str, Num]]:
    """Every quantity of every kind of block of a tile: sums over its copies, periods of one. Raises `KeyError` for a
    kind that was not fitted.
    """
    found: dict[str, dict[str, Num]] = {name: {} for name in QUANTITIES}
    for kind, block in spec.modules(p).items():
        features = block_features(spec, p, kind, block)
        # Wires alone cost nothing.
        there = (sum(features.counts.values()) > 0) & (block.count > 0)
        for quantity in QUANTITIES:
            value = where(there, fitted.models[kind, quantity].predict(features), 0.0)
            copies = 1 if quantity == "min_clk_period_ns" else block.count
            found[quantity][kind] = copies * value * fitted.flattening[quantity]
    return found


def tile_step(spec: TileSpec, values: Mapping[str, Mapping[str, Num]]) -> dict[str, float]:
    """Quantities of a whole tile as they are measured: ``active_pj`` is that of a step."""
    from sim.estimate import active_cycles_per_step

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
class CalibratedTech(Tech):
    """A technology measured on a cell library: ``toml`` is the table's first file, ``memory`` the name of the SRAM that
    goes with it.
    """

    toml: Path
    memory: str

    def structure(self, spec: type[TileSpec], p: P) -> Structure:
        """Areas, energies and clock period of a tile by block. Raises `HwgenError` for a kind of block that
        was not calibrated.
        """
        fitted = fitted_family(self.toml, spec.family)
        try:
            values = tile_values(spec, p, fitted)
        except KeyError as error:
            raise HwgenError(
                f"technology {self.name}: {error.args[0]} of family {spec.family} was not calibrated; "
                "calibrate again with this version"
            ) from error
        return Structure(
            values["area_um2"],
            values["clock_pj"],
            values["active_pj"],
            values["leakage_uw"],
            longest_path(p, values["min_clk_period_ns"]),
        )

    def prepare(self, name: str) -> None:
        """Read and fit a family's measurements."""
        fitted_family(self.toml, name)

    def trust(self, name: str) -> str:
        """What stands behind the numbers of a family."""
        return self.status if name in read_toml(self.toml)["models"] else "modelled on other families"

    def buffer_bit_pj(self, write: bool) -> float:
        """Energy of one bit of a 32 KB buffer in pJ."""
        return float(library_bit_pj(self.memory, BUFFER_BYTES, BUFFER_WORD_BITS, write))


def longest_path(p: P, periods: Mapping[str, Num]) -> Num:
    """Shortest clock period of a tile from those of its blocks: without a cut, front-end and cell are one path."""
    front = maximum(periods.get("row", 0.0), periods.get("col", 0.0))
    behind = maximum(periods["cell"], periods.get("rowsum", 0.0))
    result = where(p["stages"] == 0, front + behind, maximum(front, behind))
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


@functools.cache
def _rows(path: Path) -> dict[str, list[Measured]]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HwgenError(f"technology table {str(path)!r}: must be a readable CSV file: {error}") from error
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
    for kind, quantities in models["blocks"].items():
        of_kind = [entry for entry in entries if entry.kind == kind]
        for quantity, fitted in quantities.items():
            blocks, values = samples(of_kind, quantity) if fitted["measured"] else ([], np.zeros(0))
            found[kind, quantity] = Regression(blocks, values, fitted["trend"], Kernel(**fitted["kernel"]))
    return FittedFamily(found, models["flattening"])


def samples(entries: Sequence[Measured], quantity: str) -> tuple[list[Features], np.ndarray]:
    """Features and values of the blocks on which a quantity was measured and is not 0; equal blocks count once."""
    found: dict[str, tuple[Features, float]] = {}
    for entry in entries:
        value = entry.values[quantity]
        if value is not None and value > 0:
            found.setdefault(entry.identity, (entry.features, value))
    return [features for features, _ in found.values()], np.array([value for _, value in found.values()])


def read_calibrated(path: Path) -> CalibratedTech:
    """The technology in a calibration's TOML file. Raises `HwgenError` for a file that is none."""
    raw = read_toml(path)
    label = f"technology {path.stem}"
    table = path.with_suffix(".csv")
    if not table.is_file():
        raise HwgenError(f"{label}: the measurements must lie beside the table as {table.name}, which is missing")
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
    )
