"""What an accelerator leaves in memory, by the tile's reference and that of the unit behind it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwgen.accelerator import RESULT_BITS, Design, entering_acts, finished_floats, requantised
from hwgen.formats import QTensor
from hwgen.reference import run_steps
from hwgen.schedule import Schedule

__all__ = ["random_channels", "reference_results"]


def random_channels(design: Design, count: int, rng: np.random.Generator) -> dict[str, np.ndarray] | None:
    """What each of so many channels has: multipliers and shifts that leave a few bits, floats of all sizes; None for a
    design without channels.
    """
    found: dict[str, np.ndarray] = {}
    for name, bits in design.channel_fields:
        if name == "multiplier":
            found[name] = rng.integers(0, 1 << bits, count)
        elif name == "shift":
            found[name] = rng.integers(6, design.multiplier_bits + 14, count)
        elif design.requantises:
            found[name] = rng.integers(-5000, 5000, count) if name == "bias" else rng.integers(-20, 20, count)
        else:
            sizes = 10.0 ** rng.integers(-42, 38, count) if rng.integers(2) else 1.0
            found[name] = (rng.standard_normal(count) * sizes).astype(np.float32)
    return found or None


def reference_results(
    design: Design,
    schedule: Schedule,
    acts: QTensor,
    weights: QTensor,
    channels: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Beats of results by port (`Design.result_fields`) of activations as they lie in memory (`memory_acts`), all
    blocks of columns for a block of rows.
    """
    tile = design.tile
    beats = run_steps(tile, schedule.lower(entering_acts(design, acts), weights))
    blocks = schedule.row_blocks * schedule.col_blocks
    of_cells = {name: _by_cell(schedule, values) for name, values in (channels or {}).items()}
    if design.requantises:
        sums = beats.sums.reshape(blocks, -1).astype(np.int64)
        names = ("bias", "multiplier", "shift", "zero")
        return {"o_results": requantised(sums, RESULT_BITS[design.result], *(of_cells[name] for name in names))}
    if not tile.lanes:
        return {"o_sums": beats.sums, "o_row_sums": np.asarray(beats.rows)}
    y = np.asarray(beats.y).astype(np.uint32)
    if not of_cells and design.result == "tile":
        return {"o_y": y}
    codes = finished_floats(y.reshape(blocks, -1), design.result, of_cells.get("outer"), of_cells.get("bias"))
    return {"o_y" if design.result == "tile" else "o_results": codes}


def _by_cell(schedule: Schedule, values: np.ndarray) -> np.ndarray:
    """What channels have [outputs], for each cell of each block [blocks, M·N]; zeros beyond the edge."""
    tile, columns = schedule.spec, schedule.col_blocks
    padded = np.pad(values, (0, columns * tile.n - schedule.layer.n)).reshape(1, columns, 1, tile.n)
    return np.broadcast_to(padded, (schedule.row_blocks, columns, tile.m, tile.n)).reshape(-1, tile.m * tile.n)
