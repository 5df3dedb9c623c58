"""``python -m reports.system``: models on chips, beside other simulators under their assumptions."""

from __future__ import annotations

import dataclasses
import math
import resource
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.accelerator import Design
from hwgen.pe import family
from reports.command_line import without_options
from reports.families import table
from reports.provenance import provenance, write_result
from reports.system_peers import (
    BITMOD_CYCLES,
    BITMOD_ENERGY_UJ,
    BITMOD_MODELS,
    LUT_ROWS,
    MIXPE_TIMES,
    SCALE_SIM,
    bitmod_report,
    lut_report,
    mixpe_cycles,
    mixpe_decomposition,
    scale_sim_cycles,
)
from sim.clock import at_clock
from sim.system import Array, OffChip, Report, System, estimate_arrays, estimate_system
from sim.tech import load
from sim.workload import Decode, Phase, Prefill, load_workload

__all__ = ["DESIGNS", "MODELS", "main", "page"]

RESULT = Path("reports/results/system.md")
TITLE = "Models on chips"
MODELS = ("llama-2-7b", "llama-3-8b", "smollm2-1.7b")
CORES = 16
_AROUND: Mapping[str, Any] = {
    "bus_bits": 256,
    "weight_ring": 512,
    "act_ring": 2048,
    "burst": 32,
    "address_bits": 40,
}
DESIGNS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "int": ({"m": 1, "n": 16, "k": 8, "bits": 4, "group": 128, "post_lanes": 2}, "int8"),
    "bitmod": ({"m": 1, "n": 16, "k": 8, "bits": 4, "group": 128, "post_lanes": 2}, "int8"),
    "lut": ({"m": 1, "n": 64, "bits": 2, "group": 128, "post_lanes": 4}, "int8"),
    "mx": ({"m": 1, "n": 16, "k": 8, "post_lanes": 4}, ""),
}
"""Tiles for decoding, and the format of keys and values."""
_PHASES: tuple[Phase, ...] = (Prefill(16), Decode(128))
_TECH = "sky130hd"
_PERIOD_NS = 6.0


def design(name: str) -> Design:
    """A design of `DESIGNS`."""
    return Design.from_values(at_clock(family(name), DESIGNS[name][0], load(_TECH), None), _AROUND)


def scale_sim() -> str:
    """Layers of SCALE-Sim."""
    rows = []
    for point in SCALE_SIM:
        found = scale_sim_cycles(point)
        words = "printed" if point.simulated else "by its closed form"
        rows.append(
            [
                f"{point.size} × {point.size}",
                f"{point.dataflow} stay",
                f"{point.m} × {point.n} × {point.k}",
                f"{point.cycles:,}",
                words,
                f"{found:,}",
                _equal(found == point.cycles),
            ]
        )
    return table(["array", "dataflow", "M × N × K", "SCALE-Sim 3.0.0", "", "here", ""], rows)


def _equal(same: bool) -> str:
    return "equal" if same else "NOT EQUAL"


def bitmod() -> tuple[str, str]:
    """Cycles of BitMoD's five designs on six models in two phases, and energies of DRAM."""
    cycles, energies = [], []
    for phase, designs in BITMOD_CYCLES.items():
        for name, published in designs.items():
            found = [bitmod_report(name, model, phase).cycles for model in BITMOD_MODELS]
            same = sum(one == other for one, other in zip(found, published, strict=True))
            cycles.append([phase, name, *(f"{one:,}" for one in found), f"{same} of {len(found)} equal"])
            on_chip, whole = BITMOD_ENERGY_UJ[phase][name]
            own = bitmod_report(name, "llama-2-7b", phase).energy_pj["dram"] / 1e6
            energies.append([phase, name, f"{whole - on_chip:,}", f"{own:,.1f}", f"{own - (whole - on_chip):+.1f}"])
    return (
        table(["phase", "design", *BITMOD_MODELS, "published"], cycles),
        table(["phase", "design", "published, µJ", "here, µJ", "difference"], energies),
    )


def mixpe() -> tuple[str, str]:
    """Times of MixPE's simulator, and where its headline comes from."""
    rows = []
    for width, layers, name in ((4096, 32, "OPT-6.7B"), (5120, 40, "Llama-2-13B")):
        base = mixpe_cycles("FP16", "core_before", width, layers)
        for design_name, published in MIXPE_TIMES.items():
            dequant = "core_after" if design_name.startswith("MixPE") else "core_before"
            found = mixpe_cycles(design_name, dequant, width, layers) / base
            rows.append([name, design_name, f"{published:.2f}", f"{found:.3f}"])
    steps, before = [], 0
    for words, cycles in mixpe_decomposition():
        steps.append([words, f"{cycles:,}", "" if not before else f"{before / cycles:.3f}×"])
        before = cycles
    return (
        table(["model", "design", "published, FP16 = 1", "here"], rows),
        table(["change after change", "cycles", "faster by"], steps),
    )


def lut() -> tuple[str, float]:
    """Table 1 of LUT Tensor Core, and the mean absolute error of latencies."""
    rows, errors = [], []
    for row in LUT_ROWS:
        prefill, decode = (lut_report(row, phase) for phase in ("prefill", "decode"))
        tops = 2e-3 * prefill.peak_macs / prefill.clk_period_ns
        line = [row.name, f"{row.peak_tops:,.0f}", f"{tops:,.0f}", f"{row.density:.2f}"]
        line.append(f"{tops / (row.sms * row.area_mm2):.2f}")
        for published, report in ((row.prefill_ms, prefill), (row.decode_ms, decode)):
            found = report.time_s * 1e3
            errors.append(abs(found / published - 1))
            line += [f"{published:.2f}", f"{found:.2f}"]
        rows.append(line)
    names = ("peak, T/s", "here", "T/s a mm²", "here", "2048 tokens, ms", "here", "1024 sequences, ms", "here")
    return table(["chip", *names], rows), float(np.mean(errors))


def families() -> str:
    """Three models on four families, a token at context 2048."""
    rows = []
    for model in MODELS:
        for name, (_, kv) in DESIGNS.items():
            system = System(core=design(name), cores=CORES, kv=kv, dram_channels=4, vector_lanes=16)
            report = estimate_system(system, load_workload(model), Decode(2048))
            rows.append(_summary(model, name, report))
    names = ("tokens/s", "mJ/token", "tile's peak", "memory's rate", "area, mm²", "clock, ns", "most cycles")
    return table(["model", "family", *names], rows)


def _summary(model: str, name: str, report: Report) -> list[str]:
    return [
        model,
        name,
        f"{report.tokens_per_s:.3g}",
        f"{report.joules_per_token * 1e3:,.4g}",
        f"{report.utilization:.1%}",
        f"{report.bandwidth_utilization:.1%}",
        f"{report.total_area_um2 / 1e6:,.4g}",
        f"{report.clk_period_ns:.3g}",
        report.bound,
    ]


def cycle_model() -> str:
    """SmolLM2-135M by closed form and by the exact cycle model, which is equal to the Verilog."""
    rows = []
    model = load_workload("smollm2-135m")
    for name in DESIGNS:
        for phase in _PHASES:
            free = OffChip("no limit", math.inf)
            system = System(core=design(name), off_chip=free, clk_period_ns=_PERIOD_NS)
            near = estimate_system(system, model, phase)
            walked = estimate_system(dataclasses.replace(system, timing="exact"), model, phase)
            pairs = list(zip(near.parts, walked.parts, strict=True))
            same = sum(one.cycles == other.cycles for one, other in pairs)
            worst = max(abs(one.cycles / other.cycles - 1) for one, other in pairs)
            rows.append(
                [
                    name,
                    str(phase),
                    f"{walked.cycles:,}",
                    f"{near.cycles:,}",
                    f"{near.cycles / walked.cycles - 1:+.2%}",
                    f"{same} of {len(pairs)}",
                    f"{worst:.2%}",
                ]
            )
    names = ("exact", "closed form", "difference", "parts that are equal", "largest difference of a part")
    return table(["family", "phase", *names], rows)


_CHUNK = 4096
_RATED = "llama-2-7b"


def _arrays(chunks: int) -> float:
    """Evaluate so many chunks of described arrays on a prefill: bytes that the process has held at most."""
    model, rng = load_workload(_RATED), np.random.default_rng(1)
    for _ in range(chunks):
        array = Array(
            rows=rng.choice([8, 16, 32, 64], _CHUNK),
            columns=rng.choice([8, 16, 32, 64], _CHUNK),
            weight_bits=rng.choice([2.0, 4.0, 8.0], _CHUNK),
            weight_bytes=rng.choice([1 << 16, 1 << 18], _CHUNK),
            act_bytes=1 << 16,
        )
        system = System(core=array, off_chip=OffChip("32 GB/s", 32.0, 8.0), clk_period_ns=1.0)
        estimate_arrays(system, model, Prefill(256))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _designs(chunks: int) -> None:
    """The same of accelerators, whose cycles are the closed form's."""
    rng, count = np.random.default_rng(1), 256
    system = System(core=design("int"), clk_period_ns=_PERIOD_NS)
    for _ in range(chunks):
        p, d = {"n": rng.choice([8, 16, 32], count)}, {"act_ring": rng.choice([512, 1024, 2048], count)}
        estimate_arrays(system, load_workload(_RATED), Prefill(256), p, d)


def rates() -> str:
    """Pairs of a design and a product of the model that are evaluated in a second."""
    products = len(load_workload(_RATED).operators)
    rows: list[tuple[str, int, float, str]] = []
    _arrays(1)
    for chunks in (8, 32, 128):
        begin = time.process_time()
        held = _arrays(chunks)
        rows.append(("arrays", chunks * _CHUNK, time.process_time() - begin, f"{held / 2**20:.0f} MiB"))
    _designs(1)
    begin = time.process_time()
    _designs(4)
    rows.append(("accelerators", 4 * 256, time.process_time() - begin, ""))
    shown = [
        [what, f"{count:,}", f"{seconds:.2f}", f"{count * products / seconds / 1e6:.3g} M", most]
        for what, count, seconds, most in rows
    ]
    return table(["what", "points", "seconds of a core", "points × products a second", "most memory"], shown)


def page() -> Iterator[str]:
    """Paragraphs of the page."""
    yield (
        "Everything here is `sim.system`; what differs are values of its parameters. Published numbers are none that "
        "anything was fitted to."
    )
    yield "## Three models, four families"
    yield (
        f"A token at context 2048: {CORES} cores, four channels of LPDDR4-4266 (34.1 GB/s), keys and values in INT8 "
        "(MXFP4 for `mx`), a vector unit of 16 lanes a core; tiles with the registers of sky130hd's default clock, "
        "each system at its own shortest one. Weights of BitMoD lie in memory in the 8 bits of the tile's port, so "
        "that their 4 bits save no traffic. Memories are most of the area: macros of 2 KiB for each 32 bits."
    )
    yield families()
    yield "## The cycle model"
    yield (
        "SmolLM2-135M on one core whose memory always has a beat. The exact model is equal to the Verilog, cycle for "
        "cycle; `tests/system/test_rtl.py` runs every layer of both phases on it. `--timing exact` reports by it. "
        "The closed form vouches for none of these parts (their streams are longer than a ring), and is "
        "equal on some all the same."
    )
    yield cycle_model()
    yield "## SCALE-Sim 3.0.0"
    yield (
        "Without stalls (CALC), an array that fills and drains once a pass (`fill`). It prints the number of the last "
        "cycle from 0. Layers that it did not finish stand by the closed form that the printed ones follow."
    )
    yield scale_sim()
    cycles, energies = bitmod()
    yield "## BitMoD's simulator"
    yield (
        "Cycles of the paper's simulator (yc2367/BitMoD-HPCA-25, commit 58d7bdb), 256 tokens or one at context 256. "
        "Its assumptions as values: one product for all heads (`attention` single), logits of all tokens (`logits` "
        "all), keys and values of 16 bits that take the weights' cycles (`kv_steps`), two buffers of 512 KiB of which "
        "one must hold its operand or the other comes again, DRAM of 256 bits a cycle that overlaps with computing, "
        "cycles rounded down. Another value of any of these gives other numbers (a test has each)."
    )
    yield cycles
    yield (
        "Energy of DRAM for Llama-2-7B, 18.75 pJ a bit: the difference of the published energies with and without it. "
        "Those on the chip need its SRAM model (CACTI), which is not here."
    )
    yield energies
    times, steps = mixpe()
    yield "## MixPE's simulator"
    yield (
        "A token of each of 64 sequences through layers of 3h, h, 4h and h outputs, without stalls. Scales are "
        "products of the array: each weight before (`dequant` core_before), or sums of groups after (core_after). The "
        "published ones come from a search of mappings with a memory behind the array."
    )
    yield times
    yield (
        "Its headline, one change at a time. More elements give most of it, two weights an element another half; the "
        "place of the scales, which is the paper's idea, an eighth. Activations of 8 bits that are taken for 4 give "
        "nothing here, as 64 sequences fill no more than half of the rows."
    )
    yield steps
    yield "## Rate"
    yield (
        f"`estimate_arrays` on a prefill of {_RATED} ({len(load_workload(_RATED).operators)} products, equal ones "
        f"evaluated once), in chunks of {_CHUNK:,} points. Accelerators try eight jobs of each product "
        "by the closed form of the cycle model."
    )
    yield rates()
    found, error = lut()
    yield "## LUT Tensor Core, Table 1"
    yield (
        "A streaming multiprocessor is a core: tensor cores of 8 × 4 × 8, or units of 2 × 64 × 4 that take a plane of "
        "weights a cycle, at 1.41 GHz. Assumed: operands that several cores read pass the memory once, computing and "
        "memory overlap, 64 vector operations a cycle and core, tables made once for each product, keys and values as "
        "activations, each product by the best split over cores. Nothing is taken off for kernels that start, caches, "
        "or a vector unit that passes memory. Peak and density follow; of the INT8 row the published density does not "
        "go with its own peak and area (18.52)."
    )
    yield found
    yield (
        f"Mean absolute error of the 14 latencies: {error:.1%}. The paper's own simulator has 5.21 % against real "
        "GPUs, whose overheads it knows; all of ours are too fast. 2048 tokens take the published chips a time that "
        "hardly falls with the peak: what is not in tensor cores is most of it, and nothing here knows how much."
    )


def main() -> None:
    """Write the page."""
    write_result(RESULT, TITLE, "python -m reports.system", "\n\n".join(page()), provenance())


if __name__ == "__main__":
    without_options(main, __doc__)
