"""What the contract checks beside a tile's runs it checks in compiled Verilog too, and sees faults there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hwgen.pe.int import Int
from hwgen.pe.lut import Lut
from hwgen.verify import _contract, check_contract

SMALL = {"m": 1, "n": 2, "k": 2, "bits": 4, "group": 32, "depth": 32}


def failed(spec: Any) -> set[str]:
    return {finding.check for finding in check_contract(spec, engine="verilator") if not finding.ok}


@dataclass(frozen=True, kw_only=True)
class Slow(Int):
    """Sums that are said to take two cycles, and take one."""

    @classmethod
    def interval(cls, p: Any) -> Any:
        return 2


def test_steps_that_need_not_be_as_far_apart() -> None:
    assert not failed(Lut.from_values(SMALL))
    assert failed(Slow.from_values(SMALL)) == {"default: tight: cycles per step"}


def test_a_block_before_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Lut.from_values({**SMALL, "acts": "fp16"})
    assert not failed(spec)
    real = _contract.expected_beats

    def other(pre: Any, acts: Any) -> tuple[np.ndarray, np.ndarray | None]:
        words, scale = real(pre, acts)
        words[-1, 0, 0] ^= 1
        return words, scale

    monkeypatch.setattr(_contract, "expected_beats", other)
    assert failed(spec) == {"pre: back-to-back: values", "pre: idle cycles: values"}
