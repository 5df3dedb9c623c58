"""Proofs about the block before the activation buffer, and what they refuse."""

from __future__ import annotations

import functools
import random

import pytest

from hwgen.emit import Emission, emit
from hwgen.pe import family
from hwgen.prove import Subject
from hwgen.prove.mutants import faulty
from hwgen.prove.netlist import read_verilog
from hwgen.prove.pre import PRE_CLAIMS, PreBlock
from hwgen.prove.reference import UnknownError
from hwgen.prove.unroll import deep

TILES = {
    "fp8": {"acts": "fp8_e4m3"},
    "fp16": {"acts": "fp16"},
    "fp16-cuts": {"acts": "fp16", "pre_cuts": 3},
    "bf16-truncate": {"acts": "bf16", "align_scope": "row", "align_rounding": "truncate"},
}


@functools.cache
def of(name: str) -> Emission:
    small = {"bits": 4, "m": 2, "n": 1, "k": 2, "group": 8, "depth": 8}
    return emit(family("int").from_values(small | TILES[name]))


def statuses(block: PreBlock) -> dict[str, str]:
    with deep():
        return {name: block.proved(name, 60)[0] for name in PRE_CLAIMS}


@pytest.mark.few(1)
@pytest.mark.parametrize("name", TILES)
def test_alignment_is_proved(name: str) -> None:
    emission = of(name)
    listed = [one for one in Subject(emission.verilog, emission.manifest).obligations() if one.name.startswith("pre.")]
    assert {one.name: one.proved(60).status for one in listed} == {f"pre.{name}": "proved" for name in PRE_CLAIMS}


OPEN = (11,)
"""Faults by which a row's largest exponent is that of all cycles before: open, and said so."""


@pytest.mark.few(1)
@pytest.mark.parametrize("seed", range(16))
def test_a_changed_gate_is_refuted_or_changes_nothing(seed: int) -> None:
    emission = of("fp8")
    netlist = read_verilog(emission.verilog, emission.manifest["pre"]["top"])
    kinds = ("$and", "$or", "$not", "$gt", "$mux", "$dff", "$xor", "$add")
    cells = [cell for cell in netlist.cells if cell.kind in kinds]
    cell = random.Random(seed).choice(cells)
    wrong = PreBlock(faulty(netlist, cell), emission.manifest)
    if seed in OPEN:
        with pytest.raises(UnknownError, match="depend on the largest exponents of"):
            statuses(wrong)
        return
    found = statuses(wrong)
    assert "refuted" in found.values() or set(found.values()) == {"proved"}, (cell, found)
