"""``python -m reports.accuracy PART...``: what formats, methods and arithmetic cost SmolLM2-135M.

Parts: ``formats`` (weights alone, and the pairs that tiles have), ``methods`` (formats by methods), ``arithmetic``
(every family's default tile beside its formats alone), ``mixed`` (formats for single blocks and groups of layers under
a budget). Every measurement is kept as it is made, so that a run that was
interrupted goes on; a page shows what is there, and with ``--kept`` nothing new is measured (not of ``mixed``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hwgen.errors import HwgenError
from hwgen.files import write_atomic
from hwgen.options import AccuracyOptions, MixedOptions
from hwgen.pe import families
from reports.accuracy_plot import energy_picture, perplexity_picture
from reports.families import table
from reports.provenance import provenance, write_result
from sim.accuracy.language import Measured
from sim.accuracy.methods import methods
from sim.accuracy.recipe import Recipe, recipe, try_weights
from sim.accuracy.run import Subject, Task, measured, mixed, subject, tile
from sim.accuracy.table import TABLE, Known, table_text
from sim.accuracy.tile import formats_of, tile_label

__all__ = ["FORMATS", "METHODS", "PARTS", "main", "tasks_of"]

FORMATS = (
    *("int8", "int6", "int5", "int4", "int3", "int8.asymmetric", "int4.asymmetric", "int3.asymmetric"),
    *(
        "int4.asymmetric/32",
        "int4.minimum/32",
        "int2.asymmetric",
        "fp8_e4m3",
        "fp6_e2m3",
        "fp6_e3m2",
        "fp4_e2m1",
        "e3m0",
    ),
    *("e2m0", "bitmod_fp4", "bitmod_fp3", "nf4", "mxfp8_e4m3", "mxfp6_e2m3", "mxfp4", "mxint8", "nvfp4", "nvint4"),
    *("hif4", "posit8_1", "posit4_1", "ternary", "bipolar1"),
    *("ant4", "flint4", "pot4", "olive4", "any4", "razer_fp4/16", "powers1_6", "powers2_6", "apot2_5"),
    *("sherry", "trit_planes", "bipolar2", "roots4_widely"),
)
"""Formats of weights, alone; groups of 128 where a format has no block of its own."""
METHODS = ("rtn", "clip", "hadamard", "smoothquant", "gptq", "scales", "powers", "trits", "lowrank", "awq")
_BY_METHODS = (
    *("int4", "int3", "int4.asymmetric", "int3.asymmetric", "fp4_e2m1", "e2m0", "bitmod_fp4", "bitmod_fp3", "nf4"),
    *("mxfp4", "nvfp4", "nvint4", "hif4", "mxfp6_e2m3", "int2.asymmetric", "ternary", "posit4_1", "e3m0", "int6"),
    *("fp6_e2m3",),
)


_COLUMNS = 576
"""Inputs of most layers of the model."""


@dataclass(frozen=True)
class Part:
    """A part: its title and on how many windows it is measured."""

    title: str
    windows: int


PARTS: Mapping[str, Part] = {
    "formats": Part("What formats cost a language model", 3),
    "methods": Part("What methods of quantisation win back", 1),
    "arithmetic": Part("What the arithmetic of tiles costs", 1),
    "mixed": Part("What formats for single layers win", 3),
}

MIXES = (
    MixedOptions(("int3.asymmetric", "int4.asymmetric", "int5.asymmetric", "int6.asymmetric"), 4.17, learn_tokens=512),
    MixedOptions(("int2.asymmetric", "int3.asymmetric", "int4.asymmetric"), 3.17, learn_tokens=512),
    MixedOptions(("mxfp4", "mxfp6_e2m3", "nvfp4"), 4.5, learn_tokens=512),
)
"""What is chosen from, and bits a weight: those of INT4 and INT3 with zero points, and of NVFP4."""


MORE_TILES = ("lut bits=4 acts=int8", "lut bits=4 acts=int8 entries=int8", "lut bits=4 acts=fp16", "mixpe acts=fp16")
"""Beside the families' default tiles, of which lut's has two bits."""


def demo_recipes() -> list[Recipe]:
    """Pairs of formats that the demo's tiles have."""
    from reports.demo import FORMATS as DEMO

    specs = [
        tile(" ".join([name, *(f"{k}={v}" for k, v in values.items())]))
        for name, many in DEMO.items()
        for values in many
    ]
    return list({one.digest_text(): one for one in map(formats_of, specs)}.values())


def tasks_of(part: str) -> list[Task]:
    """Measurements of a part, the float model first."""
    if part == "formats":
        recipes = [*(recipe({"weights": name}) for name in FORMATS), *demo_recipes()]
        return [Task(recipe({})), *map(Task, recipes)]
    if part == "methods":
        pairs = [recipe({"weights": form}, by) for by in METHODS for form in _BY_METHODS]
        return [Task(recipe({})), *(Task(one) for one in pairs if refusal(one) is None)]
    tiles = [*(one() for one in families().values()), *map(tile, MORE_TILES)]
    return [Task(recipe({})), *(Task(tile=one, exact=exact) for one in tiles for exact in (False, True))]


def refusal(asked: Recipe) -> str | None:
    """Why a method does not take a format; None where it does."""
    try:
        try_weights(asked, _COLUMNS)
    except HwgenError as error:
        return str(error)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure parts and write their pages; the formats' part writes the table that comes with the package too."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="+", choices=list(PARTS))
    parser.add_argument("--kept", action="store_true", help="show what was measured before and measure nothing")
    options = parser.parse_args(arguments)
    for part in options.parts:
        if part == "mixed":
            _write_mixed()
        else:
            _write(part, options.kept)
    return 0


def _write(part: str, kept_alone: bool) -> None:
    tasks = tasks_of(part)
    found = subject(AccuracyOptions(windows=PARTS[part].windows), None, tasks)
    rows = [row for task in tasks if (row := _one(found, task, kept_alone)) is not None]
    facts = provenance()
    stem = Path("reports/results") / f"accuracy_{part}"
    windows = found.evaluation.windows
    about = (
        f"{found.model.name} on {len(windows)} windows of {len(windows[0].tokens)} tokens of `{found.text.name}` "
        f"(sha256 {found.text.sha256[:12]}…), {rows[0][1].tokens:,} tokens scored, no start token; lm_head and "
        "embedding as they are. The model is a file whose layers are Q4_1 already: numbers are what comes on top."
    )
    if found.learned_from is not None:
        about += f" Methods learn from {sum(map(len, found.calibration)):,} tokens of `{found.learned_from.name}`."
    body = {"formats": _formats_body, "methods": _methods_body, "arithmetic": _arithmetic_body}[part](rows)
    if part != "arithmetic":
        picture = perplexity_picture([one.row() for _, one in rows], ".png", found.text.name)
        stem.with_suffix(".png").write_bytes(picture)
        body += f"\n\n![perplexity against bits a weight]({stem.name}.png)"
    else:
        tiles = [(task.tile, one.row()) for task, one in rows if task.tile is not None and task.exact]
        stem.with_suffix(".png").write_bytes(energy_picture(rows[0][1].row(), tiles, ".png", found.text.name))
        body += f"\n\n![perplexity against energy of a multiply-accumulate]({stem.name}.png)"
    write_result(
        stem.with_suffix(".md"), PARTS[part].title, f"python -m reports.accuracy {part}", f"{about}\n\n{body}", facts
    )
    if part == "formats":
        _write_table(rows, found, facts)


def _write_mixed() -> None:
    bodies = []
    for mix in MIXES:
        options = AccuracyOptions(windows=PARTS["mixed"].windows)
        found = subject(options, None, [Task(recipe({}))], mix)
        said = f"{', '.join(mix.formats)} by {mix.by}, at most {mix.budget_bits:g} bits a weight"
        print(said, file=sys.stderr, flush=True)
        compared = mixed(found, options, mix, lambda what, done, of: None)
        names = ("assign", "formats", "bits_per_weight", "predicted", "learned_kl_nats", "perplexity", "kl_nats")
        lines = [
            [f"{value:.4g}" if isinstance(value, float) else str(value) for value in (row[name] for name in names)]
            for row in compared.rows()
        ]
        verdicts = "\n".join(f"* {verdict}" for verdict in compared.verdicts)
        bodies.append(f"## {said}\n\n{table(names, lines)}\n\n{verdicts}")
    windows = found.evaluation.windows
    assert found.learned_from is not None
    about = (
        f"{found.model.name} on {len(windows)} windows of {len(windows[0].tokens)} tokens of `{found.text.name}`. "
        f"Formats are chosen by the divergence that each brings alone, on {MIXES[0].learn_tokens} tokens of "
        f"`{found.learned_from.name}`: *predicted* is the sum of these, *learned_kl_nats* what all together bring "
        "there, the rest is measured on the text that is read. *uniform* is the best single format within the budget."
    )
    body = "\n\n".join([about, *bodies])
    stem = Path("reports/results/accuracy_mixed.md")
    write_result(stem, PARTS["mixed"].title, "python -m reports.accuracy mixed", body, provenance())


def _one(found: Subject, task: Task, kept_alone: bool) -> tuple[Task, Measured] | None:
    kept = found.evaluation.known(task.document(), task.calibration(found))
    if kept is None and not kept_alone:
        print(task.document(), file=sys.stderr, flush=True)
        ((_, kept),) = measured(found, [task], lambda what, done, of: None)
        print(f"  {kept.perplexity:.3f}, {kept.seconds:.0f} s", file=sys.stderr, flush=True)
    return None if kept is None else (task, kept)


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 1e4 else f"{value:.1e}"


def _formats_body(rows: Sequence[tuple[Task, Measured]]) -> str:
    lines = []
    for task, one in rows:
        said = task.document()["formats"]
        lines.append(
            [
                said.get("weights", "float"),
                said.get("acts", "float"),
                f"{one.bits_per_weight:.2f}",
                _number(one.perplexity),
                f"{one.kl_nats:.4f}",
                f"{one.agreement:.1%}",
                f"{one.seconds:.0f}",
            ]
        )
    names = ["weights", "activations", "bits a weight", "perplexity", "KL [nats]", "agreement", "seconds"]
    return "\n\n".join([table(names, lines), *_orderings(rows)])


BITMOD_TABLE_VI: Mapping[str, Sequence[tuple[str, str | None, float]]] = {
    "4 bits": (
        ("BitMoD", "bitmod_fp4/128", 5.72),
        ("INT4, zero points", "int4.asymmetric/128", 5.77),
        ("MX-FP4", "mxfp4", 5.82),
        ("OliVe", "olive4/128", 5.91),
        ("ANT", "ant4/128", 6.09),
    ),
    "3 bits": (
        ("BitMoD", "bitmod_fp3/128", 6.55),
        ("INT3, zero points", "int3.asymmetric/128", 7.08),
        ("ANT", None, 8.51),
        ("MX-FP3", None, 8.86),
        ("OliVe", None, 9.13),
    ),
}
"""Llama-2-7B on Wikitext-2 (BitMoD, HPCA 2025, Table VI), weights alone; None: no format of this project."""

BLOCKS = ("hif4", "nvint4", "nvfp4", "mxfp4")


def _orderings(rows: Sequence[tuple[Task, Measured]]) -> list[str]:
    """Formats as papers order them, beside what was measured here."""
    alone = {
        task.recipe.formats["weights"].name: one
        for task, one in rows
        if task.recipe is not None and set(task.recipe.formats) == {"weights"}
    }

    def figures(name: str | None) -> list[str]:
        one = alone.get(name or "")
        return (
            ["–", "–", "–"] if one is None else [_number(one.perplexity), f"{one.kl_nats:.4f}", f"{one.agreement:.1%}"]
        )

    lines = [
        [bits, told, f"{published:.2f}", *figures(name)]
        for bits, many in BITMOD_TABLE_VI.items()
        for told, name, published in many
    ]
    names = ["", "format", "Llama-2-7B, published", "perplexity here", "KL here [nats]", "agreement here"]
    return [
        "## Beside BitMoD's Table VI",
        table(names, lines),
        "The order at three bits is the published one. At four bits BitMoD is the closest to the float model by "
        "divergence and by agreement, as published, and INT4 with zero points has the lower perplexity by a hair: the "
        "model's file is Q4_1, which is INT4 with zero points in groups of 32, so that this grid is nearer to the "
        "weights that are stored here than it would be to a model's own. Distances are several times the published "
        "ones: 135 million parameters have less to spare than seven billion. ANT and OliVe have no formats of three "
        "bits in this project, MX-FP3 is none of the standard.",
        "## HiF4, NVFP4, MXFP4",
        table(
            ["format", "bits a weight", "perplexity", "KL [nats]", "agreement"],
            [[name, f"{alone[name].bits_per_weight:.2f}", *figures(name)] for name in BLOCKS if name in alone],
        ),
        "MXFP4, whose scale is a power of two for 32 values, loses most, as published. HiF4 (64 values, 3 levels of "
        "scales, elements of even steps) and NVFP4 (16 values, an E4M3 scale, E2M1 elements) are alike here, with "
        "NVINT4 (NVFP4's blocks with integers) lowest in perplexity, NVFP4 in divergence. HiF4's authors report 24 % "
        "less squared error than NVFP4's on normal numbers; these weights are no normal numbers but multiples of a "
        "step in each 32, which grids of even steps meet better and blocks of 64 span two of.",
    ]


def _methods_body(rows: Sequence[tuple[Task, Measured]]) -> str:
    cells: dict[str, dict[str, Measured]] = {}
    for task, one in rows[1:]:
        assert task.recipe is not None
        cells.setdefault(task.recipe.formats["weights"].name, {})[str(task.recipe.method)] = one
    used = [by for by in METHODS if any(by in row for row in cells.values())]
    lines = [
        [name, *(f"{_number(row[by].perplexity)} ({row[by].bits_per_weight:.2f})" if by in row else "–" for by in used)]
        for name, row in cells.items()
    ]
    head = (
        f"Float model: {rows[0][1].perplexity:.2f}. Perplexity (bits a weight); –: refused, as below, or not measured. "
        f"{' and '.join(f'`{name}`' for name in METHODS if methods()[name].own_codes)} store codes of their own, in "
        "groups of the format's size: formats that agree in that, and in bits, have one number. One window, and a "
        "text to learn from that is short beside the papers' (GPTQ's authors take 128 × 2,048 tokens): what a method "
        "wins there it need not win here, and differences of some per cent say little."
    )
    asked = {by: {form: refusal(recipe({"weights": form}, by)) for form in _BY_METHODS} for by in METHODS}
    why = {by: {form: text for form, text in forms.items() if text is not None} for by, forms in asked.items()}
    said = "\n".join(
        f"- `{by}` has nothing to do for {', '.join(forms)}: {next(iter(forms.values())).partition(': ')[2]}."
        for by, forms in why.items()
        if forms
    )
    return "\n\n".join([head, table(["weights", *used], lines), said])


def _arithmetic_body(rows: Sequence[tuple[Task, Measured]]) -> str:
    base = rows[0][1]
    pairs: dict[str, dict[bool, Measured]] = {}
    for task, one in rows[1:]:
        assert task.tile is not None
        pairs.setdefault(tile_label(task.tile), {})[task.exact] = one
    lines = []
    for name, pair in pairs.items():
        if len(pair) == 2:
            formats, exact = pair[False], pair[True]
            lines.append(
                [
                    name,
                    _number(formats.perplexity),
                    _number(exact.perplexity),
                    f"{formats.perplexity - base.perplexity:+.4f}",
                    f"{exact.perplexity - formats.perplexity:+.4f}",
                    f"{exact.kl_nats - formats.kl_nats:+.5f}",
                ]
            )
    names = ["tile", "formats alone", "tile's arithmetic", "loss of the formats", "of the arithmetic", "in KL [nats]"]
    about = (
        "Where all sums are exact both columns are equal (mx, posit). Results of minifloat, and of int, lut, mixpe and "
        "other families with integer activations, differ by the rounding of FP32 sums, some 3·10⁻⁷ of the result, and "
        "what they show is noise: a last bit moves an activation of a later layer to the next code now and then, and a "
        "small model passes that on. With FP16 activations, whose codes are finer, that noise is some 0.006 (lut, "
        "mixpe), so that bitmod's difference is its arithmetic's, whose sums are truncated. lmul's is that of its "
        "products, which an addition of exponents and mantissas approximates ([errors_lmul.md](errors_lmul.md))."
    )
    return f"Float model: {base.perplexity:.2f}.\n\n{table(names, lines)}\n\n{about}"


def _write_table(rows: Sequence[tuple[Task, Measured]], found: Subject, facts: Mapping[str, str]) -> None:
    pairs = [
        (task.recipe, Known(one.bits_per_weight, one.perplexity, one.kl_nats, one.agreement, one.tokens))
        for task, one in rows
        if task.recipe is not None
    ]
    windows = found.evaluation.windows
    said: dict[str, Any] = {
        "model": found.model.name,
        "text": found.text.name,
        "text_sha256": found.text.sha256,
        "windows": len(windows),
        "window_tokens": len(windows[0].tokens),
        "command": "python -m reports.accuracy formats",
        "torch": torch.__version__,
        **facts,
    }
    TABLE.parent.mkdir(exist_ok=True)
    write_atomic(TABLE, table_text(pairs), "accuracy")
    lines = [f"{key} = {value}" if isinstance(value, int) else f'{key} = "{value}"' for key, value in said.items()]
    write_atomic(TABLE.with_suffix(".toml"), "\n".join(lines) + "\n", "accuracy")


if __name__ == "__main__":
    sys.exit(main())
