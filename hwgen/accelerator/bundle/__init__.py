"""Everything that a chip needs to put an accelerator or its quantiser on its bus, as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hwgen.accelerator.bundle._driver import driver_files
from hwgen.accelerator.bundle._flows import flow_files
from hwgen.accelerator.bundle._fusesoc import core_file
from hwgen.accelerator.bundle._ipxact import ipxact
from hwgen.accelerator.bundle._manifest import manifest
from hwgen.accelerator.bundle._quantiser import quantiser_manifest
from hwgen.accelerator.bundle._readme import readme
from hwgen.accelerator.bundle._registers import register_files
from hwgen.accelerator.bundle._verilog import verilog_files
from hwgen.accelerator.emission import AcceleratorEmission, Emission
from hwgen.accelerator.quantiser import QuantiserEmission

__all__ = ["bundle_files", "quantiser_files", "streamed_files"]


def bundle_files(
    emission: AcceleratorEmission,
    clk_period_ns: float,
    *,
    clock: Mapping[str, Any] | None = None,
    html: bool = False,
    bench: Mapping[str, str] | None = None,
) -> dict[str, str | bytes]:
    """Files by path relative to their folder; docs/accelerator_files.md says what each is for.

    Parameters
    ----------
    emission: the accelerator.
    clk_period_ns: period of its clock, for the constraints.
    clock: technology and period for which the tile's registers were placed, for the manifest.
    html: also pages about the registers.
    bench: files of a self-checking bench (`hwgen.verify.accelerator_bench_files`), for which the core file then has a
        target.

    Raises `HwgenError` for a period out of range, and where a package of the extra ``soc`` is missing.
    """
    files = _files(emission, clk_period_ns, html, bench or {}, driver_files(emission))
    files[f"{emission.top}.json"] = json.dumps(manifest(emission, files, clock), indent=2) + "\n"
    return files


def quantiser_files(
    emission: QuantiserEmission, clk_period_ns: float, *, html: bool = False, bench: Mapping[str, str] | None = None
) -> dict[str, str | bytes]:
    """Files of a quantiser: those of an accelerator but for the driver.

    Parameters are those of `bundle_files`; ``bench`` is `hwgen.verify.quantiser_bench_files`. Raises `HwgenError` as
    that does.
    """
    files = _files(emission, clk_period_ns, html, bench or {})
    files[f"{emission.top}.json"] = json.dumps(quantiser_manifest(emission, files), indent=2) + "\n"
    return files


def _files(
    emission: Emission,
    clk_period_ns: float,
    html: bool,
    bench: Mapping[str, str],
    driver: Mapping[str, str] | None = None,
) -> dict[str, str | bytes]:
    """All but the manifest."""
    top = emission.top
    files: dict[str, str | bytes] = {**verilog_files(emission)}
    files |= register_files(emission, html)
    files |= driver or {}
    files |= flow_files(emission, clk_period_ns)
    files |= bench
    files[f"{top}.core"] = core_file(emission, bench)
    files[f"{top}.xml"] = ipxact(emission, files)
    files["README.md"] = readme(emission, files)
    return files


def streamed_files(
    emission: AcceleratorEmission, *, clock: Mapping[str, Any] | None = None, html: bool = False
) -> dict[str, str | bytes]:
    """Files of an accelerator between streams: Verilog, registers, manifest.

    Parameters are those of `bundle_files`. Raises `HwgenError` where a package of the extra ``soc`` is missing.
    """
    files: dict[str, str | bytes] = {**verilog_files(emission), **register_files(emission, html)}
    files[f"{emission.top}.json"] = json.dumps(manifest(emission, files, clock), indent=2) + "\n"
    return files
