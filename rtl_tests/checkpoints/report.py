"""``python -m rtl_tests.checkpoints.report``: every scheme of quantised checkpoints, read and run as it is stored."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.pe import TileSpec, family
from reports.command_line import without_options
from reports.families import table
from reports.provenance import provenance, write_result
from rtl_tests.checkpoints.cases import CASES, Case
from sim.models.checkpoint import StoredWeights, stored_weights
from sim.models.fetch import default_model
from sim.models.weights import open_model
from sim.run import LayerRun, run_layer

__all__ = ["RESULT", "SHAPE", "Row", "main", "page", "real_rows", "run_case"]

RESULT = Path("reports/results/checkpoints.md")
SHAPE = {"m": 1, "n": 2}
TOKENS = 2
REAL_ROWS = 64
"""Rows of the token embedding that are run: the whole of it has 49,152."""


@dataclass(frozen=True)
class Row:
    """A stored layer, whether its weights are those of the oracle, and what its run on the RTL gave."""

    kind: str
    scheme: str
    tensor: str
    tile: str
    oracle: str
    same: bool
    weights: NDArray[np.float64]
    acts: NDArray[np.float32]
    run: LayerRun


def _flags(name: str, tile: dict[str, object]) -> str:
    words = [f"--{key.replace('_', '-')} {value}" for key, value in tile.items()]
    return f"`{' '.join([f'--pe {name}', *words])}`"


def _acts(k: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(TOKENS, k)).astype(np.float32)


def run_case(case: Case, folder: Path) -> Row:
    """Write, read and run one generated checkpoint."""
    made = case.make(folder)
    stored = stored_weights(open_model(made.path), made.layer)
    spec = family(case.family).from_values({**SHAPE, **case.tile})
    tile = _flags(case.family, dict(case.tile))
    return _row(case.kind, case.scheme, stored, spec, tile, case.oracle, made.weights)


def _row(
    kind: str,
    scheme: str,
    stored: StoredWeights,
    spec: TileSpec,
    tile: str,
    oracle: str,
    weights: NDArray[np.float64],
) -> Row:
    same = np.array_equal(stored.float32(), weights.astype(np.float32))
    acts = _acts(weights.shape[1])
    run = run_layer(spec, stored, acts, name=stored.name)
    n, k = weights.shape
    return Row(kind, scheme, f"{stored.name}, {n} x {k}", tile, oracle, same, weights, acts, run)


def real_rows() -> list[Row]:
    """Tensors of the default model: a layer of Q4_1, and the first rows of the embedding, which is Q8_0."""
    import gguf

    path = default_model()
    model, reader = open_model(path), gguf.GGUFReader(path)
    rows = []
    for name, tile, count in (
        ("blk.0.attn_k", {"bits": 4, "scheme": "minimum", "group": 32}, None),
        ("token_embd", {"bits": 8, "scheme": "symmetric", "group": 32}, REAL_ROWS),
    ):
        stored = stored_weights(model, name)
        part = stored.tensor
        zero = None if part.zero is None else part.zero[:count]
        part = dataclasses.replace(part, codes=part.codes[:count], scale_codes=part.scale_codes[:count], zero=zero)
        stored = dataclasses.replace(stored, tensor=part)
        (found,) = (tensor for tensor in reader.tensors if tensor.name == f"{name}.weight")
        weights = gguf.dequantize(found.data[:count], found.tensor_type).astype(np.float64)
        spec = family("int").from_values({**SHAPE, **tile})
        kind = "GGUF, default model"
        rows.append(_row(kind, found.tensor_type.name, stored, spec, _flags("int", tile), "gguf.dequantize", weights))
    return rows


def page(rows: Sequence[Row]) -> str:
    """Text of the result page."""
    header = ["file", "scheme", "tensor", "tile", "weights equal to", "equal", "RTL run", "cycles"]
    cells = [
        [
            row.kind,
            row.scheme,
            row.tensor,
            row.tile,
            row.oracle,
            "yes" if row.same else "NO",
            "equal" if row.run.ok else "DIFFERENT",
            f"{row.run.cycles_counted:,}",
        ]
        for row in rows
    ]
    return "\n\n".join(
        [
            "Weights of quantised checkpoints, read as they are stored (`--weights-as-stored`) and run "
            f"on a tile that holds them exactly, {TOKENS} tokens of random activations, tile of {SHAPE['m']} x "
            f"{SHAPE['n']}. Files are generated from random codes, scales and zero points, but those of the default "
            "model, whose tensors are real. *equal*: the dequantised tensor is that of the column before, bit for bit "
            "in FP32; *numbers before packing*: what the generator packed, independent of the reader. *RTL run*: every "
            "output equals the golden layer bit for bit, and the cycles counted are those predicted.",
            table(header, cells),
        ]
    )


def main() -> None:
    """Run all cases and write the page."""
    rows = real_rows()
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(run_case(case, Path(folder)))
        said = "ok" if rows[-1].same and rows[-1].run.ok else "DIFFERENT"
        print(f"{case.name}: {said}", file=sys.stderr, flush=True)
    command = "python -m rtl_tests.checkpoints.report"
    write_result(RESULT, "Quantised checkpoints", command, page(rows), provenance())


if __name__ == "__main__":
    without_options(main, __doc__)
