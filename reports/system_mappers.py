"""``python -m reports.system_mappers``: `sim.system` beside ZigZag and AccelForge, which search mappings.

What the peers gave is committed (``system_mappers_PEER.json``, made by ``tools/mapper_peers.py`` in environments of
their own). Their example machines are `Array`s with values of parameters, as those of `reports.system_peers`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from reports.command_line import without_options
from reports.families import table
from reports.provenance import provenance, write_result
from reports.system_peers import UNLIMITED, one_product
from sim.system import Array, OffChip, System, estimate_arrays, estimate_system
from sim.workload import Pass

__all__ = ["PEERS", "Own", "PeerRow", "machine_of", "main", "own", "page", "peer_file", "peer_rows"]

RESULT = Path("reports/results/system_mappers.md")
TITLE = "Beside ZigZag and AccelForge"
PEERS = (
    "zigzag",
    "accelforge_simple",
    "accelforge_tpu_v4i",
    "accelforge_tpu_v4i_any_block",
)
OPERANDS = ("weights", "acts", "results")
_MEGA = 1e6


@dataclass(frozen=True)
class PeerRow:
    """What a peer gave for a layer of ``m`` tokens, ``n`` outputs and ``k`` inner elements.

    ``cycles`` and the peer's own ``terms`` of them; ``moved``: bytes that pass the memory outside by operand;
    ``cpu_s`` of the search.
    """

    model: str
    role: str
    m: int
    n: int
    k: int
    objective: str
    cycles: float
    terms: Mapping[str, float]
    moved: Mapping[str, float]
    mapping: str
    cpu_s: float

    @property
    def total(self) -> float:
        """Bytes of all operands."""
        return sum(self.moved.values())


@dataclass(frozen=True)
class Own:
    """The same of `sim.system`; ``computing`` is what cycles would be if nothing waited."""

    cycles: int
    computing: int
    moved: Mapping[str, int]
    mapping: str
    cpu_s: float

    @property
    def total(self) -> int:
        """Bytes of all operands."""
        return sum(self.moved.values())


def peer_file(peer: str) -> dict[str, Any]:
    """What is committed of a peer: command, package, rows."""
    text = (Path(__file__).parent / "results" / f"system_mappers_{peer}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


_OUTSIDE = {
    "zigzag": ("dram", "cycles", 1.0),
    "simple": ("MainMemory", "latency_s", 1.0),
    "tpu_v4i": ("MainMemory", "latency_s", 1.05e9),
}
"""By machine the name of the memory outside, of the time, and cycles in a unit of that (`simple`: a second is one)."""
_NAMES = {"W": "weights", "I": "acts", "O": "results"}


def machine_of(peer: str) -> str:
    """The machine whose layers a peer was asked for."""
    return next(name for name in _OUTSIDE if name in peer)


def peer_rows(peer: str) -> list[PeerRow]:
    """Layers of a peer, in its order."""
    memory, timed, rate = _OUTSIDE[machine_of(peer)]
    found = []
    for row in peer_file(peer)["rows"]:
        moved = dict.fromkeys(OPERANDS, 0.0)
        for operand, directions in row["bytes"][memory].items():
            moved[_NAMES.get(operand, operand)] = sum(directions.values())
        terms = {name: value * rate for name, value in row["terms"].items()}
        about = {one.name: row[one.name] for one in fields(PeerRow) if one.name in row}
        found.append(PeerRow(**{**about, "cycles": row[timed] * rate, "terms": terms, "moved": moved}))
    return found


# --------------------------------------------------------------------------------------------------------- the machines

KIB = 1024
ZIGZAG = System(
    # 128 weights in each of 32 × 32 elements, 2 MiB that activations share with sums of 16 bits, one port of 64 bits.
    core=Array(
        rows=32,
        columns=32,
        dataflow="weights",
        fill="product",
        result_bits=8,
        weight_bytes=128 * KIB,
        act_bytes=2048 * KIB,
        sum_bits=16,
    ),
    off_chip=OffChip("64 bits a cycle", 8.0),
    clk_period_ns=1.0,
)
TPU_V4I = System(
    # A weight in each of 128 × 128 elements of four cores; 128 MiB that they share, for all that is used again.
    core=Array(
        rows=128,
        columns=128,
        dataflow="weights",
        result_bits=8,
        weight_bytes=128 * 128,
        act_bytes=128 * KIB * KIB,
        sum_bits=8,
    ),
    cores=4,
    multicast=True,
    off_chip=OffChip("614 GB/s", 614.0),
    clk_period_ns=1 / 1.05,
)
SIMPLE_BYTES = 128 * KIB


def own(peer: str, row: PeerRow) -> Own:
    """A layer on the same machine here."""
    machine = machine_of(peer)
    if machine == "simple":
        return _one_buffer(row)
    begin = time.process_time()
    workload = one_product("layer", row.m, row.n, row.k)
    report = estimate_system(ZIGZAG if machine == "zigzag" else TPU_V4I, workload, Pass())
    (part,) = report.parts
    taken = time.process_time() - begin
    return Own(report.cycles, part.work, {name: report.bytes[name] for name in OPERANDS}, part.mapping, taken)


def _one_buffer(row: PeerRow) -> Own:
    """One element, and a buffer for all operands: the best of its partitions, evaluated as arrays at once."""
    begin = time.process_time()
    of_weights = np.unique(np.linspace(1, SIMPLE_BYTES - 1, 257).astype(np.int64))
    array = Array(
        rows=1,
        columns=1,
        result_bits=8,
        weight_bytes=of_weights,
        act_bytes=SIMPLE_BYTES - of_weights,
        sum_bits=8,
    )
    found = estimate_arrays(
        System(core=array, off_chip=UNLIMITED, clk_period_ns=1.0), one_product("layer", row.m, row.n, row.k), Pass()
    )
    moved = {name: np.broadcast_to(found[f"{name}_bytes"], of_weights.shape) for name in OPERANDS}
    best = int(np.sum(list(moved.values()), axis=0).argmin())
    cycles = int(np.broadcast_to(found["cycles"], of_weights.shape)[best])
    taken = time.process_time() - begin
    words = f"{of_weights[best]:,} B of the buffer for weights"
    return Own(cycles, cycles, {name: int(values[best]) for name, values in moved.items()}, words, taken)


# ------------------------------------------------------------------------------------------------------------- the page


def _layer(row: PeerRow) -> list[str]:
    return [row.model, row.role, f"{row.m} × {row.n} × {row.k}"]


def _paired(peer: str, objective: str) -> list[tuple[PeerRow, Own]]:
    return [(row, own(peer, row)) for row in peer_rows(peer) if row.objective == objective]


def port_cycles(row: PeerRow) -> float:
    """Cycles that ZigZag's own bytes take at the only port of its memory."""
    return row.total / ZIGZAG.memory.bytes_per_cycle(1.0)


_TERMS = ("ideal", "stalls", "onloading", "offloading", "drain")


def zigzag_cycles(peer: str) -> str:
    """Cycles by term, ZigZag's search for the lowest latency."""
    rows = []
    for row, found in _paired(peer, "latency"):
        ends = found.computing - row.terms["ideal"]
        rows.append(
            [
                *_layer(row),
                *(f"{row.terms[name]:,.0f}" for name in _TERMS),
                f"{row.cycles:,.0f}",
                f"{port_cycles(row):,.0f}",
                f"{row.terms['ideal']:,.0f}",
                f"{ends:,.0f}",
                f"{found.cycles - found.computing:,}",
                f"{found.cycles:,}",
                f"{found.cycles / row.cycles:.4f}",
            ]
        )
    names = ("computing", "stalls", "first loads", "last stores", "drain", "ZigZag", "its bytes at the port's rate")
    here = ("computing here", "entry and drain", "waits", "here", "here / ZigZag")
    return table(["model", "layer", "M × N × K", *names, *here], rows)


def traffic(peer: str, objective: str, title: str) -> str:
    """Megabytes of each operand that pass the memory outside."""
    rows = []
    for row, found in _paired(peer, objective):
        cells = [f"{row.moved[name] / _MEGA:,.4g} / {found.moved[name] / _MEGA:,.4g}" for name in OPERANDS]
        rows.append([*_layer(row), *cells, f"{found.total / row.total:.3f}", found.mapping])
    moved = (f"{one}, {title} / here" for one in OPERANDS)
    return table(["model", "layer", "M × N × K", *moved, "sum, here / theirs", "here"], rows)


def tpu_cycles(peer: str) -> str:
    """Cycles of AccelForge's `tpu_v4i` by component."""
    rows = []
    for row, found in _paired(peer, "latency"):
        parts = (row.terms.get(name, 0.0) for name in ("MAC", "GlobalBuffer", "MainMemory"))
        memory = found.total / TPU_V4I.memory.bytes_per_cycle(1 / 1.05)
        rows.append(
            [
                *_layer(row),
                *(f"{part:,.1f}" for part in parts),
                f"{row.cycles:,.1f}",
                f"{found.computing:,}",
                f"{memory:,.1f}",
                f"{found.cycles:,}",
                f"{found.cycles / row.cycles:.3f}",
            ]
        )
    names = ("array", "shared buffer", "memory", "AccelForge", "array here", "memory here", "here", "here / AccelForge")
    return table(["model", "layer", "M × N × K", *names], rows)


def _rate(peer: str) -> Sequence[str]:
    rows = peer_rows(peer)
    seconds = sum(row.cpu_s for row in rows)
    own(peer, rows[0])
    mine = sum(own(peer, row).cpu_s for row in rows)
    each = f"{1e3 * mine / len(rows):.1f} ms"
    return [
        peer_file(peer)["package"],
        peer.removeprefix("accelforge_").replace("zigzag", "tpu_like").replace("_any", ", any"),
        str(len(rows)),
        f"{seconds / len(rows):.2f} s",
        f"{max(row.cpu_s for row in rows):.2f} s",
        each,
        f"{seconds / mine:,.0f}×",
    ]


def rates() -> str:
    """Seconds of a core that a layer takes."""
    names = ("machine", "searches", "each", "longest", "here, each", "ratio")
    return table(["peer", *names], [_rate(peer) for peer in PEERS])


def page() -> Iterator[str]:
    """Paragraphs of the page."""
    commands = ", ".join(f"`{peer_file(peer)['command']}` ({peer_file(peer)['package']})" for peer in PEERS)
    yield (
        "Linear layers of two models, a token (decode) or 512 (prefill), on example machines that the peers ship. "
        "Both search mappings; here the ways of an `Array` are enumerated. The peers' numbers are committed: "
        f"{commands}, each in an environment of its own (AccelForge's components need Python 3.12). Theirs are "
        "estimates as ours are: nobody has RTL of these machines."
    )
    yield "## ZigZag's `tpu_like`: cycles"
    yield (
        "32 × 32 elements that hold 128 weights each, an SRAM of 2 MiB for activations and sums of 16 bits, one "
        "port of 64 bits to DRAM; INT8. Here an `Array` whose weights stay: `weight_bytes` 128 KiB, `act_bytes` 2 "
        "MiB, `sum_bits` 16, and 8 bytes a cycle. ZigZag searched for the lowest latency (LOMA, at most 6 loop "
        "factors)."
    )
    yield zigzag_cycles("zigzag")
    yield (
        "- **Computing** is equal in every row.\n"
        "- **Entry and drain**: weights enter row by row and the last sums leave, 94 cycles a product (`fill` "
        "product); ZigZag has the drain alone, 62.\n"
        "- **Decode** is bound by the port. ZigZag's cycles are the weights' bytes at its rate, the computing of "
        "the first block of weights where there are several, the stores, a cycle and the drain: equal to the cycle "
        "(a test). Its loads of activations are beside those of weights, though both use the one port, so that some "
        "totals are less than its own bytes take there. Ours are all bytes at the port's rate.\n"
        "- **Prefill** is bound by computing (192 outputs: here by the port), and ours is lower for one reason, "
        "which is no better mapping: an `Array` overlaps memory and computing perfectly, where ZigZag's first loads "
        "and last stores are apart from computing (SmolLM2: all activations come before the first step) and blocks "
        "of Llama-2-7B stall. No switch has loads that nothing hides, so that ours is a bound there, by 3 to 32 %."
    )
    yield "## ZigZag's `tpu_like`: traffic"
    yield "Megabytes that pass DRAM, with the mapping of the lowest energy, most of which is DRAM's."
    yield traffic("zigzag", "energy", "ZigZag")
    yield (
        "Equal where everything passes once. Where it cannot (Llama-2-7B, 512 tokens: activations and sums are more "
        "than the SRAM), sums of all tokens stay for a block of outputs, the same idea as ZigZag's; ours takes the "
        "largest block that fits, ZigZag's is a product of the few factors that it permutes. `act_bytes` without "
        "`sum_bits` would be no machine that can be built: activations of 2 MiB would stay and sums lie nowhere. "
        "Bytes between SRAM and array, which ZigZag has too, are not in an `Array`."
    )
    yield "## AccelForge's `simple`: traffic"
    yield (
        "One element and one buffer for all operands, here of 128 KiB with memory at 100 times the buffer's energy "
        "a bit (`MainMemoryEnergy`, `GlobalBufferSize`: parameters of the example); cycles are the products in "
        "both. An `Array` has a buffer of weights and one of activations and sums: 257 partitions of the one buffer "
        "are one call with arrays, of which the best is taken. AccelForge searched for the lowest energy."
    )
    yield traffic("accelforge_simple", "energy", "AccelForge")
    yield (
        "Sums of a block stay in both. AccelForge's blocks are factors of the sizes (its default), ours any number, "
        "which fills the buffer better: 13 to 22 % fewer bytes for the prefill of Llama-2-7B, as many bytes elsewhere."
    )
    yield "## AccelForge's `tpu_v4i`: cycles"
    yield (
        "Four arrays of 128 × 128 at 1.05 GHz, a shared buffer of 128 MiB, 614 GB/s; each component's time, of "
        "which the longest counts, as here. Here four cores with `multicast`, as the shared buffer reads memory "
        "once for all. AccelForge searched for the lowest latency."
    )
    yield tpu_cycles("accelforge_tpu_v4i")
    yield (
        "Memory takes what its bytes take, as here, where cycles are whole. Where everything is bound by memory or "
        "all sizes divide, cycles are equal (Llama-2-7B). The array differs by what may be split: AccelForge's "
        "blocks are factors of the sizes by default (576 fills 96 of 128 rows and columns), ours are full blocks "
        "and a rest. Its four arrays may share the inner dimension, ours do not, as nothing would add up their "
        "sums: 9 passes a core against 10 for a token and 576 outputs, where memory takes longer anyway. A token is "
        "left to one core here where shares that differ by a block would wait for the larger one. The rate of the "
        "shared buffer is not in an `Array`; where tokens are shared, weights four times and activations once would "
        "be the longest in no row (a test)."
    )
    yield traffic("accelforge_tpu_v4i", "latency", "AccelForge")
    yield (
        "A search for latency is free to move more where nothing waits for it: sums go out and come back. Ours "
        "takes the fewest bytes of the ways that are as fast."
    )
    yield (
        "With blocks that are no factors (`explore_imperfect_spatial_loops`) AccelForge is faster than ours by 0.7 "
        "to 1.4 %, and by no mapping that can be run: it counts 576 rows in blocks of 116 as 4.97 blocks. Its own "
        "loops, counted whole, take ours or more (a test)."
    )
    yield tpu_cycles("accelforge_tpu_v4i_any_block")
    yield "## Time"
    yield (
        "Seconds of a core for one layer and objective, imports left out, on the same busy machine. Here: "
        "`estimate_system` for a workload of one layer, or the call with 257 partitions."
    )
    yield rates()


def main() -> None:
    """Write the page."""
    write_result(RESULT, TITLE, "python -m reports.system_mappers", "\n\n".join(page()), provenance())


if __name__ == "__main__":
    without_options(main, __doc__)
