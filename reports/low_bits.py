"""``python -m reports.low_bits --sky130hd FILE --asap7 FILE``: energy of integer tiles of one bit beside two and more.

Two things change with the bits of weights: the hardware and what the weights are. The page takes them apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwgen.pe import TileSpec, family
from hwgen.synth import Library, SynthOptions, synthesise
from reports.families import table
from reports.silicon import clock_of, parser, write_by_library
from sim.energy import LAYERS, Operands, layer_operands, measure_energy

__all__ = ["BITS", "KINDS", "Measured", "main", "measure", "operands_of", "page", "zeros_of"]

RESULT = Path("reports/results/low_bits.md")
BITS = (1, 2, 3, 4)
KINDS = {"layer": "weights of the layers", "signs": "their signs alone"}
"""What weights are, by name."""


@dataclass(frozen=True)
class Measured:
    """A tile with one kind of weights: energy of a multiply-accumulate, and the share of codes that are zero."""

    bits: int
    kind: str
    area_um2: float
    energy_pj: float
    zeros: float


def operands_of(kind: str, layers: Sequence[Operands]) -> list[Operands]:
    """Layers with their own weights, or with ±1 of the same signs, which every width holds."""
    if kind == "layer":
        return list(layers)
    return [dataclasses.replace(one, weights=np.where(one.weights < 0, -1.0, 1.0).astype(np.float32)) for one in layers]


def zeros_of(spec: TileSpec, operands: Sequence[Operands]) -> float:
    """Share of codes that are zero, after the tile's own quantiser."""
    codes = [spec.quantize_weights(one.weights).dequantize() for one in operands]
    return float(sum(np.count_nonzero(one == 0) for one in codes) / sum(one.size for one in codes))


def measure(bits: int, library: Library, clk_period_ns: float, layers: Sequence[Operands]) -> list[Measured]:
    """The default tile of so many bits with each kind of weights."""
    spec = family("int").from_values({"bits": bits})
    result = synthesise(spec, library, SynthOptions(clk_period_ns=clk_period_ns, recipes=("plain",)))
    found = []
    for kind in KINDS:
        operands = operands_of(kind, layers)
        report = measure_energy(spec, result=result, operands=operands)
        found.append(Measured(bits, kind, result.area, report.pj_per_mac, zeros_of(spec, operands)))
    return found


def page(found: Mapping[str, Sequence[Measured]], clocks: Mapping[str, float]) -> str:
    """Text of the result page, by library."""
    parts = [
        "Does a multiply-accumulate take more energy with more bits? The hardware does for the same weights, but "
        "weights of a layer are not the same at every width. One bit is sign(w) · mean|w|: no product is zero, every "
        "sum changes in every step. Two bits are scaled by the largest magnitude of a group, and most weights of a "
        "language model are small beside it: most products are zero, and what is zero does not switch. So a tile "
        "of two bits takes less than one of one bit on the same layer, although it is larger. `hwgen estimate` "
        "repeats this, as its costs were measured on the same layers.",
        f"Default tiles of family `int`, recipe `plain`, no registers within blocks; energy of the mapped netlist on "
        f"{', '.join(LAYERS)} of the default model, compared with the reference in every beat. Weights are those of "
        f"the layers, or ±1 with their signs, which every width holds alike.",
    ]
    header = ["bits", "area, µm²", *(f"{name}: zero, %" for name in KINDS.values())]
    header += [f"{name}: pJ/MAC" for name in KINDS.values()]
    for library, measured in found.items():
        rows = []
        for bits in dict.fromkeys(one.bits for one in measured):
            each = {one.kind: one for one in measured if one.bits == bits}
            rows.append(
                [
                    bits,
                    f"{each['layer'].area_um2:,.0f}",
                    *(f"{100 * each[kind].zeros:.1f}" for kind in KINDS),
                    *(f"{each[kind].energy_pj:.4g}" for kind in KINDS),
                ]
            )
        parts += [f"## {library}, sized for {clocks[library]:g} ns", table(header, rows)]
    return "\n\n".join(parts)


def run(libraries: Mapping[str, Library], tell: Callable[[str], None]) -> dict[str, list[Measured]]:
    """All widths in all libraries, one after the other."""
    layers = [layer_operands(name) for name in LAYERS]
    found: dict[str, list[Measured]] = {}
    for name, library in libraries.items():
        found[name] = []
        for bits in BITS:
            found[name] += measure(bits, library, clock_of(name), layers)
            for one in found[name][-len(KINDS) :]:
                tell(f"{name} {bits} bit, {KINDS[one.kind]}: {one.energy_pj:.4g} pJ/MAC, {one.zeros:.0%} zero")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Map all tiles, measure and write the page."""
    options = parser("reports.low_bits", "energy of integer tiles of one bit beside two and more").parse_args(arguments)
    write_by_library(RESULT, "Energy of weights of few bits", "reports.low_bits", options, run, page)


if __name__ == "__main__":
    main()
