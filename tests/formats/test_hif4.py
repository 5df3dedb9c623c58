"""HiF4 words against a definition by single bits."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import Hif4Format, QTensor, block_format, get

FORM = Hif4Format()


def values(word: int) -> list[Fraction]:
    """Four values of a word of 18 bits, most significant bit first: level 2, level 3, four of (sign, 1, 1/2, 1/4)."""
    bits = [int(bit) for bit in f"{word:018b}"]
    found = []
    for element in range(4):
        sign, one, half, quarter = bits[14 - 4 * element : 18 - 4 * element]
        magnitude = one + Fraction(half, 2) + Fraction(quarter, 4)
        found.append((-1) ** sign * magnitude * 2 ** bits[0] * 2 ** bits[1])
    return found


def test_all_words_decode_by_their_bits() -> None:
    words = np.arange(1 << 18)
    decoded = FORM.decode(words)
    assert decoded.shape == (1 << 18, 4)
    # Elements do not depend on each other: every nibble at every level and place, then a stride through all words.
    some = {nibble << 4 * place | level << 16 for nibble in range(16) for place in range(4) for level in range(4)}
    for word in [*some, *range(0, 1 << 18, 101)]:
        assert [Fraction(v) for v in decoded[word].tolist()] == values(word), word
        scalars = [FORM.decode_scalar(word, element) for element in range(4)]
        assert [float(v) for v in scalars] == decoded[word].tolist()
        assert [math.copysign(1, v) for v in scalars] == np.copysign(1, decoded[word]).tolist()
        # A nibble of 8 is -0, and its sign survives.
        nibbles = [word >> 4 * element & 15 for element in range(4)]
        assert np.signbit(decoded[word]).tolist() == [nibble >= 8 for nibble in nibbles]
    assert np.array_equal(FORM.fixed(words), (decoded * 4).astype(np.int64))
    assert (int(FORM.fixed(words).max()), int(FORM.fixed(words).min())) == (28, -28)


def search(wanted: list[float]) -> int:
    """Of the levels with which nothing saturates the least (else the last); nearest magnitudes, ties to even."""
    units = [[Fraction(m, 4) * 2**doubled for m in range(8)] for doubled in range(3)]
    for doubled in range(3):
        tops = [abs(Fraction(v)) for v in wanted]
        # Half a unit above the largest value lies a tie between 7 (odd) and 8, which would be even.
        if max(tops) < units[doubled][7] + units[doubled][1] / 2 or doubled == 2:
            break
    code = [0, 0b01, 0b11][doubled] << 16
    for place, v in enumerate(wanted):
        exact = abs(Fraction(v))
        nearest = min(range(8), key=lambda m: (abs(units[doubled][m] - exact), m % 2))
        code |= (nearest + 8 * (math.copysign(1, v) < 0)) << 4 * place
    return code


def test_encodes_to_the_nearest_values() -> None:
    rng = np.random.default_rng(80)
    eighths = rng.integers(-70, 71, (400, 4)) / 8 * 2.0 ** rng.integers(-2, 1, (400, 1))
    x = np.concatenate([
        rng.normal(size=(200, 4)) * 2, eighths, np.nextafter(eighths, np.inf), np.nextafter(eighths, -np.inf),
        [[0.0, -0.0, 5e-324, -5e-324], [1e308, -1e308, 1.0, 2.0], [1.875, 0.125, 0.375, -0.0], [3.75, 1.0, 1.5, -2.5]],
    ])  # fmt: skip
    expected = [search(row) for row in x.tolist()]
    assert FORM.encode(x).tolist() == expected
    assert [FORM.encode_word(row) for row in x.tolist()] == expected
    # At both levels the unit is 1.
    assert FORM.encode([[math.inf, -math.inf, 0.0, 1.0]]).tolist() == [0x310F7]
    assert FORM.encode_word([math.inf, -math.inf, 0.0, 1.0]) == 0x310F7


def test_scalars_fill_the_word() -> None:
    assert FORM.encode_scalar(-0.5) == 0x0AAAA
    assert FORM.encode_scalar(Fraction(7)) == 0x37777
    assert FORM.encode_scalar(-0.0) == 0x08888


def test_words_of_least_levels_encode_to_themselves() -> None:
    words = np.array([a | b << 4 | c << 8 | d << 12 for a, b, c, d in itertools.product((0, 1, 7, 8, 13), repeat=4)])
    assert FORM.encode(FORM.decode(words)).tolist() == words.tolist()
    large = words[(words & 0x7777 >= 0x7000)]
    for level in (0x10000, 0x30000):
        assert FORM.encode(FORM.decode(large | level)).tolist() == (large | level).tolist()


def test_facts() -> None:
    assert (FORM.code_bits, FORM.elements, FORM.lsb_exp, FORM.fixed_bits) == (18, 4, -2, 6)
    assert (FORM.max_value, FORM.min_value, FORM.smallest) == (7.0, -7.0, 0.25)
    decoded = FORM.decode(np.array(FORM.corners))
    assert {7.0, -7.0, 0.25, -0.25, 0.0, 1.75, -1.75, 3.5, -3.5} <= set(decoded.ravel().tolist())
    assert list(FORM.corners) == sorted(set(FORM.corners))
    assert FORM.decode(FORM.padding or 0).tolist() == [0.0] * 4
    # 64 products of two elements: +-50176, 17 bits.
    assert (64 * 28**2).bit_length() + 1 == 17
    assert get("hif4") == FORM


def test_storage_counts_a_level_2_bit_once() -> None:
    # 64 elements of 4 bits, 16 level-3 bits, 8 level-2 bits, 8 bits of scale.
    assert block_format("hif4").bits_per_element == (64 * 4 + 16 + 8 + 8) / 64 == 4.5


def test_a_tensor_has_four_columns_a_word() -> None:
    words = np.random.default_rng(81).integers(0, 1 << 18, (3, 18))
    tensor = QTensor.build(
        words, FORM, group_size=64, scale_codes=np.full((3, 2), 0xC0), scale_format=get("hif4_scale")
    )
    assert (tensor.shape, tensor.groups) == ((3, 72), 2)
    assert [Fraction(v) for v in tensor.dequantize()[1, 64:68].tolist()] == values(int(words[1, 16]))
    assert QTensor.from_bytes(tensor.to_bytes()) == tensor


def test_wrong_uses() -> None:
    for action, message in (
        (lambda: FORM.encode([[1.0, 2.0]]), "hif4: values must have a last axis of 4, not the shape [1, 2]"),
        (lambda: FORM.encode([0.0, 0.0, 0.0, math.nan]),
         "hif4: values must be numbers, not NaN, which the format cannot express"),
        (lambda: FORM.encode_scalar(math.nan),
         "hif4: values must be numbers, not NaN, which the format cannot express"),
        (lambda: FORM.decode([1 << 18]), "hif4: words must be 0 to 262143, not 262144"),
        (lambda: FORM.decode_scalar(-1), "hif4: code must be 0 to 262143, not -1"),
    ):  # fmt: skip
        with pytest.raises(HwgenError) as caught:
            action()
        assert str(caught.value) == message
