"""L-Mul products beside exact products of the same activation and weight codes.

Products: all pairs of numbers from 1 up to 2 with m bits of mantissa, of a format e5m``m``. `carry` exponent is the
tile's integer addition, in which a mantissa sum of 1 or more carries into the exponent; `carry` none is the formula
(1 + x_m + y_m + 2^−l)·2^(x_e + y_e) as it is printed. Relative to the exact product.

Random: 16 tokens by 512 inputs by 64 outputs, normally distributed, every 32nd channel 20 times as large, as in
language models. Real: 8 tokens of text and 64 outputs of layer blk.0.ffn_up (576 inputs) of SmolLM2-135M. Groups of a
whole row, exact sums. `worst` and `mean` are the largest and the average error of a sum relative to its Σ |a·w|; the
average has a sign. `rms` is the root mean square of the error of all products, or of the layer's outputs, relative to
that of the exact ones. All three are percentages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwgen.pe import family
from reports.command_line import without_options
from reports.errors._common import random_operands, real_operands
from reports.errors.minifloat import measure
from reports.families import table
from reports.provenance import provenance, write_result
from sim.golden.lmul import lmul

__all__ = ["error_table", "main", "product_errors"]

RESULT = Path("reports/results/errors_lmul.md")
MANTISSAS = (1, 2, 3, 4, 5, 7, 10)
TOKENS, INPUTS, OUTPUTS = 16, 512, 64
LAYER, REAL_TOKENS = "blk.0.ffn_up", 8
FORMATS = (
    ("fp16", "fp16"),
    ("bf16", "bf16"),
    ("fp16", "fp8_e4m3"),
    ("fp8_e4m3", "fp8_e4m3"),
    ("fp8_e5m2", "fp8_e5m2"),
    ("fp6_e2m3", "fp6_e2m3"),
    ("fp4_e2m1", "fp4_e2m1"),
)
SUBNORMALS = ("flush", "normalise")


def product_errors(mantissa: int, carry: bool) -> tuple[float, float, float]:
    """(worst, mean, rms) relative error over all pairs of mantissas of so many bits."""
    one = 1 + torch.arange(2**mantissa).double() / 2**mantissa
    exact = one[:, None] * one
    found = lmul(one[:, None], one, mantissa)
    if not carry:
        # From 1 up the integer addition doubles what the formula adds.
        total = one[:, None] + one - 2 + (lmul(one[:1], one[:1], mantissa) - 1)
        found = 1 + total
    error = (found - exact) / exact
    return float(error.abs().max()), float(error.mean()), float((error**2).mean().sqrt())


def _percent(value: float) -> str:
    return f"{100 * value:.3g}"


def _row(
    operands: str, acts: str, weights: str, subnormals: str, carry: str, found: tuple[float, ...]
) -> dict[str, Any]:
    names = (
        "operands",
        "activations",
        "weights",
        "subnormals",
        "carry",
        "worst_percent",
        "mean_percent",
        "rms_percent",
    )
    return dict(zip(names, (operands, acts, weights, subnormals, carry, *map(_percent, found)), strict=True))


def _operands() -> list[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    return [
        ("random", random_operands(OUTPUTS, INPUTS, TOKENS)),
        ("real", real_operands(LAYER, OUTPUTS, REAL_TOKENS)),
    ]


def error_table() -> list[dict[str, Any]]:
    """One row a case of operands, formats and rules, with the three errors in per cent."""
    rows = [
        _row("products", f"e5m{bits}", f"e5m{bits}", "", carry, product_errors(bits, carry == "exponent"))
        for bits in MANTISSAS
        for carry in ("exponent", "none")
    ]
    for name, (weights, acts) in _operands():
        for act_format, weight_format in FORMATS:
            for subnormals in SUBNORMALS:
                values = {"acts": act_format, "weights": weight_format, "subnormals": subnormals}
                spec = family("lmul").from_values({**values, "group": 0, "depth": 1024})
                found = measure(spec, weights, acts)
                rows.append(_row(name, act_format, weight_format, subnormals, "exponent", found))
    return rows


def main() -> None:
    """Measure and write this table alone."""
    facts = provenance()
    rows = error_table()
    columns = list(rows[0])
    text = "\n\n".join([(__doc__ or "").strip(), table(columns, [[row[column] for column in columns] for row in rows])])
    write_result(RESULT, "Error of L-Mul", "python -m reports.errors.lmul", text, facts)


if __name__ == "__main__":
    without_options(main, __doc__)
