from __future__ import annotations

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.pe import family


def test_pairs_are_what_bytes_stand_for() -> None:
    spec = family("olive")()
    decoded = spec.DECODED["olive4"]  # type: ignore[attr-defined]
    form = get("olive4")
    words, kind = np.tile(np.arange(256), (4, 1)), np.arange(4)[:, None]
    integers, exponents = spec.pairs(words, form, kind)  # type: ignore[attr-defined]
    values = form.decode(words, kind)
    assert (integers << exponents).reshape(values.shape).tolist() == values.tolist()
    assert np.abs(integers).max() == decoded.largest
    assert exponents.max() == decoded.shift
    assert (values.min(), values.max()) == (decoded.low, decoded.high)


def test_ports_and_widths() -> None:
    spec = family("olive").from_values({"k": 4, "post_lanes": 2})
    assert spec.act_port(spec.p) == spec.weight_port(spec.p) == (2, 8)
    assert spec.code_columns(0) == (2, 2)
    assert spec.product_range(spec.p) == (-147456, 147456)
    # 64 pairs with an outlier each.
    assert spec.acc_bits(spec.p) == (64 * 147456).bit_length() + 1
    assert {name: side.bits for name, side in spec.col_side().items()} == {"type": 2, "scale": 16}
    mixed = family("olive").from_values({"k": 4, "acts": "int8"})
    assert mixed.code_columns(0) == (4, 2)
    assert mixed.row_side() == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k": 1}, "olive: k must be a multiple of 2 with acts olive4, not 1"),
        ({"k": 1, "acts": "int8"}, "olive: k must be a multiple of 2 with weights olive4, not 1"),
        ({"bits": 5}, "olive: bits must be 4 or 8, not 5"),
    ],
)
def test_refuses(values: dict[str, object], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        family("olive").from_values(values)
    assert str(caught.value) == message
