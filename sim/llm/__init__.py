"""A language model whose matrix products run on the RTL of an accelerator, and on golden layers beside it."""

from __future__ import annotations

from sim.llm.generate import KV_QUANTISERS, Generation, Options, Step, generate

__all__ = ["KV_QUANTISERS", "Generation", "Options", "Step", "generate"]
