"""Options of ``hwgen sweep`` that say which points there are, what they have to meet, and who evaluates them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._values import SEED, InputFile, OutputFile, OutputFolder, Whole
from hwgen.errors import HwgenError

if TYPE_CHECKING:
    from dse.engines import Engine
    from dse.plan import Plan, Search

__all__ = [
    "OutputSweep",
    "engine_of",
    "engine_options",
    "objectives_option",
    "parse_baseline",
    "search_of",
    "search_options",
    "space_options",
]

ENGINES = ("local", "dask")
_MOST_JOBS = 1024
_MOST_EVALUATIONS = 10_000_000
_WORTH_PAIRS = 1 << 25
"""Pairs of a point and a layer that are worth processes of their own: some seconds of one core."""


class OutputSweep(OutputFile):
    """A file of all points by its suffix, or a folder: what has no suffix, or is one."""

    name = "output file or folder"
    folders = True

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if value in ("", "-") or (path.suffix and not path.is_dir()):
            return super().convert(value, param, ctx)
        return OutputFolder().convert(value, param, ctx)


def _example_names() -> tuple[str, ...]:
    from dse.space_file import example_names

    return example_names()


def space_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--space``, ``--print-space``, ``--where`` and ``--baseline``."""
    options = (
        click.option(
            "--space",
            "space_file",
            type=InputFile(named=_example_names),
            metavar="NAME|FILE",
            help="a space as TOML, or one that comes with hwgen (decode); flags replace what it says; FILE.toml alone "
            "does, too",
        ),
        click.option("--print-space", is_flag=True, help="print the file of --space, to begin one's own with"),
        click.option(
            "--where",
            "conditions",
            multiple=True,
            metavar="CONDITION",
            help="what points have to meet: 'area_um2 <= 1e6', 'latency_us <= baseline', 'area_um2 within 5% of "
            "baseline'; may be repeated",
        ),
        click.option(
            "--baseline",
            metavar="NAME=VALUE…",
            help="the point that conditions compare with, e.g. 'pe=int m=4 n=8 bits=8'",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--store``, ``--engine``, ``--scheduler`` and ``--jobs``."""
    options = (
        click.option(
            "--store",
            type=click.Choice(("front", "all")),
            help="what a folder keeps beside the front, a sample and what each axis value came to: nothing (front, the "
            "default), or all points",
        ),
        click.option(
            "--engine",
            type=click.Choice(ENGINES),
            default=ENGINES[0],
            show_default=True,
            help="who evaluates: processes of this machine, or workers of a dask scheduler; the result is the same",
        ),
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="of --engine dask, e.g. tcp://10.0.0.1:8786 (default: one of this machine)",
        ),
        click.option(
            "--jobs",
            type=Whole(1, _MOST_JOBS),
            metavar="N",
            help="processes (default: all cores, if worth it)",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


objectives_option = click.option(
    "--objective",
    "objectives",
    multiple=True,
    metavar="COLUMN",
    help="column to minimise, to maximise as -COLUMN (default: those of the sweep); may be repeated",
)
"""Of commands that read a finished sweep: its front by other objectives."""


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--search``, ``--evaluations``, ``--population`` and ``--seed``."""
    options = (
        click.option(
            "--search",
            "look",
            is_flag=True,
            help="do not evaluate all points but look for the front, by pymoo's NSGA-II; for spaces beyond some 10^9",
        ),
        click.option(
            "--evaluations",
            type=Whole(1, _MOST_EVALUATIONS),
            metavar="N",
            help="of --search: points of each workload that are evaluated (default 20000)",
        ),
        click.option(
            "--population",
            type=Whole(1, _MOST_EVALUATIONS),
            metavar="N",
            help="of --search: points of a generation (default 200)",
        ),
        click.option("--seed", type=SEED, metavar="S", help="of --search: of its random numbers (default 0)"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def search_of(
    look: bool,
    evaluations: int | None,
    population: int | None,
    seed: int | None,
    output: Path | None,
    engine: str,
    jobs: int | None,
) -> Search | None:
    """The search that is asked for. Raises `HwgenError` for what goes with it without it, and for what does not."""
    given = {"evaluations": evaluations, "population": population, "seed": seed}
    named = {name: value for name, value in given.items() if value is not None}
    if not look:
        for name in named:
            raise HwgenError(f"sweep: --{name} goes with --search")
        return None
    from dse.plan import Search
    from hwgen.cli._layer import needs

    needs("sweep --search", "dse", "pymoo")
    if output is not None and output.suffix and not output.is_dir():
        raise HwgenError(f"sweep: --search writes a folder, not a file; name a folder: -o {output.with_suffix('')}")
    for flag, is_given in (("--engine dask", engine != "local"), ("--jobs", jobs is not None)):
        if is_given:
            raise HwgenError(
                f"sweep: {flag} goes with sweeps of all points, not with --search, each of whose generations follows "
                "from the one before"
            )
    return Search(**named)


def parse_baseline(text: str) -> dict[str, str]:
    """Values by parameter of ``pe=int n=8``. Raises `HwgenError` for any other text."""
    found: dict[str, str] = {}
    for word in text.replace(",", " ").split():
        name, equals, value = word.partition("=")
        key = name.removeprefix("--").replace("-", "_")
        if not key or not equals or not value:
            raise HwgenError(f"sweep: --baseline must be NAME=VALUE words, e.g. 'pe=int n=8 bits=8', not {word!r}")
        if found.setdefault(key, value) != value:
            raise HwgenError(f"sweep: --baseline: {key} must be given once")
    if not found:
        raise HwgenError("sweep: --baseline must be NAME=VALUE words, e.g. 'pe=int n=8 bits=8', not empty")
    return found


def engine_of(plan: Plan, engine: str, scheduler: str | None, jobs: int | None) -> Engine:
    """Who evaluates a plan. Raises `HwgenError` for a scheduler without dask."""
    from dse.engines import Dask, Here, Processes, cores

    if engine == "dask":
        from hwgen.cli._layer import needs

        needs("sweep --engine dask", "dask", "distributed")
        return Dask(scheduler, jobs or cores())
    if plan.base is not None or plan.parts < 2:
        return Here()
    pairs = max(len(scene.layers) for scene in plan.scenes) * plan.size
    wanted = (cores() if pairs >= _WORTH_PAIRS else 1) if jobs is None else jobs
    return Processes(wanted) if wanted > 1 else Here()
