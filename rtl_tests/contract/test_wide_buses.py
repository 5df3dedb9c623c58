"""Buses of more bits than Python prints as a decimal number unless told: they are simulated like others."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from hwgen.emit import emit
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.reference import run_steps
from hwgen.verify import simulate
from hwgen.verify._contract import compare
from hwgen.verify._stimuli import random_steps


def test_a_register_of_19456_bits() -> None:
    """External tables of one row, K 8, four of them: Amaranth's simulator names masks of registers in decimal."""
    tables = {"precompute": "external", "tables": 4, "symmetry": "none", "planes": "twos_complement"}
    shape = {"m": 1, "n": 1, "k": 8, "bits": 1, "group": 32, "depth": 32}
    spec = family("lut").from_values({**tables, **shape, "acts": "int16", "stages": 2})
    elements, bits = spec.act_port(spec.p)
    limit = sys.get_int_max_str_digits()
    assert int(elements) * int(bits) == 19_456 > limit * 3.33
    steps = random_steps(spec, 1, groups=2)
    assert compare(spec, steps, run_steps(spec, steps), simulate(spec, steps)) == ""
    assert sys.get_int_max_str_digits() == limit


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"m": 64, "n": 64, "k": 4}, "the sums of all cells must be at most 65,536 bits to be one signal, not 94,208"),
        ({"m": 64, "n": 64, "k": 2, "bits": 2, "post_lanes": 64}, "the sums of all cells must be at most 65,536 bits"),
        ({"m": 4, "n": 512, "k": 16, "bits": 8}, "the operands of a step must be at most 65,536 bits to be one signal"),
    ],
)
def test_more_than_a_signal_holds_is_refused(values: dict[str, Any], said: str) -> None:
    """In a sentence; it was an assertion of Amaranth's."""
    with pytest.raises(HwgenError, match=said):
        emit(family("int").from_values(values))


@pytest.mark.parametrize("n", [510, 511])
def test_the_last_width_is_emitted(n: int) -> None:
    """Inputs of 65,418 bits are one signal, those of 65,546 none; beside the payload there are clock, reset, valid."""
    spec = family("int").from_values({"m": 1, "n": n, "k": 16, "bits": 8, "group": 16, "depth": 16})
    if n == 510:
        assert f"[{16 * 8 * n - 1}:0] i_weights" in emit(spec).verilog
    else:
        with pytest.raises(HwgenError, match="the operands of a step"):
            emit(spec)
