"""The page of the scoreboard, and the plot of its ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from reports.families import table
from reports.plot import COLOURS
from reports.scoreboard.board import Board, Row, rows, totals
from reports.scoreboard.number import BASES, NOISE, SWITCHES, named
from reports.scoreboard.papers import papers

__all__ = ["body", "figure"]

_MARKERS = dict(zip(BASES, ("s", "o", "D", "v", "^", "P", ".", "X"), strict=True))


def figure(listed: Sequence[Row]) -> Figure:
    """Ours over the published value, a row a number: colours by paper, shapes by basis; small ones: other libraries."""
    shown = [row for row in listed if row.ratio is not None]
    names = list(dict.fromkeys(row.paper.name for row in shown))
    # A line of space above each paper.
    places = [index + 1.6 * names.index(row.paper.name) for index, row in enumerate(shown)]
    drawn = Figure(figsize=(9.5, 0.155 * (places[-1] + 10) if places else 3), layout="constrained")
    axes = drawn.subplots()
    axes.axvspan(1 / (1 + NOISE), 1 + NOISE, color="#eeeeee", zorder=0)
    axes.axvline(1, color="#777777", linewidth=0.8, zorder=1)
    for place, row in zip(places, shown, strict=True):
        colour = COLOURS[names.index(row.paper.name) % len(COLOURS)]
        marker, ratio = _MARKERS[row.number.measure.basis], row.ratio
        assert ratio is not None
        others = [row.number.ratio(one.value) for one in row.all.values() if one is not row.shown]
        axes.plot([1, ratio], [place, place], color=colour, linewidth=0.7, alpha=0.6, zorder=2)
        axes.scatter(others, [place] * len(others), s=9, marker=marker, color=colour, alpha=0.45, zorder=2)
        filled = "white" if row.verdict == "wrong way" else colour
        axes.scatter([ratio], [place], s=26, marker=marker, color=filled, edgecolors=colour, linewidths=1.2, zorder=3)
    axes.set_yticks(places, [f"{row.number.key}" for row in shown], fontsize=5.5)
    axes.set_ylim(max(places, default=0) + 1.5, -1.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("ours / published (of a range: over its nearest end); grey: within 10 %")
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.5)
    axes.set_axisbelow(True)
    handles = [
        Line2D([], [], linestyle="none", marker="s", color=COLOURS[index % len(COLOURS)], label=name)
        for index, name in enumerate(names)
    ]
    used = dict.fromkeys(row.number.measure.basis for row in shown)
    grey: dict[str, Any] = {"linestyle": "none", "color": "#777777"}
    handles += [
        Line2D([], [], marker=_MARKERS[name], markersize=5, label=f"{name} ({BASES[name].status})", **grey)
        for name in used
    ]
    handles.append(Line2D([], [], marker="o", markerfacecolor="white", label="hollow: the wrong way", **grey))
    handles.append(Line2D([], [], marker="o", markersize=3, alpha=0.5, label="small: another library", **grey))
    axes.legend(handles=handles, fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return drawn


def _headline(listed: Sequence[Row]) -> str:
    said = totals(listed)

    def verdicts(status: str) -> str:
        counted = totals([row for row in listed if row.status == status])["verdicts"]
        return f"{status}: " + ", ".join(f"{count} {name}" for name, count in counted.items())

    ratios = sorted(abs(math.log(row.ratio)) for row in listed if row.ratio is not None)
    middle = math.exp(ratios[len(ratios) // 2]) if ratios else math.nan
    measured = sorted(
        abs(math.log(row.ratio))
        for row in listed
        if row.ratio is not None and BASES[row.number.measure.basis].status == "measured"
    )
    of_measured = math.exp(measured[len(measured) // 2]) if measured else math.nan
    return (
        f"{said['numbers']} published numbers of {said['papers']} papers, of which "
        f"{said['of_rtl_synthesis_or_accuracy']} need our RTL, its synthesis or a run of a model; ours of "
        f"{said['got']} are here. {verdicts('measured').capitalize()}. {verdicts('modelled').capitalize()}, "
        "most of which are other simulators' cycles under their own assumptions. "
        "A published range counts as met anywhere in it, also where it "
        f"has no upper end. Half of all are within a factor of {middle:.2f} of the published value, half of those that "
        f"are measured within {of_measured:.2f}."
    )


def _ours(row: Row) -> str:
    if not row.all:
        return f"not run: {row.left}" if row.left else "not run"
    return ", ".join(
        f"{named(one.value)} ({one.library})" if one.library else named(one.value) for one in row.all.values()
    )


def _paper_table(listed: Sequence[Row]) -> str:
    return table(
        ["", "what", "published", "ours", "ratio", "", "basis", "switches", "source", "why they differ"],
        [
            [
                f"`{row.number.key}`",
                row.number.what,
                f"{row.number.published_text} {row.number.unit}",
                _ours(row),
                "–" if row.ratio is None else f"{row.ratio:.2f}",
                f"**{row.verdict}**" if row.verdict == "wrong way" else row.verdict,
                f"{row.number.measure.basis}, {BASES[row.number.measure.basis].status}",
                ", ".join(f"{name}={value}" for name, value in row.switches.items() if name != "library"),
                str(row.number.source),
                row.number.why,
            ]
            for row in listed
        ],
    )


def body(board: Board) -> str:
    """Text of the page below its head."""
    listed = rows(board, papers().values())
    wrong = [row for row in listed if row.verdict == "wrong way"]
    parts = [
        _headline(listed),
        "Published numbers are data; nothing is fitted to one, and no paper has a switch of its own. What is compared "
        "is the same in all papers: a tile with the registers that the default clock of a technology asks for, mapped "
        "for that clock, area and energy for a multiply-accumulate at that clock. Multipliers that papers compare with "
        "are three tiles for all of them (INT8; FP16 with FP32 sums, one and four a cell). Libraries are "
        + ", ".join(f"{name} ({one['library']}, SHA-256 {one['sha256'][:16]}…)" for name, one in _libraries(board))
        + "; the ratio is of the first one that has the number. No page numbers: papers were not read as pages. How a "
        "published number was read stands behind its source.",
        "![Ours over published](scoreboard.png)",
        "## The wrong way",
        (
            "\n".join(
                f"* `{row.paper.name} {row.number.key}`: {row.number.what}. Published {row.number.published_text}, "
                f"ours {_ours(row)}. {row.number.why}"
                for row in wrong
            )
            if wrong
            else "None."
        ),
    ]
    for paper in papers().values():
        of_paper = [row for row in listed if row.paper.name == paper.name]
        parts += [f"## {paper.title}", f"`hwgen reproduce {paper.name}`. {paper.about}"]
        if of_paper:
            parts.append(_paper_table(of_paper))
        if paper.stated:
            said = [[one.what, one.published, str(one.source), one.why] for one in paper.stated]
            parts += ["Not computed again:", table(["what", "published", "source", "why not"], said)]
    parts += [
        "## What stands behind a number",
        table(
            ["basis", "status", "what it is", "error"],
            [[name, one.status, one.about, one.error] for name, one in BASES.items()],
        ),
        "## Switches",
        table(["switch", "what it says"], SWITCHES.items()),
    ]
    return "\n\n".join(parts)


def _libraries(board: Board) -> list[tuple[str, dict[str, str]]]:
    return list(board.facts.get("libraries", {}).items())
