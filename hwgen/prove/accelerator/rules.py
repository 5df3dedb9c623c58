"""The parts about which there are claims, what each claim says, and how far it is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from hwgen.prove.abc import Verdict
from hwgen.prove.accelerator.alone import control_claims, register_claims, stream_claims, write_claims
from hwgen.prove.accelerator.machine import Device, Machine
from hwgen.prove.accelerator.whole import accelerator_claims

__all__ = ["DEPTHS", "decided", "meaning", "parts", "sought"]


def parts(streams: Iterable[str]) -> dict[str, Callable[[Device], Machine]]:
    """Machines of claims by part, for an accelerator with these streams."""
    return {
        "registers": register_claims,
        "control": control_claims,
        "results": write_claims,
        **{name: partial(stream_claims, name) for name in streams},
        "accelerator": accelerator_claims,
    }


DEPTHS = {"finished": 26, "clear": 20, "busy": 20, "done": 24}
"""Cycles for which a claim is checked where no invariant is found in reasonable time: in 22 a job of one step ends."""
_FAULT_DEPTH = 30
_SECONDS = 600

_MEANINGS = {
    "stays": "what is offered stays, with all that belongs to it, until it is taken",
    "reset": "nothing is offered in the cycle after a reset",
    "page": "no burst crosses 4 KB",
    "length": "a burst has 1 beat up to the longest of its stream",
    "aligned": "addresses are multiples of the bus",
    "kind": "size is that of the bus, bursts are INCR",
    "nothing": "blocks have beats, as many as when the job began",
    "outstanding": "no more bursts are on their way than `outstanding`",
    "idle": "idle is said only, and for reads always, when no burst is on its way",
    "owed": "no more beats are on their way than fit the ring",
    "overflow": "no entry is written when all are in use",
    "overwritten": "no entry is written that was not released",
    "not_there": "no entry is read that was not written, or was released",
    "early": "no W beat before its AW is offered",
    "last": "WLAST exactly with the last beat of a burst",
    "underrun": "all beats of a burst are in the buffer when its AW is offered",
    "empty": "idle and empty are said only when the buffer is empty",
    "begins": "no read is asked for unless a job runs",
    "finished": "no job is finished while reads are on their way",
    "clear": "no job begins while a burst is on its way",
    "running_busy": "busy while engines may ask",
    "ends_busy": "busy until a job is done",
    "busy": "busy while a burst is on its way",
    "done": "a job is done only when no burst is on its way and no result is kept",
    "at_rest": "no job begins before all engines have come to rest",
    "jobs": "jobs started less jobs ended are those that busy and queued say",
    "refused": "a start while a job waits is an error",
    "asked": "no response without a request",
    "answers": "a request is answered in the next cycle",
    "write": "one write at a time",
    "read": "one read at a time",
}


def meaning(claim: str) -> str:
    """What a claim says, in words."""
    return next(text for ending, text in _MEANINGS.items() if claim.endswith(ending))


def decided(machine: Machine, claim: str, seconds: float = _SECONDS) -> Verdict:
    """A claim, proved or checked as far as it is taken, within so many seconds of processor time."""
    return machine.decide(claim, seconds=seconds, depth=DEPTHS.get(claim, 0))


def sought(machine: Machine, claim: str) -> Verdict:
    """A claim that does not hold: the shortest run that breaks it."""
    return machine.decide(claim, seconds=_SECONDS, depth=_FAULT_DEPTH)
