"""A language model whose matrix products run on the RTL of an accelerator, and on golden layers beside it."""

from __future__ import annotations

from sim.llm.generate import Generation, Options, Step, generate

__all__ = ["Generation", "Options", "Step", "generate"]
