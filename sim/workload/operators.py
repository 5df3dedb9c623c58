"""Operators of a model: matrix products whose sizes depend on what the model is asked to do.

Every operator is Y[m, n] = Σ_k X[m, k]·W[n, k], as `hwgen.schedule.Layer` has it. W is the ``operand``: weights of the
model, keys and values of the KV cache, or activations. A convolution is the product of its unfolded input (im2col): m
output positions, n output channels of a group, k inputs of a group × kernel, once for each group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hwgen.errors import HwgenError
from hwgen.schedule import Layer
from sim.workload.experts import expert_shares
from sim.workload.phases import Stretch

__all__ = ["ONE", "OPERANDS", "Operator", "Run", "Size"]

OPERANDS = ("weights", "kv", "acts")
"""What the second operand of a product can be: weights, KV cache, other activations."""
_UNITS = ("one", "batch", "new", "tokens", "context", "logits")


@dataclass(frozen=True)
class Size:
    """``times`` × a quantity of the phase.

    ``of``: "one"; "batch" (sequences or pictures); "new" (new tokens of a sequence), "tokens" (those of all
    sequences); "context" (keys that a token sees, at most ``most`` with a sliding window); "logits" (tokens of all
    sequences whose logits are computed).
    """

    times: int
    of: str = "one"
    most: int | None = None

    def __post_init__(self) -> None:
        if self.of not in _UNITS:
            raise HwgenError(f"size: of must be {', '.join(_UNITS)}, not {self.of!r}")
        if self.times < 1:
            raise HwgenError(f"size: times must be at least 1, not {self.times}")

    def at(self, stretch: Stretch) -> int:
        """The value in the first step of a stretch."""
        one = {
            "one": 1,
            "batch": stretch.batch,
            "new": stretch.new,
            "tokens": stretch.new * stretch.batch,
            "context": stretch.context if self.most is None else min(stretch.context, self.most),
            "logits": stretch.logits * stretch.batch,
        }
        return self.times * one[self.of]

    def __str__(self) -> str:
        if self.of == "one":
            return str(self.times)
        name = self.of if self.most is None else f"min({self.of}, {self.most})"
        return name if self.times == 1 else f"{self.times}·{name}"


ONE = Size(1)


@dataclass(frozen=True)
class Run:
    """Products of one operator in a phase: m·n·k, ``count`` times in each of ``steps`` steps.

    ``grows`` names the side, "n" or "k", that is one longer in each further step; "" where all steps are equal.
    """

    name: str
    role: str
    operand: str
    m: int
    n: int
    k: int
    count: int
    grows: str = ""
    steps: int = 1
    stored: str = ""
    formats: tuple[tuple[str, str], ...] = ()

    @property
    def total_count(self) -> int:
        """Products of all steps."""
        return self.count * self.steps

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all steps, in closed form."""
        if not self.grows:
            return self.m * self.n * self.k * self.total_count
        start, other = (self.n, self.k) if self.grows == "n" else (self.k, self.n)
        return self.m * other * self.count * (self.steps * start + self.steps * (self.steps - 1) // 2)

    @property
    def shape(self) -> tuple[int, int, int, str, int]:
        """What products that are evaluated together have in common."""
        return (self.m, self.n, self.k, self.grows, self.steps if self.grows else 1)

    @property
    def largest(self) -> Layer:
        """The product of the last step."""
        more = self.steps - 1 if self.grows else 0
        n, k = self.n + more * (self.grows == "n"), self.k + more * (self.grows == "k")
        return Layer(self.name, self.m, n, k, self.count)

    def sizes(self) -> tuple[int, np.ndarray, np.ndarray]:
        """M, and N and K [steps] of each step that differs from the others."""
        growth = np.arange(self.steps if self.grows else 1, dtype=np.int64)
        return self.m, self.n + growth * (self.grows == "n"), self.k + growth * (self.grows == "k")

    def layers(self) -> Iterator[Layer]:
        """One layer for all equal steps, one for each that differs."""
        if not self.grows:
            yield Layer(self.name, self.m, self.n, self.k, self.total_count)
            return
        _, ns, ks = self.sizes()
        for n, k in zip(ns.tolist(), ks.tolist(), strict=True):
            yield Layer(self.name, self.m, n, k, self.count)


@dataclass(frozen=True)
class Operator:
    """A product that the model has ``copies`` times: layers × groups of a convolution × KV heads × experts.

    Parameters
    ----------
    role: dotted, for patterns such as ``attn.*``. m, n, k: sizes. operand: one of `OPERANDS`.
    each: how often every copy is run in a step: once, or once a sequence with a KV cache.
    experts, chosen: of a mixture: experts of a layer and how many a token takes; 0 elsewhere.
    groups: of a convolution, in ``copies`` too. stored: how a file holds the weights, as text; formats: pairs of an
    operand and its number format, where a file says so.
    tied: its weights are the embedding, counted there.
    """

    name: str
    role: str
    m: Size
    n: Size
    k: Size
    copies: int = 1
    operand: str = "weights"
    each: Size = ONE
    experts: int = 0
    chosen: int = 0
    groups: int = 1
    stored: str = ""
    formats: tuple[tuple[str, str], ...] = ()
    tied: bool = False

    def __post_init__(self) -> None:
        if self.operand not in OPERANDS:
            raise HwgenError(f"operator {self.name}: operand must be {', '.join(OPERANDS)}, not {self.operand!r}")
        if self.experts and (self.copies % self.experts or not 0 < self.chosen <= self.experts):
            raise HwgenError(
                f"operator {self.name}: must have copies for every expert and choose 1 to {self.experts} of them, "
                f"not {self.copies} and {self.chosen}"
            )

    @property
    def weights(self) -> int:
        """Weights of all copies, 0 where the operand is none; of tied ones too."""
        return self.copies * self.n.times * self.k.times if self.operand == "weights" else 0

    def runs(self, stretch: Stretch) -> Iterator[Run]:
        """What the operator does in a stretch. Experts, which share the tokens, may give two runs a stretch, a window
        that the context outgrows too.
        """
        if self.experts:
            for tokens, active in expert_shares(self.experts, self.chosen, self.m.at(stretch)):
                yield self._run(stretch, tokens, self.copies // self.experts * active, "", stretch.steps)
            return
        side = next((name for name in ("n", "k") if getattr(self, name).of == "context"), "")
        m, count = self.m.at(stretch), self.copies * self.each.at(stretch)
        if not side or stretch.steps == 1:
            yield self._run(stretch, m, count, "", stretch.steps)
            return
        size: Size = getattr(self, side)
        if size.times != 1:
            raise HwgenError(f"operator {self.name}: {side} must grow by one a step, not by {size.times}")
        growing = stretch.steps if size.most is None else min(stretch.steps, max(size.most - stretch.context, 0))
        if growing:
            yield self._run(stretch, m, count, side if growing > 1 else "", growing)
        if stretch.steps > growing:
            rest = replace(stretch, context=stretch.context + growing, steps=stretch.steps - growing)
            yield self._run(rest, m, count, "", rest.steps)

    def _run(self, stretch: Stretch, m: int, count: int, grows: str, steps: int) -> Run:
        n, k = self.n.at(stretch), self.k.at(stretch)
        return Run(self.name, self.role, self.operand, m, n, k, count, grows, steps, self.stored, self.formats)
