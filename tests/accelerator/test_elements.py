"""Codes in memory, and the elements of ports that are made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.sim import Simulator

from hwgen.accelerator import Design, pack_weights
from hwgen.accelerator.elements import Elements, elements_of
from hwgen.emit import streams
from hwgen.pe import TileSpec, families, family
from hwgen.schedule import Layer, Schedule
from hwgen.simulators import pack_words
from hwgen.verify import covering_specs


def test_formulas_count_what_memory_holds() -> None:
    """Of any number of designs at once, as of one."""
    narrow = set()
    for kind in families().values():
        for spec in covering_specs(kind)[0]:
            found = [elements_in(spec, name) for name in ("acts", "weights")]
            assert tuple(map(int, kind.code_bits(spec.p))) == tuple(one.count * one.bits for one in found), spec
            assert all(one.bits + one.lsb <= one.port_bits and one.count <= one.port_count for one in found)
            if not all(one.alike for one in found):
                narrow.add(kind.family)
    assert narrow >= {"bitmod", "mx", "posit"}


def elements_in(spec: TileSpec, name: str) -> Elements:
    fields = getattr(streams(spec), name)
    return elements_of(spec, next(field.port for field in fields if field.port.role == name))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bitmod", {"bits": 3}),
        ("bitmod", {"bits": 4}),
        ("bitmod", {"bits": 6}),
        ("bitmod", {"bits": 8}),
        ("mx", {"mode_set": "mx", "weights": "mxfp6_e2m3", "acts": "mxint8", "mode_pairs": "any"}),
        ("posit", {"format": "simd", "operands": "p8", "simd_along": "n"}),
        ("lut", {"bits": 3}),
    ],
)
def test_hardware_makes_the_elements_again(kind: str, values: dict[str, Any]) -> None:
    """What is in memory, widened, is what `pack_acts` and `pack_weights` make of all codes."""
    spec = family(kind).from_values({"m": 2, "n": 2, "k": 4, **values})
    rng = np.random.default_rng(1)
    columns = spec.code_columns(spec.layer_mode)
    for name, pack, column, lines in (
        ("acts", spec.pack_acts, columns[0], 2),
        ("weights", spec.pack_weights, columns[1], 2),
    ):
        form = spec.mode_formats(spec.layer_mode)[name == "weights"]
        codes = rng.integers(0, 1 << form.code_bits, size=(64, lines, column), dtype=np.uint32)
        ports = pack(codes, spec.layer_mode)
        elements = elements_in(spec, name)
        words = pack_words(elements.narrowed(ports).reshape(64, -1), elements.bits)
        wanted = pack_words(ports.reshape(64, -1), elements.port_bits)
        assert simulated(elements, as_integers(words)) == as_integers(wanted)


def as_integers(words: np.ndarray) -> list[int]:
    return [int.from_bytes(np.ascontiguousarray(row.astype("<u4")).tobytes(), "little") for row in words]


def simulated(elements: Elements, words: list[int]) -> list[int]:
    m = Module()
    word = Signal(elements.lines * elements.count * elements.bits)
    made = Signal(elements.lines * elements.port_count * elements.port_bits)
    m.d.comb += made.eq(elements.widened(word))
    found = []

    async def bench(ctx: Any) -> None:
        for value in words:
            ctx.set(word, value)
            found.append(int(ctx.get(made)))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def test_a_word_that_is_alike_is_not_touched() -> None:
    alike = Elements(1, 2, 4, 2, 4)
    word, values = Const(0x53, 8), np.array([[3, 5]])
    assert alike.widened(word) is word
    assert alike.narrowed(values) is values


@pytest.mark.parametrize(("bits", "word"), [(3, 4 * 8 * 3), (4, 4 * 8 * 4), (8, 4 * 8 * 8)])
def test_memory_holds_codes_alone(bits: int, word: int) -> None:
    """Weights of BitMoD take the bits of their format, and not the eight of a port for all of them."""
    tile = family("bitmod").from_values({"m": 1, "n": 4, "k": 8, "bits": bits, "group": 64})
    design = Design.from_values(tile, {"bus_bits": 64})
    layer = Layer("x", 1, 16, 256)
    stream = design.streams["weights"]
    assert stream.bits == word
    schedule = Schedule(tile, layer)
    weights = tile.quantize_weights(np.random.default_rng(1).normal(size=(16, 256)).astype(np.float32))
    image = pack_weights(design, schedule, weights)["weights"]
    assert len(image) * 8 == 16 * 256 // 32 * stream.padded_bits
