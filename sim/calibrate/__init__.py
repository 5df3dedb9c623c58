"""Calibrate the cost model on a cell library: measure planned tiles of every family, fit, and write the table."""

from __future__ import annotations

import csv
import importlib.metadata
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hwgen
from hwgen.emit import write_all
from hwgen.errors import HwgenError, suggest
from hwgen.pe import families, family
from hwgen.provenance import commit
from hwgen.synth import Library
from hwgen.synth._logic import function
from hwgen.synth._yosys import yosys_version
from sim.calibrate.fit import fit_any, fit_family
from sim.calibrate.measure import RECIPES, TARGET_NS, Wanted, measure_all
from sim.calibrate.plan import calibration_tiles
from sim.energy import LAYERS
from sim.memory import library_memories, library_memory
from sim.tech._calibrated import ANY, COLUMNS, TILE

__all__ = ["Calibration", "calibrate", "nand2_area", "plan"]

KINDS = ("row", "col", "cell", "rowsum", "control", "post", "pre_row", "pre_control")
"""Kinds of blocks that the model has to price."""

_FLAT_SHARE = 3
"""One of so many calibration tiles is measured as one netlist too."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Calibration:
    """What was done: the files written, tiles measured now and taken from the cache, and by family, kind and quantity
    the median error of blocks that were left out of the fit.
    """

    files: tuple[Path, Path]
    tiles: int
    from_cache: int
    left_out: Mapping[str, Mapping[str, Mapping[str, float]]]


def plan(names: Sequence[str], tiles: int, seed: int) -> list[Wanted]:
    """Tiles of a calibration: all by their blocks, some of them also as one netlist."""
    wanted: list[Wanted] = []
    for name in names:
        chosen = calibration_tiles(name, tiles, seed)
        wanted += [(spec, False) for spec in chosen]
        wanted += [(spec, True) for spec in chosen[::_FLAT_SHARE]]
    return wanted


def nand2_area(library: Library) -> float:
    """Area of the smallest two-input NAND: one gate equivalent. Raises `HwgenError` for a library without one."""
    areas = []
    for cell in library.cells.values():
        if cell.usable and len(cell.input_pf) == 2 and len(cell.functions) == 1:
            found = function(next(iter(cell.functions.values())))
            if found.truth().ravel().tolist() == [True, True, True, False]:
                areas.append(cell.area)
    if not areas:
        raise HwgenError(f"liberty {library.name}: the library must have a two-input NAND, which it has not")
    return min(areas)


def calibrate(
    library: Library,
    output: Path,
    *,
    name: str,
    memory: str,
    node_nm: float | None = None,
    names: Sequence[str] = (),
    tiles: int = 60,
    seed: int = 1,
    jobs: int = 1,
    timeout_s: float = 600,
    command: str = "",
    progress: Progress = lambda done, of: None,
) -> Calibration:
    """Measure, fit and write ``output`` (.toml) and the measurements beside it (.csv).

    Parameters
    ----------
    name: of the technology. memory: the SRAM that goes with it (`sim.memory.library_memories`). node_nm: None is that
        of the library that the memory belongs to.
    names: families; without any all. tiles: of each family. seed: of the plan. jobs: tiles measured at a time.
    timeout_s: of one mapping. command: how it was started, for the file. progress: told (tiles done, tiles in all).

    Raises `HwgenError` for an output that is no .toml file in an existing folder, an unknown family or memory, and as
    `measure_all` does; nothing is written then.
    """
    if output.suffix != ".toml" or not output.parent.is_dir():
        raise HwgenError(f"calibrate: output must be a .toml file in an existing folder, not {str(output)!r}")
    if memory not in library_memories():
        raise HwgenError(
            f"calibrate: memory must be one of {', '.join(library_memories())}, not {memory!r}"
            f"{suggest(memory, library_memories())}"
        )
    if tiles < 1:
        raise HwgenError(f"calibrate: tiles must be at least 1, not {tiles}")
    chosen = list(names) or sorted(families())
    for one in chosen:
        family(one)
    nand2 = nand2_area(library)
    wanted = plan(chosen, tiles, seed)
    measured, from_cache = measure_all(wanted, library, jobs=jobs, timeout_s=timeout_s, progress=progress)
    models = {one: fit_family([entry for entry in measured if entry.spec.family == one], KINDS) for one in chosen}
    models[ANY] = fit_any(measured, KINDS)
    flat = sum(entry.kind == TILE for entry in measured)
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(entry.row() for entry in measured)
    files = ", ".join(path.name for path in library.files)
    document: dict[str, Any] = {
        "name": name,
        "title": f"{library.name}, {library.voltage_v:g} V, {library.temperature_c:g} °C, pre-layout",
        "node_nm": float(library_memory(memory).node_nm if node_nm is None else node_nm),
        "nand2_um2": nand2 * library.unit_um2,
        "memory": memory,
        "calibration": {
            "status": "measured: mapped by Yosys and ABC, toggles counted on layers of a real model",
            "command": command,
            "commit": commit(),
            "versions": ", ".join(
                [f"hwgen {hwgen.__version__}", f"Yosys {yosys_version()} with its ABC"]
                + [f"{package} {importlib.metadata.version(package)}" for package in ("numpy", "scipy")]
            ),
            "library_files": files,
            "library_sha256": library.sha256,
            "um2_per_area_unit": library.unit_um2,
            "recipes": f"smallest of {', '.join(RECIPES)}, sized for {TARGET_NS:g} ns",
            "layers": ", ".join(LAYERS),
            "tiles_of_each_family": tiles,
            "seed": seed,
            "blocks_measured": len(measured) - flat,
            "flat_tiles_measured": flat,
        },
        "models": models,
    }
    csv_file = output.with_suffix(".csv")
    write_all({csv_file: table.getvalue(), output: toml_text(document)}, "calibrate")
    left_out = {
        one: {
            kind: {quantity: fitted["left_out_median"] for quantity, fitted in found.items() if fitted["measured"]}
            for kind, found in model["blocks"].items()
        }
        for one, model in models.items()
        if one != ANY
    }
    return Calibration((output, csv_file), len(wanted), from_cache, left_out)


def default_memory(library: Library) -> str | None:
    """The memory whose name is in the library's, or None."""
    return next((name for name in library_memories() if name.rstrip("hd0123456789") in library.name.lower()), None)


def toml_text(document: Mapping[str, Any]) -> str:
    """A document as TOML: regressions in one line each, so that a table can be read and compared."""
    lines = [
        "# Calibration of hwgen's cost model, written by `hwgen calibrate`; the measurements lie beside it (.csv).",
        "# Areas in um2, energies in pJ, leakage in uW, periods in ns; kernel lengths in octaves.",
    ]
    lines += [f"{key} = {_inline(value)}" for key, value in document.items() if not isinstance(value, Mapping)]
    lines += ["", "[calibration]"]
    lines += [f"{key} = {_inline(value)}" for key, value in document["calibration"].items()]
    for name, model in document["models"].items():
        lines += ["", f"[models.{name}]", f"flattening = {_inline(model['flattening'])}"]
        for kind, quantities in model["blocks"].items():
            lines += [f"[models.{name}.blocks.{kind}]"]
            lines += [f"{quantity} = {_inline(value)}" for quantity, value in quantities.items()]
    return "\n".join([*lines, ""])


def _key(name: str) -> str:
    # A bare key with a dot would be a table in a table.
    return f'"{name}"' if "." in name else name


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {_inline(one)}" for key, one in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
