"""Several designs on one workload, with as many cores as make them equal in area, throughput or bandwidth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from hwgen.errors import HwgenError
from sim.system.estimate import estimate_system
from sim.system.report import Report
from sim.system.system import System
from sim.workload import Phase, Rule, Workload

__all__ = ["EQUAL", "compared"]

EQUAL = ("bandwidth", "area", "throughput")
"""What designs have in common: the memory; beside it the area, at most that of the first; or its tokens a second, at
least.
"""


def compared(
    systems: Sequence[System], workload: Workload, phase: Phase, rules: Sequence[Rule] = (), equal: str = EQUAL[0]
) -> list[Report]:
    """Reports of systems, those behind the first with the cores that ``equal`` asks for.

    Raises `HwgenError` as `estimate_system`, and where a core is larger than the first chip, or no number of cores is
    as fast.
    """
    if equal not in EQUAL:
        raise HwgenError(f"system: equal must be {' or '.join(EQUAL)}, not {equal!r}")

    def report(system: System, cores: int) -> Report:
        return estimate_system(replace(system, cores=cores), workload, phase, rules)

    found = [report(systems[0], systems[0].cores)]
    for system in systems[1:]:
        if equal == "throughput":
            found.append(_as_fast(partial(report, system), found[0]))
            continue
        own = report(system, system.cores)
        if equal == "area":
            cores = int(found[0].total_area_um2 / (own.total_area_um2 / own.cores))
            if cores < 1:
                room, core = (one.total_area_um2 / 1e6 for one in (found[0], own))
                raise HwgenError(
                    f"system: a core of {own.system} must be no larger than the {room:.4g} mm² of {found[0].system}, "
                    f"not {core / own.cores:.4g} mm²"
                )
            own = report(system, min(cores, _most()))
        found.append(own)
    return found


def _most() -> int:
    legal = System.parameters()["cores"].legal
    return int(legal.high)  # type: ignore[union-attr]


def _as_fast(report: Callable[[int], Report], first: Report) -> Report:
    """The fewest cores that are as fast, by doubling and halving: more cores are never slower by much."""
    low, high, best = 0, 1, report(1)
    while best.tokens_per_s < first.tokens_per_s:
        if high >= _most():
            raise HwgenError(
                f"system: {best.system} must give the {first.tokens_per_s:.4g} tokens a second of {first.system}, "
                f"which its memory does not let it; it gives {best.tokens_per_s:.4g}"
            )
        low, high = high, min(2 * high, _most())
        best = report(high)
    while high - low > 1:
        middle = (low + high) // 2
        tried = report(middle)
        if tried.tokens_per_s < first.tokens_per_s:
            low = middle
        else:
            high, best = middle, tried
    return best
