"""How numbers of one role are stored: a number format, its scheme, its groups and the format of their scales.

A name says it all: ``FORMAT[.SCHEME][/GROUP][@SCALE]``, such as ``int4``, ``int4.asymmetric/64``, ``int8/row``,
``mxfp4``, ``mxfp4.ceil``, ``bitmod_fp3/128``, ``nf4/64@bf16``; or a .toml file with a format (`hwgen.formats.file`),
which says the rest, too. Whatever the role, numbers are rows [R, K] with groups
along K; the quantisers are those of `hwgen.quantize`, so that a model is measured with the codes that a tile is given.
"""

from __future__ import annotations

import functools
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwgen.errors import HwgenError, suggest
from hwgen.formats import (
    LEARNED_BITS,
    AntFormat,
    BipolarFormat,
    BitmodFormat,
    CodebookFormat,
    Format,
    IntFormat,
    MinifloatFormat,
    OliveFormat,
    PositFormat,
    PowersFormat,
    QTensor,
    RootsFormat,
    SparseTernaryFormat,
    TableFormat,
    TernaryFormat,
    block_format,
    block_names,
    get,
    read_format,
)
from hwgen.formats.blocks import says_itself
from hwgen.formats.file import is_format_file
from hwgen.quantize import weights_for

__all__ = ["ROW", "OperandFormat", "operand_format", "stored_bits"]

ROW = 0
"""Group of a whole row: one scale a token, or an output channel."""
DEFAULT_GROUP = 128
"""Of weights, where a format has no block of its own; activations have one scale a row."""

_NAME = re.compile(r"(?P<format>[^./@]+(?:\([^)]*\))?)(?:\.(?P<scheme>\w+))?(?:/(?P<group>\w+))?(?:@(?P<scale>\w+))?")
_PIECE = 1 << 17
"""Elements that a thread quantises at a time."""
_BLOCKS = {"mx": 32, "nv": 16, "hif4": 64}
"""Elements of a block, of schemes whose blocks a standard fixes."""
_OF_INTEGERS = ("asymmetric", "minimum", "two_level_asymmetric", "two_level_symmetric", "bitmod")
_MX_RULES = ("floor", "ceil")


@dataclass(frozen=True)
class OperandFormat:
    """A format with all that its quantiser needs; has the attributes of `hwgen.quantize.LayerFormats`.

    Attributes
    ----------
    name : as `operand_format` reads it, with what follows from the format left out.
    weights : name of the number format. scheme, group, weight_scale, block_rule : see `hwgen.quantize.weights_for`.
    """

    name: str
    weights: str
    scheme: str
    group: int
    weight_scale: str
    block_rule: str = "floor"

    # The other side of a layer: quantisers of weights do not look at it.
    acts: str = "fp32"
    act_scale: str = "fp32"
    align: str | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def format(self) -> Format:
        """The number format."""
        return get(self.weights)

    def quantise(self, x: npt.ArrayLike) -> QTensor:
        """Quantise [R, K]. Raises `HwgenError` for what is no finite matrix, and where groups do not fit K."""
        return weights_for(self, x)

    def nearest(self, x: Tensor) -> Tensor:
        """What is left of [..., K] after it was stored: float32 of the same shape, on the same device."""
        rows = x.detach().to("cpu", torch.float32).reshape(-1, x.shape[-1]).numpy()
        # Only nv has a scale that all rows share, and any4 tables that some do. Pieces stay in the processor's caches,
        # and numpy lets threads run.
        tied = self.format.tied_rows
        size = len(rows) if self.scheme in ("nv", "any4") else tied * max(1, _PIECE // rows.shape[1] // tied)
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            kept = np.concatenate(list(pool.map(self._kept, (rows[i : i + size] for i in range(0, len(rows), size)))))
        return torch.from_numpy(kept).reshape(x.shape).to(x.device)

    def _kept(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return self.quantise(rows).dequantize().astype(np.float32)

    def bits(self, k: int) -> float:
        """Bits of an element of a row of ``k``, with its share of scales, zero points and selectors."""
        return stored_bits(self.quantise(np.linspace(-1.0, 1.0, k, dtype=np.float32)[None].repeat(2, axis=0)))


def stored_bits(stored: QTensor) -> float:
    """Bits of an element as a memory holds them: codes, scales, zero points, selectors, second-level scales of rows.

    A scale of 1 that every value has (a format of 16 bits or more) takes none, nor do bits of HiF4's words that repeat
    others, nor rows that say what another one does.
    """
    (_, k), form = stored.shape, stored.format
    side: float = 0 if _plain(form) else stored.scale_format.code_bits + form.side_bits
    if isinstance(form, TableFormat) and form.learned:
        # Tables belong to rows, or to several of them.
        side += (
            len(form.tables) * len(form.tables[0]) * LEARNED_BITS / (len(stored.codes) * stored.groups) - form.side_bits
        )
    side -= next((block_format(name).repeated_bits for name in block_names() if name == form.name), 0)
    side += {"integer": form.code_bits, "minimum": stored.scale_format.code_bits}.get(stored.zero_kind, 0)
    of_rows = stored.outer is not None and len(stored.outer) == len(stored.codes) > 1
    outer = 32 if of_rows else 0
    return (form.code_bits / form.elements + (side * stored.groups + outer) / k) / form.tied_rows


def operand_format(name: str, group: int = DEFAULT_GROUP) -> OperandFormat:
    """Read a name. ``group`` is that of formats without blocks where the name has none (`ROW`: the whole row).

    Raises `HwgenError` for a name, scheme, group or scale that is none, or that do not go together.
    """
    if is_format_file(name):
        # The file may be another one next time: what is kept is kept by what it says.
        return operand_format(read_format(name).operand, group)
    return _named(name, group)


@functools.cache
def _named(name: str, group: int) -> OperandFormat:
    found = _NAME.fullmatch(name)
    if found is None:
        raise HwgenError(f"format of numbers: must be FORMAT[.SCHEME][/GROUP][@SCALE], not {name!r}")
    if says_itself(found["format"]):
        own = block_format(found["format"])
        if name != found["format"]:
            raise HwgenError(
                f"format of numbers {name!r}: must be {own.name} alone, which says scheme, group and scale"
            )
        return OperandFormat(own.name, own.element.name, own.scheme, own.block, own.scale.name, own.rule or "floor")
    form, called = get(found["format"]), found["format"]
    default, allowed = _schemes(called, form)
    scheme = found["scheme"] or default
    rule = "floor"
    if default == "mx" and scheme in _MX_RULES:
        scheme, rule = "mx", scheme
    if scheme not in allowed:
        every = (*allowed, *_MX_RULES) if default == "mx" else allowed
        raise HwgenError(
            f"format of numbers {name!r}: scheme of {called} must be one of {', '.join(every)}, "
            f"not {scheme!r}{suggest(scheme, every)}"
        )
    size = _group(name, found["group"], _BLOCKS.get(scheme), group)
    scale = get(found["scale"]).name if found["scale"] else _scale(scheme)
    if called.startswith("uint"):
        # Unsigned codes with a zero point are what asymmetric integers are.
        called, default = called.removeprefix("u"), "symmetric"
    parts = [called]
    if scheme != default or rule != "floor":
        parts.append(f".{rule if rule != 'floor' else scheme}")
    if scheme not in _BLOCKS and not _plain(form):
        parts.append(f"/{size or 'row'}")
    if scale != _scale(scheme):
        parts.append(f"@{scale}")
    return OperandFormat("".join(parts), get(called).name, scheme, size, scale, rule)


def _plain(form: Format) -> bool:
    """Whether values are rounded as they are."""
    return isinstance(form, MinifloatFormat) and form.code_bits >= 16


def _schemes(name: str, form: Format) -> tuple[str, tuple[str, ...]]:
    """The scheme that a format has if none is said, and all that it may have."""
    if name.startswith("mx"):
        return "mx", ("mx",)
    if name.startswith("nv"):
        return "nv", ("nv",)
    if name == "hif4":
        return "hif4", ("hif4",)
    if isinstance(form, TernaryFormat):
        return "ternary", ("ternary",)
    if isinstance(form, BipolarFormat):
        return "bipolar", ("bipolar",)
    if isinstance(form, IntFormat) and not form.twos_complement:
        return "asymmetric", ("asymmetric", "minimum", "two_level_asymmetric")
    if isinstance(form, IntFormat):
        return "symmetric", ("symmetric", *_OF_INTEGERS)
    if isinstance(form, BitmodFormat):
        return "bitmod", ("bitmod",)
    if isinstance(form, SparseTernaryFormat):
        return "sparse_ternary", ("sparse_ternary",)
    if name in ("trit_planes", "any4"):
        return name, (name,)
    if isinstance(form, CodebookFormat | TableFormat):
        return "codebook", ("codebook",)
    if isinstance(form, PowersFormat):
        return "powers", ("powers",)
    if isinstance(form, RootsFormat):
        return "fourth_roots", ("fourth_roots",)
    if isinstance(form, PositFormat):
        return "posit", ("posit",)
    if isinstance(form, AntFormat):
        return "ant", ("ant",)
    if isinstance(form, OliveFormat):
        return "olive", ("olive",)
    if isinstance(form, MinifloatFormat):
        return "element", ("element",)
    raise HwgenError(f"format of numbers {name!r}: is a format of scales, not of numbers")


def _scale(scheme: str) -> str:
    """Format of scales if none is said: the quantiser's own default."""
    return {"bitmod": "int8", "posit": "e8m0", "nv": "fp8_e4m3"}.get(scheme, "fp16")


def _group(name: str, said: str | None, block: int | None, default: int) -> int:
    if block is not None:
        if said not in (None, str(block)):
            raise HwgenError(f"format of numbers {name!r}: group must be {block}, the format's own block, not {said}")
        return block
    if said is None:
        return default
    if said == "row":
        return ROW
    if not said.isdecimal() or not 1 <= int(said) <= 1 << 20:
        raise HwgenError(f"format of numbers {name!r}: group must be row or a whole number from 1, not {said!r}")
    return int(said)
