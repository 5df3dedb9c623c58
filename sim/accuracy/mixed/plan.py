"""Formats for a model's layers under a budget, and what came of it: measured, beside one format for all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.errors import HwgenError, suggest
from hwgen.options import ASSIGN, MixedOptions
from sim.accuracy.language import Evaluation, Measured, Watch, measure
from sim.accuracy.mixed.assign import ASSIGNERS, Assignment, Problem
from sim.accuracy.mixed.budget import Budget, bits_budget, stored_bits_budget
from sim.accuracy.mixed.sensitivity import Sensitivities, sensitivities, sensitivity_name
from sim.accuracy.mixed.units import by_name, units_of
from sim.accuracy.operand import OperandFormat, operand_format
from sim.accuracy.recipe import Recipe

__all__ = ["Comparison", "Plan", "compare", "plan"]

_EQUAL_BITS = 0.01
"""Bits a weight by which two models may differ and still be compared as equals."""


@dataclass(frozen=True)
class Plan:
    """An assignment as a recipe.

    Attributes
    ----------
    assign, recipe: who assigned, and what.
    predicted, predicted_unit: sum of the sensitivities of all units in their formats.
    cost, limit, cost_unit: sum of the costs, and what it might be.
    counts: units by name of their format.
    """

    assign: str
    recipe: Recipe
    sensitivity: str
    predicted: float
    predicted_unit: str
    cost: float
    limit: float
    cost_unit: str
    counts: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Comparison:
    """Plans under one budget, each measured, and in words whether a mixed one is better than one format for all.

    ``measured`` is on the windows of the comparison, ``learned`` on those that the sensitivities are from: what was
    predicted differs from the second as sums of single units do, and that from the first as texts do.
    """

    plans: tuple[Plan, ...]
    measured: tuple[Measured, ...]
    learned: tuple[Measured, ...]
    sensitivities: Sensitivities
    verdicts: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        """What a table shows."""
        return [
            {
                "assign": one.assign,
                "formats": " ".join(f"{name}×{count}" for name, count in one.counts),
                "bits_per_weight": found.bits_per_weight,
                "cost": one.cost,
                "cost_unit": one.cost_unit,
                "sensitivity": one.sensitivity,
                "predicted": one.predicted,
                "predicted_unit": one.predicted_unit,
                "learned_kl_nats": seen.kl_nats,
                "learned_loss_nats": seen.loss_nats,
                "perplexity": found.perplexity,
                "kl_nats": found.kl_nats,
                "agreement": found.agreement,
                "tokens": found.tokens,
            }
            for one, found, seen in zip(self.plans, self.measured, self.learned, strict=True)
        ]


def formats_to_choose(names: Iterable[str]) -> tuple[OperandFormat, ...]:
    """Formats of `MixedOptions.formats`. Raises `HwgenError` for none, unknown ones, and one that is given twice."""
    forms = tuple(operand_format(name) for name in names)
    if not forms:
        raise HwgenError("mixed: formats must be at least one, e.g. --mix int3 --mix int4 --mix int8")
    for form in forms:
        if forms.count(form) > 1:
            raise HwgenError(f"mixed: formats must differ, and {form} is given twice")
    return forms


def _checked(options: MixedOptions, base: Recipe, budget: Budget | None) -> tuple[OperandFormat, ...]:
    """The formats; all that can be refused before a model is loaded is."""
    forms = formats_to_choose(options.formats)
    by_name(options.by)
    sensitivity_name(options.sensitivity)
    if options.assign not in ASSIGN:
        raise HwgenError(
            f"mixed: assign must be one of {', '.join(ASSIGN)}, not {options.assign!r}{suggest(options.assign, ASSIGN)}"
        )
    if "weights" in base.formats or base.layers:
        raise HwgenError("mixed: the recipe must have no format of weights, which is what is chosen")
    bits = options.budget_bits
    if budget is None and (bits is None or not 0.0 < bits <= 32.0):
        given = "none is given" if bits is None else f"not {bits:g}"
        raise HwgenError(f"mixed: budget_bits must be above 0 and at most 32, {given}; try --budget-bits 4")
    if budget is not None and bits is not None:
        raise HwgenError("mixed: must be given a budget of bits or of other costs, not both")
    return forms


@dataclass(frozen=True)
class _Found:
    """A problem with all that it is about."""

    base: Recipe
    sensitivities: Sensitivities
    problem: Problem

    def plan(self, name: str) -> Plan:
        found: Assignment = ASSIGNERS[name](self.problem)
        forms, units = self.sensitivities.forms, self.sensitivities.units
        layers = {
            layer: forms[choice] for unit, choice in zip(units, found.chosen, strict=True) for layer in unit.layers
        }
        counts = [(form.name, found.chosen.count(index)) for index, form in enumerate(forms)]
        return Plan(
            name,
            self.base.with_layers(layers),
            self.sensitivities.name,
            found.predicted,
            self.sensitivities.unit,
            found.cost,
            self.problem.limit,
            self.problem.unit,
            tuple((form, count) for form, count in counts if count),
        )


def _find(
    learn: Evaluation,
    options: MixedOptions,
    base: Recipe,
    calibration: Sequence[Sequence[int]],
    watch: Watch,
    budget: Budget | None,
) -> _Found:
    forms = _checked(options, base, budget)
    units = units_of(learn.model(), options.by)
    limits = bits_budget(units, forms, options.budget_bits or 0.0) if budget is None else budget
    # A budget that nothing fits is refused before anything is measured.
    Problem(np.zeros_like(limits.costs), limits.costs, limits.limit, limits.unit)
    found = sensitivities(options.sensitivity, learn, units, forms, base.method, calibration, watch)
    if budget is None and found.measured:
        limits = stored_bits_budget(units, found.measured, limits.limit)
    return _Found(base, found, Problem(found.values, limits.costs, limits.limit, limits.unit))


def plan(
    learn: Evaluation,
    options: MixedOptions,
    base: Recipe,
    calibration: Sequence[Sequence[int]],
    watch: Watch,
    budget: Budget | None = None,
) -> Plan:
    """Choose formats for the weights of a model's layers.

    Bits are those that were stored where sensitivities are measured; with proxies, those of the formats, without what
    a method stores beside them. Sensitivities are those of weights alone, with everything else float32: formats that
    ``base`` has for activations and the rest are part of the result and not of the choice.

    Args:
        learn: on windows of a calibration text; never of the one that results are measured on.
        options: what to choose from, and how.
        base: the recipe without formats of weights; its method is how weights get into their formats.
        calibration: token lists for a calibrated method.
        watch: is told of the progress.
        budget: costs of the units in the formats, in the order of `units_of` and of the options, in place of
            ``options.budget_bits``.

    Raises:
        HwgenError: for options that are none, a budget that the cheapest formats exceed, and as `sensitivities`.
    """
    return _find(learn, options, base, calibration, watch, budget).plan(options.assign)


def compare(
    evaluation: Evaluation,
    learn: Evaluation,
    options: MixedOptions,
    base: Recipe,
    calibration: Sequence[Sequence[int]],
    watch: Watch,
    budget: Budget | None = None,
) -> Comparison:
    """Measure what each of `ASSIGN` chooses under one budget, on the windows of ``evaluation``.

    ``options.assign`` is not looked at; the rest as of `plan`. One format for all is left out where none fits.
    """
    found = _find(learn, options, base, calibration, watch, budget)
    plans = [found.plan(name) for name in ASSIGN[:-1]]
    # Where every single format exceeds the budget, and mixed ones do not, there is nothing to compare with.
    with suppress(HwgenError):
        plans.append(found.plan(ASSIGN[-1]))
    measured = [measure(evaluation, one.recipe, calibration, watch) for one in plans]
    learned = [measure(learn, one.recipe, calibration, watch) for one in plans]
    verdicts = _verdicts(plans, measured)
    if budget is None:
        verdicts += _above(plans, measured)
    return Comparison(tuple(plans), tuple(measured), tuple(learned), found.sensitivities, tuple(verdicts))


def _above(plans: Sequence[Plan], measured: Sequence[Measured]) -> list[str]:
    """Plans whose methods store something beside the codes, which proxies know nothing of."""
    return [
        f"{one.assign} takes {found.bits_per_weight:.3f} bits a weight with what its method stores beside the codes, "
        f"more than the budget of {one.limit:g}"
        for one, found in zip(plans, measured, strict=True)
        if found.bits_per_weight > one.limit * (1 + 1e-6)
    ]


def _verdicts(plans: Sequence[Plan], measured: Sequence[Measured]) -> list[str]:
    """Whether mixed plans are better than one format for all, in words."""
    if plans[-1].assign != ASSIGN[-1]:
        return ["no format for all layers is within the budget: nothing to compare with"]
    return [_verdict(one, found, plans[-1], measured[-1]) for one, found in zip(plans[:-1], measured[:-1], strict=True)]


def _verdict(mixed: Plan, mine: Measured, single: Plan, other: Measured) -> str:
    (name, _), *_ = single.counts
    against = f"uniform {name}: perplexity {mine.perplexity:.4g} against {other.perplexity:.4g}"
    bits = f"{mine.bits_per_weight:.3f} bits a weight against {other.bits_per_weight:.3f}"
    if mixed.recipe.layers == single.recipe.layers:
        return f"{mixed.assign} is uniform {name}"
    more = mine.bits_per_weight - other.bits_per_weight
    equal = "equal bits" if abs(more) <= _EQUAL_BITS else "more bits" if more > 0 else "fewer bits"
    difference, error = _difference(mine, other)
    if error is None:
        told = "; one window says nothing of the spread"
    else:
        told = f"; loss differs by {difference:+.4f} nats a token, standard error {error:.4f}"
        if abs(difference) < 2 * error:
            return f"{mixed.assign} at {equal} is not told apart from {against} ({bits}{told})"
    word = "beats" if difference < 0 else "does not beat"
    return f"{mixed.assign} at {equal} {word} {against} ({bits}{told})"


def _difference(mine: Measured, other: Measured) -> tuple[float, float | None]:
    """Mean difference of the losses in nats a token, and its standard error over windows; None for a single one."""
    tokens = [window[0] for window in mine.by_window]
    each = [(a[1] - b[1]) for a, b in zip(mine.by_window, other.by_window, strict=True)]
    mean = sum(each) / sum(tokens)
    count = len(each)
    if count < 2:
        return mean, None
    # Of a ratio of sums: windows may differ in their scored tokens.
    rest = sum((loss - mean * size) ** 2 for loss, size in zip(each, tokens, strict=True))
    return mean, math.sqrt(count / (count - 1) * rest) / sum(tokens)
