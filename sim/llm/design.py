"""The accelerator that generates text when nothing else is asked for: one row, as many columns as the bus feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwgen.accelerator import Design
from hwgen.errors import HwgenError
from hwgen.frame.numbers import ceil_div
from hwgen.pe import TileSpec
from sim.models.llama_config import LlamaConfig

__all__ = ["BUS_BITS", "design_for", "tile_values"]

BUS_BITS = 512
_STEP_K = 16
_OF_FAMILY: Mapping[str, Mapping[str, Any]] = {"lut": {"k": 4, "tables": 4}}
"""Where the general choice is none: a table grows with 2**k, a step takes k elements for each."""
_COLUMNS = tuple(1 << place for place in range(8, -1, -1))


def tile_values(family: type[TileSpec], given: Mapping[str, Any], bus_bits: int = BUS_BITS) -> dict[str, Any]:
    """Parameters of a tile for one token at a time: what is given, and the rest so that weights come as fast as used.

    One row; 16 elements a step; the most columns whose weights come over the bus in the cycles of a step; all planes of
    a table at once; of post lanes, in families that have them by default, the fewest that keep up.
    """
    known = family.parameters()
    values = {"m": 1, "k": _STEP_K, **_OF_FAMILY.get(family.family, {}), **given}
    if "planes_per_cycle" in known:
        values.setdefault("planes_per_cycle", values.get("bits", known["bits"].default))
    if "n" not in values:
        values["n"] = next((n for n in _COLUMNS if _fed(family, {**values, "n": n}, bus_bits)), 1)
    if "post_lanes" in known and "post_lanes" not in given and known["post_lanes"].default:
        spec = _tile(family, values)
        if spec is not None and spec.group:
            cycles = spec.group // int(spec.layer_k(spec.p)) * int(spec.layer_cycles(spec.p))
            values["post_lanes"] = int(ceil_div(spec.m * spec.n, max(cycles, 1)))
    return values


def _tile(family: type[TileSpec], values: Mapping[str, Any]) -> TileSpec | None:
    """A tile; None where it is illegal."""
    try:
        return family.from_values(values)
    except HwgenError:
        return None


def _fed(family: type[TileSpec], values: Mapping[str, Any], bus_bits: int) -> bool:
    """Whether the bus brings the weights of a step in the cycles of a step."""
    spec = _tile(family, values)
    if spec is None:
        return False
    weights = Design(tile=spec, bus_bits=bus_bits).streams["weights"]
    return int(weights.beats(1)) <= int(spec.layer_cycles(spec.p))


def design_for(spec: TileSpec, config: LlamaConfig, given: Mapping[str, Any]) -> Design:
    """A design around a tile, with what is given; its rings hold an activation row of every linear layer."""
    longest = max(k for _, k in config.linears().values())
    steps = int(ceil_div(longest, int(spec.layer_k(spec.p))))
    ring = max(1 << (steps - 1).bit_length(), 2)
    return Design.from_values(spec, {"bus_bits": BUS_BITS, "weight_ring": ring, "act_ring": ring, **given})
