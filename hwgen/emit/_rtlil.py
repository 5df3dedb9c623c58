"""Elaborate a tile to RTLIL with each distinct block once, instantiated by name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Elaboratable,
    Instance,
    Module,
    ResetSignal,
    Signal,
    Value,
    ValueLike,
)
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hwgen.emit._names import block_name
from hwgen.emit._reset import Reset
from hwgen.emit._widen import widen
from hwgen.frame.assembly import Tile
from hwgen.frame.interface import tile_ports
from hwgen.frame.place import Path, place_submodule
from hwgen.frame.ports import PortInfo
from hwgen.frame.pre import PreBlock, PreSpec
from hwgen.frame.spec import TileSpec
from hwgen.pipeline import ENABLE, pipelined
from hwgen.pipeline.delays import delay

__all__ = [
    "component_rtlil",
    "design_rtlil",
    "memory_rtlil",
    "pre_rtlil",
    "signals_rtlil",
    "tile_rtlil",
    "without_memory_init",
]


_INPUT = {name: re.compile(rf"^ *wire (?:width 1 )?input \d+ +\\{name}\n", re.M) for name in ("clk", "rst")}


_DEFAULT = Reset()
_ANY = "logic"
"""Name of a block with cuts while they are placed."""
_DIRECTIONS = {"input": PortDirection.Input, "output": PortDirection.Output}
Ports = dict[str, tuple[Value, Any]]


def _drop_unused(text: str, *names: str) -> str:
    """Remove clock and reset where nothing in a module uses them: Amaranth gives both to every clocked block."""
    for name in names:
        if len(re.findall(rf"\\{name}(?!\w)", text)) == len(_INPUT[name].findall(text)):
            text = _INPUT[name].sub("", text)
    return text


class _Domain(Elaboratable):
    """A component in a clock domain with a reset of another kind or level than Amaranth's own.

    The domain's reset signal is active high; a port that is active low is inverted once, where it comes in.
    """

    def __init__(self, inner: Any, reset: Reset) -> None:
        self._inner = inner
        self._domain = ClockDomain("sync", async_reset=reset.kind == "async")
        self._low = Signal(name=reset.port) if reset.active == "low" else None
        rst = self._domain.rst if self._low is None else self._low
        self.ports: Ports = {"clk": (self._domain.clk, PortDirection.Input), reset.port: (rst, PortDirection.Input)}

    def elaborate(self, platform: Any) -> Module:
        m: Module = self._inner.elaborate(platform)
        # Elaborated here and not as a submodule: tell Amaranth that it is in use.
        self._inner._MustUse__used = True
        m.domains += self._domain
        if self._low is not None:
            m.d.comb += self._domain.rst.eq(~self._low)
        return m


def _convert(component: wiring.Component, name: str, reset: Reset) -> str:
    """RTLIL of one component, its members as ports beside clock and reset."""
    if reset == _DEFAULT:
        return str(rtlil.convert(component, name=name, emit_src=False))
    domain = _Domain(component, reset)
    own: Ports = {
        path[0]: (Value.cast(value), PortDirection.Input if member.flow == In else PortDirection.Output)
        for path, member, value in component.signature.flatten(component)
    }
    return str(rtlil.convert(domain, name=name, ports={**own, **domain.ports}, emit_src=False))


class _Outputs:
    """Outputs of an instance, as attributes."""


class _SharedBlocks:
    """Place blocks as instances and keep the RTLIL of each kind once."""

    def __init__(self, top: str, reset: Reset) -> None:
        self.top = top
        # Within a tile the reset is active high: its top inverts another one.
        self._reset = Reset(reset.kind)
        self.texts: dict[str, str] = {}
        self._ports: dict[str, list[tuple[str, int, bool]]] = {}
        self._clocked: dict[str, tuple[bool, bool]] = {}

    def place(
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
    ) -> Any:
        module = block_name(self.top, kind)
        if kind not in self.texts:
            block = factory()
            text = _convert(block, module, self._reset)
            text = _drop_unused(text, "rst") if self._reset == _DEFAULT else _drop_unused(text, "rst", "clk")
            if cuts:
                # Made under one name, so that the same logic of other tiles is found again.
                plain = widen(text.replace(f"\\{module}\n", f"\\{_ANY}\n"))
                tail = math.inf if behind is None else sum(delay(*primitive) for primitive in behind)
                text = pipelined(plain, _ANY, cuts, enable is not None, tail).rtlil
                text = text.replace(f"\\{_ANY}\n", f"\\{module}\n")
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
        if enable is not None:
            connections[f"i_{ENABLE}"] = enable
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
    make: Callable[[Any], wiring.Component],
    top: str,
    ports: list[PortInfo],
    *,
    shared: bool = True,
    reset: Reset = _DEFAULT,
) -> str:
    """RTLIL of one top with its blocks.

    ``make(place)`` builds the component around a placing function; ``ports`` are its Verilog ports without clock and
    reset. ``shared=False`` elaborates every copy of every block, as Amaranth's simulator does.
    """
    blocks = _SharedBlocks(top, reset)
    wrapper = _Top(make, blocks.place if shared else place_submodule, ports)
    signals: Ports = {name: (signal, _DIRECTIONS[wrapper.directions[name]]) for name, signal in wrapper.signals.items()}
    if reset == _DEFAULT:
        text = rtlil.convert(wrapper, name=top, ports=signals, emit_src=False)
    else:
        domain = _Domain(wrapper, reset)
        text = rtlil.convert(domain, name=top, ports={**signals, **domain.ports}, emit_src=False)
    return _plain("\n".join([*blocks.texts.values(), text]))


def tile_rtlil(spec: TileSpec, top: str, *, shared: bool = True, reset: Reset = _DEFAULT) -> str:
    """RTLIL of a tile as module ``top``, with its blocks."""
    return design_rtlil(lambda place: Tile(spec, place), top, tile_ports(spec), shared=shared, reset=reset)


def component_rtlil(component: wiring.Component, top: str, reset: Reset = _DEFAULT) -> str:
    """RTLIL of one component as module ``top``, its members as ports."""
    return _plain(_convert(component, top, reset))


_MEMORY_INIT = re.compile(r"^  cell \$meminit_v2 .*\n(?:    .*\n)*?  end\n", re.M)


def without_memory_init(text: str) -> str:
    """RTLIL whose memories hold nothing in the beginning."""
    return _MEMORY_INIT.sub("", text)


def memory_rtlil(component: wiring.Component, top: str) -> str:
    """RTLIL of a memory as module ``top``: without contents in the beginning, and without a reset."""
    return _drop_unused(without_memory_init(component_rtlil(component, top)), "rst")


def signals_rtlil(elaboratable: Elaboratable, top: str, signals: Sequence[Signal]) -> str:
    """RTLIL of what has no members, ``signals`` as its ports; synchronous reset."""
    return _plain(rtlil.convert(elaboratable, name=top, ports=signals, emit_src=False))


def _plain(text: str) -> str:
    """Without initial values: what needs one has a reset, and the first step of a group clears the rest."""
    return widen(re.sub(r"^  attribute \\init .*\n", "", text, flags=re.M))


def pre_rtlil(pre: PreSpec, top: str, reset: Reset = _DEFAULT) -> str:
    """RTLIL of a block before the activation buffer, as module ``top``."""
    return design_rtlil(lambda place: PreBlock(pre, place), top, pre.ports(), reset=reset)
