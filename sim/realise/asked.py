"""What is realised with what, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from hwgen.pe import TileSpec
from hwgen.schedule import Layer
from hwgen.simulators import require
from hwgen.synth import Library, SynthOptions
from sim.calibrate.measure import RECIPES, TARGET_NS
from sim.tech import CalibratedTech, Structure
from sim.tech._calibrated import fitted_family

__all__ = ["STEPS", "Asked", "ByBlock", "LayerData", "Watch", "check_tools", "mapped_for_speed", "synth_options"]

STEPS = ("emit", "verify", "synth", "run", "energy")

P = Mapping[str, Any]


def _nothing(*_: object) -> None:
    return


@dataclass(frozen=True)
class Watch:
    """Who is told: ``done(step, words)`` when a step has ended, ``doing(step, words, done, of)`` while it runs."""

    done: Callable[[str, str], None] = _nothing
    doing: Callable[[str, str, int, int], None] = _nothing


@dataclass(frozen=True, eq=False)
class LayerData:
    """A layer's float operands, weights [N, K] and activations [tokens, K], and what they are in words."""

    name: str
    weights: np.ndarray
    acts: np.ndarray
    words: str

    @property
    def layer(self) -> Layer:
        """Its sizes."""
        return Layer(self.name, len(self.acts), *self.weights.shape)


@dataclass(frozen=True)
class Asked:
    """How a point is realised.

    Parameters
    ----------
    tech, library: prices, and the cells that they were calibrated on. clk_period_ns: clock period; None is the
        shortest one that the model predicts. target_ns: of constraints. clock: technology and period that placed
        registers, for the manifest.
    whole: map a tile as one netlist, or block by block; None: as one where it is small. energy: count toggles, too.
    jobs: child processes at a time.
    """

    tech: CalibratedTech
    library: Library
    clk_period_ns: float | None
    target_ns: float
    clock: Mapping[str, Any] | None = None
    whole: bool | None = None
    energy: bool = True
    jobs: int = 1
    watch: Watch = field(default_factory=Watch, compare=False)


@dataclass(frozen=True)
class ByBlock(CalibratedTech):
    """A technology whose tiles are the sums of their blocks, each mapped by itself: without what one piece saves."""

    @classmethod
    def of(cls, tech: CalibratedTech) -> ByBlock:
        """The same technology."""
        return cls(**{one.name: getattr(tech, one.name) for one in fields(tech)})

    def _values(self, spec: type[TileSpec], p: P, *args: Any) -> dict[str, dict[str, Any]]:
        flattening = fitted_family(self.toml, spec.family).flattening
        found = super()._values(spec, p, *args)
        return {
            quantity: {kind: value / flattening[quantity] for kind, value in values.items()}
            for quantity, values in found.items()
        }


def check_tools() -> None:
    """Raise `HwgenError` for a tool that compiled simulation needs and that this machine lacks, before any work."""
    for tool in ("verilator", "g++"):
        require(tool)


def mapped_for_speed(at_clock: Structure, smallest: Structure) -> bool:
    """Whether the model prices a block of a tile as mapped for speed to keep a clock."""
    return any(at_clock.area_um2[kind] != area for kind, area in smallest.area_um2.items())


def synth_options(asked: Asked, for_speed: bool, **more: Any) -> SynthOptions:
    """As calibrations map, or, where the model says so, the smallest mapping that keeps the clock."""
    if for_speed and asked.clk_period_ns is not None:
        return SynthOptions(clk_period_ns=asked.clk_period_ns, jobs=asked.jobs, timeout_s=_TIMEOUT_S, **more)
    return SynthOptions(
        clk_period_ns=TARGET_NS, smallest=True, recipes=RECIPES, jobs=asked.jobs, timeout_s=_TIMEOUT_S, **more
    )


_TIMEOUT_S = 3600.0
