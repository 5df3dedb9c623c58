// One point taken apart: numbers, blocks, layers, roofline, accuracy, and the commands that make it.
import { byId, make, outline, say, svg, swatch } from "./dom.js";
import { brief, cell, percent, short, title, unitOf, withUnit } from "./format.js";
import { beyond, columns, commandsOf, familyOf, formatName, model, partsOf, pointName, range, shape, value } from "./model.js";
import { makeScale, padded } from "./scale.js";
import { front, onFront, pass } from "./select.js";
import { alongFront } from "./scatter.js";
import { state } from "./state.js";

const MOST_BLOCKS = 9;
const MEANS = {
  compute: "the tile's products", padding: "products with padding", results: "results that wait", "pre block": "the block before activations",
  channel: "the read channel", flight: "bursts in flight", ring: "room in a ring", write: "the write channel",
};

export function drawDetail() {
  const index = state.point, home = partsOf(index);
  const parts = [heading(index), keys(index)];
  if (home) {
    parts.push(blocks(home), layers(home));
    if (home.parts.rate) parts.push(roofline(index, home));
  } else parts.push(make("p", { class: "note", text: `Points of the level ${model.level} are not taken apart here.` }));
  parts.push(accuracy(), commands(index), parameters(index));
  byId("detail").replaceChildren(...parts.filter(Boolean));
}

function heading(index) {
  const marks = [];
  if (model.front.includes(index)) marks.push(["on the sweep's front", "good"]);
  else if (onFront[index]) marks.push(["on the front of these axes", "good"]);
  if (index === model.chosen) marks.push(["balanced", ""]);
  if (!pass[index]) marks.push(["filtered out", "bad"]);
  if (columns.has("basis")) marks.push([value("basis", index), ""]);
  if (beyond[index]) marks.push([`extrapolated in ${value("extrapolated", index)}`, "bad"]);
  const step = (text, label, by) => make("button", { type: "button", text, "aria-label": label, disabled: !front.length, click: () => alongFront(by) });
  return make(
    "header", {},
    make("div", { class: "steps" }, make("h2", {}, swatch(familyOf[index]), value("pe", index)), step("←", "Previous point of the front", -1), step("→", "Next point of the front", 1)),
    make("p", { class: "what", text: `${formatName(index)}, ${shape(index)}` }),
    make("p", { class: "marks" }, ...marks.map(([text, kind]) => make("span", { class: `mark-${kind || "plain"}`, text }))),
  );
}

// The metrics that matter, each beside how good it is among all: a dot on its range.
function keys(index) {
  const names = [...new Set([state.x, state.y, state.z, ...model.keys, "utilization"].filter((name) => columns.has(name) && columns.get(name).metric && columns.get(name).numeric))];
  return make("dl", { class: "keys" }, ...names.map((name) => {
    const number = value(name, index), { low, high, above } = range(name), column = columns.get(name);
    const log = low > 0 && high / low > 10, scale = makeScale(log, log ? above : low, high, 0, 100);
    const at = number === null || high === low ? null : column.better < 0 ? 100 - scale.at(number) : scale.at(number);
    return make("div", {}, make("dt", { text: column.label }), make("dd", {}, make("span", { text: withUnit(name, number) }), make("i", { class: "meter", title: "its place among all points; better is to the right" }, at === null ? null : make("b", { style: `left:${at}%` }))));
  }));
}

// Area and energy side by side, a row a block, the largest first; the smallest are one.
function blocks({ parts, place }) {
  const sides = ["area_um2", "energy_pj"], names = [...new Set(sides.flatMap((side) => Object.keys(parts[side])))];
  const wholes = sides.map((side) => Object.values(parts[side]).reduce((sum, values) => sum + values[place], 0));
  const units = wholes.map((whole, side) => unitOf(sides[side], whole));
  const rows = names.map((name) => ({ name: name.replaceAll("_", " "), numbers: sides.map((side) => parts[side][name]?.[place] ?? 0) }));
  const share = ({ numbers }) => numbers.map((number, side) => (wholes[side] ? number / wholes[side] : 0));
  const weight = (one) => Math.max(...share(one));
  const kept = rows.filter((one) => weight(one) > 0).sort((a, b) => weight(b) - weight(a));
  const rest = kept.length > MOST_BLOCKS + 1 ? kept.splice(MOST_BLOCKS) : [];
  if (rest.length) kept.push({ name: `${rest.length} more`, numbers: sides.map((_, side) => rest.reduce((sum, { numbers }) => sum + numbers[side], 0)) });
  const cells = (one) => one.numbers.flatMap((number, side) => {
    const part = share(one)[side];
    const bar = make("td", { class: "bar-cell", title: `${short(number)} ${columns.get(sides[side]).unit}` }, make("i", { style: `width:${100 * part}%` }), make("span", { text: number ? short(number / units[side][0]) : "" }));
    return [bar, make("td", { class: "right dim", text: number ? percent(part) : "" })];
  });
  const heads = ["block", `area [${units[0][1]}]`, "", `energy [${units[1][1]}]`, ""].map((text) => (text ? make("th", { scope: "col", class: text === "block" ? "" : "right", text }) : make("td")));
  const total = wholes.flatMap((number, side) => [make("td", { class: "right", text: short(number / units[side][0]) }), make("td")]);
  return section("Area and energy", "", make("table", { class: "blocks" },
    make("thead", {}, make("tr", {}, ...heads)),
    make("tbody", {}, ...kept.map((one) => make("tr", {}, make("th", { scope: "row", text: one.name }), ...cells(one)))),
    make("tfoot", {}, make("tr", {}, make("th", { scope: "row", text: "total" }), ...total))));
}

function layers({ parts, place }) {
  const whole = parts.cycles.reduce((sum, values) => sum + values[place], 0);
  const rows = model.layers.map(({ name, size, count }, layer) => {
    const cycles = parts.cycles[layer][place], bound = parts.bounds[parts.bound[layer][place]];
    return make("tr", {}, make("th", { scope: "row", title: `${name}: ${size}${count > 1 ? ` ×${count}` : ""}`, text: name }), make("td", { class: "right", title: cycles.toLocaleString("en"), text: brief(cycles) }), make("td", { class: "right", text: percent(cycles / whole) }), make("td", { class: "right", text: percent(parts.busy[layer][place] / cycles) }), make("td", { title: MEANS[bound] ?? "", text: bound }));
  });
  const heads = ["layer", "cycles", "of all", "of peak", "bound by"].map((text, column) => make("th", { scope: "col", class: column && column < 4 ? "right" : "", text }));
  return section("Layers", `${short(whole)} cycles`, make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Layers" }, make("table", { class: "layers" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows))));
}

// Operations a ns against operations a byte of the busier channel, below the roof of tile and memory.
function roofline(index, { parts, place }) {
  const peak = parts.peak[place], rate = parts.rate[place], period = value("clk_period_ns", index);
  const found = model.layers.map(({ name }, layer) => {
    const cycles = parts.cycles[layer][place], ops = (parts.busy[layer][place] * peak) * period, moved = parts.moved[layer][place];
    return { name, x: ops / moved, y: ops / (cycles * period), share: cycles };
  }).filter(({ x, y }) => x > 0 && y > 0 && Number.isFinite(x));
  if (!found.length) return null;
  const width = 320, height = 190, edge = { left: 44, right: 10, top: 10, bottom: 34 }, ridge = peak / rate;
  const xs = [...found.map(({ x }) => x), ridge], ys = [...found.map(({ y }) => y), peak];
  const x = makeScale(true, ...padded(true, Math.min(...xs) / 1.5, Math.max(...xs) * 1.5), edge.left, width - edge.right);
  const y = makeScale(true, ...padded(true, Math.min(...ys) / 1.3, Math.max(...ys)), height - edge.bottom, edge.top);
  const roof = (at) => y.at(Math.min(peak, at * rate));
  const picture = svg("svg", { class: "roofline", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Roofline: peak ${short(peak)} operations a ns, memory ${short(rate)} bytes a ns` });
  for (const number of x.ticks(4)) picture.append(svg("text", { class: "tick", x: x.at(number), y: height - edge.bottom + 14, "text-anchor": "middle", text: short(number) }));
  for (const number of y.ticks(4)) {
    picture.append(svg("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: y.at(number), y2: y.at(number) }));
    picture.append(svg("text", { class: "tick", x: edge.left - 6, y: y.at(number) + 4, "text-anchor": "end", text: short(number) }));
  }
  picture.append(svg("clipPath", { id: "roof" }, svg("rect", { x: edge.left, y: edge.top, width: width - edge.left - edge.right, height: height - edge.top - edge.bottom })));
  picture.append(svg("path", { class: "roof", "clip-path": "url(#roof)", d: `M${x.at(x.low)} ${roof(x.low)}L${x.at(ridge)} ${y.at(peak)}H${width - edge.right}` }));
  const most = Math.max(...found.map(({ share }) => share));
  found.forEach((one) => picture.append(svg("path", { class: "layer", d: outline(0, 3 + 6 * Math.sqrt(one.share / most), x.at(one.x), y.at(one.y)) }, svg("title", { text: `${one.name}: ${short(one.y)} operations a ns, ${short(one.x)} a byte` }))));
  picture.append(svg("text", { class: "tick", x: width - edge.right, y: height - 4, "text-anchor": "end", text: "operations per byte of the busier channel" }));
  return section("Roofline", `${short(peak)} ops/ns, ${short(rate)} bytes/ns`, picture, make("p", { class: "note", text: "A marker a layer, its area the layer's share of cycles; vertical: operations a ns." }));
}

function accuracy() {
  const names = ["perplexity", "kl_nats", "agreement"].filter((name) => columns.has(name));
  if (!names.length) return section("Accuracy", "", make("p", { class: "note", text: "Not part of this sweep; hwgen sweep --accuracy adds what was measured." }));
  const known = names.some((name) => value(name, state.point) !== null);
  if (!known) return section("Accuracy", "", make("p", { class: "note", text: "Not measured with these formats; hwgen sweep --measure measures them." }));
  return section("Accuracy", "language model with these formats", make("dl", { class: "keys plain" }, ...names.map((name) => make("div", {}, make("dt", { text: columns.get(name).label }), make("dd", { text: withUnit(name, value(name, state.point)) })))));
}

function commands(index) {
  const made = commandsOf(index);
  if (!made.length) return null;
  // The commands count every cycle.
  const near = model.cycles && model.cycles !== "exact" ? make("p", { class: "note", text: `Cycles of this page are ${model.cycles}; the command counts each of them.` }) : null;
  return section("Make it real", "", near, ...made.map(({ title: name, command }) => {
    const button = make("button", { type: "button", text: "Copy", "aria-label": `Copy the command: ${name}`, click: () => copy(command, button) });
    return make("div", { class: "command" }, make("p", {}, make("span", { text: name }), button), make("code", { tabindex: "0", text: command }));
  }));
}

// Clipboard of the browser where it gives one (not to files, everywhere), else by the selection.
export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "live", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1200);
  say("Copied.");
}

let open = false;
function parameters(index) {
  const rows = model.columns.filter((column) => !column.metric && column.name !== "pe" && value(column.name, index) !== null);
  const list = make("dl", { class: "all" }, ...rows.map((column) => make("div", { title: column.doc }, make("dt", { text: column.label }), make("dd", { text: cell(column.name, value(column.name, index)) }))));
  const others = model.columns.filter((column) => column.metric && column.numeric);
  const numbers = make("dl", { class: "all" }, ...others.map((column) => make("div", {}, make("dt", { text: title(column.name) }), make("dd", { text: cell(column.name, value(column.name, index)) }))));
  return make("details", { class: "more", open, toggle: (event) => { open = event.target.open; } }, make("summary", { text: `All parameters and numbers of ${pointName(index)}` }), list, numbers);
}

function section(name, sum, ...content) {
  return make("section", {}, make("h3", {}, name, make("span", { text: sum })), ...content.filter(Boolean));
}
