"""The bit-serial tile's reference against single bits, plane by plane, its widths against every sum of a cycle."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.pe.bitserial import Bitserial

SCHEMES = ("symmetric", "asymmetric", "minimum", "bipolar")


def tile(**values: Any) -> Bitserial:
    return family("bitserial").from_values({"m": 2, "n": 3, "k": 4, "group": 16, "depth": 16} | values)  # type: ignore[return-value]


def plane_value(code: int, plane: int, bits: int, scheme: str) -> int:
    """What a plane of a weight counts."""
    bit = code >> plane & 1
    if scheme == "bipolar":
        return (1 if bit else -1) << plane
    return -(bit << plane) if scheme == "symmetric" and plane == bits - 1 else bit << plane


def cases(*sizes: tuple[int, int]) -> list[tuple[int, int, str]]:
    """Bits and planes a cycle by scheme; a plane of signs cannot be empty."""
    return [(*size, scheme) for scheme in SCHEMES for size in sizes if scheme != "bipolar" or size[0] % size[1] == 0]


@pytest.mark.parametrize(("bits", "planes", "scheme"), cases((1, 1), (3, 1), (4, 2), (5, 2), (7, 3), (8, 1), (8, 8)))
def test_each_cycle_adds_its_planes(bits: int, planes: int, scheme: str) -> None:
    spec = tile(bits=bits, planes=planes, scheme=scheme)
    rng = np.random.default_rng(bits)
    acts = rng.integers(0, 256, (spec.m, spec.k), dtype=np.uint32)
    weights = rng.integers(0, 1 << bits, (spec.n, spec.k), dtype=np.uint32)
    acts[0, :2], weights[0], weights[1] = (128, 127), 0, (1 << bits) - 1
    terms = spec.terms(acts, weights, {}, {}, 0)
    assert len(terms) == spec.cycles_per_step(spec.p) == -(-bits // planes)
    for cycle, m, n in np.ndindex(len(terms), spec.m, spec.n):
        want = 0
        for a, w in zip(acts[m].tolist(), weights[n].tolist(), strict=True):
            value = a - 256 if a >= 128 else a
            for plane in range(cycle * planes, min((cycle + 1) * planes, bits)):
                want += value * plane_value(w, plane, bits, scheme)
        assert terms[cycle, m, n, 0] == want
    # All cycles together are the weights that the quantiser means.
    whole = spec.act_format.fixed(acts) @ spec.weight_format.fixed(weights).T
    assert np.array_equal(terms.sum(axis=0)[..., 0], whole)
    assert spec.row_terms(acts, {}, 0).tolist() == spec.act_format.fixed(acts).sum(axis=1).tolist()


@pytest.mark.parametrize("acts", ["int2", "int4"])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize(("bits", "planes", "scheme"), cases((1, 1), (2, 1), (4, 2), (4, 4), (3, 2)))
def test_the_sum_of_a_cycle_needs_its_bits(bits: int, planes: int, k: int, acts: str, scheme: str) -> None:
    """The width before the shift holds the extremes, less the carry that is left, and one bit less does not."""
    spec = tile(bits=bits, planes=planes, k=k, acts=acts, scheme=scheme, group=12, depth=12)
    corners = spec.act_format.fixed(np.array(spec.act_format.corners)).tolist()
    cycles = int(spec.cycles_per_step(spec.p))
    sums = []
    for cycle, code in itertools.product(range(cycles), range(1 << bits)):
        chosen = range(cycle * planes, min((cycle + 1) * planes, bits))
        digit = sum(plane_value(code, plane, bits, scheme) for plane in chosen) >> cycle * planes
        # K equal products are the extremes; a carry is left where the highest plane is negative.
        top = planes * (cycle + 1) - 1
        last = cycle == cycles - 1
        carry = spec.carry_bits(spec.p) and (code >> top & 1 == 0 if scheme == "bipolar" else last)
        sums += [k * digit * a - int(carry) for a in corners]
    needed = max(max(max(sums), 0).bit_length(), max(-min(sums) - 1, 0).bit_length()) + 1
    assert spec._sum_bits(spec.p) == needed
    assert spec.addend_bits(spec.p) == needed + planes * (cycles - 1)


def test_formulas_take_arrays() -> None:
    values = {
        "bits": np.array([1, 2, 3, 4, 8, 8]),
        "planes": np.array([1, 1, 2, 4, 3, 8]),
        "k": np.array([1, 2, 3, 4, 8, 4]),
    }
    for scheme in SCHEMES[:2]:
        p = {**tile(bits=4, scheme=scheme).p, **values}
        for index in range(6):
            one = {**p, **{name: int(value[index]) for name, value in values.items()}}
            for formula in ("addend_bits", "carry_bits", "cycles_per_step", "acc_bits"):
                assert np.broadcast_to(getattr(Bitserial, formula)(p), 6)[index] == getattr(Bitserial, formula)(one)
            for counts in ("cell_primitives", "col_primitives"):
                many, single = getattr(Bitserial, counts)(p), getattr(Bitserial, counts)(one)
                assert {name: int(np.broadcast_to(value, 6)[index]) for name, value in many.items()} == single


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bits": 2, "planes": 3}, "bitserial: planes must be at most bits (2), not 3"),
        (
            {"bits": 3, "planes": 2, "scheme": "bipolar"},
            "bitserial: planes must divide bits (3) with scheme bipolar, not 2; a plane of signs cannot be empty",
        ),
        (
            {"bits": 4, "scheme": "ternary"},
            "bitserial: bits must be 2 with scheme ternary, not 4; its codes are 3, 0 and 1",
        ),
        ({"bits": 9}, "bitserial: bits must be a whole number from 1 to 8, not 9"),
    ],
)
def test_refusals(values: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        tile(**values)
    assert str(caught.value) == message
