"""`TileSpec`: the one immutable description of a tile from which every view is derived.

A family is one file with one subclass. It declares parameters with `param`, widths and cycle counts as class methods
over a mapping of parameters (scalars or arrays), the reference arithmetic in numpy, and the logic of its blocks as
functions that add combinational statements to a module. Sequencing, pipeline cuts, transport, accumulators, ports,
manifest, tests and sweeps are the frame's.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from hwgen.arith.compressor import Term
from hwgen.errors import HwgenError
from hwgen.formats import Format, QTensor, get
from hwgen.pe._numbers import Num, bits_for, bits_for_multiple, ceil_div, clog2, maximum, unsigned_bits, where
from hwgen.pe._param import Param, Range, check, param, parameters, plain, resolve, whole_number

if TYPE_CHECKING:
    from amaranth.hdl import Module, Value
    from amaranth.lib import wiring

    from hwgen.pe._pre import PreSpec

__all__ = ["Addend", "Block", "Companion", "Mode", "PreCounts", "Quantization", "Side", "State", "TileSpec"]

P = Mapping[str, Any]
"""Parameters by name; values are scalars or integer arrays that broadcast."""

_INT64_SUMS = 62
"""Widest sums that the reference keeps in int64: one addition more cannot overflow it."""

Counts = dict[str, Num]
"""Primitive name → number of them. The primitives are those of the technology table."""


class Addend(NamedTuple):
    """What a cell adds to one of its sums in one cycle: ``value`` (signed) plus the one-bit ``carry``.

    ``rows``, in place of both, go into one carry-save tree with the sum itself, modulo its width: one carry chain
    instead of two. Only where no register is between product and accumulator (``stages`` below 2), and sums do not
    saturate.
    """

    value: Value
    carry: Value | None = None
    rows: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Side:
    """A field of side information that stays constant within a group, e.g. a scale or a selector."""

    bits: int
    doc: str
    signed: bool = False
    values: range | None = None
    """Values that may occur, where not every one of ``bits`` bits may."""
    encoding: str = ""
    """Name of the format of its codes; without one they are plain integers."""


@dataclass(frozen=True)
class Mode:
    """One run-time mode of a tile. Cycles are clock cycles."""

    name: str
    acts: str
    weights: str
    k: int
    cycles_per_step: int
    latency: int
    lanes: str = "one sum per cell"


@dataclass(frozen=True)
class Block:
    """``count`` copies of a block and the primitives in one copy."""

    count: Num
    primitives: Counts


@dataclass(frozen=True)
class Companion:
    """A block that is emitted beside the tile, such as a register file that feeds one of its side ports.

    ``build`` makes the component, ``ports`` says what each of its ports is. ``elements`` names the number of elements
    and their encoding (empty: whole numbers) of ports that have several or are codes; ``arithmetic`` is for the
    manifest.
    """

    summary: str
    build: Callable[[], wiring.Component]
    ports: Mapping[str, str]
    elements: Mapping[str, tuple[int, str]] = dataclasses.field(default_factory=dict)
    arithmetic: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class PreCounts:
    """The block before the activation buffer, as the cost model sees it.

    ``source`` is the format name of the codes that it takes, ``align`` whether it needs a first pass for the largest
    exponent of a scope, ``row`` the primitives of one row's table builder (without aligner and registers), ``latency``
    in cycles.
    """

    source: str
    align: bool
    row: Counts
    latency: int = 1

    @property
    def passes(self) -> int:
        """How often each beat is sent."""
        return 2 if self.align else 1


@dataclass(frozen=True)
class Quantization:
    """How a layer is quantised for a tile: all that the golden layer needs to know, in format names.

    ``scheme`` is the integer weight scheme (symmetric, asymmetric, minimum, bipolar), or ``"mx"`` for blocks that
    share an E8M0 scale on both sides (``block_rule`` floor or ceil). ``arithmetic`` names the golden layer's arithmetic
    (`sim.golden.golden_layer`): "exact" is exact group sums, one rounding into FP32 a group; ``options`` are the
    settings of another one. ``align`` is None, or the scope ("step", "group",
    "row") over which floating-point activations become integers with ``align_guard`` bits below the largest one's last
    place, rounded as
    ``align_rounding`` says. ``step`` is the tile's K. ``overflow`` "saturate" or "wrap": sums have ``sum_bits`` bits
    and take one number a step.
    """

    acts: str
    weights: str
    scheme: str
    group: int
    act_scale: str
    weight_scale: str
    align: str | None = None
    align_guard: int = 0
    align_rounding: str = "rne"
    step: int = 1
    block_rule: str = "floor"
    arithmetic: str = "exact"
    options: tuple[tuple[str, Any], ...] = ()
    overflow: str = "refuse"
    sum_bits: int = 0


@dataclass(frozen=True)
class State:
    """Accumulators of a tile: ``sums`` int64 or object [M, N, P], ``rows`` [M] (activation sums, zero if unused).

    A family that keeps more (partial sums, say) derives its own and overrides `TileSpec.init`, `step` and `read`.
    """

    sums: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TileSpec:
    """Base of every PE family. Shapes: activations [M, K] codes, weights [N, K] codes, sums [M, N, P]."""

    m: int = param(2, "rows: activation vectors per step (tile M)", legal=Range(1, 256), sweep=(1, 2, 4))
    n: int = param(8, "columns: weight vectors per step (tile N)", legal=Range(1, 1024), sweep=(2, 4, 8))
    k: int = param(4, "products per sum and step (tile K)", legal=Range(1, 256), sweep=(2, 4, 8))
    group: int = param(
        128,
        "group size: elements along K that share a scale; 0, or -1 as AWQ and GPTQ write it, is the whole row",
        legal=Range(0, 1 << 20),
        spellings={-1: 0},
        sweep=(64, 128),
    )
    depth: int = param(
        128,
        "most products between clears; sizes the accumulator",
        legal=Range(1, 1 << 20),
        sweep=(64, 128),
        unit="products",
    )
    overflow: str = param(
        "refuse",
        "groups longer than depth: refused, or sums saturate, or sums wrap",
        legal=("refuse", "saturate", "wrap"),
        sweep=("refuse", "saturate", "wrap"),
    )
    stages: int = param(
        1,
        "pipeline cuts: 1 front-end|cell, 2 also product|accumulator, 3 also input|front-end",
        legal=Range(0, 3),
        sweep=(0, 1, 2, 3),
    )
    transport: str = param(
        "broadcast",
        "operands reach all cells at once, or by one register per hop",
        legal=("broadcast", "systolic"),
        sweep=("broadcast", "systolic"),
    )

    family: ClassVar[str] = ""
    sums_per_cell: ClassVar[int] = 1
    """P, sums per cell, where it is a constant; `sums_of_cell` is the formula."""
    golden_overflow: ClassVar[bool] = False
    """Whether the golden layer knows how sums of this family saturate or wrap: they take one number a step."""
    row_per_phase: ClassVar[bool] = False
    """Whether the row bus changes within a step (its register is then clocked in every phase)."""
    col_per_phase: ClassVar[bool] = True
    """Whether the column bus changes within a step."""
    cell_uses_phase: ClassVar[bool] = True
    """Whether a cell needs the phase (a shift or a last plane that depends on it)."""
    POST_SIDES: ClassVar[tuple[str, ...]] = ("scale", "zero")
    """Side information that the post lanes use; the front-ends see all of it."""

    NOT_IN_SIDES: ClassVar[frozenset[str]] = frozenset({"m", "n", "depth", "overflow", "stages", "transport"})
    """Parameters of the frame, on which neither side information nor the number of modes may depend."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # The file is the registration: its name is the family's name.
        cls.family = cls.__module__.rsplit(".", 1)[-1]

    def __post_init__(self) -> None:
        for name, value in check(self.family, self.parameters(), self.p).items():
            object.__setattr__(self, name, value)
        for ok, text in self.constraints(self.p):
            if not ok:
                raise HwgenError(f"{self.family}: {text.format(**self.p)}")

    # ------------------------------------------------------------------ parameters

    @classmethod
    def parameters(cls) -> dict[str, Param]:
        """Declared parameters by name, in declaration order."""
        return parameters(cls)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; raises `HwgenError` for an unknown name or an illegal value."""
        known = cls.parameters()
        kept = {name: known[name].plain(value) if name in known else plain(value) for name, value in values.items()}
        # What a family translates is compared and looked up there: it gets names and numbers, whole ones for widths.
        check(cls.family, known, {n: v for n, v in kept.items() if n in known and not isinstance(v, Hashable)})
        if "bits" not in known and not isinstance(width := kept.get("bits", 1), str) and whole_number(width) is None:
            raise HwgenError(f"{cls.family}: bits must be a whole number, not {width!r}")
        return cls(**resolve(cls.family, known, cls.aliases(kept)))

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Translate the names that hold for every family (``bits`` = weight width) into this family's own."""
        return dict(values)

    @classmethod
    def fitting_lanes(cls, given: dict[str, Any], lanes: int) -> dict[str, Any]:
        """``given`` with as many post lanes as divide its n, at most ``lanes``, where it does not name them and their
        default are not as many.
        """
        known = cls.parameters()
        columns = whole_number(given.get("n", known["n"].default))
        if columns is not None and columns > 0 and "post_lanes" not in given:
            fitting = max(count for count in range(1, min(lanes, columns) + 1) if columns % count == 0)
            if fitting != known["post_lanes"].default:
                given["post_lanes"] = fitting
        return given

    @property
    def p(self) -> dict[str, Any]:
        """This instance's parameters as the mapping that the formulas take."""
        return {name: getattr(self, name) for name in parameters(type(self))}

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        """Pairs (holds, sentence with {parameter} fields) over scalars or arrays; all must hold."""
        step = cls.layer_k(p)
        yield (
            (p["group"] % step) == 0,
            "group must be a multiple of k ({k}), not {group}; choose a k that divides the group"
            if step is p["k"]
            else "group must be a multiple of the elements that a step takes along K, not {group}",
        )
        yield (
            (p["overflow"] != "refuse") | (p["depth"] >= step) | (p["group"] > 0),
            "depth must hold the products of a step ({k}), not {depth}"
            if step is p["k"]
            else "depth must hold the products of a step, not {depth}",
        )
        # What is corrected afterwards must not have been bounded before: Σ A·W and Σ A are bounded apart.
        yield (
            (p["overflow"] == "refuse") | (not cls.corrects_sums(p)) | (cls.sum_group(p) <= cls.sum_depth(p)),
            "group must fit depth ({depth}) where activation sums correct for zero points, not {group}: sums that "
            "{overflow} cannot be corrected; use a larger --depth or a smaller --group",
        )
        # Whole rows are as long as the layer: their fit is the schedule's to see.
        fits = (p["overflow"] != "refuse") | (cls.sum_group(p) <= cls.sum_depth(p))
        yield fits, "group must fit depth ({depth}), not {group}; " + cls._deeper(p, fits)
        if cls.uses_lanes(p) is not False:
            lanes = p["post_lanes"]
            yield (
                (lanes == 0) | (cls.fold_cycles(p) == 0),
                "post_lanes must be 0 where partial sums are folded after a group, not {post_lanes}",
            )
            yield (lanes == 0) | (p["n"] % maximum(lanes, 1) == 0), "post_lanes must divide n ({n}), not {post_lanes}"
            yield (
                (lanes == 0) | (p["transport"] == "broadcast"),
                "post_lanes must be 0 with systolic transport, not {post_lanes}; use --transport broadcast",
            )
            group = cls.sum_group(p)
            # Without a bound on the group its steps are the layer's: long enough or not is the schedule's to see.
            yield (
                (lanes == 0) | (group > 0) | (p["group"] > 0),
                "group must be positive with post_lanes ({post_lanes}), not 0",
            )

    @classmethod
    def _deeper(cls, p: P, fits: Num) -> str:
        """What to do about groups that do not fit (scalars only; sweeps never print it)."""
        if any(isinstance(value, np.ndarray) for value in p.values()) or fits:
            return ""
        return cls.depth_hint(p, int(cls.sum_group(p)))

    @classmethod
    def depth_hint(cls, p: P, products: int) -> str:
        """What makes room for sums of so many products: the smallest depth that works, if one does, or less of them."""
        if products not in (cls.parameters()["depth"].legal or ()):
            return "no depth is large enough: use a smaller --group"
        deeper = {**p, "depth": products}
        broken = [text for ok, text in cls.constraints(deeper) if "depth" in text and not ok]
        if broken:
            rule = broken[0].partition(", not ")[0].format(**deeper)
            return f"no depth of this tile is large enough ({rule}): use a smaller --group"
        return f"the smallest depth that works is {products}: use --depth {products} or a smaller --group"

    @classmethod
    def uses_lanes(cls, p: P) -> bool:
        """Whether the family has a ``post_lanes`` parameter."""
        return "post_lanes" in p

    # ------------------------------------------------------------------ formulas (scalars or arrays)

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        """(elements per row, bits per element) of the activation port."""
        raise NotImplementedError

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        """(elements per column, bits per element) of the weight port."""
        raise NotImplementedError

    @classmethod
    def stored_bits(cls, p: P) -> tuple[Num, Num]:
        """Bits that memory holds, and moves, of what a row and a column take in a step of a layer; no side information.

        Those of the ports, unless a port's words are wider than the codes in them: then the codes'.
        """
        (acts, act_bits), (weights, weight_bits) = cls.act_port(p), cls.weight_port(p)
        return acts * act_bits, weights * weight_bits

    @classmethod
    def stored_side_bits(cls, p: P) -> tuple[Counts, Counts]:
        """The same of the fields of row and of column side information, once a group."""
        return cls.side_bits(p)

    @classmethod
    def weight_stored_bits(cls, p: P) -> Num:
        """Bits of one weight in memory, its share of the side information left out."""
        return cls.stored_bits(p)[1] / (cls.layer_k(p) * cls.layer_outputs(p))

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        """Width of the row bus; the codes themselves unless the family has a row front-end."""
        count, bits = cls.act_port(p)
        return count * bits

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        """Width of the column bus."""
        count, bits = cls.weight_port(p)
        return count * bits

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        """Smallest and largest value that one product adds to a sum."""
        raise NotImplementedError

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        """Two's-complement bits of what a cell adds in one cycle."""
        raise NotImplementedError

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        """1 where a cell's addend comes with a carry-in (a negation left to the accumulator's adder), else 0."""
        return 0

    @classmethod
    def row_addend_bits(cls, p: P) -> Num:
        """Two's-complement bits of what a step adds to a row's activation sum."""
        bounds = cls.row_sum_range(p)
        return 0 if bounds is None else bits_for(bounds[0] * p["k"], bounds[1] * p["k"])

    @classmethod
    def row_sum_primitives(cls, p: P) -> Counts:
        """Primitives that form a step's activation sum, without its accumulator."""
        return {"add": (p["k"] - 1) * cls.row_addend_bits(p)}

    @classmethod
    def row_sum_range(cls, p: P) -> tuple[Num, Num] | None:
        """Smallest and largest activation (in units of the sum), or None where no activation sum is kept."""
        return None

    @classmethod
    def corrects_sums(cls, p: P) -> bool:
        """Whether wanted sums need activation sums beside their own; asked of what is refused, too, whose ranges no
        array holds.
        """
        return cls.row_sum_range(p) is not None

    @classmethod
    def sums_of_cell(cls, p: P) -> Num:
        """P, sums per cell."""
        return cls.sums_per_cell

    @classmethod
    def sum_group(cls, p: P) -> Num:
        """Elements along K between clears of the sums; 0 is the whole row.

        Side information follows ``group`` and comes with every step, so that it may change within an accumulation.
        """
        return p["group"]

    @classmethod
    def sum_depth(cls, p: P) -> Num:
        """Most products that a sum holds without overflow."""
        return p["depth"]

    @classmethod
    def overflow_in_layers(cls, p: P) -> Num:
        """Whether groups of a layer may be longer than `sum_depth`: sums then saturate or wrap, as in the golden layer.

        Not where activation sums correct for zero points: both sums are bounded apart.
        """
        if p["overflow"] == "refuse" or not cls.golden_overflow or cls.corrects_sums(p):
            return False
        return cls.acc_bits(p) <= _INT64_SUMS

    @classmethod
    def layer_k(cls, p: P) -> Num:
        """Elements along K that a step of a layer takes, in the mode in which layers run."""
        return p["k"]

    @classmethod
    def layer_outputs(cls, p: P) -> Num:
        """Outputs of a layer that a column computes, in the mode in which layers run.

        With more than one, `code_columns` has as many weights for each activation, those of one element together.
        """
        return 1

    @classmethod
    def layer_cycles(cls, p: P) -> Num:
        """Cycles from one step of a layer to the next, in the mode in which layers run."""
        return cls.step_cycles(p)

    @classmethod
    def cycles_per_step(cls, p: P, mode: int = 0) -> Num:
        """Cycles in which a step occupies the cells."""
        return where(p["m"] > 0, 1, 1)

    @classmethod
    def interval(cls, p: P) -> Num:
        """Cycles between dependent updates of one sum."""
        return 1

    @classmethod
    def fold_cycles(cls, p: P) -> Num:
        """Cycles after a group's last step in which cells fold interleaved partial sums; no step is taken in them."""
        return 0

    @classmethod
    def fold_bits(cls, p: P) -> Num:
        """Bits of the count of fold cycles, which goes from 1 to `fold_cycles` and is 0 otherwise."""
        return unsigned_bits(cls.fold_cycles(p))

    @classmethod
    def accumulator_latency(cls, p: P) -> Num:
        """Cycles from an addend at the accumulator to the sum that holds it."""
        return 1

    @classmethod
    def accumulator_primitives(cls, p: P) -> Counts:
        """Primitives of a cell's accumulators, all P of them, with their registers."""
        from hwgen.pe._inventory import accumulator

        return {name: cls.sums_of_cell(p) * count for name, count in accumulator(p, cls.acc_bits(p)).items()}

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        """Primitives of a cell's product logic, without accumulator and pipeline registers."""
        return {}

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        """Primitives of a row front-end, without its output register."""
        return {}

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        """Primitives of a column front-end, without its output register."""
        return {}

    @classmethod
    def step_cycles(cls, p: P, mode: int = 0) -> Num:
        """Cycles from one step to the next."""
        return maximum(cls.cycles_per_step(p, mode), cls.interval(p))

    @classmethod
    def acc_bits(cls, p: P) -> Num:
        """Accumulator width: exact for ``depth`` products, and not wider."""
        low, high = cls.product_range(p)
        return bits_for_multiple(low, high, p["depth"])

    @classmethod
    def row_sum_bits(cls, p: P) -> Num:
        """Width of an activation sum; 0 where none is kept."""
        bounds = cls.row_sum_range(p)
        return 0 if bounds is None else bits_for_multiple(bounds[0], bounds[1], p["depth"])

    @classmethod
    def latency(cls, p: P) -> Num:
        """Cycles from the last cycle of a group's last step to its sums at the output (cell 0, 0)."""
        fold = cls.fold_cycles(p)
        # What a step waits for the next update of its sums runs beside the pipeline, but folding comes after it.
        waited = where(fold > 0, 0, cls.step_cycles(p) - cls.cycles_per_step(p))
        return p["stages"] + cls.accumulator_latency(p) + fold - waited

    @classmethod
    def post_beats(cls, p: P) -> Num:
        """Output beats of one result of the post lanes; 0 without lanes."""
        if not cls.uses_lanes(p):
            return 0
        return where(p["post_lanes"] > 0, ceil_div(p["m"] * p["n"], maximum(p["post_lanes"], 1)), 0)

    @classmethod
    def skew(cls, p: P) -> Num:
        """Cycles by which the last cell of a systolic tile trails the first."""
        if isinstance(p["transport"], np.ndarray):
            return np.where(p["transport"] == "systolic", p["m"] + p["n"] - 2, 0)
        return p["m"] + p["n"] - 2 if p["transport"] == "systolic" else 0

    @classmethod
    def post_cycles(cls, p: P) -> Num:
        """Cycles for which the post lanes are busy with one group: groups end at least this far apart."""
        return cls.post_beats(p)

    @classmethod
    def post_latency(cls, p: P) -> Num:
        """Cycles from the sums to their first scaled beat: snapshot, correct, multiply, round, add."""
        return 5

    @classmethod
    def drain(cls, p: P) -> Num:
        """Cycles from the last cycle of the last step to the last output beat."""
        beats = cls.post_beats(p)
        return cls.latency(p) + cls.skew(p) + where(beats > 0, cls.post_latency(p) + beats - 1, 0)

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        """Widths of the fields of row and of column side information; 0 where a field is absent.

        This version asks one instance for each distinct combination of parameters. A family that is swept widely
        overrides it with a formula and takes the widths in `row_side` and `col_side` from there.
        """

        def ask(spec: Self) -> dict[str, int]:
            rows = {f"row.{name}": side.bits for name, side in spec.row_side().items()}
            return rows | {f"col.{name}": side.bits for name, side in spec.col_side().items()}

        if cls.row_side is TileSpec.row_side and cls.col_side is TileSpec.col_side:
            return {}, {}
        found = cls._facts(p, ask)
        row, col = (
            {name.removeprefix(kind): bits for name, bits in found.items() if name.startswith(kind)}
            for kind in ("row.", "col.")
        )
        return row, col

    @classmethod
    def mode_count(cls, p: P) -> Num:
        """Number of run-time modes, from instances as in `side_bits`."""
        if cls.modes is TileSpec.modes:
            return 1
        return cls._facts(p, lambda spec: {"modes": len(spec.modes())})["modes"]

    @classmethod
    def pre_counts(cls, p: P) -> PreCounts | None:
        """The block before the activation buffer, or None; every family with `pre` says what it costs."""
        if cls.pre is TileSpec.pre:
            return None
        raise HwgenError(f"{cls.family}: a family with a pre block must define pre_counts, which prices it")

    @classmethod
    def scale_formats(cls, p: P) -> tuple[str, str]:
        """Format names of the activation and the weight scale; they may depend on named parameters only."""
        quantization = cls.unchecked(p).quantization()
        return quantization.act_scale, quantization.weight_scale

    @classmethod
    def unchecked(cls, p: P) -> Self:
        """An instance that skipped every check, with the first element of each array: for facts that `p` settles."""
        spec = object.__new__(cls)
        for field in dataclasses.fields(cls):
            value = p.get(field.name, field.default)
            object.__setattr__(spec, field.name, int(value.flat[0]) if isinstance(value, np.ndarray) else value)
        return spec

    @classmethod
    def _facts(cls, p: P, ask: Callable[[Self], dict[str, int]]) -> Counts:
        """`ask` of an instance for every distinct combination of parameters; what an instance leaves out is 0."""
        varying = {n: v for n, v in p.items() if isinstance(v, np.ndarray) and n not in cls.NOT_IN_SIDES}
        if not varying:
            return dict(ask(cls.unchecked(p)))
        grids = np.broadcast_arrays(*varying.values())
        points, inverse = np.unique(np.stack([grid.ravel() for grid in grids]), axis=1, return_inverse=True)
        found = [
            ask(cls.unchecked({**p, **{name: int(value) for name, value in zip(varying, point, strict=True)}}))
            for point in points.T
        ]
        return {
            name: np.array([facts.get(name, 0) for facts in found])[inverse].reshape(grids[0].shape)
            for name in dict.fromkeys(name for facts in found for name in facts)
        }

    @classmethod
    def longest_step(cls, p: P) -> Num:
        """Longest step over all modes, in cycles."""
        count = cls.mode_count(p)
        longest = cls.step_cycles(p, 0)
        for index in range(1, int(np.max(count))):
            longest = maximum(longest, where(index < count, cls.step_cycles(p, index), 0))
        return longest

    @classmethod
    def blocks(cls, p: P) -> dict[str, Block]:
        """Every block with its count and primitives: the structural inventory that the cost model prices."""
        from hwgen.pe._inventory import blocks

        return blocks(cls, p)

    @classmethod
    def modules(cls, p: P) -> dict[str, Block]:
        """The blocks as the emitted design has them: row, col, cell, rowsum, control, post, pre_row, pre_control."""
        from hwgen.pe._inventory import modules

        return modules(cls.blocks(p))

    @classmethod
    def post_blocks(cls, p: P) -> dict[str, Block]:
        """Inventory of the post lanes by block name ("post_…"); only asked for tiles that have lanes."""
        from hwgen.pe._inventory import post_lanes

        return post_lanes(cls, p)

    # ------------------------------------------------------------------ facts of an instance

    def modes(self) -> tuple[Mode, ...]:
        """Run-time modes; the first is the one after reset."""
        return (
            Mode(
                name="default",
                acts=self.act_format.name,
                weights=self.weight_format.name,
                k=self.k,
                cycles_per_step=int(self.cycles_per_step(self.p)),
                latency=int(self.latency(self.p)),
            ),
        )

    @property
    def layer_mode(self) -> int:
        """Run-time mode in which layers run."""
        return 0

    def code_columns(self, mode: int) -> tuple[int, int]:
        """Activation and weight code words that a row or column takes in a step of a mode."""
        k = self.modes()[mode].k
        acts, weights = self.mode_formats(mode)
        return k // acts.elements, k // weights.elements

    @property
    def sum_dtype(self) -> Any:
        """numpy type of sums in the reference: int64, or object (Python integers) for wide ones."""
        return np.int64 if int(self.acc_bits(self.p)) <= _INT64_SUMS else object

    @property
    def sums_add_up(self) -> bool:
        """Whether a sum is that of its terms in any order, but for overflow."""
        return type(self).step is TileSpec.step and type(self).accumulate is TileSpec.accumulate

    @property
    def sum_signed(self) -> bool:
        """Whether raw sums are two's-complement integers; False: code words, read as unsigned."""
        return True

    @property
    def sticky_specials(self) -> bool:
        """Whether a sum that an infinity or NaN has entered shows nothing of what is added to it afterwards."""
        return False

    @property
    def sum_meaning(self) -> str:
        """What a raw sum at the output is."""
        return "group sums"

    @property
    def act_format(self) -> Format:
        """Format of the activation codes that a step consumes."""
        raise NotImplementedError

    @property
    def weight_format(self) -> Format:
        """Format of the weight codes that a step consumes."""
        raise NotImplementedError

    def mode_formats(self, mode: int) -> tuple[Format, Format]:
        """Activation and weight format of a run-time mode."""
        return self.act_format, self.weight_format

    def row_side(self) -> dict[str, Side]:
        """Side information of each row, constant within a group."""
        return {}

    def col_side(self) -> dict[str, Side]:
        """Side information of each column, constant within a group."""
        return {}

    @property
    def act_port_meaning(self) -> str:
        """What an element of the activation port is."""
        return f"{self.act_format.name} codes"

    @property
    def weight_port_meaning(self) -> str:
        """What an element of the weight port is."""
        return f"{self.weight_format.name} codes"

    @property
    def lsb_exp(self) -> int:
        """Exponent of a sum's unit: wanted Σ A·W = corrected sum · 2**lsb_exp · scales."""
        return self.act_format.lsb_exp + self.weight_format.lsb_exp

    @property
    def row_lsb_exp(self) -> int:
        """Exponent of a row sum's unit: wanted Σ A = row sum · 2**row_lsb_exp · row scale."""
        return self.lsb_exp - self.weight_format.lsb_exp

    @property
    def has_row_sums(self) -> bool:
        """Whether the tile keeps the sum of a row's activations."""
        return self.row_sum_range(self.p) is not None

    @property
    def lanes(self) -> int:
        """Post lanes; 0 where the tile gives raw sums."""
        return int(self.p.get("post_lanes", 0))

    def quantization(self) -> Quantization:
        """How layers are quantised for this tile."""
        raise NotImplementedError

    def bounded_sums(self) -> dict[str, Any]:
        """The fields of `Quantization` that say what bounds a sum; none where nothing does, or the golden layer does
        not know it.
        """
        if not self.overflow_in_layers(self.p):
            return {}
        return {"overflow": self.overflow, "sum_bits": int(self.acc_bits(self.p))}

    def quantize_weights(self, weights: np.ndarray) -> QTensor:
        """Quantise float weights [N, K] as `quantization` says."""
        from hwgen.quantize import weights_for

        return weights_for(self.quantization(), weights)

    def quantize_acts(self, acts: np.ndarray) -> QTensor:
        """Quantise float activations [tokens, K]; the codes are what enters the tile (or its pre block)."""
        from hwgen.quantize import acts_for

        return acts_for(self.quantization(), acts)

    def pre(self) -> PreSpec | None:
        """The block before the activation buffer, or None."""
        return None

    def companions(self) -> dict[str, Companion]:
        """Blocks that are emitted beside the tile, as modules ``<top>_<name>``."""
        return {}

    # ------------------------------------------------------------------ reference

    def pack_acts(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        """Activation codes [..., M, K] → port words [..., M, elements]."""
        return codes

    def pack_weights(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        """Weight codes [..., N, K] → port words [..., N, elements]."""
        return codes

    def zero_points(self, weights: QTensor) -> np.ndarray | None:
        """What multiplies a row's activation sum in `correct`, int64 [N, G]; None where nothing does."""
        if not self.has_row_sums:
            return None
        if weights.zero_kind != "integer" or weights.zero is None:
            return np.zeros((len(weights.codes), 1), np.int64)
        return np.asarray(weights.zero, dtype=np.int64)

    def side_values(self, name: str, tensor: QTensor) -> np.ndarray:
        """Side information ``name`` of a quantised operand, [rows or 1, G or 1].

        Raises `HwgenError` for a field that the tensor does not have.
        """
        if name == "scale":
            return tensor.scale_codes
        if name == "zero":
            zeros = self.zero_points(tensor)
            assert zeros is not None
            return zeros
        if tensor.selector is None:
            raise HwgenError(f"{self.family}: side information {name!r} needs a tensor with a selector per group")
        return tensor.selector

    def sum_scales(self, weights: QTensor) -> np.ndarray:
        """Codes of the scales, of format `Quantization.weight_scale`, that a layer's sums are multiplied by,
        [N or 1, G or 1] for its G sums.
        """
        return weights.scale_codes

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        """What a step adds, phase by phase.

        Parameters: ``acts`` codes [..., M, K], ``weights`` codes [..., N, K], ``row``/``col`` side information [...,
        M] and [..., N]. Returns int64 [phases, ..., M, N, P].
        """
        raise NotImplementedError

    def row_terms(self, acts: np.ndarray, row: Mapping[str, np.ndarray], mode: int) -> np.ndarray:
        """What a step adds to the activation sums, int64 [..., M]."""
        total: np.ndarray = self.act_format.fixed(acts).sum(axis=-1)
        return total

    def correct(self, sums: np.ndarray, rows: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
        """Wanted integer Σ A·(W − zero) from a tile's sums [..., M, N], row sums [..., M] and zero side values [...,
        N].
        """
        if zero is None:
            return sums
        wanted: np.ndarray = sums - rows[..., :, None] * zero[..., None, :]
        return wanted

    def init(self) -> State:
        """State after a clear."""
        shape = (self.m, self.n, int(self.sums_of_cell(self.p)))
        return State(np.zeros(shape, self.sum_dtype), np.zeros(self.m, np.int64))

    def accumulate(self, sums: np.ndarray, term: np.ndarray) -> np.ndarray:
        """Sums after one update by ``term``; both [..., M, N, P]. An update from cleared sums starts from 0."""
        return self.bound(sums + term, int(self.acc_bits(self.p)))

    def bound(self, values: np.ndarray, bits: int) -> np.ndarray:
        """Bring sums into ``bits`` bits as ``overflow`` says ("refuse" is never out of range)."""
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        if self.overflow == "saturate":
            clipped: np.ndarray = np.clip(values, low, high)
            return clipped
        if self.overflow == "wrap":
            wrapped: np.ndarray = ((values - low) & ((1 << bits) - 1)) + low
            return wrapped
        return values

    def step(
        self,
        state: State,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray] | None = None,
        col: Mapping[str, np.ndarray] | None = None,
        mode: int = 0,
    ) -> State:
        """One step: returns the state after it. Shapes as in `terms` without leading axes."""
        sums, rows = state.sums, state.rows
        for term in self.terms(acts, weights, row or {}, col or {}, mode):
            sums = self.accumulate(sums, term)
        if self.has_row_sums:
            rows = self.bound(rows + self.row_terms(acts, row or {}, mode), int(self.row_sum_bits(self.p)))
        return State(sums, rows)

    def read(self, state: State) -> np.ndarray:
        """Sums of a state, [M, N, P]."""
        return state.sums

    def scale_sums(
        self,
        sums: np.ndarray,
        rows: np.ndarray,
        row_scale: np.ndarray,
        col_scale: np.ndarray,
        zero: np.ndarray | None,
    ) -> np.ndarray:
        """FP32 codes of group sums [..., M, N] times their scales (code words [..., M] and [..., N]), rounded once."""
        from hwgen.arith import scale_round_reference

        formats = self.quantization()
        return scale_round_reference(
            self.correct(sums, rows, zero),
            row_scale[..., :, None],
            get(formats.act_scale),
            col_scale[..., None, :],
            get(formats.weight_scale),
            self.lsb_exp,
        )

    def result_codes(self, y: np.ndarray) -> np.ndarray:
        """Codes that leave the post lanes for FP32 results ``y``, uint32 both."""
        return y

    def result_values(self, codes: np.ndarray) -> np.ndarray:
        """FP32 codes of results from the codes that leave the post lanes, uint32 both."""
        return codes

    def layer_sums(self, words: np.ndarray) -> np.ndarray:
        """Raw words [..., P] of the mode in which layers run → sums of a column's outputs, [..., `layer_outputs`]."""
        return words

    # ------------------------------------------------------------------ logic

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Add a row front-end to ``m``; ``acts`` indexes the row's port elements. Returns the row bus."""
        return acts.as_value()

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Add a column front-end to ``m``. Returns the column bus."""
        return weights.as_value()

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Add a cell's product logic to ``m``. Returns what is added to each of its P sums."""
        raise NotImplementedError

    def build_accumulators(
        self, m: Module, addends: list[Addend], clear: Value, enable: Value, fold: Value
    ) -> list[Value]:
        """Add a cell's accumulators to ``m``; returns its P sums, `acc_bits` wide.

        ``clear`` comes with the first ``enable`` of a group; ``fold`` counts 1 … `fold_cycles` after the last one.
        """
        from hwgen.pe._blocks import plain_accumulators

        return plain_accumulators(m, self, addends, clear, enable, int(self.acc_bits(self.p)))

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Add logic for the signed sum of a row's K activations, from the row bus."""
        raise NotImplementedError

    def post_block(self) -> wiring.Component:
        """The block that scales group sums, where there are post lanes; ports as `hwgen.pe._post.PostBlock`."""
        from hwgen.pe._post import PostBlock

        return PostBlock(self)

    @property
    def scales_by_lanes(self) -> bool:
        """Whether the frame's own lanes scale the sums, with floating-point scales on both sides."""
        return self.lanes > 0 and type(self).post_block is TileSpec.post_block

    # ------------------------------------------------------------------ what the manifest says (docs/manifest.md)

    def act_packing(self, mode: int) -> dict[str, Any]:
        """How `pack_acts` puts a row's codes into its port elements."""
        return self.plain_packing(self.mode_formats(mode)[0])

    def weight_packing(self, mode: int) -> dict[str, Any]:
        """How `pack_weights` puts a column's codes into its port elements."""
        return self.plain_packing(self.mode_formats(mode)[1])

    @staticmethod
    def plain_packing(form: Format, per_element: int = 1, lsb: int = 0, **more: Any) -> dict[str, Any]:
        """Codes side by side, ``per_element`` an element from bit ``lsb`` up."""
        signed = form.describe().get("signed", False)
        packing = {"kind": "codes", "code_bits": form.code_bits, "per_element": per_element, "lsb": lsb}
        return {**packing, "signed": bool(signed), **more}

    def arithmetic(self, mode: int) -> dict[str, Any]:
        """What a group's raw sums are: ``kind``, its parameters, and the definition in words.

        A family that says no more than its docstring is of no kind that a machine could follow.
        """
        return {"kind": "family", "definition": inspect.getdoc(inspect.getmodule(type(self))) or ""}

    def dot_arithmetic(self, mode: int) -> dict[str, Any]:
        """`arithmetic` of a family whose sums are exact sums of products of integers."""
        return {
            "kind": "dot",
            "definition": "sum over the group's steps and k of activation times weight, exact",
            "acts": self.integers_of(self.mode_formats(mode)[0]),
            "weights": self.integers_of(self.mode_formats(mode)[1]),
            "accumulator": self.accumulator_rule(),
        }

    @staticmethod
    def integers_of(form: Format) -> dict[str, Any]:
        """Operands as integers: values in units of the format's last place."""
        return {"rule": "encoding", "encoding": form.name, "unit_exp": form.lsb_exp, "specials": "largest finite value"}

    def accumulator_rule(self) -> dict[str, Any]:
        """Width of a sum, and what happens at its ends, after every update."""
        return {"bits": int(self.acc_bits(self.p)), "overflow": self.overflow, "depth": int(self.sum_depth(self.p))}

    def correction(self) -> dict[str, Any] | None:
        """How a layer's sum comes from raw sums and row sums; None where the raw sums are it."""
        if not self.has_row_sums:
            return None
        return {
            "wanted": "sums[m][n] - zero[n] * row_sums[m], in units of 2**formats.sum_lsb_exp",
            "zero": "zero point of the weights' group (with scheme minimum 0)",
            "zero_point": {"times": 1, "plus": 0, "values": list(self._zero_range())},
            "row_sum_unit_exp": self.row_lsb_exp,
        }

    def _zero_range(self) -> tuple[int, int, int]:
        values: range = getattr(self, "zero_values", range(1))
        return values.start, values.stop, values.step

    def post_arithmetic(self) -> dict[str, Any]:
        """What the post lanes make of group sums."""
        formats = self.quantization()
        return {
            "definition": "the exact product of corrected sum, both scales and 2**unit_exp, rounded once into FP32; "
            "products of an output's groups are added in FP32, in order, from +0",
            "kind": "scales",
            "row_scale": {"port": "i_row_scale", "encoding": formats.act_scale},
            "col_scale": {"port": "i_col_scale", "encoding": formats.weight_scale},
            "zero": "i_col_zero" if "zero" in self.col_side() else None,
            "unit_exp": self.lsb_exp,
            "rounding": "nearest even",
            "specials": "a NaN scale, or an infinite one times 0, gives NaN (7fc00000); exact zero gives +0",
            "add": "IEEE 754, nearest even",
        }

    def own_encodings(self) -> dict[str, dict[str, Any]]:
        """Encodings of side information that are no formats, by the name that `Side` gives them."""
        return {}

    @property
    def result_format(self) -> str:
        """Name of the format of what leaves the post lanes, in the lowest bits of 32."""
        return "fp32"

    def sum_encoding(self) -> dict[str, Any]:
        """What the bits of a raw sum are."""
        return {"kind": "integer", "signed": self.sum_signed, "unit_exp": self.lsb_exp}

    # ------------------------------------------------------------------ documentation

    @classmethod
    def summary(cls) -> str:
        """First line of the family's module docstring."""
        doc = inspect.getdoc(inspect.getmodule(cls)) or cls.family
        return doc.splitlines()[0]

    @property
    def phase_bits(self) -> int:
        """Bits of the phase counter (at least 1)."""
        return max(int(clog2(self.step_cycles_max)), 1)

    @property
    def step_cycles_max(self) -> int:
        """Longest step over all modes, in cycles."""
        return max(int(self.step_cycles(self.p, index)) for index in range(len(self.modes())))

    @property
    def post_beats_max(self) -> int:
        """Output beats of one result of the post lanes."""
        return int(self.post_beats(self.p))

    @property
    def folds(self) -> int:
        """Cycles in which cells fold partial sums after a group."""
        return int(self.fold_cycles(self.p))

    @property
    def mode_bits(self) -> int:
        """Bits of the mode field; 0 with a single mode."""
        return int(clog2(len(self.modes())))
