"""Every family keeps the contract over its sweep values: few tiles that visit all values, many that visit all pairs."""

from __future__ import annotations

import functools

import pytest

from hwgen.errors import HwgenError
from hwgen.frame.assembly import check_widths
from hwgen.pe import TileSpec, families
from hwgen.verify import check_contract, covering_specs

FAMILIES = families()


@functools.cache
def covered(name: str, strength: int) -> tuple[list[TileSpec], list[object]]:
    specs, impossible = covering_specs(FAMILIES[name], strength)
    return [spec for spec in specs if buildable(spec)], list(impossible)


def buildable(spec: TileSpec) -> bool:
    """Whether its operands and sums are signals that Amaranth has; `test_wide_buses` is about the others."""
    try:
        check_widths(spec)
    except HwgenError:
        return False
    return True


def changed(spec: TileSpec) -> str:
    """The parameters of a tile that are not the defaults, as a test id."""
    known = spec.parameters()
    return "-".join(f"{name}={value}" for name, value in spec.p.items() if value != known[name].default) or "default"


def cases(strength: int) -> list[object]:
    return [
        pytest.param(spec, id=f"{name}-{changed(spec)}", marks=pytest.mark.slow if long(spec) else ())
        for name in FAMILIES
        for spec in covered(name, strength)[0]
    ]


def long(spec: TileSpec) -> bool:
    """Whether the check takes a minute or more: large tiles of aligned floating-point sums, as measured.

    Those are slow tests, as are the pairs of sweep values, which visit every value again.
    """
    steps = int(spec.sum_group(spec.p)) // int(spec.layer_k(spec.p))
    work = spec.m * spec.n * int(spec.layer_k(spec.p)) * steps * int(spec.layer_cycles(spec.p))
    return spec.family in ("bitmod", "mixpe") and work >= 1000


def holds(spec: TileSpec, engine: str) -> None:
    failed = [finding for finding in check_contract(spec, engine=engine) if not finding.ok]
    assert not failed, "\n".join(f"{finding.check}: {finding.detail}" for finding in failed)


@pytest.mark.slow
@pytest.mark.parametrize("spec", cases(1))
def test_every_sweep_value(spec: TileSpec) -> None:
    # In Amaranth's simulator, but for families, tiles of many modes and steps of many cycles, which take a minute and
    # more there.
    slow = spec.family in ("bitmod", "mixpe") or len(spec.modes()) > 4 or spec.step_cycles_max >= 8
    holds(spec, "verilator" if slow else "amaranth")


@pytest.mark.slow
@pytest.mark.parametrize("spec", cases(2))
def test_every_pair_of_sweep_values(spec: TileSpec) -> None:
    # Compiled: a few seconds of building, where Amaranth's simulator takes up to a minute.
    holds(spec, "verilator")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_sweep_value_is_legal_somewhere(name: str) -> None:
    specs, impossible = covered(name, 1)
    assert not impossible
    for parameter, p in FAMILIES[name].parameters().items():
        assert {getattr(spec, parameter) for spec in specs} >= set(p.sweep), parameter
