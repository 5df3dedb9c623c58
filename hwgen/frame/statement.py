"""What the manifest says of the arithmetic, for programs that drive a tile (docs/manifest.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwgen.formats import Format
from hwgen.frame.arithmetic import TileArithmetic
from hwgen.frame.parameters import family_doc

__all__ = ["TileStatement"]


@dataclass(frozen=True, kw_only=True)
class TileStatement(TileArithmetic):
    """What the manifest says of the arithmetic, for programs that drive a tile (docs/manifest.md)."""

    def act_packing(self, mode: int) -> dict[str, Any]:
        """How `pack_acts` puts a row's codes into its port elements."""
        return self.plain_packing(self.mode_formats(mode)[0])

    def weight_packing(self, mode: int) -> dict[str, Any]:
        """How `pack_weights` puts a column's codes into its port elements."""
        return self.plain_packing(self.mode_formats(mode)[1])

    @staticmethod
    def plain_packing(form: Format, per_element: int = 1, lsb: int = 0, **more: Any) -> dict[str, Any]:
        """Codes side by side, ``per_element`` an element from bit ``lsb`` up."""
        signed = form.describe().get("signed", False)
        packing = {"kind": "codes", "code_bits": form.code_bits, "per_element": per_element, "lsb": lsb}
        return {**packing, "signed": bool(signed), **more}

    def arithmetic(self, mode: int) -> dict[str, Any]:
        """What a group's raw sums are: ``kind``, its parameters, and the definition in words.

        A family that says no more than its docstring is of no kind that a machine could follow.
        """
        return {"kind": "family", "definition": family_doc(type(self))}

    def dot_arithmetic(self, mode: int) -> dict[str, Any]:
        """`arithmetic` of a family whose sums are exact sums of products of integers."""
        return {
            "kind": "dot",
            "definition": "sum over the group's steps and k of activation times weight, exact",
            "acts": self.integers_of(self.mode_formats(mode)[0]),
            "weights": self.integers_of(self.mode_formats(mode)[1]),
            "accumulator": self.accumulator_rule(),
        }

    @staticmethod
    def integers_of(form: Format) -> dict[str, Any]:
        """Operands as integers: values in units of the format's last place."""
        return {"rule": "encoding", "encoding": form.name, "unit_exp": form.lsb_exp, "specials": "largest finite value"}

    def accumulator_rule(self) -> dict[str, Any]:
        """Width of a sum, and what happens at its ends, after every update."""
        return {"bits": int(self.acc_bits(self.p)), "overflow": self.overflow, "depth": int(self.sum_depth(self.p))}

    def correction(self) -> dict[str, Any] | None:
        """How a layer's sum comes from raw sums and row sums; None where the raw sums are it."""
        if not self.has_row_sums:
            return None
        return {
            "wanted": "sums[m][n] - zero[n] * row_sums[m], in units of 2**formats.sum_lsb_exp",
            "zero": "zero point of the weights' group (with scheme minimum 0)",
            "zero_point": {"times": 1, "plus": 0, "values": list(self._zero_range())},
            "row_sum_unit_exp": self.row_lsb_exp,
        }

    def _zero_range(self) -> tuple[int, int, int]:
        values: range = getattr(self, "zero_values", range(1))
        return values.start, values.stop, values.step

    def post_arithmetic(self) -> dict[str, Any]:
        """What the post lanes make of group sums."""
        formats = self.quantization()
        return {
            "definition": "the exact product of corrected sum, both scales and 2**unit_exp, rounded once into FP32; "
            "products of an output's groups are added in FP32, in order, from +0",
            "kind": "scales",
            "row_scale": {"port": "i_row_scale", "encoding": formats.act_scale},
            "col_scale": {"port": "i_col_scale", "encoding": formats.weight_scale},
            "zero": "i_col_zero" if "zero" in self.col_side() else None,
            "unit_exp": self.lsb_exp,
            "rounding": "nearest even",
            "specials": "a NaN scale, or an infinite one times 0, gives NaN (7fc00000); exact zero gives +0",
            "add": "IEEE 754, nearest even",
        }

    def own_encodings(self) -> dict[str, dict[str, Any]]:
        """Encodings of side information that are no formats, by the name that `Side` gives them."""
        return {}

    @property
    def result_format(self) -> str:
        """Name of the format of what leaves the post lanes, in the lowest bits of 32."""
        return "fp32"

    def sum_encoding(self) -> dict[str, Any]:
        """What the bits of a raw sum are."""
        return {"kind": "integer", "signed": self.sum_signed, "unit_exp": self.lsb_exp}
