# amaranth: UnusedElaboratable=no
"""Cells of the integer tile: every sum of two products, for every scheme and several widths of weights."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal, Value

from hwgen.arith.compressor import carry_save_sum
from hwgen.pe import family
from hwgen.pe.int import Int
from rtl_tests.arith.comb import Block, Runner, compile_blocks

pytestmark = pytest.mark.rtl

NO = Const(0, 1)
CASES = [
    *(("bipolar", bits) for bits in (1, 2, 3, 4)),
    *(("symmetric", bits) for bits in (2, 3, 5)),
    *(("asymmetric", bits) for bits in (1, 2, 3, 4, 5)),
    ("ternary", 2),
]


STAGES = (1, 2)
"""Without a register between products and accumulator, and with one."""


def tile(scheme: str, bits: int, stages: int = 1) -> Int:
    return family("int").from_values(  # type: ignore[return-value]
        {"m": 1, "n": 1, "k": 2, "group": 32, "acts": "int4", "bits": bits, "scheme": scheme, "stages": stages}
    )


def cell(spec: Int, carried: bool = True) -> Block:
    """Row bus and column bus to what a cell adds, with its carry or, a fault, with the wrong one."""

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        (addend,) = spec.build_cell(m, i["row"], i["col"], NO, NO)
        assert (addend.carry is not None) == bool(spec.carry_bits(spec.p))
        if addend.rows:
            return {"sum": carry_save_sum(m, addend.rows, "sum_of_rows", int(spec.addend_bits(spec.p)))}
        assert len(addend.value) == spec.addend_bits(spec.p)
        if addend.carry is None:
            return {"sum": addend.value}
        return {"sum": addend.value + (addend.carry if carried else ~addend.carry)}

    return Block({"row": int(spec.row_bus_bits(spec.p)), "col": int(spec.col_bus_bits(spec.p))}, build)


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    blocks = {
        f"{scheme}{bits}_{stages}": cell(tile(scheme, bits, stages)) for scheme, bits in CASES for stages in STAGES
    }
    blocks["fault"] = cell(tile("bipolar", 1), carried=False)
    folder: Path = tmp_path_factory.mktemp("int")
    return compile_blocks(blocks, folder)


def products(scheme: str, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row buses, column buses and sums of all pairs of activations and of weights, by definition."""
    codes = range(2**bits)
    value = {
        "bipolar": {code: 2 * code + 1 - 2**bits for code in codes},
        "asymmetric": {code: code for code in codes},
    }.get(scheme, {code: code - 2**bits * (code >> (bits - 1)) for code in codes})
    signed = [act - 16 * (act > 7) for act in range(16)]
    rows, cols, sums = [], [], []
    for a, b, v, w in itertools.product(range(16), range(16), range(2**bits), range(2**bits)):
        rows.append(a | b << 4)
        cols.append(v | w << bits)
        sums.append(signed[a] * value[v] + signed[b] * value[w])
    return np.array(rows), np.array(cols), np.array(sums)


@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize(("scheme", "bits"), CASES)
def test_every_sum(runners: dict[str, Runner], scheme: str, bits: int, stages: int) -> None:
    rows, cols, sums = products(scheme, bits)
    assert runners[f"{scheme}{bits}_{stages}"](row=rows, col=cols)["sum"].tolist() == sums.tolist()


def test_a_wrong_carry_is_seen(runners: dict[str, Runner]) -> None:
    rows, cols, sums = products("bipolar", 1)
    assert runners["fault"](row=rows, col=cols)["sum"].tolist() != sums.tolist()
