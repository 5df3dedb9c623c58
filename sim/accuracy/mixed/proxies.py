"""Sensitivities that take one run of the float model, and the errors of weights rounded to nearest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hwgen.errors import HwgenError
from sim.accuracy.language import Evaluation, Watch
from sim.accuracy.mixed.units import Unit
from sim.accuracy.operand import OperandFormat

__all__ = ["input_shares", "traces"]

DRAWS = 4
"""How often tokens are drawn for the trace."""
_SEED = 1


def traces(
    evaluation: Evaluation, units: Sequence[Unit], forms: Sequence[OperandFormat], watch: Watch
) -> list[list[float]]:
    """½ · mean of the diagonal of H · squared errors of the weights, in nats a token, of units in formats.

    H is the Hessian of the KL divergence at the float model. Raises `HwgenError` for weights that are not finite.
    """
    model = _finite(evaluation.model(), units)
    found = _fisher_traces(model, evaluation, [name for unit in units for name in unit.layers], watch)

    def second_order(name: str, weights: Tensor, error: Tensor) -> float:
        return 0.5 * found[name] / weights.numel() * float(error.double().square().sum())

    return _over_layers(model, units, forms, watch, second_order)


def input_shares(
    evaluation: Evaluation, units: Sequence[Unit], forms: Sequence[OperandFormat], watch: Watch
) -> list[list[float]]:
    """Squared errors over squares of the weights, both weighted by mean squares of inputs, of units in formats.

    Raises `HwgenError` for weights that are not finite.
    """
    model = _finite(evaluation.model(), units)
    squares = _input_squares(model, evaluation, [name for unit in units for name in unit.layers], watch)

    def share(name: str, weights: Tensor, error: Tensor) -> float:
        whole = float((weights.double().square() * squares[name]).sum())
        return float((error.double().square() * squares[name]).sum()) / whole if whole else 0.0

    return _over_layers(model, units, forms, watch, share)


def _finite(model: Any, units: Sequence[Unit]) -> Any:
    """The model. Raises `HwgenError` for weights that are not finite: all that the model gives would be none."""
    for unit in units:
        for name in unit.layers:
            if not torch.isfinite(model.get_submodule(name).weight).all():
                raise HwgenError(f"layer {name}: weights must be finite numbers")
    return model


def _over_layers(
    model: Any,
    units: Sequence[Unit],
    forms: Sequence[OperandFormat],
    watch: Watch,
    of: Callable[[str, Tensor, Tensor], float],
) -> list[list[float]]:
    """Sums over the layers of units of what ``of`` makes of a name, weights [N, K] and their errors."""
    rows = []
    for number, unit in enumerate(units):
        watch("looking at weights", number, len(units))
        row = [0.0] * len(forms)
        for name in unit.layers:
            weights = model.get_submodule(name).weight.detach().float()
            for place, form in enumerate(forms):
                row[place] += of(name, weights, form.nearest(weights) - weights)
        rows.append(row)
    watch("looking at weights", len(units), len(units))
    return rows


def _fisher_traces(model: Any, evaluation: Evaluation, names: Sequence[str], watch: Watch) -> dict[str, float]:
    """Trace of the Fisher information of each layer's weights, a token.

    Tokens of a draw are independent of each other: the square of their summed gradient is, in the mean over draws, the
    sum of their squares.
    """
    weights = {name: model.get_submodule(name).weight for name in names}
    found = dict.fromkeys(names, 0.0)

    def taking(name: str) -> Callable[[Tensor], None]:
        def take(weight: Tensor) -> None:
            assert weight.grad is not None
            found[name] += float(weight.grad.double().square().sum())
            # One gradient is in memory at a time.
            weight.grad = None

        return take

    generator = torch.Generator(evaluation.device).manual_seed(_SEED)
    tokens = 0
    for name, weight in weights.items():
        weight.requires_grad_(True)
        weight.register_post_accumulate_grad_hook(taking(name))
    with torch.enable_grad():
        for number, window in enumerate(evaluation.windows):
            watch("reading windows for gradients", number, len(evaluation.windows))
            logits = model(torch.tensor(window.tokens, device=evaluation.device))[window.first - 1 : -1]
            likely = logits.log_softmax(dim=-1)
            tokens += len(likely)
            for draw in range(DRAWS):
                drawn = torch.multinomial(likely.detach().exp(), 1, generator=generator)
                likely.gather(1, drawn).sum().backward(retain_graph=draw < DRAWS - 1)
    return {name: trace / (tokens * DRAWS) for name, trace in found.items()}


@torch.inference_mode()
def _input_squares(model: Any, evaluation: Evaluation, names: Sequence[str], watch: Watch) -> dict[str, Tensor]:
    """Sums of squares of each layer's inputs, float64 [K]."""
    squares: dict[str, Tensor] = {}

    def taking(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def take(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
            found = given[0].double().reshape(-1, given[0].shape[-1]).square().sum(dim=0)
            squares[name] = squares[name] + found if name in squares else found

        return take

    for name in names:
        model.get_submodule(name).register_forward_pre_hook(taking(name))
    for number, window in enumerate(evaluation.windows):
        watch("reading windows as float", number, len(evaluation.windows))
        model.hidden(torch.tensor(window.tokens, device=evaluation.device))
    return squares
