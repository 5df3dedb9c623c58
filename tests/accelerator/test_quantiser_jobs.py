"""Jobs of a quantiser: sizes, what is refused and in which words, registers in every form, cycles that add up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hwgen.accelerator import Design, Memory, layer_jobs
from hwgen.accelerator.quantiser import (
    Kind,
    QuantiserCause,
    block_bytes,
    cache_bytes,
    cache_job,
    emit_quantiser,
    geometry,
    quantiser_cycles,
    quantiser_map,
)
from hwgen.accelerator.registers import as_json, c_header, systemrdl
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule


def design(name: str = "int", **values: object) -> Design:
    small = {"m": 1, "n": 4, "k": 4, "group": 64, "depth": 256}
    return Design.from_values(family(name).from_values({**small, **values}), {"count_bits": 12})


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: geometry(design(scheme="asymmetric")),
            "quantiser: the weights of the int tile must be symmetric integers that it takes as they are, not uint8 of "
            "scheme asymmetric; use the family int with scheme symmetric",
        ),
        (
            lambda: geometry(design("minifloat")),
            "quantiser: the weights of the minifloat tile must be symmetric integers that it takes as they are, not "
            "fp8_e4m3 of scheme element; use the family int with scheme symmetric",
        ),
        (lambda: geometry(design(bits=3)), "quantiser: weights must have 4 or 8 bits, not 3"),
        (
            lambda: geometry(design(weight_scale="e8m0")),
            "quantiser: weight_scale must be fp16, bf16, fp32 or fp8_e4m3, not e8m0",
        ),
        (
            lambda: geometry(design(bits=4, k=1)),
            "quantiser: k of the tile must be even with weights of 4 bits, so that columns are bytes, not 1",
        ),
        (
            lambda: cache_job(design(), Kind.K, 0, 64, 0, 8),
            "quantiser: rows must be from 1 to 4095, which count_bits (12) hold, not 0",
        ),
        (
            lambda: cache_job(design(), Kind.V, 1, 64, 4096, 5000),
            "quantiser: first_token must be from 0 to 4095, which count_bits (12) hold, not 4096",
        ),
        (
            lambda: cache_job(design(), Kind.V, 2, 64, 7, 8),
            "quantiser: the cache must have room for 9 tokens, not 8; quantise fewer rows",
        ),
        (
            lambda: cache_job(design(post_lanes=1), Kind.K, 1, 65, 0, 8),
            "quantiser: elements must fit the tile's group of 64, which has one scale, not 65; use a group of 0",
        ),
        (
            lambda: emit_quantiser(design(), elements=4096),
            "quantiser: elements must be at most 4095, which count_bits (12) hold, not 4096",
        ),
        (
            lambda: quantiser_map(31, 8, geometry(design())),
            "quantiser_map: address_bits must be a whole number from 32 to 64, not 31",
        ),
    ],
)
def test_what_is_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(HwgenError) as error:
        make()
    assert str(error.value) == sentence


def test_a_cache_is_as_large_as_the_image_of_a_layer() -> None:
    for found in (design(bits=4, post_lanes=2), design(bits=8, n=6, k=3, group=0)):
        tokens, elements = 22, 50
        for kind in (Kind.K, Kind.V):
            shape = (tokens, elements) if kind == Kind.K else (elements, tokens)
            job = next(iter(layer_jobs(found, Schedule(found.tile, Layer("cache", 1, *shape)))))
            beats = job.beats(found)
            sizes = cache_bytes(found, kind, elements, tokens)
            assert sizes["codes"] == beats["weights"] * found.bus_bytes
            assert sizes["codes"] == job.n_blocks * block_bytes(found, kind, elements, tokens)
            if kind == Kind.K and "weight_sides" in beats:
                assert sizes["scales"] == beats["weight_sides"] * found.bus_bytes
            else:
                assert sizes["scales"] == 48


def test_registers_leave_in_every_form() -> None:
    registers = quantiser_map(40, 20, geometry(design(bits=4)))
    header = c_header(registers)
    assert "#define QUANTISER__CODES_STRIDE_offset 0x0a8" in header
    assert f"#define QUANTISER__QUANTISER_CAUSE__NOT_FINITE {int(QuantiserCause.NOT_FINITE)} " in header
    assert "addrmap quantiser" in systemrdl(registers)
    assert as_json(registers)["registers"][3]["name"] == "GEOMETRY"


def test_cycles_follow_from_what_a_token_needs() -> None:
    eight, four = (design(bits=bits, post_lanes=1) for bits in (8, 4))

    def cycles(found: Design, kind: Kind, rows: int, first: int, latency: int = 20) -> int:
        return quantiser_cycles(found, cache_job(found, kind, rows, 64, first, 100), Memory(latency)).cycles

    # 8 bits take two cycles a code more; a job of one token is where it begins plus a token.
    assert cycles(eight, Kind.K, 1, 0) - cycles(four, Kind.K, 1, 0) == 64 * 2
    rows = [cycles(eight, Kind.K, count, 0) for count in (1, 2, 3)]
    assert rows[2] - rows[1] == rows[1] - rows[0] < rows[0]
    # A token of V that shares its bytes with the one before is merged, unless both come at once.
    assert cycles(four, Kind.V, 1, 1) > cycles(four, Kind.V, 1, 0)
    assert cycles(four, Kind.V, 2, 0) < cycles(four, Kind.V, 1, 0) + cycles(four, Kind.V, 1, 1)
    assert cycles(eight, Kind.V, 1, 1) == cycles(eight, Kind.V, 1, 0)
    merged = quantiser_cycles(four, cache_job(four, Kind.V, 1, 64, 1, 100), Memory())
    assert merged.merge_beats == merged.write_beats - 1
