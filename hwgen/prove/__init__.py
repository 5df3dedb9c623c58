"""Proofs about emitted Verilog: the text is read back and held against the scalar definition of what it computes.

`hwgen.prove.obligations` lists what is proved, `hwgen.prove.algebra` and `hwgen.prove.abc` prove it, and
`hwgen.prove.certificate` writes it down.
"""

from __future__ import annotations

from hwgen.prove.certificate import checked, prove, rerun, summary
from hwgen.prove.obligations import Obligation, Result, Subject

__all__ = ["Obligation", "Result", "Subject", "checked", "prove", "rerun", "summary"]
