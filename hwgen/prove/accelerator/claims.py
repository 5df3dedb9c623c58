"""Claims and assumptions about a device, as hardware beside it.

A claim is a bit that is high where a rule is broken. It counts from the cycle after the first reset on, outside resets,
and as long as the surroundings have kept to what is assumed of them since the last one.
"""

from __future__ import annotations

from collections.abc import Iterable

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.hdl._ast import AnySeq

from hwgen.emit._rtlil import signals_rtlil
from hwgen.prove.accelerator.machine import BEGUN, CLAIMS, Device, Machine

__all__ = ["Claims", "Lengths", "anything"]

ZERO = Const(0, 1)


def anything(bits: int) -> Value:
    """Any value in each cycle."""
    free: Value = AnySeq(bits)
    return free


class _Made(Elaboratable):
    """A module that is already there."""

    def __init__(self, m: Module) -> None:
        self._m = m

    def elaborate(self, platform: object) -> Module:
        return self._m


class Claims:
    """Collects what is claimed and assumed in module ``m``, whose domain ``sync`` is reset while ``running`` is low."""

    def __init__(self, m: Module, running: Value) -> None:
        self.m, self._running = m, running
        # Amaranth warns of modules that come to nothing: those whose claims are about nets that a text has not.
        m._MustUse__used = True
        self._begun = Signal(name=BEGUN, reset_less=True)
        m.d.sync += self._begun.eq(1)
        self._reset_first = self.assume(self._begun | ~running)
        self.claimed: dict[str, Signal] = {}
        self.was_reset = Signal(init=1, name="was_reset")
        m.d.sync += self.was_reset.eq(0)

    def assume(self, value: Value) -> Signal:
        """Whether ``value`` has been high in all cycles since the last reset, for claims that are made under it."""
        before, kept = Signal(init=1, name="kept_before"), Signal(name="kept")
        self.m.d.comb += kept.eq(before & value.bool())
        self.m.d.sync += before.eq(kept)
        return kept

    def never(self, name: str, value: Value, *under: Signal) -> None:
        """``value`` is never high while what is assumed holds."""
        signal = self.claimed[name] = Signal(name=f"claim_{name}")
        self.m.d.comb += signal.eq(Cat(value.any(), self._reset_first, self._begun, self._running, *under).all())

    def before(self, value: Value) -> Signal:
        """The value of the cycle before, 0 after a reset."""
        signal = Signal(len(value), name="before")
        self.m.d.sync += signal.eq(value)
        return signal

    def count(self, most: int, more: Value, less: Value, clear: Value = ZERO) -> Signal:
        """A count that saturates one above ``most`` and at 0; ``more`` and ``less`` may be several."""
        signal = Signal(range(most + 2), name="count")
        after = signal + more - less
        self.m.d.sync += signal.eq(Mux(clear | (after < 0), 0, Mux(after > most + 1, most + 1, after[: len(signal)])))
        return signal

    def stays(self, name: str, valid: Value, ready: Value, payload: Iterable[Value]) -> None:
        """What is offered stays until it is taken, and nothing is offered at the end of a reset."""
        kept = Cat(*payload)
        waited = self.before(valid & ~ready)
        changed = (kept != self.before(kept)) if len(kept) else Const(0)
        self.never(f"{name}_stays", waited & (~valid | changed))
        self.never(f"{name}_reset", self.was_reset & valid)

    def machine(self, device: Device, inputs: Iterable[Signal], *modules: str) -> Machine:
        """All claims as a machine with these inputs, which is the last to be done; ``modules`` of the device are placed
        among them.
        """
        text = signals_rtlil(_Made(self.m), CLAIMS, [*inputs, *self.claimed.values()])
        return device.machine(text, modules, list(self.claimed))


class Lengths:
    """Lengths (less one) of the bursts that are on their way, in order, up to one more than ``most``; the oldest first.

    ``beat`` counts the beats of the oldest.
    """

    def __init__(self, claims: Claims, most: int, push: Value, length: Value, moves: Value, ends: Value) -> None:
        m, size = claims.m, most + 1
        self.count = claims.count(most, push, moves & ends)
        kept = [Signal(len(length), name=f"length_{place}") for place in range(size)]
        self.head = kept[0]
        self.beat = Signal(len(length), name="beat")
        pop = moves & ends
        at = Mux(pop & (self.count != 0), self.count - 1, self.count)
        for place, signal in enumerate(kept):
            following = kept[place + 1] if place + 1 < size else signal
            m.d.sync += signal.eq(Mux(push & (at == place), length, Mux(pop, following, signal)))
        with m.If(moves):
            m.d.sync += self.beat.eq(Mux(ends, 0, (self.beat + 1)[: len(self.beat)]))
