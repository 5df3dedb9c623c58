from __future__ import annotations

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import AntFormat, get
from hwgen.pe import family

TYPES = 4


@pytest.mark.parametrize("name", ["ant4", "flint4", "pot4"])
def test_pairs_are_what_codes_stand_for(name: str) -> None:
    form = get(name)
    assert isinstance(form, AntFormat)
    spec = family("ant").from_values({"weights": name, "acts": name})
    decoded = spec.DECODED[name]  # type: ignore[attr-defined]
    codes = np.tile(np.arange(16), (len(form.kinds), 1))
    kind = np.arange(TYPES)[:, None] if form.side_bits else None
    integers, exponents = spec.pairs(codes, form, kind)  # type: ignore[attr-defined]
    assert (integers << exponents).tolist() == form.decode(codes, kind).tolist()
    assert np.abs(integers).max() == decoded.largest
    assert exponents.max() == decoded.shift
    values = form.decode(codes, kind)
    assert (values.min(), values.max()) == (decoded.low, decoded.high)


def test_the_widest_pair_of_types_fills_the_sum() -> None:
    spec = family("ant").from_values({"depth": 128})
    assert spec.product_range(spec.p) == (-4096, 4096)
    assert spec.acc_bits(spec.p) == 21
    narrow = family("ant").from_values({"weights": "flint4", "acts": "flint4"})
    assert narrow.product_range(narrow.p) == (-256, 256)


def test_types_are_side_information() -> None:
    spec = family("ant").from_values({"post_lanes": 2})
    assert {name: side.bits for name, side in spec.row_side().items()} == {"type": 2, "scale": 16}
    assert {name: side.bits for name, side in spec.col_side().items()} == {"type": 2, "scale": 16}
    fixed = family("ant").from_values({"weights": "pot4", "acts": "int8"})
    assert fixed.row_side() == fixed.col_side() == {}


def test_bits_name_formats() -> None:
    spec = family("ant").from_values({"bits": 8})
    assert (spec.p["weights"], spec.p["acts"]) == ("int8", "int8")
    spec = family("ant").from_values({"bits": 4, "acts": "int8"})
    assert (spec.p["weights"], spec.p["acts"]) == ("ant4", "int8")
    with pytest.raises(HwgenError) as caught:
        family("ant").from_values({"bits": 3})
    assert str(caught.value) == "ant: bits must be 4 or 8, not 3"
