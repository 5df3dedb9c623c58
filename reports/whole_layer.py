"""``python -m reports.whole_layer``: one whole layer of SmolLM2 through the Verilog of many tiles, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwgen.pe import TileSpec, family
from reports.command_line import without_options
from reports.provenance import provenance, write_result
from sim.inputs import layer_operands
from sim.run import LayerRun, run_layer

__all__ = ["LAYER", "TOKENS", "main", "table", "tiles"]

LAYER, TOKENS = "blk.0.ffn_up", 8
RESULT = Path("reports/results/whole_layer.md")


TILES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    *(("lut", {"bits": bits, "acts": acts}) for acts in ("int8", "fp16") for bits in (1, 2, 3, 4, 8)),
    ("lut", {"bits": 2, "acts": "fp16", "align_scope": "step", "n": 16}),
    ("lut", {"bits": 4, "acts": "bf16", "n": 16}),
    ("lut", {"bits": 4, "acts": "fp8_e4m3", "n": 16}),
    ("lut", {"bits": 4, "entries": "int8", "n": 16}),
    ("lut", {"bits": 4, "entries": "int8", "entry_rule": "max127", "precompute": "external", "n": 16}),
    ("lut", {"acts": "fp16", "scheme": "bipolar", "cell": "fp_add", "adder_stages": 2, "interleave": "ring", "n": 8}),
    ("lut", {"bits": 4, "post_lanes": 4, "n": 16}),
    ("lut", {"bits": 4, "transport": "systolic", "n": 16, "stages": 3}),
    ("int", {"bits": 8}),
    ("int", {"bits": 4, "scheme": "asymmetric", "post_lanes": 2}),
    ("int", {"bits": 4, "acts": "fp16"}),
    ("lmul", {"n": 4}),
    *(("bitmod", {"bits": bits}) for bits in (3, 4, 5, 6, 8)),
    ("bitmod", {"bits": 4, "acts": "bf16", "post_lanes": 0}),
    ("bitmod", {"bits": 4, "acts": "int8", "post_lanes": 0, "n": 8}),
    *(("mixpe", {"bits": bits}) for bits in (2, 3, 4, 8)),
    ("mixpe", {"bits": 4, "acts": "fp16", "post_lanes": 2}),
    ("mixpe", {"bits": 4, "dequant": "channel", "group": 0, "depth": 576}),
    ("mixpe", {"bits": 4, "dequant": "before", "depth": 576}),
    *(("bitserial", {"bits": bits}) for bits in (1, 2, 3, 4, 8)),
    ("bitserial", {"bits": 4, "planes": 2, "scheme": "asymmetric", "post_lanes": 2}),
    ("bitplane", {"bits": 1}),
    ("bitplane", {"bits": 4, "acts": "bipolar4", "weight_planes": 2, "act_planes": 2}),
    ("bitplane", {"bits": 4, "act_planes": 2, "scheme": "asymmetric", "post_lanes": 2}),
    *(
        ("shiftadd", values)
        for values in ({"bits": 4}, {"bits": 5, "scheme": "apot", "acts": "fp16"}, {"post_lanes": 2})
    ),
    *(("bitfusion", {"acts": a, "bits": w}) for a, w in (("int8", 8), ("int8", 4), ("int8", 2), ("int4", 4))),
    ("bitfusion", {"bits": 4, "scheme": "asymmetric", "post_lanes": 2}),
    *(("codebook", {"weights": name}) for name in ("nf4", "razer_fp4", "sherry", "any4", "trit_planes")),
    ("codebook", {"acts": "fp16", "post_lanes": 2}),
    *(("ant", {"weights": w, "acts": a}) for w, a in (("ant4", "ant4"), ("flint4", "int8"), ("ant4", "int8"))),
    *(("olive", values) for values in ({}, {"acts": "int8"}, {"post_lanes": 2})),
    *(("complex", values) for values in ({}, {"mapping": "widely"})),
    *(("posit", {"operands": name}) for name in ("p16", "p8", "p4", "fp4")),
    ("posit", {"operands": "p8", "post_lanes": 2, "readout": "posit"}),
    ("posit", {"operands": "p8", "quire": "xr_npe", "depth": 127, "group": 0, "k": 4}),
    ("posit", {"format": "posit", "posit_bits": 8, "es": 2, "k": 4}),
    *(("mx", {"acts": a, "weights": w}) for a, w in (("mxfp4", "mxfp4"), ("mxint8", "mxfp4"), ("mxint8", "mxint8"))),
    *(("mx", {"acts": name, "weights": name}) for name in ("mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e2m3", "mxfp6_e3m2")),
    *(("mx", {"acts": name, "weights": name}) for name in ("nvfp4", "nvint4", "hif4")),
    *(("minifloat", {"acts": name, "weights": name}) for name in ("fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp4_e2m1")),
    ("minifloat", {"acts": "fp16", "weights": "fp16", "m": 1, "n": 4}),
    ("minifloat", {"acts": "fp16", "weights": "fp16", "accumulator": "fp32", "n": 4}),
    (
        "minifloat",
        {"acts": "bf16", "weights": "bf16", "accumulator": "fp32", "adder_stages": 3, "interleave": "ring", "n": 4},
    ),
)
"""The tiles that the layer goes through, family and parameters: every family in its main formats."""


def tiles() -> list[TileSpec]:
    """`TILES` as specs."""
    return [family(name).from_values(values) for name, values in TILES]


def settings(spec: TileSpec) -> str:
    """What differs from the family's defaults."""
    known = spec.parameters()
    return " ".join(f"{name}={value}" for name, value in spec.p.items() if value != known[name].default) or "defaults"


def table(runs: list[tuple[TileSpec, LayerRun]]) -> str:
    """Markdown table of runs."""
    lines = [
        "| family | tile M×N×K | settings | outputs = golden | cycles counted | predicted "
        "| pre cycles counted | predicted "
        "| quantisation error | M MAC/s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for spec, run in runs:
        equal = "yes, all bits" if run.golden_equal and run.reference_equal else f"NO: {run.detail}"
        lines.append(
            f"| {spec.family} | {spec.m}×{spec.n}×{spec.k} | {settings(spec)} | {equal} | {run.cycles_counted:,} | "
            f"{run.cycles_predicted:,} | {run.pre_cycles_counted:,} | {run.pre_cycles_predicted:,} | "
            f"{100 * run.relative_error:.2f} % | {run.macs_per_second / 1e6:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all tiles and write the result page; raises `SystemExit` with status 1 when one differs."""
    weights, acts = layer_operands(None, LAYER, TOKENS)
    runs = []
    for spec in tiles():
        run = run_layer(spec, weights, acts, name=LAYER)
        print(f"{spec.family:9s} {settings(spec):60s} {'equal' if run.ok else 'DIFFERENT ' + run.detail}", flush=True)
        runs.append((spec, run))
    n, k = weights.shape
    body = (
        f"{LAYER} of SmolLM2-135M, {n}×{k} weights, {TOKENS} tokens of real text, all of it through "
        f"the emitted Verilog "
        f"(compiled). Outputs are FP32 codes; integer group sums are compared as well where the tile gives them.\n\n"
        + table(runs)
    )
    write_result(RESULT, "Whole layer", "python -m reports.whole_layer", body, provenance())
    if not all(run.ok for _, run in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    without_options(main, __doc__)
