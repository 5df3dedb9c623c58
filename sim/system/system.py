"""`System`: copies of an accelerator, the memory that they share, and what is assumed of the rest, each as a switch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hwgen.accelerator import Design
from hwgen.accelerator.use import Use
from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.frame.param import Param, Range, again, check, param, parameters, resolve
from hwgen.pe import TileSpec
from sim.memory import dram_types
from sim.system.array import Array
from sim.system.off_chip import OffChip
from sim.tech import DEFAULT, Tech

__all__ = ["SPLITS", "System", "takes_tables"]


def takes_tables(tile: TileSpec) -> bool:
    """Whether a tile takes tables of sums in place of activations."""
    return bool(tile.p.get("precompute") == "external")


SPLITS = ("outputs", "tokens", "copies")
"""How a product is shared by cores: its outputs, its tokens, or products of a layer that are alike (heads, experts,
groups of a convolution, sequences).
"""


@dataclass(frozen=True, kw_only=True)
class System:
    """A chip with memory. Raises `HwgenError` for illegal values.

    Parameters
    ----------
    core: an accelerator of the generator, whose cycles are the cycle model's, or an `Array`, whose computing and
        memory are taken to overlap perfectly. tech, clk_period_ns: technology of areas and energies, and clock; None
        is the shortest period of the design. off_chip: memory in place of ``dram`` and what belongs to it.
    metadata: scales and selectors of weights pass the memory; only an `Array` can be without.
    multicast: what several cores with an `Array` read alike (activations where they share outputs, weights where they
        share tokens) passes the memory once.
    kv_steps: an `Array` takes keys and values in as many cycles as their own bits ask for (``own``), or as if they were
        ``weights``.
    """

    core: Design | Array
    tech: Tech | str = DEFAULT
    clk_period_ns: float | None = None
    off_chip: OffChip | None = None
    metadata: bool = True
    multicast: bool = False
    kv_steps: str = "own"
    cores: int = param(
        1, "copies of the accelerator that share the memory", legal=Range(1, 4096), sweep=(1, 4, 16), unit="cores"
    )
    dram: str = param("lpddr4", "type of the memory outside the chip", legal=dram_types())
    dram_channels: int = param(1, "channels of that memory, each as wide as the type's", legal=Range(1, 1024))
    dram_gib: int = param(16, "room in that memory", legal=Range(1, 1 << 20), unit="GiB")
    memory_latency: int = again(Use, "memory_latency")
    order: str = again(Use, "order")
    split: str = param("best", "what of a product the cores share, or what is best for each", legal=("best", *SPLITS))
    kv: str = param("", "format of keys and values in memory (default: that of the tile's weights)")
    timing: str = param(
        "closed", "cycles by closed form, or walked by the exact cycle model (slower)", legal=("closed", "exact")
    )
    attention: str = param(
        "kv_heads",
        "products of attention: one for the heads that share keys, one for each head, or a single one for all (as "
        "BitMoD's simulator has it)",
        legal=("kv_heads", "heads", "single"),
    )
    logits: str = param("last", "tokens of a prompt that go through the output layer", legal=("last", "all"))
    vector_lanes: int = param(
        0,
        "operations that the vector unit of a core does in a cycle: softmax, norms, activation functions, residuals; "
        "0: they are not counted",
        legal=Range(0, 1 << 16),
        sweep=(0, 16, 64),
    )
    vector_overlap: bool = param(False, "the vector unit works while the tile does, as far as it is the faster one")
    tables: str = param(
        "tile",
        "sums that are looked up: made where the core has it, once for each product on the vector unit (fused with "
        "what is before), or there again for each block of outputs",
        legal=("tile", "fused", "naive"),
    )
    dequant: str = param(
        "tile",
        "scales: in the core, on the vector unit for each weight before the product or each group's sum after it, or "
        "as further products of the core (as MixPE's simulator has it)",
        legal=("tile", "vector_before", "vector_after", "core_before", "core_after"),
    )

    def __post_init__(self) -> None:
        for name, value in check("system", self.parameters(), self.p).items():
            object.__setattr__(self, name, value)
        if not isinstance(self.core, Design | Array):
            raise HwgenError(f"system: core must be a Design or an Array, not {self.core!r}")
        if self.kv_steps not in ("own", "weights"):
            raise HwgenError(f"system: kv_steps must be own or weights, not {self.kv_steps!r}")
        if self.kv:
            object.__setattr__(self, "kv", get(self.kv).name)
        if isinstance(self.core, Design):
            self._check_design()
        elif self.timing == "exact":
            raise HwgenError("system: timing must be closed for an array, which has no cycle model, not exact")
        elif self.kv:
            raise HwgenError(f"system: kv must be left out for an array, whose kv_bits say it, not {self.kv}")
        if not self.vector_lanes:
            for name in ("tables", "dequant"):
                if (given := getattr(self, name)) in ("fused", "naive", "vector_before", "vector_after"):
                    raise HwgenError(
                        f"system: {name} must be tile without a vector unit, not {given}; use --vector-lanes 64"
                    )

    def _check_design(self) -> None:
        assert isinstance(self.core, Design)
        if self.tables != "tile" and not takes_tables(self.core.tile):
            raise HwgenError(
                f"system: tables must be tile where the {self.core.tile.family} tile makes what it looks up, or looks "
                f"up nothing, not {self.tables}; use --pe lut --precompute external"
            )
        if self.core.pre != "none":
            raise HwgenError(
                f"system: pre must be none, not {self.core.pre}; what stands before the ring has no price yet"
            )
        if not self.metadata:
            raise HwgenError("system: metadata must be true for a design, whose streams bring scales")
        if self.multicast:
            raise HwgenError("system: multicast must be false for a design, which reads all that it takes")
        if self.kv_steps != "own":
            raise HwgenError("system: kv_steps must be own for a design, not weights")

    @classmethod
    def parameters(cls) -> Mapping[str, Param]:
        """Declared parameters by name, in declaration order."""
        return parameters(cls)

    @classmethod
    def from_values(cls, core: Design | Array, values: Mapping[str, Any], **rest: Any) -> Self:
        """Build from a mapping; raises `HwgenError` for an unknown name or an illegal value."""
        return cls(core=core, **resolve("system", cls.parameters(), values), **rest)

    @property
    def p(self) -> dict[str, Any]:
        """Declared parameters."""
        return {name: getattr(self, name) for name in self.parameters()}

    @property
    def memory(self) -> OffChip:
        """The memory outside the chip."""
        return self.off_chip or OffChip.of_type(self.dram, self.dram_channels, self.dram_gib)
