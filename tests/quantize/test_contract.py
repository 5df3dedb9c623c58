"""What every quantiser takes and refuses, whatever it computes; a new quantiser is one line of `QUANTISERS`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import hwgen.quantize as package
from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.quantize import (
    ant,
    any4,
    bitmod,
    cast,
    codebook,
    float_minimum,
    fourth_roots,
    hif4,
    integer,
    minifloat,
    mx,
    nv,
    olive,
    per_row,
    per_token,
    posit,
    powers,
    scaled_blocks,
    sparse_ternary,
    ternary,
    trit_planes,
    two_level,
    two_level_limit,
)

Quantiser = Callable[..., QTensor]

QUANTISERS: dict[str, Quantiser] = {
    **{
        f"integer-{scheme}-{bits}": lambda x, group=0, s=scheme, b=bits: integer(x, b, group, s)
        for scheme, bits in [
            ("symmetric", 1), ("symmetric", 4), ("symmetric", 16), ("asymmetric", 1), ("asymmetric", 4),
            ("bipolar", 1), ("bipolar", 3), ("ternary", 2),
        ]
    },
    "float_minimum": lambda x, group=0: float_minimum(x, 4, group),
    "ternary-twn": lambda x, group=0: ternary(x, group, rule="twn"),
    "minifloat": lambda x, group=0: minifloat(x, "fp8_e4m3", group),
    "minifloat-ternary": lambda x, group=0: minifloat(x, "ternary", group),
    "cast": lambda x, group=0: cast(x, "fp16", group_size=group),
    "mx-fp4": lambda x, group=0: mx(x, "mxfp4", group),
    "mx-int8": lambda x, group=0: mx(x, "mxint8", group, "ceil"),
    **{f"nv-{rule}": lambda x, group=0, r=rule: nv(x, "fp4_e2m1", group, r) for rule in package.NV_RULES},
    "nvint4": lambda x, group=0: nv(x, "nvint4", group),
    **{
        f"scaled_blocks-{rule}": lambda x, group=0, r=rule: scaled_blocks(x, "e2m1", group, "ue5m3", r)
        for rule in ("nearest", "ceil")
    },
    "hif4": lambda x, group=0: hif4(x, group),
    "posit": lambda x, group=0: posit(x, "posit8_1", group),
    "ant": lambda x, group=0: ant(x, "ant4", group),
    "olive": lambda x, group=0: olive(x, "olive4", group),
    "codebook": lambda x, group=0: codebook(x, "nf4", group),
    "powers": lambda x, group=0: powers(x, "powers2_6", group),
    "powers-apot": lambda x, group=0: powers(x, "apot2_5", group),
    "sparse_ternary": lambda x, group=0: sparse_ternary(x, group),
    "fourth_roots": lambda x, group=0: fourth_roots(x, "roots4", group),
    "fourth_roots-widely": lambda x, group=0: fourth_roots(x, "roots4_widely", group),
    "any4": lambda x, group=0: any4(x, group),
    "trit_planes": lambda x, group=0: trit_planes(x, group),
    "codebook-special": lambda x, group=0: codebook(x, "special(fp4_e2m1,-5,5)", group),
    "bitmod-fp4": lambda x, group=0: bitmod(x, "bitmod_fp4", group),
    "bitmod-int4": lambda x, group=0: bitmod(x, "int4", group, "fp16"),
    "two_level": lambda x, group=0: two_level(x, 4, group),
    "two_level-symmetric": lambda x, group=0: two_level(x, 4, group, "symmetric"),
    "per_row": lambda x, group=0: per_row(x, "int8"),
    "per_token": lambda x, group=0: per_token(x, "int8"),
}  # fmt: skip

EVERY = pytest.mark.parametrize("name", QUANTISERS)
BY_ROW = {"per_row", "per_token"}
X = np.random.default_rng(3).normal(size=(4, 40)).astype(np.float32)
# What every type holds: no fractions, and no -0.
WHOLE = np.rint(X * 4) + np.float32(0)


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def refusal(name: str, x: Any, *group: Any) -> str:
    with pytest.raises(HwgenError) as caught:
        QUANTISERS[name](x, *group)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_every_quantiser_is_here() -> None:
    known = {key.split("-")[0] for key in QUANTISERS} - {"nvint4"}
    others = {
        "NV_RULES",
        "LayerFormats",
        "acts_for",
        "weights_for",
        "default_anchor",
        "signed_scheme",
        "two_level_limit",
    }
    assert known == {name for name in package.__all__ if inspect.isfunction(getattr(package, name))} - others


# ---------------------------------------------------------------------- values


@EVERY
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_where_it_is(name: str, value: float) -> None:
    x = X.copy()
    x[2, 7] = value
    assert refusal(name, x).endswith(f"x must be finite, not {value} at [2, 7]")


@EVERY
@pytest.mark.parametrize("group", [0, 8])
def test_zeros_stay_zero(name: str, group: int) -> None:
    x = X.copy()
    x[1] = 0
    x[2, 8:16] = 0
    if name.startswith("fourth_roots"):
        # Two rows share their roots and scales.
        x[0], x[3, 8:16] = 0, 0
    given = QUANTISERS[name](x, group)
    assert not given.dequantize()[1].any()
    assert np.isfinite(given.dequantize()).all()
    if group and name not in BY_ROW:
        assert not given.dequantize()[2, 8:16].any()
    assert not QUANTISERS[name](np.zeros((2, 8)), group).dequantize().any()


@EVERY
@pytest.mark.parametrize(
    "magnitude", [5e-324, 1e-310, 1e-45, 1e-40, 2.0**-126, 1e-30, 1e30, 3.4028234e38, 1e39, 1.7e308]
)
@pytest.mark.parametrize("group", [0, 8])
def test_extreme_groups_are_finite(name: str, magnitude: float, group: int) -> None:
    """Where 1 / scale, or the scale itself, leaves FP32 or float64."""
    x = X.astype(np.float64)
    x[1] = np.where(x[1] < 0, -magnitude, magnitude)
    x[2, :8] = 0
    x[2, 0] = magnitude
    given = QUANTISERS[name](x, group).dequantize()
    assert np.isfinite(given).all()
    # No sign turns round, whatever saturates or vanishes.
    if not any(part in name for part in ("minimum", "bipolar", "roots")):
        assert (given * np.sign(x) >= 0).all()


# ---------------------------------------------------------------------- shapes


@EVERY
@pytest.mark.parametrize("group", [16, 24, 64])
def test_ragged_and_too_large_groups(name: str, group: int) -> None:
    """The last group is what it is alone; a group of K or more is the row."""
    given = QUANTISERS[name](X, group)
    assert given.shape == X.shape
    if name in BY_ROW or group > 40:
        assert given == QUANTISERS[name](X, 0)
        return
    assert given.groups == -(-40 // group)
    first = 40 // group * group
    if name.startswith(("nv", "bitmod", "two_level", "any4")):
        # A scale above those of the groups, or a table, knows of all of them.
        return
    alone = QUANTISERS[name](X[:, first:], 0)
    assert given.dequantize()[:, first:].tolist() == alone.dequantize().tolist()


@EVERY
def test_groups_of_one_element(name: str) -> None:
    if name == "hif4":
        assert "block must be a multiple of 8" in refusal(name, X, 1)
        return
    if name == "olive":
        assert "K and group size must be even" in refusal(name, X, 1)
        return
    if name.startswith("fourth_roots"):
        assert "group size must be a multiple of 2" in refusal(name, X, 1)
        return
    if name == "sparse_ternary":
        assert "group size must be a multiple of 4" in refusal(name, X, 1)
        return
    given = QUANTISERS[name](X, 1)
    assert given.groups == (1 if name in BY_ROW else 40)
    assert np.isfinite(given.dequantize()).all()
    single = QUANTISERS[name](np.array([[-3.0]]), 1)
    assert single.shape == (1, 1)
    assert abs(single.dequantize()[0, 0] + 3.0) <= (3.0 if name == "integer-symmetric-1" else 0.55)


@EVERY
@pytest.mark.parametrize("shape", [(), (8,), (0, 8), (4, 0), (2, 4, 8)])
def test_what_is_no_matrix_is_refused(name: str, shape: tuple[int, ...]) -> None:
    text = refusal(name, np.ones(shape))
    assert text.endswith(f"x must be a non-empty matrix [N, K], not of shape {list(shape)}")


# ---------------------------------------------------------------------- types


def kinds() -> dict[str, Any]:
    x = WHOLE
    return {
        "float16": x.astype(np.float16),
        "bfloat16": x.astype(ml_dtypes.bfloat16),
        "float8": x.astype(ml_dtypes.float8_e4m3fn),
        "float64": x.astype(np.float64),
        "longdouble": x.astype(np.longdouble),
        "int8": x.astype(np.int8),
        "list": x.tolist(),
        "fractions": [[Fraction(float(v)) for v in row] for row in x],
        "torch": torch.from_numpy(x),
        "torch float16": torch.from_numpy(x).half(),
        "torch bfloat16": torch.from_numpy(x).bfloat16(),
        "torch int": torch.from_numpy(x).int(),
        "torch with a gradient": torch.from_numpy(x.copy()).requires_grad_(),
        "torch parameter": torch.nn.Parameter(torch.from_numpy(x.copy()).bfloat16()),
        "torch transposed": torch.from_numpy(np.ascontiguousarray(x.T)).T,
        "columns first": np.asfortranarray(x),
        "strided": np.repeat(x, 2, axis=1)[:, ::2],
        "reversed": np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        "big-endian": x.astype(">f4"),
        "unaligned": np.frombuffer(b"\0" + x.astype(np.float32).tobytes(), np.uint8)[1:]
        .view(np.float32)
        .reshape(4, 40),
    }


@EVERY
@pytest.mark.parametrize("kind", kinds())
def test_any_kind_of_matrix_is_the_same(name: str, kind: str) -> None:
    assert QUANTISERS[name](kinds()[kind], 8) == QUANTISERS[name](WHOLE, 8)


@EVERY
def test_the_input_is_left_alone(name: str) -> None:
    x = X.astype(np.float64)
    x.flags.writeable = False
    given = QUANTISERS[name](x, 8)
    assert np.array_equal(x, X)
    assert not np.shares_memory(given.codes, x)
    writeable = X.astype(np.float64)
    QUANTISERS[name](writeable, 8)
    assert np.array_equal(writeable, X)


@EVERY
@pytest.mark.parametrize(
    ("x", "what"),
    [
        (None, "NoneType"),
        ("weights", "str"),
        ([["a", "b"]], "list"),
        ([[1.0, 2.0], [3.0]], "list"),
        ([[None, 1.0]], "list"),
        (np.array([[1j, 2]]), "ndarray of complex128"),
        (torch.tensor([[1j, 2]]), "Tensor of torch.complex64"),
        ({"x": 1}, "dict"),
        (np.array([["a"]]), "ndarray of <U1"),
        (np.array([[np.datetime64("2020-01-01")]]), "ndarray of datetime64[D]"),
        (object(), "object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_numbers_is_refused(name: str, x: Any, what: str) -> None:
    assert refusal(name, x).endswith(f"x must be a matrix of numbers [N, K], not {what}")


@pytest.mark.parametrize("name", [name for name in QUANTISERS if name not in BY_ROW])
def test_group_sizes(name: str) -> None:
    want = QUANTISERS[name](X, 8)
    for size in (np.int32(8), np.uint8(8), np.int64(8)):
        assert QUANTISERS[name](X, size) == want
    for size in (2.5, 8.0, "8", None, True, np.float64(8)):
        assert refusal(name, X, size).endswith(f"group size must be a whole number, not {size!r}")
    assert "group size must be positive, or 0 for the whole row, not -8" in refusal(name, X, -8)


@pytest.mark.parametrize(
    "call",
    [
        lambda bits: integer(X, bits),
        lambda bits: integer(X, bits, 0, "asymmetric"),
        lambda bits: integer(X, bits, 0, "bipolar"),
        lambda bits: float_minimum(X, bits),
        lambda bits: two_level(X, bits),
    ],
)
def test_widths(call: Callable[[Any], QTensor]) -> None:
    want = call(8)
    for bits in (np.int32(8), np.uint8(8), np.int8(8)):
        assert call(bits) == want
    for bits in (2.5, 8.0, "8", None, True, 99, -1):
        with pytest.raises(HwgenError) as caught:
            call(bits)
        assert f"not {bits!r}" in str(caught.value)
        assert "bits must be " in str(caught.value)


@pytest.mark.parametrize("form", [None, 8, b"int8", ["int8"]])
@pytest.mark.parametrize(
    "call",
    [
        lambda form: minifloat(X, form),
        lambda form: cast(X, form),
        lambda form: mx(X, form),
        lambda form: nv(X, form),
        lambda form: posit(X, form),
        lambda form: codebook(X, form),
        lambda form: powers(X, form),
        lambda form: bitmod(X, form),
        lambda form: per_row(X, form),
        lambda form: per_token(X, form),
        lambda form: ternary(X, format=form),
        lambda form: integer(X, 4, scale_format=form),
        lambda form: float_minimum(X, 4, scale_format=form),
        lambda form: two_level(X, 4, outer_format=form),
        lambda form: bitmod(X, outer_format=form),
    ],
)
def test_what_is_no_format_is_refused(call: Callable[[Any], QTensor], form: Any) -> None:
    with pytest.raises(HwgenError) as caught:
        call(form)
    assert str(caught.value) == f"format: must be a name such as int8 or a Format, not {form!r}"


@pytest.mark.parametrize(
    "call",
    [
        lambda name: integer(X, 4, 0, name),
        lambda name: two_level(X, 4, 0, name),
        lambda name: mx(X, "mxfp4", 32, name),
        lambda name: nv(X, rule=name),
        lambda name: ternary(X, rule=name),
    ],
)
@pytest.mark.parametrize("name", [None, 3, "", "x" * 1000])
def test_unknown_schemes_and_rules(call: Callable[[Any], QTensor], name: Any) -> None:
    with pytest.raises(HwgenError, match="must be one of "):
        call(name)


@pytest.mark.parametrize(("bits", "scheme"), [(1, "symmetric"), (0, "asymmetric"), (9, "symmetric"), (4, "bipolar")])
def test_limits_of_two_levels(bits: int, scheme: str) -> None:
    with pytest.raises(HwgenError, match=f"two_level: {'scheme' if scheme == 'bipolar' else 'bits'} must be "):
        two_level_limit(bits, scheme)


@pytest.mark.parametrize("anchor", [0.0, -1.0, np.nan, np.inf, "2", [2.0]])
def test_anchors(anchor: Any) -> None:
    with pytest.raises(HwgenError, match="posit: anchor must be positive and at most maxpos"):
        posit(X, "posit8_0", anchor=anchor)
    assert posit(X, "posit8_0", anchor=np.float32(2)) == posit(X, "posit8_0", anchor=2)
