"""Tables of points: Markdown for people, LaTeX for papers, CSV for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from dse import designs, tiles
from dse.derived import DERIVED
from dse.pareto import column_of
from hwgen.errors import HwgenError
from hwgen.files import write_atomic

__all__ = ["columns_of", "csv", "format_cell", "latex", "markdown", "save", "text"]


def columns_of(points: pd.DataFrame, objectives: Sequence[str]) -> list[str]:
    """Columns worth a table: family, weight width, tile shape, what differs, objectives, other headline numbers."""
    shape = [name for name in ("m", "n", "k") if name in points.columns]
    known = {"pe", "weight_bits", "point", "stands_for", *shape, *tiles.METRICS, *designs.METRICS, *DERIVED}
    # ``bits`` is what ``weight_bits`` shows. A parameter that only one family has differs when it does within that
    # family.
    within = points.groupby(points["pe"].astype(str)).nunique()
    differing = [name for name in points.columns if name not in known and name != "bits" and (within[name] > 1).any()]
    objectives = [column_of(name) for name in objectives]
    numbers = ["area_um2", "latency_us", "energy_pj_per_mac", "power_mw", "utilization"]
    of_designs = [name for name in ("cycles_exact", "bound") if name in points.columns]
    return list(dict.fromkeys(["pe", "weight_bits", *shape, *differing, *objectives, *numbers, *of_designs]))


def format_cell(name: str, value: object) -> str:
    """One cell as text: whole numbers whole, others with four significant digits, ``–`` for none."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, float):
        if name == "utilization":
            return f"{value:.1%}"
        return f"{value:.0f}" if value == int(value) or value >= 10_000 else f"{value:.4g}"
    return str(value)


def markdown(points: pd.DataFrame, columns: Sequence[str]) -> str:
    """Markdown table of the given columns, one line a point."""
    numeric = [pd.api.types.is_numeric_dtype(points[name]) for name in columns]
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
    ]
    for row in points[list(columns)].itertuples(index=False):
        lines.append(
            "| " + " | ".join(format_cell(name, value) for name, value in zip(columns, row, strict=True)) + " |"
        )
    return "\n".join(lines) + "\n"


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "×": r"$\times$"}
_LATEX |= {letter: f"\\{letter}" for letter in "&%$#_{}"}


def latex(points: pd.DataFrame, columns: Sequence[str]) -> str:
    """A ``tabular`` with the rules of booktabs, one line a point; names and numbers as in `markdown`."""

    def line(cells: Iterable[str]) -> str:
        return " & ".join("".join(_LATEX.get(letter, letter) for letter in cell) for cell in cells) + r" \\"

    form = "".join("r" if pd.api.types.is_numeric_dtype(points[name]) else "l" for name in columns)
    rows = points[list(columns)].itertuples(index=False)
    body = [line(format_cell(name, value) for name, value in zip(columns, row, strict=True)) for row in rows]
    head = [rf"\begin{{tabular}}{{{form}}}", r"\toprule", line(columns), r"\midrule"]
    return "\n".join([*head, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def csv(points: pd.DataFrame) -> str:
    """All columns as CSV, full precision."""
    text: str = points.to_csv(index=False, lineterminator="\n")
    return text


def text(points: pd.DataFrame, path: str | Path, columns: Sequence[str]) -> str:
    """A table as the suffix of the path says. Raises `HwgenError` for a suffix that is none of .md, .csv and .tex."""
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in (".md", ".csv", ".tex"):
        raise HwgenError(f"table: output must end in .md, .csv or .tex, not {target.name!r}")
    if suffix == ".csv":
        return csv(points)
    return latex(points, columns) if suffix == ".tex" else markdown(points, columns)


def save(points: pd.DataFrame, path: str | Path, columns: Sequence[str]) -> Path:
    """Write a table; the suffix says which kind. Raises `HwgenError` as `text` does."""
    target = Path(path)
    write_atomic(target, text(points, target, columns), "table")
    return target
