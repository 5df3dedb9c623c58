"""``hwgen run --generate``: its options, what they mean together, and what the command says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from hwgen.cli._family import parse_values
from hwgen.cli._values import Whole
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec

__all__ = [
    "MODEL",
    "decode_tile",
    "generate_options",
    "refuse_strays",
    "run_generation",
]

MODEL = "smollm2-135m"
"""What the default model may be called instead of its file."""
_NEEDED_BY_IT = ("prompt", "layers", "memory_latency", "memory_beats", "kv_quantiser")
_NOT_WITH_IT = (
    "layer",
    "weights_file",
    "acts_file",
    "weights_as_stored",
    "distribution",
    "seed",
    "tokens",
    "text_file",
)


class Share(click.ParamType[tuple[int, int]]):
    """Beats in cycles, as ``1/2``: from one in many cycles to one in each."""

    name = "n/d"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        words = str(value).split("/")
        if len(words) == 2 and all(word.isdecimal() and len(word) < 10 for word in words):
            beats, cycles = map(int, words)
            if 1 <= beats <= cycles:
                return beats, cycles
        self.fail(f"must be beats/cycles such as 1/2, at most 1/1, not {value!r}.", param, ctx)


def generate_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of text generation."""
    options = (
        click.option(
            "--generate", type=Whole(), metavar="N", help="generate N tokens after --prompt on an accelerator"
        ),
        click.option("--prompt", metavar="TEXT", help="what the model reads first"),
        click.option("--layers", type=Whole(), metavar="K", help="only the first K blocks of the model"),
        click.option(
            "--memory-latency", type=Whole(), default=20, show_default=True, help="cycles until memory answers"
        ),
        click.option(
            "--memory-beats", type=Share(), default="1/1", show_default=True, help="beats of memory in cycles"
        ),
        click.option(
            "--kv-quantiser",
            metavar="BY",
            help="who quantises keys and values: rtl, the compiled quantiser beside the accelerator (default where the "
            "tile's weights allow it), or software",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def decode_tile(ctx: click.Context, family: type[TileSpec], design: Mapping[str, Any]) -> None:
    """Put the tile's parameters for one token at a time among the command's, where none were given."""
    from sim.llm.design import BUS_BITS, tile_values

    names = [*family.parameters(), "bits"]
    given = {name: words[-1] for name in names if (words := ctx.params.get(name))}
    values = tile_values(family, parse_values(family, given), design.get("bus_bits", BUS_BITS))
    for name, value in values.items():
        if name not in given and name in ctx.params:
            ctx.params[name] = (str(value),)


def refuse_strays(ctx: click.Context, design: Mapping[str, Any]) -> None:
    """Refuse options of the one use of the command in the other."""
    generates = ctx.params["generate"] is not None
    flags = {param.name: param.opts[0] for param in ctx.command.get_params(ctx) if param.name}

    def was_given(name: str) -> bool:
        return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE

    for name in (*_NOT_WITH_IT, "save") if generates else _NEEDED_BY_IT:
        if was_given(name):
            raise HwgenError(f"run: {flags[name]} goes {'without' if generates else 'with'} --generate")
    if design and not generates:
        raise HwgenError(f"run: {flags[next(iter(design))]} goes with --generate; a layer runs on a bare tile")
    if generates and not ctx.params["prompt"]:
        raise HwgenError("run: --generate needs --prompt TEXT, which the model reads first")


def run_generation(
    spec: TileSpec,
    model: Path | None,
    count: int,
    prompt: str,
    blocks: int | None,
    latency: int,
    beats: tuple[int, int],
    design: dict[str, Any],
    kv_quantiser: str | None,
    as_json: bool,
) -> int:
    """Generate, say what came, and return the exit status."""
    from rich.console import Console

    from hwgen.accelerator import Memory
    from sim.llm import Options, generate

    options = Options(prompt, count, model, blocks, Memory(latency, beats), design, kv_quantiser)
    with Console(stderr=True).status("reading the model") as status:
        found = generate(spec, options, lambda line: status.update(line))
    click.echo(json.dumps(found.document(), indent=2) if as_json else "\n".join(_lines(found)))
    return 0 if found.ok else 1


def _lines(found: Any) -> list[str]:
    """What a generation says, line by line."""
    tile = f"{found.family} {found.tile['m']}x{found.tile['n']}x{found.tile['k']}"
    lines = [
        f"{found.prompt}{found.text}",
        "",
        f"tile {tile}, bus {found.design['bus_bits']} bits, {found.blocks} blocks and the output layer",
        f"{'':8s} {'tokens':>6s} {'cycles':>13s} {'predicted':>13s} {'MACs':>14s} {'MAC/cycle':>9s} {'M MAC/s':>8s} "
        f"{'s/token':>8s}",
    ]
    decoded = found.steps[1:]
    rows = [("prefill", found.steps[:1], found.prefill, found.steps[0].read)]
    rows += [("decode", decoded, found.decode, len(decoded))] if decoded else []
    for what, steps, count, tokens in rows:
        seconds = sum(step.seconds for step in steps)
        lines.append(
            f"{what:8s} {tokens:6,} {count.cycles:13,} {count.predicted:13,} {count.macs:14,} "
            f"{count.macs / count.cycles:9.1f} {count.macs / seconds / 1e6:8.1f} {seconds / tokens:8.1f}"
        )
    wrong = sum(step.count.different for step in found.steps)
    jobs = sum(step.count.jobs for step in found.steps)
    lines.append(f"cycles: {'predicted for every one of' if not wrong else f'DIFFERENT in {wrong} of'} {jobs:,} jobs")
    lines.append(f"keys and values: {_quantised(found)}")
    bad = sum(step.mismatches for step in found.steps)
    first = next((number for number, step in enumerate(found.steps, 1) if step.mismatches), 0)
    equal = "equal" if found.logits_equal else f"DIFFERENT ({bad:,} logits, first for token {first})"
    lines.append(f"logits and golden PyTorch model, bit for bit: {equal}")
    golden = sum(step.golden_seconds for step in found.steps)
    lines.append(
        f"before the first token {found.setup_seconds:.1f} s; golden model {golden:.1f} s; processor time of a token "
        f"{found.processor_seconds:.1f} s"
    )
    return lines


def _quantised(found: Any) -> str:
    """Who quantised keys and values, and what it took."""
    count = found.quantiser
    if found.kv_quantiser != "rtl":
        return f"quantised in software{f' ({found.kv_reason})' if found.kv_reason else ''}"
    equal = (
        "as predicted for every one of" if not count.different else f"DIFFERENT from predicted in {count.different} of"
    )
    return f"{count.rows:,} rows written by the quantiser's RTL in {count.cycles:,} cycles, {equal} {count.jobs:,} jobs"
