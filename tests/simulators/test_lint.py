from __future__ import annotations

import re

import pytest

from hwgen.errors import HwgenError
from hwgen.simulators import LintWarning, lint

VERILOG = """\
module top(input [3:0] a, output [7:0] b, output c);
    wire [4:0] unused;
    assign b = a + 8'd1;
    assign c = a[0];
endmodule
"""


def test_warnings_carry_code_line_and_text() -> None:
    found = lint(VERILOG, "top")
    assert [(warning.code, warning.line) for warning in found if warning.code != "UNUSEDSIGNAL"] == [("WIDTHEXPAND", 3)]
    assert found[0].text.startswith("Operator ADD expects 8 bits on the LHS")
    assert {warning.code for warning in found} >= {"WIDTHEXPAND"}


def test_disabled_codes_are_not_reported() -> None:
    assert "WIDTHEXPAND" not in {warning.code for warning in lint(VERILOG, "top", disabled=["WIDTHEXPAND"])}


def test_a_clean_module_has_none() -> None:
    clean = "module top(input a, output b);\n    assign b = ~a;\nendmodule\n"
    assert lint(clean, "top") == []
    assert lint(clean.replace("~a", "~a + 2'd0"), "top") != []


@pytest.mark.parametrize(
    ("verilog", "message"),
    [
        (
            "module top(input a);\n    assing b = a;\nendmodule\n",
            r"top: Verilator cannot read the Verilog: line 2: \S.*",
        ),
        ("module other(input a);\nendmodule\n", r"top: Verilator cannot read the Verilog: .*'top'.*"),
    ],
)
def test_verilog_that_cannot_be_read_is_told(verilog: str, message: str) -> None:
    with pytest.raises(HwgenError, match=f"^{message}$"):
        lint(verilog, "top")


def test_an_unknown_code_is_told() -> None:
    with pytest.raises(HwgenError, match=r"^top: Verilator cannot read the Verilog: .*NONSENSE.*$"):
        lint(VERILOG, "top", disabled=["NONSENSE"])


def test_warnings_compare_by_value() -> None:
    assert LintWarning("X", 1, "t") == LintWarning("X", 1, "t")
    assert re.fullmatch(r"\w+", LintWarning("X", 1, "t").code)
