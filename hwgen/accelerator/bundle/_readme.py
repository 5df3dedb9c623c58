"""What lies in the folder, and how memories become macros."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from hwgen.accelerator.bundle._macros import FEWEST_WORDS, MACRO, macro_instances
from hwgen.accelerator.bundle._names import macro_names
from hwgen.accelerator.emission import Emission
from hwgen.version import __version__

__all__ = ["readme"]


def readme(emission: Emission, files: Iterable[str]) -> str:
    """README.md of a bundle with ``files``."""
    top, design, names = emission.top, emission.design, list(files)
    rows = [
        (f"{top}.v", f"the {emission.kind} but for its memories, Verilog-2005"),
        (f"{top}_sram.v", "its memories, one module a size, for simulation and FPGAs"),
        (f"{top}.f", "both, as a list for tools"),
        (f"{top}_tb.v", "self-checking bench with its data, `*.hex`; prints PASS or FAIL"),
        (f"{top}_cocotb.py", "a job register by register in cocotb, on the bus models of cocotbext-axi"),
        (f"{top}.core", f"FuseSoC: `fusesoc --cores-root . run --target lint {top}`, and `--target sim`"),
        (f"{top}.json", "manifest: ports, streams, image layout, tile, hashes of all files"),
        (f"{top}.xml", "IP-XACT component, IEEE 1685-2014"),
        (f"{top}.rdl", "registers in SystemRDL"),
        (f"{top}.h", "registers for C11, by PeakRDL"),
        (f"{top}_registers.json", "registers as JSON"),
        ("registers.html/index.html", "registers as pages"),
        (f"{top}_driver.c", "driver in freestanding C99: images, jobs, results"),
        (f"{top}.sdc", "timing constraints"),
        (f"{top}_sram_sky130.v", f"memories around OpenRAM's `{MACRO}`"),
        ("librelane/config.json", "LibreLane with sky130A and these macros"),
        ("orfs/config.mk", "OpenROAD-flow-scripts, memories as flip-flops or black boxes"),
    ]
    table = "\n".join(f"| `{name}` | {text} |" for name, text in rows if name in names)
    sizes = "\n".join(f"| `{name}` | {words} | {bits} |" for name, (words, bits) in macro_names(emission).items())
    words = {
        "top": top,
        "summary": emission.summary,
        "version": __version__,
        "hash": f"{design.digest:08x}",
        "bus": str(design.bus_bits),
        "address": str(design.address_bits),
        "ids": emission.read_ids,
        "stores": emission.stores,
        "table": table,
        "sizes": sizes,
        "macro": MACRO,
        "fewest": str(FEWEST_WORDS),
        "count": str(len(macro_instances(emission))),
    }
    text = Path(__file__).with_name("readme.md").read_text(encoding="utf-8")
    return re.sub(r"@(\w+)@", lambda match: words[match[1]], text)
