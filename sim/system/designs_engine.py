"""Many designs around tiles of a family as cores, of which only totals are asked: prices are those of their mesh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.accelerator.best import DesignArrays
from hwgen.accelerator.compiled import Forms
from hwgen.accelerator.job import FLAGS
from hwgen.accelerator.points import Points
from hwgen.frame.numbers import ranked
from hwgen.schedule import closed_cycles
from sim.accelerator.cost import cost_arrays
from sim.accelerator.forms import best_with_forms, forms_of, linear_counts, summed
from sim.system.design_engine import DesignEngine, beat_shares
from sim.system.engine import BYTES, Num, Table

__all__ = ["DesignsEngine", "Priced"]

P = Mapping[str, Any]

_ENERGY = "energy_pj"


@dataclass(frozen=True)
class Priced:
    """Designs with what follows from them alone, worked out over the mesh of their parameters.

    ``forms``: energy of a job, and its bytes by stream. ``idle_pj``: energy of a cycle without a job; ``area_um2``.
    """

    made: DesignArrays
    points: Points
    forms: Forms
    idle_pj: Num
    area_um2: Num

    @classmethod
    def of(cls, engine: DesignEngine, points: Points, p: P, d: P) -> Priced:
        """Those of an engine, whose parameters are scalars or arrays [designs]; over the mesh they are ``p`` and ``d``,
        as `Points.of` makes it.
        """
        made = DesignArrays(engine.spec, p, d, engine.latency, points=points)
        counts, bus_bytes = linear_counts(made.inventory), d["bus_bits"] // 8
        structure = engine.tech.structure(engine.spec, p, engine.period)
        known: dict[str, Any] = {"structure": structure, "found": made.inventory}
        found = cost_arrays(engine.spec, p, d, engine.tech, engine.period, counts=counts, **known)
        moved = {f"bytes_{name}": {name: stream.beats * bus_bytes} for name, stream in counts.streams.items()}
        moved["bytes_results"] = {"result": counts.write_beats * bus_bytes}
        forms = forms_of({_ENERGY: found.energy_pj, **moved})
        return cls(made, points, forms, forms[_ENERGY].get("cycles", 0.0), summed(found.area_um2))


class DesignsEngine(DesignEngine):
    """Some of the designs that were priced; see `sim.system.engine.Engine`. Blocks are not told apart.

    ``which``: those of the designs of ``priced`` that ``engine`` has.
    """

    def __init__(self, engine: DesignEngine, priced: Priced, which: slice) -> None:
        super().__init__(
            engine.spec,
            {name: value[which] if np.ndim(value) else value for name, value in engine.p.items()},
            {name: value[which] if np.ndim(value) else value for name, value in engine.d.items()},
            tech=engine.tech,
            clk_period_ns=engine.period,
            latency=engine.latency,
            order=engine.order,
            bytes_per_cycle=engine.rate,
            passes=engine.passes,
        )
        self._priced, self._of_mesh = priced, priced.made.part(which)

    @property
    def _points(self) -> Points:
        assert self._of_mesh.points is not None
        return self._of_mesh.points

    def _shared(self, active: Any) -> DesignArrays:
        """With the beats that so many cores leave each of them."""
        apart = np.size(active) > 1
        bus = (self.d if apart else self._of_mesh.d)["bus_bits"] // 8
        asked = np.asarray(active) * bus
        # Few are different.
        few, places = ranked(asked.reshape(-1))
        share, cycles = (one[places].reshape(asked.shape) for one in beat_shares(self.rate / few))
        return self._of_mesh.with_memory(share, cycles, apart)

    def best(self, m: Any, n: Any, k: Any, row: Any, active: Any, alike: Sequence[str] = ()) -> Table:
        """See `sim.system.engine.Engine`; ``energy_pj`` of each product stands in the table."""
        k = self._inner(k)
        sizes = m, n, k
        found = best_with_forms(self._shared(active), *sizes, self.orders, self._priced.forms, threads=1)
        cycles = found["cycles"]
        if all(np.shape(size)[1:] in ((), (1,)) for size in sizes):
            across = (len(np.asarray(m)),) + (1,) * len(self._points.shape)
            over = (np.asarray(size).reshape(across) for size in sizes)
            work = self._points.rows(closed_cycles(self.spec, self._of_mesh.p, *over))
        else:
            work = closed_cycles(self.spec, self.p, *sizes)
        # Those of streams that no design has are missing.
        table: Table = {name: np.zeros((1, 1), np.int64) for name in (f"bytes_{one}" for one in BYTES)}
        for name in table:
            if self._priced.forms.get(name):
                table[name] = found[name].astype(np.int64)
        places = sum(found[name] << (len(FLAGS) - 1 - place) for place, name in enumerate(FLAGS))
        table |= {"cycles": cycles, "work": np.minimum(work, cycles), "certain": found["exact"], "mapping": places}
        table["bound"] = found["regime"]
        table = self._waited(table, active)
        late = table["cycles"] - cycles
        return table | {_ENERGY: found[_ENERGY] + late * self._points(self._priced.idle_pj)}

    def energy(self, table: Table) -> Mapping[str, Num]:
        """See `sim.system.engine.Engine`."""
        return {"core": table[_ENERGY]}

    def idle_pj(self) -> Mapping[str, Num]:
        """See `sim.system.engine.Engine`."""
        return {"core": self._points(self._priced.idle_pj)}

    def area_um2(self) -> Mapping[str, Num]:
        """See `sim.system.engine.Engine`."""
        return {"core": self._points(self._priced.area_um2)}
