# amaranth: UnusedElaboratable=no
"""The splitting multiplier, and shifts and additions by segments, against integers of each part."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, Value

from hwgen.arith.segments import segment_add, segment_shift_left
from hwgen.arith.split_multiply import split_multiply, split_multiply_reference
from rtl_tests.arith.comb import Block, Runner, compile_blocks

pytestmark = pytest.mark.rtl

SIZE = 9


def multiplier(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
    return {"y": split_multiply(m, i["a"], i["b"], i["whole"], i["halves"], "y")}


def adder(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
    return {"y": segment_add(m, i["a"], i["b"], list(i["carries"]), i["whole"], "y")}


def shifter(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
    amounts = [i["amounts"][6 * index :][:6] for index in range(4)]
    return {"y": segment_shift_left(m, i["a"], amounts, i["whole"], "y")}


BLOCKS = {
    "multiply": Block({"a": 13, "b": 13, "whole": 1, "halves": 1}, multiplier),
    "add": Block({"a": 4 * SIZE, "b": 4 * SIZE, "carries": 4, "whole": 1}, adder),
    "shift": Block({"a": 4 * SIZE, "amounts": 24, "whole": 1}, shifter),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    return compile_blocks(BLOCKS, tmp_path_factory.mktemp("split"))


def multiply(run: dict[str, Runner], a: np.ndarray, b: np.ndarray, parts: int) -> np.ndarray:
    flags = {"whole": np.full(len(a), parts == 1), "halves": np.full(len(a), parts == 2)}
    return run["multiply"](a=a, b=b, **flags)["y"]


def test_whole_products_of_all_operands(run: dict[str, Runner]) -> None:
    """All 2**26 pairs, a thirteenth of the first operand at a time."""
    b = np.arange(1 << 13)
    for first in range(0, 1 << 13, 512):
        a = np.arange(first, first + 512)
        x, y = np.repeat(a, len(b)), np.tile(b, len(a))
        assert np.array_equal(multiply(run, x, y, 1), x * y)


def test_halves_of_all_operands(run: dict[str, Runner]) -> None:
    """All pairs of 6-bit operands in both halves, the other half busy with something else."""
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(64), np.arange(64)))
    order = np.random.default_rng(1).permutation(len(x))
    u, v = x[order], y[order]
    assert np.array_equal(multiply(run, x | u << 6, y | v << 6, 2), x * y | u * v << 12)


def test_quarters_of_all_operands(run: dict[str, Runner]) -> None:
    pairs = np.array(list(itertools.product(range(8), range(8))))
    rng = np.random.default_rng(2)
    orders = [rng.permutation(64) for _ in range(200)]
    for four in zip(orders[::4], orders[1::4], orders[2::4], orders[3::4], strict=True):
        a = sum(pairs[order, 0] << 3 * index for index, order in enumerate(four))
        b = sum(pairs[order, 1] << 3 * index for index, order in enumerate(four))
        want = sum(pairs[order].prod(axis=1) << 6 * index for index, order in enumerate(four))
        assert np.array_equal(multiply(run, a, b, 4), want)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_reference_of_the_multiplier(run: dict[str, Runner], parts: int) -> None:
    a, b = np.random.default_rng(parts).integers(0, 1 << 13, (2, 20_000))
    assert np.array_equal(multiply(run, a, b, parts), split_multiply_reference(a, b, parts))


def test_partial_products_are_shared() -> None:
    m, inputs, outputs = BLOCKS["multiply"].module()
    text = rtlil.convert(m, name="block", ports=[*inputs.values(), *outputs.values()], emit_src=False)
    assert text.count("cell $mul") == 4


def segments(values: np.ndarray) -> list[np.ndarray]:
    return [values >> SIZE * index & ((1 << SIZE) - 1) for index in range(4)]


def vectors(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    a, b = rng.integers(0, 1 << 4 * SIZE, (2, count))
    # Long runs of ones, for carries that run far.
    return np.where(rng.random(count) < 0.3, a | (1 << rng.integers(1, 4 * SIZE, count)) - 1, a), b


def test_addition(run: dict[str, Runner]) -> None:
    a, b = vectors(50_000)
    rng = np.random.default_rng(3)
    whole = rng.integers(0, 2, len(a))
    carries = np.where(whole == 1, rng.integers(0, 2, len(a)), rng.integers(0, 16, len(a)))
    got = run["add"](a=a, b=b, carries=carries, whole=whole)["y"]
    one = (a + b + carries) & ((1 << 4 * SIZE) - 1)
    parts = [
        (x + y + (carries >> index & 1)) & ((1 << SIZE) - 1)
        for index, (x, y) in enumerate(zip(segments(a), segments(b), strict=True))
    ]
    several = sum(part << SIZE * index for index, part in enumerate(parts))
    assert np.array_equal(got, np.where(whole == 1, one, several))


def test_shifts(run: dict[str, Runner]) -> None:
    a, _ = vectors(50_000)
    rng = np.random.default_rng(4)
    whole = rng.integers(0, 2, len(a))
    amounts = rng.integers(0, 40, (4, len(a)))
    amounts = np.where(whole == 1, amounts[0], amounts)
    packed = sum(amount << 6 * index for index, amount in enumerate(amounts))
    got = run["shift"](a=a, amounts=packed, whole=whole)["y"]
    one = np.array([(x << s) & ((1 << 4 * SIZE) - 1) for x, s in zip(a.tolist(), amounts[0].tolist(), strict=True)])
    parts = [(x << s) & ((1 << SIZE) - 1) for x, s in zip(segments(a), amounts, strict=True)]
    several = sum(part << SIZE * index for index, part in enumerate(parts))
    assert np.array_equal(got, np.where(whole == 1, one, several))
