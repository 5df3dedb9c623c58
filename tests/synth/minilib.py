"""A small Liberty library that tests write: a dozen gates and a flip-flop, linear delays, one kind of energy a pin."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

__all__ = ["HEAD", "flip_flop", "gate", "in_other_units", "mini", "said_otherwise"]

HEAD = """library (mini) {
  delay_model : table_lookup;
  time_unit : "1ns";
  voltage_unit : "1V";
  leakage_power_unit : "1nW";
  capacitive_load_unit (1, pf);
  nom_process : 1;
  nom_voltage : 1.0;
  nom_temperature : 25;
"""

TEMPLATES = """  lu_table_template (delay) {
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    index_1 ("0.01, 0.2");
    index_2 ("0.001, 0.05");
  }
  lu_table_template (check) {
    variable_1 : related_pin_transition;
    variable_2 : constrained_pin_transition;
    index_1 ("0.01, 0.2");
    index_2 ("0.01, 0.2");
  }
  power_lut_template (energy) {
    variable_1 : input_transition_time;
    index_1 ("0.01, 0.2");
  }
"""


def _delays(base: float, drive: float) -> str:
    lines = []
    for kind, share in (("cell_rise", 1.0), ("cell_fall", 0.9), ("rise_transition", 0.7), ("fall_transition", 0.6)):
        rows = [[base * share + 0.2 * slew + drive * share * load for load in (0.001, 0.05)] for slew in (0.01, 0.2)]
        values = ", ".join('"' + ", ".join(f"{value:.6f}" for value in row) + '"' for row in rows)
        lines.append(f"        {kind} (delay) {{ values ({values}); }}\n")
    return "".join(lines)


def gate(name: str, area: float, function: str, base: float, drive: float, pf: float = 0.002) -> str:
    """A gate of the pins that its function names."""
    pins = sorted(set(re.findall("[A-C]", function)))
    lines = [f"  cell ({name}) {{\n    area : {area};\n    cell_leakage_power : {area / 10:.3f};\n"]
    lines += [f"    pin ({pin}) {{ direction : input; capacitance : {pf}; }}\n" for pin in pins]
    lines.append(f'    pin (Y) {{\n      direction : output;\n      function : "{function}";\n')
    lines.append("      max_capacitance : 0.2;\n")
    for pin in pins:
        lines.append(f'      timing () {{\n        related_pin : "{pin}";\n        timing_sense : non_unate;\n')
        lines.append(_delays(base, drive) + "      }\n")
        lines.append(f'      internal_power () {{\n        related_pin : "{pin}";\n')
        for edge in ("rise", "fall"):
            lines.append(f'        {edge}_power (energy) {{ values ("0.001, 0.002"); }}\n')
        lines.append("      }\n")
    return "".join([*lines, "    }\n  }\n"])


def flip_flop(name: str = "DFF", more: str = "", pins: Sequence[str] = (), clock: str = "", outputs: str = "") -> str:
    """A flip-flop; ``more`` goes into its ff group, ``pins`` are further inputs, ``clock`` goes into the clock pin."""
    others = "".join(f"    pin ({pin}) {{ direction : input; capacitance : 0.002; }}\n" for pin in pins)
    checks = "".join(
        f'        {edge}_constraint (check) {{ values ("{low}, {low}", "{high}, {high}"); }}\n'
        for edge, low, high in (("rise", 0.051, 0.07), ("fall", 0.061, 0.08))
    )
    return f"""  cell ({name}) {{
    area : 20;
    cell_leakage_power : 2;
    ff (IQ, IQN) {{ clocked_on : "CK"; next_state : "D"; {more} }}
    pin (CK) {{ direction : input; clock : true; capacitance : 0.002; {clock} }}
{others}    pin (D) {{
      direction : input;
      capacitance : 0.002;
      timing () {{ related_pin : "CK"; timing_type : setup_rising;
{checks}      }}
    }}
    pin (Q) {{
      direction : output;
      function : "IQ";
      max_capacitance : 0.2;
      timing () {{ related_pin : "CK"; timing_type : rising_edge;
{_delays(0.1, 2.0)}      }}
      internal_power () {{ related_pin : "CK";
        rise_power (energy) {{ values ("0.004, 0.005"); }}
        fall_power (energy) {{ values ("0.004, 0.005"); }}
      }}
    }}
{outputs}  }}
"""


GATES = "".join(
    [
        gate("INV", 2, "!A", 0.02, 1.5),
        gate("INVX2", 3, "!A", 0.02, 0.8, 0.004),
        gate("BUF", 3, "A", 0.05, 1.0),
        gate("BUFX2", 4, "A", 0.05, 0.5),
        gate("NAND2", 3, "!(A & B)", 0.03, 1.8),
        gate("NOR2", 3, "!(A | B)", 0.04, 2.0),
        gate("XOR2", 6, "A ^ B", 0.08, 1.5),
        gate("AOI21", 4, "!((A & B) | C)", 0.05, 2.0),
    ]
)


def mini(gates: str = GATES, held: str | None = None, head: str = HEAD + TEMPLATES) -> str:
    """The whole library."""
    return head + gates + (flip_flop() if held is None else held) + "}\n"


_TOKEN = re.compile(r'"[^"]*"|[\w.+\-]+|[(){}:;,]')
_GAPS = ("", " ", "\n", "\t", " /* a */ ", '/* { " } ; */', ' // it is "x { }\n', " \\\n ", "\r\n", "/***/")


def _transposed(text: str) -> str:
    """Tables and templates of delays with load as their first axis."""
    swapped = text.replace("variable_1 : input_net_transition", "variable_1 : total_output_net_capacitance", 1)
    swapped = swapped.replace("variable_2 : total_output_net_capacitance", "variable_2 : input_net_transition", 1)
    indices = (
        'index_1 ("0.01, 0.2");\n    index_2 ("0.001, 0.05")',
        'index_1 ("0.001, 0.05");\n    index_2 ("0.01, 0.2")',
    )
    swapped = swapped.replace(*indices)
    number = r"([\d.]+)"
    found = rf'\(delay\) {{ values \("{number}, {number}", "{number}, {number}"\)'
    return re.sub(found, r'(delay) { values ("\1, \3", "\2, \4")', swapped)


def in_other_units(text: str) -> str:
    """Picoseconds and femtofarads: numbers of times and capacitances are a thousand times as large."""

    def times(match: re.Match[str]) -> str:
        return match[1] + re.sub(r"[\d.]+", lambda number: f"{float(number[0]) * 1000:.6g}", match[2])

    text = text.replace('"1ns"', "1.0PS").replace("(1, pf)", '("FF", 1.0)')
    text = re.sub(r"(index_\d )(\([^)]*\))", times, text)
    text = re.sub(r"(capacitance : )([\d.]+)", times, text)
    # Energies are in capacitance times voltage squared.
    return re.sub(r"(values )(\([^)]*\))", times, text)


def _templates_last(text: str) -> str:
    begin, end = text.index("  lu_table_template"), text.index("  cell (")
    return text[:begin] + text[end:-2] + text[begin:end] + "}\n"


_WAYS: tuple[Callable[[str], str], ...] = (
    _transposed,
    in_other_units,
    _templates_last,
    lambda text: re.sub(r"pin \(A\) (\{[^}]*\})\s*pin \(B\) \1", r'pin ("A", B) \1', text),
    lambda text: re.sub(r"[ ;]capacitance : ([\d.]+);", r" rise_capacitance : \1; fall_capacitance : \1;", text),
    lambda text: text.replace(
        "pin (A) { direction : input; capacitance : 0.002; }", "pin (A) { direction : input; }"
    ).replace("nom_process : 1;", "nom_process : 1; default_input_pin_cap : 0.002;"),
    lambda text: text.replace('"1V"', '"10mV"').replace("nom_voltage : 1.0", "nom_voltage : 100"),
    lambda text: re.sub("nom_voltage : (.*);", r"operating_conditions (typ) { voltage : \1; temperature : 25; }", text),
    lambda text: re.sub("nom_voltage : (.*);", r"voltage_map (VSS, 0.0); voltage_map (VDD, \1);", text),
    lambda text: re.sub(r'(internal_power \(\) \{\n?\s*)related_pin : "[A-C]";', r"\1", text),
    lambda text: re.sub(r"cell \((\w+)\)", r'cell ("\1")', text),
    lambda text: text.replace('leakage_power_unit : "1nW";\n', "")[:-2] + "leakage_power_unit : 1000PW;\n}\n",
)
"""Ways to say the same library."""

_BY_LINES: tuple[Callable[[str], str], ...] = (
    lambda text: re.sub(r"function : \"([^\"]*)\";", r"function : \1;", text),
    lambda text: text.replace(
        "  cell (INV) {", "  define (style, cell, string);\n  N = 5;\n  cell (INV) { style : a/b;"
    ),
    lambda text: re.sub(r";\n", "\n", text),
)
"""Ways in which ends of lines matter."""


def said_otherwise(text: str, seed: int) -> str:
    """The same library in other words: some of the ways, and anything that may stand between two tokens."""
    draw = random.Random(seed)
    scatter = bool(draw.getrandbits(1))
    ways = _WAYS if scatter else (*_WAYS, *_BY_LINES)
    # In their order: some look for what others change.
    for index in sorted(draw.sample(range(len(ways)), 4)):
        text = ways[index](text)
    if not scatter:
        return text
    words = _TOKEN.findall(text)
    made = ["\ufeff"]
    for one, after in zip(words, [*words[1:], ""], strict=True):
        apart = one[-1] not in '"(){}:;,' and after[:1] not in '"(){}:;,'
        made += [one, " " if apart else draw.choice(_GAPS)]
    return "".join(made)
