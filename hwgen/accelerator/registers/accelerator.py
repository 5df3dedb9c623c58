"""The registers of an accelerator: who it is, start and state, counters, and the job that it is to do."""

from __future__ import annotations

from hwgen.accelerator.registers.common import VERSION, check_widths, control, flag, identity, status, whole
from hwgen.accelerator.registers.description import Coded, Field, Register, RegisterMap, pair

__all__ = ["MAGIC", "VERSION", "ErrorCause", "Order", "Stream", "accelerator_map"]

MAGIC = 0x48574731
"""What register ID reads as: "HWG1" in ASCII."""


class ErrorCause(Coded):
    """Why a job was not done as asked."""

    NONE = 0, "No error."
    READ_RESPONSE = 1, "The memory answered a read with an error."
    WRITE_RESPONSE = 2, "The memory answered a write with an error."
    QUEUE_FULL = 3, "Started while one job ran and one waited; the third is dropped."
    BAD_JOB = 4, "A count of the job is zero."
    UNALIGNED = 5, "An address of the job is not a multiple of the bytes of the memory bus."
    DOES_NOT_FIT = 6, "A window that is to be held does not fit its ring."
    GROUPS = 7, "K_GROUPS does not fit K_STEPS."
    ABORTED = 8, "CONTROL.abort ended the job."
    NOT_FINITE = 9, "An activation is an infinity or NaN, where a block before the ring makes blocks of them."


class Stream(Coded):
    """What moves between memory and the tile."""

    WEIGHTS = 0, "Weights."
    WEIGHT_SIDES = 1, "Scales and the like of the weights."
    ACTS = 2, "Activations."
    ACT_SIDES = 3, "Scales and the like of the activations."
    RESULTS = 4, "Results."
    CHANNELS = 5, "What each output channel has: scales, biases, multipliers."


class Order(Coded):
    """Which operand stays in the accelerator while the other passes by."""

    WEIGHTS_STAY = 0, "A window of weights stays; all activations pass."
    ACTS_STAY = 1, "A window of activations stays; all weights pass."


def accelerator_map(address_bits: int, count_bits: int) -> RegisterMap:
    """Registers of an accelerator with memory addresses of ``address_bits`` and counts of ``count_bits`` bits.

    Raises `HwgenError` unless addresses have 32 to 64 bits and counts 1 to 32.
    """
    check_widths("accelerator_map", address_bits, count_bits)

    registers = [
        *identity(MAGIC, 'Constant: an accelerator of hwgen ("HWG1").'),
        control(
            "Start the job that the registers from 0x080 describe, or queue it.",
            "End the running job with an error; a waiting one begins.",
            "What the accelerator is to do.",
        ),
        status(
            "A job was finished, its results are in memory.",
            flag("queued", 1, "ro", "A second job waits for it."),
        ),
        Register(
            "ERROR",
            0x018,
            (
                Field("cause", 0, 8, "ro", 0, "Why the last job failed.", ErrorCause),
                Field("stream", 8, 4, "ro", 0, "On which stream, where one is at fault.", Stream),
            ),
            "The last error.",
        ),
        whole("JOBS", 0x01C, "ro", "Jobs that ended since reset, well or not, modulo 2^32."),
        *pair("CYCLES", 0x020, 64, "ro", "Clock cycles in which a job ran, since reset."),
        *pair("WAIT_WEIGHTS", 0x028, 64, "ro", "Cycles of those in which the tile waited for weights."),
        *pair("WAIT_ACTS", 0x030, 64, "ro", "Cycles of those in which the tile waited for activations."),
        *pair("WAIT_RESULTS", 0x038, 64, "ro", "Cycles of those in which the tile waited for results to leave."),
    ]
    job = (
        ("WEIGHTS_ADDR", "Address of the weights in memory, bytes."),
        ("WEIGHT_SIDES_ADDR", "Address of the weights' scales and the like, bytes."),
        ("ACTS_ADDR", "Address of the activations, bytes."),
        ("ACT_SIDES_ADDR", "Address of the activations' scales and the like, bytes."),
        ("RESULT_ADDR", "Address that the results go to, bytes."),
    )
    for number, (name, doc) in enumerate(job):
        registers += pair(name, 0x080 + 8 * number, address_bits, "rw", doc)
    counts = (
        ("M_BLOCKS", "Blocks of rows of activations, each as high as the tile."),
        ("N_BLOCKS", "Blocks of columns of weights, each as wide as the tile."),
        ("K_STEPS", "Steps of the tile along the inner dimension of a block."),
        ("K_GROUPS", "Groups into which these steps are divided."),
    )
    for number, (name, doc) in enumerate(counts):
        registers.append(whole(name, 0x0A8 + 4 * number, "rw", doc, count_bits))
    registers.append(
        Register(
            "JOB_FLAGS",
            0x0B8,
            (
                Field("order", 0, 1, "rw", 0, "Which operand stays.", Order),
                flag("hold_weights", 1, "rw", "Read each window of weights once and replay it: it must fit the ring."),
                flag("hold_acts", 2, "rw", "Read each window of activations once and replay it: it must fit the ring."),
            ),
            "How the job is to be done.",
        )
    )
    registers += pair("CHANNELS_ADDR", 0x0C0, address_bits, "rw", "Address of what each output channel has, bytes.")
    return RegisterMap("accelerator", tuple(registers), "Control registers of an accelerator made by hwgen.")
