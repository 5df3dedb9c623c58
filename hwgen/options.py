"""Options of long functions: declared once as fields of a frozen dataclass, from which the command line has its flags.

    @dataclass(frozen=True)
    class SynthOptions:
        jobs: int = option(1, "child processes at a time", most=4096)

`hwgen.cli._options` makes ``--jobs`` of it; functions take the object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["CalibrateOptions", "option"]


def option(
    default: Any,
    doc: str,
    *,
    flag: str | None = None,
    metavar: str | None = None,
    least: float | None = None,
    most: float | None = None,
    hidden: bool = False,
) -> Any:
    """A field of an option object.

    Parameters
    ----------
    doc: what it does; the help text of its flag. flag: the field's own name with dashes if not given.
    least, most: bounds of a number; what types do not say is asked by the function that takes the object.
    hidden: has no flag.
    """
    about = {"doc": doc, "flag": flag, "metavar": metavar, "least": least, "most": most, "hidden": hidden}
    return dataclasses.field(default=default, metadata=about)


@dataclass(frozen=True)
class CalibrateOptions:
    """What is measured, and how: names without a value follow from the output and the library."""

    name: str | None = option(None, "name of the technology (default: that of the output file)", metavar="NAME")
    memory: str | None = option(
        None, "SRAM that goes with it: generic45, sky130hd or asap7 (default: by the library's name)", metavar="NAME"
    )
    node_nm: float | None = option(None, "node of the library (default: that of its memory)", most=100_000)
    default_clk_period_ns: float | None = option(
        None, "clock period of designs where none is given (default: 33 gate delays)"
    )
    names: Sequence[str] = option((), "only these families; may be repeated", flag="--pe", metavar="FAMILY")
    quick: bool = option(
        False, "minutes instead of hours: measure a few tiles, and scale what is known of other libraries by them"
    )
    scale_from: Sequence[str] = option(
        (),
        "with --quick: scale only what is known of these technologies (default: all); may be repeated",
        metavar="NAME",
    )
    tiles: int | None = option(None, "tiles to measure of each family (default: 60; 16 with --quick)", most=100_000)
    seed: int = option(1, "seed of the plan", least=0, most=2**64 - 1)
    jobs: int = option(1, "tiles measured at a time", most=4096)
    timeout_s: float = option(600.0, "longest time of one mapping")
