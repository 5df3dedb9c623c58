"""``python -m reports.whole_layer``: one whole layer of SmolLM2 through the Verilog of many tiles, bit for bit."""

from __future__ import annotations

from pathlib import Path

from hwgen.pe import TileSpec, family
from reports.provenance import provenance, write_result
from sim.inputs import layer_operands
from sim.run import LayerRun, run_layer

__all__ = ["LAYER", "TOKENS", "main", "table", "tiles"]

LAYER, TOKENS = "blk.0.ffn_up", 8
RESULT = Path("reports/results/whole_layer.md")


def tiles() -> list[TileSpec]:
    """The tiles that the layer goes through: every weight width of the LUT tensor core on int8 and fp16, and
    baselines.
    """
    lut, integer, mx, mixpe = family("lut"), family("int"), family("mx"), family("mixpe")
    specs: list[TileSpec] = [
        lut.from_values({"bits": bits, "acts": acts}) for acts in ("int8", "fp16") for bits in (1, 2, 3, 4, 8)
    ]
    specs += [
        lut.from_values({"bits": 2, "acts": "fp16", "align_scope": "step", "n": 16}),
        lut.from_values({"bits": 4, "post_lanes": 4, "n": 16}),
        lut.from_values({"bits": 4, "transport": "systolic", "n": 16, "stages": 3}),
        integer.from_values({"bits": 8}),
        integer.from_values({"bits": 4, "scheme": "asymmetric", "post_lanes": 2}),
        mx.from_values({"weights": "mxfp4", "acts": "mxfp4"}),
        mx.from_values({"weights": "mxfp4", "acts": "mxint8"}),
        mx.from_values({"weights": "mxint8", "acts": "mxint8"}),
        mixpe.from_values({"bits": 4}),
        mixpe.from_values({"bits": 4, "acts": "fp16", "post_lanes": 2}),
        mixpe.from_values({"bits": 4, "dequant": "channel", "group": 0, "depth": 576}),
        mixpe.from_values({"bits": 4, "dequant": "before", "depth": 576}),
    ]
    return specs


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
        print(f"{spec.family:5s} {settings(spec):60s} {'equal' if run.ok else 'DIFFERENT ' + run.detail}", flush=True)
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
    main()
