"""`Design`: the one immutable description of an accelerator, from which RTL, registers, images and schedule follow.

A tile is fed by up to four linear streams from memory, each with a ring of its own: the codes of both operands, and the
side information (scales, zero points, selectors) of their groups. A fifth one brings what the unit behind the tile
needs of each output channel: scales of a second level, biases, multipliers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from hwgen.accelerator.block_plan import BlockPlan
from hwgen.accelerator.elements import Elements, elements_of, plain_elements
from hwgen.accelerator.results import INTEGERS, RESULT_BITS, channel_fields, requantisers
from hwgen.accelerator.stream import Stream, channel_stream, operand_streams, padded_bits
from hwgen.emit import Field, streams
from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.frame.numbers import Num, ceil_div, maximum
from hwgen.frame.param import Param, Range, check, param, parameters, resolve
from hwgen.frame.ports import element_port
from hwgen.frame.spec import TileSpec

__all__ = ["Design"]

OPERANDS = ("weights", "weight_sides", "acts", "act_sides")
"""Streams that go to the tile."""
PAGE_BYTES = 4096
"""No burst crosses a multiple of it (AXI4)."""

P = Mapping[str, Any]


def _pre_word_bits(p: P, d: P) -> Num:
    """Bits of the values that a step takes, as they lie in memory for a block before the ring of activations."""
    return p["m"] * p["k"] * get(d["pre_source"]).code_bits


@dataclass(frozen=True, kw_only=True)
class Design:
    """An accelerator around a tile. Raises `HwgenError` for illegal parameters or combinations."""

    tile: TileSpec
    bus_bits: int = param(
        128, "data bits of the memory port", legal=(64, 128, 256, 512), sweep=(64, 128, 256, 512), unit="bits"
    )
    address_bits: int = param(32, "address bits of the memory port", legal=Range(32, 64), unit="bits")
    weight_ring: int = param(
        128, "steps of weights that their ring holds", legal=Range(2, 1 << 16), sweep=(32, 128, 512), unit="steps"
    )
    act_ring: int = param(
        128, "steps of activations that their ring holds", legal=Range(2, 1 << 16), sweep=(32, 128, 512), unit="steps"
    )
    burst: int = param(16, "beats of the longest burst", legal=Range(1, 256), sweep=(4, 16, 64), unit="beats")
    outstanding: int = param(4, "read bursts in flight of a stream", legal=Range(1, 16), sweep=(1, 4, 8))
    result: str = param(
        "tile",
        "format of results in memory: as the tile gives them (FP32 or raw sums), narrower floats, or integers by a "
        "multiplier and a shift for each channel",
        legal=("tile", "fp16", "bf16", "int8", "int4"),
        sweep=("tile", "fp16", "int8"),
    )
    outer: bool = param(False, "FP32 results are multiplied by a scale of each channel", sweep=(False, True))
    bias: bool = param(False, "results get a bias of each channel", sweep=(False, True))
    result_lanes: int = param(
        0, "integer results a cycle; 0 is as many as fill a byte", legal=(0, 1, 2, 4, 8, 16, 32), sweep=(0, 4)
    )
    multiplier_bits: int = param(16, "bits of a channel's multiplier for integer results", legal=Range(8, 32))
    pre: str = param(
        "none",
        "block before the ring of activations: none, or mx, which makes MX blocks of floating-point values in memory",
        legal=("none", "mx"),
    )
    pre_source: str = param("fp16", "format of activations in memory before the block", legal=("fp16", "bf16", "fp32"))
    count_bits: int = param(24, "bits of the counts of a job: blocks and steps", legal=Range(8, 32), unit="bits")

    def __post_init__(self) -> None:
        for name, value in check("accelerator", self.parameters(), self.p).items():
            object.__setattr__(self, name, value)
        for holds, text in self.constraints(type(self.tile), self.tile.p, self.p):
            if not holds:
                raise HwgenError(f"accelerator: {text.format(**self.tile.p | self.p | self._said())}")

    def _said(self) -> dict[str, int]:
        """What sentences of constraints say beside the parameters."""
        steps = self.group_steps
        return {
            "page_beats": PAGE_BYTES // self.bus_bytes,
            "result_lanes": self.requantisers,
            # The widest beat that holds a part of a block: a power of two of words.
            "block_bus_bits": int(padded_bits(_pre_word_bits(self.tile.p, self.p), self.bus_bits)) * (steps & -steps),
            "two_blocks": 2 * steps,
        }

    @classmethod
    def constraints(cls, spec: type[TileSpec], p: P, d: P) -> Iterator[tuple[Any, str]]:
        """Which parameters go together: pairs (holds, sentence with {parameter} fields); all must hold.

        Parameters
        ----------
        p, d: of tiles of a family and of what is around them: names and truth values are scalars, numbers scalars or
            integer arrays that broadcast.
        """
        result, outer, bias, lanes = d["result"], d["outer"], d["bias"], d["result_lanes"]
        post_lanes = p["post_lanes"] if spec.uses_lanes(p) else 0
        yield (
            d["burst"] * (d["bus_bits"] // 8) <= PAGE_BYTES,
            f"burst must be at most the beats of {PAGE_BYTES} bytes, which no burst of AXI4 crosses ({{page_beats}} of "
            "{bus_bits} bits), not {burst}",
        )
        yield from cls._pre_constraints(spec, p, d)
        if result not in INTEGERS:
            unit = result != "tile" or outer or bias
            floats = bool(unit) and spec.unchecked(p).result_format == "fp32"
            yield (
                (post_lanes > 0) & floats if unit else True,
                f"result {result}{' with outer' * outer}{' with bias' * bias} must follow post lanes that give FP32, "
                f"which this {spec.family} tile has not; use --post-lanes",
            )
            yield lanes == 0, f"result_lanes must be 0 for result {result}, not {{result_lanes}}"
            return
        yield post_lanes == 0, f"post_lanes must be 0 for result {result}, which is made of sums, not {{post_lanes}}"
        yield (
            (spec.unchecked(p).sum_encoding()["kind"] == "integer") & (spec.sums_of_cell(p) == 1),
            f"result must be tile where sums of {spec.family} are no integers, not {result}",
        )
        yield (
            spec.sum_group(p) // spec.layer_k(p) == 0,
            f"group must be 0 for result {result}, whose channels have one multiplier each, not {{group}}",
        )
        yield (
            not spec.keeps_row_sums(p),
            f"result must be tile where zero points of weights wait for a correction, not {result}; use a symmetric "
            "--scheme",
        )
        yield not outer and not bias, f"outer and bias must be left out for result {result}, whose channels have both"
        made = requantisers(d)
        yield (
            (p["n"] % made == 0) & (made * RESULT_BITS[result] % 8 == 0),
            f"result_lanes must divide n ({{n}}) and fill bytes with {result} results, not {{result_lanes}}",
        )

    @classmethod
    def _pre_constraints(cls, spec: type[TileSpec], p: P, d: P) -> Iterator[tuple[Any, str]]:
        """Those of the block before the ring of activations."""
        pre, source = d["pre"], d["pre_source"]
        if pre == "none":
            yield source == "fp16", f"pre_source must be left out without pre, not {source}"
            return
        yield (
            (spec.unchecked(p).quantization().scheme == "mx") & (spec.mode_count(p) == 1) & (p["group"] > 0),
            f"pre must be none where activations are no MX blocks of one format, as in this {spec.family} tile, not "
            f"{pre}",
        )
        yield (
            p["k"] & (p["k"] - 1) == 0,
            f"k of the tile must be a power of two with pre {pre}, whose beats hold values of whole rows, not {{k}}",
        )
        group_steps = p["group"] // spec.layer_k(p)
        per_beat = maximum(d["bus_bits"] // padded_bits(_pre_word_bits(p, d), d["bus_bits"]), 1)
        yield (
            group_steps % per_beat == 0,
            f"bus_bits must be at most {{block_bus_bits}} with pre {pre}, so that no beat has values of two blocks of "
            "{group}, not {bus_bits}",
        )
        yield (
            d["act_ring"] >= 2 * group_steps,
            f"act_ring must be at least {{two_blocks}} with pre {pre}, two blocks of {{group}}, not {{act_ring}}",
        )

    @classmethod
    def parameters(cls) -> Mapping[str, Param]:
        """Declared parameters by name, in declaration order; the tile's own are its family's."""
        return parameters(cls)

    @classmethod
    def from_values(cls, tile: TileSpec, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; raises `HwgenError` for an unknown name or an illegal value."""
        return cls(tile=tile, **resolve("accelerator", cls.parameters(), values))

    @property
    def p(self) -> dict[str, Any]:
        """Parameters of the design, without those of its tile."""
        return {name: getattr(self, name) for name in parameters(type(self))}

    @property
    def digest(self) -> int:
        """First 32 bits of a hash of all parameters: what register DESIGN_HASH reads as."""
        described = {"family": self.tile.family, "tile": self.tile.p, "design": self.p}
        return int(hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:8], 16)

    @property
    def bus_bytes(self) -> int:
        """Bytes of a bus beat."""
        return self.bus_bits // 8

    # ------------------------------------------------------------------ groups

    @property
    def step_k(self) -> int:
        """Elements along K of a step."""
        return int(self.tile.layer_k(self.tile.p))

    @property
    def group_steps(self) -> int:
        """Steps of a group that shares side information; 0 where it is the whole row."""
        return self.tile.group // self.step_k

    @property
    def sum_steps(self) -> int:
        """Steps between clears of the sums; 0 where it is the whole row."""
        return int(self.tile.sum_group(self.tile.p)) // self.step_k

    @property
    def beats_per_block(self) -> int:
        """Beats of integer results that are made of a block."""
        return self.tile.m * self.tile.n // self.requantisers

    @property
    def beats_per_result(self) -> int:
        """Beats in which a result leaves the tile."""
        return self.tile.post_beats_max if self.tile.lanes else 1

    # ------------------------------------------------------------------ streams

    @cached_property
    def streams(self) -> dict[str, Stream]:
        """Streams from memory by name; without those for which the tile has no side information."""
        return {stream.name: stream for stream in self._streams() if stream.there}

    def _streams(self) -> Iterator[Stream]:
        found = streams(self.tile)
        around: dict[str, Any] = {"bus_bits": self.bus_bits, "burst": self.burst}
        for name, fields, steps in (
            ("weights", found.weights, self.weight_ring),
            ("acts", found.acts, self.act_ring),
        ):
            elements = self.elements(name)
            codes = elements.lines * elements.count * elements.bits
            sides = sum(field.port.width for field in fields if field.port.role != name)
            if name == "acts" and self.pre != "none":
                # Values as they lie in memory; what the tile's sides hold is made of them.
                codes, sides = _pre_word_bits(self.tile.p, self.p), 0
            yield from operand_streams(name, codes, sides, steps, group_steps=self.group_steps, **around)
        yield channel_stream(self.tile.n * self.channel_bits, self.weight_ring, **around)

    def elements(self, name: str) -> Elements:
        """How the elements of ``weights`` or ``acts`` lie in a ring, and in memory unless a block between them makes
        them.
        """
        port = next(field.port for field in getattr(streams(self.tile), name) if field.port.role == name)
        return plain_elements(port) if name == "acts" and self.pre != "none" else elements_of(self.tile, port)

    @cached_property
    def block_plan(self) -> BlockPlan | None:
        """What the block before the ring of activations does; None without one."""
        if self.pre == "none":
            return None
        tile, stream = self.tile, self.streams["acts"]
        kind = tile.quantization()
        return BlockPlan(
            m=tile.m,
            k=tile.k,
            source=self.pre_source,
            element=tile.act_format.name,
            rule=kind.block_rule,
            bus_bits=self.bus_bits,
            padded_bits=stream.padded_bits,
            group_steps=self.group_steps,
        )

    @cached_property
    def ring_streams(self) -> dict[str, Stream]:
        """Streams as their rings have them: behind a block before the ring the words are the tile's, and an entry, what
        becomes of one in memory, comes at once.
        """
        found = dict(self.streams)
        if self.block_plan is not None:
            plan, acts = self.block_plan, found["acts"]
            found["acts"] = Stream("acts", plan.word_bits, plan.entry_bits, acts.depth, 1)
        return found

    @cached_property
    def id_bits(self) -> int:
        """Bits of an AXI id."""
        return max(stream.index for stream in self.streams.values()).bit_length()

    @cached_property
    def tile_result_bits(self) -> int:
        """Bits of a beat of results as it leaves the tile's streams: whole bytes."""
        return int(ceil_div(streams(self.tile).result[-1].end, 8)) * 8

    @cached_property
    def result_fields(self) -> tuple[Field, ...]:
        """What a beat of results in memory holds."""
        if self.result == "tile":
            return streams(self.tile).result
        width = RESULT_BITS[self.result]
        count = self.requantisers if self.requantises else self.tile.lanes
        port = element_port(
            "o_results", "output", "results", (count,), width, "y", signed=self.requantises, encoding=self.result
        )
        return (Field(port, 0, width),)

    @cached_property
    def result_bits(self) -> int:
        """Bits of a beat of results in memory: whole bytes."""
        return int(ceil_div(self.result_fields[-1].end, 8)) * 8

    @property
    def requantises(self) -> bool:
        """Whether results are integers made of the tile's sums by a multiplier and a shift."""
        return self.result in INTEGERS

    @property
    def requantisers(self) -> int:
        """Integer results that are made in a cycle."""
        return int(requantisers(self.p))

    @property
    def channel_fields(self) -> tuple[tuple[str, int], ...]:
        """What the unit behind the tile takes of a channel, from the lowest bit: name and bits."""
        return channel_fields(self.p)

    @property
    def channel_bits(self) -> int:
        """Bits of a channel's record; 0 where results leave as the tile gives them, or only become narrower."""
        return sum(bits for _, bits in self.channel_fields)

    @property
    def result_words_per_beat(self) -> int:
        """Beats of results in one bus beat; 1 where one fills the bus."""
        return max(self.bus_bits // int(padded_bits(self.result_bits, self.bus_bits)), 1)

    @property
    def result_beats(self) -> int:
        """Bus beats of one beat of results; 1 where several share one."""
        return max(int(padded_bits(self.result_bits, self.bus_bits)) // self.bus_bits, 1)

    @property
    def write_depth(self) -> int:
        """Bus beats of results that wait to be written: two bursts, or two results."""
        return 2 * max(self.burst, self.result_beats)
