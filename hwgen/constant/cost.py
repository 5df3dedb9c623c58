"""What the Verilog of a constant matrix costs: mapped to a cell library, or to an FPGA's cells."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hwgen.constant.unit import ConstantEmission
from hwgen.synth import Library, SynthOptions, UnitResult, VerilogUnit, read_unit, synthesise_unit
from hwgen.synth.fpga import FpgaResult, estimate

__all__ = ["constant_area", "constant_fpga"]


def _unit(emission: ConstantEmission, timeout_s: float) -> VerilogUnit:
    with tempfile.TemporaryDirectory(prefix="hwgen-constant-") as name:
        path = Path(name) / f"{emission.top}.v"
        path.write_text(emission.verilog, encoding="utf-8")
        return read_unit([path], emission.top, timeout_s=timeout_s)


def constant_area(
    emission: ConstantEmission, library: Library | None = None, options: SynthOptions | None = None
) -> UnitResult:
    """Map to a cell library (default: the project's generic one) as `hwgen.synth.synthesise_unit`."""
    options = options or SynthOptions()
    return synthesise_unit(_unit(emission, options.timeout_s), library, options)


def constant_fpga(emission: ConstantEmission, vendor: str, timeout_s: float = 600.0) -> FpgaResult:
    """Map to an FPGA's cells as `hwgen.synth.fpga.estimate`, without DSP blocks: there is no multiplication."""
    return estimate(_unit(emission, timeout_s), vendor, dsp=False, timeout_s=timeout_s)
