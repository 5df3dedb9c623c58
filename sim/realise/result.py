"""Predicted beside measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hwgen.schedule import Layer
from hwgen.verify import Finding
from sim.held_out import HeldOut
from sim.realise.asked import Asked

__all__ = ["NOT_SHORTEST", "Realised", "Row", "kept", "stated"]

NOT_SHORTEST = "; measured is what keeps the clock, not the shortest"
"""Of the clock period of a mapping that was made for a clock."""


@dataclass(frozen=True)
class Row:
    """One quantity, its unit in the name. ``measured`` is None where nothing measures it; ``status`` says why then.

    ``exact``: both must be equal. ``error`` are the median and the largest absolute relative error that the model
    states of itself on held-out designs, None where it states none. ``status`` says what stands behind the prediction.
    """

    quantity: str
    predicted: float
    measured: float | None
    exact: bool = False
    error: tuple[float, float] | None = None
    status: str = ""

    @property
    def difference(self) -> float | None:
        """Prediction over measurement - 1; None without a measurement, or one of 0 that is not met."""
        if self.measured is None or (self.measured == 0 and self.predicted != 0):
            return None
        return 0.0 if self.measured == self.predicted else self.predicted / self.measured - 1

    @property
    def agrees(self) -> bool:
        """Whether what must be equal is."""
        return not self.exact or self.measured == self.predicted

    @property
    def within(self) -> bool | None:
        """Whether the difference is within the largest error that is stated; None where there is nothing to say."""
        difference = self.difference
        return None if self.error is None or difference is None else abs(difference) <= self.error[1]

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        stated = None if self.error is None else {"median": self.error[0], "largest": self.error[1]}
        return {
            "quantity": self.quantity,
            "predicted": self.predicted,
            "measured": self.measured,
            "difference": self.difference,
            "exact": self.exact,
            "held_out_error": stated,
            "within_largest": self.within,
            "status": self.status,
        }


def stated(held: HeldOut | None, quantity: str) -> tuple[float, float] | None:
    """Median and largest error of a quantity, where they are stated."""
    return None if held is None else (held.median[quantity], held.largest[quantity])


def kept(asked: Asked, predicted: bool | None, measured: bool) -> dict[str, bool | None]:
    """Whether a clock is kept; nobody knows where none was asked for."""
    named = asked.clk_period_ns is not None
    return {"predicted": predicted if named else None, "measured": measured if named else None}


@dataclass(frozen=True, eq=False)
class Realised:
    """A point that was realised.

    Members
    -------
    level, family, parameters, design: what it is (``design``: parameters around the tile, None of a tile).
    tech, library, clk_period_ns: what it was predicted and mapped with.
    layer, operands: what was run. findings: of the contract. values: where outputs differ first from ``compared``,
        empty where they are equal.
    rows: predicted beside measured. mapping: how it was mapped. meets: whether the clock is kept, as predicted and as
        measured; None where none was asked for. energy: how the energy was counted, empty where it was not.
        extrapolated: what of the tile lies outside of all that was measured. versions: of the tools.
    files: what was made of it, by name; written by the caller.
    """

    level: str
    family: str
    parameters: Mapping[str, Any]
    design: Mapping[str, Any] | None
    tech: str
    library: str
    clk_period_ns: float
    layer: Layer
    operands: str
    findings: Sequence[Finding]
    values: str
    compared: str
    rows: Sequence[Row]
    mapping: str
    meets: Mapping[str, bool | None]
    energy: str
    extrapolated: Sequence[str]
    versions: str
    files: Mapping[str, str | bytes] = field(repr=False)

    @property
    def failed(self) -> list[str]:
        """What differs that must be equal, in words."""
        found = [f"{one.check}: {one.detail}" for one in self.findings if not one.ok]
        found += [f"outputs: {self.values}"] if self.values else []
        rows = (row for row in self.rows if not row.agrees)
        return found + [f"{row.quantity}: {row.predicted:,} predicted, {row.measured:,} measured" for row in rows]

    @property
    def ok(self) -> bool:
        """Whether every value and every cycle agrees; costs may differ."""
        return not self.failed

    def row(self, quantity: str) -> Row:
        """The row of a quantity. Raises `KeyError` where there is none."""
        return {row.quantity: row for row in self.rows}[quantity]

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form, without the files."""
        layer = self.layer
        return {
            "level": self.level,
            "family": self.family,
            "parameters": dict(self.parameters),
            "design": None if self.design is None else dict(self.design),
            "tech": self.tech,
            "library": self.library,
            "clk_period_ns": self.clk_period_ns,
            "layer": {"name": layer.name, "m": layer.m, "n": layer.n, "k": layer.k},
            "operands": self.operands,
            "checks": [{"check": one.check, "ok": one.ok, "detail": one.detail} for one in self.findings],
            "values": {"compared_with": self.compared, "equal": not self.values, "detail": self.values},
            "rows": [row.document() for row in self.rows],
            "mapping": self.mapping,
            "meets_clock": dict(self.meets),
            "energy": self.energy,
            "extrapolated": list(self.extrapolated),
            "basis": "pre-layout: no wires, no clock tree; zero delay: no glitches",
            "difference": "prediction over measurement - 1",
            "versions": self.versions,
            "ok": self.ok,
        }
