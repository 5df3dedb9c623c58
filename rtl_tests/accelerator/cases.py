"""Accelerators of all families, and layers drawn for them, on which cycles and results are compared."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.accelerator import Design, Memory, exact, layer_jobs, memory_acts, placed
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from hwgen.verify import AcceleratorRun, CompiledAccelerator, Task, random_channels, reference_results

__all__ = [
    "CASES",
    "PRE_CASES",
    "RESULT_CASES",
    "Case",
    "Difference",
    "differences",
    "expected_results",
    "tasks",
    "wrong_results",
]

_INNER = (8, 40, 64, 96, 136)
"""Elements along K of the layers, one more at times, so that steps and groups are ragged."""


@dataclass(frozen=True)
class Case:
    """One accelerator: a family, parameters of its tile and of the design."""

    family: str
    tile: dict[str, Any]
    design: dict[str, Any]

    @property
    def name(self) -> str:
        """For tables and test ids."""
        parts = [f"{key}={value}" for key, value in {**self.tile, **self.design}.items()]
        return " ".join([self.family, *parts])

    def build(self) -> Design:
        """The design; small counters, which small layers fill."""
        tile = family(self.family).from_values({"depth": 512, **self.tile})
        return Design.from_values(tile, {"count_bits": 12, **self.design})


def _pair(family: str, small: dict[str, Any], large: dict[str, Any], **tile: Any) -> list[Case]:
    """The same tile with two designs around it."""
    return [Case(family, tile, small), Case(family, tile, large)]


def _results(result: str, more: dict[str, Any], family: str, **tile: Any) -> list[Case]:
    """Two designs around a tile whose results take a form of their own."""
    return _pair(family, {**_NARROW, "result": result, **more}, {**_WIDE, "result": result, **more}, **tile)


_TINY = {"weight_ring": 8, "act_ring": 8, "burst": 2, "outstanding": 1}
_NARROW = {"weight_ring": 16, "act_ring": 8, "bus_bits": 64, "burst": 4, "outstanding": 2}
_WIDE = {"weight_ring": 128, "act_ring": 512, "bus_bits": 512, "burst": 8, "outstanding": 4}
_LARGE = {"weight_ring": 512, "act_ring": 512, "bus_bits": 256, "burst": 16, "outstanding": 8}

_LANES = {"result_lanes": 4, "multiplier_bits": 24}

CASES = (
    *_pair("int", _TINY, _WIDE, m=2, n=4, k=4, bits=4, group=16),
    *_pair("int", _NARROW, _LARGE, m=3, n=8, k=8, bits=8, group=64, post_lanes=4, stages=2),
    *_pair("int", _TINY, _LARGE, m=4, n=4, k=2, bits=3, group=0, transport="systolic"),
    *_pair("bitmod", _NARROW, _WIDE, m=2, n=4, k=4, bits=4, group=32),
    *_pair("bitmod", _TINY, _LARGE, m=1, n=8, k=8, bits=3, group=64, post_lanes=0, transport="systolic", stages=3),
    *_pair("lut", _NARROW, _WIDE, m=2, n=8, k=4, bits=2, group=32),
    *_pair("lut", _TINY, _LARGE, m=1, n=4, k=4, bits=4, group=64, post_lanes=2),
    *_pair("mixpe", _NARROW, _WIDE, m=3, n=4, k=8, bits=4, group=64, post_lanes=1, stages=3),
    *_pair("minifloat", _TINY, _LARGE, m=2, n=6, k=4, group=32),
    *_pair("mx", _NARROW, _WIDE, m=2, n=4, k=8, group=32, post_lanes=2),
    *_pair("posit", _NARROW, _LARGE, m=2, n=4, k=4, group=64, post_lanes=0, transport="systolic"),
    *_pair("posit", _TINY, _WIDE, m=1, n=4, k=8, group=32, post_lanes=4, stages=2),
    # Weights in another order than activations.
    *_pair("bitfusion", _NARROW, _WIDE, m=2, n=4, k=1, bits=2, acts="int4", group=32, post_lanes=2),
    # Selectors of types on both sides; words of two elements.
    Case("ant", {"m": 2, "n": 4, "k": 4, "group": 32}, _NARROW),
    Case("olive", {"m": 2, "n": 4, "k": 4, "group": 32, "post_lanes": 2}, _WIDE),
    # Ports that are wider than the codes of layers: signs, elements of one side or of both, outputs of a column.
    Case("bitmod", {"m": 2, "n": 4, "k": 4, "bits": 6, "group": 32}, _NARROW),
    Case("mx", {"m": 2, "n": 4, "k": 8, "group": 32, "mode_set": "mxfp_narrow", "post_lanes": 2}, _WIDE),
    Case(
        "posit",
        {"m": 2, "n": 2, "k": 4, "group": 32, "format": "simd", "operands": "p4", "simd_along": "n", "post_lanes": 0},
        _NARROW,
    ),
    # Two outputs of a column with the codes of one.
    Case("complex", {"m": 2, "n": 2, "k": 4, "group": 32, "mapping": "widely"}, _NARROW),
)
"""Two designs of each of twelve tiles: all families, both transports, raw sums and finished results; the smaller
design's rings hold no window of most layers, the larger one's nearly every one. Then one of each of two whose codes
mean what their group's selector says, of three whose memory holds codes alone, and not the elements of the tile's
ports, and of one whose columns have codes for one of their outputs.
"""

PRE_CASES = (
    # Beats of parts of rows, of whole rows, of several words; words that are filled up; rules, formats and blocks.
    Case("mx", {"m": 2, "n": 4, "k": 8, "group": 32, "post_lanes": 2}, {**_NARROW, "pre": "mx"}),
    Case(
        "mx",
        {"m": 3, "n": 4, "k": 4, "group": 16, "post_lanes": 4, "weights": "mxfp8_e4m3", "acts": "mxfp8_e5m2"},
        {**_WIDE, "pre": "mx", "pre_source": "bf16"},
    ),
    Case(
        "mx",
        {"m": 1, "n": 8, "k": 8, "group": 32, "post_lanes": 4, "block_rule": "ceil", "acts": "mxfp6_e3m2"},
        {**_WIDE, "pre": "mx"},
    ),
    Case(
        "mx",
        {"m": 3, "n": 2, "k": 16, "group": 64, "post_lanes": 2, "acts": "mxint8"},
        {**_NARROW, "pre": "mx", "pre_source": "fp32", "act_ring": 16},
    ),
    Case(
        "mx",
        {"m": 2, "n": 4, "k": 32, "group": 32, "post_lanes": 4, "acts": "mxfp6_e2m3"},
        {**_LARGE, "pre": "mx", "act_ring": 64},
    ),
)
"""Designs with a block before the ring of activations."""

RESULT_CASES = (
    *_results("fp16", {"outer": True, "bias": True}, m=2, n=4, k=8, group=32, post_lanes=2, family="mx"),
    *_results("bf16", {"bias": True}, m=2, n=6, k=4, bits=4, group=32, post_lanes=3, family="int"),
    *_results("tile", {"outer": True}, m=3, n=4, k=8, bits=4, group=64, post_lanes=1, family="mixpe"),
    *_results("int8", {}, m=2, n=4, k=4, bits=4, group=0, family="int"),
    *_results(
        "int4",
        {"result_lanes": 4, "multiplier_bits": 24},
        m=2,
        n=8,
        k=4,
        bits=2,
        group=0,
        transport="systolic",
        family="int",
    ),
)
"""Two designs for each form that results take behind the tile."""


def tasks(case: Case, count: int, seed: int) -> list[Task]:
    """Layers drawn for a case: shapes with ragged edges, every legal order and residency, memories of any speed."""
    design = case.build()
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        schedule = _schedule(design, rng, index)
        spec, layer = design.tile, schedule.layer
        acts, weights = (
            rng.standard_normal(shape).astype(np.float32) for shape in ((layer.m, layer.k), (layer.n, layer.k))
        )
        jobs = list(layer_jobs(design, schedule))
        share = int(rng.integers(1, 7))
        beats = (1, 1) if rng.integers(2) else (int(rng.integers(1, share + 1)), share)
        found.append(
            Task(
                schedule,
                memory_acts(design, schedule.whole_words(acts)),
                spec.quantize_weights(schedule.whole_words(weights)),
                # Seldom is one operand read again and again where it could be held: such jobs come more often here.
                jobs[int(rng.integers(len(jobs)))],
                Memory(int(rng.integers(1, 60)), beats),
                random_channels(design, layer.n, rng),
            )
        )
    return found


def _schedule(design: Design, rng: np.random.Generator, index: int) -> Schedule:
    spec = design.tile
    outputs = spec.n * int(spec.layer_outputs(spec.p))
    # The first is a single token: decode.
    rows = 1 if index == 0 else int(rng.integers(1, 6 * spec.m))
    inner = int(rng.choice(_INNER)) + int(rng.integers(2))
    if spec.act_format.padding is None:
        inner += -inner % int(spec.layer_k(spec.p))
    return Schedule(spec, Layer(f"layer {index}", rows, int(rng.integers(1, 5 * outputs)), inner))


@dataclass(frozen=True)
class Difference:
    """Where a run and what was expected of it part."""

    task: int
    what: str
    got: object
    wanted: object


def differences(compiled: CompiledAccelerator, drawn: list[Task], runs: list[AcceleratorRun]) -> list[Difference]:
    """Everything in which runs differ from the cycle model and the tile's reference."""
    found = []
    for index, (task, run) in enumerate(zip(drawn, runs, strict=True)):
        model = exact(compiled.design, placed(compiled.design, task.job)[0], task.memory)
        for what, got, wanted in (
            ("cycles", run.cycles, model.cycles),
            ("waits", run.waits, model.waits),
            ("read beats", run.read_beats, model.read_beats),
            ("write beats", run.write_beats, model.write_beats),
        ):
            if got != wanted:
                found.append(Difference(index, what, got, wanted))
        wrong = wrong_results(compiled.design, task, run.results)
        found += [dataclasses.replace(one, task=index) for one in wrong]
    return found


def wrong_results(design: Design, task: Task, results: Mapping[str, np.ndarray]) -> list[Difference]:
    """The first result of each port that is not what the references say."""
    found = []
    expected = expected_results(design, task)
    for port, got in results.items():
        wanted = np.asarray(expected[port]).reshape(len(got), -1)
        wrong = np.argwhere(got.astype(object) != wanted.astype(object))
        if len(wrong):
            place = tuple(int(at) for at in wrong[0])
            found.append(Difference(0, f"{port}{list(place)}", got[place], wanted[place]))
    return found


@functools.lru_cache(64)
def expected_results(design: Design, task: Task) -> dict[str, np.ndarray]:
    """Beats of results by the name of their port, by the references."""
    return reference_results(design, task.schedule, task.acts, task.weights, task.channels)
