"""The codebook quantiser against its definition over fractions, and NF4 on normal data."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.formats.codebook import NF4
from hwgen.quantize import codebook, integer
from tests.quantize import slow
from tests.quantize.slow import samples

TABLES = {"nf4": NF4, "codebook(-4,-1,0,0.5)": (-4.0, -1.0, 0.0, 0.5)}


def definition(x: list[Fraction], name: str, scale_name: str) -> slow.Group:
    levels = [Fraction(v) for v in TABLES[name]]
    code, s = slow.scale(max(abs(v) for v in x) / max(abs(v) for v in levels), scale_name)
    codes = []
    for v in x:
        distance = [abs(level - slow.ratio(v, s)) for level in levels]
        best = [i for i, d in enumerate(distance) if d == min(distance)]
        codes.append(next(i for i in best if len(best) == 1 or i % 2 == 0))
    return slow.Group(codes, code)


@pytest.mark.parametrize("scale", ["fp16", "bf16", "e8m0"])
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("group", [16, 0])
def test_equals_its_definition(name: str, scale: str, group: int) -> None:
    x = samples(11)
    slow.check(codebook(x, name, group, scale), x, lambda part: definition(part, name, scale))


def test_zeros_and_ends() -> None:
    found = codebook([[0.0, 0, 0, 0, 2, -2, 1, 0.1]], "nf4", 4)
    assert found.codes.tolist() == [[7, 7, 7, 7, 15, 0, 12, 8]]
    assert found.scale_codes.tolist() == [[0, int(get("fp16").encode(2.0))]]
    assert not found.dequantize()[0, :4].any()


def test_blocks_of_64_by_default() -> None:
    x = samples(2, k=130)
    found = codebook(x)
    assert (found.format.name, found.group_size, found.groups) == ("nf4", 64, 3)


@pytest.mark.parametrize(("tails", "gain"), [(1e6, 1.1), (4, 1.4)])
def test_better_than_symmetric_integers(tails: float, gain: float) -> None:
    """In blocks of 64, on normal data and more so with heavy tails (Student's t)."""
    x = np.random.default_rng(5).standard_t(tails, (64, 1024))
    losses = [((found.dequantize() - x) ** 2).mean() for found in (codebook(x), integer(x, 4, 64))]
    assert losses[1] > gain * losses[0]


def test_a_block_has_the_special_value_of_least_error() -> None:
    """Tried one after the other, in fractions, with scales that are not rounded yet."""
    x = np.rint(np.random.default_rng(7).standard_t(3, (12, 32)) * 16) / 16
    form = get("special(fp4_e2m1,-5,5,-8,8)")
    found = codebook(x, form, 8, "fp16")
    assert found.selector is not None
    chosen = set()
    for row, group in np.ndindex(12, 4):
        part = [Fraction(v) for v in x[row, 8 * group : 8 * group + 8].tolist()]
        amax, errors = max(map(abs, part)), []
        for special in (-5, 5, -8, 8):
            levels = [Fraction(v) / 2 for v in (0, 1, 2, 3, 4, 6, 8, 12, *(-v for v in (1, 2, 3, 4, 6, 8, 12)))]
            levels.append(Fraction(special))
            scale = amax / max(map(abs, levels))
            errors.append(sum(min((v - scale * level) ** 2 for level in levels) for v in part))
        side = errors.index(min(errors))
        chosen.add(side)
        assert found.selector[row, group] == side
        scale = amax / (6 if side < 2 else 8)
        assert found.scale_codes[row, group] == get("fp16").encode_scalar(scale)
    assert chosen == {0, 1, 2, 3}
    assert (found.dequantize() - x).std() < (
        codebook(x, "table(0,1,2,3,4,6,8,12,0,-1,-2,-3,-4,-6,-8,-12)", 8).dequantize() - x
    ).std()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"format": "int4"}, "codebook: format must be nf4 or another codebook, not int4"),
        ({"scale_format": "int8"}, "codebook: scale_format must be floating point such as fp16 or e8m0, not int8"),
        ({"group_size": -1}, "codebook: group size must be positive, or 0 for the whole row, not -1"),
    ],
)
def test_refusals(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        codebook(np.ones((2, 8)), **values)  # type: ignore[arg-type]
    assert str(caught.value) == sentence
