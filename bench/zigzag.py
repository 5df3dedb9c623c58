"""``python -m bench.zigzag PYTHON``: the rate of (design x layer) evaluations beside ZigZag's, in one run.

PYTHON is the interpreter of an environment in which ``pip install zigzag-dse==3.9.1 six`` was run; it is no dependency
of the project. Both get the same layers (``tools/mapper_peers.py``). ZigZag searches a mapping for its example machine,
one design; here every design of a space has the best of its mappings found.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.many_designs import accelerator_pairs, side_by_side
from hwgen.errors import HwgenError
from hwgen.schedule import Layer
from reports.families import table
from reports.provenance import provenance, write_result
from reports.system_mappers import PeerRow, own, peer_rows
from reports.system_peers import one_product
from sim.system import Array, OffChip, System, estimate_arrays
from sim.workload import Pass

__all__ = ["RESULT", "main"]

RESULT = Path("reports/results/rate_beside_zigzag.md")
TITLE = "Rate beside ZigZag"
_TOOL = Path(__file__).parents[1] / "tools" / "mapper_peers.py"
_PAIRS = 20_000_000
"""Pairs of a design and a layer that each of our processes evaluates."""
_PIECE = 1 << 18
_ARRAYS: Mapping[str, Iterable[int]] = {
    "rows": range(4, 132, 4),
    "columns": range(4, 132, 4),
    "weight_bytes": tuple(1 << one for one in range(12, 21)),
    "act_bytes": tuple(1 << one for one in range(15, 23)),
}


@dataclass(frozen=True)
class Rate:
    """``pairs`` evaluated in ``seconds`` by ``processes``, which took ``cpu_s`` of processor time together."""

    what: str
    pairs: int
    seconds: float
    cpu_s: float
    processes: int

    @property
    def rate(self) -> float:
        """Pairs a second."""
        return self.pairs / self.seconds

    @property
    def alone(self) -> float:
        """Pairs in a second of a core."""
        return self.pairs / self.cpu_s


def zigzag(python: str, folder: Path) -> tuple[Rate, dict[str, Any]]:
    """Search every layer by ZigZag, one process.

    Raises `HwgenError` where the interpreter has no ZigZag.
    """
    out = folder / "zigzag.json"
    try:
        done = subprocess.run([python, str(_TOOL), "zigzag", "--out", str(out)], check=False, stdout=subprocess.DEVNULL)
    except OSError as error:
        raise HwgenError(f"zigzag: PYTHON must be an interpreter that can be run, not {python!r}") from error
    if done.returncode:
        raise HwgenError(
            f"zigzag: PYTHON must have the package, {python} gave status {done.returncode}; try "
            f"{python} -m pip install zigzag-dse==3.9.1 six"
        )
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    rows = found["rows"]
    seconds, spent = (sum(row[name] for row in rows) for name in ("wall_s", "cpu_s"))
    return Rate(f"{found['package']}, its example `tpu_like`", len(rows), seconds, spent, 1), found


def _layers() -> list[Layer]:
    """ZigZag's, each once."""
    shapes = dict.fromkeys((row.m, row.n, row.k) for row in peer_rows("zigzag"))
    return [Layer(f"{m}x{n}x{k}", m, n, k) for m, n, k in shapes]


def _arrays(pairs: int) -> int:
    """Described arrays, ZigZag's machine among their kind."""
    axes = {name: np.array(list(values)) for name, values in _ARRAYS.items()}
    shape = tuple(map(len, axes.values()))
    layers, done = _layers(), 0
    for begin in itertools.cycle(range(0, int(np.prod(shape)), _PIECE)):
        places = np.unravel_index(np.arange(begin, min(begin + _PIECE, int(np.prod(shape)))), shape)
        values = {name: axis[own_places] for (name, axis), own_places in zip(axes.items(), places, strict=True)}
        core = Array(**values, dataflow="weights", fill="product", result_bits=8, sum_bits=16)
        system = System(core=core, off_chip=OffChip("64 bits a cycle", 8.0), clk_period_ns=1.0)
        for layer in layers:
            estimate_arrays(system, one_product("layer", layer.m, layer.n, layer.k), Pass())
            done += len(places[0])
        if done >= pairs:
            break
    return done


def _accelerators(pairs: int) -> int:
    """Sweep of accelerators with all columns of rows."""
    return accelerator_pairs(pairs, _layers())


_OURS = {
    "described arrays, cycles, bytes and waits": _arrays,
    "accelerators, cycles, energy, area (sky130hd)": _accelerators,
}


def ours(what: str, pairs: int, processes: int) -> Rate:
    """Rate of one of `_OURS`, by processes side by side."""
    found = side_by_side(_OURS[what], pairs, processes)
    seconds = max(one.seconds for one in found)
    return Rate(what, sum(one.pairs for one in found), seconds, sum(one.cpu_s for one in found), processes)


def page(peer: Rate, mine: Iterable[Rate], found: Mapping[str, Any]) -> str:
    """Body of the page."""
    rates = [
        [
            one.what,
            str(one.processes),
            f"{one.pairs:,}",
            f"{one.rate:,.3g}",
            f"{one.alone:,.3g}",
            f"{one.alone / peer.alone:,.2g}×",
        ]
        for one in (peer, *mine)
    ]
    kept = {(row.m, row.n, row.k, row.objective): row.cycles for row in peer_rows("zigzag")}
    now = {(row["m"], row["n"], row["k"], row["objective"]): row["cycles"] for row in found["rows"]}
    cycles = [_cycles(row) for row in peer_rows("zigzag") if row.objective == "latency"]
    return "\n\n".join(
        [
            f"The {len(_layers())} layers of [system_mappers.md](system_mappers.md) (two language models, a token and "
            "512), in one run on the same machine. ZigZag searches a mapping of a layer on one design, for the lowest "
            "latency and for the lowest energy; here the ways of each design to do a layer are enumerated, and the "
            "best is taken. Energies and areas of accelerators are those of their blocks.",
            table(["what", "processes", "evaluations", "a second", "in a second of a core", "beside ZigZag"], rates),
            f"ZigZag's cycles in this run are those that are committed: {'yes' if kept == now else 'NO'}. The same "
            "machine here, cycle for cycle; where they differ and why is on [system_mappers.md](system_mappers.md).",
            table(["model", "layer", "M × N × K", "ZigZag", "here", "here / ZigZag"], cycles),
        ]
    )


def _cycles(row: PeerRow) -> list[str]:
    here = own("zigzag", row).cycles
    shape = f"{row.m} × {row.n} × {row.k}"
    return [row.model, row.role, shape, f"{row.cycles:,.0f}", f"{here:,}", f"{here / row.cycles:.4f}"]


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.argument("python")
@click.option("--pairs", type=click.IntRange(min=1), default=_PAIRS, show_default=True, help="pairs of each process")
@click.option("-o", "output", type=click.Path(path_type=Path), default=RESULT, show_default=True, help="page")
def main(python: str, pairs: int, output: Path) -> None:
    """Measure and write the page."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            peer, found = zigzag(python, Path(folder))
            print(f"{peer.what}: {peer.rate:.3g} a second ({time.perf_counter() - begin:.0f} s)", file=sys.stderr)
        mine = []
        for what, processes in itertools.product(_OURS, dict.fromkeys((1, os.cpu_count() or 1))):
            mine.append(ours(what, pairs, processes))
            print(f"{what}, {processes} processes: {mine[-1].rate:.3g} a second", file=sys.stderr, flush=True)
    except HwgenError as error:
        print(f"hwgen: {error}", file=sys.stderr)
        sys.exit(2)
    write_result(output, TITLE, "python -m bench.zigzag PYTHON", page(peer, mine, found), provenance())


if __name__ == "__main__":
    main()
