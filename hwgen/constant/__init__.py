"""Matrix-vector units whose weights are wires: adder graphs of a constant matrix, pipelined, exact.

- `hwgen.constant.matrix`: which matrices there can be, and how files of them are read.
- `hwgen.constant.graph`: adder graphs: what they compute, how wide and how deep they are.
- `hwgen.constant.csd`, `hwgen.constant.shared`: from a matrix to its graph, without and with shared subexpressions.
- `hwgen.constant.place`: where registers stand.
- `hwgen.constant.unit`: logic, ports, Verilog, manifest.
- `hwgen.constant.verify`: the Verilog beside numpy.
"""

from __future__ import annotations

from hwgen.constant.graph import AdderGraph
from hwgen.constant.matrix import MOST_BITS, MOST_ELEMENTS, constant_matrix, read_constant
from hwgen.constant.unit import METHODS, ConstantEmission, ConstantUnit, checked_name, emit_constant
from hwgen.constant.verify import ConstantCheck, verify_constant

__all__ = [
    "METHODS",
    "MOST_BITS",
    "MOST_ELEMENTS",
    "AdderGraph",
    "ConstantCheck",
    "ConstantEmission",
    "ConstantUnit",
    "checked_name",
    "constant_matrix",
    "emit_constant",
    "read_constant",
    "verify_constant",
]
