"""Register maps: what is refused, with which sentence, and what the map of an accelerator holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hwgen.accelerator.registers import Coded, ErrorCause, Field, Register, RegisterMap, accelerator_map, pair
from hwgen.errors import HwgenError
from hwgen.version import __version__


class Codes(Coded):
    """Two."""

    LOW = 0, "Low."
    HIGH = 4, "High."


def bit(name: str = "f", lsb: int = 0, bits: int = 1, access: str = "rw", reset: int = 0) -> Field:
    return Field(name, lsb, bits, access, reset, "")


def register(name: str = "R", offset: int = 0, *fields: Field, latched_by: str = "") -> Register:
    return Register(name, offset, fields or (bit(),), "", latched_by)


def whole(*registers: Register) -> RegisterMap:
    return RegisterMap("m", registers, "")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: bit("2f"),
            "field: a name must be a letter, then letters, digits and single underscores, not '2f'",
        ),
        (
            lambda: register("A__B"),
            "register: a name must be a letter, then letters, digits and single underscores, not 'A__B'",
        ),
        (lambda: bit(access="wo"), "field f: access must be rw, ro, pulse, w1c, not 'wo'"),
        (lambda: bit(lsb=31, bits=2), "field f: its bits must be 1 or more between 0 and 31, not 2 from 31"),
        (lambda: bit(bits=0), "field f: its bits must be 1 or more between 0 and 31, not 0 from 0"),
        (lambda: bit(lsb=-1), "field f: its bits must be 1 or more between 0 and 31, not 1 from -1"),
        (lambda: bit(bits=3, reset=8), "field f: reset must be from 0 to 0x7 in 3 bits, not 0x8"),
        (lambda: bit(bits=2, access="w1c"), "field f: a field of access w1c must have 1 bit, not 2"),
        (lambda: bit(access="pulse", reset=1), "field f: reset of a pulse must be 0, not 0x1"),
        (lambda: Field("f", 0, 2, "rw", 0, "", Codes), "field f: HIGH must fit 2 bits, not be 4"),
        (
            lambda: register("R", 6),
            "register R: offset must be a multiple of 4 from 0 to 0xffc, not 0x6",
        ),
        (
            lambda: register("R", 0x1000),
            "register R: offset must be a multiple of 4 from 0 to 0xffc, not 0x1000",
        ),
        (
            lambda: register("R", 0, bit(), bit("F", 1)),
            "register R: each field must be there once, not 2 times f",
        ),
        (
            lambda: register("R", 0, bit("a", 0, 4), bit("b", 3, 2)),
            "register R: fields must not overlap; a and b share bit 3",
        ),
        (
            lambda: register("R", latched_by="S"),
            "register R: only fields of access ro can be latched by S",
        ),
        (lambda: whole(), "register map m: it must have a register, not none"),
        (
            lambda: whole(register("R", 0), register("r", 4)),
            "register map m: each register must be there once, not 2 times r",
        ),
        (
            lambda: whole(register("R", 4), register("S", 4)),
            "register map m: each offset must be there once, not 2 times 0x004",
        ),
        (
            lambda: whole(register("A_B", 0, bit("c")), register("A", 4, bit("b_c"))),
            "register map m: each port must be there once, not 2 times o_a_b_c",
        ),
        (
            lambda: whole(register("R", 0, bit(access="ro"), latched_by="S")),
            "register map m: R must be latched by another register of the map, not 'S'",
        ),
        (
            lambda: whole(register("R", 0, bit(access="ro"), latched_by="R")),
            "register map m: R must be latched by another register of the map, not 'R'",
        ),
        (lambda: whole(register()).register("X"), "register map m: no register 'X'"),
        (lambda: pair("X", 0, 65, "ro", ""), "registers X: a pair must have 32 to 64 bits, not 65"),
        (
            lambda: accelerator_map(31, 8),
            "accelerator_map: address_bits must be a whole number from 32 to 64, not 31",
        ),
        (
            lambda: accelerator_map(32, 33),
            "accelerator_map: count_bits must be a whole number from 1 to 32, not 33",
        ),
    ],
)
def test_what_is_no_map_is_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(HwgenError) as error:
        make()
    assert str(error.value) == sentence


def test_registers_lie_in_the_order_of_their_offsets() -> None:
    assert [item.name for item in whole(register("B", 8), register("A", 0, bit("g"))).registers] == ["A", "B"]


def test_the_map_of_an_accelerator() -> None:
    found = {item.offset: item for item in accelerator_map(40, 20).registers}
    names = {offset: item.name for offset, item in found.items()}
    assert names == {
        0x000: "ID",
        0x004: "VERSION",
        0x008: "DESIGN_HASH",
        0x010: "CONTROL",
        0x014: "STATUS",
        0x018: "ERROR",
        0x01C: "JOBS",
        0x020: "CYCLES_LO",
        0x024: "CYCLES_HI",
        0x028: "WAIT_WEIGHTS_LO",
        0x02C: "WAIT_WEIGHTS_HI",
        0x030: "WAIT_ACTS_LO",
        0x034: "WAIT_ACTS_HI",
        0x038: "WAIT_RESULTS_LO",
        0x03C: "WAIT_RESULTS_HI",
        0x080: "WEIGHTS_ADDR_LO",
        0x084: "WEIGHTS_ADDR_HI",
        0x088: "WEIGHT_SIDES_ADDR_LO",
        0x08C: "WEIGHT_SIDES_ADDR_HI",
        0x090: "ACTS_ADDR_LO",
        0x094: "ACTS_ADDR_HI",
        0x098: "ACT_SIDES_ADDR_LO",
        0x09C: "ACT_SIDES_ADDR_HI",
        0x0A0: "RESULT_ADDR_LO",
        0x0A4: "RESULT_ADDR_HI",
        0x0A8: "M_BLOCKS",
        0x0AC: "N_BLOCKS",
        0x0B0: "K_STEPS",
        0x0B4: "K_GROUPS",
        0x0B8: "JOB_FLAGS",
        0x0C0: "CHANNELS_ADDR_LO",
        0x0C4: "CHANNELS_ADDR_HI",
    }
    access = {
        f"{item.name}.{field.name}": (field.access, field.lsb, field.bits)
        for item in found.values()
        for field in item.fields
        if field.name != "value"
    }
    assert access == {
        "VERSION.patch": ("ro", 0, 8),
        "VERSION.minor": ("ro", 8, 8),
        "VERSION.major": ("ro", 16, 8),
        "CONTROL.start": ("pulse", 0, 1),
        "CONTROL.abort": ("pulse", 1, 1),
        "CONTROL.irq_enable": ("rw", 8, 1),
        "STATUS.busy": ("ro", 0, 1),
        "STATUS.queued": ("ro", 1, 1),
        "STATUS.done": ("w1c", 8, 1),
        "STATUS.error": ("w1c", 9, 1),
        "ERROR.cause": ("ro", 0, 8),
        "ERROR.stream": ("ro", 8, 4),
        "JOB_FLAGS.order": ("rw", 0, 1),
        "JOB_FLAGS.hold_weights": ("rw", 1, 1),
        "JOB_FLAGS.hold_acts": ("rw", 2, 1),
    }
    assert found[0].reset == int.from_bytes(b"HWG1", "big")
    major, minor, patch = (int(part) for part in __version__.split(".")[:3])
    assert found[4].reset == major << 16 | minor << 8 | patch
    assert all(field.access == "rw" for item in found.values() if item.offset >= 0x080 for field in item.fields)
    assert [field.bits for field in found[0x084].fields] == [8]
    assert [field.bits for field in found[0x0A8].fields] == [20]
    assert {name for offset, name in names.items() if found[offset].latched_by} == {
        name for name in names.values() if name.endswith("_HI") and "ADDR" not in name
    }


@pytest.mark.parametrize(("bits", "high"), [(32, []), (33, [1]), (64, [32])])
def test_the_high_half_of_an_address_has_what_is_left(bits: int, high: list[int]) -> None:
    assert [field.bits for field in accelerator_map(bits, 1).register("RESULT_ADDR_HI").fields] == high


def test_causes_of_errors() -> None:
    assert {cause.name: int(cause) for cause in ErrorCause} == {
        "NONE": 0,
        "READ_RESPONSE": 1,
        "WRITE_RESPONSE": 2,
        "QUEUE_FULL": 3,
        "BAD_JOB": 4,
        "UNALIGNED": 5,
        "DOES_NOT_FIT": 6,
        "GROUPS": 7,
        "ABORTED": 8,
        "NOT_FINITE": 9,
    }
    assert all(cause.doc.endswith(".") for cause in ErrorCause)
