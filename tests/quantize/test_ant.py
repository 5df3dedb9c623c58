from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import AntFormat, get
from hwgen.quantize import ant

FACTORS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


def matrix(n: int, k: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kinds = [
        rng.standard_normal((n, k)),
        rng.uniform(-1, 1, (n, k)),
        2.0 ** rng.integers(-6, 1, (n, k)) * rng.choice([-1, 1], (n, k)),
        rng.standard_t(2, (n, k)),
    ]
    return np.choose(np.arange(n)[:, None] % 4, kinds)


def group_error(form: AntFormat, x: np.ndarray, side: int, scale: float) -> float:
    """Σ (x − s·value)² with codes by the scalar encoding."""
    total = 0.0
    top = form.largest(side)
    for value in x.tolist():
        ratio = 0.0 if scale == 0 else min(max(value / scale, -top), top)
        code = form.encode_scalar(ratio, side if form.side_bits else None)
        total += (value - scale * form.levels(side)[code]) ** 2
    return total


@pytest.mark.parametrize("name", ["ant4", "flint4", "pot4"])
def test_takes_the_best_of_all_types_and_factors(name: str) -> None:
    form = get(name)
    assert isinstance(form, AntFormat)
    x = matrix(8, 24)
    q = ant(x, form, 16)
    chosen = set()
    for row, (group, part) in itertools.product(range(8), enumerate(q.group_slices)):
        own = x[row, part]
        errors = {}
        for side, factor in itertools.product(range(len(form.kinds)), FACTORS):
            ideal = factor * (abs(own).max() / form.largest(side))
            code = int(get("fp16").encode(np.array([ideal]))[0])
            errors[side, code] = group_error(form, own, side, float(get("fp16").decode_scalar(code)))
        side = 0 if q.selector is None else int(q.selector[row, group])
        got = errors[side, int(q.scale_codes[row, group])]
        assert got <= min(errors.values()) * (1 + 1e-5)
        chosen.add(side)
        # The codes are those of the chosen type and scale.
        scale = q.scales[row, group]
        assert np.sum((q.dequantize()[row, part] - own) ** 2) == pytest.approx(got, rel=1e-12)
        top = form.largest(side)
        want = [form.encode_scalar(min(max(v / scale, -top), top), side if form.side_bits else None) for v in own]
        assert q.codes[row, part].tolist() == want
    assert chosen == ({0, 1, 2, 3} if name == "ant4" else {0})


def test_one_type_is_the_best_of_the_tensor() -> None:
    x = matrix(8, 64)
    one, each = ant(x, one_type=True, group_size=16), ant(x, group_size=16)
    assert one.selector is not None
    (kind,) = np.unique(one.selector).tolist()

    def error(values: np.ndarray) -> float:
        return float(np.sum((values - x) ** 2))

    assert error(each.dequantize()) <= error(one.dequantize())
    errors = [error(_forced(x, side)) for side in range(4)]
    assert int(np.argmin(errors)) == kind
    assert error(one.dequantize()) == pytest.approx(errors[kind], rel=1e-6)


def _forced(x: np.ndarray, side: int) -> np.ndarray:
    """The best scales for one type, whatever the others do."""
    form = AntFormat()
    parts = []
    for part in (slice(s, s + 16) for s in range(0, x.shape[1], 16)):
        own = x[:, part]
        best = np.full(len(x), np.inf)
        kept = np.zeros_like(own)
        for factor in FACTORS:
            ideal = factor * np.abs(own).max(axis=1, keepdims=True) / form.largest(side)
            scale = get("fp16").decode(get("fp16").encode(ideal))
            ratio = np.clip(own / scale, -form.largest(side), form.largest(side))
            values = scale * form.decode(form.encode(ratio, side), side)
            squares = ((values - own) ** 2).sum(axis=1)
            kept = np.where((squares < best)[:, None], values, kept)
            best = np.minimum(best, squares)
        parts.append(kept)
    return np.concatenate(parts, axis=1)


def test_scales_that_saturate_and_zeros() -> None:
    x = np.zeros((3, 8))
    x[1], x[2] = 1e300, 1e-300
    q = ant(x, group_size=4)
    assert q.selector is not None
    assert q.codes[0].tolist() == [0] * 8
    assert q.scale_codes[0].tolist() == [0, 0]
    assert np.isfinite(q.dequantize()).all()
    assert ant(x, group_size=4, scale_format="e8m0").codes[0].tolist() == [0] * 8


def test_int_stays_symmetric() -> None:
    x = np.linspace(-1, 1, 16)[None]
    q = ant(x, group_size=0)
    assert q.selector is not None
    assert q.selector.tolist() == [[0]]
    assert 8 not in q.codes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "int4"}, "ant: format must be ant4, flint4 or pot4, not int4"),
        ({"scale_format": "int8"}, "ant: scale_format must be floating point such as fp16 or e8m0, not int8"),
        ({"group_size": -2}, "ant: group size must be positive, or 0 for the whole row, not -2"),
    ],
)
def test_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        ant(np.ones((2, 4)), **arguments)  # type: ignore[arg-type]
    assert str(caught.value) == message
