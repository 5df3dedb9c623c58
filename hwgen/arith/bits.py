"""Combinational building blocks on bit vectors: sums, negation, leading ones, shifts and rounding decisions.

Every function adds named statements to a module and returns a value. Operands are extended explicitly, so that the
emitted Verilog has no implicit extension.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hwgen.arith.carry import add_with_carry

__all__ = [
    "absolute",
    "adder_tree",
    "adder_tree_with_carries",
    "conditional_negate",
    "extend",
    "leading_one",
    "leading_zeros",
    "multiply",
    "named",
    "normalize_left",
    "round_nearest_even",
    "shift_left",
    "shift_left_into",
    "shift_right",
    "shift_right_sticky",
    "wire",
]


def wire(m: Module, value: Value, name: str) -> Signal:
    """``value`` as a named signal of the same shape: the name appears in the Verilog and the logic exists once."""
    signal = Signal(value.shape(), name=name)
    m.d.comb += signal.eq(value)
    return signal


def named(m: Module, value: Value, name: str) -> Value:
    """``value`` itself if it is a signal, else `wire`: a sliced or repeated expression would be emitted each time."""
    return value if isinstance(value, Signal) else wire(m, value, name)


def extend(value: Value, width: int) -> Value:
    """``value`` extended to ``width`` bits by its own sign (zero if unsigned), or cut to it; as an unsigned vector.

    Name an expression first (`named`): its sign is repeated.
    """
    bits = value.as_unsigned()
    missing = width - len(bits)
    if missing <= 0:
        return bits[:width]
    return Cat(bits, bits[-1].replicate(missing) if value.shape().signed else Const(0, missing))


def _signed_width(low: int, high: int) -> int:
    """Two's-complement bits that hold ``low`` … ``high``."""
    return 1 + max(max(high, 0).bit_length(), (-1 - min(low, -1)).bit_length())


def conditional_negate(m: Module, value: Value, negate: Value, name: str, width: int | None = None) -> Value:
    """``-value`` if ``negate`` else ``value``, signed.

    ``width`` defaults to one bit more than ``value``, which holds both for every value (the negative of the lowest
    two's-complement number included). With fewer bits the result is cut to its low ``width`` bits.
    """
    width = len(value) + 1 if width is None else width
    value, negate = named(m, value, f"{name}_of"), named(m, negate, f"{name}_if")
    flipped = extend(value, width) ^ negate.replicate(width)
    return wire(m, (flipped + extend(negate, width))[:width].as_signed(), name)


def absolute(m: Module, value: Value, name: str) -> tuple[Value, Value]:
    """(sign, magnitude) of a signed ``value``; the magnitude is unsigned and as wide as ``value`` (2**(w-1) fits)."""
    value = named(m, value, f"{name}_of")
    sign = wire(m, value[-1], f"{name}_sign")
    return sign, conditional_negate(m, value, sign, f"{name}_magnitude", len(value)).as_unsigned()


def adder_tree_with_carries(
    m: Module, values: Sequence[Value], carries: Sequence[Value], name: str
) -> tuple[Value, Value | None]:
    """Sum of ``values`` and of one-bit ``carries`` as a balanced tree of carry-in adders.

    Each of the n - 1 adders takes one carry, so that n values in one's complement bring their n corrections along
    without an adder of their own.

    Returns
    -------
    (sum, left over): signed sum in exactly the bits that its range needs, and the one carry that found no adder (None
    unless there are n carries), for the next addition.

    Raises
    ------
    ValueError: no values, or more carries than values.
    """
    if not values or len(carries) > len(values):
        raise ValueError(f"{name}: an adder tree takes at least one value and at most one carry a value")
    pending = list(carries)
    nodes: list[tuple[Value, int, int]] = []
    for index, value in enumerate(values):
        shape = value.shape()
        span = range(-(1 << (shape.width - 1)), 1 << (shape.width - 1)) if shape.signed else range(1 << shape.width)
        nodes.append((named(m, value, f"{name}_term{index}"), span.start, span.stop - 1))
    level = 0
    while len(nodes) > 1:
        merged = []
        for index in range(0, len(nodes) - 1, 2):
            (a, a_low, a_high), (b, b_low, b_high) = nodes[index : index + 2]
            carry = pending.pop(0) if pending else None
            low, high = a_low + b_low, a_high + b_high + (carry is not None)
            width = _signed_width(low, high)
            total = add_with_carry(extend(a, width), extend(b, width), carry, width)
            merged.append((wire(m, total, f"{name}_level{level}_{index // 2}"), low, high))
        # An odd value waits for the next level.
        nodes = merged + nodes[len(merged) * 2 :]
        level += 1
    root, low, high = nodes[0]
    total = wire(m, extend(root, _signed_width(low, high)).as_signed(), name)
    return total, pending[0] if pending else None


def adder_tree(m: Module, values: Sequence[Value], name: str) -> Value:
    """Signed sum of ``values`` (signed or unsigned) by a balanced tree, in exactly the bits that its range needs.

    n values of b bits signed give b + ceil(log2 n) bits. Raises ValueError without values.
    """
    return adder_tree_with_carries(m, values, (), name)[0]


def leading_zeros(m: Module, value: Value, name: str) -> Value:
    """Number of zeros above the most significant one; the width of ``value`` if there is none. Depth is logarithmic."""
    # A one below the value ends the count there, so that no adder or multiplexer is needed for zero.
    bits = Cat(Const(1, 1), named(m, value, f"{name}_of").as_unsigned())

    def count(low: int, size: int) -> tuple[Value, Value]:
        if size == 1:
            return ~bits[low], Const(0, 0)
        # The upper part is the largest power of two below size: its count needs no addition.
        upper_size = 1 << ((size - 1).bit_length() - 1)
        width = upper_size.bit_length()
        upper_empty, upper = count(low + size - upper_size, upper_size)
        lower_empty, lower = count(low, size - upper_size)
        tag = f"{name}_{low + size - 1}_{low}"
        empty = wire(m, upper_empty & lower_empty, f"{tag}_empty")
        found = Cat(Mux(upper_empty, extend(lower, width - 1), extend(upper, width - 1)), upper_empty)
        return empty, wire(m, found, f"{tag}_zeros") if width > 1 else upper_empty

    return wire(m, count(0, len(bits))[1], name)


def leading_one(m: Module, value: Value, name: str) -> Value:
    """One-hot vector of the most significant one of ``value``; 0 if there is none. Depth is logarithmic."""
    width = len(value)
    # Parallel prefix: bit i of `above` becomes the OR of the bits from i upwards.
    above: Value = named(m, value, f"{name}_of").as_unsigned()
    distance = 1
    while distance < width:
        above = wire(m, above | Cat(above[distance:], Const(0, distance)), f"{name}_or{2 * distance}")
        distance *= 2
    return wire(m, above & ~Cat(above[1:], Const(0, 1)), name)


def shift_left(m: Module, value: Value, amount: Value, name: str) -> Value:
    """Low bits of ``value << amount``, as wide as ``value``; a logarithmic shifter."""
    width = len(value)
    amount = named(m, amount, f"{name}_amount")
    bits: Value = named(m, value, f"{name}_of").as_unsigned()
    for stage in range(len(amount)):
        distance = min(1 << stage, width)
        shifted = Cat(Const(0, distance), bits[: width - distance])
        bits = wire(m, Mux(amount[stage], shifted, bits), f"{name}_by{1 << stage}")
    return bits


def shift_left_into(m: Module, value: Value, amount: Value, width: int, name: str) -> Value:
    """Low ``width`` bits of ``value << amount``, signed as ``value`` is, for a ``width`` of at least ``len(value)``.

    A logarithmic shifter whose stages are no wider than what can have reached them.
    """

    def as_is(bits: Value) -> Value:
        return bits.as_signed() if value.shape().signed else bits

    amount = named(m, amount, f"{name}_amount")
    bits: Value = named(m, value, f"{name}_of")
    for stage in range(len(amount)):
        distance = min(1 << stage, width)
        reached = min(len(bits) + distance, width)
        shifted = Cat(Const(0, distance), bits)[:reached]
        bits = wire(m, as_is(Mux(amount[stage], shifted, extend(bits, reached))), f"{name}_by{1 << stage}")
    return wire(m, as_is(extend(bits, width)), name)


def normalize_left(m: Module, value: Value, name: str) -> tuple[Value, Value]:
    """(shifted, distance): ``value`` with its leading one brought to the top.

    Counts and shifts at once, from the largest distance down, which is smaller than a count followed by a shifter. Zero
    gives zero and the largest distance, 2**b - 1 where b is the bit length of ``len(value) - 1``.
    """
    width = len(value)
    bits: Value = named(m, value, f"{name}_of").as_unsigned()
    distances: list[Value] = []
    for stage in reversed(range((width - 1).bit_length())):
        distance = 1 << stage
        empty = wire(m, ~bits[width - distance :].any(), f"{name}_top{distance}_empty")
        bits = wire(m, Mux(empty, Cat(Const(0, distance), bits[: width - distance]), bits), f"{name}_by{distance}")
        distances.insert(0, empty)
    return bits, Cat(*distances)


def shift_right_sticky(
    m: Module, value: Value, amount: Value, name: str, sticky: Value | None = None
) -> tuple[Value, Value]:
    """(``value >> amount``, whether a one was shifted out) for unsigned ``value`` and ``amount`` of any width.

    ``sticky`` (one bit) tells of ones below ``value`` already. A logarithmic shifter; amounts beyond the width flush.
    """
    width = len(value)
    stages = min(len(amount), (width - 1).bit_length())
    amount = named(m, amount, f"{name}_amount")
    bits: Value = named(m, value, f"{name}_of").as_unsigned()
    lost: Value = Const(0, 1) if sticky is None else sticky
    for stage in range(stages):
        distance = 1 << stage
        shifted = Cat(bits[distance:], Const(0, distance))
        lost = wire(m, lost | (amount[stage] & bits[:distance].any()), f"{name}_lost{distance}")
        bits = wire(m, Mux(amount[stage], shifted, bits), f"{name}_by{distance}")
    if len(amount) > stages:
        kept = wire(m, ~amount[stages:].any(), f"{name}_kept")
        # What is left in the shifter and what it lost are together all ones of the value.
        lost = wire(m, lost | (~kept & bits.any()), f"{name}_lost")
        bits = wire(m, bits & kept.replicate(width), name)
    return bits, lost


def shift_right(m: Module, value: Value, amount: Value, name: str) -> Value:
    """``value >> amount``, both unsigned, ``amount`` of any width: `shift_right_sticky` without the sticky bit."""
    width = len(value)
    stages = min(len(amount), (width - 1).bit_length())
    amount = named(m, amount, f"{name}_amount")
    bits: Value = named(m, value, f"{name}_of").as_unsigned()
    for stage in range(stages):
        distance = 1 << stage
        bits = wire(m, Mux(amount[stage], Cat(bits[distance:], Const(0, distance)), bits), f"{name}_by{distance}")
    if len(amount) > stages:
        kept = wire(m, ~amount[stages:].any(), f"{name}_kept")
        bits = wire(m, bits & kept.replicate(width), name)
    return bits


def multiply(m: Module, a: Value, b: Value, name: str) -> Value:
    """Product of two unsigned factors; a one-bit factor is a mask."""
    if len(a) == 1:
        return b & named(m, a, f"{name}_mask").replicate(len(b))
    if len(b) == 1:
        return a & named(m, b, f"{name}_mask").replicate(len(a))
    return wire(m, a * b, name)


def round_nearest_even(lsb: Value, half: Value, rest: Value) -> Value:
    """One-bit increment that rounds a magnitude to nearest, ties to even.

    ``lsb`` is the lowest kept bit, ``half`` the highest dropped one and ``rest`` tells whether a lower one is set. It
    goes into the carry of an addition that is there anyway.
    """
    return half & (rest | lsb)
