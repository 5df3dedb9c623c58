"""The quantiser in Verilog: the reference's bytes, the model's cycles, errors, and what tiles read."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

import numpy as np
import pytest

from hwgen.accelerator import Design, Memory, layer_jobs, pack_weights, unpack_results
from hwgen.accelerator.quantiser import Kind, QuantiserCause, cache_bytes, cache_job, geometry
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule
from hwgen.simulators import lint
from hwgen.simulators.bus import BusJob, MemoryModel, Op, Read, Reset, Start, Wait, Write
from hwgen.verify import CompiledAccelerator, CompiledQuantiser, Task
from rtl_tests.accelerator.quantiser_cases import (
    CASES,
    ELEMENTS,
    Drawn,
    compiled_quantiser,
    drawn_jobs,
    failures,
    placed,
    run_all,
    written,
)
from tests.accelerator.quantiser_reference import corner_rows, random_rows

pytestmark = pytest.mark.rtl

FEW, MANY = 6, 40
SHARED = 0
"""Case that most tests use: codes of 4 bits with words for scales."""
_CASES = pytest.mark.parametrize("index", range(len(CASES)), ids=[case.name for case in CASES])


# ---------------------------------------------------------------------- bytes and cycles


@pytest.mark.few(1)
@pytest.mark.few(3)
@_CASES
def test_bytes_and_cycles(index: int) -> None:
    compiled = compiled_quantiser(index)
    drawn = drawn_jobs(compiled.design, FEW, seed=1)
    assert failures(compiled, drawn, run_all(compiled, drawn)) == []


@pytest.mark.slow
@pytest.mark.few(3)
@_CASES
def test_bytes_and_cycles_of_many_jobs(index: int) -> None:
    compiled = compiled_quantiser(index)
    drawn = drawn_jobs(compiled.design, MANY, seed=2)
    assert failures(compiled, drawn, run_all(compiled, drawn)) == []


@pytest.mark.slow
@pytest.mark.few(3)
@_CASES
def test_images_of_many_rows_are_those_of_the_quantiser_of_weights(index: int) -> None:
    compiled = compiled_quantiser(index)
    design, rows = compiled.design, 1500
    rng = np.random.default_rng(index)
    words = np.concatenate([corner_rows(ELEMENTS), random_rows(rng, rows, ELEMENTS)])[:rows]
    # The columns are all filled.
    words = words[: rows - rows % design.tile.n]
    weights = design.tile.quantize_weights(words.view(np.float32))
    schedule = Schedule(design.tile, Layer("scores", 1, len(words), ELEMENTS))
    wanted = pack_weights(design, schedule, weights)
    found = _cached(compiled, Kind.K, words, True)
    assert np.array_equal(found["codes"], wanted["weights"])
    if "weight_sides" in wanted:
        assert np.array_equal(found["scales"], wanted["weight_sides"])
    else:
        size = geometry(design).scale_bytes
        scales = found["scales"][: size * len(words)].view(f"<u{size}")
        assert np.array_equal(scales, weights.scale_codes[:, 0])


def test_cases_cover_what_a_quantiser_can_be() -> None:
    designs = [case.build() for case in CASES]
    forms = [geometry(design) for design in designs]
    assert len(CASES) >= 6
    assert {form.bits for form in forms} == {4, 8}
    assert {form.scale.name for form in forms} == {"fp16", "bf16", "fp32", "fp8_e4m3"}
    assert {form.sides for form in forms} == {False, True}
    assert len({(form.n, form.k) for form in forms}) >= 6
    assert {design.bus_bits for design in designs} == {64, 128, 256, 512}
    # Columns of three bytes straddle beats; words of some are no power of two of beats.
    assert any(form.column_bytes == 3 for form in forms)
    for case, design in zip(CASES, designs, strict=True):
        drawn = drawn_jobs(design, MANY, seed=2)
        assert {one.job.kind for one in drawn} == {Kind.K, Kind.V}
        starts = [one.job.source + row * one.job.source_stride for one in drawn for row in range(one.job.rows)]
        ends = [start + 4 * one.job.elements - 1 for one in drawn for start in [one.job.source]]
        assert any(start // 4096 != end // 4096 for start, end in zip(starts, ends, strict=False)), case.name
        first = [one.job.first_token % 2 for one in drawn if one.job.kind == Kind.V]
        assert {0, 1} == set(first)


@pytest.mark.few(1)
@pytest.mark.parametrize("index", [SHARED, 1])
def test_bytes_with_a_memory_that_answers_at_random(index: int) -> None:
    compiled = compiled_quantiser(index)
    drawn = drawn_jobs(compiled.design, 12, seed=3)
    runs = [
        BusJob(compiled.script(one.job), one.image, MemoryModel(latency=9, seed=number))
        for number, one in enumerate(drawn)
    ]
    for one, result in zip(drawn, compiled.simulator.run_many(runs), strict=True):
        assert result.reads.tolist() == [0x100, 0, 0]
        assert np.array_equal(result.memory[0], written(compiled.design, one))


# ---------------------------------------------------------------------- faults that are seen


FAULTS = {
    "codes are cut": (SHARED, "int_quantiser_divider", r"assign up = .*;", "assign up = 1'h0;"),
    "ties go down": (
        SHARED,
        "int_quantiser_divider",
        r"assign up = (\S+) \? .* : (.*);",
        r"assign up = \1 ? 1'h0 : \2;",
    ),
    "scales are cut": (SHARED, "int_quantiser_rounder", r"assign up = .*;", "assign up = 1'h0;"),
    "a subnormal keeps its place": (5, "int_quantiser_normaliser", r"assign by_1 = .*;", "assign by_1 = 1'h0;"),
    "beats are not told apart": (SHARED, "int_quantiser_writer", r"assign same = .*;", "assign same = 1'h1;"),
    "beats leave without a look at answers": (SHARED, "int_quantiser_writer", r"(assign free = .*?) & \S+;", r"\1;"),
    "what shares bytes is not kept": (SHARED, "int_quantiser_writer", r"(merges <= ).*;", r"\1 1'h0;"),
    "rows share a half of the buffer": (1, "int_quantiser", r"(\(begins\) other_half <= ).*;", r"\1 1'h0;"),
    "rows are read one later": (1, "int_quantiser", r"assign begins = .*;", "assign begins = in_clear;"),
    "the last beat counts whole": (SHARED, "int_quantiser", r"assign beyond_1 = .*;", "assign beyond_1 = 1'h0;"),
    "quotients are not rounded to FP32": (5, "int_quantiser_divider", r"near = .*;", "near = 8'h00;"),
}
"""Case, module, what is in it, what takes its place."""


def _faulty(compiled: CompiledQuantiser, fault: str) -> CompiledQuantiser:
    _, module, old, new = FAULTS[fault]
    found = re.search(rf"module {module} ?\(.*?endmodule", compiled.emission.verilog, re.S)
    assert found
    changed = re.sub(old, new, found[0], count=1)
    # Nor what is said there already, as where a reset says it.
    assert changed.split() != found[0].split(), fault
    text = compiled.emission.verilog.replace(found[0], changed)
    emission = dataclasses.replace(compiled.emission, verilog=text)
    return CompiledQuantiser(compiled.design, emission)


@pytest.mark.few(1)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str) -> None:
    compiled = compiled_quantiser(FAULTS[fault][0])
    faulty = _faulty(compiled, fault)
    drawn = drawn_jobs(compiled.design, 24, seed=5)
    try:
        found = failures(faulty, drawn, run_all(faulty, drawn))
    except HwgenError as error:
        # A rule of the bus is broken, or the interrupt does not come.
        found = [str(error)]
    assert found


def test_a_wrong_prediction_is_seen() -> None:
    """The comparison itself: another byte and another cycle are found out."""
    compiled = compiled_quantiser(SHARED)
    drawn = drawn_jobs(compiled.design, 1, seed=4)
    (result,) = run_all(compiled, drawn)
    memory = result.memory[0].copy()
    memory[-1] ^= 1
    wrong = dataclasses.replace(result, memory=(memory,), irq_cycles=result.irq_cycles + 1)
    assert [text.split(":")[0] for text in failures(compiled, drawn, (wrong,))] == ["0 bytes", "0 cycles"]


# ---------------------------------------------------------------------- lint


@pytest.mark.few(2)
@pytest.mark.few(3)
@_CASES
def test_lint_finds_unread_bits_alone(index: int) -> None:
    emission = compiled_quantiser(index).emission
    assert "lint_off" not in emission.verilog
    assert {warning.code for warning in lint(emission.verilog, emission.top)} <= {"UNUSEDSIGNAL"}


# ---------------------------------------------------------------------- jobs that fail


def _two(design: Design, kind: Kind, first: int) -> tuple[Drawn, Drawn]:
    """Two jobs of three rows, one behind the other in one memory."""
    rng = np.random.default_rng(6)
    found: list[Drawn] = []
    end = 0
    for _ in range(2):
        job = cache_job(design, kind, 3, 40, first, first + 3)
        one = placed(design, job, random_rows(rng, 3, 40), first + 3, rng, Memory(5))
        moved = {name: getattr(one.job, name) + end for name in ("source", "codes", "scales")}
        found.append(dataclasses.replace(one, job=dataclasses.replace(one.job, **moved)))
        end += len(one.image)
    image = np.concatenate([one.image for one in found])
    one, two = (dataclasses.replace(one, image=image) for one in found)
    return one, two


@dataclass(frozen=True)
class Wrong:
    """Something that is wrong with a job of three rows from token ``first`` on, and what comes of it.

    ``bad_reads``, ``bad_writes``: where the memory answers with errors, in rows in that of ``bad_row``. ``word``: of
    which row a value is no number.
    """

    cause: QuantiserCause
    rows_left: int
    kind: Kind = Kind.K
    first: int = 2
    job: tuple[tuple[str, int], ...] = ()
    bad_reads: str = ""
    bad_writes: str = ""
    word: tuple[int, int] | None = None
    written: int = 0
    bad_row: int = 0


WRONG = {
    "no rows": Wrong(QuantiserCause.BAD_JOB, 0xFFF, job=(("rows", 0),)),
    "no elements": Wrong(QuantiserCause.BAD_JOB, 2, job=(("elements", 0),)),
    "too many elements": Wrong(QuantiserCause.BAD_JOB, 2, Kind.V, job=(("elements", ELEMENTS + 1),)),
    "source": Wrong(QuantiserCause.UNALIGNED, 2, job=(("source", 4),)),
    "codes": Wrong(QuantiserCause.UNALIGNED, 2, job=(("codes", 1),)),
    "scales": Wrong(QuantiserCause.UNALIGNED, 2, job=(("scales", 2),)),
    "source stride": Wrong(QuantiserCause.UNALIGNED, 2, job=(("source_stride", 12),)),
    "codes stride": Wrong(QuantiserCause.UNALIGNED, 2, job=(("codes_stride", 60),)),
    "NaN": Wrong(QuantiserCause.NOT_FINITE, 1, word=(1, 0x7FC00000), written=1),
    "signalling NaN": Wrong(QuantiserCause.NOT_FINITE, 2, word=(0, 0xFF800001)),
    "infinity": Wrong(QuantiserCause.NOT_FINITE, 0, word=(2, 0xFF800000), written=2),
    "infinity in V": Wrong(QuantiserCause.NOT_FINITE, 0, Kind.V, word=(2, 0x7F800000), written=2),
    "rows are not read": Wrong(QuantiserCause.READ_RESPONSE, 2, bad_reads="source"),
    "a row is not read that is read ahead": Wrong(
        QuantiserCause.READ_RESPONSE, 1, bad_reads="source", bad_row=1, written=1
    ),
    "the last row is not read": Wrong(
        QuantiserCause.READ_RESPONSE, 0, Kind.V, 2, bad_reads="source", bad_row=2, written=2
    ),
    "codes are not read": Wrong(QuantiserCause.READ_RESPONSE, 2, Kind.V, 3, bad_reads="codes"),
    "codes are not written": Wrong(QuantiserCause.WRITE_RESPONSE, 2, Kind.V, 3, bad_writes="codes"),
    "scales are not written": Wrong(QuantiserCause.WRITE_RESPONSE, 2, bad_writes="scales"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_job_that_fails_says_why_and_the_next_works(name: str) -> None:
    wrong = WRONG[name]
    compiled = compiled_quantiser(SHARED)
    one, two = _two(compiled.design, wrong.kind, wrong.first)
    if wrong.word is not None:
        row, word = wrong.word
        at = one.job.source + row * one.job.source_stride + 4 * 39
        one.image[at : at + 4] = list(word.to_bytes(4, "little"))
    sizes = {"source": 8, **cache_bytes(compiled.design, wrong.kind, 40, wrong.first + 3)}

    def ranges(what: str) -> tuple[tuple[int, int], ...]:
        row = wrong.bad_row * one.job.source_stride if what == "source" else 0
        return ((getattr(one.job, what) + row, sizes[what]),) if what else ()

    model = MemoryModel(latency=5, bad_reads=ranges(wrong.bad_reads), bad_writes=ranges(wrong.bad_writes))
    failing = dataclasses.replace(one.job, **dict(wrong.job))
    result = compiled.simulator.run([*compiled.script(failing), *compiled.script(two.job)], one.image, model)
    assert result.outstanding == 0
    assert result.reads.tolist() == [0x200, wrong.cause, wrong.rows_left, 0x100, wrong.cause, 0]
    # Of the failed one what came before, of the other all, beside them nothing.
    wanted = written(compiled.design, two)
    if wrong.bad_reads in ("", "source") and not wrong.bad_writes:
        before = dataclasses.replace(one, rows=one.rows[: wrong.written], image=wanted)
        wanted = written(compiled.design, before)
        assert np.array_equal(result.memory[0], wanted)
    else:
        behind = one.job.scales + sizes["scales"]
        assert np.array_equal(result.memory[0][behind:], wanted[behind:])


def test_a_row_that_fails_takes_along_the_token_that_waits_for_it() -> None:
    """Two tokens of V share bytes: without the second the first is not written, but for its scale."""
    compiled = compiled_quantiser(SHARED)
    one, _ = _two(compiled.design, Kind.V, 2)
    at = one.job.source + one.job.source_stride
    one.image[at : at + 4] = list((0x7FC00000).to_bytes(4, "little"))
    result = compiled.simulator.run(compiled.script(one.job), one.image)
    assert result.reads.tolist() == [0x200, QuantiserCause.NOT_FINITE, 1]
    wrong = np.flatnonzero(result.memory[0] != one.image)
    assert set(wrong) <= {one.job.scales + 4, one.job.scales + 5}


@pytest.mark.parametrize("after", [4, 20, 60, 75, 90, 130, 200, 333, 410, 480, 600])
def test_a_job_can_be_ended_and_no_second_be_started(after: int) -> None:
    compiled = compiled_quantiser(SHARED)
    one, two = _two(compiled.design, Kind.V, 3)
    at = compiled.at
    script: list[Op] = [
        *(Write(offset, value) for offset, value in compiled.emission.job_words(one.job)),
        Start(at["CONTROL"], 1),
        Wait(after),
        Write(at["CONTROL"], 2),
        Wait(80),
        *(Read(at[name]) for name in ("STATUS", "ERROR", "JOBS")),
        Write(at["STATUS"], 0x300),
        *compiled.script(two.job)[:-5],
        Write(at["CONTROL"], 0x101),
        Wait(3000),
        *(Read(at[name]) for name in ("STATUS", "ERROR", "JOBS")),
        Write(at["STATUS"], 0x300),
        *compiled.script(two.job),
    ]
    result = compiled.simulator.run(script, one.image, MemoryModel(latency=7))
    assert result.outstanding == 0
    assert result.reads.tolist()[:6] == [0x200, QuantiserCause.ABORTED, 1, 0x300, QuantiserCause.BUSY, 2]
    assert result.reads.tolist()[6] == 0x100
    wanted = written(compiled.design, two)
    assert np.array_equal(result.memory[0][two.job.source :], wanted[two.job.source :])


def test_a_reset_in_the_middle_leaves_nothing() -> None:
    compiled = compiled_quantiser(SHARED)
    one, two = _two(compiled.design, Kind.V, 3)
    script: list[Op] = []
    for after in (30, 90, 150, 222):
        script += [*compiled.script(one.job)[:-5], Wait(after), Reset()]
    result = compiled.simulator.run([*script, *compiled.script(two.job)], one.image, MemoryModel(latency=7))
    assert result.reads.tolist() == [0x100, 0, 0]
    wanted = written(compiled.design, two)
    assert np.array_equal(result.memory[0][two.job.source :], wanted[two.job.source :])


# ---------------------------------------------------------------------- what tiles read


def _cached(compiled: CompiledQuantiser, kind: Kind, rows: np.ndarray, at_once: bool) -> dict[str, np.ndarray]:
    """Images of codes and scales of a cache in memory of zeros, of all tokens at once or of one after the other."""
    design = compiled.design
    tokens, elements = rows.shape
    whole = cache_job(design, kind, tokens, elements, 0, tokens)
    sizes = cache_bytes(design, kind, elements, tokens)
    codes = whole.source_stride * tokens
    places = {"source": 0, "codes": codes, "scales": codes + sizes["codes"]}
    image = np.zeros(places["scales"] + sizes["scales"], np.uint8)
    for token, words in enumerate(rows):
        at = token * whole.source_stride
        image[at : at + 4 * elements] = words.astype("<u4").view(np.uint8)
    jobs = [dataclasses.replace(whole, **places)]
    if not at_once:
        jobs = [
            dataclasses.replace(jobs[0], rows=1, first_token=token, source=token * whole.source_stride)
            for token in range(tokens)
        ]
    script = [op for job in jobs for op in compiled.script(job)]
    result = compiled.simulator.run(script, image, MemoryModel(latency=3))
    assert result.reads.tolist() == [0x100, 0, 0] * len(jobs)
    return {name: result.memory[0][places[name] :][: sizes[name]] for name in ("codes", "scales")}


def _results(design: Design, task: Task, weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Beats of a layer on the compiled accelerator with these images of weights, and the reference's."""
    compiled = CompiledAccelerator(design)
    image, job = compiled.image(task)
    for name, part in weights.items():
        image[job.address(name) : job.address(name) + len(part)] = part
    keep = [(job.result, job.beats(design)["result"] * design.bus_bytes)]
    result = compiled.simulator.run(compiled.script(job, 100_000), image, MemoryModel(latency=4), keep=keep)
    assert result.reads[0] == 0x100
    (port, found) = next(iter(unpack_results(design, task.schedule, job, result.memory[0]).items()))
    beats = run_steps(design.tile, task.schedule.lower(task.acts, task.weights))
    wanted = np.asarray(beats.y if port == "o_y" else beats.sums).reshape(len(found), -1)
    if port == "o_y":
        return task.schedule.collect(found.astype(np.uint32)), task.schedule.collect(wanted.astype(np.uint32))
    return found.astype(np.int64), wanted.astype(np.int64)


@pytest.mark.few(1)
@pytest.mark.parametrize(("index", "tokens"), [(0, 11), (1, 8), (1, 11), (0, 8)])
def test_keys_are_weights_of_a_tile(index: int, tokens: int) -> None:
    """Q·Kᵀ with the image that the quantiser wrote, by decode and by prefill."""
    elements, queries = 24, 3
    compiled = compiled_quantiser(index)
    design, form = compiled.design, compiled.emission.geometry
    rng = np.random.default_rng(index)
    keys = rng.standard_normal((tokens, elements)).astype(np.float32)
    schedule = Schedule(design.tile, Layer("scores", queries, tokens, elements))
    weights = design.tile.quantize_weights(keys)
    wanted = pack_weights(design, schedule, weights)
    found = _cached(compiled, Kind.K, keys.view(np.uint32), True)
    one_by_one = _cached(compiled, Kind.K, keys.view(np.uint32), False)
    assert np.array_equal(found["codes"], wanted["weights"])
    # Columns behind the last token have no scale yet, whose results nobody reads.
    block, inside = np.divmod(np.arange(len(found["scales"])), form.side_bytes)
    column = inside // form.scale_bytes
    filled = (column < form.n) & (block * form.n + column < tokens)
    assert np.array_equal(found["scales"][filled], wanted["weight_sides"][filled])
    assert filled.any()
    assert not found["scales"][~filled].any()
    for name in ("codes", "scales"):
        assert np.array_equal(found[name], one_by_one[name])
    acts = design.tile.quantize_acts(rng.standard_normal((queries, elements)).astype(np.float32))
    job = next(iter(layer_jobs(design, schedule)))
    task = Task(schedule, acts, weights, job, Memory(4))
    got, reference = _results(design, task, {"weights": found["codes"], "weight_sides": found["scales"]})
    assert np.array_equal(got, reference)


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "tokens"), [(4, 11), (8, 13), (4, 16)])
def test_values_are_weights_of_a_tile(bits: int, tokens: int) -> None:
    """P·V with the image that the quantiser wrote, each token's scale folded into its probability."""
    elements, queries = 10, 2
    tile = family("int").from_values({"m": 2, "n": 4, "k": 4, "bits": bits, "group": 0, "depth": 256})
    design = Design.from_values(tile, {"count_bits": 12, "bus_bits": 64})
    compiled = CompiledQuantiser(design, elements=32)
    rng = np.random.default_rng(bits)
    values = rng.standard_normal((tokens, elements)).astype(np.float32)
    by_token = design.tile.quantize_weights(values)
    schedule = Schedule(design.tile, Layer("mixes", queries, elements, tokens))
    weights = dataclasses.replace(
        by_token,
        codes=np.ascontiguousarray(by_token.codes.T),
        group_size=tokens,
        scale_codes=np.full((elements, 1), by_token.scale_format.encode_scalar(1.0), np.uint32),
    )
    found = _cached(compiled, Kind.V, values.view(np.uint32), True)
    one_by_one = _cached(compiled, Kind.V, values.view(np.uint32), False)
    assert np.array_equal(found["codes"], pack_weights(design, schedule, weights)["weights"])
    scales = found["scales"][: 2 * tokens].view("<u2")
    assert np.array_equal(scales, by_token.scale_codes[:, 0])
    for name in ("codes", "scales"):
        assert np.array_equal(found[name], one_by_one[name])
    probabilities = rng.random((queries, tokens)).astype(np.float32)
    folded = design.tile.quantize_acts(probabilities * by_token.scale_format.decode(scales.astype(np.uint32)))
    job = next(iter(layer_jobs(design, schedule)))
    task = Task(schedule, folded, weights, job, Memory(4))
    got, reference = _results(design, task, {"weights": found["codes"]})
    assert np.array_equal(got, reference)
    # And that is P·V, as near as these bits can say it.
    sums = schedule.collect(got.reshape(-1, 2, 4, 1))[0, :, :, 0]
    mixed = sums * folded.scale_format.decode(folded.scale_codes)
    error = np.abs(mixed - probabilities @ values).max() / np.abs(probabilities @ values).max()
    assert error < (0.25 if bits == 4 else 0.02)
