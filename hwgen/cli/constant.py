"""``hwgen constant``: a matrix of constants as a pipelined matrix-vector unit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._liberty import liberty_option, say_left_out
from hwgen.cli._reset import reset_options
from hwgen.cli._values import SEED, InputFile, Number, OutputFile, Text, Whole
from hwgen.emit import Reset
from hwgen.errors import HwgenError

if TYPE_CHECKING:
    import numpy as np

    from hwgen.constant import ConstantEmission

__all__ = ["command"]

_OF_LAYERS = ("model", "outputs", "inputs", "bits", "scheme", "group")


class MatrixFile(click.ParamType[str]):
    """An array file that the command reads, perhaps with ``:NAME`` behind it; none of the outputs."""

    name = "matrix file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = value.rpartition(":")[0] if ".npz:" in value.lower() else value
        InputFile().convert(path, param, ctx)
        return value


@click.command(epilog="Example: hwgen constant --layer blk.0.attn_k --outputs 0:2 --inputs 0:8 --acts int8")
@click.argument("matrix", required=False, type=MatrixFile())
@click.option("-o", "--output", type=OutputFile("Verilog"), metavar="FILE", help="write the Verilog")
@click.option("--manifest", "manifest_file", type=OutputFile("JSON"), metavar="FILE", help="write the manifest")
@click.option("--layer", type=Text(), metavar="NAME", help="a layer of a model instead of a file, quantised")
@click.option(
    "--model", type=InputFile(folders=True), metavar="FILE", help="with --layer: GGUF or safetensors (default model)"
)
@click.option("--outputs", type=Text(), metavar="A:B", help="with --layer: these outputs only")
@click.option("--inputs", type=Text(), metavar="A:B", help="with --layer: these inputs only, of one group")
@click.option("--bits", type=Whole(1, 16), metavar="N", help="with --layer: bits of weights (default 4)")
@click.option(
    "--scheme",
    type=Text(),
    metavar="NAME",
    help="with --layer: symmetric (default), asymmetric, bipolar or ternary integers",
)
@click.option(
    "--group", type=Whole(0), metavar="N", help="with --layer: inputs that share a scale (default 0: the whole row)"
)
@click.option("--acts", default="int8", show_default=True, metavar="NAME", help="format of the inputs: intN or uintN")
@click.option(
    "--method",
    default="shared",
    show_default=True,
    metavar="NAME",
    help="shared: common subexpressions once (da4ml); csd: canonical signed digits, nothing shared",
)
@click.option(
    "--levels", type=Whole(1, 1000), default=3, show_default=True, metavar="N", help="adders between registers"
)
@click.option(
    "--extra-levels",
    type=Whole(0, 1000),
    metavar="N",
    help="with --method shared: adders on the longest way beyond the least possible (default: as many as it takes)",
)
@click.option("--top", type=Text(), metavar="NAME", help="name of the module (default constant)")
@reset_options
@click.option("--verify", is_flag=True, help="run the Verilog, compiled, beside numpy")
@click.option("--vectors", type=Whole(2, 1_000_000), default=1000, show_default=True, help="vectors of --verify")
@click.option("--seed", type=SEED, default=1, show_default=True, help="seed of these vectors")
@click.option("--synth", is_flag=True, help="map to a cell library: area and shortest clock period")
@liberty_option
@click.option("--clk-period-ns", type=Number(), default=1.0, show_default=True, metavar="NS", help="target of --synth")
@click.option("--fpga", type=Text(), metavar="NAME", help="map to an FPGA: ecp5, ice40 or xilinx")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    matrix: str | None,
    output: Path | None,
    manifest_file: Path | None,
    layer: str | None,
    acts: str,
    method: str,
    levels: int,
    extra_levels: int | None,
    top: str | None,
    reset: Reset,
    verify: bool,
    vectors: int,
    seed: int,
    synth: bool,
    files: tuple[Path, ...],
    clk_period_ns: float,
    fpga: str | None,
    as_json: bool,
    **of_layer: Any,
) -> None:
    """Write a matrix-vector unit whose weights are wires: y = W x for the W of a file, exact, one vector a cycle.

    MATRIX is x.npy, x.npz (x.npz:NAME of several) or x.csv with whole numbers, outputs as rows; at most 16384
    elements. Or --layer takes a part of a model's layer, quantised: its integers, whose scales are applied behind the
    unit. Each weight becomes shifts and adders; docs/constant.md says which. Exit status 1 when --verify finds a
    difference.
    """
    from rich.console import Console

    from hwgen.constant import ConstantUnit, checked_name, emit_constant, verify_constant
    from hwgen.files import write_all

    if files and not synth:
        raise HwgenError("constant: --liberty must come with --synth")
    name = checked_name(top, reset)
    ConstantUnit.check(acts, method, levels, extra_levels)
    if fpga is not None:
        from hwgen.synth.fpga import vendor_of

        vendor_of(fpga)
    console = Console(stderr=True)
    with console.status("constant: reading the matrix") as status:
        whole, source = _matrix(matrix, layer, of_layer)
        unit = ConstantUnit.of(whole, acts, method, levels, extra_levels)
        status.update(f"constant: adders of {unit.outputs} x {unit.inputs} weights, method {method}")
        emission = emit_constant(unit, name, reset)
        document = {"source": source, **emission.manifest}
        costs: dict[str, Any] = {}
        if synth:
            status.update("constant: mapping to the cell library")
            costs["synth"] = _area(emission, files, clk_period_ns)
        if fpga is not None:
            status.update(f"constant: mapping to {fpga}")
            costs["fpga"] = _fpga(emission, fpga)
        check = None
        if verify:
            status.update(f"constant: {vectors} vectors through the Verilog")
            check = verify_constant(emission, vectors, seed)
    written: list[tuple[Path, str | bytes]] = []
    if manifest_file:
        written.append((manifest_file, json.dumps(document, indent=2) + "\n"))
    if output:
        written.append((output, emission.verilog))
    write_all(written, "constant")
    if as_json:
        said = {name: value for name, value in document.items() if name != "matrix"} | costs
        if check is not None:
            said["verify"] = {"vectors": check.vectors, "seed": seed, "ok": check.ok, "detail": check.first}
        click.echo(json.dumps(said, indent=2))
    else:
        _print(emission, source, costs)
        if check is not None:
            outcome = f"equal to numpy, {check.vectors:,} vectors, each after {_cycles(unit.latency)}"
            fault = f"FAIL {check.wrong} elements wrong, {check.late} results late: {check.first}"
            click.echo(f"verify: {outcome if check.ok else fault}")
    if check is not None and not check.ok:
        sys.exit(1)


def _matrix(matrix: str | None, layer: str | None, of_layer: dict[str, Any]) -> tuple[np.ndarray, str]:
    """The matrix, and where it is from."""
    from hwgen.constant import read_constant

    given = [f"--{name}" for name in _OF_LAYERS if of_layer[name] is not None]
    if (matrix is None) == (layer is None):
        raise HwgenError(
            "constant: the matrix must be a file or a --layer, "
            + ("not both" if layer is not None else "and neither is given; e.g. hwgen constant weights.npy -o core.v")
        )
    if matrix is not None:
        if given:
            raise HwgenError(f"constant: {given[0]} is of layers and must come with --layer")
        return read_constant(matrix), matrix
    assert layer is not None
    from hwgen.constant.layer import parse_range, quantised_block
    from sim.inputs import read_weights

    weights = read_weights(of_layer["model"], layer)
    outputs = parse_range(of_layer["outputs"], weights.shape[0], "constant: --outputs")
    inputs = parse_range(of_layer["inputs"], weights.shape[1], "constant: --inputs")
    scheme = "symmetric" if of_layer["scheme"] is None else of_layer["scheme"]
    bits = of_layer["bits"] or (2 if scheme == "ternary" else 4)
    group = of_layer["group"] or 0
    words = f"{layer}[{outputs.start}:{outputs.stop}, {inputs.start}:{inputs.stop}], {bits} bits, {scheme}"
    return quantised_block(weights, outputs, inputs, bits, scheme, group), words + (f", group {group}" if group else "")


def _area(emission: ConstantEmission, files: tuple[Path, ...], clk_period_ns: float) -> dict[str, Any]:
    from hwgen.constant.cost import constant_area
    from hwgen.synth import SynthOptions, generic_library, read_library

    library = read_library(files) if files else generic_library()
    say_left_out(library)
    result = constant_area(emission, library, SynthOptions(clk_period_ns=clk_period_ns))
    return {
        "library": library.name,
        "area": result.area,
        "area_unit": library.area_unit,
        "min_clk_period_ns": result.min_clk_period_ns,
        "target_clk_period_ns": clk_period_ns,
        "flip_flops": result.flip_flops,
    }


def _fpga(emission: ConstantEmission, vendor: str) -> dict[str, Any]:
    from hwgen.constant.cost import constant_fpga

    result = constant_fpga(emission, vendor)
    return {"vendor": vendor, "resources": {name: count for name, count in result.totals.items() if count}}


def _cycles(count: int) -> str:
    return f"{count} cycle{'s' * (count > 1)}"


def _print(emission: ConstantEmission, source: str, costs: dict[str, Any]) -> None:
    unit, found = emission.unit, emission.unit.costs()
    click.echo(f"{emission.top}: {unit.outputs} x {unit.inputs} weights, {unit.acts} inputs, {unit.y_bits} bit outputs")
    click.echo(f"weights: {source}; {found['nonzero_weights']:,} of {unit.matrix.size:,} are not zero")
    click.echo(
        f"adders: {found['adders']:,} ({found['negations']:,} of them negate), {found['adder_bits']:,} bits, "
        f"depth {found['depth']}"
    )
    click.echo(f"latency: {_cycles(unit.latency)}, a vector a cycle; registers: {found['register_bits']:,} bits")
    if "synth" in costs:
        area = costs["synth"]
        name = {"um2": "µm²", "GE": "GE"}[area["area_unit"]]
        click.echo(
            f"{area['library']}: {area['area']:,.1f} {name}, shortest clock period {area['min_clk_period_ns']:.3f} ns"
        )
    if "fpga" in costs:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in costs["fpga"]["resources"].items())
        click.echo(f"{costs['fpga']['vendor']}: {counts}")
