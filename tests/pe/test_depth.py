"""Groups fit the accumulator: refused at construction, counted by sweeps, with the smallest depth that works."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dse.space import Space
from dse.sweep import run_sweep
from hwgen.errors import HwgenError
from hwgen.pe import families, family
from hwgen.schedule import Layer, Schedule

WIDER = "the smallest depth that works is {0}: use --depth {0} or a smaller --group"
NONE = "no depth of this tile is large enough ({}): use a smaller --group"


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("lut", {"bits": 2, "group": 256}, "group must fit depth (128), not 256; " + WIDER.format(256)),
        ("mx", {"depth": 8}, "group must fit depth (8), not 32; " + WIDER.format(32)),
        ("mx", {"weights": "nvfp4", "depth": 8}, "group must fit depth (8), not 16; " + WIDER.format(16)),
        ("int", {"group": 64, "depth": 8}, "group must fit depth (8), not 64; " + WIDER.format(64)),
        ("int", {"depth": 64}, "group must fit depth (64), not 128; " + WIDER.format(128)),
        ("mixpe", {"group": 132}, "group must fit depth (128), not 132; " + WIDER.format(132)),
        ("minifloat", {"bits": 16, "group": 512}, "group must fit depth (128), not 512; " + WIDER.format(512)),
        ("bitmod", {"depth": 64}, "group must fit depth (64), not 128; " + WIDER.format(128)),
        ("posit", {"format": "posit", "depth": 64}, "group must fit depth (64), not 128; " + WIDER.format(128)),
        (
            "posit",
            {"quire": "xr_npe", "group": 128},
            "group must fit depth (127), not 128; " + NONE.format("depth must be at most 127 with quire xr_npe"),
        ),
        (
            "bitmod",
            {"group": 4096},
            "group must fit depth (128), not 4096; "
            + NONE.format("depth must be at most k · 2^(acc_mantissa − 6) with a normalised accumulator"),
        ),
        ("int", {"group": 0, "depth": 3}, "depth must hold the products of a step (4), not 3"),
    ],
)
def test_longer_groups_are_refused(name: str, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        family(name).from_values(values)
    assert str(caught.value) == f"{name}: {sentence}"


@pytest.mark.parametrize("name", families())
def test_the_depth_that_is_named_works(name: str) -> None:
    """Following the sentence gives a tile, and one product less does not."""
    kind = family(name)
    group = kind.parameters()["group"].default
    step = int(kind.layer_k(kind().p))
    with pytest.raises(HwgenError, match=rf"^{name}: group must fit depth \({group - step}\), not {group}; "):
        kind.from_values({"depth": group - step})
    assert kind.from_values({"depth": group}).depth == group


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("int", {"group": 0, "depth": 8}),  # whole rows are the schedule's to see
        ("int", {"group": 64, "depth": 8, "overflow": "saturate"}),
        ("int", {"group": 64, "depth": 8, "overflow": "wrap"}),
        ("minifloat", {"accumulator": "fp32", "group": 512}),  # FP32 sums have no depth
        ("lut", {"cell": "fp_add", "acts": "fp16", "scheme": "bipolar", "group": 512}),
        ("posit", {"group": 0, "depth": 32}),  # reads out every 32 products
        ("mixpe", {"dequant": "channel", "group": 0, "depth": 8}),
        ("mixpe", {"dequant": "before", "group": 256, "depth": 64}),  # sums are of whole rows
    ],
)
def test_what_has_no_such_bound_stays_legal(name: str, values: dict[str, Any]) -> None:
    family(name).from_values(values)


def test_the_same_rule_holds_for_arrays() -> None:
    kind = family("int")
    p = kind().p | {"group": np.array([0, 32, 64, 128]), "depth": np.array([[32], [64]])}
    (holds,) = [ok for ok, text in kind.constraints(p) if text.startswith("group must fit depth ({depth}), not")]
    assert holds.tolist() == [[True, True, False, False], [True, True, True, False]]


def test_sweeps_count_what_does_not_fit() -> None:
    space = Space.of("int", {"group": (32, 64, 128), "depth": (32, 64), "overflow": ("refuse", "wrap")})
    result = run_sweep([space], [Layer("l", 1, 8, 128)])
    assert result.skipped == {"int: group must fit depth": 3}


def test_a_layer_is_told_what_helps() -> None:
    layer = Layer("wide", 2, 8, 4096)
    with pytest.raises(HwgenError) as caught:
        Schedule(family("int").from_values({"group": 0}), layer)
    assert str(caught.value) == (
        "layer wide: a group of 4096 products must fit depth (128) of the int tile; " + WIDER.format(4096)
    )
    with pytest.raises(HwgenError) as caught:
        Schedule(family("bitmod").from_values({"group": 0, "post_lanes": 0}), layer)
    assert str(caught.value) == (
        "layer wide: a group of 4096 products must fit depth (128) of the bitmod tile; "
        + NONE.format("depth must be at most k · 2^(acc_mantissa − 6) with a normalised accumulator")
    )
