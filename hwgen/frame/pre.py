"""The block before the activation buffer: sees a whole scope of activations and stores integers or tables.

Alignment needs two passes over a scope: `observe` beats find the largest exponent, then the same beats come again and
are converted. Table building alone needs one pass. The block takes M×K codes a beat and never stalls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.arith import fp_unpack
from hwgen.arith.align import align_fixed, align_reference, max_exponent
from hwgen.formats import Format, QTensor, get
from hwgen.frame.numbers import ceil_div
from hwgen.frame.place import Logic, Place, late
from hwgen.frame.ports import PortInfo, element_port

__all__ = ["PreSpec", "align_description", "align_row"]


def align_description(guard_bits: int, rounding: str) -> dict[str, Any]:
    """The rule of `hwgen.arith.align`, for the manifest."""
    return {
        "guard_bits": guard_bits,
        "rounding": {"rne": "nearest even", "truncate": "towards zero"}[rounding],
        "definition": "E is the largest exponent field of the scope, subnormals and zero counting as 1, infinities and "
        "NaN as the largest finite value; a value becomes value / 2**(E - bias - mantissa_bits - guard_bits), its "
        "magnitude rounded",
    }


def align_row(
    m: Module, codes: list[Value], fmt: Format, name: str, shared: Value | None, guard: int, rounding: str
) -> tuple[list[Value], Value]:
    """Unpack ``codes``, align them to ``shared`` (their own largest exponent when None); returns integers and
    exponent.
    """
    unpacked = [fp_unpack(m, code, fmt, f"{name}{index}", normalise=False) for index, code in enumerate(codes)]
    if shared is None:
        shared = max_exponent(m, [value.exponent for value in unpacked], f"{name}_shared")
    ints = [
        align_fixed(m, value, shared, f"{name}{index}_aligned", guard=guard, rounding=rounding)
        for index, value in enumerate(unpacked)
    ]
    return ints, shared


@dataclass(frozen=True, kw_only=True)
class PreSpec:
    """What a pre block does.

    ``source`` and ``target`` are format names of the activation codes before and after; ``align`` the scope of the
    shared exponent or None; ``build`` adds a table builder (or None), ``pack`` is its reference; ``cuts`` are the
    registers within a row's logic.
    """

    family: str
    m: int
    k: int
    source: str
    target: str
    align: str | None
    group: int
    guard_bits: int
    rounding: str
    elements: int
    element_bits: int
    build: Callable[[Module, list[Value]], Value] | None
    pack: Callable[[np.ndarray], np.ndarray]
    cuts: int = 0

    @property
    def latency(self) -> int:
        """Cycles from a beat to what comes of it."""
        return 1 + self.cuts

    @property
    def passes(self) -> int:
        """How often each beat is sent."""
        return 2 if self.align else 1

    @property
    def summary(self) -> str:
        """One line for the manifest."""
        parts = []
        if self.align:
            parts.append(f"aligns {self.source} activations to the largest exponent of a {self.align}")
        if self.build:
            parts.append("builds the tables of K activations")
        return "; ".join(parts)

    def ports(self) -> list[PortInfo]:
        """Verilog ports without clock and reset."""
        ports = [
            PortInfo("i_valid", "input", 1, "a beat of M×K activations is offered"),
            PortInfo("i_ready", "output", 1, "always high"),
            element_port(
                "i_acts",
                "input",
                f"activations [M][K], {self.source} codes",
                (self.m, self.k),
                get(self.source).code_bits,
                "acts",
            ),
        ]
        if self.align:
            ports.append(PortInfo("i_observe", "input", 1, "first pass: only the exponents are looked at"))
            ports.append(PortInfo("i_first", "input", 1, "first beat of a scope's first pass"))
        ports.append(PortInfo("o_valid", "output", 1, "converted beat"))
        ports.append(
            element_port(
                "o_acts",
                "output",
                f"what the tile's i_acts takes [M][{self.elements}]",
                (self.m, self.elements),
                self.element_bits,
                "acts",
            )
        )
        if self.align:
            ports.append(element_port("o_scale", "output", "E8M0 scale of the scope [M]", (self.m,), 8, "scale"))
        return ports

    def describe(self) -> dict[str, Any]:
        """What the block computes, for the manifest."""
        found: dict[str, Any] = {"source": self.source, "target": self.target, "align": None}
        if self.align:
            scope = "group" if self.align == "group" and self.group else "row"
            found["align"] = {
                "scope": scope,
                "elements": self.group if scope == "group" else None,
                **align_description(self.guard_bits, self.rounding),
                "scale": "E - bias + 127, an E8M0 code",
                "passes": "all beats of a scope with i_observe, i_first with the first of them, then the same again",
            }
        return found

    def scopes(self, k: int) -> list[slice]:
        """Scopes along K that share an exponent."""
        length = self.group if self.align == "group" and self.group else k
        return [slice(start, min(start + length, k)) for start in range(0, k, length)]

    def reference(self, acts: QTensor) -> QTensor:
        """Aligned activations of codes [tokens, K]: integers with an E8M0 scale per scope."""
        if not self.align:
            return acts
        source, target = get(self.source), get(self.target)
        scale = get("e8m0")
        codes = np.zeros(acts.codes.shape, np.uint32)
        scales = []
        for scope in self.scopes(acts.codes.shape[1]):
            ints, shared = align_reference(acts.codes[:, scope], source, guard=self.guard_bits, rounding=self.rounding)
            codes[:, scope] = ints & ((1 << target.code_bits) - 1)
            scales.append(shared[:, 0] + self._scale_offset)
        grouped = self.align == "group" and self.group > 0
        return QTensor(
            codes=codes,
            format=target,
            group_size=self.group if grouped else acts.shape[1],
            granularity="group" if grouped else "channel",
            scale_codes=np.stack(scales, axis=1).astype(np.uint32),
            scale_format=scale,
        )

    @property
    def _scale_offset(self) -> int:
        """From a biased exponent of the source to the E8M0 code of 2^(E − bias)."""
        return 127 - int(get(self.source).bias)  # type: ignore[attr-defined]

    def scale_code(self, exponent: int) -> int:
        """E8M0 code of the scale that belongs to a biased exponent of the source."""
        return exponent + self._scale_offset

    def lower(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Beats of activations [tokens, K] in order: ``acts`` [S, M, K], ``observe`` [S], ``first`` [S]."""
        blocks = int(ceil_div(len(codes), self.m))
        # A step beyond the last element is filled with zeros, whose exponent decides nothing.
        length = int(ceil_div(codes.shape[1], self.k)) * self.k
        padded = np.zeros((blocks * self.m, length), np.uint32)
        padded[: len(codes), : codes.shape[1]] = codes
        acts, observe, first = [], [], []
        for block in padded.reshape(blocks, self.m, -1):
            for scope in self.scopes(length):
                beats = block[:, scope].reshape(self.m, -1, self.k).transpose(1, 0, 2)
                for number in range(self.passes):
                    looking = number == 0 and self.passes == 2
                    acts.append(beats)
                    observe.append(np.full(len(beats), looking))
                    first.append((np.arange(len(beats)) == 0) & looking)
        return {"acts": np.concatenate(acts), "observe": np.concatenate(observe), "first": np.concatenate(first)}

    def cycles(self, tokens: int, k: int) -> int:
        """Cycles to convert activations [tokens, K]: first beat offered to last beat out, inclusive."""
        return int(ceil_div(tokens, self.m)) * int(ceil_div(k, self.k)) * self.passes + self.latency


class _PreRow(wiring.Component):
    """One row: largest exponent over the scope, alignment, table. A third of the cuts are before the largest exponent
    so far, whose comparison is a loop, the others behind it.
    """

    def __init__(self, spec: PreSpec, place: Place) -> None:
        self.spec, self._place = spec, place
        ports: dict[str, Any] = {"codes": In(spec.k * get(spec.source).code_bits), "en": In(1)}
        if spec.align:
            ports |= {"observe": In(1), "first": In(1), "scale": Out(8)}
        super().__init__({**ports, "values": Out(spec.elements * spec.element_bits)})

    def _unpacked(self, m: Module, codes: Value, name: str) -> list[Any]:
        width = get(self.spec.source).code_bits
        parts = [codes[index * width : (index + 1) * width] for index in range(self.spec.k)]
        return [
            fp_unpack(m, code, get(self.spec.source), f"{name}{index}", normalise=False)
            for index, code in enumerate(parts)
        ]

    def _beat(self, m: Module, codes: Value) -> Value:
        """Largest exponent of a beat."""
        exponents = [value.exponent for value in self._unpacked(m, codes, "seen")]
        return max_exponent(m, exponents, "beat_exponent")

    def _converted(self, m: Module, codes: Value, largest: Value | None) -> Value:
        """What the tile takes of a beat, whose scope has a largest exponent."""
        spec = self.spec
        if largest is None:
            width = get(spec.source).code_bits
            ints = [codes[index * width : (index + 1) * width].as_signed() for index in range(spec.k)]
        else:
            ints = [
                align_fixed(m, value, largest, f"act{index}_aligned", guard=spec.guard_bits, rounding=spec.rounding)
                for index, value in enumerate(self._unpacked(m, codes, "act"))
            ]
        plain = Cat(*(number[: spec.element_bits] for number in ints))
        return plain if spec.build is None else spec.build(m, ints)

    def _cut(self, m: Module, name: str, build: Callable[..., Value], cuts: int, **inputs: Value) -> Value:
        """Logic with cuts in it."""
        if not cuts:
            return build(m, **inputs)
        widths = {key: len(value) for key, value in inputs.items()}
        logic = self._place(
            m,
            f"row_{name}",
            name,
            lambda: Logic(widths, lambda m, given: {name: build(m, **given)}),
            cuts=cuts,
            **inputs,
        )
        found: Value = getattr(logic, name)
        return found

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        before = spec.cuts // 3 if spec.align else 0
        behind = spec.cuts - before
        codes, enable, convert = self.codes, self.en, self.en
        if spec.align:
            beat = self._cut(m, "exponent", self._beat, before, codes=codes)
            control = Cat(enable, self.observe, self.first)
            codes = late(m, codes, before, "codes")
            enable, observe, first = late(m, control, before, "control", reset=True)
            largest = Signal(len(beat), name="largest", reset_less=True)
            so_far = Signal(len(beat), name="so_far")
            m.d.comb += so_far.eq(Mux(first, 0, largest))
            with m.If(enable & observe):
                m.d.sync += largest.eq(Mux(beat > so_far, beat, so_far))
            convert = late(m, enable & ~observe, behind, "convert", reset=True)
            value = self._cut(m, "values", self._converted, behind, codes=codes, largest=largest)
            exponent = late(m, largest, behind, "exponent")
            scale = Signal(8, name="scale_reg", reset_less=True)
            with m.If(convert):
                m.d.sync += scale.eq((exponent + spec._scale_offset)[:8])
            m.d.comb += self.scale.eq(scale)
        else:
            convert = late(m, enable, behind, "convert", reset=True)

            def build(m: Module, codes: Value) -> Value:
                return self._converted(m, codes, None)

            value = self._cut(m, "values", build, behind, codes=codes)
        register = Signal(len(self.values), name="values_reg", reset_less=True)
        with m.If(convert):
            m.d.sync += register.eq(value)
        m.d.comb += self.values.eq(register)
        return m


class PreBlock(wiring.Component):
    """M rows side by side, with streams as `PreSpec.ports` lists them."""

    def __init__(self, spec: PreSpec, place: Place) -> None:
        self.spec, self._place = spec, place
        source = get(spec.source).code_bits
        fields: dict[str, Any] = {"acts": data.ArrayLayout(data.ArrayLayout(unsigned(source), spec.k), spec.m)}
        result: dict[str, Any] = {
            "acts": data.ArrayLayout(data.ArrayLayout(unsigned(spec.element_bits), spec.elements), spec.m)
        }
        if spec.align:
            fields |= {"observe": unsigned(1), "first": unsigned(1)}
            result["scale"] = data.ArrayLayout(unsigned(8), spec.m)
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(fields))),
                "o": Out(stream.Signature(data.StructLayout(result), always_ready=True)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.d.comb += self.i.ready.eq(1)
        valid = Signal(name="converted")
        observe = self.i.payload.observe if spec.align else Const(0, 1)
        m.d.sync += valid.eq(late(m, self.i.valid & ~observe, spec.cuts, "converts", reset=True))
        m.d.comb += self.o.valid.eq(valid)
        for index in range(spec.m):
            row = self._place(
                m,
                "row",
                f"row{index}",
                lambda: _PreRow(spec, self._place),
                codes=self.i.payload.acts[index].as_value(),
                en=self.i.valid,
                observe=observe,
                first=self.i.payload.first if spec.align else Const(0, 1),
            )
            m.d.comb += self.o.payload.acts[index].as_value().eq(row.values)
            if spec.align:
                m.d.comb += self.o.payload.scale[index].eq(row.scale)
        return m
