"""Proofs about blocks beside the tile, and what they refuse."""

from __future__ import annotations

import functools
import random

import pytest

from hwgen.emit import Emission, emit
from hwgen.pe import family
from hwgen.prove import Subject
from hwgen.prove.companions import RegisterFile
from hwgen.prove.mutants import faulty
from hwgen.prove.netlist import read_verilog
from hwgen.prove.unroll import deep

CLAIMS = ("specials", "error")


@functools.cache
def bitmod() -> Emission:
    return emit(family("bitmod").from_values({"m": 1, "n": 2, "k": 2}))


def proved(verilog: str, emission: Emission) -> dict[str, str]:
    listed = Subject(verilog, emission.manifest).obligations()
    return {one.name: one.proved(30).status for one in listed if one.name.startswith("companion.")}


def test_the_register_file_is_proved() -> None:
    emission = bitmod()
    assert proved(emission.verilog, emission) == dict.fromkeys(
        ("companion.specials.specials", "companion.specials.error"), "proved"
    )


@pytest.mark.few(1)
@pytest.mark.parametrize("seed", range(4))
def test_a_changed_gate_of_the_register_file_is_refuted(seed: int) -> None:
    emission = bitmod()
    entry = emission.manifest["companions"]["specials"]
    netlist = read_verilog(emission.verilog, entry["top"], memories=True)
    cells = [cell for cell in netlist.cells if cell.kind in ("$and", "$or", "$not", "$eq", "$mux", "$dff")]
    changed = faulty(netlist, random.Random(seed).choice(cells))
    with deep():
        found = {RegisterFile(changed, entry, emission.manifest).decide(claim, 20).broken for claim in CLAIMS}
    assert found & {True}
