"""The registers of a quantiser: who it is, start and state, and the rows that it is to quantise."""

from __future__ import annotations

from hwgen.accelerator.quantiser.geometry import Geometry
from hwgen.accelerator.quantiser.job import Kind
from hwgen.accelerator.registers.common import check_widths, control, identity, status, whole
from hwgen.accelerator.registers.description import Coded, Field, Register, RegisterMap, pair

__all__ = ["QUANTISER_MAGIC", "QuantiserCause", "quantiser_map"]

QUANTISER_MAGIC = 0x48575131
"""What register ID reads as: "HWQ1" in ASCII."""


class QuantiserCause(Coded):
    """Why a job was not done as asked."""

    NONE = 0, "No error."
    READ_RESPONSE = 1, "The memory answered a read with an error."
    WRITE_RESPONSE = 2, "The memory answered a write with an error."
    BUSY = 3, "Started while a job ran; the second is dropped."
    BAD_JOB = 4, "ROWS or ELEMENTS is zero, or ELEMENTS more than a row or a group of the tile can have."
    UNALIGNED = 5, "An address or a stride of the job is not a multiple of the bytes of the memory bus."
    NOT_FINITE = (
        6,
        "A row has an infinity or NaN: it is not written, nor a token of V that waits for it to share bytes.",
    )
    ABORTED = 8, "CONTROL.abort ended the job."


def quantiser_map(address_bits: int, count_bits: int, form: Geometry) -> RegisterMap:
    """Registers of a quantiser with memory addresses of ``address_bits`` and counts of ``count_bits`` bits.

    Raises `HwgenError` unless addresses have 32 to 64 bits and counts 1 to 32.
    """
    check_widths("quantiser_map", address_bits, count_bits)
    registers = [
        *identity(QUANTISER_MAGIC, 'Constant: a quantiser of hwgen ("HWQ1").'),
        Register(
            "GEOMETRY",
            0x00C,
            (
                Field("n", 0, 12, "ro", form.n, "Columns of a weight word."),
                Field("k", 12, 12, "ro", form.k, "Codes of a column in a weight word."),
                Field("bits", 24, 4, "ro", form.bits, "Bits of a code: 4 or 8."),
                Field("sides", 28, 1, "ro", int(form.sides), "Whether scales of K are words of side information."),
            ),
            "Constant: the weight words of the design.",
        ),
        control(
            "Start the job that the registers from 0x080 describe.",
            "End the running job with an error.",
            "What the quantiser is to do.",
        ),
        status("A job was finished, its codes and scales are in memory."),
        Register(
            "ERROR",
            0x018,
            (Field("cause", 0, 8, "ro", 0, "Why the last job failed.", QuantiserCause),),
            "The last error.",
        ),
        whole("JOBS", 0x01C, "ro", "Jobs that were finished since reset, modulo 2^32."),
        *pair("CYCLES", 0x020, 64, "ro", "Clock cycles in which a job ran, since reset."),
        whole("ROWS_LEFT", 0x028, "ro", "Rows of the last job behind the one that it is or ended at.", count_bits),
        *pair("SOURCE_ADDR", 0x080, address_bits, "rw", "Address of the first row of FP32 values, bytes."),
        *pair("CODES_ADDR", 0x088, address_bits, "rw", "Address of the image of the codes of token 0, bytes."),
        *pair("SCALES_ADDR", 0x090, address_bits, "rw", "Address of the scales from token 0 on, bytes."),
        whole("ROWS", 0x098, "rw", "Rows to quantise, one token each.", count_bits),
        whole("ELEMENTS", 0x09C, "rw", "Values of a row.", count_bits),
        whole("FIRST_TOKEN", 0x0A0, "rw", "Token that the first row is.", count_bits),
        whole("SOURCE_STRIDE", 0x0A4, "rw", "Bytes from a row to the next."),
        whole("CODES_STRIDE", 0x0A8, "rw", "Bytes from a block of columns to the next in the image of the codes."),
        Register(
            "JOB_FLAGS",
            0x0AC,
            (Field("kind", 0, 1, "rw", 0, "What the rows are.", Kind),),
            "How the job is to be done.",
        ),
    ]
    return RegisterMap("quantiser", tuple(registers), "Control registers of a quantiser made by hwgen.")
