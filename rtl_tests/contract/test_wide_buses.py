"""Buses of more bits than Python prints as a decimal number unless told: they are simulated like others."""

from __future__ import annotations

import sys

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
