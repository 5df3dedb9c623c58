"""``python -m reports.ratios --sky130hd FILE --asap7 FILE...``: published ratios beside ours.

Each row says what the paper compares and on what basis, and why ours differs. Nothing is fitted to a paper.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.synth import Library, SynthOptions, synthesise
from reports.families import table
from reports.provenance import provenance, write_result
from reports.silicon import (
    LAYER,
    RECIPES,
    Design,
    Measured,
    clock_of,
    command_of,
    libraries_of,
    measure,
    parser,
)
from sim.clock import at_clock
from sim.energy import Operands, layer_operands

__all__ = ["ROWS", "Ratio", "Sizes", "main", "page"]

RESULT = Path("reports/results/ratios.md")


class Sizes:
    """Tiles and cells in one library at its default clock; energies where there are operands."""

    def __init__(
        self,
        library: Library,
        name: str,
        operands: Sequence[Operands] = (),
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.library, self.name, self.operands, self.tell = library, name, operands, tell
        self._tiles: dict[str, Measured] = {}

    def tile(self, family_name: str, macs: int, even: bool = False, **values: Any) -> Measured:
        """A tile that does ``macs`` multiply-accumulates a cycle, without post lanes unless ``values`` have some;
        ``even``: of evenly spread weights.
        """
        key = f"{family_name} {macs} {sorted(values.items())}{' even' if even else ''}"
        if key not in self._tiles:
            design = Design(family_name, 0, "", "", {"post_lanes": 0, **values})
            operands = [evenly_spread(one) for one in self.operands] if even else self.operands
            found = measure(design, self.library, self.name, operands, macs=macs)
            self.tell(f"{self.name} {key}: {found.area:,.5g} um2, {found.energy:.3g} pJ/MAC")
            self._tiles[key] = found
        return self._tiles[key]

    def cell(self, family_name: str, **values: Any) -> float:
        """Area of one cell."""
        spec = at_clock(family(family_name), values, self.name)
        result = synthesise(
            spec,
            self.library,
            options=SynthOptions(clk_period_ns=clock_of(self.name), recipes=RECIPES, kinds=("cell",)),
        )
        self.tell(f"{self.name} cell of {family_name} {values}: {result.area:,.5g} um2")
        return result.area / result.blocks[0].count


def evenly_spread(operands: Operands) -> Operands:
    """The same activations, with weights drawn evenly from -1 to 1."""
    drawn = np.random.default_rng(1).uniform(-1, 1, operands.weights.shape)
    return Operands(f"{operands.name} by even weights", drawn, operands.acts)


@dataclass(frozen=True)
class Ratio:
    """A published ratio, what it compares on what basis, how ours is made, and why both differ."""

    paper: str
    compared: str
    published: str
    ours: Callable[[Sizes], str]
    why: str


_LUT: dict[str, Any] = {"m": 2, "k": 4, "bits": 2, "scheme": "symmetric"}
_LUT_MACS = 512
"""One-bit multiply-accumulates a cycle of the paper's arrays, M·N·K."""
_UNPU: dict[str, Any] = {**_LUT, "planes": "twos_complement", "symmetry": "none"}
_STEPS: tuple[dict[str, Any], ...] = (
    {**_LUT, "negation": "runtime"},
    _LUT,
    {**_LUT, "precompute": "external"},
)
"""Each of the paper's steps with those before it."""

_FP16_MAC: dict[str, Any] = {"bits": 16, "accumulator": "fp32", "k": 1}
_LANE = {"k": 1}
_ALONE: tuple[tuple[int, Mapping[str, Any]], ...] = (
    (1, {"format": "posit", "posit_bits": 16, "es": 1, "k": 1}),
    (2, {"format": "posit", "posit_bits": 8, "es": 0, "k": 1}),
    (4, {"format": "posit", "posit_bits": 4, "es": 1, "k": 1}),
    (4, {"format": "fp4", "k": 1}),
)
"""Units of one format each that do what a lane that splits does, and how many."""


def _both(larger: Measured, smaller: Measured) -> str:
    """How many times the area a multiply-accumulate a cycle and the energy a multiply-accumulate."""
    area = (larger.area / larger.macs_per_cycle) / (smaller.area / smaller.macs_per_cycle)
    energy = f", energy {larger.energy / smaller.energy:.3g}×" if larger.pj_per_mac and smaller.pj_per_mac else ""
    return f"area {area:.3f}×{energy}"


def _step(index: int) -> Callable[[Sizes], str]:
    macs = _LUT_MACS // 2

    def ratio(sizes: Sizes) -> str:
        text = _both(sizes.tile("lut", macs, **_UNPU), sizes.tile("lut", macs, **_STEPS[index]))
        even = [sizes.tile("lut", macs, True, **values) for values in (_UNPU, _STEPS[index])]
        return (
            f"{text}; of evenly spread weights {even[0].energy / even[1].energy:.3g}×" if even[0].pj_per_mac else text
        )

    return ratio


def _lut_over_int(bits: int) -> Callable[[Sizes], str]:
    return lambda sizes: _both(
        sizes.tile("int", _LUT_MACS, bits=8, m=2, k=4), sizes.tile("lut", _LUT_MACS // bits, **{**_LUT, "bits": bits})
    )


def _bitmod_cell(sizes: Sizes) -> str:
    return f"{sizes.cell('bitmod', bits=4, post_lanes=0) / sizes.cell('minifloat', **_FP16_MAC) - 1:+.0%}"


def _bitmod_tile(sizes: Sizes) -> str:
    ours, base = sizes.tile("bitmod", 128, bits=4, m=8), sizes.tile("minifloat", 64, **_FP16_MAC, m=8)
    return f"area {ours.area / 128 / (base.area / 64) - 1:+.0%}, energy {ours.energy / base.energy - 1:+.0%}"


def _mixpe(acts: str, other: str, macs: int, **values: Any) -> Callable[[Sizes], str]:
    def ratio(sizes: Sizes) -> str:
        ours, base = sizes.tile("mixpe", 256, bits=4, acts=acts, m=8), sizes.tile(other, macs, m=8, **values)
        product = base.area / base.macs_per_cycle * base.energy / (ours.area / ours.macs_per_cycle * ours.energy)
        return f"{product:.2f}× ({_both(base, ours)})"

    return ratio


def _posit(sizes: Sizes) -> str:
    alone = sum(count * sizes.cell("posit", **values) for count, values in _ALONE)
    return f"{alone / sizes.cell('posit', **_LANE):.2f}×"


_TABLE2 = "LUT Tensor Core (ISCA 2025), Table 2"
_TABLE2_BASIS = "M2N64K4, W2A8, area of the array, 28 nm, Design Compiler; UNPU there is a version of the authors' own"
_BITMOD = "BitMoD (HPCA 2025), Table X"

ROWS: tuple[Ratio, ...] = (
    Ratio(
        _TABLE2,
        f"UNPU / with weights reinterpreted as ±1 and half tables. {_TABLE2_BASIS}",
        "area 1.317×, power 1.301×",
        _step(0),
        "Same steps by flags. The step saves multiplexers of the look-up, but no accumulator: of our cell afterwards "
        "its registers, adder and shift are more than half, exact for 128 products; the paper's width is not given. "
        "Ours also counts an accumulator a row for the activation sum that the step makes necessary. Energy: most "
        "2-bit codes of a real layer without a zero point are 0, whose plain bits look up nothing and switch nothing; "
        "planes of ±1 have no zero. The paper does not say what its operands are.",
    ),
    Ratio(
        _TABLE2,
        "UNPU / and keys complemented offline",
        "area 1.351×, power 1.347×",
        _step(1),
        "Our run-time complement stands in the columns, once for all rows, so that there is less to save than where "
        "every unit has one.",
    ),
    Ratio(
        _TABLE2,
        "UNPU / and tables built outside the array",
        "area 1.440×, power 1.442×",
        _step(2),
        "Two table builders beside 128 cells: what goes is their share of the tile. Registers of tables stay.",
    ),
    *(
        Ratio(
            "LUT Tensor Core, sweep of tensor cores",
            f"int8 MAC / LUT with {bits}-bit weights, area at equal throughput, M·N·K = 512, 28 nm",
            published,
            _lut_over_int(bits),
            "A range over activation formats, or read off a figure. Here int8, a plane a cycle, sums of 128 products.",
        )
        for bits, published in ((1, "4 to 6×"), (2, "above 1×"), (4, "below 1×"))
    ),
    Ratio(
        _BITMOD,
        "BitMoD PE / FP16 MAC, area of a PE; the PE does two MACs a cycle with FP4. 28 nm, 1 ns, pipelined in stages; "
        "the published FP16 MAC adds in FP16",
        "-24 %",
        _bitmod_cell,
        "Both of ours have the registers that the clock asks for, and our FP16 MAC adds in FP32, which makes that one "
        "larger. The published accumulator never aligns the sum of products (its RTL loses bits there); ours aligns "
        "either operand and normalises, a shifter of 17 and one of 18 bits. Mapped by the same recipes as the "
        "published RTL, our cell is the smaller one all the same: 0.86 of its area in both libraries, at 1.1 times its "
        "period, before either had cuts.",
    ),
    Ratio(
        _BITMOD,
        "BitMoD / FP16 at equal throughput, 8 × 8 tile with its encoders (99 509 µm² for 128 MACs a cycle over "
        "95 498 µm² for 48)",
        "-61 % (derived)",
        _bitmod_tile,
        "As above; decoders of both are once a row and column here.",
    ),
    Ratio(
        "MixPE (arXiv 2411.16158), design-space script",
        "int8 MAC / W4A8, area times power at equal throughput (133.38 over 58.28 on its scale; the definition of the "
        "product is not given)",
        "2.29×",
        _mixpe("int8", "int", 256, bits=8),
        "The script's powers of a PE are those of another paper's PEs scaled, not of a synthesis. Ours: area a MAC a "
        "cycle times energy a MAC.",
    ),
    Ratio(
        "MixPE, design-space script",
        "FP16 MAC / W4A16, area times power at equal throughput",
        "4.82×",
        _mixpe("fp16", "minifloat", 64, **_FP16_MAC),
        "Ours aligns activations to a group's exponent before the buffer, so that a cell adds integers; that block is "
        "in neither area nor energy. The paper's cell adds floating-point terms. Our FP16 MAC adds in FP32.",
    ),
    Ratio(
        "XR-NPE (arXiv 2508.13049)",
        "units of one format each (posit16, 2 × posit8, 4 × posit4, 4 × FP4) / one lane that splits, cells; the paper "
        "gives the lane against other designs only",
        "no such figure",
        _posit,
        "All of them with exact quires for 128 products.",
    ),
)
"""All rows of the page."""


def page(libraries: Mapping[str, Library], minutes: float, tell: Callable[[str], None]) -> str:
    """Text of the result page below its head; after so many minutes no further ratio is measured."""
    operands = [layer_operands(LAYER)]
    sizes = {name: Sizes(library, name, operands, tell) for name, library in libraries.items()}
    end = time.monotonic() + 60 * minutes
    rows = []
    for row in ROWS:
        ours = [row.ours(each) if time.monotonic() < end else "not measured yet" for each in sizes.values()]
        rows.append([row.paper, row.compared, row.published, *ours, row.why])
    return "\n\n".join(
        [
            "Every tile has the cuts that its library's default clock asks for, and is mapped for it: the smallest "
            "netlist of each block that keeps it, pre-layout; a block moves by up to a tenth with recipe and target. "
            "What is in a tile: its rows, columns, cells and control, no post lanes, and no block before the "
            "activation buffer. Energies as in `silicon.md`.",
            table(["paper", "compared", "published", *sizes, "why they differ"], rows),
            "\n".join(f"{name}: {one.name}, SHA-256 {one.sha256[:16]}…." for name, one in libraries.items()),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page; a mistake is told in a sentence, with exit status 2."""
    prog = "python -m reports.ratios"
    made = parser(prog, "Write reports/results/ratios.md.")
    made.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many, and write what is done")
    options = made.parse_args(arguments)
    facts = provenance()
    try:
        libraries = libraries_of(options)
        body = page(libraries, options.minutes, lambda line: print(line, flush=True))
        write_result(RESULT, "Published ratios beside ours", command_of(prog, options), body, facts)
    except HwgenError as error:
        made.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
