# amaranth: UnusedElaboratable=no
"""The carry-save tree against Python integers, and its counts against the cells of the netlist."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, Value, signed, unsigned

from hwgen.arith.compressor import Term, TermShape, carry_save_counts, carry_save_sum
from rtl_tests.arith.comb import Block, Runner, compile_blocks, simulate

pytestmark = pytest.mark.rtl

SHAPES: dict[str, tuple[int, list[TermShape]]] = {
    "one": (6, [TermShape(4, True)]),
    "one negative": (6, [TermShape(4, False, 1, True)]),
    "two": (6, [TermShape(4, True), TermShape(3, False, 2)]),
    "three": (7, [TermShape(4, True), TermShape(4, True, 0, True), TermShape(3, False, 2)]),
    "apart": (12, [TermShape(3, False), TermShape(3, False, 5), TermShape(2, True, 9)]),
    "cut": (5, [TermShape(6, True, shift) for shift in range(4)]),
    "beyond": (4, [TermShape(3, True), TermShape(3, True, 4), TermShape(2, False, 7)]),
    # The partial products of two int8 by int4 weights: their sum is a dot product.
    "planes": (13, [TermShape(8, True, plane, plane == 3) for plane in range(4)] * 2),
    "many": (16, [TermShape(1 + index % 7, index % 2 == 0, index % 5, index % 3 == 0) for index in range(23)]),
    "wide": (40, [TermShape(20, True, 3 * index, index % 2 == 1) for index in range(5)]),
}


def block(width: int, shapes: list[TermShape], constant: int = 0) -> Block:
    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        rows = [Term(i[f"x{index}"], shape.shift, shape.negative) for index, shape in enumerate(shapes)]
        assert [row.shape for row in rows] == shapes
        total = carry_save_sum(m, rows, "tree", width, constant)
        assert (total.shape().width, total.shape().signed) == (width, True)
        return {"total": total}

    inputs = {f"x{index}": signed(s.bits) if s.signed else unsigned(s.bits) for index, s in enumerate(shapes)}
    return Block(inputs, build)


def wanted(width: int, shapes: list[TermShape], arrays: dict[str, np.ndarray]) -> list[int]:
    """Sums by plain integers, brought into ``width`` bits."""
    totals = []
    for values in zip(*(arrays[f"x{index}"].tolist() for index in range(len(shapes))), strict=True):
        total = sum((-v if s.negative else v) * 2**s.shift for v, s in zip(values, shapes, strict=True))
        totals.append((total + 2 ** (width - 1)) % 2**width - 2 ** (width - 1))
    return totals


def operands(shapes: list[TermShape], count: int, seed: int) -> dict[str, np.ndarray]:
    """All combinations where there are few, else corners and random numbers."""
    spans = [(-(1 << (s.bits - 1)), 1 << (s.bits - 1)) if s.signed else (0, 1 << s.bits) for s in shapes]
    if sum(s.bits for s in shapes) <= 12:
        every = np.array(list(itertools.product(*(range(*span) for span in spans))))
        return {f"x{index}": every[:, index] for index in range(len(shapes))}
    rng = np.random.default_rng(seed)
    columns = {}
    for index, (low, high) in enumerate(spans):
        corners = rng.choice([low, low + 1, high - 1, max(low, -1), 0], size=count)
        columns[f"x{index}"] = np.where(rng.random(count) < 0.4, corners, rng.integers(low, high, size=count))
    return columns


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    folder: Path = tmp_path_factory.mktemp("compressor")
    return compile_blocks({name: block(*case) for name, case in SHAPES.items()}, folder)


@pytest.mark.parametrize("name", SHAPES)
def test_sums(name: str, runners: dict[str, Runner]) -> None:
    width, shapes = SHAPES[name]
    arrays = operands(shapes, 4000, len(name))
    got = runners[name](**arrays)["total"].tolist()
    want = wanted(width, shapes, arrays)
    assert got == want
    assert len(set(want)) > 3


@pytest.mark.parametrize("name", ["three", "cut", "many"])
def test_sums_in_the_simulator(name: str) -> None:
    width, shapes = SHAPES[name]
    arrays = {key: values[:60] for key, values in operands(shapes, 60, 1).items()}
    assert simulate(block(width, shapes), **arrays)["total"].tolist() == wanted(width, shapes, arrays)


@pytest.mark.parametrize("constant", [-9, -1, 1, 6, 31])
def test_a_constant_is_one_more_row(constant: int) -> None:
    width, shapes = SHAPES["three"]
    arrays = {key: values[:60] for key, values in operands(shapes, 60, 1).items()}
    plain = wanted(width, shapes, arrays)
    want = [(total + constant + 64) % 128 - 64 for total in plain]
    assert simulate(block(width, shapes, constant), **arrays)["total"].tolist() == want


def test_counts_of_a_sum_of_bits() -> None:
    """Three equal rows are a full adder a place and an adder; nothing is spent where rows do not overlap."""
    assert carry_save_counts([TermShape(4, False)] * 3, 6) == {"xor": 8, "and": 12, "add": 5}
    assert carry_save_counts([TermShape(4, False), TermShape(4, False, 4)], 8) == {"xor": 0, "and": 0, "add": 0}
    assert carry_save_counts([TermShape(4, False)], 4) == {"xor": 0, "and": 0, "add": 0}
    assert carry_save_counts([TermShape(4, False), TermShape(4, False, 3)], 8) == {"xor": 0, "and": 0, "add": 5}
    # -8 .. 7: the constant is -8, a known one in each of the places 3 and above.
    assert carry_save_counts([TermShape(4, True)], 5) == {"xor": 0, "and": 0, "add": 2}
    # With 8 more it is none.
    assert carry_save_counts([TermShape(4, True)], 5, 8) == {"xor": 0, "and": 0, "add": 0}


def test_no_rows() -> None:
    with pytest.raises(ValueError, match="none: a compressor takes at least one row"):
        carry_save_sum(Module(), [], "none", 4)
