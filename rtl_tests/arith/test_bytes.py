"""Table entries as bytes: logic against reference, reference against exact rational arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, Value, signed

from hwgen.pe import _bytes
from rtl_tests.arith.comb import Block, Runner, compile_blocks, simulate

pytestmark = pytest.mark.rtl

LARGEST = {"int4_k2": 16, "int8_k4": 512, "fp8_k8": 960, "fp16_k4": 65504, "int16_k8": 262144}
"""Largest magnitude of an entry, by where it comes from."""
EDGES = [0, 1, 126, 127, 128, 254, 255, 256, 32639, 32640, 32641, 65504, 130559, 130560, 131072, 262143, 262144]


def nearest(x: Fraction) -> int:
    """To nearest, ties to even: `round` of a Fraction is exact."""
    return round(x)


def scales(peak: int) -> tuple[int, int]:
    """(s, c) by definition."""
    shift = 0
    while nearest(Fraction(peak, 2**shift)) > 127:
        shift += 1
    return shift, max(1, -(-peak // 127))


@dataclass(frozen=True)
class Bytes:
    """All of one table size: an entry and a peak in, both scales and both bytes out."""

    largest: int

    @property
    def bits(self) -> int:
        return self.largest.bit_length()

    def block(self) -> Block:
        top = int(_bytes.shift_for(self.largest))

        def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
            shift = _bytes.shift_of(m, i["peak"], self.largest, "shift")
            by = _bytes.factor_of(m, i["peak"], self.largest, "factor")
            return {
                "shift": shift,
                "factor": by,
                "shifted": _bytes.round_by_shift(m, i["entry"], shift, top, "byte"),
                "divided": _bytes.round_by_factor(m, i["entry"], by, "quotient"),
            }

        return Block({"peak": self.bits, "entry": signed(self.bits + 1)}, build)

    def operands(self) -> tuple[np.ndarray, np.ndarray]:
        """(peaks, entries): every peak where they are few, edges and random ones; all entries of small peaks."""
        rng = np.random.default_rng(5)
        some = rng.integers(0, self.largest + 1, size=4000)
        few = np.arange(min(self.largest, 1100) + 1)
        peaks = np.concatenate([few, some, some >> rng.integers(0, self.bits, size=4000), EDGES, [self.largest]])
        peaks = peaks[peaks <= self.largest]
        grid = np.repeat(peaks, 12)
        entries = np.rint(grid * rng.uniform(-1, 1, size=len(grid))).astype(np.int64)
        entries[::12], entries[1::12] = grid[::12], -grid[1::12]
        # Ties: odd multiples of half a scale.
        shift = np.asarray(_bytes.shift_for(grid))
        ties = (2 * rng.integers(-63, 63, size=len(grid)) + 1) << np.maximum(shift - 1, 0)
        entries = np.where((np.arange(len(grid)) % 12 == 2) & (np.abs(ties) <= grid), ties, entries)
        half = _bytes.factor(grid) // 2 * (2 * rng.integers(-60, 60, size=len(grid)) + 1)
        return grid, np.where((np.arange(len(grid)) % 12 == 3) & (np.abs(half) <= grid), half, entries)


CASES = {name: Bytes(largest) for name, largest in LARGEST.items()}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    blocks = {name: case.block() for name, case in CASES.items()}
    return compile_blocks(blocks, tmp_path_factory.mktemp("bytes"))


@pytest.mark.parametrize("name", CASES)
def test_logic_is_the_reference(name: str, compiled: dict[str, Runner]) -> None:
    peaks, entries = CASES[name].operands()
    got = compiled[name](peak=peaks, entry=entries)
    shift, by = np.asarray(_bytes.shift_for(peaks)), np.asarray(_bytes.factor(peaks))
    assert np.array_equal(got["shift"], shift)
    assert np.array_equal(got["factor"], by)
    assert np.array_equal(got["shifted"], _bytes.rounded(entries, shift))
    assert np.array_equal(got["divided"], _bytes.divided(entries, by))


def test_amaranth_agrees_with_yosys(compiled: dict[str, Runner]) -> None:
    peaks, entries = (values[:400] for values in CASES["int8_k4"].operands())
    got = simulate(CASES["int8_k4"].block(), peak=peaks, entry=entries)
    for name, values in compiled["int8_k4"](peak=peaks, entry=entries).items():
        assert np.array_equal(got[name], values), name


@pytest.mark.parametrize("name", CASES)
def test_reference_is_the_definition(name: str) -> None:
    peaks, entries = (values[::7] for values in CASES[name].operands())
    wanted = [scales(int(peak)) for peak in peaks]
    shift, by = np.array(wanted).T
    assert _bytes.shift_for(peaks).tolist() == shift.tolist()
    assert [int(_bytes.shift_for(int(peak))) for peak in peaks[:50]] == shift[:50].tolist()
    assert _bytes.factor(peaks).tolist() == by.tolist()
    pairs = list(zip(entries.tolist(), wanted, strict=True))
    assert _bytes.rounded(entries, shift).tolist() == [nearest(Fraction(e, 2**s)) for e, (s, _) in pairs]
    assert _bytes.divided(entries, by).tolist() == [nearest(Fraction(e, c)) for e, (_, c) in pairs]


def test_bytes_never_leave_their_range() -> None:
    peaks = np.arange(1 << 18)
    for rule, scale, of in (
        ("pow2", 1 << np.asarray(_bytes.shift_for(peaks)), _bytes.rounded(peaks, np.asarray(_bytes.shift_for(peaks)))),
        ("max127", _bytes.factor(peaks), _bytes.divided(peaks, np.asarray(_bytes.factor(peaks)))),
    ):
        assert of.max() == 127
        # The bound holds for every table up to the largest, and is reached to within a scale.
        highest = np.maximum.accumulate(of * scale)
        bound = _bytes.byte_range(peaks, rule)
        assert (bound >= highest).all()
        assert (bound - highest <= (0 if rule == "pow2" else scale)).all()
    small = np.arange(128)
    assert (_bytes.shift_for(small) == 0).all()
    assert (_bytes.factor(small) == 1).all()


@pytest.mark.parametrize("values", [[-128, -128], [127, -128, 5, 0], [-1, 1, -128], [3]])
def test_the_sum_of_magnitudes_is_the_largest_entry(values: list[int]) -> None:
    names = {f"a{index}": signed(8) for index in range(len(values))}

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        return {"sum": _bytes.magnitude_sum(m, [i[name] for name in names], 11, "peak")}

    got = simulate(Block(names, build), **{name: np.array([value]) for name, value in zip(names, values, strict=True)})
    entries = [sum(s * v for s, v in zip(signs, values, strict=True)) for signs in _signs(len(values))]
    assert got["sum"].tolist() == [max(abs(entry) for entry in entries)]


def _signs(count: int) -> list[tuple[int, ...]]:
    return [tuple(1 if index >> bit & 1 else -1 for bit in range(count)) for index in range(1 << count)]
