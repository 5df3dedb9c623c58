"""How a user asks for weights of one bit and for ternary ones, and what they cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.pe import family
from sim.estimate import estimate
from sim.run import Layer


@pytest.mark.parametrize(
    ("name", "values", "bits", "scheme"),
    [
        ("int", {"bits": 1}, 1, "bipolar"),
        ("lut", {"bits": 1}, 1, "bipolar"),
        ("int", {"bits": "1.58"}, 2, "ternary"),
        ("int", {"bits": 1.58}, 2, "ternary"),
        ("lut", {"bits": "1.585", "scheme": "ternary"}, 2, "ternary"),
        ("mixpe", {"bits": "1.58"}, 2, "ternary"),
        ("bitserial", {"bits": "1.58"}, 2, "ternary"),
        ("bitserial", {"bits": 1}, 1, "bipolar"),
        ("bitplane", {"bits": 1}, 1, "bipolar"),
        ("bitplane", {"bits": 1, "acts": "int4"}, 1, "symmetric"),
        ("bitplane", {"acts": "bipolar1"}, 4, "bipolar"),
        ("int", {"scheme": "ternary"}, 2, "ternary"),
        # What is named stays, and so do other widths.
        ("int", {"bits": 1, "scheme": "symmetric"}, 1, "symmetric"),
        ("int", {"bits": 2}, 2, "symmetric"),
        ("int", {}, 8, "symmetric"),
        ("lut", {"bits": 2}, 2, "asymmetric"),
        ("lut", {"bits": 1, "planes": "twos_complement", "symmetry": "none"}, 1, "asymmetric"),
    ],
)
def test_what_a_width_means(name: str, values: dict[str, Any], bits: int, scheme: str) -> None:
    spec = family(name).from_values(values)
    assert (spec.p["bits"], spec.p["scheme"]) == (bits, scheme)
    # The manifest's parameters, all of them, bring the same tile back.
    assert family(name).from_values(spec.p) == spec


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("int", {"bits": "1.58", "scheme": "bipolar"}, "int: scheme must be ternary with bits 1.58, not bipolar"),
        ("mixpe", {"bits": 4, "scheme": "ternary"}, "mixpe: bits must be 2 with scheme ternary, not 4; its codes are "),
        ("int", {"bits": 9, "scheme": "bipolar"}, "int: bits must be at most 8 with scheme bipolar, not 9"),
        ("int", {"bits": "1.6"}, "int: bits must be a whole number from 1 to 16, not '1.6'"),
        ("mixpe", {"bits": 1}, "mixpe: bits must be a whole number from 2 to 8, not 1"),
        ("bitmod", {"bits": "1.58"}, "bitmod: bits must be "),
        (
            "lut",
            {"bits": 1, "scheme": "bipolar", "planes": "twos_complement", "symmetry": "none"},
            "lut: scheme must be asymmetric, minimum, symmetric or ternary with planes twos_complement, not bipolar",
        ),
    ],
)
def test_refusals(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        family(name).from_values(values)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["int", "lut", "mixpe", "bitserial", "bitplane"])
def test_ternary_is_the_hardware_of_two_signed_bits(name: str) -> None:
    """The same formulas and ports: only the quantiser differs, and two bits are stored."""
    ternary, signed = (family(name).from_values({"bits": 2, "scheme": scheme}) for scheme in ("ternary", "symmetric"))
    assert ternary.weight_port(ternary.p) == signed.weight_port(signed.p)
    assert ternary.acc_bits(ternary.p) == signed.acc_bits(signed.p)
    assert ternary.weight_format == signed.weight_format
    assert ternary.modules(ternary.p) == signed.modules(signed.p)
    # Every code of two bits has its product, -2 too, which no ternary layer drives.
    codes = np.broadcast_to(np.arange(4, dtype=np.uint32)[:, None, None], (4, ternary.n, ternary.k))
    acts = np.full((4, ternary.m, ternary.k), 3, np.uint32)
    zero = np.zeros((4, ternary.n), np.int64)
    sums = ternary.correct(ternary.terms(acts, codes, {}, {}, 0).sum(axis=0)[..., 0],
                           ternary.row_terms(acts, {}, 0) if ternary.has_row_sums else np.zeros((4, ternary.m)),
                           None if not ternary.has_row_sums else zero + 1)  # fmt: skip
    finer = ternary.row_lsb_exp - ternary.lsb_exp
    assert sums[:, 0, 0].tolist() == [3 * ternary.k * value << finer for value in (0, 1, -2, -1)]


def test_one_bit_needs_no_multiplier_and_no_activation_sum() -> None:
    one = family("int").from_values({"bits": 1})
    unsigned = family("int").from_values({"bits": 1, "scheme": "asymmetric"})
    ones, twos = (spec.modules(spec.p)["cell"].primitives for spec in (one, family("int").from_values({"bits": 2})))
    assert "mul" not in ones
    assert (ones["xor"], ones["and"]) < (twos["xor"], twos["and"])
    assert (one.has_row_sums, unsigned.has_row_sums) == (False, True)
    layer = Layer("x", 8, 64, 128)
    assert estimate(one, layer).cycles == estimate(unsigned, layer).cycles
