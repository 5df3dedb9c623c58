"""``python -m reports.kv_cache``: cycles and registers in docs/kv_cache.md, generated from the quantiser itself."""

from __future__ import annotations

import re
from pathlib import Path

from hwgen.accelerator import Design, Memory
from hwgen.accelerator.quantiser import Kind, cache_job, geometry, quantiser_cycles, quantiser_map
from hwgen.accelerator.registers import markdown
from hwgen.files import write_atomic
from hwgen.pe import family
from reports.command_line import without_options
from reports.families import table

__all__ = ["PAGE", "main", "page"]

PAGE = Path("docs/kv_cache.md")
MARK = re.compile(r"<!-- generated -->\n.*?<!-- /generated -->", re.S)
HEAD, LATENCY = 64, 20


def _design(bits: int) -> Design:
    tile = family("int").from_values({"m": 4, "n": 8, "k": 8, "bits": bits, "group": HEAD, "post_lanes": 2})
    return Design(tile=tile)


def _cycles() -> str:
    """Cycles and beats of a token, as they come in decode and in prefill."""
    rows: list[list[object]] = []
    for bits in (8, 4):
        design = _design(bits)
        for kind in (Kind.K, Kind.V):
            for what, first, count in (("an even one", 64, 1), ("an odd one", 65, 1), ("each of 64", 0, 64)):
                job = cache_job(design, kind, count, HEAD, first, 128)
                found = quantiser_cycles(design, job, Memory(LATENCY))
                rows.append(
                    [
                        f"int{bits}",
                        kind.name,
                        what,
                        round(found.cycles / count),
                        f"{found.read_beats / count:g}",
                        f"{found.write_beats / count:g}",
                    ]
                )
    return table(("codes", "", "token", "cycles", "beats read", "beats written"), rows)


def page(text: str) -> str:
    """The page with its generated part made anew."""
    design = _design(4)
    registers = markdown(quantiser_map(design.address_bits, design.count_bits, geometry(design)))
    part = f"""## Cycles of a token

{HEAD} values, N 8, K 8, a bus of {design.bus_bits} bits, a memory with a latency of {LATENCY} cycles that moves a beat
in each; one token a job, from the start to the interrupt, or 64 in one.

{_cycles()}

## Registers

Of a quantiser with addresses of {design.address_bits} and counts of {design.count_bits} bits; offsets in bytes.

{registers}"""
    return MARK.sub(lambda _: f"<!-- generated -->\n{part}<!-- /generated -->", text)


def main() -> None:
    """Write the generated part anew."""
    write_atomic(PAGE, page(PAGE.read_text(encoding="utf-8")), "kv_cache")


if __name__ == "__main__":
    without_options(main, __doc__)
