"""The contract that every family keeps: values, cycles, latency, clearing, back-pressure and reset."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hwgen.emit import Reset, emit
from hwgen.errors import HwgenError
from hwgen.frame.facts import P
from hwgen.frame.numbers import Num
from hwgen.frame.pre import PreSpec
from hwgen.frame.spec import TileSpec
from hwgen.reference import Beats, run_steps
from hwgen.schedule import Steps
from hwgen.verify._pre import activation_codes, expected_beats, simulate_pre
from hwgen.verify._pysim import Observed, Run, simulate, simulate_runs
from hwgen.verify._stimuli import corner_steps, full_steps, random_steps, reset_runs, scale_steps

if TYPE_CHECKING:
    from hwgen.verify._compiled import CompiledTile

__all__ = [
    "Finding",
    "abandoned_steps",
    "beat_cycles",
    "check_contract",
    "choose_engine",
    "compare",
    "timeline",
    "unbounded",
]

Simulate = Callable[..., Observed]
_FULL, _RANDOM = "full groups", "random back-to-back"


@dataclass(frozen=True)
class Finding:
    """One check: its name, whether it holds, and if not the first place where it does not."""

    check: str
    ok: bool
    detail: str = ""


def timeline(
    spec: TileSpec, steps: Steps, idle: np.ndarray | None = None, following: Sequence[Steps] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Cycle in which each step is accepted [S], and of every output beat [B]; cycle 0 is the first offered step.

    ``idle`` [S] cycles without an offer lie before each step (those before the first do not count); ``following`` runs,
    perhaps in other modes, come after ``steps`` without a break and are counted in both.
    """
    p = spec.p
    beats, post_cycles = int(spec.post_beats(p)), int(spec.post_cycles(p))
    latency, folds = int(spec.latency(p)), spec.folds
    parts = [steps, *following]
    total = sum(len(part) for part in parts)
    gaps = [0] * total if idle is None else [0, *idle[1:].tolist()]
    cycle, previous, folding = -1, -(1 << 30), 0
    accepted: list[int] = []
    result: list[int] = []
    for part in parts:
        step = int(spec.step_cycles(p, part.mode))
        for last, done in zip(part.last.tolist(), part.done.tolist(), strict=True):
            # Partial sums fold while no step is on offer, too.
            cycle += max(gaps[len(accepted)], folding) + step
            folding = folds if last else 0
            if last and spec.lanes:
                cycle = max(cycle, previous + post_cycles)
                previous = cycle
                if done:
                    result.extend(cycle + latency + int(spec.post_latency(p)) + beat for beat in range(beats))
            elif last:
                result.append(cycle + latency)
            accepted.append(cycle)
    return np.array(accepted, np.int64), np.array(result, np.int64)


def beat_cycles(spec: TileSpec, steps: Steps, idle: np.ndarray | None = None) -> np.ndarray:
    """Cycle of every output beat of a run, cycle 0 being the first offered step."""
    return timeline(spec, steps, idle)[1]


def compare(spec: TileSpec, steps: Steps, want: Beats, got: Observed) -> str:
    """Where ``got`` first differs from ``want``: beat, inputs, expected and observed; empty when they agree."""
    pairs = [("y", want.y, got.y)] if spec.lanes else [("sums", want.sums, got.sums), ("row sums", want.rows, got.rows)]
    for name, expected, observed in pairs:
        assert expected is not None
        if name == "row sums" and not spec.has_row_sums:
            continue
        if len(expected) != len(observed):
            return f"{len(observed)} beats, expected {len(expected)}"
        wrong = np.argwhere(np.asarray(expected != observed))
        if len(wrong):
            place = tuple(int(i) for i in wrong[0])
            # Post lanes give several beats for an output, which ends with its last group.
            ends = np.repeat(want.step[steps.done[want.step]], spec.post_beats_max) if spec.lanes else want.step
            end = int(ends[place[0]])
            return (
                f"{name}{list(place)}: got {observed[place]}, reference {expected[place]}; the group ends with step "
                f"{end}, activations {steps.acts[end].tolist()}, weights {steps.weights[end][:4].tolist()}"
            )
    return ""


def _finding(check: str, detail: str) -> Finding:
    return Finding(check, not detail, detail)


def abandoned_steps(spec: TileSpec, seed: int, mode: int) -> Steps:
    """Groups that are cut off by the next ``first`` without ever ending."""
    steps = random_steps(spec, seed, groups=10, mode=mode)
    last = steps.last.copy()
    ends = np.flatnonzero(last)
    last[ends[1:-1:2]] = False
    return Steps(steps.acts, steps.weights, steps.row, steps.col, steps.first, last, steps.done & last, steps.mode)


def choose_engine(spec: TileSpec, wanted: str = "auto") -> str:
    """Engine for a tile: small ones run in Amaranth's simulator, large ones compiled where the tools are there."""
    if wanted != "auto":
        return wanted
    from hwgen.simulators import find

    can_compile = all(find(tool) for tool in ("verilator", "g++", "make", "perl"))
    return "verilator" if spec.m * spec.n > 16 and can_compile else "amaranth"


def check_contract(
    spec: TileSpec, seed: int = 1, engine: str = "amaranth", reset: Reset | None = None
) -> list[Finding]:
    """Check a tile against its reference in every run-time mode, in Amaranth's simulator or as compiled Verilog.

    Values: corners against corners, groups of ``depth`` products with every operand at an end of its range (against
    sums that nothing bounds: what ``depth`` promises holds with every ``overflow``), random groups back to back, with
    idle cycles between steps, and groups that the next one cuts off. Reset in every phase of a step and of the lanes,
    after which nothing is left of what was before. Timing: every beat and every acceptance in exactly the predicted
    cycle, and no number of the spec larger than need be: outputs do not already hold the value a cycle before
    ``latency`` says (in Amaranth's simulator), and the tile fails when it is built with one cycle less per step.

    ``reset``: of the tile, as it is emitted; synchronous and active high when None.
    """
    findings: list[Finding] = []
    reset = reset or Reset()
    compiled = _engine(spec, engine, reset)
    for mode in range(len(spec.modes())):
        name = spec.modes()[mode].name
        random = random_steps(spec, seed, mode=mode)
        rng = np.random.default_rng(seed + 3)
        idle = rng.integers(0, 2 * spec.step_cycles_max + 2, size=len(random)) * (rng.random(len(random)) < 0.5)
        runs = {
            _RANDOM: Run(random),
            "corners": Run(corner_steps(spec, seed + 1, mode=mode)),
            "abandoned groups": Run(abandoned_steps(spec, seed + 2, mode)),
            "idle cycles": Run(random, idle),
            _FULL: Run(full_steps(spec, seed + 7, mode=mode)),
        }
        if spec.scales_by_lanes:
            runs["scales"] = Run(scale_steps(spec, seed + 5, mode=mode))
        resets = [Run(steps, None, cut) for steps, cut in reset_runs(spec, seed + 4, mode)]
        if compiled is None:
            # One simulation for all: building it takes longer than running it.
            observed = simulate_runs(spec, [*resets, *runs.values()], reset)
            observed, after_reset = observed[len(resets) :], observed[: len(resets)]
        else:
            observed = [compiled.simulate(spec, run.steps, run.idle) for run in runs.values()]
            after_reset = compiled.simulate_runs(resets)
        for (what, run), got in zip(runs.items(), observed, strict=True):
            want = run_steps(unbounded(spec) if what == _FULL else spec, run.steps)
            findings.append(_finding(f"{name}: {what}: values", compare(spec, run.steps, want, got)))
            # Of runs with few ends, or ends that may be alike, values do not tell when they came.
            late = _timing(spec, run.steps, got, run.idle) or (_early(got) if what == _RANDOM else "")
            findings.append(_finding(f"{name}: {what}: cycles", late))
        values, cycles = _resets(spec, resets, after_reset, reset)
        findings.append(_finding(f"{name}: reset in every phase: values", values))
        findings.append(_finding(f"{name}: reset in every phase: cycles", cycles))
        findings.append(_finding(f"{name}: tight: cycles per step", _tight(spec, seed + 6, mode, compiled is not None)))
    if len(spec.modes()) > 1:
        findings.extend(_mode_switches(spec, seed, compiled.simulate if compiled else simulate))
    if spec.pre() is not None:
        findings.extend(_check_pre(spec, seed + 20, compiled))
    return findings


def unbounded(spec: TileSpec) -> TileSpec:
    """The same tile with a reference whose sums nothing bounds."""
    free = copy.copy(spec)
    # Not constructed anew: its groups may be longer than such a tile takes.
    object.__setattr__(free, "overflow", "refuse")
    return free


def _check_pre(spec: TileSpec, seed: int, compiled: CompiledTile | None = None) -> list[Finding]:
    """The block before the buffer, with and without idle cycles; the last scope of a row is shorter than the others."""
    pre = spec.pre()
    assert pre is not None
    k = 2 * max(spec.group, pre.k) + pre.k if pre.align == "group" and spec.group else 6 * pre.k
    acts = activation_codes(pre, seed, 2 * spec.m + 1, min(k, 40 * pre.k))
    want, want_scale = expected_beats(pre, acts)
    rng = np.random.default_rng(seed)
    sent = pre.lower(acts.codes)["observe"]
    run = partial(simulate_pre, pre) if compiled is None else _compiled_pre(pre, compiled)
    findings = []
    for what, idle in (("back-to-back", np.zeros(len(sent), np.int64)), ("idle cycles", rng.integers(0, 3, len(sent)))):
        words, scale, cycles = run(acts.codes, idle)
        values = ""
        if words.shape != want.shape:
            values = f"{len(words)} beats, expected {len(want)}"
        elif (words != want).any():
            place = tuple(int(i) for i in np.argwhere(words != want)[0])
            values = f"acts{list(place)}: got {words[place]}, reference {want[place]}"
        elif want_scale is not None and (scale != want_scale).any():
            place = tuple(int(i) for i in np.argwhere(scale != want_scale)[0])
            values = f"scale{list(place)}: got {scale[place]}, reference {want_scale[place]}"
        findings.append(_finding(f"pre: {what}: values", values))
        offered = (np.cumsum(idle + 1) - 1)[~sent]
        late = len(cycles) != len(offered) or (cycles != offered + pre.latency).any()
        findings.append(
            _finding(f"pre: {what}: cycles", f"beats did not come {pre.latency} cycles after theirs" if late else "")
        )
    return findings


def _compiled_pre(pre: PreSpec, compiled: CompiledTile) -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]:
    from hwgen.verify._compiled import CompiledPre

    return CompiledPre(pre, compiled.emission).simulate


def _engine(spec: TileSpec, engine: str, reset: Reset) -> CompiledTile | None:
    if engine == "amaranth":
        return None
    from hwgen.verify._compiled import CompiledTile

    return CompiledTile(spec, emit(spec, reset=reset))


def _mode_switches(spec: TileSpec, seed: int, simulate: Simulate) -> list[Finding]:
    """Modes one after the other in one run, without a reset between them."""
    findings = []
    parts = [random_steps(spec, seed + 10 + mode, groups=3, mode=mode) for mode in range(len(spec.modes()))]
    got = simulate(spec, parts[0], following=parts[1:])
    begin = 0
    for mode, steps in enumerate(parts):
        want = run_steps(spec, steps)
        count = len(want.y) if want.y is not None else len(want.sums)
        cut = slice(begin, begin + count)
        part = dataclasses.replace(got, sums=got.sums[cut], rows=got.rows[cut], y=got.y[cut])
        findings.append(
            _finding(f"{spec.modes()[mode].name}: after a mode switch: values", compare(spec, steps, want, part))
        )
        begin += count
    return findings


def _timing(spec: TileSpec, steps: Steps, got: Observed, idle: np.ndarray | None = None) -> str:
    accepted, predicted = timeline(spec, steps, idle)
    if len(predicted) != len(got.cycle):
        return f"{len(got.cycle)} beats, predicted {len(predicted)}"
    wrong = np.flatnonzero(predicted != got.cycle)
    if len(wrong):
        return f"beat {wrong[0]} came in cycle {got.cycle[wrong[0]]}, predicted {predicted[wrong[0]]}"
    wrong = np.flatnonzero(accepted != got.accepted)
    if len(wrong):
        return (
            f"step {wrong[0]} was accepted in cycle {got.accepted[wrong[0]]}, predicted {accepted[wrong[0]]}: "
            f"declared step_cycles is {int(spec.step_cycles(spec.p, steps.mode))}"
        )
    return ""


def _early(got: Observed) -> str:
    if len(got.early) > 1 and got.early[1:].all():
        return "every output already had its value one cycle before: the declared latency is too long"
    return ""


def _tight(spec: TileSpec, seed: int, mode: int, compiled: bool = False) -> str:
    """What says that the tile would do with one cycle less per step, or between updates of a sum; empty when it fails
    so.

    ``compiled``: whether it runs as compiled Verilog.
    """
    kind = type(spec)
    if int(kind.step_cycles(spec.p, mode)) == 1:
        return ""
    slowest = "interval" if int(kind.interval(spec.p)) > int(kind.cycles_per_step(spec.p, mode)) else "cycles_per_step"

    def interval(cls: type[TileSpec], p: P) -> Num:
        return kind.interval(p) - 1

    def cycles_per_step(cls: type[TileSpec], p: P, at: int = 0) -> Num:
        return kind.cycles_per_step(p, at) - (at == mode)

    less = classmethod(interval) if slowest == "interval" else classmethod(cycles_per_step)
    # Not constructed anew: whether the post lanes would keep up with it is not the question.
    faster = copy.copy(spec)
    object.__setattr__(
        faster, "__class__", type(kind.__name__, (kind,), {"__module__": kind.__module__, slowest: less})
    )
    run = _faster(faster) if compiled else partial(simulate, faster)
    # A few short runs: what the last cycle of a step adds may be nothing, or be lost in a rounding.
    for attempt in range(4):
        steps = random_steps(spec, seed + attempt, groups=4, mode=mode)
        got = run(steps)
        if got is None or compare(spec, steps, run_steps(spec, steps), got):
            return ""
    count = int(getattr(kind, slowest)(spec.p))
    return f"results stay right with {slowest} {count - 1}: the declared {count} is too many"


def _faster(spec: TileSpec) -> Callable[[Steps], Observed | None]:
    """Runs of a tile that may not work: None where beats do not come as they should."""
    from hwgen.verify._compiled import CompiledTile

    tile = CompiledTile(spec)
    # Built here: what cannot be built is no tile that fails.
    _ = tile.simulator

    def run(steps: Steps) -> Observed | None:
        try:
            return tile.simulate(spec, steps)
        except HwgenError:
            return None

    return run


def _resets(spec: TileSpec, runs: list[Run], observed: list[Observed], reset: Reset) -> tuple[str, str]:
    """First difference in values, and in cycles, of runs that are reset in every phase of a step and of the lanes.

    An asynchronous reset takes what a beat would show in its own cycle.
    """
    values, cycles = "", ""
    for number, (run, got) in enumerate(zip(runs, observed, strict=True)):
        steps, cut = run.steps, run.cut
        want = run_steps(spec, steps)
        accepted, predicted = timeline(spec, steps)
        end = 1 << 62 if cut is None else cut
        last = end - (reset.kind == "async")
        seen = predicted <= last
        if not np.array_equal(predicted[seen], got.cycle) or not np.array_equal(accepted[accepted < end], got.accepted):
            after = "" if number == 0 else f" after the reset in cycle {runs[number - 1].cut} of the run before"
            cycles = (
                cycles
                or f"run {number}{after}: beats in cycles {got.cycle.tolist()}, predicted {predicted[seen].tolist()}"
            )
            continue
        # The last elements of a systolic tile may come after the reset.
        whole = int((predicted + int(spec.skew(spec.p)) <= last).sum())
        kept = Beats(want.sums[:whole], want.rows[:whole], want.step, None if want.y is None else want.y[:whole])
        part = dataclasses.replace(got, sums=got.sums[:whole], rows=got.rows[:whole], y=got.y[:whole])
        detail = compare(spec, steps, kept, part)
        values = values or (f"run {number}: {detail}" if detail else "")
    return values, cycles
