"""Tables of values by code against a search over fractions, special values, and rounding to fixed point."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import CodebookFormat, Format, TableFormat, fixed_point, get, value_table
from hwgen.formats.codebook import NF4

FORMATS = [
    "special(fp4_e2m1,-5,5,-8,8)",
    "special(e2m0,3)",
    "table(0,1,2,4,0,-1,-2,-4)",
    "table(3,3)",
    "table(0,1,2,0.1;5,-1,-9,7)",
]


def nearest(levels: tuple[float, ...], x: float) -> int:
    """Least distance, then the even code, then the lower value; a value's code is its lowest."""
    found = (0, 0.0, 0)
    best: tuple[object, ...] = ()
    for value in sorted(set(levels)):
        code = levels.index(value)
        distance = abs(Fraction(value) - Fraction(x))
        if not best or (distance, code % 2, value) < best:
            best, found = (distance, code % 2, value), (code, value, 0)
    return found[0]


@pytest.mark.parametrize("name", FORMATS)
def test_encodes_the_nearest_value_of_the_selector(name: str) -> None:
    form = get(name)
    assert isinstance(form, TableFormat)
    rng = np.random.default_rng(1)
    for side, levels in enumerate(form.tables):
        ends = sorted(set(levels))
        middles = [(a + b) / 2 for a, b in itertools.pairwise(ends)]
        near = [math.nextafter(middle, way) for middle in middles for way in (-math.inf, math.inf)]
        x = [*levels, *middles, *near, 1e300, -1e300, 0.0, *rng.uniform(ends[0] - 1, ends[-1] + 1, 100).tolist()]
        wanted = [nearest(levels, value) for value in x]
        given = side if form.side_bits else None
        assert form.encode(x, given).tolist() == wanted
        assert [form.encode_scalar(value, given) for value in x] == wanted
        assert form.decode(form.codes(), given).tolist() == list(levels)
        assert [form.decode_scalar(code, given) for code in range(len(levels))] == [Fraction(v) for v in levels]


def test_selectors_of_many_groups_at_once() -> None:
    form = get("razer_fp4")
    rng = np.random.default_rng(2)
    x, side = rng.uniform(-9, 9, (40, 8)), rng.integers(0, 4, (40, 1))
    codes = form.encode(x, side)
    assert codes.tolist() == [[form.encode(v, s[0]).item() for v in row] for row, s in zip(x, side, strict=True)]
    assert set(codes[form.decode(codes, side) == -8]) == {8}


@pytest.mark.parametrize("name", FORMATS)
def test_facts(name: str) -> None:
    form = get(name)
    assert isinstance(form, TableFormat)
    every = [value for table in form.tables for value in table]
    assert (form.min_value, form.max_value) == (min(every), max(every))
    assert all((Fraction(v) / Fraction(2) ** form.lsb_exp).denominator == 1 for v in every)
    assert form.padding in (None, 0)
    assert set(form.corners) <= set(range(1 << form.code_bits))
    assert get(form.name) is form
    assert form.describe()["values"] == list(form.tables[0])


def test_special_values_replace_the_code_that_repeats_one() -> None:
    form = get("razer_fp4")
    assert (form.name, form.code_bits, form.side_bits) == ("special(fp4_e2m1,-5,5,-8,8)", 4, 2)
    plain = get("fp4_e2m1").decode(get("fp4_e2m1").codes())
    for side, value in enumerate((-5.0, 5.0, -8.0, 8.0)):
        found = form.decode(form.codes(), side)
        assert found[8] == value
        assert np.delete(found, 8).tolist() == np.delete(plain, 8).tolist()


def test_trit_planes_are_sums_of_two_trits() -> None:
    form = get("trit_planes")
    assert (form.code_bits, form.side_bits, form.fixed_bits) == (4, 3, 6)
    for side in range(8):
        values = form.decode(form.codes(), side)
        for first, second in np.ndindex(3, 3):
            t, u = first - 1, second - 1
            assert values[(t & 3) | (u & 3) << 2] == t + (side + 1) / 8 * u


def test_nf4_in_eight_bits_is_its_values_times_127_rounded() -> None:
    form = fixed_point(get("nf4"), 8)
    assert isinstance(form, CodebookFormat)
    assert form.levels == tuple(float(np.rint(value * 127)) for value in NF4)
    assert (form.levels[0], form.levels[-1]) == (-127, 127)


@pytest.mark.parametrize(
    ("name", "bits", "wanted"),
    [
        ("fp4_e2m1", 5, "fp4_e2m1"),
        ("razer_fp4", 6, "special(fp4_e2m1,-5,5,-8,8)"),
        ("special(fp4_e2m1,5)", 5, "special(fp4_e2m1,5)"),
        ("razer_fp4", 4, None),
        ("nf4", 5, "codebook(-15,-10,-8,-6,-4,-3,-1,0,1,2,4,5,7,8,11,15)"),
        ("nf4", 4, None),
        ("posit4_1", 4, None),
        ("table(0,0.5,1.26,-1.3)", 6, "table(0,12,30,-31)"),
    ],
)
def test_fixed_point(name: str, bits: int, wanted: str | None) -> None:
    found = fixed_point(get(name), bits)
    assert (None if found is None else found.name) == wanted
    if found is not None:
        assert found.fixed_bits <= bits


@pytest.mark.parametrize(("name", "has"), [("nf4", True), ("int5", True), ("posit4_1", False), ("fp16", False)])
def test_value_table(name: str, has: bool) -> None:
    form: Format = get(name)
    tables = value_table(form)
    assert (tables is not None) == has
    if tables is not None:
        assert list(tables[0]) == form.decode(form.codes()).tolist()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("table(1,2,3)", "table: a table must be 2, 4, 8 … 256 values, as many each, not 3"),
        ("table(1,2;1,2;3,4)", "table: tables must be 1, 2, 4 … 256, not 3"),
        ("table(1,2;1,2,3,4)", "table: a table must be 2, 4, 8 … 256 values, as many each, not 4"),
        ("table(1,e)", "format: values of a table must be numbers separated by commas, not '1,e'"),
        (
            "special(int4,3)",
            "special(int4,3): the format must have a code that repeats a value, such as the -0 of fp4_e2m1, which int4 "
            "has not",
        ),
        ("special(fp4_e2m1,x)", "format: special values must be numbers separated by commas, not 'x'"),
    ],
)
def test_tables_that_cannot_be(name: str, sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        get(name)
    assert str(caught.value) == sentence


def test_selectors_out_of_range_and_nan() -> None:
    form = get("special(e2m0,3,-3)")
    with pytest.raises(HwgenError, match="selector must be 0 to 1, not 2"):
        form.decode([0], [2])
    with pytest.raises(HwgenError, match="values must be numbers, not NaN"):
        form.encode([math.nan], [0])
