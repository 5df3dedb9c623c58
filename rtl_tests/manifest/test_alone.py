"""Tiles driven from their manifests alone, by a program that can import nothing of the project."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwgen.cli._family import parse_values
from hwgen.emit import Emission, Reset, emit
from hwgen.pe import families, family
from hwgen.simulators.toolchain import require

pytestmark = pytest.mark.rtl

ALONE = Path(__file__).parent / "alone"

# Small tiles: together they have every value of every option that is chosen from a list (`test_every_option_is_here`).
TILES = """
int m=2 n=2 k=2 bits=4 acts=int4 group=8 depth=8
int m=2 n=3 k=2 bits=4 acts=int5 group=8 depth=8 scheme=asymmetric transport=systolic
int m=1 n=2 k=2 bits=3 acts=int4 group=8 depth=8 scheme=asymmetric post_lanes=1 act_scale=fp8_e4m3 weight_scale=e8m0
int m=1 n=2 k=2 bits=4 acts=int4 group=8 depth=8 scheme=minimum stages=0
int m=1 n=2 k=2 bits=4 acts=int4 group=8 depth=2 overflow=saturate stages=2
int m=1 n=2 k=2 bits=4 acts=int4 group=8 depth=2 overflow=wrap stages=3
int m=1 n=2 k=2 bits=1 acts=int4 group=8 depth=8 scheme=bipolar
int m=1 n=2 k=2 bits=3 acts=int4 group=8 depth=8 scheme=bipolar post_lanes=1
int m=1 n=2 k=2 bits=2 acts=int4 group=8 depth=8 scheme=ternary
int m=1 n=2 k=2 bits=4 acts=int4 group=8 depth=8 post_lanes=1 weight_scale=fp32
int m=1 n=2 k=2 bits=4 acts=fp16 group=8 depth=8 align_scope=step scheme=asymmetric
int m=1 n=2 k=2 bits=1 acts=fp8_e5m2 group=8 depth=8 align_scope=step align_rounding=truncate
int m=1 n=1 k=2 bits=3 acts=bf16 group=8 depth=8 align_scope=group guard_bits=1
int m=1 n=1 k=2 bits=2 acts=fp8_e4m3 group=8 depth=8 align_scope=row
lut m=2 n=2 k=4 bits=2 group=16 depth=16
lut m=1 n=2 k=4 bits=2 group=16 depth=16 post_lanes=2 act_scale=fp16 weight_scale=bf16
lut m=1 n=2 k=4 bits=2 group=16 depth=16 scheme=minimum acts=int4
lut m=1 n=2 k=4 bits=3 group=16 depth=16 symmetry=none scheme=symmetric acts=int16
lut m=1 n=2 k=4 bits=4 group=16 depth=16 negation=runtime planes_per_cycle=2 scheme=symmetric
lut m=1 n=2 k=2 bits=3 group=16 depth=16 planes=twos_complement symmetry=none scheme=symmetric
lut m=1 n=2 k=2 bits=2 group=8 depth=8 planes=twos_complement symmetry=none scheme=asymmetric post_lanes=1
lut m=2 n=2 k=3 bits=2 group=15 depth=15 transport=systolic scheme=bipolar
lut m=1 n=1 k=2 bits=3 group=8 depth=4 overflow=saturate scheme=bipolar
lut m=1 n=2 k=4 bits=2 group=16 depth=16 acts=fp16 precompute=external
lut m=1 n=2 k=2 bits=1 group=8 depth=8 acts=fp8_e4m3 align_scope=step align_rounding=truncate
lut m=1 n=2 k=2 bits=2 group=8 depth=8 acts=fp8_e5m2 align_scope=row precompute=external symmetry=none
lut m=1 n=2 k=4 bits=2 group=16 depth=16 entries=int8
lut m=1 n=2 k=2 bits=2 group=8 depth=8 acts=int16 entries=int8 precompute=external
lut m=1 n=1 k=2 bits=2 group=8 depth=8 acts=fp16 entries=int8 precompute=external entry_rule=max127 symmetry=none
lut m=1 n=1 k=2 bits=2 group=8 depth=8 cell=fp_add acts=fp16 scheme=bipolar
lut m=1 n=1 k=2 bits=2 cell=fp_add acts=bf16 scheme=symmetric planes=twos_complement symmetry=none precompute=external \
adder_stages=2 interleave=ring
lut m=1 n=2 k=2 bits=2 group=8 depth=8 tables=2
lut m=1 n=2 k=2 bits=2 group=8 depth=8 tables=4 acts=int16 entries=int8 precompute=external
bitmod m=1 n=2 k=2 post_lanes=1
bitmod m=1 n=1 k=2 post_lanes=0 accumulator=exact bits=3 specials=-3,3,-9,0
bitmod m=1 n=2 k=2 post_lanes=0 acts=bf16 acc_mantissa=12 guard_bits=0 bits=8
bitmod m=1 n=2 k=2 post_lanes=2 acts=int8 bits=6
bitmod m=1 n=1 k=1 post_lanes=0 acts=int8 bits=5
mx m=1 n=2 k=4 post_lanes=1 weights=mxfp8_e4m3 acts=mxfp6_e2m3
mx m=1 n=1 k=2 post_lanes=1 weights=mxfp8_e5m2 acts=mxint8 block_rule=ceil
mx m=1 n=1 k=2 post_lanes=1 weights=mxfp4 acts=mxfp6_e3m2
mx m=1 n=1 k=2 post_lanes=1 weights=mxint8 acts=mxfp8_e4m3
mx m=1 n=1 k=2 post_lanes=1 weights=mxfp6_e2m3 acts=mxfp8_e5m2
mx m=1 n=1 k=2 post_lanes=1 weights=mxfp6_e3m2 acts=mxfp4
mx m=1 n=2 k=4 weights=nvfp4 acts=nvint4
mx m=1 n=1 k=4 weights=nvint4 acts=nvfp4
mx m=1 n=2 weights=hif4
mx m=1 n=2 k=4 weights=block12:e3m0:ue4m3:nearest acts=block12:int4:ue4m3:nearest
mx m=1 n=1 k=2 group=8 depth=8 post_lanes=1 mode_set=mxfp8 mode_pairs=any weights=mxfp8_e5m2 acts=mxfp8_e4m3
mx m=1 n=1 k=2 group=8 depth=8 post_lanes=1 mode_set=mxfp_narrow
mx m=1 n=2 k=2 group=8 depth=8 post_lanes=1 mode_set=mxfp bits=4
mx m=1 n=1 k=2 group=8 depth=8 post_lanes=1 mode_set=mx_narrow
mx m=1 n=2 k=4 group=16 depth=16 post_lanes=2 mode_set=mx bits=6
mx m=1 n=1 k=8 group=16 depth=16 post_lanes=1 mode_set=mx_narrow int8_products=parts
lut m=1 n=2 k=4 bits=2 group=16 depth=16 scheme=ternary
lut m=1 n=2 k=2 bits=2 group=8 depth=8 scheme=ternary planes=twos_complement symmetry=none
mixpe m=1 n=2 k=2 group=8 depth=8
mixpe m=1 n=2 k=2 group=8 depth=8 bits=2 scheme=ternary
mixpe m=1 n=2 k=2 group=0 depth=8 dequant=channel scheme=minimum
mixpe m=1 n=2 k=2 group=8 depth=8 post_lanes=1
mixpe m=1 n=2 k=2 group=8 depth=64 dequant=before bits=3
mixpe m=1 n=2 k=2 group=8 depth=64 dequant=before scheme=symmetric acts=fp8_e4m3 align_rounding=truncate align_scope=row
mixpe m=1 n=2 k=2 group=8 depth=8 acts=fp8_e5m2 align_scope=step scheme=symmetric
mixpe m=1 n=1 k=2 group=8 depth=8 acts=bf16 align_scope=group
mixpe m=1 n=1 k=1 group=8 depth=8 acts=int4 bits=2
mixpe m=1 n=1 k=1 group=8 depth=8 acts=int16 bits=2
mixpe m=1 n=1 k=1 group=8 depth=8 acts=fp16 bits=2 guard_bits=1
bitserial m=1 n=2 k=2 bits=4 acts=int4 group=8 depth=8
bitserial m=2 n=2 k=3 bits=5 planes=2 scheme=asymmetric group=6 depth=6 transport=systolic
bitserial m=1 n=2 k=2 bits=3 planes=2 scheme=minimum group=8 depth=8
bitserial m=1 n=2 k=2 bits=4 planes=2 scheme=bipolar group=8 depth=4 overflow=saturate
bitserial m=1 n=2 k=2 bits=2 scheme=ternary group=8 depth=8 post_lanes=1 weight_scale=fp32
bitplane m=1 n=2 k=2 bits=2 acts=int3 group=8 depth=8
bitplane m=2 n=2 k=3 bits=3 acts=int4 weight_planes=2 act_planes=2 scheme=asymmetric group=6 depth=6 transport=systolic
bitplane m=1 n=2 k=2 bits=2 acts=int2 scheme=minimum group=8 depth=8 act_planes=2
bitplane m=1 n=2 k=3 bits=1 acts=bipolar1 group=9 depth=9
bitplane m=1 n=2 k=2 bits=2 acts=bipolar4 act_planes=2 group=8 depth=4 overflow=saturate
bitplane m=1 n=2 k=2 scheme=ternary acts=int2 group=8 depth=8 post_lanes=1 weight_scale=fp32
shiftadd m=1 n=2 k=2 group=8 depth=8
shiftadd m=1 n=2 k=2 group=8 depth=8 bits=5 scheme=apot post_lanes=1 acts=int4
shiftadd m=1 n=2 k=2 group=8 depth=8 bits=4 acts=fp16 guard_bits=1
shiftadd m=1 n=1 k=1 group=8 depth=8 bits=9 acts=int16
shiftadd m=1 n=2 k=2 group=8 depth=8 bits=3 acts=fp8_e5m2 align_scope=step
shiftadd m=1 n=1 k=2 group=8 depth=8 bits=4 scheme=apot exponent_bits=1 acts=fp8_e4m3 align_scope=row \
align_rounding=truncate
shiftadd m=1 n=1 k=1 group=8 depth=8 bits=2 acts=bf16
bitfusion m=1 n=2 k=1 group=32 depth=32
bitfusion m=1 n=1 k=2 group=32 depth=32 bits=2 acts=int2 scheme=asymmetric
bitfusion m=1 n=2 k=1 group=8 depth=32 bits=4 acts=int4 brick_acts=4 scheme=asymmetric post_lanes=1
bitfusion m=1 n=1 k=2 group=8 depth=8 bits=8 brick_acts=8 brick_weights=4
bitfusion m=1 n=1 k=2 group=8 depth=8 bits=8 brick_acts=4 brick_weights=8 weight_scale=fp32 post_lanes=1
codebook m=1 n=2 k=2 group=8 depth=8
codebook m=1 n=2 k=2 group=8 depth=8 weights=razer_fp4 acts=int4 post_lanes=1 weight_scale=fp32
codebook m=1 n=2 k=2 group=8 depth=8 weights=codebook(-4,-1,2,5) acts=fp8_e4m3 align_scope=row align_rounding=truncate
codebook m=1 n=2 k=2 group=8 depth=8 weights=bitmod_fp3 acts=fp8_e5m2 align_scope=step
codebook m=1 n=1 k=1 group=8 depth=8 weights=table(0,1,2,3;0,-1,9,4) acts=int16 value_bits=5
codebook m=1 n=2 k=4 group=8 depth=8 weights=sherry
codebook m=1 n=2 k=2 group=8 depth=8 weights=any4 acts=int4
codebook m=1 n=1 k=2 group=8 depth=8 weights=e2m2 acts=fp16
codebook m=1 n=1 k=2 group=8 depth=8 weights=int5 acts=bf16
complex m=1 n=2 k=4 group=8 depth=8
complex m=2 n=1 k=2 group=8 depth=8 mapping=widely acts=int4 transport=systolic
complex m=1 n=1 k=2 group=8 depth=8 acts=int16 overflow=wrap
minifloat m=1 n=2 k=2 group=8 depth=8
minifloat m=1 n=2 k=2 group=8 depth=8 post_lanes=1 act_scale=e8m0 weight_scale=fp8_e4m3 weights=e3m0 acts=fp16
minifloat m=1 n=1 k=3 group=9 accumulator=fp32 weights=fp8_e5m2 acts=bf16
minifloat m=1 n=1 k=2 group=8 accumulator=fp32 weights=fp4_e2m1 acts=fp8_e4m3 adder_stages=3 interleave=ring
minifloat m=1 n=1 k=2 group=8 accumulator=fp32 weights=fp16 acts=fp6_e2m3 adder_stages=2
lmul m=1 n=2 k=2 group=8 depth=8
lmul m=1 n=2 k=2 group=8 depth=2 weights=fp4_e2m1 acts=e3m0 subnormals=normalise overflow=saturate
lmul m=1 n=1 k=3 group=9 accumulator=fp32 weights=fp8_e5m2 acts=bf16
lmul m=1 n=1 k=2 group=8 accumulator=fp32 weights=bf16 acts=bf16 subnormals=normalise adder_stages=2 interleave=ring
ant m=1 n=2 k=2 group=8 depth=8
ant m=1 n=1 k=2 group=8 depth=8 weights=flint4 acts=pot4 post_lanes=1
ant m=1 n=1 k=2 group=8 depth=8 weights=pot4 acts=flint4
ant m=1 n=1 k=1 group=8 depth=8 weights=int8 acts=int8
olive m=1 n=2 k=2 group=8 depth=8 post_lanes=1
olive m=1 n=1 k=4 group=8 depth=8 acts=int8
olive m=1 n=1 k=2 group=8 depth=8 weights=int8
posit m=1 n=1 k=1 group=32 depth=32
posit m=1 n=1 k=1 simd_along=n operands=p4 group=32 depth=32
posit m=1 n=1 k=1 quire=xr_npe operands=p16 post_lanes=1
posit m=1 n=2 k=2 format=posit posit_bits=8 es=1 post_lanes=1 readout=posit group=8 depth=8
posit m=1 n=2 k=2 format=posit posit_bits=5 es=2 group=8 depth=8 act_scale=bf16
posit m=1 n=2 k=2 format=fp4 post_lanes=1 readout=fp16 group=8 depth=8 act_scale=fp16 weight_scale=bf16
posit m=1 n=1 k=1 post_lanes=1 readout=posit operands=fp4 group=32 depth=32 weight_scale=fp16
"""
LINES = TILES.replace("\\\n", "").strip().splitlines()

# What takes longer: several rows and columns, longer tables, all kinds of transport.
SLOW = """
int m=3 n=4 k=4 bits=8 acts=int8 group=32 depth=32 scheme=asymmetric post_lanes=2
lut m=2 n=4 k=5 bits=4 group=20 depth=20 transport=systolic stages=2
lut m=2 n=4 k=8 bits=3 group=32 depth=32 acts=bf16 precompute=external post_lanes=4
lut m=1 n=2 k=4 bits=4 cell=fp_add acts=fp16 scheme=bipolar precompute=external planes_per_cycle=2 adder_stages=3
lut m=1 n=2 k=3 cell=fp_add acts=fp8_e5m2 scheme=bipolar symmetry=none adder_stages=3 interleave=ring group=15 depth=15
lut m=1 n=2 k=4 bits=4 group=16 depth=16 acts=bf16 entries=int8 precompute=external entry_rule=max127 planes_per_cycle=4
lut m=1 n=2 k=3 bits=4 group=18 depth=18 tables=3 planes_per_cycle=2 acts=fp8_e4m3 align_scope=step entries=int8
lut m=1 n=2 k=2 bits=4 cell=fp_add acts=bf16 scheme=bipolar precompute=external tables=3 planes_per_cycle=2 group=12
lut m=1 n=2 k=2 bits=3 group=16 tables=4 planes=twos_complement symmetry=none scheme=symmetric precompute=external
lut m=1 n=2 k=2 bits=2 group=8 tables=2 acts=fp16 entries=int8 entry_rule=max127 precompute=external negation=runtime
bitmod m=2 n=4 k=4
bitmod m=2 n=2 k=4 post_lanes=0 acts=fp16 acc_mantissa=20 transport=systolic
bitmod m=2 n=2 k=4 post_lanes=2 accumulator=exact stages=3
mx m=2 n=4 k=8
mx m=2 n=2 k=8 weights=hif4 post_lanes=2
mixpe m=2 n=4 k=4 acts=fp16 group=16 depth=32 align_scope=step
minifloat m=2 n=2 k=4 weights=bf16 acts=bf16 group=16 depth=16 transport=systolic
minifloat m=2 n=2 k=4 weights=fp16 acts=fp16 accumulator=fp32 adder_stages=3 interleave=ring transport=systolic
posit m=2 n=2 k=2 post_lanes=2 readout=fp16 depth=64 group=64
posit m=2 n=2 k=2 simd_along=n transport=systolic
posit m=1 n=2 k=2 format=posit posit_bits=16 es=3 group=8 depth=8
int m=2 n=2 bits=4 scheme=asymmetric group=16 depth=16 post_lanes=1 cell_cuts=3 post_cuts=4 post_adder_stages=3
lut m=1 n=2 k=4 bits=2 group=16 depth=16 front_cuts=2 cell_cuts=1 stages=3 transport=systolic
bitmod m=1 n=2 k=2 post_lanes=1 front_cuts=1 cell_cuts=2 adder_stages=3 post_cuts=2 post_adder_stages=2
bitmod m=1 n=2 k=2 post_lanes=0 adder_stages=5 cell_cuts=1 transport=systolic
minifloat m=1 n=1 group=32 depth=32 accumulator=fp32 weights=fp16 acts=fp16 adder_stages=5 interleave=ring cell_cuts=4
"""


def _emission(line: str, reset: Reset | None = None) -> Emission:
    name, *words = line.split()
    kind = family(name)
    values = parse_values(kind, dict(word.split("=", 1) for word in words))
    return emit(kind.from_values(values), "core", reset=reset)


def _drive(folder: Path, manifest: Any, verilog: str, seed: int) -> str:
    """What the program prints."""
    (folder / "core.json").write_text(json.dumps(manifest))
    (folder / "core.v").write_text(verilog)
    tools = _tools()
    done = subprocess.run(
        # Without the packages of this environment: nothing but the standard library can be imported.
        [sys.executable, "-E", "-S", ALONE, "core.json", "core.v", str(seed), folder, *tools],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert not done.stderr, done.stderr
    assert done.returncode == int(done.stdout.startswith("FAIL")), done
    return done.stdout


@pytest.mark.few(20)
@pytest.mark.parametrize("line", LINES)
def test_tile(line: str, tmp_path: Path) -> None:
    emission = _emission(line)
    printed = _drive(tmp_path, emission.manifest, emission.verilog, 1)
    assert printed.startswith("PASS"), printed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
@pytest.mark.parametrize("line", [*SLOW.strip().splitlines(), *LINES])
def test_more(line: str, seed: int, tmp_path: Path) -> None:
    emission = _emission(line)
    printed = _drive(tmp_path, emission.manifest, emission.verilog, seed)
    assert printed.startswith("PASS"), printed


@pytest.mark.parametrize(
    "reset", [Reset("async", "low"), Reset("sync", "low"), Reset("async", "high")], ids=lambda reset: reset.words
)
def test_resets(reset: Reset, tmp_path: Path) -> None:
    for line in ("lut m=1 n=1 k=2 bits=2 group=8 depth=8 acts=fp16", "bitmod m=1 n=1 k=2 post_lanes=1"):
        emission = _emission(line, reset)
        printed = _drive(tmp_path, emission.manifest, emission.verilog, 1)
        assert printed.startswith("PASS"), printed


@pytest.mark.parametrize("name", families())
def test_every_option_is_here(name: str) -> None:
    kind = families()[name]
    specs = [_spec for _spec in (_emission_spec(line) for line in LINES) if _spec.family == name]
    for parameter in kind.parameters().values():
        if not isinstance(parameter.legal, tuple):
            continue
        found = {getattr(spec, parameter.name) for spec in specs}
        missing = set(parameter.legal) - found
        # Widths of integers are alike but for their number, and so are those of odd integers.
        kinds = {str(value).rstrip("0123456789") for value in found} & {"int", "bipolar"}
        widths = {value for value in missing if str(value).rstrip("0123456789") in kinds}
        missing -= widths if len(parameter.legal) > 10 else set()
        # Systolic transport, and what happens at the ends of sums, are the frame's: some families have them.
        common = parameter.name in ("transport", "overflow", "act_scale", "weight_scale")
        elsewhere = {getattr(_emission_spec(line), parameter.name, None) for line in LINES} if common else set()
        assert missing <= elsewhere, f"no tile of {name} with {parameter.name} {missing}"


def _emission_spec(line: str) -> Any:
    name, *words = line.split()
    kind = family(name)
    return kind.from_values(parse_values(kind, dict(word.split("=", 1) for word in words)))


def test_the_program_imports_nothing_of_the_project() -> None:
    own = {path.stem for path in ALONE.glob("*.py")}
    seen = set()
    for path in ALONE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                seen |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level
                assert node.module
                seen.add(node.module.partition(".")[0])
    assert seen - own <= set(sys.stdlib_module_names)
    assert {"importlib", "runpy", "ctypes"}.isdisjoint(seen)


def _set(*path: Any, to: Any) -> Callable[[Any], None]:
    def change(manifest: Any) -> None:
        for key in path[:-1]:
            manifest = manifest[key]
        old = manifest[path[-1]]
        new = to(old) if callable(to) else to
        assert new != old
        manifest[path[-1]] = new

    return change


LUT = "lut m=1 n=2 k=4 bits=2 group=16 depth=16"
TABLE = "lut m=1 n=2 k=2 bits=2 group=8 depth=8 acts=int16 entries=int8 precompute=external"
PAIRS = "bitplane m=1 n=2 k=2 bits=2 acts=int3 group=8 depth=8"
MX_MODES = "mx m=1 n=1 k=2 group=8 depth=8 post_lanes=1 mode_set=mxfp_narrow"
BITMOD = "bitmod m=1 n=2 k=2 post_lanes=1"
BITMOD_RAW = "bitmod m=1 n=1 k=2 post_lanes=0"
FP32 = "minifloat m=1 n=1 k=3 group=9 accumulator=fp32 weights=fp16 acts=fp16 adder_stages=3 interleave=ring"
WEIGHTS = ("operands", 0, "weights", "packing")
FAULTS: list[tuple[str, str, Callable[[Any], None]]] = [
    ("polarity of keys", LUT, _set(*WEIGHTS, "mirror", "negates", to=0)),
    ("no mirrored keys", LUT, _set(*WEIGHTS, "mirror", to=None)),
    ("code mask", LUT + " scheme=symmetric", _set(*WEIGHTS, "xor", to=0)),
    ("weights of planes", LUT, _set("arithmetic", 0, "weights", "plane_weights", to=[2, 1])),
    ("digits", LUT, _set("arithmetic", 0, "weights", "digits", to=[0, 1])),
    ("digits of pairs", PAIRS, _set("arithmetic", 0, "digits", to=[-1, 1])),
    ("places of activation planes", PAIRS, _set("arithmetic", 0, "act_places", to=[1, 2, 4])),
    ("zero points", LUT, _set("correction", "zero_point", "plus", to=lambda old: old + 2)),
    ("constant zero point", LUT + " scheme=symmetric", _set("correction", "zero_point", "constant", to=1)),
    ("row sums' unit", LUT, _set("correction", "row_sum_unit_exp", to=lambda old: old + 1)),
    ("order of a table", TABLE, _set("operands", 0, "acts", "packing", "digits", to=[1, -1])),
    ("fields beside a table", TABLE, _set("operands", 0, "acts", "packing", "beside", to=lambda old: old[::-1])),
    ("rounding of entries", TABLE, _set("arithmetic", 0, "entries", "rule", to="max127")),
    ("tables with a scale", LUT + " k=2 tables=2 acts=int16 entries=int8", _set("arithmetic", 0, "tables", to=1)),
    ("guard bits", LUT + " acts=fp16", _set("pre", "arithmetic", "align", "guard_bits", to=2)),
    ("rounding", LUT + " acts=fp16", _set("pre", "arithmetic", "align", "rounding", to="towards zero")),
    ("special values' place", BITMOD, _set("operands", 4, "weights", "packing", "lsb", to=0)),
    ("sign extension", BITMOD, _set("operands", 2, "weights", "packing", "fill", to="zero")),
    ("ignored bits", BITMOD, _set("operands", 4, "weights", "packing", "ignored_bits", to=[0])),
    ("guard bits of a step", BITMOD_RAW, _set("arithmetic", 0, "step", "guard_bits", to=2)),
    ("mantissas of sums", BITMOD_RAW, _set("arithmetic", 0, "accumulator", "mantissa_bits", to=14)),
    ("register file", BITMOD, _set("encodings", "sign_magnitude", "most_ones", to=3)),
    ("HiF4's level bits", "mx m=1 n=2 weights=hif4", _set("encodings", "hif4", "doubling_bits", to=[15, 16])),
    ("NVINT4's lowest code", "mx m=1 n=2 k=4 weights=nvint4", _set("encodings", "nvint4", "lowest_code_means", to=-8)),
    ("unit of a mode", MX_MODES, _set("arithmetic", 3, "acts", "unit_exp", to=-1)),
    ("bits above a mode's codes", MX_MODES, _set("operands", 1, "weights", "packing", "ignored_bits", to=[5, 6, 7])),
    ("bias", "mx m=1 n=2 k=4 post_lanes=1", _set("encodings", "fp4_e2m1", "bias", to=2)),
    ("unit of results", "mx m=1 n=2 k=4 post_lanes=1", _set("post", "unit_exp", to=lambda old: old - 1)),
    ("rounding of results", "int m=1 n=2 k=2 group=8 depth=8 post_lanes=1", _set("post", "rounding", to="to odd")),
    ("partial sums", FP32, _set("arithmetic", 0, "accumulate", "partials", to=1)),
    ("partial sums of bitmod", BITMOD_RAW + " adder_stages=2", _set("arithmetic", 0, "accumulator", "partials", to=1)),
    ("output format", "posit m=1 n=1 k=1 post_lanes=1 readout=posit group=32 depth=32",
     _set("outputs", "o_y", "encoding", to="posit8_0")),
    ("es", "posit m=1 n=2 k=2 format=posit posit_bits=8 es=1 group=8 depth=8",
     _set("encodings", "posit8_1", "es", to=0)),
    ("order of words", "posit m=1 n=1 k=1 simd_along=n group=32 depth=32",
     _set("arithmetic", 1, "words", "every", to=1)),
    ("signed operands", "int m=1 n=2 k=2 bits=4 acts=int4 group=8 depth=8",
     _set("encodings", "int4", "signed", to=False)),
    ("integer scales", "mixpe m=1 n=2 k=2 group=8 depth=64 dequant=before",
     _set("arithmetic", 0, "weights", "bits", to=9)),
    ("values by selector", "codebook m=1 n=2 k=2 group=8 depth=8 weights=razer_fp4",
     _set("encodings", "special(fp4_e2m1,-5,5,-8,8)", "values_by_side", 3, 8, to=7.0)),
    ("table from ports", "codebook m=1 n=2 k=2 group=8 depth=8 weights=any4",
     _set("arithmetic", 0, "weights", "values", to=lambda old: old[::-1])),
    ("conjugates", "complex m=1 n=2 k=2 group=8 depth=8 mapping=widely",
     _set("arithmetic", 0, "weights", "roots", 1, "conjugate", to=False)),
    ("selector", "codebook m=1 n=2 k=2 group=8 depth=8 weights=razer_fp4",
     lambda manifest: manifest["arithmetic"][0]["weights"].pop("selector")),
    ("latency", LUT, _set("modes", 0, "latency", to=lambda old: old + 1)),
    ("cycles of a step", LUT, _set("modes", 0, "cycles_per_step", to=1)),
    ("folding", FP32, _set("timing", "fold_cycles", to=6)),
    ("lanes' cycles", "mx m=1 n=2 k=4 post_lanes=1", _set("timing", "post_latency", to=6)),
    ("place of elements", "int m=2 n=3 k=2 bits=4 acts=int5 group=8 depth=8 transport=systolic",
     lambda manifest: next(port for port in manifest["ports"] if port["name"] == "o_sums").pop("delay_cycles")),
    ("level of the reset", LUT, _set("reset", "active", to="low")),
]  # fmt: skip


@pytest.mark.few(12)
@pytest.mark.parametrize(("line", "change"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_wrong_manifest_is_found_out(line: str, change: Callable[[Any], None], tmp_path: Path) -> None:
    emission = _emission(line)
    manifest = json.loads(json.dumps(emission.manifest))
    change(manifest)
    (tmp_path / "core.json").write_text(json.dumps(manifest))
    (tmp_path / "core.v").write_text(emission.verilog)
    done = subprocess.run(
        [sys.executable, "-E", "-S", ALONE, "core.json", "core.v", "1", tmp_path, *_tools()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    # A difference, or a value that the manifest itself says cannot be.
    assert done.returncode, done.stdout
    assert done.stdout.startswith("FAIL") or "AssertionError" in done.stderr or "KeyError" in done.stderr, done


def _tools() -> list[str]:
    return [str(shutil.which(name) or require(name)) for name in ("iverilog", "vvp")]
