"""How fast a library is: the delay of logic without registers, mapped for speed."""

from __future__ import annotations

from hwgen.synth._parts import Part
from hwgen.synth._run import Job, run_job
from hwgen.synth.liberty import Library

__all__ = ["gate_delay_ns", "shortest_ns"]

_RECIPES = ("plain_fast", "noalumacc_fast")
_AIM_NS = 0.001
_AND = r"""module \top
  wire input 1 \a
  wire input 2 \b
  wire output 3 \y
  cell $and \gate
    parameter \A_SIGNED 0
    parameter \A_WIDTH 1
    parameter \B_SIGNED 0
    parameter \B_WIDTH 1
    parameter \Y_WIDTH 1
    connect \A \a
    connect \B \b
    connect \Y \y
  end
end
"""


def shortest_ns(rtlil: str, library: Library, timeout_s: float = 600.0) -> float:
    """Longest path of the module ``top`` as ABC maps it fastest, in ns."""
    part = Part("primitive", "top", 1, rtlil, (), True)
    return min(run_job(Job(part, recipe, _AIM_NS, timeout_s), library).path_ns for recipe in _RECIPES)


def gate_delay_ns(library: Library) -> float:
    """Delay of a two-input AND in ns."""
    return shortest_ns(_AND, library)
