"""The linear layers of any module, stored as a recipe says; what calibrated methods see passed the float module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hwgen.errors import HwgenError, suggest
from sim.accuracy.methods import Inputs
from sim.accuracy.recipe import Recipe
from sim.accuracy.stored import StoredSize, groups_of, store_group

__all__ = ["store_layers"]

MOST_ROWS = 4096
"""Rows of an input that a calibrated method is shown, evenly spread over those that passed."""


@torch.inference_mode()
def store_layers(model: nn.Module, recipe: Recipe, sample: Any) -> StoredSize:
    """Store all `torch.nn.Linear` layers of a module in place.

    Args:
        model: the module.
        recipe: the roles ``weights`` and ``acts``, and formats of single layers by name, are used.
        sample: what the module is called with, for calibration and to find out which layers have a common input.

    Raises:
        HwgenError: for a layer that the module has not, and for what methods and quantisers refuse.
    """
    linears = {name: found for name, found in model.named_modules() if isinstance(found, nn.Linear)}
    for name in recipe.layers:
        if name not in linears:
            raise HwgenError(f"recipe: layer must be one of the model's, not {name!r}{suggest(name, linears)}")
    calibrated = recipe.method.calibrated and any(recipe.weights_of(name) for name in linears)
    inputs = _inputs(model, linears, sample) if calibrated else None
    elements: dict[str, int] = {}
    bits: dict[str, float] = {}
    for group in groups_of(model, sample):
        store_group(model, "", group, recipe, inputs, elements, bits)
    return StoredSize(elements, bits)


def _inputs(model: nn.Module, linears: dict[str, nn.Linear], sample: Any) -> Callable[[str], Inputs]:
    """What enters each layer, of all times that it runs."""
    caught: dict[str, list[Tensor]] = {name: [] for name in linears}

    def catch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, given: caught[name].append(given[0])

    hooks = [linear.register_forward_pre_hook(catch(name)) for name, linear in linears.items()]
    try:
        model(sample)
    finally:
        for hook in hooks:
            hook.remove()

    def of(name: str) -> Inputs:
        rows = torch.cat([given.reshape(-1, given.shape[-1]) for given in caught[name]]).float()
        return Inputs(rows[:: -(-len(rows) // MOST_ROWS)])

    return of
