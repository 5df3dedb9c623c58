"""``python -m reports.quick_calibration --sky130hd FILE --asap7 FILE...``: calibrations in minutes against full ones.

Each shipped library is left out in turn: calibrated with ``--quick`` from the others, in an empty cache, and held to
tiles that neither calibration measured, beside its own full calibration.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwgen.errors import HwgenError
from hwgen.options import CalibrateOptions
from hwgen.pe import families
from hwgen.synth import Library, generic_library
from reports.families import table
from reports.held_out import BOUNDS, Checked, calibrated_specs, checked
from reports.provenance import provenance, write_result
from reports.silicon import command_of, libraries_of, parser
from sim.calibrate import calibrate
from sim.calibrate.measure import measure_all
from sim.calibrate.plan import held_out_tiles
from sim.models.fetch import default_model
from sim.tech import CalibratedTech, load
from sim.tech._calibrated import Measured

__all__ = ["LIMIT_MINUTES", "MOST_TIMES", "Tried", "main", "page", "tried"]

RESULT = Path("reports/results/quick_calibration.md")
LIMIT_MINUTES, MOST_TIMES = 15.0, 1.5
"""Wanted: time on two cores, and how many times the errors of a full calibration."""
TILES = 9
"""Held-out tiles of each family."""


@dataclass(frozen=True)
class Tried:
    """A library, its quick calibration's time and measured tiles, and the errors of both on held-out tiles."""

    library: str
    minutes: float
    tiles: int
    quick: Sequence[Checked]
    full: Sequence[Checked]

    def errors(self, rows: Sequence[Checked], quantity: str) -> tuple[float, float]:
        """Median and largest absolute error."""
        found = np.abs([row.errors[quantity] for row in rows])
        return float(np.median(found)), float(found.max())


_ENVIRONMENT = "HWGEN_CACHE_DIR"


@contextmanager
def _empty_cache() -> Iterator[None]:
    """Nothing is known of earlier runs within, but for the model."""
    before = os.environ.get(_ENVIRONMENT)
    model = default_model()
    with tempfile.TemporaryDirectory() as folder:
        os.environ[_ENVIRONMENT] = folder
        (Path(folder) / model.name).symlink_to(model)
        try:
            yield
        finally:
            if before is None:
                del os.environ[_ENVIRONMENT]
            else:
                os.environ[_ENVIRONMENT] = before


def tried(
    name: str, library: Library, measured: Sequence[Measured], jobs: int, tell: Callable[[int, int], None]
) -> Tried:
    """Calibrate a shipped library as if it were new."""
    full = load(name)
    assert isinstance(full, CalibratedTech)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / f"{name}.toml"
        options = CalibrateOptions(quick=True, jobs=jobs, memory=full.memory)
        with _empty_cache():
            started = time.monotonic()
            done = calibrate(library, output, options, progress=tell)
            minutes = (time.monotonic() - started) / 60
        quick = load(str(output))
        assert isinstance(quick, CalibratedTech)
        known = calibrated_specs(full)
        return Tried(name, minutes, done.tiles, checked(quick, measured, known), checked(full, measured, known))


def page(found: Sequence[Tried]) -> str:
    """Text of the result page."""
    rows: list[list[object]] = []
    for one in found:
        for quantity in BOUNDS:
            full, quick = one.errors(one.full, quantity), one.errors(one.quick, quantity)
            rows.append(
                [
                    one.library,
                    quantity,
                    f"{full[0]:.1%} / {full[1]:.1%}",
                    f"{quick[0]:.1%} / {quick[1]:.1%}",
                    f"{quick[0] / full[0]:.2f} / {quick[1] / full[1]:.2f}",
                ]
            )
    times = [
        [one.library, one.tiles, f"{one.minutes:.1f}", "yes" if one.minutes <= LIMIT_MINUTES else "no"] for one in found
    ]
    return "\n\n".join(
        [
            "Each library is left out in turn and calibrated by `hwgen calibrate --quick --jobs 2` from the tables of "
            "the others, with an empty cache but for the model; then quick and full table are held to the same whole "
            f"tiles, which no calibration measured. Wanted: {LIMIT_MINUTES:g} minutes on two cores, and at most "
            f"{MOST_TIMES:g} times the errors.",
            table(["library", "tiles measured", "minutes", f"at most {LIMIT_MINUTES:g}"], times),
            table(["library", "", "full, median / max", "quick, median / max", "quick / full"], rows),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page; a mistake is told in a sentence, with exit status 2."""
    prog = "python -m reports.quick_calibration"
    made = parser(prog, "Write reports/results/quick_calibration.md.")
    made.add_argument("--jobs", type=int, default=2, help="tiles at a time")
    options = made.parse_args(arguments)
    facts = provenance()
    try:
        libraries: Mapping[str, Library] = {**libraries_of(options), "generic45": generic_library()}
        specs = [spec for one in sorted(families()) for spec in held_out_tiles(one, TILES)]
        found = []
        for name, library in libraries.items():
            measured, _ = measure_all([(spec, True) for spec in specs], library, jobs=options.jobs)
            found.append(tried(name, library, measured, options.jobs, lambda done, of: None))
            print(f"{name}: {found[-1].minutes:.1f} minutes, {found[-1].tiles} tiles", flush=True)
        write_result(RESULT, "Calibration in minutes", command_of(prog, options), page(found), facts)
    except HwgenError as error:
        made.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
