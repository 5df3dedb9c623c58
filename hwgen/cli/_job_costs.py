"""Area of an accelerator and energy of jobs on it, by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._jobs import LayerJobs
from hwgen.cli._table import Column, print_table

if TYPE_CHECKING:
    from sim.accelerator.cost import AcceleratorCost

__all__ = ["JobCosts", "job_costs", "print_costs"]


@dataclass(frozen=True)
class JobCosts:
    """Cost of the best job of each layer, and how often each is done."""

    costs: tuple[tuple[AcceleratorCost, int], ...]

    @property
    def first(self) -> AcceleratorCost:
        """Any of them, for what is the design's."""
        return self.costs[0][0]

    @property
    def energy_pj(self) -> dict[str, float]:
        """Energy of all jobs by block."""
        found: dict[str, float] = {}
        for one, count in self.costs:
            for name, value in one.energy_pj.items():
                found[name] = found.get(name, 0.0) + float(value) * count
        return found

    @property
    def time_ns(self) -> float:
        """Time of all jobs, one after the other."""
        return sum(float(one.time_ns) * count for one, count in self.costs)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the design's area and clock, the energy of all jobs."""
        energy = self.energy_pj
        total = sum(energy.values())
        found = self.first.as_dict()
        found.pop("cycles", None)
        return {**found, "energy_pj": {**energy, "total": total}, "power_mw": total / self.time_ns}


def job_costs(found: Sequence[LayerJobs], tech: Any, period_ns: float | None) -> JobCosts | None:
    """Costs of the best jobs; None for a design whose activations pass a block before their ring.

    Raises `HwgenError` for a technology that is unknown.
    """
    from sim.accelerator.cost import cost
    from sim.tech import DEFAULT

    design = found[0].design
    if design.pre != "none":
        return None
    costs = []
    for one in found:
        job, cycles = one.best
        costs.append((cost(design, tech or DEFAULT, period_ns, job=job, cycles=cycles), one.schedule.layer.count))
    return JobCosts(tuple(costs))


def print_costs(costs: JobCosts) -> None:
    """A table of parts, and what stands behind its numbers."""
    first, energy = costs.first, costs.energy_pj
    area = {name: float(value) for name, value in first.area_um2.items()}
    whole_area, whole_energy = sum(area.values()), sum(energy.values())
    columns = [Column("block", right=False), *map(Column, ("area [µm²]", "", "energy [pJ]", ""))]
    rows = []
    for name in dict.fromkeys([*area, *energy]):
        um2, pj = area.get(name, 0.0), energy.get(name, 0.0)
        if um2 or pj:
            shown = (f"{um2:,.5g}", f"{um2 / whole_area:.1%}") if um2 else ("", "")
            rows.append((name.replace("_", " "), *shown, f"{pj:,.0f}", f"{pj / whole_energy:.1%}"))
    rows.append(("total", f"{whole_area:,.5g}", "", f"{whole_energy:,.0f}", ""))
    print_table(columns, rows, bold_last=True)
    if first.min_clk_period_ns is not None:
        meets = first.meets_clock
        met = ", which cannot be met" if meets is not None and not bool(meets) else ""
        memory = "" if first.memory_cycle_ns is None else f", memories {float(first.memory_cycle_ns):.3f} ns"
        needed = f"logic needs {float(first.min_clk_period_ns):.3f} ns{memory}"
        click.echo(f"clock: {float(first.clk_period_ns):.4g} ns{met}; {needed}")
    click.echo(
        f"areas, energies and periods: around the tile {first.status}, tile {first.tile_status}, memories "
        f"{first.memory_status} ({first.tech}), pre-layout; power {whole_energy / costs.time_ns:.4g} mW"
    )
    if first.unknown:
        click.echo(f"not counted: {'; '.join(first.unknown)}")
