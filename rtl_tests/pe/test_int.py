# amaranth: UnusedElaboratable=no
"""Cells of the integer tile: every sum of two products, for every width of bipolar weights and for ternary ones."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal, Value

from hwgen.pe import family
from hwgen.pe.int import Int
from rtl_tests.arith.comb import Block, Runner, compile_blocks

pytestmark = pytest.mark.rtl

NO = Const(0, 1)
CASES = [("bipolar", bits) for bits in (1, 2, 3, 4)] + [("ternary", 2)]


def tile(scheme: str, bits: int) -> Int:
    return family("int").from_values(  # type: ignore[return-value]
        {"m": 1, "n": 1, "k": 2, "group": 32, "acts": "int4", "bits": bits, "scheme": scheme}
    )


def cell(spec: Int, carried: bool = True) -> Block:
    """Row bus and column bus to what a cell adds, with its carry or, a fault, with the wrong one."""

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        (addend,) = spec.build_cell(m, i["row"], i["col"], NO, NO)
        assert (addend.carry is not None) == bool(spec.carry_bits(spec.p))
        assert len(addend.value) == spec.addend_bits(spec.p)
        if addend.carry is None:
            return {"sum": addend.value}
        return {"sum": addend.value + (addend.carry if carried else ~addend.carry)}

    return Block({"row": int(spec.row_bus_bits(spec.p)), "col": int(spec.col_bus_bits(spec.p))}, build)


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    blocks = {f"{scheme}{bits}": cell(tile(scheme, bits)) for scheme, bits in CASES}
    blocks["fault"] = cell(tile("bipolar", 1), carried=False)
    folder: Path = tmp_path_factory.mktemp("int")
    return compile_blocks(blocks, folder)


def products(scheme: str, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row buses, column buses and sums of all pairs of activations and of weights, by definition."""
    low = {"bipolar": 1 - 2**bits, "ternary": -2}[scheme]
    value = {code: 2 * code + low for code in range(2**bits)} if scheme == "bipolar" else {0: 0, 1: 1, 2: -2, 3: -1}
    signed = [act - 16 * (act > 7) for act in range(16)]
    rows, cols, sums = [], [], []
    for a, b, v, w in itertools.product(range(16), range(16), range(2**bits), range(2**bits)):
        rows.append(a | b << 4)
        cols.append(v | w << bits)
        sums.append(signed[a] * value[v] + signed[b] * value[w])
    return np.array(rows), np.array(cols), np.array(sums)


@pytest.mark.parametrize(("scheme", "bits"), CASES)
def test_every_sum(runners: dict[str, Runner], scheme: str, bits: int) -> None:
    rows, cols, sums = products(scheme, bits)
    assert runners[f"{scheme}{bits}"](row=rows, col=cols)["sum"].tolist() == sums.tolist()


def test_a_wrong_carry_is_seen(runners: dict[str, Runner]) -> None:
    rows, cols, sums = products("bipolar", 1)
    assert runners["fault"](row=rows, col=cols)["sum"].tolist() != sums.tolist()
