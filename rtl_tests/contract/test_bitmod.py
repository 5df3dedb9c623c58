"""BitMoD tiles that the sweep values leave to the slow pairs: floating-point activations with the bit-serial post."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.pe import family
from hwgen.reference import run_steps
from hwgen.schedule import Steps
from hwgen.verify import check_contract
from hwgen.verify._pysim import simulate

pytestmark = pytest.mark.rtl

SMALL: dict[str, Any] = {"m": 2, "n": 1, "k": 2, "group": 32, "depth": 32, "post_lanes": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"stages": 2}, id="normalised"),
        pytest.param({"accumulator": "exact", "stages": 0}, id="exact", marks=pytest.mark.slow),
        pytest.param(
            {"acts": "bf16", "acc_mantissa": 32, "k": 1}, id="wide mantissa, rounded once", marks=pytest.mark.slow
        ),
    ],
)
def test_contract(values: dict[str, Any]) -> None:
    spec = family("bitmod").from_values(SMALL | values)
    failed = [finding for finding in check_contract(spec) if not finding.ok]
    assert not failed, "\n".join(f"{finding.check}: {finding.detail}" for finding in failed)


FP4_ONE = 2
ONE, LARGE, NEXT, TINY = 0x3C00, 0x7BFF, 0x7BFE, 0x0001
MINUS = 0x8000


@pytest.mark.parametrize(
    ("acts", "mantissa", "exponent"),
    [
        # A step of 32, the last place of the largest numbers, is 8 guarded places: one place below is the frame's last.
        pytest.param([(TINY, 0), (LARGE, NEXT | MINUS)], 1 << 13, 35, id="what lies below the frame is lost"),
        pytest.param([(TINY | MINUS, 0), (LARGE, NEXT | MINUS)], 15 << 10, 34, id="and rounded down"),
        pytest.param([(TINY, 0), (LARGE, LARGE | MINUS)], 1 << 13, 6, id="a step of zero changes nothing"),
        pytest.param([(ONE, 0), (ONE | MINUS, 0), (TINY, 0)], 1 << 13, 6, id="from zero on"),
        pytest.param([(ONE, 0), (0, 0), (ONE | MINUS, 0)], 0, 0, id="x − x"),
        pytest.param([(ONE, ONE), (ONE, 0)], 3 << 12, 31, id="three ones"),
    ],
)
def test_named_sums(acts: list[tuple[int, int]], mantissa: int, exponent: int) -> None:
    """Sums are mantissa · 2**(exponent − 14 − 29): 15 bits, and units of 2**-29 (10 places, 3 guard bits, halves)."""
    spec = family("bitmod").from_values({"m": 1, "n": 1, "k": 2, "group": 8, "depth": 8, "post_lanes": 0})
    count = len(acts)
    first = np.arange(count) == 0
    steps = Steps(
        np.array(acts, np.uint32)[:, None, :],
        np.full((count, 1, 2), FP4_ONE, np.uint32),
        {},
        {"special": np.zeros((count, 1), np.int64)},
        first,
        first[::-1].copy(),
        first[::-1].copy(),
        3,
    )
    word = int(run_steps(spec, steps).sums[0, 0, 0, 0])
    assert (word >> 15, (word & 0x7FFF) - ((word & 0x4000) << 1)) == (exponent, mantissa)
    assert int(simulate(spec, steps).sums[0, 0, 0, 0]) == word
