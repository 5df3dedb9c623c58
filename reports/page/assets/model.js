// The data of the page, decoded once; nothing here changes.
export const model = JSON.parse(document.getElementById("model").textContent);
export const count = model.counts.shown;
export const columns = new Map(model.columns.map((column) => [column.name, column]));

const decoders = {
  same: (data) => () => data.same,
  numbers: (data) => (index) => data.numbers[index],
  texts: (data) => (index) => (data.places[index] < 0 ? null : data.texts[data.places[index]]),
};
const readers = new Map();
for (const [name, data] of Object.entries(model.data)) {
  const kind = Object.keys(decoders).find((key) => key in data);
  readers.set(name, decoders[kind](data));
}

// Value of a column: a number, a text, or null where the point has none.
export function value(name, index) {
  return readers.get(name)(index);
}

export const families = [...new Set(Array.from({ length: count }, (_, index) => value("pe", index)))].sort();
export const familyOf = Int32Array.from({ length: count }, (_, index) => families.indexOf(value("pe", index)));
export const formats = model.formats.texts
  .map((text, place) => ({ text, place }))
  .sort((a, b) => a.text.localeCompare(b.text, "en", { numeric: true }));
const rank = new Map(formats.map(({ place }, order) => [place, order]));
export const formatOf = Int32Array.from(model.formats.places, (place) => rank.get(place));

export const beyond = Uint8Array.from({ length: count }, (_, index) =>
  columns.has("extrapolated") && value("extrapolated", index) ? 1 : 0,
);

const ranges = new Map();
// Smallest and largest known value, and the smallest above 0.
export function range(name) {
  if (!ranges.has(name)) {
    let low = Infinity, high = -Infinity, above = Infinity;
    for (let index = 0; index < count; index++) {
      const number = value(name, index);
      if (number === null) continue;
      low = Math.min(low, number);
      high = Math.max(high, number);
      if (number > 0) above = Math.min(above, number);
    }
    ranges.set(name, { low, high, above, varies: high > low });
  }
  return ranges.get(name);
}

export const numeric = model.columns.filter((column) => column.numeric && range(column.name).varies);
export const metrics = numeric.filter((column) => column.metric);
export const numbers = numeric.map((column) => column.name);

export function better(name) {
  return columns.get(name).better;
}

// Whether a logarithmic axis shows it well: above 0 and over more than a factor of ten.
export function wantsLog(name) {
  const { low, high } = range(name);
  return low > 0 && high / low > 10;
}

// Parts of a point: those of its family, and its place among them.
const homes = new Map();
for (const parts of Object.values(model.parts)) {
  parts.rows.forEach((row, place) => homes.set(row, { parts, place }));
}
export function partsOf(index) {
  return homes.get(index);
}

export function shape(index) {
  return ["m", "n", "k"].map((name) => value(name, index)).join("×");
}

export function formatName(index) {
  return formats[formatOf[index]].text;
}

export function pointName(index) {
  return `${value("pe", index)} ${formatName(index)}, ${shape(index)}`;
}

export function commandsOf(index) {
  return model.commands.map(({ title, command }) => {
    const fill = (_, name) => {
      if (name === "pe") return value("pe", index);
      const flags = model.flags[name];
      return flags.texts[flags.places[index]];
    };
    return { title, command: command.replace(/\{(\w+)\}/g, fill).replace(/ +/g, " ").trim() };
  });
}
