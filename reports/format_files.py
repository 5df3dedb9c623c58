"""``python -m reports.format_files``: the shipped format files, from file to proved Verilog and perplexity.

For each file: the tile that takes it, its contract, what is proved of its Verilog, and what its numbers cost the
default model on the text and windows of the page of formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.cli._tech import DEFAULT_TECH, Clock, made_tile
from hwgen.emit import emit
from hwgen.formats import read_format
from hwgen.formats.file import FormatFile, example_names
from hwgen.options import AccuracyOptions
from hwgen.pe import TileSpec, family_of_file
from hwgen.prove import prove, summary
from hwgen.verify import check_contract, choose_engine
from reports.accuracy import PARTS
from reports.command_line import without_options
from reports.families import table
from reports.provenance import provenance, write_result
from sim.accuracy.language import Measured
from sim.accuracy.recipe import recipe
from sim.accuracy.run import Subject, Task, measured, subject
from sim.accuracy.tile import formats_of

__all__ = ["LIMIT_S", "Hardware", "hardware", "main", "tasks_of", "tile_of"]

RESULT = Path("reports/results/format_files.md")
LIMIT_S = 900.0
M, N = 1, 2


@dataclass(frozen=True)
class Hardware:
    """Of a file's tile: checks of its contract that hold, and all; obligations by status; lines of Verilog."""

    held: int
    checks: int
    obligations: tuple[dict[str, Any], ...]
    lines: int

    @property
    def counts(self) -> dict[str, int]:
        """Obligations that are proved, refuted and open."""
        return summary(list(self.obligations))


def tile_of(form: FormatFile) -> tuple[TileSpec, Clock]:
    """The tile of ``hwgen prove --format FILE --m 1 --n 2``, and its clock."""
    spec, own = family_of_file(form)
    return made_tile(spec, {**own, "m": M, "n": N}, DEFAULT_TECH, None)


def hardware(form: FormatFile, limit_s: float = LIMIT_S) -> Hardware:
    """Check the tile's contract by simulation, and prove its Verilog in at most so many seconds."""
    spec, clock = tile_of(form)
    findings = check_contract(spec, 1, choose_engine(spec, "auto"))
    emission = emit(spec, clock=clock.document())
    found = prove(emission.verilog, emission.manifest, limit_s=limit_s)
    held = sum(one.ok for one in findings)
    return Hardware(held, len(findings), tuple(found["obligations"]), emission.verilog.count("\n"))


def tasks_of(form: FormatFile) -> tuple[Task, Task]:
    """Weights alone as the file says them, and weights and activations as its tile stores them."""
    return Task(recipe({"weights": form.operand})), Task(formats_of(tile_of(form)[0]))


def _figures(found: Measured) -> list[str]:
    return [f"{found.bits_per_weight:.2f}", f"{found.perplexity:.2f}", f"{found.kl_nats:.4f}", f"{found.agreement:.1%}"]


def body(
    hard: Sequence[tuple[str, FormatFile, Hardware]], soft: Sequence[tuple[str, str, Measured]], about: str
) -> str:
    """The page's tables."""
    tiles, proofs = [], []
    for name, form, one in hard:
        spec, counts = tile_of(form)[0], one.counts
        shape = f"{spec.family} {spec.m}×{spec.n}×{spec.k}"
        seconds = sum(entry["seconds"] for entry in one.obligations)
        numbers = [str(counts[status]) for status in ("proved", "refuted", "open")]
        tiles.append(
            [
                name,
                f"`{form.canonical}`",
                shape,
                str(one.lines),
                f"{one.held} of {one.checks}",
                *numbers,
                f"{seconds:.0f}",
            ]
        )
        proofs += [
            [name, entry["name"], entry["status"], f"{entry['seconds']:.1f}", entry["detail"]]
            for entry in one.obligations
        ]
    return "\n\n".join(
        [
            "The three files of [formats_from_files.md](../../docs/formats_from_files.md). NF4 and the special values "
            "(`razer_fp4`) are built in, too; blocks of 24 are nowhere but in their file.",
            "## From file to proved Verilog",
            f"`hwgen verify --format FILE --m {M} --n {N}` and `hwgen prove --format FILE --m {M} --n {N}`, at most "
            f"{LIMIT_S:g} s a file: proofs are of the Verilog as it is written, read back, for all inputs.",
            table(
                [
                    *("file", "says of itself", "tile M×N×K", "lines of Verilog", "checks that hold"),
                    *("proved", "refuted", "open", "seconds"),
                ],
                tiles,
            ),
            "## Perplexity",
            about,
            table(
                ["file", "stored in it", "bits a weight", "perplexity", "KL [nats]", "agreement"],
                [[name, stored, *_figures(one)] for name, stored, one in soft],
            ),
            "## Obligations",
            table(["file", "obligation", "status", "seconds", "what"], proofs),
        ]
    )


def _accuracy(forms: Sequence[tuple[str, FormatFile]]) -> tuple[list[tuple[str, str, Measured]], str]:
    asked = [("–", "nothing: the float model", Task(recipe({})))]
    for name, form in forms:
        alone, pair = tasks_of(form)
        acts = pair.document()["formats"]["acts"]
        asked += [(name, "weights", alone), (name, f"weights, and activations in {acts}", pair)]
    found: Subject = subject(AccuracyOptions(windows=PARTS["formats"].windows), None, [task for _, _, task in asked])
    rows = []
    for name, stored, task in asked:
        ((_, one),) = measured(found, [task], lambda what, done, of: None)
        print(f"{name}: {stored}: {one.perplexity:.3f}", flush=True)
        rows.append((name, stored, one))
    windows = found.evaluation.windows
    about = (
        f"`hwgen accuracy --format FILE`: {found.model.name} on {len(windows)} windows of {len(windows[0].tokens)} "
        f"tokens of `{found.text.name}`, {rows[0][2].tokens:,} tokens scored, as in "
        "[accuracy_formats.md](accuracy_formats.md); lm_head and embedding as they are. With activations: all that "
        "the tile stores."
    )
    return rows, about


def main() -> None:
    """Measure all files and write the page; raises `SystemExit` with status 1 where a check fails or is refuted."""
    facts = provenance()
    forms = [(name, read_format(name)) for name in example_names()]
    soft, about = _accuracy(forms)
    hard = []
    for name, form in forms:
        one = hardware(form)
        print(f"{name}: {one.held} of {one.checks} checks, {one.counts}", flush=True)
        hard.append((name, form, one))
    write_result(RESULT, "Formats from files", "python -m reports.format_files", body(hard, soft, about), facts)
    if any(one.held < one.checks or one.counts["refuted"] for _, _, one in hard):
        raise SystemExit(1)


if __name__ == "__main__":
    without_options(main, __doc__)
