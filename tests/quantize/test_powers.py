"""The quantiser to sums of powers of two against its definition over fractions."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.quantize import powers
from tests.quantize import slow
from tests.quantize.slow import samples

POT = [0, *(2**shift for shift in range(7))]
MAGNITUDES = {
    "powers1_6": POT,
    "powers2_2": [abs(a + s * b) for a, b, s in itertools.product([0, 1, 2, 4], [0, 1, 2, 4], (1, -1))],
    "apot2_5": [a + b for a in (0, 32, 8, 2) for b in (0, 16, 4, 1)],
}


def definition(x: list[Fraction], name: str, scale_name: str) -> slow.Group:
    levels: list[int] = sorted({s * v for v in MAGNITUDES[name] for s in (1, -1)})
    code, s = slow.scale(max(abs(v) for v in x) / max(levels), scale_name)

    def nearest(value: Fraction) -> int:
        ratio = slow.ratio(value, s)
        return min(levels, key=lambda level: (abs(level - ratio), abs(level)))

    found = [nearest(value) for value in x]
    form = get(name)
    values = form.decode(form.codes()).tolist()
    return slow.Group([values.index(value) for value in found], code)


@pytest.mark.parametrize("scale", ["fp16", "e8m0"])
@pytest.mark.parametrize("name", MAGNITUDES)
@pytest.mark.parametrize("group", [16, 0])
def test_equals_its_definition(name: str, scale: str, group: int) -> None:
    x = samples(7)
    slow.check(powers(x, name, group, scale), x, lambda part: definition(part, name, scale))


def test_more_terms_are_nearer() -> None:
    """On normal data, groups of 128; a second term of one power is worth more than longer shifts."""
    x = np.random.default_rng(4).normal(size=(32, 512))
    loss = {name: ((powers(x, name).dequantize() - x) ** 2).mean() for name in ("powers1_6", "apot2_5", "powers2_6")}
    assert loss["powers1_6"] > 3 * loss["apot2_5"] > 6 * loss["powers2_6"]


def test_refusals() -> None:
    with pytest.raises(HwgenError) as caught:
        powers([[1.0]], "int4")
    assert str(caught.value) == "powers: format must be powersT_S or apotT_S such as powers2_6, not int4"
