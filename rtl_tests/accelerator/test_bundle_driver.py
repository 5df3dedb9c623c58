"""The C driver of a bundle packs, runs and unpacks what the simulation then computes: equal to the reference."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.accelerator import AcceleratorEmission, emit_accelerator, entering_acts, layer_jobs, pack_acts, pack_weights
from hwgen.accelerator.bundle import bundle_files
from hwgen.emit import streams
from hwgen.errors import HwgenError
from hwgen.reference import run_steps
from hwgen.simulators import require
from hwgen.simulators.bus import BusJob, MemoryModel, Read, Start, WaitIrq, Write
from hwgen.verify import CompiledAccelerator, Task
from rtl_tests.accelerator.cases import CASES, PRE_CASES, Case, tasks

pytestmark = pytest.mark.rtl

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-pedantic", "-O1")
SEED, COUNT = 6, 4

# Reads the layer and its operands from files, writes image and register accesses; or unpacks the memory afterwards.
MAIN = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static FILE *script;
static uint32_t status;
static uint32_t dut_read32(uintptr_t address) { fprintf(script, "r %lx 0\n", (unsigned long)address); return status; }
static void dut_write32(uintptr_t address, uint32_t value) {
  fprintf(script, "w %lx %lx\n", (unsigned long)address, (unsigned long)value);
}
#define DUT_CUSTOM_MMIO
#include "dut_driver.c"

static void *loaded(const char *name) {
  FILE *file = fopen(name, "rb");
  long size;
  void *bytes;
  if (!file) return NULL;
  fseek(file, 0, SEEK_END);
  size = ftell(file);
  rewind(file);
  bytes = malloc((size_t)size + 1);
  if (fread(bytes, 1, (size_t)size, file) != (size_t)size) exit(2);
  fclose(file);
  return bytes;
}

static void stored(const char *name, const void *bytes, size_t size) {
  FILE *file = fopen(name, "wb");
  fwrite(bytes, 1, size, file);
  fclose(file);
}

int main(int count, char **texts) {
  dut_layer layer = {atoi(texts[2]), atoi(texts[3]), atoi(texts[4])};
  dut_job job;
  uint8_t *memory;
  uint64_t end;
  const uint32_t *sides[8];
  char name[32];
  int field;
  if (count != 6 || dut_plan(&layer, &job) != 0) return 3;
  if (texts[5][0] != '-') {
    job.acts_stay = texts[5][0] == '1';
    job.hold_weights = texts[5][1] == '1';
    job.hold_acts = texts[5][2] == '1';
  }
  end = dut_place(&job, 1);
  if (texts[1][0] == 'p') {
    memory = malloc(end);
    memset(memory, 0xa5, end);
    dut_pack_acts(&layer, loaded("acts.bin"), memory + job.address[DUT_ACTS]);
    dut_pack_weights(&layer, loaded("weights.bin"), memory + job.address[DUT_WEIGHTS]);
    for (field = 0; field < 8; field++) { sprintf(name, "act_side%d.bin", field); sides[field] = loaded(name); }
    dut_pack_act_sides(&layer, sides, memory + job.address[DUT_ACT_SIDES]);
    for (field = 0; field < 8; field++) { sprintf(name, "weight_side%d.bin", field); sides[field] = loaded(name); }
    dut_pack_weight_sides(&layer, sides, memory + job.address[DUT_WEIGHT_SIDES]);
    stored("memory.bin", memory, end);
    script = fopen("script.txt", "w");
    dut_program(0, &job);
    dut_start(0, 1);
    fprintf(script, "irq 0 0\n");
    status = DUT_DONE | DUT_BUSY;
    if (dut_wait(0, 10) != 0) return 4;
    fclose(script);
    printf("%d%d%d\n", (int)job.acts_stay, (int)job.hold_weights, (int)job.hold_acts);
  } else {
    const uint8_t *results = (uint8_t *)loaded("after.bin") + job.address[DUT_RESULT];
    size_t cells = (size_t)layer.rows * layer.outputs * (size_t)dut_sum_groups(&job);
#if DUT_LANES
    uint32_t *found = malloc(4 * cells);
    dut_unpack_results(&layer, &job, results, found);
    stored("results.bin", found, 4 * cells);
#else
    cells = (size_t)layer.rows * divided(layer.outputs, DUT_OUTPUTS) * dut_sum_groups(&job) * DUT_SUMS * DUT_SUM_WORDS;
    uint32_t *found = malloc(4 * cells);
    dut_unpack_sums(&layer, &job, results, found);
    stored("results.bin", found, 4 * cells);
#if DUT_ROW_SUMS
    int32_t *rows = malloc(4 * (size_t)layer.rows * dut_sum_groups(&job));
    dut_unpack_row_sums(&layer, &job, results, rows);
    stored("rows.bin", rows, 4 * (size_t)layer.rows * dut_sum_groups(&job));
#endif
#endif
  }
  return 0;
}
"""


class Driver:
    """The driver of an emission, compiled with `MAIN`, in a folder."""

    def __init__(self, emission: AcceleratorEmission, folder: Path, **changes: tuple[str, str]) -> None:
        self.design, self.folder = emission.design, folder
        for name, content in bundle_files(emission, 5.0).items():
            if name.startswith("dut_driver."):
                old, new = changes.get(name[-1], ("", ""))
                text = str(content)
                assert old in text
                (folder / name).write_text(text.replace(old, new, 1) if old else text)
        # Alone it is freestanding; with the main around it the functions that reach the registers are others.
        compiler = require("g++").with_name("gcc")
        subprocess.run([compiler, *FLAGS, "-c", "dut_driver.c", "-o", "driver.o"], cwd=folder, check=True)
        (folder / "main.c").write_text(MAIN)
        subprocess.run(
            [compiler, "-std=c99", "-Wall", "-Werror", "-O1", "main.c", "-o", "main"], cwd=folder, check=True
        )

    def __call__(self, what: str, task: Task, flags: str) -> str:
        layer = task.schedule.layer
        command = [str(self.folder / "main"), what, str(layer.m), str(layer.n), str(layer.k), flags]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout.strip()

    def operands(self, task: Task) -> None:
        """Codes and side information as a program has them."""
        spec, schedule = self.design.tile, task.schedule
        for name, tensor in (("acts", task.acts), ("weights", task.weights)):
            # Elements that fill the other side's words are the driver's.
            words = -(-schedule.layer.k // tensor.format.elements)
            tensor.codes[:, :words].astype("<u4").tofile(self.folder / f"{name}.bin")
            fields = [field for field in getattr(streams(spec), name) if field.port.role != name]
            if f"{name[:-1]}_sides" not in self.design.streams:
                fields = []
            for number, field in enumerate(fields):
                values = spec.side_values(field.port.name.split("_", 2)[2], tensor)
                whole = np.broadcast_to(values, (len(tensor.codes), len(schedule.group_lengths)))
                (whole.astype(np.int64) & 0xFFFFFFFF).astype("<u4").tofile(
                    self.folder / f"{name[:-1]}_side{number}.bin"
                )


def bus_job(driver: Driver, task: Task) -> BusJob:
    ops: list[Any] = []
    kinds = {"w": lambda address, data: Write(address, data), "r": lambda address, data: Read(address)}
    for line in (driver.folder / "script.txt").read_text().splitlines():
        kind, address, data = line.split()
        at, value = int(address, 16), int(data, 16)
        if kind == "irq":
            ops.append(WaitIrq(1_000_000))
        else:
            ops.append(Start(at, value) if kind == "w" and at == 0x10 else kinds[kind](at, value))
    image = np.fromfile(driver.folder / "memory.bin", np.uint8)
    pad = -len(image) % driver.design.bus_bytes
    return BusJob(ops, np.pad(image, (0, pad)), MemoryModel(task.memory.latency, task.memory.beats))


def wanted(driver: Driver, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """What the unpacker must give: words of results, and row sums, by the tile's reference."""
    spec, schedule, layer = driver.design.tile, task.schedule, task.schedule.layer
    beats = run_steps(spec, schedule.lower(entering_acts(driver.design, task.acts), task.weights))
    if spec.lanes:
        assert beats.y is not None
        return schedule.collect(beats.y).astype("<u4"), np.zeros(0)
    field = streams(spec).result[0]
    groups, count, words = len(schedule.sum_lengths), field.port.shape[2], -(-field.stride // 32)
    sums = beats.sums.reshape(schedule.row_blocks, schedule.col_blocks, groups, spec.m, spec.n, count)
    full = sums.transpose(2, 0, 3, 1, 4, 5).reshape(groups, schedule.row_blocks * spec.m, -1, count)
    cut = full[:, : layer.m, : -(-layer.n // schedule.outputs)].astype(object) & ((1 << 32 * words) - 1)
    parts = np.stack([(cut >> 32 * word) & 0xFFFFFFFF for word in range(words)], axis=-1).astype("<u4")
    return parts, schedule.collect_rows(beats.rows) if spec.has_row_sums else np.zeros(0)


def differences(case: Case, folder: Path, **changes: tuple[str, str]) -> list[str]:
    emission = emit_accelerator(case.build(), "dut")
    compiled = CompiledAccelerator(emission.design, emission)
    driver = Driver(emission, folder, **changes)
    found = []
    orders = set()
    drawn = tasks(case, COUNT, SEED)
    # In one of them the order of blocks matters.
    assert any(task.schedule.row_blocks > 1 and task.schedule.col_blocks > 1 for task in drawn)
    for number, task in enumerate(drawn):
        # Every second job is what the driver plans itself.
        jobs = [job for job in layer_jobs(emission.design, task.schedule) if job.order == number // 2 % 2]
        job = jobs[-1]
        driver.operands(task)
        flags = driver("pack", task, "---" if number % 2 else f"{job.order}{job.hold_weights}{job.hold_acts}")
        order, hold_weights, hold_acts = map(int, flags)
        orders.add(order)
        planned = dataclasses.replace(job, order=order, hold_weights=hold_weights, hold_acts=hold_acts)
        assert planned in layer_jobs(emission.design, task.schedule)
        job = bus_job(driver, task)
        images = [*pack_acts(emission.design, task.schedule, task.acts).values()]
        images += pack_weights(emission.design, task.schedule, task.weights).values()
        for image in images:
            if image.tobytes() not in job.image.tobytes():
                found.append(f"{number}: an image")
        if found:
            return found
        result = compiled.simulator.run_many([job])[0]
        result.memory[0].tofile(folder / "after.bin")
        driver("unpack", task, flags)
        words, rows = wanted(driver, task)
        if (folder / "results.bin").read_bytes() != words.tobytes():
            found.append(f"{number}: results")
        if rows.size and not np.array_equal(np.fromfile(folder / "rows.bin", "<i4"), rows.reshape(-1)):
            found.append(f"{number}: row sums")
    assert orders == {0, 1}
    return found


# The one that stays in the fast suite has scales and finished results.
@pytest.mark.few(1)
@pytest.mark.parametrize("case", sorted(CASES[::2], key=lambda case: case != CASES[2]), ids=lambda case: case.name)
def test_driver_and_simulation_compute_what_the_reference_does(case: Case, tmp_path: Path) -> None:
    assert differences(case, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES[1::2], *PRE_CASES[:3]], ids=lambda case: case.name)
def test_driver_of_the_other_designs(case: Case, tmp_path: Path) -> None:
    assert differences(case, tmp_path) == []


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from.first = step * DUT_ACT_STEP_CODES", "from.first = 0"),
        ("number < rows ? number : 0", "number < rows ? 0 : 0"),
        ("from.padding = DUT_WEIGHT_PADDING", "from.padding = 1"),
        ("job->acts_stay ? (uint64_t)m", "!job->acts_stay ? (uint64_t)m"),
        ("write(base, REG_K_STEPS, job->k_steps)", "write(base, REG_K_STEPS, 1)"),
    ],
)
def test_a_wrong_driver_is_seen(old: str, new: str, tmp_path: Path) -> None:
    # Finished results with scales, ragged edges.
    case = CASES[2]
    try:
        found = differences(case, tmp_path, c=(old, new))
    except HwgenError as error:
        found = [str(error)]
    assert found
