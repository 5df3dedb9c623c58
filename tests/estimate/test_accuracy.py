"""What a language model loses with a tile's formats, in `hwgen estimate`."""

from __future__ import annotations

import functools
import json

import pytest

from sim.accuracy.table import known, provenance_of
from tests.synth.command import command as run

command = functools.partial(run, name="estimate")
ASKED = ["--pe", "int", "--bits", "4", "--scheme", "asymmetric", "--layer", "8x64x64", "--accuracy"]
ROW = '{"formats": {"acts": "int8/row@bf16", "weights": "int4.asymmetric/128"}, "layers": {}, "method": "rtn"}'


def test_the_table_s_row_is_told() -> None:
    row, about = known()[ROW], provenance_of()
    text = command(*ASKED).stdout.splitlines()[-1]
    assert text.startswith(
        f"accuracy: {about['model']} with weights int4.asymmetric/128, acts int8/row@bf16: perplexity "
        f"{row.perplexity:.2f} (float 30.21), KL {row.kl_nats:.4f} nats"
    )
    found = json.loads(command(*ASKED, "--json").stdout)["accuracy"]
    assert found["formats"] == {"weights": "int4.asymmetric/128", "acts": "int8/row@bf16"}
    assert found["measured"]["perplexity"] == row.perplexity
    assert found["measured"]["text"] == about["text"]


def test_nothing_is_guessed() -> None:
    other = [*ASKED, "--group", "32"]
    assert command(*other).stdout.splitlines()[-1] == (
        f"accuracy: {provenance_of()['model']} with weights int4.asymmetric/32, acts int8/row@bf16 was not measured; "
        "--measure does"
    )
    assert json.loads(command(*other, "--json").stdout)["accuracy"]["measured"] is None


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_nobody_who_did_not_ask_is_told(more: list[str]) -> None:
    assert "accuracy" not in command(*ASKED[:-1], *more).stdout


def test_accelerators_and_models_are_told_too() -> None:
    for how in (
        ["--level", "accelerator", "--layer", "8x64x64"],
        ["--workload", "smollm2-135m", "--phase", "decode", "--context", "8"],
        ["--workload", "smollm2-135m", "--phase", "decode", "--context", "8", "--cores", "2"],
    ):
        done = command(*ASKED[:6], *how, "--accuracy")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].startswith("accuracy: ")
        assert json.loads(command(*ASKED[:6], *how, "--accuracy", "--json").stdout)["accuracy"]["measured"]
