from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwgen.errors import HwgenError
from sim.tech.scaling import KINDS, factor, nodes, nominal_volts, scale


def test_the_example_of_the_authors() -> None:
    # Their correction: 0.8367 · 0.9² − 0.4341 · 0.9 + 0.1701 = 0.4571, 3.755 · 1.3² − 4.398 · 1.3 + 1.975 = 2.604.
    # They print 0.1755 pJ from these rounded values.
    scaled = scale(1.0, "energy", 65, 32, from_volts=1.3, to_volts=0.9)
    assert scaled == pytest.approx(0.457137 / 2.603550, rel=1e-6)
    assert round(scaled, 3) == 0.176
    assert factor("energy", 65, 32, from_volts=1.3) == scaled


@pytest.mark.parametrize(
    ("node", "energy"), [(32, 0.531), (20, 0.233), (16, 0.161), (14, 0.112), (10, 0.082), (7, 0.056)]
)
def test_energy_from_45_nm(node: int, energy: float) -> None:
    assert factor("energy", 45, node) == pytest.approx(energy, abs=5e-4)


@pytest.mark.parametrize(
    ("source", "target", "area"), [(45, 32, 0.46), (45, 7, 0.059), (65, 45, 0.66), (90, 45, 0.35), (180, 45, 0.053)]
)
def test_area(source: int, target: int, area: float) -> None:
    assert scale(2.0, "area", source, target) == 2.0 * area


def test_delay_by_hand() -> None:
    # −501.6 + 1567 − 1619 + 566.1 = 12.5 at 1 V; −28.58 · 0.343 + 76.6 · 0.49 − 70.26 · 0.7 + 24.69 = 3.23906.
    assert factor("delay", 45, 7) == pytest.approx(3.23906 / 12.5, rel=1e-9)
    # 34.63 · 0.81 − 66.37 · 0.9 + 41.15 = 9.4673: its cubic term is 0.
    assert factor("delay", 45, 20) == pytest.approx(9.4673 / 12.5, rel=1e-9)


def test_arrays() -> None:
    values = np.array([1.0, 3.0])
    assert (scale(values, "energy", 45, 7) == values * factor("energy", 45, 7)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_to_the_same_node_nothing_changes(kind: str) -> None:
    assert {factor(kind, nm, nm) for nm in nodes()} == {1.0}


def test_the_transcribed_table_agrees_with_itself() -> None:
    assert nodes() == (180, 130, 90, 65, 45, 32, 20, 16, 14, 10, 7)
    for source, target in itertools.combinations(nodes(), 2):
        # Two digits each way: at worst 5 % off each.
        assert factor("area", source, target) * factor("area", target, source) == pytest.approx(1, abs=0.08)
        assert factor("area", source, target) < 1
        assert factor("energy", source, target) < 1
        assert factor("energy", source, target) * factor("energy", target, source) == pytest.approx(1)
        for other in nodes():
            way = factor("area", source, other) * factor("area", other, target)
            assert way == pytest.approx(factor("area", source, target), rel=0.12)
    assert [nominal_volts(nm) for nm in nodes()] == sorted((nominal_volts(nm) for nm in nodes()), reverse=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("energy", 28, 7),
            "scaling: from_nm must be one of 180, 130, 90, 65, 45, 32, 20, 16, 14, 10, 7, not 28; "
            "Stillmaker and Baas, Integration 58 (2017) 74-81 have no other node",
        ),
        (
            ("area", 45, 22),
            "scaling: to_nm must be one of 180, 130, 90, 65, 45, 32, 20, 16, 14, 10, 7, not 22; "
            "Stillmaker and Baas, Integration 58 (2017) 74-81 have no other node",
        ),
        (
            ("energie", 45, 7),
            "scaling: kind must be area, energy, delay, not 'energie'; did you mean 'energy'?",
        ),
    ],
)
def test_what_the_method_lacks_is_an_error(arguments: tuple[str, int, int], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        scale(1.0, *arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("volts", [0, -1, 0.5])
def test_a_voltage_off_the_fit_is_an_error(volts: float) -> None:
    with pytest.raises(HwgenError) as caught:
        # At 0.5 V, 24.64 · 0.5 − 17.98 is below 0.
        factor("energy", 180, 45, from_volts=volts)
    assert str(caught.value) == (
        "scaling: from_volts must be a voltage at which the energy of 180 nm is above 0 in the fit, not "
        f"{volts!r}; the nominal voltage is 1.8"
    )
