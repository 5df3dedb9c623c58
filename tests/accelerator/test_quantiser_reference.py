"""The project's quantiser of weights and a reference in fractions say the same of a row."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.pe import family
from tests.accelerator.quantiser_reference import SCALES, corner_rows, quantised, random_rows


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("bits", [4, 8])
def test_reference_and_quantiser_agree(bits: int, scale: str) -> None:
    tile = family("int").from_values({"bits": bits, "group": 0, "weight_scale": scale, "depth": 256})
    rows = np.concatenate([corner_rows(24), random_rows(np.random.default_rng(bits), 60, 24)])
    found = tile.quantize_weights(rows.view(np.float32))
    signed = (found.codes.astype(np.int64) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
    for row, words in enumerate(rows):
        wanted = quantised([int(word) for word in words], bits, scale)
        assert (int(found.scale_codes[row, 0]), signed[row].tolist()) == (wanted.scale, wanted.codes), row


@pytest.mark.parametrize("bits", [4, 8])
def test_the_rows_tell_a_quotient_in_fp32_from_an_exact_one(bits: int) -> None:
    rows = [[int(word) for word in words] for words in random_rows(np.random.default_rng(bits), 60, 24)]
    parts = [quantised(words, bits, "fp32") != quantised(words, bits, "fp32", single=False) for words in rows]
    assert sum(parts) >= 5
    # Scales of few bits have no quotients in between.
    assert all(quantised(words, bits, "fp16") == quantised(words, bits, "fp16", single=False) for words in rows)
