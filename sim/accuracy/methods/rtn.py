"""Round to nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, register
from sim.accuracy.operand import OperandFormat

__all__ = ["RoundToNearest"]


@register
@dataclass(frozen=True)
class RoundToNearest(Method):
    """Round every weight to the nearest value, with the format's own scales.

    What `hwgen.quantize` and every tile's layers do: scales by the largest magnitude of a group, or as the format says.
    """

    name = "rtn"
    calibrated = False

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        """See `Method`."""
        return MethodResult(tuple(layer.form.nearest(layer.weights) for layer in layers))
