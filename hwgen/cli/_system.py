"""``hwgen estimate --level system``: a model on a chip of several cores, as a tree of its parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._layer import needs
from hwgen.cli._level import Level
from hwgen.cli._progress import bars
from hwgen.cli._table import Column, print_table
from hwgen.cli._tech import OWN, Clock, made_tile
from hwgen.cli._values import OutputFile
from hwgen.errors import HwgenError, suggest
from hwgen.pe import TileSpec, family

if TYPE_CHECKING:
    from sim.system import PartReport, Report, System
    from sim.workload import Phase, Workload

__all__ = ["SYSTEM", "Asked", "run_system"]

ADDRESS_BITS = 40
"""Bits of addresses where none are given: a model must lie in them."""
EQUAL = ("bandwidth", "area", "throughput")
"""`sim.system.compare.EQUAL`, which importing here would bring half of the project (a test compares the two)."""


def _declared() -> Sequence[Any]:
    from hwgen.accelerator import Design
    from sim.system import System

    return Design, System


SYSTEM = Level(
    "system",
    declares=_declared,
    implied=True,
    without=("layers",),
    params=[
        click.Option(
            ["--set", "rule_texts"],
            multiple=True,
            metavar="RULE",
            help="formats by role, e.g. 'role=lm_head weights=int8'; may be repeated, later ones win",
        ),
        click.Option(["--all", "every"], is_flag=True, help="list every way to do the longest product of each part"),
        click.Option(
            ["--plot", "plot_file"],
            type=OutputFile("PNG", "SVG", need_suffix=True),
            metavar="FILE",
            help="roofline: parts of the model below the chip's peak and the memory's rate",
        ),
        click.Option(
            ["--compare", "others"],
            multiple=True,
            metavar="'FAMILY [PARAMETER=VALUE]...'",
            help="another design on the same memory, all else as given; may be repeated",
        ),
        click.Option(
            ["--equal"],
            type=click.Choice(EQUAL),
            default=EQUAL[0],
            show_default=True,
            help="with --compare: cores of the others as given, as many as the first one's area holds, or as few as "
            "are as fast",
        ),
    ],
)


@dataclass(frozen=True)
class Asked:
    """What the level's own options say; ``accuracy`` is what JSON says of it, empty where nobody asked."""

    accuracy: Mapping[str, Any] = field(default_factory=dict)
    rule_texts: tuple[str, ...] = ()
    every: bool = False
    plot_file: Path | None = None
    others: tuple[str, ...] = ()
    equal: str = EQUAL[0]
    as_json: bool = False


def run_system(
    spec: TileSpec, clock: Clock, values: Mapping[str, Any], workload: Workload, phase: Phase, asked: Asked
) -> None:
    """Estimate, and print what was asked for."""
    from sim.system import estimate_system
    from sim.system.compare import compared
    from sim.workload import parse_rule

    rules = [parse_rule(text) for text in asked.rule_texts]
    system = _system(spec, values, clock)
    if asked.others:
        alone = {"--all": asked.every, "--plot": asked.plot_file, "--accuracy": asked.accuracy}
        for flag, given in alone.items():
            if given:
                raise HwgenError(f"estimate: {flag} shows one design, not --compare's")
        systems = [system, *(_other(text, values, clock) for text in asked.others)]
        reports = compared(systems, workload, phase, rules, asked.equal)
        if asked.as_json:
            click.echo(json.dumps([one.as_dict() for one in reports], indent=2))
        else:
            _print_compared(reports, asked.equal)
        return
    if asked.plot_file is not None:
        needs("estimate --plot", "dse", "matplotlib")
    with _progress() as told:
        report = estimate_system(system, workload, phase, rules, choices=asked.every, progress=told)
    if asked.plot_file is not None:
        from hwgen.files import write_atomic
        from reports.roofline import roofline_picture

        write_atomic(asked.plot_file, roofline_picture(report, asked.plot_file.suffix), "roofline")
    if asked.as_json:
        click.echo(json.dumps({**report.as_dict(), **asked.accuracy}, indent=2))
        return
    _print(report, workload)
    if asked.plot_file is not None:
        click.echo(f"wrote {asked.plot_file}")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal: products that the exact model walks."""
    with bars() as bar:
        task = bar.add_task("products walked", total=None, visible=False)
        yield lambda done, of: bar.update(task, completed=done, total=of, visible=True)


def _system(tile: TileSpec, values: Mapping[str, Any], clock: Clock) -> System:
    from hwgen.accelerator import Design
    from sim.system import System
    from sim.tech import DEFAULT

    known = System.parameters()
    around = {"address_bits": ADDRESS_BITS, **{name: one for name, one in values.items() if name not in known}}
    design = Design.from_values(tile, around)
    return System.from_values(
        design,
        {name: one for name, one in values.items() if name in known},
        tech=clock.tech or DEFAULT,
        clk_period_ns=clock.period_ns,
    )


def _other(text: str, values: Mapping[str, Any], clock: Clock) -> System:
    """A design of ``lut bits=2 bus_bits=512``."""
    from hwgen.accelerator import Design
    from sim.system import System

    name, *words = text.split()
    spec = family(name)
    around = {**Design.parameters(), **System.parameters()}
    own: dict[str, Any] = {}
    beside = dict(values)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise HwgenError(f"estimate: --compare must be FAMILY PARAMETER=VALUE ..., e.g. 'lut bits=2', not {text!r}")
        if key in spec.parameters():
            own[key] = spec.parameters()[key].parse(value)
        elif key in around:
            beside[key] = around[key].parse(value)
        else:
            names = [*spec.parameters(), *around]
            raise HwgenError(f"{name}: no parameter {key!r}{suggest(key, names)}; it has {', '.join(names)}")
    tile, made = made_tile(spec, own, clock.tech, OWN if clock.period_ns is None else clock.target_ns)
    return _system(tile, beside, made)


def _share(value: float, whole: float) -> str:
    return f"{value / whole:.1%}" if whole else ""


def _amount(value: float, unit: str) -> str:
    """With a prefix of thousands."""
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9)):
        if abs(value) >= size:
            return f"{value / size:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}"


def _print(report: Report, workload: Workload) -> None:
    from sim.system.report import grouped

    click.echo(f"{report.workload}: {report.phase}")
    click.echo(f"system: {report.system}; {report.memory}, {report.gb_per_s:,.4g} GB/s")
    _print_tree(report)
    if any(part.choices for part in report.parts):
        _print_choices(report)
    click.echo()
    energy, area = grouped(report.energy_pj), grouped(report.area_um2)
    whole_energy, whole_area = report.total_energy_pj, report.total_area_um2
    rows = []
    for name in dict.fromkeys([*area, *energy]):
        um2, pj = area.get(name, 0.0), energy.get(name, 0.0)
        shown = (f"{um2 / 1e6:,.5g}", _share(um2, whole_area)) if um2 else ("", "")
        rows.append((name, *shown, _amount(pj * 1e-12, "J"), _share(pj, whole_energy)))
    rows.append(("total", f"{whole_area / 1e6:,.5g}", "", _amount(whole_energy * 1e-12, "J"), ""))
    print_table([Column("block", right=False), *map(Column, ("area [mm²]", "", "energy", ""))], rows, bold_last=True)
    click.echo()
    exact = "exact" if report.certain else "exact model" if report.timing == "exact" else "closed form"
    click.echo(
        f"cycles: {report.cycles:,} ({exact}); {_amount(report.time_s, 's')} at {report.clk_period_ns:.4g} ns"
        + _late(report)
    )
    per = "token" if "vision" not in report.phase else "picture"
    click.echo(
        f"{report.tokens_per_s:,.4g} {per}s/s; {_amount(report.joules_per_token, 'J')} a {per}; "
        f"power {report.power_mw:,.4g} mW; bound by {report.bound}"
    )
    peak = 2 * report.peak_macs * 1e9 / report.clk_period_ns
    click.echo(
        f"utilisation: {report.utilization:.1%} of {_amount(peak, 'op/s')}, "
        f"{report.bandwidth_utilization:.1%} of the memory's rate"
    )
    needed = ", ".join(f"{name} {_amount(value, 'B')}" for name, value in report.needed_bytes.items() if value)
    click.echo(f"in memory: {needed}")
    for line in report.status:
        click.echo(line)
    click.echo(f"not counted: {'; '.join(report.not_counted)}")
    if workload.beside:
        click.echo(f"not understood: {', '.join(f'{one.what} × {one.count}' for one in workload.beside)}")


def _late(report: Report) -> str:
    if report.meets_clock is not False:
        return ""
    known = (("logic", report.min_clk_period_ns), ("memories", report.memory_cycle_ns))
    needed = " and ".join(f"{what} {period:.3f} ns" for what, period in known if period is not None)
    return f", which cannot be met: {needed} are needed"


_COLUMNS = (
    "M",
    "N",
    "K",
    "count",
    "cycles",
    "",
    "computing",
    "waits: weights",
    "activations",
    "results",
    "bytes",
    "energy",
)


def _print_tree(report: Report) -> None:
    """Parts of the phase, kinds of layers, roles."""
    columns = [Column("part", right=False), *map(Column, _COLUMNS), Column("bound", right=False)]
    columns += [Column("shared", right=False), Column("mapping", right=False, fold=True)]
    rows: list[list[str]] = []
    phases = list(dict.fromkeys(part.part for part in report.parts))
    for phase in phases:
        inside = [part for part in report.parts if part.part == phase]
        if len(phases) > 1:
            rows.append(_sums(phase, inside, report))
        kinds = list(dict.fromkeys(_kind(part) for part in inside))
        for place, kind in enumerate(kinds):
            own = [part for part in inside if _kind(part) == kind]
            last = place == len(kinds) - 1
            mark = "└ " if last else "├ "
            if len(own) == 1:
                rows.append(_line(mark + own[0].role, own[0], report))
                continue
            rows.append(_sums(mark + kind, own, report))
            for index, part in enumerate(own):
                inner = ("  " if last else "│ ") + ("└ " if index == len(own) - 1 else "├ ")
                rows.append(_line(inner + part.role, part, report))
    rows.append(_sums("total", report.parts, report))
    print_table(columns, rows, bold_last=True)


def _kind(part: PartReport) -> str:
    return "vector unit" if part.operand == "vector" else part.role.partition(".")[0]


def _sums(name: str, parts: Sequence[PartReport], report: Report) -> list[str]:
    cycles = sum(part.cycles for part in parts)
    waits = [sum(part.waits[what] for part in parts) for what in ("weights", "acts", "results")]
    moved, energy = sum(part.total_bytes for part in parts), sum(part.total_energy_pj for part in parts)
    numbers = [f"{cycles:,}", _share(cycles, report.cycles), _share(sum(part.work for part in parts), cycles)]
    numbers += [_share(wait, cycles) for wait in waits]
    return [name, "", "", "", "", *numbers, _amount(moved, "B"), _amount(energy * 1e-12, "J"), "", "", ""]


def _line(name: str, part: PartReport, report: Report) -> list[str]:
    sizes = [f"{size:,}" if size else "" for size in (part.m, part.n, part.k)]
    numbers = [f"{part.cycles:,}", _share(part.cycles, report.cycles), _share(part.work, part.cycles)]
    numbers += [_share(part.waits[what], part.cycles) for what in ("weights", "acts", "results")]
    numbers += [_amount(part.total_bytes, "B") if part.total_bytes else "", _amount(part.total_energy_pj * 1e-12, "J")]
    split = part.split if report.cores > 1 else ""
    return [name, *sizes, f"{part.count:,}" if part.macs else "", *numbers, part.bound, split, part.mapping]


def _print_choices(report: Report) -> None:
    click.echo()
    columns = [Column("part", right=False), Column("shared", right=False), Column("mapping", right=False)]
    columns += [Column("cycles"), Column("bytes read")]
    rows = []
    for part in report.parts:
        for choice in part.choices:
            rows.append(
                [part.role, choice.split, choice.mapping, f"{choice.cycles:,}", f"{choice.read_bytes:,}"],
            )
    print_table(columns, rows)
    click.echo("of the core that does most, for the product of the part that takes longest")


def _print_compared(reports: Sequence[Report], equal: str) -> None:
    first = reports[0]
    click.echo(f"{first.workload}: {first.phase}; {first.memory}, {first.gb_per_s:,.4g} GB/s; equal {equal}")
    names = ("cores", "area [mm²]", "ns", "tokens/s", "", "J/token", "", "utilisation", "memory's rate")
    columns = [Column("system", right=False, fold=True), *map(Column, names), Column("bound", right=False)]
    rows = []
    for one in reports:
        speed, energy = one.tokens_per_s / first.tokens_per_s, one.joules_per_token / first.joules_per_token
        rows.append(
            [
                *(one.system, f"{one.cores}", f"{one.total_area_um2 / 1e6:,.4g}", f"{one.clk_period_ns:.4g}"),
                *(f"{one.tokens_per_s:,.4g}", f"{speed:.3g}×", f"{one.joules_per_token:.4g}", f"{energy:.3g}×"),
                *(f"{one.utilization:.1%}", f"{one.bandwidth_utilization:.1%}", one.bound),
            ]
        )
    print_table(columns, rows)
    for line in dict.fromkeys(line for one in reports for line in one.status):
        click.echo(line)
    click.echo(f"not counted: {'; '.join(dict.fromkeys(text for one in reports for text in one.not_counted))}")
