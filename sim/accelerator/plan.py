"""Designs on which the blocks of accelerators are measured, and others on which the model of them is judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.accelerator import Design
from hwgen.errors import HwgenError
from hwgen.pe import family

__all__ = ["CALIBRATED", "CHOICES", "JUDGED", "designs"]

CALIBRATED, JUDGED = 1, 2
"""Seeds: the designs that models are fitted to, and those that they are judged by."""

_INT = {"m": 1, "n": 4, "k": 4, "bits": 8, "group": 32, "post_lanes": 1}
_TILES: tuple[tuple[str, dict[str, Any], tuple[dict[str, Any], ...]], ...] = (
    ("int", {"m": 2, "n": 2, "k": 4, "bits": 4, "group": 16}, ({},)),
    ("int", _INT, ({"result": "bf16", "outer": True}, {"result": "fp16", "outer": True, "bias": True})),
    ("mixpe", {"m": 1, "n": 2, "k": 8, "bits": 4, "group": 64}, ({},)),
    ("lut", {"m": 1, "n": 4, "k": 4, "bits": 2, "group": 32}, ({},)),
    ("minifloat", {"m": 2, "n": 2, "k": 2, "group": 32}, ({},)),
    (
        "int",
        {"m": 2, "n": 2, "k": 2, "bits": 3, "group": 0, "transport": "systolic"},
        ({"result": "int8", "result_lanes": 2, "multiplier_bits": 24}, {"result": "int8"}),
    ),
    (
        "mx",
        {"m": 1, "n": 2, "k": 4, "group": 32, "post_lanes": 1},
        ({"result": "fp16", "bias": True}, {"result": "bf16", "bias": True}),
    ),
    ("bitmod", {"m": 1, "n": 2, "k": 4, "bits": 4, "group": 64, "post_lanes": 0}, ({},)),
    (
        "int",
        {"m": 2, "n": 4, "k": 4, "bits": 4, "group": 0},
        (
            {"result": "int4", "result_lanes": 4, "multiplier_bits": 12},
            {"result": "int4", "result_lanes": 2, "multiplier_bits": 24},
        ),
    ),
    ("int", _INT, ({"outer": True, "bias": True}, {"outer": True})),
    (
        "mixpe",
        {"m": 1, "n": 2, "k": 8, "bits": 4, "group": 64, "post_lanes": 1},
        ({"result": "bf16"}, {"result": "fp16"}),
    ),
    ("lut", {"m": 1, "n": 4, "k": 4, "bits": 2, "group": 32}, ({},)),
)
"""Small tiles, which hardly matter to what is around them; forms of their results, one for each seed in turn."""
CHOICES: dict[str, tuple[int, ...]] = {
    "bus_bits": (64, 64, 128, 128, 256, 512),
    "address_bits": (32, 32, 40, 48, 64),
    "count_bits": (12, 16, 20, 24),
    "weight_ring": (4, 16, 32, 64, 128, 512),
    "act_ring": (4, 16, 32, 64, 128, 512),
    "burst": (1, 2, 4, 8, 16, 64),
    "outstanding": (1, 2, 4, 8),
}
"""What is drawn, and from what."""


def designs(count: int, seed: int) -> list[Design]:
    """``count`` small accelerators, drawn; the tiles take turns."""
    rng = np.random.default_rng(seed)
    found: list[Design] = []
    while len(found) < count:
        name, values, forms = _TILES[len(found) % len(_TILES)]
        tile = family(name).from_values({"depth": 256, **values})
        drawn = {key: int(rng.choice(choices)) for key, choices in CHOICES.items()}
        try:
            found.append(Design.from_values(tile, {**drawn, **forms[seed % len(forms)]}))
        except HwgenError:
            # Bursts of more than a page.
            continue
    return found
