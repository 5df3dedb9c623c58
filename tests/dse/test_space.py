from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from dse.space import OWN, Space, axis_target, parse_axis, parse_values, reason_of
from hwgen.errors import HwgenError
from hwgen.formats import block_names
from hwgen.pe import families, family


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("2,3,4", ("2", "3", "4")),
        ("8:32:8", ("8", "16", "24", "32")),
        ("8:30:8", ("8", "16", "24")),
        ("3:5", ("3", "4", "5")),
        ("8:64:*2", ("8", "16", "32", "64")),
        ("1,4:6,4", ("1", "4", "5", "6")),
        ("int8, fp16", ("int8", "fp16")),
    ],
)
def test_values(text: str, values: tuple[str, ...]) -> None:
    assert parse_values("x", text) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n=8:4:2", "axis n: a range must be first:last:step or first:last:*factor and advance, not '8:4:2'"),
        ("n=8:16:0", "axis n: a range must be first:last:step or first:last:*factor and advance, not '8:16:0'"),
        ("n=1:16:*1", "axis n: a range must be first:last:step or first:last:*factor and advance, not '1:16:*1'"),
        ("n=1,,2", "axis n: an item must be a value or a range, not empty, in '1,,2'"),
        ("n=", "axis 'n=': must be NAME=VALUES, e.g. n=8,16 or n=8:64:8 or n=8:64:*2, or NAME alone"),
        ("=4", "axis '=4': must be NAME=VALUES, e.g. n=8,16 or n=8:64:8 or n=8:64:*2, or NAME alone"),
    ],
)
def test_a_bad_axis_is_refused(text: str, message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        parse_axis(text)
    assert str(caught.value) == message


def test_a_name_alone_is_an_axis() -> None:
    assert parse_axis("post-lanes") == ("post_lanes", None)


def test_unknown_and_illegal_are_refused() -> None:
    with pytest.raises(HwgenError) as caught:
        Space.of("int", {"bitz": (2,)})
    assert str(caught.value).startswith("int: no parameter 'bitz'; did you mean 'bits'?; it has m, n, k, group, depth")
    with pytest.raises(HwgenError) as caught:
        Space.of("int", {"bits": ("2", "99")})
    assert str(caught.value) == "int: bits must be a whole number from 1 to 16, not 99"
    with pytest.raises(HwgenError) as caught:
        Space.of("lut", {"acts": ("int9",)})
    assert str(caught.value) == (
        "lut: acts must be int4, int8, int16, fp8_e4m3, fp8_e5m2, fp16 or bf16, not 'int9'; did you mean 'int8'?"
    )
    with pytest.raises(HwgenError) as caught:
        Space.of("mx", {"bits": ("2",)})
    assert str(caught.value) == "mx: bits must be 4, 6 or 8, not 2"


def test_parameters_without_an_axis_keep_their_default() -> None:
    space = Space.of("lut", {"bits": (2, 4), "n": None})
    assert space.varying == ("n", "bits")
    assert space.axes["n"] == family("lut").parameters()["n"].sweep
    assert space.axes["acts"] == ("int8",)
    assert space.size == 2 * 3


def test_without_axes_every_sweep_value_is_there() -> None:
    space = Space.of("mx")
    for name, p in family("mx").parameters().items():
        assert space.axes[name] == (p.sweep or (p.default,))


def test_bits_stands_for_the_weight_format() -> None:
    assert axis_target(family("mx"), "bits") == "weights"
    assert axis_target(family("int"), "bits") == "bits"
    assert axis_target(family("mx"), "planes") is None
    assert Space.of("mx", {"bits": ("8", "4")}).axes["weights"] == ("mxint8", "mxfp4")
    assert Space.of("mx", {"bits": ("6",)}).axes["weights"] == ("mxfp6_e2m3",)
    assert Space.of("mx", {"bits": None}).axes["weights"] == block_names()


def test_axes_of_one_parameter_add_up() -> None:
    space = Space.of("mx", {"bits": ("8",), "weights": ("mxfp4", "mxint8")})
    assert space.axes["weights"] == ("mxint8", "mxfp4")
    own = family("int").parameters()["n"].sweep
    assert Space.of("int", {"n": (3, OWN, own[0])}).axes["n"] == (3, *own)


def test_values_of_any_type() -> None:
    import torch

    for values in ([1, 2], np.array([1, 2]), torch.tensor([1, 2]), (np.int8(1), torch.tensor(2)), range(1, 3)):
        found = Space.of("int", {"m": values}).axes["m"]
        assert found == (1, 2)
        assert {type(value) for value in found} == {int}
    assert Space.of("int", {"group": (-1, 0, 64)}).axes["group"] == (0, 64)
    for wrong in (5, "5", int):
        with pytest.raises(HwgenError, match="int: values of axis m must be a list, not "):
            Space.of("int", {"m": wrong})  # type: ignore[dict-item]


def test_values_of_another_family_are_counted() -> None:
    space = Space.of("mx", {"bits": ("2", "3", "4"), "n": (4, 8, 16)}, strict=False)
    assert space.size == 3
    assert space.dropped == {"mx: bits must be 4, 6 or 8, not 2": 3, "mx: bits must be 4, 6 or 8, not 3": 3}
    nothing = Space.of("mx", {"bits": ("2",), "n": (4, 8, 16)}, strict=False)
    assert (nothing.size, list(nothing.chunks(10))) == (0, [])
    assert nothing.dropped == {"mx: bits must be 4, 6 or 8, not 2": 3}


def points_of(p: dict[str, Any]) -> list[tuple[Any, ...]]:
    shape = np.broadcast_shapes(*(np.shape(value) for value in p.values()))
    columns = [np.broadcast_to(value, shape).reshape(-1).tolist() for value in p.values()]
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("points", [1, 2, 5, 7, 12, 1000])
def test_blocks_hold_every_point_once(points: int) -> None:
    axes = {"m": (1, 2, 3), "n": (4, 8, 16, 32, 64), "bits": (2, 4), "acts": ("int8", "int16")}
    space = Space.of("int", axes)
    found: list[tuple[Any, ...]] = []
    for p in space.chunks(points):
        assert tuple(p) == tuple(space.axes)
        block = points_of(p)
        assert len(block) <= points
        found += block
    assert len(found) == space.size == 60
    assert set(found) == set(itertools.product(*space.axes.values()))


def test_reasons_have_no_values() -> None:
    sentence = "group must be a multiple of k ({k}), not {group}; choose a k that divides the group"
    assert reason_of(sentence) == "group must be a multiple of k"
    assert reason_of("{m}x{n} sums do not fit") == "mxn sums do not fit"


def test_a_width_brings_its_scheme() -> None:
    spaces = Space.split("lut", {"bits": ("1", "1.58", "2", "4"), "n": (8, 16)})
    assert [(space.axes["bits"], space.axes["scheme"]) for space in spaces] == [
        ((1,), ("bipolar",)),
        ((2,), ("ternary",)),
        ((2, 4), ("asymmetric",)),
    ]
    assert {space.axes["n"] for space in spaces} == {(8, 16)}


def test_schemes_that_are_named_stay() -> None:
    spaces = Space.split("int", {"bits": ("1", "1.58"), "scheme": ("symmetric", "ternary")})
    # One bit has both, which the constraints then sort out; 1.58 keeps the one that it can have.
    assert [(space.axes["bits"], space.axes["scheme"]) for space in spaces] == [
        ((1,), ("symmetric", "ternary")),
        ((2,), ("ternary",)),
    ]
    plain = {"bits": (1, 2), "planes": ("twos_complement",), "symmetry": ("none",)}
    assert [space.axes["scheme"] for space in Space.split("lut", plain)] == [("asymmetric",)]
    with pytest.raises(HwgenError) as caught:
        Space.split("int", {"bits": ("1.58",), "scheme": ("asymmetric", "symmetric")})
    assert str(caught.value) == "int: scheme must be ternary with bits 1.58, not asymmetric"


@pytest.mark.parametrize("axes", [None, {"n": (2, 4)}, {"bits": ("8", "4")}])
def test_widths_that_bring_nothing(axes: dict[str, Any] | None) -> None:
    assert Space.split("int", axes) == [Space.of("int", axes)]


def test_what_no_axis_names_follows_the_others() -> None:
    """Lanes fit the columns, groups the blocks, as in a tile of these values."""
    spaces = Space.split("mx", {"n": (2, 3, 4, 8, 6), "k": (4, 8)})
    assert [(space.axes["n"], space.axes["post_lanes"]) for space in spaces] == [
        ((2,), (2,)),
        ((3, 6), (3,)),
        ((4, 8), (4,)),
    ]
    assert {space.axes["k"] for space in spaces} == {(4, 8)}
    spaces = Space.split("mx", {"n": (4, 6, 8), "weights": ("nvfp4", "mxfp4")})
    found = {(space.axes["weights"], space.axes["n"]): space.axes for space in spaces}
    for (weights, columns), axes in found.items():
        for n in columns:
            tile = family("mx").from_values({"n": n, "weights": weights[0]})
            assert {key: (tile.p[key],) for key in ("post_lanes", "acts", "group", "depth")} == {
                key: axes[key] for key in ("post_lanes", "acts", "group", "depth")
            }
    assert sum(len(columns) * len(weights) for weights, columns in found) == 6


@pytest.mark.parametrize("name", families())
def test_every_point_of_default_lanes_is_a_tile(name: str) -> None:
    """Of values of n alone, a sweep has each tile that `TileSpec.from_values` makes, and no other."""
    spaces = Space.split(name, {"n": tuple(range(1, 9))})
    points = [
        dict(zip(space.axes, values, strict=True))
        for space in spaces
        for values in itertools.product(*space.axes.values())
    ]
    for point in points:
        try:
            made = family(name).from_values({"n": point["n"]}).p
        except HwgenError:
            continue
        assert point == made
    assert sorted(point["n"] for point in points) == list(range(1, 9))
