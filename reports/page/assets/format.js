// Numbers as people read them.
import { columns, model } from "./model.js";

const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

// Four digits; powers of ten where there would be many noughts.
export function short(number) {
  if (number === null || number === undefined) return "–";
  const size = Math.abs(number);
  if (size && (size >= 1e7 || size < 1e-4)) {
    const power = Math.floor(Math.log10(size));
    return `${plain.format(number / 10 ** power)}·10${raised(power)}`;
  }
  return plain.format(number);
}

function raised(power) {
  return [...String(power)].map((digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit])).join("");
}

// Text of a cell: shares as per cent, names as they are.
export function cell(name, content) {
  if (content === null || content === "") return "–";
  if (typeof content !== "number") return String(content);
  return columns.get(name)?.unit === "%" ? `${plain.format(100 * content)}` : short(content);
}

export function withUnit(name, content) {
  const unit = columns.get(name)?.unit, text = cell(name, content);
  if (!unit || text === "–") return text;
  if (unit === "%") return `${text}%`;
  const [size, larger] = unitOf(name, content);
  return size === 1 ? `${text} ${unit}` : `${plain.format(content / size)} ${larger}`;
}

// How many of a column's unit are one of the unit that suits a number, and its name.
export function unitOf(name, content) {
  const unit = columns.get(name).unit;
  return model.larger[unit]?.find(([size]) => Math.abs(content) >= 10 * size) ?? [1, unit];
}

export function title(name) {
  const column = columns.get(name);
  return column.unit ? `${column.label} [${column.unit}]` : column.label;
}

// Labels of ticks: short, with the prefixes that engineers read.
export function tick(name, number) {
  return brief(columns.get(name)?.unit === "%" ? 100 * number : number);
}

export function brief(scaled) {
  const size = Math.abs(scaled);
  for (const [unit, prefix] of PREFIXES) {
    if (size >= unit * 0.9999999) return `${plain.format(scaled / unit)}${prefix}`;
  }
  return size && size < 1e-3 ? scaled.toExponential(0) : plain.format(scaled);
}

export function percent(share) {
  return `${plain.format(Number((100 * share).toFixed(share < 0.1 ? 2 : 1)))}%`;
}

export function counted(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
