"""Energy of a tile from switching: its mapped netlist runs layers of a real model, and every toggle is counted.

The netlist comes from `hwgen.synth`, operands from layers of the model, quantised by the tile's own quantiser. Many
streams run in step, each a block of tokens and outputs of one layer at the same elements along K, driven as the
schedule drives the tile. Whatever the netlist puts out is compared with the tile's reference, every bit of every beat.

All of it is pre-layout: pins and cells as in the library, no wires, no clock tree, no glitches. A pre block is
measured by itself, on the same activations before it has prepared them; companions of a tile are not measured.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.emit._reset import ACTIVE, Reset
from hwgen.errors import HwgenError
from hwgen.frame.interface import tile_ports
from hwgen.frame.ports import PortInfo
from hwgen.pe import TileSpec
from hwgen.quantize import acts_for
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule, Steps
from hwgen.synth import Library, SynthOptions, TileResult, generic_library, synthesise, tile_netlist
from hwgen.synth._characterised import characterised
from hwgen.synth.gates import Activity, GateNetlist, GateSim, pack_streams, read_netlist, unpack_streams
from hwgen.synth.glitches import GlitchSim
from hwgen.synth.power import BlockPower, Power, loading, power
from hwgen.verify import expected_beats
from hwgen.verify._compiled import skew_slices

__all__ = [
    "LAYERS",
    "BlockEnergy",
    "EnergyReport",
    "GlitchReport",
    "Operands",
    "Run",
    "Workload",
    "layer_operands",
    "mapped_netlist",
    "measure_energy",
    "measure_glitches",
    "pre_workload",
    "run_pre",
    "run_workload",
    "workload",
]

LAYERS = ("blk.0.attn_q", "blk.10.ffn_up", "blk.20.ffn_down")
"""Layers of the default model that give the operands: a projection of attention and both sides of the network between,
early, in the middle and late."""

TOKENS, OUTPUTS = 64, 1024
"""Tokens of real text and outputs of a layer that operands are taken from, at most."""

_COLUMNS = 1024
"""Columns of the widest tile, as the reference of many streams is one."""

_IDLE_CYCLES = 4


@dataclass(frozen=True)
class Operands:
    """Float weights [N, K] and activations [tokens, K] of one layer."""

    name: str
    weights: np.ndarray
    acts: np.ndarray


@dataclass(frozen=True)
class Workload:
    """What all streams do: bit planes [S, width, words] by input port, ``first`` … flags inside, and the expected
    outputs: bits [beats, width, streams] by output port.
    """

    streams: int
    steps: int
    planes: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class BlockEnergy:
    """All ``count`` copies of one kind of block.

    ``register_pj`` (data pins and outputs of flip-flops) and ``combinational_pj`` are spent a step, ``clock_pj`` and
    leakage in every cycle. ``idle_pj`` is what else is spent in a cycle without a step and with inputs that hold.
    """

    kind: str
    count: int
    cells: int
    flip_flops: int
    clock_pj_per_cycle: float
    register_pj_per_step: float
    combinational_pj_per_step: float
    leakage_nw: float
    idle_clock_pj_per_cycle: float
    idle_switching_pj_per_cycle: float

    def step_pj(self, cycles: float, clk_period_ns: float) -> float:
        """Energy of a step of so many cycles, leakage included."""
        # 1 nW for 1 ns is 1e-18 J: a millionth of a pJ.
        every_cycle = self.clock_pj_per_cycle + self.leakage_nw * clk_period_ns * 1e-6
        return self.register_pj_per_step + self.combinational_pj_per_step + cycles * every_cycle

    def idle_pj(self, clk_period_ns: float) -> float:
        """Energy of a cycle without a step, leakage included."""
        return self.idle_clock_pj_per_cycle + self.idle_switching_pj_per_cycle + self.leakage_nw * clk_period_ns * 1e-6


@dataclass(frozen=True)
class EnergyReport:
    """Energy of a tile per step, per multiply-accumulate and by block.

    ``vectors`` are the cycles of all streams that were simulated; ``beats`` the output beats of a stream that were
    compared, ``cycles_per_step`` counts waiting for post lanes and folding. ``output_load_pj_per_step`` charges what
    the output ports drive and is in no block; ``input_port_pj_per_step`` is the part of the blocks' energy that charges
    pins on input ports. ``pre_blocks`` are those of the pre block, where there is one; their steps are its beats, of
    one cycle each, and no total contains them.
    """

    family: str
    parameters: Mapping[str, Any]
    library: str
    library_sha256: str
    voltage_v: float
    clk_period_ns: float
    layers: tuple[str, ...]
    streams: int
    steps: int
    beats: int
    vectors: int
    cycles_per_step: float
    macs_per_step: int
    blocks: tuple[BlockEnergy, ...]
    pre_blocks: tuple[BlockEnergy, ...]
    output_load_pj_per_step: float
    input_port_pj_per_step: float
    versions: str

    def _each(self, name: str) -> float:
        return float(sum(getattr(block, name) for block in self.blocks))

    @property
    def clock_pj_per_step(self) -> float:
        """Clock pins of all flip-flops."""
        return self._each("clock_pj_per_cycle") * self.cycles_per_step

    @property
    def register_pj_per_step(self) -> float:
        """Data pins and outputs of all flip-flops."""
        return self._each("register_pj_per_step")

    @property
    def combinational_pj_per_step(self) -> float:
        """All gates."""
        return self._each("combinational_pj_per_step")

    @property
    def leakage_pj_per_step(self) -> float:
        """Leakage in the cycles of a step."""
        return self._each("leakage_nw") * self.clk_period_ns * 1e-6 * self.cycles_per_step

    @property
    def pj_per_step(self) -> float:
        """All blocks, leakage included."""
        return float(sum(block.step_pj(self.cycles_per_step, self.clk_period_ns) for block in self.blocks))

    @property
    def pj_per_mac(self) -> float:
        """`pj_per_step` over the multiply-accumulates of a step."""
        return self.pj_per_step / self.macs_per_step

    @property
    def idle_pj_per_cycle(self) -> float:
        """A cycle without a step and with inputs that hold, leakage included."""
        return float(sum(block.idle_pj(self.clk_period_ns) for block in self.blocks))

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form; units are in the names."""
        fields = dict(vars(self))
        fields["parameters"], fields["layers"] = dict(self.parameters), list(self.layers)
        for name in ("blocks", "pre_blocks"):
            fields[name] = [dict(vars(block)) for block in getattr(self, name)]
        totals = (
            "pj_per_step",
            "pj_per_mac",
            "clock_pj_per_step",
            "register_pj_per_step",
            "combinational_pj_per_step",
            "leakage_pj_per_step",
            "idle_pj_per_cycle",
        )
        return {
            **fields,
            **{name: getattr(self, name) for name in totals},
            "basis": "pre-layout: no wires, no clock tree; zero-delay: no glitches",
        }


# ---------------------------------------------------------------------------------------------------- operands


@functools.lru_cache(maxsize=8)
def layer_operands(layer: str) -> Operands:
    """A layer of the default model: outputs spread over the whole layer, tokens from the beginning of the text."""
    from sim import inputs

    weights, acts = inputs.layer_operands(None, layer, TOKENS)
    chosen = np.unique(np.linspace(0, len(weights) - 1, OUTPUTS).astype(np.int64))
    # Neighbours in the slice are to be neighbours in nothing: a tile's columns lie far apart.
    mixed = np.random.default_rng(len(weights)).permutation(chosen)
    return Operands(layer, np.ascontiguousarray(weights[mixed]), acts)


def _length(spec: TileSpec, longest: int, cycles: int) -> int:
    """Elements along K of a stream: whole groups, or steps where a group is longer, for about so many cycles."""
    p = spec.p
    step, per_step = int(spec.layer_k(p)), int(spec.layer_cycles(p))
    if int(spec.sum_group(p)) == 0 and not spec.may_overflow(p):
        longest = min(longest, int(spec.sum_depth(p)))
    unit = spec.group if 0 < spec.group <= longest else step
    wanted = max(1, round(cycles / per_step * step / unit))
    return unit * max(1, min(wanted, longest // unit))


def workload(spec: TileSpec, operands: Sequence[Operands], *, streams: int = 256, cycles: int = 128) -> Workload:
    """Operands and expected outputs of streams, about ``streams`` of them in all and ``cycles`` long.

    Raises `HwgenError` where a layer does not fit the tile.
    """
    k = _length(spec, min(one.weights.shape[1] for one in operands), cycles)
    outputs = int(spec.layer_outputs(spec.p))
    each = max(1, streams // len(operands))
    parts: list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = []
    count = steps = 0
    for one in operands:
        rows = max(1, min(len(one.acts) // spec.m, 8, each))
        per_column = spec.n * outputs
        cols = max(1, min(len(one.weights) // per_column, _COLUMNS // spec.n, -(-each // rows)))
        part, wanted, steps = _grid(spec, one, rows, cols, k)
        parts.append((part, wanted))
        count += rows * cols
    planes = {name: pack_streams(np.concatenate([part[name] for part, _ in parts], axis=-1)) for name in parts[0][0]}
    expected = {name: np.concatenate([wanted[name] for _, wanted in parts], axis=-1) for name in parts[0][1]}
    return Workload(count, steps, planes, expected)


def _grid(
    spec: TileSpec, one: Operands, rows: int, cols: int, k: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], int]:
    """Input bits [S, width, streams] and expected output bits [beats, width, streams] of rows x cols streams.

    The reference is that of a tile with ``cols`` times the columns: a sum depends on its own row and column only.
    """
    outputs = int(spec.layer_outputs(spec.p))
    n = spec.n * cols
    lanes = {"post_lanes": spec.lanes * cols} if spec.lanes else {}
    wide = type(spec)(**{**spec.p, "n": n, **lanes})
    acts = np.resize(one.acts[:, :k], (max(spec.m * rows, len(one.acts)), k))[: spec.m * rows]
    weights = np.resize(one.weights[:, :k], (max(n * outputs, len(one.weights)), k))[: n * outputs]
    schedule = Schedule(wide, Layer(one.name, spec.m * rows, n * outputs, k))
    steps = schedule.lower(wide.quantize_acts(acts), wide.quantize_weights(weights))
    bits = {
        name: _spread(spec, info, values.reshape(rows, -1, *values.shape[1:]), cols)
        for name, (info, values) in _port_values(wide, steps).items()
    }
    beats = run_steps(wide, steps)
    wanted: dict[str, np.ndarray] = {}
    for info in tile_ports(spec):
        if info.direction != "output" or info.role == "control":
            continue
        if info.role == "y":
            assert beats.y is not None
            values = beats.y.reshape(rows, -1, spec.m, cols, spec.n).astype(np.int64)
            elements = values.transpose(1, 2, 4, 0, 3).reshape(-1, spec.lanes, rows, cols)
        elif info.role == "sums":
            values = beats.sums.reshape(rows, -1, spec.m, cols, spec.n, beats.sums.shape[-1])
            elements = values.transpose(1, 2, 4, 5, 0, 3)
        else:
            values = beats.rows.reshape(rows, -1, spec.m).transpose(1, 2, 0)[..., None]
            elements = np.broadcast_to(values, (*values.shape[:-1], cols))
        wanted[info.name] = _bits(elements.reshape(len(elements), -1, rows, cols), info.bits)
    return bits, wanted, len(steps) // rows


def _port_values(spec: TileSpec, steps: Steps) -> dict[str, tuple[PortInfo, np.ndarray]]:
    """Elements of every input port but the handshake."""
    flags = {"i_first": steps.first, "i_last": steps.last, "i_done": steps.done}
    values: dict[str, np.ndarray] = {
        "i_acts": spec.pack_acts(steps.acts, steps.mode),
        "i_weights": spec.pack_weights(steps.weights, steps.mode),
        "i_mode": np.full(len(steps), steps.mode),
        **{name: flag.astype(np.int64) for name, flag in flags.items()},
        **{f"i_row_{name}": side for name, side in steps.row.items()},
        **{f"i_col_{name}": side for name, side in steps.col.items()},
    }
    infos = [info for info in tile_ports(spec) if info.direction == "input" and info.name != "i_valid"]
    return {info.name: (info, values[info.name]) for info in infos}


def _spread(spec: TileSpec, info: PortInfo, values: np.ndarray, cols: int) -> np.ndarray:
    """Elements [rows, S, ...] of the wide tile's port → bits [S, width, rows · cols] of the narrow tile's."""
    rows, steps = values.shape[:2]
    if info.role in ("weights", "col_side"):
        cut = values.reshape(rows, steps, cols, -1).transpose(1, 3, 0, 2)
    else:
        cut = values.reshape(rows, steps, -1, 1).transpose(1, 2, 0, 3)
    full = np.broadcast_to(cut, (*cut.shape[:3], cols))
    return _bits(full, info.bits or info.width)


def _bits(elements: np.ndarray, bits: int) -> np.ndarray:
    """Integers [T, elements, rows, cols] → bits [T, elements · bits, rows · cols], lowest first."""
    if elements.dtype != object:
        elements = elements.astype(np.int64)
    places = np.arange(bits) if elements.dtype != object else np.arange(bits).astype(object)
    split = (elements[:, :, None] >> places[:, None, None]) & 1
    flat: np.ndarray = split.astype(np.uint8).reshape(elements.shape[0], -1, elements.shape[2] * elements.shape[3])
    return flat


# ---------------------------------------------------------------------------------------------------- running


@dataclass(frozen=True)
class Run:
    """Counts of a run of a workload, and of idle cycles after it (the same counts where there were none). ``busy``
    cycles lie between the offer of the first step and the acceptance of the last.
    """

    activity: Activity
    idle: Activity
    cycles: int
    busy: int
    beats: int


def run_workload(spec: TileSpec, sim: GateSim, work: Workload, idle: int = _IDLE_CYCLES) -> Run:
    """Drive all streams, count, and compare every output beat with the reference; then ``idle`` cycles, if any.

    Raises `HwgenError` when the netlist puts out anything else than the reference does, or at another time.
    """
    slowest = int(spec.step_cycles(spec.p, spec.layer_mode)) + int(spec.post_cycles(spec.p)) + spec.folds
    drain = int(spec.drain(spec.p)) + int(spec.skew(spec.p)) + int(spec.post_cycles(spec.p)) + 4
    return _Driver(f"{spec.family} tile", tile_ports(spec), sim, work).run(slowest, drain, idle)


def run_pre(spec: TileSpec, sim: GateSim, work: Workload, idle: int = _IDLE_CYCLES) -> Run:
    """The same for the pre block of a tile."""
    pre = spec.pre()
    assert pre is not None
    return _Driver(f"{spec.family} pre block", pre.ports(), sim, work).run(1, pre.latency + 4, idle)


class _Driver:
    """Drives the streams of a netlist with the protocol of tiles."""

    def __init__(self, what: str, infos: list[PortInfo], sim: GateSim, work: Workload) -> None:
        self.what, self.infos, self.sim, self.work = what, infos, sim, work
        self.mask = pack_streams(np.ones((1, work.streams), np.uint8))
        self.seen: dict[str, list[np.ndarray]] = {port: [] for port in work.expected}
        self.valid: list[bool] = []

    def run(self, slowest: int, drain: int, idle: int) -> Run:
        sim, work = self.sim, self.work
        ones, zeros = np.full((1, sim.words), sim.one), np.zeros((1, sim.words), np.uint64)
        resets = [how for how in (Reset(active=active) for active in ACTIVE) if how.port in sim.netlist.inputs]
        for at_work in (False, True):
            for how in resets:
                sim.set(how.port, ones if at_work != bool(how.level) else zeros)
            sim.settle()
            sim.clock()
        sim.reset_counts()
        limit = work.steps * slowest + 64
        sim.set("i_valid", ones)
        for step in range(work.steps):
            for port, planes in work.planes.items():
                sim.set(port, planes[step])
            while not self._cycle():
                if len(self.valid) > limit:
                    raise HwgenError(
                        f"energy: the mapped {self.what} must take {work.steps} steps in {limit} cycles, "
                        "which it does not"
                    )
        busy = len(self.valid)
        sim.set("i_valid", zeros)
        for _ in range(drain):
            self._cycle()
        activity, cycles = sim.activity(), sim.cycles
        beats = self._compare(np.flatnonzero(self.valid))
        if idle:
            sim.reset_counts()
            for _ in range(idle):
                self._cycle()
        return Run(activity, sim.activity(), cycles, busy, beats)

    def _cycle(self) -> bool:
        """One cycle of all streams; whether the step is accepted."""
        sim = self.sim
        sim.settle()
        sim.count()
        for port, seen in self.seen.items():
            seen.append(sim.get(port))
        self.valid.append(self._flag("o_valid"))
        ready = self._flag("i_ready")
        sim.clock()
        return ready

    def _flag(self, port: str) -> bool:
        found = self.sim.get(port) & self.mask
        if found.any() and not np.array_equal(found, self.mask):
            raise HwgenError(
                f"energy: all streams of the mapped {self.what} must be in step, but {port} is not the same in all"
            )
        return bool(found.any())

    def _compare(self, at: np.ndarray) -> int:
        for port, wanted in self.work.expected.items():
            if len(at) != len(wanted):
                raise HwgenError(
                    f"energy: the mapped {self.what} must put out {len(wanted)} beats a stream, not {len(at)}"
                )
            late = np.zeros(wanted.shape[1], np.int64)
            for part in skew_slices(self.infos):
                if part.port == port:
                    late[part.lsb : part.lsb + part.width] = part.delay
            history = np.stack(self.seen[port])
            got = np.stack([history[at + late[bit], bit] for bit in range(wanted.shape[1])], axis=1)
            different = unpack_streams(got, self.work.streams) != wanted
            if different.any():
                beat, bit, stream = np.argwhere(different)[0].tolist()
                raise HwgenError(
                    f"energy: the mapped {self.what} must put out what the reference does; {int(different.sum())} "
                    f"bits of {port} differ, the first at beat {beat}, bit {bit}, stream {stream}"
                )
        return len(at)


def mapped_netlist(result: TileResult, *, pre: bool = False) -> GateNetlist:
    """The flat netlist of a mapped tile, or of its pre block, each cell with its block."""
    verilog = tile_netlist(result)
    names = {name for part in result.whole for name in part.mapped.cell_types}
    top = f"{result.spec.family}_tile{'_pre' if pre else ''}"
    return read_netlist(verilog, characterised(result.library, sorted(names)), top)


def measure_energy(
    spec: TileSpec,
    library: Library | None = None,
    result: TileResult | None = None,
    *,
    layers: Sequence[str] = LAYERS,
    operands: Sequence[Operands] | None = None,
    streams: int = 256,
    cycles: int = 128,
    clk_period_ns: float = 1.0,
) -> EnergyReport:
    """Map a tile, run layers of the default model through the netlist, and add up what switching costs.

    Parameters
    ----------
    library: None is the project's generic one. result: the tile as it was mapped before, with its library and period.
    layers: of the default model. operands: these instead. streams, cycles: how much to simulate, about.
    clk_period_ns: target of mapping, and the time in which leakage is counted.

    Raises `HwgenError` when the netlist differs from the reference, and as `synthesise` and `layer_operands` do.
    """
    result = result or synthesise(spec, library or generic_library(), options=SynthOptions(clk_period_ns=clk_period_ns))
    netlist = mapped_netlist(result)
    known = characterised(result.library, netlist.cells)
    given = [layer_operands(name) for name in layers] if operands is None else list(operands)
    work = workload(spec, given, streams=streams, cycles=cycles)
    run = run_workload(spec, GateSim(netlist, known, work.streams), work)
    busy, idle = _powers(netlist, result.library, run)
    p = spec.p
    return EnergyReport(
        family=spec.family,
        parameters=p,
        library=result.library.name,
        library_sha256=result.library.sha256,
        voltage_v=result.library.voltage_v,
        clk_period_ns=result.target_clk_period_ns,
        layers=tuple(one.name for one in given),
        streams=work.streams,
        steps=work.steps,
        beats=run.beats,
        vectors=run.activity.vectors,
        cycles_per_step=run.busy / work.steps,
        macs_per_step=spec.m * spec.n * int(spec.layer_outputs(p)) * int(spec.layer_k(p)),
        blocks=_blocks(busy, idle, run.cycles / work.steps),
        pre_blocks=_pre_blocks(result, given, cycles),
        output_load_pj_per_step=busy.output_load_pj * run.cycles / work.steps,
        input_port_pj_per_step=busy.input_port_pj * run.cycles / work.steps,
        versions=result.versions,
    )


def _powers(netlist: GateNetlist, library: Library, run: Run) -> tuple[Power, Power]:
    """While it works, and at rest."""
    loaded = loading(netlist, characterised(library, netlist.cells), library)
    return power(netlist, library, run.activity, loaded), power(netlist, library, run.idle, loaded)


def _blocks(busy: Power, idle: Power, cycles_per_step: float) -> tuple[BlockEnergy, ...]:
    def block(one: BlockPower, at_rest: BlockPower) -> BlockEnergy:
        return BlockEnergy(
            kind=one.kind,
            count=one.count,
            cells=one.cells,
            flip_flops=one.flip_flops,
            clock_pj_per_cycle=one.clock_pj,
            register_pj_per_step=one.register_pj * cycles_per_step,
            combinational_pj_per_step=one.combinational_pj * cycles_per_step,
            leakage_nw=one.leakage_nw,
            idle_clock_pj_per_cycle=at_rest.clock_pj,
            idle_switching_pj_per_cycle=at_rest.register_pj + at_rest.combinational_pj,
        )

    return tuple(block(*pair) for pair in zip(busy.blocks, idle.blocks, strict=True))


def _pre_blocks(result: TileResult, operands: Sequence[Operands], cycles: int) -> tuple[BlockEnergy, ...]:
    """Blocks of the pre block; none where there is none, or where it has not been mapped."""
    if result.spec.pre() is None or not any(block.kind == "pre_control" for block in result.whole):
        return ()
    netlist = mapped_netlist(result, pre=True)
    work = pre_workload(result.spec, operands, cycles=cycles)
    run = run_pre(result.spec, GateSim(netlist, characterised(result.library, netlist.cells), work.streams), work)
    busy, idle = _powers(netlist, result.library, run)
    blocks = _blocks(busy, idle, run.cycles / work.steps)
    return tuple(dataclasses.replace(block, kind=f"pre_{block.kind}") for block in blocks)


def pre_workload(spec: TileSpec, operands: Sequence[Operands], *, cycles: int = 128) -> Workload:
    """Activations before they are prepared, each stream a block of tokens; about ``cycles`` beats of each."""
    pre = spec.pre()
    assert pre is not None
    longest = min(one.acts.shape[1] for one in operands)
    scope = pre.group if pre.align == "group" and 0 < pre.group <= longest else pre.k
    k = scope * max(1, min(longest // scope, round(cycles * pre.k / pre.passes / scope)))
    formats = spec.quantization()
    bits: dict[str, list[np.ndarray]] = {}
    wanted: dict[str, list[np.ndarray]] = {}
    count = steps = 0
    for one in operands:
        blocks = len(one.acts) // pre.m or 1
        acts = acts_for(formats, np.resize(one.acts[:, :k], (blocks * pre.m, k)))
        beats = pre.lower(acts.codes)
        values = {"i_acts": beats["acts"], "i_observe": beats["observe"], "i_first": beats["first"]}
        words, scale = expected_beats(pre, acts)
        expected = {"o_acts": words} | ({} if scale is None else {"o_scale": scale})
        for info in pre.ports():
            for source, target in ((values, bits), (expected, wanted)):
                if info.name in source:
                    # Blocks of tokens come one after the other; here they go side by side.
                    each = source[info.name].astype(np.int64).reshape(blocks, -1, info.width // (info.bits or 1), 1)
                    target.setdefault(info.name, []).append(_bits(each.transpose(1, 2, 0, 3), info.bits or 1))
        count += blocks
        steps = len(beats["first"]) // blocks
    planes = {name: pack_streams(np.concatenate(parts, axis=-1)) for name, parts in bits.items()}
    return Workload(count, steps, planes, {name: np.concatenate(parts, axis=-1) for name, parts in wanted.items()})


# ---------------------------------------------------------------------------------------------------- glitches


@dataclass(frozen=True)
class GlitchReport:
    """Energy of switching a step with glitches, by the delays that were simulated; clock and leakage left out.

    Entries are ``zero`` (no glitches), ``unit`` (every gate takes one step), ``timed`` (delays of the library, pulses
    shorter than a gate's delay swallowed) and ``timed_raw`` (not by the gate itself). ``vectors`` are the sampled
    cycles of all streams.
    """

    family: str
    parameters: Mapping[str, Any]
    library: str
    cells: int
    layers: tuple[str, ...]
    vectors: int
    toggles_per_cycle: Mapping[str, float]
    combinational_pj_per_step: Mapping[str, float]
    register_pj_per_step: Mapping[str, float]
    clock_pj_per_step: float

    def factor(self, delays: str) -> float:
        """Combinational energy by these delays over that without glitches."""
        return self.combinational_pj_per_step[delays] / self.combinational_pj_per_step["zero"]

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        fields = dict(vars(self))
        fields["parameters"], fields["layers"] = dict(self.parameters), list(self.layers)
        return fields | {"combinational_factor": {name: self.factor(name) for name in self.combinational_pj_per_step}}


def measure_glitches(
    spec: TileSpec,
    library: Library | None = None,
    result: TileResult | None = None,
    *,
    layers: Sequence[str] = LAYERS,
    operands: Sequence[Operands] | None = None,
    streams: int = 64,
    cycles: int = 128,
    every: int = 4,
    clk_period_ns: float = 1.0,
) -> GlitchReport:
    """`measure_energy` with the changes within one of ``every`` cycles; some hundred times slower a vector."""
    result = result or synthesise(spec, library or generic_library(), options=SynthOptions(clk_period_ns=clk_period_ns))
    netlist = mapped_netlist(result)
    known = characterised(result.library, netlist.cells)
    given = [layer_operands(name) for name in layers] if operands is None else list(operands)
    work = workload(spec, given, streams=streams, cycles=cycles)
    loaded = loading(netlist, known, result.library)
    sim = GlitchSim(netlist, known, work.streams, loaded, every)
    run = run_workload(spec, sim, work, idle=0)
    found = sim.glitches()
    rates = {name: getattr(found, name) / found.vectors for name in ("zero", "unit", "timed", "timed_raw")}
    powers = {name: power(netlist, result.library, run.activity, loaded, rate) for name, rate in rates.items()}
    per_step = run.cycles / work.steps

    def each(what: str) -> dict[str, float]:
        return {name: per_step * sum(getattr(block, what) for block in p.blocks) for name, p in powers.items()}

    return GlitchReport(
        family=spec.family,
        parameters=spec.p,
        library=result.library.name,
        cells=netlist.size,
        layers=tuple(one.name for one in given),
        vectors=found.vectors,
        toggles_per_cycle={name: float(rate.sum()) for name, rate in rates.items()},
        combinational_pj_per_step=each("combinational_pj"),
        register_pj_per_step=each("register_pj"),
        clock_pj_per_step=run.busy / work.steps * sum(block.clock_pj for block in powers["zero"].blocks),
    )
