"""Random accelerators, jobs and memories of all families: points on which the closed form meets the cycle model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.accelerator import Design, Job, Memory, exact, placed
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec, family, family_names

__all__ = ["Point", "designs", "points"]

_WIDE: dict[str, tuple[int, ...]] = {
    "bus_bits": (64, 128, 256, 512),
    "weight_ring": (2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512),
    "act_ring": (2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512),
    "burst": (1, 2, 4, 8, 16, 32, 64),
    "outstanding": (1, 2, 4, 8, 16),
}


@dataclass(frozen=True)
class Point:
    """A job on an accelerator with a memory, and the cycles it takes."""

    design: Design
    job: Job
    memory: Memory
    cycles: int


def _tile(rng: np.random.Generator, **wanted: Any) -> TileSpec:
    """A small tile of any family that can be as ``wanted``: what it computes does not matter, only its words and its
    cycles.
    """
    while True:
        name = str(rng.choice(family_names()))
        kind = family(name)
        values: dict[str, Any] = {"m": int(rng.integers(1, 9)), "n": int(rng.choice((1, 2, 4, 6, 8, 16)))}
        drawn = {
            "k": (2, 4, 8, 16),
            "bits": (1, 2, 3, 4, 8),
            "group": (0, 16, 32, 64, 128),
            "post_lanes": (0, 1, 2, 4, 8),
            "stages": (1, 2, 3),
            "transport": ("broadcast", "systolic"),
            "interleave": ("none", "ring"),
            "adder_stages": (1, 2, 3),
        }
        for key, legal in drawn.items():
            if key in kind.parameters() and rng.integers(3):
                one = rng.choice(legal)
                values[key] = one.item()
        try:
            return kind.from_values({"depth": 256, **values, **wanted})
        except HwgenError:
            continue


def _plain(rng: np.random.Generator) -> tuple[TileSpec, dict[str, Any]]:
    """Results leave as the tile gives them."""
    return _tile(rng), {}


def _floats(rng: np.random.Generator) -> tuple[TileSpec, dict[str, Any]]:
    """Results of post lanes become narrower, with or without what channels have."""
    outer, bias = (bool(one) for one in rng.integers(2, size=2))
    form = {"result": str(rng.choice(("tile", "fp16", "bf16"))), "outer": outer, "bias": bias}
    return _tile(rng, post_lanes=int(rng.choice((1, 2, 4, 8)))), form


def _integers(rng: np.random.Generator) -> tuple[TileSpec, dict[str, Any]]:
    """Sums of whole rows become integers."""
    form = {"result": str(rng.choice(("int8", "int4"))), "multiplier_bits": int(rng.choice((8, 16, 24, 32)))}
    return _tile(rng, group=0, post_lanes=0), {**form, "result_lanes": int(rng.choice((0, 1, 2, 4, 8, 16)))}


_FORMS = (_plain, _plain, _floats, _integers)


def designs(rng: np.random.Generator, swept: bool) -> Iterator[Design]:
    """Accelerators without end, with values that a sweep takes, or any legal ones; half of them have a unit behind the
    tile.
    """
    axes = {name: one.sweep for name, one in Design.parameters().items() if one.sweep}
    while True:
        form = _FORMS[int(rng.integers(len(_FORMS)))]
        while True:
            values = {name: rng.choice(np.array(axes[name] if swept else wide)).item() for name, wide in _WIDE.items()}
            tile, results = form(rng)
            try:
                yield Design(tile=tile, **values, **results)
                break
            except HwgenError:
                continue


def _job(rng: np.random.Generator, design: Design, steps: int) -> Job:
    """A job of about so many steps, in any order, with what fits its ring held at times."""
    k_steps = min(int(rng.integers(1, 65)), max(steps, 1))
    m_blocks = int(rng.integers(1, max(min(steps // k_steps, 24), 1) + 1))
    n_blocks = max(steps // (k_steps * m_blocks), 1)
    if rng.integers(2):
        m_blocks, n_blocks = n_blocks, m_blocks
    groups = -(-k_steps // design.group_steps) if design.group_steps else 1
    flags = [int(one) for one in rng.integers(2, size=3)]
    while True:
        job = Job(m_blocks, n_blocks, k_steps, groups, *flags)
        held = [stream for stream in design.streams.values() if not job.holds(stream)]
        if not held:
            return placed(design, job, int(rng.integers(64)) * design.bus_bytes)[0]
        flags[2 if held[0].name.startswith("act") else 1] = 0


def points(count: int, seed: int, swept: bool, most_steps: int = 160, of_a_design: int = 50) -> Iterator[Point]:
    """So many points, ``of_a_design`` on each accelerator, each of a job of at most about so many steps."""
    rng = np.random.default_rng(seed)
    made = designs(rng, swept)
    for index in range(count):
        if index % of_a_design == 0:
            design = next(made)
        steps = int(np.exp(rng.uniform(np.log(4), np.log(most_steps))))
        job = _job(rng, design, steps)
        share = int(rng.integers(1, 7))
        beats = (1, 1) if rng.integers(2) else (int(rng.integers(1, share + 1)), share)
        memory = Memory(int(rng.choice((1, 4, 10, 20, 40, 80, 160))), beats)
        yield Point(design, job, memory, exact(design, job, memory).cycles)
