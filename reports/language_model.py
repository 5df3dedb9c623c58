"""SmolLM2-135M speaks through the RTL: accelerators of five families generate text, golden to the bit."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from hwgen.accelerator import Design
from hwgen.pe import TileSpec, family
from reports.provenance import provenance, write_result
from sim.llm import Generation, Options, generate
from sim.llm.design import tile_values

__all__ = ["FAMILIES", "PROMPT", "main", "page"]

RESULT = Path(__file__).parent / "results" / "language_model.md"
PROMPT = "The capital of France is"
TOKENS = 8
FAMILIES: tuple[tuple[str, dict[str, int], str], ...] = (
    ("mixpe", {"bits": 4}, "W4A8"),
    ("lut", {"bits": 4}, "W4A8"),
    ("mx", {}, "MXFP4"),
    ("int", {"bits": 8}, "W8A8"),
    ("bitmod", {"bits": 4}, "FP4, FP16"),
)
"""Family, parameters that are given, and formats in words."""


def run(name: str, given: dict[str, int], tokens: int) -> Generation:
    """Generate on the family's default accelerator for generation."""
    kind = family(name)
    spec = kind.from_values(tile_values(kind, given))

    def say(line: str) -> None:
        if not line.startswith("quantising"):
            print(f"{name}: {line}", flush=True)

    return generate(spec, Options(PROMPT, tokens), say)


def _cycles(found: Generation) -> str:
    return "all jobs" if not any(step.count.different for step in found.steps) else "NO"


def page(runs: list[tuple[str, Generation]]) -> str:
    """Body of the page."""
    head = (
        "All matrix products of the model, 30 blocks and the output layer, QKᵀ and PV included, ran in the compiled "
        "RTL of one accelerator for each family; norms, rotary embedding, softmax and the choice of the likeliest "
        f"token are PyTorch. Prompt: “{PROMPT}”. Memory: 20 cycles, a beat a cycle. The tile has one row and the "
        "columns that a bus of 512 bits feeds; tiles have their family's default registers (`--clk-period-ns own`). "
        "Logits are compared with the golden PyTorch model's after every token, cycles with the cycle model's for "
        "every job.\n\n"
        f'`hwgen run --pe FAMILY --clk-period-ns own --generate {TOKENS} --prompt "{PROMPT}"` does one of them.\n'
    )
    lines = [
        "| family | formats | tile M×N×K | decode steps | cycles, prefill | cycles a decode token | MAC/cycle "
        "| cycles = predicted | logits = golden, all bits | processor s a token | wall s a token | M cycles/s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    texts = []
    for formats, found in runs:
        steps, count = max(len(found.steps) - 1, 1), found.decode
        tile, total = found.tile, found.prefill + found.decode
        lines.append(
            f"| {found.family} | {formats} | {tile['m']}×{tile['n']}×{Design.from_values(_spec(found), {}).step_k} "
            f"| {len(found.steps) - 1} | {found.prefill.cycles:,} | {count.cycles // steps:,} "
            f"| {count.macs / max(count.cycles, 1):.1f} | {_cycles(found)} ({total.jobs:,}) "
            f"| {'yes' if found.logits_equal else 'NO'} | {found.processor_seconds:.1f} | {found.decode_seconds:.1f} "
            f"| {total.cycles / max(found.simulation_seconds, 1e-9) / 1e6:.2f} |"
        )
        texts.append(f"- {found.family}, {formats}: {PROMPT}**{found.text.replace(chr(10), '⏎')}**")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    foot = (
        "Processor seconds are those of the simulation (two processes) and of what prepares its jobs, for a decode "
        f"token; M cycles/s are those of one process. Load averages of the machine at the end: {load}: wall times are "
        "those of a machine that did other things as well.\n"
    )
    return "\n".join([head, *lines, "", foot, "## What they said", "", *texts])


def _spec(found: Generation) -> TileSpec:
    return family(found.family).from_values(found.tile)


def main() -> None:
    """Run the families and write the page; raises `SystemExit` with status 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens to generate")
    parser.add_argument("--families", nargs="*", default=[name for name, _, _ in FAMILIES], help="which ones")
    arguments = parser.parse_args()
    # Before the first page is written, which would count as a change.
    facts = provenance()
    runs = []
    for name, given, formats in FAMILIES:
        if name in arguments.families:
            runs.append((formats, run(name, given, arguments.tokens)))
            command = " ".join(["python -m reports.language_model", *sys.argv[1:]])
            # Written after each family: a whole run takes long.
            write_result(RESULT, "A language model on the RTL", command, page(runs), facts)
    if not all(found.ok for _, found in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
