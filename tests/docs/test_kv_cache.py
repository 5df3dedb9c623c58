"""docs/kv_cache.md: its generated part is current, its example runs, its layout is the one that is packed."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from hwgen.accelerator import Design, pack_weights
from hwgen.accelerator.quantiser import Kind, block_bytes, cache_bytes, geometry
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from reports.kv_cache import PAGE, page

TEXT = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")


def test_the_generated_part_is_current() -> None:
    assert page(TEXT) == TEXT, "run python -m reports.kv_cache"


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    exec(code, {})
    assert int(capsys.readouterr().out) > 0


def _by_formula(design: Design, kind: Kind, codes: np.ndarray) -> np.ndarray:
    """The image of codes [tokens, elements], as the page has it."""
    form = geometry(design)
    tokens, elements = codes.shape
    image = np.zeros(cache_bytes(design, kind, elements, tokens)["codes"], np.uint8)
    stride = block_bytes(design, kind, elements, tokens)
    for t in range(tokens):
        for e in range(elements):
            column, inner = (t, e) if kind == Kind.K else (e, t)
            at = column // form.n * stride + inner // form.k * form.word_bytes + column % form.n * form.column_bytes
            half = inner % form.k * form.bits % 8
            image[at + inner % form.k * form.bits // 8] |= (int(codes[t, e]) & ((1 << form.bits) - 1)) << half
    return image


@pytest.mark.parametrize(("n", "k", "bits", "bus"), [(4, 4, 4, 64), (6, 3, 8, 64), (3, 10, 4, 128), (8, 8, 8, 128)])
def test_the_layout_is_that_of_the_images(n: int, k: int, bits: int, bus: int) -> None:
    tile = family("int").from_values({"m": 1, "n": n, "k": k, "bits": bits, "group": 0, "depth": 256})
    design = Design.from_values(tile, {"bus_bits": bus})
    tokens, elements = 13, 21
    keys = tile.quantize_weights(np.random.default_rng(n).standard_normal((tokens, elements)))
    for kind in (Kind.K, Kind.V):
        shape = (tokens, elements) if kind == Kind.K else (elements, tokens)
        schedule = Schedule(tile, Layer("cache", 1, *shape))
        weights = keys
        if kind == Kind.V:
            codes = np.ascontiguousarray(keys.codes.T)
            weights = dataclasses.replace(tile.quantize_weights(np.ones(shape)), codes=codes)
        found = pack_weights(design, schedule, weights)["weights"]
        assert np.array_equal(found, _by_formula(design, kind, keys.codes)), kind
