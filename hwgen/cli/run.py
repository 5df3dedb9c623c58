"""``hwgen run``: a layer of a real model through the Verilog of a tile."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from hwgen.cli._design import design_flags, take_design
from hwgen.cli._family import FamilyCommand
from hwgen.cli._generate import (
    MODEL,
    decode_tile,
    generate_options,
    refuse_strays,
    run_generation,
)
from hwgen.cli._layer import parse_layer
from hwgen.cli._values import SEED, InputFile, OutputFile, Whole
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec


class RunCommand(FamilyCommand):
    """``--weights`` and ``--acts`` also take array files: some families have formats under the same flags."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from sim.operands import is_operand_file

        words: list[str] = []
        for word in args:
            flag, equals, value = word.partition("=")
            if flag in OPERANDS and equals and is_operand_file(value):
                words += [f"{flag}-file", value]
            elif words and words[-1] in OPERANDS and is_operand_file(word):
                words[-1:] = [f"{words[-1]}-file", word]
            else:
                words.append(word)
        for flag in OPERANDS:
            if words.count(f"{flag}-file") > 1:
                raise HwgenError(f"run: {flag} must name one file, not {words.count(f'{flag}-file')}")
        return super().parse_args(ctx, words)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        # Behind all others but --help.
        return [*params[:-1], *design_flags(), params[-1]] if self._family(ctx) is not None else params

    def invoke(self, ctx: click.Context) -> Any:
        design, family = take_design("run", ctx.params), self._family(ctx)
        refuse_strays(ctx, design)
        if ctx.params["generate"] is not None and family is not None:
            decode_tile(ctx, family, design)
        ctx.params["design"] = design
        return super().invoke(ctx)


OPERANDS = ("--weights", "--acts")


class OperandFile(click.ParamType[str]):
    """An array file that the command reads, perhaps with ``:NAME`` behind it; none of the outputs."""

    name = "operand file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from sim.operands import operand_path

        InputFile().convert(operand_path(value), param, ctx)
        return value


class ModelInput(InputFile):
    """A model's file or folder; the default model's name is None, as if it had not been given."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value).lower() == MODEL and not Path(str(value)).exists():
            return None
        return super().convert(value, param, ctx)


@click.command(
    cls=RunCommand,
    epilog="Example: hwgen run --pe int --m 1 --n 4 --k 4 --layer blk.0.attn_k --tokens 1",
)
@click.option(
    "--model",
    type=ModelInput(folders=True),
    metavar="FILE",
    help=f"GGUF or safetensors file, index or folder; the default model, {MODEL}, if not given",
)
@click.option(
    "--layer",
    metavar="NAME",
    help="linear layer, e.g. blk.0.ffn_up (hwgen model layers lists them); with --random MxNxK, e.g. 8x64x576",
)
@click.option(
    "--weights-file",
    type=OperandFile(),
    metavar="FILE",
    help="weights [N, K] from x.npy, x.npz:NAME or x.safetensors:NAME, not a model; --weights FILE says the same",
)
@click.option(
    "--acts-file",
    type=OperandFile(),
    metavar="FILE",
    help="activations [tokens, K], likewise; --acts FILE says the same",
)
@click.option(
    "--weights-as-stored",
    is_flag=True,
    help="take codes, scales and zero points of a quantised model as they are, or refuse; without it such weights are "
    "dequantised and quantised again for the tile",
)
@click.option("--random", "distribution", metavar="NAME", help="random operands: normal, laplace, uniform or outliers")
@click.option("--seed", type=SEED, default=1, show_default=True, help="seed of --random")
@click.option("--tokens", type=Whole(), default=8, show_default=True, help="tokens of real text")
@click.option(
    "--text",
    "text_file",
    type=InputFile(),
    metavar="FILE",
    help="text whose activations are used; a public-domain one if not given",
)
@click.option(
    "--save", type=OutputFile("NumPy", need_suffix=True), metavar="FILE", help="write the outputs [tokens, N] as .npy"
)
@generate_options
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    spec: TileSpec,
    model: Path | None,
    layer: str | None,
    weights_file: str | None,
    acts_file: str | None,
    weights_as_stored: bool,
    distribution: str | None,
    seed: int,
    tokens: int,
    text_file: Path | None,
    save: Path | None,
    generate: int | None,
    prompt: str | None,
    layers: int | None,
    memory_latency: int,
    memory_beats: tuple[int, int],
    kv_quantiser: str | None,
    design: dict[str, Any],
    as_json: bool,
) -> None:
    """Run a whole layer through the emitted Verilog and compare it with the golden PyTorch layer, bit for bit.

    The activations are captured by running the model on real text (Llama-type models and GPT-2: GGUF, or safetensors
    with config.json and tokenizer.json beside them); those of other safetensors files are random. Or weights and
    activations come from array files, or both are random. Exit status 1 when a value or a cycle count differs.

    Weights of a checkpoint that is quantised already (GGUF, GPTQ, AWQ, compressed-tensors) run as they are stored with
    --weights-as-stored, on a tile that holds them exactly; docs/checkpoints.md has the schemes and their tiles.

    With --generate the whole model writes text: all its matrix products run on the emitted Verilog of an accelerator,
    the tile with memory around it, and the logits are compared with those of golden layers; docs/language_model.md.
    """
    if generate is not None and prompt is not None:
        memory = memory_latency, memory_beats
        sys.exit(run_generation(spec, model, generate, prompt, layers, *memory, design, kv_quantiser, as_json))
    from rich.console import Console

    from sim.inputs import read_operands
    from sim.operands import random_operands, read_matrix
    from sim.run import run_layer

    _one_source(model, layer, weights_file, acts_file, distribution, text_file, weights_as_stored)
    name, operands, kind = layer or "layer", "model", ""
    weights: Any
    console = Console(stderr=True)
    with console.status(f"reading {name}") as status:
        if weights_file is not None and acts_file is not None:
            weights, acts = read_matrix(weights_file, "run: --weights"), read_matrix(acts_file, "run: --acts")
            operands = f"files: weights {weights_file}, activations {acts_file}"
        elif distribution is not None:
            shape = parse_layer(name)
            name = shape.name
            weights, acts, operands = random_operands(shape, distribution, seed)
        else:
            found = read_operands(model, name, tokens, _text(text_file), as_stored=weights_as_stored)
            weights, acts, operands, kind = found.stored or found.weights, found.acts, found.words, found.kind
        run = run_layer(spec, weights, acts, name=name, progress=lambda line: status.update(line))
    if save:
        import io

        import numpy as np

        from hwgen.files import write_atomic

        buffer = io.BytesIO()
        np.save(buffer, run.y)
        write_atomic(save, buffer.getvalue(), "run")
    if as_json:
        click.echo(json.dumps({**run.document(), "operands": operands, "stored_as": kind}, indent=2))
    else:
        if operands != "model":
            click.echo(f"operands: {operands}")
        if kind:
            click.echo(f"weights: {_came(run, kind)}")
        for line in report(run):
            click.echo(line)
    sys.exit(0 if run.ok else 1)


def _one_source(
    model: Path | None,
    layer: str | None,
    weights: str | None,
    acts: str | None,
    distribution: str | None,
    text: Path | None,
    stored: bool,
) -> None:
    """Operands come from a model, from files or from random numbers: refuse a mixture, and less than one."""
    if (weights is None) != (acts is None):
        given, missing = ("--weights", "--acts") if acts is None else ("--acts", "--weights")
        raise HwgenError(f"run: {given} from a file needs {missing} from a file too")
    files = weights is not None
    sources = {"--model": model is not None or text is not None, "--weights and --acts": files}
    sources["--random"] = distribution is not None
    of_model = not files and distribution is None
    if stored and not of_model:
        raise HwgenError("run: --weights-as-stored goes with a model, whose weights may be quantised already")
    context = click.get_current_context()
    for flag, used, why in (
        ("tokens", of_model, "a model; the tokens are in the shape of the operands"),
        ("seed", distribution is not None, "--random"),
    ):
        if not used and context.get_parameter_source(flag) is ParameterSource.COMMANDLINE:
            raise HwgenError(f"run: --{flag} goes with {why}")
    given_sources = [flag for flag, there in sources.items() if there]
    if len(given_sources) > 1:
        raise HwgenError(f"run: operands must come from one source, not from {' and from '.join(given_sources)}")
    if layer is None and not files:
        raise HwgenError(
            "run: --layer must name a layer of the model (hwgen model layers lists them), or be MxNxK with --random; "
            "or give --weights FILE and --acts FILE"
        )


def _came(run: object, kind: str) -> str:
    """How the weights came from what the file has to what the tile holds."""
    from sim.models.catalogue import PLAIN
    from sim.run import LayerRun

    assert isinstance(run, LayerRun)
    if run.weights.startswith("as stored") or kind in PLAIN:
        return run.weights if kind not in PLAIN else f"{run.weights}, from {kind}"
    return f"dequantised from {kind} and {run.weights}; --weights-as-stored keeps what is stored"


def _text(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HwgenError(f"run: --text must be a readable UTF-8 file, not {str(file)!r}: {error}") from error


def report(run: object) -> list[str]:
    """What a run says, line by line."""
    from sim.run import LayerRun

    assert isinstance(run, LayerRun)
    layer = run.layer
    equal = (
        "equal" if run.golden_equal and run.reference_equal else f"DIFFERENT ({run.mismatches} outputs; {run.detail})"
    )
    lines = [
        f"{layer.name}: {layer.m} tokens x {layer.n} outputs x {layer.k} inputs, "
        f"{layer.macs:,} MACs in {run.steps:,} steps",
        f"outputs and golden PyTorch layer, bit for bit: {equal}",
        f"cycles: {run.cycles_counted:,} counted, {run.cycles_predicted:,} predicted",
    ]
    if run.pre_cycles_predicted:
        lines.append(
            f"cycles before the buffer: {run.pre_cycles_counted:,} counted, {run.pre_cycles_predicted:,} predicted"
        )
    lines.append(f"error of quantisation against float: {100 * run.relative_error:.2f} % (relative L2)")
    lines.append(
        f"simulation: {run.macs_per_second / 1e6:.1f} million MAC/s ({run.run_seconds:.2f} s; "
        f"build or cache {run.build_seconds:.1f} s)"
    )
    return lines
