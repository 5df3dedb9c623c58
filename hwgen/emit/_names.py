"""Names of what is emitted: the one place from which Verilog, manifest, benches and constraints take them.

A tile is a module ``top``; its blocks are ``top_<kind>``, the block before the activation buffer is ``top_pre`` (with
blocks ``top_pre_<kind>`` of its own), companions are ``top_<name>``, the tile behind AXI4-Stream is ``top_axis``, and
the bench of a module is ``<module>_tb``.
"""

from __future__ import annotations

import re

from hwgen.errors import HwgenError
from hwgen.frame.spec import TileSpec

__all__ = [
    "KEYWORDS",
    "LONGEST_TOP",
    "axi_stream_name",
    "bench_name",
    "block_name",
    "companion_name",
    "module_name",
    "pre_name",
]

LONGEST_TOP = 128
"""Characters of a module's name: file names are made of it, which most file systems end at 255."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Yosys writes nets that have no name of their own so, and renames whoever has such a name.
_NUMBERED = re.compile(r"_[0-9]+_")

_RESERVED = """
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins
binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const
constraint context continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge
else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule
endpackage endprimitive endprogram endproperty endspecify endsequence endtable endtask enum event eventually expect
export extends extern final first_match for force foreach forever fork forkjoin function generate genvar global highz0
highz1 if iff ifnone ignore_bins illegal_bins implements implies import incdir include initial inout input inside
instance int integer interconnect interface intersect join join_any join_none large let liblist library local
localparam logic longint macromodule matches medium modport module nand negedge nettype new nexttime nmos nor
noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge primitive priority program
property protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1
s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled signed small
soft solve specify specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on
sync_reject_on table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand
trior trireg type typedef union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void
wait wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
"""
KEYWORDS = frozenset(_RESERVED.split())
"""Reserved words of IEEE 1800-2017 and 1800-2023 (annex B), among which are all of IEEE 1364-2005."""

_TOOL_WORDS = frozenset({"bool", "std", "wone", "wreal"})
"""Words that the standards leave free and simulators do not: types of Icarus Verilog and Verilog-AMS, the package
``std``.
"""


def module_name(spec: TileSpec, top: str | None = None) -> str:
    """Name of a tile's module: ``top``, or the family's where None.

    Raises `HwgenError` where ``top`` is no name that every tool takes for a module as it is, or where one of the tile's
    own names is in its way.
    """
    name = f"{spec.family}_tile" if top is None else top

    def refuse(must: str) -> HwgenError:
        shown = repr(name) if len(repr(name)) <= 2 * LONGEST_TOP else f"one of {len(name)} characters"
        return HwgenError(f"{spec.family}: top must {must}, not {shown}")

    if not _IDENTIFIER.fullmatch(name):
        raise refuse("be a Verilog identifier (letters, digits and underscores, no digit first)")
    if len(name) > LONGEST_TOP:
        raise refuse(f"have at most {LONGEST_TOP} characters")
    if name in KEYWORDS:
        raise refuse("be no reserved word of Verilog (IEEE 1364) or SystemVerilog (IEEE 1800)")
    if name in _TOOL_WORDS:
        raise refuse("be no word that simulators reserve beside the standards")
    if _NUMBERED.fullmatch(name):
        raise refuse("be no number between underscores, which are names of nets")
    if name in _scope(spec):
        raise refuse("be a name of its own and not that of a port")
    return name


def _scope(spec: TileSpec) -> set[str]:
    """Names of the ports of all modules of a tile: benches declare them beside an instance of the module."""
    from hwgen.emit._reset import reset_names
    from hwgen.frame.interface import tile_ports
    from hwgen.frame.ports import component_ports

    pre = spec.pre()
    ports = [*tile_ports(spec), *(pre.ports() if pre is not None else [])]
    for companion in spec.companions().values():
        ports += component_ports(companion)
    return {"clk", *reset_names(), *(port.name for port in ports)}


def block_name(module: str, kind: str) -> str:
    """Name of a module of blocks of ``kind`` within ``module``."""
    return f"{module}_{kind}"


def pre_name(top: str) -> str:
    """Name of the module before the activation buffer."""
    return f"{top}_pre"


def companion_name(top: str, name: str) -> str:
    """Name of the module of companion ``name``."""
    return f"{top}_{name}"


def axi_stream_name(top: str) -> str:
    """Name of the module that puts a tile behind AXI4-Stream."""
    return f"{top}_axis"


def bench_name(module: str) -> str:
    """Name of the bench of a module, and of its files up to their endings."""
    return f"{module}_tb"
