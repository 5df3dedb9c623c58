"""A phase of a workload as rows: what each role does, at which sizes, with how many weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sim.workload.formats import Rule, check_rules, code_bits, formats_of
from sim.workload.operators import Operator, Run
from sim.workload.phases import Phase
from sim.workload.workload import Workload

__all__ = ["WEIGHT_BITS", "Row", "kv_elements", "rows"]

WEIGHT_BITS = 16.0
"""Bits of a weight where nothing says how it is stored."""


@dataclass(frozen=True)
class Row:
    """Products of one role and size in a part of a phase, ``count`` of them in all.

    ``n_last`` and ``k_last`` differ from ``n`` and ``k`` where the context grows. ``weight_bytes``: weights of the
    operators that are here first, without scales; those of all experts of a mixture. ``formats``: by operand.
    """

    part: str
    role: str
    operand: str
    m: int
    n: int
    k: int
    n_last: int
    k_last: int
    count: int
    macs: int
    weights: int
    weight_bytes: float
    stored: str
    formats: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """All fields, JSON-serialisable."""
        return {**vars(self), "formats": dict(self.formats)}


def rows(workload: Workload, phase: Phase, rules: Sequence[Rule] = (), weight_bits: float | None = None) -> list[Row]:
    """Rows of a phase in the order of the model; equal products of a role are one row.

    Parameters
    ----------
    rules: number formats of operands, which decide before a file's and before ``weight_bits``.
    weight_bits: bits of a weight that no rule names; None: those of the file, else `WEIGHT_BITS`.

    Raises `HwgenError` for a phase that the model does not have and a rule that matches no role.
    """
    check_rules(workload, rules)
    found: dict[object, Row] = {}
    seen: set[int] = set()
    names: set[str] = set()
    for stretch, operator, run in workload.steps(phase):
        # Weights count once: not in each stretch, and not again where a module uses them again.
        first = id(operator) not in seen and not (operator.tied and operator.name in names)
        seen.add(id(operator))
        names.add(operator.name)
        row = _row(operator, run, rules, stretch.part, weight_bits, first=first)
        key = (row.part, row.role, row.operand, run.shape, row.stored, tuple(row.formats.items()))
        found[key] = _sum(found[key], row) if key in found else row
    return list(found.values())


def _row(
    operator: Operator, run: Run, rules: Sequence[Rule], part: str, weight_bits: float | None, *, first: bool
) -> Row:
    formats = {**dict(run.formats if weight_bits is None else ()), **formats_of(rules, run.role, part)}
    bits = code_bits(formats["weights"]) if "weights" in formats else weight_bits or WEIGHT_BITS
    weights = operator.weights if first else 0
    last = run.largest
    return Row(
        part,
        run.role,
        run.operand,
        run.m,
        run.n,
        run.k,
        last.n,
        last.k,
        run.total_count,
        run.macs,
        weights,
        weights * bits / 8,
        run.stored,
        MappingProxyType({key: value for key, value in formats.items() if key in (run.operand, "acts")}),
    )


def _sum(one: Row, other: Row) -> Row:
    return replace(
        one,
        count=one.count + other.count,
        macs=one.macs + other.macs,
        weights=one.weights + other.weights,
        weight_bytes=one.weight_bytes + other.weight_bytes,
    )


def kv_elements(workload: Workload, phase: Phase) -> int:
    """Elements of the KV cache at the end of a phase, all layers and sequences."""
    stretch = phase.stretches[-1]
    last = replace(stretch, context=stretch.context + stretch.steps - 1, steps=1)
    runs = [run for one in workload.operators if one.operand == "kv" for run in one.runs(last)]
    return sum(run.n * run.k * run.count for run in runs)
