"""The reference of shiftadd tiles against shifts and additions of single codes, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.pe.shiftadd import ShiftAdd
from hwgen.reference import run_steps
from hwgen.schedule import Steps


def tile(**values: Any) -> ShiftAdd:
    return family("shiftadd").from_values({"m": 2, "n": 3, "k": 4, "group": 16, "depth": 16, **values})  # type: ignore[return-value]


def shift_and_add(x: int, code: int, spec: ShiftAdd) -> int:
    """Product of an activation and a code, by the code's digits from the lowest up."""
    total, bits = 0, spec.exponent_bits
    for term in range(spec.powers):
        field, code = code % 2**bits, code >> bits
        if spec.scheme == "apot":
            shift = spec.powers * (2**bits - 1 - field) + spec.powers - 1 - term
        else:
            shift = 2**bits - 1 - field
        part = x << shift if field else 0
        if spec.scheme == "signed":
            part, code = -part if code & 1 else part, code >> 1
        total += part
    return -total if code else total


@pytest.mark.parametrize("acts", ["int4", "int8", "int16"])
@pytest.mark.parametrize(
    "values",
    [
        *({"powers": powers, "exponent_bits": bits} for powers in (1, 2, 3) for bits in (1, 2, 3, 4)),
        *({"powers": powers, "exponent_bits": bits, "scheme": "apot"} for powers in (2, 3) for bits in (1, 2, 3)),
    ],
)
def test_steps_are_sums_of_shifted_activations(values: dict[str, Any], acts: str) -> None:
    spec = tile(acts=acts, **values)
    rng = np.random.default_rng(3)
    a_bits, w_bits = spec.act_format.code_bits, spec.weight_format.code_bits
    a = rng.integers(0, 1 << a_bits, (12, spec.m, spec.k), dtype=np.uint32)
    w = rng.integers(0, 1 << w_bits, (12, spec.n, spec.k), dtype=np.uint32)
    a[:2], w[0], w[1] = 1 << (a_bits - 1), 0, (1 << w_bits) - 1
    ones = np.ones(12, bool)
    sums = run_steps(spec, Steps(a, w, {}, {}, ones, ones, ones)).sums[..., 0]
    for step, row, column in np.ndindex(*sums.shape):
        pairs = zip(a[step, row].tolist(), w[step, column].tolist(), strict=True)
        wanted = sum(shift_and_add(x - (x >> (a_bits - 1) << a_bits), code, spec) for x, code in pairs)
        assert int(sums[step, row, column]) == wanted


@pytest.mark.parametrize("scheme", ["signed", "apot"])
def test_terms_add_up_to_the_weight(scheme: str) -> None:
    spec = tile(powers=2, scheme=scheme)
    codes = spec.weight_format.codes()
    assert spec.terms_of(codes).shape == (len(codes), 2)
    assert spec.terms_of(codes).sum(axis=-1).tolist() == spec.weight_format.decode(codes).tolist()


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "powers2_6"),
        ({"bits": 4}, "powers1_6"),
        ({"bits": 6}, "powers2_2"),
        ({"bits": 6, "powers": 3}, "powers3_0"),
        ({"bits": 12}, "powers3_6"),
        ({"bits": 5, "scheme": "apot"}, "apot2_5"),
        ({"bits": 7, "scheme": "apot"}, "apot2_13"),
        ({"bits": 7, "scheme": "apot", "powers": 3}, "apot3_8"),
    ],
)
def test_bits_are_those_of_a_code(values: dict[str, Any], name: str) -> None:
    assert tile(**values).weight_format.name == name


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"bits": 7},
            "shiftadd: bits must be powers · (exponent_bits + 1), not 7; 4 is one power and its sign, 8 are two, "
            "5 are two with scheme apot",
        ),
        (
            {"bits": 4, "powers": 2, "exponent_bits": 3},
            "shiftadd: bits must be powers · (exponent_bits + 1), not 4; 4 is one power and its sign, 8 are two, "
            "5 are two with scheme apot",
        ),
        (
            {"scheme": "apot", "powers": 1},
            "shiftadd: powers must be 2 or 3 with scheme apot, not 1; one power and its sign are scheme signed",
        ),
        (
            {"scheme": "apot", "exponent_bits": 4},
            "shiftadd: exponent_bits must be at most 3 with scheme apot, not 4; sums would be too wide",
        ),
        (
            {"acts": "fp16", "align_scope": "step", "exponent_bits": 4},
            "shiftadd: exponent_bits must be at most 3 with scheme signed and align_scope step, not 4; sums would be "
            "too wide",
        ),
    ],
)
def test_refusals(values: dict[str, Any], text: str) -> None:
    with pytest.raises(HwgenError) as caught:
        tile(**values)
    assert str(caught.value) == text
