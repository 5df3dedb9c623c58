"""Weights that come quantised: codes, scales and zero points as a checkpoint stores them, never quantised again."""

from __future__ import annotations

from sim.models.checkpoint.read import layer_weights, stored_kind, stored_weights, unpacked_view
from sim.models.checkpoint.stored import StoredWeights

__all__ = ["StoredWeights", "layer_weights", "stored_kind", "stored_weights", "unpacked_view"]
