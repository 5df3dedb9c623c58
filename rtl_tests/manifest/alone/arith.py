"""What a manifest's ``arithmetic`` and ``post`` say that a tile computes, in exact fractions and whole numbers."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

from codes import (
    FP32,
    INFINITY,
    NAN,
    Value,
    decode,
    elements,
    fields,
    finite,
    fp32,
    fp32_add,
    fp32_multiply,
    fp32_tree,
    result_code,
    rounded,
    signed,
)

Manifest = dict[str, Any]
Step = dict[str, Any]
"""``acts`` [M][codes], ``weights`` [N][codes], and a list of codes for each side port, of one step."""


# ---------------------------------------------------------------------- operands as integers


def byte_scale(rule: str, ints: list[int]) -> int:
    """Scale of a table's entries."""
    peak = sum(abs(a) for a in ints)
    if rule == "exact":
        return 1
    if rule == "max127":
        return max(1, -(-peak // 127))
    shift = 0
    while rounded(Fraction(peak, 1 << shift)) > 127:
        shift += 1
    return 1 << shift


def rounded_entry(entry: int, scale: int) -> int:
    """An entry over its table's scale."""
    return rounded(Fraction(entry, scale))


def fp32_entry(enc: Manifest, codes: list[int], digits: list[int]) -> int:
    """FP32 code of a table's entry."""
    if len(codes) == 1:
        value = decode(enc, codes[0])
        if digits[0] == 0:
            return 0
        number = value._replace(number=-value.number, negative=not value.negative) if digits[0] < 0 else value
        if number.special:
            return NAN if number.special == "nan" else INFINITY | number.negative << 31
        return fp32(number.number, negative_zero=number.negative)
    cut = len(codes) // 2
    lower, upper = digits[:cut], digits[cut:]
    # Nothing is added where no digit of a half is other than 0.
    if not any(upper):
        return fp32_entry(enc, codes[:cut], lower)
    if not any(lower):
        return fp32_entry(enc, codes[cut:], upper)
    return fp32_add(fp32_entry(enc, codes[cut:], upper), fp32_entry(enc, codes[:cut], lower))


def _integers(manifest: Manifest, rule: Manifest, codes: list[int], step: Step, index: int) -> tuple[list[int], int]:
    """Operands of a row or column as integers, and the shift of what a step adds."""
    enc = manifest["encodings"][rule["encoding"]]
    if rule["rule"] == "encoding":
        unit = Fraction(2) ** rule["unit_exp"]
        side = step[rule["selector"]][index] if "selector" in rule else 0
        values = [value / unit for code in codes for value in elements(enc, code, side)]
        assert all(value.denominator == 1 for value in values)
        return [int(value) for value in values], 0
    if rule["rule"] == "looked up":
        bits = next(port for port in manifest["ports"] if port["name"] == rule["values"][0])["packing"]["element_bits"]
        return [signed(step[rule["values"][code]][index] & ((1 << bits) - 1), bits) for code in codes], 0
    if rule["rule"] == "aligned over a step":
        return aligned(enc, codes, rule)
    if rule["rule"] == "dequantised":
        zero = step[rule["zero"]][index] if rule["zero"] else 0
        bits = rule["bits"]
        scale = step[rule["scale"]][index]
        mask = (1 << bits) - 1
        return [signed((int(finite(enc, code)) - zero) * scale & mask, bits) for code in codes], 0
    raise ValueError(f"rule {rule['rule']!r} is not known")


def aligned(enc: Manifest, codes: list[int], rule: Manifest) -> tuple[list[int], int]:
    """Integers of codes over their largest exponent E, and E - 1."""
    top = max(fields(enc, code).exponent for code in codes)
    unit = Fraction(2) ** (top - enc["bias"] - enc["mantissa_bits"] - rule["guard_bits"])
    ints = []
    for code in codes:
        value = finite(enc, code)
        magnitude = rounded(abs(value) / unit, rule["rounding"])
        ints.append(-magnitude if value < 0 else magnitude)
    return ints, top - 1


def _bounded(total: int, rule: Manifest) -> int:
    low, high = -(1 << (rule["bits"] - 1)), (1 << (rule["bits"] - 1)) - 1
    if rule["overflow"] == "saturate":
        return min(max(total, low), high)
    if rule["overflow"] == "wrap":
        return signed(total & ((1 << rule["bits"]) - 1), rule["bits"])
    assert low <= total <= high, "a sum does not fit, although overflow is refused"
    return total


# ---------------------------------------------------------------------- groups


class Sums:
    """Sums of a group: ``words`` [M][N][P] as the output port has them, ``values`` [M][N], ``rows`` [M].

    A value is a fraction in units of 2**0, None for NaR.
    """

    def __init__(self) -> None:
        self.words: list[list[list[int]]] = []
        self.values: list[list[Fraction | None]] = []
        self.rows: list[int] = []


def group_sums(manifest: Manifest, mode: int, steps: list[Step]) -> Sums:
    """Raw sums of one group of steps."""
    rule = manifest["arithmetic"][mode]
    compute = {
        "dot": _dot,
        "planes": _dot,
        "plane_pairs": _dot,
        "fp32_dot": _fp32,
        "fp32_planes": _fp32,
        "lmul": _lmul,
        "fp32_lmul": _fp32,
        "quire": _quire,
        "roots": _roots,
        "terms": _terms,
    }[rule["kind"]]
    found = Sums()
    rows, columns = len(steps[0]["acts"]), len(steps[0]["weights"])
    for m in range(rows):
        pairs = [compute(manifest, rule, steps, m, n) for n in range(columns)]
        found.words.append([words for words, _ in pairs])
        found.values.append([value for _, value in pairs])
        found.rows.append(_row_sum(manifest, rule, steps, m) if manifest["correction"] else 0)
    return found


def _row_sum(manifest: Manifest, rule: Manifest, steps: list[Step], m: int) -> int:
    port = next((port for port in manifest["ports"] if port["name"] == "o_row_sums"), None)
    total = 0
    for step in steps:
        ints, shift = _integers(manifest, rule["acts"], step["acts"][m], step, m)
        total += sum(ints) << shift
        if port is not None:
            overflow = rule["accumulator"]["overflow"]
            total = _bounded(total, {"bits": port["packing"]["element_bits"], "overflow": overflow})
    return total


def _updates(manifest: Manifest, rule: Manifest, step: Step, m: int, n: int) -> list[int]:
    """What a step adds to the sum of a cell, update by update."""
    acts, shift = _integers(manifest, rule["acts"], step["acts"][m], step, m)
    codes = step["weights"][n]
    if rule["kind"] == "dot":
        weights, _ = _integers(manifest, rule["weights"], codes, step, n)
        return [sum(a * w for a, w in zip(acts, weights, strict=True)) << shift]
    if rule["kind"] == "plane_pairs":
        return [_pairs(rule, codes, step["acts"][m], *update) for update in rule["updates"]]
    weights = rule["weights"]
    each = len(acts) // rule["tables"]
    tables = [slice(start, start + each) for start in range(0, len(acts), each)]
    found = []
    for planes in rule["updates"]:
        total = 0
        for plane, table in itertools.product(planes, tables):
            digits = [weights["digits"][(code ^ weights["xor"]) >> plane & 1] for code in codes[table]]
            scale = byte_scale(rule["entries"]["rule"], acts[table])
            entry = sum(a * d for a, d in zip(acts[table], digits, strict=True))
            total += weights["plane_weights"][plane] * rounded_entry(entry, scale) * scale
        found.append(total << shift)
    return found


def _pairs(rule: Manifest, weights: list[int], acts: list[int], weight_planes: list[int], act_planes: list[int]) -> int:
    """Sum of all pairs of some planes of weight and activation codes."""
    total = 0
    for w, a in itertools.product(weight_planes, act_planes):
        digits = [rule["digits"][x >> w & 1] * rule["digits"][y >> a & 1] for x, y in zip(weights, acts, strict=True)]
        total += rule["weight_places"][w] * rule["act_places"][a] * sum(digits)
    return total


def _dot(manifest: Manifest, rule: Manifest, steps: list[Step], m: int, n: int) -> tuple[list[int], Fraction]:
    total = 0
    for step in steps:
        for update in _updates(manifest, rule, step, m, n):
            total = _bounded(total + update, rule["accumulator"])
    return [total], Fraction(total)


def _roots(manifest: Manifest, rule: Manifest, steps: list[Step], m: int, n: int) -> tuple[list[int], None]:
    powers = [(1, 0), (0, 1), (-1, 0), (0, -1)]
    totals = [0, 0]
    for step in steps:
        acts, _ = _integers(manifest, rule["acts"], step["acts"][m], step, m)
        real = imaginary = 0
        for code, a, b in zip(step["weights"][n], acts[::2], acts[1::2], strict=True):
            for root in rule["weights"]["roots"]:
                r, s = powers[code >> root["lsb"] & 3]
                signed_b = -b if root["conjugate"] else b
                real += r * a - s * signed_b
                imaginary += r * signed_b + s * a
        totals = [_bounded(totals[0] + real, rule["accumulator"]), _bounded(totals[1] + imaginary, rule["accumulator"])]
    return totals, None


def _fp32(manifest: Manifest, rule: Manifest, steps: list[Step], m: int, n: int) -> tuple[list[int], None]:
    encodings = manifest["encodings"]
    enc = encodings[rule["acts"]["encoding"]]
    partials = [0] * rule["accumulate"]["partials"]
    count = 0
    for step in steps:
        acts, codes = step["acts"][m], step["weights"][n]
        terms = []
        if rule["kind"] == "fp32_lmul":
            terms = [fp32_tree([_lmul_code(encodings, rule, a, w) for a, w in zip(acts, codes, strict=True)])]
        elif rule["kind"] == "fp32_dot":
            other = encodings[rule["weights"]["encoding"]]
            pairs = zip(acts, codes, strict=True)
            terms = [fp32_tree([fp32_multiply(decode(enc, a), decode(other, w)) for a, w in pairs])]
        else:
            terms = [fp32_tree([_plane_term(enc, rule, acts, codes, p) for p in planes]) for planes in rule["updates"]]
        for term in terms:
            partials[count % len(partials)] = fp32_add(partials[count % len(partials)], term)
            count += 1
    first = count % len(partials)
    return [fp32_tree(partials[first:] + partials[:first])], None


def _lmul_operand(enc: Manifest, rule: Manifest, code: int) -> Fraction | None:
    """Exponent and mantissa of an operand as one number, e + f of (1 + f) * 2**e; None for zero."""
    part = fields(enc, code)
    significand = Fraction(part.significand, 1 << enc["mantissa_bits"])
    if significand == 0 or (significand < 1 and rule["subnormals"] == "flush"):
        return None
    exponent = part.exponent - enc["bias"]
    while significand < 1:
        significand, exponent = significand * 2, exponent - 1
    return exponent + significand - 1


def _lmul_product(encodings: Manifest, rule: Manifest, act: int, weight: int) -> Fraction:
    """Value of a product of finite operands."""
    sides = [(encodings[rule[name]["encoding"]], code) for name, code in (("acts", act), ("weights", weight))]
    found = [_lmul_operand(enc, rule, code) for enc, code in sides]
    if found[0] is None or found[1] is None:
        return Fraction(0)
    total = found[0] + found[1] + Fraction(rule["offset"], 1 << rule["mantissa_bits"])
    whole = total.numerator // total.denominator
    negative = fields(*sides[0]).sign != fields(*sides[1]).sign
    return (1 + total - whole) * Fraction(2) ** whole * (-1 if negative else 1)


def _lmul_code(encodings: Manifest, rule: Manifest, act: int, weight: int) -> int:
    """FP32 code of a product."""
    a, w = (decode(encodings[rule[name]["encoding"]], code) for name, code in (("acts", act), ("weights", weight)))
    operands = [(a, rule["acts"], act), (w, rule["weights"], weight)]
    zero = any(
        not v.special and _lmul_operand(encodings[name["encoding"]], rule, code) is None for v, name, code in operands
    )
    if a.special or w.special:
        return fp32_multiply(*(v if v.special else Value(Fraction(not zero), "", v.negative) for v, _, _ in operands))
    number = _lmul_product(encodings, rule, act, weight)
    small = abs(number) < Fraction(1, 1 << 126)
    return fp32(Fraction(0) if small else number, negative_zero=a.negative != w.negative)


def _lmul(manifest: Manifest, rule: Manifest, steps: list[Step], m: int, n: int) -> tuple[list[int], Fraction]:
    total = 0
    for step in steps:
        pairs = zip(step["acts"][m], step["weights"][n], strict=True)
        update = (
            sum(_lmul_product(manifest["encodings"], rule, a, w) for a, w in pairs) / Fraction(2) ** rule["unit_exp"]
        )
        assert update.denominator == 1
        total = _bounded(total + int(update), rule["accumulator"])
    return [total], Fraction(total)


def _plane_term(enc: Manifest, rule: Manifest, acts: list[int], codes: list[int], plane: int) -> int:
    weights = rule["weights"]
    digits = [weights["digits"][(code ^ weights["xor"]) >> plane & 1] for code in codes]
    each = len(acts) // rule["tables"]
    tables = [slice(start, start + each) for start in range(0, len(acts), each)]
    entry = decode(FP32, fp32_tree([fp32_entry(enc, acts[table], digits[table]) for table in tables]))
    weight = weights["plane_weights"][plane]
    negative = entry.negative != (weight < 0)
    if entry.special:
        return NAN if entry.special == "nan" else INFINITY | negative << 31
    small = abs(entry.number) < Fraction(1, 1 << 126)
    return fp32(Fraction(0) if small else entry.number * weight, negative_zero=negative)


def _quire(manifest: Manifest, rule: Manifest, steps: list[Step], m: int, n: int) -> tuple[list[int], Fraction | None]:
    encodings = manifest["encodings"]
    a_enc, w_enc = encodings[rule["acts"]["encoding"]], encodings[rule["weights"]["encoding"]]
    outputs, words = rule["outputs"], rule["words"]
    totals: list[Fraction | None] = [Fraction(0)] * outputs
    for step in steps:
        acts = [decode(a_enc, code) for code in step["acts"][m]]
        weights = [decode(w_enc, code) for code in step["weights"][n]]
        for output in range(outputs):
            own = weights[output::outputs]
            total = totals[output]
            if total is None or any(value.special for value in [*acts, *own]):
                totals[output] = None
            else:
                totals[output] = total + sum((a.number * w.number for a, w in zip(acts, own, strict=True)), Fraction(0))
    count, bits = words["count"], words["bits"]
    unit = Fraction(2) ** rule["unit_exp"]
    whole = count * bits if words.get("whole") or count == 1 else bits
    numbers = []
    for total in totals:
        if total is None:
            assert rule["nar"] == "100..0"
            numbers.append(1 << (whole - 1))
            continue
        units = total / unit
        assert units.denominator == 1
        assert abs(units) < 1 << (whole - 1)
        numbers.append(int(units) & ((1 << whole) - 1))
    if words.get("whole"):
        return [numbers[0] >> bits * place & ((1 << bits) - 1) for place in range(count)], totals[0]
    found = [0] * count
    for output, number in enumerate(numbers):
        found[output * words["every"]] = number
    return found, totals[0] if totals[0] is None else totals[0] / unit


# ---------------------------------------------------------------------- power-of-two terms


def _weight_terms(manifest: Manifest, rule: Manifest, code: int, special: int) -> list[tuple[int, int, int]]:
    """(sign and magnitude of the term's factor: -1, 0, 1; exp; bsig) of each phase."""
    weights = rule["weights"]
    enc = manifest["encodings"][weights["encoding"]]
    if weights["terms"] == "booth":
        number = signed(code, enc["bits"])
        found = []
        for phase in range(weights["phases"]):
            low, middle, high = ((number << 1) >> 2 * phase + place & 1 for place in range(3))
            digit = low + middle - 2 * high
            found.append(((digit > 0) - (digit < 0), int(abs(digit) == 2), 2 * phase + 1))
        return found
    value = decode(enc, code, special).number
    # The special value's own sign counts for zero, too, which has no terms.
    sign = -1 if value < 0 else 1
    magnitude = int(abs(value) * 2)
    first = (magnitude >> 1).bit_length() - 1
    terms = [(sign, first, 1) if first >= 0 else (0, 0, 1)]
    rest = magnitude - ((1 << first + 1) if first >= 0 else 0)
    second = rest.bit_length() - 1
    return [*terms, (sign, second, 0) if second >= 0 else (0, 0, 0)]


def _terms(manifest: Manifest, rule: Manifest, steps: list[Step], m: int, n: int) -> tuple[list[int], Any]:
    enc = manifest["encodings"][rule["acts"]["encoding"]]
    accumulator = rule["accumulator"]
    total, count = 0, 0
    partials = [(0, 0)] * accumulator.get("partials", 1)
    for step in steps:
        port = rule["weights"]["special"]
        special = step[port][n] if port else 0
        weights = [_weight_terms(manifest, rule, code, special) for code in step["weights"][n]]
        for phase in range(rule["weights"]["phases"]):
            terms = [term[phase] for term in weights]
            bsig = terms[0][2]
            if enc["kind"] == "integer":
                numbers = [signed(code, enc["bits"]) for code in step["acts"][m]]
                update = sum(a * factor << exp for a, (factor, exp, _) in zip(numbers, terms, strict=True)) << bsig
                total = _bounded(total + update, accumulator)
                continue
            parts = [fields(enc, code) for code in step["acts"][m]]
            raised = [part.exponent + exp if factor else 0 for part, (factor, exp, _) in zip(parts, terms, strict=True)]
            top = max(raised)
            dot = 0
            for part, (factor, _, _), own in zip(parts, terms, raised, strict=True):
                magnitude = (part.significand << rule["step"]["guard_bits"]) >> (top - own) if factor else 0
                dot += -magnitude if part.sign != (factor < 0) else magnitude
            if rule["sum"] == "exact":
                total = _bounded(total + (dot << top + bsig), accumulator)
                continue
            level = top + bsig + rule["step"]["dot_bits"] - 1
            turn, count = count % len(partials), count + 1
            placed = dot << accumulator["frame_bits"] - rule["step"]["dot_bits"]
            partials[turn] = _normalised(rule, *partials[turn], placed, level)
    if rule["sum"] == "exact":
        return [total], total
    width = accumulator["mantissa_bits"]
    partials = partials[count % len(partials) :] + partials[: count % len(partials)]
    while len(partials) > 1:
        pairs = list(zip(partials[::2], partials[1::2], strict=False))
        odd = partials[2 * len(pairs) :]
        partials = [_normalised(rule, *y, x[0] << accumulator["frame_bits"] - width, x[1]) for x, y in pairs] + odd
    mantissa, exponent = partials[0]
    return [exponent << width | mantissa & ((1 << width) - 1)], mantissa * Fraction(2) ** exponent


def _normalised(rule: Manifest, mantissa: int, exponent: int, update: int, level: int) -> tuple[int, int]:
    """A sum in truncated floating point after one update, in a frame whose top place has the exponent ``level``."""
    if not update:
        return mantissa, exponent
    width, frame = rule["accumulator"]["mantissa_bits"], rule["accumulator"]["frame_bits"]
    highest = max(level, exponent)
    held = mantissa << (frame - width) >> min(highest - exponent, 4 * frame)
    new = update >> min(highest - level, 4 * frame)
    added = held + new
    if added == 0:
        return 0, 0
    spare = 0
    while -(1 << (frame - 1 - spare)) <= added < 1 << (frame - 1 - spare):
        spare += 1
    return added << spare >> (frame + 1 - width), highest + 1 - spare


# ---------------------------------------------------------------------- post lanes


def post_results(manifest: Manifest, groups: list[tuple[Step, Sums]]) -> list[int]:
    """Codes of an output's results, row-major, of the last step and the sums of each of its groups."""
    rule = manifest["post"]
    encodings = manifest["encodings"]
    rows, columns = len(groups[0][1].values), len(groups[0][1].values[0])
    result = encodings[manifest["outputs"]["o_y"]["encoding"]]
    found = []
    for m in range(rows):
        for n in range(columns):
            total = 0
            for last, sums in groups:
                total = fp32_add(total, _scaled(manifest, rule, last, sums, m, n))
            found.append(result_code(result, total))
    return found


def _scaled(manifest: Manifest, rule: Manifest, last: Step, sums: Sums, m: int, n: int) -> int:
    encodings = manifest["encodings"]
    value = sums.values[m][n]
    if value is None:
        return NAN
    if rule["zero"]:
        value -= last[rule["zero"]][n] * sums.rows[m]
    scales = []
    for side, index in (("row_scale", m), ("col_scale", n)):
        if rule[side]:
            scales.append(decode(encodings[rule[side]["encoding"]], last[rule[side]["port"]][index]))
    product = Fraction(value) * Fraction(2) ** rule["unit_exp"]
    negative = value < 0
    for scale in scales:
        negative ^= scale.negative
        product *= 1 if scale.special else scale.number
    specials = {scale.special for scale in scales}
    if "nan" in specials or ("inf" in specials and not product):
        return NAN
    if "inf" in specials:
        return INFINITY | negative << 31
    return fp32(product, rule="odd" if "odd" in rule["rounding"] else rule["rounding"])
