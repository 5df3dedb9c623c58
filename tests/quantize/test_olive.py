from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import OliveFormat, get
from hwgen.quantize import integer, olive

FORM = OliveFormat()
FACTORS = (1.0, 0.85, 0.7, 0.55, 0.4)
ENDS = (7, 16, 7, 16)


def matrix(n: int, k: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    kinds = [
        rng.standard_normal((n, k)),
        rng.standard_t(1.5, (n, k)),
        rng.uniform(-1, 1, (n, k)) + 0.5,
        np.where(rng.random((n, k)) < 0.03, 40 * rng.standard_normal((n, k)), rng.standard_normal((n, k))),
        2.0 ** rng.integers(-4, 1, (n, k)) * rng.choice([-1, 1], (n, k)),
    ]
    return np.choose(np.arange(n)[:, None] % 5, kinds)


def test_takes_the_best_of_all_types_and_ends() -> None:
    x = matrix(10, 40)
    q = olive(x, group_size=16)
    assert q.selector is not None
    for row, (group, part) in itertools.product(range(10), enumerate(q.group_slices)):
        own = x[row, part]
        mean, deviation = own.mean(), own.std()
        end = min(np.abs(own).max(), max(abs(mean + 3 * deviation), abs(mean - 3 * deviation)))
        errors = {}
        for side, factor in itertools.product(range(4), FACTORS):
            code = int(get("fp16").encode(np.array([factor * (end / ENDS[side])]))[0])
            scale = float(get("fp16").decode_scalar(code))
            words = [FORM.encode_pair((a / scale, b / scale), side) for a, b in own.reshape(-1, 2)]
            values = FORM.decode(words, side).reshape(-1) * scale
            errors[side, code] = float(((values - own) ** 2).sum()), words
        got, words = errors[int(q.selector[row, group]), int(q.scale_codes[row, group])]
        assert got <= min(error for error, _ in errors.values()) * (1 + 1e-5)
        assert q.codes[row, part.start // 2 : part.stop // 2].tolist() == words
    assert {0, 1} <= set(np.unique(q.selector).tolist())
    assert (((q.codes & 15) == 8) | (q.codes >> 4 == 8)).any()


def test_outliers_cost_their_neighbours_alone() -> None:
    x = np.random.default_rng(2).standard_normal((1, 128))
    x[0, 17] = 60.0
    q = olive(x)
    values = q.dequantize()[0]
    assert values[16] == 0
    assert values[17] == pytest.approx(60.0, rel=0.2)
    others = np.delete(np.arange(128), [16, 17])
    assert np.abs(values - x[0])[others].max() < 1
    assert np.square(values - x[0]).sum() < np.square(integer(x, 4, 128).dequantize() - x).sum() / 10


def test_zeros_and_scales_that_saturate() -> None:
    x = np.zeros((3, 8))
    x[1], x[2] = 1e300, 1e-300
    q = olive(x, group_size=4)
    assert q.selector is not None
    assert q.codes[0].tolist() == [0] * 4
    assert q.scale_codes[0].tolist() == [0, 0]
    assert q.selector[0].tolist() == [0, 0]
    assert np.isfinite(q.dequantize()).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "int4"}, "olive: format must be olive4, not int4"),
        ({"scale_format": "int8"}, "olive: scale_format must be floating point such as fp16 or e8m0, not int8"),
        ({"group_size": 3}, "olive: K and group size must be even, not 6 and 3; pairs lie along K"),
    ],
)
def test_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        olive(np.ones((2, 6)), **arguments)  # type: ignore[arg-type]
    assert str(caught.value) == message
