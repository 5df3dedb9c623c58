"""``python -m reports.quick_calibration``: calibrations in minutes against full ones, each library left out in turn.

All three shipped libraries were measured in full, and whole tiles over the legal space on each of them, with the
hardware of one commit; the experiment is on these measurements, read from the repository's history. A library is taken
as new: only the few tiles that ``hwgen calibrate --quick`` would measure are looked at, the rest is scaled from the
others. ``--time FILE...`` measures how long such a run takes now, in an empty cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.options import CalibrateOptions
from hwgen.pe import families
from hwgen.synth import read_library
from reports.families import table
from reports.held_out_wide import BOUNDS, Tried, tried
from reports.provenance import provenance, write_result
from sim.calibrate import QUICK_TILES, calibrate, mean_flattening, write_tables
from sim.calibrate.transfer import Reference, quick_tiles, scaled
from sim.models.fetch import default_model
from sim.tech import CalibratedTech, load
from sim.tech._calibrated import TILE, Measured, read_rows

__all__ = ["LIMIT_MINUTES", "MEASURED_AT", "MOST_TIMES", "LeftOut", "left_out", "main", "page"]

RESULT = Path("reports/results/quick_calibration.md")
MEASURED_AT = "0490341"
"""Commit whose tables were all measured in full on one hardware, beside whole tiles of the same hardware."""
LIMIT_MINUTES, MOST_TIMES = 15.0, 1.5
"""Wanted: time on two cores, and how many times the errors of a full calibration."""
_NO_CLOCK = {"default_clk_period_ns": 1.0, "speed": {"period": 1.0, "area": 1.0, "blocks": 0}}
"""What tables have since, and what no tile here depends on."""


@dataclass(frozen=True)
class History:
    """What was measured on a library: its table, and whole tiles that no calibration has."""

    facts: Mapping[str, Any]
    rows: Sequence[Measured]
    whole: Sequence[Mapping[str, Any]]

    def reference(self, name: str) -> Reference:
        """As a quick calibration of another library sees it."""
        models = self.facts["models"]
        return Reference(name, self.rows, {one: models[one]["flattening"] for one in models if one in families()})


@dataclass(frozen=True)
class LeftOut:
    """A library that was left out: how many of its tiles were looked at, and the errors of both tables."""

    library: str
    tiles: int
    quick: Sequence[Tried]
    full: Sequence[Tried]

    def errors(self, quantity: str) -> tuple[tuple[float, float], tuple[float, float]]:
        """Median and largest absolute error of full and quick table, on the tiles that the full one does not mark."""
        inside = [index for index, row in enumerate(self.full) if not row.outside]
        found = [np.abs([rows[index].errors[quantity] for index in inside]) for rows in (self.full, self.quick)]
        full, quick = ((float(np.median(one)), float(one.max())) for one in found)
        return full, quick


def _show(commit: str, path: str) -> str:
    """A file of an earlier commit. Raises `HwgenError` where the repository does not have it (a shallow clone)."""
    done = subprocess.run(["git", "show", f"{commit}:{path}"], capture_output=True, text=True)
    if done.returncode:
        raise HwgenError(
            f"quick_calibration: commit {commit} must be in the repository's history, which a shallow clone lacks "
            f"({done.stderr.strip()})"
        )
    return done.stdout


def histories(commit: str) -> dict[str, History]:
    """Every library that was measured at a commit, by the name of its technology."""
    whole = json.loads(_show(commit, "reports/results/held_out_wide_tiles.json"))["libraries"]
    found = {}
    for name, tiles in whole.items():
        facts = tomllib.loads(_show(commit, f"sim/tech/tables/{name}.toml"))
        rows = read_rows(_show(commit, f"sim/tech/tables/{name}.csv"), name)
        found[name] = History(facts, rows, tiles)
    return found


def left_out(name: str, known: Mapping[str, History], tiles: int = QUICK_TILES) -> LeftOut:
    """Calibrate a library by a few of its tiles and all others' tables, and by all of its tiles, and check both."""
    own = known[name]
    others = [one.reference(other) for other, one in known.items() if other != name]
    have = {repr(entry.spec) for entry in own.rows if entry.kind != TILE}
    possible = [
        Reference(one.name, [entry for entry in one.blocks if repr(entry.spec) in have], one.flattening)
        for one in others
    ]
    chosen = {repr(spec) for pe in sorted(families()) for spec in quick_tiles(possible, pe, tiles)}
    looked_at = [entry for entry in own.rows if repr(entry.spec) in chosen and entry.kind != TILE]
    with tempfile.TemporaryDirectory() as folder:
        errors = []
        for kind, rows, flattening in (
            ("quick", scaled(others, looked_at), mean_flattening(others)),
            ("full", own.rows, None),
        ):
            output = Path(folder) / f"{kind}.toml"
            facts = {key: value for key, value in own.facts.items() if key not in ("calibration", "models")}
            done = {key: own.facts["calibration"][key] for key in ("status", "library_sha256")}
            write_tables(rows, output, {**_NO_CLOCK, **facts}, done, flattening)
            tech = load(str(output))
            assert isinstance(tech, CalibratedTech)
            errors.append(tried(tech, own.whole))
    return LeftOut(name, len(chosen), errors[0], errors[1])


@contextmanager
def _empty_cache() -> Iterator[None]:
    """Nothing is known of earlier runs within, but for the model."""
    variable = "HWGEN_CACHE_DIR"
    before = os.environ.get(variable)
    model = default_model()
    with tempfile.TemporaryDirectory() as folder:
        os.environ[variable] = folder
        (Path(folder) / model.name).symlink_to(model)
        try:
            yield
        finally:
            if before is None:
                del os.environ[variable]
            else:
                os.environ[variable] = before


def minutes(files: Sequence[Path], jobs: int) -> tuple[str, int, float]:
    """Library, tiles and minutes of a quick calibration of all families now."""
    library = read_library(files)
    with tempfile.TemporaryDirectory() as folder, _empty_cache():
        started = time.monotonic()
        options = CalibrateOptions(quick=True, jobs=jobs, memory="sky130hd")
        done = calibrate(library, Path(folder) / "quick.toml", options)
        return library.name, done.tiles, (time.monotonic() - started) / 60


def page(found: Sequence[LeftOut], timed: Sequence[tuple[str, int, float]]) -> str:
    """Text of the result page."""
    rows: list[list[object]] = []
    for one in found:
        for quantity in BOUNDS:
            full, quick = one.errors(quantity)
            ratio = f"{quick[0] / full[0]:.2f} / {quick[1] / full[1]:.2f}"
            met = "yes" if quick[0] <= MOST_TIMES * full[0] else "no"
            cells = (f"{median:.1%} / {largest:.1%}" for median, largest in (full, quick))
            rows.append([one.library, one.tiles, quantity, *cells, ratio, met])
    parts = [
        f"Each library is left out in turn: {QUICK_TILES} tiles a family of it are looked at, as `hwgen calibrate "
        "--quick` does, and everything else is scaled from the other two. The table that comes out, and the one of all "
        "that was measured on the library, are then held to the same whole tiles over the legal space, which no "
        f"calibration has. All measurements are those of commit {MEASURED_AT}, when the three libraries had been "
        "measured in full on the same hardware (the generic library with 24 tiles a family, the others with 60; "
        "today's tables of ASAP7 and of the generic library are scaled ones). Features and fit are today's. Tiles that "
        f"lie outside of what was measured are left out. Wanted: at most {MOST_TIMES:g} times the median error.",
        table(
            ["library", "tiles looked at", "", "full, median / max", "quick, median / max", "quick / full", "met"], rows
        ),
    ]
    if timed:
        times = [[name, tiles, f"{took:.1f}", "yes" if took <= LIMIT_MINUTES else "no"] for name, tiles, took in timed]
        parts += [
            "## Time",
            "A whole run with an empty cache but for the model, on this machine, two tiles at a time.",
            table(["library", "tiles measured", "minutes", f"at most {LIMIT_MINUTES:g}"], times),
        ]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page; a mistake is told in a sentence, with exit status 2."""
    prog = "python -m reports.quick_calibration"
    made = argparse.ArgumentParser(prog=prog, description="Write reports/results/quick_calibration.md.")
    made.add_argument(
        "--time",
        action="append",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="Liberty files of a library of which a quick calibration is timed; may be repeated",
    )
    made.add_argument("--jobs", type=int, default=2, help="tiles at a time (default: 2)")
    options = made.parse_args(arguments)
    facts = provenance()
    try:
        known = histories(MEASURED_AT)
        found = [left_out(name, known) for name in known]
        timed = [minutes(files, options.jobs) for files in options.time]
    except HwgenError as error:
        made.exit(2, f"{error}\n")
    named = "".join(f" --time {' '.join(file.name for file in files)}" for files in options.time)
    write_result(RESULT, "Calibration in minutes", prog + named, page(found, timed), facts)
    print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
