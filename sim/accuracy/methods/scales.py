"""Scales of blocks, chosen among their codes: 4/6, and a search of all codes near the format's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hwgen.errors import HwgenError, suggest
from hwgen.formats import MinifloatFormat, NormalFormat, get
from hwgen.options import option
from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, register
from sim.accuracy.methods.common import calibration, checked, mean_squares
from sim.accuracy.methods.grid import Grid, Scales
from sim.accuracy.operand import OperandFormat

__all__ = ["BlockScales"]

_RULES = ("search", "four_six")
_FINEST = 3
"""Mantissa bits of scales that are searched: E8M0, E6M2 and E4M3 have 0, 2 and 3."""
_TOPS = (6.0, 4.0)
_FOUR_SIX_LIMIT = 256.0
"""What 4/6 puts the largest scale at where E4M3 ends at 448: 3/2 of it is still a scale."""


@register
@dataclass(frozen=True)
class BlockScales(Method):
    """Choose the scale of every block by the least squared error of its weights.

    `rule` four_six: Four Over Six (arXiv 2512.02010), for nvfp4: the scale that takes a block's largest magnitude to 6
    or to 4, whichever has the smaller Σ (w - ŵ)² (6 of two equals), below a tensor scale of max|w| / (6 · 256). search:
    of all codes of scales within `octaves` of the format's own the best one, the own one of equals; for scales of at
    most 3 mantissa bits (mxfp4, mxint8, nvfp4, hif4, posits with e8m0 and others), below the format's own tensor scale.
    Exhaustive, where published searches (ScaleSweep, MR-GPTQ) try a grid or alternate with the tensor scale. HiF4's
    exponents follow from each scale by its quantiser's rule. `weigh` multiplies squares of errors by the mean squares
    of the inputs, which is not in these papers.
    """

    name = "scales"
    calibrated = False

    rule: str = option("search", "search or four_six")
    octaves: int = option(1, "how far the search goes in either direction, in powers of two", least=1, most=8)
    weigh: bool = option(False, "weigh errors by the mean squares of the inputs")

    def __post_init__(self) -> None:
        object.__setattr__(self, "calibrated", self.weigh)
        if self.rule not in _RULES:
            raise HwgenError(
                f"method {self.name}: rule must be one of {', '.join(_RULES)}, not {self.rule!r}"
                f"{suggest(self.rule, _RULES)}"
            )

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        """See `Method`."""
        k = checked(self.name, layers)
        weight = mean_squares(calibration(self.name, k, inputs)) if self.weigh else None
        found = []
        for layer in layers:
            grid, scales = self.search(layer, weight)
            found.append(grid.nearest(layer.weights, scales))
        return MethodResult(tuple(found))

    def search(self, layer: Layer, weight: Tensor | None = None) -> tuple[Grid, Scales]:
        """The grid of a layer's weights and the chosen scales; ``weight`` [K] multiplies the squares of the errors.

        Raises `HwgenError` for formats without such scales.
        """
        grid = Grid(layer.form, *layer.weights.shape)
        if self.rule == "four_six":
            if layer.form.scheme != "nv" or grid.codes != get("fp4_e2m1"):
                raise HwgenError(
                    f"method {self.name}: rule four_six must have the format nvfp4, not {layer.form} (layer "
                    f"{layer.name}); rule=search takes other block formats"
                )
            return grid, self._best(grid, layer.weights, *_four_six(grid, layer.weights), weight)
        form = grid.scales_format
        mantissa = form.mantissa_bits if isinstance(form, MinifloatFormat | NormalFormat) else _FINEST + 1
        if grid.plain or mantissa > _FINEST or layer.form.scheme in ("asymmetric", "minimum", "bitmod"):
            raise HwgenError(
                f"method {self.name}: format must have block scales of at most {_FINEST} mantissa bits and nothing "
                f"beside them, such as mxfp4, nvfp4 and hif4, not {layer.form} (layer {layer.name}); "
                "clip searches others"
            )
        own = grid.scales(layer.weights)
        reach = self.octaves << mantissa
        lowest, highest = (form.encode(end).item() for end in (form.smallest, form.max_value))
        # Outwards from the own code: the nearest of equals wins.
        steps = sorted(range(-reach, reach + 1), key=lambda step: (abs(step), step))
        # A block of zeros keeps its scale of 0: it has no better one.
        codes = [torch.where(own.value > 0, (own.codes + step).clamp(lowest, highest), own.codes) for step in steps]
        return grid, self._best(grid, layer.weights, codes, own.outer, weight)

    @staticmethod
    def _best(
        grid: Grid, weights: Tensor, codes: Sequence[Tensor], outer: Tensor | None, weight: Tensor | None
    ) -> Scales:
        """The first of the best codes of every block."""
        folded = grid.fold(weights)
        best, chosen = None, codes[0]
        for tried in codes:
            shaped = grid.folded(grid.at(weights, tried, outer))
            error = grid.squares(grid.values(grid.index(folded, shaped), shaped) - folded, weight)
            if best is None:
                best = error
                continue
            better = error < best
            best, chosen = torch.where(better, error, best), torch.where(better, tried, chosen)
        return grid.at(weights, chosen, outer)


def _four_six(grid: Grid, weights: Tensor) -> tuple[list[Tensor], Tensor]:
    """Codes of the blocks' scales by either value, and the tensor's scale."""
    amax = grid.fold(weights).abs().amax(dim=-1).float()
    outer = (amax.amax() / torch.tensor(_TOPS[0] * _FOUR_SIX_LIMIT)).clamp(min=torch.finfo(torch.float32).tiny)
    form = grid.scales_format
    codes = []
    for top in _TOPS:
        ideal = (amax / top / outer).double().clamp(max=form.max_value)
        ideal = torch.where(amax > 0, ideal.clamp(min=form.smallest), 0.0)
        codes.append(torch.from_numpy(form.encode(ideal.numpy()).astype("int64")))
    return codes, outer.double().reshape(1, 1)
