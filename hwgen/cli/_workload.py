"""What ``workload``, ``estimate`` and ``sweep`` share: a model, a phase and the roles that count, as options."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._values import Whole
from hwgen.errors import HwgenError

if TYPE_CHECKING:
    from sim.workload import Phase, Workload

__all__ = [
    "PhaseOptions",
    "asked",
    "dim_option",
    "one_source",
    "parse_dims",
    "phase_options",
    "span",
    "workload_option",
]

_DEFAULTS = {"tokens": 1024, "context": 1024, "batch": 1, "steps": 256}
"""Sizes of a phase where none are given; a model of a shorter context gets its own."""
_PHASES = ("prefill", "decode", "generation", "vision", "pass")
_DIM = re.compile(r"(?P<name>.+)=(?P<value>\d{1,12})")


@dataclass(frozen=True)
class PhaseOptions:
    """``--phase`` and its sizes as given, None where they are not; roles that count, none for all."""

    phase: str | None
    tokens: int | None
    context: int | None
    batch: int | None
    steps: int | None
    roles: tuple[str, ...] = ()

    @property
    def given(self) -> list[str]:
        """Flags that are given."""
        return ["--role" if name == "roles" else f"--{name}" for name, value in vars(self).items() if value]


def phase_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--phase``, its sizes and ``--role``; the command gets a `PhaseOptions` as ``phase``."""
    flags = [
        click.option(
            "--phase",
            "phase_name",
            type=click.Choice(_PHASES),
            help="what the model does (default: by the sizes given, else decode)",
        ),
        click.option("--tokens", type=Whole(), metavar="N", help="tokens of a prompt (default 1024)"),
        click.option(
            "--context",
            type=Whole(),
            metavar="N",
            help="keys that a decoded token sees, its own included (default 1024)",
        ),
        click.option("--batch", type=Whole(), metavar="N", help="sequences or pictures at once (default 1)"),
        click.option("--steps", type=Whole(), metavar="N", help="decoded tokens of a generation (default 256)"),
        click.option(
            "--role", "roles", multiple=True, metavar="PATTERN", help="only these roles, e.g. attn.*; may be repeated"
        ),
    ]

    @functools.wraps(command)
    def called(*arguments: Any, phase_name: str | None, **given: Any) -> Any:
        sizes = {name: given.pop(name) for name in (*_DEFAULTS, "roles")}
        return command(*arguments, phase=PhaseOptions(phase_name, **sizes), **given)

    found: Callable[..., Any] = called
    for flag in reversed(flags):
        found = flag(found)
    return found


def workload_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--workload`` and all that says what of it counts."""
    option = click.option(
        "--workload",
        metavar="NAME|FILE",
        help="in place of --layer: a model of `hwgen workload list`, or a config.json, .gguf, .safetensors or .onnx",
    )
    return option(phase_options(dim_option(command)))


def one_source(
    command: str, layers: Sequence[str], workload: str | None, options: PhaseOptions, dims: Sequence[str]
) -> None:
    """Raise `HwgenError` unless layers or a workload are given, not both, and flags of a workload with one only."""
    if bool(layers) == bool(workload):
        which = "both" if layers else "neither"
        raise HwgenError(f"{command}: must be given --layer or --workload, not {which}, e.g. --layer 8x1536x576")
    extra = [*options.given, *(["--dim"] if dims else [])]
    if layers and extra:
        raise HwgenError(f"{command}: {extra[0]} is for --workload, not for --layer")


def span(first: int, last: int) -> str:
    """A size that may grow, as text."""
    return f"{first:,}" if first == last else f"{first:,}…{last:,}"


def dim_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--dim``."""
    about = "value of a symbolic dimension of an .onnx file, e.g. batch=1; may be repeated"
    return click.option("--dim", "dims", multiple=True, metavar="NAME=VALUE", help=about)(command)


def parse_dims(texts: Sequence[str]) -> dict[str, int]:
    """Dimensions of ``batch=1``. Raises `HwgenError` for any other text, a zero, and two values of one name."""
    found: dict[str, int] = {}
    for text in texts:
        match = _DIM.fullmatch(text)
        if match is None or not int(match["value"]):
            raise HwgenError(f"--dim: must be NAME=VALUE with a whole number from 1 up, e.g. batch=1, not {text!r}")
        if found.setdefault(match["name"], int(match["value"])) != int(match["value"]):
            raise HwgenError(f"--dim: {match['name']} must be given once, not as several values")
    return found


def asked(what: str, options: PhaseOptions, dims: Sequence[str] = ()) -> tuple[Workload, Phase]:
    """The workload with the roles that count, and the phase.

    Raises `HwgenError` for an unknown model, role or phase, and for a size that the phase does not have.
    """
    from sim.workload import load_workload

    workload = load_workload(what, parse_dims(dims))
    if options.roles:
        workload = workload.only(options.roles)
    return workload, _phase(workload, options)


def _phase(workload: Workload, options: PhaseOptions) -> Phase:
    from sim.workload import PHASES
    from sim.workload.workload import check_phase

    name = options.phase or _implied(workload, options)
    kind = PHASES[name]
    takes = [field.name for field in dataclasses.fields(kind)]
    sizes: dict[str, int] = {}
    for size, default in _DEFAULTS.items():
        given = getattr(options, size)
        if given is not None and size not in takes:
            has = ", ".join(f"--{one}" for one in takes) or "no sizes"
            raise HwgenError(f"workload {workload.name}: phase {name} takes {has}, not --{size}")
        if size in takes:
            sizes[size] = given if given is not None else default
    if workload.context is not None:
        _shorten(sizes, options, workload.context)
    phase = kind(**sizes)
    check_phase(workload, phase)
    return phase


def _implied(workload: Workload, options: PhaseOptions) -> str:
    """The phase of the sizes that are given: steps are of a generation, tokens of a prefill; else decode."""
    if "decode" not in workload.phases:
        return workload.phases[0]
    return "generation" if options.steps else "prefill" if options.tokens else "decode"


def _shorten(sizes: dict[str, int], options: PhaseOptions, most: int) -> None:
    """Defaults give way to a short context; what is given stays, and is refused where it is too much."""
    if "context" in sizes and options.context is None:
        sizes["context"] = min(sizes["context"], most)
    if "steps" in sizes and options.steps is None:
        sizes["steps"] = max(min(sizes["steps"], most - (options.tokens or 1)), 1)
    if "tokens" in sizes and options.tokens is None:
        sizes["tokens"] = max(min(sizes["tokens"], most - sizes.get("steps", 0)), 1)
