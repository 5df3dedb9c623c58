"""Where the codes and the scale of a token go: the layout of an image, as two counters and two addresses.

Counters run along K and along columns; one of them is the token's, the other its elements'. Their steps differ where a
word or a block ends, and are the same for a key and a value, which have them the other way round.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.design import Design
from hwgen.accelerator.quantiser.geometry import Geometry

__all__ = ["Places"]


class Places(wiring.Component):
    """Addresses of the scale and of the next code of a token.

    Members
    -------
    kind, codes, scales, codes_stride, first_token: of the job, stable from ``begin`` on.
    begin: a job begins. step, digit: the bits of first_token / N (a key) or / K (a value), the highest first, as many
        as counts have; settle, remainder: they all came, this remains.
    row: a row begins with the first code of its token. next_code, next_row: the code or token after this one.
    code_at, scale_at: the addresses, stable between these. odd: the next code is an odd one along K.
    """

    def __init__(self, design: Design, form: Geometry) -> None:
        self._form = form
        address, count = design.address_bits, design.count_bits
        super().__init__(
            {
                "kind": In(1),
                "codes": In(address),
                "scales": In(address),
                "codes_stride": In(32),
                "first_token": In(count),
                "begin": In(1),
                "step": In(1),
                "digit": In(1),
                "settle": In(1),
                "remainder": In(range(max(form.n, form.k, form.top))),
                "row": In(1),
                "next_code": In(1),
                "next_row": In(1),
                "code_at": Out(address),
                "scale_at": Out(address),
                "odd": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        form, of_values, rest = self._form, self.kind, self.remainder
        bits = len(self.code_at)
        quotient = Signal.like(self.first_token, name="quotient", reset_less=True)
        token_at = Signal(bits, name="token_at", reset_less=True)
        along_k, along_n = Signal(range(max(form.k, 2)), name="along_k"), Signal(range(max(form.n, 2)), name="along_n")
        # One step along K: the next code, then the next word. Along columns: the next one, then the next block.
        code_bytes = form.column_bytes
        last_k, last_n = along_k == form.k - 1, along_n == form.n - 1
        one = Const(1) if form.bits == 8 else along_k[0]
        by_k, by_n = Signal(bits, name="by_k"), Signal(bits, name="by_n")
        m.d.comb += [
            self.odd.eq(along_k[0]),
            by_k.eq(Mux(last_k, form.word_bytes - code_bytes + 1, one)),
            by_n.eq(Mux(last_n, self.codes_stride - (form.n - 1) * code_bytes, code_bytes)),
        ]
        with m.If(self.begin):
            m.d.sync += [quotient.eq(0), token_at.eq(0)]
        with m.Elif(self.step):
            # The quotient times what lies between two blocks or words, in the same steps.
            unit = Mux(of_values, form.word_bytes, self.codes_stride)
            m.d.sync += [
                quotient.eq(Cat(self.digit, quotient[:-1])),
                token_at.eq((Cat(Const(0, 1), token_at[:-1]) + Mux(self.digit, unit, 0))[:bits]),
            ]
        with m.Elif(self.settle):
            inside = Mux(of_values, rest * form.bits >> 3, rest * code_bytes)
            m.d.sync += [
                token_at.eq((token_at + self.codes + inside)[:bits]),
                self.scale_at.eq((self.scales + self._scale_offset(quotient))[:bits]),
                along_k.eq(Mux(of_values, rest, 0)[: len(along_k)]),
                along_n.eq(Mux(of_values, 0, rest)[: len(along_n)]),
            ]
        with m.Elif(self.row):
            # A row may have ended before a whole word.
            m.d.sync += [
                self.code_at.eq(token_at),
                along_k.eq(Mux(of_values, along_k, 0)),
                along_n.eq(Mux(of_values, 0, along_n)),
            ]
        with m.If(Mux(of_values, self.next_row, self.next_code)):
            m.d.sync += along_k.eq(Mux(last_k, 0, (along_k + 1)[: len(along_k)]))
        with m.If(Mux(of_values, self.next_code, self.next_row)):
            m.d.sync += along_n.eq(Mux(last_n, 0, (along_n + 1)[: len(along_n)]))
        with m.If(self.next_code):
            m.d.sync += self.code_at.eq((self.code_at + Mux(of_values, by_n, by_k))[:bits])
        with m.If(self.next_row):
            in_block: Value = Const(form.scale_bytes)
            if form.sides:
                over = form.side_bytes - (form.n - 1) * form.scale_bytes
                in_block = Mux(last_n & ~of_values, over, form.scale_bytes)
            m.d.sync += [
                token_at.eq((token_at + Mux(of_values, by_k, by_n))[:bits]),
                self.scale_at.eq((self.scale_at + in_block)[:bits]),
            ]
        return m

    def _scale_offset(self, quotient: Value) -> Value:
        form = self._form
        array = self.first_token * form.scale_bytes
        if not form.sides:
            return array
        return Mux(self.kind, array, quotient * form.side_bytes + self.remainder * form.scale_bytes)
