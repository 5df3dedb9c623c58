"""The BitMoD quantiser against its definition over fractions, written without the formats."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.quantize import bitmod, per_token
from tests.quantize import slow
from tests.quantize.slow import samples

LEVELS = {
    "bitmod_fp3": [Fraction(n) for n in (0, 1, 2, 4)],
    "bitmod_fp4": [Fraction(n, 2) for n in (0, 1, 2, 3, 4, 6, 8, 12)],
}
SPECIALS = {"bitmod_fp3": (-3, 3, -6, 6), "bitmod_fp4": (-5, 5, -8, 8)}


def level_of(x: Fraction, levels: list[Fraction]) -> Fraction:
    """Least level whose upper midpoint is not below x."""
    ascending = sorted(set(levels))
    for low, high in itertools.pairwise(ascending):
        if x <= (low + high) / 2:
            return low
    return ascending[-1]


def values_of(name: str, special: int) -> list[Fraction]:
    basic = LEVELS[name]
    return [*basic, *(-v for v in basic), Fraction(special)]


def first_level(x: list[Fraction], name: str) -> tuple[int, Fraction]:
    """Selector and scale of a group."""
    amax = max(abs(v) for v in x)
    if name.startswith("int"):
        return 0, amax / (2 ** (int(name[3:]) - 1) - 1)
    best: tuple[Fraction, int, Fraction] | None = None
    for selector, special in enumerate(SPECIALS[name]):
        levels = values_of(name, special)
        s = amax / max(abs(v) for v in levels)
        error = sum((v - s * level_of(slow.ratio(v, s), levels)) ** 2 for v in x)
        if best is None or error < best[0]:
            best = (Fraction(error), selector, s)
    assert best is not None
    return best[1], best[2]


def check(given: QTensor, x: np.ndarray, name: str, scale_name: str, outer_name: str) -> None:
    """Compare with the definition, channel by channel."""
    for n, row in enumerate(np.asarray(x, np.float64).tolist()):
        groups = [[Fraction(v) for v in row[part]] for part in given.group_slices]
        chosen = [first_level(group, name) for group in groups]
        outer = Fraction(1)
        if scale_name.startswith("int"):
            top = 2 ** (int(scale_name[3:]) - 1) - 1
            outer = float32_scale(max(s for _, s in chosen) / top, outer_name)
            assert given.outer is not None
            assert Fraction(float(given.outer[n, 0])) == outer, n
            codes = [slow.clip(1, round(slow.ratio(s, outer)), top) if s else 0 for _, s in chosen]
            scales = [Fraction(code) for code in codes]
        else:
            assert given.outer is None
            rounded = [slow.scale(s, scale_name) for _, s in chosen]
            codes, scales = [code for code, _ in rounded], [s for _, s in rounded]
        assert given.scale_codes[n].tolist() == codes, n
        if given.selector is not None:
            assert given.selector[n].tolist() == [selector for selector, _ in chosen], n
        decoded = given.values()[n].tolist()
        for g, part in enumerate(given.group_slices):
            effective = outer * scales[g]
            if name.startswith("int"):
                top = 2 ** (int(name[3:]) - 1) - 1
                want = [Fraction(slow.clip(-top, round(slow.ratio(v, effective)), top)) for v in groups[g]]
            else:
                levels = values_of(name, SPECIALS[name][chosen[g][0]])
                want = [level_of(slow.ratio(v, effective), levels) for v in groups[g]]
            assert [Fraction(v) for v in decoded[part]] == want, (n, g)


def float32_scale(ideal: Fraction, name: str) -> Fraction:
    """A scale as numpy rounds a float64 quotient; fp16 by searching."""
    if name == "fp16":
        return slow.scale(ideal, name)[1]
    return Fraction(float(np.float32(float(ideal))))


@pytest.mark.few(15)
@pytest.mark.parametrize("name", ["bitmod_fp3", "bitmod_fp4", "int8", "int6", "int5"])
@pytest.mark.parametrize(("scale", "outer"), [("int8", "fp32"), ("int8", "fp16"), ("int4", "fp32"), ("fp16", "fp32")])
@pytest.mark.parametrize("group", [16, 0])
def test_equals_its_definition(name: str, scale: str, outer: str, group: int) -> None:
    x = samples(7)
    # The last group is ragged: 70 = 4 · 16 + 6.
    check(bitmod(x, name, group, scale, outer), x, name, scale, outer)


def test_the_special_value_follows_the_outlier() -> None:
    x = np.array([[1, 2, -4, 3, 0.5, -6, 8, 1.5], [1, 2, -4, 3, 0.5, -6, -8, 1.5], [4, 5, -6, 1, 2, 3, -1, 0.5]])
    found = bitmod(x, "bitmod_fp4", 0, "fp16")
    assert found.selector is not None
    assert found.selector[:, 0].tolist() == [3, 2, 1]
    assert np.array_equal(found.dequantize(), x)


def test_of_equally_good_special_values_the_first_is_taken() -> None:
    found = bitmod([[1.0, 2.0, 4.0, 6.0], [0, 0, 0, 0]], "bitmod_fp4", 0, "fp16")
    assert found.selector is not None
    assert found.selector.tolist() == [[0], [0]]


def test_zero_groups_and_zero_channels() -> None:
    x = np.zeros((2, 32))
    x[1, :16] = 1.0
    found = bitmod(x, "bitmod_fp3", 16)
    assert found.outer is not None
    assert found.outer[0, 0] == 0
    assert found.scale_codes.tolist() == [[0, 0], [127, 0]]
    assert (found.dequantize()[0] == 0).all()
    assert (found.codes[1, 16:] == 0).all()


def test_small_groups_beside_a_large_one_keep_a_scale() -> None:
    x = np.ones((1, 32))
    x[0, :16] = 1e6
    found = bitmod(x, "bitmod_fp4", 16)
    assert found.scale_codes.tolist() == [[127, 1]]


def test_codes_are_computed_with_the_rounded_scale() -> None:
    # s of the second group is 1/6 · 100/127 of the first one's unit: 99.6 units round to 100.
    x = np.random.default_rng(3).normal(size=(4, 256)).astype(np.float32)
    found = bitmod(x, "bitmod_fp4", 64)
    error = np.abs(found.dequantize() - x)
    gap = found.scales[:, found.group_of_k] * np.asarray(found.outer)
    # Within half the widest gap (2 units between 4 and 6, 3 from 5 to 8) and saturation by the scale's rounding.
    assert (error <= gap * 1.5 + 0.01).all()
    again = bitmod(found.dequantize(), "bitmod_fp4", 64)
    assert np.abs(again.dequantize() - found.dequantize()).max() < 0.05


def test_second_level_int8_is_close_to_fp16_scales() -> None:
    x = np.random.default_rng(4).standard_t(5, size=(64, 512)).astype(np.float32)
    errors = {}
    for scale in ("fp16", "int8", "int4"):
        errors[scale] = float(np.linalg.norm(bitmod(x, "bitmod_fp4", 128, scale).dequantize() - x))
    # Table V of the paper: INT8 scales cost nothing, INT4 ones a little.
    assert errors["int8"] < errors["fp16"] * 1.005
    assert errors["int4"] < errors["fp16"] * 1.1


def test_beats_plain_fp4_on_heavy_tails() -> None:
    x = np.random.default_rng(5).standard_t(5, size=(64, 512)).astype(np.float32)
    mixed = np.linalg.norm(bitmod(x, "bitmod_fp4", 128, "fp16").dequantize() - x)
    # A table of unprogrammed registers is plain E2M1.
    plain = np.linalg.norm(bitmod(x, "bitmod_fp4(0,0,0,0)", 128, "fp16").dequantize() - x)
    assert mixed < plain * 0.97


def test_tokens() -> None:
    x = samples(11)
    found = per_token(x, "int8")
    assert found.outer is not None
    assert set(found.scales.ravel().tolist()) == {1.0}
    for n, row in enumerate(x.astype(np.float64).tolist()):
        exact = [Fraction(v) for v in row]
        outer = Fraction(float(np.float32(float(max(abs(v) for v in exact) / 127))))
        assert Fraction(float(found.outer[n, 0])) == outer
        want = [slow.clip(-127, round(slow.ratio(v, outer)), 127) for v in exact]
        assert found.values()[n].tolist() == want


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fp4_e2m1",), "bitmod: format must be bitmod_fp3, bitmod_fp4 or int2 to int8, not fp4_e2m1"),
        (("int9",), "bitmod: format must be bitmod_fp3, bitmod_fp4 or int2 to int8, not int9"),
        (("uint4",), "bitmod: format must be bitmod_fp3, bitmod_fp4 or int2 to int8, not uint4"),
        (
            ("bitmod_fp4", 2, "uint8"),
            "bitmod: scale_format must be int2 to int8, or floating point such as fp16, not uint8",
        ),
        (
            ("bitmod_fp4", 2, "int9"),
            "bitmod: scale_format must be int2 to int8, or floating point such as fp16, not int9",
        ),
        (("bitmod_fp4", 2, "ternary"), "bitmod: scale_format must be floating point such as fp16 or e8m0, not ternary"),
        (
            ("bitmod_fp4", 2, "int8", "int8"),
            "bitmod: scale_format must be floating point such as fp16 or e8m0, not int8",
        ),
        (("bitmod_fp4", -1), "bitmod: group size must be positive, or 0 for the whole row, not -1"),
    ],
)
def test_wrong_arguments(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        bitmod([[1.0, 2.0]], *arguments)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_tokens_of_other_formats() -> None:
    with pytest.raises(HwgenError) as caught:
        per_token([[1.0]], "fp8_e4m3")
    assert str(caught.value) == "per_token: format must be intN, not fp8_e4m3"


def test_bytes_keep_the_second_level() -> None:
    found = bitmod(samples(2), "bitmod_fp3", 16)
    assert QTensor.from_bytes(found.to_bytes()) == found
