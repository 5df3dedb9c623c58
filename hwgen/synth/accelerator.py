"""Synthesis of an accelerator without its memories: each block by itself, what is between them, or all as one netlist.

Memories are black boxes: they are no logic, and a macro or a compiler takes their place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwgen.accelerator.accelerator import Accelerator
from hwgen.accelerator.design import Design
from hwgen.accelerator.registers import accelerator_map
from hwgen.emit import Reset
from hwgen.emit._rtlil import component_rtlil, memory_rtlil
from hwgen.errors import HwgenError, suggest
from hwgen.synth import Progress, Result, SynthOptions, _check, _mapped
from hwgen.synth._parts import FLAT, Part, box, closure, modules_of, parts
from hwgen.synth.liberty import Library, generic_library

__all__ = ["TOP", "AcceleratorResult", "accelerator_parts", "synthesise_accelerator"]

TOP = "accelerator"
"""Module of the design; that of a block is it, an underscore and the block's kind."""
_STREAM = f"{TOP}_stream"


@dataclass(frozen=True)
class AcceleratorResult(Result):
    """An accelerator or some of its blocks; ``memories`` are depth and bits of what is beside them, one each."""

    design: Design
    memories: tuple[tuple[str, int, int], ...]

    @property
    def title(self) -> str:
        return f"{self.design.tile.family} accelerator"

    @property
    def clock(self) -> str | None:
        return "aclk"

    def about(self) -> dict[str, Any]:
        tile = self.design.tile
        return {
            "family": tile.family,
            "parameters": tile.p,
            "accelerator": self.design.p,
            "memories": [{"name": name, "depth": depth, "bits": bits} for name, depth, bits in self.memories],
        }


def accelerator_parts(design: Design, *, flat: bool = False, tile: bool = True) -> list[Part]:
    """Blocks of an accelerator; those of its tile (``tile``) have ``tile_`` before their kinds.

    Equal blocks of different designs have equal RTLIL, so that each is mapped once. ``flat`` adds all of it as one
    part, memories left out.
    """
    from hwgen.emit import axi_stream_rtlil

    registers = accelerator_map(design.address_bits, design.count_bits)
    component = Accelerator(design, registers, TOP, _STREAM)
    # Submodules are called top.name.
    own = component_rtlil(component, TOP).replace(f"\\{TOP}.", f"\\{TOP}_")
    tile_top = f"{design.tile.family}_tile"
    wrapper = axi_stream_rtlil(design.tile, tile_top, _STREAM, Reset(), status=True)
    memories = "\n".join(
        memory_rtlil(_sram(depth, bits), _sram_module(depth, bits)) for depth, bits in sorted(component.sizes)
    )
    of_tile = parts(design.tile, flat=True)
    whole = next(part for part in of_tile if part.kind == FLAT)
    modules = modules_of("\n".join([own, wrapper, memories, whole.rtlil]))
    boxed = {name for name in modules if name.startswith(f"{TOP}_sram_")}
    blocks = [name for name in modules if name.startswith(f"{TOP}_") and "." not in name and name not in boxed]
    found = [Part("glue", TOP, 1, *_with_boxes(modules, TOP, set(blocks)), True)]
    for name in blocks:
        inside = {other for other in modules if other != name and (other in blocks or other == tile_top)}
        found.append(Part(name.removeprefix(f"{TOP}_"), name, 1, *_with_boxes(modules, name, inside | boxed), True))
    if tile:
        found += [
            Part(f"tile_{part.kind}", part.top, part.count, part.rtlil, part.boxes, True)
            for part in of_tile
            if part.kind != FLAT and part.of_tile
        ]
    if flat:
        found.append(Part(FLAT, TOP, 1, *_with_boxes(modules, TOP, boxed), True))
    return found


def _sram(depth: int, bits: int) -> Any:
    from hwgen.accelerator.sram import Sram

    return Sram(depth, bits)


def _sram_module(depth: int, bits: int) -> str:
    from hwgen.accelerator.sram import sram_name

    return sram_name(TOP, depth, bits)


def _with_boxes(modules: dict[str, str], top: str, boxes: set[str]) -> tuple[str, tuple[str, ...]]:
    """RTLIL of a module with what it instantiates, ``boxes`` as ports only, and which of these are in it."""
    shown = {name: box(name, text) if name in boxes else text for name, text in modules.items()}
    text = closure(shown, top)
    return text, tuple(name for name in modules if name in boxes and f"\nmodule \\{name}\n" in f"\n{text}")


def synthesise_accelerator(
    design: Design,
    library: Library | None = None,
    options: SynthOptions | None = None,
    *,
    progress: Progress = lambda done, of: None,
) -> AcceleratorResult:
    """Map an accelerator as `hwgen.synth.synthesise` maps a tile; ``kinds`` are those of `accelerator_parts`.

    Raises `HwgenError` as `hwgen.synth.synthesise`.
    """
    options = options or SynthOptions()
    _check(options)
    if options.flat and options.kinds:
        raise HwgenError(f"synth: flat must be of the whole accelerator, not of {', '.join(options.kinds)} only")
    wanted = accelerator_parts(design, flat=options.flat or options.only_flat)
    known = [part.kind for part in wanted if part.kind != FLAT]
    for kind in options.kinds:
        if kind not in known:
            raise HwgenError(
                f"accelerator: block must be one of {', '.join(known)}, not {kind!r}{suggest(kind, known)}"
            )
    if options.only_flat:
        wanted = [part for part in wanted if part.kind == FLAT]
    wanted = [part for part in wanted if not options.kinds or part.kind in options.kinds]
    memories = [(f"{one.name}_ring", one.depth, one.entry_bits) for one in design.ring_streams.values()]
    memories.append(("write_buffer", design.write_depth, design.bus_bits))
    if design.block_plan is not None:
        memories.append(("pre", design.block_plan.depth, design.bus_bits))
    return AcceleratorResult(
        design=design,
        memories=tuple(memories),
        **_mapped(wanted, library or generic_library(), options, progress),
    )
