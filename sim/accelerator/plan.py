"""Designs on which the blocks of accelerators are measured, and others on which the model of them is judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.accelerator import Design
from hwgen.errors import HwgenError
from hwgen.pe import family

__all__ = ["CALIBRATED", "JUDGED", "designs"]

CALIBRATED, JUDGED = 1, 2
"""Seeds: the designs that models are fitted to, and those that they are judged by."""

_TILES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("int", {"m": 2, "n": 2, "k": 4, "bits": 4, "group": 16}),
    ("int", {"m": 1, "n": 4, "k": 4, "bits": 8, "group": 32, "post_lanes": 1}),
    ("mixpe", {"m": 1, "n": 2, "k": 8, "bits": 4, "group": 64}),
    ("lut", {"m": 1, "n": 4, "k": 4, "bits": 2, "group": 32}),
    ("minifloat", {"m": 2, "n": 2, "k": 2, "group": 32}),
    ("int", {"m": 2, "n": 2, "k": 2, "bits": 3, "group": 0, "transport": "systolic"}),
    ("mx", {"m": 1, "n": 2, "k": 4, "group": 32, "post_lanes": 1}),
    ("bitmod", {"m": 1, "n": 2, "k": 4, "bits": 4, "group": 64, "post_lanes": 0}),
)
"""Small tiles: what is around them hardly depends on what they compute."""
_CHOICES: dict[str, tuple[int, ...]] = {
    "bus_bits": (64, 64, 128, 128, 256, 512),
    "address_bits": (32, 32, 40, 48, 64),
    "count_bits": (12, 16, 20, 24),
    "weight_ring": (4, 16, 32, 64, 128, 512),
    "act_ring": (4, 16, 32, 64, 128, 512),
    "burst": (1, 2, 4, 8, 16, 64),
    "outstanding": (1, 2, 4, 8),
}


def designs(count: int, seed: int) -> list[Design]:
    """``count`` small accelerators, drawn; the tiles take turns."""
    rng = np.random.default_rng(seed)
    found: list[Design] = []
    while len(found) < count:
        name, values = _TILES[len(found) % len(_TILES)]
        tile = family(name).from_values({"depth": 256, **values})
        drawn = {key: int(rng.choice(choices)) for key, choices in _CHOICES.items()}
        try:
            found.append(Design.from_values(tile, drawn))
        except HwgenError:
            # Bursts of more than a page.
            continue
    return found
