"""Make every implicit extension in RTLIL explicit, so that linters have nothing to say about operand widths."""

from __future__ import annotations

import re
from collections import Counter

__all__ = ["widen"]

_ARITHMETIC = {"$add", "$sub", "$mul", "$neg", "$and", "$or", "$xor", "$xnor", "$not", "$pos"}
_COMPARE = {"$eq", "$ne", "$lt", "$le", "$gt", "$ge"}
_TRIMMED = {"$add", "$sub", "$mul", "$and", "$or", "$xor", "$xnor", "$shl"}
_USE = re.compile(r"(?<=[ {])(\$\S+)(?: \[(\d+)(?::\d+)?\])?(?=[\s}])")
_WIRE = re.compile(r"^  wire width (\d+) (\$\S+)$", re.M)
_CELL = re.compile(r"^  cell (?P<kind>\$\w+) (?P<name>\S+)\n(?P<body>(?:    .*\n)*?)  end\n", re.M)
_PARAM = re.compile(r"^    parameter (?:signed )?\\(\w+) (\S+)$", re.M)
_CONNECT = re.compile(r"^    connect \\(\w+) (.*)$", re.M)


def _number(text: str) -> int:
    return int(text.split("'")[1], 2) if "'" in text else int(text)


def _split(sig: str) -> list[str]:
    """Parts of a concatenation, most significant first; a single signal is its own only part."""
    sig = sig.strip()
    if not sig.startswith("{"):
        return [sig]
    parts: list[str] = []
    depth, word = 0, ""
    tokens = re.findall(r"[{}]|\[[^\]]*\]|[^\s{}\[\]]+", sig[1:-1])
    for token in tokens:
        if token == "{":
            depth += 1
        if depth:
            word += f" {token}"
            if token == "}":
                depth -= 1
                if not depth:
                    parts.append(word.strip())
                    word = ""
        elif token.startswith("["):
            parts[-1] += f" {token}"
        else:
            parts.append(token)
    return parts


def _top_bit(sig: str, widths: dict[str, int]) -> str:
    """The most significant bit of a signal expression."""
    part = _split(sig)[0]
    if part.startswith("{"):
        return _top_bit(part, widths)
    constant = re.fullmatch(r"\d+'([01xz-]+)", part)
    if constant:
        return f"1'{constant[1][0]}"
    indexed = re.fullmatch(r"(\S+) \[(\d+)(?::\d+)?\]", part)
    if indexed:
        return f"{indexed[1]} [{indexed[2]}]"
    width = widths[part]
    return part if width == 1 else f"{part} [{width - 1}]"


def _extend(sig: str, width: int, target: int, signed: bool, widths: dict[str, int]) -> str:
    constant = re.fullmatch(r"\d+'([01]+)", sig)
    if constant:
        fill = constant[1][0] if signed else "0"
        return f"{target}'{constant[1].rjust(target, fill)}"
    extra = target - width
    inner = sig[1:-1].strip() if sig.startswith("{") else sig
    if not signed:
        return f"{{ {extra}'{'0' * extra} {inner} }}"
    bit = _top_bit(sig, widths)
    return "{ " + " ".join([bit] * extra) + f" {inner} }}"


def _replace(body: str, key: str, value: str) -> str:
    """Put ``value`` after ``key`` (a pattern) in the line of a cell that begins with it."""
    return re.sub(rf"(?m)^(    {key}).*$", lambda match: match[1] + value, body)


def _widen_cell(match: re.Match[str], widths: dict[str, int]) -> str:
    kind, body = match["kind"], match["body"]
    if kind not in _ARITHMETIC and kind not in _COMPARE and kind != "$shl":
        return match[0]
    params = {name: _number(value) for name, value in _PARAM.findall(body)}
    pins = dict(_CONNECT.findall(body))
    # What a left shift loses at the top depends on the result's width; its shift count extends nothing.
    operands = [pin for pin in ("A", "B") if pin in pins and (pin == "A" or kind != "$shl")]
    target = max(params[f"{pin}_WIDTH"] for pin in operands)
    if kind in _ARITHMETIC or kind == "$shl":
        # A result narrower than its operands keeps their width; $mul needs both operands at the result's width.
        target = max(target, params["Y_WIDTH"]) if kind != "$mul" else params["Y_WIDTH"]
    for pin in operands:
        width, signed = params[f"{pin}_WIDTH"], bool(params[f"{pin}_SIGNED"])
        if width < target:
            body = _replace(body, rf"connect \\{pin} ", _extend(pins[pin], width, target, signed, widths))
            body = _replace(body, rf"parameter \\{pin}_WIDTH ", str(target))
    return f"  cell {kind} {match['name']}\n{body}  end\n"


def _trim(module: str) -> str:
    """Shorten results whose upper bits nobody reads, but not below their operands."""
    whole: Counter[str] = Counter()
    highest: dict[str, int] = {}
    for name, high in _USE.findall(module):
        if high:
            highest[name] = max(int(high), highest.get(name, 0))
        else:
            whole[name] += 1
    kept: dict[str, int] = {}

    def shorten(match: re.Match[str]) -> str:
        if match["kind"] not in _TRIMMED:
            return match[0]
        result = dict(_CONNECT.findall(match["body"]))["Y"]
        # The declaration and the cell's own Y are the two whole uses that every result has.
        if whole[result] != 2 or result not in highest:
            return match[0]
        params = {name: _number(value) for name, value in _PARAM.findall(match["body"])}
        operands = ("A",) if match["kind"] == "$shl" else ("A", "B")
        width = max(highest[result] + 1, *(params.get(f"{pin}_WIDTH", 0) for pin in operands))
        if width >= params["Y_WIDTH"]:
            return match[0]
        kept[result] = width
        return _replace(match[0], r"parameter \\Y_WIDTH ", str(width))

    module = _CELL.sub(shorten, module)
    return _WIRE.sub(lambda m: f"  wire width {kept[m[2]]} {m[2]}" if m[2] in kept else m[0], module)


def widen(text: str) -> str:
    """Extend operands of arithmetic and comparison cells to the width of the operation.

    The function of the design does not change: RTLIL extends the same way implicitly. ``text`` is RTLIL as Amaranth
    writes it (one wire, cell or connection per line).
    """
    modules = re.split(r"(?m)^(?=module |attribute \\(?:generator|top|src))", text)
    return "".join(_widen_module(_trim(module)) for module in modules)


def _widen_module(module: str) -> str:
    widths = {name: int(width) for width, name in re.findall(r"^  wire width (\d+) (?:.* )?(\S+)$", module, re.M)}
    return _CELL.sub(lambda match: _widen_cell(match, widths), module)
