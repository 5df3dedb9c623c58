"""Faults seeded by hand: the contract suite names each of them, and says nothing about the same tile without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from amaranth import hdl
from amaranth.hdl import Cat, Module, Mux, Value

from hwgen.formats import QTensor, get
from hwgen.frame import accumulators, assembly, blocks, logic, post
from hwgen.frame.facts import P
from hwgen.frame.post import PostBlock
from hwgen.pe import Addend, TileSpec, _aligned, family
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule, Steps
from hwgen.verify import check_contract, simulate
from hwgen.verify._contract import Finding, compare

Patch = pytest.MonkeyPatch

TILES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "int": ("int", {"m": 2, "n": 2, "k": 2, "bits": 4, "acts": "int4", "group": 16, "depth": 16}),
    "int-saturate": (
        "int",
        {"m": 1, "n": 2, "k": 2, "bits": 4, "acts": "int4", "group": 16, "depth": 16, "overflow": "saturate"},
    ),
    "int-systolic": (
        "int",
        {"m": 2, "n": 2, "k": 2, "bits": 4, "acts": "int4", "group": 16, "depth": 16, "transport": "systolic"},
    ),
    "int-lanes": (
        "int",
        {
            "m": 1,
            "n": 2,
            "k": 2,
            "bits": 2,
            "acts": "int4",
            "scheme": "asymmetric",
            "group": 8,
            "depth": 8,
            "post_lanes": 1,
        },
    ),
    "lut": ("lut", {"m": 2, "n": 2, "k": 4, "bits": 2, "acts": "int4", "group": 16, "depth": 16}),
    "lut-fp16": (
        "lut",
        {"m": 2, "n": 1, "k": 4, "bits": 1, "acts": "fp16", "align_scope": "step", "group": 8, "depth": 8},
    ),
    "mx": ("mx", {"m": 1, "n": 1, "k": 2, "group": 8, "depth": 8, "post_lanes": 1}),
    "mx-square": ("mx", {"m": 2, "n": 2, "k": 2, "group": 8, "depth": 8, "post_lanes": 2}),
}


def tile(name: str) -> TileSpec:
    kind, values = TILES[name]
    return family(kind).from_values(values)


def failing(spec: TileSpec) -> list[Finding]:
    return [finding for finding in check_contract(spec) if not finding.ok]


def variant(spec: TileSpec, **members: Any) -> TileSpec:
    """The same tile as a subclass of its family with other members."""
    kind = type(spec)
    made = type(kind.__name__, (kind,), {"__module__": kind.__module__, **members})
    return made(**spec.p)  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- the faults


def dropped_sign(patch: Patch, spec: TileSpec) -> TileSpec:
    def build_cell(self: Any, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        weights = [col[index * 4 : index * 4 + 4] for index in range(self.k)]
        return type(spec).build_cell(self, m, row, Cat(*(Cat(weight[:3], 0) for weight in weights)), phase, mode)

    return variant(spec, build_cell=build_cell)


def latency(change: int) -> Callable[[Patch, TileSpec], TileSpec]:
    def fault(patch: Patch, spec: TileSpec) -> TileSpec:
        def wrong(cls: Any, p: P) -> Any:
            return type(spec).latency(p) + change

        return variant(spec, latency=classmethod(wrong))

    return fault


def cycles_per_step(change: int) -> Callable[[Patch, TileSpec], TileSpec]:
    def fault(patch: Patch, spec: TileSpec) -> TileSpec:
        def wrong(cls: Any, p: P, mode: int = 0) -> Any:
            return type(spec).cycles_per_step(p, mode) + change

        return variant(spec, cycles_per_step=classmethod(wrong))

    return fault


def slack_interval(patch: Patch, spec: TileSpec) -> TileSpec:
    return variant(spec, interval=classmethod(lambda cls, p: 2))


def late_valid(patch: Patch, spec: TileSpec) -> TileSpec:
    """Sums come as they should, o_valid and the declared latency one cycle after them."""
    return variant(dataclasses.replace(spec, stages=2), accumulator_latency=classmethod(lambda cls, p: 2))


def swapped_planes(patch: Patch, spec: TileSpec) -> TileSpec:
    def build_col(self: Any, m: Module, weights: Any, side: Any, phase: Value, mode: Value) -> Value:
        return type(spec).build_col(self, m, [weights[1], weights[0]], side, phase, mode)

    return variant(spec, build_col=build_col)


def missing_symmetry_bit(patch: Patch, spec: TileSpec) -> TileSpec:
    def build_cell(self: Any, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        return type(spec).build_cell(self, m, row, Cat(col[:-1], 0), phase, mode)

    return variant(spec, build_cell=build_cell)


def first_ignored(patch: Patch, spec: TileSpec) -> TileSpec:
    accumulate = accumulators.accumulate

    def kept(m: Module, spec: TileSpec, state: Any, addend: Addend, clear: Value, enable: Value | None) -> None:
        accumulate(m, spec, state, addend, hdl.Const(0, 1), enable)

    patch.setattr(accumulators, "accumulate", kept)
    return spec


def clear_in_every_phase(patch: Patch, spec: TileSpec) -> TileSpec:
    sequence = assembly.Tile._sequence

    def wrong(self: Any, m: Module) -> dict[str, Value]:
        return sequence(self, m) | {"clear": self.i.payload.first}

    patch.setattr(assembly.Tile, "_sequence", wrong)
    return spec


def clear_in_the_last_phase(patch: Patch, spec: TileSpec) -> TileSpec:
    sequence = assembly.Tile._sequence

    def wrong(self: Any, m: Module) -> dict[str, Value]:
        control = sequence(self, m)
        return control | {"clear": self.i.payload.first & (control["phase"] == 1)}

    patch.setattr(assembly.Tile, "_sequence", wrong)
    return spec


def buses_not_zero_when_idle(patch: Patch, spec: TileSpec) -> TileSpec:
    patch.setattr(blocks, "Mux", lambda choice, value, other: value)
    return spec


def swapped_scales(patch: Patch, spec: TileSpec) -> TileSpec:
    class Swapped(PostBlock):
        def elaborate(self, platform: Any) -> Module:
            self.row_scale, self.col_scale = self.col_scale, self.row_scale
            return super().elaborate(platform)

    patch.setattr(logic, "PostBlock", Swapped)
    return spec


def zero_point_ignored(patch: Patch, spec: TileSpec) -> TileSpec:
    return variant(spec, POST_SIDES=("scale",))


def saturation_off_by_one(patch: Patch, spec: TileSpec) -> TileSpec:
    def lower(value: int, shape: Any = None) -> Any:
        return hdl.Const(value - 1 if value > 1 else value, shape)

    patch.setattr(accumulators, "Const", lower)
    return spec


def missing_hop(patch: Patch, spec: TileSpec) -> TileSpec:
    register = assembly.Tile._register

    def skip(m: Module, name: str, value: Value, enable: Value | None = None) -> Any:
        return value if name == "row1_codes_skew0" else register(m, name, value, enable)

    patch.setattr(assembly.Tile, "_register", staticmethod(skip))
    return spec


def declared_skew(patch: Patch, spec: TileSpec) -> TileSpec:
    return variant(spec, skew=classmethod(lambda cls, p: p["m"] + p["n"] - 3))


def alignment(change: Callable[[int, str], tuple[int, str]]) -> Callable[[Patch, TileSpec], TileSpec]:
    def fault(patch: Patch, spec: TileSpec) -> TileSpec:
        align_row = _aligned.align_row

        def wrong(m: Module, codes: Any, fmt: Any, name: str, shared: Any, guard: int, rounding: str) -> Any:
            kept, rule = change(guard, rounding)
            values, exponent = align_row(m, codes, fmt, name, shared, kept, rule)
            return [(value << (guard - kept)).as_signed() for value in values], exponent

        patch.setattr(_aligned, "align_row", wrong)
        return spec

    return fault


def truncated_results(patch: Patch, spec: TileSpec) -> TileSpec:
    patch.setattr("hwgen.arith.scale.round_nearest_even", lambda lsb, half, rest: hdl.Const(0, 1))
    return spec


def forgotten_reset(module: Any, signal: str) -> Callable[[Patch, TileSpec], TileSpec]:
    def fault(patch: Patch, spec: TileSpec) -> TileSpec:
        def without(*args: Any, **options: Any) -> Any:
            return hdl.Signal(*args, **options | ({"reset_less": True} if options.get("name") == signal else {}))

        patch.setattr(module, "Signal", without)
        return spec

    return fault


def lanes_never_wait(patch: Patch, spec: TileSpec) -> TileSpec:
    """Groups end while the lanes still work on the one before."""
    return variant(spec, post_beats=classmethod(lambda cls, p: type(spec).post_beats(p) - 1))


def stuck_at_infinity(patch: Patch, spec: TileSpec) -> TileSpec:
    """The FP32 adder takes infinity minus infinity for infinity."""
    add = post.fp32_add

    def wrong(m: Module, a: Value, b: Value, name: str) -> Value:
        total = add(m, a, b, name)
        infinite = (a[:31] == 0x7F800000) & (b[:31] == 0x7F800000)
        return Mux(infinite, a, total)

    patch.setattr(post, "fp32_add", wrong)
    return spec


@dataclass(frozen=True)
class Fault:
    tile: str
    seed: Callable[[Patch, TileSpec], TileSpec]
    caught_by: str  # part of the name of a check that must fail


FAULTS = {
    "dropped sign": Fault("int", dropped_sign, "corners: values"),
    "latency declared one too long": Fault("int", latency(1), "random back-to-back: cycles"),
    "latency declared one too short": Fault("int", latency(-1), "random back-to-back: cycles"),
    "valid one cycle late": Fault("int", late_valid, "random back-to-back: values"),
    "cycles per step one too long": Fault("lut", cycles_per_step(1), "random back-to-back: values"),
    "cycles per step one too short": Fault("lut", cycles_per_step(-1), "random back-to-back: values"),
    "interval longer than need be": Fault("int", slack_interval, "tight: cycles per step"),
    "swapped planes": Fault("lut", swapped_planes, "random back-to-back: values"),
    "missing symmetry bit": Fault("lut", missing_symmetry_bit, "random back-to-back: values"),
    "first ignored": Fault("lut", first_ignored, "random back-to-back: values"),
    "clear in every phase": Fault("lut", clear_in_every_phase, "random back-to-back: values"),
    "clear in the last phase": Fault("lut", clear_in_the_last_phase, "random back-to-back: values"),
    "buses not zero when idle": Fault("int", buses_not_zero_when_idle, "idle cycles: values"),
    "clear when idle": Fault("int", clear_in_every_phase, "idle cycles: values"),
    "swapped scales": Fault("mx-square", swapped_scales, "scales: values"),
    "zero point ignored": Fault("int-lanes", zero_point_ignored, "scales: values"),
    "saturation off by one": Fault("int-saturate", saturation_off_by_one, "corners: values"),
    "missing hop of a systolic row": Fault("int-systolic", missing_hop, "random back-to-back: values"),
    "skew declared one too short": Fault("int-systolic", declared_skew, "random back-to-back: values"),
    "guard bit dropped": Fault(
        "lut-fp16", alignment(lambda guard, rule: (guard - 1, rule)), "random back-to-back: values"
    ),
    "alignment truncates": Fault(
        "lut-fp16", alignment(lambda guard, rule: (guard, "truncate")), "random back-to-back: values"
    ),
    "result truncates": Fault("mx", truncated_results, "scales: values"),
    "phase not reset": Fault("lut", forgotten_reset(assembly, "phase"), "reset in every phase"),
    "lanes forget a reset": Fault("mx", forgotten_reset(post, "fresh"), "reset in every phase: values"),
    "infinity minus infinity": Fault("mx", stuck_at_infinity, "scales: values"),
}


@pytest.mark.parametrize("name", TILES)
def test_without_a_fault_nothing_fails(name: str) -> None:
    assert failing(tile(name)) == []


@pytest.mark.parametrize("name", FAULTS)
def test_contract_names_the_fault(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = FAULTS[name]
    found = failing(fault.seed(monkeypatch, tile(fault.tile)))
    assert any(fault.caught_by in finding.check for finding in found), found


# ---------------------------------------------------------------------- the end of a ragged group


def agrees(spec: TileSpec, layer: Layer, change: Callable[[Steps], Steps]) -> bool:
    """Whether a layer's group sums, run step by step, are Σ A·W of each group."""
    rng = np.random.default_rng(5)
    a, w = rng.integers(0, 16, (layer.m, layer.k)), rng.integers(0, 16, (layer.n, layer.k))
    groups = -(-layer.k // spec.group)

    def tensor(codes: np.ndarray, rows: int) -> QTensor:
        return QTensor(
            codes=codes.astype(np.uint32),
            format=spec.act_format,
            group_size=spec.group,
            granularity="group",
            scale_codes=np.full((rows, groups), 1, np.uint32),
            scale_format=get(spec.quantization().weight_scale),
        )

    schedule = Schedule(spec, layer)
    steps = change(schedule.lower(tensor(a, layer.m), tensor(w, layer.n)))
    got = simulate(spec, steps)
    if compare(spec, steps, run_steps(spec, schedule.lower(tensor(a, layer.m), tensor(w, layer.n))), got):
        return False
    values = [np.where(x > 7, x - 16, x) for x in (a, w)]
    cuts = [slice(start, min(start + spec.group, layer.k)) for start in range(0, layer.k, spec.group)]
    wanted = np.stack([values[0][:, cut] @ values[1][:, cut].T for cut in cuts])
    return bool((schedule.collect(got.sums)[..., 0] == wanted).all())


def whole_groups_only(steps: Steps) -> Steps:
    """A sequencer that counts whole groups and never ends a shorter one."""
    starts = np.flatnonzero(steps.first)
    lengths = np.diff([*starts, len(steps)])
    ends = starts + lengths - 1
    last = steps.last.copy()
    last[ends[lengths < lengths.max()]] = False
    return dataclasses.replace(steps, last=last)


def test_ragged_group_ends() -> None:
    layer = Layer("ragged", m=3, n=3, k=36)
    assert agrees(tile("int"), layer, lambda steps: steps)
    assert not agrees(tile("int"), layer, whole_groups_only)
