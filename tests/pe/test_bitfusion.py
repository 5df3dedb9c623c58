"""The reference of bitfusion tiles against bricks of single digits, ports against their packing, and refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.pe.bitfusion import BitFusion


def tile(**values: Any) -> BitFusion:
    given = {"m": 2, "n": 3, "k": 2, "group": 32, "depth": 32, **values}
    return family("bitfusion").from_values(given)  # type: ignore[return-value]


MODES = [(a, w) for a in (8, 4, 2) for w in (8, 4, 2)]


def digit(number: int, bits: int, place: int, signed: bool) -> int:
    """Two bits of a number, the highest ones with their sign."""
    found = number >> 2 * place & 3
    return found - 4 if signed and place == bits // 2 - 1 and found > 1 else found


def fused(act_words: list[int], weight_words: list[int], a: int, w: int, signed: bool) -> int:
    """Sum over the units of 16 products of two-bit digits, as ISCA'18 has them: signed at the top of a number."""
    total = 0
    for act_word, weight_word in zip(act_words, weight_words, strict=True):
        for i, j in itertools.product(range(4), range(4)):
            across, down = j // (w // 2), i // (a // 2)
            # Activations of 8 bits for each weight beside another, and the other way round.
            act = act_word >> 8 * across + a * down & (1 << a) - 1
            weight = weight_word >> 8 * down + w * across & (1 << w) - 1
            left, right = i % (a // 2), j % (w // 2)
            product = digit(act, a, left, True) * digit(weight, w, right, signed)
            total += product << 2 * (left + right)
    return total


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize(("a", "w"), MODES)
def test_modes_are_sums_of_bricks(a: int, w: int, scheme: str) -> None:
    spec = tile(scheme=scheme)
    mode = next(index for index, one in enumerate(spec.modes()) if one.name == f"a{a}w{w}")
    one = spec.modes()[mode]
    assert one.k == 2 * 64 // (a * w)
    rng = np.random.default_rng(a * w)
    acts = rng.integers(0, 1 << a, (20, spec.m, one.k), dtype=np.uint32)
    weights = rng.integers(0, 1 << w, (20, spec.n, one.k), dtype=np.uint32)
    acts[0], weights[0] = 1 << (a - 1), 1 << (w - 1)
    sums = spec.terms(acts, weights, {}, {}, mode)[0, ..., 0]
    act_words, weight_words = spec.pack_acts(acts, mode), spec.pack_weights(weights, mode)
    assert act_words.shape == (20, spec.m, 2)
    assert int(act_words.max()) >> 64 // w == 0
    assert int(weight_words.max()) >> 64 // a == 0
    for step, row, column in np.ndindex(*sums.shape):
        words = act_words[step, row].tolist(), weight_words[step, column].tolist()
        assert int(sums[step, row, column]) == fused(*words, a, w, scheme == "symmetric")


def test_memory_holds_what_the_mode_needs() -> None:
    for a, w in MODES:
        spec = tile(acts=f"int{a}", bits=w)
        acts, weights = spec.stored_bits(spec.p)
        k = int(spec.layer_k(spec.p))
        assert (acts, weights) == (k * a, k * w)
        assert spec.modes()[spec.layer_mode].k == k
        # The ports are those of all modes.
        assert spec.act_port(spec.p) == spec.weight_port(spec.p) == (2, 32)


def test_wider_bricks_are_fewer_modes_and_narrower_ports() -> None:
    spec = tile(bits=8, brick_acts=4, brick_weights=8)
    assert [mode.name for mode in spec.modes()] == ["a8w8", "a4w8"]
    assert (spec.act_port(spec.p), spec.weight_port(spec.p)) == ((2, 8), (2, 16))
    assert len(tile(bits=8, brick_acts=8, brick_weights=8).modes()) == 1


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"acts": "int2", "brick_acts": 4},
            "bitfusion: brick_acts must be at most the activations' width, not 4 with acts int2",
        ),
        ({"bits": 2, "brick_weights": 8}, "bitfusion: brick_weights must be at most bits (2), not 8"),
        ({"bits": 3}, "bitfusion: bits must be 2, 4 or 8, not 3"),
        (
            {"k": 4},
            "bitfusion: depth must hold the products of a step in the narrowest mode, not 32; "
            "use a larger --depth, fewer units (--k) or wider bricks",
        ),
    ],
)
def test_refusals(values: dict[str, Any], text: str) -> None:
    with pytest.raises(HwgenError) as caught:
        tile(**values)
    assert str(caught.value) == text
