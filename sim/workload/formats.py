"""Which number format every operand of an operator has: rules as text, such as ``role=attn.* weights=int4 kv=int8``.

Rules are data: the cost model takes one format of weights and one of activations from its tile today, whatever they
say; sizes of weights in memory follow them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

from hwgen.errors import HwgenError, suggest
from hwgen.formats import get
from sim.workload.operators import OPERANDS
from sim.workload.workload import Workload, matching

__all__ = ["Rule", "check_rules", "code_bits", "formats_of", "parse_rule"]

_RULE_PHASES = ("prefill", "decode", "vision", "pass")
"""Phases that a rule may name: a generation is a prefill and steps of decoding."""
_KEYS = ("role", "phase", *OPERANDS)


@dataclass(frozen=True)
class Rule:
    """Formats by operand, for the operators whose role matches ``role``, in one phase or ("") all."""

    role: str
    formats: Mapping[str, str]
    phase: str = ""

    def __str__(self) -> str:
        where = [f"role={self.role}", *([f"phase={self.phase}"] if self.phase else [])]
        return " ".join([*where, *(f"{operand}={name}" for operand, name in self.formats.items())])


def parse_rule(text: str) -> Rule:
    """Rule of ``role=attn.* phase=decode weights=int4 acts=int8 kv=int8``; role and phase may be left out.

    Raises `HwgenError` for an unknown key, phase or format, a key that is given twice and a rule without a format.
    """
    found: dict[str, str] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if key not in _KEYS:
            raise HwgenError(f"--set: no key {key!r}{suggest(key, _KEYS)}; keys are {', '.join(_KEYS)}")
        if not equals or not value:
            raise HwgenError(f"--set: {key} needs a value, e.g. role=attn.* weights=int4, in {text!r}")
        if key in found:
            raise HwgenError(f"--set: {key} must be given once, not as {found[key]} and {value}")
        found[key] = value
    phase = found.pop("phase", "")
    if phase and phase not in _RULE_PHASES:
        raise HwgenError(
            f"--set: phase must be {' or '.join(_RULE_PHASES)}, not {phase!r}{suggest(phase, _RULE_PHASES)}"
        )
    role = found.pop("role", "*")
    if not found:
        raise HwgenError(f"--set: must give a format of {', '.join(OPERANDS)}, e.g. role=attn.* weights=int4: {text!r}")
    return Rule(role, MappingProxyType({operand: get(name).name for operand, name in found.items()}), phase)


def check_rules(workload: Workload, rules: Iterable[Rule]) -> None:
    """Raise `HwgenError` for a rule whose role nothing of the model has."""
    for rule in rules:
        matching(workload, rule.role)


def formats_of(rules: Sequence[Rule], role: str, phase: str = "") -> dict[str, str]:
    """Formats by operand; later rules win. Operands that no rule names are missing.

    ``phase``: that of the step; "" for rules that hold in every phase.
    """
    found: dict[str, str] = {}
    for rule in rules:
        if fnmatchcase(role, rule.role) and rule.phase in ("", phase):
            found |= rule.formats
    return found


def code_bits(name: str) -> float:
    """Bits of an element in memory, without its share of scales."""
    form = get(name)
    return form.code_bits / form.elements / form.tied_rows
