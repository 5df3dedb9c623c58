"""`hwgen emit` and the views that go with it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hwgen
from hwgen.emit import emit
from hwgen.emit._manifest import spec_from_manifest
from hwgen.errors import HwgenError
from hwgen.pe import families, family


def test_stdout_is_verilog_only() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hwgen", "emit", "--pe", "int", "--bits", "2", "--clk-period-ns", "own"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout == emit(family("int")(bits=2)).verilog


def test_files_and_manifest(tmp_path: Path) -> None:
    flags = "--pe lut --n 4 --bits 3 --top core -o core.v --manifest core.json --sdc core.sdc --testbench bench"
    done = subprocess.run(
        [sys.executable, "-m", "hwgen", "emit", *flags.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    verilog = (tmp_path / "core.v").read_text()
    manifest = json.loads((tmp_path / "core.json").read_text())
    assert manifest["verilog_sha256"] == hashlib.sha256(verilog.encode()).hexdigest()
    assert manifest["top"] == "core"
    assert spec_from_manifest(manifest) == family("lut")(n=4, bits=3)
    assert "create_clock" in (tmp_path / "core.sdc").read_text()
    assert (tmp_path / "bench" / "core_tb.v").exists()


@pytest.mark.parametrize("name", families())
def test_manifest_rebuilds_the_spec(name: str) -> None:
    spec = family(name)()
    emission = emit(spec)
    document = json.loads(json.dumps(emission.manifest))
    assert spec_from_manifest(document) == spec
    assert spec_from_manifest(json.dumps(document)) == spec
    for port in document["ports"]:
        if "packing" in port:
            size = port["packing"]["element_bits"]
            for extent in port["packing"]["shape"]:
                size *= extent
            assert size == port["width"], port["name"]
        assert f" {port['name']};" in emission.verilog


def test_manifest_refuses_what_is_none() -> None:
    with pytest.raises(HwgenError, match=r"^manifest: manifest_version must be 1 or 2, not None$"):
        spec_from_manifest("{}")
    with pytest.raises(HwgenError, match=r"^manifest: must be a JSON document: "):
        spec_from_manifest("not json")


def test_same_bytes_whatever_the_hash_seed_and_folder(tmp_path: Path) -> None:
    texts = set()
    for seed in ("0", "1", "4242"):
        folder = tmp_path / seed
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "hwgen", "emit", "--pe", "lut", "--n", "8", "--acts", "fp16"],
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0
        texts.add(done.stdout)
    assert len(texts) == 1


def test_torch_is_never_imported_by_emit() -> None:
    code = "import sys; from hwgen.cli import main\n"
    code += "try: main(['emit', '--pe', 'lut', '--n', '4'])\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'pandas', 'matplotlib', 'scipy', 'dse'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_python_api() -> None:
    tile = hwgen.tile("lut", n=4, bits=2)
    assert tile.emit(top="core").top == "core"
    assert set(hwgen.families()) >= {"int", "lut", "mx"}
    with pytest.raises(HwgenError, match=r"^lut: bits must be a whole number from 1 to 8, not 0$"):
        hwgen.tile("lut", bits=0)


def test_no_parameter_of_a_family_hides_an_option_of_a_command() -> None:
    import importlib
    import pkgutil

    from hwgen import cli
    from hwgen.cli._family import FamilyCommand
    from hwgen.pe import families

    commands = {
        name: importlib.import_module(f"hwgen.cli.{name}").command
        for _, name, _ in pkgutil.iter_modules(cli.__path__)
        if not name.startswith("_")
    }
    looked_at = 0
    for name, command in commands.items():
        if isinstance(command, FamilyCommand):
            options = {option.name for option in command.params}
            for family, spec in families().items():
                looked_at += 1
                assert not options & set(spec.parameters()), (name, family)
    assert looked_at >= 4 * len(families())
