"""Timing constraints: text, ports and the errors of bad numbers."""

from __future__ import annotations

import re

import pytest

from hwgen.emit import emit, sdc
from hwgen.errors import HwgenError
from hwgen.pe import family

SPEC = family("int")(m=2, n=2, bits=4, k=1, group=16, depth=16)


def test_text() -> None:
    assert sdc(SPEC, "core", 0.8, 0.25) == (
        "# Timing constraints of core; times in ns, which the reading tool's unit must be.\n"
        "create_clock -name clk -period 0.8 [get_ports clk]\n"
        "\n"
        "# Logic outside the tile has 0.25 of the period on either side. The reset is synchronous: it is\n"
        "# timed like any other input and is no false path.\n"
        "set_input_delay -clock clk 0.2 [get_ports rst]\n"
        "set_input_delay -clock clk 0.2 [get_ports i_valid]\n"
        "set_input_delay -clock clk 0.2 [get_ports {i_acts[*]}]\n"
        "set_input_delay -clock clk 0.2 [get_ports {i_weights[*]}]\n"
        "set_input_delay -clock clk 0.2 [get_ports i_first]\n"
        "set_input_delay -clock clk 0.2 [get_ports i_last]\n"
        "set_output_delay -clock clk 0.2 [get_ports i_ready]\n"
        "set_output_delay -clock clk 0.2 [get_ports o_valid]\n"
        "set_output_delay -clock clk 0.2 [get_ports {o_sums[*]}]\n"
        "\n"
        "# Drivers and loads depend on the cell library, for example:\n"
        "#   set_driving_cell -lib_cell BUF_X2 [all_inputs]\n"
        "#   set_load 0.0038 [all_outputs]\n"
    )


@pytest.mark.parametrize("values", [("int", {}), ("lut", {"n": 4, "post_lanes": 2, "group": 32}), ("mx", {})])
def test_every_port_is_constrained(values: tuple[str, dict[str, int]]) -> None:
    spec = family(values[0]).from_values(values[1])
    text = sdc(spec, "core", 1.0)
    constrained = re.findall(r"\[get_ports \{?(\w+)", text)
    assert sorted(constrained) == sorted(port["name"] for port in emit(spec, "core").manifest["ports"])


@pytest.mark.parametrize("period", [0.0, -1.0, float("inf"), float("nan")])
def test_bad_period(period: float) -> None:
    with pytest.raises(HwgenError) as error:
        sdc(SPEC, "core", period)
    assert str(error.value) == f"int: clk_period_ns must be a positive number, not {period:g}"


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_bad_fraction(fraction: float) -> None:
    with pytest.raises(HwgenError) as error:
        sdc(SPEC, "core", 1.0, fraction)
    assert str(error.value) == f"int: io_fraction must be at least 0 and below 1, not {fraction:g}"
