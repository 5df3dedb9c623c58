"""What a mx tile is made with: parameters, what goes together, formats and modes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hwgen.errors import HwgenError
from hwgen.formats import BlockFormat, Format, FormatFile, block_format, block_names
from hwgen.formats.blocks import says_itself
from hwgen.formats.file import kept_name
from hwgen.formats.minifloat import MinifloatFormat
from hwgen.frame.facts import Mode, P, Quantization, Side
from hwgen.frame.numbers import Num, maximum
from hwgen.frame.param import Names, Range, again, param
from hwgen.frame.spec import TileSpec
from hwgen.pe._scaled import LanesSpec

__all__ = ["MxParameters"]


def _own(name: str) -> str | None:
    """The name that a user's own format, or the file of one, is kept by; None for what is none."""
    kept = kept_name(name)
    return block_format(name).name if kept != name or says_itself(name) else None


FORMATS = Names(block_names(), _own, "a .toml file of a block format")


def _mode_sets() -> dict[str, tuple[str, ...]]:
    """Formats of a set by its name, which all their names begin with; ``narrow`` ones are without the widest."""
    forms = [form for form in map(block_format, FORMATS) if form.scheme == "mx"]
    widest = max(form.element.fixed_bits for form in forms)
    sets = {}
    for name in ("mxfp8", "mxfp_narrow", "mxfp", "mx_narrow", "mx"):
        stem = name.removesuffix("_narrow")
        sets[name] = tuple(
            form.name
            for form in forms
            if form.name.startswith(stem) and (name == stem or form.element.fixed_bits < widest)
        )
    return sets


MODE_SETS = _mode_sets()

PARTS = 4
"""Products of halves in a product of integers."""


def _either(values: Iterable[object]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} or {last}" if most else last


@dataclass(frozen=True, kw_only=True)
class MxParameters(TileSpec):
    """What a mx tile is made with: parameters, what goes together, formats and modes."""

    title: ClassVar[str] = "block formats: MX, NVFP4, HiF4"

    m: int = again(TileSpec, "m", sweep=(1, 2))
    n: int = again(TileSpec, "n", sweep=(2, 4))
    k: int = again(TileSpec, "k", default=8, sweep=(4, 8))
    group: int = again(TileSpec, "group", default=32, sweep=(16, 32, 64))
    depth: int = again(TileSpec, "depth", default=32, sweep=(64, 128))
    transport: str = again(TileSpec, "transport", sweep=("broadcast",))
    weights: str = param("mxfp4", "weight block format", legal=FORMATS, sweep=FORMATS)
    acts: str = param("mxfp4", "activation block format", legal=FORMATS, sweep=FORMATS)
    mode_set: str = param(
        "one",
        "formats that take turns at run time: one (none do), or all whose names begin so; narrow: without E5M2, whose "
        "range widens shifters and sums",
        legal=("one", *MODE_SETS),
        sweep=("one", "mxfp_narrow", "mx"),
    )
    mode_pairs: str = param(
        "same", "formats of a run-time mode: the same of both operands, or any with any", legal=("same", "any")
    )
    int8_products: str = param(
        "whole",
        "products of MXINT8 where formats take turns: whole, by multipliers of 8 × 8 bits, or in 4 parts by those of "
        "4 × 4 that the others have; then a step takes a fourth of K",
        legal=("whole", "parts"),
    )
    block_rule: str = param(
        "floor",
        "rounding of the shared exponent when an MX block is quantised",
        legal=("floor", "ceil"),
        sweep=("floor", "ceil"),
    )
    post_lanes: int = param(
        4,
        "lanes that scale block sums and accumulate them in FP32; blocks wait where they are too few",
        legal=Range(1, 1024),
        sweep=(1, 2, 4),
    )
    post_cuts: int = again(LanesSpec, "post_cuts")
    post_adder_stages: int = again(LanesSpec, "post_adder_stages")

    cell_uses_phase: ClassVar[bool] = False
    cell_uses_mode: ClassVar[bool] = False
    golden_overflow: ClassVar[bool] = True
    NOT_IN_BLOCKS: ClassVar[frozenset[str]] = TileSpec.NOT_IN_BLOCKS | {
        "block_rule",
        "mode_set",
        "mode_pairs",
        "int8_products",
    }

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` names the MX weight format by its width.

        A format of another kind of block brings the other operand's format, the block size, the depth and, where the
        block is shorter, more lanes with it. With run-time modes both operands have the format that is named, or the
        set's first.
        """
        given = dict(values)
        turns = MODE_SETS.get(given.get("mode_set", "one"))
        if "bits" in given:
            bits = given.pop("bits")
            elements = {
                name: block_format(name).element.code_bits
                for name in turns or FORMATS
                if block_format(name).scheme == "mx"
            }
            fitting = [name for name, width in elements.items() if width == bits]
            if not fitting:
                among = f" with mode_set {given['mode_set']}" if turns else ""
                raise HwgenError(f"mx: bits must be {_either(sorted(set(elements.values())))}{among}, not {bits!r}")
            given.setdefault("weights", fitting[0])
        if turns:
            for side, other in (("weights", "acts"), ("acts", "weights")):
                given.setdefault(side, given.get(other, turns[0]))
        for side in ("weights", "acts"):
            if isinstance(given.get(side), str):
                given[side] = FORMATS.kept(given[side])
        named = [given[side] for side in ("weights", "acts") if given.get(side) in FORMATS]
        if named and block_format(named[0]).fixed:
            for side in ("weights", "acts"):
                given.setdefault(side, named[0])
            block, known = block_format(named[0]).block, cls.parameters()
            for size in ("group", "depth"):
                given.setdefault(size, block)
            step = known["k"].default
            if block % step:
                given.setdefault("k", max(count for count in range(1, step) if block % count == 0))
            # A shorter block leaves the lanes less time.
            lanes = known["post_lanes"].default * max(known["group"].default // block, 1)
            return cls.fitting_lanes(given, lanes)
        return cls.fitting_lanes(given, cls.parameters()["post_lanes"].default)

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        acts, weights = cls._blocks(p)
        turns, same = MODE_SETS.get(p["mode_set"], ()), p["mode_pairs"] == "same"
        for side, form in (("weights", weights), ("acts", acts)) if turns else ():
            # Lanes multiply by the scales of one kind of block.
            hint = "" if form.scheme == "mx" else ", whose scales are no powers of two; use --mode-set one"
            yield (
                form.name in turns,
                f"{side} must be {_either(turns)} with mode_set {{mode_set}}, not {form.name}{hint}",
            )
        yield bool(turns) or same, "mode_pairs must be same with mode_set one, not {mode_pairs}; use --mode-set mx"
        yield (
            not turns or not same or acts == weights,
            "acts must be {weights} like the weights with mode_set {mode_set}, not {acts}; use --mode-pairs any",
        )
        whole = p["int8_products"] == "whole"
        yield (
            whole or any(not isinstance(block_format(name).element, MinifloatFormat) for name in turns),
            "int8_products must be whole with mode_set {mode_set}, which has no MXINT8, not {int8_products}",
        )
        yield (
            whole | (p["k"] % PARTS == 0),
            f"k must be a multiple of {PARTS} with int8_products {{int8_products}}, not {{k}}",
        )
        yield (
            acts.pairs_with(weights),
            "acts must have blocks and scales like the weights' ({weights}), not {acts}",
        )
        yield (
            p["block_rule"] == "floor" or weights.scheme == "mx",
            "block_rule must be floor for {weights}, whose scales are no powers of two, not {block_rule}",
        )
        yield (
            p["block_rule"] == "floor" or weights.rule is None,
            "block_rule must be floor for {weights}, which has a rule of its own, not {block_rule}",
        )
        if weights.fixed:
            # Other blocks are what their formats say; OCP defines MX for any block, and formats of 32 elements.
            yield p["group"] == weights.block, f"group must be {weights.block}, the block of {{weights}}, not {{group}}"
        # After the block: what else is wrong with a group that no format has would be told in vain.
        yield from super().constraints(p)
        elements = weights.element.elements
        if elements > 1:
            yield p["k"] % elements == 0, f"k must be a multiple of {elements} with {{weights}}, not {{k}}"

    @classmethod
    def values_of_file(cls, form: FormatFile) -> Mapping[str, Any] | None:
        return None if form.block is None else {"weights": form.canonical, "group": form.group}

    @classmethod
    def _mode_blocks(cls, p: P) -> tuple[tuple[BlockFormat, BlockFormat], ...]:
        """Formats of activations and weights in every run-time mode."""
        turns = MODE_SETS.get(p["mode_set"])
        if not turns:
            return (cls._blocks(p),)
        forms = [block_format(name) for name in turns]
        return tuple(itertools.product(forms, forms) if p["mode_pairs"] == "any" else ((form, form) for form in forms))

    @classmethod
    def mode_count(cls, p: P) -> int:
        return len(cls._mode_blocks(p))

    @staticmethod
    def _parts(p: P, pair: tuple[BlockFormat, BlockFormat]) -> int:
        """Multipliers that a product of a mode takes."""
        floats = all(isinstance(form.element, MinifloatFormat) for form in pair)
        return 1 if floats or p["int8_products"] == "whole" else PARTS

    @classmethod
    def layer_k(cls, p: P) -> Num:
        parts = cls._parts(p, cls._blocks(p))
        # A tile that is refused is asked too.
        return p["k"] if parts == 1 else maximum(p["k"] // parts, 1)

    @property
    def layer_mode(self) -> int:
        pairs, layer = self._mode_blocks(self.p), self._blocks(self.p)
        # A tile that is refused is asked too.
        return pairs.index(layer) if layer in pairs else 0

    def mode_formats(self, mode: int) -> tuple[Format, Format]:
        acts, weights = self._mode_blocks(self.p)[mode]
        return acts.element, weights.element

    def modes(self) -> tuple[Mode, ...]:
        pairs = self._mode_blocks(self.p)
        if len(pairs) == 1:
            return super().modes()
        cycles, latency = int(self.cycles_per_step(self.p)), int(self.latency(self.p))
        return tuple(
            Mode(
                weights.name if acts == weights else f"{acts.name}_{weights.name}",
                acts.element.name,
                weights.element.name,
                self.k // self._parts(self.p, (acts, weights)),
                cycles,
                latency,
            )
            for acts, weights in pairs
        )

    @property
    def act_format(self) -> Format:
        return block_format(self.acts).element

    @property
    def weight_format(self) -> Format:
        return block_format(self.weights).element

    def quantization(self) -> Quantization:
        acts, weights = self._blocks(self.p)
        return Quantization(
            acts=acts.element.name,
            weights=weights.element.name,
            scheme=weights.scheme,
            group=self.group,
            act_scale=acts.scale.name,
            weight_scale=weights.scale.name,
            step=int(self.layer_k(self.p)),
            block_rule=weights.rule or self.block_rule,
            **self.bounded_sums(),
        )

    def row_side(self) -> dict[str, Side]:
        acts, _ = self._blocks(self.p)
        form = acts.scale
        return {"scale": Side(form.code_bits, f"{form.name} scale of the row's block", encoding=form.name)}

    def col_side(self) -> dict[str, Side]:
        _, weights = self._blocks(self.p)
        form = weights.scale
        return {"scale": Side(form.code_bits, f"{form.name} scale of the column's block", encoding=form.name)}

    @property
    def row_lsb_exp(self) -> int:
        # Sums have the same unit in all modes, whatever the formats of the layer are.
        return self.act_format.lsb_exp

    @staticmethod
    def _blocks(p: P) -> tuple[BlockFormat, BlockFormat]:
        return block_format(p["acts"]), block_format(p["weights"])
