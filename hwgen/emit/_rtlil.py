"""Elaborate a tile to RTLIL with each distinct block once, instantiated by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Elaboratable, Instance, Module, ResetSignal, Signal, Value, ValueLike
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hwgen.emit._ports import PortInfo
from hwgen.emit._widen import widen

__all__ = ["component_rtlil", "design_rtlil"]


_INPUT = {name: re.compile(rf"^ *wire width 1 input \d+ +\\{name}\n", re.M) for name in ("clk", "rst")}


def _drop_unused_reset(text: str) -> str:
    """Remove the reset port that Amaranth gives to every clocked block, where no register has a reset."""
    return _INPUT["rst"].sub("", text) if text.count("\\rst") == len(_INPUT["rst"].findall(text)) else text


class _Outputs:
    """Outputs of an instance, as attributes."""


class _SharedBlocks:
    """Place blocks as instances and keep the RTLIL of each kind once."""

    def __init__(self, top: str) -> None:
        self.top = top
        self.texts: dict[str, str] = {}
        self._ports: dict[str, list[tuple[str, int, bool]]] = {}
        self._clocked: dict[str, tuple[bool, bool]] = {}

    def place(
        self, m: Module, kind: str, name: str, factory: Callable[[], wiring.Component], **inputs: ValueLike
    ) -> Any:
        module = f"{self.top}_{kind}"
        if kind not in self.texts:
            block = factory()
            text = _drop_unused_reset(rtlil.convert(block, name=module, emit_src=False))
            self.texts[kind] = text
            self._ports[kind] = [
                (path[0], len(Value.cast(value)), member.flow == In)
                for path, member, value in block.signature.flatten(block)
            ]
            self._clocked[kind] = (_INPUT["clk"].search(text) is not None, _INPUT["rst"].search(text) is not None)
        outputs = _Outputs()
        connections: dict[str, Any] = {}
        for port, width, is_input in self._ports[kind]:
            if is_input:
                connections[f"i_{port}"] = inputs[port]
                continue
            signal = Signal(width, name=f"{name}_{port}")
            setattr(outputs, port, signal)
            connections[f"o_{port}"] = signal
        clocked, reset = self._clocked[kind]
        if clocked:
            connections["i_clk"] = ClockSignal()
        if reset:
            connections["i_rst"] = ResetSignal()
        m.submodules[name] = Instance(module, **connections)
        return outputs


class _Top(Elaboratable):
    """The tile with one Verilog port per field of its streams."""

    def __init__(self, make: Callable[[Any], wiring.Component], place: Any, ports: list[PortInfo]) -> None:
        self._make, self._place = make, place
        self.signals = {port.name: Signal(port.width, name=port.name) for port in ports}
        self.directions = {port.name: port.direction for port in ports}

    def elaborate(self, platform: Any) -> Module:
        tile: Any = self._make(self._place)
        m: Module = tile.elaborate(platform)
        # Elaborated here and not as a submodule, which would add a level to the hierarchy: tell Amaranth that it is in
        # use.
        tile._MustUse__used = True
        m.d.comb += tile.i.valid.eq(self.signals["i_valid"])
        if "i_ready" in self.signals:
            m.d.comb += self.signals["i_ready"].eq(tile.i.ready)
        m.d.comb += self.signals["o_valid"].eq(tile.o.valid)
        for name, _ in tile.i.payload.shape():
            m.d.comb += Value.cast(tile.i.payload[name]).eq(self.signals[f"i_{name}"])
        for name, _ in tile.o.payload.shape():
            m.d.comb += self.signals[f"o_{name}"].eq(Value.cast(tile.o.payload[name]).as_unsigned())
        return m


def design_rtlil(
    make: Callable[[Any], wiring.Component], top: str, ports: list[PortInfo], *, shared: bool = True
) -> str:
    """RTLIL of one top with its blocks.

    ``make(place)`` builds the component around a placing function; ``ports`` are its Verilog ports without clock and
    reset. ``shared=False`` elaborates every copy of every block, as Amaranth's simulator does.
    """
    from hwgen.pe._tile import place_submodule

    blocks = _SharedBlocks(top)
    wrapper = _Top(make, blocks.place if shared else place_submodule, ports)
    directions = {"input": PortDirection.Input, "output": PortDirection.Output}
    text = rtlil.convert(
        wrapper,
        name=top,
        ports={name: (signal, directions[wrapper.directions[name]]) for name, signal in wrapper.signals.items()},
        emit_src=False,
    )
    return _plain("\n".join([*blocks.texts.values(), text]))


def component_rtlil(component: Elaboratable, top: str, ports: Sequence[Signal] | None = None) -> str:
    """RTLIL of one component as module ``top``, its members as ports, or ``ports`` where it has no members."""
    return _plain(rtlil.convert(component, name=top, ports=ports, emit_src=False))


def _plain(text: str) -> str:
    """Without initial values: what needs one has a reset, and the first step of a group clears the rest."""
    return widen(re.sub(r"^  attribute \\init .*\n", "", text, flags=re.M))
