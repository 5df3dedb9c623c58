"""What a tile is made with: parameters, declared once, and the way from values to an instance."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from hwgen.errors import HwgenError
from hwgen.formats import FormatFile
from hwgen.frame.facts import P
from hwgen.frame.param import Param, Range, check, param, parameters, plain, resolve, whole_number

__all__ = ["ROOMS", "TileParameters", "family_doc", "family_module"]


ROOMS = ("parameters", "formulas", "arithmetic", "logic")
"""Files of a family that is a folder, each with one class that extends that of the file before."""


def family_module(spec: type) -> str:
    """Name of the module that a family is: its file, or the folder of its `ROOMS`."""
    before, _, last = spec.__module__.rpartition(".")
    return before if before and last in ROOMS else spec.__module__


def family_doc(spec: type) -> str:
    """What a family's file or folder says of it."""
    return inspect.getdoc(sys.modules[family_module(spec)]) or ""


@dataclass(frozen=True, kw_only=True)
class TileParameters:
    """What a tile is made with: parameters, declared once, and the way from values to an instance."""

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
    front_cuts: int = param(
        0,
        "registers more on every way through a row's and a column's front-end, where the fewest bits cross",
        legal=Range(0, 8),
        sweep=(0, 1, 2),
        cuts=("row", "col"),
    )
    cell_cuts: int = param(
        0,
        "registers more on every way through a cell's product logic, where the fewest bits cross",
        legal=Range(0, 12),
        sweep=(0, 1, 2, 3),
        cuts=("cell", "rowsum"),
    )
    transport: str = param(
        "broadcast",
        "operands reach all cells at once, or by one register per hop",
        legal=("broadcast", "systolic"),
        sweep=("broadcast", "systolic"),
    )

    family: ClassVar[str] = ""
    title: ClassVar[str] = ""
    """What the family is, in a few words; the first line of its docstring where it says none."""
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
    cell_uses_mode: ClassVar[bool] = True
    """Whether a cell needs the run-time mode; it ends at the front-ends where not."""
    POST_SIDES: ClassVar[tuple[str, ...]] = ("scale", "zero")
    """Side information that the post lanes use; the front-ends see all of it."""

    NOT_IN_SIDES: ClassVar[frozenset[str]] = frozenset({"m", "n", "depth", "overflow", "stages", "transport"})
    """Parameters of the frame, on which neither side information nor the number of modes may depend; nor may they on
    `cut_parameters`.
    """

    NOT_IN_BLOCKS: ClassVar[frozenset[str]] = frozenset(
        {
            *("m", "n", "post_lanes", "group", "depth", "overflow", "guard_bits"),
            *("acts", "weights", "bits", "scheme", "act_scale", "weight_scale"),
        }
    )
    """Parameters that a block does not see but in its widths, its counts and its formats: a cost model that knew them
    would learn the labels of its samples. A family adds its own.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # The file is the registration: its name is the family's name, or its folder's where it is one of several rooms.
        cls.family = family_module(cls).rsplit(".", 1)[-1]

    def __post_init__(self) -> None:
        for name, value in check(self.family, self.parameters(), self.p).items():
            object.__setattr__(self, name, value)
        for ok, text in self.constraints(self.p):
            if not ok:
                raise HwgenError(f"{self.family}: {text.format(**self.p)}")

    @classmethod
    def parameters(cls) -> Mapping[str, Param]:
        """Declared parameters by name, in declaration order."""
        return parameters(cls)

    @classmethod
    def cut_parameters(cls) -> dict[str, Param]:
        """Parameters that put registers into blocks, by name: what a clock settles where they are not given."""
        return {name: p for name, p in cls.parameters().items() if p.cuts}

    @classmethod
    def interleaved(cls, p: P) -> dict[str, Any]:
        """What else a tile takes whose loops last several cycles, so that it has an update a cycle all the same."""
        return {}

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
    def values_of_file(cls, form: FormatFile) -> Mapping[str, Any] | None:
        """Parameters of a tile whose weights are in a file's format, and its activations where it is for both; None
        where the family has none.
        """
        return None

    @classmethod
    def fitting_lanes(cls, given: dict[str, Any], lanes: int) -> dict[str, Any]:
        """``given`` with as many post lanes as divide its n, at most ``lanes``, where it does not name them."""
        columns = whole_number(given.get("n", cls.parameters()["n"].default))
        if columns is not None and columns > 0 and "post_lanes" not in given:
            given["post_lanes"] = max(count for count in range(1, min(lanes, columns) + 1) if columns % count == 0)
        return given

    @property
    def p(self) -> dict[str, Any]:
        """This instance's parameters as the mapping that the formulas take."""
        return {name: getattr(self, name) for name in parameters(type(self))}

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        """Pairs (holds, sentence with {parameter} fields) over scalars or arrays; all must hold."""
        raise NotImplementedError

    @classmethod
    def uses_lanes(cls, p: P) -> bool:
        """Whether the family has a ``post_lanes`` parameter."""
        return "post_lanes" in p

    @classmethod
    def unchecked(cls, p: P) -> Self:
        """An instance that skipped every check, with the first element of each array: for facts that `p` settles."""
        spec = object.__new__(cls)
        for field in dataclasses.fields(cls):
            value = p.get(field.name, field.default)
            object.__setattr__(spec, field.name, int(value.flat[0]) if isinstance(value, np.ndarray) else value)
        return spec

    @classmethod
    def summary(cls) -> str:
        """First line of the family's module docstring."""
        return (family_doc(cls) or cls.family).splitlines()[0]
