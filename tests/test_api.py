"""The Python API: integers of any type are whole numbers, anything else is refused by a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import hwgen
from hwgen.errors import HwgenError
from hwgen.pe import families, family
from hwgen.schedule import Layer
from sim.estimate import estimate_arrays

LAYER = Layer("layer", 8, 64, 100)
WHOLE = [2, np.int8(2), np.uint64(2), np.array(2), torch.tensor(2), torch.tensor(2, dtype=torch.uint8)]
NOT_WHOLE: list[Any] = [4.0, 4.5, np.float64(4), torch.tensor(4.0), "4", None, [4], (4,), {}, True, np.True_]
NOT_WHOLE += [torch.tensor(True), np.array([4]), torch.tensor([4]), float("nan"), 4j]


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_integers_of_any_type(value: Any) -> None:
    layer = Layer("layer", value, value, value, value)
    assert layer == Layer("layer", 2, 2, 2, 2)
    assert {type(getattr(layer, name)) for name in ("m", "n", "k", "count")} == {int}
    for name in families():
        assert type(hwgen.tile(name, m=value).spec.m) is int
    direct = family("int")(m=value, n=value)
    assert direct == family("int")(m=2, n=2)
    assert type(direct.m) is int
    assert hwgen.tile("lut", bits=value).spec == hwgen.tile("lut", bits=2).spec
    assert hwgen.tile("minifloat", bits=value * 2).spec.weights == "fp4_e2m1"
    assert hwgen.tile("mx", bits=value * 3).spec.weights == "mxfp6_e2m3"


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_what_is_no_integer_is_refused(value: Any) -> None:
    for name in ("m", "n", "k", "count"):
        with pytest.raises(HwgenError) as caught:
            Layer("up", **({"m": 1, "n": 1, "k": 1} | {name: value}))
        assert str(caught.value) == f"layer up: {name} must be a whole number, not {value!r}"
    for tile in families():
        with pytest.raises(HwgenError, match=f"^{tile}: m must be a whole number from 1 to 256, not "):
            hwgen.tile(tile, m=value)
        with pytest.raises(HwgenError, match=rf"^{tile}: bits "):
            hwgen.tile(tile, bits=value)
    with pytest.raises(HwgenError, match=r"^int: m must be a whole number from 1 to 256, not "):
        family("int")(m=value)


def test_a_layer_of_numpy_sizes_costs_what_a_layer_costs() -> None:
    """np.int32 arithmetic would wrap."""
    sizes = (np.int32(65536), np.int32(65536), np.int32(4096))
    tile = hwgen.tile("int")
    assert tile.estimate(Layer("big", *sizes)).as_dict() == tile.estimate(Layer("big", 65536, 65536, 4096)).as_dict()


def test_ends_of_64_bits() -> None:
    most = (1 << 63) - 1
    assert Layer("end", most, 1, 1).macs == most
    # 7 · 7 · 73 · 127 · 337 · 92737 · 649657 is the largest number of 63 bits.
    assert Layer("end", 7, 7, 73, most // (49 * 73)).macs == most
    with pytest.raises(HwgenError) as caught:
        Layer("past", 1 << 32, 1 << 31, 1)
    assert str(caught.value) == (
        "layer past: m·n·k·count must be at most 9223372036854775807, which 64 bits hold, not 4294967296·2147483648·1·1"
    )
    for value in (1 << 63, 10**5000):
        with pytest.raises(HwgenError) as caught:
            Layer("past", value, 1, 1)
        assert str(caught.value) == "layer past: m must be at most 9223372036854775807, which 64 bits hold"
        with pytest.raises(HwgenError, match=r"^int: m must be a whole number from 1 to 256, not "):
            hwgen.tile("int", m=value)
    assert hwgen.tile("int").estimate(Layer("long", 1 << 20, 1 << 20, 1 << 20)).cycles == (1 << 54) + 2


@pytest.mark.parametrize("value", [0, -1, np.int64(-3)])
def test_sizes_below_one(value: Any) -> None:
    with pytest.raises(HwgenError) as caught:
        Layer("up", 1, value, 1)
    assert str(caught.value) == f"layer up: n must be at least 1, not {int(value)}"


MISTAKES: dict[str, Any] = {
    "tile: family must be a name, not None; families: ": lambda: hwgen.tile(None),  # type: ignore[arg-type]
    "tile: family must be a name, not ['int']; ": lambda: hwgen.tile(["int"]),  # type: ignore[arg-type]
    "int: acts must be int2, ": lambda: hwgen.tile("int", acts=None),
    "mx: weights must be mxint8, ": lambda: hwgen.tile("mx", weights=["mxfp4"]),
    "posit: quire must be exact or xr_npe, not {}": lambda: hwgen.tile("posit", quire={}),
    "layer: name must be text, not 5": lambda: Layer(5, 1, 1, 1),  # type: ignore[arg-type]
    "estimate: must be given the spec of a tile and a layer (hwgen.schedule.Layer), not Int and tuple": lambda: (
        hwgen.tile("int").estimate((8, 64, 128))
    ),
    "schedule: layer must be of the class hwgen.schedule.Layer, not None": lambda: hwgen.tile("int").schedule(None),
    "estimate: clk_period_ns must be a number, not '5'": lambda: hwgen.tile("int").estimate(LAYER, clk_period_ns="5"),
    "estimate: clk_period_ns must be above 0, not nan": lambda: hwgen.tile("int").estimate(
        LAYER, clk_period_ns=float("nan")
    ),
    "estimate: tech must be a technology or its name, not None": lambda: hwgen.tile("int").estimate(LAYER, tech=None),
    "verify: seed must be a whole number from 0 up, not -1": lambda: hwgen.tile("int").verify(seed=-1),
    "verify: seed must be a whole number from 0 up, not None": lambda: hwgen.tile("int").verify(seed=None),
    "estimate: m must be whole numbers of at most 64 bits, not 4.5": lambda: estimate_arrays(
        "int", family("int")().p, 4.5, 8, 8
    ),
    "estimate: cycles of a layer must be at most 9223372036854775807, which 64 bits hold": lambda: estimate_arrays(
        "int", family("int")().p | {"m": np.array([1, 2])}, 1 << 31, 1 << 31, 1 << 20
    ),
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_mistakes_are_sentences(sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        MISTAKES[sentence]()
    assert str(caught.value).startswith(sentence)


def test_clock_periods_and_sizes_of_any_type() -> None:
    tile = hwgen.tile("int")
    wanted = tile.estimate(LAYER, clk_period_ns=8).as_dict()
    for period in (8.0, np.float32(8), np.int64(8), torch.tensor(8.0)):
        assert tile.estimate(LAYER, clk_period_ns=period).as_dict() == wanted
    for sizes in ([8, 16], np.array([8, 16], np.uint8), torch.tensor([8, 16])):
        cycles = estimate_arrays("int", tile.spec.p, sizes, np.int16(64), 100)["cycles"]
        assert cycles.tolist() == [tile.estimate(Layer("layer", m, 64, 100)).cycles for m in (8, 16)]


def test_whole_rows() -> None:
    """-1, as AWQ and GPTQ write it, is the same tile as 0 everywhere."""
    for name, values in {"lut": {}, "posit": {}, "minifloat": {}, "mixpe": {"dequant": "channel"}}.items():
        assert hwgen.tile(name, group=-1, **values).spec == hwgen.tile(name, group=0, **values).spec
    assert family("int")(group=-1) == family("int")(group=0)
    with pytest.raises(HwgenError) as caught:
        hwgen.tile("int", group=-2)
    assert str(caught.value) == "int: group must be a whole number from 0 to 1048576 or -1, not -2"
