from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from hwgen.cli import main
from hwgen.errors import HwgenError
from hwgen.prove import checked, prove, rerun
from hwgen.prove.accelerator import AcceleratorSubject, Device, accelerator_manifest, claims_of, parts
from hwgen.prove.obligations import Result
from rtl_tests.accelerator.formal.device import DESIGN, emitted

SMALL = [
    *("--pe", "int", "--level", "accelerator", "--m", "1", "--n", "8", "--k", "4", "--bits", "4", "--group", "8"),
    *("--depth", "16", "--post-lanes", "1", "--bus-bits", "64", "--weight-ring", "2", "--act-ring", "8"),
    *("--burst", "2", "--outstanding", "2", "--count-bits", "8"),
]


def subject(text: str) -> AcceleratorSubject:
    return AcceleratorSubject(text, accelerator_manifest(DESIGN, emitted().top, text))


def proved(text: str, *names: str) -> dict[str, Result]:
    known = {one.name: one for one in subject(text).obligations()}
    return {name: known[name].proved(60) for name in names}


def changed(part: str, old: str, new: str) -> str:
    """The text with one place of a part's module changed."""
    device = emitted()
    module = device.modules[device.module(part)]
    found, count = re.subn(old, new, module)
    assert count == 1, count
    return device.verilog.replace(module, found)


@pytest.mark.slow
def test_the_registers_and_the_sequencer() -> None:
    names = [f"{part}.{name}" for part in ("registers", "control") for name in claims_of(DESIGN)[part]]
    assert {one.status for one in proved(emitted().verilog, *names).values()} == {"proved"}


FAULTS = {
    "results.results_overflow": ("write_buffer", r"assign i_ready = .*;", "assign i_ready = 1'h1;"),
    "results.w_empty": ("write_engine", r"assign empty = .*;", "assign empty = 1'h1;"),
    "weights.page": ("weights_engine", r"assign page_left = 10'h200", "assign page_left = 10'h201"),
    "control.refused": ("control", r"assign error_set = .*;", "assign error_set = 1'h0;"),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("name", FAULTS)
def test_faults_in_the_text_are_refuted(name: str) -> None:
    found = proved(changed(*FAULTS[name]), name)[name]
    assert found.status == "refuted"
    assert re.fullmatch(r"broken in cycle \d+", found.detail)


def test_open_values() -> None:
    """What a text leaves open reaches nothing; with a register that takes it in any cycle it does."""
    device = emitted()
    name = device.module("write_buffer")
    assert device.closed(name).decide("trigger").proved
    text = changed("write_buffer", r"= \{ read, take \} != 2'h0;", "= 1'h1;")
    assert Device(text, device.top, DESIGN).closed(name).decide("trigger").broken


@pytest.mark.slow
def test_names_of_claims() -> None:
    device = emitted()
    made = {part: set(make(device).outputs) for part, make in parts(DESIGN.streams).items()}
    assert {part: set(names) for part, names in claims_of(DESIGN).items()} == made


def test_nets_that_a_text_has_not_leave_their_claims_open() -> None:
    text = re.sub(r"\bactive\b", "other", emitted().verilog)
    found = proved(text, "weights.page")["weights.page"]
    top = emitted().top
    assert (found.status, found.detail) == ("open", f"{top}_weights_engine has no net active in the text")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verilog, certificate = tmp_path / "top.v", tmp_path / "top.json"
    with pytest.raises(SystemExit) as ended:
        main(["prove", *SMALL, "--limit-s", "0.01", "-o", str(verilog), "--certificate", str(certificate)])
    assert ended.value.code == 3
    document: dict[str, Any] = json.loads(certificate.read_text())
    assert document["verilog_sha256"] == hashlib.sha256(verilog.read_bytes()).hexdigest()
    names = [entry["name"] for entry in document["obligations"]]
    assert names[0] == "open_values"
    assert {"weights.owed", "accelerator.ar_stays", "tile.control.ready"} <= set(names)
    with pytest.raises(SystemExit) as ended:
        main(["check", str(certificate), str(verilog), "--obligation", "control.refused"])
    assert ended.value.code == 0
    assert "int_accelerator: 1 proved" in capsys.readouterr().out
    other = document["manifest"]
    other["design"]["burst"] = 4
    with pytest.raises(HwgenError, match=r"^check: here must state what its parameters say, but design_hash of its"):
        checked(document, verilog.read_text(), "here", "there")
    other["design"] = 4
    with pytest.raises(HwgenError, match=r"^manifest: an accelerator's must have family, tile and design, but its des"):
        checked(document, verilog.read_text(), "here", "there")


@pytest.mark.slow
def test_all_of_a_small_accelerator() -> None:
    """Nothing is refuted, and what is open is what is bounded; it holds again."""
    text, manifest = emitted().verilog, accelerator_manifest(DESIGN, emitted().top, emitted().verilog)
    found = prove(text, manifest, limit_s=3600)
    left = {entry["name"] for entry in found["obligations"] if entry["status"] != "proved"}
    assert left == {f"accelerator.{name}" for name in ("finished", "clear", "busy", "done")}
    assert rerun(found, text, ["open_values"])[0]["status"] == "proved"
