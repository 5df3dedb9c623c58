"""Codebooks against a search of their values over fractions, and NF4 against its definition."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import CodebookFormat, QTensor, get
from hwgen.quantize import codebook

NF4 = CodebookFormat()
# The second has midpoints that no float64 holds: 1 + 2^-60 and -(1 + 2^-60) / 2.
FORMATS = [
    NF4,
    CodebookFormat(levels=(-1.0, 2.0**-59, 2.0, 2.0 + 2.0**-51)),
    CodebookFormat(levels=(-5.0, -1.0, 0.25, 1.0, 1.5, 3.0, 6.0, 7.0)),
    CodebookFormat(levels=(1.0, 2.0)),
    CodebookFormat(levels=tuple(i * i / 7 - 10 for i in range(32))),
]


def ids(form: CodebookFormat) -> str:
    return f"{form.code_bits} bits from {form.levels[0]:g}"


def nearest(form: CodebookFormat, x: float) -> int:
    """Least distance; of two equally near codes the even one."""
    if math.isinf(x):
        return len(form.levels) - 1 if x > 0 else 0
    distance = [abs(Fraction(level) - Fraction(x)) for level in form.levels]
    best = [code for code, d in enumerate(distance) if d == min(distance)]
    return next(code for code in best if len(best) == 1 or code % 2 == 0)


def probes(form: CodebookFormat) -> list[float]:
    levels = form.levels
    centres = [*levels, *(float((Fraction(a) + Fraction(b)) / 2) for a, b in itertools.pairwise(levels))]
    near = [math.nextafter(centre, way) for centre in centres for way in (-math.inf, math.inf)]
    spread = np.random.default_rng(1).uniform(levels[0] * 1.2, levels[-1] * 1.2, 200).tolist()
    return [*centres, *near, *spread, 0.0, -0.0, math.inf, -math.inf, 1e300, -1e300, 5e-324]


@pytest.mark.parametrize("form", FORMATS, ids=ids)
def test_encodes_the_nearest_value(form: CodebookFormat) -> None:
    values = probes(form)
    wanted = [nearest(form, value) for value in values]
    assert form.encode(values).tolist() == wanted
    assert [form.encode_scalar(value) for value in values] == wanted


@pytest.mark.parametrize("form", FORMATS, ids=ids)
def test_decodes_its_table(form: CodebookFormat) -> None:
    assert form.decode(form.codes()).tolist() == list(form.levels)
    assert [form.decode_scalar(code) for code in range(len(form.levels))] == [Fraction(v) for v in form.levels]
    assert form.encode(form.levels).tolist() == list(range(len(form.levels)))


def test_ties_go_to_the_even_code() -> None:
    form = FORMATS[2]
    # Midpoints of codes 0, 1 and 1, 2 and so on: -3, -0.375, 0.625, 1.25, 2.25, 4.5, 6.5.
    assert form.encode([-3, -0.375, 0.625, 1.25, 2.25, 4.5, 6.5]).tolist() == [0, 2, 2, 4, 4, 6, 6]


@pytest.mark.parametrize("form", FORMATS, ids=ids)
def test_facts(form: CodebookFormat) -> None:
    assert (form.min_value, form.max_value) == (min(form.levels), max(form.levels))
    assert form.smallest == min((v for v in form.levels if v > 0), default=1.0)
    units = [Fraction(v) / Fraction(2) ** form.lsb_exp for v in form.levels]
    assert all(unit.denominator == 1 for unit in units)
    assert any(unit % 2 for unit in units)
    if form.fixed_bits <= 64:
        assert form.fixed(form.codes()).tolist() == units
    assert set(form.corners) <= set(range(len(form.levels)))
    assert list(form.corners) == sorted(form.corners)
    assert get(form.name) == form


def test_nf4_is_the_quantiles_of_a_normal_distribution() -> None:
    """QLoRA, Appendix E: 9 quantiles above 0 and 8 below it, zero once, scaled to end at ±1, in float32."""
    quantile = NormalDist().inv_cdf
    above = [quantile(p) for p in np.linspace(0.9677083, 0.5, 9)[:-1]]
    below = [-quantile(p) for p in np.linspace(0.9677083, 0.5, 8)[:-1]]
    levels = np.sort([*above, *below, 0.0])
    assert len(NF4.levels) == 16
    assert np.abs(np.array(NF4.levels) - levels / levels.max()).max() < 2e-7
    assert [float(np.float32(v)) for v in NF4.levels] == list(NF4.levels)
    assert (NF4.name, NF4.padding, NF4.lsb_exp) == ("nf4", 7, -27)


def test_names() -> None:
    assert get("nf4") is get("nf4")
    assert get("codebook(-1.0,0,0.50,1)") is get("codebook(-1,0,0.5,1)")
    assert get("codebook(-1,0,0.5,1)").padding == 1
    assert FORMATS[3].padding is None
    found = codebook([[0.5, -1.0, 0.25]], "codebook(-1,0,0.5,1)")
    assert QTensor.from_bytes(found.to_bytes()) == found


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("codebook(-1,0,1)", "codebook: levels must be 2, 4, 8 … 256 values, not 3"),
        ("codebook(1)", "codebook: levels must be 2, 4, 8 … 256 values, not 1"),
        ("codebook(1,0)", "codebook: levels must be finite and ascending, not 1 before 0"),
        ("codebook(1,1)", "codebook: levels must be finite and ascending, not 1 before 1"),
        ("codebook(1,1e999)", "format: levels of a codebook must be finite numbers, not '1,1e999'"),
        ("codebook(1,,2)", "format: levels of a codebook must be numbers separated by commas, not '1,,2'"),
    ],
)
def test_tables_that_cannot_be(name: str, sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        get(name)
    assert str(caught.value) == sentence


def test_nan_is_refused() -> None:
    with pytest.raises(HwgenError) as caught:
        NF4.encode([float("nan")])
    assert str(caught.value) == "nf4: values must be numbers, not NaN, which the format cannot express"
    with pytest.raises(HwgenError) as caught:
        NF4.encode_scalar(float("nan"))
    assert str(caught.value) == "nf4: values must be numbers, not NaN, which the format cannot express"
