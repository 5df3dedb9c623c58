"""Calibrate the cost model on a cell library: measure planned tiles of every family, fit, and write the table."""

from __future__ import annotations

import csv
import importlib.metadata
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError, suggest
from hwgen.files import write_all
from hwgen.options import CalibrateOptions
from hwgen.pe import TileSpec, families, family
from hwgen.provenance import commit
from hwgen.synth import Library, gate_delay_ns
from hwgen.synth._logic import function
from hwgen.synth._yosys import yosys_version
from hwgen.version import __version__
from sim.calibrate.fit import fit_any, fit_family
from sim.calibrate.measure import RECIPES, TARGET_NS, Wanted, measure_all, measure_speed
from sim.calibrate.plan import calibration_tiles
from sim.calibrate.transfer import Reference, quick_tiles, scaled
from sim.calibrate.wide import end_tiles, large_tiles, legal_tiles, seldom_tiles
from sim.energy import LAYERS
from sim.memory import library_memories, library_memory
from sim.tables import read_toml
from sim.tech import Tech, load, names
from sim.tech._calibrated import (
    ANY,
    COLUMNS,
    ENOUGH_TILES,
    QUANTITIES,
    SCALED,
    TILE,
    CalibratedTech,
    Measured,
    parse_row,
    read_rows,
)

__all__ = ["QUICK_TILES", "Calibration", "calibrate", "mean_flattening", "nand2_area", "plan"]

KINDS = ("row", "col", "cell", "rowsum", "control", "post", "pre_row", "pre_control")
"""Kinds of blocks that the model has to price."""

_TILES, QUICK_TILES = 60, 16
"""Tiles of each family that are measured where nobody says how many."""
_END_SHARE, _LARGE_SHARE = 5, 60
"""For so many tiles over sweep values one more lies at the ends of what is legal; and one more is a larger array."""
_SECTIONS = ("calibration", "models")
"""Parts of a table that are sections of its file."""
_CLOCK_GATES = 33.0
"""A default clock in gate delays: between 4 ns in sky130hd (30) and 0.8 ns in ASAP7 (37)."""
_FLAT_SHARE = 3
"""One of so many calibration tiles is measured as one netlist too."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Calibration:
    """What was done: the files written, tiles that are in them, measurements of these (by blocks, some of them also as
    one netlist) and how many came from the cache, and by family, kind and quantity the median error of blocks that were
    left out of the fit.
    """

    files: tuple[Path, Path]
    tiles: int
    measurements: int
    from_cache: int
    left_out: Mapping[str, Mapping[str, Mapping[str, float]]]


def plan(names: Sequence[str], tiles: int, seed: int) -> list[Wanted]:
    """Tiles of a calibration: all by their blocks, some of them also as one netlist."""
    wanted: list[Wanted] = []
    for name in names:
        chosen = calibration_tiles(name, tiles, seed)
        wanted += [(spec, False) for spec in chosen]
        wanted += [(spec, True) for spec in chosen[::_FLAT_SHARE]]
        # The ends of what is legal, and arrays: both by their blocks, arrays also in one piece.
        large = large_tiles(name, tiles // _LARGE_SHARE)
        wanted += [(spec, False) for spec in (*end_tiles(name, tiles // _END_SHARE), *large)]
        wanted += [(spec, True) for spec in large]
        # As many again over all that is legal: values between those of a sweep, and names that go together by chance.
        legal = legal_tiles(name, tiles)
        wanted += [(spec, False) for spec in legal]
        wanted += [(spec, True) for spec in legal[::_FLAT_SHARE]]
        if tiles >= ENOUGH_TILES:
            seldom = seldom_tiles(name, [spec for spec, _ in wanted if spec.family == name])
            wanted += [(spec, False) for spec in seldom]
            wanted += [(spec, True) for spec in seldom[::_FLAT_SHARE]]
    return wanted


def references(library: Library, wanted: Sequence[str] = ()) -> list[Reference]:
    """Shipped technologies that were measured on other libraries; only ``wanted`` ones if any are named.

    Raises `HwgenError` for a name that is none of them.
    """
    found = []
    for name in wanted or names():
        tech = load(name)
        if not isinstance(tech, CalibratedTech):
            if wanted:
                raise HwgenError(f"calibrate: scale_from must be a technology that was measured, which {name} is not")
            continue
        if read_toml(tech.toml)["calibration"]["library_sha256"] != library.sha256:
            found.append(_reference(tech))
    return found


def _reference(tech: Tech) -> Reference:
    """A technology that was measured, as others are scaled from it."""
    assert isinstance(tech, CalibratedTech)
    rows = read_rows(tech.toml.with_suffix(".csv").read_text(encoding="utf-8"), tech.name)
    return Reference(tech.name, rows, _flattening(read_toml(tech.toml)))


def _flattening(raw: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """What flattening does to tiles, by family, as a table says."""
    return {name: model["flattening"] for name, model in raw["models"].items() if name != ANY}


def _of_families(reference: Reference, chosen: Sequence[str]) -> Reference:
    return replace(reference, blocks=[entry for entry in reference.blocks if entry.spec.family in chosen])


def mean_flattening(known: Sequence[Reference]) -> dict[str, dict[str, float]]:
    """Geometric mean of what flattening does on all libraries, by family and quantity."""
    by_family: dict[str, list[Mapping[str, float]]] = {}
    for one in known:
        for name, factors in one.flattening.items():
            by_family.setdefault(name, []).append(factors)
    return {
        name: {
            quantity: float(f"{np.exp(np.mean([np.log(factors[quantity]) for factors in several])):.4g}")
            for quantity in QUANTITIES
        }
        for name, several in by_family.items()
    }


def quick_plan(known: Sequence[Reference], chosen: Sequence[str], tiles: int) -> list[Wanted]:
    """Tiles of a quick calibration."""
    return [(spec, False) for one in chosen for spec in quick_tiles(known, one, tiles)]


def _known_of(known: Sequence[Reference], chosen: Sequence[str], named: bool) -> list[str]:
    """Those of the ``chosen`` families that references have. Raises `HwgenError` for others that somebody ``named``."""
    there = {entry.spec.family for one in known for entry in one.blocks}
    for one in chosen:
        if named and one not in there:
            raise HwgenError(
                f"calibrate: family {one} must be in the tables that are scaled, {', '.join(r.name for r in known)}; "
                "calibrate it without quick"
            )
    return [one for one in chosen if one in there]


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


def usual_clock_ns(library: Library) -> float:
    """Clock at which designs are compared where none is given: a choice, `_CLOCK_GATES` gate delays to two digits."""
    return float(f"{_CLOCK_GATES * gate_delay_ns(library):.2g}")


def calibrate(
    library: Library,
    output: Path,
    options: CalibrateOptions | None = None,
    *,
    command: str = "",
    progress: Progress = lambda done, of: None,
) -> Calibration:
    """Measure, fit and write ``output`` (.toml) and the measurements beside it (.csv).

    ``command``: how it was started, for the file. ``progress``: told (tiles done, tiles in all).

    Raises `HwgenError` for an output that is no .toml file in an existing folder, an unknown family or memory, with
    ``add`` for an output that is no calibration of this library, and as `measure_all` does; nothing is written then.
    """
    options = options or CalibrateOptions()
    if options.add:
        return _add(library, output, options, command=command, progress=progress)
    if output.suffix != ".toml" or not output.parent.is_dir():
        raise HwgenError(f"calibrate: output must be a .toml file in an existing folder, not {str(output)!r}")
    memory = options.memory or default_memory(library)
    if memory is None:
        raise HwgenError(
            f"calibrate: memory must be given for library {library.name}: one of {', '.join(library_memories())}"
        )
    if memory not in library_memories():
        raise HwgenError(
            f"calibrate: memory must be one of {', '.join(library_memories())}, not {memory!r}"
            f"{suggest(memory, library_memories())}"
        )
    tiles = _tiles(options)
    chosen = _chosen(options.names, families())
    nand2 = nand2_area(library)
    if options.scale_from and not options.quick:
        raise HwgenError("calibrate: scale_from must come with quick")
    known = references(library, options.scale_from) if options.quick else []
    if options.quick and not known:
        raise HwgenError(
            "calibrate: quick needs a technology that was measured on another library, of which there is none"
        )
    if options.quick:
        chosen = _known_of(known, chosen, bool(options.names))
    wanted, measured, from_cache = _measure(library, options, chosen, known, tiles, progress)
    done = {
        "status": "measured: mapped by Yosys and ABC, toggles counted on layers of a real model",
        "command": command,
        "commit": commit(),
        "versions": tool_versions(),
        "library_files": ", ".join(path.name for path in library.files),
        "library_sha256": library.sha256,
        "um2_per_area_unit": library.unit_um2,
        "recipes": f"smallest of {', '.join(RECIPES)}, sized for {TARGET_NS:g} ns",
        "layers": ", ".join(LAYERS),
        "tiles_of_each_family": tiles,
        "seed": options.seed,
    }
    facts = {
        "name": options.name or output.stem,
        "title": f"{library.name}, {library.voltage_v:g} V, {library.temperature_c:g} °C, pre-layout",
        "node_nm": float(library_memory(memory).node_nm if options.node_nm is None else options.node_nm),
        "nand2_um2": nand2 * library.unit_um2,
        "memory": memory,
        "default_clk_period_ns": options.default_clk_period_ns or usual_clock_ns(library),
        "speed": measure_speed(measured, library, jobs=options.jobs, timeout_s=options.timeout_s),
    }
    flattening = None
    if options.quick:
        done["scaled_from"] = ", ".join(one.name for one in known)
        estimated = scaled([_of_families(one, chosen) for one in known], measured)
        # As they are read back, so that the table's regressions are those of its rows.
        measured = [parse_row(row.row()) for row in estimated]
        flattening = mean_flattening(known)
    models = write_tables(measured, output, facts, done, flattening)
    return _done(output, wanted, from_cache, models)


def _tiles(options: CalibrateOptions) -> int:
    """Tiles to measure of each family."""
    tiles = options.tiles if options.tiles is not None else QUICK_TILES if options.quick else _TILES
    if tiles < 1:
        raise HwgenError(f"calibrate: tiles must be at least 1, not {tiles}")
    return tiles


def _chosen(named: Sequence[str], otherwise: Iterable[str]) -> list[str]:
    """Families that are ``named``, each once, or in order those that are meant ``otherwise``."""
    found = list(dict.fromkeys(named)) or sorted(otherwise)
    for one in found:
        family(one)
    return found


def _measure(
    library: Library,
    options: CalibrateOptions,
    chosen: Sequence[str],
    known: Sequence[Reference],
    tiles: int,
    progress: Progress,
) -> tuple[list[Wanted], list[Measured], int]:
    """What was wanted of the ``chosen`` families, what was measured, and how much of it came from the cache.

    With ``known`` tables, which are to be scaled, the few tiles of a quick calibration.
    """
    wanted = quick_plan(known, chosen, tiles) if known else plan(chosen, tiles, options.seed)
    measured, from_cache = measure_all(
        wanted, library, jobs=options.jobs, timeout_s=options.timeout_s, progress=progress
    )
    return wanted, measured, from_cache


def _done(
    output: Path, wanted: Sequence[Wanted], from_cache: int, models: Mapping[str, Mapping[str, Any]]
) -> Calibration:
    """What was done, of the families that were measured."""
    left_out = {
        one: {
            kind: {quantity: fitted["left_out_median"] for quantity, fitted in found.items() if fitted["measured"]}
            for kind, found in models[one]["blocks"].items()
        }
        for one in dict.fromkeys(spec.family for spec, _ in wanted)
    }
    files = output, output.with_suffix(".csv")
    return Calibration(files, len({repr(spec) for spec, _ in wanted}), len(wanted), from_cache, left_out)


def _add(library: Library, output: Path, options: CalibrateOptions, *, command: str, progress: Progress) -> Calibration:
    """Measure families and put them into a table that there is, in place of what it has of them."""
    if not output.is_file() or not output.with_suffix(".csv").is_file():
        raise HwgenError(f"calibrate: output must be a table and its .csv with add, not {str(output)!r}")
    raw = read_toml(output)
    known = raw.get("calibration", {})
    if known.get("library_sha256") != library.sha256:
        raise HwgenError(
            f"calibrate: output must be a calibration of library {library.name} with add, "
            f"not one of {known.get('library_files', 'none')}"
        )
    given = {
        "name": options.name,
        "memory": options.memory,
        "node_nm": options.node_nm,
        "default_clk_period_ns": options.default_clk_period_ns,
    }
    for name, value in given.items():
        if value is not None and value != raw.get(name):
            raise HwgenError(f"calibrate: {name} must be that of the table with add, {raw.get(name)!r}, not {value!r}")
    sources = known["scaled_from"].split(", ") if "scaled_from" in known else []
    if options.quick and not sources:
        raise HwgenError(f"calibrate: quick must be off with add where the table was measured, as {output.name} was")
    if options.scale_from:
        raise HwgenError("calibrate: scale_from must be left out with add; the table says what it is scaled from")
    chosen = _chosen(options.names, set(families()) - set(raw["models"]))
    if not chosen:
        raise HwgenError(f"calibrate: {output.name} has every family; name those to measure again with --pe")
    tiles = _tiles(replace(options, quick=bool(sources)))
    others = references(library, sources) if sources else []
    there = _known_of(others, chosen, True) if sources else chosen
    wanted, measured, from_cache = _measure(library, options, there, others, tiles, progress)
    note = f"{', '.join(chosen)}: {tiles} tiles of each, seed {options.seed}, at commit {commit()}"
    if command:
        note += f", by {command}"
    earlier = [known["more"]] if known.get("more") else []
    models = refit(output, measured, "; ".join([*earlier, note]), lambda spec: spec.family in chosen)
    return _done(output, wanted, from_cache, models)


def tool_versions() -> str:
    """Versions of what a calibration depends on."""
    return ", ".join(
        [f"hwgen {__version__}", f"Yosys {yosys_version()} with its ABC"]
        + [f"{package} {importlib.metadata.version(package)}" for package in ("numpy", "scipy")]
    )


def write_tables(
    measured: Sequence[Measured],
    output: Path,
    facts: Mapping[str, Any],
    done: Mapping[str, Any],
    flattening: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Fit measured blocks and tiles and write ``output`` (.toml) and the table beside it (.csv); returns the models.

    ``facts`` are those of the technology, ``done`` says how it was measured. ``flattening`` by family, where no whole
    tiles tell it.
    """
    names = dict.fromkeys(entry.spec.family for entry in measured)
    models = {
        one: fit_family(
            [entry for entry in measured if entry.spec.family == one],
            KINDS,
            None if flattening is None else flattening.get(one),
        )
        for one in names
    }
    models[ANY] = fit_any(measured, KINDS)
    flat = sum(entry.kind == TILE for entry in measured)
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(entry.row() for entry in measured)
    estimated = sum(entry.recipe == SCALED for entry in measured)
    counts = {"blocks_measured": len(measured) - flat - estimated, "flat_tiles_measured": flat}
    if estimated:
        counts["blocks_scaled"] = estimated
    document = {**facts, "calibration": {**done, **counts}, "models": models}
    write_all({output.with_suffix(".csv"): table.getvalue(), output: toml_text(document)}, "calibrate")
    return models


def refit(
    table: Path,
    more: Sequence[Measured] = (),
    note: str = "",
    replaced: Callable[[TileSpec], bool] = lambda spec: False,
) -> dict[str, dict[str, Any]]:
    """Fit the measurements of a table anew, with ``more`` beside them, and write it again.

    For a change of the model, which needs no new measurement, and for tiles whose hardware changed: of those that are
    ``replaced`` the old measurements go. What was scaled from other libraries is scaled again, from what their tables
    are now. ``note`` says what ``more`` is. Returns the models.

    Raises `HwgenError` for a file that is no table of a calibration.
    """
    raw = read_toml(table)
    entries = read_rows(table.with_suffix(".csv").read_text(encoding="utf-8"), table.name)
    entries = [entry for entry in entries if not replaced(entry.spec)]
    known = {(repr(entry.spec), entry.kind) for entry in entries}
    entries += [entry for entry in more if (repr(entry.spec), entry.kind) not in known]
    counts = ("_measured", "_scaled")
    done = {key: value for key, value in raw["calibration"].items() if not key.endswith(counts)}
    done |= {"fitted_commit": commit(), "fitted_versions": tool_versions()} | ({"more": note} if note else {})
    facts = {key: value for key, value in raw.items() if key not in _SECTIONS}
    flattening = None
    if "scaled_from" in done:
        others = [_reference(load(name)) for name in done["scaled_from"].split(", ")]
        own = [entry for entry in entries if entry.recipe != SCALED]
        entries = [parse_row(row.row()) for row in scaled(others, own)]
        flattening = mean_flattening(others)
    order = {name: place for place, name in enumerate(sorted({entry.spec.family for entry in entries}))}
    entries.sort(key=lambda entry: order[entry.spec.family])
    return write_tables(entries, table, facts, done, flattening)


def default_memory(library: Library) -> str | None:
    """The memory whose name is in the library's, or None."""
    return next((name for name in library_memories() if name.rstrip("hd0123456789") in library.name.lower()), None)


def toml_text(document: Mapping[str, Any]) -> str:
    """A document as TOML: regressions in one line each, so that a table can be read and compared."""
    lines = [
        "# Calibration of hwgen's cost model, written by `hwgen calibrate`; the measurements lie beside it (.csv).",
        "# Areas in um2, energies in pJ, leakage in uW, periods in ns; kernel lengths in octaves.",
    ]
    lines += [f"{key} = {_inline(value)}" for key, value in document.items() if key not in _SECTIONS]
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
