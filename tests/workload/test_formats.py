"""Number formats by role, operand and phase."""

from __future__ import annotations

import pytest

from hwgen.errors import HwgenError
from sim.workload import Generation, builtin, check_rules, formats_of, parse_rule
from sim.workload.table import rows


def test_later_rules_win_and_phases_differ() -> None:
    rules = [
        parse_rule("weights=int8 acts=int8"),
        parse_rule("role=attn.* phase=decode weights=int4 kv=fp8_e4m3"),
        parse_rule("role=lm_head weights=fp16"),
    ]
    assert formats_of(rules, "ffn.up", "decode") == {"weights": "int8", "acts": "int8"}
    assert formats_of(rules, "attn.q", "decode") == {"weights": "int4", "acts": "int8", "kv": "fp8_e4m3"}
    assert formats_of(rules, "attn.q", "prefill") == {"weights": "int8", "acts": "int8"}
    assert formats_of(rules, "lm_head")["weights"] == "fp16"
    assert str(rules[1]) == "role=attn.* phase=decode weights=int4 kv=fp8_e4m3"


def test_rows_have_the_formats_and_bytes_of_their_part() -> None:
    model = builtin("smollm2-135m")
    found = rows(model, Generation(4, 3), [parse_rule("role=attn.* phase=decode kv=int8"), parse_rule("weights=int4")])
    keys = {(row.part, row.role): row for row in found}
    assert dict(keys["decode", "attn.qk"].formats) == {"kv": "int8"}
    assert dict(keys["prefill", "attn.qk"].formats) == {}
    assert keys["prefill", "ffn.up"].weight_bytes == 30 * 1536 * 576 / 2
    assert keys["decode", "ffn.up"].weight_bytes == 0
    assert sum(row.macs for row in found) == model.macs(Generation(4, 3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wieghts=int4", "--set: no key 'wieghts'; did you mean 'weights'?; keys are role, phase, weights, kv, acts"),
        ("role=attn.*", "--set: must give a format of weights, kv, acts, e.g. role=attn.* weights=int4: 'role=attn.*'"),
        ("weights", "--set: weights needs a value, e.g. role=attn.* weights=int4, in 'weights'"),
        ("kv=int8 kv=int4", "--set: kv must be given once, not as int8 and int4"),
        (
            "phase=decoding kv=int8",
            "--set: phase must be prefill or decode or vision or pass, not 'decoding'; did you mean 'decode'?",
        ),
    ],
)
def test_rules_that_say_nothing_are_refused(text: str, message: str) -> None:
    with pytest.raises(HwgenError) as error:
        parse_rule(text)
    assert str(error.value) == message


def test_unknown_formats_and_roles_are_refused() -> None:
    with pytest.raises(HwgenError, match="did you mean"):
        parse_rule("weights=nf5")
    with pytest.raises(HwgenError, match=r"workload phi-2: no role matches 'atn\.q'; did you mean 'attn\.q'"):
        check_rules(builtin("phi-2"), [parse_rule("role=atn.q weights=int4")])
