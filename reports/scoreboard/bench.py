"""Where numbers of ours are got: a cell library with its technology, and what measures share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.synth import Library
from reports.ratios import Sizes
from reports.silicon import LAYER, Measured
from sim.clock import at_clock
from sim.energy import Operands, layer_operands

if TYPE_CHECKING:
    from hwgen.pe import TileSpec
    from sim.accuracy.recipe import Recipe
    from sim.accuracy.run import Subject
    from sim.accuracy.table import Known

__all__ = ["TILE_WINDOWS", "Bench", "Tile"]

TILE_WINDOWS = 1
"""Windows of the text that are read with the arithmetic of a tile, as in ``reports/results/accuracy_arithmetic.md``."""

Tell = Callable[[str], None]


def _quiet(line: str) -> None:
    pass


@dataclass(frozen=True)
class Tile:
    """A tile that does ``macs`` multiply-accumulates a cycle, with as many columns as that takes; 0: one cell of it.

    ``values``: parameters, sorted by name.
    """

    family: str
    macs: int
    values: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, name: str, macs: int, **values: Any) -> Tile:
        """The tile of a family with parameters."""
        return cls(name, macs, tuple(sorted(values.items())))

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters by name."""
        return dict(self.values)

    @property
    def depth(self) -> int:
        """Products for which its sums are exact."""
        return int(family(self.family).from_values(self.parameters).p["depth"])


@dataclass
class Bench:
    """A library with the technology that was calibrated on it, or none of both.

    ``name``: the technology's name or file; with it go clock and registers. Everything that is got here lies in the
    cache below it (mappings, energies, perplexities), so that a run which was interrupted goes on where it stopped.
    """

    name: str | None = None
    library: Library | None = None
    tell: Tell = _quiet
    _areas: Sizes | None = field(default=None, repr=False)
    _energies: Sizes | None = field(default=None, repr=False)
    _perplexities: Callable[[Recipe], Known] | None = field(default=None, repr=False)
    _subject: Subject | None = field(default=None, repr=False)

    def _sizes(self, operands: tuple[Operands, ...] = ()) -> Sizes:
        if self.library is None or self.name is None:
            raise HwgenError("scoreboard: this number needs a cell library; give one with --liberty")
        return Sizes(self.library, self.name, operands, self.tell)

    def area(self, tile: Tile) -> Measured:
        """A tile, mapped."""
        if self._areas is None:
            self._areas = self._sizes()
        return self._areas.tile(tile.family, tile.macs, **tile.parameters)

    def energy(self, tile: Tile) -> Measured:
        """A tile, mapped, with its energy on real operands. Raises `HwgenError` where the library has no energies."""
        if self._energies is None:
            self._energies = self._sizes((layer_operands(LAYER),))
        return self._energies.tile(tile.family, tile.macs, **tile.parameters)

    def cell(self, tile: Tile) -> float:
        """Area of one cell."""
        if self._areas is None:
            self._areas = self._sizes()
        return self._areas.cell(tile.family, **tile.parameters)

    def spec(self, tile: Tile) -> TileSpec:
        """The tile without a clock, as FPGAs get it: no registers that nobody asked for."""
        return at_clock(family(tile.family), tile.parameters, clk_period_ns="own")

    def perplexity(self, recipe: Recipe) -> Known:
        """Perplexity of the default model, from the table that comes with hwgen or measured as the table was.

        Raises `HwgenError` where model or text is not there.
        """
        if self._perplexities is None:
            from sim.accuracy.run import measured_as_the_table

            self._perplexities = measured_as_the_table(self.tell)
        return self._perplexities(recipe)

    def tile_perplexity(self, text: str) -> float:
        """Perplexity of the default model with the arithmetic of a tile, kept from the last time where there was one.

        Raises `HwgenError` where model or text is not there.
        """
        from hwgen.options import AccuracyOptions
        from sim.accuracy.run import Task, subject, tile

        task = Task(tile=tile(text), exact=True)
        if self._subject is None:
            self._subject = subject(AccuracyOptions(windows=TILE_WINDOWS), None, [task])
        if self._subject.evaluation.known(task.document(), task.calibration(self._subject)) is None:
            self.tell(f"running the model on {text}")
        return task.measure(self._subject, lambda what, done, of: None).perplexity
