"""Placing blocks: for Amaranth's simulator here, for the emitted Verilog in `hwgen.emit`.

Logic with cuts in it is a block of its own (`Logic`), of which whoever places it knows how many cycles it takes: placed
for Amaranth's simulator its outputs are delayed, emitted its registers stand within (`hwgen.pipeline`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from amaranth.hdl import Module, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Logic", "Path", "Place", "late", "place_submodule", "when"]

Path = Sequence[tuple[str, int]]
"""Logic that a value goes through: primitives of `hwgen.pipeline.delays`, with their widths."""


class Place(Protocol):
    """Adds a block to a module and connects it.

    Takes the module, the kind of block, an instance name, a factory, and values for its inputs by port name; inputs
    that the block does not have are left out. With ``cuts`` its outputs come so many cycles late, for which it must be
    without registers of its own; with ``enable`` as well, only cycles with it count. ``behind`` is what its outputs go
    through in the cycle in which they come; None: they have to come straight out of registers. Returns an object with
    the block's outputs as attributes.
    """

    def __call__(
        self,
        m: Module,
        kind: str,
        name: str,
        factory: Callable[[], wiring.Component],
        *,
        cuts: int = 0,
        enable: Value | None = None,
        behind: Path | None = (),
        **inputs: ValueLike,
    ) -> Any: ...


class _Late:
    """Outputs of a block, as attributes, some cycles later."""


def place_submodule(
    m: Module,
    kind: str,
    name: str,
    factory: Callable[[], wiring.Component],
    *,
    cuts: int = 0,
    enable: Value | None = None,
    behind: Path | None = (),
    **inputs: ValueLike,
) -> Any:
    """Elaborate every copy of a block: what Amaranth's simulator needs."""
    m.submodules[name] = block = factory()
    for port, given in inputs.items():
        if port in block.signature.members:
            m.d.comb += getattr(block, port).eq(given)
    if not cuts:
        return block
    outputs = _Late()
    for port, member in block.signature.members.items():
        if member.flow == Out:
            value = Value.cast(getattr(block, port))
            setattr(outputs, port, late(m, value, cuts, f"{name}_{port}", enable=enable))
    return outputs


def late(m: Module, value: Value, cycles: int, name: str, *, enable: Value | None = None, reset: bool = False) -> Value:
    """``value`` some cycles later; with ``enable`` only cycles with it count. ``reset``: its registers have one."""
    for cycle in range(cycles):
        register = Signal(len(value), name=f"{name}_s{cycle + 1}", reset_less=not reset)
        with when(m, enable):
            m.d.sync += register.eq(value)
        value = register
    return value


def when(m: Module, enable: Value | None) -> AbstractContextManager[None]:
    """Statements of cycles with ``enable``; of all cycles without one."""
    return contextlib.nullcontext() if enable is None else m.If(enable)


class Logic(wiring.Component):
    """Logic without registers as a block: ``build`` adds it to a module, from inputs to outputs by name."""

    def __init__(
        self, inputs: Mapping[str, int], build: Callable[[Module, Mapping[str, Value]], Mapping[str, Value]]
    ) -> None:
        # Built at once: how wide the outputs are is the logic's to say.
        self._module = Module()
        self._taken = {name: Signal(width, name=name) for name, width in inputs.items()}
        self._made = dict(build(self._module, self._taken))
        super().__init__(
            {
                **{name: In(width) for name, width in inputs.items()},
                **{name: Out(len(value)) for name, value in self._made.items()},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        for name, signal in self._taken.items():
            self._module.d.comb += signal.eq(getattr(self, name))
        for name, value in self._made.items():
            self._module.d.comb += getattr(self, name).eq(value)
        return self._module
