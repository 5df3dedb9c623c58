"""What a tile is to those who use it: modes, formats, side information, and counts that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hwgen.errors import HwgenError
from hwgen.formats import Format
from hwgen.frame.facts import INT64_SUMS, Companion, Counts, Mode, P, PreCounts, Quantization, Side
from hwgen.frame.legality import TileLegality
from hwgen.frame.numbers import Num, clog2, maximum, where
from hwgen.frame.pre import PreSpec

__all__ = ["TileDescription"]


@dataclass(frozen=True, kw_only=True)
class TileDescription(TileLegality):
    """What a tile is to those who use it: modes, formats, side information, and counts that follow from them."""

    def modes(self) -> tuple[Mode, ...]:
        """Run-time modes; the first is the one after reset."""
        return (
            Mode(
                name="default",
                acts=self.act_format.name,
                weights=self.weight_format.name,
                k=int(self.layer_k(self.p)),
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
        return np.int64 if int(self.acc_bits(self.p)) <= INT64_SUMS else object

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
        return self.keeps_row_sums(self.p)

    @property
    def row_sum_enabled(self) -> bool:
        """Whether the activation sums must know when to add: in steps of several cycles the bus stays, and once is
        enough.
        """
        return self.step_cycles_max > 1 or not self.idles_at_zero(self.p)

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

    def pre(self) -> PreSpec | None:
        """The block before the activation buffer, or None."""
        return None

    def companions(self) -> dict[str, Companion]:
        """Blocks that are emitted beside the tile, as modules ``<top>_<name>``."""
        return {}

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

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        """Widths of the fields of row and of column side information; 0 where a field is absent.

        This version asks one instance for each distinct combination of parameters. A family that is swept widely
        overrides it with a formula and takes the widths in `row_side` and `col_side` from there.
        """

        def ask(spec: Self) -> dict[str, int]:
            rows = {f"row.{name}": side.bits for name, side in spec.row_side().items()}
            return rows | {f"col.{name}": side.bits for name, side in spec.col_side().items()}

        if cls.row_side is TileDescription.row_side and cls.col_side is TileDescription.col_side:
            return {}, {}
        found = cls._facts(p, ask)
        row, col = (
            {name.removeprefix(kind): bits for name, bits in found.items() if name.startswith(kind)}
            for kind in ("row.", "col.")
        )
        return row, col

    @classmethod
    def stored_side_bits(cls, p: P) -> tuple[Counts, Counts]:
        """The same of the fields of row and of column side information, once a group."""
        return cls.side_bits(p)

    @classmethod
    def mode_count(cls, p: P) -> Num:
        """Number of run-time modes, from instances as in `side_bits`."""
        if cls.modes is TileDescription.modes:
            return 1
        return cls._facts(p, lambda spec: {"modes": len(spec.modes())})["modes"]

    @classmethod
    def pre_counts(cls, p: P) -> PreCounts | None:
        """The block before the activation buffer, or None; every family with `pre` says what it costs."""
        if cls.pre is TileDescription.pre:
            return None
        raise HwgenError(f"{cls.family}: a family with a pre block must define pre_counts, which prices it")

    @classmethod
    def scale_formats(cls, p: P) -> tuple[str, str]:
        """Format names of the activation and the weight scale; they may depend on named parameters only."""
        quantization = cls.unchecked(p).quantization()
        return quantization.act_scale, quantization.weight_scale

    @classmethod
    def _facts(cls, p: P, ask: Callable[[Self], dict[str, int]]) -> Counts:
        """`ask` of an instance for every distinct combination of parameters; what an instance leaves out is 0."""
        settled = cls.NOT_IN_SIDES | cls.cut_parameters().keys()
        varying = {n: v for n, v in p.items() if isinstance(v, np.ndarray) and n not in settled}
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
