"""``python -m sim.memory.fit CSV``: write the shipped table of SRAM banks from points that CACTI computed.

CACTI chooses a bank's organisation anew at every point, so that neighbours are not smooth. The table therefore keeps
the points and interpolates between them; `leave_one_out` says what that errs, `regression` what a quadratic would.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwgen.errors import HwgenError
from hwgen.files import write_atomic
from sim.memory._table import PORTS, QUANTITIES, TABLE, SramTable, load

__all__ = ["Error", "Points", "leave_one_out", "main", "read_points", "regression", "table_text"]

_KEY = ("node_nm", "capacity_bytes", "word_bits", "ports")
_SOURCE = (
    "CACTI 7 (HewlettPackard/cacti): plain RAM, one bank, itrs-hp cells, 360 K, no ECC, objective cycle time; 28 nm is "
    "CACTI's own interpolation between 22 and 32 nm; a model, not silicon"
)


@dataclass(frozen=True)
class Points:
    """What a CSV file holds: values by node, capacity, width and ports, and the numbers of lines that are no rows."""

    values: dict[tuple[int, int, int, str], dict[str, float]]
    dropped: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Error:
    """Relative error of a prediction over ``count`` points: median, nine in ten stay below ``p90``, largest."""

    count: int
    median: float
    p90: float
    largest: float


def read_points(path: Path) -> Points:
    """Read a CSV file with the columns of the table.

    A line that is not one value a column is dropped and counted. Raises `HwgenError` for a file that cannot be read,
    for missing columns, for a value that is no number above 0, and for two rows of one bank.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HwgenError(f"fit: {str(path)!r} must be a readable CSV file: {error.strerror}") from error
    reader = csv.reader(io.StringIO(data.decode("utf-8"), newline=""))
    header = next(reader, [])
    missing = [name for name in (*_KEY, *QUANTITIES) if name not in header]
    if missing:
        raise HwgenError(f"fit: {path.name}: must have the columns {', '.join((*_KEY, *QUANTITIES))}; no {missing[0]}")
    values: dict[tuple[int, int, int, str], dict[str, float]] = {}
    dropped = []
    for line in reader:
        if len(line) != len(header):
            dropped.append(reader.line_num)
            continue
        row = dict(zip(header, line, strict=True))
        where = f"fit: {path.name}: line {reader.line_num}"
        try:
            key = (int(row["node_nm"]), int(row["capacity_bytes"]), int(row["word_bits"]), row["ports"])
            numbers = {name: float(row[name]) for name in QUANTITIES}
        except ValueError as error:
            raise HwgenError(f"{where}: must be numbers but for the ports: {error}") from error
        if row["ports"] not in PORTS or not all(0 < value < float("inf") for value in (*key[:3], *numbers.values())):
            raise HwgenError(f"{where}: must be numbers above 0 and ports {' or '.join(PORTS)}, not {','.join(line)}")
        if key in values:
            raise HwgenError(f"{where}: must be the only row of its bank, {key[0]} nm {key[1]} bytes {key[2]} bits")
        values[key] = numbers
    return Points(values, tuple(dropped), hashlib.sha256(data).hexdigest())


def table_text(points: Points) -> str:
    """The TOML file of a table: every point, ``nan`` where the data has none."""
    capacities = sorted({key[1] for key in points.values})
    widths = sorted({key[2] for key in points.values})
    lines = [
        "# Made by `python -m sim.memory.fit CSV` (rows: capacities, columns: widths, nan: no such point).",
        'status = "published"',
        f'source = "{_SOURCE}"',
        f'data_sha256 = "{points.sha256}"',
        f"points = {len(points.values)}",
        f"dropped_lines = {len(points.dropped)}",
        f"capacities_bytes = {capacities}",
        f"widths_bits = {widths}",
    ]
    nowhere = dict.fromkeys(QUANTITIES, float("nan"))
    for node, ports in sorted({(key[0], key[3]) for key in points.values}):
        lines += ["", f"[bank.{node}.{ports}]"]
        for name in QUANTITIES:
            lines.append(f"{name} = [")
            for capacity in capacities:
                row = (points.values.get((node, capacity, width, ports), nowhere)[name] for width in widths)
                lines.append(f"  [{', '.join(map(repr, row))}],")
            lines.append("]")
    return "\n".join(lines) + "\n"


def _error(found: np.ndarray) -> Error:
    error = np.abs(found)
    return Error(error.size, float(np.median(error)), float(np.percentile(error, 90)), float(error.max()))


def leave_one_out(table: SramTable | None = None, axis: str = "capacity") -> dict[str, Error]:
    """Error by quantity at points that the table is made to forget, one capacity (or ``width``) at a time.

    The steps are then twice those of the table (a factor of 4), so that between the table's points the error is less.
    Points at the ends of the axis have no neighbours on both sides and are not counted.
    """
    table = load() if table is None else table
    inner = (table.capacities if axis == "capacity" else table.widths)[1:-1]
    found: dict[str, list[np.ndarray]] = {name: [] for name in QUANTITIES}
    for left_out in inner:
        rest = table.without(**{axis: int(left_out)})
        place = np.flatnonzero((table.capacities if axis == "capacity" else table.widths) == left_out)[0]
        for (node, ports), grid in table.grids.items():
            if axis == "capacity":
                predicted = rest.at(node, ports, left_out, table.widths)
                true = {name: values[place, :] for name, values in grid.items()}
            else:
                predicted = rest.at(node, ports, table.capacities, left_out)
                true = {name: values[:, place] for name, values in grid.items()}
            for name in QUANTITIES:
                ratio = predicted[name] / true[name] - 1
                found[name].append(ratio[~np.isnan(ratio)])
    return {name: _error(np.concatenate(parts)) for name, parts in found.items()}


def regression(table: SramTable | None = None) -> dict[str, Error]:
    """Leave-one-out error of a quadratic in log capacity and log width, fitted for each node and ports."""
    table = load() if table is None else table
    c, w = np.meshgrid(np.log2(table.capacities), np.log2(table.widths), indexing="ij")
    terms = np.stack([np.ones_like(c), c, w, c * c, w * w, c * w], axis=-1)
    found: dict[str, list[np.ndarray]] = {name: [] for name in QUANTITIES}
    for grid in table.grids.values():
        there = ~np.isnan(grid["read_pj"])
        x = terms[there]
        # A left-out residual is the residual over one minus the point's leverage.
        hat = x @ np.linalg.pinv(x)
        for name in QUANTITIES:
            y = np.log(grid[name][there])
            found[name].append(np.expm1((hat @ y - y) / (1 - np.diag(hat))))
    return {name: _error(np.concatenate(parts)) for name, parts in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table and print what interpolation errs; a mistake is told in a sentence, with exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m sim.memory.fit", description="Write the shipped SRAM table.")
    parser.add_argument("csv", type=Path, help="points, columns as in sim/memory/fit.py")
    parser.add_argument("--out", type=Path, default=TABLE, help="the table (default: the shipped one)")
    options = parser.parse_args(arguments)
    try:
        points = read_points(options.csv)
        write_atomic(options.out, table_text(points), "SRAM table")
    except HwgenError as error:
        parser.exit(2, f"{error}\n")
    print(f"{len(points.values)} points; lines dropped: {', '.join(map(str, points.dropped)) or 'none'}")
    load.cache_clear()
    for name, left_out in leave_one_out(load(options.out)).items():
        print(
            f"{name}: left out, errs {left_out.median:.1%} median, {left_out.p90:.1%} p90, {left_out.largest:.1%} max"
        )


if __name__ == "__main__":
    main()
