"""``python -m rtl_tests.accelerator.report``: predicted cycles beside those of the compiled Verilog, for all cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hwgen.verify import CompiledAccelerator
from reports.command_line import without_options
from reports.provenance import provenance, write_result
from rtl_tests.accelerator.cases import CASES, RESULT_CASES, Case, differences, tasks

__all__ = ["Outcome", "main", "outcome", "page"]

RESULT = Path("reports/results/accelerator_cycles.md")
JOBS, SEED = 20, 2
"""Those of the slow test."""


@dataclass(frozen=True)
class Outcome:
    """One case: its jobs, the cycles simulated, and how often something was not as predicted."""

    case: str
    jobs: int
    cycles: int
    wrong_cycles: int
    wrong_waits: int
    wrong_beats: int
    wrong_results: int
    seconds: float

    @property
    def wrong(self) -> int:
        """All of it."""
        return self.wrong_cycles + self.wrong_waits + self.wrong_beats + self.wrong_results


def outcome(case: Case, count: int = JOBS) -> Outcome:
    """Run the jobs of a case on its compiled Verilog and compare."""
    compiled = CompiledAccelerator(case.build())
    drawn = tasks(case, count, SEED)
    runs = compiled.run(drawn)
    found = [one.what for one in differences(compiled, drawn, runs)]
    beats = found.count("read beats") + found.count("write beats")
    cycles, waits = found.count("cycles"), found.count("waits")
    return Outcome(
        case.name,
        len(drawn),
        sum(run.cycles for run in runs),
        cycles,
        waits,
        beats,
        len(found) - cycles - waits - beats,
        sum(run.seconds for run in runs),
    )


def page(found: list[Outcome]) -> str:
    """The body of the result page."""
    lines = [
        "| case | jobs | cycles | differing cycles | waits | beats | results |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in found:
        wrong = f"{one.wrong_cycles} | {one.wrong_waits} | {one.wrong_beats} | {one.wrong_results}"
        lines.append(f"| {one.case} | {one.jobs} | {one.cycles:,} | {wrong} |")
    jobs, cycles, wrong = (sum(getattr(one, name) for one in found) for name in ("jobs", "cycles", "wrong"))
    lines.append(f"| all | {jobs} | {cycles:,} | {wrong} in all | | | |")
    return (
        "Jobs drawn for each case (shapes with ragged edges, every legal order and residency, memories of any latency "
        "and bandwidth) on the compiled Verilog, results as the tile gives them and in all other forms. Compared: "
        "cycles from the accepted start to the interrupt, the design's counters of waiting, bus beats of every stream, "
        "and every bit of the results with the references.\n\n" + "\n".join(lines)
    )


def main() -> None:
    """Run all cases and write the pages; raises `SystemExit` with status 1 where something differs."""
    found = []
    for case in (*CASES, *RESULT_CASES):
        found.append(outcome(case))
        print(f"{found[-1].case}: {found[-1].jobs} jobs, {found[-1].wrong} differences", flush=True)
    write_result(RESULT, "Cycles of accelerators", "python -m rtl_tests.accelerator.report", page(found), provenance())
    pd.DataFrame(found).to_csv(RESULT.with_suffix(".csv"), index=False, lineterminator="\n")
    if any(one.wrong for one in found):
        raise SystemExit(1)


if __name__ == "__main__":
    without_options(main, __doc__)
