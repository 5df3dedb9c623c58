# amaranth: UnusedElaboratable=no
"""Building blocks on bit vectors: exhaustive where small, seeded and sparse where not, against Python integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, Value, signed, unsigned

from hwgen.arith import (
    absolute,
    adder_tree,
    adder_tree_with_carries,
    conditional_negate,
    leading_one,
    leading_zeros,
    normalize_left,
    round_nearest_even,
    shift_left,
    shift_left_into,
    shift_right,
    shift_right_sticky,
)
from rtl_tests.arith.comb import Block, Runner, compile_blocks, simulate

pytestmark = pytest.mark.rtl

WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 16, 25, 28, 33, 46)
SHIFTS = ((1, 1), (1, 3), (2, 1), (5, 2), (8, 3), (8, 5), (26, 5), (26, 8))
TREES = {
    "signed1": [signed(4)],
    "signed2": [signed(4)] * 2,
    "signed3": [signed(4)] * 3,
    "signed5": [signed(6)] * 5,
    "signed8": [signed(3)] * 8,
    "unsigned1": [unsigned(4)],
    "unsigned6": [unsigned(5)] * 6,
    "mixed": [signed(3), unsigned(5), signed(8), unsigned(1), signed(2)],
}


def counts(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
    shifted, distance = normalize_left(m, i["x"], "normal")
    return {
        "zeros": leading_zeros(m, i["x"], "zeros"),
        "one": leading_one(m, i["x"], "one"),
        "shifted": shifted,
        "distance": distance,
    }


def shifts(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
    right, lost = shift_right_sticky(m, i["x"], i["by"], "right")
    _, lost_too = shift_right_sticky(m, i["x"], i["by"], "with_sticky", i["sticky"])
    return {
        "right": right,
        "lost": lost,
        "lost_too": lost_too,
        "plain": shift_right(m, i["x"], i["by"], "plain"),
        "left": shift_left(m, i["x"], i["by"], "left"),
        "into": shift_left_into(m, i["x"], i["by"], len(i["x"]) + 9, "into"),
        "signed": shift_left_into(m, i["x"].as_signed(), i["by"], len(i["x"]) + 9, "signed"),
    }


def negations(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
    sign, magnitude = absolute(m, i["s"], "abs")
    return {
        "s": conditional_negate(m, i["s"], i["negate"], "from_signed"),
        "u": conditional_negate(m, i["u"], i["negate"], "from_unsigned"),
        "cut": conditional_negate(m, i["s"], i["negate"], "cut", 6),
        "sign": sign,
        "magnitude": magnitude,
    }


def rounding(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
    x = i["x"]
    return {"y": x[3:] + round_nearest_even(x[3], x[2], x[:2].any())}


def tree(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
    return {"sum": adder_tree(m, list(i.values()), "total")}


def carries(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
    """Σ ±x: one's complements by the tree's carries."""
    values, negate = [i[f"x{n}"] for n in range(5)], [i[f"n{n}"] for n in range(5)]
    flipped = [(x.as_unsigned() ^ n.replicate(4)).as_signed() for x, n in zip(values, negate, strict=True)]
    total, left = adder_tree_with_carries(m, flipped, negate, "total")
    assert left is not None
    return {"sum": total, "left": left}


BLOCKS = {
    **{f"count{width}": Block({"x": width}, counts) for width in WIDTHS},
    **{f"shift{width}_{bits}": Block({"x": width, "by": bits, "sticky": 1}, shifts) for width, bits in SHIFTS},
    **{name: Block({f"x{n}": shape for n, shape in enumerate(shapes)}, tree) for name, shapes in TREES.items()},
    "negate": Block({"s": signed(6), "u": 6, "negate": 1}, negations),
    "round": Block({"x": 6}, rounding),
    "carries": Block({**{f"x{n}": signed(4) for n in range(5)}, **{f"n{n}": 1 for n in range(5)}}, carries),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    return compile_blocks(BLOCKS, tmp_path_factory.mktemp("bits"))


def words(width: int) -> np.ndarray:
    """All words of up to 9 bits; else zero, each single bit, and words whose leading one is anywhere."""
    if width <= 9:
        return np.arange(1 << width, dtype=np.int64)
    rng = np.random.default_rng(width)
    dense = rng.integers(0, 1 << width, 4000) >> rng.integers(0, width, 4000)
    return np.concatenate([[0], 1 << np.arange(width), dense & (dense << 3), dense])


@pytest.mark.few(3)
@pytest.mark.parametrize("width", WIDTHS)
def test_leading_ones(run: dict[str, Runner], width: int) -> None:
    x = words(width)
    got = run[f"count{width}"](x=x)
    length = np.array([int(value).bit_length() for value in x])
    assert np.array_equal(got["zeros"], width - length)
    assert np.array_equal(got["one"], np.where(x > 0, 1 << np.maximum(length - 1, 0), 0))
    assert np.array_equal(got["shifted"], x << (width - length))
    largest = (1 << (width - 1).bit_length()) - 1
    assert np.array_equal(got["distance"], np.where(x > 0, width - length, largest))


@pytest.mark.parametrize(("width", "bits"), SHIFTS)
def test_shifts(run: dict[str, Runner], width: int, bits: int) -> None:
    x, by, sticky = (array.ravel() for array in np.meshgrid(words(width), np.arange(1 << bits), [0, 1]))
    got = run[f"shift{width}_{bits}"](x=x, by=by, sticky=sticky)
    clipped = np.minimum(by, 62)
    lost = (x >> clipped << clipped != x).astype(np.int64)
    assert np.array_equal(got["right"], x >> clipped)
    assert np.array_equal(got["plain"], x >> clipped)
    assert np.array_equal(got["lost"], lost)
    assert np.array_equal(got["lost_too"], lost | sticky)
    inside = np.minimum(by, width)
    assert np.array_equal(got["left"], (x << inside) & ((1 << width) - 1))
    assert np.array_equal(got["into"], (x << np.minimum(by, width + 9)) & ((1 << width + 9) - 1))
    moved = (x - (x >> (width - 1) << width)) << np.minimum(by, width + 9) & ((1 << width + 9) - 1)
    assert np.array_equal(got["signed"], moved - (moved >> (width + 8) << width + 9))


def test_negations(run: dict[str, Runner]) -> None:
    x, negate = (array.ravel() for array in np.meshgrid(np.arange(64), [0, 1]))
    got = run["negate"](s=x, u=x, negate=negate)
    number, factor = np.where(x >= 32, x - 64, x), 1 - 2 * negate
    assert np.array_equal(got["s"], number * factor)
    assert np.array_equal(got["u"], x * factor)
    assert np.array_equal(got["cut"], np.where(number * factor == 32, -32, number * factor))
    assert np.array_equal(got["sign"], number < 0)
    assert np.array_equal(got["magnitude"], abs(number))


def test_round_nearest_even(run: dict[str, Runner]) -> None:
    x = np.arange(64)
    # Python rounds a Fraction to nearest, ties to even.
    assert run["round"](x=x)["y"].tolist() == [round(Fraction(int(value), 8)) for value in x]


@pytest.mark.parametrize("name", TREES)
def test_adder_tree_is_exact_and_no_wider_than_needed(run: dict[str, Runner], name: str) -> None:
    shapes = TREES[name]
    rng = np.random.default_rng(len(name))
    ranges = [
        (-(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1) if shape.signed else (0, (1 << shape.width) - 1)
        for shape in shapes
    ]
    low, high = sum(span[0] for span in ranges), sum(span[1] for span in ranges)
    operands = {
        f"x{n}": np.concatenate([[span[0], span[1]], rng.integers(span[0], span[1] + 1, 3000)])
        for n, span in enumerate(ranges)
    }
    got = run[name](**operands)["sum"]
    assert np.array_equal(got, sum(operands.values()))
    assert got[0] == low
    assert got[1] == high
    assert run[name].outputs["sum"] == signed(max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + 1)


def test_adder_tree_takes_carries(run: dict[str, Runner]) -> None:
    rng = np.random.default_rng(5)
    x, negate = rng.integers(-8, 8, (5, 4000)), rng.integers(0, 2, (5, 4000))
    # All at their ends: the largest sums of either sign.
    x[:, 0], negate[:, 0], x[:, 1], negate[:, 1] = -8, 1, -8, 0
    got = run["carries"](**{f"x{n}": x[n] for n in range(5)}, **{f"n{n}": negate[n] for n in range(5)})
    assert np.array_equal(got["sum"] + got["left"], (x * (1 - 2 * negate)).sum(axis=0))


@pytest.mark.parametrize(("values", "bits"), [(0, 0), (1, 2)])
def test_adder_tree_refuses(values: int, bits: int) -> None:
    with pytest.raises(ValueError, match="dot: an adder tree takes at least one value and at most one carry a value"):
        adder_tree_with_carries(Module(), [Signal(4)] * values, [Signal()] * bits, "dot")


def test_amaranth_simulator_agrees(run: dict[str, Runner]) -> None:
    rng = np.random.default_rng(7)
    for name in ("count28", "shift26_8", "mixed", "negate", "carries"):
        block = BLOCKS[name]
        arrays = {}
        for key, shape in run[name].inputs.items():
            low = -(1 << (shape.width - 1)) if shape.signed else 0
            arrays[key] = rng.integers(low, low + (1 << shape.width), 100)
        compiled, simulated = run[name](**arrays), simulate(block, **arrays)
        for key, values in compiled.items():
            assert np.array_equal(values, simulated[key]), (name, key)
