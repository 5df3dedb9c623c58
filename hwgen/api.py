"""The Python API: a tile with everything that can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwgen.emit import Emission, Reset, emit
from hwgen.errors import HwgenError
from hwgen.frame.param import whole_number
from hwgen.pe import TileSpec, family, family_names
from hwgen.reference import Beats, run_steps
from hwgen.schedule import Layer, Schedule, Steps
from hwgen.verify import Finding, check_contract, choose_engine

if TYPE_CHECKING:
    from sim.estimate import Report
    from sim.run import LayerRun

__all__ = ["TileHandle"]


@dataclass(frozen=True)
class TileHandle:
    """A tile by its spec. `hwgen.tile` makes one; everything else is derived from ``spec``."""

    spec: TileSpec

    @classmethod
    def from_values(
        cls,
        name: str,
        parameters: Mapping[str, Any],
        clk_period_ns: float | str | None = None,
        tech: str | None = None,
    ) -> TileHandle:
        """A tile of family ``name``, with the registers that a clock asks for if one is given.

        Raises `HwgenError` for unknown names and illegal values, and for a clock that no tile keeps.
        """
        if not isinstance(name, str):
            raise HwgenError(f"tile: family must be a name, not {name!r}; families: {', '.join(family_names())}")
        if clk_period_ns is None and tech is None:
            return cls(family(name).from_values(parameters))
        from sim.clock import at_clock
        from sim.tech import DEFAULT

        return cls(at_clock(family(name), parameters, tech or DEFAULT, clk_period_ns))

    def emit(self, top: str | None = None, *, reset: Reset | None = None) -> Emission:
        """Verilog and manifest; see `hwgen.emit.emit`."""
        return emit(self.spec, top, reset=reset)

    def reference(self, steps: Steps) -> Beats:
        """What the tile puts out for a run of steps, bit for bit."""
        return run_steps(self.spec, steps)

    def schedule(self, layer: Layer) -> Schedule:
        """The layer on this tile; raises `HwgenError` when it does not fit."""
        if not isinstance(layer, Layer):
            raise HwgenError(f"schedule: layer must be of the class hwgen.schedule.Layer, not {layer!r}")
        return Schedule(self.spec, layer)

    def verify(self, seed: int = 1, engine: str = "auto") -> list[Finding]:
        """Check RTL against reference, values and cycles; see `hwgen.verify.check_contract`."""
        number = whole_number(seed)
        if number is None or number < 0:
            raise HwgenError(f"verify: seed must be a whole number from 0 up, not {seed!r}")
        return check_contract(self.spec, number, choose_engine(self.spec, engine))

    def estimate(self, layer: Layer, **options: Any) -> Report:
        """Cycles (exact), area and energy of a layer; see `sim.estimate.estimate` (needs the extra ``sim``)."""
        from sim.estimate import estimate

        return estimate(self.spec, layer, **options)

    def run(self, weights: Any, acts: Any, name: str = "layer") -> LayerRun:
        """A layer through the Verilog, compared with the golden PyTorch layer; see `sim.run.run_layer`.

        ``weights`` [N, K] and ``acts`` [tokens, K] are numpy arrays, torch tensors or lists.
        """
        from sim.run import run_layer

        return run_layer(self.spec, weights, acts, name=name)
