"""Number formats and quantised tensors: what the bits mean, exactly."""

from __future__ import annotations

from hwgen.formats.ant import AntFormat
from hwgen.formats.base import Format, Scalar
from hwgen.formats.bitmod import BitmodFormat
from hwgen.formats.bits import pack_bits, packed_size, unpack_bits
from hwgen.formats.blocks import BlockFormat, block_names
from hwgen.formats.catalogue import names
from hwgen.formats.codebook import CodebookFormat
from hwgen.formats.file import FormatFile, block_format, get, read_format
from hwgen.formats.hif4 import Hif4Format, Hif4ScaleFormat
from hwgen.formats.integers import BipolarFormat, IntFormat, TernaryFormat
from hwgen.formats.minifloat import E8M0Format, MinifloatFormat, NormalFormat
from hwgen.formats.olive import OliveFormat
from hwgen.formats.posit import PositFormat
from hwgen.formats.powers import PowersFormat
from hwgen.formats.qtensor import QTensor
from hwgen.formats.roots import RootsFormat
from hwgen.formats.sparse import SparseTernaryFormat
from hwgen.formats.table import LEARNED_BITS, TableFormat, fixed_point, value_table, with_special

__all__ = [
    "LEARNED_BITS",
    "AntFormat",
    "BipolarFormat",
    "BitmodFormat",
    "BlockFormat",
    "CodebookFormat",
    "E8M0Format",
    "Format",
    "FormatFile",
    "Hif4Format",
    "Hif4ScaleFormat",
    "IntFormat",
    "MinifloatFormat",
    "NormalFormat",
    "OliveFormat",
    "PositFormat",
    "PowersFormat",
    "QTensor",
    "RootsFormat",
    "Scalar",
    "SparseTernaryFormat",
    "TableFormat",
    "TernaryFormat",
    "block_format",
    "block_names",
    "fixed_point",
    "get",
    "names",
    "pack_bits",
    "packed_size",
    "read_format",
    "unpack_bits",
    "value_table",
    "with_special",
]
