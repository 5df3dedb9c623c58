"""Verilator has nothing to say about emitted Verilog, at any sweep value of any family."""

from __future__ import annotations

from typing import Any

import pytest

from hwgen.emit import emit
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec, families
from hwgen.simulators import lint
from hwgen.verify import covering_specs
from hwgen.yosys import run_passes

pytestmark = pytest.mark.rtl

# Codes of -Wall that are style, each with why it stays. Nothing else may appear, nothing is switched off in the text.
STYLE = {
    # Unread bits of a field or an adder (a carry's own place, the entries of a table that a row sum does not need).
    # Synthesis drops them; cutting them out of the text would split every concatenation.
    "UNUSEDSIGNAL",
}
SMALL: dict[str, Any] = {"m": 2, "n": 4}


def one_at_a_time(family: type[TileSpec], parameter: str) -> tuple[list[TileSpec], int]:
    """Small tiles with each sweep value of one parameter in turn, and how many values the family refuses."""
    specs, refused = [], 0
    values = family.parameters()[parameter].sweep
    # A group has to fit the smallest depth.
    small = {**SMALL, "group": min(values)} if parameter == "depth" else SMALL
    for value in values:
        try:
            specs.append(family(**{**small, parameter: value}))
        except HwgenError:
            refused += 1
    return [spec for spec in specs if spec != family(**SMALL)], refused


def check(spec: TileSpec) -> None:
    emission = emit(spec)
    assert "lint_off" not in emission.verilog
    for top in (emission.top, f"{emission.top}_pre") if spec.pre() is not None else (emission.top,):
        lines = emission.verilog.splitlines()
        found = [
            (warning.code, warning.text, lines[warning.line - 1].strip())
            for warning in lint(emission.verilog, top, disabled=("MULTITOP",))
            if warning.code not in STYLE
        ]
        if found and {code for code, _, _ in found} == {"UNOPTFLAT"}:
            # Entries of a large table that others are made of, on one port: Verilator orders words, and single bits
            # only up to some size. Yosys looks at bits, and fails where they make a loop.
            check_loops(emission.verilog, top)
            continue
        assert not found, f"{top} {spec}: {found[:3]}"


def check_loops(verilog: str, top: str) -> None:
    run_passes(verilog, [f"hierarchy -top {top}", "proc", "check -assert"], read="read_verilog", write="write_verilog")


@pytest.mark.parametrize("name", families())
def test_the_small_tile_is_clean(name: str) -> None:
    check(families()[name](**SMALL))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        (name, parameter)
        for name, family in families().items()
        for parameter, p in family.parameters().items()
        if p.sweep
    ],
)
def test_sweep_values_one_at_a_time_are_clean(name: str, parameter: str) -> None:
    specs, refused = one_at_a_time(families()[name], parameter)
    # What a small tile cannot be alone is visited by the covering tiles below.
    assert refused < len(families()[name].parameters()[parameter].sweep)
    for spec in specs:
        check(spec)


@pytest.mark.few(1)
@pytest.mark.parametrize("name", sorted(families(), key=lambda name: name in ("lut", "mx", "posit")))
def test_tiles_that_visit_all_sweep_values_are_clean(name: str) -> None:
    specs, impossible = covering_specs(families()[name])
    assert not impossible
    for spec in specs:
        check(spec)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("assign y = a + a[1:0];", "WIDTHEXPAND"),
        ("assign y = {a, 1'b0};", "WIDTHTRUNC"),
        ("assign y = {4{!a}};", "WIDTHTRUNC"),
        ("reg [3:0] r; always @* if (a[0]) r = a; assign y = r;", "LATCH"),
    ],
)
def test_lint_reports_what_the_emitter_could_do_wrong(line: str, code: str) -> None:
    verilog = f"module t(input [3:0] a, output [3:0] y);\n  {line}\nendmodule\n"
    assert code in {warning.code for warning in lint(verilog, "t")}


def test_loops_of_bits_are_seen_and_words_make_none() -> None:
    text = "module t(input [1:0] b, output [1:0] v); assign v[0] = b[0]{}; assign v[1] = b[1] | v[0]; endmodule\n"
    check_loops(text.format(""), "t")
    with pytest.raises(RuntimeError, match="found logic loop"):
        check_loops(text.format(" & v[1]"), "t")
