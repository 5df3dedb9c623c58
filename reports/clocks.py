"""``python -m reports.clocks --sky130hd FILE --asap7 FILE...``: what clock every family reaches with cuts.

One cell a tile, and its post lane where it has them. The cuts of a tile are the same in both libraries; the goals are
those of a chip whose other blocks run at that clock. Mappings are for speed, the smaller of two recipes that meet the
goal, else the faster. Each lies in the cache, so a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.synth import Library, SynthOptions, TileResult, synthesise
from reports.families import table
from reports.provenance import provenance, write_result
from reports.silicon import LIBRARIES, command_of, libraries_of, parser

__all__ = ["GOALS_NS", "TILES", "main", "page"]

RESULT = Path("reports/results/clocks.md")
RECIPES = ("plain_fast", "noalumacc_fast")

FAST_NS, GOALS_NS = {"sky130hd": 2.3, "asap7": 0.45}, {"sky130hd": 3.0, "asap7": 0.6}
"""Clock periods that families of integer sums without post lanes, and all others, are to reach."""
INTEGER = ("int", "lut", "mixpe")

_LANE = {"post_lanes": 1, "post_cuts": 6, "post_adder_stages": 6}
_LOOP = {"accumulator": "fp32", "adder_stages": 6, "interleave": "ring"}
TILES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "int W8A8, K 4": ("int", {"cell_cuts": 2}),
    "lut W2, K 4": ("lut", {"bits": 2, "front_cuts": 2, "cell_cuts": 1}),
    "mixpe W4A8, K 4": ("mixpe", {"bits": 4, "cell_cuts": 2}),
    "mx MXFP4, K 8": ("mx", {"k": 8, "cell_cuts": 2, **_LANE}),
    "bitmod FP16, K 4": ("bitmod", {"front_cuts": 2, "cell_cuts": 3, "adder_stages": 5, **_LANE, "post_cuts": 5}),
    "minifloat FP16, FP32 sums, K 4": ("minifloat", {"bits": 16, "front_cuts": 1, "cell_cuts": 8, **_LOOP}),
    "posit SIMD, K 2": ("posit", {"k": 2, "front_cuts": 3, "cell_cuts": 3, "group": 64, "depth": 64, **_LANE}),
}
"""Family and parameters by name."""

CUTS = ("front_cuts", "cell_cuts", "adder_stages", "post_cuts", "post_adder_stages")


def mapped(name: str, cut: bool, library: Library, goal_ns: float) -> TileResult:
    """One tile, with its cuts or with those of ``stages`` alone."""
    kind, values = TILES[name]
    kept = {key: value for key, value in values.items() if cut or (key not in CUTS and key != "interleave")}
    spec = family(kind).from_values({"m": 1, "n": 1, "stages": 2, **kept})
    return synthesise(spec, library, SynthOptions(clk_period_ns=goal_ns, recipes=RECIPES))


def page(libraries: Mapping[str, Library]) -> str:
    """The table of both libraries."""
    rows = []
    for name, (kind, _) in TILES.items():
        for label, library in libraries.items():
            goal = (FAST_NS if kind in INTEGER else GOALS_NS)[label]
            plain, cut = (mapped(name, wanted, library, goal) for wanted in (False, True))
            p = cut.spec.p
            placed = [f"{key} {p[key]}" for key in CUTS if p.get(key, 0) > (1 if key.endswith("stages") else 0)]
            by = ", ".join(f"{b.kind} {b.min_clk_period_ns:.2f}" for b in cut.blocks if b.kind != "control")
            rows.append(
                [
                    name,
                    label,
                    f"{goal:g}",
                    f"{plain.min_clk_period_ns:.2f}",
                    f"{cut.min_clk_period_ns:.3f}",
                    "yes" if cut.min_clk_period_ns <= goal else "no",
                    ", ".join(placed),
                    by,
                    f"{cut.area / plain.area:.2f}",
                    f"{cut.flip_flops} / {plain.flip_flops}",
                ]
            )
            print(f"{name}, {label}: {cut.min_clk_period_ns:.3f} ns", flush=True)
    head = [
        "tile",
        "library",
        "goal ns",
        "stages 2 ns",
        "with cuts ns",
        "met",
        "cuts",
        "blocks ns",
        "area ratio",
        "bits",
    ]
    notes = (
        "Pre-layout, ABC's timing with clock-to-output and setup of the flip-flop. `stages 2` has a register behind "
        "front-ends and one behind products, and none within; `area ratio` and `bits` (flip-flop bits) are with cuts / "
        "stages 2, both mapped for the goal."
    )
    return notes + "\n\n" + table(head, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page; a mistake is told in a sentence, with exit status 2."""
    prog = "python -m reports.clocks"
    made = parser(prog, "Write reports/results/clocks.md.")
    options = made.parse_args(arguments)
    facts = provenance()
    try:
        libraries = libraries_of(options)
        assert set(libraries) <= set(LIBRARIES)
        write_result(RESULT, "Clocks of all families", command_of(prog, options), page(libraries), facts)
    except HwgenError as error:
        made.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
