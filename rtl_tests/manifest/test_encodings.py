"""Encodings of the manifest, read by code of its own, mean what the formats decode."""

from __future__ import annotations

import importlib.util
import json
import math
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hwgen.formats import Format, TableFormat, get, names
from hwgen.formats.bitmod import BitmodFormat


def _codes() -> ModuleType:
    path = Path(__file__).parent / "alone" / "codes.py"
    spec = importlib.util.spec_from_file_location("alone_codes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ALONE = _codes()
NAMES = [*dict.fromkeys(get(name).name for name in names() if not name.startswith(("int", "uint")))]
EXTRA = ["int2", "int8", "uint1", "uint8", "int16", "ue4m3", "e3m0", "e1m2", "e5m2b3", "posit5_2", "posit16_3",
         "bitmod_fp4(-5,5,-10,0)", "codebook(-1,0,0.5,1)", "razer_fp4", "table(0,1,-3,0.5)",
         "roots4", "roots4_widely", "powers1_6", "powers2_2", "powers3_14", "apot2_5", "apot3_8"]  # fmt: skip


def _some(form: Format) -> list[int]:
    """All codes, or of wide formats some and the corners."""
    if form.code_bits <= 10:
        return list(range(1 << form.code_bits))
    rng = np.random.default_rng(1)
    return [*form.corners, *rng.integers(0, 1 << form.code_bits, size=400).tolist()]


def _alike(got: Any, want: float | Fraction) -> bool:
    if isinstance(want, float) and math.isnan(want):
        return bool(got.special == "nan")
    if isinstance(want, float) and math.isinf(want):
        return bool(got.special == "inf" and got.negative == (want < 0))
    return bool(not got.special and got.number == Fraction(want))


@pytest.mark.parametrize("name", [*NAMES, *EXTRA])
def test_described_formats_decode_alike(name: str) -> None:
    form = get(name)
    encoding = json.loads(json.dumps(form.describe()))
    assert encoding["bits"] == form.code_bits
    for code in _some(form):
        if form.elements > 1 or ("values_by_side" in encoding and not isinstance(form, TableFormat)):
            for side in range(1 << form.side_bits):
                given = side if form.side_bits else None
                want = np.ravel(form.decode(np.array([code], np.uint32), given)).tolist()
                assert ALONE.elements(encoding, code, side) == want
        elif isinstance(form, BitmodFormat):
            for side, special in enumerate(form.specials):
                word = int(abs(special) * 2) | (special < 0) << 5
                assert encoding["specials"][side] == special
                assert _alike(ALONE.decode(encoding, code, word), form.decode_scalar(code, side)), code
        elif isinstance(form, TableFormat) and form.learned:
            assert encoding["kind"] == "index"
        elif isinstance(form, TableFormat):
            for side in range(len(form.tables)):
                assert _alike(ALONE.decode(encoding, code, side=side), form.decode_scalar(code, side)), code
        else:
            assert _alike(ALONE.decode(encoding, code), form.decode_scalar(code)), code
