"""What a format does to a model where one unit of layers alone is stored in it, and all else is float32.

Measured, on windows of a calibration text (`sim.accuracy.mixed.measured`):

* ``kl``: mean KL divergence from the float model, in nats a token.
* ``loss``: how much the mean negative log-likelihood rises, in nats a token; may be negative.

Proxies, of weights rounded to nearest whatever the method (`sim.accuracy.mixed.proxies`):

* ``trace``: ½ · mean of the diagonal of H · sum of squared errors of the weights, with H the Hessian of the KL
  divergence at the float model, in nats a token. HAWQ-V2's (Dong et al., NeurIPS 2020), whose trace is estimated here
  by squared gradients of likelihoods of tokens that are drawn from the model: H is the Fisher information there.
* ``inputs``: squared errors of the weights, each weighted by the mean square of its input (the diagonal of the Hessian
  of the layer's own output that GPTQ and its kin go by), over the same of the weights themselves: a share of noise in
  the layer's output, which says nothing of what comes after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError, suggest
from hwgen.options import SENSITIVITIES
from sim.accuracy.language import Evaluation, Measured, Watch, measure
from sim.accuracy.methods import Method
from sim.accuracy.mixed.measured import alone, silent
from sim.accuracy.mixed.proxies import input_shares, traces
from sim.accuracy.mixed.units import Unit
from sim.accuracy.operand import OperandFormat
from sim.accuracy.recipe import Recipe

__all__ = ["UNITS", "Sensitivities", "sensitivities", "sensitivity_name"]


@dataclass(frozen=True)
class Sensitivities:
    """What formats do to a model, float64 [U, F], in ``unit``; ``measured`` is what that was read from, if anything."""

    name: str
    units: tuple[Unit, ...]
    forms: tuple[OperandFormat, ...]
    values: NDArray[np.float64]
    measured: tuple[tuple[Measured, ...], ...] = ()

    @property
    def unit(self) -> str:
        """What the values are counted in."""
        return UNITS[self.name]

    def rows(self) -> list[dict[str, Any]]:
        """What a table shows."""
        names = [form.name for form in self.forms]
        return [
            {"unit": unit.name, "weights": unit.elements, **dict(zip(names, row, strict=True))}
            for unit, row in zip(self.units, self.values.tolist(), strict=True)
        ]


def sensitivity_name(name: str) -> str:
    """What is told of a sensitivity. Raises `HwgenError` for what is none."""
    if name not in UNITS:
        raise HwgenError(f"mixed: sensitivity must be one of {', '.join(UNITS)}, not {name!r}{suggest(name, UNITS)}")
    return name


def sensitivities(
    name: str,
    evaluation: Evaluation,
    units: Sequence[Unit],
    forms: Sequence[OperandFormat],
    method: Method,
    calibration: Sequence[Sequence[int]],
    watch: Watch,
) -> Sensitivities:
    """Find what each format does to each unit alone; what was measured before is not measured again.

    Args:
        name: of `UNITS`.
        evaluation: on windows of a calibration text, few and short ones: they are run for each unit and format.
        units: from `units_of`.
        forms: formats to look at.
        method: how weights get into a format; proxies do not look at it.
        calibration: token lists for a calibrated method.
        watch: is told of the progress.

    Raises:
        HwgenError: for an unknown name, and as `sim.accuracy.stored.store`.
    """
    sensitivity_name(name)
    measured: tuple[tuple[Measured, ...], ...] = ()
    if name in _PROXIES:
        rows = _PROXIES[name](evaluation, units, forms, watch)
    else:
        measured = alone(evaluation, units, forms, method, calibration, watch)
        rows = _READ[name](evaluation, measured)
    values = np.array(rows, np.float64).reshape(len(units), len(forms))
    for unit, row in zip(units, values, strict=True):
        for form, value in zip(forms, row, strict=True):
            if not np.isfinite(value):
                raise HwgenError(f"mixed: sensitivity of {unit.name} to {form} must be a finite number, not {value}")
    return Sensitivities(name, tuple(units), tuple(forms), values, measured)


def _kl(_: Evaluation, rows: Sequence[Sequence[Measured]]) -> list[list[float]]:
    return [[one.kl_nats for one in row] for row in rows]


def _loss(evaluation: Evaluation, rows: Sequence[Sequence[Measured]]) -> list[list[float]]:
    before = measure(evaluation, Recipe(), [], silent).loss_nats
    return [[one.loss_nats - before for one in row] for row in rows]


_READ = dict(zip(SENSITIVITIES[:2], (_kl, _loss), strict=True))
_PROXIES = dict(zip(SENSITIVITIES[2:], (traces, input_shares), strict=True))
UNITS: Mapping[str, str] = dict(
    zip(SENSITIVITIES, ("nats a token", "nats a token", "nats a token", "share of noise, summed"), strict=True)
)
"""What sensitivities are counted in, by name."""
