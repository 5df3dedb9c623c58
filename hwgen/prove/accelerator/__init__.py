"""Proofs about the Verilog of an accelerator: its engines, sequencer, registers, and the whole with anything around it.

`machine` reads the text, `alone` and `whole` state claims as hardware beside it, `rules` says what each means, and
`subject` lists them for a certificate.
"""

from __future__ import annotations

from hwgen.prove.accelerator.machine import Device, Machine
from hwgen.prove.accelerator.rules import DEPTHS, decided, meaning, parts, sought
from hwgen.prove.accelerator.subject import (
    AcceleratorSubject,
    accelerator_manifest,
    accelerator_text,
    claims_of,
    design_of,
)

__all__ = [
    "DEPTHS",
    "AcceleratorSubject",
    "Device",
    "Machine",
    "accelerator_manifest",
    "accelerator_text",
    "claims_of",
    "decided",
    "design_of",
    "meaning",
    "parts",
    "sought",
]
