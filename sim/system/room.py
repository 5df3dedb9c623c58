"""What a phase needs in memory, and whether it is there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hwgen.accelerator import Design
from hwgen.errors import HwgenError
from sim.system.engine import Engine
from sim.system.off_chip import GIB
from sim.system.products import Part
from sim.system.system import System
from sim.workload import Phase, Rule, Workload, formats_of
from sim.workload.table import kv_elements

__all__ = ["check_room", "needed_bytes"]

_OTHER_BITS = 16
"""Bits of parameters that are in no product (embeddings, norms) and of activations between products, assumed."""
_LAST_PART = {"generation": "decode"}


def needed_bytes(
    workload: Workload,
    phase: Phase,
    parts: Sequence[Part],
    engines: Mapping[tuple[str, str], Engine],
    system: System,
    rules: Sequence[Rule] = (),
) -> dict[str, int]:
    """Bytes by what they hold: weights (all experts; a tied output layer beside the embedding, as images differ), what
    is in no product, keys and values at the end of the phase, and activations around the largest product.
    """

    def bits(operand: str, form: str) -> float:
        engine = engines.get((operand, form)) or engines[operand, next(f for o, f in engines if o == operand)]
        return sum(float(one) for one in engine.stored_bits())

    part = _LAST_PART.get(phase.name, phase.name)
    weights = sum(
        one.weights * bits("weights", formats_of(rules, one.role, part).get("weights", ""))
        for one in workload.operators
        if one.operand == "weights"
    )
    found = {"weights": math.ceil(weights / 8)}
    found["other parameters"] = sum(workload.others.values()) * _OTHER_BITS // 8
    if any(operand == "kv" for operand, _ in engines):
        form = next(form for operand, form in engines if operand == "kv")
        found["KV cache"] = math.ceil(kv_elements(workload, phase) * bits("kv", form) / 8)
    largest = max(
        (product.copies * product.m * (product.row + product.n) for one in parts for product in one.times), default=0
    )
    found["activations"] = largest * _OTHER_BITS // 8
    return found


def check_room(workload: Workload, phase: Phase, needed: Mapping[str, int], system: System) -> None:
    """Raise `HwgenError` where a phase does not fit the memory, or the addresses of a design."""
    whole, memory = sum(needed.values()), system.memory
    what = ", ".join(f"{name} {value / GIB:.2f}" for name, value in needed.items() if value)
    if memory.gib is not None and whole > memory.gib * GIB:
        raise HwgenError(
            f"system: {workload.name}, {phase}, must fit the {memory.gib:g} GiB of its memory, not take "
            f"{whole / GIB:.2f} GiB ({what}); use --dram-gib {math.ceil(whole / GIB)}, a smaller batch or a "
            "shorter context"
        )
    core = system.core
    if isinstance(core, Design) and whole > 1 << core.address_bits:
        raise HwgenError(
            f"system: {workload.name}, {phase}, must fit the {core.address_bits} bits of the design's addresses, not "
            f"take {whole / GIB:.2f} GiB ({what}); use --address-bits {(whole - 1).bit_length()}"
        )
