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

__all__ = ["ASSIGN", "MIX_BY", "SENSITIVITIES", "AccuracyOptions", "CalibrateOptions", "MixedOptions", "option"]

MIX_BY = ("layer", "group", "block")
"""What of a model gets a format of its own: a layer, all layers with a common input, or a block."""
SENSITIVITIES = ("kl", "loss", "trace", "inputs")
"""What `sim.accuracy.mixed` may go by: the first two are measured, the others are proxies."""
ASSIGN = ("ilp", "greedy", "uniform")
"""Who gives formats to layers."""


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
    add: bool = option(
        False, "add to the output file the families that it lacks, or those that --pe names, and keep its others"
    )
    tiles: int | None = option(None, "tiles to measure of each family (default: 60; 16 with --quick)", most=100_000)
    seed: int = option(1, "seed of the plan", least=0, most=2**64 - 1)
    jobs: int = option(1, "tiles measured at a time", most=4096)
    timeout_s: float = option(600.0, "longest time of one mapping")


_FORMAT = "FORMAT[.SCHEME][/GROUP][@SCALE]"


@dataclass(frozen=True)
class AccuracyOptions:
    """What of a model is stored how while it is measured, and on what; formats are read by `sim.accuracy.operand`."""

    weights: Sequence[str] = option((), "weights of the linear layers in the blocks; may be repeated", metavar=_FORMAT)
    acts: str | None = option(None, "what enters these layers", metavar=_FORMAT)
    keys: str | None = option(None, "keys, as a cache keeps them", metavar=_FORMAT)
    values: str | None = option(None, "values, as a cache keeps them", metavar=_FORMAT)
    queries: str | None = option(None, "queries, which multiply the keys", metavar=_FORMAT)
    shares: str | None = option(None, "attention after its softmax, which multiplies the values", metavar=_FORMAT)
    head: str | None = option(None, "weights of the output layer", metavar=_FORMAT)
    head_acts: str | None = option(None, "what enters the output layer", metavar=_FORMAT)
    embedding: str | None = option(None, "rows of the embedding", metavar=_FORMAT)
    methods: Sequence[str] = option(
        (), "how weights get there (default: rtn); may be repeated", flag="--method", metavar="NAME[(OPTION=VALUE,...)]"
    )
    tiles: Sequence[str] = option(
        (),
        "measure the arithmetic of a tile, its products in the linear layers; may be repeated",
        flag="--pe",
        metavar="'FAMILY [PARAMETER=VALUE]...'",
    )
    tasks: Sequence[str] = option(
        (), "another task than reading a text: g2p, sentences or digits; may be repeated", flag="--task", metavar="NAME"
    )
    text: str = option("lee", "text that is read, by name or a UTF-8 file", metavar="NAME|FILE")
    calibration: str = option("wiki", "text that methods learn from", metavar="NAME|FILE")
    calibration_tokens: int = option(4096, "tokens of it", least=1, most=1 << 20)
    window: int = option(1024, "tokens that the model reads at once", least=2, most=1 << 20)
    windows: int = option(3, "windows of the text", least=1, most=1 << 20)
    stride: int | None = option(None, "tokens from one window to the next (default: a window)", least=1, most=1 << 20)
    device: str = option("auto", "auto, cpu, or cuda", metavar="NAME")

    @classmethod
    def roles(cls) -> dict[str, str]:
        """What each role is, by name."""
        names = [name for name in cls.__dataclass_fields__ if name in _ROLES]
        return {name: str(cls.__dataclass_fields__[name].metadata["doc"]).partition(";")[0] for name in names}


_ROLES = ("weights", "acts", "keys", "values", "queries", "shares", "head", "head_acts", "embedding")


@dataclass(frozen=True)
class MixedOptions:
    """Which formats layers may have, how many bits that may take, and who decides by what."""

    formats: Sequence[str] = option(
        (), "a format that layers' weights may have; may be repeated", flag="--mix", metavar="FORMAT"
    )
    budget_bits: float | None = option(
        None, "bits a weight, mean over the layers in the blocks, scales included", least=0, most=32
    )
    by: str = option("block", f"what gets a format of its own: {', '.join(MIX_BY)}", flag="--mix-by", metavar="WHAT")
    sensitivity: str = option(
        "kl",
        f"what a format does to the model: {', '.join(SENSITIVITIES[:2])} (measured), or "
        f"{', '.join(SENSITIVITIES[2:])} (proxies)",
        metavar="NAME",
    )
    learn_tokens: int = option(
        256,
        "tokens of the calibration text that each unit reads once a format",
        flag="--mix-tokens",
        least=2,
        most=1 << 20,
    )
    assign: str = option("ilp", f"who assigns: {', '.join(ASSIGN)}", metavar="NAME")
