"""Fourth roots of unity as words of two values, against complex numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import RootsFormat, get

NAMES = ("roots4", "roots4_widely")
EVERY = pytest.mark.parametrize("name", NAMES)


def form_of(name: str) -> RootsFormat:
    form = get(name)
    assert isinstance(form, RootsFormat)
    assert form.name == name
    return form


def product(code: int, x: complex, widely: bool) -> complex:
    """What a word makes of a complex number."""
    return 1j ** (code % 4) * x + (1j ** (code // 4) * x.conjugate() if widely else 0)


@EVERY
def test_words_and_turned_ones_are_the_parts_of_a_product(name: str) -> None:
    form = form_of(name)
    table = form.decode(form.codes())
    turned = form.turned(form.codes())
    assert table.shape == (16 if form.widely else 4, 2)
    for code, (a, b) in itertools.product(range(len(table)), [(1, 0), (0, 1), (3, -5), (-128, 7)]):
        wanted = product(code, complex(a, b), form.widely)
        assert table[code] @ [a, b] == wanted.real
        assert table[turned[code]] @ [a, b] == wanted.imag
        assert [form.decode_scalar(code, place) for place in range(2)] == table[code].tolist()
    assert (form.max_value, form.min_value, form.lsb_exp) == (table.max(), table.min(), 0)
    assert form.corners == tuple(range(len(table)))
    assert form.describe()["values"] == table.tolist()


@EVERY
def test_encodes_the_nearest_word(name: str) -> None:
    form = form_of(name)
    grid = np.array(list(itertools.product(np.linspace(-3, 3, 25), repeat=2)))
    rng = np.random.default_rng(1)
    x = np.concatenate([grid, rng.normal(size=(500, 2)), 1e-20 * rng.normal(size=(20, 2)), [[np.inf, -np.inf]]])
    table = form.decode(form.codes())
    found = form.encode(x)
    assert found.tolist() == [form.encode_word(pair) for pair in x.tolist()]
    inside = np.clip(x, form.min_value, form.max_value)
    distances = ((inside[:, None] - table) ** 2).sum(axis=-1)
    assert np.allclose(distances[np.arange(len(x)), found], distances.min(axis=1), atol=1e-12)
    if not form.widely:
        assert form.encode(table).tolist() == form.codes().tolist()


def test_refusals() -> None:
    for call, text in (
        (lambda: form_of("roots4").encode([[1.0, np.nan]]), "roots4: values must be numbers, not NaN"),
        (lambda: form_of("roots4").encode([1.0]), "roots4: values must have a last axis of 2, not the shape [1]"),
        (lambda: form_of("roots4").decode_scalar(4), "roots4: code must be 0 to 3, not 4"),
        (lambda: form_of("roots4_widely").decode_scalar(1, 2), "roots4_widely: element must be 0 to 1, not 2"),
    ):
        with pytest.raises(HwgenError) as caught:
            call()
        assert str(caught.value).startswith(text)
