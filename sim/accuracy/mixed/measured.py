"""The model with one unit of layers stored, measured without running what comes before that unit.

What is measured is what `sim.accuracy.language.measure` says of a recipe with these layers, to the last digit and under
the same key; but the model is loaded once, and what blocks before the unit give is kept from the float one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from hwgen.errors import HwgenError
from sim.accuracy.language import Evaluation, Measured, Watch, calibration_digest
from sim.accuracy.methods import Method
from sim.accuracy.mixed.units import Unit, units_of
from sim.accuracy.operand import OperandFormat
from sim.accuracy.recipe import Recipe
from sim.accuracy.stored import StoredSize, embedded, store_block

__all__ = ["alone", "silent"]


def silent(_what: str, _done: int, _of: int) -> None:
    """Say nothing."""


def alone(
    evaluation: Evaluation,
    units: Sequence[Unit],
    forms: Sequence[OperandFormat],
    method: Method,
    calibration: Sequence[Sequence[int]],
    watch: Watch,
) -> tuple[tuple[Measured, ...], ...]:
    """Measure the model with one unit in one format, for each of both; what is known is not measured again.

    Raises `HwgenError` as `sim.accuracy.stored.store`.
    """
    if method.calibrated and not calibration:
        raise HwgenError(f"method {method.name}: needs a calibration text")
    run: _FloatRun | None = None
    rows: list[list[Measured]] = []
    for number, unit in enumerate(units):
        rows.append([])
        for place, form in enumerate(forms):
            watch("measuring sensitivities", number * len(forms) + place, len(units) * len(forms))
            recipe = Recipe(method=method, layers=dict.fromkeys(unit.layers, form))
            said = calibration_digest(recipe, calibration)
            found = evaluation.known(recipe.document(), said)
            if found is None:
                run = run or _FloatRun(evaluation, calibration if method.calibrated else [])
                change = _storing(run, unit, recipe)
                found = evaluation.measure(recipe.document(), change, silent, said, run.whole)
            rows[-1].append(found)
    watch("measuring sensitivities", len(units) * len(forms), len(units) * len(forms))
    return tuple(tuple(row) for row in rows)


class _FloatRun:
    """A float model that is kept, and what enters each of its blocks, of windows and of calibration texts."""

    def __init__(self, evaluation: Evaluation, calibration: Sequence[Sequence[int]]) -> None:
        self._model = cast(Any, evaluation.model())
        self._embedding = self._model.token_embd
        self._device = evaluation.device
        self._states: dict[tuple[int, ...], list[Tensor]] = {}
        self.blocks = list(self._model.blk)
        self.elements = {unit.layers[0]: unit.elements for unit in units_of(self._model, "layer")}
        self._windows = [window.tokens for window in evaluation.windows]
        self._texts = [tuple(one) for one in calibration]

    def calibration(self, index: int) -> list[Tensor]:
        """What enters a block [T, D], of each calibration text; of a window where there is none."""
        return [self._entering(tokens)[index] for tokens in self._texts or self._windows[:1]]

    def _entering(self, tokens: tuple[int, ...]) -> list[Tensor]:
        """What enters each block."""
        if tokens not in self._states:
            x = embedded(self.whole(), torch.tensor(tokens, device=self._device))
            states = []
            for block in self.blocks:
                states.append(x)
                x = block(x)
            self._states[tokens] = states
        return self._states[tokens]

    def whole(self) -> nn.Module:
        """The float model, as it was."""
        self._begin(self.blocks, self._embedding)
        model: nn.Module = self._model
        return model

    def from_block(self, index: int, block: nn.Module) -> None:
        """Let the model begin with ``block`` in the place of the one of that number."""
        replay = _Replay({tokens: self._entering(tokens)[index] for tokens in self._windows})
        self._begin([block, *self.blocks[index + 1 :]], replay)
        if hasattr(self._model, "embed"):
            vars(self._model)["embed"] = replay

    def _begin(self, blocks: Sequence[nn.Module], embedding: nn.Module) -> None:
        vars(self._model).pop("embed", None)
        self._model.blk = nn.ModuleList(blocks)
        self._model.token_embd = embedding


class _Replay(nn.Module):
    """Gives what blocks made of tokens before."""

    def __init__(self, states: Mapping[tuple[int, ...], Tensor]) -> None:
        super().__init__()
        self._states = states

    def forward(self, tokens: Tensor) -> Tensor:
        """[T] to [T, D]."""
        return self._states[tuple(tokens.tolist())]


def _storing(run: _FloatRun, unit: Unit, recipe: Recipe) -> Callable[[nn.Module], StoredSize]:
    """What changes the kept model, and says of its layers what `sim.accuracy.stored.store` says."""

    def change(_: nn.Module) -> StoredSize:
        block = copy.deepcopy(run.blocks[unit.block])
        size = store_block(block, unit.block, recipe, run.calibration(unit.block))
        run.from_block(unit.block, block)
        return StoredSize(run.elements, {**dict.fromkeys(run.elements, 32.0), **size.bits})

    return change
