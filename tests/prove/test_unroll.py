"""Room for deep calls is given back: parsers in C trust the limit, and overrun their stack below a higher one."""

from __future__ import annotations

import sys

import pytest

from hwgen.emit import emit
from hwgen.pe import family
from hwgen.prove import prove
from hwgen.prove.unroll import deep


def test_proofs_leave_the_depth_of_calls_as_it_was() -> None:
    before = sys.getrecursionlimit()
    spec = family("int").from_values({"m": 1, "n": 1, "k": 2, "bits": 2, "acts": "int2", "group": 4, "depth": 4})
    emission = emit(spec)
    assert {one["status"] for one in prove(emission.verilog, emission.manifest)["obligations"]} == {"proved"}
    assert sys.getrecursionlimit() == before


@deep()
def _failing() -> None:
    assert sys.getrecursionlimit() >= 1_000_000
    raise ZeroDivisionError


def test_so_does_what_fails() -> None:
    before = sys.getrecursionlimit()
    with pytest.raises(ZeroDivisionError):
        _failing()
    assert sys.getrecursionlimit() == before
